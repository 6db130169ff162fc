"""Gymnasium's own checkers on every environment in every mode, with warnings as errors."""

import dataclasses
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode

import sayso

IDS = [env_id for env_id in gymnasium.registry if env_id.startswith("sayso/")]
OBS = ["state", "pixels", "both"]
REWARDS = ["ground_truth", "none", "vlm_rm"]


def test_all_environments_are_registered():
    assert IDS == ["sayso/CartPole-v1", "sayso/GoTo-v1", "sayso/Reach-v1"]
    sayso.register_envs()


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("obs", OBS)
@pytest.mark.parametrize("reward", REWARDS)
def test_check_env_gives_no_warnings(env_id, obs, reward):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(env_id, obs=obs, reward=reward, size=40, render_mode="rgb_array")
        check_env(env.unwrapped)
        env.close()


@pytest.mark.parametrize(
    ("env_id", "options", "action_shape"),
    [
        ("sayso/Reach-v1", {"control": "joint_delta_pos"}, (7,)),
        ("sayso/Reach-v1", {"control": "ee_delta_pos"}, (3,)),
        ("sayso/CartPole-v1", {"variant": "vlm_rm"}, ()),
    ],
)
def test_tasks_have_options(env_id, options, action_shape):
    env = gymnasium.make(env_id, options=options, render_mode="rgb_array")
    assert env.action_space.shape == action_shape
    check_env(env.unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_matches_itself(env_id):
    one, other = (gymnasium.make(env_id, obs="both", size=16) for _ in range(2))
    check_environments_match(one, other, num_steps=30, seed=4)


@pytest.mark.parametrize("env_id", IDS)
def test_an_env_of_a_vector_equals_a_single_environment(env_id):
    envs = gymnasium.make_vec(env_id, num_envs=3, max_episode_steps=5, obs="both", size=16)
    alone = [gymnasium.make(env_id, max_episode_steps=5, obs="both", size=16) for _ in range(3)]
    observation, _ = envs.reset(seed=7)
    singles = [env.reset(seed=7 + i)[0] for i, env in enumerate(alone)]
    envs.action_space.seed(1)
    ended = np.zeros(3, bool)
    for _ in range(13):
        for i in range(3):
            for part in ("state", "pixels"):
                assert np.array_equal(observation[part][i], singles[i][part])
        actions = envs.action_space.sample()
        observation, rewards, terminated, truncated, infos = envs.step(actions)
        for i, env in enumerate(alone):
            if ended[i]:
                singles[i], _ = env.reset()
                assert (rewards[i], terminated[i], truncated[i]) == (0.0, False, False)
                ended[i] = False
                continue
            singles[i], reward, *flags, info = env.step(actions[i])
            assert (rewards[i], terminated[i], truncated[i]) == (reward, *flags)
            assert infos["success"][i] == info["success"] and infos["_success"][i]
            ended[i] = any(flags)


def test_an_end_in_the_last_allowed_step_is_reported_as_gymnasium_reports_it():
    # The pole falls some steps after the reset; the limit is exactly that number of steps.
    def flags_of_episode(env):
        env.reset(seed=0)
        ends = []
        while not ends or not any(ends[-1]):
            ends.append(env.step(1)[2:4])
        return ends

    free = flags_of_episode(gymnasium.make("sayso/CartPole-v1"))
    assert free[-1] == (True, False)
    limited = flags_of_episode(gymnasium.make("sayso/CartPole-v1", max_episode_steps=len(free)))
    own = flags_of_episode(sayso.Env("CartPole-v1", max_episode_steps=len(free)))
    assert own == limited == [*free[:-1], (True, True)]


@pytest.mark.parametrize("env_id", IDS)
def test_same_step_returns_the_last_observation(env_id):
    make = lambda mode: gymnasium.make_vec(  # noqa: E731
        env_id, num_envs=2, max_episode_steps=3, vector_kwargs=None, autoreset_mode=mode
    )
    same, following = make(AutoresetMode.SAME_STEP), make(AutoresetMode.NEXT_STEP)
    for envs in (same, following):
        envs.reset(seed=3)
        envs.action_space.seed(5)
    for _ in range(3):
        actions = same.action_space.sample()
        observation, *_, infos = same.step(actions)
        last, *_ = following.step(actions)
    assert infos["_final_obs"].all() and infos["_final_info"].all()
    assert all(np.array_equal(infos["final_obs"][i], last[i]) for i in range(2))
    assert set(infos["final_info"]) >= {"success", "_success", "is_success"}
    started, *_, start_infos = following.step(actions)
    assert np.array_equal(observation, started)
    for key, column in start_infos.items():
        assert np.array_equal(infos[key], column), f"{key}: the row of an ended env belongs to its new episode"


def test_disabled_autoreset_requires_a_mask():
    envs = gymnasium.make_vec(
        "sayso/Reach-v1", num_envs=3, max_episode_steps=2, autoreset_mode=AutoresetMode.DISABLED
    )
    envs.reset(seed=0)
    actions = np.zeros(envs.action_space.shape, np.float32)
    envs.step(actions)
    before = envs.step(actions)[0]
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(actions)
    after, infos = envs.reset(options={"reset_mask": np.array([True, False, False])})
    assert not np.array_equal(after[0], before[0]) and np.array_equal(after[1:], before[1:])
    assert infos["_success"].tolist() == [True, False, False]
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(actions)
    envs.reset(options={"reset_mask": np.array([False, True, True])})
    envs.step(actions)


def test_environments_can_be_pickled_and_closed():
    env = gymnasium.make("sayso/Reach-v1", instruction="blue").unwrapped
    first, _ = env.reset(seed=3)
    again = pickle.loads(pickle.dumps(env))
    assert np.array_equal(again.reset(seed=3)[0], first)
    assert again.task_description == env.task_description
    env.close()
    env.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.reset()
    envs = gymnasium.make_vec("sayso/CartPole-v1", num_envs=2)
    envs.reset(seed=1)
    assert envs.call("task_description")[1] == envs.task_description
    envs.close()
    envs.close()


WRONG_ACTIONS = [
    (np.zeros(5, np.float32), "shape"),
    (np.full(7, np.nan, np.float32), "NaN or infinite"),
    (np.zeros(7, np.complex64), "complex64"),
]


@pytest.mark.parametrize(("action", "message"), WRONG_ACTIONS)
def test_wrong_actions_are_refused(action, message):
    env = gymnasium.make("sayso/Reach-v1", disable_env_checker=True).unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    action = np.resize(action, env.action_space.shape) if message != "shape" else action
    with pytest.raises(sayso.ActionError, match=message):
        env.step(action)
    env.step(np.asfortranarray(env.action_space.sample())[::1].astype(np.float64))


@pytest.mark.parametrize("env_id", IDS)
def test_each_goal_has_its_own_instruction(env_id):
    goals = gymnasium.make(env_id).unwrapped.goals
    rewards_of = {}
    for goal in goals:
        env = gymnasium.make_vec(env_id, num_envs=2, instruction=goal, reward="vlm_rm")
        env.reset(seed=0)
        env.action_space.seed(0)
        rewards_of[env.call("task_description")[0]] = env.step(env.action_space.sample())[1].tolist()
        assert len(goals) == 1 or goal in env.call("task_description")[0]
    assert len(rewards_of) == len(goals) == len({tuple(rewards) for rewards in rewards_of.values()})
    own = gymnasium.make(env_id, goal_prompt="anything at all", baseline_prompt="a scene")
    assert own.unwrapped.task_description == "anything at all"


@pytest.mark.parametrize("n_steps", [20, 120])
def test_episodes_have_the_requested_length(n_steps):
    def length(step, reset):
        reset(seed=0)
        for n in range(1, 300):
            *_, truncated, _ = step(np.zeros(3, np.float32))
            if np.any(truncated):
                return n

    env = gymnasium.make("sayso/Reach-v1", max_episode_steps=n_steps)
    assert length(env.step, env.reset) == n_steps
    own = sayso.Env(max_episode_steps=n_steps)
    assert length(own.step, own.reset) == n_steps
    for how in ("sync", "vector_entry_point"):
        envs = gymnasium.make_vec("sayso/Reach-v1", 2, how, max_episode_steps=n_steps)
        assert length(lambda action: envs.step(np.stack([action] * 2)), envs.reset) == n_steps  # noqa: B023
    env = gymnasium.make("sayso/Reach-v1")
    assert length(env.step, env.reset) == 50


def episode_length(env):
    """Steps until an episode is truncated; the pole is balanced by the sign of a linear feedback."""
    state, _ = env.reset(seed=0)
    vector = isinstance(env, gymnasium.vector.VectorEnv)
    for n in range(1, 2_000):
        action = (np.atleast_2d(state) @ [0.05, 0.15, 1.0, 0.35] > 0).astype(np.int64)
        state, _, terminated, truncated, _ = env.step(action if vector else action[0])
        assert not np.any(terminated)
        if np.any(truncated):
            return n
    return None


VLM_RM = {"options": {"variant": "vlm_rm"}}
LIMITS = [
    ({}, 500),
    (VLM_RM, 200),
    ({"max_episode_steps": 30}, 30),
    ({"max_episode_steps": 600}, 600),
    ({"max_episode_steps": 30, **VLM_RM}, 30),
    ({"max_episode_steps": 300, **VLM_RM}, 300),
    ({"max_episode_steps": 500, **VLM_RM}, 500),
]


@pytest.mark.parametrize(("kwargs", "limit"), LIMITS, ids=str)
def test_a_variant_is_not_truncated_after_the_steps_of_another(kwargs, limit):
    env = gymnasium.make("sayso/CartPole-v1", **kwargs)
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = (gymnasium.make(env.spec), env.spec.make(), gymnasium.make(spec), pickle.loads(pickle.dumps(env)))
    for one in (env, *again):
        assert one.spec.max_episode_steps == one.unwrapped.spec.max_episode_steps == limit
        assert episode_length(one) == limit


@pytest.mark.parametrize(("kwargs", "limit"), LIMITS, ids=str)
@pytest.mark.parametrize("how", ["sync", "vector_entry_point"])
def test_a_variant_of_a_vector_is_not_truncated_after_the_steps_of_another(kwargs, limit, how):
    envs = gymnasium.make_vec("sayso/CartPole-v1", 2, how, **kwargs)
    for one in (envs, gymnasium.make_vec(envs.spec)):
        assert one.num_envs == 2 and episode_length(one) == limit
        assert how == "sync" or one.spec.max_episode_steps == limit


def test_limits_of_gymnasiums_specifications_apply():
    unlimited = gymnasium.make("sayso/CartPole-v1", max_episode_steps=-1)
    for env in (unlimited, gymnasium.make(unlimited.spec)):
        assert env.spec.max_episode_steps is None and episode_length(env) is None
    longer = gymnasium.spec("sayso/CartPole-v1")
    longer = dataclasses.replace(longer, id="Longer-v0", max_episode_steps=600)
    assert episode_length(gymnasium.make(longer)) == 600
    gymnasium.registry["Longer-v0"] = longer
    try:
        for name in ("Longer-v0", "sayso:Longer-v0"):
            assert episode_length(gymnasium.make(name)) == 600
        assert episode_length(gymnasium.make("Longer-v0", max_episode_steps=700)) == 700
    finally:
        del gymnasium.registry["Longer-v0"]
    for wrong in (0, -2, 1.5, True):
        with pytest.raises(ValueError, match="max_episode_steps"):
            gymnasium.make("sayso/CartPole-v1", max_episode_steps=wrong)
    assert sayso.Env().spec is None and sayso.VectorEnv(2).spec is None


WRONG_ARGUMENTS = [
    *({"size": size} for size in ("64", (1, 2, 3), (64,), 1.5, None, True, -1, 0, 10**6, (16, 0))),
    *({"every_n_steps": n} for n in (0, -1, 1.5, True, None, "episode_end")),
    *({"alpha": alpha} for alpha in (2.0, -0.1, float("nan"), "0.5", True)),
    *({"goal_prompt": prompt} for prompt in ("", "  ", 3)),
    *({"max_episode_steps": n} for n in (0, -1, 10**20, True, 1.5)),
    {"baseline_prompt": ""},
    {"camera": "nope"},
    {"render_mode": "human"},
    {"device": ""},
    {"device": "tpu"},
    {"device": 0},
    {"options": []},
    {"options": {"control": object()}},
    {"baseline_prompt": 3},
    {"instruction": "purple"},
]


@pytest.mark.parametrize("kwargs", WRONG_ARGUMENTS, ids=str)
@pytest.mark.parametrize("kind", [sayso.Env, sayso.VectorEnv])
def test_wrong_arguments_are_named_by_the_constructor(kwargs, kind):
    [name] = kwargs
    with pytest.raises((ValueError, TypeError), match=name):
        kind(reward="vlm_rm", obs="pixels", **kwargs)


@pytest.mark.parametrize("num_envs", [0, -1, 2**40, 2**64, None, True, 1.5, "2"])
def test_wrong_numbers_of_envs_are_refused(num_envs):
    with pytest.raises(ValueError, match="num_envs"):
        sayso.VectorEnv(num_envs)
    with pytest.raises(ValueError, match="seed_stride"):
        sayso.VectorEnv(2, seed_stride=0 if num_envs == 0 else "2")


def test_numbers_of_numpy_are_accepted():
    two = np.int64(2)
    envs = sayso.VectorEnv(two, every_n_steps=two, max_episode_steps=two, seed_stride=two, size=np.int64(16), obs="pixels")
    observation, _ = envs.reset(seed=np.uint8(3))
    assert observation.shape == (2, 16, 16, 3)
    assert np.array_equal(envs.reset(seed=range(3, 7, 2))[0], observation)
    with pytest.raises(ValueError, match="below"):
        envs.reset(seed=2**64 - 1)


def test_the_instruction_needs_no_world():
    env = sayso.Env(goal_prompt="the gripper touching the blue ball", reward="vlm_rm", model="nowhere")
    assert env.task_description == "touch the blue ball"
    env.close()
    assert env.goals == ["red", "green", "blue"] and env.task_description


NO_GOAL = [
    {"goal_prompt": "a photo of a cat", "alpha": 0.0},
    {"goal_prompt": "the red ball next to the blue ball", "baseline_prompt": "a scene"},
    {"goal_prompt": "a photo of a cat", "reward": "none"},
]


@pytest.mark.parametrize("env_id", ["sayso/Reach-v1", "sayso/GoTo-v1"])
@pytest.mark.parametrize("kwargs", NO_GOAL, ids=str)
def test_a_prompt_that_names_no_goal_is_not_reported_as_success_on_the_first(env_id, kwargs):
    kwargs = {"alpha": 0.0, "max_episode_steps": 2, **kwargs}
    metrics = set(gymnasium.make(env_id, max_episode_steps=2).reset(seed=0)[1]) - {"success", "is_success"}
    env = gymnasium.make(env_id, **kwargs)
    infos = [env.reset(seed=0)[1], *(env.step(env.action_space.sample())[4] for _ in range(2))]
    assert env.unwrapped.task_description == kwargs["goal_prompt"]
    envs = gymnasium.make_vec(env_id, num_envs=2, autoreset_mode="same_step", **kwargs)
    infos_of_vector = [envs.reset(seed=0)[1], *(envs.step(envs.action_space.sample())[4] for _ in range(2))]
    final = infos_of_vector[-1].pop("final_info")
    for info in infos:
        assert set(info) == metrics
    for info in (*infos_of_vector, final):
        assert not {"success", "is_success", "_success", "_is_success"} & set(info) and metrics < set(info)
    # An instruction says which goal counts, whatever the prompt.
    own = gymnasium.make(env_id, instruction="green", **kwargs)
    assert own.reset(seed=0)[1].keys() >= {"success", "is_success"}


def test_the_only_goal_of_a_task_needs_no_name():
    env = gymnasium.make("sayso/CartPole-v1", goal_prompt="a photo of a cat")
    assert env.reset(seed=0)[1]["is_success"] is True


@pytest.mark.parametrize("actions", [[[1, 2], [3]], np.full((2, 3), 1e300), np.full((2, 3), "a")])
def test_wrong_actions_of_a_vector_are_refused(actions):
    envs = sayso.VectorEnv(2)
    envs.reset(seed=0)
    with pytest.raises(sayso.ActionError):
        envs.step(actions)


@pytest.mark.parametrize("kind", [sayso.Env, sayso.VectorEnv])
def test_old_names_of_arguments_name_the_new_ones(kind):
    for old, new in [
        ("goal", "instruction"),
        ("prompt", "goal_prompt"),
        ("baseline", "baseline_prompt"),
        ("every", "every_n_steps"),
    ]:
        with pytest.raises(TypeError, match=f"'{old}'; it was renamed to '{new}'"):
            kind(**{old: "red"})
    with pytest.raises(ValueError, match="renamed to 'vlm_rm'"):
        kind(reward="clip")


def test_error_messages_name_argument_and_alternative():
    for kwargs, kind, message in [
        ({"rewrd": "vlm_rm"}, TypeError, "did you mean 'reward'"),
        ({"reward": "vlm-rm"}, ValueError, "did you mean 'vlm_rm'"),
        ({"instruction": "blu"}, ValueError, "did you mean 'blue'"),
        ({"device": "gpu:77"}, sayso.DeviceError, "device 77"),
        ({"options": {"contrl": "x"}}, ValueError, "control"),
    ]:
        with pytest.raises(kind, match=message):
            gymnasium.make("sayso/Reach-v1", **kwargs).unwrapped.reset()
    env = gymnasium.make("sayso/Reach-v1").unwrapped
    env.reset(seed=np.int64(4))
    with pytest.raises(ValueError, match="0 or more"):
        env.reset(seed=-1)
    with pytest.raises(TypeError, match="integer"):
        env.reset(seed=1.5)
