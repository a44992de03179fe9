"""The bracket of an object's onset: its first detection, and the newest visit before it that saw nothing.

A packet says that a visit saw nothing in two ways: as an upper limit in its history (ZTF, LSST before 8.0) or as forced
photometry without a significant flux (ZTF from 4.0, LSST).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.times import SECONDS_PER_DAY
from ingest.alerts.columns import (
    LIMIT_SIGMA,
    BoolArray,
    ByteArray,
    FloatArray,
    ForcedPhotometry,
    IntArray,
    LightCurves,
    TextArray,
    band_letters,
    magnitude,
)

SEEN_SIGMA: Final = 3.0
"""Forced flux over its error [1] below which a visit saw nothing; Masci et al. 2023, arXiv:2305.16279."""

SAME_VISIT_D: Final = 1.0 / SECONDS_PER_DAY
"""Times of one visit differ by less than this [d]: ZTF's record of the first detection by milliseconds; no exposure is
shorter than 15 s."""


@dataclass(frozen=True, eq=False, slots=True)
class Brackets:
    """What n light curves say of when their objects began; NaN and empty text where they do not."""

    first_mag: FloatArray
    """(n,) AB magnitude of the first detection."""
    first_band: TextArray
    """(n,) band of it."""
    last_limit_mjd_tai: FloatArray
    """(n,) newest visit before the first detection that saw nothing [d, TAI]."""
    last_limit_mag: FloatArray
    """(n,) its 5 sigma limiting AB magnitude."""
    last_limit_band: TextArray
    """(n,) its band."""


@dataclass(frozen=True, eq=False, slots=True)
class _Points:
    """Measurements (p,) of visits and the rows that they belong to, each row's in order of time."""

    row: IntArray
    midpoint_mjd_tai: FloatArray
    flux_njy: FloatArray
    """(p,) flux of a detection, or limit of a visit that saw nothing [nJy]."""
    band: ByteArray


def _limits(curves: LightCurves, forced: ForcedPhotometry) -> _Points:
    """Return the visits that saw nothing, with their 5 sigma limits: as stated, then as forced photometry has them."""
    stated = _chosen(curves, curves.upper_limit_njy > 0.0, curves.upper_limit_njy)
    err = forced.psf_flux_err_njy
    unseen = _chosen(forced, (err > 0.0) & (np.abs(forced.psf_flux_njy) < SEEN_SIGMA * err), LIMIT_SIGMA * err)
    row = np.concatenate([stated.row, unseen.row])
    time = np.concatenate([stated.midpoint_mjd_tai, unseen.midpoint_mjd_tai])
    order = np.lexsort((time, row))
    return _Points(
        row[order],
        time[order],
        np.concatenate([stated.flux_njy, unseen.flux_njy])[order],
        np.concatenate([stated.band, unseen.band])[order],
    )


def brackets_of(curves: LightCurves, forced: ForcedPhotometry, first_midpoint_mjd_tai: FloatArray) -> Brackets:
    """Return the brackets of n objects with the given first detections (n,) [d, TAI].

    Notes
    -----
    The first detection has a magnitude where the packet still has it: a history goes back a month, the survey's own
    record of the first detection goes back further.
    """
    n = len(first_midpoint_mjd_tai)
    detected = _chosen(curves, np.isfinite(curves.psf_flux_njy), curves.psf_flux_njy)
    first = _last(detected, np.abs(detected.midpoint_mjd_tai - first_midpoint_mjd_tai[detected.row]) < SAME_VISIT_D, n)
    limits = _limits(curves, forced)
    limit = _last(limits, limits.midpoint_mjd_tai < first_midpoint_mjd_tai[limits.row] - SAME_VISIT_D, n)
    return Brackets(
        magnitude(first.flux_njy),
        band_letters(first.band),
        limit.midpoint_mjd_tai,
        magnitude(limit.flux_njy),
        band_letters(limit.band),
    )


def _chosen(points: LightCurves | ForcedPhotometry, chosen: BoolArray, flux_njy: FloatArray) -> _Points:
    """Return some points of a ragged array, with the flux that is wanted of each."""
    at = np.flatnonzero(chosen)
    row = np.searchsorted(points.offsets, at, side="right") - 1
    return _Points(row, points.midpoint_mjd_tai[at], flux_njy[at], points.band[at])


def _last(points: _Points, chosen: BoolArray, n: int) -> _Points:
    """Return the newest chosen point of each of n rows; NaN and band -1 where there is none."""
    at = np.flatnonzero(chosen)
    newest = at[np.append(np.diff(points.row[at]) != 0, True)] if len(at) else at
    row = points.row[newest]
    found = _Points(np.arange(n), np.full(n, np.nan), np.full(n, np.nan), np.full(n, -1, dtype=np.int8))
    found.midpoint_mjd_tai[row] = points.midpoint_mjd_tai[newest]
    found.flux_njy[row] = points.flux_njy[newest]
    found.band[row] = points.band[newest]
    return found
