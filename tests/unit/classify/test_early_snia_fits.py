"""Fits of the rise against closed forms, SciPy and invariances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.rise_features import COLOURS, NAMES, light_curve_rise, nightly, visits_of
from ingest.classifiers.rise_fit import (
    LOWEST,
    N_PARAMETERS,
    REFERENCE_WAVELENGTH_NM,
    SECOND_RADIATION_CONSTANT_NM_K,
    fit_common,
    fit_sigmoid,
    log_shape,
    solve_symmetric,
)


def curves_of(time: Any, band: Any, flux: Any, err: Any, limit: Any = None) -> LightCurves:
    time = np.asarray(time, dtype=np.float64)
    return LightCurves(
        np.array([0, len(time)]),
        time,
        np.asarray(band, dtype=np.int8),
        np.asarray(flux, dtype=np.float64),
        np.asarray(err, dtype=np.float64),
        np.full(len(time), np.nan) if limit is None else np.asarray(limit, dtype=np.float64),
    )


def no_forced(n: int = 1) -> ForcedPhotometry:
    none = np.empty(0)
    return ForcedPhotometry(np.zeros(n + 1, np.int64), none, np.empty(0, np.int8), none, none)


def a_rise(n: int = 24, seed: int = 1, *, scale: float = 1.0, start: float = 60_000.0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0.0, 25.0, n))
    band = rng.integers(1, 3, n)
    flux = scale * 4000.0 / (1.0 + np.exp(-0.4 * (time - 14.0))) * np.where(band == 1, 1.0, 0.8)
    err = np.full(n, scale * 60.0)
    return time + start, band, flux + err * rng.normal(size=n), err


def row(curves: LightCurves, survey: Survey = Survey.ZTF) -> dict[str, float]:
    table = light_curve_rise(curves, no_forced(len(curves)), survey)
    return dict(zip(table.names, table.select(table.names)[0], strict=True))


def test_sigmoid_without_noise_returns_its_parameters() -> None:
    time = np.linspace(0.0, 20.0, 12)
    flux = 3.0 / (1.0 + np.exp(-0.5 * (time - 9.0)))
    answer = np.empty(4)
    assert fit_sigmoid(time, flux, np.full(12, 0.1), answer)
    np.testing.assert_allclose(answer[:3], (0.5, 9.0, 3.0), rtol=1e-5)
    assert answer[3] < 1e-8


@pytest.mark.parametrize("seed", range(8))
def test_sigmoid_finds_the_minimum_that_scipy_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0.0, 25.0, 15))
    err = rng.uniform(0.03, 0.08, 15)
    flux = 1.0 / (1.0 + np.exp(-0.45 * (time - 11.0))) + err * rng.normal(size=15)

    def model(t: Any, a: float, b: float, c: float) -> Any:
        return c / (1.0 + np.exp(-a * (t - b)))

    wanted, _ = curve_fit(model, time, flux, p0=(0.4, 11.0, 1.0), sigma=err, absolute_sigma=True)
    answer = np.empty(4)
    assert fit_sigmoid(time, flux, err, answer)
    chi2 = float((((flux - model(time, *wanted)) / err) ** 2).sum())
    np.testing.assert_allclose(answer[3], chi2, rtol=1e-6)
    np.testing.assert_allclose(answer[:3], wanted, rtol=1e-3)


def test_sigmoid_refuses_what_has_no_answer() -> None:
    answer = np.empty(4)
    assert not fit_sigmoid(np.zeros(5), np.ones(5), np.ones(5), answer)
    assert not fit_sigmoid(np.arange(3.0), np.ones(3), np.ones(3), answer)
    assert not fit_sigmoid(np.arange(5.0), np.zeros(5), np.ones(5), answer)


def test_cholesky_solves_as_numpy_does() -> None:
    rng = np.random.default_rng(3)
    half = rng.normal(size=(6, 6))
    matrix, right = half @ half.T + np.eye(6), rng.normal(size=6)
    wanted = np.linalg.solve(matrix + 0.3 * np.diag(np.diag(matrix)), right)
    assert solve_symmetric(matrix, right, 0.3)
    np.testing.assert_allclose(right, wanted, rtol=1e-10)
    assert not solve_symmetric(-np.eye(6), np.ones(6), 0.0)


def test_slopes_of_the_common_model_are_its_derivatives() -> None:
    p = np.array([0.2, 1.3, -3.0, 3.2, 9.2, -0.1])
    x = SECOND_RADIATION_CONSTANT_NM_K / 480.0
    slope, scratch = np.empty(N_PARAMETERS), np.empty(N_PARAMETERS)
    for t in (-20.0, -3.0, 5.0):
        log_shape(p, t, x, slope)
        for j in range(N_PARAMETERS):
            step = np.zeros(N_PARAMETERS)
            step[j] = 1e-5
            difference = (log_shape(p + step, t, x, scratch) - log_shape(p - step, t, x, scratch)) / 2e-5
            assert slope[j] == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_common_model_has_the_colour_of_a_black_body() -> None:
    """Planck's law from its constants, apart from the code's stable form."""
    slope = np.empty(N_PARAMETERS)
    p = np.array([0.0, 1.0, 0.0, 3.0, np.log(9000.0), 0.0])

    def planck(nm: float) -> float:
        h, c, k = 6.62607015e-34, 299_792_458.0, 1.380649e-23
        nu = c / (nm * 1e-9)
        return nu**3 / np.expm1(h * nu / (k * 9000.0))

    for nm in (370.0, 480.0, 870.0):
        got = log_shape(p, 4.0, SECOND_RADIATION_CONSTANT_NM_K / nm, slope) - log_shape(
            p, 4.0, SECOND_RADIATION_CONSTANT_NM_K / REFERENCE_WAVELENGTH_NM, slope
        )
        assert got == pytest.approx(np.log(planck(nm) / planck(REFERENCE_WAVELENGTH_NM)), rel=1e-6)


def test_common_fit_recovers_temperature_and_time_of_a_rise() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.0, 1.4, -8.0, 3.4, np.log(11_000.0), -0.05])
    x = SECOND_RADIATION_CONSTANT_NM_K / rng.choice([480.0, 620.0, 755.0, 870.0], 80)
    time = np.sort(rng.uniform(-30.0, 10.0, 80))
    slope = np.empty(N_PARAMETERS)
    flux = np.exp([log_shape(truth, a, b, slope) for a, b in zip(time, x, strict=True)])
    err = np.full(80, 0.01)
    p, std = np.empty(N_PARAMETERS), np.empty(N_PARAMETERS)
    chi2 = fit_common(time, x, flux + err * rng.normal(size=80), err, 0.0, p, std)
    assert chi2 < 130.0
    assert np.all(np.abs(p - truth) < 5.0 * std)
    assert std[4] < 0.1


def test_nightly_means_are_weighted_by_their_errors() -> None:
    night, code, flux, err = nightly(
        np.array([0.0, 0.1, 0.2, 3.0]),
        np.array([1, 2, 1, 1], np.int8),
        np.array([1.0, 9.0, 3.0, 5.0]),
        np.array([1.0, 1.0, 2.0, 1.0]),
    )
    assert code.tolist() == [1, 2, 1]
    np.testing.assert_allclose(flux, [(1.0 + 3.0 / 4.0) / 1.25, 9.0, 5.0])
    np.testing.assert_allclose(err, [1.25**-0.5, 1.0, 1.0])
    np.testing.assert_allclose(night, [0.2 * 0.25 / 1.25, 0.1, 3.0])


def test_order_of_points_does_not_matter() -> None:
    time, band, flux, err = a_rise()
    order = np.random.default_rng(0).permutation(len(time))
    first, other = (
        row(curves_of(time, band, flux, err)),
        row(curves_of(time[order], band[order], flux[order], err[order])),
    )
    np.testing.assert_allclose(list(first.values()), list(other.values()), rtol=1e-9)


def test_epoch_does_not_matter() -> None:
    first, other = row(curves_of(*a_rise())), row(curves_of(*a_rise(start=61_024.0)))
    np.testing.assert_allclose(list(first.values()), list(other.values()), rtol=1e-4, atol=1e-6)


def test_flux_scale_moves_the_magnitude_only() -> None:
    first, other = row(curves_of(*a_rise())), row(curves_of(*a_rise(scale=10.0)))
    assert other.pop("rise_peak_mag") == pytest.approx(first.pop("rise_peak_mag") - 2.5, abs=1e-6)
    np.testing.assert_allclose(list(first.values()), list(other.values()), rtol=1e-6)


def test_shape_colour_is_that_of_the_fluxes() -> None:
    got = row(curves_of(*a_rise()))
    assert got["shape_g_r_mag"] == pytest.approx(-2.5 * np.log10(1.0 / 0.8), abs=0.08)


def test_constant_fluxes_have_a_chi2_of_one_and_no_steep_rise() -> None:
    rng = np.random.default_rng(8)
    time = np.arange(40.0) + 60_000.0
    err = np.full(40, 50.0)
    got = row(curves_of(time, np.ones(40), 1000.0 + err * rng.normal(size=40), err))
    assert 0.5 < got["constant_chi2"] < 1.6
    assert got["constant_points"] == 39


def test_forced_points_replace_the_detections_of_their_visits() -> None:
    time, band, flux, err = a_rise()
    curves = curves_of(time, band, flux, err)
    forced = ForcedPhotometry(np.array([0, 10]), time[:10], band[:10].astype(np.int8), flux[:10], err[:10])
    assert len(visits_of(curves, forced).midpoint_mjd_tai) == len(time)
    earlier = ForcedPhotometry(np.array([0, 1]), time[:1] - 5.0, band[:1].astype(np.int8), flux[:1], err[:1])
    assert len(visits_of(curves, earlier).midpoint_mjd_tai) == len(time) + 1


def test_upper_limit_is_a_flux_of_zero() -> None:
    curves = curves_of([1.0, 2.0], [1, 1], [np.nan, 50.0], [np.nan, 5.0], [100.0, np.nan])
    visits = visits_of(curves, no_forced())
    np.testing.assert_allclose(visits.psf_flux_njy, [0.0, 50.0])
    np.testing.assert_allclose(visits.psf_flux_err_njy, [20.0, 5.0])


@pytest.mark.parametrize("survey", list(Survey))
def test_nothing_to_describe_is_absent(survey: Survey) -> None:
    empty = curves_of([], [], [], [])
    table = light_curve_rise(empty, no_forced(), survey)
    assert table.names == NAMES
    assert np.isnan(table.select(COLOURS)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 60_000.0, 60_000.0, 60_000.1, 60_020.0, 1e300, -1e300, np.nan, np.inf]),
            st.integers(-1, 6),
            st.sampled_from([0.0, -5.0, 1.0, 1e-300, 100.0, 1e11, 1e300, np.nan, np.inf]),
            st.sampled_from([0.0, -1.0, 1.0, 1e-300, 1e300, np.nan, np.inf, 5.0]),
        ),
        max_size=12,
    )
)
def test_hostile_values_never_crash_nor_become_infinite(points: list[tuple[float, int, float, float]]) -> None:
    time, band, flux, err = (np.array(column) for column in zip(*points, strict=True)) if points else ([], [], [], [])
    table = light_curve_rise(curves_of(time, band, flux, err), no_forced(), Survey.LSST)
    assert not np.isinf(table.select(NAMES)).any()


def test_bounds_hold_in_the_fit_of_one_point() -> None:
    p, std = np.empty(N_PARAMETERS), np.empty(N_PARAMETERS)
    fit_common(np.zeros(1), np.full(1, 3e4), np.ones(1), np.full(1, 0.1), 0.0, p, std)
    assert np.all(p >= np.array(LOWEST))
    assert np.isfinite(p).all()
