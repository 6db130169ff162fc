"""Exceptions. Each also derives from the corresponding exception of Gymnasium."""

import gymnasium.error

from sayso._core import DeviceError, SaysoError

__all__ = ["ActionError", "ClosedError", "DeviceError", "ResetNeededError", "SaysoError"]


class ActionError(SaysoError, gymnasium.error.InvalidAction, ValueError):
    """An action whose type, shape or value is not in the action space."""


class ResetNeededError(SaysoError, gymnasium.error.ResetNeeded):
    """A step before the first reset, or after the end of an episode."""


class ClosedError(SaysoError, gymnasium.error.ClosedEnvironmentError):
    """A call of an environment that was closed."""
