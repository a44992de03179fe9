"""Satellite trails are found, chance alignments are not: simulated exposures with and without trails."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from ingest.glints import find_glints

CENTRE = SkyCoord(150.0 * units.deg, -30.0 * units.deg)
WIDTH_DEG = 3.1


def sky(east_deg: np.ndarray, north_deg: np.ndarray, centre: SkyCoord = CENTRE) -> tuple[np.ndarray, np.ndarray]:
    """Return positions at tangential offsets from a centre; a straight line of offsets is nearly a great circle."""
    distance = np.hypot(east_deg, north_deg)
    at = centre.directional_offset_by(
        np.arctan2(east_deg, north_deg) * units.rad, np.degrees(np.arctan(np.radians(distance))) * units.deg
    )
    return np.asarray(at.ra.deg), np.asarray(at.dec.deg)


def random_field(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(-WIDTH_DEG / 2, WIDTH_DEG / 2, n), rng.uniform(-WIDTH_DEG / 2, WIDTH_DEG / 2, n)


def trail(
    rng: np.random.Generator, n: int, length_deg: float, sagitta_arcsec: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    angle = rng.uniform(0, np.pi)
    room = max(WIDTH_DEG - length_deg, 0.0) / 2
    middle = rng.uniform(-room, room, 2)
    along = (np.linspace(-0.5, 0.5, n) + rng.normal(0, 0.1 / n, n)) * length_deg
    across = sagitta_arcsec / 3600 * (1 - (2 * along / length_deg) ** 2)
    scatter = rng.normal(0, 0.2 / 3600, (2, n))
    east = middle[0] + along * np.cos(angle) - across * np.sin(angle) + scatter[0]
    return east, middle[1] + along * np.sin(angle) + across * np.cos(angle) + scatter[1]


def found_in(east: np.ndarray, north: np.ndarray, centre: SkyCoord = CENTRE) -> np.ndarray:
    ra, dec = sky(east, north, centre)
    return find_glints(np.full(len(ra), 7), ra, dec, np.ones(len(ra), dtype=bool))


@pytest.mark.parametrize(("n", "exposures"), [(30, 200), (300, 100), (2000, 15)])
def test_single_detections_at_random_are_kept(n: int, exposures: int) -> None:
    rng = np.random.default_rng(n)
    false = sum(int(found_in(*random_field(rng, n)).sum()) for _ in range(exposures))
    assert false / (n * exposures) < 1e-3


def test_clustered_single_detections_are_kept() -> None:
    rng = np.random.default_rng(5)
    false = total = 0
    for _ in range(40):
        clumps = rng.uniform(-1.4, 1.4, (12, 2))
        east, north = (np.repeat(clumps[:, k], 25) + rng.normal(0, 0.01, 300) for k in (0, 1))
        stray = random_field(rng, 200)
        false += int(found_in(np.r_[east, stray[0]], np.r_[north, stray[1]]).sum())
        total += 500
    assert false / total < 1e-3


@pytest.mark.parametrize(
    ("n_field", "n_trail", "length_deg", "sagitta_arcsec"),
    [(0, 8, 1.0, 0.0), (30, 6, 1.5, 2.0), (100, 8, 1.0, 2.0), (1000, 8, 0.5, 1.0), (1000, 20, 1.5, 3.0),
     (2000, 12, 0.5, 1.0)],
)  # fmt: skip
def test_trails_are_found(n_field: int, n_trail: int, length_deg: float, sagitta_arcsec: float) -> None:
    rng = np.random.default_rng(n_field + n_trail)
    recalled = extra = 0
    for _ in range(20):
        field, line = random_field(rng, n_field), trail(rng, n_trail, length_deg, sagitta_arcsec)
        found = found_in(np.r_[field[0], line[0]], np.r_[field[1], line[1]])
        recalled += int(found[n_field:].sum())
        extra += int(found[:n_field].sum())
    assert recalled > 0.85 * 20 * n_trail
    assert extra < 20


def test_several_trails_of_one_exposure_are_found_and_one_of_another_is_not_mixed_in() -> None:
    rng = np.random.default_rng(11)
    parts = [random_field(rng, 500), trail(rng, 10, 0.4), trail(rng, 12, 0.8), trail(rng, 9, 0.3)]
    east, north = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    ra, dec = sky(east, north)
    everything = np.ones(len(ra), dtype=bool)
    assert find_glints(np.zeros(len(ra), np.int64), ra, dec, everything)[500:].mean() > 0.9
    # The same points, each trail's dealt out to seven exposures in turn, are no trail in any of them.
    assert not find_glints(np.arange(len(ra)) % 7, ra, dec, everything).any()


def test_the_order_of_rows_and_second_deliveries_change_nothing() -> None:
    rng = np.random.default_rng(3)
    field, line = random_field(rng, 300), trail(rng, 9, 0.6, 1.0)
    ra, dec = sky(np.r_[field[0], line[0]], np.r_[field[1], line[1]])
    exposure = np.r_[np.arange(300) % 2, np.zeros(9)].astype(np.int64)
    first = find_glints(exposure, ra, dec, np.ones(309, dtype=bool))
    assert first[300:].sum() >= 8
    order = rng.permutation(np.r_[np.arange(309), rng.integers(0, 309, 80)])
    again = find_glints(exposure[order], ra[order], dec[order], np.ones(len(order), dtype=bool))
    np.testing.assert_array_equal(again, first[order])


def test_only_singles_of_a_known_exposure_with_a_position_count() -> None:
    rng = np.random.default_rng(8)
    ra, dec = sky(*trail(rng, 12, 1.0))
    single, exposure = np.ones(12, dtype=bool), np.full(12, 5)
    assert find_glints(exposure, ra, dec, single).all()
    assert not find_glints(np.full(12, -1), ra, dec, single).any()
    some = np.arange(12) != 4
    np.testing.assert_array_equal(find_glints(exposure, ra, dec, some), some)
    np.testing.assert_array_equal(find_glints(exposure, np.where(some, ra, np.nan), dec, single), some)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.9, 60.0), (120.0, 89.5), (10.0, -90.0)])
def test_no_place_on_the_sky_is_special(centre: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    field, line = random_field(rng, 100), trail(rng, 9, 1.0, 1.0)
    found = found_in(np.r_[field[0], line[0]], np.r_[field[1], line[1]], SkyCoord(*centre, unit="deg"))
    assert found[100:].sum() >= 8
    assert found[:100].sum() <= 1


@pytest.mark.parametrize("n", [0, 1, 4, 5, 400])
def test_degenerate_exposures_are_no_trail(n: int) -> None:
    rng = np.random.default_rng(n)
    exposure, single = np.zeros(n, np.int64), np.ones(n, dtype=bool)
    assert not find_glints(exposure, np.full(n, 10.0), np.full(n, 10.0), single).any()
    whole_sky = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    assert not find_glints(exposure, *whole_sky, single).any()
    # Pieces of one blended source, all within a few seconds of arc of one another.
    assert not find_glints(exposure, 10 + np.arange(n) * 1e-6, np.full(n, 10.0), single).any()
