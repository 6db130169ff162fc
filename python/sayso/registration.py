"""Registration with Gymnasium."""

import dataclasses
import json

import gymnasium
from gymnasium.envs.registration import EnvSpec

from sayso import _core

# More steps than any episode has.
UNLIMITED = 2**31 - 1


def register_envs() -> None:
    """Registers every environment that is not registered yet."""
    for name in _core.env_ids():
        env_id = f"sayso/{name}"
        if env_id in gymnasium.registry:
            continue
        gymnasium.register(
            id=env_id,
            # The simulator truncates. No number of steps is registered, as it depends on the options of the task.
            entry_point="sayso.env:make_env",
            vector_entry_point="sayso.vector:VectorEnv",
            order_enforce=False,
            kwargs={"env_id": name},
        )


def with_limit(spec: EnvSpec | None, max_episode_steps: int) -> EnvSpec | None:
    """A specification with the number of steps after which its environment truncates; an environment made from it has the
    same limit.
    """
    if spec is None:
        return None
    if max_episode_steps < UNLIMITED:
        return dataclasses.replace(spec, max_episode_steps=max_episode_steps)
    kwargs = {**spec.kwargs, "max_episode_steps": UNLIMITED}
    return dataclasses.replace(spec, max_episode_steps=None, kwargs=kwargs)


def describe(env_id: str, options: dict | None) -> dict:
    """The static properties of an environment: spaces, goals, names. Creates no world."""
    return _core.describe(env_id, _options_json(options))


def goal_named_in(env_id: str, options: dict | None, prompt: str) -> int | None:
    """Index of the goal that a prompt names, if it names exactly one of the environment's goals. Creates no world."""
    return _core.goal_named_in(env_id, _options_json(options), prompt)


def _options_json(options: dict | None) -> str:
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"options = {options!r}; expected a dict")
    try:
        return json.dumps(options or {})
    except TypeError as error:
        raise TypeError(f"options = {options!r}: {error}") from error
