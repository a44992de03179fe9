"""What a simulated source is called, and moments of many sources in columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SourceClass(StrEnum):
    """What a simulated source is; the value is the truth table's ``class``."""

    SN_IA = "SN Ia"
    SN_II = "SN II"
    SN_IBC = "SN Ibc"
    SUPERLUMINOUS = "SLSN"
    TIDAL_DISRUPTION = "TDE"
    KILONOVA = "KN"
    AFTERGLOW = "GRB afterglow"
    OFF_AXIS_AFTERGLOW = "off-axis afterglow"
    MICROLENSING = "microlensing"
    AGN = "AGN"
    BLAZAR_FLARE = "blazar flare"
    RR_LYRAE = "RRL"
    CEPHEID = "CEP"
    ECLIPSING_BINARY = "EB"
    LONG_PERIOD = "LPV"
    CATACLYSMIC = "CV"
    M_DWARF_FLARE = "M-dwarf flare"
    ASTEROID = "SSO"
    STREAK = "SSO streak"
    GLINT = "satellite glint"
    BOGUS = "bogus"


CLASSES = tuple(SourceClass)
"""A class's code in arrays is its place here."""


@dataclass(frozen=True, eq=False, slots=True)
class Points:
    """p moments of sources; parameters of the source are repeated for each moment."""

    days: FloatArray
    """(p,) time since the source's epoch [d]."""
    band: IntArray
    """(p,) band code."""
    peak_njy: FloatArray
    """(p,) r band flux at peak of a transient, mean flux of a variable [nJy]."""
    amplitude_mag: FloatArray
    """(p,) amplitude of a variable or outburst [mag]."""
    timescale_d: FloatArray
    """(p,) period or time of decay [d]; 1 keeps a template as published."""
    phase: FloatArray
    """(p,) random number of the source in [0, 1)."""

    def select(self, rows: IntArray) -> Points:
        """Return some of the points."""
        return Points(
            self.days[rows],
            self.band[rows],
            self.peak_njy[rows],
            self.amplitude_mag[rows],
            self.timescale_d[rows],
            self.phase[rows],
        )


def magnitude_to_njy(magnitude: FloatArray | float) -> FloatArray:
    """Convert AB magnitude to flux [nJy]."""
    return np.asarray(10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - np.asarray(magnitude, dtype=np.float64))))


def njy_to_magnitude(flux_njy: FloatArray) -> FloatArray:
    """Convert flux [nJy] to AB magnitude; NaN where the flux is not positive."""
    safe = np.where(flux_njy > 0.0, flux_njy, np.nan)
    return np.asarray(AB_ZERO_POINT_NJY_MAG - 2.5 * np.log10(safe))


BAND_WAVELENGTH_NM = np.array([367.0, 480.0, 622.0, 755.0, 869.0, 971.0])
"""Effective wavelengths of the Rubin bands u to y [nm]; Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""


def coloured(points: Points, colour_mag: FloatArray) -> FloatArray:
    """Return each point's flux scale in its band [nJy], given magnitudes in u to y minus that in r."""
    return np.asarray(points.peak_njy * 10.0 ** (-0.4 * colour_mag[points.band]))


def planck_colour_mag(temperature_k: float) -> FloatArray:
    """Return the AB magnitude of a blackbody in u to y minus that in r [mag].

    Notes
    -----
    Planck's law at the bands' effective wavelengths, without their widths.
    """
    # h c / k is 0.01438777 m K, CODATA 2018.
    exponent = 0.01438777 / (BAND_WAVELENGTH_NM * 1e-9 * temperature_k)
    per_frequency = BAND_WAVELENGTH_NM**-3 / np.expm1(exponent)
    return np.asarray(-2.5 * np.log10(per_frequency / per_frequency[2]))
