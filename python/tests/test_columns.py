"""Columns of observations: images of several cameras, and the values of goals."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sayso

GOAL = {"obs": ["state", "goal"], "instruction": "all"}


def test_each_camera_has_a_key_and_a_size():
    kwargs = {"obs": ["state", "pixels"], "camera": ["front", "wrist"], "size": {"front": (16, 24), "wrist": 20}}
    env = sayso.Env("Reach-v1", **kwargs)
    assert {key: space.shape for key, space in env.observation_space.items()} == {
        "state": (36,),
        "pixels_front": (16, 24, 3),
        "pixels_wrist": (20, 20, 3),
    }
    check_env(env, skip_render_check=True)
    both = env.reset(seed=1)[0]
    alone = sayso.Env("Reach-v1", obs="pixels", camera="wrist", size=20).reset(seed=1)[0]
    np.testing.assert_array_equal(both["pixels_wrist"], alone)
    own = sayso.Env("Reach-v1", obs="pixels", size={"front": 32})
    assert own.observation_space.shape == own.reset(seed=1)[0].shape == (32, 32, 3)
    assert sayso.Env("Reach-v1", **{**kwargs, "obs": "pixels"}).reset(seed=1)[0].keys() == {"pixels_front", "pixels_wrist"}


@pytest.mark.parametrize("reward", ["goal_sparse", "goal_dense"])
@pytest.mark.parametrize("env_id", ["sayso/Reach-v1", "sayso/GoTo-v1"])
def test_the_reward_is_that_of_the_goals(env_id, reward):
    env = gymnasium.make(env_id, reward=reward, **GOAL)
    assert env.observation_space.keys() == {"observation", "achieved_goal", "desired_goal"}
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(20):
        observation, got, terminated, truncated, info = env.step(env.action_space.sample())
        goals = observation["achieved_goal"], observation["desired_goal"]
        assert got == env.unwrapped.compute_reward(*goals, info)
        assert terminated == env.unwrapped.compute_terminated(*goals, info)
        assert truncated == env.unwrapped.compute_truncated(*goals, info)
        # What was achieved is a goal that is met.
        met = env.unwrapped.compute_reward(goals[0], goals[0], info)
        assert met == 0.0 and (got == -1.0 or reward == "goal_dense")


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
def test_rewards_of_a_vector_are_those_of_its_goals(mode):
    envs = sayso.VectorEnv(5, "Reach-v1", reward="goal_dense", autoreset_mode=mode, max_episode_steps=4, **GOAL)
    envs.reset(seed=1)
    for step in range(1, 10):
        observation, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
        last = {key: observation[key].copy() for key in ("achieved_goal", "desired_goal")}
        for i in np.flatnonzero(infos.get("_final_obs", np.zeros(5, bool))):
            for key, goals in last.items():
                goals[i] = infos["final_obs"][i][key]
        expected = envs.compute_reward(last["achieved_goal"], last["desired_goal"], {})
        is_reset = mode == "next_step" and step % 5 == 0
        np.testing.assert_array_equal(rewards, np.zeros(5) if is_reset else expected)


def test_goals_are_relabelled_by_the_same_function():
    env = sayso.Env("Reach-v1", reward="goal_sparse", **GOAL)
    achieved = np.zeros((3, 3))
    desired = np.array([[0.05, 0.0, 0.0], [0.07, 0.0, 0.0], [0.0, 0.03, 0.03]])
    assert env.compute_reward(achieved, desired, [{}] * 3).tolist() == [0.0, -1.0, 0.0]
    assert env.compute_reward(achieved[0], desired[1], {}) == -1.0
    with pytest.raises(ValueError, match=r"expected \[n, 3\]"):
        env.compute_reward(np.zeros(2), np.zeros(2), {})
    assert isinstance(env, sayso.GoalEnv) and not hasattr(sayso.Env("Reach-v1"), "compute_reward")
    assert isinstance(pickle.loads(pickle.dumps(env)), sayso.GoalEnv)
    with pytest.raises(ValueError, match="use reward='goal_sparse'"):
        sayso.Env("Reach-v1", **GOAL).compute_reward(achieved, desired, {})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"env_id": "CartPole-v1", "obs": ["state", "goal"]}, "CartPole-v1"),
        ({"env_id": "CartPole-v1", "reward": "goal_sparse"}, "CartPole-v1"),
        ({"camera": ["front", "frnt"], "obs": "pixels"}, "did you mean 'front'"),
        ({"camera": ["front", "front"], "obs": "pixels"}, "'front' twice"),
        ({"camera": "front", "size": {"wrist": 20}, "obs": "pixels"}, "wrist"),
        ({"size": {"front": 0}, "obs": "pixels"}, "size = 0"),
    ],
)
def test_columns_that_do_not_fit_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        sayso.Env(**kwargs).reset()
