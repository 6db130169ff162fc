"""Sayso's tasks for LeRobot: vector environments with its observation keys, one for each goal.

An EnvHub repository's ``env.py`` is five lines::

    from sayso.lerobot import make_envs

    def make_env(n_envs=1, use_async_envs=False, cfg=None):
        return make_envs(n_envs, "Reach-v1", size=96)

LeRobot itself is not imported.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from sayso.checks import choice, text
from sayso.registration import describe, goal_named_in
from sayso.settings import Obs
from sayso.vector import VectorEnv

OBSERVATIONS = ("state", "pixels", "both")

# Number of leading values of the state that describe the robot; the others describe the scene.
N_AGENT_POS = {"Reach-v1": 18, "GoTo-v1": 6}


def make_envs(
    n_envs: int = 1,
    env_id: str = "Reach-v1",
    *,
    goals: Sequence[str] | None = None,
    **settings: Any,
) -> dict[str, dict[int, "LeRobotVectorEnv"]]:
    """A vector for each goal, as ``{suite: {task_id: vector}}``: the result that LeRobot expects of a ``make_env``.

    Args:
        n_envs: number of envs of each vector.
        env_id: id of the environment, and name of the suite.
        goals: names of goals; all goals of the task if absent. A ``task_id`` is the index of the goal among the task's
            goals.
        settings: arguments of :class:`LeRobotVectorEnv`, such as ``size=96``, ``obs="both"`` or ``reward="vlm_rm"``.

    No world is created, and no device opened, before a vector is used.
    """
    known = describe(env_id, settings.get("options"))["goals"]
    chosen = [choice("goals", goal, tuple(known)) for goal in goals or known]
    vectors = {known.index(goal): LeRobotVectorEnv(n_envs, env_id, instruction=goal, **settings) for goal in chosen}
    return {env_id: vectors}


# LeRobot 0.4 records videos of Gymnasium's own vectors only, through their `envs`: hence the base class.
class LeRobotVectorEnv(VectorEnv, gymnasium.vector.SyncVectorEnv):
    """A native vector with LeRobot's observation keys, all f32 in SI units or u8:

    - ``agent_pos`` ``[num_envs, n]``: the values of the state that describe the robot.
    - ``environment_state`` ``[num_envs, n]``: the other values of the state, unless ``obs`` is ``"pixels"``.
    - ``pixels`` ``[num_envs, height, width, 3]`` unless ``obs`` is ``"state"``; a dict of such arrays if ``cameras`` are
      named.

    Args:
        num_envs: number of envs.
        env_id: ``"Reach-v1"`` or ``"GoTo-v1"``, as LeRobot's actions are continuous.
        instruction: name of the goal whose instruction the agent is given. ``call("task")`` returns the name, and
            ``call("task_description")`` the instruction.
        obs: ``"pixels"``, ``"state"`` or ``"both"``.
        cameras: names of the cameras of ``pixels``. They are rendered like videos, with four samples per pixel.
        settings: arguments of :class:`sayso.VectorEnv`. A ``goal_prompt`` must name the goal of ``instruction``, as LeRobot
            reports success on it.

    LeRobot reads one observation and one reward beyond the end of an episode. With ``NEXT_STEP``, which this class uses,
    they are the last observation and 0. LeRobot reads success from the ``final_info`` of ``SAME_STEP``, so the infos of
    a step in which episodes end have ``final_info`` too.
    """

    # The properties of `SyncVectorEnv` read them from each of its `envs`.
    np_random = gymnasium.vector.VectorEnv.np_random
    np_random_seed = gymnasium.vector.VectorEnv.np_random_seed

    def __init__(
        self,
        num_envs: int = 1,
        env_id: str = "Reach-v1",
        *,
        instruction: str,
        obs: Obs = "pixels",
        cameras: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        choice("env_id", env_id, tuple(N_AGENT_POS))
        choice("obs", obs, OBSERVATIONS)
        known = describe(env_id, settings.get("options"))
        choice("instruction", instruction, tuple(known["goals"]))
        prompt = settings.get("goal_prompt")
        if prompt is not None and goal_named_in(env_id, settings.get("options"), text("goal_prompt", prompt)) is None:
            raise ValueError(
                f"goal_prompt = {prompt!r} does not name exactly one goal of {env_id}, and LeRobot needs the success of one: "
                f"use the word {instruction!r} and no other of {', '.join(known['goals'])} in it, or leave it out"
            )
        for name, several in (("camera", (list, tuple)), ("size", dict)):
            if isinstance(settings.get(name), several):
                raise TypeError(f"{name} = {settings[name]!r}; LeRobot's images have one size: name further cameras in cameras")
        cameras = [choice("cameras", name, tuple(known["cameras"])) for name in _listed(cameras)]
        for fixed in ("autoreset_mode", "render_mode"):
            if fixed in settings:
                raise TypeError(f"{fixed} cannot be set: LeRobot requires a fixed value")
        needed = "state" if cameras or obs == "state" else "both"
        super().__init__(num_envs, env_id, instruction=instruction, obs=needed, render_mode="rgb_array", **settings)
        self.task = instruction
        self.envs = [_Slot(self, i) for i in range(num_envs)]
        self._obs = obs
        self._cameras = cameras
        self._n_agent_pos = N_AGENT_POS[env_id]
        self._frames: tuple[np.ndarray, ...] | None = None
        self.single_observation_space = self._space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts episodes. Unknown options, such as LeRobot's own, are ignored."""
        observation, infos = super().reset(seed=seed, options=options)
        self._frames = None
        return self._renamed(observation), infos

    def step(self, actions: Any) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every env; rewards are f64 ``[num_envs]``."""
        observation, rewards, terminated, truncated, infos = super().step(actions)
        self._frames = None
        ended = terminated | truncated
        if ended.any():
            final = {key: np.where(ended, column, np.zeros_like(column)) for key, column in infos.items()}
            infos = {**infos, "final_info": final, "_final_info": ended}
        return self._renamed(observation), rewards, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...]:
        """A frame of the video camera of every env; rendered at most once per step."""
        if self._frames is None:
            self._frames = super().render()
        return self._frames

    def _space(self) -> spaces.Dict:
        about, size = self._batch.settings.about, self._batch.settings.size
        low, high = about["state_space"]["low"], about["state_space"]["high"]
        image = spaces.Box(0, 255, (*size, 3), np.uint8)
        parts: dict[str, spaces.Space] = {"agent_pos": spaces.Box(low[: self._n_agent_pos], high[: self._n_agent_pos])}
        if self._obs != "pixels":
            parts["environment_state"] = spaces.Box(low[self._n_agent_pos :], high[self._n_agent_pos :])
        if self._obs != "state":
            views = {camera: image for camera in self._cameras}
            parts["pixels"] = spaces.Dict(views) if views else image
        return spaces.Dict(parts)

    def _renamed(self, observation: Any) -> dict[str, Any]:
        state = observation["state"] if isinstance(observation, dict) else observation
        parts: dict[str, Any] = {"agent_pos": state[:, : self._n_agent_pos]}
        if self._obs != "pixels":
            parts["environment_state"] = state[:, self._n_agent_pos :]
        if self._obs != "state":
            size = self._batch.settings.size
            views = {camera: self._batch.render(camera, size) for camera in self._cameras}
            parts["pixels"] = views or observation["pixels"]
        return parts


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


class _Slot:
    """One env of a vector, with the attributes that LeRobot reads."""

    def __init__(self, vector: LeRobotVectorEnv, env_idx: int) -> None:
        self._vector = vector
        self._env_idx = env_idx

    @property
    def task(self) -> str:
        return self._vector.task

    @property
    def task_description(self) -> str:
        return self._vector.call("task_description")[self._env_idx]

    def render(self) -> np.ndarray:
        return self._vector.render()[self._env_idx]
