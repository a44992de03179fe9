from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.decay_fit import (
    COLOUR_MAG,
    KINDS,
    LONGEST_BRACKET_D,
    OFFSET_SCATTER_MAG,
    SUMMARY,
    fit_decays,
    log_evidence,
)
from ingest.classifiers.early_points import early_points
from ingest.classifiers.fast_transient import FastTransient
from ingest.training.fast_skies import AFTERGLOW_INDEX, simulated, ztf_visits
from ingest.training.kilonova_rows import at_alerts
from ingest.training.labelled import Labelled, as_batch
from ingest.training.sources_fast import at2017gfo

NONE = np.empty(0)


def one(time: Any, band: Any, flux: Any, err: Any, limit: Any = None) -> tuple[LightCurves, ForcedPhotometry]:
    n = len(time)
    curves = LightCurves(
        np.array([0, n]),
        np.asarray(time, dtype=np.float64),
        np.asarray(band, dtype=np.int8),
        np.asarray(flux, dtype=np.float64),
        np.asarray(err, dtype=np.float64),
        np.full(n, np.nan) if limit is None else np.asarray(limit, dtype=np.float64),
    )
    return curves, ForcedPhotometry(np.zeros(2, np.int64), NONE, np.empty(0, np.int8), NONE, NONE)


def young(label: str) -> tuple[Labelled, np.ndarray]:
    return at_alerts(simulated(label, 60, Survey.ZTF, 21, ztf_visits), Survey.ZTF, 21)


def test_the_evidence_is_that_of_the_marginal_normal_distribution() -> None:
    rng = np.random.default_rng(3)
    clock, colour = np.array([0.0, 0.4, 1.1, 2.0]), COLOUR_MAG[[1, 2, 1, 2]]
    magnitude, variance = rng.normal(20.0, 1.0, 4), np.array([0.01, 0.02, 0.01, 0.04])
    slope, spectrum, scatter = np.array([1.1, 0.4]), np.array([0.7, 0.3]), 0.1
    fitted, inverse = np.empty(3), np.empty((3, 3))
    value, _ = log_evidence(clock, colour, magnitude, variance, slope, spectrum, scatter, fitted, inverse)
    design = np.column_stack([np.ones(4), clock, -colour])
    prior = np.diag([OFFSET_SCATTER_MAG**2, slope[1] ** 2, spectrum[1] ** 2])
    noise = np.diag(variance + scatter**2)
    mean = design @ np.array([magnitude.mean(), slope[0], spectrum[0]])
    wanted = multivariate_normal(mean, design @ prior @ design.T + noise).logpdf(magnitude)
    assert value == pytest.approx(wanted, rel=1e-9)
    precision = np.linalg.inv(prior) + design.T @ np.linalg.inv(noise) @ design
    np.testing.assert_allclose(inverse, np.linalg.inv(precision), rtol=1e-8)


def test_a_power_law_gives_its_index_and_colour() -> None:
    days = np.array([0.05, 0.08, 0.2, 0.21, 1.0, 1.01])
    band = np.array([1, 2, 1, 2, 1, 2])
    flux = 1e5 * (days / 0.05) ** -1.3 * 10 ** (0.4 * 0.6 * COLOUR_MAG[band])
    limit = [3000.0, *[np.nan] * 6]
    curves, forced = one(
        60000.0 + np.concatenate([[-0.02], days]),
        [1, *band],
        [np.nan, *flux],
        [np.nan, *(0.01 * flux)],
        limit,
    )
    table = fit_decays(early_points(curves, forced))
    summary = dict(zip(SUMMARY, table.summary[0], strict=True))
    assert abs(summary["decay_index"] - 1.3) < 2.0 * summary["decay_index_err"] + 0.05
    assert summary["spectral_index"] == pytest.approx(0.6, abs=0.25)
    assert summary["onset_bracket_d"] == pytest.approx(0.07)
    assert np.argmax(table.log_evidence[0, 0]) == 0


def test_no_limit_means_no_bracket_but_the_longest_one_is_tried() -> None:
    curves, forced = one([60000.0, 60000.5], [1, 1], [500.0, 300.0], [20.0, 20.0])
    table = fit_decays(early_points(curves, forced))
    assert np.isnan(table.summary[0, SUMMARY.index("onset_bracket_d")])
    assert np.isfinite(table.log_evidence).all()
    assert LONGEST_BRACKET_D > 0.5


@pytest.mark.parametrize("label", ["GRB afterglow", "SN Ia", "SN Ibc"])
def test_most_simulated_ones_get_their_name(label: str) -> None:
    alerts, age = young(label)
    answer = FastTransient(Survey.ZTF).classify(as_batch(alerts.take(age < 10.0), Survey.ZTF), {})
    wanted = label if label in KINDS else "SN"
    assert (answer.top_class == wanted).mean() > (0.4 if label == "GRB afterglow" else 0.75)
    np.testing.assert_allclose(answer.probability.sum(axis=1), 1.0, atol=1e-5)
    assert ((answer.std >= 0.0) & (answer.std <= 0.5)).all()


def test_the_index_of_simulated_afterglows_is_within_its_errors() -> None:
    alerts, _ = young("GRB afterglow")
    extras = FastTransient(Survey.ZTF).classify(as_batch(alerts, Survey.ZTF), {}).extras
    pull = (extras["decay_index"] - AFTERGLOW_INDEX) / extras["decay_index_err"]
    assert abs(np.median(pull)) < 0.5
    assert 0.4 < np.std(pull) < 1.8


def test_a_star_at_the_place_makes_a_flare_of_it() -> None:
    alerts, _ = young("GRB afterglow")
    batch = as_batch(alerts, Survey.ZTF)
    n = len(batch)
    star = replace(batch.columns, nearest_source_arcsec=np.full(n, 0.3), star_galaxy_score=np.full(n, 0.98))
    module = FastTransient(Survey.ZTF)
    starry = module.classify(replace(batch, columns=star), {}).of("GRB afterglow")
    plain = module.classify(batch, {}).of("GRB afterglow")
    assert (starry <= plain).all()
    assert starry.mean() < 0.6 * plain.mean()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, -1e300, 0.0])
def test_hostile_values_do_no_harm(value: float) -> None:
    for place in range(3):
        arrays = [np.array([60000.0, 60000.0, 60001.0]), np.array([500.0, 300.0, 200.0]), np.array([20.0, 20.0, 20.0])]
        arrays[place][1] = value
        table = fit_decays(early_points(*one(arrays[0], [1, 1, 2], arrays[1], arrays[2])))
        assert np.isfinite(table.log_evidence).all()


def test_one_point_gets_no_answer() -> None:
    table = fit_decays(early_points(*one([60000.0], [1], [500.0], [20.0])))
    assert np.isnan(table.log_evidence).all()
    assert table.n_points[0] == 1


@pytest.mark.parametrize("survey", list(Survey))
def test_at2017gfo_is_no_afterglow(shared_data: Path, survey: Survey) -> None:
    real = at2017gfo(shared_data / "alerts", survey)
    time = np.unique(real.curves.midpoint_mjd_tai)
    time = time[time < time[0] + 8.0]
    batch = as_batch(real.take(np.zeros(len(time), np.int64)).until(time), survey)
    answer = FastTransient(survey).classify(batch, {})
    assert np.nanmax(answer.of("GRB afterglow")) < 0.5
