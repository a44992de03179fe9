"""The compiled pass over ragged light curves that `ingest.features` names and documents.

One thread, no Python objects and no lock: a Spark worker may run several. The columns of the result come in blocks; a
block's first column is a constant here, and `ingest.features.LIGHT_CURVE_FEATURES` lists the columns in this order.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Compile without Python's errors: a hostile packet's overflow becomes NaN instead of an exception."""

COUNTS = 0
"""First column of the counts: total, one for each of the six bands, upper limits."""
TIMES = 8
"""First column of the times: span, since first, since peak, gap before the first detection."""
FLUXES = 12
"""First column of the brightness in any band: peak, latest, best and latest signal-to-noise, negative share."""
SHAPE = 17
"""First column of the shape in the band with most detections."""
COLOURS = 27
"""First column of the colours: g-r and its error, r-i and its error."""
SLOPES = 31
"""First column of the slopes: rise, its error, fall, its error, for g, r and i."""
WIDTH = 43
"""Number of columns."""

N_BANDS = 6
"""Bands u, g, r, i, z, y."""

POGSON_MAG = 2.5 / math.log(10.0)
"""Magnitudes for a relative flux of 1 [mag]; first-order error propagation of -2.5 log10(flux)."""

COLOUR_WINDOW_D = 2.0
"""Longest wait between the two bands of a colour [d]; ZTF revisits both bands within two nights, and a young
kilonova or supernova fades by less than its photometric error in that time at the survey's limit."""


@compiled
def _magnitude(flux: float) -> float:
    """Return the AB magnitude of a flux [nJy], NaN unless positive."""
    return AB_ZERO_POINT_NJY_MAG - 2.5 * math.log10(flux) if flux > 0.0 else math.nan


@compiled
def _counts_and_times(
    time: FloatArray, band: ByteArray, flux: FloatArray, n: int, limit: FloatArray, n_limits: int, out: FloatArray
) -> None:
    """Fill the blocks of counts, times and fluxes that need no errors; n detections, n_limits upper limits."""
    out[COUNTS : COUNTS + 8] = 0.0
    out[COUNTS] = n
    out[COUNTS + 7] = n_limits
    if n == 0:
        return
    peak = 0
    negative = 0
    for j in range(n):
        if 0 <= band[j] < N_BANDS:
            out[COUNTS + 1 + band[j]] += 1.0
        if flux[j] > flux[peak]:
            peak = j
        if flux[j] < 0.0:
            negative += 1
    first, last = time[0], time[n - 1]
    before = -math.inf
    now = last
    for j in range(n_limits):
        now = max(now, limit[j])
        if limit[j] < first:
            before = max(before, limit[j])
    out[TIMES] = last - first
    out[TIMES + 1] = now - first
    out[TIMES + 2] = now - time[peak]
    if before > -math.inf:
        out[TIMES + 3] = first - before
    out[FLUXES] = _magnitude(flux[peak])
    out[FLUXES + 1] = _magnitude(flux[n - 1])
    out[FLUXES + 4] = negative / n


@compiled
def _signal_to_noise(flux: FloatArray, err: FloatArray, n: int, out: FloatArray) -> None:
    """Fill the best and the latest absolute signal-to-noise."""
    best = 0.0
    for j in range(n):
        best = max(best, abs(flux[j]) / err[j])
    if n > 0:
        out[FLUXES + 2] = best
        out[FLUXES + 3] = abs(flux[n - 1]) / err[n - 1]


@compiled
def _select_band(
    wanted: int, time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, n: int, chosen: FloatArray
) -> int:
    """Copy time, flux and error of one band to the rows of chosen (3, n); return their number."""
    m = 0
    for j in range(n):
        if band[j] == wanted:
            chosen[0, m] = time[j]
            chosen[1, m] = flux[j]
            chosen[2, m] = err[j]
            m += 1
    return m


@compiled
def _moments(flux: FloatArray, err: FloatArray, out: FloatArray) -> None:
    """Fill weighted mean, its significance, reduced chi2 of a constant and excess variance."""
    m = len(flux)
    weight = 0.0
    weighted = 0.0
    noise = 0.0
    for j in range(m):
        w = 1.0 / (err[j] * err[j])
        weight += w
        weighted += w * flux[j]
        noise += err[j] * err[j]
    mean = weighted / weight
    out[SHAPE] = mean
    out[SHAPE + 1] = mean * math.sqrt(weight)
    if m < 2:
        return
    chi2 = 0.0
    for j in range(m):
        chi2 += ((flux[j] - mean) / err[j]) ** 2
    out[SHAPE + 2] = chi2 / (m - 1)
    variance = np.var(flux) * m / (m - 1)
    square = np.mean(flux * flux)
    if square > 0.0:
        out[SHAPE + 3] = (variance - noise / m) / square


@compiled
def _shape(time: FloatArray, flux: FloatArray, err: FloatArray, out: FloatArray) -> None:
    """Fill amplitude, von Neumann ratio, skewness, MAD and correlation with time; two or more points."""
    m = len(flux)
    low, high = flux.min(), flux.max()
    centre = np.median(flux)
    out[SHAPE + 4] = (high - low) / np.median(err)
    if low > 0.0:
        out[SHAPE + 5] = 2.5 * math.log10(high / low)
    if centre != 0.0:
        out[SHAPE + 8] = np.median(np.abs(flux - centre)) / abs(centre)
    mean, mean_time = flux.mean(), time.mean()
    second = third = steps = cross = second_time = 0.0
    for j in range(m):
        d, t = flux[j] - mean, time[j] - mean_time
        second += d * d
        third += d * d * d
        cross += d * t
        second_time += t * t
        if j > 0:
            steps += (flux[j] - flux[j - 1]) ** 2
    if second > 0.0:
        out[SHAPE + 6] = steps / second * m / (m - 1)
        if m > 2:
            out[SHAPE + 7] = third / m / (second / m) ** 1.5
        if second_time > 0.0:
            out[SHAPE + 9] = cross / math.sqrt(second * second_time)


@compiled
def _line(time: FloatArray, flux: FloatArray, err: FloatArray, start: int, stop: int) -> tuple[float, float]:
    """Return slope [mag/d] and its error of a weighted line through the positive fluxes of [start, stop)."""
    weight = weighted_time = weighted_mag = 0.0
    for j in range(start, stop):
        if flux[j] > 0.0:
            w = (flux[j] / (POGSON_MAG * err[j])) ** 2
            weight += w
            weighted_time += w * (time[j] - time[start])
            weighted_mag += w * _magnitude(flux[j])
    if weight <= 0.0:
        return math.nan, math.nan
    mean_time, mean_mag = weighted_time / weight, weighted_mag / weight
    spread = cross = 0.0
    for j in range(start, stop):
        if flux[j] > 0.0:
            w = (flux[j] / (POGSON_MAG * err[j])) ** 2
            t = time[j] - time[start] - mean_time
            spread += w * t * t
            cross += w * t * (_magnitude(flux[j]) - mean_mag)
    # A spread below the rounding of the times means that they are one time.
    if spread <= weight * 1e-12:
        return math.nan, math.nan
    return cross / spread, 1.0 / math.sqrt(spread)


@compiled
def _slopes(time: FloatArray, flux: FloatArray, err: FloatArray, column: int, out: FloatArray) -> None:
    """Fill rise and fall about the maximum of one band's light curve."""
    m = len(flux)
    if m < 2:
        return
    peak = int(np.argmax(flux))
    out[column], out[column + 1] = _line(time, flux, err, 0, peak + 1)
    out[column + 2], out[column + 3] = _line(time, flux, err, peak, m)


@compiled
def _colour(
    blue: int,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    n: int,
    column: int,
    out: FloatArray,
) -> None:
    """Fill a colour and its error from the pair nearest in time; the later pair where two are equally near.

    The nearest pair of two bands is adjacent in the time-ordered sequence of both, so one scan finds it.
    """
    red = blue + 1
    latest_blue = latest_red = -1
    nearest = COLOUR_WINDOW_D
    for j in range(n):
        if flux[j] <= 0.0 or (band[j] != blue and band[j] != red):
            continue
        if band[j] == blue:
            latest_blue = j
        else:
            latest_red = j
        if latest_blue < 0 or latest_red < 0:
            continue
        apart = abs(time[latest_blue] - time[latest_red])
        if apart <= nearest:
            nearest = apart
            out[column] = _magnitude(flux[latest_blue]) - _magnitude(flux[latest_red])
            out[column + 1] = POGSON_MAG * math.hypot(
                err[latest_blue] / flux[latest_blue], err[latest_red] / flux[latest_red]
            )


@compiled
def _one(time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, n: int, out: FloatArray) -> None:
    """Fill all blocks that need fluxes with errors, for n detections in order of time."""
    _signal_to_noise(flux, err, n, out)
    chosen = np.empty((3, n))
    main = 0
    for code in range(1, N_BANDS):
        if out[COUNTS + 1 + code] > out[COUNTS + 1 + main]:
            main = code
    m = _select_band(main, time, band, flux, err, n, chosen)
    if m > 0:
        _moments(chosen[1, :m], chosen[2, :m], out)
    if m > 1:
        _shape(chosen[0, :m], chosen[1, :m], chosen[2, :m], out)
    for place in range(3):
        m = _select_band(place + 1, time, band, flux, err, n, chosen)
        _slopes(chosen[0, :m], chosen[1, :m], chosen[2, :m], SLOPES + 4 * place, out)
    _colour(1, time, band, flux, err, n, COLOURS, out)
    _colour(2, time, band, flux, err, n, COLOURS + 2, out)
    for column in range(WIDTH):
        if not math.isfinite(out[column]):
            out[column] = math.nan


@compiled
def _time_order(time: FloatArray) -> IntArray:
    """Return the order in time, without a sort where the points come sorted."""
    for j in range(1, len(time)):
        if time[j] < time[j - 1]:
            return np.argsort(time, kind="mergesort")
    return np.arange(len(time))


@compiled
def fill_features(
    offsets: IntArray,
    midpoint_mjd_tai: FloatArray,
    band: ByteArray,
    psf_flux_njy: FloatArray,
    psf_flux_err_njy: FloatArray,
    upper_limit_njy: FloatArray,
    out: FloatArray,
) -> None:
    """Write the features of n light curves to out (n, WIDTH), which comes filled with NaN.

    Points may stand in any order. A point without a finite flux and a positive finite error is an upper limit when
    it has a limiting flux, and is left out otherwise.
    """
    for i in range(len(offsets) - 1):
        start, stop = offsets[i], offsets[i + 1]
        size = stop - start
        order = _time_order(midpoint_mjd_tai[start:stop])
        time = np.empty(size)
        codes = np.empty(size, dtype=np.int8)
        flux = np.empty(size)
        err = np.empty(size)
        limit = np.empty(size)
        n = n_limits = 0
        for j in range(size):
            p = start + order[j]
            if not math.isfinite(midpoint_mjd_tai[p]):
                continue
            if math.isfinite(psf_flux_njy[p]) and math.isfinite(psf_flux_err_njy[p]) and psf_flux_err_njy[p] > 0.0:
                time[n] = midpoint_mjd_tai[p]
                codes[n] = band[p]
                flux[n] = psf_flux_njy[p]
                err[n] = psf_flux_err_njy[p]
                n += 1
            elif math.isfinite(upper_limit_njy[p]):
                limit[n_limits] = midpoint_mjd_tai[p]
                n_limits += 1
        _counts_and_times(time, codes, flux, n, limit, n_limits, out[i])
        if n > 0:
            _one(time, codes, flux, err, n, out[i])
