"""Notices over HTTP through the listener into archive and graph, brought back as of a time; heartbeats that stop."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from compose import services
from compose.config import Settings
from compose.feed import feed_receptions
from compose.heartbeats import HeartbeatReader
from compose.intake import KafkaNoticeIntake
from compose.testing import Installation, clean_installation
from graph.bus import ensure_topics
from graph.reader import GraphReader
from graph.sender import KafkaSender
from ingest.archive.notices import NoticeArchive
from ingest.notices.registry import parse_notice

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

CHAIN = ("sb26050405_grm-trigger__grm_346.xml", "sb26050405_retraction__grm_347.xml")
KEY = "SVOM:sb26050405"
AUTHORIZED = {"Authorization": "Bearer right", "Content-Type": "application/xml"}


@contextmanager
def served(settings: Settings) -> Iterator[TestClient]:
    """Serve the API as `run_serve` puts it together."""
    api = ApiSettings(notice_token=SecretStr("right"))
    with GraphReader.open(settings.graph) as reader:
        app = create_app(api, reader, intake=KafkaNoticeIntake(settings), sources=HeartbeatReader.of(settings))
        yield TestClient(app)


def work(settings: Settings) -> Counter[str]:
    """Let listener and coordinator do what lies there."""
    outcomes = services.run_listen(settings, "kafka", (), lambda _: None, once=True)
    services.run_coordinate(settings, lambda _: None, once=True)
    return outcomes


def event_of(installation: Installation) -> dict[str, object]:
    rows = installation.query("MATCH (e:Event {event_key: $key}) RETURN properties(e) AS event", key=KEY)
    return dict(rows[0]["event"])


def test_what_came_over_http_is_brought_back_as_of_a_time(
    installation: Installation, stack_settings: Settings, tmp_path: Path, shared_data: Path
) -> None:
    settings = installation.settings
    payloads = [(shared_data / "notices" / "svom" / name).read_bytes() for name in CHAIN]
    states = []
    with served(settings) as client:
        for payload in (*payloads, b"no notice"):
            answer = client.post("/api/v1/notices", content=payload, headers=AUTHORIZED)
            assert answer.status_code == 202, answer.text
            work(settings)
            states.append(event_of(installation))
    assert [one["state"] for one in states] == ["active", "retracted", "retracted"]

    kept = NoticeArchive(str(settings.home / "archive"))
    received = list(kept.receptions())
    assert [one.payload for one in received] == [*payloads, b"no notice"]
    assert [one.event_key for one in received] == [KEY, KEY, None]
    assert [one.refusal for one in received] == [None, None, "malformed"]
    assert [one.notice_id for one in received[:2]] == [parse_notice(payload).notice_id for payload in payloads]
    assert not list(kept.verify())

    fresh = clean_installation(stack_settings, tmp_path / "fresh")
    with fresh.connection:
        between = received[0].received + timedelta(microseconds=1)
        assert sum(feed_receptions(fresh.settings, kept.receptions(between)).values()) == 1
        assert work(fresh.settings) == {"parsed": 1}
        assert event_of(fresh) == states[0]
        feed_receptions(fresh.settings, kept.receptions())
        assert work(fresh.settings) == {"parsed": 1, "repeated": 1, "dead:malformed": 1}
        assert event_of(fresh) == states[-1]


def test_heartbeats_that_stop_are_seen_by_prometheus(installation: Installation) -> None:
    ingest = installation.settings.ingest.model_copy(update={"heartbeat_gap_s": 4.0})
    settings = installation.settings.model_copy(update={"ingest": ingest})
    ensure_topics(settings.kafka, ("gcn.heartbeat",))
    asked = threading.Event()
    listener = threading.Thread(
        target=services.run_listen,
        args=(settings, "kafka", (), lambda _: None),
        kwargs={"once": False, "stop": asked.is_set},
    )
    sender = KafkaSender(settings.kafka)

    def beat() -> None:
        sender.send("gcn.heartbeat", None, orjson.dumps({"alert_datetime": datetime.now(UTC).isoformat()}))
        sender.flush()

    def wait_for(line: str, *, beating: bool) -> None:
        deadline = time.monotonic() + 90
        while True:
            if beating:
                beat()
            time.sleep(1)
            with served(settings) as client:
                text = client.get("/metrics").text
            if line in text:
                return
            assert time.monotonic() < deadline, text

    beat()
    listener.start()
    try:
        wait_for('heliograph_notice_source_up{source="gcn"} 1.0', beating=True)
        wait_for('heliograph_notice_source_up{source="gcn"} 0.0', beating=False)
        wait_for('heliograph_notice_source_up{source="gcn"} 1.0', beating=True)
    finally:
        asked.set()
        listener.join(60)
    assert not listener.is_alive()
