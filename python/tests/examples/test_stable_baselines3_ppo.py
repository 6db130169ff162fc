"""Stable-Baselines3: its checker, the adapter compared with its own vectors, and training with a reward model."""

import warnings

import gymnasium
import numpy as np
import pytest

sb3 = pytest.importorskip("stable_baselines3", reason="stable-baselines3 is absent")

from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402
from stable_baselines3.common.env_checker import check_env  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecVideoRecorder  # noqa: E402

from sayso.stable_baselines3 import VectorEnvAdapter, make_vec_env  # noqa: E402

IDS = [env_id for env_id in gymnasium.registry if env_id.startswith("sayso/")]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("obs", ["state", "pixels", "both"])
@pytest.mark.parametrize("reward", ["ground_truth", "none", "vlm_rm"])
def test_its_checker_gives_no_warnings(env_id, obs, reward):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(env_id, obs=obs, reward=reward, size=40, render_mode="rgb_array", max_episode_steps=20)
        check_env(env)


@pytest.mark.parametrize("column", ["instruction", "instruction_embedding", "goal"])
def test_its_checker_gives_no_warnings_about_instructions_and_goals(column):
    reward = "goal_sparse" if column == "goal" else "ground_truth"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("sayso/Reach-v1", obs=["state", column], reward=reward, instruction="all", paraphrases="all")
        check_env(env.unwrapped)


def test_hindsight_relabels_the_goals_of_a_vector():
    envs = make_vec_env("sayso/Reach-v1", 4, seed=1, obs=["state", "goal"], reward="goal_sparse", max_episode_steps=10)
    replay = {"n_sampled_goal": 4, "goal_selection_strategy": "future"}
    model = sb3.SAC(
        "MultiInputPolicy",
        envs,
        replay_buffer_class=sb3.HerReplayBuffer,
        replay_buffer_kwargs=replay,
        learning_starts=80,
        batch_size=64,
        seed=1,
    )
    model.learn(160)
    batch = model.replay_buffer.sample(256)
    goals = batch.next_observations["achieved_goal"], batch.observations["desired_goal"]
    expected = envs.env_method("compute_reward", *(goal.numpy() for goal in goals), {}, indices=[0])[0]
    np.testing.assert_array_equal(batch.rewards.numpy()[:, 0], expected)
    # What a random arm touches is no ball; only relabelled goals are met.
    assert 0 < (expected == 0.0).sum() < 256


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("obs", ["state", "both"])
def test_the_adapter_equals_its_own_vector(native, obs):
    kwargs = {"obs": obs, "size": 40, "max_episode_steps": 12}
    makers = [lambda: gymnasium.make("sayso/CartPole-v1", **kwargs)] * 3
    if native:
        envs = gymnasium.make_vec("sayso/CartPole-v1", num_envs=3, autoreset_mode="same_step", **kwargs)
    else:
        envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    adapted, own = VecMonitor(VectorEnvAdapter(envs)), VecMonitor(DummyVecEnv(makers))
    assert adapted.observation_space == own.observation_space and adapted.action_space == own.action_space
    adapted.seed(5)
    own.seed(5)
    expect_same(adapted.reset(), own.reset())
    rng = np.random.default_rng(0)
    n_ended = 0
    for _ in range(40):
        actions = rng.integers(0, 2, 3)
        ours, theirs = adapted.step(actions), own.step(actions)
        for a, b in zip(ours[:3], theirs[:3], strict=True):
            expect_same(a, b)
        for a, b in zip(ours[3], theirs[3], strict=True):
            assert a.keys() == b.keys()
            for key in a.keys() - {"episode"}:
                expect_same(a[key], b[key])
            assert a.get("episode", {}).get("r") == b.get("episode", {}).get("r")
        assert adapted.reset_infos == own.reset_infos
        n_ended += ours[2].sum()
    assert n_ended > 3


def expect_same(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            expect_same(a[key], b[key])
        return
    assert np.array_equal(a, b)
    assert np.asarray(a).dtype == np.asarray(b).dtype


def test_episode_statistics_of_gymnasium_are_reported():
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=2, autoreset_mode="same_step", max_episode_steps=3)
    adapted = VectorEnvAdapter(gymnasium.wrappers.vector.RecordEpisodeStatistics(envs))
    adapted.reset()
    for _ in range(3):
        *_, infos = adapted.step(np.zeros((2, 3), np.float32))
    assert [info["episode"]["l"] for info in infos] == [3, 3]


def test_attributes_methods_and_options():
    envs = make_vec_env("sayso/Reach-v1", 3, seed=1, instruction="blue", render_mode="rgb_array", max_episode_steps=4)
    envs.reset()
    assert envs.get_attr("task_description", [0, 2]) == ["touch the blue ball"] * 2
    assert envs.env_method("render", indices=1)[0].shape == envs.get_images()[0].shape == (240, 240, 3)
    assert envs.env_is_wrapped(gymnasium.Wrapper) == [False] * 3
    assert envs.render().ndim == 3
    envs.set_options([{"a": 1}, {}, {}])
    with pytest.raises(ValueError, match="options differ"):
        envs.reset()
    with pytest.raises(ValueError, match="SAME_STEP"):
        VectorEnvAdapter(gymnasium.make_vec("sayso/Reach-v1", num_envs=2))
    envs.close()


def test_videos_can_be_recorded(tmp_path):
    pytest.importorskip("moviepy", reason="moviepy is absent")
    envs = make_vec_env("sayso/Reach-v1", 2, seed=1, render_mode="rgb_array")
    recorder = VecVideoRecorder(envs, str(tmp_path), lambda step: step == 0, video_length=5)
    recorder.reset()
    for _ in range(6):
        recorder.step(np.zeros((2, *envs.action_space.shape), np.float32))
    recorder.close()
    assert [path.stat().st_size > 1000 for path in tmp_path.glob("*.mp4")] == [True]


def test_ppo_learns_reach_with_a_reward_model(example):
    outcome = example("stable_baselines3_ppo").main(["--steps", "122880", "--episodes", "200", "--instruction", "blue"])
    assert outcome.success_before < 0.25
    assert outcome.success_after > outcome.success_before + 0.25, outcome
