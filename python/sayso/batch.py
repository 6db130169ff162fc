"""The native batch. It is created at its first use, so that environments can be pickled, and forked before they run."""

from typing import Any

import numpy as np
from gymnasium import spaces

from sayso import _core
from sayso.errors import ActionError, ClosedError, ResetNeededError
from sayso.settings import Settings


class Batch:
    """Envs that step together."""

    def __init__(self, settings: Settings, num_envs: int, action_space: spaces.Space) -> None:
        self.settings = settings
        self.num_envs = num_envs
        self.action_space = action_space
        self.is_closed = False
        self.was_reset = False
        self._native: _core.VecEnv | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_native"] = None
        state["was_reset"] = False
        return state

    @property
    def native(self) -> _core.VecEnv:
        """The native batch, created at the first call."""
        if self.is_closed:
            raise ClosedError("this environment is closed: make a new one")
        if self._native is None:
            model, function = self.settings.reward_model, self.settings.reward_function
            self._native = _core.VecEnv(self.settings.json, model and model.native, function and function.native)
        return self._native

    def reset(self, seeds: list[int | None] | None, mask: np.ndarray | None) -> dict[str, Any]:
        """Starts episodes in all envs, or in those of ``mask``, bool ``[num_envs]``."""
        columns = self.native.reset(seeds, mask)
        self.was_reset = True
        return columns

    def step(self, actions: Any) -> dict[str, Any]:
        """One control step. ``actions`` are ``[num_envs, dim]`` or ``[num_envs]``."""
        native = self.native
        if not self.was_reset:
            raise ResetNeededError("step before reset: call reset first")
        if isinstance(self.action_space, spaces.Discrete):
            return native.step_discrete(self._choices(actions))
        return native.step_continuous(self._values(actions))

    def _array(self, actions: Any) -> np.ndarray:
        try:
            return np.asarray(actions)
        except ValueError as error:
            raise ActionError(f"actions cannot be converted to an array: {error}") from error

    def _values(self, actions: Any) -> np.ndarray:
        values = self._array(actions)
        shape = (self.num_envs, *self.action_space.shape)
        if values.shape != shape:
            raise ActionError(f"actions have shape {values.shape}; expected {shape}")
        if values.dtype.kind not in "fiu":
            raise ActionError(f"actions are {values.dtype}; expected float32")
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, np.float32)
        if not np.isfinite(values).all():
            raise ActionError("an action is NaN or infinite; expected numbers within the action space")
        return values

    def _choices(self, actions: Any) -> np.ndarray:
        choices = self._array(actions)
        if choices.shape != (self.num_envs,):
            raise ActionError(f"actions have shape {choices.shape}; expected {(self.num_envs,)}")
        if choices.dtype.kind not in "iu":
            raise ActionError(f"actions are {choices.dtype}; expected int64")
        n = self.action_space.n
        if (choices < 0).any() or (choices >= n).any():
            raise ActionError(f"actions = {choices}; expected numbers from 0 to {n - 1}")
        return np.ascontiguousarray(choices, np.int64)

    def render(self, camera: str | None, size: tuple[int, int]) -> np.ndarray:
        """A frame of the present state of every env, u8 ``[num_envs, height, width, 3]``."""
        if not self.was_reset:
            raise ResetNeededError("render before reset: call reset first")
        return self.native.render(size[0], size[1], camera)

    def close(self) -> None:
        """Frees everything. Further calls do nothing."""
        self._native = None
        self.is_closed = True
