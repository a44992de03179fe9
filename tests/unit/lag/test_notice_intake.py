"""Notices from outside lie on Kafka before anybody is told so."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from compose import intake as intake_module
from compose.config import Settings
from compose.intake import KafkaNoticeIntake
from compose.notice_topics import UNRECOGNISED_TOPIC, is_listened_to, listened_topics
from graph.errors import PublishError, UnsupportedNoticeError
from ingest.notices.registry import TOPICS

TOPIC = "gcn.notices.einstein_probe.wxt.alert"


class FakeProducer:
    """Delivers what it is given when polled, as `answer` says."""

    def __init__(
        self, answer: KafkaError | None = None, *, is_mute: bool = False, topics: tuple[str, ...] = ()
    ) -> None:
        self.answer = answer
        self.is_mute = is_mute
        self.topics = {UNRECOGNISED_TOPIC, *topics}
        self.queued: list[tuple[str, bytes, Callable[..., None]]] = []
        self.taken: list[tuple[str, bytes]] = []
        self.n_listed = 0
        self.lock = threading.Lock()

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert topic
        assert 0 < timeout <= intake_module.TIMEOUT_S
        self.n_listed += 1
        # As librdkafka answers: a topic that was asked for is listed even where there is none.
        error = None if topic in self.topics else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error)})

    def produce(self, topic: str, value: bytes, *, on_delivery: Callable[..., None]) -> None:
        with self.lock:
            self.queued.append((topic, value, on_delivery))

    def poll(self, timeout: float) -> int:
        assert timeout > 0
        if self.is_mute:
            return 0
        with self.lock:
            queued, self.queued = self.queued, []
            for topic, value, report in queued:
                self.taken.append((topic, value))
                offset = len(self.taken) - 1
                found = SimpleNamespace(topic=lambda t=topic: t, partition=lambda: 1, offset=lambda o=offset: o)
                report(self.answer, found)
        return len(queued)


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, producer: FakeProducer) -> list[str]:
    """Topics that were made."""
    names: list[str] = []

    def make(_: object, topics: tuple[str, ...]) -> None:
        names.extend(topics)
        producer.topics.update(topics)

    monkeypatch.setattr(intake_module, "ensure_topics", make)
    return names


def test_the_receipt_names_bytes_and_place(producer: FakeProducer, made: list[str]) -> None:
    intake = KafkaNoticeIntake(Settings(), producer)
    receipt = intake.put(b"<x/>", None)
    assert receipt.source == f"{UNRECOGNISED_TOPIC}/1/0"
    assert receipt.notice_id == hashlib.sha256(b"<x/>").hexdigest()[:32]
    assert intake.put(b"{}", TOPIC).source == f"{TOPIC}/1/1"
    assert intake.put(b"{}", TOPIC).source == f"{TOPIC}/1/2"
    assert producer.taken == [(UNRECOGNISED_TOPIC, b"<x/>"), (TOPIC, b"{}"), (TOPIC, b"{}")]
    assert made == [TOPIC]
    assert producer.n_listed == 3, "once for a topic that is there, before and after making the other, then no more"


@pytest.mark.parametrize("topic", ["heliograph.notices", "alerts.ztf", "gcn.heartbeat", "", "gcn.notices.nobody"])
def test_only_topics_of_notices_can_be_written_to(made: list[str], topic: str) -> None:
    producer = FakeProducer(topics=(topic,))
    with pytest.raises(UnsupportedNoticeError):
        KafkaNoticeIntake(Settings(), producer).put(b"x", topic)
    assert (producer.taken, made) == ([], [])


def test_what_kafka_refuses_is_not_taken(made: list[str]) -> None:
    producer = FakeProducer(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    with pytest.raises(PublishError, match="did not take"):
        KafkaNoticeIntake(Settings(), producer).put(b"x", None)
    assert made == []


def test_kafka_that_does_not_answer_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "TIMEOUT_S", 0.05)
    with pytest.raises(PublishError):
        KafkaNoticeIntake(Settings(), FakeProducer(is_mute=True)).put(b"x", None)


def test_kafka_away_is_a_sentence() -> None:
    class Gone(FakeProducer):
        def list_topics(self, topic: str, timeout: float) -> Any:
            raise KafkaException(f"no broker for {topic} within {timeout} s")

    with pytest.raises(PublishError, match="cannot be reached"):
        KafkaNoticeIntake(Settings(), Gone()).put(b"x", None)


def test_requests_at_once_get_their_own_receipts(producer: FakeProducer, made: list[str]) -> None:
    intake = KafkaNoticeIntake(Settings(), producer)
    receipts: dict[bytes, str] = {}

    def put(payload: bytes) -> None:
        receipts[payload] = intake.put(payload, None).source

    threads = [threading.Thread(target=put, args=(str(n).encode(),)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receipts == {value: f"{topic}/1/{n}" for n, (topic, value) in enumerate(producer.taken)}
    assert len(receipts) == 20
    assert made == []


def test_the_listener_on_our_bus_reads_whatever_can_be_put_there() -> None:
    assert all(map(is_listened_to, (*TOPICS, UNRECOGNISED_TOPIC)))
    assert not any(map(is_listened_to, ("gcn.heartbeat", "gcn.circulars", "heliograph.notices", "igwn.gwalert2")))
    assert "^gcn\\.heartbeat$" in listened_topics("kafka", heartbeats=True)
    assert set(listened_topics("gcn", heartbeats=True)) == {*TOPICS, "gcn.heartbeat"}
    assert set(listened_topics("gcn", heartbeats=False)) == set(TOPICS)
