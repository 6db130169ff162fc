"""From keyword arguments to what the simulator is told."""

import difflib
import inspect
import json
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from sayso import _core
from sayso.checks import choice, fraction, sentence, sides, whole
from sayso.registration import describe
from sayso.reward_model import RewardModel

Reward = Literal["clip", "ground_truth", "none"] | RewardModel
Obs = Literal["state", "pixels", "both"]

OBSERVATIONS = ("state", "pixels", "both")
# More steps than any episode has.
UNLIMITED = 2**31 - 1
SOURCES = {"clip": "language", "ground_truth": "ground_truth", "none": "none"}


def autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Gymnasium's enum, or its value or name as text."""
    if isinstance(mode, AutoresetMode):
        return mode
    by_text = {text: mode for mode in AutoresetMode for text in (mode.name.lower(), mode.value, mode.name)}
    return by_text[choice("autoreset_mode", mode, tuple(by_text))]


def refuse_unknown(kwargs: dict[str, Any], function: Any) -> None:
    """Raises a ``TypeError`` that offers the nearest keyword."""
    if not kwargs:
        return
    known = [name for name in inspect.signature(function).parameters if name not in ("self", "unknown")]
    name = next(iter(kwargs))
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    raise TypeError(f"unexpected keyword argument '{name}'{meant} (known: {', '.join(known)})")


class Settings:
    """What an environment or a batch of them is made of; everything here can be pickled."""

    def __init__(
        self,
        env_id: str,
        *,
        num_envs: int,
        autoreset: str,
        goal: str | None,
        prompt: str | None,
        baseline: str | None,
        alpha: float | None,
        reward: Reward,
        model: str,
        every: int,
        obs: Obs,
        camera: str | None,
        size: int | tuple[int, int],
        max_episode_steps: int | None,
        device: str | None,
        options: dict[str, Any] | None,
    ) -> None:
        self.reward_model = reward if isinstance(reward, RewardModel) else None
        if self.reward_model is None:
            choice("reward", reward, tuple(SOURCES))
        self.obs = choice("obs", obs, OBSERVATIONS)
        self.size = sides(size)
        self.about = describe(env_id, options)
        env: dict[str, Any] = {
            "id": env_id,
            "n_envs": whole("num_envs", num_envs, 1, 100_000),
            "autoreset": autoreset,
            "observation": obs,
            "pixel_size": list(self.size),
            "device": self._device(device),
            "options": options or {},
        }
        if goal is not None:
            choice("goal", goal, tuple(self.about["goals"]))
        if camera is not None:
            choice("camera", camera, tuple(self.about["cameras"]))
        if max_episode_steps is not None:
            max_episode_steps = whole("max_episode_steps", max_episode_steps, 1, UNLIMITED)
        optional = {"goal": goal, "pixel_camera": camera, "max_episode_steps": max_episode_steps}
        env.update({key: value for key, value in optional.items() if value is not None})
        if self.reward_model is None:
            judge: dict[str, Any] = {"source": SOURCES[reward], "model": model}
        else:
            judge = {"source": "language", "model": self.reward_model.name}
        if prompt is not None:
            judge["prompts"] = [sentence("prompt", prompt)]
        if baseline is not None:
            judge["baselines"] = [sentence("baseline", baseline)]
        if alpha is not None:
            judge["alpha"] = fraction("alpha", alpha)
        when = {"every_n_steps": whole("every", every, 1, UNLIMITED)}
        self.json = json.dumps({"env": env, "reward": judge, "judge": when}, allow_nan=False)
        # What the agent is told, and the goal that counts as success: a prompt may name another goal than the first.
        self.task_description, self.goal_idx = _core.told(self.json)

    def _device(self, device: str | None) -> str:
        """The device to draw on: a reward model's frames are drawn where it reads them."""
        if device is not None and not isinstance(device, str):
            raise TypeError(f"device = {device!r}; expected text such as 'cpu' or 'gpu:1'")
        theirs = None if self.reward_model is None else self.reward_model.device
        if device is not None and theirs is not None and device != theirs:
            raise ValueError(f"device = {device!r}; the reward model is on {theirs!r}: give both the same")
        return device if device is not None else theirs or "cpu"

    @property
    def observation_space(self) -> spaces.Space:
        """Of one env: ``Box`` f32, ``Box`` u8 ``[height, width, 3]``, or a ``Dict`` of ``state`` and ``pixels``."""
        state = _box(self.about["state_space"])
        pixels = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        if self.obs == "state":
            return state
        if self.obs == "pixels":
            return pixels
        return spaces.Dict({"state": state, "pixels": pixels})

    @property
    def action_space(self) -> spaces.Space:
        """Of one env: ``Box`` f32 or ``Discrete``."""
        bounds = self.about["action_space"]
        return spaces.Discrete(bounds["n"]) if "n" in bounds else _box(bounds)

    def observation(self, parts: tuple[np.ndarray | None, np.ndarray | None]) -> Any:
        """The observation of a batch from its two parts."""
        state, pixels = parts
        if self.obs == "state":
            return state
        if self.obs == "pixels":
            return pixels
        return {"state": state, "pixels": pixels}


def _box(bounds: dict[str, np.ndarray]) -> spaces.Box:
    return spaces.Box(bounds["low"], bounds["high"], dtype=np.float32)
