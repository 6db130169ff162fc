"""Registration with Gymnasium."""

import json

import gymnasium

from sayso import _core


def register_envs() -> None:
    """Registers every environment that is not registered yet."""
    for name in _core.env_ids():
        env_id = f"sayso/{name}"
        if env_id in gymnasium.registry:
            continue
        gymnasium.register(
            id=env_id,
            # Gymnasium truncates single environments itself, and passes the number to a vector.
            entry_point="sayso.env:without_limit",
            vector_entry_point="sayso.vector:VectorEnv",
            max_episode_steps=describe(name, None)["max_episode_steps"],
            order_enforce=False,
            kwargs={"env_id": name},
        )


def describe(env_id: str, options: dict | None) -> dict:
    """The static properties of an environment: spaces, goals, names. Creates no world."""
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"options = {options!r}; expected a dict")
    try:
        text = json.dumps(options or {})
    except TypeError as error:
        raise TypeError(f"options = {options!r}: {error}") from error
    return _core.describe(env_id, text)
