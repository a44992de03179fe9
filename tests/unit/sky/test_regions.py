"""Credible levels, areas and overlaps of circles, ellipses and maps against closed forms and sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graph.errors import SkyMapError
from graph.model import Circle, Ellipse, Localization, SystematicError
from graph.regions import Region, SkyMapRegion, overlap_integral, region_of, to_skymap
from graph.shapes import CircleRegion, EllipseRegion, concentration_of
from graph.sky import DEG2_PER_SR, N_PIXELS, SKY_SR, SkyMap, ang2pix, cells_to_ranges

CORE_AND_TAIL = SystematicError((3.71, 14.3), (0.9, 0.1))
LEGENDRE = np.polynomial.legendre.leggauss(400)
radii = st.one_of(st.floats(1e-4, 1e-2), st.floats(0.01, 10.0), st.floats(10.0, 120.0))


def sample(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.random(n) * 360.0, np.degrees(np.arcsin(rng.random(n) * 2.0 - 1.0))


def around(ra: float, dec: float, radius_deg: float, n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    centre = SkyCoord(ra, dec, unit="deg")
    point = centre.directional_offset_by(
        rng.random(n) * 360 * units.deg, np.sqrt(rng.random(n)) * radius_deg * units.deg
    )
    return point.ra.deg, point.dec.deg


@pytest.mark.parametrize(("radius", "expected"), [(1.0, 15118), (0.5, 60472), (5.0, 605)])
def test_concentration_of_published_radii(radius: float, expected: float) -> None:
    assert concentration_of(radius, 0.9) == pytest.approx(expected, abs=0.6)


@settings(deadline=None)
@given(radii, st.floats(0.3, 0.997))
def test_the_stated_radius_contains_the_stated_probability(radius: float, containment: float) -> None:
    region = region_of(Circle(40.0, -30.0, radius, containment))
    uniform = (1 - np.cos(np.radians(radius))) / 2
    edge = SkyCoord(40.0, -30.0, unit="deg").directional_offset_by(77 * units.deg, radius * units.deg)
    level = region.credible_level(edge.ra.deg, edge.dec.deg)[0]
    assert level == pytest.approx(max(containment, uniform), abs=1e-6)


@settings(deadline=None)
@given(radii, st.floats(0.0, 180.0), st.floats(0.0, 180.0))
def test_the_level_grows_and_the_density_falls_with_separation(radius: float, one: float, other: float) -> None:
    region = region_of(Circle(0.0, -90.0, radius, 0.9, systematic=CORE_AND_TAIL))
    near, far = sorted((one, other))
    levels = region.credible_level([5.0, 5.0], [near - 90.0, far - 90.0])
    densities = region.probability_density_sr([5.0, 5.0], [near - 90.0, far - 90.0])
    assert levels[0] <= levels[1]
    assert densities[0] >= densities[1]


@settings(deadline=None)
@given(radii, st.sampled_from([None, CORE_AND_TAIL]))
def test_a_circle_integrates_to_one(radius: float, systematic: SystematicError | None) -> None:
    region = region_of(Circle(0.0, 90.0, radius, 0.9, systematic=systematic))
    # Gauss-Legendre in ln(x) resolves arcsecond cores and the whole sky alike; x = 1 - cos(separation).
    node, weight = LEGENDRE
    low, high = np.log(1e-22), np.log(2.0)
    x = np.exp(0.5 * (high - low) * node + 0.5 * (high + low))
    separation = np.degrees(2 * np.arcsin(np.sqrt(x / 2)))
    # The declination of a point an arcsecond from the pole is rounded; go through the centre's own pole distance.
    assert isinstance(region, CircleRegion)
    density = region._density(x)
    integral = np.sum(weight * 0.5 * (high - low) * density * 2 * np.pi * x)
    assert integral == pytest.approx(1.0, abs=1e-6)
    wide = separation > 0.01
    assert np.allclose(
        region.probability_density_sr(np.zeros(wide.sum()), 90.0 - separation[wide]), density[wide], rtol=1e-5
    )


@settings(deadline=None)
@given(radii, st.floats(0.01, 0.999))
def test_the_area_of_a_level_is_the_area_searched_at_its_edge(radius: float, level: float) -> None:
    region = region_of(Circle(0.0, 90.0, radius, 0.68, systematic=CORE_AND_TAIL))
    area = region.area_deg2(level)
    edge = 90.0 - np.degrees(2 * np.arcsin(np.sqrt(area / DEG2_PER_SR / SKY_SR)))
    assert region.credible_level(33.0, edge)[0] == pytest.approx(level, abs=1e-6)
    assert region.searched_area_deg2(33.0, edge)[0] == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize(("containment", "sigmas"), [(0.5, 1.17741), (0.6827, 1.51520), (0.9, 2.14597)])
def test_small_circles_are_gaussian(containment: float, sigmas: float) -> None:
    region = region_of(Circle(0.0, 0.0, 0.1 * sigmas, containment))
    sigma_deg2 = 0.1**2
    assert region.area_deg2(0.9) == pytest.approx(-2 * np.pi * sigma_deg2 * np.log(0.1), rel=2e-4)


def test_systematic_errors_add_in_quadrature() -> None:
    stated = Circle(10.0, 10.0, 2.0, 0.68)
    blurred = region_of(Circle(10.0, 10.0, 2.0, 0.68, systematic=SystematicError((3.0,), (1.0,))))
    sigma = np.hypot(2.0 / np.sqrt(-2 * np.log(0.32)), 3.0)
    expected = -2 * np.pi * sigma**2 * np.log(0.1)
    assert blurred.area_deg2(0.9) == pytest.approx(expected, rel=0.01)
    included = Circle(10.0, 10.0, 2.0, 0.68, systematic_included=True, systematic=SystematicError((3.0,), (1.0,)))
    assert region_of(included).area_deg2(0.9) == pytest.approx(region_of(stated).area_deg2(0.9))


def test_systematic_error_keeps_a_known_afterglow() -> None:
    """GRB 200524A and ZTF20abbiixp: 2.5 deg from a final position with a stated radius of 1.08 deg."""
    stated = region_of(Circle(208.92, 62.44, 1.08, 0.68))
    blurred = region_of(Circle(208.92, 62.44, 1.08, 0.68, systematic=CORE_AND_TAIL))
    assert stated.credible_level(213.0431, 60.9053)[0] > 0.95
    assert blurred.credible_level(213.0431, 60.9053)[0] < 0.95
    separation = blurred.separation_deg(213.0431, 60.9053)
    assert separation is not None
    assert separation[0] == pytest.approx(2.486, abs=1e-3)


def test_a_circle_over_the_whole_sky_is_uniform() -> None:
    region = region_of(Circle(0.0, 0.0, 360.0))
    ra, dec = sample(100)
    assert np.allclose(region.probability_density_sr(ra, dec), 1 / SKY_SR)
    assert region.area_deg2(0.5) == pytest.approx(SKY_SR * DEG2_PER_SR / 2)


def test_a_round_ellipse_is_a_circle() -> None:
    circle, ellipse = region_of(Circle(200.0, 80.0, 3.0)), region_of(Ellipse(200.0, 80.0, 3.0, 3.0, 33.0))
    ra, dec = around(200.0, 80.0, 8.0, 500)
    assert isinstance(ellipse, EllipseRegion)
    assert np.allclose(circle.credible_level(ra, dec), ellipse.credible_level(ra, dec), atol=1e-9)
    assert np.allclose(circle.probability_density_sr(ra, dec), ellipse.probability_density_sr(ra, dec), rtol=1e-9)
    assert np.allclose(circle.searched_area_deg2(ra, dec), ellipse.searched_area_deg2(ra, dec), rtol=1e-9)
    assert circle.area_deg2(0.7) == pytest.approx(ellipse.area_deg2(0.7), rel=1e-9)


@settings(deadline=None)
@given(st.floats(0.0, 360.0), st.floats(-90.0, 90.0), st.floats(-180.0, 180.0), st.floats(0.002, 5.0))
def test_an_ellipse_contains_its_probability_along_both_axes(ra: float, dec: float, angle: float, major: float) -> None:
    region = region_of(Ellipse(ra, dec, major, 0.4 * major, angle, 0.9))
    centre = SkyCoord(ra, dec, unit="deg")
    along = centre.directional_offset_by(angle * units.deg, major * units.deg)
    across = centre.directional_offset_by((angle + 90) * units.deg, 0.4 * major * units.deg)
    assert region.credible_level(along.ra.deg, along.dec.deg)[0] == pytest.approx(0.9, abs=1e-4)
    assert region.credible_level(across.ra.deg, across.dec.deg)[0] == pytest.approx(0.9, abs=1e-4)


def test_a_very_wide_ellipse_becomes_a_map() -> None:
    region = region_of(Ellipse(10.0, -80.0, 70.0, 10.0, 20.0))
    assert isinstance(region, SkyMapRegion)
    assert region.credible_level(10.0, -80.0)[0] < 0.05


@settings(deadline=None, max_examples=6)
@given(st.floats(0.05, 40.0), st.floats(0.2, 1.0), st.floats(0.05, 0.95))
def test_rasters_agree_with_their_formulae(major: float, ratio: float, level: float) -> None:
    region = region_of(Ellipse(77.0, 41.0, major, major * ratio, 60.0))
    raster = SkyMapRegion(to_skymap(region))
    assert raster.area_deg2(level) == pytest.approx(region.area_deg2(level), rel=5e-3)
    ra, dec = around(77.0, 41.0, major, 200)
    assert np.allclose(raster.credible_level(ra, dec), region.credible_level(ra, dec), atol=0.03)


LOCALIZATIONS = [
    Circle(0.0, 89.9, 2.0),
    Circle(208.92, 62.44, 1.08, 0.68, systematic=CORE_AND_TAIL),
    Circle(359.9999, 0.0, 3e-4),
    Circle(10.0, 10.0, 50.0, 0.5),
    Ellipse(100.0, -45.0, 5.0, 0.5, 120.0),
    Ellipse(100.0, -90.0, 0.01, 0.002, 10.0),
    Ellipse(100.0, 30.0, 60.0, 8.0, 10.0),
]


@pytest.mark.parametrize("localization", LOCALIZATIONS)
@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("most", [1, 16, 256])
def test_a_cover_encloses_its_credible_region(localization: Localization, level: float, most: int) -> None:
    region = region_of(localization)
    assert not isinstance(localization, SkyMap)
    reach = np.degrees(np.sqrt(region.area_deg2(level) / DEG2_PER_SR / np.pi)) * 4
    ra, dec = around(localization.ra_deg, localization.dec_deg, min(reach, 180.0), 4000)
    ranges = region.cover(level, most)
    pixel = ang2pix(ra, dec)
    place = np.searchsorted(ranges[:, 0], pixel, side="right") - 1
    covered = (place >= 0) & (pixel < ranges[np.maximum(place, 0), 1])
    inside = region.credible_level(ra, dec) <= level
    assert inside.sum() > 50
    assert np.all(covered[inside])
    assert len(ranges) <= most
    if most == 256:
        assert covered.sum() < 1.5 * inside.sum() + 50


def two_level_map() -> SkyMap:
    """Half the probability in one base cell, the rest spread evenly over five others; six stay empty."""
    start, stop = cells_to_ranges(0, np.arange(6))
    cell = SKY_SR / 12
    return SkyMap(start, stop, np.array([0.1, 0.1, 0.5, 0.1, 0.1, 0.1]) / cell)


def test_levels_of_a_map_count_all_cells_at_least_as_dense() -> None:
    region = region_of(two_level_map())
    # Centres of base cells 2 (densest), 0 (of five equals) and 8 (not in the map).
    assert region.peak_level == pytest.approx(0.5)
    assert region_of(Circle(1.0, 2.0, 3.0)).peak_level == 0.0
    levels = region.credible_level([225.0, 45.0, 45.0], [41.8, 41.8, -41.8])
    assert levels.tolist() == pytest.approx([0.5, 1.0, 1.0])
    assert region.probability_density_sr([45.0], [-41.8]).tolist() == [0.0]
    sky = SKY_SR * DEG2_PER_SR
    assert region.searched_area_deg2([225.0, 45.0], [41.8, 41.8]).tolist() == pytest.approx([sky / 12, sky / 2])
    assert region.area_deg2(0.5) == pytest.approx(sky / 12)
    assert region.area_deg2(0.75) == pytest.approx(sky / 12 * 3.5)
    assert region.separation_deg([1.0], [1.0]) is None


def test_a_uniform_map_has_level_one_everywhere() -> None:
    region = region_of(SkyMap(np.array([0]), np.array([N_PIXELS]), np.array([1 / SKY_SR])))
    assert region.credible_level(*sample(50)).tolist() == [1.0] * 50
    assert region.area_deg2(0.3) == pytest.approx(0.3 * SKY_SR * DEG2_PER_SR)
    assert region.cover(0.9).tolist() == [[0, N_PIXELS]]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_levels_of_random_maps_against_brute_force(seed: int, order: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12 * 4**order
    # Few distinct values, so that ties occur.
    density = rng.integers(0, 6, n).astype(float) + (np.arange(n) == 0)
    start, stop = cells_to_ranges(order, np.arange(n))
    density /= density.sum() * SKY_SR / n
    region = region_of(SkyMap(start, stop, density))
    ra, dec = sample(200, seed)
    own = region.probability_density_sr(ra, dec)
    expected = [density[density >= value].sum() * SKY_SR / n for value in own]
    assert np.allclose(region.credible_level(ra, dec), expected, atol=1e-12)


@pytest.mark.parametrize("bad", [(np.nan, 0.0), (0.0, np.nan), (0.0, 95.0)])
@pytest.mark.parametrize("localization", [*LOCALIZATIONS[:1], *LOCALIZATIONS[4:5], two_level_map()])
def test_positions_off_the_sky_are_outside(bad: tuple[float, float], localization: Localization) -> None:
    region = region_of(localization)
    assert region.credible_level(*bad).tolist() == [1.0]
    assert region.probability_density_sr(*bad).tolist() == [0.0]
    assert region.searched_area_deg2(*bad)[0] == pytest.approx(SKY_SR * DEG2_PER_SR)
    assert isinstance(region, Region)


@pytest.mark.parametrize(
    "localization",
    [
        Circle(0.0, 0.0, 0.0),
        Circle(0.0, 0.0, -1.0),
        Circle(0.0, 0.0, np.nan),
        Circle(0.0, 95.0, 1.0),
        Circle(np.nan, 0.0, 1.0),
        Circle(0.0, 0.0, 1.0, 0.0),
        Circle(0.0, 0.0, 1.0, 1.0),
        Circle(0.0, 0.0, 1.0, systematic=SystematicError((1.0,), (0.5,))),
        Circle(0.0, 0.0, 1.0, systematic=SystematicError((1.0, 2.0), (1.0,))),
        Circle(0.0, 0.0, 1.0, systematic=SystematicError((), ())),
        Ellipse(0.0, 0.0, 1.0, 0.0, 0.0),
        Ellipse(0.0, 0.0, np.inf, 1.0, 0.0),
        Ellipse(0.0, 0.0, 2.0, 1.0, np.nan),
    ],
)
def test_what_makes_no_distribution_is_refused(localization: Localization) -> None:
    with pytest.raises(SkyMapError):
        region_of(localization)


def flat_cells(order: int, cells: Any) -> SkyMapRegion:
    start, stop = cells_to_ranges(order, np.asarray(cells))
    return SkyMapRegion(SkyMap(start, stop, np.full(len(start), 12 * 4**order / SKY_SR / len(start))))


def test_overlap_of_simple_maps() -> None:
    uniform, quarter, other = flat_cells(0, range(12)), flat_cells(0, [0, 1, 2]), flat_cells(0, [5, 6])
    banana = region_of(Ellipse(100.0, -45.0, 5.0, 0.5, 120.0))
    assert overlap_integral(uniform, quarter) == pytest.approx(1.0)
    assert overlap_integral(uniform, banana) == pytest.approx(1.0)
    assert overlap_integral(quarter, other) == 0.0
    assert overlap_integral(quarter, quarter) == pytest.approx(12 / 3)
    # The same area written in cells of other orders.
    assert overlap_integral(flat_cells(3, range(64)), flat_cells(0, [0])) == pytest.approx(12.0)


@settings(deadline=None, max_examples=5)
@given(st.floats(0.1, 20.0), st.floats(0.1, 20.0), st.floats(0.0, 2.0))
@example(5.0, 0.25, 1.75)
def test_overlap_of_circles_against_the_closed_form(first: float, second: float, offset: float) -> None:
    k1, k2 = concentration_of(first, 0.9), concentration_of(second, 0.9)
    separation = offset * max(first, second)
    # A product of two von Mises-Fisher densities is one again, of concentration |k1 u1 + k2 u2|.
    k = np.sqrt(k1**2 + k2**2 + 2 * k1 * k2 * np.cos(np.radians(separation)))
    log_norm = [np.log(x) - np.log(2 * np.pi) - np.log(-np.expm1(-2 * x)) for x in (k1, k2, k)]
    expected = SKY_SR * np.exp(log_norm[0] + log_norm[1] - log_norm[2] + k - k1 - k2)
    one, other = region_of(Circle(50.0, 0.0, first)), region_of(Circle(50.0, separation, second))
    assert overlap_integral(one, other) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert overlap_integral(one, other) == pytest.approx(overlap_integral(other, one), rel=1e-9)
    # Both as maps: the cells are coarse where the narrower circle meets the tail of the wider one. Beside 1, which says
    # neither yes nor no, 0.02 is nothing.
    rastered = overlap_integral(region_of(to_skymap(one)), region_of(to_skymap(other)))
    assert rastered == pytest.approx(expected, rel=1e-2, abs=2e-2)
