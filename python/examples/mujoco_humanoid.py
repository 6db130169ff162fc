"""Rewards of goal prompts for MuJoCo's humanoid, with the prompts of VLM-RM (Rocamonde et al., ICLR 2024, table 3).

Random actions in a vector of Gymnasium's Humanoid-v5 are rewarded for kneeling, and four poses are scored for four
goal prompts:

    pip install "gymnasium[mujoco]"
    python python/examples/mujoco_humanoid.py                    # downloads CLIP ViT-B/32 at the first run
    python python/examples/mujoco_humanoid.py --model bundled    # for a trial only: it does not know humanoids
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

if sys.platform == "linux":
    # Renders without a display; so does "osmesa".
    os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium  # noqa: E402
import imageio.v3 as iio  # noqa: E402

import sayso  # noqa: E402
from sayso.wrappers import VectorLanguageReward  # noqa: E402

PROMPTS = {
    "standing up": "a humanoid robot standing up",
    "kneeling": "a humanoid robot kneeling",
    "arms raised": "a humanoid robot standing up, with both arms raised",
    "splits": "a humanoid robot practicing gymnastics, doing the side splits",
}
BASELINE = "a humanoid robot"

# The bundled model refuses words that are not in its vocabulary, such as "humanoid".
PLACEHOLDERS = {
    thing: f"the robot touching the {thing}"
    for thing in ("red ball", "red object", "green object", "yellow object")
}
PLACEHOLDER_BASELINE = "a robot in a room with coloured objects"


def both(**degrees: float) -> dict[str, float]:
    """The same angles for the joints of both sides."""
    return {f"{side}_{joint}": angle for joint, angle in degrees.items() for side in ("left", "right")}


# Height of the torso, metres, and angles of joints, degrees. The state is set directly; the splits exceed the
# limits of the hips.
POSES: dict[str, tuple[float, dict[str, float]]] = {
    "standing up": (1.29, {}),
    "kneeling": (0.89, both(knee=-100)),
    "arms raised": (1.29, {"left_shoulder1": 80, "right_shoulder1": -80}),
    "splits": (0.68, both(hip_x=-80)),
}

# Camera, image size and episode length of VLM-RM, without early termination. Its textures are not used.
HUMANOID: dict[str, Any] = dict(
    render_mode="rgb_array",
    width=480,
    height=480,
    max_episode_steps=100,
    terminate_when_unhealthy=False,
    camera_id=-1,
    default_camera_config={
        "distance": 3.5,
        "lookat": np.array([0.0, 0.0, 1.0]),
        "elevation": -10.0,
        "azimuth": 180.0,
    },
)


def step_randomly(envs: VectorLanguageReward, n_steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of random actions, the model's and the environment's own: f64 ``[n_steps, num_envs]``."""
    envs.reset(seed=seed)
    envs.action_space.seed(seed)
    rewards, env_rewards = [], []
    for step in range(1, n_steps + 1):
        _, reward, _, _, infos = envs.step(envs.action_space.sample())
        rewards.append(reward)
        env_rewards.append(infos["env_reward"])
        if step % 5 == 0:
            own = env_rewards[-1].mean()
            print(f"step {step:3}  mean reward: model {reward.mean():.4f}, environment {own:.2f}")
    return np.array(rewards), np.array(env_rewards)


def images_of_poses() -> np.ndarray:
    """Images of the poses, u8 ``[n_poses, 480, 480, 3]``."""
    env = gymnasium.make("Humanoid-v5", **HUMANOID)
    env.reset(seed=0)
    humanoid = env.unwrapped
    frames = []
    for height, angles in POSES.values():
        qpos = humanoid.init_qpos.copy()
        qpos[2] = height
        for joint, degrees in angles.items():
            qpos[humanoid.model.joint(joint).qposadr] = np.radians(degrees)
        humanoid.set_state(qpos, np.zeros(humanoid.model.nv))
        frames.append(env.render())
    env.close()
    return np.stack(frames)


def main(argv: list[str] | None = None) -> dict[str, np.ndarray]:
    """``rewards`` and ``env_rewards`` ``[n_steps, num_envs]``, and ``scores`` ``[n_poses, n_prompts]``."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", default="openai/clip-vit-base-patch32", help="name on the hub, folder, or 'bundled'")
    parser.add_argument("--task", choices=PROMPTS, default="kneeling", help="goal prompt of the reward")
    parser.add_argument("--alpha", type=float, default=0.0, help="strength of goal-baseline regularisation")
    parser.add_argument("--every-n-steps", type=int, default=1, help="score every n-th step")
    parser.add_argument("--num-envs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image", type=Path, default=Path("humanoid.png"), help="image file of the poses")
    args = parser.parse_args(argv)

    model = sayso.RewardModel(args.model)
    prompts, baseline, prompt = PROMPTS, BASELINE, PROMPTS[args.task]
    if args.model == "bundled":
        print("The bundled model knows Sayso's own scenes only: placeholder prompts, whose scores have no meaning.")
        prompts, baseline, prompt = PLACEHOLDERS, PLACEHOLDER_BASELINE, PLACEHOLDERS["red ball"]

    print(f"Random actions, rewarded for {prompt!r}:")
    envs = gymnasium.make_vec("Humanoid-v5", args.num_envs, "sync", **HUMANOID)
    envs = VectorLanguageReward(envs, prompt, baseline, args.alpha, model=model, every_n_steps=args.every_n_steps)
    rewards, env_rewards = step_randomly(envs, args.steps, args.seed)
    envs.close()

    frames = images_of_poses()
    iio.imwrite(args.image, np.hstack(frames))
    scores = np.stack([model.score(frames, text, baseline, args.alpha) for text in prompts.values()], axis=1)
    print(f"\nScores of poses (left to right in {args.image}) by goal prompt; * is the best of a column:")
    print(" " * 12 + "".join(f"{name:>16}" for name in prompts))
    for pose, row, is_best in zip(POSES, scores, scores == scores.max(axis=0), strict=True):
        cells = (f"{score:.4f} {'*' if best else ' '}" for score, best in zip(row, is_best, strict=True))
        print(f"{pose:<12}" + "".join(f"{cell:>16}" for cell in cells))
    if prompts is PROMPTS:
        n_right = int((scores.argmax(axis=0) == np.arange(len(POSES))).sum())
        print(f"{n_right} of {len(PROMPTS)} goal prompts score their own pose best.")
    return {"rewards": rewards, "env_rewards": env_rewards, "scores": scores}


if __name__ == "__main__":
    main()
