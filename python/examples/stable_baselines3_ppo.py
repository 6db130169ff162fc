"""PPO of Stable-Baselines3 learns to touch the ball that the instruction names.

    pip install stable-baselines3
    python python/examples/stable_baselines3_ppo.py --instruction blue

The reward is a vision-language model's score of the frames; success is measured by ground truth.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from sayso.stable_baselines3 import make_vec_env


@dataclass
class Outcome:
    """Success rate before and after training."""

    success_before: float
    success_after: float


def main(argv: list[str] | None = None) -> Outcome:
    """Trains, and evaluates before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="sayso/Reach-v1")
    parser.add_argument("--instruction", help="name of a goal; the task's first if absent")
    parser.add_argument("--reward", default="vlm_rm", choices=["vlm_rm", "ground_truth"])
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--episodes", type=int, default=100, help="episodes of an evaluation")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    task = {"instruction": args.instruction}
    envs = VecNormalize(make_vec_env(args.env, args.num_envs, args.seed, reward=args.reward, **task), gamma=0.9)
    # The settings of Sayso's own preset for this task.
    policy = PPO(
        "MlpPolicy",
        envs,
        n_steps=32,
        batch_size=512,
        n_epochs=5,
        learning_rate=lambda left: 1e-3 * left,
        gamma=0.9,
        policy_kwargs={"net_arch": [128, 128], "activation_fn": nn.ReLU, "log_std_init": -0.5},
        seed=args.seed,
        device="cpu",
        verbose=1,
    )
    before = success_rate(policy, envs, args.env, args.episodes, task)
    policy.learn(args.steps, log_interval=20)
    after = success_rate(policy, envs, args.env, args.episodes, task)
    [instruction] = envs.get_attr("task_description", 0)
    print(f'"{instruction}": success in {before:.0%} of episodes before training, {after:.0%} after')
    return Outcome(before, after)


def success_rate(
    policy: BaseAlgorithm, trained: VecNormalize, env_id: str, n_episodes: int, task: dict[str, str | None]
) -> float:
    """Success rate of the deterministic policy, over one episode in each of ``n_episodes`` envs."""
    envs: VecEnv = make_vec_env(env_id, n_episodes, seed=10_000, reward="none", **task)
    observations = envs.reset()
    outcome: list[bool | None] = [None] * n_episodes
    while None in outcome:
        actions, _ = policy.predict(trained.normalize_obs(observations), deterministic=True)
        observations, _, dones, infos = envs.step(actions)
        for i in np.flatnonzero(dones):
            outcome[i] = infos[i]["is_success"] if outcome[i] is None else outcome[i]
    envs.close()
    return float(np.mean(outcome))


if __name__ == "__main__":
    main()
