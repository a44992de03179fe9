"""Rates of young light curves: how they fade, how they must have risen, and what was there before.

The ``fill`` functions write into the columns that `ingest.classifiers.kn_components.JOINT_FEATURES` names.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.classifiers.early_points import compiled

if TYPE_CHECKING:
    from ingest.classifiers.early_points import EarlyPoints

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]

CALIBRATION_MAG = 0.02
"""Calibration error of a magnitude [mag]; Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

QUIET_SIGMA = 3.0
"""Significance below which a forced flux before the first detection shows that nothing was there."""

BEFORE_D = 10.0
"""Time before the first detection in which a slow riser would show in the forced photometry [d]."""

FADE_WINDOW_D = 10.0
"""Time after the largest flux of a band in which the rate is measured [d]: later a supernova's tail would look flat."""

SHORTEST_D = 0.01
"""Shortest wait over which a least rate is stated [d]: within a quarter of an hour noise makes any rate."""


@compiled
def slope(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, detected: BoolArray, from_peak: bool
) -> tuple[float, float]:
    """Return the rate of fading [mag/d] and its error: weighted slopes of the bands, joined; positive fades.

    NaN without two detections in one band, after its maximum, the maximum included, where ``from_peak``.
    """
    information, moment = 0.0, 0.0
    for wanted in range(6):
        peak = -1
        for point in range(len(time)):
            if detected[point] and band[point] == wanted and flux[point] > 0.0:
                peak = point if peak < 0 or (from_peak and flux[point] > flux[peak]) else peak
        if peak < 0:
            continue
        weights, times, mags, squares, products = 0.0, 0.0, 0.0, 0.0, 0.0
        zero = -2.5 * math.log10(flux[peak])
        for point in range(peak, len(time)):
            late = time[point] - time[peak]
            if not detected[point] or band[point] != wanted or flux[point] <= 0.0 or late > FADE_WINDOW_D:
                continue
            weight = 1.0 / ((1.0857362 * err[point] / flux[point]) ** 2 + CALIBRATION_MAG**2)
            magnitude = -2.5 * math.log10(flux[point]) - zero
            weights += weight
            times += weight * late
            mags += weight * magnitude
            squares += weight * late * late
            products += weight * late * magnitude
        spread = squares - times * times / weights
        # A baseline of minutes says nothing of days.
        if spread > weights * 1e-6:
            information += spread
            moment += products - times * mags / weights
    if information <= 0.0:
        return math.nan, math.nan
    return moment / information, 1.0 / math.sqrt(information)


@compiled
def _slopes(  # noqa: PLR0917 - compiled functions take their arrays by position
    offsets: IntArray,
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    out: FloatArray,
) -> None:
    for row in range(len(offsets) - 1):
        mine = slice(offsets[row], offsets[row + 1])
        out[row, 0], out[row, 1] = slope(time[mine], band[mine], flux[mine], err[mine], detected[mine], False)


def slopes(points: EarlyPoints) -> FloatArray:
    """Return (n, 2) rate of change [mag/d] from the first detection on, positive when fading, and its 1 sigma error.

    NaN without two detections in one band, some minutes apart and at most `FADE_WINDOW_D`.
    """
    out = np.full((len(points), 2), np.nan)
    arrays = (points.time_d, points.band, points.flux_njy, points.flux_err_njy, points.detected)
    _slopes(points.offsets, *(np.ascontiguousarray(one) for one in arrays), out)
    return out


@compiled
def fill_fall(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray, band: ByteArray, flux: FloatArray, err: FloatArray, detected: BoolArray, out: FloatArray
) -> None:
    """Fill the gap to the last quiet visit before the first detection, and the least fall to a visit after it."""
    for point in range(len(time)):
        if detected[point] or flux[point] >= QUIET_SIGMA * err[point]:
            continue
        if time[point] < 0.0:
            out[6] = -time[point]
            continue
        ceiling = max(flux[point], 0.0) + QUIET_SIGMA * err[point]
        for other in range(point):
            wait = time[point] - time[other]
            if detected[other] and band[other] == band[point] and wait > SHORTEST_D and flux[other] > ceiling:
                least = 2.5 * math.log10(flux[other] / ceiling) / wait
                out[11] = least if math.isnan(out[11]) else max(out[11], least)


@compiled
def fill_rise(  # noqa: PLR0917 - compiled functions take their arrays by position
    time: FloatArray,
    band: ByteArray,
    flux: FloatArray,
    err: FloatArray,
    detected: BoolArray,
    peak: int,
    out: FloatArray,
) -> None:
    """Fill the least rise from a quiet visit before the first detection to a detection up to the maximum."""
    for other in range(len(time)):
        if detected[other] or time[other] >= 0.0 or flux[other] >= QUIET_SIGMA * err[other]:
            continue
        ceiling = max(flux[other], 0.0) + QUIET_SIGMA * err[other]
        for point in range(other + 1, len(time)):
            wait = time[point] - time[other]
            late = time[point] > time[peak] or not detected[point]
            if not late and band[other] == band[point] and wait > SHORTEST_D and flux[point] > ceiling:
                least = 2.5 * math.log10(flux[point] / ceiling) / wait
                out[7] = least if math.isnan(out[7]) else max(out[7], least)


@compiled
def fill_before(time: FloatArray, flux: FloatArray, err: FloatArray, out: FloatArray) -> None:
    """Fill the significance of the mean flux in the last days before the first detection, and chi2 of zero flux."""
    weights, moment, squares, n = 0.0, 0.0, 0.0, 0
    for point in range(len(time)):
        if time[point] >= 0.0:
            break
        squares += (flux[point] / err[point]) ** 2
        n += 1
        if time[point] > -BEFORE_D:
            weights += 1.0 / err[point] ** 2
            moment += flux[point] / err[point] ** 2
    if weights > 0.0:
        out[12] = moment / math.sqrt(weights)
    if n > 0:
        out[13] = squares / n
