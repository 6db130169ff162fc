"""Reward models that are functions of Python."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sayso import _core
from sayso.checks import image_size as checked_size
from sayso.checks import integer


class RewardFunction:
    """A function of frames and instructions, as the reward of an environment.

    Args:
        function: ``function(frames, instructions)`` gets u8 ``[n, n_frames, n_views, height, width, 3]``, oldest frame first,
            one view per reward camera, and ``n`` texts; it returns ``n`` scores. With more than one frame it also gets
            ``mask``, bool ``[n, n_frames]``, which is false where the episode has no such frame yet. It must not depend on
            earlier calls. It is called once for all envs that are scored in a step, from a thread of the simulator, so that
            settings of the calling thread, such as ``torch.no_grad()``, do not apply in it.
        image_size: rows and columns of the frames, or one number for both.
        n_frames: number of frames.
        stride: control steps between them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        image_size: int | tuple[int, int] = 224,
        n_frames: int = 1,
        stride: int = 1,
    ) -> None:
        if not callable(function):
            raise TypeError(f"function = {function!r}; expected a callable")
        self.function = function
        self.image_size = checked_size(image_size)
        self.n_frames = integer("n_frames", n_frames, 1, 2**20)
        self.stride = integer("stride", stride, 1, 2**20)

    def __call__(self, frames: np.ndarray, instructions: list[str], **kwargs: Any) -> Any:
        """Calls the function."""
        return self.function(frames, instructions, **kwargs)

    @property
    def native(self) -> _core.RewardFunction:
        """The native reward model."""
        return _core.RewardFunction(self.function, self.image_size, self.n_frames, self.stride)
