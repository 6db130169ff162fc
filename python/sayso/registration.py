"""Registration with Gymnasium."""

import json

import gymnasium

from sayso import _core


def register_envs() -> None:
    """Registers every environment; those that are registered already stay as they are."""
    for name in _core.env_ids():
        env_id = f"sayso/{name}"
        if env_id in gymnasium.registry:
            continue
        gymnasium.register(
            id=env_id,
            entry_point="sayso.env:Env",
            vector_entry_point="sayso.vector:VectorEnv",
            # Episodes are truncated by the simulator itself, in batches too.
            max_episode_steps=None,
            order_enforce=False,
            kwargs={"env_id": name},
        )


def describe(env_id: str, options: dict | None) -> dict:
    """What is fixed about an environment, before any world is made."""
    return _core.describe(env_id, json.dumps(options or {}))
