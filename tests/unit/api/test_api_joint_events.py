"""Joint events, pairs and revisions over HTTP, and the statements behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from starlette.testclient import TestClient

from graph import codec
from graph.errors import NotFoundError
from graph.event_pair_rows import event_pair_properties, joint_event_id
from graph.model import AlertTense, AlertType, Circle, CoincidenceState, EventPair, Messenger, Notice, Term
from graph.reader import GraphReader
from graph.statements import statement
from graph.views import JointEventView

TRIGGER = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TERMS = (Term("overlap", 3.0, {"overlap": 20.1}), Term("delay", 2.0, {"delta_t_s": 1.7}))


def pair_of(first: str, second: str, evidence: float = 5.0, far_hz: float = 1e-12, **changes: Any) -> EventPair:
    pair = EventPair(first, second, 1.7, 20.1, far_hz, evidence, TERMS, CoincidenceState.OPEN, 2, 3, None)
    return replace(pair, **changes)


def chain() -> tuple[JointEventView, JointEventView]:
    """Return a wave, a burst and a neutrino that all link, and a pair that was withdrawn."""
    keys = ("LVK:S1", "Fermi:1", "IceCube:1")
    whole = joint_event_id(keys)
    pairs = (
        pair_of("Fermi:1", "IceCube:1", 2.0, 1e-9, joint_event_id=whole),
        pair_of("LVK:S1", "Fermi:1", 9.0, 1e-12, joint_event_id=whole),
        pair_of("LVK:S1", "IceCube:1", 4.0, 1e-10, joint_event_id=whole),
    )
    objects = (("ztf:a", "LVK:S1", 3.0), ("ztf:a", "Fermi:1", 4.0), ("ztf:b", "Fermi:1", 9.0))
    gone = pair_of("LVK:S0", "Fermi:0", state=CoincidenceState.WITHDRAWN)
    return (
        JointEventView(whole, CoincidenceState.OPEN, TRIGGER, pairs, objects),
        JointEventView(joint_event_id(("LVK:S0", "Fermi:0")), CoincidenceState.WITHDRAWN, TRIGGER, (gone,)),
    )


def test_a_page_of_joint_events_weighs_each_as_the_coordinator_does(client: TestClient, reader: Any) -> None:
    reader.graph = replace(reader.graph, joint_events=chain())
    body = client.get("/api/v1/joint-events?limit=7&cursor=abc").json()
    assert reader.calls[-1] == ("joint_events", 7, "abc", None)
    opened, gone = body["items"]
    assert opened["event_keys"] == ["Fermi:1", "IceCube:1", "LVK:S1"]
    assert (opened["state"], opened["joint_far_hz"]) == ("open", 1e-12)
    assert opened["log_bayes_factor"] == 13.0, "the weakest side of a ring repeats what the others said"
    assert (gone["state"], gone["joint_far_hz"], gone["log_bayes_factor"]) == ("withdrawn", 1e-12, 5.0)
    assert opened["trigger_time"] == "2026-03-01T12:00:00Z"
    assert opened["trigger_mjd_tai"] == pytest.approx(61100.5 + 37.0 / 86_400.0, abs=1e-9)
    assert body["next_cursor"] == "next"
    found = client.get("/api/v1/joint-events?state=withdrawn").json()["items"]
    assert [one["joint_event_id"] for one in found] == [gone["joint_event_id"]]


def test_a_joint_event_shows_its_pairs_and_the_objects_that_several_members_share(
    client: TestClient, reader: Any
) -> None:
    whole, gone = chain()
    reader.graph = replace(reader.graph, joint_events=(whole, gone))
    body = client.get(f"/api/v1/joint-events/{whole.joint_event_id}").json()
    assert body["counterparts"] == [{"object_key": "ztf:a", "log_bayes_factor": 7.0}]
    assert [one["second_key"] for one in body["pairs"]] == ["IceCube:1", "Fermi:1", "IceCube:1"]
    assert sum(term["value"] for term in body["pairs"][1]["terms"]) == 5.0
    assert client.get(f"/api/v1/joint-events/{gone.joint_event_id}").json()["counterparts"] == []


@pytest.mark.parametrize(("name", "status"), [("0" * 16, 404), ("x", 422), ("0" * 17, 422), ("ABCDEF0123456789", 422)])
def test_joint_events_that_are_not_there(client: TestClient, name: str, status: int) -> None:
    answer = client.get(f"/api/v1/joint-events/{name}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_event_names_its_pairs(client: TestClient, reader: Any) -> None:
    key = "Fermi:611989445"
    reader.graph = replace(reader.graph, pairs={key: (pair_of("LVK:S1", key, joint_event_id="5d1c0e7a9b3f2468"),)})
    (pair,) = client.get(f"/api/v1/events/{key}").json()["pairs"]
    assert (pair["first_key"], pair["second_key"], pair["joint_event_id"]) == ("LVK:S1", key, "5d1c0e7a9b3f2468")


def notice_of(number: int, alert_type: AlertType, **changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "notice_id": f"n{number}",
        "mission": "Fermi",
        "instrument": "GBM",
        "messenger": Messenger.EM,
        "notice_type": f"TYPE_{number}",
        "alert_type": alert_type,
        "alert_tense": AlertTense.CURRENT,
        "event_id": "611989445",
        "event_names": (),
        "record_number": number,
        "trigger_time": TRIGGER,
        "alert_time": TRIGGER + timedelta(minutes=number),
        "localization": None,
    }
    return Notice(**{**fields, **changes})


def test_revisions_tell_what_was_known_after_each_notice(client: TestClient, reader: Any) -> None:
    told = (
        notice_of(3, AlertType.RETRACTION),
        notice_of(1, AlertType.INITIAL),
        notice_of(2, AlertType.UPDATE, localization=Circle(1.0, 2.0, 3.0), far_hz=1e-9),
    )
    reader.graph = replace(reader.graph, whole_notices={"Fermi:611989445": told})
    items = client.get("/api/v1/events/611989445/revisions").json()["items"]
    assert [one["revision"] for one in items] == [1, 2, 3]
    assert [one["notice_id"] for one in items] == ["n1", "n2", "n3"]
    assert [one["state"] for one in items] == ["active", "active", "retracted"]
    assert [one["localization_notice_id"] for one in items] == [None, "n2", "n2"]
    assert [one["far_hz"] for one in items] == [None, 1e-9, 1e-9]
    assert items[1]["trigger_mjd_tai"] == pytest.approx(61100.5 + 37.0 / 86_400.0, abs=1e-9)
    assert len(client.get("/api/v1/events/611989445/revisions?limit=2").json()["items"]) == 2
    assert client.get("/api/v1/events/nobody/revisions").status_code == 404


def test_probabilities_of_association_are_shown(client: TestClient, reader: Any) -> None:
    (event,), (pair,) = reader.graph.events, reader.graph.coincidences
    reader.graph = replace(
        reader.graph,
        events=(replace(event, no_counterpart_probability=0.75),),
        coincidences=(replace(pair, association_probability=0.25),),
    )
    found = client.get(f"/api/v1/events/{event.event_key}/candidates").json()["items"]
    assert [one["coincidence"]["association_probability"] for one in found] == [0.25]
    assert client.get(f"/api/v1/events/{event.event_key}").json()["event"]["no_counterpart_probability"] == 0.75


class Graph:
    """Neo4j that is none: answers the statements about pairs as their comments promise."""

    def __init__(self, pairs: Sequence[tuple[EventPair, str | None]]) -> None:
        self.rows = [
            {
                "joint_event_id": pair.joint_event_id or joint_event_id((pair.first_key, pair.second_key)),
                "trigger_time": time,
                "first_key": pair.first_key,
                "second_key": pair.second_key,
                "properties": {k: v for k, v in event_pair_properties(pair).items() if v is not None},
                "state": pair.state.value,
            }
            for pair, time in pairs
        ]
        self.limits: list[int] = []

    def session(self, **_: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, query: Any, params: dict[str, Any]) -> list[Any]:
        return [Record(row) for row in self.answer(query.text, params)]

    def answer(self, text: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        if text == statement("list_pairs_of_joint_events"):
            return [row for row in self.rows if row["joint_event_id"] in params["joint_event_ids"]]
        if text == statement("list_counterparts"):
            return [{"object_key": "ztf:a", "event_key": key, "log_bayes_factor": 2.0} for key in params["event_keys"]]
        if text == statement("find_events"):
            return [{"event_key": "Fermi:611989445"}]
        if text == statement("read_notices_of_events"):
            body = codec.to_bytes(notice_of(1, AlertType.INITIAL)).decode()
            return [{"event_key": params["event_keys"][0], "bodies": [body]}]
        assert text == statement("page_joint_events")
        self.limits.append(params["limit"])
        newest: dict[tuple[str, str], str] = {}
        for row in self.rows:
            if params["state"] in {None, row["state"]}:
                place = (row["joint_event_id"], row["state"])
                newest[place] = max(newest.get(place, ""), row["trigger_time"] or "")
        ordered = sorted(((time, key, state) for (key, state), time in newest.items()), reverse=True)
        bound = (params["before_time"], params["before_key"])
        return [
            {"joint_event_id": key, "trigger_time": time, "state": state}
            for time, key, state in ordered
            if (time, key) < bound
        ][: params["limit"]]


class Record(dict[str, Any]):
    def data(self) -> dict[str, Any]:
        return dict(self)


def many_pairs() -> list[tuple[EventPair, str | None]]:
    pairs: list[tuple[EventPair, str | None]] = []
    for number in range(9):
        keys = (f"LVK:S{number}", f"Fermi:{number}")
        is_open = number % 3 != 0
        changes = {"joint_event_id": joint_event_id(keys)} if is_open else {"state": CoincidenceState.WITHDRAWN}
        time = None if number == 4 else f"2026-03-0{1 + number // 2}T12:00:00.000000Z"
        pairs.append((pair_of(*keys, **changes), time))
    return pairs


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
@pytest.mark.parametrize("state", [None, *CoincidenceState])
def test_pages_give_every_joint_event_once(limit: int, state: CoincidenceState | None) -> None:
    reader = GraphReader(Graph(many_pairs()))  # type: ignore[arg-type]
    seen: list[JointEventView] = []
    cursor = None
    while True:
        page = reader.joint_events(limit, cursor, state)
        assert len(page.items) <= limit
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    whole = reader.joint_events(100, None, state).items
    assert [one.joint_event_id for one in seen] == [one.joint_event_id for one in whole]
    assert len(seen) == {None: 9, CoincidenceState.OPEN: 6, CoincidenceState.WITHDRAWN: 3}[state]
    times = [one.trigger_time.timestamp() if one.trigger_time else -math.inf for one in seen]
    assert times == sorted(times, reverse=True)


def test_one_joint_event_has_its_objects_while_it_stands() -> None:
    reader = GraphReader(Graph(many_pairs()))  # type: ignore[arg-type]
    opened = reader.joint_event(joint_event_id(("LVK:S1", "Fermi:1")))
    assert opened.coincidences == (("ztf:a", "Fermi:1", 2.0), ("ztf:a", "LVK:S1", 2.0))
    gone = reader.joint_event(joint_event_id(("LVK:S0", "Fermi:0")))
    assert (gone.state, gone.coincidences) == (CoincidenceState.WITHDRAWN, ())
    with pytest.raises(NotFoundError):
        reader.joint_event("0" * 16)


def test_whole_notices_come_back_as_they_were() -> None:
    reader = GraphReader(Graph([]))  # type: ignore[arg-type]
    assert reader.notices("611989445") == (notice_of(1, AlertType.INITIAL),)
