"""HEALPix intervals and separations against astropy_healpix, astropy and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from astropy_healpix import uniq_to_level_ipix as reference_uniq
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import SkyMapError
from graph.sky import (
    MAX_ORDER,
    N_PIXELS,
    PIXEL_SR,
    SKY_SR,
    SkyMap,
    ang2pix,
    cell_centres,
    cell_radius_deg,
    cells_to_ranges,
    cone_ranges,
    limit_ranges,
    merge_ranges,
    separation_deg,
    uniq_to_cells,
)

ra_of = st.floats(0.0, 360.0)
dec_of = st.floats(-90.0, 90.0)


def random_sky(n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.random(n) * 360.0, np.degrees(np.arcsin(rng.random(n) * 2.0 - 1.0))


def test_pixels_agree_with_an_independent_library() -> None:
    ra, dec = random_sky(20_000, 1)
    reference = HEALPix(2**MAX_ORDER, order="nested").lonlat_to_healpix(ra * units.deg, dec * units.deg)
    assert np.array_equal(ang2pix(ra, dec), reference)


def test_right_ascension_wraps_and_the_poles_are_on_the_sky() -> None:
    ra, dec = np.array([-10.0, 725.0, 12.0, 12.0]), np.array([5.0, 5.0, 90.0, -90.0])
    pixel = ang2pix(ra, dec)
    assert pixel[0] == ang2pix(350.0, 5.0)[0]
    assert pixel[1] == ang2pix(5.0, 5.0)[0]
    assert np.all((pixel >= 0) & (pixel < N_PIXELS))


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 0.0), (0.0, np.nan), (np.inf, 0.0), (0.0, 90.1), (3.0, -np.inf)])
def test_what_is_not_on_the_sky_has_no_pixel(ra: float, dec: float) -> None:
    assert ang2pix(np.array([ra, 10.0]), np.array([dec, 10.0])).tolist() == [-1, ang2pix(10.0, 10.0)[0]]


def test_separation_agrees_with_astropy() -> None:
    (ra1, dec1), (ra2, dec2) = random_sky(2000, 2), random_sky(2000, 3)
    dec2[:500], ra2[:500] = dec1[:500] * (1 - 1e-9), ra1[:500] + 1e-7
    reference = SkyCoord(ra1, dec1, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).deg
    assert np.allclose(separation_deg(ra1, dec1, ra2, dec2), reference, rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(ra_of, dec_of, ra_of, dec_of)
def test_separation_is_symmetric_and_bounded(ra1: float, dec1: float, ra2: float, dec2: float) -> None:
    forth, back = separation_deg(ra1, dec1, ra2, dec2), separation_deg(ra2, dec2, ra1, dec1)
    assert forth == pytest.approx(back, abs=1e-12)
    assert 0.0 <= forth <= 180.0


@settings(deadline=None)
@given(st.floats(1e-9, 1e-3), dec_of.filter(lambda dec: abs(dec) < 89.0))
def test_small_separations_keep_their_digits(offset: float, dec: float) -> None:
    # North by a known angle: the coordinates themselves carry 1e-14 deg of rounding.
    assert separation_deg(10.0, dec, 10.0, dec + offset) == pytest.approx(offset, rel=1e-3, abs=5e-14)


def test_no_cell_reaches_beyond_its_radius() -> None:
    for order in range(9):
        cells = np.arange(12 * 4**order) if order < 5 else np.random.default_rng(0).integers(0, 12 * 4**order, 4000)
        ra, dec = cell_centres(order, cells)
        corners = HEALPix(2**order, order="nested").boundaries_lonlat(cells, step=4)
        reach = separation_deg(corners[0].deg, corners[1].deg, ra[:, None], dec[:, None]).max()
        assert reach <= cell_radius_deg(order) * (1 + 1e-9)
        assert reach > cell_radius_deg(order) * 0.9


def test_uniq_numbers_agree_with_an_independent_library_at_every_order() -> None:
    order = np.repeat(np.arange(MAX_ORDER + 1), 3)
    cell = np.concatenate([[0, 5 * 4**k, 12 * 4**k - 1] for k in range(MAX_ORDER + 1)]).astype(np.int64)
    uniq = 4 * 4**order + cell
    mine = uniq_to_cells(uniq)
    reference = reference_uniq(uniq)
    assert np.array_equal(mine[0], reference[0])
    assert np.array_equal(mine[1], reference[1])
    assert np.array_equal(mine[0], order)


@pytest.mark.parametrize("uniq", [0, 3, -1, 16 * 4**29])
def test_what_is_no_uniq_number_is_refused(uniq: int) -> None:
    with pytest.raises(SkyMapError):
        uniq_to_cells(np.array([uniq], dtype=np.int64))


@pytest.mark.parametrize(("order", "cell"), [(30, 0), (-1, 0), (0, 12), (3, -1)])
def test_cells_that_do_not_exist_are_refused(order: int, cell: int) -> None:
    with pytest.raises(SkyMapError):
        cells_to_ranges(order, np.array([cell]))


intervals = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 20)), min_size=1, max_size=30)


def members(ranges: Any) -> set[int]:
    return {pixel for start, stop in ranges for pixel in range(start, stop)}


@settings(deadline=None)
@given(intervals)
def test_merging_keeps_the_set_and_leaves_no_touching_intervals(pairs: list[tuple[int, int]]) -> None:
    ranges = np.array([(start, start + length) for start, length in pairs], dtype=np.int64)
    merged = merge_ranges(ranges)
    assert members(merged) == members(ranges)
    assert np.all(merged[1:, 0] > merged[:-1, 1])


@settings(deadline=None)
@given(intervals, st.integers(1, 8))
def test_limiting_encloses_and_adds_the_least(pairs: list[tuple[int, int]], most: int) -> None:
    merged = merge_ranges(np.array([(start, start + length) for start, length in pairs], dtype=np.int64))
    limited = limit_ranges(merged, most)
    gaps = sorted((merged[1:, 0] - merged[:-1, 1]).tolist())
    assert len(limited) == min(len(merged), most)
    assert members(merged) <= members(limited)
    assert len(members(limited)) - len(members(merged)) == sum(gaps[: max(len(merged) - most, 0)])


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [
        (0.0, 90.0, 1.0),
        (359.99, 0.0, 5.0),
        (45.0, 41.8, 1e-4),
        (10.0, 20.0, 100.0),
        (10.0, 20.0, 179.9),
        (3.0, 4.0, 0.0),
    ],
)
def test_a_cone_is_enclosed_at_any_radius(ra: float, dec: float, radius: float) -> None:
    ranges = cone_ranges(ra, dec, radius)
    rng = np.random.default_rng(5)
    centre = SkyCoord(ra, dec, unit="deg")
    inside = centre.directional_offset_by(
        rng.random(3000) * 360 * units.deg, np.sqrt(rng.random(3000)) * radius * units.deg
    )
    pixel = ang2pix(inside.ra.deg, inside.dec.deg)
    place = np.searchsorted(ranges[:, 0], pixel, side="right") - 1
    assert len(ranges) <= 256
    assert np.all((place >= 0) & (pixel < ranges[place, 1]))
    cap_sr = 2 * np.pi * (1 - np.cos(np.radians(radius)))
    assert radius == 0.0 or (ranges[:, 1] - ranges[:, 0]).sum() * PIXEL_SR < cap_sr * 1.3


def test_a_uniform_map_is_accepted_and_knows_its_solid_angles() -> None:
    start, stop = cells_to_ranges(0, np.arange(12))
    skymap = SkyMap(start, stop, np.full(12, 1 / SKY_SR))
    assert len(skymap) == 12
    assert skymap.cell_sr.sum() == pytest.approx(SKY_SR)


@pytest.mark.parametrize(
    ("start", "stop", "density"),
    [
        ([0], [N_PIXELS], [0.5 / SKY_SR]),
        ([0], [N_PIXELS], [np.nan]),
        ([0, 10], [N_PIXELS // 2, N_PIXELS], [1 / SKY_SR, 1 / SKY_SR]),
        ([N_PIXELS // 2, 0], [N_PIXELS, N_PIXELS // 2], [1 / SKY_SR, 1 / SKY_SR]),
        ([0], [N_PIXELS + 1], [1 / SKY_SR]),
        ([-1], [N_PIXELS], [1 / SKY_SR]),
        ([5], [5], [1.0]),
        ([], [], []),
        ([0], [N_PIXELS], [1 / SKY_SR, 0.0]),
        ([0, N_PIXELS // 2], [N_PIXELS // 2, N_PIXELS], [3 / SKY_SR, -1 / SKY_SR]),
    ],
)
def test_what_is_no_probability_on_the_sky_is_refused(start: Any, stop: Any, density: Any) -> None:
    with pytest.raises(SkyMapError):
        SkyMap(np.array(start, dtype=np.int64), np.array(stop, dtype=np.int64), np.array(density, dtype=float))
