"""One environment for Gymnasium."""

import sys
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from sayso.batch import Batch
from sayso.checks import choice, refuse_unknown, seed_of
from sayso.errors import ResetNeededError
from sayso.registration import UNLIMITED, with_limit
from sayso.settings import Obs, Paraphrases, Reward, Schedule, Settings

RENDER_SIZE = (240, 240)


class Env(gymnasium.Env):
    """An environment, whose reward may come from a vision-language model and a goal prompt.

    Args:
        env_id: as ``sayso envs`` lists it; Gymnasium's ids have the prefix ``sayso/``.
        instruction: name of the goal whose instruction the agent is given, one of :attr:`goals`; a list of them, or
            ``"all"``, of which one is sampled for each episode. If absent, the goal that ``goal_prompt`` names, or the first.
        paraphrases: wordings of the instructions, of which one is sampled for each episode: ``"none"`` (the instruction alone),
            ``"training"`` (the instruction and its paraphrases except those that are held out), ``"held_out"`` or ``"all"``.
        instruction_text: a sentence in place of the task's own instruction.
        goal_prompt: description of the goal state for the reward model; that of each instruction's goal if absent.
        baseline_prompt: description of the scene without the goal, for goal-baseline regularisation; that of each
            instruction's goal if absent.
        alpha: strength of goal-baseline regularisation, in [0, 1]; the task's default if absent, 0 is plain cosine
            similarity.
        reward: ``"ground_truth"``, ``"goal_sparse"`` or ``"goal_dense"`` (ground truth too, of the goal's values alone, see
            :meth:`sayso.GoalEnv.compute_reward`), ``"vlm_rm"`` (a vision-language model scores the frames), a
            :class:`sayso.RewardModel` (the same, with a model that environments share), the name of another kind of reward model, a
            :class:`sayso.RewardFunction` or a function of frames and instructions, or ``"none"``.
        model: reward model of ``"vlm_rm"``: ``"bundled"``, a folder, or a name on the Hugging Face hub.
        reward_options: options of ``reward``, if it is the name of another kind of reward model, such as
            ``{"n_frames": 4}`` of ``"mean_pooled"``.
        every_n_steps: frames are rendered and scored in every n-th step of an episode.
        schedule: how scores become rewards: ``"hold_last"`` (the latest score of the episode, 0 before the first),
            ``"difference"``, ``"episode_end"`` or ``"potential"``.
        discount: the learner's discount factor, for ``schedule="potential"``.
        obs: columns of the observation: ``"state"`` (f32), ``"pixels"`` (u8 ``[height, width, 3]``), ``"both"``, or a list of
            ``"state"``, ``"pixels"``, ``"goal"`` and the instruction in one of its forms, ``"instruction"`` (the index of its sentence in
            :attr:`instructions`), ``"instruction_text"`` or ``"instruction_embedding"`` (f32 ``[embed_dim]``, of unit length).
            The key of the instruction is ``"instruction"``. ``"goal"`` is ``achieved_goal`` and ``desired_goal``, in SI units; the
            key of the state is ``"observation"`` then, as in gymnasium-robotics.
        text_model: model whose text tower embeds instructions: ``"bundled"``, a folder, or a name on the Hugging Face hub.
        camera: camera of pixel observations, or several; the task's default if absent. With several the keys are
            ``"pixels_front"`` and so on.
        size: rows and columns of pixel observations, or one number for both; a dict of them by camera if they differ.
        max_episode_steps: control steps after which an episode is truncated; the default of the task with its options if
            absent. ``gymnasium.make`` accepts any number, and -1 for no limit.
        device: device that renders and scores frames: ``"cpu"``, ``"auto"``, ``"gpu"``, ``"gpu:1"``, ``"gpu:"`` and a PCI
            bus id or a UUID; that of the reward model, or the CPU, if absent.
        options: options of the task. Reach: ``{"control": "ee_delta_pos"}`` (default) or ``"joint_delta_pos"``; CartPole:
            ``{"variant": "classic"}`` (default) or ``"vlm_rm"``.
        render_mode: ``"rgb_array"`` or ``None``.

    ``info`` has ``success`` (ground truth, for evaluation), ``is_success`` (the same, under the name that some libraries
    read), the index of the ``instruction``, and the task's metrics, in SI units. Without an ``instruction``, a ``goal_prompt``
    that does not name exactly one of several goals leaves open what success is: ``success`` and ``is_success`` are absent then.
    """

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        env_id: str = "Reach-v1",
        *,
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
        refuse_unknown(unknown, Env.__init__)
        self.render_mode = None if render_mode is None else choice("render_mode", render_mode, ("rgb_array",))
        settings = Settings(
            env_id,
            num_envs=1,
            autoreset="disabled",
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
        if "goal" in settings.columns and type(self) is Env:
            # Other environments must not have its methods.
            self.__class__ = GoalEnv
        # One frame a control step, so that videos play at the speed of the simulation.
        self.metadata = {**Env.metadata, "render_fps": settings.about["control_hz"]}
        self.observation_space = settings.observation_space
        self.action_space = settings.action_space
        self._max_episode_steps = int(max_episode_steps or settings.about["max_episode_steps"])
        self._metric_names = settings.about["metric_names"]
        self._batch = Batch(settings, 1, self.action_space)
        self._has_ended = False
        self.spec = None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's specification, with the number of steps after which this environment truncates."""
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
    def task_description(self) -> str:
        """The instruction of the episode; empty before the first one if episodes have different ones."""
        return self._batch.current[0]

    def set_instruction(self, text: str, *, goal_prompt: str | None = None, baseline_prompt: str | None = None) -> Any:
        """Changes the instruction of the present episode, for a planner.

        ``text`` is the name of a goal, one of :attr:`instructions`, or any other sentence, which the reward model is given too
        unless there is a ``goal_prompt``; if it names no goal, a reward model with ``alpha`` above 0 needs a
        ``baseline_prompt``. Rewards begin anew with the next frame that is scored. Returns the value of the observation's key
        ``"instruction"``, which the next observation has too; ``None`` if it is not observed. After the end of an episode it
        raises an error.
        """
        return self._batch.set_instruction(0, text, goal_prompt, baseline_prompt)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode. The same seed starts the same series of episodes; without a seed the series continues."""
        seed = None if seed is None else seed_of(seed)
        super().reset(seed=seed)
        if seed is None and not self._batch.was_reset:
            # The seed of the series comes from Gymnasium's generator, which is seeded from the system's entropy.
            seed = int(self.np_random.integers(2**32))
        columns = self._batch.reset(None if seed is None else [seed], None)
        self._has_ended = False
        return self._observation(columns), self._info(columns)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step."""
        if self._has_ended:
            raise ResetNeededError("the episode is over: call reset first")
        columns = self._batch.step(np.asarray(action)[None])
        terminated, truncated = bool(columns["terminated"][0]), bool(columns["truncated"][0])
        self._has_ended = terminated or truncated
        reward = float(columns["reward"][0])
        return self._observation(columns), reward, terminated, truncated, self._info(columns)

    def render(self) -> np.ndarray | None:
        """A frame of the video camera, u8 ``[240, 240, 3]``; ``None`` without a render mode."""
        if self.render_mode is None:
            return None
        return self._batch.render(None, RENDER_SIZE)[0]

    def close(self) -> None:
        """Frees everything. Further calls do nothing."""
        self._batch.close()

    def _observation(self, columns: dict[str, Any]) -> Any:
        observation = self._batch.present_observation(columns["observation"])
        if isinstance(observation, dict):
            return {key: value[0] for key, value in observation.items()}
        return observation[0]

    def _info(self, columns: dict[str, Any]) -> dict[str, Any]:
        success, _ = self._batch.success(columns["info"])
        info: dict[str, Any] = {name: bool(column[0]) for name, column in success.items()}
        info["instruction"] = int(columns["info"]["instruction"][0])
        values = columns["info"]["metrics"][0]
        info.update({name: float(value) for name, value in zip(self._metric_names, values, strict=True)})
        return info


class GoalEnv(Env):
    """An :class:`Env` whose observation has goals, by the convention of gymnasium-robotics. ``Env(obs=["state", "goal"])`` makes
    one; other environments do not have these methods, as libraries take an environment that has them for a goal environment.
    """

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """The reward of goals, f32 ``[goal_dim]`` or ``[n, goal_dim]``, by the convention of gymnasium-robotics, with
        ``reward="goal_sparse"`` (0 where their distance is at most the task's threshold, else -1) or ``"goal_dense"`` (their
        distance, negated). ``info`` is not used.
        """
        rewards = self._batch.settings.goal_rewards(achieved_goal, desired_goal)
        return float(rewards) if rewards.ndim == 0 else rewards

    def compute_terminated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> bool:
        """Whether a goal ends the episode: it never does."""
        return False

    def compute_truncated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> bool:
        """Whether a goal truncates the episode: it never does."""
        return False


def make_env(**kwargs: Any) -> Env:
    """The entry point of ``gymnasium.make``."""
    requested = _requested_limit()
    return Env(**(kwargs if requested is None else {**kwargs, "max_episode_steps": requested}))


def _requested_limit() -> int | None:
    """The ``max_episode_steps`` that ``gymnasium.make`` was given, by argument or in a specification."""
    # Gymnasium passes the number to its `TimeLimit` only. That wrapper can end an episode before the environment does, but
    # not after it, and the environment does not see its wrappers. Hence the look at the arguments of the caller.
    caller = sys._getframe(2)
    if caller.f_code is not gymnasium.make.__code__:
        return None
    env_id, limit = caller.f_locals["id"], caller.f_locals["max_episode_steps"]
    if limit is None:
        spec = env_id if isinstance(env_id, EnvSpec) else gymnasium.registry.get(env_id.rpartition(":")[2])
        limit = None if spec is None else spec.max_episode_steps
    return UNLIMITED if limit == -1 else limit
