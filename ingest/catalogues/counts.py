"""How many galaxies as bright as a given one the sky holds, and the chance that one lies so near."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

FAINT_SLOPE = 0.334
"""Slope of log10 of the counts of galaxies per magnitude, R = 22 to 27; Hogg et al. 1997, doi:10.1093/mnras/288.2.404,
as Bloom et al. 2002, doi:10.1086/338893, use it."""

FAINT_ZERO_MAG = 22.963
"""Magnitude [R] at which those counts are stated; Bloom et al. 2002."""

FAINT_LOG_COUNT = 4.320
"""log10 of galaxies at that magnitude [mag^-1 deg^-2]; Bloom et al. 2002."""

BRIGHT_SLOPE = 0.6
"""Slope of the counts of bright galaxies: a uniform density in a flat space, as counts brighter than 18 mag show."""

BRIGHT_ANCHOR_MAG = 17.77
"""Magnitude limit [r] of SDSS's main galaxy sample; Strauss et al. 2002, doi:10.1086/342343."""

BRIGHT_ANCHOR_DEG2 = 90.0
"""Galaxies brighter than that [deg^-2], ibid.; the faint law would give five times as many there."""

ARCSEC2_PER_DEG2 = 3600.0**2
"""Square arcsec in a square degree."""

BAND_MINUS_R = {"B": 1.0, "g": 0.65, "V": 0.4, "i": -0.35, "z": -0.6, "I": -0.8, "J": -1.8, "K": -2.8}
"""Magnitude of a typical nearby spiral in a band minus its r [mag], rounded; colours of Sbc galaxies in Fukugita et al.
1995, doi:10.1086/133643, and Jarrett et al. 2003, doi:10.1086/345794, for J and K. Types scatter by 0.3 mag, a factor
of 1.5 in the counts. A band that is not listed is taken as r."""


def r_magnitude(magnitude: FloatArray, band: TextArray) -> FloatArray:
    """Return magnitudes of galaxies as about r; (n,), with the band of each."""
    known, place = np.unique(band.astype(str), return_inverse=True)
    return magnitude - np.array([BAND_MINUS_R.get(name, 0.0) for name in known.tolist()], dtype=np.float64)[place]


def faint_density_arcsec2(r_mag: FloatArray) -> FloatArray:
    """Return galaxies brighter than ``r_mag`` by Bloom et al. 2002 [arcsec^-2]; holds for R = 22 to 27."""
    log_differential = FAINT_SLOPE * (r_mag - FAINT_ZERO_MAG) + FAINT_LOG_COUNT
    return np.asarray(10.0**log_differential / (ARCSEC2_PER_DEG2 * FAINT_SLOPE * np.log(10.0)), dtype=np.float64)


def galaxy_density_arcsec2(r_mag: FloatArray) -> FloatArray:
    """Return galaxies brighter than ``r_mag`` [arcsec^-2]; any shape, NaN stays NaN.

    Notes
    -----
    The lower of the faint law and of the bright one, which meet at 20.6 mag: each overstates the counts on the other's
    side. The true slope changes gradually, so that the counts are some tens of percent too high where they meet.
    """
    bright = BRIGHT_ANCHOR_DEG2 / ARCSEC2_PER_DEG2 * 10.0 ** (BRIGHT_SLOPE * (r_mag - BRIGHT_ANCHOR_MAG))
    return np.asarray(np.minimum(bright, faint_density_arcsec2(r_mag)), dtype=np.float64)


def differential_density_arcsec2(r_mag: FloatArray) -> FloatArray:
    """Return galaxies of a magnitude [mag^-1 arcsec^-2]: the derivative of `galaxy_density_arcsec2`."""
    counts = galaxy_density_arcsec2(r_mag)
    slope = np.where(counts < faint_density_arcsec2(r_mag), BRIGHT_SLOPE, FAINT_SLOPE)
    return np.asarray(counts * slope * np.log(10.0), dtype=np.float64)


def chance_probability(separation_arcsec: FloatArray, density_arcsec2: FloatArray) -> FloatArray:
    """Return the chance that a random position has an entry of a Poisson field within the separation.

    References
    ----------
    Bloom et al. 2002, doi:10.1086/338893, equations 1 to 3.
    """
    return np.asarray(-np.expm1(-np.pi * separation_arcsec**2 * density_arcsec2), dtype=np.float64)
