"""Formulae turned into cells: multi-order rasters, look-up covers, and the exact overlap of two maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from graph.sky import (
    MAX_ORDER,
    PIXEL_SR,
    SKY_SR,
    BoolArray,
    FloatArray,
    IntArray,
    SkyMap,
    cell_centres,
    cell_radius_deg,
    cells_to_ranges,
    cover_where,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RASTER_TOLERANCE = 1e-6
"""Probability by which a cell of a raster may vary [1]; overlaps, tails included, are then right to about 1e-3."""

MAX_RASTER_CELLS = 2_000_000
"""Cells at which a raster is no longer refined: 48 MB, and some 50 times what a circle of any size needs."""


class AnalyticDensity(Protocol):
    """A probability density on the sky that can be bounded over a disc."""

    def probability_density_sr(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) density [1/sr] at each position [deg, ICRS]."""
        ...

    def density_bounds_sr(
        self, ra_deg: FloatArray, dec_deg: FloatArray, radius_deg: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return bounds (low, high) [1/sr] of the density in discs about each position; they need not be tight."""
        ...


def rasterise(density: AnalyticDensity, tolerance: float = RASTER_TOLERANCE) -> SkyMap:
    """Turn a density into a multi-order map, fine where it varies, normalised to 1.

    Parameters
    ----------
    tolerance : a cell is split while the density may vary by this much probability over it.
    """
    cells = np.arange(12, dtype=np.int64)
    leaves: list[tuple[IntArray, IntArray, FloatArray]] = []
    n_leaves = 0
    for order in range(MAX_ORDER + 1):
        ra, dec = cell_centres(order, cells)
        low, high = density.density_bounds_sr(ra, dec, cell_radius_deg(order))
        split = (high - low) * (SKY_SR / (12 * 4**order)) > tolerance
        if order == MAX_ORDER or n_leaves + 4 * int(split.sum()) > MAX_RASTER_CELLS:
            split[:] = False
        start, stop = cells_to_ranges(order, cells[~split])
        leaves.append((start, stop, density.probability_density_sr(ra[~split], dec[~split])))
        n_leaves += len(start)
        cells = (4 * cells[split][:, None] + np.arange(4)).ravel()
        if len(cells) == 0:
            break
    starts, stops, values = (np.concatenate(column) for column in zip(*leaves, strict=True))
    by_start = np.argsort(starts)
    starts, stops, values = starts[by_start], stops[by_start], values[by_start]
    return SkyMap(starts, stops, values / np.dot(values, (stops - starts) * PIXEL_SR))


def cover_density(density: AnalyticDensity, threshold_sr: float, max_ranges: int) -> IntArray:
    """Return (k, 2) order-29 ranges that enclose all places at least as dense as a threshold [1/sr]."""
    # A hair below the threshold, so that the contour itself is inside whatever the rounding.
    threshold = threshold_sr * (1.0 - 1e-9)

    def touches(ra_deg: FloatArray, dec_deg: FloatArray, radius_deg: float) -> BoolArray:
        return np.asarray(density.density_bounds_sr(ra_deg, dec_deg, radius_deg)[1] >= threshold, dtype=np.bool_)

    return cover_where(touches, max_ranges)


def overlap_of_maps(a: SkyMap, b: SkyMap) -> float:
    """Return 4 pi times the integral of the product of two maps' densities, by exact intersection of their cells."""
    small, large = (a, b) if len(a) <= len(b) else (b, a)
    before = _probability_before(large, np.concatenate((small.start, small.stop)))
    inside = before[len(small) :] - before[: len(small)]
    return float(SKY_SR * np.dot(small.probability_density_sr, inside))


def _probability_before(skymap: SkyMap, pixel: IntArray) -> FloatArray:
    """Return the probability of all order-29 pixels before each one: piecewise linear in the pixel, so exact."""
    total = np.concatenate(([0.0], np.cumsum(skymap.probability_density_sr * skymap.cell_sr)))
    cell = np.maximum(np.searchsorted(skymap.start, pixel, side="right") - 1, 0)
    covered = np.clip(pixel - skymap.start[cell], 0, skymap.stop[cell] - skymap.start[cell])
    return np.asarray(total[cell] + skymap.probability_density_sr[cell] * (covered * PIXEL_SR), dtype=np.float64)
