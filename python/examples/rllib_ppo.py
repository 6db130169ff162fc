"""PPO of RLlib with Ray actors that each step a native batch of envs.

    pip install 'ray[rllib]' torch
    python python/examples/rllib_ppo.py --workers 2

On a cluster: install Sayso and run `ray start` on every node, then use the same file with `--address auto --workers 64`.
An actor that dies is replaced, and training continues.
"""

import argparse
import math
from dataclasses import dataclass

import ray
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig


def log_success(episode, metrics_logger, **_) -> None:
    """Logs the ground-truth success of the episode's last state."""
    metrics_logger.log_value("success", float(episode.get_infos(-1)["success"]), window=100)


def configuration(args: argparse.Namespace) -> PPOConfig:
    """PPO over `--workers` actors with `--num-envs` envs each."""
    batch_size = 16 * args.workers * args.num_envs
    return (
        PPOConfig()
        .environment(
            # The name before the colon is imported in every actor, and registers the environment there.
            f"sayso:{args.env}",
            env_config={
                "instruction": args.instruction,
                "reward": args.reward,
                # RLlib seeds actor w with seed + w, and a vector seeds its envs with consecutive numbers too: without a
                # stride of the number of actors, including the local one, actors would run nearly the same episodes.
                "seed_stride": args.workers + 1,
            },
        )
        .env_runners(
            num_env_runners=args.workers,
            num_envs_per_env_runner=args.num_envs,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=16,
        )
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=args.seed)
        .callbacks(on_episode_end=log_success)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"))
        .training(
            train_batch_size_per_learner=batch_size,
            minibatch_size=min(256, batch_size),
            num_epochs=10,
            lr=1e-3,
            gamma=0.95,
            lambda_=0.95,
            clip_param=0.2,
            grad_clip=0.5,
            vf_clip_param=float("inf"),
        )
    )


@dataclass
class Outcome:
    """Number of training steps, and mean return and success rate of the last episodes."""

    n_steps: int
    mean_return: float
    success: float


def train(algorithm: PPO, n_steps: int) -> Outcome:
    """Trains until ``n_steps`` steps are collected, and prints a line every ten iterations."""
    outcome = Outcome(0, math.nan, math.nan)
    while outcome.n_steps < n_steps:
        result = algorithm.train()
        runners = result["env_runners"]
        outcome.n_steps = int(runners["num_env_steps_sampled_lifetime"])
        # RLlib reports no return for an iteration in which no episode ends.
        if not math.isnan(runners.get("episode_return_mean", math.nan)):
            outcome.mean_return = float(runners["episode_return_mean"])
            outcome.success = float(runners["success"])
        if result["training_iteration"] % 10 == 0 or outcome.n_steps >= n_steps:
            print(f"{outcome.n_steps:>9} steps   return {outcome.mean_return:8.2f}   success {outcome.success:.0%}")
    return outcome


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="sayso/Reach-v1")
    parser.add_argument("--instruction", help="name of a goal; the task's first if absent")
    parser.add_argument("--reward", default="vlm_rm", choices=["vlm_rm", "ground_truth"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--num-envs", type=int, default=32, help="envs of each worker")
    parser.add_argument("--steps", type=int, default=320_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--address", help="address of a Ray cluster; this machine if absent")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> Outcome:
    """Trains, and returns the result."""
    args = parsed(argv)
    ray.init(address=args.address, ignore_reinit_error=True, include_dashboard=False)
    algorithm = configuration(args).build_algo()
    try:
        return train(algorithm, args.steps)
    finally:
        algorithm.stop()
        ray.shutdown()


if __name__ == "__main__":
    main()
