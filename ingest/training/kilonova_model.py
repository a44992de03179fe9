"""Light curves of kilonovae from first principles: ejecta heated by the decay of r-process nuclei, as blackbodies.

Three ejecta, lanthanide-poor to lanthanide-rich, shine side by side. The forms are published, the code is ours;
spectral lines are not modelled, which makes the reddest bands of late times uncertain by half a magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG
from ingest.simulate.source_classes import BAND_WAVELENGTH_NM

FloatArray = NDArray[np.float64]

SOLAR_MASS_G, LIGHT_CM_S, DAY_S, PARSEC_CM = 1.98841e33, 2.99792458e10, 86400.0, 3.0856775815e18
"""Mass of the Sun [g], speed of light [cm/s], day [s], parsec [cm]; IAU 2015 and CODATA 2018."""

STEFAN_BOLTZMANN, PLANCK_ERG_S, BOLTZMANN_ERG_K = 5.670374419e-5, 6.62607015e-27, 1.380649e-16
"""Constants of radiation [erg cm^-2 s^-1 K^-4], [erg s], [erg/K]; CODATA 2018."""

HEATING_ERG_S_G, HEATING_T0_S, HEATING_SIGMA_S, HEATING_INDEX = 4e18, 1.3, 0.11, 1.3
"""Heating by the r-process; Korobkin et al. 2012, doi:10.1111/j.1365-2966.2012.21859.x, equation 4."""

THERMAL_A, THERMAL_B, THERMAL_D = 0.56, 0.17, 0.74
"""Thermalisation of 0.01 solar masses at 0.1 c; Barnes et al. 2016, doi:10.3847/0004-637X/829/2/110, table 1."""

DIFFUSION_BETA = 13.4
"""Geometry of the diffusion time; Villar et al. 2017, doi:10.3847/2041-8213/aa9c84, equation 3."""

OPACITY_CM2_G = np.array([0.5, 3.0, 10.0])
"""Opacity of the ejecta poor, middling and rich in lanthanides [cm^2/g]; same source, fixed there too."""

MASS_RANGE = np.array([[0.002, 0.05], [0.005, 0.08], [0.001, 0.04]])
"""Ejected mass [solar masses], even in the logarithm: around the 0.020, 0.047 and 0.011 of AT2017gfo, same source."""

VELOCITY_RANGE = np.array([[0.15, 0.35], [0.08, 0.25], [0.08, 0.25]])
"""Velocity [c]: around the 0.266, 0.152 and 0.137 of AT2017gfo, same source."""

FLOOR_RANGE_K = np.array([[600.0, 4000.0], [1000.0, 3500.0], [1000.0, 4000.0]])
"""Temperature at which the photosphere begins to recede [K]: around 674, 1308 and 3745 of AT2017gfo, same source."""

AT2017GFO_MASS = np.array([0.020, 0.047, 0.011])
"""Masses of AT2017gfo [solar masses], same source, table 2."""
AT2017GFO_VELOCITY = np.array([0.266, 0.152, 0.137])
"""Velocities [c], same source."""
AT2017GFO_FLOOR_K = np.array([674.0, 1308.0, 3745.0])
"""Floors of the temperature [K], same source."""

GRID_D = np.geomspace(0.01, 40.0, 160)
"""Times after the merger at which the models are computed [d, rest frame]."""


@dataclass(frozen=True, eq=False, slots=True)
class Ejecta:
    """n kilonovae of three ejecta each."""

    mass: FloatArray
    """(n, 3) [solar masses]."""
    velocity: FloatArray
    """(n, 3) [c]."""
    floor_k: FloatArray
    """(n, 3) [K]."""


def draw_ejecta(n: int, rng: np.random.Generator) -> Ejecta:
    """Draw n kilonovae; a third of them lacks the blue ejecta, as when the remnant collapses at once."""
    low, high = np.log(MASS_RANGE).T
    mass = np.exp(rng.uniform(low, high, (n, 3)))
    mass[rng.random(n) < 1.0 / 3.0, 0] = 1e-5
    slow, fast = VELOCITY_RANGE.T
    cold, warm = FLOOR_RANGE_K.T
    return Ejecta(mass, rng.uniform(slow, fast, (n, 3)), rng.uniform(cold, warm, (n, 3)))


def luminosity(ejecta: Ejecta) -> FloatArray:
    """Return the bolometric luminosity (n, 3, t) [erg/s] on `GRID_D`.

    Notes
    -----
    One zone: what the heating gives leaves after the diffusion time, Arnett 1982, doi:10.1086/159681.
    """
    seconds = GRID_D * DAY_S
    age = 0.5 - np.arctan((seconds - HEATING_T0_S) / HEATING_SIGMA_S) / np.pi
    spread = 2.0 * THERMAL_B * GRID_D**THERMAL_D
    thermal = 0.36 * (np.exp(-THERMAL_A * GRID_D) + np.log1p(spread) / spread)
    heating = HEATING_ERG_S_G * age**HEATING_INDEX * thermal
    mass_g = ejecta.mass[..., None] * SOLAR_MASS_G
    speed = ejecta.velocity[..., None] * LIGHT_CM_S
    diffusion = np.sqrt(2.0 * OPACITY_CM2_G[:, None] * mass_g / (DIFFUSION_BETA * speed * LIGHT_CM_S))
    # The square of the age grows by many decades: each step's share is folded in before the exponential overflows.
    late = (seconds / diffusion) ** 2
    total = np.empty_like(late)
    stored = mass_g[..., 0] * heating[0] * (1.0 - np.exp(-late[..., 0]))
    total[..., 0] = stored
    for step in range(1, len(seconds)):
        lost = np.exp(late[..., step - 1] - late[..., step])
        given = mass_g[..., 0] * 0.5 * (heating[step - 1] + heating[step])
        stored = stored * lost + given * (1.0 - lost)
        total[..., step] = stored
    return total


def flux_at_10pc(ejecta: Ejecta, wavelength_nm: FloatArray) -> FloatArray:
    """Return the flux (n, w, t) [nJy] at 10 pc and rest-frame wavelengths (w,) on `GRID_D`."""
    bright = luminosity(ejecta)
    radius = ejecta.velocity[..., None] * LIGHT_CM_S * GRID_D * DAY_S
    warmth = (bright / (4.0 * np.pi * STEFAN_BOLTZMANN * radius**2)) ** 0.25
    floor = ejecta.floor_k[..., None]
    receded = np.sqrt(bright / (4.0 * np.pi * STEFAN_BOLTZMANN * floor**4))
    radius, warmth = np.where(warmth > floor, radius, receded), np.maximum(warmth, floor)
    frequency = LIGHT_CM_S / (wavelength_nm * 1e-7)
    flux = np.zeros((len(ejecta.mass), len(wavelength_nm), len(GRID_D)))
    for part in range(3):
        exponent = PLANCK_ERG_S * frequency[:, None] / (BOLTZMANN_ERG_K * warmth[:, part, None, :])
        planck = 2.0 * PLANCK_ERG_S * frequency[:, None] ** 3 / LIGHT_CM_S**2 / np.expm1(np.clip(exponent, 0.0, 500.0))
        flux += np.pi * planck * (radius[:, part, None, :] / (10.0 * PARSEC_CM)) ** 2
    # 1 nJy is 1e-32 erg s^-1 cm^-2 Hz^-1.
    return np.asarray(flux * 1e32, dtype=np.float64)


def absolute_magnitude(flux_njy: FloatArray) -> FloatArray:
    """Return the AB magnitude of fluxes at 10 pc [nJy]."""
    return np.asarray(AB_ZERO_POINT_NJY_MAG - 2.5 * np.log10(np.maximum(flux_njy, 1e-30)))


def observed_flux(ejecta: Ejecta, redshift: FloatArray, distance_mpc: FloatArray) -> FloatArray:
    """Return the flux (n, 6, t) [nJy] in u to y at ``GRID_D * (1 + z)`` after the merger, each object at its redshift.

    Parameters
    ----------
    redshift, distance_mpc : (n,), luminosity distance [Mpc].
    """
    out = np.empty((len(redshift), len(BAND_WAVELENGTH_NM), len(GRID_D)))
    for row, z in enumerate(redshift):
        one = Ejecta(*(value[row : row + 1] for value in (ejecta.mass, ejecta.velocity, ejecta.floor_k)))
        near = flux_at_10pc(one, BAND_WAVELENGTH_NM / (1.0 + z))[0]
        out[row] = near * (1.0 + z) * (1e-5 / distance_mpc[row]) ** 2
    return out
