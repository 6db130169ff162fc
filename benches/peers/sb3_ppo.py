"""Training rate of Stable-Baselines3's PPO on CartPole-v1 with default settings, steps per second."""

import time

import gymnasium
import torch
from stable_baselines3 import PPO

N_STEPS = 20_480


def main() -> None:
    torch.set_num_threads(2)
    model = PPO("MlpPolicy", gymnasium.make("CartPole-v1"), seed=0, device="cpu")
    model.learn(2_048)
    start = time.perf_counter()
    model.learn(N_STEPS, reset_num_timesteps=False)
    print(f"sb3.ppo_steps {N_STEPS / (time.perf_counter() - start):.1f}")


if __name__ == "__main__":
    main()
