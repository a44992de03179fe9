from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from graph.errors import ModelError
from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.contract import Batch
from ingest.classifiers.early_points import early_points, is_young
from ingest.classifiers.kilonova import Kilonova, luminosity_distance_mpc, nearest_host
from ingest.classifiers.kn_components import BOUND, FIRST_D, MODEL_SCATTER, STEP_D, Components, component_features
from ingest.classifiers.kn_rates import slopes
from ingest.simulate.transients import KILONOVA_DAYS, KILONOVA_MAG
from ingest.training import kilonova_model as model
from ingest.training.fast_skies import simulated, ztf_visits
from ingest.training.kilonova_judge import first_named, with_host
from ingest.training.kilonova_rows import at_alerts, principal_components
from ingest.training.labelled import Labelled, as_batch

NONE = np.empty(0)


def curves_of(time: Any, band: Any, flux: Any, err: Any, limit: Any = None) -> LightCurves:
    n = len(time)
    return LightCurves(
        np.array([0, n]),
        np.asarray(time, dtype=np.float64),
        np.asarray(band, dtype=np.int8),
        np.asarray(flux, dtype=np.float64),
        np.asarray(err, dtype=np.float64),
        np.full(n, np.nan) if limit is None else np.asarray(limit, dtype=np.float64),
    )


def no_forced(n: int = 1) -> ForcedPhotometry:
    return ForcedPhotometry(np.zeros(n + 1, np.int64), NONE, np.empty(0, np.int8), NONE, NONE)


def labelled(curves: LightCurves) -> Labelled:
    n, absent = len(curves), np.full(len(curves), np.nan)
    names = np.array([f"o{row}" for row in range(n)], dtype=object)
    return Labelled(names, names, names, curves, no_forced(n), absent, absent, absent, absent, absent)


@pytest.fixture(scope="module")
def components() -> Components:
    return principal_components(Survey.ZTF, 20261122)


@pytest.fixture(scope="module")
def alerts() -> Batch:
    objects = simulated("KN", 60, Survey.ZTF, 9, ztf_visits)
    return as_batch(at_alerts(objects, Survey.ZTF, 9)[0], Survey.ZTF)


def test_the_model_of_at2017gfo_is_as_bright_as_the_real_one() -> None:
    ejecta = model.Ejecta(model.AT2017GFO_MASS[None], model.AT2017GFO_VELOCITY[None], model.AT2017GFO_FLOOR_K[None])
    flux = model.observed_flux(ejecta, np.array([0.0098]), np.array([40.7]))[0]
    days = KILONOVA_DAYS[:7]
    for band in (1, 2, 3, 4):
        mag = np.interp(days, model.GRID_D * 1.0098, model.absolute_magnitude(flux[band]))
        assert np.abs(mag - KILONOVA_MAG[band, :7]).max() < 0.8
        assert np.abs(mag - KILONOVA_MAG[band, :7]).mean() < 0.4


def test_what_is_heated_late_shines_at_once() -> None:
    ejecta = model.Ejecta(np.full((1, 3), 0.001), np.full((1, 3), 0.3), np.full((1, 3), 2000.0))
    bright = model.luminosity(ejecta)[0, 0]
    seconds = model.GRID_D * 86400.0
    age = (0.11 / np.pi / seconds) ** 1.3
    spread = 2 * 0.17 * model.GRID_D**0.74
    heat = 4e18 * age * 0.36 * (np.exp(-0.56 * model.GRID_D) + np.log1p(spread) / spread) * 0.001 * 1.98841e33
    late = model.GRID_D > 15.0
    np.testing.assert_allclose(bright[late] / heat[late], 1.0, atol=0.1)


def test_components_are_fitted_as_scipy_fits_them(components: Components) -> None:
    rng = np.random.default_rng(4)
    bins = FIRST_D + STEP_D * np.arange(components.alone.shape[-1])
    time = np.array([0.0, 0.9, 2.1, 3.4, 5.2, 7.7])
    parts = np.array([np.interp(time, bins, one) for one in components.alone[2]])
    flux = 900.0 * np.array([1.0, 0.3, -0.2]) @ parts + rng.normal(0.0, 5.0, len(time))
    assert np.argmax(flux) == 0
    err = np.full(len(time), 5.0)
    table = component_features(early_points(curves_of(time, [2] * 6, flux, err), no_forced()), components)
    sigma = np.hypot(err / flux[0], MODEL_SCATTER)
    design = np.vstack([parts.T / sigma[:, None], np.diag([0.0, 1.0, 1.0])[1:] / sigma.min()])
    target = np.concatenate([flux / flux[0] / sigma, [0.0, 0.0]])
    wanted = lsq_linear(design, target, ([0.0, -BOUND, -BOUND], [BOUND] * 3)).x
    np.testing.assert_allclose(table.select(("r_c1", "r_c2", "r_c3"))[0], wanted, atol=5e-3)
    assert table.select(("r_n_fitted",))[0, 0] == 6
    assert np.isnan(table.select(("g_c1",))[0, 0])


def test_fading_is_the_weighted_slope_from_the_maximum_on(components: Components) -> None:
    time = np.array([0.0, 1.0, 2.0, 3.0])
    flux = 1000.0 * 10 ** (-0.4 * np.array([0.4, 0.0, 0.5, 1.0]))
    points = early_points(curves_of(60000.0 + time, [1] * 4, flux, 0.01 * flux), no_forced())
    table = component_features(points, components)
    rate, err, excess = table.select(("fade_rate_mag_d", "fade_rate_err_mag_d", "fade_excess"))[0]
    assert rate == pytest.approx(0.5, abs=1e-6)
    sigma = np.hypot(0.010857362, 0.02)
    assert err == pytest.approx(sigma / np.sqrt(2.0), rel=1e-6)
    assert excess == pytest.approx(1.0, abs=1e-6)
    all_rate = slopes(points)[0, 0]
    assert all_rate == pytest.approx(np.polyfit(time, [0.4, 0.0, 0.5, 1.0], 1)[0], abs=1e-6)


def test_quiet_visits_bracket_the_rise(components: Components) -> None:
    curve = curves_of(
        [60000.0, 60001.0, 60002.0], [1, 1, 1], [np.nan, 500.0, 400.0], [np.nan, 20.0, 20.0], [100.0, np.nan, np.nan]
    )
    gap, rise = component_features(early_points(curve, no_forced()), components).select(
        ("quiet_gap_d", "quiet_rise_mag_d")
    )[0]
    assert gap == 1.0
    assert rise == pytest.approx(2.5 * np.log10(500.0 / 60.0))


def test_forced_fluxes_of_detections_are_not_counted_twice() -> None:
    curve = curves_of([60000.0, 60001.0], [1, 2], [500.0, 400.0], [20.0, 20.0])
    forced = ForcedPhotometry(
        np.array([0, 3]),
        np.array([59998.0, 60000.0, 60001.0]),
        np.array([1, 1, 1], np.int8),
        np.array([3.0, 498.0, 350.0]),
        np.array([20.0, 20.0, 20.0]),
    )
    points = early_points(curve, forced)
    np.testing.assert_array_equal(points.time_d, [-2.0, 0.0, 1.0, 1.0])
    assert points.detected.sum() == 2


@given(shift=st.floats(-3000.0, 3000.0), scale=st.floats(0.01, 1000.0), seed=st.integers(0, 10))
@settings(max_examples=15, deadline=None)
def test_fits_depend_neither_on_epoch_scale_nor_order(
    components: Components, shift: float, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    time, band = 60000.0 + np.arange(6) * 0.7, np.array([1, 2, 1, 2, 1, 2])
    flux = 500.0 * np.exp(-np.arange(6) / 3.0)
    order = rng.permutation(6)
    first = component_features(early_points(curves_of(time, band, flux, flux * 0.05), no_forced()), components)
    moved = curves_of((time + shift)[order], band[order], (scale * flux)[order], (scale * flux * 0.05)[order])
    second = component_features(early_points(moved, no_forced()), components)
    np.testing.assert_allclose(first.values, second.values, atol=2e-3, equal_nan=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0])
def test_hostile_values_do_no_harm(components: Components, value: float) -> None:
    for place in range(3):
        arrays = [np.array([60000.0, 60000.0, 60001.0]), np.array([500.0, 300.0, 200.0]), np.array([20.0, 20.0, 20.0])]
        arrays[place][1] = value
        points = early_points(curves_of(arrays[0], [1, 1, 2], arrays[1], arrays[2]), no_forced())
        assert np.isfinite(points.flux_njy).all()
        assert not np.isinf(component_features(points, components).values).any()
    empty = early_points(curves_of([], [], [], []), no_forced())
    assert len(empty.time_d) == 0
    assert np.isnan(component_features(empty, components).values).all()


def test_components_that_are_none_are_refused(components: Components) -> None:
    raw = components.dump()
    np.testing.assert_allclose(Components.parse(raw).together, components.together, atol=1e-4)
    for bad in (None, {}, {**raw, "alone": raw["alone"][:1]}, {**raw, "bands": "gq"}, {**raw, "bands": ""}):
        with pytest.raises(ModelError):
            Components.parse(bad)


def test_a_host_at_the_right_distance_helps(alerts: Batch) -> None:
    module, n = Kilonova(Survey.ZTF), len(alerts)
    peak = alerts.features.select(("peak_mag",))[:, 0]
    answers = {}
    for absolute in (-15.7, -19.5):
        distance = 10.0 ** (0.2 * (peak - absolute - 25.0))
        answers[absolute] = module.classify(with_host(alerts, np.full(n, np.nan), distance), {})
        np.testing.assert_allclose(answers[absolute].extras["absolute_mag"], absolute)
    plain = module.classify(alerts, {})
    assert (answers[-15.7].of("KN") >= plain.of("KN") - 1e-6).all()
    assert answers[-19.5].of("KN").mean() < plain.of("KN").mean()
    np.testing.assert_allclose(plain.probability.sum(axis=1), 1.0, atol=1e-5)
    assert np.isnan(plain.extras["absolute_mag"]).all()
    assert ((plain.std >= 0.0) & (plain.std <= 0.5)).all()


def test_answers_do_not_depend_on_the_batch(alerts: Batch) -> None:
    module = Kilonova(Survey.ZTF)
    together = module.classify(alerts, {})
    alone = module.classify(alerts.take(np.array([3, 7])), {})
    np.testing.assert_allclose(alone.probability, together.probability[[3, 7]], atol=1e-6)


def test_a_stellar_counterpart_speaks_against_it(alerts: Batch) -> None:
    module, n = Kilonova(Survey.ZTF), len(alerts)
    star = replace(alerts.columns, nearest_source_arcsec=np.full(n, 0.3), star_galaxy_score=np.full(n, 0.98))
    said = module.classify(replace(alerts, columns=star), {})
    assert (said.of("stellar") > module.classify(alerts, {}).of("stellar")).all()


def test_the_gate_drops_the_old_and_the_known(alerts: Batch) -> None:
    age = alerts.features.select(("age_d",))[:, 0]
    passed = is_young(alerts, {}, 3.0)
    np.testing.assert_array_equal(passed, ~(age > 3.0))
    known = with_host(alerts, np.full(len(alerts), np.nan), np.full(len(alerts), 40.0))
    matches = replace(
        known.matches,
        catalogue=np.full(len(alerts), "vsx", dtype=object),
        probability=np.ones(len(alerts)),
    )
    assert not is_young(replace(known, matches=matches), {}, 30.0).any()


def test_distances() -> None:
    np.testing.assert_allclose(luminosity_distance_mpc(np.array([0.01, 0.1, 0.3])), [43.2, 461.0, 1584.0], rtol=0.03)
    assert np.isnan(luminosity_distance_mpc(np.array([-1.0, 0.0, 9.0, np.nan]))).all()


def test_without_a_match_there_is_no_host(alerts: Batch) -> None:
    distance, trust = nearest_host(alerts)
    assert np.isnan(distance).all()
    assert (trust == 0.0).all()


@pytest.mark.parametrize("survey", list(Survey))
def test_at2017gfo_is_named_within_two_days(shared_data: Path, survey: Survey) -> None:
    named = first_named(Kilonova(survey), shared_data / "alerts", survey, host=True)
    assert named["days"] < 2.0
