"""Joint events of the whole graph against those that the service keeps; pages of the graph as rows of links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from coordinator.chains import joint_events
from graph.frames.check import check_joint_events, kept_joint_events
from graph.frames.extract import extract_graph
from graph.model import CoincidenceState, EventPair


def pair(first: int, second: int) -> EventPair:
    return EventPair(
        first_key=f"Fermi:{first}",
        second_key=f"Swift:{second}",
        delta_t_s=0.0,
        overlap=None,
        joint_far_hz=1e-9,
        log_bayes_factor=3.0,
        terms=(),
        state=CoincidenceState.OPEN,
        first_revision=1,
        second_revision=1,
        joint_event_id=None,
    )


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_the_service_keeps_what_its_own_chains_are(drawn: set[tuple[int, int]]) -> None:
    pairs = [pair(*ends) for ends in sorted(drawn)]
    joint = joint_events(pairs)
    identity = {key: one.joint_event_id for one in joint for key in one.event_keys}
    stored = [{"src": p.first_key, "dst": p.second_key, "joint_event_id": identity[p.first_key]} for p in pairs]
    check = check_joint_events([one.event_keys for one in reversed(joint)], kept_joint_events(stored))
    assert check.agrees
    assert check.equal == len(joint)


def test_a_joint_event_that_grew_without_its_service_is_missing_and_extra() -> None:
    (old,) = joint_events([pair(1, 1)])
    stored: list[dict[str, str | None]] = [
        {"src": "Fermi:1", "dst": "Swift:1", "joint_event_id": old.joint_event_id},
        {"src": "Fermi:1", "dst": "Swift:2", "joint_event_id": None},
    ]
    check = check_joint_events([("Fermi:1", "Swift:1", "Swift:2")], kept_joint_events(stored))
    assert not check.agrees
    assert check.missing == (("Fermi:1", "Swift:1", "Swift:2"),)
    assert check.extra == (("Fermi:1", "Swift:1"), ("Fermi:1", "Swift:2"))


class Pages:
    """A graph that gives at most two nodes a page, and remembers from where it was asked."""

    def __init__(self, objects: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> None:
        self._rows = {"page_object_links": objects, "page_event_links": events}
        self.asked: list[str] = []

    def read(self, name: str, *, after: str, **_: object) -> list[dict[str, Any]]:
        self.asked.append(after)
        return list(self._after(name, after))[:2]

    def _after(self, name: str, after: str) -> Iterator[dict[str, Any]]:
        return (row for row in self._rows[name] if next(iter(row.values())) > after)


def test_every_page_is_read_once(tmp_path: Path) -> None:
    objects = [
        {
            "object_key": f"ztf:{n}",
            "same_as": [["lsst:1", 0.9]] * (n == 3),
            "matches": [],
            "coincidences": [["F:1", 2.0]],
        }
        for n in range(5)
    ]
    events = [{"event_key": "F:1", "messenger": "EM", "pairs": [["S:1", 4.0, "abc"]]}]
    graph = Pages(objects, events)
    extract = extract_graph(graph, tmp_path)  # type: ignore[arg-type]
    assert graph.asked == ["", "ztf:1", "ztf:3", "ztf:4", "", "F:1"]
    assert extract.counts == {"COINCIDES_WITH": 5, "Event": 1, "JOINT_WITH": 1, "Object": 5, "SAME_AS": 1}
    links = pq.read_table(extract.links).to_pylist()
    assert sorted(row["src"] for row in links if row["relationship"] == "COINCIDES_WITH") == [
        f"ztf:{n}" for n in range(5)
    ]
    assert [row for row in links if row["relationship"] == "JOINT_WITH"] == [
        {
            "relationship": "JOINT_WITH",
            "src": "F:1",
            "dst": "S:1",
            "probability": None,
            "log_bayes_factor": 4.0,
            "joint_event_id": "abc",
        }
    ]
    assert pq.read_table(extract.events).to_pylist() == [{"event_key": "F:1", "messenger": "EM"}]
