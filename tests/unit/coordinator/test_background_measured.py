"""The measured background: what is counted, what is lent to few counts, and what a region then holds."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coordinator.background import (
    DEFAULT_BACKGROUND,
    SHAPE,
    Background,
    SurveyTally,
    background_of,
    joined,
    rates_from,
    tally,
)
from coordinator.coincidence import find_coincidences
from coordinator.exposure import Found, chance_of, counted_together, samples_of
from coordinator.strata import (
    CELL_DEG2,
    CELL_ORDER,
    CLASS_GROUPS,
    LATITUDE_EDGES_DEG,
    N_CELLS,
    N_LATITUDES,
    N_MAGNITUDES,
    galactic_latitude_deg,
    group_of,
    latitude_name,
    latitude_of_cells,
    magnitude_bin,
)
from coordinator.windows import event_rate_hz
from graph.model import Circle
from graph.regions import region_of
from graph.sky import SkyMap as Map
from graph.sky import cell_centres, cells_to_ranges
from graph.times import datetime_to_mjd_tai

EVERYWHERE = np.ones(N_CELLS, dtype=np.int64)


def even_tally(per_stratum: Any, visits: Any = EVERYWHERE, n_nights: int = 1) -> SurveyTally:
    counts = np.broadcast_to(np.asarray(per_stratum), SHAPE).astype(np.int64)
    return SurveyTally(counts, np.asarray(visits, dtype=np.int64), n_nights)


def test_latitudes_are_those_of_astropy() -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.random(500) * 360, np.degrees(np.arcsin(rng.random(500) * 2 - 1))
    theirs = SkyCoord(ra * u.deg, dec * u.deg).galactic.b.deg
    assert galactic_latitude_deg(ra, dec) == pytest.approx(theirs, abs=1e-4)
    centres = SkyCoord(*cell_centres(CELL_ORDER, np.arange(N_CELLS)), unit="deg").galactic.b.deg
    assert (latitude_of_cells() == np.digitize(np.abs(centres), LATITUDE_EDGES_DEG)).mean() > 0.9999
    assert [latitude_name(i) for i in range(N_LATITUDES)] == ["0-10", "10-20", "20-40", "40-90"]


def test_areas_of_the_latitude_bins_are_those_of_the_sphere() -> None:
    sines = np.sin(np.radians([0.0, *LATITUDE_EDGES_DEG, 90.0]))
    exact = 41252.96 * np.diff(sines)
    assert even_tally(0).exposure_deg2_night() == pytest.approx(exact, rel=0.01)
    assert pytest.approx(41252.96, rel=1e-6) == CELL_DEG2 * N_CELLS


def test_strata_of_objects() -> None:
    names = np.array(["KN", "SN Ia", "AGN", "TDE", "variable star", "", "of tomorrow"], dtype=object)
    assert [CLASS_GROUPS[i] for i in group_of(names)] == [
        *["explosive"] * 2, *["nuclear"] * 2, "stellar", "unnamed", "unnamed",
    ]  # fmt: skip
    assert magnitude_bin(np.array([3.0, 18.0, 20.99, 25.0, np.nan, np.inf])).tolist() == [0, 1, 3, 5, 6, 6]


def test_a_tally_counts_each_object_once_and_each_cell_once_a_night(make_objects: Any) -> None:
    objects = make_objects(
        [10.0, 10.0, 200.0, np.nan],
        [0.0, 0.0, 40.0, 5.0],
        61100.0,
        survey=np.array(["ztf", "lsst", "ztf", "ztf"], dtype=object),
        latest_mag=np.array([19.5, 19.5, np.nan, 19.5]),
        top_class=np.array(["SN", "SN", "", "SN"], dtype=object),
    )
    nights = [np.array([5, 5, 7]), np.array([], dtype=np.int64), np.array([5])]
    counted = tally(objects, "ztf", nights)
    # The one without a place is in no cell.
    assert counted.new_objects.sum() == 2
    assert counted.new_objects[0, 2].sum() == 1
    assert counted.new_objects[3, N_MAGNITUDES - 1].sum() == 1
    assert (counted.visits[5], counted.visits[7], counted.visits.sum()) == (2, 1, 3)
    assert counted.visits_per_day()[[5, 7, 9]].tolist() == [2 / 3, 1 / 3, 0.0]


def test_nights_before_the_first_visit_are_no_exposure() -> None:
    dark, clear = even_tally(0, np.zeros(N_CELLS)), even_tally(2)
    both = joined([dark, dark, clear, dark, clear])
    assert both is not None
    assert (both.n_nights, both.visits.max(), both.new_objects.max()) == (3, 2, 4)
    assert joined([dark, dark]) is None
    assert joined([]) is None


@pytest.mark.parametrize(
    ("counts", "visits", "n_nights"),
    [(0, EVERYWHERE, 0), (-1, EVERYWHERE, 1), (0, EVERYWHERE * 2, 1), (0, -EVERYWHERE, 1), (0, EVERYWHERE[1:], 1)],
)
def test_impossible_tallies_are_refused(counts: int, visits: Any, n_nights: int) -> None:
    with pytest.raises(ValueError, match=r"tally|visited"):
        even_tally(counts, visits, n_nights)


def test_many_counts_speak_for_themselves() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(SHAPE) * 0.5 + 0.05
    exposure = even_tally(0).exposure_deg2_night()
    counted = rng.poisson(truth * exposure)
    rates = rates_from(SurveyTally(counted, EVERYWHERE, 1))
    assert rates is not None
    pulls = (rates.per_deg2_night - truth) / rates.error_per_deg2_night
    assert stats.kstest(pulls.ravel(), "norm").pvalue > 0.01
    assert rates.per_deg2_night == pytest.approx(counted / exposure, rel=0.01)


def test_few_counts_are_lent_the_coarser_bin() -> None:
    """One bright explosion in a sky of stars: its empty neighbours get a share of its group, never nothing."""
    counts = np.zeros(SHAPE, dtype=np.int64)
    counts[2] = 1000
    counts[0, 0, 3] = 1
    visits = np.where(latitude_of_cells() == 1, 0, 1)
    rates = rates_from(SurveyTally(counts, visits, 1))
    assert rates is not None
    assert np.all(rates.per_deg2_night > 0)
    exposure = even_tally(0, visits).exposure_deg2_night()
    # Empty but looked at: below one object. Not looked at: as the group elsewhere.
    assert rates.per_deg2_night[0, 1, 3] * exposure[3] < 1.0
    by_latitude = rates.per_deg2_night[2].sum(axis=0)
    assert by_latitude[[0, 2, 3]].min() < by_latitude[1] < by_latitude[[0, 2, 3]].max()
    assert rates.per_deg2_night[2, 0, 3] > 100 * rates.per_deg2_night[0, 0, 3]
    # Few counts are uncertain by about all of themselves.
    assert rates.error_per_deg2_night[0, 1, 3] >= 0.5 * rates.per_deg2_night[0, 1, 3]


def test_no_sky_is_no_measurement() -> None:
    assert rates_from(even_tally(3, np.zeros(N_CELLS))) is None
    assert background_of({"ztf": even_tally(3, np.zeros(N_CELLS))}, "none") is DEFAULT_BACKGROUND
    assert background_of({}, "none") is DEFAULT_BACKGROUND


def test_surveys_that_were_not_measured_keep_their_rate() -> None:
    exposure = float(even_tally(0).exposure_deg2_night().sum())
    measured = background_of({"ztf": even_tally(500)}, "one night")
    assert measured.rate_per_deg2_day["lsst"] == DEFAULT_BACKGROUND.rate_per_deg2_day["lsst"]
    total = 500 * np.prod(SHAPE)
    assert measured.rate_per_deg2_day["ztf"] == pytest.approx(total / exposure, rel=0.01)
    assert measured.provenance == "one night"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=30), st.floats(0, 50))
def test_strata_are_counted_together(edges: list[float], rank: float) -> None:
    rank = min(rank, max(edges))
    (together,) = counted_together(np.array([rank]), np.array(edges))
    assert together == pytest.approx(sum(min(rank, edge) for edge in edges), abs=1e-9)


@pytest.mark.parametrize("circle", [Circle(10, 20, 0.002), Circle(359.9, -60, 3.0), Circle(100, 85, 25.0)])
def test_samples_are_even_over_the_searched_region(circle: Circle) -> None:
    region = region_of(circle)
    samples = samples_of(region, 0.9)
    assert samples.area_deg2 == pytest.approx(region.area_deg2(0.9), rel=0.01)
    level = region.credible_level(samples.ra_deg, samples.dec_deg)
    assert level.max() <= 0.9
    # The area inside a level grows as the samples do.
    for wanted in (0.3, 0.6):
        assert np.mean(level <= wanted) == pytest.approx(region.area_deg2(wanted) / region.area_deg2(0.9), abs=0.02)
    assert samples_of(region, 0.9) is samples


def test_a_flat_measured_sky_gives_what_one_rate_gives(make_event: Any, make_objects: Any) -> None:
    """Where only one stratum shows objects, and all sky is visited alike, p_chance is that of the single rate."""
    counts = np.zeros(SHAPE, dtype=np.int64)
    counts[3, N_MAGNITUDES - 1] = (even_tally(0).exposure_deg2_night() * 0.5).round()
    background = background_of({"ztf": SurveyTally(counts, EVERYWHERE, 1)}, "flat")
    place = Circle(150.0, 60.0, 4.0)
    event = make_event(localization=place)
    trigger = datetime_to_mjd_tai(event.trigger_time)
    objects = make_objects(150.0, [60.0, 61.0, 62.5, 63.9], trigger + 1.0)
    one_rate = find_coincidences(event, region_of(place), objects, Background({"ztf": 0.5}, ""))
    measured = find_coincidences(event, region_of(place), objects, background)
    assert [p.p_chance for p in measured] == pytest.approx([p.p_chance for p in one_rate], rel=0.02)
    for pair in measured:
        term = pair.terms[-1]
        assert (term.name, term.value, term.inputs["background"]) == ("chance", 0.0, "flat")
        assert term.inputs["trials"] == SHAPE[0] * SHAPE[1]
        assert pair.joint_far_hz == pytest.approx(event_rate_hz(event) * float(term.inputs["expected"] or 0.0))
        assert pair.log_bayes_factor == pytest.approx(sum(t.value for t in pair.terms))


def test_only_visited_sky_holds_unrelated_objects(make_objects: Any) -> None:
    """A survey that sees the southern half of a region expects half of the objects there; off it, its usual number."""
    dec = cell_centres(CELL_ORDER, np.arange(N_CELLS))[1]
    half, whole = (
        background_of({"ztf": even_tally((even_tally(0, visits).exposure_deg2_night() * 3).round(), visits)}, "")
        for visits in (dec < 0, EVERYWHERE)
    )
    region = region_of(Circle(180.0, 0.0, 10.0))
    objects = make_objects([180.0, 180.0], [-10.0, 10.0], 61100.0)
    at = (objects.ra_deg, objects.dec_deg)
    found = Found(np.arange(2), region.probability_density_sr(*at), region.searched_area_deg2(*at))
    seen, all_of_it = (chance_of(b, region, 0.95, objects, found, window_d=1.0).expected for b in (half, whole))
    # Cells whose centres lie on the equator count as unvisited.
    assert seen == pytest.approx(0.5 * all_of_it, rel=0.1)
    assert np.all(chance_of(half, region, 0.95, objects, found, window_d=2.0).expected == pytest.approx(2 * seen))


def test_chance_follows_the_rates_across_a_large_map(make_objects: Any) -> None:
    """The expected number is the integral of the rate over the searched area, here by a sum over cells."""
    rng = np.random.default_rng(4)
    counts = np.zeros(SHAPE, dtype=np.int64)
    by_latitude = np.array([4.0, 2.0, 1.0, 0.5])
    counts[1, 2] = (by_latitude * even_tally(0).exposure_deg2_night()).round()
    background = background_of({"ztf": SurveyTally(counts, EVERYWHERE, 1)}, "")
    start, stop = cells_to_ranges(CELL_ORDER, np.arange(N_CELLS))
    density = np.exp(-6 * rng.random(12).repeat(N_CELLS // 12) - 0.1 * rng.random(N_CELLS))
    density /= density.sum() * 4 * np.pi / N_CELLS
    region = region_of(Map(start, stop, density))
    cells = rng.choice(N_CELLS, 200)
    ra, dec = cell_centres(CELL_ORDER, cells)
    level = region.credible_level(ra, dec)
    cells, ra, dec = cells[level < 0.95], ra[level < 0.95], dec[level < 0.95]
    names = np.full(len(ra), "AGN", dtype=object)
    objects = make_objects(ra, dec, 61100.0, top_class=names, latest_mag=np.full(len(ra), 19.5))
    found = Found(np.arange(len(ra)), density[cells], region.searched_area_deg2(ra, dec))
    chance = chance_of(background, region, 0.95, objects, found, window_d=3.0)
    rate = by_latitude[latitude_of_cells()]
    brute = np.array([3.0 * CELL_DEG2 * rate[density >= density[cell]].sum() for cell in cells])
    assert chance.expected == pytest.approx(brute, rel=0.06)
