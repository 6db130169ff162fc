"""The native part: configuration is passed as JSON, columns are returned as arrays that own their memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

MAX_ENVS: int
"""Largest number of envs in a batch."""

GROUND_TRUTH_KINDS: list[str]
"""Kinds of rewards that are ground truth."""

MAX_TEXT_LENGTH: int
"""Largest number of characters of an instruction that is observed as text."""

STATE_BOUND: float
"""Bound of values of states and goals that have no tighter one."""

class SaysoError(Exception):
    """Base class of Sayso's exceptions."""

class DeviceError(SaysoError):
    """A device is absent, lost, or out of memory."""

def panic() -> None:
    """Panics; for the test that a panic becomes an exception."""

def env_ids() -> list[str]:
    """Ids of all environments, without ``sayso/``."""

def describe(id: str, options: str) -> dict[str, Any]:
    """The static properties of an environment with some options (JSON): spaces, goals, names. Creates no world."""

def goal_named_in(id: str, options: str, prompt: str) -> int | None:
    """Index of the goal that a prompt names, if it names exactly one of an environment's goals. Creates no world."""

def instructions_of(settings: str) -> list[tuple[str, int | None]]:
    """The instructions that episodes with some settings (JSON) may have: the sentence, and the index of its goal among the
    task's goals; ``None`` if it is of none. Creates no world."""

def goal_rewards(
    id: str, options: str, kind: str, achieved: NDArray[np.float32], desired: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The rewards of achieved and desired goals, f32 ``[n, goal_dim]``, by a kind of reward."""

def text_dim(name: str) -> int:
    """Width of the embeddings of a model's text tower."""

class RewardModel:
    """An image tower and a text tower with a shared embedding space."""

    image_size: tuple[int, int]
    embed_dim: int

    def __init__(self, name: str, device: str) -> None: ...
    def embed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def embed_prompts(self, prompts: list[str]) -> NDArray[np.float32]: ...
    def with_prompts(
        self, goal_prompts: list[str], baseline_prompts: list[str], alpha: float
    ) -> PromptedReward: ...

class PromptedReward:
    """A reward model with its prompts."""

    def score(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...

class Policy:
    """The policy of a run."""

    state_dim: int
    image_size: tuple[int, int] | None
    instruction_dim: int | None
    env: str
    n_steps: int

    def __init__(self, run: str, best: bool, seed: int) -> None: ...
    def act(
        self,
        state: NDArray[np.float32] | None,
        pixels: NDArray[np.uint8] | None,
        instruction: NDArray[np.float32] | None,
        deterministic: bool,
    ) -> NDArray[Any]: ...

class VecEnv:
    """Envs that step together."""

    def __init__(self, settings: str, model: RewardModel | None = None) -> None: ...
    def reset(
        self, seeds: list[int | None] | None = None, mask: NDArray[np.bool_] | None = None
    ) -> dict[str, Any]: ...
    def step_continuous(self, actions: NDArray[np.float32]) -> dict[str, Any]: ...
    def step_discrete(self, actions: NDArray[np.int64]) -> dict[str, Any]: ...
    def render(self, height: int, width: int, camera: str | None = None) -> NDArray[np.uint8]: ...
    def instructions(self) -> list[tuple[str, int | None]]: ...
    def set_instruction(
        self, env_idx: int, text: str, goal_prompt: str | None = None, baseline_prompt: str | None = None
    ) -> dict[str, Any]: ...
    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> None: ...
