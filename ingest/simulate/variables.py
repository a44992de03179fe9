"""Flux against time for what is always there: variable stars, nuclei, moving bodies; and for artefacts.

The flux is what a difference image shows: the source's flux minus its mean.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ingest.simulate.source_classes import Points, coloured

FloatArray = NDArray[np.float64]

STAR_COLOUR_MAG = np.array([1.6, 0.5, 0.0, -0.15, -0.2, -0.25])
"""Magnitude in u, g, r, i, z, y minus r of an F-K star [mag]; stellar locus, Covey et al. 2007, doi:10.1086/522052."""

ASTEROID_COLOUR_MAG = np.array([1.9, 0.6, 0.0, -0.2, -0.2, -0.2])
"""The same for main-belt asteroids, sunlight slightly reddened [mag]; Ivezic et al. 2001, doi:10.1086/323452."""

SUN_COLOUR_MAG = np.array([1.8, 0.45, 0.0, -0.11, -0.14, -0.15])
"""The same for sunlight as it comes, off a satellite's panels [mag]; Willmer 2018, doi:10.3847/1538-4365/aabfdf."""

AGN_DAMPING_D = 200.0
"""Damping time of a damped random walk [d]; MacLeod et al. 2010, doi:10.1088/0004-637X/721/2/1014."""

_WALK_TERMS = 48
"""Sinusoids that stand for a random walk: spans 2 d to 6000 d without visible repetition."""

BAND_VARIABILITY = np.array([1.3, 1.15, 1.0, 0.9, 0.85, 0.8])
"""Amplitude in u to y over that in r: hot parts vary more; RR Lyrae: Sesar et al. 2010,
doi:10.1088/0004-637X/708/1/717, AGN: MacLeod et al. 2010, rounded to one set."""

CEPHEID_HARMONICS = ((1.0, 0.0), (0.42, 4.3), (0.18, 2.4))
"""Amplitude ratios and phase differences [rad] of a cosine series in magnitude: a classical Cepheid of about 5 d;
Simon & Lee 1981, doi:10.1086/159153, rounded."""


@numba.njit(cache=True)
def _walk(
    days: FloatArray, phase: FloatArray, frequency: FloatArray, height: FloatArray
) -> FloatArray:  # pragma: no cover - compiled
    """Sum the sinusoids; their hashed phases are made once for each run of points of one source."""
    out = np.empty(len(days))
    start = np.empty(len(frequency))
    for i in range(len(days)):
        if i == 0 or phase[i] != phase[i - 1]:
            for k in range(len(frequency)):
                hashed = np.abs(np.sin(phase[i] * 127.1 + k * 78.233 + 0.5)) * 43758.5453
                start[k] = hashed - np.floor(hashed)
        total = 0.0
        for k in range(len(frequency)):
            total += height[k] * np.cos(2.0 * np.pi * (frequency[k] * days[i] + start[k]))
        out[i] = total
    return out


def random_walk(days: FloatArray, phase: FloatArray) -> FloatArray:
    """Return a damped random walk of unit variance as a sum of sinusoids with the walk's power spectrum.

    Parameters
    ----------
    days : (p,) time [d].
    phase : (p,) random number of the source in [0, 1); points of one source stand together.

    Notes
    -----
    The phases are hashed from the source's random number, so that the walk is a function of time alone.
    """
    frequency = np.geomspace(1.0 / 6000.0, 0.5, _WALK_TERMS)
    power = np.gradient(frequency) / (1.0 + (2.0 * np.pi * frequency * AGN_DAMPING_D) ** 2)
    return np.asarray(_walk(days, phase, frequency, np.sqrt(2.0 * power / power.sum())))


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
    return np.asarray(coloured(points, STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def _cepheid_wave(turn: FloatArray) -> FloatArray:
    angle = 2.0 * np.pi * turn
    return np.asarray(
        sum(ratio * np.cos((k + 1) * angle + shift) for k, (ratio, shift) in enumerate(CEPHEID_HARMONICS))
    )


_CEPHEID_SWING = float(np.ptp(_cepheid_wave(np.linspace(0.0, 1.0, 2001))))
"""From the bottom to the top of the series above."""


def cepheid(points: Points) -> FloatArray:
    """Return a Fourier series in magnitude with a steep rise; ``amplitude_mag`` is from top to bottom."""
    wave = _cepheid_wave(points.days / points.timescale_d + points.phase) / _CEPHEID_SWING
    swing = points.amplitude_mag * BAND_VARIABILITY[points.band] * wave
    return np.asarray(coloured(points, STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def eclipsing_binary(points: Points) -> FloatArray:
    """Return two eclipses a period, the second half as deep."""
    turn = np.mod(points.days / points.timescale_d + points.phase, 1.0)
    primary = np.exp(-0.5 * (np.minimum(turn, 1.0 - turn) / 0.05) ** 2)
    secondary = 0.5 * np.exp(-0.5 * ((turn - 0.5) / 0.05) ** 2)
    swing = points.amplitude_mag * (primary + secondary)
    return np.asarray(coloured(points, STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def long_period(points: Points) -> FloatArray:
    """Return a slow sinusoid in magnitude of a red giant."""
    wave = np.sin(2.0 * np.pi * (points.days / points.timescale_d + points.phase))
    swing = 0.5 * points.amplitude_mag * BAND_VARIABILITY[points.band] * wave
    return np.asarray(coloured(points, 1.8 * STAR_COLOUR_MAG) * (10.0 ** (-0.4 * swing) - 1.0))


def asteroid(points: Points) -> FloatArray:
    """Return reflected sunlight of a tumbling body."""
    swing = points.amplitude_mag * np.sin(2.0 * np.pi * (points.days / points.timescale_d + points.phase))
    return np.asarray(coloured(points, ASTEROID_COLOUR_MAG) * 10.0 ** (-0.4 * swing))


def satellite_glint(points: Points) -> FloatArray:
    """Return the flash of a tumbling satellite, as bright as drawn."""
    return coloured(points, SUN_COLOUR_MAG)


def bogus(points: Points) -> FloatArray:
    """Return an artefact of the subtraction: any flux, of either sign, in a single visit."""
    return np.where(points.phase < 0.35, -points.peak_njy, points.peak_njy)
