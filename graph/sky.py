"""The sky: HEALPix cells and intervals, separations, and the probability map. The one shim over the geometry library.

Cells are NESTED HEALPix. A set of cells is an array of half-open intervals of order-29 pixels, so that cells of every
order, multi-order maps and index look-ups in the graph share one form. Positions are ICRS [deg].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy import units
from astropy.coordinates import Latitude, Longitude
from cdshealpix import nested
from numpy.typing import ArrayLike, NDArray

from graph.errors import SkyMapError

if TYPE_CHECKING:
    from collections.abc import Callable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MAX_ORDER = 29
"""Deepest HEALPix order whose NESTED index fits a signed 64-bit integer; a pixel is 0.4 milliarcsec wide."""

N_PIXELS = 12 * 4**MAX_ORDER
"""Pixels on the whole sky at `MAX_ORDER`."""

SKY_SR = 4.0 * np.pi
"""Solid angle of the whole sky [sr]."""

DEG2_PER_SR = float(np.degrees(1.0)) ** 2
"""Square degrees in a steradian: (180 / pi)^2."""

PIXEL_SR = SKY_SR / N_PIXELS
"""Solid angle of one pixel at `MAX_ORDER` [sr]; all HEALPix cells of an order have the same."""

INTEGRAL_TOLERANCE = 1e-3
"""Largest accepted departure of a map's total probability from 1; float32 maps of millions of cells stay well below."""

DEFAULT_MAX_RANGES = 256
"""Ranges of a look-up cover: some 20 per cent more sky than asked for a circle, and still one short index query."""

NO_PIXEL = -1
"""Pixel of a position that is not on the sky (not finite, or beyond a pole)."""


@dataclass(frozen=True, eq=False, slots=True)
class SkyMap:
    """A multi-order probability map as sorted, disjoint order-29 NESTED intervals.

    Raises
    ------
    SkyMapError : the intervals are not ascending, disjoint and on the sky, or the densities do not integrate to 1.
    """

    start: IntArray
    """(m,) first order-29 pixel of each cell, ascending."""
    stop: IntArray
    """(m,) one past the last order-29 pixel of each cell."""
    probability_density_sr: FloatArray
    """(m,) [1/sr]; integrates to 1."""
    distance_mu_mpc: FloatArray | None = None
    """(m,) location of the distance distribution along each line of sight [Mpc]; LVK DISTMU."""
    distance_sigma_mpc: FloatArray | None = None
    """(m,) its scale [Mpc]; LVK DISTSIGMA."""
    distance_norm_mpc2: FloatArray | None = None
    """(m,) its normalisation [Mpc^-2]; LVK DISTNORM."""

    def __post_init__(self) -> None:
        """Fix the types and refuse what is not a probability on the sky."""
        for name in ("start", "stop"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.int64))
        layers = ("probability_density_sr", "distance_mu_mpc", "distance_sigma_mpc", "distance_norm_mpc2")
        for name in layers:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
                if getattr(self, name).shape != self.start.shape:
                    raise SkyMapError(f"the layer {name} has not one value for each cell")
        _check_intervals(self.start, self.stop)
        density = self.probability_density_sr
        if not np.all(np.isfinite(density)) or float(density.min()) < 0.0:
            raise SkyMapError("a probability density is negative or not finite")
        total = float(np.dot(density, self.cell_sr))
        if abs(total - 1.0) > INTEGRAL_TOLERANCE:
            raise SkyMapError(f"the map integrates to {total:.6g}, not to 1")

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.start)

    @property
    def cell_sr(self) -> FloatArray:
        """(m,) solid angle of each cell [sr]."""
        return (self.stop - self.start) * PIXEL_SR


def _check_intervals(start: IntArray, stop: IntArray) -> None:
    """Refuse intervals that are not ascending, disjoint and on the sky."""
    if start.ndim != 1 or start.shape != stop.shape or len(start) == 0:
        raise SkyMapError("a map needs one start and one stop for each of at least one cell")
    if int(start[0]) < 0 or int(stop[-1]) > N_PIXELS:
        raise SkyMapError("a cell lies outside the sky")
    if np.any(stop <= start) or np.any(start[1:] < stop[:-1]):
        raise SkyMapError("the cells are not ascending and disjoint")


def ang2pix(ra_deg: ArrayLike, dec_deg: ArrayLike) -> IntArray:
    """Return the order-29 NESTED pixel of each position.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS]; right ascensions wrap.

    Returns
    -------
    (n,) pixel, `NO_PIXEL` where the position is not on the sky.
    """
    ra, dec = np.atleast_1d(np.asarray(ra_deg, dtype=np.float64)), np.atleast_1d(np.asarray(dec_deg, dtype=np.float64))
    valid = on_sky(ra, dec)
    if not np.all(valid):
        # The library aborts on such numbers instead of raising.
        ra, dec = np.where(valid, ra, 0.0), np.where(valid, dec, 0.0)
    # One thread: callers are Spark workers and services that share their machine's cores already.
    pixel = nested.lonlat_to_healpix(Longitude(ra, units.deg), Latitude(dec, units.deg), MAX_ORDER, num_threads=1)
    pixel = pixel.view(np.int64)
    return pixel if np.all(valid) else np.where(valid, pixel, NO_PIXEL)


def on_sky(ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
    """Return which positions are finite and between the poles."""
    return np.asarray(np.isfinite(ra_deg) & (np.abs(dec_deg) <= 90.0), dtype=np.bool_)


def unit_vectors(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return unit vectors (..., 3) of positions [deg, ICRS]."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def tangents(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the unit vectors (..., 3) towards east and north at ICRS positions [deg]."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return east, north


def cell_centres(order: int, cell: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return right ascension and declination [deg] of the centres of NESTED cells of one order."""
    lon, lat = nested.healpix_to_lonlat(cell.astype(np.uint64), np.uint8(order), num_threads=1)
    return np.asarray(lon.deg, dtype=np.float64), np.asarray(lat.deg, dtype=np.float64)


def cell_radius_deg(order: int) -> float:
    """Return the largest distance [deg] from a cell's centre to a point of it, over all cells of an order.

    Notes
    -----
    The most elongated cells are those just poleward of the equatorial belt (z = 2/3): their centre lies on the
    belt's edge and their far corner one ring step towards the pole (Gorski et al. 2005, doi:10.1086/427976).
    """
    nside = 2**order
    z_far = 1.0 - (1.0 - 1.0 / nside) ** 2 / 3.0
    azimuth = np.pi / (4.0 * nside)
    belt, far = np.degrees(np.arcsin(2.0 / 3.0)), np.degrees(np.arcsin(z_far))
    return float(separation_deg(np.degrees(azimuth), belt, 0.0, far))


def cells_to_ranges(order: ArrayLike, cell: ArrayLike) -> tuple[IntArray, IntArray]:
    """Return start and stop of the order-29 interval of each NESTED cell.

    Parameters
    ----------
    order : scalar or (m,) HEALPix order of each cell, 0 to 29.
    cell : (m,) NESTED index at that order.

    Raises
    ------
    SkyMapError : an order or a cell does not exist.
    """
    orders = np.asarray(order, dtype=np.int64)
    cells = np.asarray(cell, dtype=np.int64)
    if np.any(orders < 0) or np.any(orders > MAX_ORDER):
        raise SkyMapError(f"a HEALPix order is not between 0 and {MAX_ORDER}")
    if np.any(cells < 0) or np.any(cells >= 12 * np.left_shift(1, 2 * orders)):
        raise SkyMapError("a HEALPix cell does not exist at its order")
    shift = 2 * (MAX_ORDER - orders)
    return np.left_shift(cells, shift), np.left_shift(cells + 1, shift)


def uniq_to_cells(uniq: ArrayLike) -> tuple[IntArray, IntArray]:
    """Return order and NESTED index of cells in the UNIQ numbering, ``4 * 4**order + cell``.

    Raises
    ------
    SkyMapError : a number is not a UNIQ index.
    """
    values = np.asarray(uniq, dtype=np.int64)
    if np.any(values < 4) or np.any(values >= 16 * 4**MAX_ORDER):
        raise SkyMapError("a number is not a HEALPix UNIQ index")
    quarter = values >> 2
    high_bit = np.frexp(quarter.astype(np.float64))[1].astype(np.int64) - 1
    # Rounding to float64 may carry into the next power of two; the true power never exceeds the value.
    high_bit -= np.left_shift(np.int64(1), high_bit) > quarter
    order = high_bit // 2
    return order, values - np.left_shift(np.int64(4), 2 * order)


def haversine(ra_deg: ArrayLike, dec_deg: ArrayLike, ra0_deg: float, dec0_deg: float) -> FloatArray:
    """Return (1 - cos(separation)) / 2 of each position from one point; exact to rounding at small separations."""
    ra, dec = np.radians(np.asarray(ra_deg, dtype=np.float64)), np.radians(np.asarray(dec_deg, dtype=np.float64))
    ra0, dec0 = np.radians(ra0_deg), np.radians(dec0_deg)
    value = np.sin((dec - dec0) / 2.0) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2.0) ** 2
    return np.asarray(np.minimum(value, 1.0), dtype=np.float64)


def separation_deg(ra1_deg: ArrayLike, dec1_deg: ArrayLike, ra2_deg: ArrayLike, dec2_deg: ArrayLike) -> FloatArray:
    """Return the angle between positions [deg], accurate from zero to the antipode.

    References
    ----------
    Vincenty (1975), doi:10.1179/sre.1975.23.176.88, for a sphere.
    """
    ra1, dec1, ra2, dec2 = (np.radians(np.asarray(x, dtype=np.float64)) for x in (ra1_deg, dec1_deg, ra2_deg, dec2_deg))
    d_ra = ra2 - ra1
    east = np.cos(dec2) * np.sin(d_ra)
    north = np.cos(dec1) * np.sin(dec2) - np.sin(dec1) * np.cos(dec2) * np.cos(d_ra)
    along = np.sin(dec1) * np.sin(dec2) + np.cos(dec1) * np.cos(dec2) * np.cos(d_ra)
    return np.asarray(np.degrees(np.arctan2(np.hypot(east, north), along)), dtype=np.float64)


def merge_ranges(ranges: IntArray) -> IntArray:
    """Return the union of half-open intervals as sorted, disjoint, non-touching intervals.

    Parameters
    ----------
    ranges : (k, 2) start and stop, any order, overlaps allowed.
    """
    if len(ranges) == 0:
        return ranges.reshape(0, 2)
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.flatnonzero(np.concatenate(([True], ordered[1:, 0] > reach[:-1])))
    last = np.concatenate((first[1:] - 1, [len(ordered) - 1]))
    return np.stack((ordered[first, 0], reach[last]), axis=1)


def limit_ranges(ranges: IntArray, max_ranges: int) -> IntArray:
    """Return at most ``max_ranges`` intervals that enclose sorted, disjoint ones and add the least to them.

    Parameters
    ----------
    ranges : (k, 2) sorted, disjoint.
    """
    if len(ranges) <= max_ranges:
        return ranges
    gaps = ranges[1:, 0] - ranges[:-1, 1]
    kept = np.sort(np.argsort(-gaps, kind="stable")[: max(max_ranges, 1) - 1])
    starts = np.concatenate((ranges[:1, 0], ranges[kept + 1, 0]))
    stops = np.concatenate((ranges[kept, 1], ranges[-1:, 1]))
    return np.stack((starts, stops), axis=1)


def cover_where(touches: Callable[[FloatArray, FloatArray, float], BoolArray], max_ranges: int) -> IntArray:
    """Return intervals that enclose every point of a region, refined from the twelve base cells down.

    Parameters
    ----------
    touches : called with centres [deg] and a radius [deg]; must be true where a disc may touch the region.
    max_ranges : most intervals to return; the smallest gaps are closed first.

    Returns
    -------
    (k, 2) order-29 start and stop, sorted, disjoint.
    """
    cells = np.arange(12, dtype=np.int64)
    ranges = np.empty((0, 2), dtype=np.int64)
    for order in range(MAX_ORDER + 1):
        cells = cells[touches(*cell_centres(order, cells), cell_radius_deg(order))]
        ranges = merge_ranges(np.stack(cells_to_ranges(order, cells), axis=1))
        if len(ranges) > max_ranges or len(cells) > _MAX_COVER_CELLS or len(cells) == 0:
            break
        cells = (4 * cells[:, None] + np.arange(4)).ravel()
    return limit_ranges(ranges, max_ranges)


_MAX_COVER_CELLS = 30_000
"""Cells at which a cover is fine enough: refining stops before it costs more than some 10 ms."""


def cone_ranges(ra_deg: float, dec_deg: float, radius_deg: float, max_ranges: int = DEFAULT_MAX_RANGES) -> IntArray:
    """Return order-29 intervals that enclose a cone of any radius.

    Parameters
    ----------
    ra_deg, dec_deg, radius_deg : centre and radius [deg, ICRS].

    Returns
    -------
    (k, 2) start and stop, sorted, disjoint; a superset of the cone.
    """

    def touches(ra: FloatArray, dec: FloatArray, radius: float) -> BoolArray:
        return np.asarray(separation_deg(ra, dec, ra_deg, dec_deg) <= radius + radius_deg, dtype=np.bool_)

    return cover_where(touches, max_ranges)
