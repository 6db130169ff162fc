"""Vectors with LeRobot's observation keys; LeRobot itself is not needed."""

import gymnasium
import numpy as np
import pytest

from sayso import _core
from sayso.lerobot import N_AGENT_POS, LeRobotVectorEnv, make_envs

SEEDS = [3, 1, 4]


def test_values_of_the_robot_come_first():
    prefixes = ("joint", "gripper", "finger", "robot", "forward", "turning")
    for env_id, n_agent_pos in N_AGENT_POS.items():
        names = _core.describe(env_id, "{}")["state_names"]
        assert [name.startswith(prefixes) for name in names] == [i < n_agent_pos for i in range(len(names))]


@pytest.mark.parametrize("env_id", N_AGENT_POS)
@pytest.mark.parametrize("obs", ["state", "pixels", "both"])
def test_observations_equal_those_of_the_vector_under_other_keys(env_id, obs):
    vector = LeRobotVectorEnv(3, env_id, instruction="red", obs=obs, size=24)
    plain = gymnasium.make_vec(f"sayso/{env_id}", num_envs=3, instruction="red", obs="both", size=24)
    keys = {"state": ["agent_pos", "environment_state"], "pixels": ["agent_pos", "pixels"]}
    observation, _ = vector.reset(seed=SEEDS, options={"of_another_library": True})
    expected, _ = plain.reset(seed=SEEDS)
    actions = plain.action_space.sample()
    for _ in range(2):
        assert list(observation) == keys.get(obs, ["agent_pos", "environment_state", "pixels"])
        assert vector.observation_space.contains(observation)
        n_agent_pos = N_AGENT_POS[env_id]
        parts = {"agent_pos": expected["state"][:, :n_agent_pos], "environment_state": expected["state"][:, n_agent_pos:]}
        for key, value in observation.items():
            assert np.array_equal(value, parts.get(key, expected["pixels"]))
        observation, expected = vector.step(actions)[0], plain.step(actions)[0]


def test_cameras_are_named():
    vector = LeRobotVectorEnv(2, instruction="red", cameras=("front", "wrist"), size=(24, 32))
    observation, _ = vector.reset(seed=0)
    assert vector.observation_space.contains(observation)
    assert {name: view.shape for name, view in observation["pixels"].items()} == {
        "front": (2, 24, 32, 3),
        "wrist": (2, 24, 32, 3),
    }
    assert not np.array_equal(observation["pixels"]["front"], observation["pixels"]["wrist"])


def test_the_end_of_an_episode_is_reported_as_with_same_step():
    settings = {"instruction": "green", "max_episode_steps": 3}
    vector = LeRobotVectorEnv(3, obs="state", **settings)
    same = gymnasium.make_vec("sayso/Reach-v1", num_envs=3, autoreset_mode="same_step", **settings)
    vector.reset(seed=SEEDS)
    same.reset(seed=SEEDS)
    for step in range(3):
        actions = same.action_space.sample()
        observation, rewards, terminated, truncated, infos = vector.step(actions)
        *expected, expected_infos = same.step(actions)
        assert all(map(np.array_equal, (rewards, terminated, truncated), expected[1:]))
        assert ("final_info" in infos) == (step == 2)
    assert infos["final_info"].keys() == expected_infos["final_info"].keys()
    for key, column in expected_infos["final_info"].items():
        assert np.array_equal(infos["final_info"][key], column)
    assert infos["final_info"]["_is_success"].all()
    last = np.concatenate(list(observation.values()), axis=1)
    assert np.array_equal(last, np.stack(expected_infos["final_obs"]))
    following, rewards, _, truncated, infos = vector.step(actions)
    assert not rewards.any() and not truncated.any() and "final_info" not in infos
    assert np.array_equal(np.concatenate(list(following.values()), axis=1), expected[0])


def test_goals_are_tasks():
    suites = make_envs(2, "GoTo-v1", goals=["yellow", "green"], obs="state", max_episode_steps=7)
    tasks = suites["GoTo-v1"]
    assert list(suites) == ["GoTo-v1"] and list(tasks) == [3, 1]
    assert list(make_envs()["Reach-v1"]) == [0, 1, 2]
    assert tasks[3].call("task") == ("yellow", "yellow")
    assert tasks[1].call("task_description") == ("go to the green object",) * 2
    assert tasks[1].call("_max_episode_steps") == tasks[1].get_attr("_max_episode_steps") == (7, 7)
    with pytest.raises(AttributeError):
        tasks[1].call("nothing_of_this_name")


@pytest.mark.parametrize("goal", ["red", "blue"])
def test_each_goal_has_its_own_instruction(goal):
    for env_id in N_AGENT_POS:
        assert goal in LeRobotVectorEnv(1, env_id, instruction=goal).envs[0].task_description


def test_every_env_returns_its_frame_of_one_rendering():
    vector = LeRobotVectorEnv(2, instruction="red", obs="state")
    vector.reset()
    frames = vector.call("render")
    assert all(env.render() is frame for env, frame in zip(vector.envs, frames, strict=True))
    assert not np.array_equal(*frames) and frames[0].shape == (240, 240, 3) and frames[0].dtype == np.uint8
    vector.step(vector.action_space.sample())
    assert not np.array_equal(vector.envs[0].render(), frames[0])
    vector.reset()
    assert not np.array_equal(vector.envs[0].render(), frames[0])
    vector.close()
    vector.close()


def test_settings_that_lerobot_cannot_use_are_refused():
    for settings, message in [
        ({"env_id": "CartPole-v1"}, "expected one of Reach-v1, GoTo-v1"),
        ({"goals": ["blu"]}, "did you mean 'blue'"),
        ({"obs": "pixel"}, "did you mean 'pixels'"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_envs(1, **settings)
    for settings, message in [
        ({"rewrd": "vlm_rm"}, "did you mean 'reward'"),
        ({"autoreset_mode": "same_step"}, "autoreset_mode"),
        ({"render_mode": None}, "render_mode"),
        ({"prompt": "red"}, "renamed to 'goal_prompt'"),
    ]:
        with pytest.raises(TypeError, match=message):
            make_envs(1, **settings)
    with pytest.raises(ValueError, match="num_envs"):
        make_envs(0)
    with pytest.raises(ValueError, match="cameras"):
        make_envs(1, cameras="nope")


def test_a_prompt_that_names_no_goal_is_refused_at_construction():
    for prompt in ("a photo of a cat", "the red ball next to the blue ball"):
        for make in (make_envs, lambda **kwargs: LeRobotVectorEnv(2, instruction="red", **kwargs)):
            with pytest.raises(ValueError, match=r"goal_prompt = .*does not name exactly one goal.*use the word 'red'"):
                make(goal_prompt=prompt, alpha=0.0)
    with pytest.raises(ValueError, match="names? 'blue'"):
        LeRobotVectorEnv(2, instruction="red", goal_prompt="the gripper touching the blue ball")
    for wrong in ("", 3):
        with pytest.raises(ValueError, match="goal_prompt"):
            make_envs(goal_prompt=wrong)
    vector = LeRobotVectorEnv(2, instruction="red", goal_prompt="a gripper on the red ball", max_episode_steps=1)
    vector.reset(seed=0)
    assert vector.step(vector.action_space.sample())[4]["final_info"]["_is_success"].all()
