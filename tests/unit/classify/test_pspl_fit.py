"""Known answers and edges of the merge of measurements, the statistics and the lens fit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from light_curve import Cusum, StetsonK

from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.measurements import Measurements, measurements
from ingest.classifiers.object_features import object_statistics
from ingest.classifiers.pspl_fit import fit_lenses
from ingest.training.lensing_curves import magnification


def _forced(n_rows: int = 1) -> ForcedPhotometry:
    none = np.empty(0)
    return ForcedPhotometry(np.zeros(n_rows + 1, np.int64), none, np.empty(0, np.int8), none, none)


def _curves(time: np.ndarray, band: np.ndarray, flux: np.ndarray, err: np.ndarray) -> LightCurves:
    n = len(time)
    return LightCurves(np.array([0, n]), time, band.astype(np.int8), flux, err, np.full(n, np.nan))


def _points(time: np.ndarray, band: np.ndarray, flux: np.ndarray, err: np.ndarray) -> Measurements:
    return measurements(_curves(time, band, flux, err), _forced())


def _lens(seed: int = 1, *, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(60_000.0, 60_200.0, 120))
    band = rng.integers(1, 3, 120)
    scale = np.array([0.0, 4000.0, 9000.0])[band]
    flux = scale * (magnification(time, 60_090.0, 22.0, 0.3) - 1.0) + 30.0
    err = np.full(120, 100.0)
    return time, band, flux + noise * err * rng.normal(size=120), err


def test_a_lens_is_measured_as_it_was_made() -> None:
    fit = fit_lenses(_points(*_lens()))
    assert fit.peak_mjd_tai[0] == pytest.approx(60_090.0, abs=0.5)
    assert fit.einstein_time_d[0] == pytest.approx(22.0, rel=0.15)
    assert fit.impact_u0[0] == pytest.approx(0.3, rel=0.25)
    assert 0.6 < fit.reduced_chi2[0] < 1.4
    assert fit.delta_chi2[0] > 10_000.0
    assert fit.n_fitted[0] == 120


def test_chi2_of_constants_is_that_of_weighted_means() -> None:
    time, band, flux, err = _lens()
    points = _points(time, band, flux, err)
    expected = 0.0
    for code in (1, 2):
        part = slice(points.starts[0, code], points.starts[0, code + 1])
        weight = points.err[part] ** -2.0
        expected += np.sum(weight * (points.flux[part] - np.average(points.flux[part], weights=weight)) ** 2)
    assert fit_lenses(points).chi2_constant[0] == pytest.approx(expected, rel=1e-9)


def test_order_epoch_and_scale_do_not_matter() -> None:
    time, band, flux, err = _lens()
    order = np.random.default_rng(2).permutation(len(time))
    plain = _points(time, band, flux, err)
    for other in (
        _points(time[order], band[order], flux[order], err[order]),
        _points(time - 1024.0, band, flux, err),
        _points(time, band, 8.0 * flux, 8.0 * err),
    ):
        assert object_statistics(other).values == pytest.approx(object_statistics(plain).values, rel=1e-6, nan_ok=True)
        assert fit_lenses(other).einstein_time_d == pytest.approx(fit_lenses(plain).einstein_time_d, rel=1e-3)


def test_a_burst_is_told_from_a_lens() -> None:
    time, band, flux, err = _lens()
    since = time - 60_060.0
    burst = 700.0 * np.where(since < 0.0, np.exp(since / 2.0), np.exp(-since / 30.0))
    burst += err * np.random.default_rng(4).normal(size=120)
    gain = [
        fit_lenses(_points(time, band, values, err)).diagnostics.select(("burst_gain",))[0, 0]
        for values in (flux, burst)
    ]
    assert gain[0] > 2.0 > -2.0 > gain[1]


def test_statistics_agree_with_other_libraries() -> None:
    time, _, flux, err = _lens(3)
    table = object_statistics(_points(time, np.full(120, 2), flux, err))
    got = dict(zip(table.names, table.values[0], strict=True))
    sigma = flux.std(ddof=1)
    z = (flux - flux.mean()) / sigma
    assert got["skewness"] == pytest.approx(np.mean(z**3))
    assert got["kurtosis"] == pytest.approx(np.mean(z**4) - 3.0)
    assert got["von_neumann"] == pytest.approx(np.sum(np.diff(flux) ** 2) / sigma**2 / 119.0)
    cusum = Cusum()(time, flux, err, sorted=True)[0]
    assert got["cusum_range"] == pytest.approx(cusum, rel=1e-2)
    anderson = scipy.stats.anderson(flux, "norm", method="interpolate").statistic
    assert got["log_anderson_darling"] == pytest.approx(np.log10(anderson), abs=1e-6)
    trend = np.corrcoef(time, flux)[0, 1]
    assert got["trend"] == pytest.approx(trend, rel=0.02)
    median = np.median(flux)
    total = np.hypot(err, 0.005 * flux)
    distance = np.abs(flux - median) / total
    assert got["stetson_k"] == pytest.approx(distance.mean() / np.sqrt(np.mean(distance**2)))
    assert 0.0 < StetsonK()(time, flux, err, sorted=True)[0] < 1.0


def test_forced_photometry_replaces_the_detection_of_its_visit() -> None:
    curves = _curves(np.array([1.0, 2.0]), np.array([1, 1]), np.array([50.0, 60.0]), np.array([1.0, 1.0]))
    forced = ForcedPhotometry(
        np.array([0, 2]), np.array([1.0001, 3.0]), np.array([1, 1], np.int8), np.array([7.0, 8.0]), np.array([1.0, 1.0])
    )
    assert measurements(curves, forced).flux.tolist() == [7.0, 60.0, 8.0]


def test_a_visit_that_saw_nothing_is_zero_with_a_fifth_of_its_limit() -> None:
    nan = np.array([np.nan])
    curves = LightCurves(np.array([0, 1]), np.array([5.0]), np.array([2], np.int8), nan, nan, np.array([500.0]))
    points = measurements(curves, _forced())
    assert (points.flux[0], points.err[0]) == (0.0, pytest.approx(100.0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_hostile_values_are_left_out(value: float) -> None:
    time, band, flux, err = _lens()
    for column in range(3):
        parts = [time.copy(), flux.copy(), err.copy()]
        parts[column][::7] = value
        points = _points(parts[0], band, parts[1], parts[2])
        assert len(points.time) == 120 - len(time[::7])
        assert np.isfinite(fit_lenses(points).chi2).all()


def test_equal_times_constant_fluxes_and_empty_batches_give_no_error() -> None:
    same = _points(np.full(20, 6e4), np.full(20, 1), np.full(20, 5.0), np.full(20, 1.0))
    assert np.isfinite(fit_lenses(same).chi2).all()
    assert np.isnan(object_statistics(same).select(("skewness",))).all()
    empty = same.take(np.empty(0, dtype=np.int64))
    assert len(fit_lenses(empty).chi2) == len(object_statistics(empty)) == 0


def test_few_points_have_neither_statistics_nor_fit() -> None:
    few = _points(np.arange(5.0), np.full(5, 1), np.arange(5.0), np.ones(5))
    assert np.isnan(fit_lenses(few).chi2).all()
    assert np.isnan(object_statistics(few).select(("skewness", "log_points"))).all()


def test_rows_that_are_taken_are_the_same_rows() -> None:
    parts = [_curves(*_lens(seed)) for seed in (1, 2, 3)]
    joined = LightCurves(
        np.array([0, 120, 240, 360]),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in LightCurves.__slots__[1:]),
    )
    points = measurements(joined, _forced(3))
    assert np.array_equal(points.take(np.array([2])).flux, measurements(parts[2], _forced()).flux)
