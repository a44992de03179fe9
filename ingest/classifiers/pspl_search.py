"""The compiled fit of one shape, common to all bands, to difference fluxes; `ingest.classifiers.pspl_fit` documents it.

A shape has three parameters; scale and level of each band follow from them in closed form, so that the search has
three dimensions whatever the number of bands.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math

import numpy as np

from ingest.classifiers.measurements import N_BANDS, FloatArray, IntArray, compiled

LENS = 0
"""Shape of a point lens and a point source: magnification less 1."""
BURST = 1
"""Shape of an explosion or outburst: exponential rise and decline, each with its own time."""

FEWEST_POINTS = 3
"""Measurements of a band below which scale and level fit anything."""

PRIOR_LOG_TIME = 3.2
"""Centre of the weak prior on the natural logarithm of a time scale in days: 25 d, the median Einstein time towards the
bulge; Mroz et al. 2019, doi:10.3847/1538-4365/ab426b."""

PRIOR_LOG_TIME_WIDTH = 1.5
"""Its width: 5 to 110 d within one, wide enough to yield to a handful of points."""

PRIOR_LOG_IMPACT = math.log(0.4)
"""Centre of the weak prior on the natural logarithm of the impact parameter: impacts are uniform up to about 1."""

PRIOR_LOG_IMPACT_WIDTH = 1.5
"""Its width; without it blended events run to impact zero."""

EDGE_SHARE = 0.3
"""How far outside of the observed time a maximum may lie, in units of that time; further out the prior grows."""

STEPS = 60
"""Most steps of one simplex: the chi2 of 19 in 20 simulated lenses is within 0.3 of that after 110."""

TOLERANCE = 0.2
"""A simplex whose chi2 differ by less than this is done: a fifth of what one parameter's 1 sigma is."""

WINDOWS_D = (3.0, 20.0, 100.0)
"""Windows in which bumps are looked for [d]: a day's anomaly, an event, a long event."""

CLIP = 20.0
"""Distance in errors at which a point is cut when bumps are looked for, lest one bad pixel is the bump."""

SLOT = 4
"""Numbers kept for each band: scale, level, chi2, chi2 of a constant."""


@compiled
def rates(kind: int, theta: FloatArray) -> tuple[float, float]:
    """Return what `shape_at` needs of theta = time of maximum and two logarithms; exponentials once for all points."""
    if kind == LENS:
        return math.exp(-theta[1]), math.exp(2.0 * theta[2])
    return math.exp(-theta[1]), math.exp(-theta[2])


@compiled
def shape_at(kind: int, since: float, rate: float, other: float) -> float:
    """Return the shape at a time [d] since the maximum: a lens of 1 / tE and u0^2, a burst of two rates [1/d]."""
    if kind == LENS:
        u2 = other + (since * rate) ** 2
        # (A - 1)(A + 1) root^2 = 4 spares the difference of two nearly equal numbers far from the maximum.
        root = math.sqrt(u2 * (u2 + 4.0))
        return 4.0 / (root * (u2 + 2.0 + root))
    return math.exp(since * other) if since < 0.0 else math.exp(-since * rate)


@compiled
def penalty(kind: int, theta: FloatArray, first: float, last: float) -> float:
    """Return the weak prior as chi2; infinite where the shape has no meaning."""
    span = max(last - first, 1.0)
    outside = max(first - theta[0], theta[0] - last, 0.0) / (EDGE_SHARE * span)
    total = outside * outside + ((theta[1] - PRIOR_LOG_TIME) / PRIOR_LOG_TIME_WIDTH) ** 2
    if kind == LENS:
        total += ((theta[2] - PRIOR_LOG_IMPACT) / PRIOR_LOG_IMPACT_WIDTH) ** 2
    else:
        total += ((theta[2] - PRIOR_LOG_TIME) / PRIOR_LOG_TIME_WIDTH) ** 2
    if not (abs(theta[1]) < 12.0 and abs(theta[2]) < 12.0 and math.isfinite(theta[0])):
        return math.inf
    return total


@compiled
def chi2_of(
    kind: int,
    theta: FloatArray,
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    sums: FloatArray,
    slots: FloatArray,
) -> float:
    """Return chi2 with the best scale and level of each band, which go to slots (6, 4); scales are not negative.

    ``sums`` (6, 3) holds weight, weighted mean flux and chi2 of a constant of each band.
    """
    total = 0.0
    centre = theta[0]
    rate, other = rates(kind, theta)
    for band in range(N_BANDS):
        start, stop = starts[band], starts[band + 1]
        if stop - start < FEWEST_POINTS:
            continue
        mean = sums[band, 1]
        sx = sxx = sxy = 0.0
        for j in range(start, stop):
            x = shape_at(kind, time[j] - centre, rate, other)
            wx = weight[j] * x
            sx += wx
            sxx += wx * x
            sxy += wx * (flux[j] - mean)
        spread = sxx - sx * sx / sums[band, 0]
        gain = scale = 0.0
        if sxy > 0.0 and spread > 1e-12 * sxx:
            scale = sxy / spread
            gain = scale * sxy
        slots[band, 0] = scale
        slots[band, 1] = mean - scale * sx / sums[band, 0]
        slots[band, 2] = max(sums[band, 2] - gain, 0.0)
        slots[band, 3] = sums[band, 2]
        total += slots[band, 2]
    return total


@compiled
def constant_sums(starts: IntArray, flux: FloatArray, weight: FloatArray, sums: FloatArray) -> float:
    """Fill weight, weighted mean and chi2 of a constant for each band (6, 3); return the chi2 of all."""
    total = 0.0
    for band in range(N_BANDS):
        start, stop = starts[band], starts[band + 1]
        if stop - start < FEWEST_POINTS:
            continue
        w = value = 0.0
        for j in range(start, stop):
            w += weight[j]
            value += weight[j] * flux[j]
        mean = value / w
        chi2 = 0.0
        for j in range(start, stop):
            chi2 += weight[j] * (flux[j] - mean) ** 2
        sums[band, 0], sums[band, 1], sums[band, 2] = w, mean, chi2
        total += chi2
    return total


@compiled
def _value(
    kind: int,
    theta: FloatArray,
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    sums: FloatArray,
    slots: FloatArray,
    first: float,
    last: float,
) -> float:
    """Return chi2 and prior."""
    prior = penalty(kind, theta, first, last)
    if not math.isfinite(prior):
        return 1e300
    value = chi2_of(kind, theta, starts, time, flux, weight, sums, slots) + prior
    return value if math.isfinite(value) else 1e300


@compiled
def simplex(  # noqa: C901 - the cases of one step belong together
    kind: int,
    theta: FloatArray,
    step: FloatArray,
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    sums: FloatArray,
    slots: FloatArray,
    first: float,
    last: float,
) -> float:
    """Minimise from theta, which becomes the best, with the method of Nelder and Mead; return chi2 and prior."""
    corners = np.empty((4, 3))
    values = np.empty(4)
    for k in range(4):
        corners[k] = theta
        if k > 0:
            corners[k, k - 1] += step[k - 1]
    # Few calls of the costly function in the text keep the compiler's work, which repeats them inline, short.
    stale = 0
    trial = np.empty(3)
    for _ in range(STEPS):
        for k in range(stale, 4):
            values[k] = _value(kind, corners[k], starts, time, flux, weight, sums, slots, first, last)
        stale = 4
        order = np.argsort(values)
        corners, values = corners[order], values[order]
        if values[3] - values[0] < TOLERANCE:
            break
        centre = (corners[0] + corners[1] + corners[2]) / 3.0
        reflected = math.inf
        # 1 reflects the worst corner; then 2 goes further, 0.5 and -0.5 stay on either side of the centre.
        factor = 1.0
        for attempt in range(2):
            trial[:] = centre + factor * (centre - corners[3])
            value = _value(kind, trial, starts, time, flux, weight, sums, slots, first, last)
            if attempt == 0:
                reflected = value
                if values[0] <= value < values[2]:
                    break
                factor = 2.0 if value < values[0] else (0.5 if value < values[3] else -0.5)
        if factor == 2.0 and value >= reflected:
            trial[:] = 2.0 * centre - corners[3]
            value = reflected
        if abs(factor) < 1.0 and value >= values[3]:
            for k in range(1, 4):
                corners[k] = 0.5 * (corners[0] + corners[k])
            stale = 1
            continue
        corners[3], values[3] = trial, value
    for k in range(stale, 4):
        values[k] = _value(kind, corners[k], starts, time, flux, weight, sums, slots, first, last)
    best = int(np.argmin(values))
    theta[:] = corners[best]
    return float(values[best])


@compiled
def bump_times(time: FloatArray, z: FloatArray, order: IntArray, widths: FloatArray, out: FloatArray) -> None:
    """Write for each width the mean time of the window with the most significant sum of z; times in order.

    Two pointers walk the points once, so a long light curve costs no more for each point than a short one.
    """
    n = len(order)
    for place in range(len(widths)):
        low = 0
        total = moment = mass = 0.0
        best = -math.inf
        out[place] = time[order[0]]
        for high in range(n):
            j = order[high]
            total += z[j]
            mass += max(z[j], 0.0)
            moment += max(z[j], 0.0) * (time[j] - time[order[0]])
            while time[j] - time[order[low]] > widths[place]:
                k = order[low]
                total -= z[k]
                mass -= max(z[k], 0.0)
                moment -= max(z[k], 0.0) * (time[k] - time[order[0]])
                low += 1
            value = total / math.sqrt(high - low + 1.0)
            if value > best and mass > 0.0:
                best = value
                out[place] = time[order[0]] + moment / mass


@compiled
def fit_shape(
    kind: int,
    starts: IntArray,
    time: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    sums: FloatArray,
    slots: FloatArray,
    centres: FloatArray,
    first: float,
    last: float,
    theta: FloatArray,
) -> None:
    """Fit a shape: a coarse grid about the likely times of maximum, a simplex from the two best; fills theta."""
    tried = np.empty((len(centres) * 10, 4))
    count = 0
    trial = np.empty(3)
    for centre in centres:
        for days in (2.0, 6.0, 16.0, 40.0, 100.0):
            for second in range(2):
                trial[0], trial[1] = centre, math.log(days)
                if kind == LENS:
                    trial[2] = math.log(0.1) if second == 0 else math.log(0.6)
                else:
                    trial[2] = math.log(days) if second == 0 else math.log(days / 4.0)
                tried[count, :3] = trial
                tried[count, 3] = _value(kind, trial, starts, time, flux, weight, sums, slots, first, last)
                count += 1
    order = np.argsort(tried[:, 3])
    best = math.inf
    step = np.empty(3)
    for place in range(2):
        chosen = tried[order[place if place == 0 else min(3, count - 1)]]
        trial[:] = chosen[:3]
        step[0], step[1], step[2] = 0.3 * math.exp(trial[1]), 0.4, 0.4
        value = simplex(kind, trial, step, starts, time, flux, weight, sums, slots, first, last)
        if value < best:
            best = value
            theta[:] = trial
    chi2_of(kind, theta, starts, time, flux, weight, sums, slots)


@compiled
def likely_centres(
    starts: IntArray, time: FloatArray, flux: FloatArray, weight: FloatArray, when: FloatArray, z: FloatArray
) -> FloatArray:
    """Return likely times of maximum; when and z are room for the points' times and distances from the median."""
    k = 0
    for band in range(N_BANDS):
        start, stop = starts[band], starts[band + 1]
        if stop - start < FEWEST_POINTS:
            continue
        # The lower quartile is nearer to what a star is without a lens than the median of a few points on a bump.
        quiet = np.percentile(flux[start:stop], 35.0)
        for j in range(start, stop):
            when[k] = time[j]
            z[k] = min(max((flux[j] - quiet) * math.sqrt(weight[j]), -CLIP), CLIP)
            k += 1
    out = np.empty(len(WINDOWS_D))
    bump_times(when[:k], z[:k], np.argsort(when[:k]), np.array(WINDOWS_D), out)
    return out
