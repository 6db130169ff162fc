"""Rewards from sentences for environments of any library."""

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from sayso.checks import fraction, sentence, whole
from sayso.reward_model import RewardModel


class _Language:
    """A model, its sentences, and when it is asked."""

    def __init__(
        self,
        model: RewardModel | str,
        goal: str | Sequence[str],
        baseline: str | Sequence[str] | None,
        alpha: float | None,
        every: int | Literal["episode_end"],
    ) -> None:
        for name, prompts in (("goal", goal), ("baseline", baseline)):
            for prompt in [prompts] if isinstance(prompts, str) else prompts or []:
                sentence(name, prompt)
        if alpha and not baseline:
            raise ValueError(f"alpha = {alpha!r} without a baseline; give one for each goal")
        if not isinstance(model, (str, RewardModel)):
            raise TypeError(f"model = {model!r}; expected a sayso.RewardModel, or its name")
        self.model = RewardModel(model) if isinstance(model, str) else model
        self.prompts = (goal, baseline, None if alpha is None else fraction("alpha", alpha))
        self.every = every if every == "episode_end" else whole("every", every, 1, 2**31 - 1)

    def score(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        return self.model.score(np.stack(frames), *self.prompts)


class LanguageReward(gymnasium.Wrapper):
    """Replaces an environment's reward by what a vision-language model says of its frames.

    Args:
        env: made with ``render_mode="rgb_array"``.
        goal, baseline, alpha: see :meth:`sayso.RewardModel.score`.
        model: a :class:`sayso.RewardModel`, or its name.
        every: score every so many steps, and hold the score between (0 before an episode's first); or ``"episode_end"``: the
            last step of an episode earns its score, and every other step 0.

    The environment's own reward is ``info["env_reward"]``.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        goal: str | Sequence[str],
        baseline: str | Sequence[str] | None = None,
        alpha: float | None = None,
        model: RewardModel | str = "bundled",
        every: int | Literal["episode_end"] = 1,
    ) -> None:
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(f"render_mode = {env.render_mode!r}; make the environment with render_mode='rgb_array'")
        self._language = _Language(model, goal, baseline, alpha, every)
        self._n_steps, self._held = 0, 0.0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        self._n_steps, self._held = 0, 0.0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, with the sentence's reward."""
        observation, env_reward, terminated, truncated, info = self.env.step(action)
        self._n_steps += 1
        every = self._language.every
        is_due = terminated or truncated if every == "episode_end" else self._n_steps % every == 0
        if is_due:
            self._held = float(self._language.score([self.env.render()])[0])
        return observation, self._held, terminated, truncated, {**info, "env_reward": env_reward}


class VectorLanguageReward(gymnasium.vector.VectorWrapper):
    """:class:`LanguageReward` for vectors, which scores all envs at once.

    Not for ``SAME_STEP``: there the frame after a last step shows the next episode already.
    """

    def __init__(
        self,
        env: gymnasium.vector.VectorEnv,
        goal: str | Sequence[str],
        baseline: str | Sequence[str] | None = None,
        alpha: float | None = None,
        model: RewardModel | str = "bundled",
        every: int | Literal["episode_end"] = 1,
    ) -> None:
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(f"render_mode = {env.render_mode!r}; make the vector with render_mode='rgb_array'")
        if env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
            raise ValueError("autoreset_mode = SAME_STEP hides the last frame of an episode; use NEXT_STEP or DISABLED")
        self._language = _Language(model, goal, baseline, alpha, every)
        self._n_steps = np.zeros(env.num_envs, np.int64)
        self._held = np.zeros(env.num_envs)
        self._has_ended = np.zeros(env.num_envs, bool)

    @property
    def autoreset_mode(self) -> AutoresetMode | None:
        """The vector's, by the name that TorchRL asks for."""
        return self.metadata.get("autoreset_mode")

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts episodes, all or those of ``options["reset_mask"]``."""
        # Gymnasium's own vectors take the mask out of the options.
        mask = (options or {}).get("reset_mask")
        result = self.env.reset(seed=seed, options=options)
        started = np.ones(self.num_envs, bool) if mask is None else mask
        self._n_steps[started], self._held[started], self._has_ended[started] = 0, 0.0, False
        return result

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every env, with the sentence's rewards."""
        observation, env_rewards, terminated, truncated, infos = self.env.step(actions)
        # With NEXT_STEP, this was the reset of those that had ended.
        restarted = self._has_ended
        self._n_steps = np.where(restarted, 0, self._n_steps + 1)
        self._held[restarted] = 0.0
        self._has_ended = terminated | truncated
        every = self._language.every
        due = self._has_ended if every == "episode_end" else self._n_steps % every == 0
        due = due & ~restarted
        if due.any():
            frames = self.env.render()
            self._held[due] = self._language.score([frames[i] for i in np.flatnonzero(due)])
        infos = {**infos, "env_reward": env_rewards, "_env_reward": np.ones(self.num_envs, bool)}
        return observation, self._held.copy(), terminated, truncated, infos
