"""An environment for LeRobot's EnvHub, and an evaluation with LeRobot's own rollout.

``make_env`` is all that a repository's ``env.py`` needs. The rest evaluates a policy that reads the instruction:

    pip install lerobot                 # from 0.6: 'lerobot[dataset,evaluation]'
    python python/examples/lerobot_env.py --videos videos
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sayso.lerobot import LeRobotVectorEnv, make_envs

COLOURS = ("red", "green", "blue")
# Distance that the gripper moves in a step at full speed, metres.
FULL_STEP = 0.05
# Height of the gripper over a ball while it approaches, and when it presses on the ball from above, metres.
CLEARANCE, TOUCH = 0.14, 0.03


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None
) -> dict[str, dict[int, LeRobotVectorEnv]]:
    """The function that LeRobot calls. ``use_async_envs`` has no effect, as a native batch has no processes."""
    goals = cfg.task.split(",") if cfg is not None and cfg.task else COLOURS
    return make_envs(n_envs, "Reach-v1", goals=goals, obs="both", size=96)


class Scripted(torch.nn.Module):
    """Moves the gripper towards the ball whose colour the instruction names."""

    def reset(self) -> None:
        """The policy has no state."""

    def select_action(self, batch: dict[str, Any]) -> torch.Tensor:
        """f32 ``[n_envs, 3]``."""
        # For each of three balls: its position relative to the gripper, in metres, and its linear RGB.
        offset, colour = batch["observation.environment_state"].view(-1, 3, 6).split(3, dim=-1)
        hue = colour / colour.sum(dim=-1, keepdim=True)
        named = [next(i for i, name in enumerate(COLOURS) if name in task) for task in batch["task"]]
        envs = torch.arange(len(named))
        way = offset[envs, hue[envs, :, named].argmax(dim=1)]
        # Approach from above, as other balls may be in the way.
        beside = way[:, :2].norm(dim=1)
        height = (TOUCH + beside).clamp(max=CLEARANCE)
        return ((way + torch.nn.functional.pad(height[:, None], (2, 0))) / FULL_STEP).clamp(-1, 1)


class Random(torch.nn.Module):
    """Takes uniformly random actions."""

    def reset(self) -> None:
        """The policy has no state."""

    def select_action(self, batch: dict[str, Any]) -> torch.Tensor:
        """f32 ``[n_envs, 3]``."""
        return 2 * torch.rand(len(batch["task"]), 3) - 1


def evaluate(vector: LeRobotVectorEnv, policy: torch.nn.Module, seed: int, video: Path | None) -> float:
    """Success rate over the envs of a vector; writes a video of the first env."""
    from lerobot.scripts.lerobot_eval import rollout
    from lerobot.utils.io_utils import write_video

    def unchanged(batch: Any) -> Any:
        return batch

    frames: list[np.ndarray] = []
    data = rollout(
        vector,
        policy,
        env_preprocessor=unchanged,
        env_postprocessor=unchanged,
        preprocessor=unchanged,
        postprocessor=unchanged,
        seeds=list(range(seed, seed + vector.num_envs)),
        render_callback=(lambda envs: frames.append(envs.call("render")[0])) if video else None,
    )
    if video:
        write_video(video, np.stack(frames), vector.metadata["render_fps"])
    return data["success"].any(dim=1).float().mean().item()


def main(argv: list[str] | None = None) -> dict[str, float]:
    """The success rate of each instruction."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--policy", choices=("scripted", "random"), default="scripted")
    parser.add_argument("--n-envs", type=int, default=16, help="episodes of each task")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode of each task")
    parser.add_argument("--videos", type=Path, help="folder for a video of each task")
    args = parser.parse_args(argv)

    torch.manual_seed(args.seed)
    policy = Scripted() if args.policy == "scripted" else Random()
    if args.videos:
        args.videos.mkdir(parents=True, exist_ok=True)
    success = {}
    for suite, tasks in make_env(args.n_envs).items():
        for task_id, vector in tasks.items():
            video = args.videos / f"{suite}_{task_id}.mp4" if args.videos else None
            share = evaluate(vector, policy, args.seed, video)
            print(f"{suite} {task_id}  {vector.envs[0].task_description:<36} {share:.0%} succeed")
            success[vector.envs[0].task_description] = share
            vector.close()
    return success


if __name__ == "__main__":
    main()
