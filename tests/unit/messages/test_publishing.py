"""What the coordinator settles is written, then published in every form, then marked; stock consumers read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import gcn_kafka
import numpy as np
import pytest
import voeventparse
from confluent_kafka import Producer

from coordinator.config import CoordinatorSettings
from coordinator.publish import Publisher
from coordinator.service import Coordinator
from graph.config import KafkaSettings
from graph.errors import PublishError
from graph.event_store import pair_properties
from graph.model import AlertTense, Coincidence, CoincidenceState, EventState
from graph.objects import ObjectColumns
from graph.sender import KafkaSender
from graph.topics import AVRO_TWINS, JOINT_EVENTS, PUBLISHED, RETRACTIONS, VOEVENT, avro_topic

KEY = ("ztf:ZTF20abbiixp", "Fermi:611989445")


class Outbox:
    """Kafka that may refuse; ``told`` is what was acknowledged."""

    def __init__(self, log: list[str]) -> None:
        self.log, self.queue, self.told, self.fails = log, [], [], False

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        assert key == KEY[1] or topic.startswith("heliograph.lists.")
        assert not headers
        self.queue.append((topic, value))

    def flush(self) -> None:
        self.log.append("publish")
        queue, self.queue = self.queue, []
        self.told += queue
        if self.fails:
            raise PublishError("no answer")

    def on(self, topic: str) -> list[bytes]:
        return [value for name, value in self.told if name == topic]


class Store:
    """The graph's side of coincidences; ``marked`` counts as mark_coincidences_published does."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.pairs: dict[tuple[str, str], dict[str, Any]] = {}

    def write_coincidences(self, coincidences: Sequence[Coincidence]) -> None:
        self.log.append("write")
        for pair in coincidences:
            key = (f"{pair.survey.value}:{pair.object_id}", pair.event_key)
            self.pairs[key] = {**self.pairs.get(key, {}), **pair_properties(pair)}

    def write_associations(self, associations: Mapping[str, Mapping[str, float | None]]) -> frozenset[str]:
        assert all(value is None for one in associations.values() for value in one.values()), "no event is open here"
        return frozenset(associations)

    def mark_published(self, digests: Mapping[tuple[str, str], str]) -> None:
        self.log.append("mark")
        for key, digest in digests.items():
            pair = self.pairs[key]
            pair["published_number"] = pair.get("published_number", 0) + (pair.get("published_digest") != digest)
            pair["published_digest"] = digest

    def objects_by_key(self, keys: Sequence[str]) -> ObjectColumns:
        assert list(keys) == [KEY[0]]
        texts = {"survey": ["ztf"], "object_id": ["ZTF20abbiixp"], "top_class": ["KN"]}
        numbers = {"ra_deg": 213.0431, "dec_deg": 60.9053, "first_midpoint_mjd_tai": 58993.2886}
        others = ("last_limit_mjd_tai", "latest_mag", "class_probability", "n_detections")
        columns = {name: np.array(value, dtype=object) for name, value in texts.items()}
        columns |= {name: np.array([value]) for name, value in {**numbers, **dict.fromkeys(others, 1.0)}.items()}
        return ObjectColumns(**columns)

    def classifiers_of(self, keys: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        return dict.fromkeys(keys, (("coarse-ztf", "3"),))


class World:
    """A coordinator between a graph and a Kafka that are none."""

    def __init__(self, build: Any, **settings: Any) -> None:
        self.log: list[str] = []
        self.store, self.outbox = Store(self.log), Outbox(self.log)
        self.coordinator = Coordinator(self.store, self.outbox, CoordinatorSettings(**settings))  # type: ignore[arg-type]
        self.notice = build.notice(notice_id="n2", extra={"ivorn": build.ivorn})

    def settle(self, pair: Coincidence, event: Any) -> None:
        self.coordinator._publisher.remember(event, [self.notice])
        stored = {key: dict(properties) for key, properties in self.store.pairs.items()}
        self.coordinator._settle([pair], stored, {event.event_key: event})


@pytest.fixture
def world(build: Any) -> World:
    return World(build)


def test_a_pair_is_written_then_published_then_marked(world: World, build: Any) -> None:
    world.settle(build.pair(), build.event())
    assert world.log == ["write", "publish", "mark"]
    assert [topic for topic, _ in world.outbox.told] == [JOINT_EVENTS, VOEVENT]


def test_the_same_state_is_told_once(world: World, build: Any) -> None:
    for _ in range(2):
        world.settle(build.pair(), build.event())
    assert len(world.outbox.told) == 2


def test_a_pair_opened_changed_and_withdrawn_is_a_chain_of_citations(world: World, build: Any) -> None:
    retracted = build.event(state=EventState.RETRACTED, revision=3)
    world.settle(build.pair(), build.event())
    world.settle(build.pair(credible_level=0.5), build.event())
    world.settle(build.pair(credible_level=0.5, state=CoincidenceState.WITHDRAWN, revision=3), retracted)
    told = [json.loads(value) for value in world.outbox.on(JOINT_EVENTS)]
    assert [body["alert_type"] for body in told] == ["initial", "update", "retraction"]
    assert [body["record_number"] for body in told] == [1, 2, 3]
    assert [body.get("previous_ivorn") for body in told] == [None, told[0]["ivorn"], told[1]["ivorn"]]
    packets = [voeventparse.loads(value) for value in world.outbox.on(VOEVENT)]
    assert [packet.get("ivorn") for packet in packets] == [body["ivorn"] for body in told]
    followed = ("followup", build.ivorn)
    assert [[(c.get("cite"), c.text) for c in packet.xpath("Citations/EventIVORN")] for packet in packets] == [
        [followed],
        [("supersedes", told[0]["ivorn"]), followed],
        [("retraction", told[1]["ivorn"]), followed],
    ]
    (gone,) = (json.loads(value) for value in world.outbox.on(RETRACTIONS))
    assert (gone["ivorn"], gone["reason"]) == (told[2]["ivorn"], "The event was retracted.")


def test_a_state_that_comes_back_is_a_new_message(world: World, build: Any) -> None:
    for level in (0.7, 0.5, 0.7):
        world.settle(build.pair(credible_level=level), build.event())
    ivorns = [json.loads(value)["ivorn"] for value in world.outbox.on(JOINT_EVENTS)]
    assert len(set(ivorns)) == 3


def test_what_was_not_acknowledged_is_told_again_as_the_same_message(world: World, build: Any) -> None:
    world.outbox.fails = True
    with pytest.raises(PublishError):
        world.settle(build.pair(), build.event())
    assert "mark" not in world.log
    world.outbox.fails = False
    world.settle(build.pair(), build.event())
    assert world.log[-2:] == ["publish", "mark"]
    assert world.outbox.told[:2] == world.outbox.told[2:]


def test_a_state_told_in_vain_does_not_lend_its_identity(world: World, build: Any) -> None:
    world.outbox.fails = True
    with pytest.raises(PublishError):
        world.settle(build.pair(), build.event())
    world.outbox.fails = False
    world.settle(build.pair(credible_level=0.5), build.event())
    first, second = (json.loads(value) for value in world.outbox.on(JOINT_EVENTS))
    assert first["ivorn"] != second["ivorn"]
    assert second["alert_type"] == "initial"


def test_drills_reach_no_topic(world: World, build: Any) -> None:
    world.settle(build.pair(), build.event(alert_tense=AlertTense.TEST))
    assert world.log == ["write"]


def test_twins_are_sent_only_when_they_are_wanted(build: Any, world: World) -> None:
    gone = build.pair(state=CoincidenceState.WITHDRAWN)
    wanted = World(build, publish_avro=True)
    for each in (world, wanted):
        each.settle(build.pair(), build.event())
        each.settle(gone, build.event())
        each.coordinator._publisher.send_list(build.follow_up())
        each.outbox.flush()
    assert {topic for topic, _ in world.outbox.told} <= set(PUBLISHED)
    twins = [(topic, value) for topic, value in wanted.outbox.told if topic in AVRO_TWINS]
    assert [topic.removesuffix(".avro") for topic, _ in twins] == [
        topic for topic, _ in world.outbox.told if topic != VOEVENT
    ]
    (first,) = fastavro.reader(BytesIO(wanted.outbox.on(avro_topic(JOINT_EVENTS))[0]))
    assert first["ivorn"] == json.loads(world.outbox.on(JOINT_EVENTS)[0])["ivorn"]


def test_the_authority_is_a_setting(build: Any) -> None:
    world = World(build, ivorn_authority="org.example")
    world.settle(build.pair(), build.event())
    assert json.loads(world.outbox.on(JOINT_EVENTS)[0])["ivorn"].startswith("ivo://org.example/heliograph#")


@pytest.mark.parametrize("authority", ["", "ab", "a b c", "a/b/c", "<abc>"])
def test_an_authority_that_is_none_is_refused(authority: str) -> None:
    with pytest.raises(ValueError, match="ivorn_authority"):
        CoordinatorSettings(ivorn_authority=authority)


@pytest.fixture
def broker() -> Iterator[str]:
    """Yield the address of librdkafka's own mock of a broker: the real protocol without a server."""
    owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused:1", "log_level": 0})
    (member,) = owner.list_topics(timeout=10).brokers.values()
    yield f"{member.host}:{member.port}"
    owner.flush(0)


def test_a_stock_gcn_consumer_reads_the_messages(build: Any, broker: str) -> None:
    sender = KafkaSender(KafkaSettings(bootstrap_servers=broker))
    publisher = Publisher(Store([]), sender, CoordinatorSettings())  # type: ignore[arg-type]
    event, pair = build.event(p_astro=0.9), build.pair()
    publisher.remember(event, [build.notice(extra={"ivorn": build.ivorn})])
    publisher.send_pairs({KEY: (pair, "0" * 16)}, {}, {event.event_key: event})
    gone = replace(pair, state=CoincidenceState.WITHDRAWN)
    before = {KEY: {"published_digest": "0" * 16, "published_number": 1}}
    publisher.send_pairs({KEY: (gone, "1" * 16)}, before, {event.event_key: event})
    sender.flush()
    options = {"bootstrap.servers": broker, "security.protocol": "plaintext", "auto.offset.reset": "earliest"}
    consumer = gcn_kafka.Consumer(config=options)
    consumer.subscribe([JOINT_EVENTS, RETRACTIONS])
    told: list[dict[str, Any]] = []
    for _ in range(30):
        for message in consumer.consume(num_messages=10, timeout=1):
            assert message.error() is None
            told.append(json.loads(message.value()))
        if len(told) == 3:
            break
    consumer.close()
    assert sorted(body["alert_type"] for body in told) == ["initial", "retraction", "retraction"]
    opened = next(body for body in told if body["alert_type"] == "initial")
    assert (opened["ref_instrument"], opened["ref_ID"], opened["p_astro"]) == ("Fermi", "611989445", 0.9)
    assert {body["id"] for body in told} == {"Fermi:611989445/ztf:ZTF20abbiixp"}
