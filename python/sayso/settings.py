"""Keyword arguments as the simulator's configuration."""

import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from sayso import _core
from sayso.checks import choice, fraction, image_size, integer, text
from sayso.registration import UNLIMITED, describe
from sayso.reward_function import RewardFunction
from sayso.reward_model import RewardModel

Reward = str | RewardModel | RewardFunction | Callable[..., Any]
Schedule = Literal["hold_last", "difference", "episode_end", "potential"]
Obs = Literal["state", "pixels", "both"]

OBSERVATIONS = ("state", "pixels", "both")


def autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Gymnasium's enum from itself, its value or its name."""
    if isinstance(mode, AutoresetMode):
        return mode
    by_text = {key: mode for mode in AutoresetMode for key in (mode.name.lower(), mode.value, mode.name)}
    return by_text[choice("autoreset_mode", mode, tuple(by_text))]


class Settings:
    """The settings of an environment or of a batch; all of them can be pickled."""

    def __init__(
        self,
        env_id: str,
        *,
        num_envs: int,
        autoreset: str,
        instruction: str | None,
        goal_prompt: str | None,
        baseline_prompt: str | None,
        alpha: float | None,
        reward: Reward,
        model: str,
        reward_options: dict[str, Any] | None,
        every_n_steps: int,
        schedule: Schedule,
        discount: float | None,
        obs: Obs,
        camera: str | None,
        size: int | tuple[int, int],
        max_episode_steps: int | None,
        device: str | None,
        options: dict[str, Any] | None,
    ) -> None:
        self.reward_model = reward if isinstance(reward, RewardModel) else None
        self.reward_function = None
        if self.reward_model is None and callable(reward):
            self.reward_function = reward if isinstance(reward, RewardFunction) else RewardFunction(reward)
        if reward == "clip":
            raise ValueError("reward = 'clip'; it was renamed to 'vlm_rm'")
        if self.reward_model is None and self.reward_function is None:
            choice("reward", reward, (*_core.reward_kinds(), "ground_truth", "none"))
        self.obs = choice("obs", obs, OBSERVATIONS)
        self.size = image_size(size)
        self.about = describe(env_id, options)
        env: dict[str, Any] = {
            "id": env_id,
            "n_envs": integer("num_envs", num_envs, 1, _core.MAX_ENVS),
            "autoreset": autoreset,
            "observation": obs,
            "pixel_size": list(self.size),
            "device": self._device(device),
            "options": options or {},
        }
        if instruction is not None:
            choice("instruction", instruction, tuple(self.about["goals"]))
        if camera is not None:
            choice("camera", camera, tuple(self.about["cameras"]))
        if max_episode_steps is not None:
            max_episode_steps = integer("max_episode_steps", max_episode_steps, 1, UNLIMITED)
        optional = {"instruction": instruction, "pixel_camera": camera, "max_episode_steps": max_episode_steps}
        env.update({key: value for key, value in optional.items() if value is not None})
        # A function takes the place of the reward that the settings name.
        kind = "ground_truth" if self.reward_function else "vlm_rm" if self.reward_model else reward
        reward_config: dict[str, Any] = {"kind": kind}
        if reward_options:
            if kind in ("vlm_rm", "ground_truth", "none"):
                raise ValueError(f"reward_options = {reward_options!r} with reward = {reward!r}; it has no such options")
            reward_config.update(reward_options)
        if alpha is not None and kind not in ("vlm_rm", "ground_truth", "none"):
            raise ValueError(f"alpha = {alpha!r} with reward = {reward!r}; give it in reward_options")
        if kind == "vlm_rm":
            reward_config["model"] = self.reward_model.name if self.reward_model else model
        if goal_prompt is not None:
            reward_config["goal_prompts"] = [text("goal_prompt", goal_prompt)]
        if baseline_prompt is not None:
            reward_config["baseline_prompts"] = [text("baseline_prompt", baseline_prompt)]
        if alpha is not None and kind == "vlm_rm":
            reward_config["alpha"] = fraction("alpha", alpha)
        reward_config["every_n_steps"] = integer("every_n_steps", every_n_steps, 1, UNLIMITED)
        reward_config["schedule"] = choice("schedule", schedule, tuple(_core.SCHEDULES))
        settings = {"env": env, "reward": reward_config}
        if discount is not None:
            settings["train"] = {"ppo": {"discount": fraction("discount", discount)}}
        elif schedule == "potential":
            raise ValueError("schedule = 'potential' needs a discount; give that of the learner")
        self.json = json.dumps(settings, allow_nan=False)
        # The instruction, and the goal that counts as success: the one that a goal prompt names, or ``None`` if it names none
        # or several.
        self.task_description, self.goal_idx = _core.instruction_of(self.json)

    def _device(self, device: str | None) -> str:
        """The device that renders; the same as that of a reward model, which reads the frames there."""
        if device is not None and not isinstance(device, str):
            raise TypeError(f"device = {device!r}; expected text such as 'cpu' or 'gpu:1'")
        model_device = None if self.reward_model is None else self.reward_model.device
        if device is not None and model_device is not None and device != model_device:
            raise ValueError(f"device = {device!r}; the reward model is on {model_device!r}: give both the same")
        return device if device is not None else model_device or "cpu"

    @property
    def observation_space(self) -> spaces.Space:
        """Space of one env: ``Box`` f32, ``Box`` u8 ``[height, width, 3]``, or a ``Dict`` of ``state`` and ``pixels``."""
        state = _box(self.about["state_space"])
        pixels = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        if self.obs == "state":
            return state
        if self.obs == "pixels":
            return pixels
        return spaces.Dict({"state": state, "pixels": pixels})

    @property
    def action_space(self) -> spaces.Space:
        """Space of one env: ``Box`` f32 or ``Discrete``."""
        bounds = self.about["action_space"]
        return spaces.Discrete(bounds["n"]) if "n" in bounds else _box(bounds)

    def success(self, info: dict[str, Any]) -> dict[str, np.ndarray]:
        """Success on the goal, bool ``[num_envs]``, under both of its names; empty if the settings name no goal."""
        if self.goal_idx is None:
            return {}
        success = info["success"][:, self.goal_idx]
        return {"success": success, "is_success": success}

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
