"""Gymnasium vector environments as ``VecEnv`` of Stable-Baselines3.

SB3 steps single environments one after another; this adapter steps a native batch at once::

    from stable_baselines3 import PPO
    from sayso.stable_baselines3 import make_vec_env

    PPO("MlpPolicy", make_vec_env("sayso/Reach-v1", 64, instruction="red", reward="vlm_rm")).learn(320_000)
"""

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from sayso import infos as vector_infos


def make_vec_env(env_id: str, n_envs: int = 1, seed: int | None = None, **kwargs: Any) -> VecMonitor:
    """Like SB3's function of this name: ``n_envs`` envs, whose returns and lengths are monitored.

    Args:
        env_id: id of an environment that is registered with a native vector.
        seed: the next reset seeds env ``i`` with ``seed + i``.
        kwargs: arguments of ``gymnasium.make_vec``.
    """
    envs = gymnasium.make_vec(env_id, num_envs=n_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
    vec_env = VectorEnvAdapter(envs)
    if seed is not None:
        vec_env.seed(seed)
    return VecMonitor(vec_env)


class VectorEnvAdapter(VecEnv):
    """A ``VecEnv`` around any Gymnasium vector with ``SAME_STEP`` autoreset.

    Rewards are f32 ``[n_envs]``. In the last step of an episode, ``infos[i]`` is its last info, ``terminal_observation``
    its last observation, and ``TimeLimit.truncated`` whether values bootstrap from it; the observation is that of the next
    episode.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv) -> None:
        mode = envs.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode = {mode}; make the vector with autoreset_mode=AutoresetMode.SAME_STEP")
        self.envs = envs
        self._actions: np.ndarray | None = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self.metadata = {**envs.metadata, **self.metadata}

    def reset(self) -> Any:
        """Starts episodes with the seeds of :meth:`seed` and the options of :meth:`set_options`; both are used once."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("options differ between envs: the reset of a vector takes the same options for all")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.envs.reset(seed=seeds, options=dict(options) or None)
        self.reset_infos = vector_infos.rows(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Stores the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """One step of every env."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        dones = terminated | truncated
        by_env = vector_infos.rows(infos, self.num_envs)
        for i in np.flatnonzero(dones).tolist():
            # The other infos of an ended env are those of the next episode.
            info = by_env[i]
            by_env[i] = {**info.pop("final_info"), "terminal_observation": info.pop("final_obs")}
            if "episode" in info:
                # Except the episode statistics that Gymnasium's wrapper adds.
                by_env[i]["episode"] = info.pop("episode")
            self.reset_infos[i] = info
        for info, is_truncated in zip(by_env, (truncated & ~terminated).tolist(), strict=True):
            info["TimeLimit.truncated"] = is_truncated
        return observations, rewards.astype(np.float32), dones, by_env

    def close(self) -> None:
        """Frees everything."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A frame of every env; ``None`` without a render mode."""
        frames = self.envs.render()
        return [None] * self.num_envs if frames is None else frames

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of the chosen envs."""
        return self._chosen(self.envs.unwrapped.get_attr(attr_name), indices)

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Sets an attribute of the chosen envs."""
        values = [value] * self.num_envs
        if indices is not None:
            values = list(self.envs.unwrapped.get_attr(attr_name))
            for i in self._get_indices(indices):
                values[i] = value
        self.envs.unwrapped.set_attr(attr_name, values)

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        """Results of a method for the chosen envs; it is called for all envs of the vector."""
        return self._chosen(self.envs.unwrapped.call(method_name, *method_args, **method_kwargs), indices)

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """False for every env: the envs of a vector have no wrappers of their own."""
        return self._chosen([False] * self.num_envs, indices)

    def _chosen(self, values: Sequence[Any], indices: int | Iterable[int] | None) -> list[Any]:
        return [values[i] for i in self._get_indices(indices)]
