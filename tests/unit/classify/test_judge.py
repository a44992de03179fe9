"""Figures of merit against scikit-learn, and what a judge says of classifiers whose faults are known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, log_loss, roc_auc_score

from graph.errors import ModelError
from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.contract import Classifications
from ingest.training.figures import (
    average_precision,
    calibration_error,
    calibration_table,
    efficiency_at_purity,
    purity_at_efficiency,
)
from ingest.training.judge import Judged, as_known, behaviour, goal, is_kind_of, metrics
from ingest.training.labelled import Labelled, as_batch
from ingest.training.nonsense import NONSENSE, as_nonsense

CLASSES = ("SN Ia", "SN CC", "AGN")


def answers(probability: np.ndarray, classes: tuple[str, ...] = CLASSES) -> Classifications:
    n = len(probability)
    return Classifications(
        classifier="made_up",
        version="1",
        classes=classes,
        probability=probability.astype(np.float32),
        std=np.where(np.isnan(probability[:, 0]), np.nan, 0.1),
        n_points=np.arange(n) % 40 + 1,
        out_of_distribution=np.zeros(n, dtype=np.bool_),
    )


def judged(n: int, seed: int) -> Judged:
    """Return answers that are drawn from their own probabilities: calibrated by construction."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet([0.6, 0.5, 0.4], size=n)
    drawn = (rng.random((n, 1)) > np.cumsum(probability, axis=1)).sum(axis=1)
    return Judged(
        answer=answers(probability),
        label=np.array(CLASSES, dtype=object)[np.minimum(drawn, 2)],
        object_id=np.array([f"o{i // 2}" for i in range(n)], dtype=object),
        source=np.where(np.arange(n) % 3 == 0, "real", "simulated").astype(object),
        days_since_first=rng.uniform(0.0, 200.0, n),
    )


def sources(n: int) -> np.ndarray:
    return np.full(n, "real", dtype=object)


def batch_of_light_curves(n: int = 40, points: int = 14) -> Labelled:
    rng = np.random.default_rng(5)
    time = 60_000.0 + np.sort(rng.uniform(0.0, 28.0, (n, points)), axis=1)
    flux = 4000.0 * np.exp(-0.5 * ((time - 60_012.0) / 8.0) ** 2) + rng.normal(0.0, 60.0, (n, points))
    offsets = np.arange(n + 1) * points
    band = np.tile(np.array([1, 2], dtype=np.int8), n * points // 2)
    err = np.full(n * points, 60.0)
    nothing = np.full(n, np.nan)
    return Labelled(
        object_id=np.array([str(i) for i in range(n)], dtype=object),
        label=np.full(n, "SN Ia", dtype=object),
        source=sources(n),
        curves=LightCurves(offsets, time.ravel(), band, flux.ravel(), err, np.full(n * points, np.nan)),
        forced=ForcedPhotometry(offsets, time.ravel(), band, flux.ravel(), err),
        ra_deg=nothing,
        dec_deg=nothing,
        redshift=nothing,
        redshift_err=nothing,
        peak_mjd_tai=nothing,
    )


def test_figures_equal_scikit_learn() -> None:
    truth = judged(3000, 0)
    weight = np.random.default_rng(1).uniform(0.1, 3.0, 3000)
    found = metrics(truth, positive="SN Ia", weight=weight)
    probability = truth.answer.probability.astype(np.float64)
    target = np.array([CLASSES.index(name) for name in truth.label])
    whole = probability / probability.sum(axis=1, keepdims=True)
    order = sorted(range(3), key=CLASSES.__getitem__)
    assert found["confusion"] == confusion_matrix(target, probability.argmax(axis=1)).tolist()
    assert found["accuracy"] == pytest.approx(np.average(probability.argmax(axis=1) == target, weights=weight))
    assert found["log_loss"] == pytest.approx(
        log_loss(truth.label.astype(str), whole[:, order], sample_weight=weight), rel=1e-5
    )
    squares = [brier_score_loss(target == c, probability[:, c], sample_weight=weight) for c in range(3)]
    assert found["brier"] == pytest.approx(sum(squares))
    for column, name in enumerate(CLASSES):
        mine, score = target == column, probability[:, column]
        assert found["classes"][name]["auc"] == pytest.approx(roc_auc_score(mine, score, sample_weight=weight))
        assert found["classes"][name]["average_precision"] == pytest.approx(
            average_precision_score(mine, score, sample_weight=weight)
        )
    assert found["positive"]["auc"] == pytest.approx(found["classes"]["SN Ia"]["auc"])
    json.dumps(found, allow_nan=False)


def test_honest_answers_have_no_calibration_error_and_boasting_ones_have() -> None:
    honest = judged(20_000, 2)
    assert metrics(honest)["calibration_error"] < 0.015
    boasting = Judged(
        answers(np.eye(3)[honest.answer.probability.argmax(axis=1)]),
        honest.label,
        honest.object_id,
        honest.source,
        honest.days_since_first,
    )
    found = metrics(boasting)
    assert found["calibration_error"] == pytest.approx(1.0 - found["accuracy"])


def test_bins_of_a_calibration_curve_add_up_to_its_error() -> None:
    rng = np.random.default_rng(3)
    stated, weight = rng.random(500), rng.random(500)
    correct = rng.random(500) < stated**2
    table = calibration_table(stated, correct, weight)
    assert sum(entry["rows"] for entry in table) == 500
    total = [weight[(np.minimum(stated * 10, 9).astype(int) / 10) == entry["low"]].sum() for entry in table]
    gaps = [abs(entry["stated"] - entry["measured"]) * part for entry, part in zip(table, total, strict=True)]
    assert sum(gaps) / weight.sum() == pytest.approx(calibration_error(stated, correct, weight))


def test_slices_cover_all_rows() -> None:
    found = metrics(judged(900, 4))
    for key in ("by_points", "by_days"):
        assert sum(part["rows"] for part in found[key].values()) == found["rows"] == 900
    total = sum(entry["rows"] for entry in found["by_source"]["AGN"].values())
    assert total == found["classes"]["AGN"]["rows"]


def test_a_label_counts_as_its_nearest_known_ancestor() -> None:
    label = np.array(["SLSN", "SN Ia", "KN", "blazar", "LPV", "never heard of"], dtype=object)
    assert as_known(label, ("SN", "SN CC", "AGN")).tolist() == ["SN CC", "SN", "", "AGN", "", ""]
    assert as_known(label, ("SN", "other")).tolist() == ["SN", "SN", "other", "other", "other", "other"]
    assert is_kind_of(label, "explosive").tolist() == [True, True, True, False, False, False]


def test_a_class_is_looked_for_among_the_unknown_and_the_unanswered_too() -> None:
    probability = np.array([[0.9, 0.1], [0.8, 0.2], [np.nan, np.nan], [0.7, 0.3], [0.2, 0.8]])
    label = np.array(["SN Ia", "LPV", "SN Ia", "SLSN", "AGN"], dtype=object)
    rows = np.array(list("abcde"), dtype=object)
    found = metrics(Judged(answers(probability, ("SN", "AGN")), label, rows, sources(5), np.zeros(5)), positive="SN")
    assert (found["rows"], found["rows_asked"], found["rows_of_unknown_classes"]) == (3, 5, 1)
    assert found["abstained"] == pytest.approx(0.2)
    assert found["positive"]["at_half"] == {"purity": pytest.approx(2 / 3), "efficiency": pytest.approx(2 / 3)}
    with pytest.raises(ModelError, match="no class"):
        metrics(Judged(answers(probability, ("SN", "AGN")), label, rows, sources(5), np.zeros(5)), positive="comet")


@pytest.mark.parametrize("n", [0, 1, 3])
def test_nothing_but_abstaining_is_no_crash(n: int) -> None:
    silent = Judged(
        answers(np.full((n, 3), np.nan)), np.full(n, "AGN", dtype=object), sources(n), sources(n), np.full(n, np.nan)
    )
    found = metrics(silent, positive="AGN")
    assert found["rows"] == 0
    assert found["accuracy"] is None
    json.dumps(found, allow_nan=False)


def test_columns_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ModelError, match="different numbers of rows"):
        Judged(answers(np.full((3, 3), 1 / 3)), sources(2), sources(3), sources(3), np.zeros(3))


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 3)), min_size=1, max_size=60))
def test_average_precision_and_thresholds_hold_for_any_scores(rows: list[tuple[int, bool, int]]) -> None:
    score = np.array([row[0] / 6 for row in rows])
    truth = np.array([row[1] for row in rows])
    weight = np.array([float(row[2]) for row in rows])
    if not truth.any():
        return
    assert average_precision(score, truth, weight) == pytest.approx(
        average_precision_score(truth, score, sample_weight=weight)
    )
    best = efficiency_at_purity(score, truth, weight, 0.8)
    pure = {
        t: np.average(truth[score >= t], weights=weight[score >= t]) for t in np.unique(score) if (score >= t).any()
    }
    reached = [np.average((score >= t)[truth], weights=weight[truth]) for t, p in pure.items() if p >= 0.8]
    assert (best or {"efficiency": 0.0})["efficiency"] == pytest.approx(max(reached, default=0.0))
    purest = purity_at_efficiency(score, truth, weight, 0.5)
    assert purest is not None
    assert purest["purity"] == pytest.approx(
        max(p for t, p in pure.items() if np.average((score >= t)[truth], weights=weight[truth]) >= 0.5)
    )


def test_goals_are_met_or_missed_by_a_distance() -> None:
    assert goal("AUC", 0.97, 0.98, data="x")["met"]
    missed = goal("ECE", 0.03, 0.05, data="x", why="few rows", at_most=True)
    assert not missed["met"]
    assert missed["missed_by"] == pytest.approx(0.02)
    unknown = goal("AUC", 0.97, float("nan"), data="x")
    assert (unknown["met"], unknown["reached"], unknown["missed_by"]) == (False, None, None)


def test_nonsense_keeps_times_and_counts() -> None:
    batch = as_batch(batch_of_light_curves(), Survey.LSST)
    for kind in NONSENSE:
        other = as_nonsense(batch, kind)
        np.testing.assert_array_equal(other.curves.offsets, batch.curves.offsets)
        assert (other.n_points == batch.n_points).all()
        for i in range(len(batch)):
            mine = slice(*other.curves.offsets[i : i + 2])
            assert (np.diff(other.curves.midpoint_mjd_tai[mine]) >= 0).all()
            if kind in {"shuffled", "reversed"}:
                np.testing.assert_array_equal(
                    np.sort(other.curves.psf_flux_njy[mine]), np.sort(batch.curves.psf_flux_njy[mine])
                )
        np.testing.assert_array_equal(
            other.columns.psf_flux_njy, other.curves.psf_flux_njy[other.curves.offsets[1:] - 1]
        )
    again = as_nonsense(as_nonsense(batch, "reversed"), "reversed")
    np.testing.assert_allclose(again.curves.midpoint_mjd_tai, batch.curves.midpoint_mjd_tai, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(again.curves.psf_flux_njy, batch.curves.psf_flux_njy)


def test_flat_light_curves_are_constant_within_their_errors() -> None:
    batch = as_nonsense(as_batch(batch_of_light_curves(400), Survey.LSST), "flat")
    flux = batch.curves.psf_flux_njy.reshape(400, -1)
    chi2 = (((flux - flux.mean(axis=1, keepdims=True)) / 60.0) ** 2).sum(axis=1)
    assert chi2.mean() == pytest.approx(13.0, abs=0.8)


def test_behaviour_of_a_shipped_classifier() -> None:
    batch = as_batch(batch_of_light_curves(), Survey.LSST)
    table = behaviour(Coarse(Survey.LSST), batch)
    assert tuple(table) == ("as_is", *NONSENSE)
    assert table["as_is"]["same"] == 1.0
    assert table["as_is"]["asked"] == 1.0
    assert table["bogus"]["same"] < 0.7
    json.dumps(table, allow_nan=False)
