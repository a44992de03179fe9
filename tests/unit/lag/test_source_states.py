"""How the sources of notices do, from the newest messages on the bus and the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition

from api.metrics import Metrics, exposition, source_families
from api.testing import FakeGraph, FakeReader
from compose import heartbeats
from compose.heartbeats import HeartbeatReader
from graph.errors import StoreError
from graph.heartbeats import SourceState, to_bytes
from graph.topics import HEARTBEAT

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)


def state(source: str = "gcn", ago_s: float = 5.0, gap_s: float = 1.0, *, ok: bool = True) -> SourceState:
    moment = NOW - timedelta(seconds=ago_s)
    return SourceState(source, moment, moment, gap_s, ok)


class FakeConsumer:
    """Partitions of the topic as (first offset, values)."""

    def __init__(self, partitions: Mapping[int, tuple[int, Sequence[bytes]]], topic: str = HEARTBEAT) -> None:
        self.partitions = partitions
        self.topic = topic
        self.waiting: list[TopicPartition] = []
        self.n_read = 0
        self.is_closed = False

    def list_topics(self, timeout: float) -> object:
        assert timeout > 0
        return SimpleNamespace(topics={self.topic: SimpleNamespace(partitions=dict(self.partitions))})

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int] | None:
        assert timeout > 0
        low, values = self.partitions[place.partition]
        return low, low + len(values)

    def assign(self, places: list[TopicPartition]) -> None:
        self.waiting = places

    def consume(self, num_messages: int, timeout: float) -> list[Any]:
        assert num_messages > 0
        assert timeout > 0
        found = []
        for place in self.waiting:
            low, values = self.partitions[place.partition]
            found += [message(place.partition, at, values[at - low]) for at in range(place.offset, low + len(values))]
        self.n_read += len(found)
        self.waiting = []
        return found

    def close(self) -> None:
        self.is_closed = True


def message(partition: int, offset: int, value: bytes) -> Any:
    return SimpleNamespace(error=lambda: None, partition=lambda: partition, offset=lambda: offset, value=lambda: value)


def sources(consumer: FakeConsumer, max_gap_s: float = 60.0) -> tuple[SourceState, ...]:
    found = HeartbeatReader(lambda: consumer, max_gap_s, now=lambda: NOW).sources()
    assert consumer.is_closed
    return found


def test_the_newest_state_of_each_source_counts() -> None:
    old = [to_bytes(state(ago_s=100 + n)) for n in range(200)]
    consumer = FakeConsumer(
        {
            0: (7, [*old, to_bytes(state(ago_s=2.0))]),
            1: (0, [to_bytes(state("lvk", ago_s=30.0)), b"of a later version"]),
            2: (3, []),
        }
    )
    found = sources(consumer)
    assert [(one.source, one.gap_s, one.ok) for one in found] == [("gcn", 2.0, True), ("lvk", 30.0, True)]
    assert consumer.n_read == heartbeats.NEWEST_MESSAGES + 2


def test_a_listener_that_ended_is_a_source_that_is_down() -> None:
    (found,) = sources(FakeConsumer({0: (0, [to_bytes(state(ago_s=61.0))])}))
    assert (found.gap_s, found.ok) == (61.0, False)


def test_what_the_listener_called_down_is_down() -> None:
    (found,) = sources(FakeConsumer({0: (0, [to_bytes(state(gap_s=400.0, ok=False))])}))
    assert (found.gap_s, found.ok) == (400.0, False)


def test_no_topic_and_no_message_is_no_source() -> None:
    assert sources(FakeConsumer({0: (0, [])}, topic="another")) == ()
    assert sources(FakeConsumer({0: (0, [])})) == ()


def test_a_bus_that_goes_silent_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "TIMEOUT_S", 0.1)

    class Mute(FakeConsumer):
        def consume(self, num_messages: int, timeout: float) -> list[Any]:
            assert num_messages
            assert timeout
            return []

    assert sources(Mute({0: (0, [to_bytes(state())])})) == ()


def test_kafka_away_is_a_sentence() -> None:
    class Gone(FakeConsumer):
        def list_topics(self, timeout: float) -> object:
            raise KafkaException(f"no brokers within {timeout} s")

    with pytest.raises(StoreError, match="Kafka cannot be reached"):
        sources(Gone({}))


def test_prometheus_sees_sources_and_is_answered_without_them() -> None:
    text = exposition(source_families([state(), state("lvk", gap_s=400.0, ok=False)]))
    assert 'heliograph_notice_source_up{source="gcn"} 1.0' in text
    assert 'heliograph_notice_source_up{source="lvk"} 0.0' in text
    assert 'heliograph_notice_source_gap_seconds{source="lvk"} 400.0' in text

    class Down:
        def sources(self) -> Sequence[SourceState]:
            raise StoreError("Kafka cannot be reached.")

    answer = Metrics(FakeReader(FakeGraph()), None, Counter(), sources=Down()).text()
    assert 'heliograph_up{part="kafka"} 0.0' in answer
    assert "notice_source" not in answer
