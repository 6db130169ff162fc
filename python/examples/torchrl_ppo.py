"""PPO of TorchRL with a vector of Sayso's environments, which is one TorchRL environment.

    pip install ./python torchrl
    python python/examples/torchrl_ppo.py --env sayso/CartPole-v1
    python python/examples/torchrl_ppo.py --env sayso/Reach-v1 --reward vlm_rm

With autoreset disabled TorchRL resets the envs that ended, and gets the last observation of every episode.
"""

import argparse
import time
from dataclasses import dataclass

import gymnasium
import torch
from gymnasium.vector import AutoresetMode
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical
from torchrl.collectors import Collector
from torchrl.data import Binary
from torchrl.envs import EnvBase, GymWrapper, RewardSum, TransformedEnv, default_info_dict_reader
from torchrl.modules import NormalParamExtractor, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import sayso  # noqa: F401, which registers the environments

N_STEPS = 32
N_EPOCHS = 8
MINIBATCH_SIZE = 256
LEARNING_RATE = 1e-3
DISCOUNT = 0.98
GAE_LAMBDA = 0.95


@dataclass
class Summary:
    """Mean return and success rate of the episodes that ended in each batch, and the speed."""

    mean_returns: list[float]
    success_rates: list[float]
    frames_per_second: float


def make_env(env_id: str, num_envs: int, seed: int, **kwargs) -> EnvBase:
    """A vector as one TorchRL environment of batch size ``[num_envs]``."""
    envs = gymnasium.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs)
    env = GymWrapper(envs, categorical_action_encoding=True)
    # Ground truth, for logging only.
    success = Binary(shape=(num_envs,), dtype=torch.bool)
    env.set_info_dict_reader(default_info_dict_reader(["success"], spec=[success]))
    env = TransformedEnv(env, RewardSum())
    env.set_seed(seed)
    return env


def make_actor_and_critic(env: EnvBase) -> tuple[ProbabilisticActor, ValueOperator]:
    """Two small networks; the actor's distribution depends on the action space."""
    n_inputs = env.observation_spec["observation"].shape[-1]
    spec = env.action_spec_unbatched
    if spec.shape:
        n_outputs, last, keys = 2 * spec.shape[-1], NormalParamExtractor(), ["loc", "scale"]
        distribution, bounds = TanhNormal, {"low": spec.space.low, "high": spec.space.high}
    else:
        n_outputs, last, keys = spec.n, nn.Identity(), ["logits"]
        distribution, bounds = Categorical, {}
    actor = ProbabilisticActor(
        TensorDictModule(nn.Sequential(mlp(n_inputs, n_outputs), last), ["observation"], keys),
        spec=spec,
        in_keys=keys,
        distribution_class=distribution,
        distribution_kwargs=bounds,
        return_log_prob=True,
    )
    return actor, ValueOperator(mlp(n_inputs, 1), in_keys=["observation"])


def mlp(n_inputs: int, n_outputs: int) -> nn.Sequential:
    """Two hidden layers; small weights of the last layer make the first actions nearly uniform."""
    last = nn.Linear(64, n_outputs)
    nn.init.orthogonal_(last.weight, 0.01)
    return nn.Sequential(nn.Linear(n_inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), last)


def main(argv: list[str] | None = None) -> Summary:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="sayso/CartPole-v1")
    parser.add_argument("--reward", choices=["ground_truth", "vlm_rm"], default="ground_truth")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--frames", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    torch.manual_seed(args.seed)
    env = make_env(args.env, args.num_envs, args.seed, reward=args.reward)
    actor, critic = make_actor_and_critic(env)
    frames_per_batch = args.num_envs * N_STEPS
    n_batches = max(args.frames // frames_per_batch, 1)
    collector = Collector(
        env,
        actor,
        frames_per_batch=frames_per_batch,
        total_frames=n_batches * frames_per_batch,
        # The networks have no state that a reset would have to clear.
        auto_register_policy_transforms=False,
    )
    advantage = GAE(gamma=DISCOUNT, lmbda=GAE_LAMBDA, value_network=critic, average_gae=True)
    loss = ClipPPOLoss(actor, critic, entropy_bonus=False, critic_coeff=0.5)
    optimizer = torch.optim.Adam(loss.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, n_batches)

    mean_returns, success_rates = [], []
    began = time.perf_counter()
    for batch_idx, batch in enumerate(collector):  # [num_envs, N_STEPS]
        with torch.no_grad():
            advantage(batch)
        transitions = batch.reshape(-1)
        for _ in range(N_EPOCHS):
            for indices in torch.randperm(len(transitions)).split(MINIBATCH_SIZE):
                losses = loss(transitions[indices])
                optimizer.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        schedule.step()

        has_ended = batch["next", "done"].squeeze(-1)
        if has_ended.any():
            mean_returns.append(batch["next", "episode_reward"][has_ended].mean().item())
            success_rates.append(batch["next", "success"][has_ended].float().mean().item())
        if batch_idx % max(n_batches // 10, 1) == 0 and mean_returns:
            n_frames = (batch_idx + 1) * frames_per_batch
            print(f"{n_frames:>8} frames: return {mean_returns[-1]:7.2f}, success {success_rates[-1]:.0%}")
    speed = n_batches * frames_per_batch / (time.perf_counter() - began)
    collector.shutdown()

    if mean_returns:
        first, last = mean_returns[0], mean_returns[-1]
        print(f"{args.env}, reward {args.reward}: return {first:.2f} in the first batch, {last:.2f} in the last")
        print(f"success at the last step of episodes {success_rates[-1]:.0%}; {speed:.0f} frames per second")
    return Summary(mean_returns, success_rates, speed)


if __name__ == "__main__":
    main()
