"""PPO in one file, in the style of CleanRL.

    pip install torch
    python python/examples/cleanrl_ppo.py --instruction red

The vector resets in the same step, so that every row of the batch is a step of some episode. The value of a truncated
episode is bootstrapped from `final_obs`, its last observation.
"""

import argparse
import time
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Normal

import sayso  # noqa: F401  registers the environments


class Agent(nn.Module):
    """A Gaussian policy and a value function, each a small network of states."""

    def __init__(self, state_dim: int, action_dim: int) -> None:
        super().__init__()
        self.policy = _network(state_dim, action_dim, gain=0.01)
        self.value = _network(state_dim, 1, gain=1.0)
        self.log_std = nn.Parameter(torch.full((action_dim,), -0.5))

    def distribution(self, states: torch.Tensor) -> Normal:
        """The distribution of actions f32 `[n, action_dim]`, given states f32 `[n, state_dim]`."""
        return Normal(self.policy(states), self.log_std.exp())


def _network(n_in: int, n_out: int, gain: float) -> nn.Sequential:
    layers = [nn.Linear(n_in, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, n_out)]
    for layer, its_gain in zip(layers[::2], (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, its_gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


class Normaliser:
    """Normalises rows by their running mean and standard deviation."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean, self.var, self.count = np.zeros(shape), np.ones(shape), 1e-4

    def update(self, rows: np.ndarray) -> None:
        """Updates the statistics with rows `[n, ...]`."""
        total = self.count + len(rows)
        delta = rows.mean(axis=0) - self.mean
        spread = self.var * self.count + rows.var(axis=0) * len(rows) + delta**2 * self.count * len(rows) / total
        self.mean, self.var, self.count = self.mean + delta * len(rows) / total, spread / total, total

    def __call__(self, rows: np.ndarray) -> torch.Tensor:
        scaled = (rows - self.mean) / np.sqrt(self.var + 1e-8)
        return torch.as_tensor(scaled.clip(-10, 10), dtype=torch.float32)


@dataclass
class Outcome:
    """Mean return and success rate of the first and the last 100 episodes of training."""

    first_return: float
    last_return: float
    first_success: float
    last_success: float


def main(argv: list[str] | None = None) -> Outcome:
    """Trains, and prints a line every 20 updates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="sayso/Reach-v1")
    parser.add_argument("--instruction", help="name of a goal; the task's first if absent")
    parser.add_argument("--reward", default="vlm_rm", choices=["vlm_rm", "ground_truth"])
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--num-steps", type=int, default=32, help="steps of each env per update")
    parser.add_argument("--total-steps", type=int, default=520_000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--gamma", type=float, default=0.95)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--minibatch-size", type=int, default=512)
    parser.add_argument("--clip", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)

    envs = gymnasium.make_vec(
        args.env,
        num_envs=args.num_envs,
        instruction=args.instruction,
        reward=args.reward,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    state_dim, action_dim = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
    agent = Agent(state_dim, action_dim)
    optimiser = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    normalise, scale = Normaliser((state_dim,)), Normaliser(())

    shape = (args.num_steps, args.num_envs)
    states, actions = torch.zeros(*shape, state_dim), torch.zeros(*shape, action_dim)
    log_probs, values, rewards, bootstraps, dones = (torch.zeros(shape) for _ in range(5))
    episode_returns, discounted = np.zeros(args.num_envs), np.zeros(args.num_envs)
    returns: list[float] = []
    successes: list[float] = []
    n_updates = args.total_steps // (args.num_steps * args.num_envs)
    started = time.monotonic()
    observations, _ = envs.reset(seed=args.seed)
    for update in range(n_updates):
        optimiser.param_groups[0]["lr"] = args.learning_rate * (1 - update / n_updates)
        for step in range(args.num_steps):
            normalise.update(observations)
            states[step] = normalise(observations)
            with torch.no_grad():
                distribution = agent.distribution(states[step])
                actions[step] = distribution.sample()
                log_probs[step] = distribution.log_prob(actions[step]).sum(-1)
                values[step] = agent.value(states[step]).squeeze(-1)
            observations, reward, terminated, truncated, infos = envs.step(actions[step].clamp(-1, 1).numpy())
            done = terminated | truncated
            episode_returns += reward
            discounted = discounted * args.gamma + reward
            scale.update(discounted)
            rewards[step] = torch.as_tensor(reward / np.sqrt(scale.var + 1e-8), dtype=torch.float32)
            dones[step] = torch.as_tensor(done)
            bootstraps[step] = 0.0
            if (cut_off := truncated & ~terminated).any():
                last = np.stack(infos["final_obs"][cut_off])
                with torch.no_grad():
                    bootstraps[step, cut_off] = agent.value(normalise(last)).squeeze(-1)
            if done.any():
                returns += episode_returns[done].tolist()
                successes += infos["final_info"]["success"][done].tolist()
                episode_returns[done], discounted[done] = 0.0, 0.0

        advantages = torch.zeros(shape)
        with torch.no_grad():
            following, advantage = agent.value(normalise(observations)).squeeze(-1), torch.zeros(args.num_envs)
            for step in reversed(range(args.num_steps)):
                ahead = torch.where(dones[step] > 0, bootstraps[step], following)
                delta = rewards[step] + args.gamma * ahead - values[step]
                advantage = delta + args.gamma * args.gae_lambda * (1 - dones[step]) * advantage
                advantages[step], following = advantage, values[step]

        flat = [part.flatten(0, 1) for part in (states, actions, log_probs, advantages, advantages + values)]
        for _ in range(args.epochs):
            for rows in torch.randperm(len(flat[0])).split(args.minibatch_size):
                its_states, its_actions, its_log_probs, its_advantages, its_returns = (part[rows] for part in flat)
                its_advantages = (its_advantages - its_advantages.mean()) / (its_advantages.std() + 1e-8)
                ratio = (agent.distribution(its_states).log_prob(its_actions).sum(-1) - its_log_probs).exp()
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                policy_loss = -torch.min(ratio * its_advantages, clipped * its_advantages).mean()
                value_loss = (agent.value(its_states).squeeze(-1) - its_returns).square().mean()
                optimiser.zero_grad()
                (policy_loss + 0.5 * value_loss).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimiser.step()

        if (update + 1) % 20 == 0 or update + 1 == n_updates:
            n_steps = (update + 1) * args.num_steps * args.num_envs
            rate = n_steps / (time.monotonic() - started)
            print(
                f"{n_steps:>8} steps   {rate:6.0f}/s   return {np.mean(returns[-100:]):7.2f}   "
                f"success {np.mean(successes[-100:]):.0%}"
            )
    envs.close()
    return Outcome(*(float(np.mean(part)) for part in (returns[:100], returns[-100:], successes[:100], successes[-100:])))


if __name__ == "__main__":
    main()
