"""Pairs of events: windows, overlaps and rates against published numbers, and the same answer in any order."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator import joint_events as joint_events_module
from coordinator.chains import joint_events
from coordinator.config import CoordinatorSettings
from coordinator.event_pair_messages import event_pair_body
from coordinator.event_pairs import MAX_JOINT_FAR_HZ, Member, find_pair, member_of, pair_window, withdraw_pair
from coordinator.joint import targeted_joint_far_hz
from coordinator.joint_events import JointEvents
from coordinator.lifecycle import event_from_notices
from coordinator.service import Coordinator
from coordinator.windows import SECONDS_PER_YEAR
from graph import codec
from graph.errors import HeliographError, StoreError
from graph.event_pair_rows import event_pair_properties, joint_event_id, stored_event_pair
from graph.event_store import pair_properties
from graph.model import (
    AlertTense,
    AlertType,
    Circle,
    Coincidence,
    CoincidenceState,
    Event,
    EventPair,
    EventState,
    Messenger,
    Notice,
)
from graph.objects import Flares
from graph.regions import overlap_integral, region_of
from graph.times import datetime_to_mjd_tai
from graph.topics import JOINT_EVENTS, RETRACTIONS, VOEVENT
from ingest.notices.registry import parse_notice
from ingest.notices.skymap_fits import read_skymap

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
GW170817 = datetime(2017, 8, 17, 12, 41, 4, 400_000, tzinfo=UTC)
GRB170817A = datetime(2017, 8, 17, 12, 41, 6, 470_000, tzinfo=UTC)
BURSTS_PER_YEAR = 258.0 + 83.0 + 190.0 + 5.0 + 5.0 + 100.0
NEAR = Circle(30.0, 10.0, 1.0, 0.9, systematic_included=True)
FAR = Circle(210.0, -40.0, 1.0, 0.9, systematic_included=True)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Graph:
    """What an `EventStore` answers, in memory; rows go through the same conversions."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], dict[str, Any]] = {}
        self.coincidences: dict[tuple[str, str], dict[str, Any]] = {}
        self.notices: dict[str, list[Notice]] = defaultdict(list)
        self.objects: Any = None
        self.associations: dict[str, Mapping[str, float | None]] = {}
        self.writes = 0

    def event_pairs(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        return {key: dict(row) for key, row in self.pairs.items()}

    def write_event_pairs(self, pairs: Iterable[EventPair]) -> None:
        for pair in pairs:
            self.writes += 1
            row = self.pairs.setdefault((pair.first_key, pair.second_key), {}) | event_pair_properties(pair)
            self.pairs[pair.first_key, pair.second_key] = {k: v for k, v in row.items() if v is not None}

    def mark_event_pairs_published(self, digests: Mapping[tuple[str, str], str]) -> None:
        for key, digest in digests.items():
            self.pairs[key]["published_digest"] = digest

    def coincidences_of(self, event_keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
        return {key: row for key, row in self.coincidences.items() if key[1] in event_keys}

    def coincidences_of_objects(self, object_keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
        return {key: row for key, row in self.coincidences.items() if key[0] in object_keys}

    def coincidences_with(self, event_key: str, object_keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
        return {key: row for key, row in self.coincidences_of_objects(object_keys).items() if key[1] == event_key}

    def unsettled_objects_of(self, event_key: str) -> list[str]:
        return [key[0] for key in self.coincidences if key[1] == event_key]

    def event_keys(self) -> tuple[str, ...]:
        return tuple(self.notices)

    def notices_of(self, event_keys: Sequence[str]) -> dict[str, tuple[Notice, ...]]:
        return {key: tuple(self.notices[key]) for key in event_keys}

    def write_events(self, events: object) -> None: ...

    def objects_in_window(self, *window: float) -> Any:
        assert window
        return self.objects

    def objects_in_ranges(self, *window: Any) -> Any:
        return self.objects_in_window(*window)

    def flares_in_window(self, *_: float) -> Flares:
        return Flares(self.objects.take(np.empty(0, dtype=np.intp)), np.empty(0), np.empty(0))

    def write_coincidences(self, coincidences: Iterable[Any]) -> None:
        for pair in coincidences:
            self.coincidences[f"{pair.survey.value}:{pair.object_id}", pair.event_key] = pair_properties(pair)

    def evidence_of(self, event_key: str) -> list[tuple[str, float]]:
        found = (k for k, row in self.coincidences.items() if k[1] == event_key and row["state"] == "open")
        return [(key[0], self.coincidences[key]["log_bayes_factor"]) for key in found]

    def write_associations(self, associations: Mapping[str, Mapping[str, float | None]]) -> frozenset[str]:
        self.associations |= associations
        return frozenset(associations)

    def mark_published(self, digests: Mapping[tuple[str, str], str]) -> None:
        for key, digest in digests.items():
            self.coincidences[key]["published_digest"] = digest

    def open_pairs(self) -> dict[tuple[str, str], str]:
        return {key: row["joint_event_id"] for key, row in self.pairs.items() if row["state"] == "open"}


class Outbox:
    """A sender that keeps what it was given."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None, dict[str, Any]]] = []

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        assert headers is None
        if topic != VOEVENT:
            self.sent.append((topic, key, orjson.loads(value)))

    def flush(self) -> None: ...

    def told(self, topic: str) -> list[dict[str, Any]]:
        return [body for name, _, body in self.sent if name == topic and body["$schema"] == "heliograph/event-pair/1"]


@pytest.fixture
def wave(make_event: Any) -> Callable[..., Event]:
    def build(**changes: Any) -> Event:
        fields = {
            "event_key": "LVK:S1",
            "mission": "LVK",
            "event_id": "S1",
            "messenger": Messenger.GW,
            "far_hz": 1e-9,
            "classification": {"BNS": 1.0},
            "localization": NEAR,
            "trigger_time": T0,
        }
        return make_event(**{**fields, **changes})  # type: ignore[no-any-return]

    return build


@pytest.fixture
def burst(make_event: Any) -> Callable[..., Event]:
    def build(mission: str = "Fermi", **changes: Any) -> Event:
        fields = {"event_key": f"{mission}:1", "mission": mission, "localization": NEAR, "trigger_time": after(2.0)}
        return make_event(**{**fields, **changes})  # type: ignore[no-any-return]

    return build


@pytest.fixture
def neutrino(make_event: Any) -> Callable[..., Event]:
    def build(mission: str = "IceCube", **changes: Any) -> Event:
        fields = {"event_key": f"{mission}:1", "mission": mission, "messenger": Messenger.NEUTRINO, "far_hz": 3e-8}
        return make_event(**{**fields, "localization": NEAR, "trigger_time": after(40.0), **changes})  # type: ignore[no-any-return]

    return build


def member(event: Event) -> Member:
    found = member_of(event, None if event.localization is None else region_of(event.localization))
    assert found is not None
    return found


def pair_of(one: Event, other: Event) -> EventPair | None:
    pair = find_pair(member(one), member(other))
    assert pair == find_pair(member(other), member(one))
    return pair


def test_a_targeted_rate_divides_by_the_overlap() -> None:
    temporal = targeted_joint_far_hz(12.0, 1e-5, 1e-6, 1e-4, 1 / 86400.0)
    assert temporal == pytest.approx(6.901623e-10, rel=1e-6)
    assert targeted_joint_far_hz(12.0, 1e-5, 1e-6, 1e-4, 1 / 86400.0, overlap=20.0) == pytest.approx(temporal / 20)
    assert math.isinf(targeted_joint_far_hz(12.0, 1e-5, 1e-6, 1e-4, 1 / 86400.0, overlap=0.0))


@pytest.mark.parametrize(("delay_s", "linked"), [(-1.1, False), (-0.9, True), (4.9, True), (5.1, False)])
def test_a_merger_and_a_burst(wave: Any, burst: Any, delay_s: float, linked: bool) -> None:
    pair = pair_of(burst(trigger_time=after(delay_s)), wave())
    assert (pair is not None) is linked
    if pair is None:
        return
    assert (pair.first_key, pair.second_key) == ("LVK:S1", "Fermi:1")
    assert pair.delta_t_s == pytest.approx(delay_s, abs=1e-5)
    # Two equal von Mises-Fisher circles on one place: half the concentration of either.
    kappa = -math.log(0.1) / (1 - math.cos(math.radians(1.0)))
    assert pair.overlap == pytest.approx(kappa, rel=1e-3)
    assert pair.joint_far_hz == pytest.approx(6.0 * BURSTS_PER_YEAR / SECONDS_PER_YEAR * 1e-9 / kappa, rel=1e-3)
    partner_rate_hz = BURSTS_PER_YEAR / SECONDS_PER_YEAR
    assert pair.log_bayes_factor == pytest.approx(math.log(kappa / (6.0 * partner_rate_hz)), rel=1e-3)
    assert pair.log_bayes_factor == pytest.approx(sum(term.value for term in pair.terms))


def test_each_kind_of_pair_has_its_window(wave: Any, burst: Any, neutrino: Any) -> None:
    def span(first: Event, second: Event) -> tuple[float, float] | None:
        window = pair_window(first, second)
        return None if window is None else (window.start_s, window.stop_s)

    assert span(wave(), burst()) == (-1, 5)
    assert span(wave(classification={}), burst()) == (-60, 600)
    assert span(wave(), burst("Fermi", far_hz=1e-5)) == (-1, 11)
    assert span(wave(), burst("Swift", far_hz=1e-5)) == (-10, 20)
    assert span(wave(), burst("SVOM", far_hz=1e-5)) == (-1, 5)
    assert span(wave(), neutrino()) == (-500, 500)
    assert span(wave(), neutrino("Super-Kamiokande")) == (-10, 10)
    assert span(burst(), neutrino()) == (-86400, 86400)
    assert span(burst(), neutrino("SNEWS")) is None
    assert span(burst("Einstein Probe"), burst("Fermi")) == (-60, 60)
    assert span(burst("FERMI"), burst("Fermi")) is None
    assert span(wave(), wave()) is None


def test_a_targeted_burst_is_ranked_by_its_own_rate(wave: Any, burst: Any) -> None:
    weak = burst("Fermi", far_hz=1e-5)
    pair = pair_of(wave(far_hz=1e-6), weak)
    assert pair is not None
    assert pair.joint_far_hz * (pair.overlap or 0.0) == pytest.approx(6.901623e-10, rel=1e-6)
    assert pair_of(wave(far_hz=1e-6), burst("Fermi", far_hz=2e-4)) is None
    assert pair_of(wave(far_hz=2e-5), weak) is None


def test_two_missions_see_one_burst(burst: Any) -> None:
    fermi, swift = burst("Fermi"), burst("Swift", trigger_time=after(-20.0))
    pair = pair_of(swift, fermi)
    assert pair is not None
    assert pair.first_key == "Fermi:1"
    assert pair.delta_t_s == pytest.approx(-22.0, abs=1e-5)
    expected = 120.0 * 258.0 * 83.0 / SECONDS_PER_YEAR**2
    assert pair.joint_far_hz * (pair.overlap or 0.0) == pytest.approx(expected, rel=1e-9)
    assert pair_of(swift, burst("Fermi", localization=FAR)) is None
    assert pair_of(swift, burst("Fermi", trigger_time=after(90.0))) is None


def test_without_a_place_time_decides_alone(burst: Any, wave: Any, neutrino: Any) -> None:
    bare = burst("Fermi", localization=None)
    pair = pair_of(wave(), bare)
    assert pair is not None
    assert pair.overlap is None
    # Every trigger counts, not only those that turn out to be bursts.
    assert pair.joint_far_hz == pytest.approx(6.0 * BURSTS_PER_YEAR / SECONDS_PER_YEAR * 1e-9, rel=1e-9)
    assert pair.terms[0].value == 0.0
    # A day around a burst holds a neutrino of this kind often: time alone is no evidence.
    assert pair_of(bare, neutrino(far_hz=1e-6)) is None
    # A rare neutrino makes the pair rare, and yet such a burst comes every day by chance.
    assert pair_of(bare, neutrino(far_hz=3e-8)) is None
    assert pair_of(burst("Fermi"), neutrino(far_hz=3e-8)) is not None


@pytest.mark.parametrize(("separation_deg", "linked"), [(40.0, True), (75.0, False)])
def test_places_that_speak_against_each_other_are_no_pair(
    wave: Any, burst: Any, separation_deg: float, linked: bool
) -> None:
    """However rare the wave, an overlap below 1 is evidence for two sources."""
    one, other = Circle(30.0, 0.0, 40.0), Circle(30.0 + separation_deg, 0.0, 40.0)
    overlap = overlap_integral(region_of(one), region_of(other))
    assert 0.1 < overlap < 10.0
    assert (overlap > 1.0) is linked
    assert (pair_of(wave(localization=one, far_hz=1e-12), burst(localization=other)) is not None) is linked


def test_what_is_never_a_pair(wave: Any, burst: Any, make_event: Any) -> None:
    for gone in (
        burst(state=EventState.RETRACTED),
        burst(is_astrophysical_burst=False),
        burst(trigger_time=None),
        burst(alert_tense=AlertTense.TEST),
        make_event(mission="CHIME"),
    ):
        assert member_of(gone, None) is None
    drill = member_of(burst(alert_tense=AlertTense.TEST), region_of(NEAR), include_tests=True)
    assert drill is not None
    assert find_pair(member(wave()), drill) is None
    assert pair_of(wave(far_hz=math.inf), burst()) is None
    assert pair_of(wave(far_hz=math.nan), burst()) is not None
    assert MAX_JOINT_FAR_HZ * SECONDS_PER_YEAR == pytest.approx(365.25 / 30)  # noqa: SIM300 - the bound is what is tested


def test_chance_overlaps_average_to_one() -> None:
    """Over an isotropic sky the mean overlap is 1, so dividing by it never understates chance."""
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    fixed = region_of(Circle(80.0, 20.0, 25.0, 0.9))
    found = np.array(
        [overlap_integral(fixed, region_of(Circle(a, d, 20.0, 0.9))) for a, d in zip(ra, dec, strict=True)]
    )
    assert found.mean() == pytest.approx(1.0, abs=5 * found.std() / math.sqrt(len(found)))
    for bound in (2.0, 5.0, 10.0):
        assert np.mean(found >= bound) <= 1.0 / bound


def test_the_joint_rate_is_the_rate_of_chance_pairs(wave: Any, burst: Any) -> None:
    """Unrelated waves and bursts make pairs below a joint rate no more often than that rate says, and hardly less.

    Of triggers that come as often as a rate, those ranked below a part of it are that part of all.
    """
    rng = np.random.default_rng(3)
    n, gw_rate_hz = 6000, 1e-6
    chance_hz = 6.0 * BURSTS_PER_YEAR / SECONDS_PER_YEAR * gw_rate_hz
    pairs = []
    for _ in range(n):
        ra, dec = rng.uniform(0, 360), math.degrees(math.asin(rng.uniform(-1, 1)))
        noise = wave(far_hz=gw_rate_hz * rng.random(), localization=Circle(40.0, -20.0, 25.0), trigger_time=T0)
        flash = burst(localization=Circle(ra, dec, 15.0), trigger_time=after(rng.uniform(-1, 5)))
        pairs.append(find_pair(member(noise), member(flash)))
    found = np.array([pair.joint_far_hz for pair in pairs if pair is not None])
    for part in (0.01, 0.03, 0.1):
        expected = n * part
        assert 0.7 * expected - 4 * math.sqrt(expected) < np.sum(found <= part * chance_hz)
        assert np.sum(found <= part * chance_hz) < expected + 4 * math.sqrt(expected)


@pytest.mark.parametrize(
    ("name", "overlap"),
    [
        ("GW170817_HLV_relabelled_MS181101ab.multiorder.fits", 32.286665),
        ("GW170817_G298107_HL_bayestar_nside1024.fits.gz", 10.391944),
    ],
)
def test_gw170817_and_its_burst(shared_data: Path, wave: Any, burst: Any, name: str, overlap: float) -> None:
    folder = shared_data / "notices" / "skymaps"
    sky = read_skymap((folder / name).read_bytes())
    gbm = read_skymap((folder / "GRB170817A_GBM_healpix_flat.fit.gz").read_bytes())
    pair = pair_of(
        wave(localization=sky, trigger_time=GW170817, far_hz=1e-12), burst(localization=gbm, trigger_time=GRB170817A)
    )
    assert pair is not None
    assert pair.delta_t_s == pytest.approx(2.07, abs=1e-5)
    assert pair.overlap == pytest.approx(overlap, rel=1e-6)
    assert pair.joint_far_hz == pytest.approx(6.0 * BURSTS_PER_YEAR / SECONDS_PER_YEAR * 1e-12 / overlap, rel=1e-6)


def told_of(event: Event, number: int, alert_type: AlertType = AlertType.INITIAL) -> Notice:
    return Notice(
        notice_id=f"{event.event_key}/{number}",
        mission=event.mission,
        instrument="",
        messenger=event.messenger,
        notice_type="",
        alert_type=alert_type,
        alert_tense=AlertTense.CURRENT,
        event_id=event.event_key.partition(":")[2],
        event_names=(),
        record_number=number,
        trigger_time=event.trigger_time,
        alert_time=None if event.trigger_time is None else event.trigger_time + timedelta(seconds=60 * (1 + number)),
        localization=None if alert_type is AlertType.RETRACTION else event.localization,
        far_hz=event.far_hz,
        classification=event.classification,
    )


def test_one_joint_event_of_three(
    shared_data: Path, wave: Any, burst: Any, make_objects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GW170817, GRB 170817A and AT 2017gfo, from the maps to the message, and their end with the retraction."""
    folder = shared_data / "notices" / "skymaps"
    sky = read_skymap((folder / "GW170817_HLV_relabelled_MS181101ab.multiorder.fits").read_bytes())
    gbm = read_skymap((folder / "GRB170817A_GBM_healpix_flat.fit.gz").read_bytes())
    merger = wave(event_key="LVK:GW170817", localization=sky, trigger_time=GW170817, far_hz=1e-12)
    flash = burst(event_key="Fermi:524666471", localization=gbm, trigger_time=GRB170817A)
    graph, outbox = Graph(), Outbox()
    first_seen = datetime_to_mjd_tai(datetime(2017, 8, 17, 23, 33, tzinfo=UTC))
    graph.objects = make_objects(
        [197.4504, 17.0], [-23.3815, 40.0], first_seen, object_id=np.array(["AT2017gfo", "elsewhere"], dtype=object)
    )
    coordinator = Coordinator(graph, outbox, CoordinatorSettings())  # type: ignore[arg-type]
    # Messages on coincidences ask the graph for more than this one holds, and have tests of their own.
    monkeypatch.setattr(coordinator._publisher, "send_pairs", lambda *arguments: None)
    for event in (flash, merger):
        graph.notices[event.event_key].append(told_of(event, 0))
        coordinator.form_events([event.event_key])
    (told,) = outbox.told(JOINT_EVENTS)
    assert told["alert_type"] == "initial"
    assert (
        told["far"]
        == told["joint_far_hz"]
        == pytest.approx(6.0 * BURSTS_PER_YEAR / SECONDS_PER_YEAR * 1e-12 / 32.286665)
    )
    joint = told["joint_event"]
    assert joint["event_keys"] == ["Fermi:524666471", "LVK:GW170817"]
    assert [entry["object_key"] for entry in joint["counterparts"]] == ["ztf:AT2017gfo"]
    evidence = sum(row["log_bayes_factor"] for row in graph.coincidences.values())
    assert joint["counterparts"][0]["log_bayes_factor"] == pytest.approx(evidence)
    assert codec.from_json(EventPair, told).joint_event_id == joint["joint_event_id"]

    coordinator.form_events(["LVK:GW170817", "Fermi:524666471"])
    assert len(outbox.told(JOINT_EVENTS)) == 1

    graph.notices["LVK:GW170817"].append(told_of(merger, 1, AlertType.RETRACTION))
    again = Coordinator(graph, outbox, CoordinatorSettings())  # type: ignore[arg-type]
    monkeypatch.setattr(again._publisher, "send_pairs", lambda *arguments: None)
    again.load_events()
    again.form_events(["LVK:GW170817"])
    (gone,) = outbox.told(RETRACTIONS)
    assert (gone["state"], gone["alert_type"], gone["joint_event"]) == ("withdrawn", "retraction", None)
    assert graph.open_pairs() == {}


def test_counterparts_that_come_later_are_told(wave: Any, burst: Any) -> None:
    graph, outbox = Graph(), Outbox()
    book = JointEvents(graph, outbox)
    book.form([(event, region_of(NEAR)) for event in (wave(), burst())])
    assert outbox.told(JOINT_EVENTS)[-1]["joint_event"]["counterparts"] == []
    for key in ("LVK:S1", "Fermi:1"):
        graph.coincidences["ztf:a", key] = {"state": "open", "log_bayes_factor": 2.5}
        graph.coincidences["ztf:only one", "Fermi:1"] = {"state": "open", "log_bayes_factor": 9.0}
    rows = [stored_for("a", key) for key in ("LVK:S1", "Fermi:1")]
    book.match(rows[:1])
    assert len(outbox.told(JOINT_EVENTS)) == 1
    book.match(rows)
    book.match(rows)
    assert len(outbox.told(JOINT_EVENTS)) == 2
    assert outbox.told(JOINT_EVENTS)[-1]["alert_type"] == "update"
    assert outbox.told(JOINT_EVENTS)[-1]["joint_event"]["counterparts"] == [
        {"object_key": "ztf:a", "log_bayes_factor": 5.0}
    ]


def stored_for(object_id: str, event_key: str) -> Any:
    body = {
        "$schema": "heliograph/coincidence/1",
        "survey": "ztf",
        "object_id": object_id,
        "event_key": event_key,
        "delta_t_s": 1.0,
        "credible_level": 0.1,
        "separation_deg": None,
        "p_chance": 0.1,
        "joint_far_hz": 1e-9,
        "log_bayes_factor": 1.0,
        "terms": [],
        "state": "open",
        "revision": 1,
    }
    return codec.from_json(Coincidence, body)


def test_a_chain_is_one_joint_event_and_splits_when_its_middle_goes(wave: Any, burst: Any, neutrino: Any) -> None:
    """Two missions' bursts, a wave and a neutrino; the neutrino is linked to all of them."""
    events = [wave(), burst("Fermi"), burst("Swift", trigger_time=after(3.0)), neutrino()]
    graph, outbox = Graph(), Outbox()
    book = JointEvents(graph, outbox)
    for event in events:
        book.form([(event, region_of(NEAR))])
    keys = [event.event_key for event in events]
    assert len(graph.open_pairs()) == 6
    assert set(graph.open_pairs().values()) == {joint_event_id(keys)}
    (whole,) = joint_events(book.pairs.values())
    assert whole.event_keys == tuple(sorted(keys))
    assert whole.joint_far_hz == min(pair.joint_far_hz for pair in book.pairs.values())
    # The best of the sixteen trees that span four events, found by trying them all.
    assert whole.log_bayes_factor == pytest.approx(
        max(sum(pair.log_bayes_factor for pair in tree) for tree in spanning_trees(list(book.pairs.values()), keys))
    )
    lost = wave(state=EventState.RETRACTED, revision=4)
    book.form([(lost, region_of(NEAR))])
    assert len(graph.open_pairs()) == 3
    assert set(graph.open_pairs().values()) == {joint_event_id(keys[1:])}
    withdrawn = [pair for pair in book.pairs.values() if pair.state is CoincidenceState.WITHDRAWN]
    assert {pair.first_revision for pair in withdrawn} == {4}
    assert {pair.first_key for pair in withdrawn} == {"LVK:S1"}
    assert len(outbox.told(RETRACTIONS)) == 3
    book.form([(wave(revision=5), region_of(NEAR))])
    assert set(graph.open_pairs().values()) == {joint_event_id(keys)}


def spanning_trees(pairs: list[EventPair], keys: list[str]) -> Iterator[tuple[EventPair, ...]]:
    for chosen in combinations(pairs, len(keys) - 1):
        reached = {keys[0]}
        for _ in keys:
            for pair in chosen:
                if reached & {pair.first_key, pair.second_key}:
                    reached |= {pair.first_key, pair.second_key}
        if len(reached) == len(keys):
            yield chosen


def test_a_chain_without_its_middle_falls_into_parts(wave: Any, burst: Any) -> None:
    """Fermi's wide burst links a wave and a Swift burst that do not fit each other."""
    events = [
        wave(localization=Circle(10.0, 0.0, 1.0), trigger_time=T0),
        burst("Fermi", localization=Circle(15.0, 0.0, 9.0, 0.9, systematic_included=True), trigger_time=after(4.0)),
        burst("Swift", localization=Circle(20.0, 0.0, 0.05), trigger_time=after(30.0)),
        burst("SVOM", localization=Circle(20.0, 0.0, 0.1), trigger_time=after(31.0)),
    ]
    graph = Graph()
    for order in permutations(events):
        graph = Graph()
        book = JointEvents(graph, Outbox())
        book.form([(event, region_of(event.localization)) for event in order if event.localization is not None])
        assert set(graph.open_pairs()) == {
            ("LVK:S1", "Fermi:1"),
            ("Fermi:1", "Swift:1"),
            ("Fermi:1", "SVOM:1"),
            ("SVOM:1", "Swift:1"),
        }
        assert len(set(graph.open_pairs().values())) == 1
    gone = burst("Fermi", localization=FAR, localization_notice_id="n4", trigger_time=after(4.0))
    book.form([(gone, region_of(FAR))])
    assert graph.open_pairs() == {("SVOM:1", "Swift:1"): joint_event_id(["SVOM:1", "Swift:1"])}


NOTICES = st.lists(
    st.tuples(
        st.sampled_from(["LVK:1", "LVK:2", "Fermi:1", "Swift:1", "Swift:2", "IceCube:1"]),
        st.sampled_from([0.0, 2.0, 4.0, 50.0]),
        st.sampled_from([None, NEAR, FAR, Circle(33.0, 10.0, 4.0, 0.68)]),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


@settings(deadline=None, max_examples=150)
@given(sent=NOTICES, data=st.data())
def test_the_order_of_arrival_does_not_matter(sent: list[tuple[str, float, Any, bool]], data: st.DataObject) -> None:
    messengers = {"LVK": Messenger.GW, "IceCube": Messenger.NEUTRINO}
    notices = [
        Notice(
            notice_id=f"n{number}",
            mission=key.partition(":")[0],
            instrument="",
            messenger=messengers.get(key.partition(":")[0], Messenger.EM),
            notice_type="",
            alert_type=AlertType.RETRACTION if retracts else AlertType.INITIAL,
            alert_tense=AlertTense.CURRENT,
            event_id=key.partition(":")[2],
            event_names=(),
            record_number=number,
            trigger_time=after(offset),
            alert_time=after(100.0 + number),
            localization=place,
            far_hz=None if "LVK" not in key else 1e-9,
        )
        for number, (key, offset, place, retracts) in enumerate(sent)
    ]
    once, outbox = Graph(), Outbox()
    feed(JointEvents(once, outbox), [notices])
    order = data.draw(st.permutations(notices))
    cut = data.draw(st.integers(0, len(order)))
    graph = Graph()
    feed(JointEvents(graph, outbox), [[notice] for notice in order[:cut]])
    restarted = JointEvents(graph, outbox)
    restarted.load()
    feed(restarted, [[notice] for notice in order[cut:]], known=order[:cut])
    assert graph.open_pairs() == once.open_pairs()
    for key in once.open_pairs():
        assert stored_event_pair(key, graph.pairs[key]) == stored_event_pair(key, once.pairs[key])
    for name, row in graph.pairs.items():
        states = {event_from_notices([n for n in notices if n.event_key == key]).state for key in name}
        assert row["state"] == "withdrawn" or states == {EventState.ACTIVE}
    writes, told = graph.writes, len(outbox.sent)
    feed(restarted, [notices])
    assert (graph.writes, len(outbox.sent)) == (writes, told)


def feed(book: JointEvents, batches: Sequence[Sequence[Notice]], known: Sequence[Notice] = ()) -> None:
    """Form events from notices batch by batch, as the coordinator does; those known before are only remembered."""
    told: dict[str, dict[str, Notice]] = defaultdict(dict)

    def formed(keys: Iterable[str]) -> list[tuple[Event, Any]]:
        events = [event_from_notices(list(told[key].values())) for key in keys]
        return [(e, None if e.localization is None else region_of(e.localization)) for e in events]

    for notice in known:
        told[notice.event_key][notice.notice_id] = notice
    for event, region in formed(list(told)):
        book.remember(event, region)
    for batch in batches:
        for notice in batch:
            told[notice.event_key][notice.notice_id] = notice
        book.form(formed(dict.fromkeys(notice.event_key for notice in batch)))


def test_a_failed_write_is_made_up_for(wave: Any, burst: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, outbox = Graph(), Outbox()
    book = JointEvents(graph, outbox)
    events = [(event, region_of(NEAR)) for event in (wave(), burst())]

    def refuse(*_: object) -> None:
        raise StoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr(graph, "write_event_pairs", refuse)
        with pytest.raises(StoreError):
            book.form(events)
    assert not outbox.sent
    book.form(events)
    assert len(graph.open_pairs()) == len(outbox.told(JOINT_EVENTS)) == 1


def test_drills_are_stored_and_never_told(wave: Any, burst: Any) -> None:
    graph, outbox = Graph(), Outbox()
    events = [wave(alert_tense=AlertTense.TEST), burst(alert_tense=AlertTense.TEST)]
    JointEvents(graph, outbox).form([(event, region_of(NEAR)) for event in events])
    assert not graph.pairs
    JointEvents(graph, outbox, include_tests=True).form([(event, region_of(NEAR)) for event in events])
    assert len(graph.open_pairs()) == 1
    assert not outbox.sent


def test_the_search_looks_only_at_events_near_in_time(burst: Any, wave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book = JointEvents(Graph(), Outbox())
    rng = np.random.default_rng(2)
    for number, offset in enumerate(rng.uniform(-5, 5, 20_000) * SECONDS_PER_YEAR):
        book.remember(burst("Swift", event_key=f"Swift:{number}", trigger_time=after(offset)), None)
    looked: list[object] = []
    monkeypatch.setattr(joint_events_module, "find_pair", lambda *arguments: looked.append(arguments))
    book.form([(wave(), region_of(NEAR))])
    # 20,000 events in ten years are eleven in two days.
    assert 0 < len(looked) < 40


def test_a_flood_is_compared_in_part(
    burst: Any, wave: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(joint_events_module, "MAX_PARTNERS", 5)
    graph = Graph()
    book = JointEvents(graph, Outbox())
    for number in range(40):
        book.remember(burst("Swift", event_key=f"Swift:{number}", trigger_time=after(number / 10)), region_of(NEAR))
    book.form([(wave(), region_of(NEAR))])
    assert set(graph.open_pairs()) == {("LVK:S1", f"Swift:{number}") for number in range(5)}
    assert "nearest in time" in caplog.text


def test_an_unchanged_localization_is_not_integrated_again(
    burst: Any, wave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pair_of(wave(), burst())
    monkeypatch.setattr("coordinator.event_pairs.overlap_integral", lambda one, other: 7.0)
    again = find_pair(member(wave(revision=9)), member(burst()), first)
    assert again is not None
    assert first is not None
    assert (again.overlap, again.first_revision) == (first.overlap, 9)
    moved = find_pair(member(wave(localization_notice_id="other")), member(burst()), first)
    assert moved is not None
    assert moved.overlap == 7.0


def test_pairs_come_back_from_the_graph_as_they_were(wave: Any, burst: Any) -> None:
    pair = pair_of(wave(p_astro=0.0), burst())
    assert pair is not None
    key = (pair.first_key, pair.second_key)
    for state in (pair, withdraw_pair(pair, {"LVK:S1": 9})):
        assert stored_event_pair(key, event_pair_properties(state)) == state
        assert codec.from_bytes(EventPair, codec.to_bytes(state)) == state
        assert codec.from_json(EventPair, event_pair_body(state, None)) == state
    assert withdraw_pair(withdraw_pair(pair, {"LVK:S1": 9}), {"LVK:S1": 10}).first_revision == 9
    for damage in ({"state": "gone"}, {"terms": "["}, {"terms": '[{"x": 1}]'}):
        with pytest.raises(StoreError, match="LVK:S1"):
            stored_event_pair(key, {**event_pair_properties(pair), **damage})
    with pytest.raises(StoreError):
        stored_event_pair(key, {})


FAMILIES = ("agile", "calet", "einstein_probe", "fermi", "gecam", "integral", "ipn", "konus", "maxi", "svom", "swift")
SAME_BURSTS = {
    ("Fermi:441241276", "Swift:622476"),
    ("Fermi:477791389", "INTEGRAL:7378"),
    ("Fermi:603552759", "Swift:956824"),
    ("Fermi:723435916", "GECAM:B-20283-241"),
    ("Fermi:726773850", "Swift:1208389"),
    ("Fermi:727029942", "INTEGRAL:10472"),
    ("Fermi:797667231", "SVOM:sb26041206"),
    ("MAXI:3384794614", "Swift:663179"),
}
"""Bursts of the corpus that two missions placed, by times and positions in its manifest."""

GRB190530A = ["AGILE:486296356", "Fermi:580904353", "INTEGRAL:8289"]
"""A bright burst that three missions told of within a minute, two of them without a place."""


def test_real_bursts_of_two_missions_are_linked_and_others_are_not(shared_data: Path) -> None:
    folder = shared_data / "notices"
    with (folder / "MANIFEST.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["family"] in FAMILIES]
    told: dict[str, list[Notice]] = defaultdict(list)
    for row in rows:
        # Edited and made-up notices reuse the times of real bursts.
        if row["flag"].startswith(("synthetic", "test_fixture", "schema", "documentation")):
            continue
        try:
            notice = parse_notice((folder / row["file"]).read_bytes(), None)
        except HeliographError:
            continue
        told[notice.event_key].append(notice)
    events = [event_from_notices(notices) for notices in told.values()]
    assert len(events) > 200
    graph = Graph()
    book = JointEvents(graph, Outbox())
    book.form([(event, None if event.localization is None else region_of(event.localization)) for event in events])
    assert {key for key, pair in book.pairs.items() if pair.overlap is not None} == SAME_BURSTS
    assert joint_event_id(GRB190530A) in graph.open_pairs().values()
    # Independent of the index of times: every two triggers of two missions within a minute that are at one place.
    for pair in book.pairs.values():
        assert abs(pair.delta_t_s) <= 60.0
    near = [
        (min(a.event_key, b.event_key), max(a.event_key, b.event_key))
        for a, b in combinations([e for e in events if member_of(e, None) and e.localization is not None], 2)
        if a.trigger_time and b.trigger_time and abs((a.trigger_time - b.trigger_time).total_seconds()) <= 60.0
        if a.mission != b.mission
    ]
    assert set(near) >= SAME_BURSTS
    unrelated = set(near) - SAME_BURSTS
    assert not unrelated & set(book.pairs)
