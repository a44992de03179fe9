"""What was acknowledged to Kafka is in the archive, and the archive gives back the state of an event at any time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from coordinator.lifecycle import event_from_notices
from graph import codec
from graph.errors import ArchiveError, StoreError
from graph.model import Notice
from graph.topics import DEAD_LETTERS, NOTICES
from ingest import listen
from ingest.archive.notices import NoticeArchive, Reception
from ingest.listen import NoticeListener, NoticeRecorder, listen_kafka
from ingest.notices.registry import parse_notice

START = datetime(2026, 11, 20, 2, tzinfo=UTC)


class Log(list[str]):
    """What happened, in order; it is store, sender and consumer in one."""

    def __init__(self, messages: Sequence[tuple[str, bytes]] = ()) -> None:
        super().__init__()
        self.messages = list(messages)
        self.bodies: list[bytes] = []
        self.failure: Exception | None = None

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.append(f"send {topic}")
        assert key
        assert (headers is not None) == (topic == DEAD_LETTERS)
        if topic == NOTICES:
            self.bodies.append(value)

    def flush(self) -> None:
        self.append("flush")

    def write_notices(self, rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
        if self.failure is not None:
            raise self.failure
        self.append("graph")
        return frozenset(row["notice"]["notice_id"] for row in rows)

    def subscribe(self, topics: list[str]) -> None:
        pass

    def consume(self, n: int, timeout: float) -> list[Any]:
        assert n > 0
        assert timeout > 0
        found = [message(topic, place, payload) for place, (topic, payload) in enumerate(self.messages)]
        self.messages = []
        return found or [message("t", 0, b"", KafkaError._PARTITION_EOF)]

    def commit(self, *, asynchronous: bool) -> None:
        assert not asynchronous
        self.append("commit")

    def assignment(self) -> list[Any]:
        return [SimpleNamespace(topic="t", partition=0)]

    def close(self) -> None:
        pass


def message(topic: str, offset: int, payload: bytes, code: int | None = None) -> Any:
    return SimpleNamespace(
        topic=lambda: topic,
        partition=lambda: 0,
        offset=lambda: offset,
        value=lambda: payload,
        error=lambda: None if code is None else KafkaError(code),
    )


class LoggedArchive(NoticeArchive):
    def __init__(self, root: Path, log: Log) -> None:
        super().__init__(str(root), sync=False)
        self.log = log

    def append(self, receptions: Sequence[Reception]) -> None:
        super().append(receptions)
        self.log.append("archive")


def clock(step_s: float = 1.0) -> Callable[[], datetime]:
    times = iter(range(10_000))
    return lambda: START + timedelta(seconds=step_s * next(times))


def listen_once(log: Log, archive: NoticeArchive, now: Callable[[], datetime]) -> NoticeListener:
    listener = NoticeListener(log, log, NoticeRecorder(archive, now))  # type: ignore[arg-type]
    listen_kafka(listener, log, ("t",), once=True, on_batch=lambda _: None)
    return listener


def test_the_archive_comes_first_and_the_commit_last(tmp_path: Path, shared_data: Path) -> None:
    payload = next((shared_data / "notices" / "swift").glob("*.xml")).read_bytes()
    log = Log([("t", payload), ("gcn.classic.voevent.X", b"no notice")])
    archive = LoggedArchive(tmp_path, log)
    listener = listen_once(log, archive, clock())
    assert log[0] == "archive"
    assert log[-2:] == ["flush", "commit"]
    assert {"graph", f"send {NOTICES}", f"send {DEAD_LETTERS}"} <= set(log)
    assert listener.outcomes == {"parsed": 1, "dead:malformed": 1}
    good, bad = archive.receptions()
    notice = parse_notice(payload)
    assert (good.payload, good.topic, good.source, good.event_key, good.refusal) == (
        payload, "t", "t/0/0", notice.event_key, None,
    )  # fmt: skip
    assert good.notice_id == notice.notice_id
    assert (bad.payload, bad.source, bad.event_key, bad.refusal) == (
        b"no notice", "gcn.classic.voevent.X/0/1", None, "malformed",
    )  # fmt: skip


def test_what_the_graph_does_not_take_is_archived_and_not_committed(tmp_path: Path) -> None:
    log = Log([("t", b"{}")])
    log.failure = StoreError("The graph cannot be reached.")
    archive = LoggedArchive(tmp_path, log)
    with pytest.raises(StoreError):
        listen_once(log, archive, clock())
    assert "archive" in log
    assert "commit" not in log
    # It comes again, and is one message all the same.
    log.messages, log.failure = [("t", b"{}")], None
    listen_once(log, archive, lambda: START + timedelta(hours=1))
    assert [(one.source, one.received) for one in archive.receptions()] == [("t/0/0", START)]


def test_what_the_archive_does_not_take_is_done_nothing_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log([("t", b"{}")])
    archive = LoggedArchive(tmp_path, log)

    def full(_: Sequence[Reception]) -> None:
        raise ArchiveError("The archive could not write: no space left.")

    monkeypatch.setattr(archive, "append", full)
    with pytest.raises(ArchiveError):
        listen_once(log, archive, clock())
    assert log == []


def test_a_parser_that_fails_in_an_unforeseen_way_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object) -> Notice:
        raise ZeroDivisionError

    monkeypatch.setattr(listen, "parse_notice", parse)
    log = Log([("t", b"x")])
    archive = LoggedArchive(tmp_path, log)
    with pytest.raises(ZeroDivisionError):
        listen_once(log, archive, clock())
    assert [(one.payload, one.event_key, one.refusal) for one in archive.receptions()] == [(b"x", None, None)]
    assert "commit" not in log


def test_a_clock_that_stands_or_goes_back_keeps_the_order(tmp_path: Path) -> None:
    times = iter([5.0, 5.0, 3.0, 9.0])
    recorder = NoticeRecorder(NoticeArchive(str(tmp_path), sync=False), lambda: START + timedelta(seconds=next(times)))
    for place in range(4):
        recorder.note(b"", None, f"{place}.xml")
    recorder.store()
    found = list(NoticeArchive(str(tmp_path)).receptions())
    assert [one.source for one in found] == ["0.xml", "1.xml", "2.xml", "3.xml"]
    seconds = [(one.received - START) / timedelta(seconds=1) for one in found]
    assert seconds == [5.0, 5.000001, 5.000002, 9.0]


def test_without_an_archive_nothing_is_written(tmp_path: Path) -> None:
    log = Log([("t", b"{}")])
    listener = NoticeListener(log, log)  # type: ignore[arg-type]
    listen_kafka(listener, log, ("t",), once=True, on_batch=lambda _: None)
    assert log[-1] == "commit"
    assert not list(tmp_path.iterdir())


def test_an_event_replayed_as_of_a_time_is_what_it_was_then(tmp_path: Path, shared_data: Path) -> None:
    """Real chains in a random order of arrival: each event gets the state that the notices until then give it."""
    folders = (shared_data / "notices" / name for name in ("svom", "icecube", "einstein_probe", "maxi"))
    payloads = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.*"))]
    random.Random(6).shuffle(payloads)
    log = Log([("gcn.notices.x", payload) for payload in payloads])
    archive = NoticeArchive(str(tmp_path), sync=False)
    listen_once(log, archive, clock())
    n_events = set()
    for seconds in (0, 20, 60, len(payloads)):
        until = START + timedelta(seconds=seconds)
        again = Log()
        listener = NoticeListener(again, again)  # type: ignore[arg-type]
        for one in archive.receptions(until):
            listener.handle(one.payload, one.topic, one.source)
        listener.flush()
        replayed = states([codec.from_bytes(Notice, body) for body in again.bodies])
        expected = states([parsed for payload in payloads[: seconds + 1] if (parsed := understood(payload))])
        assert replayed == expected
        n_events.add(len(expected))
    assert len(n_events) == 4, "the times tell states apart"


def understood(payload: bytes) -> Notice | None:
    try:
        return parse_notice(payload)
    except Exception:  # noqa: BLE001 - whatever the parser refuses is no part of a state
        return None


def states(notices: Sequence[Notice]) -> dict[str, bytes]:
    """Return the state of each event as canonical JSON."""
    keys = {notice.event_key for notice in notices}
    return {key: codec.to_bytes(event_from_notices([n for n in notices if n.event_key == key])) for key in keys}
