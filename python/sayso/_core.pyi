"""The native part: configuration goes in as JSON, columns come out as arrays that own their memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

class SaysoError(Exception):
    """Whatever goes wrong in Sayso."""

class DeviceError(SaysoError):
    """A device is absent, lost, or out of memory."""

def panic() -> None:
    """Panics, so that a test can see what becomes of it."""

def env_ids() -> list[str]:
    """Ids of all environments, without ``sayso/``."""

def describe(id: str, options: str) -> dict[str, Any]:
    """What is fixed about an environment with some options (JSON)."""

def told(settings: str) -> tuple[str, int]:
    """What the agent is told, and its goal's place among the task's; makes nothing."""

class RewardModel:
    """An image and a text tower that embed into one space."""

    image_size: tuple[int, int]
    embed_dim: int

    def __init__(self, name: str, device: str) -> None: ...
    def embed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def embed_prompts(self, prompts: list[str]) -> NDArray[np.float32]: ...
    def judge(self, goal: list[str], baseline: list[str], alpha: float) -> Judge: ...

class Judge:
    """A reward model with its sentences."""

    def score(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...

class VecEnv:
    """Envs that step together."""

    def __init__(self, settings: str, model: RewardModel | None = None) -> None: ...
    def reset(
        self, seeds: list[int | None] | None = None, mask: NDArray[np.bool_] | None = None
    ) -> dict[str, Any]: ...
    def step_continuous(self, actions: NDArray[np.float32]) -> dict[str, Any]: ...
    def step_discrete(self, actions: NDArray[np.int64]) -> dict[str, Any]: ...
    def render(self, height: int, width: int, camera: str | None = None) -> NDArray[np.uint8]: ...
    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> None: ...
