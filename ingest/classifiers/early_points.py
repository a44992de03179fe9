"""Which alerts are of young transients, and all that is known of their brightness in one table.

A visit that saw nothing is a measurement too: an upper limit becomes a flux of zero with a fifth of the limit as its
error, and a forced flux counts where no detection of the same visit does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingest.alerts.columns import ForcedPhotometry, LightCurves

if TYPE_CHECKING:
    from ingest.classifiers.contract import Answers, Batch

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Compile without Python's errors: a hostile packet's overflow becomes NaN instead of an exception."""

VARIABLE_CATALOGUES = frozenset({"gcvs", "vsx", "4lac", "3hsp", "spicy", "ctao_blazars", "symbiotic_cv"})
"""Catalogues whose sources have varied before: what lies on one is no explosion."""

SURE_MATCH = 0.9
"""Probability above which an alert and an entry of these are one source."""

OLD_CLASSES = ("variable star", "AGN")
"""Classes of the coarse classifier that a young transient is not."""

SURE_ANSWER = 0.97
"""Probability of those, together, above which a costly classifier is not asked: one in thirty is a risk worth it."""

LIMIT_SIGMA = 5.0
"""Significance of an upper limit; ZTF's diffmaglim is 5 sigma, Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

SAME_VISIT_D = 1e-4
"""Longest wait between two reports of one visit [d]: 9 s, less than the readout between two exposures."""

LARGEST_NJY = 1e15
"""Largest believable flux [nJy]: that of an object of magnitude -6, brighter than any star."""

EARLIEST_D = -30.0
"""Points further before the first detection do not matter [d]: the length of a history of ZTF's."""

LATEST_D = 1e9
"""Largest believable time [d]; beyond it a double does not tell seconds apart."""

N_BANDS = 6
"""Bands u, g, r, i, z, y."""


@dataclass(frozen=True, eq=False, slots=True)
class EarlyPoints:
    """Fluxes of n alerts as one ragged array, each in order of time."""

    offsets: IntArray
    """(n + 1,) points ``offsets[i]`` to ``offsets[i + 1]`` belong to row i."""
    time_d: FloatArray
    """(p,) since the first detection [d]; negative before it."""
    band: ByteArray
    flux_njy: FloatArray
    """(p,) [nJy]; zero for an upper limit."""
    flux_err_njy: FloatArray
    """(p,) 1 sigma [nJy]."""
    detected: BoolArray
    """(p,)"""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.offsets) - 1


@compiled
def _usable(flux: float, err: float, band: int) -> bool:
    return abs(flux) < LARGEST_NJY and 0.0 < err < LARGEST_NJY and 0 <= band < N_BANDS


@compiled
def _is_known(time: FloatArray, band: ByteArray, late: float, wanted: int) -> bool:
    """Tell whether a visit in a band is among those listed."""
    return bool(((band == wanted) & (np.abs(time - late) < SAME_VISIT_D)).any())


@compiled
def _first_detection(time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray) -> float:
    """Return the time of the first usable detection, infinite without one."""
    first = math.inf
    for point in range(len(time)):
        if _usable(flux[point], err[point], band[point]) and abs(time[point]) < LATEST_D:
            first = min(first, time[point])
    return first


@compiled
def _merge(  # noqa: PLR0917 - compiled functions take their arrays by position
    offsets: IntArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    limit: FloatArray,
    forced_offsets: IntArray,
    forced_time: FloatArray,
    forced_band: ByteArray,
    forced_flux: FloatArray,
    forced_err: FloatArray,
    out_offsets: IntArray,
    out: FloatArray,
    out_band: ByteArray,
    out_detected: BoolArray,
) -> None:
    """Fill the rows ``out`` (3, p): time, flux, error; then their bands and whether they are detections."""
    place = 0
    for row in range(len(offsets) - 1):
        begin = place
        mine = slice(offsets[row], offsets[row + 1])
        first = _first_detection(time[mine], band[mine], flux[mine], err[mine])
        for point in range(offsets[row], offsets[row + 1]):
            seen = _usable(flux[point], err[point], band[point])
            quiet = not seen and _usable(0.0, limit[point] / LIMIT_SIGMA, band[point])
            if (seen or quiet) and EARLIEST_D <= time[point] - first < LATEST_D:
                out[0, place] = time[point] - first
                out[1, place] = flux[point] if seen else 0.0
                out[2, place] = err[point] if seen else limit[point] / LIMIT_SIGMA
                out_band[place] = band[point]
                out_detected[place] = seen
                place += 1
        middle = place
        for point in range(forced_offsets[row], forced_offsets[row + 1]):
            late = forced_time[point] - first
            if not (
                _usable(forced_flux[point], forced_err[point], forced_band[point]) and EARLIEST_D <= late < LATEST_D
            ):
                continue
            if not _is_known(out[0, begin:middle], out_band[begin:middle], late, forced_band[point]):
                out[0, place] = late
                out[1, place] = forced_flux[point]
                out[2, place] = forced_err[point]
                out_band[place] = forced_band[point]
                out_detected[place] = False
                place += 1
        order = begin + np.argsort(out[0, begin:place], kind="mergesort")
        for line in range(3):
            out[line, begin:place] = out[line][order]
        out_band[begin:place] = out_band[order]
        out_detected[begin:place] = out_detected[order]
        out_offsets[row + 1] = place


def early_points(curves: LightCurves, forced: ForcedPhotometry) -> EarlyPoints:
    """Merge light curves with forced photometry.

    Parameters
    ----------
    curves : n light curves.
    forced : n, empty where a survey sends none.

    Returns
    -------
    Points with a finite time, a known band and a believable flux and error; none for a row without a detection.
    """
    largest = len(curves.midpoint_mjd_tai) + len(forced.midpoint_mjd_tai)
    out = np.empty((3, largest))
    offsets = np.zeros(len(curves) + 1, dtype=np.int64)
    band, detected = np.empty(largest, dtype=np.int8), np.empty(largest, dtype=np.bool_)
    _merge(
        np.ascontiguousarray(curves.offsets, dtype=np.int64),
        np.ascontiguousarray(curves.midpoint_mjd_tai, dtype=np.float64),
        np.ascontiguousarray(curves.band, dtype=np.int8),
        np.ascontiguousarray(curves.psf_flux_njy, dtype=np.float64),
        np.ascontiguousarray(curves.psf_flux_err_njy, dtype=np.float64),
        np.ascontiguousarray(curves.upper_limit_njy, dtype=np.float64),
        np.ascontiguousarray(forced.offsets, dtype=np.int64),
        np.ascontiguousarray(forced.midpoint_mjd_tai, dtype=np.float64),
        np.ascontiguousarray(forced.band, dtype=np.int8),
        np.ascontiguousarray(forced.psf_flux_njy, dtype=np.float64),
        np.ascontiguousarray(forced.psf_flux_err_njy, dtype=np.float64),
        offsets,
        out,
        band,
        detected,
    )
    end = int(offsets[-1])
    return EarlyPoints(offsets, out[0, :end], band[:end], out[1, :end], out[2, :end], detected[:end])


def is_young(batch: Batch, answers: Answers, oldest_d: float) -> BoolArray:
    """Return (n,) which alerts are of objects first seen at most ``oldest_d`` ago that nothing says vary for long.

    Notes
    -----
    An age is the survey's own record where the packet has one. A certain match with a catalogue of variable sources,
    and certainty of the coarse classifier, say that the object is an old one.
    """
    age_d = batch.features.select(("age_d",))[:, 0]
    # An absent age says nothing.
    young = ~(age_d > oldest_d)
    matches = batch.matches
    known = np.isin(matches.catalogue.astype(str), list(VARIABLE_CATALOGUES)) & (matches.probability > SURE_MATCH)
    young[matches.row[known]] = False
    coarse = answers.get("coarse")
    if coarse is not None:
        settled = np.sum([np.nan_to_num(coarse.of(name)) for name in OLD_CLASSES], axis=0)
        young = young & (settled <= SURE_ANSWER)
    return np.asarray(young & (batch.columns.solar_system_id == ""), dtype=np.bool_)
