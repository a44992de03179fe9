"""Tracklets of simulated and of known asteroids, among strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.classifiers.linking import MAX_STEP_D, Tracklets, link_tracklets
from ingest.training.solar_system import known_asteroids

if TYPE_CHECKING:
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STEP_D = 30.0 / 1440.0


def sky(
    strangers: int, asteroids: int, visits: int, seed: int, middle: tuple[float, float] = (150.0, 10.0)
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, FloatArray, FloatArray]:
    """Return ra, dec, time and owner (-1: stranger) of visits to 9.6 square degrees; rates [deg/d] and angles [deg]."""
    rng = np.random.default_rng(seed)
    centre = SkyCoord(*middle, unit="deg")
    start = centre.directional_offset_by(
        rng.uniform(0, 360, asteroids) * u.deg, np.sqrt(rng.uniform(0, 1, asteroids)) * 1.5 * u.deg
    )
    rate, angle = rng.uniform(0.06, 0.4, asteroids), rng.uniform(0.0, 360.0, asteroids)
    parts = []
    for visit in range(visits):
        when = visit * STEP_D
        there = start.directional_offset_by(angle * u.deg, rate * when * u.deg)
        there = there.directional_offset_by(
            rng.uniform(0, 360, asteroids) * u.deg, np.abs(rng.normal(0, 0.15, asteroids)) * u.arcsec
        )
        other = centre.directional_offset_by(
            rng.uniform(0, 360, strangers) * u.deg, np.sqrt(rng.uniform(0, 1, strangers)) * 1.75 * u.deg
        )
        n = strangers + asteroids
        parts.append((
            np.r_[other.ra.deg, there.ra.deg],
            np.r_[other.dec.deg, there.dec.deg],
            np.full(n, 60000.0 + when),
            np.r_[np.full(strangers, -1), np.arange(asteroids)],
        ))  # fmt: skip
    ra, dec, time, owner = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ra, dec, time, owner.astype(np.int64), rate, angle


def everything(ra: FloatArray, dec: FloatArray, time: FloatArray) -> Tracklets:
    return link_tracklets(ra, dec, time, np.ones(len(ra), dtype=np.bool_))


@pytest.mark.parametrize(("strangers", "asteroids"), [(100, 50), (1000, 200), (3000, 200)])
def test_three_visits_find_asteroids_among_strangers(strangers: int, asteroids: int) -> None:
    ra, dec, time, owner, rate, angle = sky(strangers, asteroids, 3, 5)
    found = everything(ra, dec, time)
    sure = (found.n_points >= 3) & (found.probability > 0.9)
    groups = [owner[sure & (found.tracklet_id == name)] for name in np.unique(found.tracklet_id[sure])]
    pure = [len(set(group)) == 1 and group[0] >= 0 for group in groups]
    assert np.mean(pure) > 0.97
    assert len(set(owner[sure]) - {-1}) / asteroids > 0.95
    mine = sure & (owner >= 0)
    np.testing.assert_allclose(found.rate_arcsec_min[mine], rate[owner[mine]] * 2.5, atol=0.03)
    turned = (found.position_angle_deg[mine] - angle[owner[mine]] + 180.0) % 360.0 - 180.0
    assert np.abs(np.median(turned)) < 1.0
    assert np.percentile(np.abs(turned), 90) < 10.0


def test_pairs_are_worth_what_the_density_says() -> None:
    for strangers, low, high in ((10, 0.6, 1.0), (5000, 0.0, 0.2)):
        ra, dec, time, owner, *_ = sky(strangers, 40, 2, 8)
        found = everything(ra, dec, time)
        pairs = (found.n_points == 2) & (owner >= 0)
        assert low <= np.median(found.probability[pairs]) <= high


def test_stated_probabilities_are_kept() -> None:
    ra, dec, time, owner, *_ = sky(300, 60, 2, 9)
    found = everything(ra, dec, time)
    names = np.unique(found.tracklet_id[found.tracklet_id >= 0])
    stated = np.array([found.probability[found.tracklet_id == name][0] for name in names])
    right = np.array([len(set(owner[found.tracklet_id == name])) == 1 for name in names])
    assert stated.mean() <= right.mean() + 0.1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), middle=st.sampled_from([(0.0, 0.0), (359.9, -60.0), (40.0, 89.5), (120.0, -89.9)]))
def test_order_and_place_on_the_sky_do_not_matter(seed: int, middle: tuple[float, float]) -> None:
    ra, dec, time, owner, *_ = sky(30, 10, 3, seed, middle)
    found = everything(ra, dec, time)
    assert len(set(owner[found.n_points >= 3])) >= 9
    order = np.random.default_rng(seed).permutation(len(ra))
    other = everything(ra[order], dec[order], time[order])
    np.testing.assert_array_equal(other.n_points, found.n_points[order])
    np.testing.assert_array_equal(other.rate_arcsec_min, found.rate_arcsec_min[order])
    same = found.tracklet_id[order][:, None] == found.tracklet_id[order]
    np.testing.assert_array_equal(other.tracklet_id[:, None] == other.tracklet_id, same)


def test_what_stands_or_runs_or_comes_late_is_not_linked() -> None:
    def two(gap_deg: float, wait_d: float) -> int:
        return int(everything(np.array([10.0, 10.0]), np.array([0.0, gap_deg]), np.array([0.0, wait_d])).n_points[0])

    assert two(0.005, STEP_D) == 2
    assert two(1.0 / 3600.0, STEP_D) == 0
    assert two(1.1 * STEP_D, STEP_D) == 0
    assert two(0.005, 1.1 * MAX_STEP_D) == 0
    assert two(0.0005, 1e-4) == 0


def test_a_bend_ends_a_tracklet() -> None:
    dec = np.array([0.0, 0.005, 0.01, 0.015])
    ra = np.array([10.0, 10.0, 10.0, 10.0 + 4.0 / 3600.0])
    found = everything(ra, dec, np.arange(4) * STEP_D)
    assert found.n_points.tolist() == [3, 3, 3, 0]
    assert found.rate_arcsec_min[0] == pytest.approx(18.0 / 30.0, rel=1e-4)
    assert found.position_angle_deg[0] == pytest.approx(0.0, abs=1e-6)
    assert found.probability[0] > 0.99


def test_others_and_nonsense_are_passed_over() -> None:
    ra, dec = np.full(5, 10.0), np.array([0.0, 0.005, np.nan, np.inf, 400.0])
    time = np.array([0.0, STEP_D, STEP_D, STEP_D, 1e300])
    assert everything(ra, dec, time).n_points.tolist() == [2, 2, 0, 0, 0]
    alone = link_tracklets(ra, dec, time, np.array([True, False, True, True, True]))
    assert (alone.tracklet_id == -1).all()
    assert len(everything(ra[:0], dec[:0], time[:0])) == 0
    assert len(everything(ra[:1], dec[:1], time[:1])) == 1


def test_a_crowd_on_one_spot_costs_little() -> None:
    rng = np.random.default_rng(0)
    ra, dec = 10.0 + rng.normal(0, 1e-3, 4000), rng.normal(0, 1e-3, 4000)
    found = everything(ra, dec, 60000.0 + rng.integers(0, 3, 4000) * STEP_D)
    assert (found.tracklet_id == -1).all()


def test_known_asteroids_are_found_in_their_nights(shared_data: Path) -> None:
    found = known_asteroids(shared_data / "alerts")
    assert found["steps"] > 3000
    assert found["recall"] > 0.93
    assert found["purity"] == 1.0
