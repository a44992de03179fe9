"""Flux against time for each kind of source: simple forms from the literature, on arrays of points.

Every model answers in nJy of difference flux: what a survey sees after its reference image was subtracted. A model
is a pure function of time, so the same source has the same past in every alert and in both surveys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG
from ingest.simulate.hashing import stable_random

if TYPE_CHECKING:
    from collections.abc import Callable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SourceClass(StrEnum):
    """What a simulated source is; the value is the truth table's ``class``."""

    SN_IA = "SN Ia"
    SN_II = "SN II"
    KILONOVA = "KN"
    AFTERGLOW = "GRB afterglow"
    AGN = "AGN"
    BLAZAR_FLARE = "blazar flare"
    RR_LYRAE = "RRL"
    ECLIPSING_BINARY = "EB"
    LONG_PERIOD = "LPV"
    CATACLYSMIC = "CV"
    M_DWARF_FLARE = "M-dwarf flare"
    ASTEROID = "SSO"
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


STAR_COLOUR_MAG = np.array([1.6, 0.5, 0.0, -0.15, -0.2, -0.25])
"""Magnitude in u, g, r, i, z, y minus r of an F-K star [mag]; stellar locus, Covey et al. 2007, doi:10.1086/522052."""

ASTEROID_COLOUR_MAG = np.array([1.9, 0.6, 0.0, -0.2, -0.2, -0.2])
"""The same for main-belt asteroids, sunlight slightly reddened [mag]; Ivezic et al. 2001, doi:10.1086/323452."""

SN_IA_RISE_D = 4.0
"""Rise parameter of a Bazin curve fitted to SNe Ia [d]; Bazin et al. 2011, doi:10.1051/0004-6361/201116898."""

SN_IA_FALL_D = np.array([9.0, 15.0, 22.0, 28.0, 30.0, 30.0])
"""Fall parameter in u to y [d]; same source, redder bands decline more slowly."""

SN_IA_COLOUR_MAG = np.array([0.9, 0.05, 0.0, 0.35, 0.55, 0.6])
"""Peak magnitude minus that in r at low redshift [mag]; Hsiao et al. 2007, doi:10.1086/518232, rounded."""

SN_II_RISE_D, SN_II_PLATEAU_D, SN_II_FALL_D = 3.0, 80.0, 15.0
"""Rise, plateau and fall [d]; medians for SN II of Villar et al. 2019, doi:10.3847/1538-4357/ab418c, rounded."""

SN_II_PLATEAU_SLOPE = np.array([0.011, 0.008, 0.003, 0.002, 0.001, 0.001])
"""Share of the peak lost per day of plateau in u to y [1/d]; same source: blue bands decline as the ejecta cool."""

SN_II_COLOUR_MAG = np.array([0.1, -0.05, 0.0, 0.1, 0.15, 0.2])
"""Early magnitude minus that in r [mag]; a blackbody near 10,000 K."""

KN_DECLINE_MAG_D = np.array([1.9, 1.19, 0.83, 0.55, 0.39, 0.36])
"""Decline of AT2017gfo over days 0.5 to 4 in u to y [mag/d]; straight lines through the photometry collected by
Villar et al. 2017, doi:10.3847/2041-8213/aa9c84."""

KN_COLOUR_1_D_MAG = np.array([1.6, 0.36, 0.0, -0.09, -0.14, -0.25])
"""Magnitude of AT2017gfo at 1 d minus that in r [mag]; same source."""

KN_RISE_D = 0.2
"""Time constant of the rise of a kilonova [d]: AT2017gfo was near peak when found at 0.47 d; same source."""

AFTERGLOW_DECAY, AFTERGLOW_SPECTRAL_INDEX = 1.1, 0.75
"""F ~ t^-1.1 nu^-0.75: forward shock in slow cooling with p = 2.5; Sari, Piran & Narayan 1998, doi:10.1086/311269."""

AFTERGLOW_ONSET_D = 100.0 / 86400.0
"""Time before which the afterglow does not brighten further [d]; typical onset, Liang et al. 2010,
doi:10.1088/0004-637X/725/2/2209."""

BAND_WAVELENGTH_NM = np.array([367.0, 480.0, 622.0, 755.0, 869.0, 971.0])
"""Effective wavelengths of the Rubin bands u to y [nm]; Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""

AGN_DAMPING_D = 200.0
"""Damping time of a damped random walk [d]; MacLeod et al. 2010, doi:10.1088/0004-637X/721/2/1014."""

_WALK_TERMS = 48
"""Sinusoids that stand for a random walk: spans 2 d to 6000 d without visible repetition."""

BAND_VARIABILITY = np.array([1.3, 1.15, 1.0, 0.9, 0.85, 0.8])
"""Amplitude in u to y over that in r: hot parts vary more; RR Lyrae: Sesar et al. 2010,
doi:10.1088/0004-637X/708/1/717, AGN: MacLeod et al. 2010, rounded to one set."""

FLARE_IMPULSE, FLARE_GRADUAL = (0.6890, 1.600), (0.3030, 0.2783)
"""Height and rate of the two decays of a white-light flare, in units of its width at half maximum; Davenport et al.
2014, doi:10.1088/0004-637X/797/2/122."""

FLARE_COLOUR_MAG = np.array([-1.9, -0.8, 0.0, 0.9, 1.5, 1.9])
"""Magnitude of the flare minus that in r [mag]; a 10,000 K blackbody's excess over an M dwarf, same source."""


def difference_flux(code: IntArray, points: Points) -> FloatArray:
    """Return the difference flux of each point.

    Parameters
    ----------
    code : (p,) place of the source's class in `CLASSES`.
    points : (p,) moments.

    Returns
    -------
    (p,) [nJy]; zero before a transient begins, signed for variables.
    """
    flux = np.zeros(len(code))
    for place, source_class in enumerate(CLASSES):
        rows = np.flatnonzero(code == place)
        if len(rows):
            flux[rows] = MODELS[source_class](points.select(rows))
    return flux


def _colour(points: Points, colour_mag: FloatArray) -> FloatArray:
    return np.asarray(points.peak_njy * 10.0 ** (-0.4 * colour_mag[points.band]))


def _logistic(value: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -60.0, 60.0))))


def supernova_ia(points: Points) -> FloatArray:
    """Return Bazin's rise and fall; ``days`` count from explosion, the peak is about 17 d later."""
    late = points.days / points.timescale_d - 17.0
    shape = np.exp(-np.clip(late, -20.0, None) / SN_IA_FALL_D[points.band]) * _logistic(late / SN_IA_RISE_D)
    return np.where(points.days > 0.0, 1.55 * _colour(points, SN_IA_COLOUR_MAG) * shape, 0.0)


def supernova_ii(points: Points) -> FloatArray:
    """Return Villar's rise, plateau and fall; ``days`` count from explosion."""
    late = points.days - 8.0
    on_plateau = 1.0 - SN_II_PLATEAU_SLOPE[points.band] * np.clip(late, 0.0, SN_II_PLATEAU_D)
    fall = np.exp(-np.clip(late - SN_II_PLATEAU_D, 0.0, None) / SN_II_FALL_D)
    shape = on_plateau * fall * _logistic(late / SN_II_RISE_D)
    return np.where(points.days > 0.0, _colour(points, SN_II_COLOUR_MAG) * shape, 0.0)


def kilonova(points: Points) -> FloatArray:
    """Return the fading and reddening of AT2017gfo; ``peak_njy`` is the r flux one day after the merger."""
    fade = 10.0 ** (-0.4 * KN_DECLINE_MAG_D[points.band] * (points.days - 1.0) / points.timescale_d)
    rise = 1.0 - np.exp(-np.clip(points.days, 0.0, None) / KN_RISE_D)
    return np.where(points.days > 0.0, _colour(points, KN_COLOUR_1_D_MAG) * fade * rise, 0.0)


def afterglow(points: Points) -> FloatArray:
    """Return a power law in time and frequency; ``peak_njy`` is the r flux one hour after the burst."""
    hours = np.clip(points.days, AFTERGLOW_ONSET_D, None) * 24.0
    spectrum = (BAND_WAVELENGTH_NM[points.band] / BAND_WAVELENGTH_NM[2]) ** AFTERGLOW_SPECTRAL_INDEX
    return np.where(points.days > 0.0, points.peak_njy * hours**-AFTERGLOW_DECAY * spectrum, 0.0)


def random_walk(days: FloatArray, phase: FloatArray) -> FloatArray:
    """Return a damped random walk of unit variance as a sum of sinusoids with the walk's power spectrum.

    Notes
    -----
    The phases are hashed from the source's random number, so that the walk is a function of time alone.
    """
    frequency = np.geomspace(1.0 / 6000.0, 0.5, _WALK_TERMS)
    power = np.gradient(frequency) / (1.0 + (2.0 * np.pi * frequency * AGN_DAMPING_D) ** 2)
    height = np.sqrt(2.0 * power / power.sum())
    walk = np.zeros(len(days))
    for k in range(_WALK_TERMS):
        start = stable_random(phase, float(k))
        walk += height[k] * np.cos(2.0 * np.pi * (frequency[k] * days + start))
    return walk


def active_nucleus(points: Points) -> FloatArray:
    """Return the walk of a nucleus about its mean."""
    swing = points.amplitude_mag * BAND_VARIABILITY[points.band] * random_walk(points.days, points.phase)
    return np.asarray(points.peak_njy * (10.0 ** (-0.4 * swing) - 1.0))


def blazar_flare(points: Points) -> FloatArray:
    """Return a walking nucleus that doubles several times over around its epoch."""
    flare = 10.0 ** (0.4 * points.amplitude_mag * np.exp(-np.abs(points.days) / points.timescale_d))
    swing = 0.15 * random_walk(points.days, points.phase)
    return np.asarray(points.peak_njy * (10.0 ** (-0.4 * swing) * flare - 1.0))


def rr_lyrae(points: Points) -> FloatArray:
    """Return a sawtooth: a rise over 15 % of the period, then a slow decline."""
    turn = np.mod(points.days / points.timescale_d + points.phase, 1.0)
    saw = np.where(turn < 0.15, 0.5 - turn / 0.15, (turn - 0.15) / 0.85 - 0.5)
    swing = points.amplitude_mag * BAND_VARIABILITY[points.band] * saw
    return np.asarray(_colour(points, STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def eclipsing_binary(points: Points) -> FloatArray:
    """Return two eclipses a period, the second half as deep."""
    turn = np.mod(points.days / points.timescale_d + points.phase, 1.0)
    primary = np.exp(-0.5 * (np.minimum(turn, 1.0 - turn) / 0.05) ** 2)
    secondary = 0.5 * np.exp(-0.5 * ((turn - 0.5) / 0.05) ** 2)
    swing = points.amplitude_mag * (primary + secondary)
    return np.asarray(_colour(points, STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def long_period(points: Points) -> FloatArray:
    """Return a slow sinusoid in magnitude of a red giant."""
    wave = np.sin(2.0 * np.pi * (points.days / points.timescale_d + points.phase))
    swing = 0.5 * points.amplitude_mag * BAND_VARIABILITY[points.band] * wave
    return np.asarray(_colour(points, 1.8 * STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def cataclysmic(points: Points) -> FloatArray:
    """Return a dwarf-nova outburst: a day of rise, a plateau of ``timescale_d``, a fall of 2 d; nearly white."""
    after = np.clip(points.days - points.timescale_d, 0.0, None)
    shape = np.clip(points.days, 0.0, 1.0) * np.exp(-after / 2.0)
    quiescent = points.peak_njy * 10.0 ** (-0.4 * points.amplitude_mag)
    return np.asarray((points.peak_njy - quiescent) * shape)


def m_dwarf_flare(points: Points) -> FloatArray:
    """Return an impulsive flare; ``timescale_d`` is its width at half maximum."""
    late = points.days / points.timescale_d
    decay = sum(height * np.exp(-rate * np.clip(late, 0.0, None)) for height, rate in (FLARE_IMPULSE, FLARE_GRADUAL))
    shape = np.where(late >= 0.0, decay, np.clip(1.0 + late, 0.0, None))
    return np.asarray(_colour(points, FLARE_COLOUR_MAG) * shape)


def asteroid(points: Points) -> FloatArray:
    """Return reflected sunlight of a tumbling body."""
    swing = points.amplitude_mag * np.sin(2.0 * np.pi * (points.days / points.timescale_d + points.phase))
    return np.asarray(_colour(points, ASTEROID_COLOUR_MAG) * 10.0 ** (-0.4 * swing))


def bogus(points: Points) -> FloatArray:
    """Return an artefact of the subtraction: any flux, of either sign, in a single visit."""
    return np.where(points.phase < 0.35, -points.peak_njy, points.peak_njy)


MODELS: dict[SourceClass, Callable[[Points], FloatArray]] = {
    SourceClass.SN_IA: supernova_ia,
    SourceClass.SN_II: supernova_ii,
    SourceClass.KILONOVA: kilonova,
    SourceClass.AFTERGLOW: afterglow,
    SourceClass.AGN: active_nucleus,
    SourceClass.BLAZAR_FLARE: blazar_flare,
    SourceClass.RR_LYRAE: rr_lyrae,
    SourceClass.ECLIPSING_BINARY: eclipsing_binary,
    SourceClass.LONG_PERIOD: long_period,
    SourceClass.CATACLYSMIC: cataclysmic,
    SourceClass.M_DWARF_FLARE: m_dwarf_flare,
    SourceClass.ASTEROID: asteroid,
    SourceClass.BOGUS: bogus,
}
"""The model of each class."""
