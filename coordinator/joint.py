"""Joint false-alarm rates of events of two messengers, and chance alignments with galaxies: closed forms."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

GALAXY_SLOPE_PER_MAG: Final = 0.33
"""Slope of log10 of the galaxy counts [1/mag]; Bloom et al. (2002), doi:10.1086/338893."""

GALAXY_ZERO_MAG: Final = 24.0
"""R magnitude to which the counts' normalisation refers [mag]; same source."""

GALAXY_LOG_COUNT: Final = -2.44
"""log10 of the galaxies per arcsec2 and magnitude at that magnitude, from Hogg et al. (1997); same source."""


def untargeted_joint_far_hz(
    window_s: float, external_rate_hz: float, gw_far_hz: float, overlap: float | None = None
) -> float:
    """Return the rate of chance pairs of a gravitational-wave event and an independent external event.

    Parameters
    ----------
    window_s : length of the coincidence window [s].
    external_rate_hz : rate of external events, all missions that are searched [Hz].
    gw_far_hz : false-alarm rate of the gravitational-wave event [Hz].
    overlap : overlap integral of the two localizations, see `graph.regions.overlap_integral`; None for time only.

    Returns
    -------
    Joint false-alarm rate [Hz]; infinite when the localizations do not overlap at all.

    References
    ----------
    Ashton et al. (2018), arXiv:1712.05392; Urban (2016), PhD thesis, University of Wisconsin-Milwaukee.
    """
    temporal = window_s * external_rate_hz * gw_far_hz
    if overlap is None:
        return temporal
    return temporal / overlap if overlap > 0.0 else math.inf


def targeted_joint_far_hz(
    window_s: float,
    external_far_hz: float,
    gw_far_hz: float,
    external_far_max_hz: float,
    gw_far_max_hz: float,
    *,
    overlap: float | None = None,
) -> float:
    """Return the rate of chance pairs when both events are below threshold and ranked by their own rates.

    Parameters
    ----------
    window_s : length of the coincidence window [s].
    external_far_hz, gw_far_hz : false-alarm rates of the two events [Hz].
    external_far_max_hz, gw_far_max_hz : rates above which either search drops events [Hz].
    overlap : overlap integral of the two localizations; None for time only.

    Returns
    -------
    Joint false-alarm rate [Hz]; infinite when the localizations do not overlap at all.

    Notes
    -----
    The product of two uniform ranks z / z_max is below a value with probability x (1 - ln x); a product above z_max
    cannot occur and counts as z_max.
    """
    z_max = window_s * external_far_max_hz * gw_far_max_hz
    z = min(window_s * external_far_hz * gw_far_hz, z_max)
    temporal = z * (1.0 - math.log(z / z_max)) if z > 0.0 else 0.0
    if overlap is None:
        return temporal
    return temporal / overlap if overlap > 0.0 else math.inf


def galaxy_chance_probability(separation_arcsec: ArrayLike, magnitude: ArrayLike) -> FloatArray:
    """Return the probability that an unrelated galaxy at least as bright lies at least as near.

    Parameters
    ----------
    separation_arcsec : (n,) distance to the galaxy [arcsec].
    magnitude : (n,) its R magnitude [mag].

    References
    ----------
    Bloom, Kulkarni and Djorgovski (2002), doi:10.1086/338893.
    """
    slope = GALAXY_SLOPE_PER_MAG
    offset = np.asarray(magnitude, dtype=np.float64) - GALAXY_ZERO_MAG
    density = 10.0 ** (slope * offset + GALAXY_LOG_COUNT) / (slope * np.log(10.0))
    return np.asarray(-np.expm1(-np.pi * np.asarray(separation_arcsec, dtype=np.float64) ** 2 * density))
