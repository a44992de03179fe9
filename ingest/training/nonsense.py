"""Light curves that nature does not make, from those that it made: what a classifier says of them shows its honesty."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.classifiers.contract import Batch, batch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Points = LightCurves | ForcedPhotometry

SEED = 20261122
"""Of the shuffles and the noise: the same batch becomes the same nonsense."""

BOGUS_SNR = 10.0
"""Scatter of a bogus detection in units of its error: artefacts of subtraction pass a 5 sigma cut with either sign."""


def _owner(points: Points) -> IntArray:
    return np.repeat(np.arange(len(points)), np.diff(points.offsets))


def _reorder(points: Points, order: IntArray) -> dict[str, NDArray[np.generic]]:
    """Return band, fluxes, errors and limits in another order; the times stay where they are."""
    names = ["band", "psf_flux_njy", "psf_flux_err_njy"]
    names += ["upper_limit_njy"] if isinstance(points, LightCurves) else []
    return {name: getattr(points, name)[order] for name in names}


def shuffled(points: Points, rng: np.random.Generator) -> Points:
    """Give the measurements of each object its times in random order."""
    owner = _owner(points)
    return replace(points, **_reorder(points, np.lexsort((rng.random(len(owner)), owner))))  # type: ignore[arg-type]


def reversed_in_time(points: Points, rng: np.random.Generator) -> Points:
    """Let time run backwards between each object's first and last point."""
    del rng
    owner = _owner(points)
    start, end = points.offsets[:-1][owner], points.offsets[1:][owner]
    order = start + end - 1 - np.arange(len(owner))
    time = points.midpoint_mjd_tai
    turned = time[start] + time[end - 1] - time[order] if len(time) else time
    return replace(points, midpoint_mjd_tai=turned, **_reorder(points, order))  # type: ignore[arg-type]


def flat(points: Points, rng: np.random.Generator) -> Points:
    """Replace the fluxes of each object by their mean and noise of the stated errors."""
    owner, flux, err = _owner(points), points.psf_flux_njy, points.psf_flux_err_njy
    seen = np.isfinite(flux) & np.isfinite(err)
    count = np.bincount(owner[seen], minlength=len(points))
    mean = np.bincount(owner[seen], flux[seen], minlength=len(points)) / np.maximum(count, 1)
    return replace(points, psf_flux_njy=np.where(seen, mean[owner] + err * rng.normal(size=len(flux)), flux))


def bogus(points: Points, rng: np.random.Generator) -> Points:
    """Replace the fluxes by noise of either sign far above the errors, as bad subtractions have it."""
    flux, err = points.psf_flux_njy, points.psf_flux_err_njy
    seen = np.isfinite(flux) & np.isfinite(err)
    return replace(points, psf_flux_njy=np.where(seen, BOGUS_SNR * err * rng.normal(size=len(flux)), flux))


NONSENSE: Final[Mapping[str, Callable[[Points, np.random.Generator], Points]]] = {
    "shuffled": shuffled,
    "reversed": reversed_in_time,
    "flat": flat,
    "bogus": bogus,
}
"""Kind of nonsense -> what makes it out of light curves or forced photometry."""


def as_nonsense(batch: Batch, kind: str) -> Batch:
    """Return a batch whose light curves and forced photometry are nonsense; context and matches stay as they are."""
    columns, make = batch.columns, NONSENSE[kind]
    rng = np.random.default_rng(SEED)
    curves, forced = make(columns.light_curves, rng), make(columns.forced, rng)
    seen = np.flatnonzero(np.isfinite(curves.psf_flux_njy))
    newest = np.full(len(batch), -1, dtype=np.int64)
    newest[_owner(curves)[seen]] = seen
    some = newest >= 0
    changed = {}
    for name in ("midpoint_mjd_tai", "band", "psf_flux_njy", "psf_flux_err_njy"):
        changed[name] = getattr(columns, name).copy()
        changed[name][some] = getattr(curves, name)[newest[some]]
    return batch_of(replace(columns, light_curves=curves, forced=forced, **changed), batch.matches)  # type: ignore[arg-type]
