"""Reward models that are functions of Python."""

import pickle
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import sayso


def brightness(frames, instructions, mask=None):
    """The mean of all pixels of the frames that are there, in [0, 1]."""
    assert frames.dtype == np.uint8 and frames.ndim == 6 and len(instructions) == len(frames)
    assert set(instructions) == {"touch the blue ball"}
    means = frames.mean(axis=(2, 3, 4, 5)) / 255
    present = np.ones(means.shape, bool) if mask is None else mask
    return (means * present).sum(1) / present.sum(1)


def rewards(reward, n_steps=6, **kwargs):
    envs = gymnasium.make_vec(
        "sayso/Reach-v1", num_envs=3, reward=reward, instruction="blue", max_episode_steps=4, **kwargs
    )
    envs.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (n_steps, *envs.action_space.shape)).astype(np.float32)
    return np.array([envs.step(action)[1] for action in actions])


def test_a_function_scores_the_frames_of_the_reward_cameras():
    own = sayso.RewardFunction(brightness, image_size=32)
    got = rewards(own)
    # Step 5 is the reset of the NEXT_STEP mode.
    assert (got[4] == 0).all() and (np.delete(got, 4, 0) > 0.1).all() and (got < 0.9).all()
    assert np.array_equal(rewards(pickle.loads(pickle.dumps(own))), got)
    plain = rewards(brightness, n_steps=1)
    assert np.allclose(plain, got[:1], atol=0.05), "frames of 224 pixels are as bright as those of 32"


def test_a_window_has_the_frames_of_the_episode_so_far():
    seen = []

    def record(frames, instructions, mask):
        seen.append((frames.shape, mask.tolist()))
        return brightness(frames, instructions, mask)

    last = rewards(sayso.RewardFunction(brightness, image_size=16), n_steps=4)
    window = rewards(sayso.RewardFunction(record, image_size=16, n_frames=3), n_steps=4)
    assert seen[0] == ((3, 3, 2, 16, 16, 3), [[False, True, True]] * 3), "the first frame of the episode is in the window"
    assert [mask for _, mask in seen[1:]] == [[[True] * 3] * 3] * 3
    assert np.allclose(window[2:], (last[:-2] + last[1:-1] + last[2:]) / 3, atol=1e-6)


def test_faults_of_a_function_are_exceptions():
    def fails(frames, instructions):
        raise KeyError("no such thing")

    with pytest.raises(sayso.SaysoError, match="the reward model failed: KeyError: 'no such thing'"):
        rewards(fails)
    with pytest.raises(ValueError, match="returned 2 scores; expected 3"):
        rewards(lambda frames, instructions: [1.0, 2.0])
    with pytest.raises(ValueError, match="returned NaN; expected a finite number"):
        rewards(lambda frames, instructions: [1.0, float("nan"), 1.0])
    with pytest.raises(ValueError, match="spans 9 control steps"):
        rewards(sayso.RewardFunction(brightness, n_frames=10))
    with pytest.raises(TypeError, match="expected a callable"):
        sayso.RewardFunction(3)


def test_kinds_of_rewards_and_schedules_by_name():
    def run(reward, **kwargs):
        envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=2, reward=reward, max_episode_steps=5, **kwargs)
        envs.reset(seed=3)
        actions = np.random.default_rng(0).uniform(-1, 1, (5, *envs.action_space.shape)).astype(np.float32)
        return np.array([envs.step(action)[1] for action in actions])

    frames = run("vlm_rm", alpha=0.0)
    first = run("vlm_rm", alpha=0.0, schedule="difference")
    first = frames[0] - first[0]
    scores = np.concatenate([first[None], frames])
    mean = run("mean_pooled", reward_options={"n_frames": 3})
    assert np.allclose(mean[1:], (scores[:-2] + scores[1:-1] + scores[2:]) / 3, atol=1e-5)
    lag = run("score_difference", reward_options={"lag": 2})
    assert (lag[0] == 0).all() and np.allclose(lag[1:], scores[2:] - scores[:-2], atol=1e-5)
    assert np.allclose(run("vlm_rm", alpha=0.0, schedule="difference"), np.diff(scores, axis=0), atol=1e-5)
    shaped = run("vlm_rm", alpha=0.0, schedule="potential", discount=0.5)
    assert np.allclose(shaped, 0.5 * scores[1:] - scores[:-1], atol=1e-5)
    ends = run("vlm_rm", alpha=0.0, schedule="episode_end")
    assert (ends[:-1] == 0).all() and np.allclose(ends[-1], frames[-1], atol=1e-6)
    own = run(sayso.RewardFunction(lambda frames, _: frames.mean(axis=(1, 2, 3, 4, 5)), image_size=16), schedule="difference")
    assert (own != 0).any() and np.abs(own).max() < 20

    for kwargs, message in [
        ({"reward": "mean_poled"}, "did you mean 'mean_pooled'"),
        ({"reward": "mean_pooled"}, "missing field `n_frames`"),
        ({"reward": "mean_pooled", "reward_options": {"n_frame": 3}}, "n_frame"),
        ({"reward": "vlm_rm", "reward_options": {"n_frames": 3}}, "reward_options"),
        ({"reward": "vlm_rm", "schedule": "potential"}, "needs a discount"),
        ({"reward": "vlm_rm", "schedule": "sometimes"}, "schedule"),
        ({"reward": "vlm_rm", "every_n_steps": 9, "max_episode_steps": 5}, "every_n_steps"),
    ]:
        with pytest.raises(ValueError, match=message):
            sayso.VectorEnv(2, **kwargs)


def test_the_example_of_the_documentation_runs():
    page = (Path(__file__).parents[2] / "docs" / "reward-models.md").read_text()
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(compile(block, "reward-models.md", "exec"), names)
    env = names["env"]
    env.reset(seed=0)
    reward = env.step(env.action_space.sample())[1]
    assert 0.1 < reward < 0.9
