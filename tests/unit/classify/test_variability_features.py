"""Rhythm, time scales and amplitudes against closed forms, scipy, astropy and the light-curve package."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import light_curve
import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves
from ingest.classifiers.variability import model_features
from ingest.classifiers.variability_features import (
    RHYTHM_FEATURES,
    SOURCE_FEATURES,
    reference_flux_njy,
    rhythm_features,
    source_features,
    variability_features,
)
from ingest.classifiers.variability_kernel import WIDTH
from ingest.classifiers.variability_rhythm import FREQUENCIES, OVERSAMPLING, WALK_JITTER, _walk_log_likelihood
from ingest.features import alert_features
from ingest.training.labelled import Labelled, as_batch

FloatArray = NDArray[np.float64]
NOTHING = np.full((1, 6), np.nan)
NAMES = [feature.name for feature in RHYTHM_FEATURES]


def curve(time: Any, flux: Any, err: Any, band: Any = 1, limit: Any = None) -> LightCurves:
    time = np.asarray(time, dtype=np.float64)
    n = len(time)
    return LightCurves(
        offsets=np.array([0, n]),
        midpoint_mjd_tai=time,
        band=np.broadcast_to(np.asarray(band, dtype=np.int8), n).copy(),
        psf_flux_njy=np.asarray(flux, dtype=np.float64),
        psf_flux_err_njy=np.broadcast_to(np.asarray(err, dtype=np.float64), n).copy(),
        upper_limit_njy=np.full(n, np.nan) if limit is None else np.asarray(limit, dtype=np.float64),
    )


def of(points: LightCurves, reference: FloatArray = NOTHING) -> dict[str, float]:
    return dict(zip(NAMES, rhythm_features(points, reference).values[0].tolist(), strict=True))


def random_curve(seed: int, n: int = 24) -> LightCurves:
    rng = np.random.default_rng(seed)
    time = 60000.0 + np.sort(rng.uniform(0.0, 30.0, n))
    return curve(time, rng.normal(0.0, 300.0, n), rng.uniform(10.0, 40.0, n), rng.integers(1, 3, n))


def columns_of(points: LightCurves, survey: Survey = Survey.ZTF) -> AlertColumns:
    n, none = len(points), np.empty(0)
    absent = np.full(n, np.nan)

    return as_batch(
        Labelled(
            *(np.full(n, "x", dtype=object),) * 3,
            points,
            ForcedPhotometry(np.zeros(n + 1, np.int64), none, np.empty(0, np.int8), none, none),
            *(absent,) * 5,
        ),
        survey,
    ).columns


def test_the_kernel_and_the_names_agree() -> None:
    assert len(RHYTHM_FEATURES) == WIDTH
    assert len(set(NAMES)) == WIDTH


def test_period_of_a_sine_is_that_of_astropy() -> None:
    rng = np.random.default_rng(3)
    time = 60000.0 + 0.75 * np.arange(40) + rng.uniform(0.0, 0.7, 40)
    flux = 1000.0 * np.sin(2 * np.pi * time / 0.57) + rng.normal(0.0, 50.0, 40)
    found = of(curve(time, flux, 50.0))
    assert 10 ** found["log_period_d"] == pytest.approx(0.57, rel=0.02)
    assert found["short_period_excess"] > 0.3
    span = np.ptp(time)
    frequency = 1.0 / span + np.arange(FREQUENCIES) / (OVERSAMPLING * span)
    scaled = flux - flux.mean()
    power = LombScargle(time - time[0], scaled, fit_mean=False, center_data=False).power(frequency, method="slow")
    assert found["period_power"] == pytest.approx(power.max(), rel=1e-6)
    assert 10 ** -found["log_period_d"] == pytest.approx(frequency[np.argmax(power)], rel=1e-9)


def test_two_bands_find_one_period() -> None:
    rng = np.random.default_rng(4)
    time = 60000.0 + 0.75 * np.arange(40) + rng.uniform(0.0, 0.7, 40)
    band = rng.integers(1, 3, 40)
    flux = np.where(band == 1, 5000.0, -300.0) + np.where(band == 1, 900.0, 300.0) * np.sin(2 * np.pi * time / 0.44)
    found = of(curve(time, flux, 20.0, band))
    assert 10 ** found["log_period_d"] == pytest.approx(0.44, rel=0.02)
    assert found["period_power"] > 0.9


def test_no_period_below_ten_points() -> None:
    assert math.isnan(of(random_curve(0, 9))["period_power"])
    assert math.isfinite(of(random_curve(0, 24))["period_power"])


@pytest.mark.parametrize("tau_d", [0.3, 5.0, 100.0])
def test_walk_likelihood_is_that_of_a_gaussian_process(tau_d: float) -> None:
    rng = np.random.default_rng(7)
    time, value, noise = np.sort(rng.uniform(0, 30, 15)), rng.normal(size=15), rng.uniform(0.01, 0.3, 15)
    covariance = 0.8 * np.exp(-np.abs(time[:, None] - time) / tau_d) + np.diag(noise + WALK_JITTER)
    expected = multivariate_normal(np.zeros(15), covariance).logpdf(value)
    assert _walk_log_likelihood(time, value, noise, 15, tau_d, 0.8) == pytest.approx(expected, rel=1e-9)


def test_a_slow_walk_is_told_from_noise() -> None:
    rng = np.random.default_rng(11)
    time = 60000.0 + np.arange(60) * 0.5
    slow = np.cumsum(rng.normal(0.0, 100.0, 60))
    memory, none = of(curve(time, slow, 5.0)), of(curve(time, rng.normal(0.0, 300.0, 60), 5.0))
    assert memory["walk_log_tau_d"] >= 0.5
    assert memory["walk_gain"] > 0.5
    assert none["walk_gain"] < 0.1
    assert memory["structure_1"] < 0.2 < none["structure_1"]


def test_structure_function_by_hand() -> None:
    # Scaled values are -1 and 1: steps of a day change side, steps of two days do not.
    found = of(curve([0.0, 1.0, 2.0, 3.0], [10.0, 30.0, 10.0, 30.0], 1.0))
    assert found["structure_1"] == pytest.approx(2.0)
    assert found["structure_2"] == pytest.approx((0.0 + 0.0 + 2.0) / 3.0)
    assert math.isnan(found["structure_0"])


def test_stetson_k_is_that_of_light_curve() -> None:
    rng = np.random.default_rng(5)
    time, flux = np.arange(20.0), rng.normal(0.0, 100.0, 20)
    expected = light_curve.StetsonK()(time, flux, np.full(20, 3.0))[0]
    assert of(curve(time, flux, 3.0))["stetson_k"] == pytest.approx(expected, rel=1e-6)


def test_bands_in_step_agree_and_opposed_bands_do_not() -> None:
    rng = np.random.default_rng(6)
    nights = np.arange(12.0)
    time = np.concatenate([nights, nights + 0.05])
    blue = rng.normal(0.0, 1000.0, 12)
    for sign in (1.0, -1.0):
        found = of(curve(time, np.concatenate([blue, sign * 0.5 * blue]), 10.0, np.repeat([1, 2], 12)))
        assert found["correlation_gr"] == pytest.approx(sign)
        assert np.sign(found["stetson_j"]) == sign
        assert found["difference_gr_mag"] == pytest.approx(2.5 * math.log10(0.5))
        assert found["amplitude_ratio_gr_mag"] == pytest.approx(2.5 * math.log10(0.5))


def test_sampling_and_outburst_by_hand() -> None:
    time = [0.0, 0.1, 1.0, 2.0, 3.0, 3.2]
    found = of(curve(time, [1.0, -1.0, 1.0, 9.0, 7.0, 1.0], 1.0, limit=[np.nan] * 6))
    assert (found["n_nights"], found["points_per_night"], found["detected_share"]) == (4, 1.5, 1)
    assert found["sign_changes"] == pytest.approx(2 / 5)
    assert found["night_step_sigma"] == pytest.approx(6 / math.sqrt(2))
    assert found["outburst_width_d"] == pytest.approx(1.0)
    assert found["outburst_rise_d"] == pytest.approx(0.8)
    assert found["outburst_fall_d"] == pytest.approx(0.2)
    assert found["outburst_contrast"] == pytest.approx(math.log10(1 + 8 / 1.0))


def test_fluxes_relative_to_the_source() -> None:
    reference = np.full((1, 6), np.nan)
    reference[0, 1] = 200.0
    found = of(curve([0.0, 1.0, 2.0, 3.0], [100.0, -50.0, 5.0, 20.0], 1.0, [1, 1, 2, 1]), reference)
    assert (found["relative_max"], found["relative_min"], found["relative_latest"]) == (0.5, -0.25, 0.1)
    assert found["relative_scatter"] == pytest.approx(np.std([0.5, -0.25, 0.1]))


def test_exposures_of_minutes_are_one_point() -> None:
    time = 60000.0 + np.concatenate([np.arange(9) * 1e-3, [1.0, 2.0]])
    flux = np.concatenate([np.full(9, 30.0), [5.0, 8.0]])
    merged = of(curve(time, flux, 3.0))
    single = of(curve(time[[0, 9, 10]], flux[[0, 9, 10]], [1.0, 3.0, 3.0]))
    assert merged == pytest.approx(single, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 200), shift=st.floats(-2000, 2000), scale=st.floats(0.01, 100.0))
def test_what_may_change_changes_nothing(seed: int, shift: float, scale: float) -> None:
    points = random_curve(seed)
    reference = np.full((1, 6), 500.0)
    expected = rhythm_features(points, reference).values
    order = np.random.default_rng(seed).permutation(24)
    shuffled = replace(points, **{n: getattr(points, n)[order] for n in points.__slots__ if n != "offsets"})
    np.testing.assert_array_equal(rhythm_features(shuffled, reference).values, expected)
    moved = replace(points, midpoint_mjd_tai=points.midpoint_mjd_tai + round(shift))
    np.testing.assert_allclose(rhythm_features(moved, reference).values, expected, rtol=1e-4, atol=1e-5)
    scaled = replace(points, psf_flux_njy=points.psf_flux_njy * scale, psf_flux_err_njy=points.psf_flux_err_njy * scale)
    np.testing.assert_allclose(rhythm_features(scaled, reference * scale).values, expected, rtol=1e-6, atol=1e-9)


def test_hostile_points_never_fail() -> None:
    wild = [0.0, -0.0, 1e-320, -1e-200, 1e300, -1e308, math.inf, -math.inf, math.nan]
    rows = [(t, b, f, e) for t in (0.0, math.nan, 1e300) for b in (-5, 1, 3, 99) for f in wild for e in wild]
    time, band, flux, err = (np.array(column) for column in zip(*rows, strict=True))
    for reference in (0.0, -1.0, math.inf, math.nan):
        values = rhythm_features(curve(time, flux, err, band, flux), np.full((1, 6), reference)).values
        assert not np.isinf(values).any()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_points_leave_gaps_not_errors(n: int) -> None:
    found = of(random_curve(1, n))
    assert math.isnan(found["walk_gain"])
    assert math.isnan(found["period_power"])
    assert math.isnan(found["n_nights"]) if n == 0 else found["n_nights"] >= 1
    equal = of(curve(np.zeros(n + 12), np.full(n + 12, 5.0), 1.0))
    assert equal["n_nights"] == 1


def test_the_source_in_quiescence() -> None:
    columns = replace(
        columns_of(random_curve(0)),
        band=np.array([2], np.int8),
        nearest_source_arcsec=np.array([0.4]),
        template_mag=np.array([16.4]),
        template_separation_arcsec=np.array([0.2]),
        **{
            f"neighbour_{band}_mag": np.array([mag]) for band, mag in zip("griz", (18.0, 17.0, 16.5, 16.1), strict=True)
        },
    )
    reference = reference_flux_njy(columns)[0]
    assert reference[1] == pytest.approx(10 ** ((31.4 - 18.0) / 2.5))
    assert reference[2] == pytest.approx(10 ** ((31.4 - 16.4) / 2.5))
    assert np.isnan(reference[[0, 5]]).all()
    found = dict(zip([f.name for f in SOURCE_FEATURES], source_features(columns).values[0], strict=True))
    assert found["neighbour_gr_mag"] == pytest.approx(1.0)
    assert found["template_excess_mag"] == pytest.approx(-0.6)
    apart = replace(columns, nearest_source_arcsec=np.array([4.0]))
    assert np.isnan(reference_flux_njy(apart)[0, 1])
    assert np.isnan(source_features(apart).select(("template_excess_mag",)))[0, 0]
    # An LSST packet's template is at the place of the alert itself.
    lsst = replace(apart, survey=Survey.LSST, template_separation_arcsec=np.array([np.nan]))
    assert reference_flux_njy(lsst)[0, 2] == pytest.approx(10**6)


@pytest.mark.parametrize("survey", list(Survey))
def test_models_read_columns_that_there_are(survey: Survey) -> None:
    columns = columns_of(random_curve(2), survey)
    table = variability_features(columns, alert_features(columns))
    names = model_features(survey)
    assert len(set(names)) == len(names)
    assert table.select(names).shape == (1, len(names))
    assert len(set(table.names)) == len(table.names)
