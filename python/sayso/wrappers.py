"""Wrappers that give environments of any library the reward of a goal prompt."""

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from sayso.checks import choice, fraction, integer, refuse_unknown, text
from sayso.reward_model import RewardModel

Schedule = Literal["hold_last", "episode_end"]
SCHEDULES = ("hold_last", "episode_end")


class _Scorer:
    """A reward model, its prompts, and the steps in which it scores."""

    def __init__(
        self,
        model: RewardModel | str,
        goal_prompt: str | Sequence[str],
        baseline_prompt: str | Sequence[str] | None,
        alpha: float | None,
        every_n_steps: int,
        schedule: Schedule,
    ) -> None:
        for name, prompts in (("goal_prompt", goal_prompt), ("baseline_prompt", baseline_prompt)):
            for prompt in [prompts] if isinstance(prompts, str) else prompts or []:
                text(name, prompt)
        if alpha and not baseline_prompt:
            raise ValueError(f"alpha = {alpha!r} without baseline_prompt; give one for each goal prompt")
        if not isinstance(model, (str, RewardModel)):
            raise TypeError(f"model = {model!r}; expected a sayso.RewardModel, or its name")
        self.model = RewardModel(model) if isinstance(model, str) else model
        self.prompts = (goal_prompt, baseline_prompt, None if alpha is None else fraction("alpha", alpha))
        self.every_n_steps = integer("every_n_steps", every_n_steps, 1, 2**31 - 1)
        self.at_episode_end = choice("schedule", schedule, SCHEDULES) == "episode_end"
        if self.at_episode_end and every_n_steps != 1:
            raise ValueError(f"every_n_steps = {every_n_steps} with schedule = 'episode_end'; use one of them")

    def is_due(self, n_steps: Any, has_ended: Any) -> Any:
        """Whether a step is scored; both arguments may be arrays."""
        return has_ended if self.at_episode_end else n_steps % self.every_n_steps == 0

    def score(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        return self.model.score(np.stack(frames), *self.prompts)


class LanguageReward(gymnasium.Wrapper):
    """Replaces an environment's reward by a vision-language model's score of its frames.

    Args:
        env: an environment with ``render_mode="rgb_array"``.
        goal_prompt, baseline_prompt, alpha: see :meth:`sayso.RewardModel.score`.
        model: a :class:`sayso.RewardModel`, or its name.
        every_n_steps: frames are scored in every n-th step of an episode.
        schedule: ``"hold_last"``: the reward of a step is the latest score of its episode, 0 before the first.
            ``"episode_end"``: only the last step of an episode is scored, and the reward of every other step is 0.

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
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, LanguageReward.__init__)
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(f"render_mode = {env.render_mode!r}; make the environment with render_mode='rgb_array'")
        self._scorer = _Scorer(model, goal_prompt, baseline_prompt, alpha, every_n_steps, schedule)
        self._n_steps, self._score = 0, 0.0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        self._n_steps, self._score = 0, 0.0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, with the reward of the goal prompt."""
        observation, env_reward, terminated, truncated, info = self.env.step(action)
        self._n_steps += 1
        if self._scorer.is_due(self._n_steps, terminated or truncated):
            self._score = float(self._scorer.score([self.env.render()])[0])
        return observation, self._score, terminated, truncated, {**info, "env_reward": env_reward}


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
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, VectorLanguageReward.__init__)
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(f"render_mode = {env.render_mode!r}; make the vector with render_mode='rgb_array'")
        if env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
            raise ValueError("autoreset_mode = SAME_STEP hides the last frame of an episode; use NEXT_STEP or DISABLED")
        self._scorer = _Scorer(model, goal_prompt, baseline_prompt, alpha, every_n_steps, schedule)
        self._n_steps = np.zeros(env.num_envs, np.int64)
        self._scores = np.zeros(env.num_envs)
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
        started = np.ones(self.num_envs, bool) if mask is None else mask
        self._n_steps[started], self._scores[started], self._has_ended[started] = 0, 0.0, False
        return result

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every env, with the rewards of the goal prompt."""
        observation, env_rewards, terminated, truncated, infos = self.env.step(actions)
        # With NEXT_STEP, this step was the reset of the envs that had ended.
        restarted = self._has_ended
        self._n_steps = np.where(restarted, 0, self._n_steps + 1)
        self._scores[restarted] = 0.0
        self._has_ended = terminated | truncated
        due = self._scorer.is_due(self._n_steps, self._has_ended) & ~restarted
        if due.any():
            frames = self.env.render()
            self._scores[due] = self._scorer.score([frames[i] for i in np.flatnonzero(due)])
        infos = {**infos, "env_reward": env_rewards, "_env_reward": np.ones(self.num_envs, bool)}
        return observation, self._scores.copy(), terminated, truncated, infos
