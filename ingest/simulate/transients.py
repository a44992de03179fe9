"""Flux against time for what appears once: explosions, disruptions, afterglows, outbursts and lenses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.source_classes import BAND_WAVELENGTH_NM, Points, coloured, planck_colour_mag

FloatArray = NDArray[np.float64]

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

SN_IBC_PEAK_D, SN_IBC_RISE_D = 17.0, 4.0
"""From explosion to the peak in r and rise parameter [d]; typical rises of SNe Ib and Ic in Taddia et al. 2018,
doi:10.1051/0004-6361/201730844, rounded."""

SN_IBC_FALL_D = np.array([9.0, 13.0, 20.0, 25.0, 28.0, 28.0])
"""Fall parameter in u to y [d]: some 0.6 mag in r over the 15 d after peak; Drout et al. 2011,
doi:10.1088/0004-637X/741/2/97."""

SN_IBC_COLOUR_MAG = np.array([1.6, 0.5, 0.0, 0.1, 0.2, 0.25])
"""Peak magnitude minus that in r [mag]; redder than SNe Ia by their dust and line blanketing, same source, rounded."""

SUPERLUMINOUS_PEAK_D, SUPERLUMINOUS_RISE_D = 45.0, 10.0
"""From explosion to peak and rise parameter [d]; hydrogen-poor ones of De Cia et al. 2018,
doi:10.3847/1538-4357/aab9b6, rounded."""

SUPERLUMINOUS_FALL_D = np.array([25.0, 35.0, 45.0, 50.0, 55.0, 55.0])
"""Fall parameter in u to y [d]; same source."""

SUPERLUMINOUS_COLOUR_MAG = planck_colour_mag(13_000.0)
"""Peak magnitude minus that in r [mag]; blackbodies of 12,000 to 15,000 K, same source."""

DISRUPTION_RISE_D, DISRUPTION_DECAY_D, DISRUPTION_INDEX = 13.0, 60.0, -5.0 / 3.0
"""Sigma of the Gaussian rise [d], scale [d] and index of the power-law decay; within the fits of van Velzen et al.
2021, doi:10.3847/1538-4357/abc258, whose index is near the -5/3 of fallback."""

DISRUPTION_PEAK_D = 3.0 * DISRUPTION_RISE_D
"""From the onset, where the Gaussian has next to nothing, to the peak [d]."""

DISRUPTION_COLOUR_MAG = planck_colour_mag(20_000.0)
"""Magnitude minus that in r [mag]: hot at all times, the same source's typical temperature."""

KILONOVA_DAYS = np.array([0.5, 1.0, 1.5, 2.5, 3.5, 4.5, 5.5, 7.5, 9.5])
"""Times of the template since the merger [d]."""

KILONOVA_MAG = np.array(
    [
        [17.9, 18.95, 20.0, 22.3, 23.1, 24.3, 25.9, 27.4, 28.5],
        [17.4, 18.0, 18.6, 20.2, 20.9, 21.7, 22.2, 23.3, 24.3],
        [17.4, 17.7, 18.0, 19.1, 19.8, 20.4, 20.7, 21.5, 22.2],
        [17.5, 17.65, 17.8, 18.4, 18.9, 19.4, 19.9, 20.9, 21.5],
        [17.6, 17.6, 17.6, 18.2, 18.5, 18.8, 19.2, 20.0, 21.2],
        [17.5, 17.4, 17.3, 17.7, 18.0, 18.3, 18.8, 19.5, 20.8],
    ]
)
"""Magnitudes of AT2017gfo in u to y at those times [mag]: medians of the photometry collected by Villar et al. 2017,
doi:10.3847/2041-8213/aa9c84, to 0.1 mag; u after a week is extrapolated, 1 d is between its neighbours."""

KILONOVA_RISE_D = 0.2
"""Time constant of the rise of a kilonova [d]: AT2017gfo was near peak when found at 0.47 d; same source."""

AFTERGLOW_DECAY, AFTERGLOW_SPECTRAL_INDEX = 1.1, 0.75
"""F ~ t^-1.1 nu^-0.75: forward shock in slow cooling with p = 2.5; Sari, Piran & Narayan 1998, doi:10.1086/311269."""

AFTERGLOW_ONSET_D = 100.0 / 86400.0
"""Time before which the afterglow does not brighten further [d]; typical onset, Liang et al. 2010,
doi:10.1088/0004-637X/725/2/2209."""

OFF_AXIS_RISE, OFF_AXIS_DECAY, OFF_AXIS_SHARPNESS = 0.86, 1.92, 2.0
"""Indices before and after the peak of the afterglow of GW170817 and a smoothness of the turn; Makhathini et al. 2021,
doi:10.3847/1538-4357/ac1ffc. Its peak at 155 d scales with the viewing angle."""

OFF_AXIS_SPECTRAL_INDEX = 0.584
"""F ~ nu^-0.584 from radio to X-rays; same source."""

FLARE_IMPULSE, FLARE_GRADUAL = (0.6890, 1.600), (0.3030, 0.2783)
"""Height and rate of the two decays of a white-light flare, in units of its width at half maximum; Davenport et al.
2014, doi:10.1088/0004-637X/797/2/122."""

FLARE_COLOUR_MAG = np.array([-1.9, -0.8, 0.0, 0.9, 1.5, 1.9])
"""Magnitude of the flare minus that in r [mag]; a 10,000 K blackbody's excess over an M dwarf, same source."""

LENSED_COLOUR_MAG = np.array([2.6, 0.9, 0.0, -0.3, -0.45, -0.5])
"""Magnitude in u to y minus r of a lensed star [mag]: K dwarfs and giants of the disc, Covey et al. 2007,
doi:10.1086/522052."""


def _logistic(value: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -60.0, 60.0))))


def _bazin(points: Points, *, peak_d: float, rise_d: float, fall_d: FloatArray, colour_mag: FloatArray) -> FloatArray:
    """Return Bazin's curve scaled to its closed-form maximum in each band; ``days`` count from explosion."""
    fall = fall_d[points.band]
    share = rise_d / fall
    top = (share / (1.0 - share)) ** share * (1.0 - share)
    to_peak = rise_d * np.log(1.0 / share - 1.0)
    late = points.days / points.timescale_d - peak_d + to_peak
    shape = np.exp(-np.clip(late, -20.0 * rise_d, None) / fall) * _logistic(late / rise_d) / top
    return np.where(points.days > 0.0, coloured(points, colour_mag) * shape, 0.0)


def supernova_ia(points: Points) -> FloatArray:
    """Return Bazin's rise and fall; ``days`` count from explosion, the peak is about 17 d later."""
    late = points.days / points.timescale_d - 17.0
    shape = np.exp(-np.clip(late, -20.0, None) / SN_IA_FALL_D[points.band]) * _logistic(late / SN_IA_RISE_D)
    return np.where(points.days > 0.0, 1.55 * coloured(points, SN_IA_COLOUR_MAG) * shape, 0.0)


def supernova_ii(points: Points) -> FloatArray:
    """Return Villar's rise, plateau and fall; ``days`` count from explosion."""
    late = points.days - 8.0
    on_plateau = 1.0 - SN_II_PLATEAU_SLOPE[points.band] * np.clip(late, 0.0, SN_II_PLATEAU_D)
    fall = np.exp(-np.clip(late - SN_II_PLATEAU_D, 0.0, None) / SN_II_FALL_D)
    shape = on_plateau * fall * _logistic(late / SN_II_RISE_D)
    return np.where(points.days > 0.0, coloured(points, SN_II_COLOUR_MAG) * shape, 0.0)


def supernova_ibc(points: Points) -> FloatArray:
    """Return the rise and fall of a stripped-envelope supernova; ``days`` count from explosion."""
    return _bazin(
        points,
        peak_d=SN_IBC_PEAK_D,
        rise_d=SN_IBC_RISE_D,
        fall_d=SN_IBC_FALL_D,
        colour_mag=SN_IBC_COLOUR_MAG,
    )


def superluminous(points: Points) -> FloatArray:
    """Return the slow, blue curve of a superluminous supernova; ``days`` count from explosion."""
    return _bazin(
        points,
        peak_d=SUPERLUMINOUS_PEAK_D,
        rise_d=SUPERLUMINOUS_RISE_D,
        fall_d=SUPERLUMINOUS_FALL_D,
        colour_mag=SUPERLUMINOUS_COLOUR_MAG,
    )


def tidal_disruption(points: Points) -> FloatArray:
    """Return a Gaussian rise and a power-law decay of constant colour; ``days`` count from the onset."""
    late = points.days / points.timescale_d - DISRUPTION_PEAK_D
    rise = np.exp(-0.5 * (np.clip(late, None, 0.0) / DISRUPTION_RISE_D) ** 2)
    decay = (1.0 + np.clip(late, 0.0, None) / DISRUPTION_DECAY_D) ** DISRUPTION_INDEX
    return np.where(points.days > 0.0, coloured(points, DISRUPTION_COLOUR_MAG) * rise * decay, 0.0)


def kilonova(points: Points) -> FloatArray:
    """Return the fading and reddening of AT2017gfo; ``peak_njy`` is the r flux one day after the merger.

    Notes
    -----
    Magnitudes are interpolated in time; before the first a rise replaces them, after the last the slope goes on.
    """
    days = points.days / points.timescale_d
    reference = KILONOVA_MAG[2, np.searchsorted(KILONOVA_DAYS, 1.0)]
    place = np.clip(np.searchsorted(KILONOVA_DAYS, days) - 1, 0, len(KILONOVA_DAYS) - 2)
    first, last = KILONOVA_DAYS[place], KILONOVA_DAYS[place + 1]
    share = (np.clip(days, KILONOVA_DAYS[0], None) - first) / (last - first)
    before, after = KILONOVA_MAG[points.band, place], KILONOVA_MAG[points.band, place + 1]
    magnitude = before + (after - before) * share - reference
    rise = -np.expm1(-np.clip(days, 0.0, KILONOVA_DAYS[0]) / KILONOVA_RISE_D) / -np.expm1(
        -KILONOVA_DAYS[0] / KILONOVA_RISE_D
    )
    return np.where(points.days > 0.0, points.peak_njy * 10.0 ** (-0.4 * magnitude) * rise, 0.0)


def afterglow(points: Points) -> FloatArray:
    """Return a power law in time and frequency; ``peak_njy`` is the r flux one hour after the burst."""
    hours = np.clip(points.days, AFTERGLOW_ONSET_D, None) * 24.0
    spectrum = (BAND_WAVELENGTH_NM[points.band] / BAND_WAVELENGTH_NM[2]) ** AFTERGLOW_SPECTRAL_INDEX
    return np.where(points.days > 0.0, points.peak_njy * hours**-AFTERGLOW_DECAY * spectrum, 0.0)


def off_axis_afterglow(points: Points) -> FloatArray:
    """Return a late rise and fall, the jet seen from the side; ``timescale_d`` is the time of the peak."""
    turn = np.clip(points.days / points.timescale_d, 1e-6, None)
    both = turn ** (-OFF_AXIS_RISE * OFF_AXIS_SHARPNESS) + turn ** (OFF_AXIS_DECAY * OFF_AXIS_SHARPNESS)
    shape = (0.5 * both) ** (-1.0 / OFF_AXIS_SHARPNESS)
    spectrum = (BAND_WAVELENGTH_NM[points.band] / BAND_WAVELENGTH_NM[2]) ** OFF_AXIS_SPECTRAL_INDEX
    return np.where(points.days > 0.0, points.peak_njy * shape * spectrum, 0.0)


def microlensing(points: Points) -> FloatArray:
    """Return the light that a point lens adds to a point source; ``timescale_d`` is the Einstein time.

    Notes
    -----
    ``peak_njy`` is the lensed star's r flux and ``amplitude_mag`` the brightening at the closest approach, at day 0.

    References
    ----------
    Paczynski 1986, doi:10.1086/164140, equations 1 and 3.
    """
    largest = 10.0 ** (0.4 * points.amplitude_mag)
    impact_squared = 2.0 * largest / np.sqrt(largest**2 - 1.0) - 2.0
    u_squared = impact_squared + (points.days / points.timescale_d) ** 2
    gain = (u_squared + 2.0) / np.sqrt(u_squared * (u_squared + 4.0))
    return np.asarray(coloured(points, LENSED_COLOUR_MAG) * (gain - 1.0))


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
    return np.asarray(coloured(points, FLARE_COLOUR_MAG) * shape)
