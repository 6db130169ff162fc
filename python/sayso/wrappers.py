"""Wrappers that give environments of any library the reward of a goal prompt."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike

from sayso import _core
from sayso.checks import choice, fraction, integer, refuse_unknown
from sayso.reward_model import RewardModel, images, prompt_settings
from sayso.settings import Schedule


class _Rewards:
    """The rewards of envs: a reward model, its prompts, and how scores become rewards."""

    def __init__(
        self,
        num_envs: int,
        model: RewardModel | str,
        goal_prompt: str | Sequence[str],
        baseline_prompt: str | Sequence[str] | None,
        alpha: float | None,
        every_n_steps: int,
        schedule: Schedule,
        discount: float | None,
    ) -> None:
        if alpha and not baseline_prompt:
            raise ValueError(f"alpha = {alpha!r} without baseline_prompt; give one for each goal prompt")
        if not isinstance(model, (str, RewardModel)):
            raise TypeError(f"model = {model!r}; expected a sayso.RewardModel, or its name")
        choice("schedule", schedule, tuple(_core.SCHEDULES))
        if schedule == "potential" and discount is None:
            raise ValueError("schedule = 'potential' needs a discount; give that of the learner")
        if schedule == "episode_end" and every_n_steps != 1:
            raise ValueError(f"every_n_steps = {every_n_steps!r} with schedule = 'episode_end'; use one of them")
        self._model = RewardModel(model) if isinstance(model, str) else model
        self._settings = (
            *prompt_settings(goal_prompt, baseline_prompt, alpha),
            schedule,
            integer("every_n_steps", every_n_steps, 1, 2**31 - 1),
            1.0 if discount is None else fraction("discount", discount),
        )
        self._num_envs = num_envs
        self._native: _core.EpisodeRewards | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_native": None}

    @property
    def native(self) -> _core.EpisodeRewards:
        """Created at its first use. Pickling keeps the settings, not the state: an unpickled wrapper must be reset first."""
        if self._native is None:
            self._native = self._model.native.episodes(self._num_envs, *self._settings)
        return self._native

    def start(self, mask: np.ndarray, render: Callable[[], Sequence[np.ndarray]]) -> None:
        """Starts episodes in the envs of ``mask``, bool ``[num_envs]``."""
        self._score(self.native.start(mask), render)

    def step(
        self,
        terminated: ArrayLike,
        truncated: ArrayLike,
        started: ArrayLike,
        render: Callable[[], Sequence[np.ndarray]],
    ) -> np.ndarray:
        """The rewards of a step, f64 ``[num_envs]``; those of ``started`` started an episode in this step. The flags are bool
        ``[num_envs]``.
        """
        flags = (np.asarray(flags, bool) for flags in (terminated, truncated, started))
        return self._score(self.native.step(*flags), render).astype(np.float64)

    def _score(self, needed: np.ndarray, render: Callable[[], Sequence[np.ndarray]]) -> np.ndarray:
        if len(needed) == 0:
            return self.native.score(np.zeros((0, 1, 1, 3), np.uint8))
        frames = render()
        return self.native.score(images(np.stack([frames[i] for i in needed])))


class LanguageReward(gymnasium.Wrapper):
    """Replaces an environment's reward by a vision-language model's score of its frames.

    Args:
        env: an environment with ``render_mode="rgb_array"``.
        goal_prompt, baseline_prompt, alpha: see :meth:`sayso.RewardModel.score`.
        model: a :class:`sayso.RewardModel`, or its name.
        every_n_steps: frames are scored in every n-th step of an episode.
        schedule: ``"hold_last"``: the reward of a step is the latest score of its episode, 0 before the first.
            ``"difference"``: the score less the latest one, 0 in steps without a score. ``"episode_end"``: only the last step of
            an episode is scored, and the reward of every other step is 0. ``"potential"``: potential-based shaping, ``discount``
            times the score less the latest one. ``"difference"`` and ``"potential"`` also score the first frame of an episode.
        discount: the learner's discount factor, for ``schedule="potential"``.

    ``info["env_reward"]`` is the environment's own reward.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        goal_prompt: str | Sequence[str],
        baseline_prompt: str | Sequence[str] | None = None,
        alpha: float | None = None,
        model: RewardModel | str = "bundled",
        every_n_steps: int = 1,
        schedule: Schedule = "hold_last",
        discount: float | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, LanguageReward.__init__)
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(f"render_mode = {env.render_mode!r}; make the environment with render_mode='rgb_array'")
        self._rewards = _Rewards(
            1, model, goal_prompt, baseline_prompt, alpha, every_n_steps, schedule, discount
        )

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        result = self.env.reset(**kwargs)
        self._rewards.start(np.ones(1, bool), self._frames)
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, with the reward of the goal prompt."""
        observation, env_reward, terminated, truncated, info = self.env.step(action)
        reward = float(self._rewards.step([terminated], [truncated], [False], self._frames)[0])
        return observation, reward, terminated, truncated, {**info, "env_reward": env_reward}

    def _frames(self) -> list[np.ndarray]:
        return [self.env.render()]


class VectorLanguageReward(gymnasium.vector.VectorWrapper):
    """:class:`LanguageReward` for vector environments; it scores the frames of all envs in one batch.

    ``SAME_STEP`` autoreset is refused: the frame after an episode's last step would show the next episode.
    """

    def __init__(
        self,
        env: gymnasium.vector.VectorEnv,
        goal_prompt: str | Sequence[str],
        baseline_prompt: str | Sequence[str] | None = None,
        alpha: float | None = None,
        model: RewardModel | str = "bundled",
        every_n_steps: int = 1,
        schedule: Schedule = "hold_last",
        discount: float | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, VectorLanguageReward.__init__)
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(f"render_mode = {env.render_mode!r}; make the vector with render_mode='rgb_array'")
        if env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
            raise ValueError("autoreset_mode = SAME_STEP hides the last frame of an episode; use NEXT_STEP or DISABLED")
        self._rewards = _Rewards(
            env.num_envs, model, goal_prompt, baseline_prompt, alpha, every_n_steps, schedule, discount
        )
        self._has_ended = np.zeros(env.num_envs, bool)

    @property
    def autoreset_mode(self) -> AutoresetMode | None:
        """The autoreset mode of the vector; TorchRL reads this attribute."""
        return self.metadata.get("autoreset_mode")

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts episodes, all or those of ``options["reset_mask"]``."""
        # Gymnasium's own vectors remove the mask from the options.
        mask = (options or {}).get("reset_mask")
        result = self.env.reset(seed=seed, options=options)
        started = np.ones(self.num_envs, bool) if mask is None else np.asarray(mask, bool)
        self._rewards.start(started, self.env.render)
        self._has_ended[started] = False
        return result

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every env, with the rewards of the goal prompt."""
        observation, env_rewards, terminated, truncated, infos = self.env.step(actions)
        # With NEXT_STEP, this step was the reset of the envs that had ended.
        rewards = self._rewards.step(terminated, truncated, self._has_ended, self.env.render)
        self._has_ended = terminated | truncated
        infos = {**infos, "env_reward": env_rewards, "_env_reward": np.ones(self.num_envs, bool)}
        return observation, rewards, terminated, truncated, infos
