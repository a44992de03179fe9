"""Notices of the archive go to the topics that they came on, in the order of reception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from compose import feed, services
from compose.cli import night
from compose.cli.main import build_app
from compose.config import Settings
from compose.notice_topics import UNRECOGNISED_TOPIC
from graph.errors import NotFoundError
from ingest.archive.notices import NoticeArchive, Reception

START = datetime(2026, 11, 20, 2, tzinfo=UTC)
KNOWN = "gcn.notices.einstein_probe.wxt.alert"


class Bus:
    def __init__(self) -> None:
        self.made: list[str] = []
        self.sent: list[tuple[str, str | None, bytes, Mapping[str, str] | None]] = []
        self.n_sent_when_flushed = 0

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        assert topic in self.made
        self.sent.append((topic, key, value, headers))

    def flush(self) -> None:
        self.n_sent_when_flushed = len(self.sent)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus()
    monkeypatch.setattr(feed, "KafkaSender", lambda _: bus)
    monkeypatch.setattr(feed, "ensure_topics", lambda _, topics: bus.made.extend(topics))
    return bus


def reception(second: float, payload: bytes, topic: str | None = KNOWN, event_key: str | None = "e") -> Reception:
    return Reception(payload, START + timedelta(seconds=second), topic, f"{topic}/0/{second:g}", event_key)


def test_each_goes_to_its_topic_with_its_time(bus: Bus, shared_data: Path) -> None:
    swift = next((shared_data / "notices" / "swift").glob("*.xml")).read_bytes()
    received = [
        reception(0, b"a"),
        reception(1, swift, None),
        reception(2, b"refused", None, None),
        reception(3, b"b", "gcn.circulars", None),
        reception(4, b"c"),
    ]
    counts = feed.feed_receptions(Settings(), received)
    topics = [topic for topic, *_ in bus.sent]
    assert topics[0] == topics[4] == KNOWN
    assert topics[1].startswith("gcn.classic.voevent.SWIFT_")
    assert topics[2:4] == [UNRECOGNISED_TOPIC] * 2
    assert [value for _, _, value, _ in bus.sent] == [one.payload for one in received]
    assert [key for _, key, _, _ in bus.sent] == ["e", "e", None, None, "e"]
    assert bus.sent[4][3] == {"received": "2026-11-20T02:00:04.000000Z"}
    assert counts == {KNOWN: 2, topics[1]: 1, UNRECOGNISED_TOPIC: 2}
    assert bus.n_sent_when_flushed == 5
    assert len(bus.made) == 3


@pytest.fixture
def run(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(night, "located_settings", Settings)
    monkeypatch.setattr(services, "prepare", lambda _: open("/dev/null"))  # noqa: SIM115, PTH123 - closed by the verb
    assert bus.sent == []
    return lambda *arguments: CliRunner().invoke(build_app("replay"), ["replay", *arguments])


def test_the_verb_sends_what_had_come_by_then(bus: Bus, run: Any, tmp_path: Path) -> None:
    kept = NoticeArchive(str(tmp_path))
    kept.append([reception(0, b"a"), reception(1, b"b", "igwn.gwalert"), reception(2, b"c"), reception(3, b"d")])
    at = ("--notices-archive", str(tmp_path))
    found = run(*at, "--as-of", "2026-11-20T02:00:02Z")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout.splitlines()[-1]) == {
        "alerts": 0, "notices": 3, "topics": {KNOWN: 2, "igwn.gwalert": 1},
    }  # fmt: skip
    assert [value for _, _, value, _ in bus.sent] == [b"a", b"b", b"c"]
    bus.sent.clear()
    assert run(*at, "--as-of", "2026-11-20 02:00:02", "--topic", KNOWN).exit_code == 0
    assert [value for _, _, value, _ in bus.sent] == [b"a", b"c"]
    bus.sent.clear()
    assert run(*at).exit_code == 0
    assert len(bus.sent) == 4


@pytest.mark.parametrize(
    "arguments",
    [(), ("--as-of", "2026-11-20"), ("--topic", "t", "."), ("--notices-archive", ".", "--as-of", "yesterday")],
)
def test_options_that_make_no_sense_are_refused(bus: Bus, run: Any, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert not bus.sent


def test_an_archive_without_notices_is_not_found(bus: Bus, run: Any, tmp_path: Path) -> None:
    assert isinstance(run("--notices-archive", str(tmp_path)).exception, NotFoundError)
    assert not bus.sent
