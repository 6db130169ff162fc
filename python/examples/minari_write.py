"""Writes a Minari dataset of Reach-v1, from a vector of environments or with Minari's own DataCollector.

    pip install ./python "minari[hdf5,create]"
    python python/examples/minari_write.py --instruction blue --episodes 200
    python python/examples/minari_write.py --obs both --size 64 --policy random

Every episode is stored with its seed: the seed and the actions reproduce it step by step.
"""

import argparse
import itertools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import minari
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from minari import DataCollector, MinariDataset
from minari.data_collector import EpisodeBuffer

import sayso

COLOURS = ["red", "green", "blue"]
# Distance that the gripper moves in a step at an action of 1, metres: 0.75 m/s for 1/15 s.
REACH_PER_STEP = 0.05

Policy = Callable[[np.ndarray], np.ndarray]


@dataclass
class Summary:
    """The written dataset, success rate, mean return, and durations in seconds."""

    dataset: MinariDataset
    success_rate: float
    mean_return: float
    collect_secs: float
    write_secs: float


def scripted(colour: str) -> Policy:
    """Moves straight to the ball of the given colour: state f32 ``[n, 36]`` to actions f32 ``[n, 3]``."""
    channel = COLOURS.index(colour)

    def act(state: np.ndarray) -> np.ndarray:
        # The last 18 values describe three balls: position relative to the gripper in metres, and linear RGB.
        balls = state[:, 18:].reshape(-1, 3, 6)
        offsets, colours = balls[..., :3], balls[..., 3:]
        wanted = np.argmax(colours[..., channel] - colours.mean(axis=-1), axis=1)
        return np.clip(offsets[np.arange(len(state)), wanted] / REACH_PER_STEP, -1, 1)

    return act


def uniform(seed: int) -> Policy:
    """Actions sampled uniformly from the action space, f32 ``[n, 3]``."""
    rng = np.random.default_rng(seed)
    return lambda state: rng.uniform(-1, 1, (len(state), 3)).astype(np.float32)


def state_of(observation: Any) -> Any:
    """The part of an observation that a policy reads."""
    return observation["state"] if isinstance(observation, dict) else observation


def stack_env(columns: list[Any], env_idx: int) -> Any:
    """One env's row of every step's columns, stacked over the steps; dictionaries keep their keys."""
    if isinstance(columns[0], dict):
        # Keys with an underscore are Gymnasium's masks; here all rows are valid.
        names = [name for name in columns[0] if not name.startswith("_")]
        return {name: stack_env([column[name] for column in columns], env_idx) for name in names}
    return np.stack([column[env_idx] for column in columns])


def collect(envs: VectorEnv, policy: Policy, n_episodes: int, seed: int) -> list[EpisodeBuffer]:
    """Runs the episodes of seeds ``seed`` to ``seed + n_episodes - 1``; autoreset must be disabled.

    An episode of T steps has T + 1 observations and infos, the last of them its true last ones.
    """
    fresh = itertools.count(seed)
    seeds = [next(fresh) for _ in range(envs.num_envs)]
    observation, infos = envs.reset(seed=seeds)
    # For the current episode of every env: the columns of all envs since its reset.
    frames = [[(observation, infos)] for _ in seeds]
    steps: list[list[tuple[np.ndarray, ...]]] = [[] for _ in seeds]
    episodes = []
    while len(episodes) < n_episodes:
        actions = policy(state_of(observation))
        observation, rewards, terminated, truncated, infos = envs.step(actions)
        for env_idx in range(envs.num_envs):
            frames[env_idx].append((observation, infos))
            steps[env_idx].append((actions, rewards, terminated, truncated))
        has_ended = terminated | truncated
        if not has_ended.any():
            continue
        for env_idx in np.flatnonzero(has_ended):
            # Episodes of later seeds are dropped: taking those that end first would prefer short episodes.
            if seeds[env_idx] < seed + n_episodes:
                episodes.append(episode_of(env_idx, seeds[env_idx], frames[env_idx], steps[env_idx]))
            seeds[env_idx] = next(fresh)
        observation, infos = envs.reset(seed=seeds, options={"reset_mask": has_ended})
        for env_idx in np.flatnonzero(has_ended):
            frames[env_idx], steps[env_idx] = [(observation, infos)], []
    return sorted(episodes, key=lambda episode: episode.seed)


def episode_of(env_idx: int, seed: int, frames: list[tuple], steps: list[tuple]) -> EpisodeBuffer:
    """The episode of one env, extracted from the vector's columns."""
    observations, infos = (stack_env(list(columns), env_idx) for columns in zip(*frames, strict=True))
    actions, rewards, terminated, truncated = (
        stack_env(list(columns), env_idx) for columns in zip(*steps, strict=True)
    )
    return EpisodeBuffer(
        seed=seed,
        observations=observations,
        actions=actions,
        rewards=rewards,
        terminations=terminated,
        truncations=truncated,
        infos=infos,
    )


def collect_alone(collector: DataCollector, policy: Policy, n_episodes: int, seed: int) -> None:
    """Runs the same episodes one after another; Minari's wrapper records them."""
    for episode_seed in range(seed, seed + n_episodes):
        observation, _ = collector.reset(seed=episode_seed)
        has_ended = False
        while not has_ended:
            action = policy(state_of(observation)[None])[0]
            observation, _, terminated, truncated, _ = collector.step(action)
            has_ended = terminated or truncated


def main(argv: list[str] | None = None) -> Summary:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset-id", help="sayso/reach-INSTRUCTION/POLICY-v0 if absent")
    parser.add_argument("--instruction", choices=COLOURS, default="red")
    parser.add_argument("--policy", choices=["scripted", "random"], default="scripted")
    parser.add_argument("--reward", choices=["ground_truth", "vlm_rm"], default="ground_truth")
    parser.add_argument("--obs", choices=["state", "pixels", "both"], default="state")
    parser.add_argument("--size", type=int, default=64, help="rows and columns of pixels")
    parser.add_argument("--jpeg", action="store_true", help="store pixels as JPEG: smaller, but lossy")
    parser.add_argument("--collector", choices=["vector", "single"], default="vector")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.policy == "scripted" and args.obs == "pixels":
        parser.error("the scripted policy reads the state: use --obs both, or --policy random")

    kwargs = {"instruction": args.instruction, "reward": args.reward, "obs": args.obs, "size": args.size}
    policy = scripted(args.instruction) if args.policy == "scripted" else uniform(args.seed)
    # The dataset stores the spec of the single environment, from which recover_environment creates it.
    env = gymnasium.make("sayso/Reach-v1", **kwargs)
    task = env.unwrapped.task_description
    about = {
        "dataset_id": args.dataset_id or f"sayso/reach-{args.instruction}/{args.policy}-v0",
        "eval_env": env.spec,
        "algorithm_name": args.policy,
        "description": f"{args.policy.capitalize()} actions in sayso/Reach-v1. The task: {task}.",
        "requirements": [f"sayso=={sayso.__version__}"],
    }
    print(f'"{task}": {args.episodes} episodes of the {args.policy} policy')

    with warnings.catch_warnings():
        # Author, email and code link are set by whoever publishes the dataset.
        warnings.filterwarnings("ignore", "`(author|author_email|code_permalink)` is set to None")
        began = time.perf_counter()
        if args.collector == "vector":
            envs = gymnasium.make_vec(
                "sayso/Reach-v1", num_envs=args.num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs
            )
            episodes = collect(envs, policy, args.episodes, args.seed)
            envs.close()
            collected = time.perf_counter()
            dataset = minari.create_dataset_from_buffers(
                buffer=episodes, env=env, jpeg_encoding=args.jpeg, **about
            )
            env.close()
        else:
            collector = DataCollector(env, record_infos=True, jpeg_encoding=args.jpeg)
            collect_alone(collector, policy, args.episodes, args.seed)
            collected = time.perf_counter()
            dataset = collector.create_dataset(**about)
            collector.close()
    dataset.storage.update_metadata({"task_description": task})
    written = time.perf_counter()

    ends = [(episode.infos["success"].any(), episode.rewards.sum()) for episode in dataset]
    success_rate, mean_return = (float(value) for value in np.mean(ends, axis=0))
    summary = Summary(dataset, success_rate, mean_return, collected - began, written - collected)
    size = dataset.storage.get_size()
    print(f"{dataset.id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps, {size:.1f} MB")
    print(f"success {summary.success_rate:.0%}, mean return {summary.mean_return:.2f}")
    print(f"{summary.collect_secs:.1f} s to collect, {summary.write_secs:.1f} s to write")
    return summary


if __name__ == "__main__":
    main()
