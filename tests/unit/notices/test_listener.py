"""Whatever comes in ends in the graph or in the dead letters, and the listener goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from coordinator.config import CoordinatorSettings
from coordinator.service import Coordinator
from graph.model import AlertTense, AlertType, Ellipse, Messenger, Notice
from graph.topics import DEAD_LETTERS, NOTICES, OBJECTS
from ingest import listen
from ingest.listen import NoticeListener
from ingest.notices.wire import notice_id


class Outbox:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None, bytes, Mapping[str, str]]] = []

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.sent.append((topic, key, value, headers or {}))

    def flush(self) -> None:
        pass


class Store:
    def __init__(self) -> None:
        self.notices: dict[str, Any] = {}

    def write_notices(self, rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
        found = {row["notice"]["notice_id"]: row for row in rows}
        new = frozenset(found) - frozenset(self.notices)
        self.notices |= found
        return new


def notice(**changed: Any) -> Notice:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    fields: dict[str, Any] = {
        "notice_id": "a" * 32,
        "mission": "Swift",
        "instrument": "BAT",
        "messenger": Messenger.EM,
        "notice_type": "X",
        "alert_type": AlertType.INITIAL,
        "alert_tense": AlertTense.CURRENT,
        "event_id": "1",
        "event_names": (),
        "record_number": None,
        "trigger_time": moment,
        "alert_time": moment,
        "localization": None,
    }
    return Notice(**{**fields, **changed})


@pytest.fixture
def parts() -> tuple[NoticeListener, Store, Outbox]:
    store, outbox = Store(), Outbox()
    return NoticeListener(store, outbox), store, outbox  # type: ignore[arg-type]


def test_a_repeated_notice_counts_once(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    listener, store, outbox = parts
    monkeypatch.setattr(listen, "parse_notice", lambda payload, topic: notice(notice_id=notice_id(payload)))
    for _ in range(2):
        listener.handle(b"the same", None, "file")
        listener.flush()
    assert listener.outcomes == {"parsed": 1, "repeated": 1}
    assert len(store.notices) == 1
    assert [(topic, key) for topic, key, *_ in outbox.sent] == [(NOTICES, "Swift:1")], "told once by one process"
    again = NoticeListener(store, outbox)
    again.handle(b"the same", None, "file")
    again.flush()
    assert len(outbox.sent) == 2, "another process cannot know that the first one has told it"


@pytest.mark.parametrize("payload", [b"", b"\x00", b"<", b"{}", b"[1]", b"Obj\x01", b"<?xml version='1.0'?><a/>"])
def test_refused_bytes_are_buried_as_received(parts: Any, payload: bytes) -> None:
    listener, store, outbox = parts
    listener.handle(payload, None, "topic/0/7")
    listener.flush()
    ((topic, key, value, headers),) = outbox.sent
    assert (topic, key, value) == (DEAD_LETTERS, "topic/0/7", payload)
    assert headers["stage"] == "notice"
    assert headers["reason"] in {"malformed", "unknown_schema", "unsupported_notice"}
    assert not store.notices


@pytest.mark.parametrize(
    "changed",
    [{"far_hz": float("inf")}, {"localization": Ellipse(10.0, 10.0, -1.0, 0.5, 0.0)}],
    ids=["not finite", "no distribution"],
)
def test_what_no_store_can_hold_is_buried(parts: Any, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    listener, store, outbox = parts
    monkeypatch.setattr(listen, "parse_notice", lambda payload, topic: notice(**changed))
    listener.handle(b"payload", None, "file")
    listener.flush()
    assert [(topic, headers["reason"]) for topic, _, _, headers in outbox.sent] == [(DEAD_LETTERS, "malformed")]
    assert not store.notices


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b'{"survey": "ztf"}', b'{"survey": 1, "object_id": 3}'])
def test_the_coordinator_buries_what_it_cannot_read(value: bytes) -> None:
    outbox = Outbox()
    coordinator = Coordinator(Store(), outbox, CoordinatorSettings())  # type: ignore[arg-type]
    coordinator.take(OBJECTS, b"ztf", value)
    ((topic, _, buried, headers),) = outbox.sent
    assert (topic, buried, headers["stage"]) == (DEAD_LETTERS, value, "coordinate")
