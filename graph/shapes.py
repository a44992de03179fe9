"""Error circles and ellipses as probability distributions, from arcseconds to the whole sky.

Circles are mixtures of von Mises-Fisher distributions, ellipses Gaussians in the equal-area plane about their centre.
Both implement `graph.regions.Region`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.raster import cover_density
from graph.sky import (
    DEFAULT_MAX_RANGES,
    DEG2_PER_SR,
    SKY_SR,
    FloatArray,
    IntArray,
    haversine,
    on_sky,
    separation_deg,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

SMALLEST_CONCENTRATION: Final = 1e-8
"""Concentration below which a von Mises-Fisher distribution is the even sky to nine digits [1]."""


class CircleRegion:
    """A mixture of von Mises-Fisher distributions about one centre.

    Notes
    -----
    With x = 1 - cos(separation) and concentration k, the density is k exp(-k x) / (2 pi (1 - exp(-2 k))) and the
    probability within x is (1 - exp(-k x)) / (1 - exp(-2 k)). Both hold from arcseconds to the whole sky, and the
    density falls with the separation, so that this probability is the credible level.

    References
    ----------
    Fisher (1953), doi:10.1098/rspa.1953.0064; for gamma-ray bursts Briggs et al. (1999), ApJS 122, 503.
    """

    def __init__(
        self, ra_deg: float, dec_deg: float, concentration: tuple[float, ...], weight: tuple[float, ...]
    ) -> None:
        self.ra_deg = ra_deg
        self.dec_deg = dec_deg
        self.concentration = concentration
        self.weight = weight
        self.peak_level = 0.0
        self._x_of_known_level: dict[float, float] = {}

    def credible_level(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) probability within each position's separation."""
        level = self._within(2.0 * self._haversine(ra_deg, dec_deg))
        return np.where(np.isfinite(level), level, 1.0)

    def probability_density_sr(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) density [1/sr] at each position."""
        density = self._density(2.0 * self._haversine(ra_deg, dec_deg))
        return np.where(np.isfinite(density), density, 0.0)

    def searched_area_deg2(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) area [deg2] of the cap that reaches to each position."""
        area = SKY_SR * DEG2_PER_SR * self._haversine(ra_deg, dec_deg)
        return np.where(np.isfinite(area), area, SKY_SR * DEG2_PER_SR)

    def area_deg2(self, level: float) -> float:
        """Return the area [deg2] of the cap that holds the probability ``level``."""
        return 0.5 * SKY_SR * DEG2_PER_SR * self._x_of_level(level)

    def separation_deg(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray | None:
        """Return (n,) distance [deg] from the centre."""
        return np.atleast_1d(separation_deg(ra_deg, dec_deg, self.ra_deg, self.dec_deg))

    def cover(self, level: float, max_ranges: int = DEFAULT_MAX_RANGES) -> IntArray:
        """Return ranges that enclose the cap which holds ``level``."""
        return cover_density(self, float(self._density(np.array([self._x_of_level(level)]))[0]), max_ranges)

    def density_bounds_sr(
        self, ra_deg: FloatArray, dec_deg: FloatArray, radius_deg: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return the densities [1/sr] at the far and the near edge of each disc."""
        theta = separation_deg(ra_deg, dec_deg, self.ra_deg, self.dec_deg)
        near = np.radians(np.maximum(theta - radius_deg, 0.0))
        far = np.radians(np.minimum(theta + radius_deg, 180.0))
        return self._density(2.0 * np.sin(far / 2.0) ** 2), self._density(2.0 * np.sin(near / 2.0) ** 2)

    def _haversine(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        ra, dec = np.atleast_1d(ra_deg).astype(np.float64), np.atleast_1d(dec_deg).astype(np.float64)
        valid = on_sky(ra, dec)
        value = haversine(np.where(valid, ra, 0.0), np.where(valid, dec, 0.0), self.ra_deg, self.dec_deg)
        return np.where(valid, value, np.nan)

    def _density(self, x: FloatArray) -> FloatArray:
        total = np.zeros_like(x)
        for k, weight in zip(self.concentration, self.weight, strict=True):
            peak = 1.0 / SKY_SR if k == 0.0 else -k / (0.5 * SKY_SR * np.expm1(-2.0 * k))
            total += weight * peak * np.exp(-k * x)
        return total

    def _within(self, x: FloatArray) -> FloatArray:
        total = np.zeros_like(x)
        for k, weight in zip(self.concentration, self.weight, strict=True):
            total += weight * (x / 2.0 if k == 0.0 else np.expm1(-k * x) / np.expm1(-2.0 * k))
        return np.minimum(total, 1.0)

    def _x_of_level(self, level: float) -> float:
        """Return 1 - cos(separation) within which the probability is ``level``; found once for each level."""
        if level not in self._x_of_known_level:
            self._x_of_known_level[level] = self._solve_for_x(level)
        return self._x_of_known_level[level]

    def _solve_for_x(self, level: float) -> float:
        if level <= 0.0 or level >= 1.0:
            return 0.0 if level <= 0.0 else 2.0
        single = [2.0 * level if k == 0.0 else -np.log1p(level * np.expm1(-2.0 * k)) / k for k in self.concentration]
        low, high = min(single), min(max(single), 2.0)
        if high - low <= 1e-15 * high:
            return high

        # The mixture's quantile lies between those of its parts; the search runs in ln(x) for tiny circles' sake.
        def excess(ln_x: float) -> float:
            return float(self._within(np.array([np.exp(ln_x)]))[0]) - level

        return float(np.exp(_bisect(excess, float(np.log(low)), float(np.log(high)))))


class EllipseRegion:
    """A Gaussian in the Lambert equal-area plane about its centre.

    Notes
    -----
    The plane keeps areas, so the density on the sky is the density in the plane, and a round ellipse is exactly a von
    Mises-Fisher distribution. The plane ends in a disc of radius 2 rad; `region_of` sends wider ellipses to a map.
    """

    def __init__(
        self, ra_deg: float, dec_deg: float, sigma_rad: tuple[float, float], position_angle_deg: float
    ) -> None:
        self.ra_deg = ra_deg
        self.dec_deg = dec_deg
        self.sigma_rad = sigma_rad
        self.position_angle_deg = position_angle_deg
        self.peak_level = 0.0
        self._peak_sr = 1.0 / (0.5 * SKY_SR * sigma_rad[0] * sigma_rad[1])

    def credible_level(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) probability within the ellipse through each position."""
        return -np.expm1(-0.5 * self._radius_sigma(ra_deg, dec_deg) ** 2)

    def probability_density_sr(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) density [1/sr] at each position."""
        return self._peak_sr * np.exp(-0.5 * self._radius_sigma(ra_deg, dec_deg) ** 2)

    def searched_area_deg2(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return (n,) area [deg2] of the ellipse through each position, at most the sky."""
        area_sr = np.pi * self.sigma_rad[0] * self.sigma_rad[1] * self._radius_sigma(ra_deg, dec_deg) ** 2
        return np.minimum(area_sr, SKY_SR) * DEG2_PER_SR

    def area_deg2(self, level: float) -> float:
        """Return the area [deg2] of the ellipse that holds the probability ``level``."""
        area_sr = SKY_SR if level >= 1.0 else -np.log1p(-level) * 0.5 * SKY_SR * self.sigma_rad[0] * self.sigma_rad[1]
        return float(min(area_sr, SKY_SR) * DEG2_PER_SR)

    def separation_deg(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray | None:
        """Return (n,) distance [deg] from the centre."""
        return np.atleast_1d(separation_deg(ra_deg, dec_deg, self.ra_deg, self.dec_deg))

    def cover(self, level: float, max_ranges: int = DEFAULT_MAX_RANGES) -> IntArray:
        """Return ranges that enclose the ellipse which holds ``level``."""
        return cover_density(self, self._peak_sr * max(1.0 - level, 0.0), max_ranges)

    def density_bounds_sr(
        self, ra_deg: FloatArray, dec_deg: FloatArray, radius_deg: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return bounds of the density [1/sr] in each disc, from the steepest slope of the radius in sigmas."""
        radius = self._radius_sigma(ra_deg, dec_deg)
        far = np.minimum(separation_deg(ra_deg, dec_deg, self.ra_deg, self.dec_deg) + radius_deg, 180.0)
        # The plane stretches tangents by 1 / cos(separation / 2), without bound towards the antipode.
        stretch = 1.0 / np.maximum(np.cos(np.radians(far) / 2.0), 1e-12)
        change = np.radians(radius_deg) * stretch / min(self.sigma_rad)
        high = self._peak_sr * np.exp(-0.5 * np.maximum(radius - change, 0.0) ** 2)
        return self._peak_sr * np.exp(-0.5 * (radius + change) ** 2), high

    def _radius_sigma(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> FloatArray:
        """Return the distance from the centre in sigmas of its direction; infinite off the sky."""
        ra, dec = np.atleast_1d(ra_deg).astype(np.float64), np.atleast_1d(dec_deg).astype(np.float64)
        valid = on_sky(ra, dec)
        ra, dec = np.radians(np.where(valid, ra, 0.0)), np.radians(np.where(valid, dec, 0.0))
        ra0, dec0, angle = np.radians((self.ra_deg, self.dec_deg, self.position_angle_deg))
        east = np.cos(dec) * np.sin(ra - ra0)
        # sin(dec - dec0) plus a half-angle term: the textbook difference of products loses arcseconds' digits.
        north = np.sin(dec - dec0) + 2.0 * np.sin(dec0) * np.cos(dec) * np.sin((ra - ra0) / 2.0) ** 2
        chord = 2.0 * np.sqrt(haversine(np.degrees(ra), np.degrees(dec), self.ra_deg, self.dec_deg))
        norm = np.hypot(east, north)
        scale = np.divide(chord, norm, out=np.ones_like(norm), where=norm > 0.0)
        along = scale * (east * np.sin(angle) + north * np.cos(angle))
        across = scale * (east * np.cos(angle) - north * np.sin(angle))
        # At the antipode the direction is lost, not the distance.
        along = np.where((norm == 0.0) & (chord > 0.0), chord, along)
        return np.where(valid, np.hypot(along / self.sigma_rad[0], across / self.sigma_rad[1]), np.inf)


def concentration_of(radius_deg: float, containment_probability: float) -> float:
    """Return the von Mises-Fisher concentration that holds a probability within a radius.

    Parameters
    ----------
    radius_deg : [deg], above 0.
    containment_probability : between 0 and 1.

    Returns
    -------
    Concentration [1/rad2 for small radii]; 0, the uniform sky, where even that holds as much.
    """
    x = 2.0 * np.sin(np.radians(min(radius_deg, 180.0)) / 2.0) ** 2
    if containment_probability <= x / 2.0:
        return 0.0
    # On the whole sky slightly less concentration is needed than in the plane, hence the bracket.
    plane = -np.log1p(-containment_probability) / x
    if np.expm1(-2.0 * plane) == -1.0:
        return float(plane)
    return _bisect(lambda k: float(np.expm1(-k * x) / np.expm1(-2.0 * k)) - containment_probability, 0.0, float(plane))


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of an increasing function, from a bracket."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if function(middle) < 0.0 else (low, middle)
    return 0.5 * (low + high)


_BISECTIONS = 60
"""Halvings of a bracket: more than the 53 bits of a float64."""


def overlap_of_circles(a: CircleRegion, b: CircleRegion) -> float:
    """Return 4 pi times the integral of the product of two mixtures of von Mises-Fisher densities, in closed form.

    Notes
    -----
    The product of two such densities of concentrations k and l about centres u and v is one of concentration
    |k u + l v|, up to its norm.
    """
    x = 2.0 * float(haversine(a.ra_deg, a.dec_deg, b.ra_deg, b.dec_deg))
    total = 0.0
    for k, share_k in zip(a.concentration, a.weight, strict=True):
        for other, share_other in zip(b.concentration, b.weight, strict=True):
            both = math.sqrt(max((k + other) ** 2 - 2.0 * k * other * x, 0.0))
            # both - k - other without the cancellation that would cost all digits of arcsecond circles.
            exponent = -2.0 * k * other * x / (both + k + other) if k > 0.0 and other > 0.0 else 0.0
            log_norm = _log_norm(k) + _log_norm(other) - _log_norm(both)
            total += share_k * share_other * math.exp(log_norm + exponent)
    return SKY_SR * total


def _log_norm(k: float) -> float:
    """Return ln of the density [1/sr] of a von Mises-Fisher distribution at its centre."""
    if k < SMALLEST_CONCENTRATION:
        return -math.log(SKY_SR)
    return math.log(k) - math.log(2.0 * math.pi) - math.log(-math.expm1(-2.0 * k))
