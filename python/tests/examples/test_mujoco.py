"""MuJoCo's humanoid with rewards of goal prompts."""

import functools
import importlib.util
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import sayso
from sayso.wrappers import LanguageReward, VectorLanguageReward

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("gymnasium[mujoco] is absent", allow_module_level=True)
iio = pytest.importorskip("imageio.v3", reason="gymnasium[mujoco] is absent")

PROMPTS = ("the robot touching the red ball", "the robot far from the red ball")


@pytest.fixture
def module(example):
    return example("mujoco_humanoid")


@functools.cache
def opengl_error() -> str:
    """The error of rendering with MuJoCo, or "". In another process, as a failure leaves incomplete objects."""
    program = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render()"
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"exit status {tried.returncode}\n{tried.stderr}"


@pytest.fixture
def make(module):
    """A function that creates the example's humanoid; skips the test if MuJoCo cannot render."""
    if opengl_error():
        pytest.skip(f"MuJoCo cannot render here: {opengl_error()}")
    return lambda **kwargs: gymnasium.make("Humanoid-v5", **{**module.HUMANOID, **kwargs})


def test_the_reward_is_the_models_score_of_the_frame(make):
    model = sayso.RewardModel()
    env, plain = LanguageReward(make(), *PROMPTS, model=model), make()
    env.reset(seed=3)
    plain.reset(seed=3)
    env.action_space.seed(3)
    rewards = []
    for _ in range(3):
        action = env.action_space.sample()
        _, reward, _, _, info = env.step(action)
        frame = env.render()
        assert frame.shape == (480, 480, 3)
        assert reward == model.score(frame[None], *PROMPTS)[0]
        assert info["env_reward"] == plain.step(action)[1]
        rewards.append(reward)
    assert len(set(rewards)) == 3


def test_scores_are_kept_between_scored_steps(make):
    every_step, every_fourth = (LanguageReward(make(), *PROMPTS, every_n_steps=n) for n in (1, 4))
    every_step.reset(seed=1)
    every_fourth.reset(seed=1)
    every_step.action_space.seed(1)
    scores, rewards = [], []
    for _ in range(9):
        action = every_step.action_space.sample()
        scores.append(every_step.step(action)[1])
        rewards.append(every_fourth.step(action)[1])
    assert rewards == [0.0] * 3 + [scores[3]] * 4 + [scores[7]] * 2
    assert scores[3] != scores[7]


def test_rewards_of_a_vector_equal_those_of_its_envs(module, make):
    n_envs = 2
    kwargs = {**module.HUMANOID, "max_episode_steps": 3}
    envs = VectorLanguageReward(gymnasium.make_vec("Humanoid-v5", n_envs, "sync", **kwargs), *PROMPTS)
    singles = [LanguageReward(make(max_episode_steps=3), *PROMPTS) for _ in range(n_envs)]
    envs.reset(seed=5)
    envs.action_space.seed(5)
    for i, env in enumerate(singles):
        env.reset(seed=5 + i)
    for step in range(5):
        actions = envs.action_space.sample()
        _, rewards, _, truncated, infos = envs.step(actions)
        if step == 3:
            assert not rewards.any(), "the reward of the step that resets is 0"
            for env in singles:
                env.reset()
            continue
        for i, env in enumerate(singles):
            _, reward, _, env_truncated, info = env.step(actions[i])
            assert rewards[i] == pytest.approx(reward, abs=1e-6)
            assert infos["env_reward"][i] == info["env_reward"]
            assert truncated[i] == env_truncated == (step == 2)


def test_the_example_scores_and_renders_poses(module, make, tmp_path, capsys):
    image = tmp_path / "poses.png"
    arguments = ["--model", "bundled", "--num-envs", "2", "--steps", "4", "--every-n-steps", "2"]
    result = module.main([*arguments, "--image", str(image)])
    rewards, scores = result["rewards"], result["scores"]
    assert rewards.shape == result["env_rewards"].shape == (4, 2)
    assert not rewards[0].any() and np.array_equal(rewards[1], rewards[2]) and rewards[3].all()
    frames = np.split(iio.imread(image), len(module.POSES), axis=1)
    assert all(frame.shape == (480, 480, 3) for frame in frames)
    expected = sayso.RewardModel().score(np.stack(frames), module.PLACEHOLDERS["green object"])
    assert np.allclose(scores[:, 2], expected, atol=1e-5) and len(np.unique(expected)) == len(frames)
    assert "no meaning" in capsys.readouterr().out
