"""The conformance suite: Sayso's vectors and Gymnasium's own pass; a vector with a fault fails the check for that fault."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from sayso.conformance import CHECKS, NEXT_STEP, ConformanceError, Subject, check_vector_env, main, run_checks

IDS = [env_id for env_id in gymnasium.registry if env_id.startswith("sayso/")]


def sayso_vector(env_id, obs="state", **kwargs):
    return lambda num_envs, mode: gymnasium.make_vec(
        env_id, num_envs=num_envs, autoreset_mode=mode, obs=obs, size=16, max_episode_steps=6, **kwargs
    )


def instructed(column):
    """Every episode has an instruction of its own, which is observed."""
    return sayso_vector("sayso/Reach-v1", ["state", column], instruction="all", paraphrases="all")


def singles(num_envs, **kwargs):
    """Constructors of Sayso's CartPole for Gymnasium's own vector: it has infos, and episodes of different lengths."""
    return [lambda: gymnasium.make("sayso/CartPole-v1", **kwargs) for _ in range(num_envs)]


def sync_vector(num_envs, mode):
    return SyncVectorEnv(singles(num_envs), autoreset_mode=mode)


SUBJECTS = {
    **{env_id: sayso_vector(env_id) for env_id in IDS},
    "pixels": sayso_vector("sayso/Reach-v1", "both"),
    "instruction": instructed("instruction"),
    "instruction_text": instructed("instruction_text"),
    "instruction_embedding": instructed("instruction_embedding"),
    "SyncVectorEnv": sync_vector,
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_vectors_conform(name, check):
    CHECKS[check](Subject(SUBJECTS[name], seed=3))


class Overwriting(SyncVectorEnv):
    def __init__(self, env_fns, autoreset_mode):
        super().__init__(env_fns, copy=False, autoreset_mode=autoreset_mode)


class OneSeedForAll(SyncVectorEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=[seed] * self.num_envs if isinstance(seed, int) else seed, options=options)


class Repetitive(SyncVectorEnv):
    """Reuses the last seed if none is given."""

    def reset(self, *, seed=None, options=None):
        self.last = seed or getattr(self, "last", None)
        return super().reset(seed=self.last, options=options)


class Talkative(SyncVectorEnv):
    def step(self, actions):
        actions[0] = actions[-1]
        return super().step(actions)


class Unmasked(SyncVectorEnv):
    def step(self, actions):
        *rest, infos = super().step(actions)
        return *rest, {key: value for key, value in infos.items() if key != "_success"}


class Listed(SyncVectorEnv):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, rewards.tolist(), *rest


class Hasty(SyncVectorEnv):
    """Resets in the same step in every mode."""

    def __init__(self, env_fns, autoreset_mode):
        super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        self.metadata["autoreset_mode"] = autoreset_mode


class Forgetful(SyncVectorEnv):
    """Also resets automatically after a manual reset."""

    def reset(self, *, seed=None, options=None):
        due = self._autoreset_envs.copy()
        result = super().reset(seed=seed, options=options)
        self._autoreset_envs = due
        return result


class LostEnd(SyncVectorEnv):
    def step(self, actions):
        observations, *rest, infos = super().step(actions)
        for i in np.flatnonzero(infos.get("_final_obs", [])):
            infos["final_obs"][i] = observations[i]
        return observations, *rest, infos


class AllOrNothing(SyncVectorEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


class Stubborn(SyncVectorEnv):
    def close(self, **kwargs):
        assert not self.closed, "closed already"
        super().close(**kwargs)


FAULTS = [
    ("results_are_not_overwritten", Overwriting),
    ("seeds", OneSeedForAll),
    ("seeds", Repetitive),
    ("slots_are_independent", Talkative),
    ("info_masks", Unmasked),
    ("interface", Listed),
    ("next_step", Hasty),
    ("reset_by_hand", Forgetful),
    ("same_step", LostEnd),
    ("disabled", AllOrNothing),
    ("partial_resets", AllOrNothing),
    ("closing", Stubborn),
]


def test_every_check_has_a_faulty_vector():
    assert {check for check, _ in FAULTS} == set(CHECKS)


@pytest.mark.parametrize(("check", "faulty"), FAULTS)
def test_faults_are_found(check, faulty):
    subject = Subject(lambda num_envs, mode: faulty(singles(num_envs), autoreset_mode=mode))
    with pytest.raises((AssertionError, KeyError)):
        CHECKS[check](subject)
    assert run_checks(subject)[check] != "passed"


def test_the_error_lists_every_violated_rule():
    with pytest.raises(ConformanceError, match=r"(?s)interface: .*rewards is list"):
        check_vector_env(lambda num_envs, mode: Listed(singles(num_envs), autoreset_mode=mode))
    only = check_vector_env(sync_vector, modes=(NEXT_STEP,))
    assert only["next_step"] == "passed" and only["same_step"] == only["disabled"] == "skipped"
    with pytest.raises(ConformanceError, match="no episode ended within 5 steps"):
        check_vector_env(sync_vector, max_steps=5)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("make", [sync_vector, sayso_vector("sayso/CartPole-v1")])
def test_a_vector_with_one_mode_passes_the_checks_of_that_mode(make, mode):
    outcome = check_vector_env(make, modes=(mode,))
    assert "passed" in outcome.values() and set(outcome.values()) == {"passed", "skipped"}


def test_wrong_subjects_are_refused():
    for wrong in ({"num_envs": 1}, {"modes": ()}):
        with pytest.raises(ValueError, match="2 or more"):
            Subject(sync_vector, **wrong)


def test_the_suite_runs_from_the_command_line(capsys):
    assert main(["sayso/CartPole-v1", "--num-envs", "2"]) == 0
    assert capsys.readouterr().out.count("passed") == len(CHECKS)


class Slot(gymnasium.Env):
    """One env of a vector as an environment; the other envs take other actions."""

    def __init__(self, env_id, slot, **kwargs):
        self.envs = gymnasium.make_vec(env_id, num_envs=3, autoreset_mode=AutoresetMode.DISABLED, **kwargs)
        self.slot = slot
        self.render_mode = self.envs.render_mode
        self.observation_space = self.envs.single_observation_space
        self.action_space = self.envs.single_action_space

    def reset(self, *, seed=None, options=None):
        seeds = [seed if i == self.slot else seed + 100 + i for i in range(3)]
        self.envs.action_space.seed(seed)
        observations, infos = self.envs.reset(seed=seeds)
        return self._own(observations), self._info(infos)

    def step(self, action):
        actions = self.envs.action_space.sample()
        actions[self.slot] = action
        observations, rewards, terminated, truncated, infos = self.envs.step(actions)
        values = (column[self.slot].item() for column in (rewards, terminated, truncated))
        return self._own(observations), *values, self._info(infos)

    def _own(self, parts):
        return {key: value[self.slot] for key, value in parts.items()}

    def _info(self, infos):
        return {key: value[self.slot].item() for key, value in infos.items() if not key.startswith("_")}

    def render(self):
        return self.envs.render()[self.slot]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("slot", [0, 2])
def test_an_environment_matches_any_slot(env_id, slot):
    kwargs = {"obs": "both", "size": 16, "max_episode_steps": 40, "render_mode": "rgb_array"}
    # No env may end within the test, as it would wait for a reset: poles fall early.
    num_steps = 8 if env_id == "sayso/CartPole-v1" else 30
    alone = gymnasium.make(env_id, **kwargs)
    check_environments_match(alone, Slot(env_id, slot, **kwargs), num_steps=num_steps, seed=4)


@pytest.mark.parametrize("env_id", IDS)
def test_model_rewards_of_a_slot_equal_those_of_a_single_environment(env_id):
    alone = gymnasium.make(env_id, reward="vlm_rm")
    slot = Slot(env_id, 1, reward="vlm_rm", obs="both", size=16)
    alone.reset(seed=2)
    slot.reset(seed=2)
    for _ in range(5):
        action = alone.action_space.sample()
        # The order of the towers' sums depends on the number of frames: the rewards differ by rounding.
        assert alone.step(action)[1] == pytest.approx(slot.step(action)[1], abs=2e-6)
