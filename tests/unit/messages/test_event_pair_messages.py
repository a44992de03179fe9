"""Pairs of events in all forms: VOEvents that are valid and cite both, Avro twins, one chain of messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
import voeventparse

from coordinator.avro_twin import to_avro
from coordinator.chains import JointEvent
from coordinator.event_pair_messages import PairAnnouncement, event_pair
from coordinator.message_schemas import EVENT_PAIR
from coordinator.messages import NoticeFacts
from coordinator.posterior import Association
from coordinator.publish import PairTeller
from coordinator.voevent import event_pair_voevent, voevent
from graph import codec
from graph.model import AlertTense, CoincidenceState, Event, EventPair, EventState, Messenger
from graph.topics import JOINT_EVENTS, RETRACTIONS, VOEVENT, avro_topic
from ingest.notices.voevent import read_packet

FIRST, SECOND = "LVK:S1", "Fermi:611989445"
JOINT = JointEvent("5d1c0e7a9b3f2468", (SECOND, FIRST), 1e-12, 5.0, (("ztf:ZTF20abbiixp", 6.0),))


def pair_in(state: CoincidenceState, build: Any) -> EventPair:
    standing = "5d1c0e7a9b3f2468" if state is CoincidenceState.OPEN else None
    return EventPair(FIRST, SECOND, 1.7, 32.3, 1e-12, 5.0, build.pair().terms, state, 2, 3, standing)


def wave(build: Any, **changes: Any) -> Event:
    fields = {"event_key": FIRST, "mission": "LVK", "event_id": "S1", "messenger": Messenger.GW, "p_astro": 0.9}
    event: Event = build.event(**{**fields, "far_hz": 1e-9, "event_names": ()} | changes)
    return event


def news_of(build: Any, state: CoincidenceState, previous: str | None = None, **changes: Any) -> PairAnnouncement:
    events = ((wave(build), NoticeFacts("ivo://gwnet/LVC#S1-1", build.trigger)),
              (build.event(), NoticeFacts(build.ivorn, build.trigger.replace(hour=7))))  # fmt: skip
    is_open = state is CoincidenceState.OPEN
    news = PairAnnouncement(
        pair_in(state, build), JOINT if is_open else None, events, 1, "ivo://heliograph/heliograph#x/y/1-0", previous
    )
    return replace(news, **changes)


def params(place: Any) -> dict[str, str]:
    return {param.get("name"): param.get("value") for param in place.Param}


@pytest.mark.parametrize(
    ("state", "previous", "own"),
    [
        (CoincidenceState.OPEN, None, []),
        (CoincidenceState.OPEN, "ivo://a/b#1", [("supersedes", "ivo://a/b#1")]),
        (CoincidenceState.WITHDRAWN, "ivo://a/b#1", [("retraction", "ivo://a/b#1")]),
    ],
)
def test_a_packet_is_valid_and_cites_both_events(
    build: Any, state: CoincidenceState, previous: str | None, own: list[tuple[str, str]]
) -> None:
    payload = event_pair_voevent(news_of(build, state, previous), "heliograph")
    packet = voeventparse.loads(payload)
    voeventparse.assert_valid_as_v2_0(packet)
    cited = [*own, ("followup", "ivo://gwnet/LVC#S1-1"), ("followup", build.ivorn)]
    assert list(read_packet(payload).citations) == cited
    assert packet.get("role") == "observation"
    assert str(packet.Who.Date) == "2020-05-24T07:04:00"
    assert str(voeventparse.get_event_time_as_utc(packet)).startswith("2020-05-24 05:04:00.36")
    told = params(packet.What)
    assert (float(told["far"]), float(told["delta_t"]), float(told["overlap"])) == (1e-12, 1.7, 32.3)
    assert (told["first_key"], told["second_key"]) == (FIRST, SECOND)
    groups = {group.get("name"): params(group) for group in packet.What.Group}
    assert groups["evidence"] == {"position": "6.5", "class": "0.25"}
    assert groups[FIRST]["p_astro"] == "0.9"
    if state is CoincidenceState.OPEN:
        assert groups["joint_event"]["joint_event_id"] == JOINT.joint_event_id
        assert [str(name) for name in packet.Why.Inference.Name] == ["GW LVK S1", "GRB Fermi bn200524211"]
    else:
        assert "joint_event" not in groups
        assert str(packet.Why.Description).startswith("The newest revisions")


def test_a_packet_about_tests_says_so_and_needs_no_events(build: Any) -> None:
    drill = ((wave(build, alert_tense=AlertTense.TEST), NoticeFacts(None, None)),)
    for events, role in ((drill, "test"), ((), "observation")):
        packet = voeventparse.loads(
            event_pair_voevent(news_of(build, CoincidenceState.WITHDRAWN, events=events), "heliograph")
        )
        voeventparse.assert_valid_as_v2_0(packet)
        assert packet.get("role") == role


@pytest.mark.parametrize("name", ["<&\"'>", "\x00\x1f", "ü\ud7ff\U0010ffff", " ", "a" * 300])
def test_any_name_of_an_event_gives_a_valid_packet(build: Any, name: str) -> None:
    event = wave(build, event_key=f"LVK:{name}", event_id=name, event_names=(name,))
    pair = replace(pair_in(CoincidenceState.OPEN, build), first_key=f"LVK:{name}")
    news = news_of(build, CoincidenceState.OPEN, pair=pair, events=((event, NoticeFacts(None, None)),))
    voeventparse.assert_valid_as_v2_0(voeventparse.loads(event_pair_voevent(news, "heliograph")))


@pytest.mark.parametrize("state", list(CoincidenceState))
def test_the_message_keeps_its_schema_and_its_twin_its_content(
    build: Any, broken: Any, undeclared: Any, state: CoincidenceState
) -> None:
    body = orjson.loads(orjson.dumps(event_pair(news_of(build, state, "ivo://a/b#1"))))
    assert broken(EVENT_PAIR, body) == []
    assert undeclared(EVENT_PAIR, body) == []
    assert codec.from_json(EventPair, body) == pair_in(state, build)
    assert (body["ref_type"], body["ref_ID"], body["record_number"]) == ("GW", "S1", 1)
    assert [one["event_key"] for one in body["events"]] == [FIRST, SECOND]
    assert body["events"][0]["notice_ids"] == ["n1", "n2"]
    assert ("reason" in body) is (state is CoincidenceState.WITHDRAWN)
    assert len(to_avro(body)) > 500


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"state": EventState.RETRACTED}, "Retracted: LVK:S1."), ({"is_astrophysical_burst": False}, "astrophysical")],
)
def test_a_withdrawal_says_why(build: Any, changes: dict[str, Any], word: str) -> None:
    events = ((wave(build, **changes), NoticeFacts(None, None)),)
    assert word in str(event_pair(news_of(build, CoincidenceState.WITHDRAWN, events=events))["reason"])


class Outbox:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None, bytes]] = []

    def send(self, topic: str, key: str | None, value: bytes, headers: Any = None) -> None:
        assert headers is None
        self.sent.append((topic, key, value))

    def flush(self) -> None: ...


@pytest.mark.parametrize("with_avro", [False, True])
def test_a_pair_is_told_in_all_forms_as_one_chain(build: Any, with_avro: bool) -> None:
    outbox = Outbox()
    teller = PairTeller(outbox, lambda key: NoticeFacts(f"ivo://of/{key[:3]}#1", None), with_avro=with_avro)
    events = [wave(build), build.event()]
    teller.send(pair_in(CoincidenceState.OPEN, build), JOINT, events, "aaaa", None)
    teller.send(pair_in(CoincidenceState.WITHDRAWN, build), None, events, "bbbb", (1, "aaaa"))
    assert {key for _, key, _ in outbox.sent} == {FIRST}
    topics = [topic for topic, _, _ in outbox.sent]
    first = [JOINT_EVENTS, *([avro_topic(JOINT_EVENTS)] if with_avro else []), VOEVENT]
    assert topics[: len(first)] == first
    assert topics.count(RETRACTIONS) == 1
    packets = [read_packet(value) for topic, _, value in outbox.sent if topic == VOEVENT]
    bodies = [orjson.loads(value) for topic, _, value in outbox.sent if topic == JOINT_EVENTS]
    assert [body["ivorn"] for body in bodies] == [packet.ivorn for packet in packets]
    assert bodies[0]["ivorn"] == "ivo://heliograph/heliograph#LVK:S1/Fermi:611989445/1-aaaa"
    assert (bodies[1]["previous_ivorn"], bodies[1]["record_number"]) == (bodies[0]["ivorn"], 2)
    assert [body["alert_type"] for body in bodies] == ["initial", "retraction"]
    assert ("retraction", bodies[0]["ivorn"]) in packets[1].citations


def test_a_coincidence_carries_its_probability(build: Any) -> None:
    worth = Association(0.2, 0.7, {"ztf": 3e-4})
    news = build.news(association=worth)
    expected = 3e-4 * 2.718281828459045**6.75
    packet = voeventparse.loads(voevent(news, "heliograph"))
    voeventparse.assert_valid_as_v2_0(packet)
    assert float(packet.Why.Inference.get("probability")) == pytest.approx(expected)
    gone = build.news(build.pair(state=CoincidenceState.WITHDRAWN), association=worth)
    assert gone.association_probability is None
    voeventparse.assert_valid_as_v2_0(voeventparse.loads(voevent(gone, "heliograph")))
