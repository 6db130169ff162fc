"""Instructions of episodes: sampled, observed, and changed within an episode."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

import sayso
from sayso import RewardFunction

SENTENCES = 15


def vector(num_envs=8, **kwargs):
    """Envs with an instruction of their own in every episode."""
    kwargs = {"instruction": "all", "paraphrases": "all", "autoreset_mode": "same_step", "max_episode_steps": 4, **kwargs}
    return sayso.VectorEnv(num_envs, "Reach-v1", **kwargs)


def test_instructions_are_sampled_for_each_episode_and_described():
    envs = vector(32)
    assert len(envs.instructions) == SENTENCES and envs.task_description == ("",) * 32
    envs.reset(seed=3)
    seen = set()
    for _ in range(40):
        infos = envs.step(envs.action_space.sample())[4]
        sentences = envs.call("task_description")
        assert sentences == tuple(envs.instructions[i] for i in infos["instruction"]) == envs.task_description
        seen.update(sentences)
    assert len(seen) == SENTENCES


@pytest.mark.parametrize("column", ["instruction", "instruction_text", "instruction_embedding"])
def test_every_form_of_the_instruction_conforms(column):
    env = sayso.Env("Reach-v1", obs=["state", column], instruction="all", paraphrases="all")
    check_env(env, skip_render_check=True)


def test_the_forms_are_those_of_one_instruction():
    forms = ("instruction", "instruction_text", "instruction_embedding")
    first, last = {}, {}
    for form in forms:
        envs = vector(obs=["state", form])
        first[form] = envs.reset(seed=3)[0]["instruction"]
        assert all(isinstance(envs.single_observation_space["instruction"], kind) for kind in [
            {"instruction": spaces.Discrete, "instruction_text": spaces.Text, "instruction_embedding": spaces.Box}[form]
        ])
        for _ in range(4):
            infos = envs.step(np.zeros(envs.action_space.shape, np.float32))[4]
        last[form] = [final["instruction"] for final in infos["final_obs"]]
        assert envs.task_description != ("",) * 8
    names = vector().instructions
    model = sayso.RewardModel("bundled")
    for index, text, embedding in [(first[form] for form in forms), (last[form] for form in forms)]:
        assert list(text) == [names[i] for i in index]
        np.testing.assert_allclose(np.stack(embedding), model.embed_prompts(list(text)), atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(np.stack(embedding), axis=1), 1.0, atol=1e-5)


def test_success_is_that_of_each_envs_own_goal():
    envs = vector(16, paraphrases="none", reward="ground_truth", max_episode_steps=50, autoreset_mode="next_step")
    envs.reset(seed=3)
    for _ in range(10):
        _, rewards, *_, infos = envs.step(envs.action_space.sample())
        goals = infos["instruction"]
        gaps = np.stack([infos[f"gap_{colour}"] for colour in ("red", "green", "blue")], axis=1)[np.arange(16), goals]
        np.testing.assert_allclose(rewards, 1.0 - np.tanh(5.0 * np.maximum(gaps, 0.0)), atol=1e-5)
        assert (infos["success"] == (gaps <= 1e-3)).all() and infos["_success"].all()
    assert len(set(goals.tolist())) == 3


def test_a_planner_changes_the_instruction_within_an_episode():
    def length(frames, instructions):
        return np.array([len(instruction) for instruction in instructions], np.float32)

    env = gymnasium.make("sayso/Reach-v1", reward=RewardFunction(length), obs=["state", "instruction_text"])
    env.reset(seed=1)
    action = np.zeros(3, np.float32)
    assert env.step(action)[1] == len("touch the red ball")
    value = env.unwrapped.set_instruction("lift the gripper")
    assert value == env.unwrapped.task_description == "lift the gripper"
    observation, reward, *_, info = env.step(action)
    assert observation["instruction"] == "lift the gripper" and reward == len("lift the gripper")
    assert "success" not in info and info["instruction"] == 1
    assert env.unwrapped.set_instruction("blue") == "touch the blue ball"
    info = env.step(action)[4]
    assert "success" in info and env.unwrapped.instructions[info["instruction"]] == "touch the blue ball"
    env.reset()
    assert env.unwrapped.task_description == "touch the red ball", "the next episode has its own"


def test_one_env_of_a_vector_changes_its_instruction():
    envs = vector(3, instruction="red", paraphrases="none", obs=["state", "instruction_embedding"], max_episode_steps=50)
    observation, _ = envs.reset(seed=1)
    before = observation["instruction"][0]
    value = envs.set_instruction(1, "touch the green ball")
    observation, *_, infos = envs.step(np.zeros((3, 3), np.float32))
    np.testing.assert_array_equal(observation["instruction"], np.stack([before, value, before]))
    assert not np.allclose(value, before)
    assert envs.task_description == ("touch the red ball", "touch the green ball", "touch the red ball")
    envs.set_instruction(2, "put the gripper on the table", goal_prompt="the gripper far from the red ball")
    infos = envs.step(np.zeros((3, 3), np.float32))[4]
    # The words name no goal.
    assert infos["_success"].tolist() == [True, True, False] and not infos["success"][2]


def test_an_unpickled_env_has_no_instruction_of_an_earlier_episode():
    env = sayso.Env("Reach-v1")
    env.reset(seed=1)
    env.set_instruction("blue")
    again = pickle.loads(pickle.dumps(env))
    assert again.task_description == "touch the red ball" and again.instructions == ["touch the red ball"]
    envs = vector(2)
    envs.reset(seed=1)
    assert pickle.loads(pickle.dumps(envs)).task_description == ("", "")


def test_what_does_not_fit_is_refused_and_the_episode_keeps_its_instruction():
    env = sayso.Env("Reach-v1", obs=["state", "instruction"])
    with pytest.raises(sayso.ResetNeededError, match="before reset"):
        env.set_instruction("blue")
    env.reset(seed=1)
    with pytest.raises(ValueError, match="one of the 1 of the observation space"):
        env.set_instruction("blue")
    with pytest.raises(ValueError, match="instruction = '  '"):
        env.set_instruction("  ")
    assert env.task_description == "touch the red ball"
    text = sayso.Env("Reach-v1", obs=["state", "instruction_text"])
    text.reset(seed=1)
    with pytest.raises(ValueError, match="not in the observation space"):
        text.set_instruction("touch " * 100)
    clip = sayso.Env("Reach-v1", reward="vlm_rm")
    clip.reset(seed=1)
    with pytest.raises(ValueError, match="zebra"):
        clip.set_instruction("touch the red zebra")
    assert clip.task_description == "touch the red ball"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"instruction": ["red", "rde"]}, "did you mean 'red'"),
        ({"instruction": ["red", "red"]}, "'red' twice"),
        ({"instruction": []}, "at least one name"),
        ({"paraphrases": "heldout"}, "did you mean 'held_out'"),
        ({"obs": ["state", "instructions"]}, "did you mean 'instruction'"),
        ({"obs": ["instruction"]}, "needs the column 'state' or 'pixels'"),
        ({"obs": ["state", "instruction", "instruction_text"]}, "second column of its kind"),
        ({"obs": ["both", "pixels"]}, "second column of its kind"),
        ({"instruction": "all", "goal_prompt": "the gripper touching the red ball"}, "several goals"),
        ({"instruction": "all", "instruction_text": "touch it"}, "several goals"),
        ({"paraphrases": "all", "instruction_text": "touch it"}, "env.paraphrases"),
        ({"obs": ["state", "instruction_embedding"], "text_model": "/nowhere"}, "/nowhere"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kwargs, message):
    with pytest.raises((ValueError, OSError), match=message):
        sayso.Env("Reach-v1", **kwargs)
