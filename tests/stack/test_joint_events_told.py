"""Candidates and joint events on real servers: probabilities sum to one, packets are valid, news arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
import voeventparse

from api.news import NewsHub
from compose import services
from compose.news import KafkaNews
from compose.testing import Installation
from graph import codec
from graph.bus import read_all
from graph.event_store import EventStore, notice_row
from graph.model import AlertTense, AlertType, Circle, CoincidenceState, Messenger, Notice
from graph.reader import GraphReader
from graph.sender import KafkaSender
from graph.sky import ang2pix
from graph.times import datetime_to_mjd_tai
from graph.topics import OBJECTS, VOEVENT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TRIGGER = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def put_notice(installation: Installation, mission: str, messenger: Messenger, alert_type: AlertType, no: int) -> None:
    """Store a notice and tell the coordinator of it."""
    notice = Notice(
        notice_id=f"{mission}{no}",
        mission=mission,
        instrument="",
        messenger=messenger,
        notice_type="",
        alert_type=alert_type,
        alert_tense=AlertTense.CURRENT,
        event_id="1",
        event_names=(),
        record_number=no,
        trigger_time=TRIGGER,
        alert_time=TRIGGER.replace(minute=1 + no),
        localization=Circle(30.0, 10.0, 2.0),
        far_hz=1e-9 if messenger is Messenger.GW else None,
        extra={"ivorn": f"ivo://of.{mission.lower()}/notice#{no}"},
    )
    body = codec.to_bytes(notice)
    EventStore(installation.connection).write_notices([notice_row(notice, body)])
    sender = KafkaSender(installation.settings.kafka)
    sender.send("heliograph.notices", notice.event_key, body)
    sender.flush()


def put_object(installation: Installation, name: str, dec_deg: float) -> None:
    """Store an object that was first seen an hour after the trigger, and tell the coordinator of it."""
    survey = "lsst" if name.isdigit() else "ztf"
    installation.query(
        "MERGE (o:Object {object_key: $key}) SET o += $properties",
        key=f"{survey}:{name}",
        properties={
            "survey": survey,
            "object_id": name,
            "ra_deg": 30.0,
            "dec_deg": dec_deg,
            "healpix29": int(ang2pix(np.array([30.0]), np.array([dec_deg]))[0]),
            "first_midpoint_mjd_tai": datetime_to_mjd_tai(TRIGGER.replace(hour=13)),
            "last_midpoint_mjd_tai": datetime_to_mjd_tai(TRIGGER.replace(hour=13)),
            "n_detections": 2,
        },
    )
    sender = KafkaSender(installation.settings.kafka)
    sender.send(OBJECTS, survey, orjson.dumps({"survey": survey, "object_id": [name]}))
    sender.flush()


def coordinate(installation: Installation) -> None:
    services.run_coordinate(installation.settings, lambda report: None, once=True)


def probabilities(installation: Installation, event_key: str) -> tuple[dict[str, float], float | None]:
    """Return what the API would say: the probability of each open candidate, and that of none."""
    with GraphReader.open(installation.settings.graph) as reader:
        found = reader.candidates(event_key, 100, CoincidenceState.OPEN)
        none = reader.event(event_key).event.no_counterpart_probability
    return {one.object.object_id: one.coincidence.association_probability or 0.0 for one in found}, none


def test_candidates_share_one_probability_as_they_come_and_go(installation: Installation) -> None:
    services.prepare(installation.settings).close()
    put_object(installation, "near", 10.1)
    put_notice(installation, "Fermi", Messenger.EM, AlertType.INITIAL, 0)
    coordinate(installation)
    alone, none_alone = probabilities(installation, "Fermi:1")
    assert set(alone) == {"near"}
    assert none_alone is not None
    assert sum(alone.values()) + none_alone == pytest.approx(1.0, abs=1e-12)
    # The reverse match, in a process that knows the first candidate from the graph only.
    put_object(installation, "far", 11.5)
    put_object(installation, "170", 10.2)
    coordinate(installation)
    three, none = probabilities(installation, "Fermi:1")
    assert set(three) == {"near", "far", "170"}
    assert none is not None
    assert sum(three.values()) + none == pytest.approx(1.0, abs=1e-12)
    assert none < none_alone
    assert three["near"] / none == pytest.approx(alone["near"] / none_alone, rel=1e-12)
    assert three["near"] > three["far"]
    put_notice(installation, "Fermi", Messenger.EM, AlertType.RETRACTION, 1)
    coordinate(installation)
    assert probabilities(installation, "Fermi:1") == ({}, None)


def test_a_joint_event_is_read_told_and_withdrawn(installation: Installation) -> None:
    services.prepare(installation.settings).close()
    hub = NewsHub(lambda: KafkaNews.open(installation.settings.kafka), 5)
    hub.start()
    hub.wait_ready(30.0)
    woken = threading.Event()
    listening = hub.attach(None, woken.set)
    try:
        put_notice(installation, "Fermi", Messenger.EM, AlertType.INITIAL, 0)
        put_notice(installation, "LVK", Messenger.GW, AlertType.INITIAL, 0)
        coordinate(installation)
        with GraphReader.open(installation.settings.graph) as reader:
            (opened,) = reader.joint_events(10).items
            assert (opened.state, opened.trigger_time) == (CoincidenceState.OPEN, TRIGGER)
            assert reader.joint_event(opened.joint_event_id).pairs == opened.pairs
            assert reader.event("Fermi:1").pairs == opened.pairs == reader.event("LVK:1").pairs
            assert [notice.notice_id for notice in reader.notices("LVK:1")] == ["LVK0"]
        first = frames(listening.take, woken, b"event: joint-event")
        put_notice(installation, "LVK", Messenger.GW, AlertType.RETRACTION, 1)
        coordinate(installation)
        assert b'"alert_type":"retraction"' in frames(listening.take, woken, b"event: retraction")
        with GraphReader.open(installation.settings.graph) as reader:
            (gone,) = reader.joint_events(10, None, CoincidenceState.WITHDRAWN).items
            assert gone.joint_event_id == opened.joint_event_id, "of the same two events"
            assert reader.joint_events(10, None, CoincidenceState.OPEN).items == ()
            assert reader.joint_event(gone.joint_event_id).pairs == gone.pairs
    finally:
        hub.stop()
    packets = [voeventparse.loads(message.value()) for message in read_all(installation.settings.kafka, VOEVENT)]
    assert len(packets) == 2
    for packet in packets:
        voeventparse.assert_valid_as_v2_0(packet)
    told, withdrawn = packets
    assert [(str(one), one.get("cite")) for one in told.Citations.EventIVORN] == [
        ("ivo://of.lvk/notice#0", "followup"),
        ("ivo://of.fermi/notice#0", "followup"),
    ]
    assert (withdrawn.Citations.EventIVORN[0], withdrawn.Citations.EventIVORN[0].get("cite")) == (
        told.get("ivorn"),
        "retraction",
    )
    # Another service, asked by one who was there before: what he missed is told.
    mark = first.rpartition(b"id: ")[2].partition(b"\n")[0].decode()
    again = NewsHub(lambda: KafkaNews.open(installation.settings.kafka), 5)
    again.start()
    again.wait_ready(30.0)
    try:
        missed = again.attach(mark, lambda: None).take()
        assert missed.count(b"event: retraction") == 1
        assert b"event: reset" not in missed
        assert b'"alert_type":"initial"' not in missed
    finally:
        again.stop()


def frames(take: Callable[[], bytes], woken: threading.Event, wanted: bytes) -> bytes:
    """Return what is told until something wanted is among it."""
    content, end = b"", time.monotonic() + 30.0
    while wanted not in content:
        assert time.monotonic() < end, content
        woken.wait(0.1)
        content += take()
    return content
