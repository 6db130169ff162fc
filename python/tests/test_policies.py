"""Policies of runs: those of the program, which the tests run, act in Python's environments as they do in its evaluation."""

import json
import subprocess
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import sayso

PROGRAM = Path(__file__).parents[2] / "target/release/sayso"


def train(folder: Path, *args: str) -> Path:
    """A small run."""
    assert PROGRAM.exists(), "the program is missing: cargo build --release"
    small = ["--ground-truth", "--quiet", "--set", "evaluation.n_episodes=20", "--set", "evaluation.n_video_episodes=0"]
    subprocess.run([PROGRAM, "train", *small, "--out", folder, *args], check=True, stdout=subprocess.DEVNULL)
    return folder


def success_rate(envs: gymnasium.vector.VectorEnv, policy: sayso.Policy) -> float:
    """Of one episode of each env."""
    observations, _ = envs.reset(seed=1)
    success = np.full(envs.num_envs, np.nan)
    while np.isnan(success).any():
        actions, _ = policy.predict(observations)
        observations, _, terminated, truncated, info = envs.step(actions)
        ended = (terminated | truncated) & np.isnan(success)
        success[ended] = info["success"][ended]
    return success.mean()


def test_a_policy_acts_as_in_the_evaluation_of_its_run(tmp_path):
    run = train(tmp_path / "run", "--env", "CartPole-v1", "--steps", "60000")
    policy = sayso.load_policy(run)
    assert policy.env_id == "sayso/CartPole-v1" and policy.num_steps >= 60000
    assert policy.env_kwargs["options"] == {"variant": "vlm_rm"}
    with pytest.raises(ValueError, match="do not fit"):
        policy.predict(np.zeros(5, np.float32))
    # The run trains on short episodes and evaluates on full ones.
    kwargs = {**policy.env_kwargs, "max_episode_steps": 200}
    rate = success_rate(gymnasium.make_vec(policy.env_id, num_envs=50, **kwargs), policy)
    summary = json.loads((run / "summary.json").read_text())
    low, high = summary["goals"][0]["after"]["interval"]
    assert low - 0.15 <= rate <= high + 0.15 and summary["goals"][0]["before"]["rate"] + 0.2 < rate


def test_observations_are_single_or_a_batch_and_samples_differ(tmp_path):
    args = ["--instruction", "all", "--obs", "both,instruction-embedding", "--envs", "2", "--steps", "64"]
    policy = sayso.load_policy(train(tmp_path / "run", *args, "--set", "env.pixel_size=[36, 40]"), best=False, seed=3)
    env = policy.make_env()
    observation, _ = env.reset(seed=0)
    assert observation["pixels"].shape == (36, 40, 3)
    action, state = policy.predict(observation)
    assert state is None and env.action_space.contains(action)
    batch = {key: np.stack([value, value]) for key, value in observation.items()}
    actions, _ = policy.predict(batch)
    np.testing.assert_allclose(actions, np.stack([action, action]), atol=1e-5)
    sampled = [policy.predict(observation, deterministic=False)[0] for _ in range(2)]
    assert not np.array_equal(*sampled)
    with pytest.raises(ValueError, match="one observation and of a batch"):
        policy.predict({**batch, "pixels": observation["pixels"]})


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="not a run folder"):
        sayso.load_policy(tmp_path)
