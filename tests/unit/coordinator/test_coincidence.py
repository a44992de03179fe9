"""Coincidences: the windows in time and sky, the chance behind them, and what happens to withdrawn events."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coordinator.background import Background
from coordinator.coincidence import (
    SEEN_ONCE,
    OpenEvent,
    class_ratio,
    find_coincidences,
    level_searched,
    match_batch,
    repeated_term,
    withdraw,
)
from coordinator.windows import event_rate_hz, window_of
from graph.model import (
    AlertTense,
    Circle,
    CoincidenceState,
    EventState,
    Messenger,
    ScienceCase,
    Survey,
    SystematicError,
)
from graph.regions import region_of
from graph.sky import SKY_SR, cell_centres, cells_to_ranges
from graph.sky import SkyMap as Map
from graph.times import datetime_to_mjd_tai

RATE = Background({"ztf": 0.01, "lsst": 0.1}, "stated for the test")
FIN = Circle(208.92, 62.44, 1.08, 0.68, systematic=SystematicError((3.71, 14.3), (0.9, 0.1)))
BBIIXP = (213.0431, 60.9053)


@pytest.fixture
def trigger(make_event: Any) -> float:
    return datetime_to_mjd_tai(make_event().trigger_time)


def test_a_known_afterglow_is_found_and_explained(make_event: Any, make_objects: Any, trigger: float) -> None:
    event = make_event(localization=FIN, p_astro=0.5)
    objects = make_objects(
        *BBIIXP, trigger + 0.2, top_class=np.array(["KN"], dtype=object), class_probability=np.array([0.5])
    )
    (pair,) = find_coincidences(event, region_of(FIN), objects, RATE)
    region = region_of(FIN)
    assert (pair.survey, pair.object_id, pair.event_key) == (Survey.ZTF, "ZTF00000", event.event_key)
    assert pair.delta_t_s == pytest.approx(0.2 * 86400, abs=1e-3)
    assert pair.credible_level == pytest.approx(region.credible_level(*BBIIXP)[0])
    assert pair.separation_deg == pytest.approx(2.486, abs=1e-3)
    expected = 0.01 * region.searched_area_deg2(*BBIIXP)[0] * window_of(event).length_s / 86400
    assert pair.p_chance == pytest.approx(1 - np.exp(-expected))
    assert pair.joint_far_hz == pytest.approx(event_rate_hz(event) * expected)
    assert pair.log_bayes_factor == pytest.approx(sum(term.value for term in pair.terms))
    values = {term.name: term.value for term in pair.terms}
    assert values["position"] == pytest.approx(np.log(SKY_SR * region.probability_density_sr(*BBIIXP)[0]))
    assert values["class"] == pytest.approx(np.log(0.5 * 10 + 0.5))
    assert values["astrophysical_origin"] == pytest.approx(np.log(0.5))
    assert pair.state is CoincidenceState.OPEN
    assert pair.revision == event.revision


def test_the_bare_circle_would_lose_it(make_event: Any, make_objects: Any, trigger: float) -> None:
    bare = replace(FIN, systematic=None)
    objects = make_objects(*BBIIXP, trigger + 0.2)
    assert find_coincidences(make_event(localization=bare), region_of(bare), objects, RATE) == ()


def test_time_decides_before_and_after(make_event: Any, make_objects: Any, trigger: float) -> None:
    days = np.array([-1.0, -10 / 86400, 0.0, 4.99, 5.01, np.nan])
    objects = make_objects(np.full(6, 208.92), 62.44, trigger + days)
    found = find_coincidences(make_event(localization=FIN), region_of(FIN), objects, RATE)
    assert [pair.object_id for pair in found] == ["ZTF00001", "ZTF00002", "ZTF00003"]


def test_positions_off_the_sky_never_coincide(make_event: Any, make_objects: Any, trigger: float) -> None:
    objects = make_objects([np.nan, 208.92, 208.92], [62.44, np.nan, 120.0], trigger + 0.1)
    assert find_coincidences(make_event(localization=FIN), region_of(FIN), objects, RATE, max_credible_level=0.99) == ()


def test_small_regions_are_searched_deeper() -> None:
    assert level_searched(region_of(Circle(0, 0, 0.01)), 0.95) == 0.99
    assert level_searched(region_of(Circle(0, 0, 5.0)), 0.95) == 0.95
    assert level_searched(region_of(Circle(0, 0, 0.01)), 0.999) == 0.999


def test_nothing_without_time_place_or_reality(make_event: Any, make_objects: Any, trigger: float) -> None:
    objects, region = make_objects(208.92, 62.44, trigger + 0.1), region_of(FIN)
    assert find_coincidences(make_event(trigger_time=None), region, objects, RATE) == ()
    assert find_coincidences(make_event(), None, objects, RATE) == ()
    for tense in (AlertTense.TEST, AlertTense.INJECTION, AlertTense.PLANNED, AlertTense.COMMANDED):
        assert find_coincidences(make_event(alert_tense=tense), region, objects, RATE) == ()
        assert len(find_coincidences(make_event(alert_tense=tense), region, objects, RATE, include_tests=True)) == 1


@pytest.mark.parametrize("change", [{"state": EventState.RETRACTED}, {"is_astrophysical_burst": False}])
def test_events_that_are_none_withdraw_all_pairs(
    make_event: Any, make_objects: Any, trigger: float, change: Any
) -> None:
    objects = make_objects(208.92, 62.44, trigger + 0.1)
    (pair,) = find_coincidences(make_event(**change), region_of(FIN), objects, RATE)
    assert pair.state is CoincidenceState.WITHDRAWN


def test_a_withdrawn_pair_keeps_the_revision_that_withdrew_it(
    make_event: Any, make_objects: Any, trigger: float
) -> None:
    pairs = find_coincidences(make_event(), region_of(FIN), make_objects(*BBIIXP, trigger + 0.1), RATE)
    withdrawn = withdraw(pairs, 4)
    assert [(pair.state, pair.revision) for pair in withdrawn] == [(CoincidenceState.WITHDRAWN, 4)]
    assert withdraw(withdrawn, 9) == withdrawn


def test_maps_have_no_separation(make_event: Any, make_objects: Any, trigger: float) -> None:
    start, stop = cells_to_ranges(0, np.arange(12))
    event = make_event(messenger=Messenger.GW, mission="LVK", far_hz=1e-10)
    objects = make_objects([45.0, 45.0], [41.8, -41.8], trigger + 2.0)
    # The first object lies in base cell 0; the cell of the second is empty.
    density = np.array([11.4, 0.6, *[0.0] * 10]) / SKY_SR
    (pair,) = find_coincidences(event, region_of(Map(start, stop, density)), objects, RATE, max_credible_level=0.96)
    assert pair.separation_deg is None
    assert pair.credible_level == pytest.approx(0.95)


def test_a_flat_top_is_searched_as_a_whole(make_event: Any, make_objects: Any, trigger: float) -> None:
    """A map of equal cells has level 1 all over; its inside coincides, its outside does not."""
    start, stop = cells_to_ranges(4, np.arange(3))
    region = region_of(Map(start, stop, np.full(3, 4**4 * 4 / SKY_SR)))
    ra, dec = cell_centres(4, np.array([0, 1, 2, 3, 700]))
    objects = make_objects(ra, dec, trigger + 0.1)
    found = find_coincidences(make_event(), region, objects, RATE)
    assert [pair.object_id for pair in found] == ["ZTF00000", "ZTF00001", "ZTF00002"]
    assert found[0].credible_level == pytest.approx(1.0)
    whole_sky = region_of(Map(*cells_to_ranges(0, np.arange(12)), np.full(12, 1 / SKY_SR)))
    assert find_coincidences(make_event(), whole_sky, objects, RATE) == ()


def test_classes_weigh_by_their_probability() -> None:
    names = np.array(["KN", "variable star", "", "of tomorrow", "KN"], dtype=object)
    ratio = class_ratio(ScienceCase.GRB, names, np.array([1.0, 0.5, np.nan, 0.9, np.nan]))
    assert ratio.tolist() == pytest.approx([10.0, 0.51, 1.0, 1.0, 1.0])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_both_directions_find_the_same_pairs(make_event: Any, make_objects: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = datetime_to_mjd_tai(make_event().trigger_time)
    objects = make_objects(
        rng.random(300) * 360, np.degrees(np.arcsin(rng.random(300) * 2 - 1)), start + rng.random(300) * 9 - 2
    )
    events = []
    for i in range(6):
        place = Circle(rng.random() * 360, rng.random() * 120 - 60, rng.random() * 30 + 0.1)
        events.append(OpenEvent(make_event(event_key=f"Fermi:{i}", localization=place), region_of(place)))
    one_by_one = tuple(pair for entry in events for pair in find_coincidences(entry.event, entry.region, objects, RATE))
    assert match_batch(events, objects, RATE) == one_by_one


def test_chance_is_uniform_on_a_scrambled_sky(make_event: Any, make_objects: Any, trigger: float) -> None:
    """With unrelated objects only, the p_chance of the most central one is uniform."""
    rng = np.random.default_rng(11)
    event, region = make_event(localization=FIN), region_of(FIN)
    window = window_of(event)
    rate, box = 0.004, 24.0
    cap_deg2 = np.degrees(np.degrees(2 * np.pi * (1 - np.cos(np.radians(box)))))
    smallest = []
    for _ in range(700):
        n = rng.poisson(rate * cap_deg2 * window.length_s / 86400)
        cosine = 1 - rng.random(n) * (1 - np.cos(np.radians(box)))
        angle = rng.random(n) * 2 * np.pi
        ra, dec = offset(208.92, 62.44, np.arccos(cosine), angle)
        first = trigger + (window.start_s + rng.random(n) * window.length_s) / 86400
        objects = make_objects(ra, dec, first) if n else None
        found = () if objects is None else find_coincidences(event, region, objects, Background({"ztf": rate}, ""))
        smallest.append(min((pair.p_chance for pair in found), default=1.0))
    # Beyond the level that is searched nothing is seen: compare where p is defined.
    edge = -np.expm1(-rate * region.area_deg2(0.95) * window.length_s / 86400)
    seen = np.array([p for p in smallest if p < edge])
    assert len(seen) / len(smallest) == pytest.approx(edge, abs=0.06)
    assert stats.kstest(seen / edge, "uniform").pvalue > 0.01


def offset(ra: float, dec: float, distance: Any, angle: Any) -> tuple[Any, Any]:
    dec0 = np.radians(dec)
    dec1 = np.arcsin(np.sin(dec0) * np.cos(distance) + np.cos(dec0) * np.sin(distance) * np.cos(angle))
    east = np.sin(angle) * np.sin(distance)
    north = np.cos(dec0) * np.cos(distance) - np.sin(dec0) * np.sin(distance) * np.cos(angle)
    return ra + np.degrees(np.arctan2(east, north)), np.degrees(dec1)


def test_ten_thousand_objects_meet_two_hundred_events(make_event: Any, make_objects: Any, trigger: float) -> None:
    rng = np.random.default_rng(3)
    n = 10_000
    objects = make_objects(rng.random(n) * 360, np.degrees(np.arcsin(rng.random(n) * 2 - 1)), trigger + rng.random(n))
    places = [
        Circle(
            rng.random() * 360, rng.random() * 120 - 60, 3.0, 0.68, systematic=SystematicError((3.7, 14.3), (0.9, 0.1))
        )
        for _ in range(200)
    ]
    events = [OpenEvent(make_event(event_key=f"Fermi:{i}"), region_of(place)) for i, place in enumerate(places)]
    start = time.perf_counter()
    pairs = match_batch(events, objects, RATE)
    # Under a second on an idle core; slack for a busy machine.
    assert time.perf_counter() - start < 5.0
    assert len(pairs) > 1000


def test_what_was_seen_once_stands_behind_what_was_seen_again() -> None:
    once, again, often, unknown = repeated_term(np.array([1, 2, 30, -1])).tolist()
    assert once < 0.0 < again == often
    assert unknown == 0.0
    # Over all objects the ratio is that of two distributions: its mean over the unrelated ones is 1.
    assert SEEN_ONCE[1] * math.exp(once) + (1.0 - SEEN_ONCE[1]) * math.exp(again) == pytest.approx(1.0)
