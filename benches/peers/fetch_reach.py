"""Rates of gymnasium-robotics' FetchReach: rendering alone, and stepping with one frame per step."""

import os

os.environ.setdefault("MUJOCO_GL", "osmesa")

import time  # noqa: E402

import gymnasium  # noqa: E402
import gymnasium_robotics  # noqa: E402

SIZE = 64
SECONDS = 5.0


def rate(call) -> float:
    """Calls per second over a fixed time, after a warm-up."""
    for _ in range(5):
        call()
    n_calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        call()
        n_calls += 1
    return n_calls / (time.perf_counter() - start)


def main() -> None:
    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make("FetchReach-v4", render_mode="rgb_array", width=SIZE, height=SIZE)
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        env.render()
        if terminated or truncated:
            env.reset()

    print(f"fetch_reach.render {rate(env.render):.1f}")
    print(f"fetch_reach.step_with_pixels {rate(step):.1f}")


if __name__ == "__main__":
    main()
