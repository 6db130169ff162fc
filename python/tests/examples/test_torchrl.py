"""TorchRL's own wrapper around Sayso: specs, last observations, and training."""

import gymnasium
import numpy as np
import pytest

import sayso

pytest.importorskip("torchrl", reason="torchrl is absent")

# A warning of TorchRL 0.14 when its collectors are imported.
pytestmark = pytest.mark.filterwarnings("ignore:Creating .* inherits from WeightUpdater:DeprecationWarning")

IDS = ["sayso/Reach-v1", "sayso/CartPole-v1"]
# With SAME_STEP, TorchRL 0.14 cannot read last observations that are dictionaries.
MODES = [
    ("disabled", "state"),
    ("disabled", "pixels"),
    ("disabled", "both"),
    ("same_step", "state"),
    ("same_step", "pixels"),
]


def wrapped(env):
    from torchrl.envs import GymWrapper

    return GymWrapper(env, categorical_action_encoding=True)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("obs", ["state", "pixels", "both"])
def test_a_single_environment_matches_its_specs(env_id, obs):
    from torchrl.envs import GymEnv
    from torchrl.envs.utils import check_env_specs

    check_env_specs(wrapped(gymnasium.make(env_id, obs=obs, size=16)))
    check_env_specs(GymEnv(env_id, obs=obs, size=16))


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("mode", "obs"), MODES)
def test_a_vector_matches_its_specs(env_id, mode, obs):
    from torchrl.envs.utils import check_env_specs

    env = wrapped(gymnasium.make_vec(env_id, num_envs=3, autoreset_mode=mode, obs=obs, size=16))
    assert env.batch_size == (3,)
    check_env_specs(env)


def observation_in(tensordict):
    """An observation's parts under TorchRL's names: ``observation``, and ``pixels`` if there are both."""
    return {key: tensordict[key].numpy() for key in ("observation", "pixels") if key in tensordict.keys()}


def renamed(observation):
    """A single environment's observation under the same names."""
    if isinstance(observation, dict):
        return {"observation": observation["state"], "pixels": observation["pixels"]}
    return {"observation": observation}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("mode", "obs"), MODES)
def test_every_step_equals_that_of_a_single_environment(mode, obs):
    """Poles that fall at different times: the steps before, at and after the ends of episodes."""
    import torch

    kwargs = {"obs": obs, "size": 16, "max_episode_steps": 21}
    env = wrapped(gymnasium.make_vec("sayso/CartPole-v1", num_envs=3, autoreset_mode=mode, **kwargs))
    torch.manual_seed(0)
    rollout = env.rollout(50, auto_reset=False, tensordict=env.reset(seed=7), break_when_any_done=False)
    for env_idx in range(3):
        single = sayso.Env("CartPole-v1", **kwargs)
        observation, _ = single.reset(seed=7 + env_idx)
        for step in rollout[env_idx]:
            assert same(observation_in(step), renamed(observation))
            observation, reward, terminated, truncated, _ = single.step(step["action"].item())
            assert same(observation_in(step["next"]), renamed(observation))
            assert step["next", "reward"].item() == np.float32(reward)
            assert step["next", "terminated"].item() == terminated
            assert step["next", "truncated"].item() == truncated
            if terminated or truncated:
                observation, _ = single.reset()
    ends = rollout["next", "done"].squeeze(-1)
    assert (ends.sum(dim=1) >= 2).all() and (ends.sum(dim=0) == 1).any()


def test_next_step_is_refused():
    with pytest.raises(RuntimeError, match="auto-reset mode"):
        wrapped(gymnasium.make_vec("sayso/Reach-v1", num_envs=2))


def test_an_agent_learns_to_balance(example):
    """With seeds 0 to 4, the return rose from 15–17 to 141–168."""
    trained = example("torchrl_ppo").main(["--env", "sayso/CartPole-v1", "--frames", "20480"])
    assert trained.mean_returns[0] < 30 and trained.mean_returns[-1] > 90


def test_a_reward_model_rewards_a_batch(example):
    """Continuous actions, and episodes of 50 steps that are longer than a batch of 32."""
    args = ["--env", "sayso/Reach-v1", "--reward", "vlm_rm", "--num-envs", "4", "--frames", "256"]
    trained = example("torchrl_ppo").main(args)
    [mean_return] = trained.mean_returns
    [success_rate] = trained.success_rates
    assert 0 < mean_return < 50 and 0 <= success_rate <= 1
