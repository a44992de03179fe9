"""The lag of the alert stream against a consumer that answers from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from compose import lag as lag_module
from compose.cli.look import LEDGER_FIELDS, ledger_line
from compose.lag import Place, StreamLagReader, lag_of
from graph.errors import StoreError
from graph.model import Survey
from graph.views import LedgerNight, StreamLag

NOW_S = 2_000.0


class FakeConsumer:
    """Partitions as (first offset, put times of the messages from there on)."""

    def __init__(self, partitions: Mapping[Place, tuple[int, Sequence[float]]], *, is_mute: bool = False) -> None:
        self.partitions = partitions
        self.is_mute = is_mute
        self.waiting: list[tuple[Place, int]] = []
        self.n_closed = 0

    def list_topics(self, timeout: float) -> object:
        assert 0 < timeout <= lag_module.TIMEOUT_S
        topics: dict[str, Any] = {}
        for topic, number in self.partitions:
            topics.setdefault(topic, SimpleNamespace(partitions={})).partitions[number] = None
        return SimpleNamespace(topics=topics)

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int] | None:
        assert timeout > 0
        low, times = self.partitions[place.topic, place.partition]
        return low, low + len(times)

    def assign(self, places: list[TopicPartition]) -> None:
        self.waiting = [((place.topic, place.partition), place.offset) for place in places]

    def consume(self, num_messages: int, timeout: float) -> list[Any]:
        assert num_messages > 0
        assert timeout > 0
        if self.is_mute:
            return []
        found = []
        for place, offset in self.waiting:
            low, times = self.partitions[place]
            found += [message(place, put_s) for put_s in times[offset - low :]]
        return found

    def close(self) -> None:
        self.n_closed += 1


def message(place: Place, put_s: float) -> Any:
    return SimpleNamespace(
        topic=lambda: place[0], partition=lambda: place[1], error=lambda: None, timestamp=lambda: (1, int(put_s * 1000))
    )


def lag_with(consumer: FakeConsumer, processed: Mapping[Place, int]) -> StreamLag:
    def positions(places: Sequence[Place]) -> Mapping[Place, int]:
        return {place: processed[place] for place in places if place in processed}

    return StreamLagReader(("a", "b"), positions, lambda: consumer, now_s=lambda: NOW_S).lag()


def test_lag_and_age_of_each_partition_and_of_all() -> None:
    times = [1000.0, 1100.0, 1200.0, 1300.0]
    consumer = FakeConsumer({("a", 0): (0, times), ("a", 1): (5, times), ("b", 0): (0, [])})
    lag = lag_with(consumer, {("a", 0): 4, ("a", 1): 7})
    found = lag.partitions
    assert [(one.topic, one.partition, one.end_offset, one.processed_until, one.lag_alerts) for one in found] == [
        ("a", 0, 4, 4, 0), ("a", 1, 9, 7, 2), ("b", 0, 0, 0, 0),
    ]  # fmt: skip
    assert [one.oldest_unprocessed_s for one in lag.partitions] == [None, 800.0, None]
    assert (lag.lag_alerts, lag.oldest_unprocessed_s) == (2, 800.0)
    assert consumer.n_closed == 1


def test_nothing_processed_yet_is_all_that_lies_there() -> None:
    lag = lag_with(FakeConsumer({("a", 0): (3, [10.0, 1990.0])}), {})
    assert (lag.lag_alerts, lag.oldest_unprocessed_s) == (2, 1990.0)


def test_topics_that_are_not_there_yet_and_no_alerts_are_no_lag() -> None:
    lag = lag_with(FakeConsumer({}), {})
    assert (lag.partitions, lag.lag_alerts, lag.oldest_unprocessed_s) == ((), 0, None)


def test_a_message_from_the_future_is_of_age_0() -> None:
    assert lag_with(FakeConsumer({("a", 0): (0, [NOW_S + 60])}), {}).oldest_unprocessed_s == 0.0


def test_the_age_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag_module, "TIMEOUT_S", 0.2)
    lag = lag_with(FakeConsumer({("a", 0): (0, [1.0])}, is_mute=True), {})
    assert (lag.lag_alerts, lag.oldest_unprocessed_s) == (1, None)


def test_kafka_away_is_a_sentence_and_the_consumer_is_closed() -> None:
    class Gone(FakeConsumer):
        def list_topics(self, timeout: float) -> object:
            raise KafkaException(f"no brokers within {timeout} s")

    consumer = Gone({})
    watch = StreamLagReader(("a",), lambda _: {}, lambda: consumer)
    for ask in (watch.lag, watch.ping):
        with pytest.raises(StoreError, match="Kafka cannot be reached"):
            ask()
    assert consumer.n_closed == 2


def test_the_graph_away_closes_the_consumer_too() -> None:
    consumer = FakeConsumer({("a", 0): (0, [1.0])})

    def positions(_: Sequence[Place]) -> Mapping[Place, int]:
        raise StoreError("The graph cannot be reached.")

    with pytest.raises(StoreError, match="graph"):
        StreamLagReader(("a",), positions, lambda: consumer).lag()
    assert consumer.n_closed == 1


def test_what_the_graph_last_told_holds_while_it_is_away() -> None:
    consumer = FakeConsumer({("a", 0): (0, [1.0, 2.0, 3.0])})
    answers: list[Mapping[Place, int] | None] = [{("a", 0): 1}, None]

    def positions(_: Sequence[Place]) -> Mapping[Place, int]:
        answer = answers.pop(0)
        if answer is None:
            raise StoreError("The graph cannot be reached.")
        return answer

    reader = StreamLagReader(("a",), positions, lambda: consumer, now_s=lambda: NOW_S)
    assert reader.lag().lag_alerts == reader.lag().lag_alerts == 2


@given(st.integers(0, 100), st.integers(0, 100), st.none() | st.integers(0, 300))
def test_lag_counts_exactly_the_offsets_that_are_there_and_not_in_the_ledger(
    low: int, n: int, processed: int | None
) -> None:
    lag = lag_of(("a", 0), low, low + n, processed)
    assert lag.lag_alerts == sum(1 for offset in range(low, low + n) if processed is None or offset >= processed)
    assert lag.processed_until + lag.lag_alerts == lag.end_offset


def test_the_ledger_prints_its_fields_in_order() -> None:
    night = LedgerNight(Survey.ZTF, 20261119, 60, 59, 0, {"streak": 2}, 50, 50, 1, {"malformed": 1}, 7)
    line = ledger_line(night)
    assert tuple(line) == LEDGER_FIELDS
    assert line == {
        "survey": "ztf", "night": 20261119, "stage": "ingest", "received": 60, "archived": 59,
        "filtered": {"streak": 2}, "classified": 50, "left_out": {}, "loaded": 50,
        "dead": {"malformed": 1}, "duplicates": 7, "balanced": True,
    }  # fmt: skip
