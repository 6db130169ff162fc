"""PPO in one file."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is absent")


def test_training_raises_the_return(example):
    cleanrl = example("cleanrl_ppo")
    outcome = cleanrl.main(["--reward", "ground_truth", "--total-steps", "49152", "--learning-rate", "2e-3"])
    assert outcome.last_return > outcome.first_return + 3.0, outcome


def test_running_moments_equal_those_of_all_rows(example):
    rows = np.random.default_rng(0).normal(3.0, 2.0, (100, 4))
    normalise = example("cleanrl_ppo").Normaliser((4,))
    for part in np.split(rows, 5):
        normalise.update(part)
    assert np.allclose(normalise.mean, rows.mean(axis=0), atol=1e-4)
    assert np.allclose(normalise.var, rows.var(axis=0), atol=1e-4)
