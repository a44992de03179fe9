"""Gravitational-wave sky maps as LVK sends them: multi-order HEALPix FITS with a distance in every direction."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy_healpix import HEALPix
from numpy.typing import NDArray

from graph.sky import tangents, unit_vectors
from ingest.simulate.schedule import offset_positions

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COARSEST_ORDER, FINEST_ORDER = 4, 8
"""HEALPix orders of the largest and smallest cells: 3.7 deg and 14 arcmin across, as in BAYESTAR's maps."""

SPLIT_PROBABILITY = 2e-4
"""A cell that holds more than this is split into four; gives some thousand cells for a map of 300 deg2."""

INSIDE_PROBABILITY = 0.85
"""The true place is drawn inside the region of this probability, so that it lies inside the published 90 %."""

DISTANCE_ERROR = 0.25
"""Relative error of the distance; typical of BNS in O3 and O4, LVK public alerts user guide."""


@dataclass(frozen=True, slots=True)
class Banana:
    """A Gaussian in distance from a pole and in azimuth around it: a piece of a ring, as two detectors see it."""

    pole_ra_deg: float
    pole_dec_deg: float
    ring_deg: float
    """Radius of the ring [deg]."""
    azimuth_deg: float
    """Position angle of the middle, seen from the pole [deg]."""
    width_deg: float
    """Sigma across the ring [deg]."""
    length_deg: float
    """Sigma along the ring, in azimuth about the pole [deg]."""

    @property
    def area_90_deg2(self) -> float:
        """Area of the 90 % region [deg2], for a ring much wider than its width."""
        along = self.length_deg * np.sin(np.radians(self.ring_deg))
        return float(2.0 * np.pi * np.log(10.0) * self.width_deg * along)

    def density(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
        """Return the density at positions [deg, ICRS], not normalised."""
        point = unit_vectors(ra_deg, dec_deg)
        centre = np.array(self.pole_ra_deg), np.array(self.pole_dec_deg)
        pole, (east, north) = unit_vectors(*centre), tangents(*centre)
        distance = np.degrees(np.arccos(np.clip(point @ pole, -1.0, 1.0)))
        azimuth = np.degrees(np.arctan2(point @ east, point @ north))
        turn = np.mod(azimuth - self.azimuth_deg + 180.0, 360.0) - 180.0
        across = (distance - self.ring_deg) / self.width_deg
        return np.asarray(np.exp(-0.5 * (across**2 + (turn / self.length_deg) ** 2)))


def draw_banana(rng: np.random.Generator, ra_deg: float, dec_deg: float) -> Banana:
    """Draw a region that contains a position [deg, ICRS]; its 90 % area is between 100 and 1000 deg2."""
    width, along = rng.uniform(1.6, 3.2), rng.uniform(6.0, 14.0)
    ring = rng.uniform(45.0, 75.0)
    length = along / np.sin(np.radians(ring))
    radius = np.sqrt(-2.0 * np.log1p(-INSIDE_PROBABILITY * rng.random()))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    away = ring + width * radius * np.cos(angle)
    pole_ra, pole_dec = offset_positions(
        np.array([ra_deg]), np.array([dec_deg]), np.array([away]), np.array([rng.uniform(0.0, 360.0)])
    )
    toward = _position_angle(float(pole_ra[0]), float(pole_dec[0]), ra_deg, dec_deg)
    middle = toward - length * radius * np.sin(angle)
    return Banana(float(pole_ra[0]), float(pole_dec[0]), ring, float(np.mod(middle, 360.0)), width, length)


def sky_map_fits(region: Banana, distance_mpc: float, superevent_id: str, mjd: float) -> bytes:
    """Write the region as a multi-order FITS file.

    Parameters
    ----------
    distance_mpc : mean distance [Mpc]; the directions differ by a few per cent.
    mjd : time of the merger [d, UTC].

    Notes
    -----
    DISTNORM makes the radial integral of r^2 N(mu, sigma) one; over the whole line it is 1 / (mu^2 + sigma^2).

    References
    ----------
    Singer et al. 2016, doi:10.3847/2041-8205/829/1/L15.
    """
    uniq, density, ra, dec = _cells(region)
    mu = distance_mpc * (1.0 + 0.05 * np.cos(np.radians(ra)) * np.cos(np.radians(dec)))
    sigma = DISTANCE_ERROR * mu
    table = Table(
        {
            "UNIQ": uniq,
            "PROBDENSITY": density,
            "DISTMU": mu,
            "DISTSIGMA": sigma,
            "DISTNORM": 1.0 / (mu**2 + sigma**2),
        }
    )
    hdu = fits.table_to_hdu(table)
    hdu.header.update(
        {
            "TUNIT2": "sr-1",
            "TUNIT3": "Mpc",
            "TUNIT4": "Mpc",
            "TUNIT5": "Mpc-2",
            "PIXTYPE": "HEALPIX",
            "ORDERING": "NUNIQ",
            "COORDSYS": "C",
            "INDXSCHM": "EXPLICIT",
            "MOCORDER": FINEST_ORDER,
            "OBJECT": superevent_id,
            "INSTRUME": "H1,L1",
            "MJD-OBS": mjd,
            "DISTMEAN": distance_mpc,
            "DISTSTD": DISTANCE_ERROR * distance_mpc,
            "ORIGIN": "LIGO/Virgo/KAGRA",
            "CREATOR": "Heliograph simulation",
        }
    )
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    return out.getvalue()


def _cells(region: Banana) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Return UNIQ, density [1/sr] and centre [deg] of cells that are small where the probability is."""
    cells = np.arange(12 * 4**COARSEST_ORDER, dtype=np.int64)
    parts: list[tuple[int, IntArray, FloatArray, FloatArray, FloatArray]] = []
    scale = 1.0
    for order in range(COARSEST_ORDER, FINEST_ORDER + 1):
        ra, dec = _centres(order, cells)
        density = region.density(ra, dec)
        area = 4.0 * np.pi / (12 * 4**order)
        if order == COARSEST_ORDER:
            scale = 1.0 / float(density.sum() * area)
        keep = density * area * scale <= SPLIT_PROBABILITY
        if order == FINEST_ORDER:
            keep[:] = True
        parts.append((order, cells[keep], density[keep], ra[keep], dec[keep]))
        cells = (4 * cells[~keep][:, None] + np.arange(4)).reshape(-1)
    uniq = np.concatenate([4 * 4**order + index for order, index, *_ in parts])
    area = np.concatenate([np.full(len(index), 4.0 * np.pi / (12 * 4**order)) for order, index, *_ in parts])
    density = np.concatenate([part[2] for part in parts])
    density /= float(np.sum(density * area))
    return uniq, density, np.concatenate([part[3] for part in parts]), np.concatenate([part[4] for part in parts])


def _centres(order: int, cells: IntArray) -> tuple[FloatArray, FloatArray]:
    lon, lat = HEALPix(nside=2**order, order="nested").healpix_to_lonlat(cells)
    return lon.to_value("deg"), lat.to_value("deg")


def _position_angle(ra_deg: float, dec_deg: float, to_ra_deg: float, to_dec_deg: float) -> float:
    """Return the angle from north through east of one position seen from another [deg]."""
    turn = np.radians(to_ra_deg - ra_deg)
    here, there = np.radians(dec_deg), np.radians(to_dec_deg)
    east = np.sin(turn) * np.cos(there)
    north = np.cos(here) * np.sin(there) - np.sin(here) * np.cos(there) * np.cos(turn)
    return float(np.degrees(np.arctan2(east, north)))
