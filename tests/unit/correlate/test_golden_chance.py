"""Golden cases of chance: three published pairs in order, and a recorded night on which nothing belongs together."""

from __future__ import annotations

import csv
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import poisson

from compose.correlate import read_notices, read_objects
from coordinator.background import DEFAULT_BACKGROUND, Background
from coordinator.coincidence import DEFAULT_MAX_CREDIBLE_LEVEL, find_coincidences, level_searched
from coordinator.offline import correlate, form_all
from coordinator.windows import EVENT_RATES_PER_YEAR, SECONDS_PER_YEAR, WINDOWS, window_of
from graph.model import AlertTense, Circle, Event, EventState, Messenger, Notice, ScienceCase
from graph.objects import ObjectColumns
from graph.regions import region_of
from graph.times import datetime_to_mjd_tai
from ingest.config import IngestSettings

TRIGGER = datetime(2023, 8, 27, 6, 0, tzinfo=UTC)
FAST_TRANSIENTS = Background({"ztf": 1e-4}, "new fast transients behind a filter, stated for these tests")
FERMI_PER_YEAR = 250.0

PAIRS = {"230827B": (0.083, 2.17), "210204A": (1.03, 3.1), "210212B": (0.29, 36.3)}
"""Delay [d] and error radius [deg] of bursts whose afterglow ZTF found; arXiv:2201.12366 and later."""


def burst(name: str, radius_deg: float) -> Event:
    place = Circle(120.0, 20.0, radius_deg, 0.9, systematic_included=True)
    return Event(
        f"Fermi:{name}", "Fermi", name, (), Messenger.EM, TRIGGER, EventState.ACTIVE, AlertTense.CURRENT, 1,
        ("n",), place, "n",
    )  # fmt: skip


def afterglow(delay_d: float, separation_deg: float) -> ObjectColumns:
    first = datetime_to_mjd_tai(TRIGGER + timedelta(days=delay_d))
    text, number = np.array(["x"], dtype=object), np.array([np.nan])
    return ObjectColumns(
        np.array(["ztf"], dtype=object), text, np.array([120.0]), np.array([20.0 + separation_deg]), np.array([first]),
        number, np.array([19.0]), np.array([""], dtype=object), number, np.array([2]),
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_three_published_pairs_are_ordered_by_chance(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """The afterglow at the same share of each error radius: 230827B < 210204A < 210212B, and each as by hand."""
    monkeypatch.setitem(EVENT_RATES_PER_YEAR, "fermi", FERMI_PER_YEAR)
    window_d = WINDOWS[ScienceCase.GRB].length_s / 86_400.0
    chance, far = {}, {}
    for name, (delay_d, radius_deg) in PAIRS.items():
        event = burst(name, radius_deg)
        assert event.localization is not None
        (pair,) = find_coincidences(
            event, region_of(event.localization), afterglow(delay_d, share * radius_deg), FAST_TRANSIENTS
        )
        chance[name], far[name] = pair.p_chance, pair.joint_far_hz
        cap_deg2 = 2.0 * math.pi * (1.0 - math.cos(math.radians(share * radius_deg))) * math.degrees(1.0) ** 2
        expected = 1e-4 * cap_deg2 * window_d
        assert pair.p_chance == pytest.approx(-math.expm1(-expected), rel=0.02)
        assert pair.joint_far_hz == pytest.approx(FERMI_PER_YEAR / SECONDS_PER_YEAR * expected, rel=0.02)
    for said in (chance, far):
        assert said["230827B"] < said["210204A"] < said["210212B"]


@pytest.fixture(scope="module")
def night(shared_data: Path) -> ObjectColumns:
    objects, _, counts = read_objects(
        shared_data / "alerts" / "ztf_fink_parquet" / "20240115", IngestSettings(), lambda _: None
    )
    assert (counts.received, sum(counts.dead.values())) == (637, 0)
    return objects


@pytest.fixture(scope="module")
def events(shared_data: Path) -> tuple[Event, ...]:
    """Return what Fermi, Swift and LVK told of in January 2024."""
    with (shared_data / "notices" / "MANIFEST.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["event_time_utc"].startswith("2024-01")]
    notices: list[Notice] = []
    for row in rows:
        if row["family"] in {"fermi", "swift", "lvk"}:
            found, _ = read_notices(shared_data / "notices" / row["file"], lambda _: None)
            notices += found
    formed = form_all(notices)
    assert Counter(event.mission for event in formed) == {"Fermi": 9, "LVK": 6, "Swift": 1}
    return formed


def displaced(objects: ObjectColumns) -> NDArray[np.bool_]:
    """Return which objects were moved by hand: at one place with others to the last digit, which nature never does.

    They were put into the error regions of two bursts by the makers of the recording, most of them south of where ZTF
    can point.
    """
    places = list(zip(objects.ra_deg.tolist(), objects.dec_deg.tolist(), strict=True))
    many = Counter(places)
    return np.array([many[place] > 1 for place in places])


def test_a_night_without_counterparts_shows_as_many_pairs_as_chance(
    night: ObjectColumns, events: tuple[Event, ...]
) -> None:
    """The number expected is measured on the night itself: the same first detections, each at any other's place."""
    real = night.take(~displaced(night))
    found = correlate(events, real, DEFAULT_BACKGROUND, max_credible_level=DEFAULT_MAX_CREDIBLE_LEVEL)
    expected = 0.0
    for event in events:
        if event.localization is None or event.trigger_time is None:
            continue
        region, window = region_of(event.localization), window_of(event)
        delay_s = (real.first_midpoint_mjd_tai - datetime_to_mjd_tai(event.trigger_time)) * 86_400.0
        level = region.credible_level(real.ra_deg, real.dec_deg)
        inside = level <= level_searched(region, DEFAULT_MAX_CREDIBLE_LEVEL)
        timely = (delay_s >= window.start_s) & (delay_s <= window.stop_s)
        expected += float(np.mean(inside)) * int(timely.sum())
    n = len(found)
    assert expected > 0.5, "the night must be able to show some"
    assert poisson.sf(n - 1, expected) > 1e-3, (n, expected)
    assert poisson.cdf(n, expected) > 1e-3, (n, expected)


def test_no_pair_of_that_night_is_rare_or_probable(night: ObjectColumns, events: tuple[Event, ...]) -> None:
    found: list[Any] = list(correlate(events, night, DEFAULT_BACKGROUND, max_credible_level=DEFAULT_MAX_CREDIBLE_LEVEL))
    assert {entry.event.mission for entry in found} <= {"LVK"}, "no burst of that month has a candidate"
    assert all(entry.pair.joint_far_hz * SECONDS_PER_YEAR > 1.0 for entry in found)
    assert all(entry.pair.p_chance > 0.5 for entry in found)


def test_what_was_moved_into_the_error_regions_came_before_their_bursts(
    night: ObjectColumns, events: tuple[Event, ...]
) -> None:
    moved = night.take(displaced(night))
    event = next(event for event in events if event.event_key == "Fermi:727029942")
    assert event.localization is not None
    assert event.trigger_time is not None
    assert np.sum(region_of(event.localization).credible_level(moved.ra_deg, moved.dec_deg) < 0.95) > 20
    assert moved.first_midpoint_mjd_tai.max() < datetime_to_mjd_tai(event.trigger_time)
