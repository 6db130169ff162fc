"""Keyword arguments as the simulator's configuration."""

import functools
import json
import string
from collections.abc import Callable, Sequence
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
Obs = str | Sequence[str]
Paraphrases = Literal["none", "training", "held_out", "all"]

COLUMNS = ("state", "pixels", "instruction", "instruction_text", "instruction_embedding", "goal")
GOAL_KEYS = ("achieved_goal", "desired_goal")
PARAPHRASES = ("none", "training", "held_out", "all")


def columns_of(obs: Obs) -> list[str]:
    """The columns of an observation: ``"both"`` are state and pixels."""
    names = [choice("obs", name, (*COLUMNS, "both")) for name in ([obs] if isinstance(obs, str) else obs)]
    return [column for name in names for column in (("state", "pixels") if name == "both" else (name,))]


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
        instruction: str | Sequence[str] | None,
        paraphrases: Paraphrases,
        instruction_text: str | None,
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
        text_model: str,
        camera: str | Sequence[str] | None,
        size: int | tuple[int, int] | dict[str, int | tuple[int, int]],
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
            choice("reward", reward, (*_core.reward_kinds(), *_core.GROUND_TRUTH_KINDS, "none"))
        self.columns = columns_of(obs)
        self.about = {"id": env_id, **describe(env_id, options)}
        self._options = options
        own_sizes = {name: image_size(own) for name, own in size.items()} if isinstance(size, dict) else {}
        self.size = (64, 64) if own_sizes else image_size(size)
        env: dict[str, Any] = {
            "id": env_id,
            "n_envs": integer("num_envs", num_envs, 1, _core.MAX_ENVS),
            "autoreset": autoreset,
            "observation": self.columns,
            "text_model": text("text_model", text_model),
            "paraphrases": choice("paraphrases", paraphrases, PARAPHRASES),
            "pixel_size": list(self.size),
            "pixel_sizes": {name: list(own) for name, own in own_sizes.items()},
            "device": self._device(device),
            "options": options or {},
        }
        if isinstance(instruction, str):
            choice("instruction", instruction, (*self.about["goals"], "all"))
        elif instruction is not None:
            instruction = [choice("instruction", name, tuple(self.about["goals"])) for name in instruction]
        if instruction_text is not None:
            text("instruction_text", instruction_text)
        cameras = [camera] if isinstance(camera, str) else list(camera or ())
        for name in (*cameras, *own_sizes):
            choice("camera", name, tuple(self.about["cameras"]))
        # Camera and size of each image.
        self.images = [(name, own_sizes.get(name, self.size)) for name in cameras or [self.about["pixel_camera"]]]
        if max_episode_steps is not None:
            max_episode_steps = integer("max_episode_steps", max_episode_steps, 1, UNLIMITED)
        optional = {
            "instruction": instruction,
            "instruction_text": instruction_text,
            "pixel_camera": cameras or None,
            "max_episode_steps": max_episode_steps,
        }
        env.update({key: value for key, value in optional.items() if value is not None})
        # A function takes the place of the reward that the settings name.
        kind = "ground_truth" if self.reward_function else "vlm_rm" if self.reward_model else reward
        self.kind = kind
        has_options = kind not in ("vlm_rm", "none", *_core.GROUND_TRUTH_KINDS)
        reward_config: dict[str, Any] = {"kind": kind}
        if reward_options:
            if not has_options:
                raise ValueError(f"reward_options = {reward_options!r} with reward = {reward!r}; it has no such options")
            reward_config.update(reward_options)
        if alpha is not None and has_options:
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
            settings["train"] = {"algorithm": "ppo", "ppo": {"discount": fraction("discount", discount)}}
        elif schedule == "potential":
            raise ValueError("schedule = 'potential' needs a discount; give that of the learner")
        self.json = json.dumps(settings, allow_nan=False)
        # The sentence of each instruction, and the goal that counts as success: ``None`` if it is of no goal.
        self.instructions: list[tuple[str, int | None]] = _core.instructions_of(self.json)
        self._text_dim = _text_dim(text_model) if "instruction_embedding" in self.columns else 0

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
        """Space of one env: that of its only column, or a ``Dict`` of columns.

        ``state`` is a ``Box`` f32, ``pixels`` a ``Box`` u8 ``[height, width, 3]`` (``pixels_front`` and so on of several cameras),
        ``instruction`` a ``Discrete``, a ``Text`` or a ``Box`` f32. With the goal, the state has the key ``observation``, and
        ``achieved_goal`` and ``desired_goal`` are ``Box`` f32, as in gymnasium-robotics.
        """
        columns = {key: space for name in self.columns for key, space in self._spaces(name).items()}
        return next(iter(columns.values())) if len(columns) == 1 else spaces.Dict(columns)

    def _spaces(self, column: str) -> dict[str, spaces.Space]:
        """The keys of a column of :attr:`columns`, and their spaces."""
        if column == "state":
            return {self.state_key: _box(self.about["state_space"])}
        if column == "pixels":
            spaces_of = (spaces.Box(0, 255, (*size, 3), np.uint8) for _, size in self.images)
            return dict(zip(self.pixel_keys, spaces_of, strict=True))
        if column == "goal":
            high = np.full(len(self.about["goal_value_names"]), _core.STATE_BOUND, np.float32)
            return {key: spaces.Box(-high, high) for key in GOAL_KEYS}
        if column == "instruction":
            return {"instruction": spaces.Discrete(len(self.instructions))}
        if column == "instruction_text":
            own = {char for sentence, _ in self.instructions for char in sentence}
            charset = frozenset(string.printable) | own
            return {"instruction": spaces.Text(_core.MAX_TEXT_LENGTH, charset=charset)}
        return {"instruction": spaces.Box(-1.0, 1.0, (self._text_dim,), np.float32)}

    @property
    def state_key(self) -> str:
        """The key of the state: with the goal that of gymnasium-robotics."""
        return "observation" if "goal" in self.columns else "state"

    @property
    def pixel_keys(self) -> list[str]:
        """The keys of the images."""
        return ["pixels"] if len(self.images) == 1 else [f"pixels_{name}" for name, _ in self.images]

    def goal_rewards(self, achieved: Any, desired: Any) -> np.ndarray:
        """The rewards of achieved and desired goals, f64 of their shape without the last axis."""
        if self.kind not in ("goal_sparse", "goal_dense"):
            raise ValueError(f"the reward {self.kind!r} is not one of goals: use reward='goal_sparse' or 'goal_dense'")
        achieved, desired = (np.atleast_1d(np.asarray(goal, np.float32)) for goal in (achieved, desired))
        achieved, desired = np.broadcast_arrays(achieved, desired)
        rows = (np.ascontiguousarray(goal.reshape(-1, goal.shape[-1])) for goal in (achieved, desired))
        options = json.dumps(self._options or {})
        rewards = _core.goal_rewards(self.about["id"], options, self.kind, *rows)
        return rewards.astype(np.float64).reshape(achieved.shape[:-1])

    @property
    def action_space(self) -> spaces.Space:
        """Space of one env: ``Box`` f32 or ``Discrete``."""
        bounds = self.about["action_space"]
        return spaces.Discrete(bounds["n"]) if "n" in bounds else _box(bounds)


@functools.lru_cache
def _text_dim(model: str) -> int:
    """Width of the embeddings of a model's text tower, which is loaded once."""
    return _core.text_dim(model)


def _box(bounds: dict[str, np.ndarray]) -> spaces.Box:
    return spaces.Box(bounds["low"], bounds["high"], dtype=np.float32)
