"""The compiled pass of lens fits over many objects, and what it says of each fit: residuals, symmetry, colours.

`ingest.classifiers.pspl_fit.DIAGNOSTICS` lists the columns in the order in which they are written here.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math

import numpy as np

from ingest.classifiers.measurements import N_BANDS, FloatArray, IntArray, compiled
from ingest.classifiers.pspl_search import (
    BURST,
    CLIP,
    FEWEST_POINTS,
    LENS,
    SLOT,
    WINDOWS_D,
    chi2_of,
    constant_sums,
    fit_shape,
    likely_centres,
    rates,
    shape_at,
)

PEAK, TIME, IMPACT, CHI2, CHI2_CONSTANT = 0, 1, 2, 3, 4
"""Columns of the fit itself."""
FITTED = 5
"""First column of the diagnostics."""
DIAGNOSTICS_WIDTH = 31
"""Diagnostics of a fit."""

FEWEST_FITTED = 6
"""Measurements, in all bands, below which nothing is fitted: three parameters and two of a band leave one."""

MODEL_FLOOR = 0.03
"""Error of each comparison between bands or sides relative to the scale: finite sources, parallax and companions bend
real lenses by a few per cent; Wyrzykowski et al. 2015, doi:10.1088/0067-0049/216/1/12."""

WORTH_A_BURST = 0.9
"""Share of the constants' chi2 that a lens has to take away before a burst is fitted for comparison; single explosions
reach it, stars that vary for ever do not."""

LIKELY_LENS = 2.0
"""Chi2 over points below which a lens is compared with a burst in any case: a faint one explains little."""

LARGEST = 1e6
"""Diagnostics are cut at this absolute value."""


@compiled
def _signed_log(value: float) -> float:
    """Return log(1 + |x|) with the sign of x."""
    return math.copysign(math.log1p(abs(value)), value)


@compiled
def _bump(
    starts: IntArray,
    time: FloatArray,
    weight: FloatArray,
    theta: FloatArray,
    top: float,
    slots: FloatArray,
    z: FloatArray,
    out: FloatArray,
) -> None:
    """Fill the counts of points by their place on the bump, and chi2 on it and off it; z are residuals in errors."""
    rate, other = rates(LENS, theta)
    rise = fall = core = outside = inside = 0
    chi2_out = chi2_in = 0.0
    signal = 0.0
    nearest = math.inf
    k = 0
    for band in range(N_BANDS):
        if starts[band + 1] - starts[band] < FEWEST_POINTS:
            continue
        for j in range(starts[band], starts[band + 1]):
            x = shape_at(LENS, time[j] - theta[0], rate, other)
            signal = max(signal, slots[band, 0] * x * math.sqrt(weight[j]))
            nearest = min(nearest, abs(time[j] - theta[0]))
            if x > 0.1 * top:
                rise += time[j] < theta[0]
                fall += time[j] >= theta[0]
                inside += 1
                chi2_in += z[k] * z[k]
            if x > 0.5 * top:
                core += 1
            if x < 0.05 * top:
                outside += 1
                chi2_out += z[k] * z[k]
            k += 1
    out[7], out[8], out[9], out[10] = math.log1p(rise), math.log1p(fall), math.log1p(core), math.log1p(outside)
    if outside > 0:
        out[11] = math.log10(chi2_out / outside + 1e-3)
    if inside > 0:
        out[12] = math.log10(chi2_in / inside + 1e-3)
    out[29] = math.log10(signal + 1e-3)
    out[30] = nearest * math.exp(-theta[1])


@compiled
def _sides(
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    theta: FloatArray,
    slots: FloatArray,
    out: FloatArray,
) -> None:
    """Fill the difference of the scales fitted after and before the maximum; each is 1 for a perfect lens."""
    rate, other = rates(LENS, theta)
    norm = np.zeros(2)
    value = np.zeros(2)
    for band in range(N_BANDS):
        if starts[band + 1] - starts[band] < FEWEST_POINTS or slots[band, 0] <= 0.0:
            continue
        for j in range(starts[band], starts[band + 1]):
            model = slots[band, 0] * shape_at(LENS, time[j] - theta[0], rate, other)
            side = 0 if time[j] < theta[0] else 1
            norm[side] += weight[j] * model * model
            value[side] += weight[j] * model * (flux[j] - slots[band, 1])
    if norm[0] > 0.0 and norm[1] > 0.0:
        difference = value[1] / norm[1] - value[0] / norm[0]
        out[14] = difference / math.sqrt(1.0 / norm[0] + 1.0 / norm[1] + 2.0 * MODEL_FLOOR**2)
        out[15] = min(max(difference, -3.0), 3.0)


@compiled
def _own_shift(
    start: int,
    stop: int,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    theta: FloatArray,
    moved: FloatArray,
    slots: FloatArray,
) -> tuple[float, float]:
    """Return how far one band wants to move along one parameter, in units of the move, and its error.

    Linearised: the residual's part along the derivative that scale and level cannot take up.
    """
    n = stop - start
    rate, other = rates(LENS, theta)
    moved_rate, moved_other = rates(LENS, moved)
    basis = np.empty((3, n))
    residual = np.empty(n)
    for j in range(n):
        x = shape_at(LENS, time[start + j] - theta[0], rate, other)
        root = math.sqrt(weight[start + j])
        basis[0, j] = root
        basis[1, j] = root * x
        there = shape_at(LENS, time[start + j] - moved[0], moved_rate, moved_other)
        basis[2, j] = root * slots[0] * (there - x)
        residual[j] = root * (flux[start + j] - slots[1] - slots[0] * x)
    for k in range(3):
        before = np.sum(basis[k] * basis[k])
        for i in range(k):
            square = np.sum(basis[i] * basis[i])
            if square > 0.0:
                basis[k] -= np.sum(basis[k] * basis[i]) / square * basis[i]
        if not np.sum(basis[k] * basis[k]) > 1e-9 * before:
            return math.nan, math.nan
    square = np.sum(basis[2] * basis[2])
    return np.sum(residual * basis[2]) / square, 1.0 / math.sqrt(square)


@compiled
def _colour_change(
    parameter: int,
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    theta: FloatArray,
    slots: FloatArray,
) -> float:
    """Return log10 of the reduced chi2 of the bands' own times (parameter 0) or durations (1); NaN for one band."""
    moved = theta.copy()
    moved[parameter] += 0.02 * math.exp(theta[1] + theta[2]) if parameter == 0 else 0.02
    # In units of tE u0, the half width of a high bump, and of the logarithm of tE.
    unit = 0.02
    total = 0.0
    count = 0
    for band in range(N_BANDS):
        start, stop = starts[band], starts[band + 1]
        if stop - start < 5 or slots[band, 0] <= 0.0:
            continue
        value, err = _own_shift(start, stop, time, flux, weight, theta, moved, slots[band])
        if math.isfinite(value) and math.isfinite(err):
            total += (value * unit) ** 2 / ((err * unit) ** 2 + MODEL_FLOOR**2)
            count += 1
    return math.log10(total / count + 1e-3) if count > 1 else math.nan


@compiled
def _residuals(
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    theta: FloatArray,
    slots: FloatArray,
    when: FloatArray,
    z: FloatArray,
) -> int:
    """Write time and residual in errors of all fitted points; return their number."""
    rate, other = rates(LENS, theta)
    k = 0
    for band in range(N_BANDS):
        if starts[band + 1] - starts[band] < FEWEST_POINTS:
            continue
        for j in range(starts[band], starts[band + 1]):
            model = slots[band, 1] + slots[band, 0] * shape_at(LENS, time[j] - theta[0], rate, other)
            when[k] = time[j]
            z[k] = (flux[j] - model) * math.sqrt(weight[j])
            k += 1
    return k


@compiled
def _strongest(when: FloatArray, z: FloatArray, order: IntArray, theta: FloatArray, sign: float) -> float:
    """Return the largest sum of residuals over the root of their number in windows more than tE off the maximum."""
    best = 0.0
    reach = math.exp(theta[1])
    for width in WINDOWS_D:
        low = 0
        total = 0.0
        count = 0
        for high in range(len(order)):
            j = order[high]
            if abs(when[j] - theta[0]) > reach:
                total += sign * min(max(z[j], -CLIP), CLIP)
                count += 1
            while when[j] - when[order[low]] > width:
                k = order[low]
                if abs(when[k] - theta[0]) > reach:
                    total -= sign * min(max(z[k], -CLIP), CLIP)
                    count -= 1
                low += 1
            if count > 1:
                best = max(best, total / math.sqrt(count))
    return best


@compiled
def _correlation(z: FloatArray, order: IntArray) -> float:
    """Return the mean product of neighbours in time over the mean square."""
    square = cross = 0.0
    for place in range(len(order)):
        square += z[order[place]] ** 2
        if place > 0:
            cross += z[order[place]] * z[order[place - 1]]
    return cross / square if square > 0.0 else math.nan


@compiled
def _bands(starts: IntArray, slots: FloatArray, top: float, spread: FloatArray, out: FloatArray) -> None:
    """Fill worst chi2, numbers of bright and flat bands, colours and level; spread (6,) is 1 / variance of scales."""
    worst = 0.0
    bright = flat = 0
    sw = sx = sy = sxx = sxy = 0.0
    level = mass = 0.0
    logs = np.full(N_BANDS, math.nan)
    for band in range(N_BANDS):
        n = starts[band + 1] - starts[band]
        if n < FEWEST_POINTS:
            continue
        if n >= 5:
            worst = max(worst, slots[band, 2] / (n - 2.0))
            flat += slots[band, 0] <= 0.0
        significance = slots[band, 0] * math.sqrt(spread[band])
        if significance <= 3.0:
            continue
        bright += 1
        logs[band] = math.log10(slots[band, 0])
        w = 1.0 / (1.0 / significance**2 + MODEL_FLOOR**2)
        sw += w
        sx += w * band
        sy += w * logs[band]
        sxx += w * band * band
        sxy += w * band * logs[band]
        level += w * slots[band, 1] / (slots[band, 0] * top)
        mass += w
    out[13] = math.log10(worst + 1e-3)
    out[23], out[24] = bright, flat
    if bright > 1:
        out[25] = (sw * sxy - sx * sy) / (sw * sxx - sx * sx)
    out[26] = logs[2] - logs[1]
    out[27] = logs[3] - logs[2]
    if mass > 0.0:
        out[28] = level / mass


@compiled
def _top_and_spread(
    starts: IntArray, time: FloatArray, weight: FloatArray, theta: FloatArray, sums: FloatArray, spread: FloatArray
) -> float:
    """Fill the weighted spread of the shape in each band (6,); return the largest value of the shape at any point."""
    rate, other = rates(LENS, theta)
    top = 0.0
    for band in range(N_BANDS):
        if starts[band + 1] - starts[band] < FEWEST_POINTS:
            continue
        sx = sxx = 0.0
        for j in range(starts[band], starts[band + 1]):
            x = shape_at(LENS, time[j] - theta[0], rate, other)
            top = max(top, x)
            sx += weight[j] * x
            sxx += weight[j] * x * x
        spread[band] = max(sxx - sx * sx / sums[band, 0], 0.0)
    return top


@compiled
def _one(starts: IntArray, time: FloatArray, flux: FloatArray, weight: FloatArray, n: int, out: FloatArray) -> None:
    """Fit one object and fill its fit and its diagnostics; n points in fitted bands."""
    sums = np.zeros((N_BANDS, 3))
    slots = np.zeros((N_BANDS, SLOT))
    spread = np.zeros(N_BANDS)
    when, z = np.empty(n), np.empty(n)
    flat = constant_sums(starts, flux, weight, sums)
    centres = likely_centres(starts, time, flux, weight, when, z)
    first, last = when.min(), when.max()
    told = out[FITTED:]
    theta, burst = np.array([first, 3.0, -1.0]), np.array([first, 3.0, 3.0])
    chi2 = flat
    for kind in (LENS, BURST):
        # Nothing is learned from a burst beside a lens that leaves most of the variation.
        if kind == BURST and flat - chi2 < WORTH_A_BURST * flat and chi2 > LIKELY_LENS * max(n - 3, 1):
            break
        chosen = theta if kind == LENS else burst
        fit_shape(kind, starts, time, flux, weight, sums, slots, centres, first, last, chosen)
        value = chi2_of(kind, chosen, starts, time, flux, weight, sums, slots)
        if kind == LENS:
            chi2 = value
        else:
            told[21], told[22] = _signed_log(value - chi2), burst[1] - burst[2]
    chi2 = chi2_of(LENS, theta, starts, time, flux, weight, sums, slots)
    out[PEAK], out[TIME], out[IMPACT] = theta[0], math.exp(theta[1]), math.exp(theta[2])
    out[CHI2], out[CHI2_CONSTANT] = chi2, flat
    bands = 0
    for band in range(N_BANDS):
        bands += starts[band + 1] - starts[band] >= FEWEST_POINTS
    told[0] = math.log10(max(flat - chi2, 0.0) + 1.0)
    told[1] = math.log10(chi2 / max(n - 2 * bands - 3, 1) + 1e-3)
    told[2] = math.log10(flat / max(n - bands, 1) + 1e-3)
    told[3] = (flat - chi2) / flat if flat > 0.0 else 0.0
    told[4], told[5] = theta[1], theta[2]
    told[6] = (theta[0] - first) / max(last - first, 1e-3)
    top = _top_and_spread(starts, time, weight, theta, sums, spread)
    _residuals(starts, time, flux, weight, theta, slots, when, z)
    order = np.argsort(when)
    _bump(starts, time, weight, theta, top, slots, z, told)
    _sides(starts, time, flux, weight, theta, slots, told)
    told[16] = _colour_change(0, starts, time, flux, weight, theta, slots)
    told[17] = _colour_change(1, starts, time, flux, weight, theta, slots)
    told[18] = _correlation(z, order)
    told[19] = math.log1p(_strongest(when, z, order, theta, 1.0))
    told[20] = math.log1p(_strongest(when, z, order, theta, -1.0))
    _bands(starts, slots, top, spread, told)


@compiled
def fill_fits(
    starts: IntArray, time: FloatArray, flux: FloatArray, err: FloatArray, n_fitted: IntArray, out: FloatArray
) -> None:
    """Fit n objects: counts to n_fitted, fits and diagnostics to out (n, 36), which comes filled with NaN."""
    weight = np.empty(len(err))
    for j in range(len(err)):
        weight[j] = 1.0 / (err[j] * err[j])
    for i in range(len(starts)):
        n = 0
        for band in range(N_BANDS):
            size = starts[i, band + 1] - starts[i, band]
            n += size if size >= FEWEST_POINTS else 0
        n_fitted[i] = n
        if n < FEWEST_FITTED:
            continue
        _one(starts[i], time, flux, weight, n, out[i])
        for column in range(FITTED, out.shape[1]):
            if math.isfinite(out[i, column]):
                out[i, column] = min(max(out[i, column], -LARGEST), LARGEST)
            else:
                out[i, column] = math.nan
