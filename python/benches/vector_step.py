"""Env steps per second with pixel observations, compared with environments of other libraries.

    python python/benches/vector_step.py

Needs ``"gymnasium>=1.4" gymnasium-robotics "mujoco<3.12" miniworld`` and, without a display, the system's
``libegl1 libgl1-mesa-dri``. Both sides are measured by Gymnasium's own ``benchmark_vector_step``. Each is
first measured briefly in several setups (sync or async, number of envs); the fastest setup of each side is then
measured, in turn with the other.
"""

import argparse
import os
import platform
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

# The peers read these when they are imported, in worker processes too.
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("PYGLET_HEADLESS", "true")
os.environ.setdefault("PYTHONWARNINGS", "ignore")
warnings.simplefilter("ignore")

import gymnasium  # noqa: E402
from gymnasium.utils.performance import benchmark_vector_step  # noqa: E402
from gymnasium.vector import VectorEnv  # noqa: E402
from gymnasium.wrappers import AddRenderObservation  # noqa: E402

import sayso  # noqa: E402, F401

N_CORES = len(os.sched_getaffinity(0))

Setup = tuple[str, int]
"""Gymnasium's ``vectorization_mode``, and the number of envs."""

PEER_SETUPS: list[Setup] = [("sync", 1), ("sync", 8), *(("async", factor * N_CORES) for factor in (1, 2, 4))]
SAYSO_SETUPS: list[Setup] = [("vector_entry_point", n) for n in (16, 64, 256)]


@dataclass
class Side:
    """A vector environment to measure, and the setups to try."""

    name: str
    make: Callable[[Setup], VectorEnv]
    setups: list[Setup]


def fetch_reach(setup: Setup) -> VectorEnv:
    """FetchReach with 64x64 frames of its default camera as observation."""
    fetch = "gymnasium_robotics:FetchReach-v4"
    return peer(fetch, setup, wrappers=(AddRenderObservation,), width=64, height=64)


def four_rooms(setup: Setup) -> VectorEnv:
    """FourRooms with its own 60x80 frames as observation."""
    return peer("miniworld:MiniWorld-FourRooms-v0", setup)


def peer(env_id: str, setup: Setup, **kwargs: Any) -> VectorEnv:
    """A vector of Gymnasium's own."""
    mode, num_envs = setup
    # Forked workers hang if their parent has used OpenGL.
    vector_kwargs = {"context": "spawn"} if mode == "async" else None
    kwargs["render_mode"] = "rgb_array"
    return gymnasium.make_vec(env_id, num_envs, mode, vector_kwargs=vector_kwargs, **kwargs)


def ours(env_id: str, size: tuple[int, int]) -> Callable[[Setup], VectorEnv]:
    """A native batch with frames of ``size`` rows and columns as observation, and ground-truth reward."""
    kwargs = {"obs": "pixels", "size": size, "reward": "ground_truth"}
    return lambda setup: gymnasium.make_vec(env_id, setup[1], setup[0], **kwargs)


PAIRS = {
    "reach": (
        Side("FetchReach-v4, 64x64", fetch_reach, PEER_SETUPS),
        Side("sayso/Reach-v1, 64x64", ours("sayso/Reach-v1", (64, 64)), SAYSO_SETUPS),
    ),
    "rooms": (
        Side("MiniWorld-FourRooms-v0, 60x80", four_rooms, PEER_SETUPS),
        Side("sayso/GoTo-v1, 60x80", ours("sayso/GoTo-v1", (60, 80)), SAYSO_SETUPS),
    ),
}


def fastest(side: Side, seconds: int) -> Setup:
    """The setup with the most steps per second."""
    rates = {}
    for setup in side.setups:
        env = side.make(setup)
        rates[setup] = benchmark_vector_step(env, seconds, seed=0)
        env.close()
        print(f"{side.name}, {setup[0]}, {setup[1]} envs: {rates[setup]:,.0f}", flush=True)
    return max(rates, key=rates.get)


def compare(sides: tuple[Side, Side], rounds: int, seconds: int, trial: int) -> tuple[float, list[str]]:
    """Ratio of the medians, second side over first, and rows of a table."""
    setups = [fastest(side, trial) for side in sides]
    envs = [side.make(setup) for side, setup in zip(sides, setups, strict=True)]
    rates: list[list[float]] = [[], []]
    for i in range(rounds):
        for env, measured in zip(envs, rates, strict=True):
            measured.append(benchmark_vector_step(env, seconds, seed=i))
    for env in envs:
        env.close()
    medians = [statistics.median(measured) for measured in rates]
    rows = [
        f"| {side.name} | {mode} | {n} | {median:,.0f} | {min(measured):,.0f} to {max(measured):,.0f} |"
        for side, (mode, n), median, measured in zip(sides, setups, medians, rates, strict=True)
    ]
    return medians[1] / medians[0], rows


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Prints medians of steps per second, and returns the ratio of each pair."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side, in turn")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of one measurement")
    parser.add_argument("--trial", type=int, default=2, help="seconds of the trial of each setup")
    args = parser.parse_args(argv)

    load = os.getloadavg()[0]
    results = {name: compare(PAIRS[name], args.rounds, args.seconds, args.trial) for name in args.pairs}

    packages = ("sayso", "gymnasium", "gymnasium-robotics", "mujoco", "miniworld", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"\nPython {platform.python_version()}, {versions}; {N_CORES} cores, load average {load:.1f} at the start")
    print(f"Medians of {args.rounds} measurements of {args.seconds} s, in turn.\n")
    print("| environment | vectorised | envs | env steps/s (median) | lowest, highest |\n|---|---|---|---|---|")
    for ratio, rows in results.values():
        print("\n".join(rows))
        print(f"| ratio | | | {ratio:.1f} | |")
    return {name: ratio for name, (ratio, _) in results.items()}


if __name__ == "__main__":
    main()
