"""Other packages on the same light curves: 17 features and Bazin fits of ``light-curve``, sncosmo, SuperNNova."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from compose.bench import sncosmo_peer, supernnova_peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.alerts.columns import AlertColumns
    from ingest.features import FloatArray

FEATURES = (
    "Amplitude", "AndersonDarlingNormal", "BeyondNStd", "Cusum", "Eta", "InterPercentileRange", "Kurtosis", "LinearFit",
    "LinearTrend", "MaximumSlope", "Mean", "MedianAbsoluteDeviation", "ReducedChi2", "Skew", "StandardDeviation",
    "StetsonK", "WeightedMean",
)  # fmt: skip
"""Features of the peer that say most of what ours say."""

MIN_POINTS = 8
"""Detections below which the peer's fit refuses."""

MAX_FITS = 500
"""Light curves that are fitted: the fits are slow."""

Curve = tuple["FloatArray", "FloatArray", "FloatArray"]


def measure_peers(alerts: AlertColumns) -> dict[str, dict[str, float]]:
    """Measure each peer on one core; nothing of those that are not installed."""
    works = _light_curve_works(alerts) | sncosmo_peer.works(alerts) | supernnova_peer.works(alerts)
    return {name: _measure(work, n) for name, (work, n) in works.items()}


def _light_curve_works(alerts: AlertColumns) -> dict[str, tuple[Callable[[], object], int]]:
    """Return the works of ``light-curve`` on one band of each light curve, and on how many."""
    try:
        peer: Any = import_module("light_curve")
    except ImportError:
        return {}
    curves = _curves(alerts)
    extractor = peer.Extractor(*(getattr(peer, name)() for name in FEATURES))
    long = [curve for curve in curves if len(curve[0]) >= MIN_POINTS][:MAX_FITS]
    fit = peer.BazinFit("mcmc-ceres", mcmc_niter=64) if hasattr(peer, "BazinFit") else None
    works: dict[str, tuple[Callable[[], object], int]] = {}
    if curves:
        works["light_curve_17_features"] = (lambda: extractor.many(curves, n_jobs=1, check=False), len(curves))
    if fit is not None and long:
        works["light_curve_bazin_fit"] = (lambda: fit.many(long, n_jobs=1, check=False), len(long))
    return works


def _measure(work: Callable[[], object], n: int) -> dict[str, float]:
    start = time.process_time()
    work()
    elapsed = max(time.process_time() - start, 1e-9)
    return {"alerts_per_s": round(n / elapsed, 2), "cpu_s_per_1000": round(1000.0 * elapsed / n, 4), "n": n}


def _curves(alerts: AlertColumns) -> list[Curve]:
    """Return time, flux and error of the band with most detections of each alert that has four points in it."""
    points = alerts.light_curves
    curves = []
    for start, stop in zip(points.offsets[:-1].tolist(), points.offsets[1:].tolist(), strict=True):
        part = slice(start, stop)
        good = np.isfinite(points.psf_flux_njy[part]) & (points.psf_flux_err_njy[part] > 0.0)
        band = points.band[part][good]
        if not len(band):
            continue
        mine = band == np.bincount(band).argmax()
        t, first = np.unique(points.midpoint_mjd_tai[part][good][mine], return_index=True)
        if len(t) >= 4:
            flux = points.psf_flux_njy[part][good][mine][first]
            curves.append((t, flux, points.psf_flux_err_njy[part][good][mine][first]))
    return curves
