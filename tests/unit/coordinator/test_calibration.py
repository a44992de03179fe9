"""Chance probabilities on skies where nothing belongs together, and the correction where the background is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from coordinator.background import SHAPE, Background, SurveyTally, background_of, tally
from coordinator.calibration import (
    Trials,
    by_latitude,
    fit_correction,
    kolmogorov_tail,
    run_trials,
    simulate_years,
    uniformity,
)
from coordinator.coincidence import OpenEvent, find_coincidences
from coordinator.correction import FEWEST_TRIALS, Correction, PMap, fit_map
from coordinator.exposure import counted_together
from coordinator.strata import CELL_ORDER, N_CELLS, N_LATITUDES, latitude_of_cells
from coordinator.windows import SECONDS_PER_YEAR, event_rate_hz, window_of
from graph.model import Circle, Messenger
from graph.objects import ObjectColumns
from graph.regions import region_of
from graph.sky import cell_centres
from graph.times import datetime_to_mjd_tai

NIGHTS = 12
BEGIN = 61100.5
SPAN = (BEGIN, BEGIN + NIGHTS)
KINDS = (("variable star", 19.3, (0.9, 0.3, 0.06, 0.02)), ("SN", 20.4, (0.004, 0.02, 0.05, 0.05)))
"""Class, magnitude and rate [1/deg2/night] by latitude: stars crowd to the plane, supernovae hide behind it."""
LEVEL = 0.95


def visited_cells(rng: np.random.Generator) -> list[Any]:
    """North of -30 deg, half of it each night and the north-east always."""
    ra, dec = cell_centres(CELL_ORDER, np.arange(N_CELLS))
    always = (dec > -30) & (ra < 180)
    return [np.flatnonzero(always | ((dec > -30) & (rng.random(N_CELLS) < 0.5))) for _ in range(NIGHTS)]


def one_sky(make_objects: Any, rng: np.random.Generator, visited: list[Any]) -> ObjectColumns:
    """Objects cell by cell and night by night, from the rates alone; places are even within a small part of a cell."""
    ra, dec, first, names, mags = [], [], [], [], []
    for night, cells in enumerate(visited):
        for name, mag, rates in KINDS:
            here = np.repeat(cells, rng.poisson(np.array(rates)[latitude_of_cells()[cells]] * 41252.96 / N_CELLS))
            fine = here * 4**6 + rng.integers(0, 4**6, len(here))
            places = cell_centres(CELL_ORDER + 6, fine)
            ra.append(places[0])
            dec.append(places[1])
            first.append(BEGIN + night + rng.random(len(here)))
            names += [name] * len(here)
            mags += [mag] * len(here)
    return make_objects(
        np.concatenate(ra),
        np.concatenate(dec),
        np.concatenate(first),
        top_class=np.array(names, dtype=object),
        latest_mag=np.array(mags),
    )


def scattered(make_event: Any, rng: np.random.Generator, n: int, **changes: Any) -> list[OpenEvent]:
    """Bursts north of -20 deg, the same number in each latitude bin."""
    ra, dec = cell_centres(CELL_ORDER, np.arange(N_CELLS))
    entries = []
    for number in range(n):
        cells = np.flatnonzero((dec > -20) & (latitude_of_cells() == number % N_LATITUDES))
        cell = rng.choice(cells)
        place = Circle(float(ra[cell]), float(dec[cell]), float(rng.uniform(1.0, 4.0)), 0.9)
        event = make_event(event_key=f"Fermi:{number}", localization=place, **changes)
        entries.append(OpenEvent(event, region_of(place)))
    return entries


@pytest.fixture(scope="module")
def measured(make_objects: Any) -> Background:
    rng = np.random.default_rng(5)
    visited = visited_cells(rng)
    return background_of({"ztf": tally(one_sky(make_objects, rng, visited), "ztf", visited)}, "an earlier sky")


@pytest.fixture(scope="module")
def sky(make_objects: Any) -> ObjectColumns:
    rng = np.random.default_rng(6)
    return one_sky(make_objects, rng, visited_cells(rng))


def test_measured_chance_is_uniform_in_each_latitude_bin_and_the_default_is_not(
    make_event: Any, sky: ObjectColumns, measured: Background
) -> None:
    entries = scattered(make_event, np.random.default_rng(7), 180)
    options: Any = {"n_slides": 1, "seed": 1, "max_credible_level": LEVEL}
    good = dict(by_latitude(run_trials(entries, sky, measured, SPAN, **options)))
    flat = Background({"ztf": 2.5}, "wrong by construction")
    bad = dict(by_latitude(run_trials(entries, sky, flat, SPAN, **options)))
    assert set(good) == {"all", "0-10", "10-20", "20-40", "40-90"}
    for name, p_chance in good.items():
        assert stats.kstest(p_chance, "uniform").pvalue > 0.003, name
        assert stats.kstest(bad[name], "uniform").pvalue < 1e-6, name


def test_neutrinos_are_scrambled_in_right_ascension(make_event: Any, sky: ObjectColumns, measured: Background) -> None:
    """One event becomes trials at all right ascensions of its declination, in several latitude bins."""
    changes = {"messenger": Messenger.NEUTRINO, "mission": "IceCube"}
    entries = [
        OpenEvent(make_event(localization=place, **changes), region_of(place))
        for place in (Circle(30.0, 10.0, 1.0), Circle(70.0, 45.0, 0.8))
    ]
    trials = run_trials(entries, sky, measured, SPAN, n_slides=200, seed=3, max_credible_level=LEVEL)
    assert len(trials.p_chance) == 400
    assert len(np.unique(trials.latitude)) == N_LATITUDES
    assert 0 < trials.n_with_pair <= 400
    assert stats.kstest(trials.p_chance, "uniform").pvalue > 0.003


def test_the_correction_makes_a_wrong_background_uniform(
    make_event: Any, make_objects: Any, sky: ObjectColumns
) -> None:
    """Fitted on one sky with some places, judged on another with others."""
    changes = {"messenger": Messenger.NEUTRINO, "mission": "IceCube"}
    flat = Background({"ztf": 0.02}, "wrong by construction")
    rng = np.random.default_rng(9)
    other = one_sky(make_objects, rng, visited_cells(rng))
    learnt, judged = (
        run_trials(
            [
                OpenEvent(make_event(localization=place, **changes), region_of(place))
                for place in (Circle(0.0, dec, radius) for dec in (-10.0, 0.0, 15.0, 25.0, 30.0, 45.0, 60.0))
            ],
            objects,
            flat,
            SPAN,
            n_slides=n,
            seed=2,
            max_credible_level=LEVEL,
        )
        for objects, n, radius in ((sky, 250, 0.7), (other, 80, 0.7))
    )
    correction = fit_correction({"ztf": learnt}, "a test")
    for number in range(N_LATITUDES):
        before = judged.p_chance[judged.latitude == number]
        after = correction.maps["ztf", str(number)](before)
        assert len(after) > 50
        assert stats.kstest(before, "uniform").pvalue < 1e-3
        assert stats.kstest(after, "uniform").pvalue > 0.002


def test_the_same_seed_gives_the_same_trials(make_event: Any, sky: ObjectColumns, measured: Background) -> None:
    entries = scattered(make_event, np.random.default_rng(7), 8)
    first, again, other = (
        run_trials(entries, sky, measured, SPAN, n_slides=5, seed=seed, max_credible_level=LEVEL) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.p_chance, again.p_chance)
    assert not np.array_equal(first.p_chance, other.p_chance)


def test_without_alerts_or_events_nothing_is_found(make_event: Any, sky: ObjectColumns, measured: Background) -> None:
    entries = scattered(make_event, np.random.default_rng(7), 4)
    options: Any = {"n_slides": 50, "seed": 1, "max_credible_level": LEVEL}
    empty = run_trials(entries, sky.take(np.zeros(len(sky), dtype=np.bool_)), measured, SPAN, **options)
    assert (len(empty.p_chance), empty.n_with_pair) == (200, 0)
    assert np.all((empty.p_chance > 0) & (empty.p_chance <= 1))
    assert len(run_trials([], sky, measured, SPAN, **options).p_chance) == 0
    assert uniformity("ztf", "all", np.empty(0)).n_trials == 0


def test_slides_count_the_objects_of_each_window(make_event: Any, make_objects: Any) -> None:
    """One object in the region: a window of 5 of 12 days holds it in 5 of 12 slides, with its own probability."""
    place = Circle(100.0, 30.0, 2.0)
    entry = OpenEvent(make_event(localization=place), region_of(place))
    objects = make_objects([100.0, 250.0], 30.4, BEGIN + 3.3)
    flat = Background({"ztf": 0.01}, "")
    trials = run_trials([entry], objects, flat, SPAN, n_slides=4000, seed=1, max_credible_level=LEVEL)
    window_d = window_of(entry.event).length_s / 86400
    expected = 0.01 * entry.region.searched_area_deg2([100.0], [30.4])[0] * window_d
    hit = np.isclose(trials.p_chance, 1 - np.exp(-expected))
    assert trials.n_with_pair == np.count_nonzero(hit)
    assert hit.mean() == pytest.approx(window_d / NIGHTS, abs=0.03)
    edge = 1 - np.exp(-0.01 * entry.region.area_deg2(LEVEL) * window_d)
    assert trials.p_chance[~hit].min() >= edge * 0.99


def test_kolmogorov_and_smirnov_agree_with_scipy() -> None:
    for x in (0.0, 0.05, 0.2, 0.5, 1.0, 1.7, 3.0):
        assert kolmogorov_tail(x) == pytest.approx(float(special.kolmogorov(x)), abs=1e-10)
    sample = np.random.default_rng(1).random(300) ** 1.2
    ours, theirs = uniformity("ztf", "all", sample), stats.kstest(sample, "uniform", method="asymp")
    assert (ours.ks_statistic, ours.ks_p_value) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_a_map_is_monotone_and_never_calls_rare_what_was_seen() -> None:
    sample = np.random.default_rng(2).random(1000) ** 2
    fitted = fit_map(sample)
    assert fitted is not None
    grid = np.linspace(0, 1, 2001)
    assert np.all(np.diff(fitted(grid)) >= 0)
    assert fitted(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert fitted(np.array([sample.min()]))[0] >= 1 / 1000
    assert fitted(grid) == pytest.approx(np.sqrt(grid), abs=0.05)
    assert fit_map(sample[: FEWEST_TRIALS - 1]) is None
    # Ties count as all of them.
    tied = fit_map(np.repeat([0.2, 0.7], 100))
    assert tied is not None
    assert tied(np.array([0.2]))[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("stated", "observed"),
    [([0, 1], [0, 0.9]), ([0.1, 1], [0, 1]), ([0, 0.5, 0.5, 1], [0, 0.1, 0.2, 1]), ([0, 1], [0, 0.5, 1]), ([0], [0])],
)
def test_maps_that_are_none_are_refused(stated: list[float], observed: list[float]) -> None:
    with pytest.raises(ValueError, match="correction"):
        PMap(np.array(stated, dtype=float), np.array(observed, dtype=float))


def test_the_correction_is_applied_when_asked(make_event: Any, make_objects: Any) -> None:
    place = Circle(150.0, 60.0, 4.0)
    event = make_event(localization=place)
    objects = make_objects(150.0, [60.5, 62.0], datetime_to_mjd_tai(event.trigger_time) + 1.0)
    plain = Background({"ztf": 0.001}, "")
    square = np.linspace(0, 1, 200)
    correction = Correction({("ztf", "all"): PMap(square, np.sqrt(square))}, "by hand")
    before = find_coincidences(event, region_of(place), objects, plain)
    after = find_coincidences(event, region_of(place), objects, Background({"ztf": 0.001}, "", correction=correction))
    assert [p.p_chance for p in after] == pytest.approx([p.p_chance**0.5 for p in before], abs=0.02)
    for pair in after:
        assert pair.joint_far_hz == pytest.approx(-event_rate_hz(event) * np.log1p(-pair.p_chance))
        assert pair.terms[-1].inputs["correction"] == "by hand"


def truth_of_test() -> Background:
    counts = np.zeros(SHAPE, dtype=np.int64)
    exposure = SurveyTally(counts, np.ones(N_CELLS, dtype=np.int64), 1).exposure_deg2_night()
    for kind, magnitude, rates in ((2, 2, KINDS[0][2]), (0, 3, KINDS[1][2]), (3, 6, (0.01,) * 4)):
        counts[kind, magnitude] = (np.array(rates) * exposure * 1000).round()
    visits = np.full(N_CELLS, 1000, dtype=np.int64)
    return background_of({"ztf": SurveyTally(counts, visits, 1000)}, "truth")


def test_joint_far_is_the_rate_of_chance_pairs_in_many_years(make_event: Any, measured: Background) -> None:
    entries = scattered(make_event, np.random.default_rng(10), 12)
    years = 20_000.0
    checks = simulate_years(entries, "ztf", measured, measured, years=years, seed=1, max_credible_level=LEVEL)
    assert len(checks) > 5
    assert [check.expected for check in checks] == pytest.approx([c.joint_far_per_year * years * 12 for c in checks])
    for check in checks:
        assert check.expected > 100
        assert abs(check.deviation) < 4.0
    again = simulate_years(entries, "ztf", measured, measured, years=years, seed=1, max_credible_level=LEVEL)
    assert checks == again


def test_a_wrong_background_is_found_out_by_the_years(make_event: Any, measured: Background) -> None:
    entries = scattered(make_event, np.random.default_rng(10), 4)
    checks = simulate_years(entries, "ztf", measured, truth_of_test(), years=2e3, seed=1, max_credible_level=LEVEL)
    assert max(abs(check.deviation) for check in checks) > 5.0


def test_joint_far_agrees_with_objects_thrown_at_the_sky(make_event: Any, make_objects: Any) -> None:
    """Ten thousand years of bursts at one place: objects are thrown in the plane, matched one by one, and counted.

    Only the places come from a closed form: positions around the centre are drawn even in area.
    """
    truth = truth_of_test()
    rng = np.random.default_rng(12)
    place = Circle(192.0, 28.0, 1.0, 0.9)
    event = make_event(localization=place)
    region, window_d = region_of(place), window_of(event).length_s / 86400
    years, per_year = 1e4, event_rate_hz(event) * SECONDS_PER_YEAR
    # Within 0.8 deg of the galactic pole there is one latitude bin. Brightness and class do not depend on place.
    radius = 0.8
    area = 2 * np.pi * (1 - np.cos(np.radians(radius))) * np.degrees(1) ** 2
    rates = np.array([KINDS[0][2][3], KINDS[1][2][3], 0.01])
    n = rng.poisson(rates.sum() * area * window_d * per_year * years / 40)
    distance = np.arccos(1 - rng.random(n) * (1 - np.cos(np.radians(radius))))
    kind = rng.choice(3, n, p=rates / rates.sum())
    objects = make_objects(
        192.0,
        28.0 + np.degrees(distance),
        datetime_to_mjd_tai(event.trigger_time) + 1.0,
        top_class=np.array(["variable star", "SN", ""], dtype=object)[kind],
        latest_mag=np.array([19.5, 20.5, np.nan])[kind],
    )
    pairs = find_coincidences(event, region, objects, truth)
    far = np.sort([pair.joint_far_hz * SECONDS_PER_YEAR for pair in pairs])
    whole = -np.log1p(-max(pair.p_chance for pair in pairs)) * per_year
    assert whole > 1.0
    for rate in (0.1, 0.3, 1.0):
        expected = rate * years / 40
        assert np.count_nonzero(far <= rate) == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.02 * expected)


def test_counting_together_is_uniform_for_strata_of_any_size() -> None:
    """Strata that hold 0.02, 0.5 and 3 objects: the smallest count of each sky is exponential, as chance is."""
    rng = np.random.default_rng(13)
    edges = np.array([0.02, 0.5, 3.0])
    smallest = []
    for _ in range(4000):
        ranks = np.concatenate([rng.random(rng.poisson(edge)) * edge for edge in edges])
        smallest.append(counted_together(ranks, edges).min() if len(ranks) else np.inf)
    p_chance = 1 - np.exp(-np.array(smallest))
    seen = p_chance[np.isfinite(smallest)]
    edge = 1 - np.exp(-edges.sum())
    assert stats.kstest(seen / edge, "uniform").pvalue > 0.01
    assert len(seen) / 4000 == pytest.approx(edge, abs=0.02)


def test_trials_of_all_latitudes_are_told_apart() -> None:
    trials = Trials(np.arange(6) / 6, np.array([0, 0, 1, 3, 3, 3]), 6)
    assert [(name, len(p)) for name, p in by_latitude(trials)] == [("all", 6), ("0-10", 2), ("10-20", 1), ("40-90", 3)]
