"""MuJoCo's humanoid, rewarded by sentences."""

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
    pytest.skip("the example of MuJoCo needs gymnasium[mujoco]", allow_module_level=True)
iio = pytest.importorskip("imageio.v3", reason="the example of MuJoCo needs gymnasium[mujoco]")

SENTENCES = ("the robot touching the red ball", "the robot far from the red ball")


@pytest.fixture
def module(example):
    return example("mujoco_humanoid")


@functools.cache
def opengl_error() -> str:
    """Empty where MuJoCo can draw. In a process of its own, as OpenGL's failures leave objects half made."""
    program = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render()"
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"exit status {tried.returncode}\n{tried.stderr}"


@pytest.fixture
def make(module):
    """Makes the example's humanoid, where there is an OpenGL to draw it."""
    if opengl_error():
        pytest.skip(f"MuJoCo cannot draw here: {opengl_error()}")
    return lambda **kwargs: gymnasium.make("Humanoid-v5", **{**module.HUMANOID, **kwargs})


def test_the_reward_is_what_the_model_says_of_the_picture(make):
    model = sayso.RewardModel()
    env, plain = LanguageReward(make(), *SENTENCES, model=model), make()
    env.reset(seed=3)
    plain.reset(seed=3)
    env.action_space.seed(3)
    rewards = []
    for _ in range(3):
        action = env.action_space.sample()
        _, reward, _, _, info = env.step(action)
        frame = env.render()
        assert frame.shape == (480, 480, 3)
        assert reward == model.score(frame[None], *SENTENCES)[0]
        assert info["env_reward"] == plain.step(action)[1]
        rewards.append(reward)
    assert len(set(rewards)) == 3


def test_scores_are_held_between(make):
    every_step, every_fourth = (LanguageReward(make(), *SENTENCES, every=every) for every in (1, 4))
    every_step.reset(seed=1)
    every_fourth.reset(seed=1)
    every_step.action_space.seed(1)
    scores, held = [], []
    for _ in range(9):
        action = every_step.action_space.sample()
        scores.append(every_step.step(action)[1])
        held.append(every_fourth.step(action)[1])
    assert held == [0.0] * 3 + [scores[3]] * 4 + [scores[7]] * 2
    assert scores[3] != scores[7]


def test_a_vector_is_rewarded_as_its_envs_are(module, make):
    n_envs = 2
    kwargs = {**module.HUMANOID, "max_episode_steps": 3}
    envs = VectorLanguageReward(gymnasium.make_vec("Humanoid-v5", n_envs, "sync", **kwargs), *SENTENCES)
    singles = [LanguageReward(make(max_episode_steps=3), *SENTENCES) for _ in range(n_envs)]
    envs.reset(seed=5)
    envs.action_space.seed(5)
    for i, env in enumerate(singles):
        env.reset(seed=5 + i)
    for step in range(5):
        actions = envs.action_space.sample()
        _, rewards, _, truncated, infos = envs.step(actions)
        if step == 3:
            assert not rewards.any(), "the step that resets earns nothing"
            for env in singles:
                env.reset()
            continue
        for i, env in enumerate(singles):
            _, reward, _, env_truncated, info = env.step(actions[i])
            assert rewards[i] == pytest.approx(reward, abs=1e-6)
            assert infos["env_reward"][i] == info["env_reward"]
            assert truncated[i] == env_truncated == (step == 2)


def test_the_example_scores_and_draws_poses(module, make, tmp_path, capsys):
    picture = tmp_path / "poses.png"
    arguments = ["--model", "bundled", "--num-envs", "2", "--steps", "4", "--every", "2"]
    result = module.main([*arguments, "--picture", str(picture)])
    rewards, scores = result["rewards"], result["scores"]
    assert rewards.shape == result["env_rewards"].shape == (4, 2)
    assert not rewards[0].any() and np.array_equal(rewards[1], rewards[2]) and rewards[3].all()
    frames = np.split(iio.imread(picture), len(module.POSES), axis=1)
    assert all(frame.shape == (480, 480, 3) for frame in frames)
    expected = sayso.RewardModel().score(np.stack(frames), module.STAND_INS["blue box"])
    assert np.allclose(scores[:, 2], expected, atol=1e-5) and len(np.unique(expected)) == len(frames)
    assert "mean nothing" in capsys.readouterr().out
