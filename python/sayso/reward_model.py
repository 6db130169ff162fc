"""Reward models on frames of any origin."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from sayso import _core
from sayso.checks import fraction, sentence

# Sentences whose embeddings are kept.
N_KEPT = 256


class RewardModel:
    """A vision-language model: pictures and sentences into one space.

    Args:
        name: ``"bundled"`` (small, and at home only in Sayso's own scenes), a folder with a CLIP or SigLIP checkpoint, or a name
            on the Hugging Face hub such as ``"openai/clip-vit-base-patch32"``.
        device: beside which device the model computes: ``"cpu"``, ``"auto"``, ``"gpu"`` and so on, as for :class:`sayso.Env`.

    Pictures are u8 ``[n, height, width, 3]``; those of another size than :attr:`image_size` are resized as the checkpoint says.
    The model is loaded at its first use, and again after pickling.
    """

    def __init__(self, name: str | os.PathLike[str] = "bundled", device: str = "cpu") -> None:
        self.name = os.fspath(name)
        self.device = device
        self._native: _core.RewardModel | None = None
        self._judges: dict[tuple, _core.Judge] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "device": self.device, "_native": None, "_judges": {}}

    @property
    def native(self) -> _core.RewardModel:
        """The loaded model."""
        if self._native is None:
            self._native = _core.RewardModel(self.name, self.device)
        return self._native

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that the image tower reads."""
        return self.native.image_size

    @property
    def embed_dim(self) -> int:
        """Width of the shared space."""
        return self.native.embed_dim

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """Unit embeddings of pictures, f32 ``[n, embed_dim]``."""
        return self.native.embed(_pictures(frames))

    def embed_prompts(self, prompts: str | Sequence[str]) -> np.ndarray:
        """Unit embeddings of sentences, f32 ``[n, embed_dim]``."""
        return self.native.embed_prompts(_sentences(prompts))

    def score(
        self,
        frames: np.ndarray,
        goal: str | Sequence[str],
        baseline: str | Sequence[str] | None = None,
        alpha: float | None = None,
    ) -> np.ndarray:
        """How well pictures match a sentence, f32 ``[n]``.

        The cosine similarity; with a ``baseline`` (the scene without the goal) the goal-baseline regularised reward of VLM-RM
        (Rocamonde et al. 2023, equation 5) of strength ``alpha``, 0.5 if absent. Of several goals the mean.
        """
        goals, baselines = _sentences(goal), [] if baseline is None else _sentences(baseline)
        strength = (0.5 if baselines else 0.0) if alpha is None else fraction("alpha", alpha)
        key = (tuple(goals), tuple(baselines), strength)
        if key not in self._judges:
            if len(self._judges) >= N_KEPT:
                self._judges.clear()
            self._judges[key] = self.native.judge(goals, baselines, strength)
        return self._judges[key].score(_pictures(frames))


def _sentences(prompts: str | Sequence[str]) -> list[str]:
    return [sentence("prompt", prompt) for prompt in ([prompts] if isinstance(prompts, str) else prompts)]


def _pictures(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 [n, height, width, 3]")
    return frames
