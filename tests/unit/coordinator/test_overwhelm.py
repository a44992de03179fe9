"""The coordinator between a graph and a bus in memory: slices, repeats, outages, and what a retraction leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator import priority, search, service
from coordinator.config import CoordinatorSettings
from coordinator.search import objects_by_time
from coordinator.service import Coordinator
from graph import codec
from graph.errors import StoreError
from graph.event_pair_rows import event_pair_properties
from graph.event_store import pair_properties, stored_coincidence
from graph.model import AlertType, Circle, FollowUpList, Messenger, Notice, ScienceCase, Survey
from graph.objects import Flares, ObjectColumns
from graph.times import datetime_to_mjd_tai
from graph.topics import JOINT_EVENTS, NOTICES, OBJECTS, RETRACTIONS, VOEVENT, list_topic

PLACE = Circle(30.0, 10.0, 3.0)
WAVE: dict[str, Any] = {"messenger": Messenger.GW, "mission": "LVK", "event_id": "S1", "far_hz": 1e-9}


class Graph:
    """What an `EventStore` answers, in memory; it may be away."""

    def __init__(self, objects: ObjectColumns) -> None:
        self.objects = objects
        self.keys = [f"{s}:{o}" for s, o in zip(objects.survey, objects.object_id, strict=True)]
        self.seen = np.ones(len(objects), dtype=bool)
        self.notices: dict[str, dict[str, Notice]] = defaultdict(dict)
        self.pairs: dict[tuple[str, str], dict[str, Any]] = {}
        self.event_links: dict[tuple[str, str], dict[str, Any]] = {}
        self.cases: dict[str, str] = {}
        self.lists: dict[str, tuple[FollowUpList, str]] = {}
        self.largest = self.reads = 0
        self.fails = 0

    def _touch(self) -> None:
        if self.fails:
            self.fails -= 1
            raise StoreError("away")

    def _take(self, chosen: Any) -> ObjectColumns:
        self.largest, self.reads = max(self.largest, int(chosen.sum())), self.reads + 1
        return self.objects.take(chosen)

    def event_keys(self) -> tuple[str, ...]:
        return tuple(self.notices)

    def notices_of(self, event_keys: Sequence[str]) -> dict[str, tuple[Notice, ...]]:
        self._touch()
        return {key: tuple(self.notices[key].values()) for key in event_keys if self.notices[key]}

    def write_events(self, events: Iterable[Any]) -> None:
        self._touch()
        self.cases |= {event.event_key: case.value for event, case, _ in events}

    def objects_in_window(self, first: float, last: float, limit: int) -> ObjectColumns:
        self._touch()
        times = self.objects.first_midpoint_mjd_tai
        chosen = self.seen & (times >= first) & (times <= last)
        oldest = np.argsort(np.where(chosen, times, np.inf), kind="stable")[: min(limit, int(chosen.sum()))]
        return self._take(np.isin(np.arange(len(times)), oldest))

    def objects_in_ranges(self, first: float, last: float, ranges: Sequence[tuple[int, int]]) -> ObjectColumns:
        assert ranges
        return self.objects_in_window(first, last, 10**9)

    def flares_in_window(self, *_: float) -> Flares:
        return Flares(self.objects.take(np.empty(0, dtype=np.intp)), np.empty(0), np.empty(0))

    flares_of = flares_in_window

    def objects_by_key(self, keys: Sequence[str]) -> ObjectColumns:
        self._touch()
        wanted = set(keys)
        return self.objects.take(np.array([key in wanted for key in self.keys]) & self.seen)

    def classifiers_of(self, keys: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        assert len(keys)
        return {}

    def coincidences_of(self, event_keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
        return {key: dict(row) for key, row in self.pairs.items() if key[1] in event_keys}

    def coincidences_of_objects(self, object_keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
        self._touch()
        wanted = set(object_keys)
        return {key: dict(row) for key, row in self.pairs.items() if key[0] in wanted}

    def coincidences_with(self, event_key: str, object_keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
        return {key: row for key, row in self.coincidences_of_objects(object_keys).items() if key[1] == event_key}

    def unsettled_objects_of(self, event_key: str) -> list[str]:
        self._touch()
        return [
            key[0]
            for key, row in self.pairs.items()
            if key[1] == event_key
            and (row["state"] == "open" or row.get("published_digest") not in {None, row["digest"]})
        ]

    def write_coincidences(self, pairs: Iterable[Any]) -> None:
        self._touch()
        for pair in pairs:
            key = (f"{pair.survey.value}:{pair.object_id}", pair.event_key)
            self.pairs[key] = {**self.pairs.get(key, {}), **pair_properties(pair)}

    def mark_published(self, digests: Mapping[tuple[str, str], str]) -> None:
        self._touch()
        for key, digest in digests.items():
            row = self.pairs[key]
            row["published_number"] = row.get("published_number", 0) + (row.get("published_digest") != digest)
            row["published_digest"] = digest

    def evidence_of(self, event_key: str) -> list[tuple[str, float]]:
        found = [key for key, row in self.pairs.items() if key[1] == event_key and row["state"] == "open"]
        return [(key[0], self.pairs[key]["log_bayes_factor"]) for key in found]

    def write_associations(self, associations: Mapping[str, object]) -> frozenset[str]:
        return frozenset(associations)

    def event_pairs(self) -> dict[tuple[str, str], dict[str, Any]]:
        return self.event_links

    def write_event_pairs(self, pairs: Iterable[Any]) -> None:
        for pair in pairs:
            key = (pair.first_key, pair.second_key)
            self.event_links[key] = self.event_links.get(key, {}) | event_pair_properties(pair)

    def mark_event_pairs_published(self, digests: object) -> None: ...

    def newest_midpoint_mjd_tai(self) -> float:
        return float(self.objects.first_midpoint_mjd_tai.max())

    def strongest_pairs(self, event_keys: Sequence[str], limit: int) -> dict[str, tuple[ScienceCase, Any]]:
        self._touch()
        found = {key: sorted(self.evidence_of(key), key=lambda one: (-one[1], one[0]))[:limit] for key in event_keys}
        return {key: (ScienceCase(self.cases[key]), tuple(pairs)) for key, pairs in found.items() if pairs}

    def open_coincidences(self, case: ScienceCase, object_keys: Sequence[str]) -> tuple[list[Any], ObjectColumns]:
        chosen = [key for key in self.pairs if key[0] in object_keys and self.cases[key[1]] == case.value]
        keys = sorted(key for key in chosen if self.pairs[key]["state"] == "open")
        rows = np.array([self.keys.index(key[0]) for key in keys], dtype=np.intp)
        return [stored_coincidence(key, self.pairs[key]) for key in keys], self.objects.take(rows)

    def young_objects(self, first: float, *_: object, **__: object) -> tuple[ObjectColumns, int, float]:
        return self.objects.take(np.zeros(len(self.objects), dtype=bool)), 0, first

    def current_list(self, case: ScienceCase) -> tuple[int, str, str]:
        current = self.lists.get(case.value)
        return (0, "", "") if current is None else (current[0].version, current[0].list_id, current[1])

    def write_list(self, follow_up: FollowUpList) -> None:
        self.lists[follow_up.case.value] = (follow_up, "")

    def mark_list_published(self, follow_up: FollowUpList) -> None:
        self.lists[follow_up.case.value] = (follow_up, follow_up.list_id)


class Bus:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        assert key
        assert not headers
        if topic != VOEVENT:
            self.sent.append((topic, orjson.loads(value)))

    def flush(self) -> None: ...

    def on(self, topic: str) -> list[dict[str, Any]]:
        return [body for name, body in self.sent if name == topic]


class World:
    """A coordinator, what it sees and what it says."""

    def __init__(self, objects: ObjectColumns, make_notice: Any, **chosen: Any) -> None:
        self.graph, self.bus, self.make_notice, self.offset = Graph(objects), Bus(), make_notice, 0
        self.settings = CoordinatorSettings(coalesce_s=0.0, **chosen)
        self.start()

    def start(self) -> None:
        self.coordinator = Coordinator(self.graph, self.bus, self.settings)  # type: ignore[arg-type]
        self.coordinator.load_events()

    def tell(self, number: int, **changes: Any) -> Any:
        made = changes.get("trigger_time", self.make_notice().trigger_time) + timedelta(seconds=10 + number)
        notice = self.make_notice(notice_id=f"n{number}", alert_time=made, **{"localization": PLACE, **changes})
        self.graph.notices[notice.event_key][notice.notice_id] = notice
        self.send(NOTICES, notice.event_key.encode(), codec.to_bytes(notice))
        return notice

    def see(self, rows: Sequence[int]) -> None:
        self.graph.seen[list(rows)] = True
        names = [str(self.graph.objects.object_id[row]) for row in rows]
        self.send(OBJECTS, b"ztf", orjson.dumps({"survey": "ztf", "object_id": names}))

    def act(self, kind: str, amount: int) -> None:
        """Let something happen to the wave."""
        number = self.offset + 1
        if kind == "update":
            places = (PLACE, Circle(32.0, 12.0, 2.0), Circle(120.0, -40.0, 1.0))
            self.tell(number, localization=places[amount], alert_type=AlertType.UPDATE, **WAVE)
        elif kind == "retract":
            self.tell(number, localization=None, alert_type=AlertType.RETRACTION, **WAVE)
        elif kind == "partner":
            self.tell(number, event_id="burst")
        elif kind == "see":
            self.see(range(5 * amount, 5 * amount + 35))
        elif kind == "fail":
            self.graph.fails = amount
        elif kind == "restart":
            self.restart()
        for _ in range(amount if kind == "step" else 0):
            with suppress(StoreError):
                self.coordinator.step(rest=False)

    def restart(self) -> None:
        """Begin anew; what was not finished comes again."""
        self.graph.fails = 0
        self.start()
        for event_key, notices in self.graph.notices.items():
            for notice in notices.values():
                self.send(NOTICES, event_key.encode(), codec.to_bytes(notice))
        self.see(np.flatnonzero(self.graph.seen).tolist())

    def send(self, topic: str, key: bytes, body: bytes) -> None:
        self.offset += 1
        self.coordinator.take(topic, key, body, (topic, 0, self.offset))

    def states(self) -> dict[tuple[str, str], str]:
        return {key: row["state"] for key, row in self.graph.pairs.items()}


def spread(make_objects: Any, make_notice: Any, n: int, seed: int = 1) -> ObjectColumns:
    """Return objects around `PLACE`, first seen within days of the burst, some at the same moment."""
    rng = np.random.default_rng(seed)
    days = np.where(rng.random(n) < 0.3, 1.0, rng.uniform(0.01, 4.5, n))
    objects: ObjectColumns = make_objects(
        rng.uniform(25.0, 35.0, n),
        rng.uniform(5.0, 15.0, n),
        datetime_to_mjd_tai(make_notice().trigger_time) + days,
        object_id=np.array([f"ZTF{number:05d}" for number in range(n)], dtype=object),
    )
    return objects


@given(st.integers(0, 400), st.integers(1, 60), st.integers(0, 99))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slices_of_time_hold_every_object_once(
    make_objects: Any, make_notice: Any, n: int, at_a_time: int, seed: int
) -> None:
    graph = Graph(spread(make_objects, make_notice, n, seed))
    times = graph.objects.first_midpoint_mjd_tai
    first, last = (float(times.min()), float(times.max())) if n else (0.0, 1.0)
    slices = list(objects_by_time(graph, first, last, at_a_time))
    assert sorted(name for one in slices for name in one.object_id) == sorted(graph.objects.object_id)
    simultaneous = max(np.unique(times, return_counts=True)[1], default=0)
    assert all(len(one) <= max(at_a_time, simultaneous) for one in slices)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "TURN_S", 0.0)
    monkeypatch.setattr(search, "OBJECTS_AT_A_TIME", 20)
    monkeypatch.setattr(search.objects_by_time, "__defaults__", (20,))
    monkeypatch.setattr(search, "SMALL_SKY_DEG2", 0.0)
    monkeypatch.setattr(service, "PAIRS_AT_A_TIME", 15)
    monkeypatch.setattr(service, "OBJECTS_AT_A_TIME", 10)


@pytest.mark.usefixtures("small_slices")
def test_an_event_in_slices_has_the_pairs_of_one_at_once(
    make_objects: Any, make_notice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = spread(make_objects, make_notice, 300)
    sliced = World(objects, make_notice)
    sliced.tell(0)
    steps = 0
    while not sliced.coordinator.is_idle:
        sliced.coordinator.step()
        steps += 1
    assert steps > 15
    monkeypatch.undo()
    whole = World(objects, make_notice)
    whole.tell(0)
    whole.coordinator.work()
    assert sliced.graph.pairs == whole.graph.pairs
    assert len(sliced.graph.pairs) > 40

    def by_key(world: World) -> list[Any]:
        return sorted(world.bus.on(JOINT_EVENTS), key=lambda body: str(body["id"]))

    assert by_key(sliced) == by_key(whole), "each is told with the association probability among all"


def test_of_many_pairs_the_strongest_are_told_and_all_are_kept(make_objects: Any, make_notice: Any) -> None:
    every = World(spread(make_objects, make_notice, 300), make_notice)
    few = World(spread(make_objects, make_notice, 300), make_notice, told_pairs_max=12)
    for world in (every, few):
        world.graph.seen[100:200] = False
        notice = world.tell(0)
        world.coordinator.work()

    def told(world: World, kind: str) -> set[str]:
        return {body["object_id"] for body in world.bus.on(JOINT_EVENTS) if body.get("alert_type") == kind}

    def strongest(world: World) -> set[str]:
        evidence = {key[0]: row["log_bayes_factor"] for key, row in world.graph.pairs.items()}
        return {name.partition(":")[2] for name in sorted(evidence, key=lambda key: -evidence[key])[:12]}

    assert few.states() == every.states()
    first = told(few, "initial")
    assert first == strongest(few) < told(every, "initial")
    # New objects are told if they are stronger than the twelfth; what was told stays told.
    few.see(range(100, 200))
    few.coordinator.work()
    more = told(few, "initial") - first
    assert strongest(few) <= first | more
    assert 0 < len(more) < len({key for key in few.graph.pairs if 100 <= int(key[0][-5:]) < 200})
    # Nothing is withdrawn that was not told; a second retraction, or a restart, says nothing more.
    few.tell(1, event_id=notice.event_id, localization=None, alert_type=AlertType.RETRACTION)
    few.coordinator.work()
    assert set(few.states().values()) == {"withdrawn"}
    assert told(few, "retraction") == first | more
    n_sent = len(few.bus.sent)
    few.restart()
    few.coordinator.work()
    assert len(few.bus.sent) == n_sent


@pytest.mark.usefixtures("small_slices")
def test_a_fresh_burst_is_told_before_a_wide_map_is_done(make_objects: Any, make_notice: Any) -> None:
    world = World(spread(make_objects, make_notice, 300), make_notice)
    wide = world.tell(0, event_id="wide", localization=Circle(30.0, 10.0, 20.0))
    for _ in range(4):
        world.coordinator.step()
    later = wide.trigger_time + timedelta(days=4.3)
    burst = world.tell(1, event_id="burst", localization=Circle(30.0, 10.0, 4.0), trigger_time=later)
    world.coordinator.work()
    keys = [body["event_key"] for body in world.bus.on(JOINT_EVENTS) if "object_id" in body]
    told = [place for place, key in enumerate(keys) if key == burst.event_key]
    assert told
    assert keys.index(wide.event_key) > max(told)


def test_a_notice_that_was_settled_is_not_worked_on_again(make_objects: Any, make_notice: Any) -> None:
    world = World(spread(make_objects, make_notice, 30), make_notice)
    for _ in range(100):
        world.tell(0)
    assert world.coordinator.finished() == []
    world.coordinator.work()
    assert len(world.coordinator.finished()) == 100
    for _ in range(100):
        world.tell(0)
    assert world.coordinator.is_idle
    assert len(world.coordinator.finished()) == 100
    report = world.coordinator.report
    assert (report.events_formed, report.notices_repeated, report.notices_delayed) == (1, 199, {})


def test_rapid_revisions_are_one_piece_of_work_and_every_one_is_kept(make_objects: Any, make_notice: Any) -> None:
    world = World(spread(make_objects, make_notice, 30), make_notice, notices_burst=50.0)
    for number in range(500):
        world.tell(number)
    world.coordinator.work()
    assert world.coordinator.report.events_formed == 1
    assert world.coordinator.report.notices_delayed["Fermi"] >= 400
    assert {row["revision"] for row in world.graph.pairs.values()} == {500}
    assert len(world.coordinator.finished()) == 500


def test_a_retraction_does_not_wait_behind_a_flood_of_its_mission(make_objects: Any, make_notice: Any) -> None:
    world = World(spread(make_objects, make_notice, 30), make_notice, notices_burst=5.0)
    fresh = world.tell(0, event_id="fresh")
    world.coordinator.work()
    assert {row["state"] for row in world.graph.pairs.values()} == {"open"}
    for number in range(200):
        world.tell(number, event_id=f"again{number % 20}")
    world.tell(1, event_id="fresh", alert_type=AlertType.RETRACTION, localization=None)
    formed = world.coordinator.report.events_formed
    while not world.bus.on(RETRACTIONS):
        world.coordinator.step(rest=False)
    # Only the new events that the burst of the mission lets pass stand before it.
    assert world.coordinator.report.events_formed <= formed + 6
    assert {row["state"] for key, row in world.graph.pairs.items() if key[1] == fresh.event_key} == {"withdrawn"}


@pytest.mark.usefixtures("small_slices")
def test_an_outage_loses_no_work_and_finishes_no_message_early(make_objects: Any, make_notice: Any) -> None:
    objects = spread(make_objects, make_notice, 120)
    calm, shaken = World(objects, make_notice), World(objects, make_notice)
    for world in (calm, shaken):
        world.graph.seen[100:] = False
        world.tell(0)
        world.see(range(100, 120))
    calm.coordinator.work()
    finished = 0
    for attempt in range(400):
        # Further and further apart, so that each piece of work is hit in another slice and ends at last.
        shaken.graph.fails = attempt in {number * (number + 1) // 2 for number in range(12)}
        try:
            shaken.coordinator.step(rest=False)
        except StoreError:
            continue
        finished += len(shaken.coordinator.finished())
        assert finished < 2 or shaken.coordinator.is_idle
    assert finished == 2
    assert shaken.coordinator.report.failures > 5
    assert shaken.states() == calm.states()
    names = ("digest", "published_digest", "published_number")
    assert [[row[name] for name in names] for row in (shaken.graph.pairs[key] for key in sorted(calm.graph.pairs))] == [
        [row[name] for name in names] for row in (calm.graph.pairs[key] for key in sorted(calm.graph.pairs))
    ]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.integers(0, 2)),
        st.tuples(st.just("see"), st.integers(0, 5)),
        st.tuples(st.just("step"), st.integers(1, 12)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("fail"), st.integers(1, 2)),
        st.tuples(st.just("partner"), st.just(0)),
        st.tuples(st.just("retract"), st.just(0)),
    ),
    max_size=14,
)


@pytest.mark.usefixtures("small_slices")
@given(ACTIONS, ACTIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_a_retraction_nothing_derived_from_the_event_stays_open(
    make_objects: Any, make_notice: Any, before: list[Any], after: list[Any]
) -> None:
    world = World(spread(make_objects, make_notice, 60), make_notice)
    world.graph.seen[30:] = False
    gone = world.tell(0, **WAVE).event_key
    for kind, amount in before:
        world.act(kind, amount)
    for kind, amount in [("retract", 0), *after]:
        # A later notice that is no retraction would revive the event.
        world.act("retract" if kind == "update" else kind, amount)
    world.graph.fails = 0
    world.coordinator.work()
    world.coordinator.publish_lists()
    assert {state for key, state in world.states().items() if key[1] == gone} <= {"withdrawn"}
    assert all(row["state"] == "withdrawn" for key, row in world.graph.event_links.items() if gone in key)
    assert gone not in {target.event_key for follow_up, _ in world.graph.lists.values() for target in follow_up.targets}
    last: dict[tuple[str, str], tuple[str, int]] = {}
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for body in world.bus.on(JOINT_EVENTS):
        if body.get("event_key") == gone:
            last[body["object_id"], gone] = body["state"]
            numbers[body["object_id"], gone].append(body["record_number"])
    assert set(last.values()) <= {"withdrawn"}, "whoever read that it was open has read that it is not"
    assert all(found == sorted(found) for found in numbers.values())
    withdrawn = {body["object_id"] for body in world.bus.on(RETRACTIONS) if body.get("event_key") == gone}
    assert {name for name, _ in last} <= withdrawn


def test_the_withdrawn_list_does_not_wait_for_the_next_look(make_objects: Any, make_notice: Any) -> None:
    world = World(spread(make_objects, make_notice, 30), make_notice, list_interval_s=1e9)
    world.tell(0)
    world.coordinator.work()
    world.coordinator.publish_lists()
    assert world.graph.lists["grb"][0].targets
    world.tell(1, localization=None, alert_type=AlertType.RETRACTION)
    world.coordinator.work()
    assert world.bus.on(list_topic(ScienceCase.GRB))[-1]["targets"] == []
    topics = [topic for topic, _ in world.bus.sent]
    assert topics.index(RETRACTIONS) > 0
    assert Survey.ZTF in {Survey(body["survey"]) for body in world.bus.on(RETRACTIONS)}
