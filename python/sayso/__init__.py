"""Sayso: a headless, batched robot simulator with rewards from vision-language models.

Importing this module registers every environment with Gymnasium as ``sayso/<id>``::

    import gymnasium, sayso

    env = gymnasium.make("sayso/Reach-v1", instruction="red", reward="vlm_rm")
    envs = gymnasium.make_vec("sayso/Reach-v1", num_envs=256, reward="ground_truth")
"""

from sayso._core import __version__
from sayso.env import Env, GoalEnv
from sayso.errors import (
    ActionError,
    ClosedError,
    DeviceError,
    ResetNeededError,
    SaysoError,
)
from sayso.policy import Policy, load_policy
from sayso.registration import register_envs
from sayso.reward_function import RewardFunction
from sayso.reward_model import RewardModel
from sayso.vector import VectorEnv

__all__ = [
    "ActionError",
    "ClosedError",
    "DeviceError",
    "Env",
    "GoalEnv",
    "Policy",
    "ResetNeededError",
    "RewardFunction",
    "RewardModel",
    "SaysoError",
    "VectorEnv",
    "__version__",
    "load_policy",
    "register_envs",
]

register_envs()
