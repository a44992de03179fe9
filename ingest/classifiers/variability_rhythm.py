"""Memory, periods and agreement of the bands in one light curve, for `ingest.classifiers.variability_kernel`.

Points of all bands are brought to one scale: each band loses its mean and is divided by its scatter, so that colour
and amplitude do not matter where only the rhythm is asked for. Results are written to the first places of ``out``.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ByteArray = NDArray[np.int8]

compiled = njit(nogil=True, cache=True, error_model="numpy")
"""Compile without Python's errors: a hostile packet's overflow becomes NaN instead of an exception."""

LAG_EDGES_D = (0.005, 0.4, 1.5, 5.0, 15.0, 1000.0)
"""Edges of the structure function's lags [d]: within a night, one night, some nights, weeks, longer. A first lag of 7
minutes leaves out what was exposed twice at once."""

MAX_PARTNERS = 24
"""Later points that a point is paired with: a history of 300 points then costs as much for each as one of 30."""

WALK_TAU_D = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Time scales of the damped random walk that are tried [d]: quasars have 10 to 1000 d (Kelly et al. 2009,
doi:10.1088/0004-637X/698/1/895), what pulsates or eclipses looks like less than a day."""

WALK_JITTER = 0.0025
"""Variance added to each point in units of the light curve's: bands are never in perfect step."""

WALK_FLOOR = 0.05
"""Least share of the variance that is not noise: with none there would be no walk to fit."""

FREQUENCIES = 400
"""Frequencies of the grid: its upper end is 4.4 per day for 30 d of history, where the fastest RR Lyrae stars are."""

OVERSAMPLING = 3.0
"""Frequencies within one resolution element: half-way between two, a peak keeps 0.97 of its power, Scargle 1982,
doi:10.1086/160554."""

MIN_SPAN_D = 3.0
"""Shorter histories get the frequency grid of this one [d]: 44 per day are fast enough."""

SHORT_PERIOD_D = 1.2
"""Periods below are short [d]: RR Lyrae, contact binaries, delta Scuti."""

LONG_PERIOD_D = 3.0
"""Periods beyond are long [d]; those between are mostly the sampling's own alias of a day."""

PAIR_D = 0.5
"""Longest wait between two bands of a pair [d]: the same night."""

N_BANDS = 6
"""Bands u, g, r, i, z, y."""


@compiled
def standardise(
    flux: FloatArray, err: FloatArray, band: ByteArray, n: int, value: FloatArray, noise: FloatArray, rms: FloatArray
) -> int:
    """Bring fluxes and errors to zero mean and unit scatter in each band; return the points in bands of two or more."""
    used = 0
    for b in range(N_BANDS):
        m = 0
        mean = 0.0
        for j in range(n):
            if band[j] == b:
                m += 1
                mean += flux[j]
        if m < 2:
            continue
        mean /= m
        square = 0.0
        for j in range(n):
            if band[j] == b:
                square += (flux[j] - mean) ** 2
        rms[b] = math.sqrt(square / m)
        if not rms[b] > 0.0:
            continue
        for j in range(n):
            if band[j] == b:
                value[j] = (flux[j] - mean) / rms[b]
                noise[j] = (err[j] / rms[b]) ** 2
                used += 1
    return used


@compiled
def structure(time: FloatArray, band: ByteArray, value: FloatArray, n: int, out: FloatArray) -> None:
    """Fill half the mean square difference of standardised points of one band, by lag; 1 without any memory."""
    total = np.zeros(len(LAG_EDGES_D) - 1)
    count = np.zeros(len(LAG_EDGES_D) - 1)
    for j in range(n):
        if math.isnan(value[j]):
            continue
        for k in range(j + 1, min(j + 1 + MAX_PARTNERS, n)):
            if band[k] != band[j] or math.isnan(value[k]):
                continue
            lag = time[k] - time[j]
            for place in range(len(LAG_EDGES_D) - 1):
                if LAG_EDGES_D[place] <= lag < LAG_EDGES_D[place + 1]:
                    total[place] += 0.5 * (value[k] - value[j]) ** 2
                    count[place] += 1.0
    for place in range(len(LAG_EDGES_D) - 1):
        if count[place] > 0.0:
            out[place] = total[place] / count[place]


@compiled
def _walk_log_likelihood(
    time: FloatArray, value: FloatArray, noise: FloatArray, n: int, tau_d: float, variance: float
) -> float:
    """Return the log likelihood of a damped random walk of known variance, by a Kalman filter; tau 0 is white noise."""
    state, spread, last = 0.0, variance, -math.inf
    total = 0.0
    for j in range(n):
        if math.isnan(value[j]):
            continue
        memory = math.exp(-(time[j] - last) / tau_d) if tau_d > 0.0 and last > -math.inf else 0.0
        state *= memory
        spread = variance - (variance - spread) * memory * memory
        sum_variance = spread + noise[j] + WALK_JITTER
        gap = value[j] - state
        total -= 0.5 * (math.log(2.0 * math.pi * sum_variance) + gap * gap / sum_variance)
        gain = spread / sum_variance
        state += gain * gap
        spread *= 1.0 - gain
        last = time[j]
    return total


@compiled
def walk(time: FloatArray, value: FloatArray, noise: FloatArray, n: int, used: int, out: FloatArray) -> None:
    """Fill the best time scale of a damped random walk and its gain in log likelihood per point over white noise."""
    mean_noise = 0.0
    for j in range(n):
        if not math.isnan(value[j]):
            mean_noise += noise[j] / used
    variance = max(1.0 - mean_noise, WALK_FLOOR)
    white = _walk_log_likelihood(time, value, noise, n, 0.0, variance)
    best, tau = -math.inf, WALK_TAU_D[0]
    for place in range(len(WALK_TAU_D)):
        trial = _walk_log_likelihood(time, value, noise, n, WALK_TAU_D[place], variance)
        if trial > best:
            best, tau = trial, WALK_TAU_D[place]
    if best > -math.inf and math.isfinite(white):
        out[0] = math.log10(tau)
        out[1] = (best - white) / used


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _power(y: FloatArray, c: FloatArray, s: FloatArray, turn_c: FloatArray, turn_s: FloatArray, square: float) -> float:
    """Return the share of the variance that a sine takes, -1 if none can be said, and turn c and s one step further."""
    yc = ys = cc = cs = 0.0
    for j in range(len(y)):
        yc += y[j] * c[j]
        ys += y[j] * s[j]
        cc += c[j] * c[j]
        cs += c[j] * s[j]
        turned = c[j] * turn_c[j] - s[j] * turn_s[j]
        s[j] = s[j] * turn_c[j] + c[j] * turn_s[j]
        c[j] = turned
    ss = len(y) - cc
    determinant = cc * ss - cs * cs
    # Without a determinant the sine is in phase with the sampling.
    if determinant < 1e-6 * len(y) ** 2:
        return -1.0
    return (yc * yc * ss + ys * ys * cc - 2.0 * yc * ys * cs) / (determinant * square)


@compiled
def period(time: FloatArray, value: FloatArray, out: FloatArray) -> None:
    """Fill best period, its power and the excess of short over long periods of a Lomb-Scargle periodogram."""
    used = ~np.isnan(value)
    t, y = time[used] - time[0], value[used]
    span = max(t[-1] - t[0], MIN_SPAN_D)
    step = 1.0 / (OVERSAMPLING * span)
    # Sine and cosine are rotated from one frequency to the next: two trigonometric calls a point instead of 800.
    turn_c, turn_s = np.cos(2.0 * math.pi * step * t), np.sin(2.0 * math.pi * step * t)
    c, s = np.cos(2.0 * math.pi / span * t), np.sin(2.0 * math.pi / span * t)
    square = np.sum(y * y)
    best = short = long = -1.0
    best_frequency = 1.0 / span
    for place in range(FREQUENCIES):
        power = _power(y, c, s, turn_c, turn_s, square)
        frequency = 1.0 / span + place * step
        if power > best:
            best, best_frequency = power, frequency
        if frequency > 1.0 / SHORT_PERIOD_D:
            short = max(short, power)
        elif frequency < 1.0 / LONG_PERIOD_D:
            long = max(long, power)
    if best >= 0.0:
        out[0] = -math.log10(best_frequency)
        out[1] = best
    if short >= 0.0 and long >= 0.0:
        out[2] = short - long


@compiled
def stetson(time: FloatArray, value: FloatArray, noise: FloatArray, n: int, out: FloatArray) -> None:
    """Fill Stetson's J over successive points in one night and K over all; Stetson 1996, doi:10.1086/133808."""
    j_sum, pairs, k_sum, square, m = 0.0, 0, 0.0, 0.0, 0
    last = -1
    for j in range(n):
        if math.isnan(value[j]):
            continue
        own = value[j] / math.sqrt(noise[j])
        k_sum += abs(own)
        square += own * own
        m += 1
        if last >= 0 and time[j] - time[last] < PAIR_D:
            product = own * value[last] / math.sqrt(noise[last])
            j_sum += math.copysign(math.sqrt(abs(product)), product)
            pairs += 1
            last = -1
        else:
            last = j
    if pairs > 0:
        out[0] = j_sum / pairs
    if square > 0.0:
        out[1] = k_sum / math.sqrt(m * square)
