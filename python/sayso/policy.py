"""Policies that ``sayso train`` has trained."""

import json
import os
from typing import Any

import gymnasium
import numpy as np

from sayso import _core

# Keywords of :class:`sayso.Env` that have other names in the configuration of a run.
_RENAMED = {"observation": "obs", "pixel_camera": "camera", "pixel_size": "size"}
_SAME = ("instruction", "instruction_text", "paraphrases", "text_model", "max_episode_steps", "options")


def load_policy(run: str | os.PathLike[str], *, best: bool = False, seed: int = 0) -> "Policy":
    """The trained policy of a run folder.

    Args:
        run: the folder that ``sayso train`` has written.
        best: the checkpoint with the highest mean training reward instead of the newest.
        seed: of the random choices of ``predict(deterministic=False)``.

    Raises:
        ValueError: if it is not a run folder, has no checkpoint, or a file in it is damaged.
    """
    return Policy(_core.Policy(os.fspath(run), best, seed))


class Policy:
    """A trained policy, with the interface of Stable-Baselines3's ``predict``. Made by :func:`load_policy`.

    Attributes:
        env_id: environment that it was trained in, with the prefix ``sayso/``.
        env_kwargs: keywords of ``gymnasium.make``, ``gymnasium.make_vec`` and :class:`sayso.Env` for an environment with the
            observations, options and instructions of the training.
        num_steps: environment steps of training.
    """

    def __init__(self, native: _core.Policy) -> None:
        self._native = native
        env = json.loads(native.env)
        self.env_id = f"sayso/{env['id']}"
        self.num_steps = native.n_steps
        kwargs = {name: env[key] for key, name in {**_RENAMED, **{key: key for key in _SAME}}.items() if env.get(key)}
        kwargs["size"] = {name: tuple(size) for name, size in env["pixel_sizes"].items()} or tuple(env["pixel_size"])
        self.env_kwargs: dict[str, Any] = kwargs

    def make_env(self, **kwargs: Any) -> gymnasium.Env:
        """An environment as in training, with ground-truth rewards; ``kwargs`` replace :attr:`env_kwargs`."""
        return gymnasium.make(self.env_id, **{"reward": "ground_truth", **self.env_kwargs, **kwargs})

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, None]:
        """The actions for an observation, or for a batch of them with a leading axis.

        Args:
            observation: of an environment with :attr:`env_kwargs`: an array, or a dict of arrays.
            state: not used; policies have no memory.
            episode_start: not used.
            deterministic: the best action; otherwise a sample of the distribution that the policy was trained with. DQN always takes the
                best action.

        Returns:
            Actions, f32 ``[dim]`` or ``[n, dim]``, or i64 ``[]`` or ``[n]``; and ``None``.

        Raises:
            ValueError: if the observation is not one that the policy reads.
        """
        state, pixels, instruction = self._columns(observation)
        axes = {"state": (state, 2, np.float32), "pixels": (pixels, 4, np.uint8), "instruction": (instruction, 2, np.float32)}
        columns, single = {}, set()
        for name, (values, n_axes, dtype) in axes.items():
            if values is None:
                columns[name] = None
                continue
            values = np.asarray(values)
            if values.ndim not in (n_axes - 1, n_axes):
                raise ValueError(f"{name} has shape {values.shape}; expected {n_axes - 1} axes, or {n_axes} for a batch")
            single.add(values.ndim == n_axes - 1)
            columns[name] = np.ascontiguousarray(values if values.ndim == n_axes else values[None], dtype)
        if len(single) != 1:
            raise ValueError("an observation has columns of one observation and of a batch, or none that the policy reads")
        actions = self._native.act(columns["state"], columns["pixels"], columns["instruction"], deterministic)
        return (actions[0] if single.pop() else actions), None

    def _columns(self, observation: Any) -> tuple[Any, Any, Any]:
        """State, images and embedding of the instruction, each ``None`` if the policy does not read it."""
        native = self._native
        if not isinstance(observation, dict):
            return (observation, None, None) if native.state_dim else (None, observation, None)
        state = observation.get("state", observation.get("observation"))
        reads = (native.state_dim, native.image_size, native.instruction_dim)
        values = (state, observation.get("pixels"), observation.get("instruction"))
        return tuple(value if is_read else None for value, is_read in zip(values, reads, strict=True))
