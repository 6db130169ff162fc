"""Vectors of Gymnasium for Stable-Baselines3, whose own ``VecEnv`` is another interface.

SB3 would step single environments one by one; this steps a native batch at once::

    from stable_baselines3 import PPO
    from sayso.stable_baselines3 import make_vec_env

    PPO("MlpPolicy", make_vec_env("sayso/Reach-v0", 64, goal="red", reward="clip")).learn(320_000)
"""

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from sayso import infos as vector_infos


def make_vec_env(env_id: str, n_envs: int = 1, seed: int | None = None, **kwargs: Any) -> VecMonitor:
    """As SB3's function of this name: ``n_envs`` envs with their returns and lengths monitored.

    Args:
        env_id: registered with a native vector.
        seed: env ``i`` of the next reset gets ``seed + i``.
        kwargs: for ``gymnasium.make_vec``.
    """
    envs = gymnasium.make_vec(env_id, num_envs=n_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
    vec_env = VectorEnvAdapter(envs)
    if seed is not None:
        vec_env.seed(seed)
    return VecMonitor(vec_env)


class VectorEnvAdapter(VecEnv):
    """Any Gymnasium vector that resets in the same step, as a ``VecEnv``.

    Rewards are f32 ``[n_envs]``. In a last step ``infos[i]`` is the episode's last info, ``terminal_observation`` its last
    observation, and ``TimeLimit.truncated`` says whether values bootstrap from it; the observation is the next episode's.
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
        """Starts episodes with the seeds of :meth:`seed` and the options of :meth:`set_options`, which are used once."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("options differ between envs: a vector's reset takes one and the same for all")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.envs.reset(seed=seeds, options=dict(options) or None)
        self.reset_infos = vector_infos.rows(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Remembers the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """One step of every env."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        dones = terminated | truncated
        told = vector_infos.rows(infos, self.num_envs)
        for i in np.flatnonzero(dones).tolist():
            # What a vector tells of an ended env beside its end is about the next episode.
            end = told[i]
            told[i] = {**end.pop("final_info"), "terminal_observation": end.pop("final_obs")}
            if "episode" in end:
                # But for the statistics that Gymnasium's wrapper adds.
                told[i]["episode"] = end.pop("episode")
            self.reset_infos[i] = end
        for info, is_truncated in zip(told, (truncated & ~terminated).tolist(), strict=True):
            info["TimeLimit.truncated"] = is_truncated
        return observations, rewards.astype(np.float32), dones, told

    def close(self) -> None:
        """Frees everything."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The picture of every env; ``None`` without a render mode."""
        frames = self.envs.render()
        return [None] * self.num_envs if frames is None else frames

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of envs."""
        return self._chosen(self.envs.unwrapped.get_attr(attr_name), indices)

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Sets an attribute of envs."""
        values = [value] * self.num_envs
        if indices is not None:
            values = list(self.envs.unwrapped.get_attr(attr_name))
            for i in self._get_indices(indices):
                values[i] = value
        self.envs.unwrapped.set_attr(attr_name, values)

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        """What envs say to a method, which is called on all of a vector's."""
        return self._chosen(self.envs.unwrapped.call(method_name, *method_args, **method_kwargs), indices)

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """Slots of a vector are wrapped by nothing that SB3 could ask for."""
        return self._chosen([False] * self.num_envs, indices)

    def _chosen(self, values: Sequence[Any], indices: int | Iterable[int] | None) -> list[Any]:
        return [values[i] for i in self._get_indices(indices)]
