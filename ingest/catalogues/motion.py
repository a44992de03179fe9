"""Positions at another time: unit vectors carried along by proper motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graph.sky import tangents, unit_vectors

FloatArray = NDArray[np.float64]

ARCSEC = np.pi / 180.0 / 3600.0
"""One arcsec [rad]."""

MAS = ARCSEC / 1000.0
"""One milliarcsecond [rad]."""


def moved_vectors(
    ra_deg: FloatArray, dec_deg: FloatArray, pm_ra_masyr: FloatArray, pm_dec_masyr: FloatArray, years: FloatArray
) -> FloatArray:
    """Return unit vectors (n, 3) of positions after some years.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS] at the start.
    pm_ra_masyr, pm_dec_masyr : (n,) [mas/yr], the first with the cosine of the declination; NaN stands still.
    years : (n,) Julian years that have passed, of either sign.

    Notes
    -----
    A straight line in space without radial velocity. Perspective acceleration, 1e-3 arcsec in ten years for Barnard's
    star, and the annual parallax are left out.
    """
    east, north = tangents(ra_deg, dec_deg)
    shift = np.nan_to_num(pm_ra_masyr)[:, None] * east + np.nan_to_num(pm_dec_masyr)[:, None] * north
    moved = unit_vectors(ra_deg, dec_deg) + shift * (MAS * years)[:, None]
    return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True), dtype=np.float64)


def separations_arcsec(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the angles between unit vectors (n, 3) [arcsec], accurate for the smallest."""
    chord = np.linalg.norm(first - second, axis=-1)
    return np.asarray(2.0 * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0)) / ARCSEC, dtype=np.float64)
