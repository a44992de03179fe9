"""Recorded notices and objects without a graph: the golden cases, retractions, ranks, and equality with the service."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.background import DEFAULT_BACKGROUND, Background
from coordinator.coincidence import find_coincidences
from coordinator.offline import RankedPair, correlate, form_all
from coordinator.places import UNRELATED_HOSTS_REACH_MPC, WRONG_HOST_PROBABILITY
from graph.errors import WireError
from graph.model import (
    AlertTense,
    AlertType,
    Circle,
    CoincidenceState,
    Localization,
    Messenger,
    Notice,
    ScienceCase,
)
from graph.objects import ObjectColumns
from graph.regions import region_of
from graph.sky import ang2pix
from graph.times import datetime_to_mjd_tai
from ingest.notices.registry import parse_notice
from ingest.notices.skymap_fits import read_skymap

GW170817 = datetime(2017, 8, 17, 12, 41, 4, 400_000, tzinfo=UTC)
TRIGGER = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FILTERED = Background({"ztf": 1e-3}, "behind a filter for extragalactic transients")
YEAR_S = 365.25 * 86_400


def objects_at(*places: tuple[str, float, float, datetime], **columns: Any) -> ObjectColumns:
    n = len(places)
    names, ra, dec, first = (list(column) for column in zip(*places, strict=True))
    return ObjectColumns(
        np.full(n, "ztf", dtype=object),
        np.array(names, dtype=object),
        np.array(ra),
        np.array(dec),
        np.array([datetime_to_mjd_tai(each) for each in first]),
        np.full(n, np.nan),
        np.full(n, 18.0),
        np.full(n, "", dtype=object),
        np.full(n, np.nan),
        np.full(n, 3),
        **columns,
    )


def notice_of(place: Localization | None, **changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "notice_id": "n0",
        "mission": "Swift",
        "instrument": "BAT",
        "messenger": Messenger.EM,
        "notice_type": "POSITION",
        "alert_type": AlertType.INITIAL,
        "alert_tense": AlertTense.CURRENT,
        "event_id": "1",
        "event_names": (),
        "record_number": 0,
        "trigger_time": TRIGGER,
        "alert_time": TRIGGER,
        "localization": place,
    }
    return Notice(**{**fields, **changes})


def run(notices: list[Notice], objects: ObjectColumns, background: Background = FILTERED) -> tuple[RankedPair, ...]:
    return correlate(form_all(notices), objects, background, max_credible_level=0.95)


@pytest.fixture(scope="module")
def gw170817(shared_data: Path) -> Notice:
    path = shared_data / "notices" / "skymaps" / "GW170817_HLV_relabelled_MS181101ab.multiorder.fits"
    return notice_of(
        read_skymap(path.read_bytes()),
        mission="LVK",
        messenger=Messenger.GW,
        event_id="GW170817",
        trigger_time=GW170817,
        alert_time=GW170817,
        alert_tense=AlertTense.ARCHIVAL,
        far_hz=1e-12,
    )


AT2017GFO = ("AT2017gfo", 197.4504, -23.3815, datetime(2017, 8, 17, 23, 33, tzinfo=UTC))
ELSEWHERE = ("elsewhere", 17.0, 40.0, datetime(2017, 8, 17, 23, 33, tzinfo=UTC))


def test_at2017gfo_is_found_and_withdrawn_with_its_event(gw170817: Notice) -> None:
    found = run([gw170817], objects_at(AT2017GFO, ELSEWHERE))
    assert [(entry.pair.object_id, entry.rank) for entry in found] == [("AT2017gfo", 1)]
    assert found[0].pair.credible_level == pytest.approx(0.556, abs=2e-3)
    gone = replace(
        gw170817,
        notice_id="n1",
        alert_type=AlertType.RETRACTION,
        localization=None,
        alert_time=GW170817 + timedelta(days=1),
    )
    withdrawn = run([gw170817, gone], objects_at(AT2017GFO, ELSEWHERE))
    assert [(e.pair.object_id, e.rank, e.pair.state) for e in withdrawn] == [
        ("AT2017gfo", None, CoincidenceState.WITHDRAWN)
    ]
    assert withdrawn[0].pair.revision == 2


def test_the_distance_of_the_host_counts_for_each_target_alone(gw170817: Notice) -> None:
    twins = [(name, *AT2017GFO[1:]) for name in ("hosted", "hostless", "behind")]
    distance = np.array([40.7, np.nan, 400.0])
    found = {e.pair.object_id: e for e in run([gw170817], objects_at(*twins, host_distance_mpc=distance))}
    terms = {name: {term.name: term for term in entry.pair.terms} for name, entry in found.items()}
    assert "distance" not in terms["hostless"]
    skymap = gw170817.localization
    # The closed form, with the numbers of the map's own cell.
    pixel = int(ang2pix(*AT2017GFO[1:3])[0])
    cell = next(i for i in range(len(skymap)) if skymap.start[i] <= pixel < skymap.stop[i])  # type: ignore[union-attr, arg-type]
    mu, sigma = float(skymap.distance_mu_mpc[cell]), float(skymap.distance_sigma_mpc[cell])  # type: ignore[union-attr, index]
    norm = float(skymap.distance_norm_mpc2[cell])  # type: ignore[union-attr, index]
    for name, d in (("hosted", 40.7), ("behind", 400.0)):
        width = (sigma**2 + (0.1 * d) ** 2) ** 0.5
        density = norm * np.exp(-0.5 * ((d - mu) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
        ratio = density * UNRELATED_HOSTS_REACH_MPC**3 / 3
        expected = log((1 - WRONG_HOST_PROBABILITY) * ratio + WRONG_HOST_PROBABILITY)
        assert terms[name]["distance"].value == pytest.approx(expected, rel=1e-9)
    assert terms["hosted"]["distance"].value > 5.0
    assert terms["behind"]["distance"].value == pytest.approx(log(WRONG_HOST_PROBABILITY), abs=1e-3)
    assert [found[name].rank for name in ("hosted", "hostless", "behind")] == [1, 2, 3]
    for entry in found.values():
        assert entry.pair.log_bayes_factor == pytest.approx(sum(term.value for term in entry.pair.terms))


def test_ztf20abbiixp_is_found_from_the_first_position_on(shared_data: Path) -> None:
    objects = objects_at(("ZTF20abbiixp", 213.0431, 60.9053, datetime(2020, 5, 24, 6, 55, tzinfo=UTC)))
    chain = [parse_notice(p.read_bytes()) for p in sorted((shared_data / "notices" / "fermi").glob("*611989445*.xml"))]
    chain.sort(key=lambda notice: (notice.alert_time or TRIGGER, notice.record_number or 0))
    assert len(chain) >= 4
    located = 0
    for length in range(1, len(chain) + 1):
        found = run(chain[:length], objects)
        has_place = any(notice.localization is not None for notice in chain[:length])
        assert len(found) == has_place
        located += has_place
        if found:
            assert found[0].pair.delta_t_s == pytest.approx(6659.64, abs=1e-3)
            assert found[0].rank == 1
    assert located >= 3


def test_afterglows_without_a_burst_stay_alone(shared_data: Path) -> None:
    orphans = objects_at(
        ("ZTF20aajnksq", 191.7703, 45.2006, datetime(2020, 1, 28, 6, 42, tzinfo=UTC)),
        ("ZTF21aaeyldq", 123.8139, -5.8670, datetime(2021, 1, 16, 6, 59, tzinfo=UTC)),
        ("ZTF21aayokph", 188.2026, -1.4896, datetime(2021, 5, 4, 5, 10, tzinfo=UTC)),
    )
    bursts = []
    for family in ("fermi", "swift"):
        for path in sorted((shared_data / "notices" / family).glob("*.xml")):
            try:
                bursts.append(parse_notice(path.read_bytes()))
            except WireError:
                continue
    assert len(bursts) > 500
    found = run(bursts, orphans)
    assert not [entry for entry in found if entry.rank is not None and entry.pair.joint_far_hz < 1.0 / YEAR_S]


def test_all_at_once_gives_what_each_event_alone_gives() -> None:
    rng = np.random.default_rng(4)
    n = 400
    places = [
        (f"Z{i}", float(rng.uniform(80, 120)), float(rng.uniform(-20, 20)), TRIGGER + timedelta(days=float(day)))
        for i, day in enumerate(rng.uniform(-3, 12, n))
    ]
    objects = objects_at(*places)
    notices = [
        notice_of(
            Circle(float(rng.uniform(80, 120)), float(rng.uniform(-20, 20)), float(rng.uniform(0.5, 15))),
            notice_id=f"n{i}",
            event_id=str(i),
            messenger=(Messenger.EM, Messenger.NEUTRINO)[i % 2],
            trigger_time=TRIGGER + timedelta(days=i / 20),
        )
        for i in range(250)
    ]
    events = form_all(notices)
    together = correlate(events, objects, DEFAULT_BACKGROUND, max_credible_level=0.9)
    alone = {
        (pair.object_id, pair.event_key): pair
        for event in events
        for pair in find_coincidences(
            event,
            region_of(event.localization),  # type: ignore[arg-type]
            objects,
            DEFAULT_BACKGROUND,
            max_credible_level=0.9,
        )
    }
    assert len(alone) > 500
    assert {(e.pair.object_id, e.pair.event_key): e.pair for e in together} == alone
    shuffled = list(notices)
    random.Random(1).shuffle(shuffled)
    assert correlate(form_all(shuffled), objects, DEFAULT_BACKGROUND, max_credible_level=0.9) == together
    for case in ("grb", "neutrino"):
        ranked = [e for e in together if e.rank is not None and (e.event.messenger is Messenger.EM) == (case == "grb")]
        assert [e.rank for e in ranked] == list(range(1, len(ranked) + 1))
        scores = [e.pair.log_bayes_factor for e in ranked]
        assert scores == sorted(scores, reverse=True)
        # Each object stands once on a list, with its best event.
        assert len({e.pair.object_id for e in ranked}) == len(ranked)


def test_an_event_without_an_established_counterpart_is_not_ranked() -> None:
    burst = notice_of(Circle(10.0, 10.0, 0.5), mission="CHIME", event_id="frb")
    found = run([burst], objects_at(("a", 10.0, 10.0, TRIGGER + timedelta(hours=1))))
    assert [(e.rank, e.pair.state) for e in found] == [(None, CoincidenceState.OPEN)]
    assert ScienceCase.UNKNOWN.value == "unknown"


def test_drills_give_no_pairs_unless_asked_for() -> None:
    drill = notice_of(Circle(10.0, 10.0, 0.5), alert_tense=AlertTense.TEST)
    objects = objects_at(("a", 10.0, 10.0, TRIGGER + timedelta(hours=1)))
    assert run([drill], objects) == ()
    asked = correlate(form_all([drill]), objects, FILTERED, max_credible_level=0.95, include_tests=True)
    assert len(asked) == 1


def test_nothing_in_gives_nothing_out() -> None:
    assert form_all([]) == ()
    assert run([notice_of(None)], objects_at(("a", 1.0, 1.0, TRIGGER))) == ()
