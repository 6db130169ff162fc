"""Reward models, and the wrappers that add them to any environment."""

import pickle
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import sayso
from sayso.wrappers import LanguageReward, VectorLanguageReward

GOAL, BASELINE = "the gripper touching the red ball", "the gripper far from the red ball"


def frames(n=3, side=64):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


def test_scores_follow_from_embeddings():
    model = sayso.RewardModel()
    embedded, text = model.embed(frames()), model.embed_prompts([GOAL])
    assert embedded.shape == (3, model.embed_dim) and embedded.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert np.allclose(model.score(frames(), GOAL), embedded @ text[0], atol=1e-5)
    # VLM-RM: squared distance to the goal after a projection onto the line from the baseline to the goal.
    base = model.embed_prompts(BASELINE)[0]
    line = (text[0] - base) / np.linalg.norm(text[0] - base)
    on_line = base + np.outer((embedded - base) @ line, line)
    mixed = 0.5 * on_line + 0.5 * embedded
    expected = 1 - 0.5 * np.square(mixed - text[0]).sum(axis=1)
    assert np.allclose(model.score(frames(), GOAL, BASELINE), expected, atol=1e-4)


def test_images_of_other_sizes_are_resized():
    model = sayso.RewardModel()
    assert model.embed(frames(2, 100)).shape == (2, model.embed_dim)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.embed(frames()), model.embed(frames()))


def test_a_model_can_be_a_folder():
    folder = Path(__file__).parents[2] / "assets" / "models" / "sayso-clip-64"
    for name in (folder, str(folder)):
        assert np.array_equal(sayso.RewardModel(name).embed(frames()), sayso.RewardModel().embed(frames()))
    with pytest.raises(TypeError):
        sayso.RewardModel(3)


def test_wrong_frames_and_models_are_refused():
    model = sayso.RewardModel()
    for bad in (frames().astype(np.float32), frames()[0], frames()[..., :2]):
        with pytest.raises(ValueError, match="expected"):
            model.embed(bad)
    with pytest.raises(ValueError, match="no model 'nowhere'"):
        sayso.RewardModel("nowhere").embed(frames())


def views(images):
    """The images as arrays of other memory layouts."""
    wide = np.zeros((images.shape[0], images.shape[1], 2 * images.shape[2], 3), np.uint8)
    wide[:, :, : images.shape[2]] = images
    padded = np.zeros((*images.shape[:3], 4), np.uint8)
    padded[..., :3] = images
    yield "cropped", wide[:, :, : images.shape[2]]
    yield "without alpha", padded[..., :3]
    yield "Fortran", np.asfortranarray(images)
    yield "channels first", np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    yield "every second", np.repeat(images, 2, axis=0)[::2]
    for axis, name in enumerate(("images", "rows", "columns", "channels")):
        yield f"{name} reversed", np.ascontiguousarray(np.flip(images, axis))[(slice(None),) * axis + (slice(None, None, -1),)]
    read_only = images.copy()
    read_only.setflags(write=False)
    yield "read-only", read_only


@pytest.mark.parametrize("side", [64, 50])
def test_the_memory_layout_of_frames_does_not_change_their_scores(side):
    model = sayso.RewardModel()
    images = frames(3, side)
    expected = model.score(images, GOAL)
    assert len(set(expected.tolist())) == 3
    for name, view in views(images):
        assert np.array_equal(view, images), name
        assert name == "read-only" or not view.flags.c_contiguous, name
        assert np.array_equal(model.score(view, GOAL), expected), name
        assert np.array_equal(model.embed(view), model.embed(images)), name
    for wrong in (images[..., :2], images[:, :0], images[:, :, ::-1, :1]):
        with pytest.raises(ValueError, match=r"frames have shape .*expected \[n, height, width, 3\]"):
            model.score(wrong, GOAL)
    for wrong in (images[::-1].astype(np.int16), images[0]):
        with pytest.raises(ValueError, match=r"expected uint8 \[n, height, width, 3\]"):
            model.score(wrong, GOAL)


@pytest.mark.parametrize("env_id", ["sayso/CartPole-v1", "CartPole-v1"])
def test_a_goal_prompt_rewards_any_environment(env_id):
    if env_id == "CartPole-v1":
        pytest.importorskip("pygame", reason="Gymnasium's own CartPole renders with pygame")
    env = gymnasium.make(env_id, render_mode="rgb_array")
    env = LanguageReward(env, "the gripper", model=sayso.RewardModel(), every_n_steps=2)
    env.reset(seed=0)
    rewards = [env.step(env.action_space.sample())[1] for _ in range(4)]
    assert rewards[0] == 0.0 and rewards[1] == rewards[2] != rewards[3] and rewards[1] != 0.0
    *_, info = env.step(env.action_space.sample())
    assert "env_reward" in info


def test_rewards_of_a_vector_equal_those_of_its_envs():
    def one(i):
        env = gymnasium.make("sayso/Reach-v1", max_episode_steps=3, render_mode="rgb_array")
        env = LanguageReward(env, GOAL, BASELINE)
        env.reset(seed=5 + i)
        return env

    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=2, max_episode_steps=3, render_mode="rgb_array")
    envs = VectorLanguageReward(envs, GOAL, BASELINE)
    envs.reset(seed=5)
    alone = [one(i) for i in range(2)]
    for step in range(3):
        actions = envs.action_space.sample()
        _, rewards, _, truncated, infos = envs.step(actions)
        assert np.allclose(rewards, [env.step(actions[i])[1] for i, env in enumerate(alone)], atol=1e-6)
        assert infos["_env_reward"].all() and truncated.all() == (step == 2)
    _, rewards, *_ = envs.step(actions)
    assert not rewards.any(), "the reward of the step that resets is 0"


def test_episode_end_scores_the_last_step_only():
    env = gymnasium.make("sayso/Reach-v1", max_episode_steps=3, render_mode="rgb_array")
    env = LanguageReward(env, GOAL, BASELINE, schedule="episode_end")
    env.reset(seed=1)
    rewards = [env.step(env.action_space.sample())[1] for _ in range(3)]
    assert rewards[:2] == [0.0, 0.0] and rewards[2] != 0.0
    with pytest.raises(ValueError, match="rgb_array"):
        LanguageReward(gymnasium.make("sayso/Reach-v1"), GOAL)
    same = gymnasium.make_vec("sayso/Reach-v1", num_envs=2, autoreset_mode="same_step", render_mode="rgb_array")
    with pytest.raises(ValueError, match="SAME_STEP"):
        VectorLanguageReward(same, GOAL)


def test_differences_and_potentials_begin_with_the_first_frame():
    def run(schedule, **kwargs):
        env = gymnasium.make("sayso/Reach-v1", max_episode_steps=4, render_mode="rgb_array")
        env = LanguageReward(env, GOAL, BASELINE, schedule=schedule, **kwargs)
        rewards = []
        for seed in (1, 2):
            env.reset(seed=seed)
            rewards.append([env.step(np.ones(3, np.float32))[1] for _ in range(4)])
        env.reset(seed=1)
        first = LanguageReward(env.unwrapped, GOAL, BASELINE)._rewards
        return np.array(rewards), float(first._model.score(env.render()[None], GOAL, BASELINE)[0])

    scores, first = run("hold_last")
    differences, _ = run("difference")
    assert np.allclose(differences[0], np.diff([first, *scores[0]]), atol=1e-6)
    assert np.allclose(differences[:, 1:], np.diff(scores), atol=1e-6)
    potentials, _ = run("potential", discount=0.5)
    assert np.allclose(potentials[0], 0.5 * scores[0] - [first, *scores[0][:-1]], atol=1e-6)
    every_other, _ = run("difference", every_n_steps=2)
    assert np.allclose(every_other[0], [0, scores[0][1] - first, 0, scores[0][3] - scores[0][1]], atol=1e-6)
    with pytest.raises(ValueError, match="needs a discount"):
        run("potential")


def test_a_model_can_be_given_as_the_reward():
    model = sayso.RewardModel()
    kwargs = {"goal_prompt": GOAL, "baseline_prompt": BASELINE}
    envs = [
        gymnasium.make_vec("sayso/Reach-v1", num_envs=2, reward=reward, **kwargs)
        for reward in (model, model, "vlm_rm", pickle.loads(pickle.dumps(model)))
    ]
    for one in envs:
        one.reset(seed=1)
    actions = envs[0].action_space.sample()
    rewards = [one.step(actions)[1] for one in envs]
    assert all(np.array_equal(one, rewards[0]) for one in rewards) and rewards[0][0] != rewards[0][1]
    assert envs[0].call("task_description") == ("touch the red ball",) * 2
    # Environments share the model: a second one does not load it again.
    assert envs[0]._batch.settings.reward_model.native is model.native
    with pytest.raises(ValueError, match="give both the same"):
        gymnasium.make_vec("sayso/Reach-v1", num_envs=2, reward=model, device="gpu")
    env = gymnasium.make("sayso/Reach-v1", reward=model)
    env.reset(seed=1)
    assert isinstance(env.step(env.action_space.sample())[1], float)


def test_wrong_prompts_are_refused():
    model = sayso.RewardModel()
    both = {"goal_prompt": GOAL, "baseline_prompt": BASELINE}
    for wrong in ({"goal_prompt": ""}, {"baseline_prompt": ""}, {"alpha": 9}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            model.score(frames(), **(both | wrong))
    with pytest.raises(ValueError, match="expected"):
        model.embed(frames(2, 0))
    env = gymnasium.make("sayso/Reach-v1", render_mode="rgb_array")
    for kwargs in ({"goal_prompt": ""}, {"alpha": 9}, {"alpha": 0.5}, {"model": 3}, {"every_n_steps": True}, {"schedule": "never"}):
        with pytest.raises((ValueError, TypeError), match=next(iter(kwargs))):
            LanguageReward(env, **({"goal_prompt": GOAL} | kwargs))


def test_old_names_of_prompts_name_the_new_ones():
    env = gymnasium.make("sayso/Reach-v1", render_mode="rgb_array")
    for call in (lambda **kwargs: sayso.RewardModel().score(frames(), **kwargs), partial(LanguageReward, env)):
        with pytest.raises(TypeError, match="goal_prompt"):
            call(goal=GOAL)
        with pytest.raises(TypeError, match="'baseline'; it was renamed to 'baseline_prompt'"):
            call(goal_prompt=GOAL, baseline=BASELINE)
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=2, render_mode="rgb_array")
    with pytest.raises(TypeError, match="'every'; it was renamed to 'every_n_steps'"):
        VectorLanguageReward(envs, GOAL, every=2)


def test_a_refused_reset_changes_nothing():
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=3, render_mode="rgb_array")
    envs = VectorLanguageReward(envs, GOAL, BASELINE, every_n_steps=2)
    envs.reset(seed=0)
    actions = np.zeros(envs.action_space.shape, np.float32)
    for wrong in (np.array([1, 0, 0]), np.ones(5, bool)):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": wrong})
    envs.step(actions)
    assert envs.step(actions)[1].all()


def test_frames_are_scored_in_every_nth_step():
    often, rarely, plain = (
        gymnasium.make("sayso/Reach-v1", reward="vlm_rm", **kwargs)
        for kwargs in ({}, {"every_n_steps": 3}, {"alpha": 0.0})
    )
    rewards = []
    for env in (often, rarely, plain):
        env.reset(seed=4)
        env.action_space.seed(4)
        rewards.append([env.step(env.action_space.sample())[1] for _ in range(7)])
    every, third, _ = rewards
    assert third[:2] == [0.0, 0.0] and third[2] == third[3] == third[4] and third[5] == third[6]
    assert third[2] == every[2] and third[5] == every[5] and third[2] != third[5]
    assert rewards[2] != rewards[0]
    for wrong, message in (({"every_n_steps": 0}, "every_n_steps"), ({"alpha": 2.0}, "alpha")):
        with pytest.raises(ValueError, match=message):
            gymnasium.make("sayso/Reach-v1", reward="vlm_rm", **wrong).unwrapped.reset()


def test_absent_devices_of_a_model_are_named():
    with pytest.raises(sayso.DeviceError, match="device 77"):
        sayso.RewardModel(device="gpu:77").embed(frames())
    with pytest.raises(ValueError, match="tpu"):
        sayso.RewardModel(device="tpu").embed(frames())
