"""A conformance suite for vector environments of any library.

Gymnasium's ``check_env`` checks single environments. Vectors have faults of their own: the last observation of an episode is
lost, an action for a finished env is applied to the next episode, envs share a seed, or an array that was returned is
overwritten by the next step. Each check tests one rule of Gymnasium's ``VectorEnv``; most compare every env of a vector with
a vector of one env::

    from sayso.conformance import check_vector_env

    check_vector_env(lambda num_envs, mode: MyVectorEnv(num_envs, autoreset_mode=mode))

or from a shell, for every environment of ``gymnasium.make_vec``: ``python -m sayso.conformance CartPole-v1 --how sync``. In
pytest, parametrise over :data:`CHECKS` and call each check with a :class:`Subject`.
"""

import argparse
import copy
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from sayso import infos as vector_infos

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED


class ConformanceError(AssertionError):
    """A vector environment violates rules; the message lists all of them."""


@dataclass(frozen=True)
class Subject:
    """A vector environment to check.

    Args:
        make: returns a vector environment for a number of envs and an autoreset mode.
        num_envs: number of envs of the checked vectors; 2 or more.
        max_steps: number of steps of random actions within which an episode must end in every env.
        seed: seed of environments and actions.
        modes: autoreset modes that ``make`` supports.
    """

    make: Callable[[int, AutoresetMode], VectorEnv]
    num_envs: int = 3
    max_steps: int = 1000
    seed: int = 0
    modes: Sequence[AutoresetMode] = (NEXT_STEP, SAME_STEP, DISABLED)

    def __post_init__(self) -> None:
        if self.num_envs < 2 or not self.modes:
            raise ValueError(f"num_envs = {self.num_envs}, modes = {self.modes}; expected 2 or more envs, and a mode")

    def vector(self, mode: AutoresetMode | None = None) -> VectorEnv:
        """A vector of :attr:`num_envs`, in the first of :attr:`modes` if none is named."""
        return self.make(self.num_envs, mode or self.modes[0])

    def actions(self, envs: VectorEnv) -> Callable[[], Any]:
        """A sampler of random actions; the same sequence for every vector of the subject."""
        space = copy.deepcopy(envs.action_space)
        space.seed(self.seed)
        return space.sample


class SingleEnv:
    """A vector of one env that is reset manually: the reference for the env at index ``env_idx`` of a vector."""

    def __init__(self, subject: Subject, env_idx: int) -> None:
        self.envs = subject.make(1, subject.modes[0])
        # Observation and info of the next episode, if the env has reset itself already.
        self._next: tuple[Any, dict[str, Any]] | None = None
        self.observation, self.info = self._row(self.envs.reset(seed=subject.seed + env_idx))
        self.reward, self.terminated, self.truncated = 0.0, False, False

    @property
    def has_ended(self) -> bool:
        return self.terminated or self.truncated

    def reset(self) -> None:
        """Starts the next episode of the series."""
        self.observation, self.info = self._next or self._row(self.envs.reset())
        self._next = None
        self.reward, self.terminated, self.truncated = 0.0, False, False

    def step(self, action: Any) -> None:
        """One step; ``observation`` and ``info`` are those before any reset, with ``SAME_STEP`` too."""
        observations, rewards, terminated, truncated, infos = self.envs.step(
            _joined(self.envs.single_action_space, [action])
        )
        self.reward, self.terminated, self.truncated = float(rewards[0]), bool(terminated[0]), bool(truncated[0])
        self.observation, self.info = self._row((observations, infos))
        if self.has_ended and self.envs.metadata["autoreset_mode"] == SAME_STEP:
            self._next = self.observation, _without_final(self.info)
            self.observation, self.info = infos["final_obs"][0], vector_infos.rows(infos["final_info"], 1)[0]

    def _row(self, result: tuple[Any, dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
        return _rows(self.envs, result[0])[0], vector_infos.rows(result[1], 1)[0]


def check_interface(subject: Subject) -> None:
    """Spaces are batches of the single spaces; results have their shapes and types; the mode is Gymnasium's enum."""
    for mode in subject.modes:
        envs = subject.vector(mode)
        n = subject.num_envs
        assert envs.num_envs == n, f"num_envs is {envs.num_envs}; expected {n}"
        reported = envs.metadata.get("autoreset_mode")
        assert reported is mode, f"metadata['autoreset_mode'] is {reported!r}; expected {mode!r}, the enum's member"
        for name in ("observation_space", "action_space"):
            batched, single = getattr(envs, name), getattr(envs, f"single_{name}")
            assert batched == batch_space(single, n), f"{name} is {batched}; expected {n} times {single}"
        observations, infos = envs.reset(seed=subject.seed)
        assert observations in envs.observation_space, "reset's observations are not in observation_space"
        assert isinstance(infos, dict), f"reset's infos are {type(infos)}; expected a dict"
        observations, rewards, *flags, infos = envs.step(subject.actions(envs)())
        assert observations in envs.observation_space, "step's observations are not in observation_space"
        _expect_array("rewards", rewards, n, np.floating)
        for name, flag in zip(("terminated", "truncated"), flags, strict=True):
            _expect_array(name, flag, n, np.bool_)
        assert isinstance(infos, dict), f"step's infos are {type(infos)}; expected a dict"
        envs.close()


def check_seeds(subject: Subject) -> None:
    """A seed repeats everything; ``seed=s`` means ``s, s + 1, …``; no seed continues the series; wrong seeds are refused."""
    seed, n = subject.seed, subject.num_envs
    one, other = subject.vector(), subject.vector()
    first = _rows(one, one.reset(seed=seed)[0])
    listed = _rows(other, other.reset(seed=[seed + i for i in range(n)])[0])
    _expect_same(first, listed, "reset(seed=s) differs from reset(seed=[s, s + 1, …])")
    sample = subject.actions(one)
    for step in range(5):
        actions = sample()
        a, b = one.step(copy.deepcopy(actions)), other.step(actions)
        _expect_same(a[:4], b[:4], f"step {step} differs between two vectors of one seed and the same actions")
    following = _rows(one, one.reset()[0])
    _expect_same(following, _rows(other, other.reset()[0]), "reset() without a seed differs between two vectors of one seed")
    if any(not data_equivalence(first[0], row) for row in first[1:]):
        assert not data_equivalence(first, following), "reset() without a seed repeats the first episodes"
    _expect_same(first, _rows(one, one.reset(seed=seed)[0]), "reset with the first seed does not repeat the first episodes")
    for wrong in (-1, [seed] * (n + 1)):
        _expect_error(lambda wrong=wrong: one.reset(seed=wrong), f"reset(seed={wrong}) is not refused")


def check_slots_are_independent(subject: Subject) -> None:
    """The actions of one env do not affect another."""
    one, other = subject.vector(), subject.vector()
    one.reset(seed=subject.seed)
    other.reset(seed=subject.seed)
    sample = subject.actions(one)
    last = subject.num_envs - 1
    for step in range(5):
        actions, others = (list(iterate(one.action_space, sample())) for _ in range(2))
        a = one.step(_joined(one.single_action_space, actions))
        b = other.step(_joined(one.single_action_space, [*actions[:last], others[last]]))
        kept = [(_rows(one, result[0])[:last], result[1][:last]) for result in (a, b)]
        _expect_same(kept[0], kept[1], f"step {step}: the action of env {last} changed the observations of others")


def check_results_are_not_overwritten(subject: Subject) -> None:
    """Later steps do not write into arrays that were returned."""
    envs = subject.vector()
    sample = subject.actions(envs)
    results = [envs.reset(seed=subject.seed), *(envs.step(sample()) for _ in range(2))]
    kept = copy.deepcopy(results)
    for _ in range(3):
        envs.step(sample())
    _expect_same(results, kept, "a later step wrote into an array that was returned")


def check_info_masks(subject: Subject) -> None:
    """Every info ``k`` is an array with a row for each env, or a dict of such arrays, and has a boolean mask ``_k``."""
    for mode in subject.modes:
        envs = subject.vector(mode)
        _expect_masks(envs.reset(seed=subject.seed)[1], subject.num_envs, "infos")
        for (*_, terminated, truncated, infos), _ in _until_all_restarted(subject, envs):
            _expect_masks(infos, subject.num_envs, "infos")
            if mode == DISABLED and (terminated | truncated).any():
                envs.reset(options={"reset_mask": terminated | truncated})


def check_next_step(subject: Subject) -> None:
    """The step after a last one resets: its action is ignored, its reward is 0; the last observation came before it."""
    envs = subject.vector(NEXT_STEP)
    alone = _start(subject, envs)
    for result, actions in _until_all_restarted(subject, envs):
        for env, action in zip(alone, iterate(envs.action_space, actions), strict=True):
            env.reset() if env.has_ended else env.step(action)
        _expect_as_alone(envs, result, alone)


def check_reset_by_hand(subject: Subject) -> None:
    """``reset()`` after an episode's last step replaces the automatic reset: the next step is an ordinary step."""
    envs, fresh = subject.vector(NEXT_STEP), subject.vector(NEXT_STEP)
    envs.reset(seed=subject.seed)
    for (*_, terminated, truncated, _), _ in _until_all_restarted(subject, envs):
        if (terminated | truncated).any():
            break
    actions = subject.actions(envs)()
    results = []
    for vector in (envs, fresh):
        vector.reset(seed=subject.seed)
        results.append(vector.step(copy.deepcopy(actions))[:4])
    _expect_same(results[0], results[1], "the step after a manual reset differs from that in a new vector")


def check_same_step(subject: Subject) -> None:
    """A last step resets: ``final_obs`` and ``final_info`` belong to the end, the observation to the next episode."""
    envs = subject.vector(SAME_STEP)
    alone = _start(subject, envs)
    for (observations, rewards, *flags, infos), actions in _until_all_restarted(subject, envs):
        for env, action in zip(alone, iterate(envs.action_space, actions), strict=True):
            env.step(action)
        ended = np.array([env.has_ended for env in alone])
        for key in ("final_obs", "final_info"):
            mask = infos.get(f"_{key}", np.zeros_like(ended))
            assert np.array_equal(mask, ended), f"infos['_{key}'] is {mask}; expected {ended}"
        own_infos = vector_infos.rows(infos, subject.num_envs)
        last_infos = vector_infos.rows(infos.get("final_info", {}), subject.num_envs)
        for i, (row, env) in enumerate(zip(_rows(envs, observations), alone, strict=True)):
            _expect_flags(i, rewards, flags, env)
            if not env.has_ended:
                _expect_same(row, env.observation, f"env {i}: the observation differs from that of the env alone")
                _expect_same(own_infos[i], env.info, f"env {i}: the info differs from that of the env alone")
                continue
            _expect_same(infos["final_obs"][i], env.observation, f"env {i}: final_obs is not the last observation")
            _expect_same(last_infos[i], env.info, f"env {i}: final_info is not the last info")
            env.reset()
            _expect_same(row, env.observation, f"env {i}: the observation is not that of the next episode")
            _expect_same(_without_final(own_infos[i]), env.info, f"env {i}: the info is not that of the next episode")
        if ended.any():
            is_empty = [value is None for value in infos["final_obs"]]
            assert is_empty == (~ended).tolist(), "final_obs has rows of envs that have not ended"


def check_disabled(subject: Subject) -> None:
    """Ended envs wait for a reset with a mask, which starts episodes in its envs and does not change the others."""
    envs = subject.vector(DISABLED)
    alone = _start(subject, envs)
    for result, actions in _until_all_restarted(subject, envs):
        for env, action in zip(alone, iterate(envs.action_space, actions), strict=True):
            env.step(action)
        _expect_as_alone(envs, result, alone)
        mask = np.array([env.has_ended for env in alone])
        if mask.any():
            for i in np.flatnonzero(mask):
                alone[i].reset()
            observations, infos = envs.reset(options={"reset_mask": mask})
            expected = [env.observation for env in alone]
            _expect_same(_rows(envs, observations), expected, "the observations after a partial reset are wrong")
            _expect_masks(infos, subject.num_envs, "infos of a partial reset")


def check_partial_resets(subject: Subject) -> None:
    """Seeds beside a mask apply to the masked envs only; wrong masks, and steps of ended envs, are refused."""
    envs = subject.vector(DISABLED)
    first, _ = envs.reset(seed=subject.seed)
    sample = subject.actions(envs)
    stepped = envs.step(sample())[0]
    mask = np.arange(subject.num_envs) == 1
    seeds = [subject.seed + i for i in range(subject.num_envs)]
    observations, _ = envs.reset(seed=seeds, options={"reset_mask": mask})
    rows = zip(_rows(envs, observations), _rows(envs, first), _rows(envs, stepped), strict=True)
    for i, (row, started, other) in enumerate(rows):
        _expect_same(row, started if mask[i] else other, f"env {i}: wrong state after a partial reset of env 1")
    for what, wrong in (
        ("of no env", np.zeros(subject.num_envs, bool)),
        ("of numbers", np.ones(subject.num_envs, np.int64)),
        ("of another length", np.ones(subject.num_envs + 1, bool)),
    ):
        _expect_error(lambda wrong=wrong: envs.reset(options={"reset_mask": wrong}), f"a mask {what} is not refused")
    for _ in range(subject.max_steps):
        *_, terminated, truncated, _ = envs.step(sample())
        if (terminated | truncated).any():
            _expect_error(lambda: envs.step(sample()), "a step of an env that has ended is not refused")
            return
    raise AssertionError(f"no episode ended within {subject.max_steps} steps of random actions")


def check_closing(subject: Subject) -> None:
    """``close`` may be called repeatedly, and before the first reset."""
    for was_reset in (False, True):
        envs = subject.vector()
        if was_reset:
            envs.reset(seed=subject.seed)
        envs.close()
        assert envs.closed, "closed is not True after close()"
        envs.close()


#: Every check by name. A check of an autoreset mode that the subject does not support is skipped.
CHECKS: dict[str, Callable[[Subject], None]] = {
    "interface": check_interface,
    "seeds": check_seeds,
    "slots_are_independent": check_slots_are_independent,
    "results_are_not_overwritten": check_results_are_not_overwritten,
    "info_masks": check_info_masks,
    "next_step": check_next_step,
    "reset_by_hand": check_reset_by_hand,
    "same_step": check_same_step,
    "disabled": check_disabled,
    "partial_resets": check_partial_resets,
    "closing": check_closing,
}
_NEEDS = {
    "next_step": NEXT_STEP,
    "reset_by_hand": NEXT_STEP,
    "same_step": SAME_STEP,
    "disabled": DISABLED,
    "partial_resets": DISABLED,
}


def check_vector_env(make: Callable[[int, AutoresetMode], VectorEnv], **settings: Any) -> dict[str, str]:
    """Runs every check; ``settings`` are arguments of :class:`Subject`.

    Returns:
        For each check ``"passed"`` or ``"skipped"``.

    Raises:
        ConformanceError: lists every rule that is violated.
    """
    outcome = run_checks(Subject(make, **settings))
    failures = {name: result for name, result in outcome.items() if result not in ("passed", "skipped")}
    if failures:
        raise ConformanceError("\n".join(f"{name}: {message}" for name, message in failures.items()))
    return outcome


def run_checks(subject: Subject) -> dict[str, str]:
    """The result of every check: ``"passed"``, ``"skipped"``, or an error message."""
    outcome = {}
    for name, check in CHECKS.items():
        if _NEEDS.get(name, subject.modes[0]) not in subject.modes:
            outcome[name] = "skipped"
            continue
        try:
            check(subject)
            outcome[name] = "passed"
        except Exception as error:
            outcome[name] = f"{error}" if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    return outcome


def _start(subject: Subject, envs: VectorEnv) -> list[SingleEnv]:
    """Resets the vector, and returns a single env for each of its envs."""
    observations, _ = envs.reset(seed=subject.seed)
    alone = [SingleEnv(subject, env_idx) for env_idx in range(subject.num_envs)]
    expected = [env.observation for env in alone]
    _expect_same(_rows(envs, observations), expected, "env i of reset(seed=s) differs from an env alone with seed s + i")
    return alone


def _until_all_restarted(subject: Subject, envs: VectorEnv) -> Iterator[tuple[tuple, Any]]:
    """Steps with random actions until every env is some steps into its second episode; yields results and actions."""
    sample = subject.actions(envs)
    n_after_end = np.zeros(subject.num_envs, np.int64)
    for _ in range(subject.max_steps):
        actions = sample()
        result = envs.step(copy.deepcopy(actions))
        yield result, actions
        n_after_end += (n_after_end > 0) | result[2] | result[3]
        if n_after_end.min() > 3:
            return
    without = np.flatnonzero(n_after_end == 0).tolist()
    raise AssertionError(
        f"in envs {without} no episode ended within {subject.max_steps} steps of random actions: raise max_steps, or "
        "shorten the episodes"
    )


def _expect_as_alone(envs: VectorEnv, result: tuple, alone: list[SingleEnv]) -> None:
    observations, rewards, *flags, infos = result
    own_infos = vector_infos.rows(infos, envs.num_envs)
    for i, (row, env) in enumerate(zip(_rows(envs, observations), alone, strict=True)):
        _expect_same(row, env.observation, f"env {i}: the observation differs from that of the env alone")
        _expect_flags(i, rewards, flags, env)
        _expect_same(own_infos[i], env.info, f"env {i}: the info differs from that of the env alone")


def _expect_flags(i: int, rewards: np.ndarray, flags: list[np.ndarray], env: SingleEnv) -> None:
    got = (float(rewards[i]), *(bool(flag[i]) for flag in flags))
    expected = (env.reward, env.terminated, env.truncated)
    assert got == expected, f"env {i}: reward, terminated, truncated are {got}; those of the env alone are {expected}"


def _expect_masks(infos: dict[str, Any], num_envs: int, where: str) -> None:
    for key, value in infos.items():
        if key.startswith("_"):
            assert key[1:] in infos, f"{where} has a mask {key!r} without a column"
            continue
        mask = infos.get(f"_{key}")
        assert mask is not None, f"{where}[{key!r}] has no mask {'_' + key!r}"
        _expect_array(f"{where}['_{key}']", mask, num_envs, np.bool_)
        if isinstance(value, dict):
            _expect_masks(value, num_envs, f"{where}[{key!r}]")
        else:
            assert isinstance(value, np.ndarray) and len(value) == num_envs, (
                f"{where}[{key!r}] is {type(value).__name__}; expected an array of {num_envs} rows"
            )


def _expect_array(name: str, value: Any, n: int, dtype: Any) -> None:
    assert isinstance(value, np.ndarray), f"{name} is {type(value).__name__}; expected an array"
    assert value.shape == (n,) and np.issubdtype(value.dtype, dtype), (
        f"{name} is {value.dtype} {value.shape}; expected {dtype.__name__} {(n,)}"
    )


def _expect_same(one: Any, other: Any, message: str) -> None:
    assert data_equivalence(one, other), f"{message}\n  {_short(one)}\n  {_short(other)}"


def _expect_error(action: Callable[[], Any], message: str) -> None:
    try:
        action()
    except Exception:
        return
    raise AssertionError(message)


def _rows(envs: VectorEnv, observations: Any) -> list[Any]:
    return list(iterate(envs.observation_space, observations))


def _without_final(info: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in info.items() if key not in ("final_obs", "final_info")}


def _joined(single_space: gymnasium.Space, rows: Sequence[Any]) -> Any:
    """A batch from values of a single space."""
    return concatenate(single_space, rows, create_empty_array(single_space, len(rows)))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 300 else f"{text[:300]}…"


def main(argv: list[str] | None = None) -> int:
    """Runs the suite for an environment of ``gymnasium.make_vec``. The exit status is 1 if it violates a rule."""
    parser = argparse.ArgumentParser(prog="sayso.conformance", description=main.__doc__)
    parser.add_argument("env_id", help="id for gymnasium.make_vec, such as CartPole-v1 or sayso/Reach-v1")
    parser.add_argument("--import", dest="module", help="module that registers the environment", default="sayso")
    modes = ["sync", "async", "vector_entry_point"]
    parser.add_argument("--how", choices=modes, help="vectorization_mode; vector_entry_point if registered, else sync")
    parser.add_argument("--num-envs", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    importlib.import_module(args.module)
    has_own = gymnasium.spec(args.env_id).vector_entry_point is not None
    how = args.how or ("vector_entry_point" if has_own else "sync")

    def make(num_envs: int, mode: AutoresetMode) -> VectorEnv:
        kwargs: dict[str, Any] = {"autoreset_mode": mode}
        kwargs = kwargs if how == "vector_entry_point" else {"vector_kwargs": kwargs}
        return gymnasium.make_vec(args.env_id, num_envs=num_envs, vectorization_mode=how, **kwargs)

    outcome = run_checks(Subject(make, args.num_envs, args.max_steps, args.seed))
    for name, result in outcome.items():
        print(f"{name:<28} {result}")
    return int(any(result not in ("passed", "skipped") for result in outcome.values()))


if __name__ == "__main__":
    raise SystemExit(main())
