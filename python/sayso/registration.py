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
            # Gymnasium itself truncates what it makes one by one; a vector is told the number.
            entry_point="sayso.env:without_limit",
            vector_entry_point="sayso.vector:VectorEnv",
            max_episode_steps=describe(name, None)["max_episode_steps"],
            order_enforce=False,
            kwargs={"env_id": name},
        )


def describe(env_id: str, options: dict | None) -> dict:
    """What is fixed about an environment, before any world is made."""
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"options = {options!r}; expected a dict")
    try:
        text = json.dumps(options or {})
    except TypeError as error:
        raise TypeError(f"options = {options!r}: {error}") from error
    return _core.describe(env_id, text)
