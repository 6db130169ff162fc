"""RLlib with a native batch in each Ray actor."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason="ray[rllib] is absent", exc_type=ImportError)
pytest.importorskip("torch", reason="torch is absent")
ray = pytest.importorskip("ray", reason="ray is absent")

# Ray and its dependencies emit warnings about each other and about open files of their own.
pytestmark = pytest.mark.filterwarnings("default")

ARGS = ["--env", "sayso/Reach-v1", "--reward", "ground_truth", "--workers", "2", "--num-envs", "4", "--seed", "3"]


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=3, include_dashboard=False)
    yield
    ray.shutdown()


def loaded(example):
    rllib = example("rllib_ppo")
    # Ray actors cannot import the file of an example.
    ray.cloudpickle.register_pickle_by_value(rllib)
    return rllib


def first_observations(algorithm):
    """The first observation of each env of each actor, `[actors, envs, dim]`."""

    def of(runner):
        episodes = runner.sample(num_timesteps=4, random_actions=True, force_reset=False)
        return [episode.get_observations(0) for episode in episodes]

    return np.array(algorithm.env_runner_group.foreach_env_runner(of, local_env_runner=False))


def pids(algorithm):
    """Process ids of the actors that respond."""
    return algorithm.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)


def test_every_env_of_every_actor_runs_a_different_episode(example, cluster):
    rllib = loaded(example)
    algorithm = rllib.configuration(rllib.parsed(ARGS)).build_algo()
    first = first_observations(algorithm)
    assert first.shape[:2] == (2, 4)
    assert len(np.unique(first.reshape(8, -1), axis=0)) == 8
    algorithm.stop()
    # Without the stride, actors repeat each other's episodes.
    config = rllib.configuration(rllib.parsed(ARGS))
    config.env_config["seed_stride"] = 1
    algorithm = config.build_algo()
    assert len(np.unique(first_observations(algorithm).reshape(8, -1), axis=0)) == 5
    algorithm.stop()


def test_a_killed_actor_is_replaced_and_training_continues(example, cluster):
    rllib = loaded(example)
    algorithm = rllib.configuration(rllib.parsed(ARGS)).build_algo()
    before = rllib.train(algorithm, 128)
    assert before.n_steps == 128
    killed, other = pids(algorithm)
    os.kill(killed, signal.SIGKILL)
    after = before
    assert np.isnan(before.mean_return), "no episode has ended yet"
    # A new process takes some seconds to start; meanwhile the other actor collects alone.
    while after.n_steps < 128 * 400 and (killed in pids(algorithm) or len(pids(algorithm)) < 2):
        after = rllib.train(algorithm, after.n_steps + 128)
    assert len(pids(algorithm)) == 2 and other in pids(algorithm) and killed not in pids(algorithm)
    later = rllib.train(algorithm, after.n_steps + 512)
    assert later.n_steps >= after.n_steps + 512 and 0 < later.mean_return < 50
    algorithm.stop()
