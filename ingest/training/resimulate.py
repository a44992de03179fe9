"""Observe labelled supernovae anew: at another redshift, with another cadence and depth.

A Gaussian process over time and wavelength stands for what a supernova emitted. It is asked for the fluxes that another
visit to it at another distance would have measured; visits where it does not know are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular  # type: ignore[import-untyped, unused-ignore]

from graph.errors import ModelError
from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

WAVELENGTH_NM: Final = np.array([367.0, 482.0, 622.0, 755.0, 869.0, 971.0])
"""Effective wavelengths of LSST's u, g, r, i, z, y [nm]; LSST Science Book, arXiv:0912.0201, table 2.1. Those of DES
and ZTF differ by less than 2 % in the bands they share."""

WAVELENGTH_SCALE_NM: Final = 600.0
"""Length of the process in wavelength [nm]; Boone 2019, doi:10.3847/1538-3881/ab5182."""

TIME_SCALES_D: Final = (8.0, 16.0, 30.0, 55.0)
"""Lengths of the process in time [d] that are tried; the most likely one is taken."""

BEFORE_D: Final = 60.0
"""From this long before the brightest night a light curve is modelled [d]."""

AFTER_D: Final = 150.0
"""To this long after it [d]."""

KNOWN: Final = 0.2
"""Visits where the process's own error exceeds this share of the peak, and the visit's noise, are left out."""

MOST_POINTS: Final = 220
"""Points that a process is made of: more only cost time."""

CALIBRATION_FLOOR: Final = 0.01
"""Relative error that no photometry beats: LSST's requirement, LSE-29; also steadies the inversion."""

OMEGA_M: Final = 0.3
"""Matter density of the flat universe in which distances are scaled; only ratios of distances matter."""


@dataclass(frozen=True, eq=False, slots=True)
class Emitter:
    """What a supernova emitted, as far as its light curve tells."""

    time_d: FloatArray
    """(p,) of the points since the brightest night [d], observed."""
    wavelength_nm: FloatArray
    """(p,) observed."""
    weights: FloatArray
    """(p,) of the points: inverse covariance times flux."""
    factor: FloatArray
    """(p, p) lower triangle of the covariance's Cholesky factor, in units of `peak_njy` squared."""
    time_scale_d: float
    peak_njy: float
    """Brightest flux [nJy]."""
    redshift: float

    def flux_njy(self, time_d: FloatArray, wavelength_nm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return flux and its error (q,) [nJy] at times since the brightest night, as observed at its own redshift."""
        cross = _covariance(time_d, wavelength_nm, self.time_d, self.wavelength_nm, self.time_scale_d)
        solved = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        variance = np.clip(1.0 - (solved**2).sum(axis=0), 0.0, None)
        return self.peak_njy * (cross @ self.weights), self.peak_njy * np.sqrt(variance)


@dataclass(frozen=True, eq=False, slots=True)
class Visits:
    """When, in which bands and how deep one place was observed."""

    time_d: FloatArray
    """(v,) since the brightest night [d]."""
    band: NDArray[np.int8]
    noise_njy: FloatArray
    """(v,) 1 sigma of the sky [nJy]."""


@dataclass(frozen=True, eq=False, slots=True)
class Observed:
    """One supernova observed anew."""

    time_d: FloatArray
    """(v,) since the brightest night of the original [d]; ascending."""
    band: NDArray[np.int8]
    flux_njy: FloatArray
    flux_err_njy: FloatArray


def luminosity_distance(redshift: FloatArray | float) -> FloatArray:
    """Return the luminosity distance in units of c/H0, flat universe; trapezoids of 200 steps, good to 1e-4."""
    steps = np.linspace(0.0, 1.0, 201)
    z = np.asarray(redshift, dtype=np.float64)[..., None] * steps
    inverse = 1.0 / np.sqrt(OMEGA_M * (1.0 + z) ** 3 + 1.0 - OMEGA_M)
    last = np.asarray(redshift, dtype=np.float64)
    return np.asarray((1.0 + last) * last * np.trapezoid(inverse, steps, axis=-1))


def _covariance(
    time_d: FloatArray, wavelength_nm: FloatArray, other_d: FloatArray, other_nm: FloatArray, scale_d: float
) -> FloatArray:
    """Return the covariance (q, p) of unit variance: Matern 3/2 in time and wavelength."""
    squared = ((time_d[:, None] - other_d) / scale_d) ** 2
    squared += ((wavelength_nm[:, None] - other_nm) / WAVELENGTH_SCALE_NM) ** 2
    distance = np.sqrt(3.0 * squared)
    return np.asarray((1.0 + distance) * np.exp(-distance))


def emitter(
    time_d: FloatArray, band: NDArray[np.int8], flux_njy: FloatArray, flux_err_njy: FloatArray, redshift: float
) -> Emitter | None:
    """Model what a supernova emitted; None where the light curve has no flux to speak of.

    Parameters
    ----------
    time_d : (p,) since the brightest night [d].
    """
    kept = np.flatnonzero((time_d >= -BEFORE_D) & (time_d <= AFTER_D))
    kept = kept[:: len(kept) // MOST_POINTS + 1]
    good = flux_njy[kept] > 5.0 * flux_err_njy[kept]
    if not good.any() or redshift <= 0.0:
        return None
    peak = float(flux_njy[kept][good].max())
    time, wavelength, flux = time_d[kept], WAVELENGTH_NM[band[kept]], flux_njy[kept] / peak
    noise = np.hypot(flux_err_njy[kept] / peak, CALIBRATION_FLOOR)
    best: tuple[float, Emitter] | None = None
    for scale in TIME_SCALES_D:
        covariance = _covariance(time, wavelength, time, wavelength, scale) + np.diag(noise**2)
        factor = cho_factor(covariance, lower=True, check_finite=False)[0]
        weights = cho_solve((factor, True), flux, check_finite=False)
        likelihood = -0.5 * float(flux @ weights) - float(np.log(np.diag(factor)).sum())
        if best is None or likelihood > best[0]:
            best = (likelihood, Emitter(time, wavelength, weights, factor, scale, peak, redshift))
    if best is None:
        raise ModelError("no length in time was tried")
    return best[1]


def observe(
    source: Emitter, redshift: float, visits: Visits, rng: np.random.Generator, *, dim: float = 1.0
) -> Observed:
    """Return the light curve of a supernova at another redshift.

    Parameters
    ----------
    dim : factor of the fluxes beside that of the distance, e.g. for dust.
    """
    stretch = (1.0 + redshift) / (1.0 + source.redshift)
    ratio = luminosity_distance(np.array([source.redshift, redshift]))
    brighten = dim * stretch * float(ratio[0] / ratio[1]) ** 2
    flux, unsure = source.flux_njy(visits.time_d / stretch, WAVELENGTH_NM[visits.band] / stretch)
    flux, unsure = flux * brighten, unsure * brighten
    noise = np.hypot(visits.noise_njy, CALIBRATION_FLOOR * flux)
    kept = unsure < np.maximum(KNOWN * source.peak_njy * brighten, noise)
    kept &= (visits.time_d / stretch >= -BEFORE_D) & (visits.time_d / stretch <= AFTER_D)
    flux, noise = flux[kept], noise[kept]
    return Observed(visits.time_d[kept], visits.band[kept], flux + noise * rng.normal(size=len(flux)), noise)


def redshift_for(source: Emitter, peak_njy: float, *, lowest: float = 0.003) -> float:
    """Return the redshift at which the brightest flux would be ``peak_njy``, its spectrum taken as flat.

    Never below ``lowest``, and never so low that the r band would show what is beyond the reddest observed one.
    """
    lowest = max(lowest, (1.0 + source.redshift) * WAVELENGTH_NM[2] / (WAVELENGTH_NM[-1] + 60.0) - 1.0)
    grid = np.geomspace(lowest, max(3.0, 2.0 * lowest), 400)
    brighten = (1.0 + grid) / (1.0 + source.redshift)
    brighten *= (luminosity_distance(source.redshift) / luminosity_distance(grid)) ** 2
    return float(grid[np.argmin(np.abs(np.log(source.peak_njy * brighten / peak_njy)))])


def ztf_visits(rng: np.random.Generator, *, chance: float, depth_mag: float, scatter_mag: float) -> Visits:
    """Return visits of ZTF's public survey in g and r to one place.

    Parameters
    ----------
    chance : that a band is observed in a night.
    depth_mag, scatter_mag : median and scatter of the 5 sigma depth [mag AB].
    """
    time, band = [], []
    for code in (1, 2):
        nights = np.arange(-45.0, 120.0)
        seen = nights[rng.random(len(nights)) < chance]
        time.append(seen + rng.uniform(-0.12, 0.12, len(seen)))
        band.append(np.full(len(seen), code, dtype=np.int8))
    times, bands = np.concatenate(time), np.concatenate(band)
    order = np.argsort(times)
    depth = rng.normal(depth_mag, scatter_mag, len(times))
    return Visits(times[order], bands[order], 10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - depth)) / 5.0)


def lent_visits(lenders: Sequence[Visits], rng: np.random.Generator, *, jitter_d: float = 20.0) -> Visits:
    """Return the visits to another supernova, moved in time by up to ``jitter_d`` [d]."""
    lender = lenders[int(rng.integers(len(lenders)))]
    return Visits(lender.time_d + rng.uniform(-jitter_d, jitter_d), lender.band, lender.noise_njy)
