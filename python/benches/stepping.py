"""Env steps per second of 64 envs from Python, with random actions that are sampled in the loop.

    python python/benches/stepping.py

The same loop as `cargo bench --bench stepping` in Rust. Prints the median of five measurements of two seconds.
"""

import statistics
import time

import sayso

CASES = [("Reach-v1", "state"), ("Reach-v1", "pixels"), ("CartPole-v1", "state")]
N_ENVS, SECS, ROUNDS = 64, 2.0, 5


def steps_per_sec(env_id: str, obs: str) -> float:
    envs = sayso.VectorEnv(N_ENVS, env_id, obs=obs, autoreset_mode="same_step")
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(20):
        envs.step(envs.action_space.sample())
    n_calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECS:
        envs.step(envs.action_space.sample())
        n_calls += 1
    rate = n_calls * N_ENVS / (time.perf_counter() - started)
    envs.close()
    return rate


print("| environment | observation | env steps/s |\n|---|---|---|")
for env_id, obs in CASES:
    rates = [steps_per_sec(env_id, obs) for _ in range(ROUNDS)]
    print(f"| {env_id} | {obs} | {statistics.median(rates):,.0f} |")
