"""Minari datasets from a vector: complete episodes, which their seeds and actions reproduce."""

import gc
from pathlib import Path

import gymnasium
import numpy as np
import pytest

minari = pytest.importorskip("minari", reason="minari is absent")
pytest.importorskip("h5py", reason="h5py is absent")

SMALL = ["--num-envs", "3", "--episodes", "4", "--seed", "11"]


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


def rows(observations):
    """The observations of an episode, one by one."""
    if isinstance(observations, dict):
        parts = zip(*observations.values(), strict=True)
        return [dict(zip(observations, values, strict=True)) for values in parts]
    return list(observations)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)
    return np.array_equal(one, other)


def replay(dataset, episode_idx: int) -> None:
    """Repeats an episode in the environment of the dataset, and compares it with the stored one."""
    env = dataset.recover_environment()
    episode = dataset[episode_idx]
    [about] = dataset.storage.get_episode_metadata([episode.id])
    stored = rows(episode.observations)
    assert len(stored) == len(episode) + 1
    observation, info = env.reset(seed=about["seed"])
    assert same(stored[0], observation) and info["success"] == episode.infos["success"][0]
    for step, action in enumerate(episode.actions):
        observation, reward, terminated, truncated, info = env.step(action)
        assert same(stored[step + 1], observation)
        assert reward == episode.rewards[step]
        assert (terminated, truncated) == (episode.terminations[step], episode.truncations[step])
        assert all(info[name] == column[step + 1] for name, column in episode.infos.items())
    assert terminated or truncated
    env.close()


@pytest.mark.parametrize(
    "extra",
    [
        ["--instruction", "blue"],
        ["--obs", "pixels", "--size", "40", "--policy", "random"],
        ["--obs", "both", "--size", "40"],
    ],
    ids=["state", "pixels", "both"],
)
def test_seeds_and_actions_reproduce_episodes(example, extra):
    written = example("minari_write").main([*SMALL, "--dataset-id", "reach-v0", *extra]).dataset
    dataset = minari.load_dataset("reach-v0")
    assert dataset.total_episodes == 4 and dataset.total_steps == 4 * 50 == written.total_steps
    seeds = [about["seed"] for about in dataset.storage.get_episode_metadata(range(4))]
    assert seeds == [11, 12, 13, 14]
    # The last episode began in an env that had run another one, which its columns must not contain.
    for episode_idx in (0, 3):
        replay(dataset, episode_idx)


def test_the_dataset_stores_its_task(example):
    example("minari_write").main([*SMALL, "--instruction", "blue"])
    dataset = minari.load_dataset("sayso/reach-blue/scripted-v0")
    about = dataset.storage.metadata
    assert "blue" in about["task_description"] and about["task_description"] in about["description"]
    assert dataset.env_spec.kwargs["instruction"] == "blue"


def test_the_scripted_policy_succeeds(example):
    module = example("minari_write")
    args = ["--num-envs", "8", "--episodes", "16", "--instruction", "green"]
    scripted, random = module.main(args), module.main([*args, "--policy", "random"])
    assert scripted.success_rate >= 0.8 and random.success_rate <= 0.2
    assert scripted.mean_return > random.mean_return + 20


def test_episodes_of_different_lengths_are_separated(example):
    """CartPole's episodes end at different steps, so the envs of the vector are at different steps of theirs."""
    module = example("minari_write")
    envs = gymnasium.make_vec("sayso/CartPole-v1", num_envs=3, autoreset_mode="disabled")
    rng = np.random.default_rng(0)
    episodes = module.collect(envs, lambda state: rng.integers(0, 2, len(state)), n_episodes=8, seed=5)
    assert [episode.seed for episode in episodes] == list(range(5, 13))
    assert len({len(episode) for episode in episodes}) > 3
    about = dict.fromkeys(["algorithm_name", "description", "author", "author_email", "code_permalink"], "-")
    env = gymnasium.make("sayso/CartPole-v1")
    dataset = minari.create_dataset_from_buffers("pole-v0", episodes, env, eval_env=env, **about)
    for episode_idx in range(8):
        replay(dataset, episode_idx)


# DataCollector.close() removes its temporary directory, whose finaliser warns nevertheless.
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_minaris_own_collector_stores_the_same_data(example):
    pytest.importorskip("jax", reason="Minari's DataCollector needs it")
    module = example("minari_write")
    args = ["--episodes", "3", "--num-envs", "2", "--obs", "both", "--size", "40"]
    module.main([*args, "--dataset-id", "vector-v0"])
    module.main([*args, "--dataset-id", "single-v0", "--collector", "single"])
    vector, single = minari.load_dataset("vector-v0"), minari.load_dataset("single-v0")
    for one, other in zip(vector, single, strict=True):
        assert same(one.observations, other.observations) and same(one.infos, other.infos)
        for name in ("actions", "rewards", "terminations", "truncations"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    gc.collect()
