"""From light curves to the sequence of nights that the network of `ingest.classifiers.sn_types` reads.

All that the network may know is made here, in training and in the stream alike: points of one night are averaged by
band, fluxes are divided by the brightest, times count from the first detection and from the brightest night.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from graph.model import Survey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.alerts.columns import ForcedPhotometry, LightCurves

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
SingleArray = NDArray[np.float32]

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Compile without Python's errors: a hostile packet's overflow becomes NaN instead of an exception."""

NETWORK_BANDS: Final[Mapping[Survey, tuple[int, ...]]] = {Survey.LSST: (0, 1, 2, 3, 4, 5), Survey.ZTF: (1, 2)}
"""Codes of the bands that a survey's network reads: ZTF's public survey has g and r."""

NIGHT_D: Final = 0.33
"""Points closer than this to the first of a group are one night [d]; Moller & de Boissiere 2020,
doi:10.1093/mnras/stz3312."""

MAX_NIGHTS: Final = 48
"""Longest sequence: nights are joined two by two until it holds, which costs the densest fields a day of resolution."""

LEAD_D: Final = 30.0
"""Forced photometry and limits are read from this long before the first detection [d]: a supernova's rise lasts
about 20 d, and what was there before is noise."""

TAIL_D: Final = 50.0
"""Forced photometry is read to this long after the last detection [d]; an alert has none, a finished light curve has
its fade."""

SAME_VISIT_D: Final = 1.0 / 1440.0
"""A detection and a forced flux of one band closer than this are of one visit [d], which takes half a minute."""

LARGEST_FLUX_NJY: Final = 1e12
"""Fluxes above this are no measurements [nJy]: 1.4 mag AB, where every camera is saturated."""

SMALLEST_ERROR_NJY: Final = 1e-3
"""Errors below this are no errors [nJy]: the deepest stack of LSST knows a flux to some nJy."""

LATEST_MJD: Final = 1e6
"""Times beyond this, either side, are none [d, TAI]: the year 4596."""

PER_BAND: Final = 4
"""Numbers for each band and night: observed or not, flux, error, signal to noise."""

PER_NIGHT: Final = 4
"""Further numbers for each night: gap, time since the first detection and since the brightest night, brightness."""


@dataclass(frozen=True, eq=False, slots=True)
class Sequences:
    """What the network reads of n light curves."""

    values: NDArray[np.float32]
    """(n, t, k), zero after the last night."""
    nights: IntArray
    """(n,) length of each sequence, 0 where nothing can be read."""
    points: IntArray
    """(n,) detections that were read."""


def width(survey: Survey) -> int:
    """Return the numbers that the network reads for each night."""
    return PER_BAND * len(NETWORK_BANDS[survey]) + PER_NIGHT


def sequences(survey: Survey, curves: LightCurves, forced: ForcedPhotometry) -> Sequences:
    """Return the nights of n light curves.

    Parameters
    ----------
    curves : detections and upper limits; a limit is read as zero flux with a fifth of it as error.
    forced : fluxes at the place, detected or not; read for LSST only and may be empty. ZTF's are left out, for no
        labelled light curve has them.
    """
    column = np.full(128, -1, dtype=np.int64)
    column[list(NETWORK_BANDS[survey])] = np.arange(len(NETWORK_BANDS[survey]))
    n = len(curves)
    values = np.zeros((n, MAX_NIGHTS, width(survey)), dtype=np.float32)
    nights, points = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    _fill(
        curves.offsets,
        curves.midpoint_mjd_tai,
        curves.band,
        curves.psf_flux_njy,
        curves.psf_flux_err_njy,
        curves.upper_limit_njy,
        forced.offsets if survey is Survey.LSST else np.zeros(n + 1, dtype=np.int64),
        forced.midpoint_mjd_tai,
        forced.band,
        forced.psf_flux_njy,
        forced.psf_flux_err_njy,
        column,
        # Brightness tells types apart where the simulation's rates hold; ZTF's training set has none to speak of.
        survey is Survey.LSST,
        values,
        nights,
        points,
    )
    return Sequences(values, nights, points)


@compiled
def _fill(
    offsets: IntArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    limit: FloatArray,
    f_offsets: IntArray,
    f_time: FloatArray,
    f_band: ByteArray,
    f_flux: FloatArray,
    f_err: FloatArray,
    column: IntArray,
    bright: bool,
    values: SingleArray,
    nights: IntArray,
    points: IntArray,
) -> None:
    """Fill the sequences of all light curves."""
    for row in range(len(offsets) - 1):
        lo, hi = offsets[row], offsets[row + 1]
        f_lo, f_hi = f_offsets[row], f_offsets[row + 1]
        first, last = np.inf, -np.inf
        for i in range(lo, hi):
            if _usable(time[i], band[i], flux[i], err[i], column):
                first, last = min(first, time[i]), max(last, time[i])
                points[row] += 1
        if points[row] == 0:
            continue
        size = hi - lo + f_hi - f_lo
        t, b = np.empty(size), np.empty(size, np.int64)
        y, s = np.empty(size), np.empty(size)
        used = _read_forced(f_time[f_lo:f_hi], f_band[f_lo:f_hi], f_flux[f_lo:f_hi], f_err[f_lo:f_hi],
                            column, first, last, t, b, y, s)  # fmt: skip
        used = _read_curve(time[lo:hi], band[lo:hi], flux[lo:hi], err[lo:hi], limit[lo:hi],
                           column, first, last, used, t, b, y, s)  # fmt: skip
        order = np.argsort(t[:used], kind="mergesort")
        nights[row] = _write(t[order], b[order], y[order], s[order], first, bright, values[row])


@compiled
def _read_forced(
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    column: IntArray,
    first: float,
    last: float,
    t: FloatArray,
    b: IntArray,
    y: FloatArray,
    s: FloatArray,
) -> int:
    """Write the forced fluxes that belong to the window; return how many."""
    used = 0
    for i in range(len(time)):
        inside = first - LEAD_D <= time[i] <= last + TAIL_D
        if inside and _usable(time[i], band[i], flux[i], err[i], column):
            t[used], b[used], y[used], s[used] = time[i], column[band[i]], flux[i], err[i]
            used += 1
    return used


@compiled
def _read_curve(
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    limit: FloatArray,
    column: IntArray,
    first: float,
    last: float,
    used: int,
    t: FloatArray,
    b: IntArray,
    y: FloatArray,
    s: FloatArray,
) -> int:
    """Append detections of other visits than those of the forced fluxes, and limits; return how many there are."""
    of_forced = used
    for i in range(len(time)):
        if _usable(time[i], band[i], flux[i], err[i], column):
            repeated = False
            for j in range(of_forced):
                if b[j] == column[band[i]] and abs(t[j] - time[i]) < SAME_VISIT_D:
                    repeated = True
                    break
            if not repeated:
                t[used], b[used], y[used], s[used] = time[i], column[band[i]], flux[i], err[i]
                used += 1
        elif first - LEAD_D <= time[i] <= last and _usable(time[i], band[i], 0.0, limit[i], column):
            t[used], b[used], y[used], s[used] = time[i], column[band[i]], 0.0, limit[i] / 5.0
            used += 1
    return used


@compiled
def _usable(time: float, band: int, flux: float, err: float, column: IntArray) -> bool:
    """Tell whether a point can be read."""
    # Comparisons with NaN are False.
    if band < 0 or column[band] < 0 or not abs(time) < LATEST_MJD:
        return False
    return abs(flux) < LARGEST_FLUX_NJY and SMALLEST_ERROR_NJY < err < LARGEST_FLUX_NJY


@compiled
def _group(t: FloatArray, group: IntArray) -> int:
    """Assign points in order of time to nights; return how many there are."""
    step = NIGHT_D
    while True:
        count, start = 0, -np.inf
        for i in range(len(t)):
            if t[i] - start > step:
                start = t[i]
                count += 1
            group[i] = count - 1
        if count <= MAX_NIGHTS:
            return count
        step *= 2.0


@compiled
def _write(
    t: FloatArray,
    b: IntArray,
    y: FloatArray,
    s: FloatArray,
    first: float,
    bright: bool,
    out: SingleArray,
) -> int:
    """Write the nights of one light curve; return how many."""
    bands = (out.shape[1] - PER_NIGHT) // PER_BAND
    group = np.empty(len(t), np.int64)
    count = _group(t, group)
    weight, total = np.zeros((count, bands)), np.zeros((count, bands))
    when, members = np.zeros(count), np.zeros(count)
    for i in range(len(t)):
        inverse = 1.0 / (s[i] * s[i])
        weight[group[i], b[i]] += inverse
        total[group[i], b[i]] += inverse * y[i]
        when[group[i]] += t[i] - first
        members[group[i]] += 1.0
    brightest, scale, peak = -np.inf, 1e-30, 0.0
    for g in range(count):
        when[g] /= members[g]
        for band in range(bands):
            if weight[g, band] > 0.0:
                mean = total[g, band] / weight[g, band]
                # A flux counts for the maximum by what it surely is, so that one noisy point does not set the scale.
                sure = mean - 1.0 / np.sqrt(weight[g, band])
                if sure > brightest:
                    brightest, peak = sure, when[g]
                    scale = max(abs(mean), 1e-30)
    for band in range(bands):
        _interpolate(weight[:, band], total[:, band], when, scale, out[:, PER_BAND * band : PER_BAND * (band + 1)])
    for g in range(count):
        at = PER_BAND * bands
        out[g, at] = 0.4 * np.log1p(when[g] - when[g - 1]) if g > 0 else 0.0
        out[g, at + 1] = min(max(when[g] / 50.0, -1.0), 8.0)
        out[g, at + 2] = min(max((when[g] - peak) / 50.0, -4.0), 8.0)
        out[g, at + 3] = min(max(np.log10(scale) - 3.5, -2.0), 4.0) if bright else 0.0
    return count


@compiled
def _interpolate(weight: FloatArray, total: FloatArray, when: FloatArray, scale: float, out: SingleArray) -> None:
    """Write one band: what was measured, and between the measurements what lies on the line between them."""
    count = len(weight)
    before = -1
    after = _next(weight, 0)
    for g in range(count):
        if g == after:
            before = g
            after = _next(weight, g + 1)
        if before < 0 and after < 0:
            out[g, 2] = 1.5
            continue
        left = before if before >= 0 else after
        right = after if after >= 0 else before
        gap = when[right] - when[left]
        share = (when[g] - when[left]) / gap if before >= 0 and after >= 0 and gap > 0.0 else 0.0
        mean = (1.0 - share) * total[left] / weight[left] + share * total[right] / weight[right]
        variance = (1.0 - share) ** 2 / weight[left] + share**2 / weight[right]
        away = min(abs(when[g] - when[left]), abs(when[right] - when[g]))
        out[g, 0] = 1.0 if before == g else 0.0
        out[g, 1] = np.arcsinh(min(max(mean / scale, -3.0), 3.0) * 10.0) / 2.0
        out[g, 2] = 0.5 * np.log10(min(max(np.sqrt(variance) / scale, 1e-3), 1e2)) + 0.5
        out[g, 3] = np.exp(-away / 10.0)


@compiled
def _next(weight: FloatArray, start: int) -> int:
    """Return the next night with a measurement, -1 when there is none."""
    for g in range(start, len(weight)):
        if weight[g] > 0.0:
            return g
    return -1
