"""What can go wrong. Each exception is also the one that users of Gymnasium expect."""

import gymnasium.error

from sayso._core import DeviceError, SaysoError

__all__ = ["ActionError", "ClosedError", "DeviceError", "ResetNeededError", "SaysoError"]


class ActionError(SaysoError, gymnasium.error.InvalidAction, ValueError):
    """An action of another type, shape or value than the action space has."""


class ResetNeededError(SaysoError, gymnasium.error.ResetNeeded):
    """A step before the first reset, or after the end of an episode."""


class ClosedError(SaysoError, gymnasium.error.ClosedEnvironmentError):
    """An environment that was closed."""
