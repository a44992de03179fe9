from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.sn_types_input import MAX_NIGHTS, PER_BAND, Sequences, sequences, width

Numbers = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.int8]


def curve(time: Numbers, band: Numbers, flux: Numbers, err: Numbers, limit: Numbers) -> LightCurves:
    numbers = [np.asarray(values, dtype=np.float64) for values in (time, flux, err, limit)]
    return LightCurves(np.array([0, len(time)]), numbers[0], band.astype(np.int8), *numbers[1:])


def forced(time: Numbers, band: Numbers, flux: Numbers, err: Numbers) -> ForcedPhotometry:
    numbers = [np.asarray(values, dtype=np.float64) for values in (time, flux, err)]
    return ForcedPhotometry(np.array([0, len(time)]), numbers[0], band.astype(np.int8), *numbers[1:])


NONE = forced(np.empty(0), np.empty(0), np.empty(0), np.empty(0))


def detections(n: int, seed: int = 0) -> LightCurves:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0.0, 60.0, n)) + 60_000.0
    flux = rng.uniform(2e3, 2e4, n)
    return curve(time, rng.integers(0, 6, n), flux, flux * 0.05, np.full(n, np.nan))


def same(left: Sequences, right: Sequences, atol: float = 1e-5) -> None:
    np.testing.assert_array_equal(left.nights, right.nights)
    np.testing.assert_allclose(left.values, right.values, atol=atol)


def test_points_of_a_night_are_averaged_with_their_weights() -> None:
    time = np.array([0.0, 0.1, 2.0, 5.0]) + 60_000.0
    flux, err = np.array([1000.0, 1300.0, 2000.0, 500.0]), np.array([100.0, 200.0, 100.0, 50.0])
    read = sequences(Survey.LSST, curve(time, np.full(4, 2), flux, err, np.full(4, np.nan)), NONE)
    assert read.nights.tolist() == [3]
    assert read.points.tolist() == [4]
    mean = np.average(flux[:2], weights=err[:2] ** -2)
    block = read.values[0, :3, PER_BAND * 2 : PER_BAND * 3]
    np.testing.assert_allclose(block[:, 0], 1.0)
    np.testing.assert_allclose(np.sinh(2.0 * block[:, 1]) / 10.0, np.array([mean, 2000.0, 500.0]) / 2000.0, rtol=1e-5)
    error = np.array([(err[:2] ** -2).sum() ** -0.5, 100.0, 50.0]) / 2000.0
    np.testing.assert_allclose(10.0 ** (2.0 * (block[:, 2] - 0.5)), error, rtol=1e-5)
    np.testing.assert_allclose(read.values[0, :3, 24], 0.4 * np.log1p([0.0, 1.95, 3.0]), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(read.values[0, :3, 26], (np.array([0.05, 2.0, 5.0]) - 2.0) / 50.0, atol=1e-5)


def test_between_measurements_lies_the_line() -> None:
    time = np.array([0.0, 4.0, 10.0]) + 60_000.0
    read = sequences(
        Survey.ZTF,
        curve(time, np.array([1, 2, 1]), np.array([1e3, 4e3, 3e3]), np.full(3, 10.0), np.full(3, np.nan)),
        NONE,
    )
    block = read.values[0, 1, :PER_BAND]
    assert block[0] == 0.0
    np.testing.assert_allclose(np.sinh(2.0 * block[1]) / 10.0, (0.6 * 1e3 + 0.4 * 3e3) / 4e3, rtol=1e-5)
    np.testing.assert_allclose(block[3], np.exp(-0.4), rtol=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(-2000.0, 2000.0))
@settings(max_examples=40, deadline=None)
def test_order_of_points_and_time_shift_change_nothing(seed: int, n: int, shift: float) -> None:
    points = detections(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    mixed = LightCurves(
        points.offsets,
        points.midpoint_mjd_tai[order] + round(shift),
        points.band[order],
        points.psf_flux_njy[order],
        points.psf_flux_err_njy[order],
        points.upper_limit_njy[order],
    )
    same(sequences(Survey.LSST, points, NONE), sequences(Survey.LSST, mixed, NONE), atol=1e-4)


@given(st.integers(0, 10_000), st.floats(0.01, 100.0))
@settings(max_examples=40, deadline=None)
def test_brightness_stands_in_one_number_only(seed: int, factor: float) -> None:
    points = detections(12, seed)
    brighter = replace(
        points, psf_flux_njy=points.psf_flux_njy * factor, psf_flux_err_njy=points.psf_flux_err_njy * factor
    )
    same(sequences(Survey.ZTF, points, NONE), sequences(Survey.ZTF, brighter, NONE))
    first, second = sequences(Survey.LSST, points, NONE), sequences(Survey.LSST, brighter, NONE)
    np.testing.assert_allclose(first.values[0, :, :-1], second.values[0, :, :-1], atol=1e-5)
    n = int(first.nights[0])
    np.testing.assert_allclose(second.values[0, :n, -1] - first.values[0, :n, -1], np.log10(factor), atol=1e-4)


def test_a_visit_with_detection_and_forced_flux_counts_once() -> None:
    points = detections(8)
    both = forced(points.midpoint_mjd_tai, points.band, points.psf_flux_njy, points.psf_flux_err_njy)
    same(sequences(Survey.LSST, points, NONE), sequences(Survey.LSST, points, both))


def test_forced_fluxes_far_from_the_detections_are_not_read() -> None:
    points = detections(8)
    start = points.midpoint_mjd_tai[0]
    far = forced(start + np.array([-500.0, -31.0, 900.0]), np.full(3, 2), np.full(3, 1e5), np.full(3, 10.0))
    same(sequences(Survey.LSST, points, NONE), sequences(Survey.LSST, points, far))


def test_an_upper_limit_is_zero_flux_with_a_fifth_of_it_as_error() -> None:
    time = np.array([-4.0, 0.0, 1.0]) + 60_000.0
    nan = float("nan")
    read = sequences(
        Survey.ZTF,
        curve(
            time, np.array([1, 1, 1]), np.array([nan, 1e4, 2e4]), np.array([nan, 1e2, 1e2]), np.array([5e3, nan, nan])
        ),
        NONE,
    )
    assert read.points.tolist() == [2]
    assert read.nights.tolist() == [3]
    assert read.values[0, 0, 1] == 0.0
    np.testing.assert_allclose(10.0 ** (2.0 * (read.values[0, 0, 2] - 0.5)), 1e3 / 2e4, rtol=1e-5)


def test_bands_that_a_survey_does_not_publish_are_not_read() -> None:
    points = detections(20)
    read = sequences(Survey.ZTF, points, NONE)
    assert read.points[0] == np.isin(points.band, (1, 2)).sum()
    assert read.values.shape == (1, MAX_NIGHTS, width(Survey.ZTF))


def test_long_light_curves_are_joined_to_fit() -> None:
    time = 60_000.0 + np.arange(400.0)
    read = sequences(
        Survey.LSST, curve(time, np.arange(400) % 6, np.full(400, 1e3), np.full(400, 10.0), np.full(400, np.nan)), NONE
    )
    assert MAX_NIGHTS // 3 < read.nights[0] <= MAX_NIGHTS


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e300])
@pytest.mark.parametrize("field", ["midpoint_mjd_tai", "psf_flux_njy", "psf_flux_err_njy"])
def test_a_hostile_point_is_left_out(bad: float, field: str) -> None:
    points = detections(6)
    values = getattr(points, field).copy()
    values[2] = bad
    spoilt = sequences(Survey.LSST, replace(points, **{field: values}), NONE)
    kept = np.arange(6) != 2
    rest = LightCurves(
        np.array([0, 5]),
        *(
            getattr(points, name)[kept]
            for name in ("midpoint_mjd_tai", "band", "psf_flux_njy", "psf_flux_err_njy", "upper_limit_njy")
        ),
    )
    same(spoilt, sequences(Survey.LSST, rest, NONE))


@given(st.lists(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 4, st.integers(-128, 127)), max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_numbers_give_finite_sequences(rows: list[tuple[float, float, float, float, int]]) -> None:
    time, flux, err, limit, band = (np.array([row[k] for row in rows], dtype=np.float64) for k in range(5))
    points = curve(time, band, flux, err, limit)
    for survey in Survey:
        read = sequences(survey, points, forced(time, band, flux, err))
        assert np.isfinite(read.values).all()
        assert 0 <= read.nights[0] <= MAX_NIGHTS


def test_equal_times_and_no_points_are_read() -> None:
    points = curve(np.full(5, 6e4), np.arange(5), np.full(5, 1e3), np.full(5, 10.0), np.full(5, np.nan))
    assert sequences(Survey.LSST, points, NONE).nights.tolist() == [1]
    assert sequences(Survey.LSST, detections(0), NONE).nights.tolist() == [0]
