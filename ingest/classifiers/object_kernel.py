"""The compiled statistics that `ingest.classifiers.object_features` names and documents.

One thread, no Python objects and no lock. The columns of `series_statistics` stand in the order of
`ingest.classifiers.object_features.SERIES`, those of `_beside` in the order of ``BESIDE`` there.
"""
# ruff: noqa: PLR0917 - compiled functions take their arrays by position

from __future__ import annotations

import math

import numpy as np

from ingest.classifiers.measurements import N_BANDS, FloatArray, IntArray, compiled

NIGHT_D = 0.5
"""Points closer than this make one point before the derivative is taken [d]: the slope between two exposures of one
night is noise for a phenomenon of days."""

SMALLEST_BAND = 10
"""Measurements that a band needs for statistics; fewer leave percentiles and runs without meaning, and
doi:10.1016/j.ascom.2019.100298 asks for as many."""

SMALLEST_SERIES = 5
"""Points of a series, such as nights of a derivative, below which it has no statistics."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation: 1 / Phi^-1(3/4)."""

SERIES_WIDTH = 38
"""Statistics of one series."""

BESIDE_WIDTH = 8
"""Numbers beside those of the light curve and of its derivative."""

LARGEST = 1e6
"""Statistics are cut at this absolute value: a ratio to almost nothing says no more when it is larger."""


@compiled
def _percentile(ordered: FloatArray, share: float) -> float:
    """Return a percentile of ordered values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    low = int(place)
    if low + 1 >= len(ordered):
        return float(ordered[len(ordered) - 1])
    return float(ordered[low] + (place - low) * (ordered[low + 1] - ordered[low]))


@compiled
def _ratio(above: float, below: float) -> float:
    """Return a ratio, NaN where the denominator is zero."""
    return above / below if below != 0.0 else math.nan


@compiled
def _moments(flux: FloatArray, mean: float, sigma: float, out: FloatArray) -> None:
    """Fill skewness, excess kurtosis, von Neumann's ratio, lag-1 correlation, asymmetry in time, CUSUM range."""
    n = len(flux)
    third = fourth = steps = lag = reversal = total = low = high = 0.0
    for j in range(n):
        z = (flux[j] - mean) / sigma
        third += z**3
        fourth += z**4
        total += z
        low, high = min(low, total), max(high, total)
        if j > 0:
            y = (flux[j - 1] - mean) / sigma
            steps += (z - y) ** 2
            lag += z * y
            reversal += (z - y) * z * y
    out[0] = third / n
    out[1] = fourth / n - 3.0
    out[2] = steps / (n - 1)
    out[3] = lag / n
    out[4] = reversal / n
    out[5] = (high - low) / n


@compiled
def _percentiles(ordered: FloatArray, out: FloatArray) -> None:
    """Fill the five flux percentile ratios, Gskew, the half-amplitude ratio and the entropy of ten bins."""
    n = len(ordered)
    whole = _percentile(ordered, 0.95) - _percentile(ordered, 0.05)
    for column, half in enumerate((0.1, 0.175, 0.25, 0.325, 0.4)):
        out[column] = _ratio(_percentile(ordered, 0.5 + half) - _percentile(ordered, 0.5 - half), whole)
    median = _percentile(ordered, 0.5)
    high, low = _percentile(ordered, 0.97), _percentile(ordered, 0.03)
    out[5] = _ratio(high + low - 2.0 * median, high - low)
    out[6] = math.log10(
        max(_ratio(_percentile(ordered, 0.95) - median, median - _percentile(ordered, 0.05)), 1.0 / LARGEST)
    )
    span = ordered[n - 1] - ordered[0]
    entropy = 0.0
    j = 0
    for place in range(10):
        edge = ordered[0] + span * (place + 1) / 10.0
        count = 0
        while j < n and (ordered[j] <= edge or place == 9):
            count += 1
            j += 1
        if count > 0:
            entropy -= count / n * math.log(count / n)
    out[7] = entropy


@compiled
def _outliers(flux: FloatArray, err: FloatArray, median: float, out: FloatArray) -> None:
    """Fill the shares of points 1, 3 and 5 errors above and below the median, Stetson's J and K, triples, chi2."""
    n = len(flux)
    counts = np.zeros(6)
    stetson = absolute = square = 0.0
    triples = run = 0
    before = 0.0
    root = math.sqrt(n / (n - 1.0))
    for j in range(n):
        z = (flux[j] - median) / err[j]
        for place in range(3):
            level = 2.0 * place + 1.0
            counts[place] += z > level
            counts[place + 3] += z < -level
        absolute += abs(z)
        square += z * z
        if j > 0:
            product = root * root * z * before
            stetson += math.copysign(math.sqrt(abs(product)), product)
        before = z
        run = run + 1 if z > 3.0 else 0
        triples += run == 3
    for place in range(6):
        out[place] = counts[place] / n
    out[6] = math.copysign(math.log1p(abs(stetson) / (n - 1)), stetson)
    out[7] = _ratio(absolute / n, math.sqrt(square / n))
    out[8] = triples
    out[9] = math.log10(square / (n - 1) + 1e-3)


@compiled
def _runs(flux: FloatArray, median: float, mean: float, out: FloatArray) -> None:
    """Fill the longest runs above and below the median, crossings of the mean, peaks, and the share of rises."""
    n = len(flux)
    above = below = longest_above = longest_below = crossings = peaks = rises = 0
    for j in range(n):
        above = above + 1 if flux[j] > median else 0
        below = below + 1 if flux[j] < median else 0
        longest_above, longest_below = max(longest_above, above), max(longest_below, below)
        if j > 0:
            crossings += (flux[j] > mean) != (flux[j - 1] > mean)
            rises += flux[j] > flux[j - 1]
        if 0 < j < n - 1:
            peaks += flux[j] > flux[j - 1] and flux[j] > flux[j + 1]
    out[0] = longest_above / n
    out[1] = longest_below / n
    out[2] = crossings / n
    out[3] = peaks / n
    out[4] = rises / (n - 1)


@compiled
def _shape_in_time(
    time: FloatArray, flux: FloatArray, low: float, mean: float, sigma: float, median: float, out: FloatArray
) -> None:
    """Fill the correlation with time, the maximum's place, the place of half the mass, width and symmetry."""
    n = len(time)
    span = time[n - 1] - time[0]
    if span <= 0.0:
        return
    mean_time = time.mean()
    cross = square = mass = 0.0
    for j in range(n):
        cross += (time[j] - mean_time) * (flux[j] - mean)
        square += (time[j] - mean_time) ** 2
        mass += max(flux[j] - low, 0.0)
    out[0] = cross / math.sqrt(square * n) / sigma
    peak = int(np.argmax(flux))
    out[1] = (time[peak] - time[0]) / span
    half = 0.0
    for j in range(n):
        half += max(flux[j] - low, 0.0)
        if half >= 0.5 * mass:
            out[2] = (time[j] - time[0]) / span
            break
    level = 0.5 * (flux[peak] + median)
    count = 0
    first, last = peak, peak
    for j in range(n):
        if flux[j] >= level:
            count += 1
            first, last = min(first, j), max(last, j)
    out[3] = count / n
    out[4] = (time[last] - time[first]) / span
    out[5] = _symmetry(time, flux, peak, mean, sigma)


@compiled
def _symmetry(time: FloatArray, flux: FloatArray, peak: int, mean: float, sigma: float) -> float:
    """Return the mean product of fluxes before the maximum with those as long after it, in standard units.

    The flux at a mirrored time is read off the straight line between its neighbours.
    """
    n = len(time)
    total = 0.0
    count = 0
    right = peak
    for j in range(peak - 1, -1, -1):
        mirrored = 2.0 * time[peak] - time[j]
        while right < n - 1 and time[right + 1] < mirrored:
            right += 1
        if right >= n - 1:
            break
        wait = time[right + 1] - time[right]
        share = (mirrored - time[right]) / wait if wait > 0.0 else 0.0
        there = flux[right] + share * (flux[right + 1] - flux[right])
        total += (flux[j] - mean) * (there - mean) / sigma / sigma
        count += 1
    return total / count if count > 0 else math.nan


@compiled
def _anderson_darling(ordered: FloatArray, mean: float, sigma: float) -> float:
    """Return log10 of the Anderson-Darling statistic of normality, mean and deviation estimated."""
    n = len(ordered)
    total = 0.0
    for j in range(n):
        low = 0.5 * math.erfc(-(ordered[j] - mean) / sigma / math.sqrt(2.0))
        high = 0.5 * math.erfc((ordered[n - 1 - j] - mean) / sigma / math.sqrt(2.0))
        total += (2.0 * j + 1.0) * (math.log(max(low, 1e-300)) + math.log(max(high, 1e-300)))
    return math.log10(max(-n - total / n, 1e-3))


@compiled
def series_statistics(time: FloatArray, flux: FloatArray, err: FloatArray, out: FloatArray) -> None:
    """Fill the statistics of one series (m,) in order of time; nothing where it is short or constant."""
    n = len(time)
    if n < SMALLEST_SERIES:
        return
    ordered = np.sort(flux)
    mean = flux.mean()
    sigma = flux.std() * math.sqrt(n / (n - 1.0))
    median = _percentile(ordered, 0.5)
    # A spread at the rounding of the values themselves is none.
    if not sigma > 1e-9 * max(abs(ordered[0]), abs(ordered[n - 1])):
        return
    _moments(flux, mean, sigma, out[0:6])
    _percentiles(ordered, out[6:14])
    _outliers(flux, err, median, out[14:24])
    _runs(flux, median, mean, out[24:29])
    _shape_in_time(time, flux, _percentile(ordered, 0.1), mean, sigma, median, out[29:35])
    out[35] = _anderson_darling(ordered, mean, sigma)
    deviation = np.sort(np.abs(flux - median))
    out[36] = _ratio(sigma, MAD_TO_SIGMA * _percentile(deviation, 0.5))
    out[37] = math.log10(max((ordered[n - 1] - median) / np.median(err), 1.0 / LARGEST))


@compiled
def nightly(time: FloatArray, flux: FloatArray, err: FloatArray, out: FloatArray) -> int:
    """Write the weighted means of the nights to out (3, m); return their number."""
    n = len(time)
    count = j = 0
    while j < n:
        start = time[j]
        weight = value = moment = 0.0
        while j < n and time[j] - start < NIGHT_D:
            w = 1.0 / (err[j] * err[j])
            weight += w
            value += w * flux[j]
            moment += w * (time[j] - start)
            j += 1
        out[0, count] = start + moment / weight
        out[1, count] = value / weight
        out[2, count] = 1.0 / math.sqrt(weight)
        count += 1
    return count


@compiled
def _derivative(night: FloatArray, n: int, out: FloatArray) -> int:
    """Write time, slope and its error between neighbouring nights (3, n) to out; return their number."""
    for j in range(n - 1):
        wait = night[0, j + 1] - night[0, j]
        out[0, j] = 0.5 * (night[0, j + 1] + night[0, j])
        out[1, j] = (night[1, j + 1] - night[1, j]) / wait
        out[2, j] = math.hypot(night[2, j + 1], night[2, j]) / wait
    return max(n - 1, 0)


@compiled
def _excess(flux: FloatArray, err: FloatArray) -> float:
    """Return how far a light curve is from constant: mean square distance from the median in errors."""
    median = np.median(flux)
    total = 0.0
    for j in range(len(flux)):
        total += ((flux[j] - median) / err[j]) ** 2
    return total / len(flux)


@compiled
def _choose_bands(starts: IntArray, flux: FloatArray, err: FloatArray) -> tuple[int, int, int]:
    """Return the bands that vary most and second most, -1 where there is none, and how many have enough points."""
    main = second = -1
    best = runner_up = -1.0
    count = 0
    for band in range(N_BANDS):
        start, stop = starts[band], starts[band + 1]
        if stop - start < SMALLEST_BAND:
            continue
        count += 1
        value = _excess(flux[start:stop], err[start:stop])
        if value > best:
            main, second = band, main
            best, runner_up = value, best
        elif value > runner_up:
            second, runner_up = band, value
    return main, second, count


@compiled
def _two_bands(first: FloatArray, n: int, second: FloatArray, m: int, out: FloatArray) -> None:
    """Fill correlation and log10 reduced chi2 of a straight line between the fluxes of two bands, night by night."""
    pairs = np.empty((4, min(n, m)))
    count = k = 0
    for j in range(n):
        while k < m and second[0, k] < first[0, j] - NIGHT_D:
            k += 1
        if k < m and second[0, k] < first[0, j] + NIGHT_D:
            pairs[0, count], pairs[1, count] = first[1, j], second[1, k]
            pairs[2, count], pairs[3, count] = first[2, j], second[2, k]
            count += 1
            k += 1
    if count < 4:
        return
    x, y = pairs[0, :count], pairs[1, :count]
    dx, dy = x - x.mean(), y - y.mean()
    xx, yy, xy = np.sum(dx * dx), np.sum(dy * dy), np.sum(dx * dy)
    if not (xx > 0.0 and yy > 0.0):
        return
    out[0] = xy / math.sqrt(xx) / math.sqrt(yy)
    slope = xy / xx
    total = 0.0
    for j in range(count):
        total += (dy[j] - slope * dx[j]) ** 2 / (pairs[3, j] ** 2 + (slope * pairs[2, j]) ** 2)
    out[1] = math.log10(total / (count - 2) + 1e-3)


@compiled
def _amplitude(flux: FloatArray) -> float:
    """Return the distance of the 95th from the 5th percentile."""
    ordered = np.sort(flux)
    return _percentile(ordered, 0.95) - _percentile(ordered, 0.05)


@compiled
def _one(
    starts: IntArray, time: FloatArray, flux: FloatArray, err: FloatArray, main: int, second: int, out: FloatArray
) -> None:
    """Fill all statistics of one object but the number of its bands."""
    start, stop = starts[main], starts[main + 1]
    n = stop - start
    beside = out[2 * SERIES_WIDTH :]
    series_statistics(time[start:stop], flux[start:stop], err[start:stop], out[:SERIES_WIDTH])
    night = np.empty((3, n))
    nights = nightly(time[start:stop], flux[start:stop], err[start:stop], night)
    slope = np.empty((3, n))
    slopes = _derivative(night, nights, slope)
    series_statistics(slope[0, :slopes], slope[1, :slopes], slope[2, :slopes], out[SERIES_WIDTH : 2 * SERIES_WIDTH])
    beside[0] = math.log10(n)
    beside[1] = math.log10(time[stop - 1] - time[start])
    if nights > 1:
        beside[2] = math.log10(np.median(np.diff(night[0, :nights])))
    mine = flux[start:stop]
    amplitude = _amplitude(mine)
    beside[7] = _ratio(float(np.median(mine)), amplitude)
    if second < 0:
        return
    start, stop = starts[second], starts[second + 1]
    other = np.empty((3, stop - start))
    others = nightly(time[start:stop], flux[start:stop], err[start:stop], other)
    _two_bands(night, nights, other, others, beside[4:6])
    colour = math.log10(_ratio(_amplitude(flux[start:stop]), amplitude))
    beside[6] = colour if second > main else -colour


@compiled
def fill_statistics(starts: IntArray, time: FloatArray, flux: FloatArray, err: FloatArray, out: FloatArray) -> None:
    """Write the statistics of n objects to out (n, 84), which comes filled with NaN."""
    for i in range(len(starts)):
        main, second, count = _choose_bands(starts[i], flux, err)
        out[i, 2 * SERIES_WIDTH + 3] = count
        if main >= 0:
            _one(starts[i], time, flux, err, main, second, out[i])
        for column in range(out.shape[1]):
            if math.isfinite(out[i, column]):
                out[i, column] = min(max(out[i, column], -LARGEST), LARGEST)
            else:
                out[i, column] = math.nan
