"""The native batch. It is created at its first use, so that environments can be pickled, and forked before they run."""

from typing import Any

import numpy as np
from gymnasium import spaces

from sayso import _core
from sayso.checks import text
from sayso.errors import ActionError, ClosedError, ResetNeededError
from sayso.settings import GOAL_KEYS, Settings


class Batch:
    """Envs that step together."""

    def __init__(self, settings: Settings, num_envs: int, action_space: spaces.Space) -> None:
        self.settings = settings
        self.num_envs = num_envs
        self.action_space = action_space
        self.is_closed = False
        self.was_reset = False
        # Those of the settings, then those that :meth:`set_instruction` added.
        self.instructions = list(settings.instructions)
        # The index of each env's instruction; none before the first episode.
        self._instruction: np.ndarray | None = None
        self._native: _core.VecEnv | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_native"] = None
        state["was_reset"] = False
        state["_instruction"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.instructions = list(self.settings.instructions)

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

    @property
    def instructions(self) -> list[tuple[str, int | None]]:
        """Sentence and index of the goal of each instruction."""
        return self._instructions

    @instructions.setter
    def instructions(self, instructions: list[tuple[str, int | None]]) -> None:
        self._instructions = instructions
        self._has_goal = np.array([goal is not None for _, goal in instructions])
        self._goals = np.array([goal or 0 for _, goal in instructions])

    @property
    def current(self) -> tuple[str, ...]:
        """The sentence of each env; before the first episode empty, if episodes have different ones."""
        if self._instruction is not None:
            return self.sentences(self._instruction)
        return (self.instructions[0][0] if len(self.instructions) == 1 else "",) * self.num_envs

    def present_observation(self, columns: dict[str, Any]) -> Any:
        """:meth:`observation` of the present state, which :attr:`current` then describes."""
        self._instruction = columns["instruction"]
        return self.observation(columns)

    def observation(self, columns: dict[str, Any]) -> Any:
        """The observations of a batch from the native columns: an array, or a dict of arrays; texts are a tuple."""
        observed: dict[str, Any] = {}
        for name in self.settings.columns:
            if name == "state":
                observed[self.settings.state_key] = columns["state"]
            elif name == "pixels":
                observed.update(zip(self.settings.pixel_keys, columns["pixels"], strict=True))
            elif name == "goal":
                observed.update({key: columns[key] for key in GOAL_KEYS})
            elif name == "instruction_text":
                observed["instruction"] = self.sentences(columns["instruction"])
            else:
                observed["instruction"] = columns[name]
        return next(iter(observed.values())) if len(observed) == 1 else observed

    def sentences(self, instruction: np.ndarray) -> tuple[str, ...]:
        """The sentence of each index."""
        return tuple(self.instructions[i][0] for i in instruction.tolist())

    def success(self, info: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Success on the goal of each env's instruction, bool ``[num_envs]``, under both of its names; and which envs have
        such a goal. The dict is empty if none has."""
        has_goal = self._has_goal[info["instruction"]]
        if not has_goal.any():
            return {}, has_goal
        success = info["success"][np.arange(self.num_envs), self._goals[info["instruction"]]] & has_goal
        return {"success": success, "is_success": success}, has_goal

    def set_instruction(
        self, env_idx: int, words: str, goal_prompt: str | None, baseline_prompt: str | None
    ) -> Any:
        """Changes the instruction of one env's episode. Returns the value of the observation's column ``instruction``; ``None``
        if that is not observed."""
        text("instruction", words)
        for name, prompt in (("goal_prompt", goal_prompt), ("baseline_prompt", baseline_prompt)):
            if prompt is not None:
                text(name, prompt)
        if not self.was_reset:
            raise ResetNeededError("set_instruction before reset: call reset first")
        if "instruction_text" in self.settings.columns:
            space = self.settings.observation_space["instruction"]
            if not space.contains(words):
                raise ValueError(f"instruction = {words!r} is not in the observation space {space}")
        columns = self.native.set_instruction(env_idx, words, goal_prompt, baseline_prompt)
        self.instructions = self.native.instructions()
        self._instruction = columns["instruction"]
        values = {**columns, "instruction_text": self.current}
        return next((values[name][env_idx] for name in self.settings.columns if name.startswith("instruction")), None)

    def close(self) -> None:
        """Frees everything. Further calls do nothing."""
        self._native = None
        self.is_closed = True
