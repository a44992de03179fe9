"""Known blazars measured against themselves: how bright one is for its own history, and which detections are flares.

A blazar is an old object. What ties it to a neutrino is not its first detection, so its flares are told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ingest.classifiers.evidence import class_of_type
from ingest.classifiers.variability_features import reference_flux_njy

if TYPE_CHECKING:
    from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves
    from ingest.crossmatch import CrossMatches

FloatArray = NDArray[np.float64]

BLAZAR: Final = "blazar"
"""Class of `graph.taxonomy`."""

BLAZAR_CATALOGUES: Final = frozenset({"3hsp", "4lac", "ctao_blazars"})
"""Catalogues whose entries are blazars: Chang et al. 2019, doi:10.1051/0004-6361/201834526; Ajello et al. 2022,
doi:10.3847/1538-4365/ac9523, of which 98 % are; the third are targets of the CTAO's own programme."""

MIN_QUIESCENT_POINTS: Final = 3
"""Points in the alert's band that a quiescent level takes beside the newest: fewer have no middle that one flare does
not move."""

MIN_MATCH_PROBABILITY: Final = 0.5
"""Chance that position and entry are one source, from which it is called one: the more probable case."""

MIN_FLARE_RATIO: Final = 1.5
"""Flux over the quiescent level from which a detection is one of a flare [1]: 0.44 mag. TXS 0506+056 had brightened by
0.5 mag in V when IceCube-170922A came from there (ASAS-SN, ATel 10794); it must not be missed."""


def blazar_flux_ratio(columns: AlertColumns, matches: CrossMatches) -> FloatArray:
    """Return the flux of each known blazar over its quiescent level, (n,); NaN for other alerts.

    Notes
    -----
    Both are template plus difference flux in the alert's band. The quiescent level is the median of the history's
    detections and forced photometry without the newest point. A history of detections alone leaves out the visits that
    saw the template's level, so the ratio of a source in outburst is too small, never too large.
    """
    ratio = np.full(len(columns), np.nan)
    rows = np.unique(matches.row[_is_blazar(matches) & (matches.probability >= MIN_MATCH_PROBABILITY)])
    rows = rows[columns.band[rows] >= 0]
    reference = reference_flux_njy(columns.take(rows))[np.arange(len(rows)), columns.band[rows]]
    # Of all alerts few are of blazars, so that a loop over them costs nothing.
    for row, base in zip(rows.tolist(), reference.tolist(), strict=True):
        past = np.concatenate(
            [_earlier_flux(points, row, columns) for points in (columns.light_curves, columns.forced)]
        )
        level = base + np.median(past) if len(past) >= MIN_QUIESCENT_POINTS else np.nan
        if level > 0.0:
            ratio[row] = (base + columns.psf_flux_njy[row]) / level
    return np.where(np.isfinite(ratio), ratio, np.nan)


def flare_flux_ratio(columns: AlertColumns, matches: CrossMatches) -> FloatArray:
    """Return `blazar_flux_ratio` of the detections (n,) that are part of a flare; NaN for all others."""
    ratio = blazar_flux_ratio(columns, matches)
    return np.where(ratio >= MIN_FLARE_RATIO, ratio, np.nan)


def _is_blazar(matches: CrossMatches) -> NDArray[np.bool_]:
    """Return which cross-matches (m,) are with an entry that is known as a blazar, by its catalogue or its type."""
    kinds = [kind for kind in set(matches.object_type) if class_of_type(kind) == BLAZAR]
    listed = np.isin(matches.catalogue.astype(str), list(BLAZAR_CATALOGUES))
    return np.asarray(listed | np.isin(matches.object_type.astype(str), kinds), dtype=np.bool_)


def _earlier_flux(points: LightCurves | ForcedPhotometry, row: int, columns: AlertColumns) -> FloatArray:
    """Return the difference fluxes of an alert's own band before it [nJy]."""
    place = slice(points.offsets[row], points.offsets[row + 1])
    flux, time = points.psf_flux_njy[place], points.midpoint_mjd_tai[place]
    chosen = (points.band[place] == columns.band[row]) & (time < columns.midpoint_mjd_tai[row]) & np.isfinite(flux)
    return np.asarray(flux[chosen], dtype=np.float64)
