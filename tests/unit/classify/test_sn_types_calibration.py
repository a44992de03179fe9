from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import approx_fprime  # type: ignore[import-untyped, unused-ignore]

from ingest.classifiers.sn_types import Calibration, soft_max
from ingest.training.figures import calibration_error
from ingest.training.recurrent import ONE_THREAD
from ingest.training.sn_types_calibration import (
    HeldOut,
    brier_score,
    choose_calibration,
    fit_calibration,
    score_and_slope,
)

TRUE = Calibration(0.3, -0.25, (0.0, -0.4, 0.2, 0.9))
NONE = Calibration(0.0, 0.0, (0.0, 0.0, 0.0, 0.0))


def answers(truth: Calibration, objects: int, cuts: int = 1, samples: int = 2, seed: int = 0) -> HeldOut:
    """Return answers whose classes are drawn from what a calibration makes of their logits."""
    rng = np.random.default_rng(seed)
    n = objects * cuts
    logits = 2.0 * rng.normal(size=(1, n, 4)) + 0.2 * rng.normal(size=(samples, n, 4))
    points = rng.integers(4, 60, n)
    mean = soft_max(truth.apply(logits, points)).mean(axis=0)
    target = (rng.random(n)[:, None] > np.cumsum(mean, axis=1)).sum(axis=1)
    return HeldOut(logits, points, target, np.repeat(np.arange(objects), cuts).astype(str).astype(object))


def error(found: Calibration, held: HeldOut) -> float:
    mean = soft_max(found.apply(held.logits, held.n_points)).mean(axis=0)
    return calibration_error(mean.max(axis=1), mean.argmax(axis=1) == held.target, np.ones(len(mean)))


def test_calibrated_logits_are_those_of_the_formula() -> None:
    logits = np.array([[[1.0, 2.0, 0.0, -1.0]] * 4])
    said = TRUE.apply(logits, np.array([10, 100, 5000, 0]))
    at = [np.exp(0.3), np.exp(0.3) * 10.0**-0.25, np.exp(0.3) * 10.0**-0.25, np.exp(0.3) * 0.4**-0.25]
    for row, temperature in enumerate(at):
        np.testing.assert_allclose(said[0, row], logits[0, 0] / temperature + TRUE.class_bias, rtol=1e-12)
    np.testing.assert_array_equal(NONE.apply(logits, np.array([4, 10, 20, 90])), logits)


@pytest.mark.parametrize("at", [np.zeros(6), np.array([0.3, -0.25, 0.1, -0.4, 0.2, 0.9])])
def test_the_slope_is_that_of_finite_differences(at: NDArray[np.float64]) -> None:
    held = answers(TRUE, 80, samples=3)
    score, slope = score_and_slope(at, held)
    assert score == pytest.approx(brier_score(Calibration.of(at), held), rel=1e-12)
    np.testing.assert_allclose(slope, approx_fprime(at, lambda x: score_and_slope(x, held)[0], 1e-6), atol=1e-5)


def test_a_fit_finds_what_the_answers_were_drawn_from() -> None:
    held, fresh = answers(TRUE, 6_000, seed=1), answers(TRUE, 6_000, seed=2)
    found = fit_calibration(held, 1.0)
    assert found.log_temperature == pytest.approx(TRUE.log_temperature, abs=0.06)
    assert found.log_temperature_slope == pytest.approx(TRUE.log_temperature_slope, abs=0.08)
    bias = np.array(found.class_bias)
    np.testing.assert_allclose(bias - bias.mean(), np.array(TRUE.class_bias) - np.mean(TRUE.class_bias), atol=0.1)
    assert error(found, fresh) < 0.02 < error(NONE, fresh)


def test_the_prior_draws_to_no_calibration_and_counts_objects_not_alerts() -> None:
    held = answers(TRUE, 300)
    sizes = [abs(fit_calibration(held, spread).class_bias[3]) for spread in (0.0, 0.03, 0.1, 1.0)]
    assert sizes[0] == 0.0
    assert sizes == sorted(sizes)
    thrice = HeldOut(*(np.concatenate([part] * 3, axis=axis) for part, axis in (
        (held.logits, 1), (held.n_points, 0), (held.target, 0), (held.object_id, 0))))  # fmt: skip
    one, three = fit_calibration(held, 0.1), fit_calibration(thrice, 0.1)
    np.testing.assert_allclose(three.class_bias, one.class_bias, atol=1e-3)


def test_what_needs_no_calibration_gets_little_and_what_needs_one_gets_it() -> None:
    right, wrong = answers(NONE, 150, cuts=2, seed=3), answers(TRUE, 400, cuts=2, seed=3)
    fresh = answers(TRUE, 4000, seed=4)
    found, scores = first = choose_calibration(right)
    assert np.abs(found.class_bias).max() < 0.3
    assert min(scores.values()) == pytest.approx(scores["0.0"], abs=0.01)
    found, scores = choose_calibration(wrong)
    assert min(scores.values()) < 0.2 * scores["0.0"] + 0.8 * brier_score(TRUE, wrong)
    assert error(found, fresh) < 0.5 * error(NONE, fresh)
    assert choose_calibration(right) == first


def test_one_object_and_certain_answers_are_fitted() -> None:
    held = answers(TRUE, 1, cuts=3)
    assert np.isfinite(choose_calibration(held)[0].class_bias).all()
    certain = replace(held, logits=np.where(held.logits > 0.0, 1e4, -1e4))
    assert np.isfinite(choose_calibration(certain)[0].class_bias).all()


def test_xla_is_told_to_use_one_thread() -> None:
    assert ONE_THREAD in os.environ["XLA_FLAGS"]
