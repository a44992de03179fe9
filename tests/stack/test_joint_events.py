"""A wave, a burst and their withdrawal on the real graph: the pair is stored, told, read back and let go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from compose import services
from compose.testing import Installation
from graph import codec
from graph.bus import read_all
from graph.event_store import EventStore, notice_row
from graph.model import AlertTense, AlertType, Circle, Messenger, Notice
from graph.sender import KafkaSender
from graph.topics import JOINT_EVENTS, RETRACTIONS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TRIGGER = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def put(installation: Installation, mission: str, messenger: Messenger, alert_type: AlertType, number: int) -> None:
    """Store a notice and tell the coordinator of it."""
    notice = Notice(
        notice_id=f"{mission}{number}",
        mission=mission,
        instrument="",
        messenger=messenger,
        notice_type="",
        alert_type=alert_type,
        alert_tense=AlertTense.CURRENT,
        event_id="1",
        event_names=(),
        record_number=number,
        trigger_time=TRIGGER,
        alert_time=TRIGGER.replace(minute=1 + number),
        localization=Circle(30.0, 10.0, 2.0),
        far_hz=1e-9 if messenger is Messenger.GW else None,
    )
    body = codec.to_bytes(notice)
    EventStore(installation.connection).write_notices([notice_row(notice, body)])
    sender = KafkaSender(installation.settings.kafka)
    sender.send("heliograph.notices", notice.event_key, body)
    sender.flush()
    services.run_coordinate(installation.settings, lambda report: None, once=True)


def links(installation: Installation) -> list[dict[str, Any]]:
    rows = installation.query(
        "MATCH (a:Event)-[j:JOINT_WITH]->(b:Event) RETURN a.event_key AS a, b.event_key AS b, properties(j) AS j"
    )
    return [{"ends": (row["a"], row["b"]), **row["j"]} for row in rows]


def test_a_pair_lives_and_ends_in_the_graph(installation: Installation) -> None:
    services.prepare(installation.settings).close()
    put(installation, "Fermi", Messenger.EM, AlertType.INITIAL, 0)
    assert links(installation) == []
    put(installation, "LVK", Messenger.GW, AlertType.INITIAL, 0)
    (opened,) = links(installation)
    assert opened["ends"] == ("LVK:1", "Fermi:1")
    assert (opened["state"], opened["revision"], opened["delta_t_s"]) == ("open", 2, 0.0)
    assert opened["overlap"] > 100.0
    assert len(opened["joint_event_id"]) == 16

    # Each round is a new process: what it knows of the pair it read from the graph.
    put(installation, "Fermi", Messenger.EM, AlertType.INITIAL, 0)
    assert links(installation) == [opened]

    put(installation, "LVK", Messenger.GW, AlertType.RETRACTION, 1)
    (withdrawn,) = links(installation)
    assert (withdrawn["state"], withdrawn["revision"]) == ("withdrawn", 3)
    assert "joint_event_id" not in withdrawn
    told = [orjson.loads(message.value()) for message in read_all(installation.settings.kafka, JOINT_EVENTS)]
    assert [body["alert_type"] for body in told] == ["initial", "retraction"]
    assert [orjson.loads(m.value()) for m in read_all(installation.settings.kafka, RETRACTIONS)] == told[1:]
