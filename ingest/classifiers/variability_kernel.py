"""The compiled pass behind `ingest.classifiers.variability_features`: nights, outbursts, colours and amplitudes.

One thread, no Python objects and no lock. The columns of the result come in blocks; a block's first column is a
constant here, and `ingest.classifiers.variability_features.RHYTHM_FEATURES` lists the columns in this order.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ingest.classifiers.variability_rhythm import (
    MAX_PARTNERS,
    N_BANDS,
    PAIR_D,
    compiled,
    period,
    standardise,
    stetson,
    structure,
    walk,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]

NIGHTS = 0
"""First column of the sampling: nights, points in a night, detected share, sign changes, largest step in a night."""
STRUCTURE = 5
"""First column of the structure function, one for each bin of lags."""
WALK = 10
"""First column of the damped random walk: decimal logarithm of the time scale, gain in likelihood."""
PERIOD = 12
"""First column of the periodogram: decimal logarithm of the best period, its power, excess of short periods."""
BANDS_TOGETHER = 15
"""First column of pairs of bands: Stetson J, Stetson K, amplitude ratio, correlation, g over r, r over i."""
OUTBURST = 21
"""First column of the outburst: contrast, width at half maximum, rise and fall from the nearest points."""
RELATIVE = 25
"""First column of fluxes over the reference's: largest, smallest, scatter, newest."""
WIDTH = 29
"""Number of columns."""

NIGHT_GAP_D = 0.4
"""Successive points further apart than this lie in different nights [d]: the shortest day between dusk and dawn at the
latitudes of both surveys is 0.4 d."""

MIN_PERIOD_POINTS = 10
"""Detections below which no period is looked for: a sine in unknown phase and period takes four numbers, and among
400 frequencies any six points find one."""

MAX_HISTORY = 100
"""Newest points, those of minutes joined, that count: a year of a wide survey. More would cost time, not tell more."""

MERGE_D = 0.01
"""Detections of one band within this are one [d]: 15 min, less than a survey's own second visit and all that is asked
for here. A deep field's hundred exposures of a night are then as many as a wide survey's."""


@compiled
def _sampling(time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, n: int, out: FloatArray) -> None:
    """Fill nights, points in a night, sign changes and the largest step in a night; one or more points."""
    nights, changes = 1, 0
    step = -1.0
    for j in range(1, n):
        if time[j] - time[j - 1] > NIGHT_GAP_D:
            nights += 1
        if flux[j] * flux[j - 1] < 0.0:
            changes += 1
        for k in range(j - 1, max(j - MAX_PARTNERS, 0) - 1, -1):
            if time[j] - time[k] > NIGHT_GAP_D:
                break
            if band[j] == band[k]:
                step = max(step, abs(flux[j] - flux[k]) / math.sqrt(err[j] ** 2 + err[k] ** 2))
    out[NIGHTS] = nights
    out[NIGHTS + 1] = n / nights
    if n > 1:
        out[NIGHTS + 3] = changes / (n - 1)
    if step >= 0.0:
        out[NIGHTS + 4] = step


@compiled
def _band_pairs(
    time: FloatArray, band: ByteArray, flux: FloatArray, n: int, blue: int, place: int, out: FloatArray
) -> None:
    """Fill the ratio of fluxes in a band and the next redder one, in pairs within a night; for g and r correlation."""
    first = second = cross = first_square = second_square = sum_first = sum_second = 0.0
    m = 0
    for j in range(n):
        if band[j] != blue:
            continue
        near, gap = -1, PAIR_D
        for k in range(max(j - MAX_PARTNERS, 0), min(j + MAX_PARTNERS + 1, n)):
            if band[k] == blue + 1 and abs(time[k] - time[j]) < gap:
                near, gap = k, abs(time[k] - time[j])
        if near >= 0:
            m += 1
            first, second = first + abs(flux[j]), second + abs(flux[near])
            sum_first, sum_second = sum_first + flux[j], sum_second + flux[near]
            cross += flux[j] * flux[near]
            first_square += flux[j] ** 2
            second_square += flux[near] ** 2
    if m > 0 and second > 0.0 and first > 0.0:
        out[place] = 2.5 * math.log10(second / first)
    if m > 2 and blue == 1:
        spread = (first_square - sum_first**2 / m) * (second_square - sum_second**2 / m)
        if spread > 0.0:
            out[BANDS_TOGETHER + 3] = (cross - sum_first * sum_second / m) / math.sqrt(spread)


@compiled
def _outburst(time: FloatArray, band: ByteArray, flux: FloatArray, main: int, n: int, out: FloatArray) -> None:
    """Fill contrast of the main band's maximum, width at half of it, and the slopes to the points beside it."""
    m = 0
    t, f = np.empty(n), np.empty(n)
    for j in range(n):
        if band[j] == main:
            t[m], f[m] = time[j], flux[j]
            m += 1
    if m < 3:
        return
    t, f = t[:m], f[:m]
    peak = int(np.argmax(f))
    centre = np.median(f)
    spread = np.median(np.abs(f - centre))
    if spread > 0.0:
        out[OUTBURST] = math.log10(1.0 + (f[peak] - centre) / spread)
    height = f[peak] - f.min()
    if not height > 0.0:
        return
    left = right = peak
    while left > 0 and f[left - 1] > f[peak] - 0.5 * height:
        left -= 1
    while right < m - 1 and f[right + 1] > f[peak] - 0.5 * height:
        right += 1
    out[OUTBURST + 1] = t[right] - t[left]
    if peak > 0 and t[peak] > t[peak - 1]:
        out[OUTBURST + 2] = (f[peak] - f[peak - 1]) / height / (t[peak] - t[peak - 1])
    if peak < m - 1 and t[peak + 1] > t[peak]:
        out[OUTBURST + 3] = (f[peak] - f[peak + 1]) / height / (t[peak + 1] - t[peak])


@compiled
def _relative(band: ByteArray, flux: FloatArray, reference: FloatArray, n: int, out: FloatArray) -> None:
    """Fill largest, smallest, scatter and newest flux over the reference's in the same band."""
    m = 0
    share = np.empty(n)
    for j in range(n):
        base = reference[band[j]]
        if base > 0.0:
            share[m] = flux[j] / base
            m += 1
            if j == n - 1:
                out[RELATIVE + 3] = share[m - 1]
    if m > 0:
        out[RELATIVE] = share[:m].max()
        out[RELATIVE + 1] = share[:m].min()
        out[RELATIVE + 2] = share[:m].std()


@compiled
def _merge(time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, n: int) -> int:
    """Join detections of one band within `MERGE_D` to their weighted means in place; return how many are left."""
    newest = np.full(N_BANDS, -1, dtype=np.int64)
    began = np.empty(N_BANDS)
    m = 0
    for j in range(n):
        b = band[j]
        k = newest[b]
        if k >= 0 and time[j] - began[b] < MERGE_D:
            old, new = 1.0 / err[k] ** 2, 1.0 / err[j] ** 2
            flux[k] = (old * flux[k] + new * flux[j]) / (old + new)
            err[k] = 1.0 / math.sqrt(old + new)
        else:
            time[m], band[m], flux[m], err[m] = time[j], b, flux[j], err[j]
            newest[b], began[b] = m, time[j]
            m += 1
    return m


@compiled
def _one(
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    n: int,
    reference: FloatArray,
    out: FloatArray,
) -> None:
    """Fill all columns of one light curve of n > 0 detections in order of time."""
    _sampling(time, band, flux, err, n, out)
    _relative(band, flux, reference, n, out)
    _band_pairs(time, band, flux, n, 1, BANDS_TOGETHER + 4, out)
    _band_pairs(time, band, flux, n, 2, BANDS_TOGETHER + 5, out)
    count = np.zeros(N_BANDS, dtype=np.int64)
    for j in range(n):
        count[band[j]] += 1
    _outburst(time, band, flux, int(np.argmax(count)), n, out)
    value, noise, rms = np.full(n, np.nan), np.full(n, np.nan), np.full(N_BANDS, np.nan)
    used = standardise(flux, err, band, n, value, noise, rms)
    if used < 2:
        return
    if rms[1] > 0.0 and rms[2] > 0.0:
        out[BANDS_TOGETHER + 2] = 2.5 * math.log10(rms[2] / rms[1])
    structure(time, band, value, n, out[STRUCTURE:])
    stetson(time, value, noise, n, out[BANDS_TOGETHER:])
    if used > 2:
        walk(time, value, noise, n, used, out[WALK:])
    if used >= MIN_PERIOD_POINTS:
        period(time[:n], value, out[PERIOD:])


@compiled
def fill_variability(
    offsets: IntArray,
    midpoint_mjd_tai: FloatArray,
    band: ByteArray,
    psf_flux_njy: FloatArray,
    psf_flux_err_njy: FloatArray,
    upper_limit_njy: FloatArray,
    reference_njy: FloatArray,
    out: FloatArray,
) -> None:
    """Write the features of n light curves to out (n, WIDTH), which comes filled with NaN.

    Points may stand in any order; one without a finite time, flux, positive finite error and known band is left out.
    """
    for i in range(len(offsets) - 1):
        start, stop = offsets[i], offsets[i + 1]
        size = stop - start
        order = np.argsort(midpoint_mjd_tai[start:stop], kind="mergesort")
        time, flux, err = np.empty(size), np.empty(size), np.empty(size)
        codes = np.empty(size, dtype=np.int8)
        n = limits = 0
        for j in range(size):
            p = start + order[j]
            if not (math.isfinite(midpoint_mjd_tai[p]) and 0 <= band[p] < N_BANDS):
                continue
            if math.isfinite(psf_flux_njy[p]) and math.isfinite(psf_flux_err_njy[p]) and psf_flux_err_njy[p] > 0.0:
                time[n], flux[n], err[n] = midpoint_mjd_tai[p], psf_flux_njy[p], psf_flux_err_njy[p]
                codes[n] = band[p]
                n += 1
            elif math.isfinite(upper_limit_njy[p]):
                limits += 1
        if n > 0:
            out[i, NIGHTS + 2] = n / (n + limits)
            n = _merge(time, codes, flux, err, n)
            old = max(n - MAX_HISTORY, 0)
            _one(time[old:n], codes[old:n], flux[old:n], err[old:n], n - old, reference_njy[i], out[i])
