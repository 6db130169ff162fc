"""Reward models for frames of any origin."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from sayso import _core
from sayso.checks import fraction, refuse_unknown, text

# Sets of prompts whose embeddings are kept.
N_KEPT = 256


class RewardModel:
    """A vision-language model, which embeds images and texts into one space.

    Args:
        name: ``"bundled"`` (small, and trained on Sayso's own scenes only), a folder with a CLIP or SigLIP checkpoint, or a
            name on the Hugging Face hub such as ``"openai/clip-vit-base-patch32"``, or with a branch, a tag or a commit
            ``"openai/clip-vit-base-patch32@main"``.
        device: device on which frames are rendered and scored: ``"cpu"``, ``"auto"``, ``"gpu"`` and so on, as for
            :class:`sayso.Env`.

    Frames are u8 ``[n, height, width, 3]``; those of another size than :attr:`image_size` are resized as the checkpoint
    specifies. The model is loaded at its first use, and again after unpickling.
    """

    def __init__(self, name: str | os.PathLike[str] = "bundled", device: str = "cpu") -> None:
        self.name = os.fspath(name)
        self.device = device
        self._native: _core.RewardModel | None = None
        self._prompted: dict[tuple, _core.PromptedReward] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "device": self.device, "_native": None, "_prompted": {}}

    @property
    def native(self) -> _core.RewardModel:
        """The loaded model."""
        if self._native is None:
            self._native = _core.RewardModel(self.name, self.device)
        return self._native

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image tower's input, in pixels."""
        return self.native.image_size

    @property
    def embed_dim(self) -> int:
        """Dimension of the embeddings."""
        return self.native.embed_dim

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """Unit embeddings of frames, f32 ``[n, embed_dim]``."""
        return self.native.embed(images(frames))

    def embed_prompts(self, prompts: str | Sequence[str]) -> np.ndarray:
        """Unit embeddings of texts, f32 ``[n, embed_dim]``."""
        return self.native.embed_prompts(_texts("prompt", prompts))

    def score(
        self,
        frames: np.ndarray,
        goal_prompt: str | Sequence[str],
        baseline_prompt: str | Sequence[str] | None = None,
        alpha: float | None = None,
        **unknown: Any,
    ) -> np.ndarray:
        """Rewards of frames for a goal prompt, f32 ``[n]``.

        The cosine similarity; with a ``baseline_prompt`` (a description of the scene without the goal) the goal-baseline
        regularised reward of VLM-RM (Rocamonde et al., ICLR 2024, definition 1) of strength ``alpha``, 0.5 if absent. The
        embeddings of several goal prompts are averaged; each needs a baseline prompt if there are any.
        """
        refuse_unknown(unknown, RewardModel.score)
        goals, baselines, strength = prompt_settings(goal_prompt, baseline_prompt, alpha)
        key = (tuple(goals), tuple(baselines), strength)
        if key not in self._prompted:
            if len(self._prompted) >= N_KEPT:
                self._prompted.clear()
            self._prompted[key] = self.native.with_prompts(goals, baselines, strength)
        return self._prompted[key].score(images(frames))


def prompt_settings(
    goal_prompt: str | Sequence[str], baseline_prompt: str | Sequence[str] | None, alpha: float | None
) -> tuple[list[str], list[str], float]:
    """Goal prompts, baseline prompts, and ``alpha``, checked and with defaults."""
    goals = _texts("goal_prompt", goal_prompt)
    baselines = [] if baseline_prompt is None else _texts("baseline_prompt", baseline_prompt)
    return goals, baselines, (0.5 if baselines else 0.0) if alpha is None else fraction("alpha", alpha)


def _texts(name: str, prompts: str | Sequence[str]) -> list[str]:
    return [text(name, prompt) for prompt in ([prompts] if isinstance(prompts, str) else prompts)]


def images(frames: np.ndarray) -> np.ndarray:
    """Frames, checked."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 [n, height, width, 3]")
    return frames
