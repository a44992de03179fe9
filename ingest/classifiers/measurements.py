"""Detections, forced photometry and visits that saw nothing, merged to one set of measurements for each object.

Points of an object are sorted by band, then by time, so that the light curve in one band is one slice.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ingest.alerts.columns import ForcedPhotometry, LightCurves

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Compile without Python's errors: a hostile packet's overflow becomes NaN instead of an exception."""

N_BANDS = 6
"""Bands u, g, r, i, z, y."""

SAME_VISIT_D = 1e-3
"""Two fluxes in one band closer than this are of one visit [d]: 86 s, longer than an exposure of either survey and
shorter than the return to a field."""

LIMIT_SIGMA = 5.0
"""Depth of an upper limit in units of its error: what `ingest.alerts.columns.LightCurves` states."""

CALIBRATION_FLOOR = 0.005
"""Relative error added in quadrature: 5 mmag, the photometric repeatability that both surveys aim at
(LSST SRD, LPM-17; Masci et al. 2019, doi:10.1088/1538-3873/aae8ac). Without it bright stars fit no model."""

BRIGHTEST_NJY = 1e15
"""Absolute fluxes and errors above this are no measurements [nJy]: -6 mag, far beyond saturation. It keeps every
square and fourth power below within the range of doubles."""

FAINTEST_ERR_NJY = 1e-3
"""Errors are at least this [nJy]: 10^5 times below the deepest exposure, so that nothing is divided by zero."""

LATEST_MJD = 1e6
"""Times beyond this, of either sign, are no times [d]: the sort key of band and time must stay exact to 1e-9 d."""


@dataclass(frozen=True, eq=False, slots=True)
class Measurements:
    """Fluxes of n objects in the bands u to y; each band in order of time."""

    starts: IntArray
    """(n, 7) points ``starts[i, b]`` to ``starts[i, b + 1]`` are object i in band b; the end is in column 6."""
    time: FloatArray
    """(p,) [d, TAI]."""
    flux: FloatArray
    """(p,) difference flux [nJy]."""
    err: FloatArray
    """(p,) 1 sigma [nJy], `CALIBRATION_FLOOR` included; positive."""

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.starts)

    def take(self, row: IntArray) -> Measurements:
        """Return the objects at some places."""
        sizes = self.starts[row, -1] - self.starts[row, 0]
        ends = np.cumsum(sizes)
        moved = self.starts[row] - self.starts[row, :1] + (ends - sizes)[:, None]
        index = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[row, 0] - (ends - sizes), sizes)
        return Measurements(moved, self.time[index], self.flux[index], self.err[index])

    @property
    def n_points(self) -> IntArray:
        """(n, 6) measurements in each band."""
        return np.diff(self.starts, axis=1)


def measurements(curves: LightCurves, forced: ForcedPhotometry) -> Measurements:
    """Merge the light curves and the forced photometry of n objects.

    Points may stand in any order. What is not finite, has no positive error or no known band is left out.
    """
    starts = np.zeros((len(curves), N_BANDS + 1), dtype=np.int64)
    out = np.empty((3, len(curves.band) + len(forced.band)))
    n = fill_measurements(
        np.ascontiguousarray(forced.offsets, dtype=np.int64),
        np.ascontiguousarray(forced.midpoint_mjd_tai, dtype=np.float64),
        np.ascontiguousarray(forced.band, dtype=np.int8),
        np.ascontiguousarray(forced.psf_flux_njy, dtype=np.float64),
        np.ascontiguousarray(forced.psf_flux_err_njy, dtype=np.float64),
        np.ascontiguousarray(curves.offsets, dtype=np.int64),
        np.ascontiguousarray(curves.midpoint_mjd_tai, dtype=np.float64),
        np.ascontiguousarray(curves.band, dtype=np.int8),
        np.ascontiguousarray(curves.psf_flux_njy, dtype=np.float64),
        np.ascontiguousarray(curves.psf_flux_err_njy, dtype=np.float64),
        np.ascontiguousarray(curves.upper_limit_njy, dtype=np.float64),
        starts,
        out,
    )
    return Measurements(starts, out[0, :n].copy(), out[1, :n].copy(), out[2, :n].copy())


@compiled
def fill_measurements(
    forced_offsets: IntArray,
    forced_time: FloatArray,
    forced_band: ByteArray,
    forced_flux: FloatArray,
    forced_err: FloatArray,
    offsets: IntArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    limit: FloatArray,
    starts: IntArray,
    out: FloatArray,
) -> int:
    """Merge n rows; write band starts (n, 7) and time, flux, error (3, points); return the number of points.

    Forced photometry comes first: a detection or a limit of the same visit and band is the same photons. A visit
    that saw nothing is a flux of zero with a fifth of its limit as error.
    """
    total = 0
    for i in range(len(offsets) - 1):
        first, stop = forced_offsets[i], forced_offsets[i + 1]
        size = stop - first + offsets[i + 1] - offsets[i]
        key = np.empty(size)
        rows = np.empty((3, size))
        n = 0
        for p in range(first, stop):
            n = _add(n, forced_time[p], forced_band[p], forced_flux[p], forced_err[p], key, rows)
        n_forced = n
        for p in range(offsets[i], offsets[i + 1]):
            if math.isnan(flux[p]) and math.isfinite(limit[p]):
                n = _add(n, time[p], band[p], 0.0, limit[p] / LIMIT_SIGMA, key, rows)
            else:
                n = _add(n, time[p], band[p], flux[p], err[p], key, rows)
        total = _settle(i, n, n_forced, key, rows, starts, out, total)
    return total


@compiled
def _add(n: int, time: float, band: int, flux: float, err: float, key: FloatArray, rows: FloatArray) -> int:
    """Write a measurement to place n when it is one; return the number of measurements."""
    if not (0 <= band < N_BANDS and abs(time) < LATEST_MJD and abs(flux) < BRIGHTEST_NJY and 0.0 < err < BRIGHTEST_NJY):
        return n
    key[n] = band * 4.0 * LATEST_MJD + time
    rows[0, n] = time
    rows[1, n] = flux
    rows[2, n] = max(math.hypot(err, CALIBRATION_FLOOR * flux), FAINTEST_ERR_NJY)
    return n + 1


@compiled
def _settle(
    i: int,
    n: int,
    n_forced: int,
    key: FloatArray,
    rows: FloatArray,
    starts: IntArray,
    out: FloatArray,
    total: int,
) -> int:
    """Sort one row's measurements by band and time, drop those whose visit has forced photometry, note the bands."""
    order = np.argsort(key[:n])
    code = 0
    starts[i, 0] = total
    for place in range(n):
        j = order[place]
        if j >= n_forced and _has_forced(place, order, n, n_forced, key):
            continue
        mine = math.floor((key[j] + LATEST_MJD) / (4.0 * LATEST_MJD))
        while code < mine:
            code += 1
            starts[i, code] = total
        for k in range(3):
            out[k, total] = rows[k, j]
        total += 1
    while code < N_BANDS:
        code += 1
        starts[i, code] = total
    return total


@compiled
def _has_forced(place: int, order: IntArray, n: int, n_forced: int, key: FloatArray) -> bool:
    """Return whether a forced measurement of the same band lies within `SAME_VISIT_D`."""
    mine = key[order[place]]
    k = place - 1
    while k >= 0 and mine - key[order[k]] < SAME_VISIT_D:
        if order[k] < n_forced:
            return True
        k -= 1
    k = place + 1
    while k < n and key[order[k]] - mine < SAME_VISIT_D:
        if order[k] < n_forced:
            return True
        k += 1
    return False
