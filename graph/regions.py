"""Localizations as probability distributions: credible levels, areas, look-up ranges and overlaps.

A `Region` is built once for a revision of an event and then asked for many positions. Circles are mixtures of von
Mises-Fisher distributions, ellipses Gaussians in the equal-area plane about their centre, sky maps their own cells.
The credible level of a position is the probability of all places at least as dense as it, its own cell included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from graph.cell_index import CellIndex
from graph.errors import SkyMapError
from graph.model import Circle, Ellipse, Localization
from graph.raster import RASTER_TOLERANCE, overlap_of_maps, rasterise
from graph.shapes import CircleRegion, EllipseRegion, concentration_of, overlap_of_circles
from graph.sky import (
    DEFAULT_MAX_RANGES,
    DEG2_PER_SR,
    PIXEL_SR,
    SKY_SR,
    FloatArray,
    IntArray,
    SkyMap,
    ang2pix,
    limit_ranges,
    merge_ranges,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LARGEST_PLANE_SIGMA = 0.4
"""Major sigma of an ellipse [rad] above which it becomes a sky map: 4e-6 of it then lies beyond the plane's edge."""


@runtime_checkable
class Region(Protocol):
    """A probability distribution on the sky, ready for many positions. Positions off the sky have level 1."""

    @property
    def peak_level(self) -> float:
        """Credible level of the densest place: 0 for a formula, 1 for a map of one even density."""
        ...

    def credible_level(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) in [0, 1]: the probability of all places at least as dense as each position [deg, ICRS]."""
        ...

    def probability_density_sr(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) probability density [1/sr] at each position [deg, ICRS]."""
        ...

    def searched_area_deg2(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) area [deg2] of all places at least as dense as each position [deg, ICRS]."""
        ...

    def area_deg2(self, level: float) -> float:
        """Return the area [deg2] of the smallest region that holds the probability ``level``."""
        ...

    def separation_deg(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray | None:
        """Return (n,) distance [deg] from the centre; None where there is none."""
        ...

    def cover(self, level: float, max_ranges: int = DEFAULT_MAX_RANGES) -> IntArray:
        """Return (k, 2) sorted order-29 ranges that enclose the credible region of ``level``."""
        ...


class SkyMapRegion:
    """A multi-order map with its credible levels worked out once; O(log m) for each position afterwards.

    Notes
    -----
    Cells of equal density share one level and one searched area: all of them are "at least as dense". Places that no
    cell covers have density 0 and level 1.
    """

    def __init__(self, skymap: SkyMap) -> None:
        self.skymap = skymap
        start, stop, density = _runs_of_equal_density(skymap)
        self._cells = CellIndex(start, stop)
        order = np.argsort(-density, kind="stable")
        area = (stop - start)[order] * PIXEL_SR
        probability = np.cumsum(density[order] * area)
        self._cumulative_sr = np.cumsum(area)
        # The total is 1 to the map's tolerance; levels end at exactly 1.
        self._cumulative_level = np.minimum(probability / probability[-1], 1.0)
        ordered = density[order]
        last = np.searchsorted(-ordered, -ordered, side="right") - 1
        self._order = order
        self.peak_level = float(self._cumulative_level[last[0]])
        # One value more than cells: the last is that of places in no cell, whose number is -1.
        self._density_sr = np.append(density, 0.0)
        self._cell_level = np.ones(len(density) + 1)
        self._cell_level[order] = self._cumulative_level[last]
        self._cell_searched_deg2 = np.full(len(density) + 1, SKY_SR * DEG2_PER_SR)
        self._cell_searched_deg2[order] = self._cumulative_sr[last] * DEG2_PER_SR

    def credible_level(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) credible level of the cell at each position."""
        return self._cell_level[self._cell(ra_deg, dec_deg)]

    def probability_density_sr(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) density [1/sr] of the cell at each position."""
        return self._density_sr[self._cell(ra_deg, dec_deg)]

    def searched_area_deg2(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) area [deg2] of all cells at least as dense as the one at each position."""
        return self._cell_searched_deg2[self._cell(ra_deg, dec_deg)]

    def area_deg2(self, level: float) -> float:
        """Return the area [deg2] of the densest cells that hold ``level``, the last one counted in part."""
        levels = np.concatenate(([0.0], self._cumulative_level))
        areas = np.concatenate(([0.0], self._cumulative_sr))
        return float(np.interp(level, levels, areas)) * DEG2_PER_SR

    def separation_deg(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray | None:  # noqa: ARG002
        """Return None: a map has no centre."""
        return None

    def cover(self, level: float, max_ranges: int = DEFAULT_MAX_RANGES) -> IntArray:
        """Return ranges that enclose the densest cells which hold ``level``."""
        last = min(int(np.searchsorted(self._cumulative_level, level)), len(self._order) - 1)
        kept = self._density_sr[:-1] >= self._density_sr[self._order[last]]
        ranges = np.stack((self._cells.start[kept], self._cells.stop[kept]), axis=1)
        return limit_ranges(merge_ranges(ranges), max_ranges)

    def at_pixels(self, pixel: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return (n,) credible level, density [1/sr] and searched area [deg2] at order-29 pixels, in one look-up."""
        cell = self._cells.find(pixel)
        return self._cell_level[cell], self._density_sr[cell], self._cell_searched_deg2[cell]

    def _cell(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> IntArray:
        """Return the run of cells at each position, -1 where there is none."""
        return self._cells.find(ang2pix(ra_deg, dec_deg))


def _runs_of_equal_density(skymap: SkyMap) -> tuple[IntArray, IntArray, FloatArray]:
    """Return start, stop and density of the longest runs of touching cells of one density.

    Equal cells share one level, so nothing is lost; flat maps made from multi-order ones shrink a hundredfold.
    """
    density = skymap.probability_density_sr
    begins = (skymap.start[1:] != skymap.stop[:-1]) | (density[1:] != density[:-1])
    first = np.flatnonzero(np.concatenate(([True], begins)))
    last = np.concatenate((first[1:], [len(skymap)])) - 1
    return skymap.start[first], skymap.stop[last], density[first]


def region_of(localization: Localization) -> Region:
    """Build the region of a localization, systematic error included.

    Raises
    ------
    SkyMapError : the position is not on the sky, or an error radius or containment makes no distribution.

    Notes
    -----
    A stated radius gives the concentration 1 / sigma^2 of the statistical error. Each systematic blur adds its
    variance, and the result is the mixture over the blurs.
    """
    if isinstance(localization, SkyMap):
        return SkyMapRegion(localization)
    if not (np.isfinite(localization.ra_deg) and abs(localization.dec_deg) <= 90.0):
        raise SkyMapError("the centre of an error region is not on the sky")
    containment = localization.containment_probability
    if not 0.0 < containment < 1.0:
        raise SkyMapError(f"a containment probability of {containment} makes no distribution")
    if isinstance(localization, Ellipse):
        return _ellipse_region(localization)
    if not 0.0 < localization.error_radius_deg < np.inf:
        raise SkyMapError(f"an error radius of {localization.error_radius_deg} deg makes no distribution")
    return _circle_region(localization)


def _circle_region(circle: Circle) -> CircleRegion:
    """Build the mixture of a circle whose numbers are in range."""
    k = concentration_of(circle.error_radius_deg, circle.containment_probability)
    if circle.systematic is None or circle.systematic_included:
        return CircleRegion(circle.ra_deg, circle.dec_deg, (k,), (1.0,))
    sigmas, weights = circle.systematic.sigma_deg, circle.systematic.weight
    usable = len(sigmas) == len(weights) > 0 and min(sigmas) >= 0.0 and min(weights) >= 0.0
    if not (usable and abs(sum(weights) - 1.0) < WEIGHT_SUM_TOLERANCE):
        raise SkyMapError("the shares of a systematic error do not sum to 1")
    blurred = tuple(0.0 if k == 0.0 else 1.0 / (1.0 / k + float(np.radians(sigma)) ** 2) for sigma in sigmas)
    return CircleRegion(circle.ra_deg, circle.dec_deg, blurred, weights)


WEIGHT_SUM_TOLERANCE = 1e-6
"""Largest accepted departure of a mixture's weights from 1; published weights have three digits and sum exactly."""


def _ellipse_region(ellipse: Ellipse) -> Region:
    """Build the region of an ellipse, as a map where it is too wide for a plane."""
    axes = (ellipse.semi_major_deg, ellipse.semi_minor_deg)
    if not (min(axes) > 0.0 and max(axes) < np.inf and np.isfinite(ellipse.position_angle_deg)):
        raise SkyMapError("the axes of an error ellipse make no distribution")
    k_major, k_minor = (concentration_of(axis, ellipse.containment_probability) for axis in axes)
    widest = 0.5 * np.pi
    sigmas = tuple(min(k**-0.5, widest) if k > 0.0 else widest for k in (k_major, k_minor))
    region = EllipseRegion(ellipse.ra_deg, ellipse.dec_deg, (sigmas[0], sigmas[1]), ellipse.position_angle_deg)
    return region if max(sigmas) <= LARGEST_PLANE_SIGMA else SkyMapRegion(to_skymap(region))


def to_skymap(region: Region, tolerance: float = RASTER_TOLERANCE) -> SkyMap:
    """Return a region as a multi-order map; a formula is rasterised.

    Parameters
    ----------
    tolerance : a cell is split while its density may vary by this much probability over it.

    Raises
    ------
    SkyMapError : the region has neither a map nor a formula.
    """
    if isinstance(region, SkyMapRegion):
        return region.skymap
    if isinstance(region, CircleRegion | EllipseRegion):
        return rasterise(region, tolerance)
    raise SkyMapError("a region without a map and without a formula cannot be rasterised")


def overlap_integral(a: Region, b: Region) -> float:
    """Return the overlap of two localizations, 4 pi times the integral of the product of their densities.

    Returns
    -------
    1 when either is uniform, 0 when they are disjoint, 4 pi / A when both are confined to the same area A [sr].

    Notes
    -----
    Exact for two maps, where the cells of one are integrated over the intervals of the other, and for two circles,
    where there is a closed form; other formulae are rasterised first.

    References
    ----------
    Ashton et al. (2018), arXiv:1712.05392.
    """
    if isinstance(a, CircleRegion) and isinstance(b, CircleRegion):
        return overlap_of_circles(a, b)
    return overlap_of_maps(to_skymap(a), to_skymap(b))
