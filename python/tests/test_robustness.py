"""Long-lived processes: constant memory, interrupts, child processes, shared memory, panics."""

import gc
import resource
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest

import sayso


def resident_mb() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


# MB by which the minimum of the allocator's memory varies without a leak: up to 3 in runs that were eight times as long. A
# leak of one observation per step, or of a kilobyte per environment, would exceed it.
NOISE = 6.0


def growth(action, n: int) -> float:
    """MB by which `n` calls of the action grow the process: the minimum over the second half less that over the first.

    Minima, as the amount of free memory that an allocator keeps varies.
    """
    resident = []
    for _ in range(10):
        for _ in range(n // 10):
            action()
        gc.collect()
        resident.append(resident_mb())
    return min(resident[5:]) - min(resident[:5])


def grows(action, n: int) -> bool:
    """Whether the action leaks: its growth exceeds the noise every time that it is measured."""
    return all(growth(action, n) >= NOISE for _ in range(3))


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@needs_proc
def test_creating_and_closing_does_not_grow_the_process():
    def create_and_close():
        env = gymnasium.make("sayso/Reach-v1", obs="both", size=32)
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()

    assert not grows(create_and_close, 10_000)


@needs_proc
def test_a_million_steps_do_not_grow_the_process():
    envs = gymnasium.make_vec("sayso/CartPole-v1", num_envs=200)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    assert not grows(lambda: envs.step(actions), 5_000)


@needs_proc
def test_scored_frames_do_not_grow_the_process():
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=16, reward="vlm_rm", obs="pixels", render_mode="rgb_array")
    envs.reset(seed=0)
    actions = np.zeros(envs.action_space.shape, np.float32)

    def step():
        envs.step(actions)
        envs.render()

    # A step renders 400 kB for the reward model, and 2.7 MB in render(): 60 MB in the 150 steps between the halves, if the
    # smaller part were leaked. What the allocator keeps of them varies by 12 MB.
    assert growth(step, 300) < 20


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_an_environment_is_usable_after_an_interrupt_in_a_step():
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=64, obs="pixels", size=64, reward="vlm_rm")
    envs.reset(seed=0)
    actions = np.zeros(envs.action_space.shape, np.float32)
    n_interrupted = 0

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for delay in (0.002, 0.01, 0.02, 0.04):
            signal.setitimer(signal.ITIMER_REAL, delay)
            try:
                deadline = time.monotonic() + 20
                while time.monotonic() < deadline:
                    envs.step(actions)
            except KeyboardInterrupt:
                n_interrupted += 1
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert n_interrupted == 4
    fresh = gymnasium.make_vec("sayso/Reach-v1", num_envs=64, obs="pixels", size=64, reward="vlm_rm")
    assert np.array_equal(envs.reset(seed=3)[0], fresh.reset(seed=3)[0])
    for one, other in zip(envs.step(actions)[:4], fresh.step(actions)[:4], strict=True):
        assert np.array_equal(one, other)
    envs.close()


START = """
import multiprocessing, sys
import gymnasium, sayso

KWARGS = {"num_envs": 2, "obs": "both", "size": 32, "reward": "vlm_rm"}

def first_results(env):
    first = env.reset(seed=3)[0]["pixels"].sum()
    return int(first), env.step(env.action_space.sample() * 0)[1].tolist()

def work(env, results):
    results.put(first_results(env))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    envs = gymnasium.make_vec("sayso/Reach-v1", **KWARGS)
    here = first_results(envs)
    results = context.Queue()
    others = [gymnasium.make_vec("sayso/Reach-v1", **KWARGS) for _ in range(2)]
    workers = [context.Process(target=work, args=(env, results)) for env in others]
    [worker.start() for worker in workers]
    assert [results.get(timeout=60) for _ in workers] == [here, here]
    [worker.join() for worker in workers]
    if sys.argv[1] == "fork":
        # An environment that has run continues in the child with the parent's state.
        child = context.Process(target=lambda: results.put(envs.step(envs.action_space.sample() * 0)[1].tolist()))
        child.start()
        # Closing it in the child does not affect the parent.
        closing = context.Process(target=lambda: (envs.close(), results.put("closed")))
        assert results.get(timeout=60) == envs.step(envs.action_space.sample() * 0)[1].tolist()
        child.join()
        closing.start()
        assert results.get(timeout=60) == "closed"
        closing.join()
    print("same")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_environments_work_in_child_processes(method, tmp_path):
    script = tmp_path / "start.py"
    script.write_text(START)
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=120)
    assert done.stdout == "same\n", done.stderr


def test_arrays_own_their_memory_and_share_it_by_dlpack():
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=4, obs="both", size=16)
    observations, _ = envs.reset(seed=0)
    for part in observations.values():
        # A view of memory that Rust allocated; it is freed with the last view.
        assert part.flags.c_contiguous and part.flags.writeable
        assert np.shares_memory(np.from_dlpack(part), part)
    torch = pytest.importorskip("torch", reason="torch is absent")
    pixels = torch.from_dlpack(observations["pixels"])
    assert pixels.dtype == torch.uint8 and pixels.shape == (4, 16, 16, 3)
    assert pixels.data_ptr() == observations["pixels"].ctypes.data
    kept = pixels.clone()
    envs.close()
    del envs, observations
    gc.collect()
    assert torch.equal(pixels, kept)


def test_a_panic_becomes_a_sayso_error(capfd):
    with pytest.raises(sayso.SaysoError, match="a fault in Sayso itself: as asked"):
        sayso._core.panic()
    assert "as asked" in capfd.readouterr().err
