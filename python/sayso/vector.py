"""A batch of environments for Gymnasium: one native simulator, no processes."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from sayso import settings
from sayso.batch import Batch
from sayso.checks import choice, integer, refuse_unknown, seed_of
from sayso.env import RENDER_SIZE, Env
from sayso.errors import ResetNeededError
from sayso.registration import UNLIMITED, with_limit
from sayso.settings import Obs, Paraphrases, Reward, Schedule


class VectorEnv(gymnasium.vector.VectorEnv):
    """Environments that step together. The arguments are those of :class:`sayso.Env`, and

    Args:
        num_envs: number of envs.
        autoreset_mode: Gymnasium's; ``AutoresetMode.NEXT_STEP`` if absent.
        seed_stride: ``reset(seed=s)`` seeds env ``i`` with ``s + i * seed_stride``. 1, as in Gymnasium's own vectors, if
            absent; workers with consecutive seeds need a stride of the number of workers, or they would run the same
            episodes.

    Every step returns new arrays, which later steps do not overwrite. ``reset`` also takes a list with a seed for each env.
    """

    def __init__(
        self,
        num_envs: int = 1,
        env_id: str = "Reach-v1",
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        seed_stride: int = 1,
        instruction: str | Sequence[str] | None = None,
        paraphrases: Paraphrases = "none",
        instruction_text: str | None = None,
        goal_prompt: str | None = None,
        baseline_prompt: str | None = None,
        alpha: float | None = None,
        reward: Reward = "ground_truth",
        model: str = "bundled",
        reward_options: dict[str, Any] | None = None,
        every_n_steps: int = 1,
        schedule: Schedule = "hold_last",
        discount: float | None = None,
        obs: Obs = "state",
        text_model: str = "bundled",
        camera: str | Sequence[str] | None = None,
        size: int | tuple[int, int] | dict[str, int | tuple[int, int]] = 64,
        max_episode_steps: int | None = None,
        device: str | None = None,
        options: dict[str, Any] | None = None,
        render_mode: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, VectorEnv.__init__)
        mode = settings.autoreset_mode(autoreset_mode)
        self.render_mode = None if render_mode is None else choice("render_mode", render_mode, ("rgb_array",))
        spec = settings.Settings(
            env_id,
            num_envs=num_envs,
            autoreset=mode.name.lower(),
            instruction=instruction,
            paraphrases=paraphrases,
            instruction_text=instruction_text,
            goal_prompt=goal_prompt,
            baseline_prompt=baseline_prompt,
            alpha=alpha,
            reward=reward,
            model=model,
            reward_options=reward_options,
            every_n_steps=every_n_steps,
            schedule=schedule,
            discount=discount,
            obs=obs,
            text_model=text_model,
            camera=camera,
            size=size,
            max_episode_steps=max_episode_steps,
            device=device,
            options=options,
        )
        self.metadata = {**Env.metadata, "render_fps": spec.about["control_hz"], "autoreset_mode": mode}
        # Gymnasium's own vectors have this attribute too, and some libraries read it.
        self.autoreset_mode = mode
        self.num_envs = num_envs = int(num_envs)
        self.single_observation_space = spec.observation_space
        self.single_action_space = spec.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._max_episode_steps = int(max_episode_steps or spec.about["max_episode_steps"])
        self._metric_names = spec.about["metric_names"]
        self._batch = Batch(spec, num_envs, self.single_action_space)
        self._has_ended = np.zeros(num_envs, bool)
        self._seed_stride = integer("seed_stride", seed_stride, 1, UNLIMITED)
        self.spec = None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's specification, with the number of steps after which the envs truncate."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = with_limit(spec, self._max_episode_steps)

    @property
    def goals(self) -> list[str]:
        """Names of the task's goals."""
        return self._batch.settings.about["goals"]

    @property
    def instructions(self) -> list[str]:
        """The sentences of the instructions; their indices are those of observations and infos."""
        return [sentence for sentence, _ in self._batch.instructions]

    @property
    def task_description(self) -> str | tuple[str, ...]:
        """The instruction, or that of each env if episodes have different ones: empty before the first episode."""
        return self._batch.current[0] if len(self._batch.instructions) == 1 else self._batch.current

    def set_instruction(
        self, env_idx: int, text: str, *, goal_prompt: str | None = None, baseline_prompt: str | None = None
    ) -> Any:
        """Changes the instruction of the present episode of one env, see :meth:`sayso.Env.set_instruction`."""
        env_idx = integer("env_idx", env_idx, 0, self.num_envs - 1)
        return self._batch.set_instruction(env_idx, text, goal_prompt, baseline_prompt)

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """The rewards of goals, see :meth:`sayso.GoalEnv.compute_reward`."""
        return self._batch.settings.goal_rewards(achieved_goal, desired_goal)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes in all envs, or in those of ``options["reset_mask"]``, bool ``[num_envs]``."""
        mask = self._mask(options)
        columns = self._batch.reset(self._seeds(seed), mask)
        started = np.ones(self.num_envs, bool) if mask is None else mask
        self._has_ended[started] = False
        observation = self._batch.present_observation(columns["observation"])
        return observation, self._infos(columns["info"], started)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every env; rewards are f64 ``[num_envs]``."""
        if self.metadata["autoreset_mode"] == AutoresetMode.DISABLED and self._has_ended.any():
            ended = np.flatnonzero(self._has_ended).tolist()
            raise ResetNeededError(f"the episodes of envs {ended} are over: reset them with a reset_mask first")
        columns = self._batch.step(actions)
        terminated, truncated = columns["terminated"], columns["truncated"]
        self._has_ended = terminated | truncated
        all_envs = np.ones(self.num_envs, bool)
        if self.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP and self._has_ended.any():
            infos = self._infos(columns["restart_info"], all_envs)
            infos["final_info"] = self._infos(columns["info"], self._has_ended)
            infos["_final_info"] = self._has_ended.copy()
            infos["final_obs"] = self._final_observations(columns)
            infos["_final_obs"] = self._has_ended.copy()
        else:
            infos = self._infos(columns["info"], all_envs)
        observation = self._batch.present_observation(columns["observation"])
        return observation, columns["reward"].astype(np.float64), terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame of the video camera of every env; ``None`` without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(self._batch.render(None, RENDER_SIZE))

    def close_extras(self, **kwargs: Any) -> None:
        """Frees everything."""
        # The finaliser also closes an environment whose constructor failed.
        if "_batch" in vars(self):
            self._batch.close()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The result of a method, or the value of an attribute, of every env."""
        if name == "render":
            return self.render() or (None,) * self.num_envs
        if name == "task_description":
            return self._batch.current
        value = getattr(self, name)
        value = value(*args, **kwargs) if callable(value) else value
        return (value,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every env."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute that all envs share; the values of a list must be equal."""
        if isinstance(values, (list, tuple)):
            is_one = all(value is values[0] or np.array_equal(value, values[0]) for value in values)
            if len(values) != self.num_envs or not is_one:
                raise ValueError(f"{name} is shared by all envs: give one value")
            values = values[0]
        setattr(self, name, values)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None] | None:
        """A seed for each env; ``None`` for an env whose series of episodes continues."""
        if isinstance(seed, (Sequence, np.ndarray)) and not isinstance(seed, str):
            if len(seed) != self.num_envs:
                raise ValueError(f"{len(seed)} seeds for {self.num_envs} envs")
            seeds = [None if one is None else seed_of(one) for one in seed]
        elif seed is not None:
            first = seed_of(seed)
            seed_of(first + (self.num_envs - 1) * self._seed_stride)
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(first)
            return [first + i * self._seed_stride for i in range(self.num_envs)]
        elif self._batch.was_reset:
            return None
        else:
            seeds = [None] * self.num_envs
        if not self._batch.was_reset:
            # The seeds come from Gymnasium's generator, which is seeded from the system's entropy.
            first = int(self.np_random.integers(2**32))
            seeds = [first + i if one is None else one for i, one in enumerate(seeds)]
        return seeds

    def _mask(self, options: dict[str, Any] | None) -> np.ndarray | None:
        if not options or "reset_mask" not in options:
            return None
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask is {mask.dtype} {mask.shape}; expected bool {(self.num_envs,)}")
        if not mask.any():
            raise ValueError("reset_mask selects no env")
        return np.ascontiguousarray(mask)

    def _infos(self, columns: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
        success, has_goal = self._batch.success(columns)
        values = {name: (column, mask & has_goal) for name, column in success.items()}
        values["instruction"] = (columns["instruction"], mask)
        values.update({name: (columns["metrics"][:, i], mask) for i, name in enumerate(self._metric_names)})
        infos: dict[str, Any] = {}
        for name, (column, of_envs) in values.items():
            infos[name] = np.where(of_envs, column, np.zeros((), column.dtype))
            infos[f"_{name}"] = of_envs.copy()
        return infos

    def _final_observations(self, columns: dict[str, Any]) -> np.ndarray:
        last = self._batch.observation(columns["final_observation"])
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(self._has_ended):
            final[i] = {key: part[i] for key, part in last.items()} if isinstance(last, dict) else last[i]
        return final
