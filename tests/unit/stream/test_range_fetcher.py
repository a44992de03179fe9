"""Ranges of offsets from a Kafka that exists only here: with gaps, errors and silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.config import KafkaSettings
from graph.errors import StoreError
from ingest import fetch
from ingest.fetch import MESSAGE_OVERHEAD, Fetched, RangeFetcher
from ingest.offsets import OffsetRange, cut_blocks

TOPIC = "alerts.ztf"


@dataclass(frozen=True)
class FakeMessage:
    at: int
    content: bytes | None = b""
    failure: KafkaError | None = None
    time_ms: int = 1_795_000_000_000

    def offset(self) -> int:
        return self.at

    def value(self) -> bytes | None:
        return self.content

    def error(self) -> KafkaError | None:
        return self.failure

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time_ms


@dataclass
class FakeConsumer:
    """Partition 0 of a topic: what lies on it by offset, and the offset that the next message will get."""

    stored: dict[int, bytes | None]
    end: int
    most: int = 1000
    """Messages handed out at a time at most, whatever was asked for."""
    events: list[KafkaError] = field(default_factory=list)
    """Handed out before anything else, one at a time."""
    position: int | None = None
    told_end: bool = False
    asked: list[int] = field(default_factory=list)
    config: dict[str, object] = field(default_factory=dict)
    assigned: list[tuple[str, int, int]] = field(default_factory=list)

    def assign(self, places: list[TopicPartition]) -> None:
        (place,) = places
        self.assigned.append((place.topic, place.partition, place.offset))
        self.position, self.told_end = place.offset, False

    def unassign(self) -> None:
        self.position = None

    def consume(self, number: int, *, timeout: float) -> list[FakeMessage]:
        assert self.position is not None
        assert number > 0
        assert timeout > 0
        self.asked.append(number)
        if self.events:
            return [FakeMessage(-1001, None, self.events.pop(0))]
        due = sorted(at for at in self.stored if at >= self.position)[: min(number, self.most)]
        found = [FakeMessage(at, self.stored[at]) for at in due]
        self.position = due[-1] + 1 if due else self.end
        if len(found) < number and self.position >= self.end and not self.told_end:
            self.told_end = True
            self.position = self.end
            found.append(FakeMessage(self.end, None, KafkaError(KafkaError._PARTITION_EOF)))
        return found


@pytest.fixture
def fetcher_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeConsumer], RangeFetcher]:
    def make(consumer: FakeConsumer) -> RangeFetcher:
        def opened(config: dict[str, object]) -> FakeConsumer:
            consumer.config = config
            return consumer

        monkeypatch.setattr(fetch, "Consumer", opened)
        return RangeFetcher(KafkaSettings(bootstrap_servers="nowhere:1"))

    return make


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a clock pass that shows ten seconds more at each look."""

    def clock() -> Iterator[float]:
        now = 0.0
        while True:
            now += 10.0
            yield now

    ticks = clock()
    monkeypatch.setattr("ingest.fetch.time.monotonic", lambda: next(ticks))


def contents(blocks: list[Fetched]) -> dict[int, bytes]:
    """Return what was fetched by offset; fails where an offset came twice or out of order."""
    offsets = [offset for block in blocks for offset in block.offset.tolist()]
    assert offsets == sorted(set(offsets))
    return dict(zip(offsets, (value for block in blocks for value in block.messages.to_pylist()), strict=True))


@settings(deadline=None, max_examples=200)
@given(
    present=st.sets(st.integers(0, 60)),
    bounds=st.tuples(st.integers(0, 60), st.integers(1, 61)).filter(lambda pair: pair[0] < pair[1]),
    extra=st.integers(0, 3),
    max_messages=st.integers(1, 70),
    most=st.integers(1, 70),
)
def test_exactly_what_lies_in_the_range_comes_in_order(
    present: set[int], bounds: tuple[int, int], extra: int, max_messages: int, most: int
) -> None:
    """Offsets may be missing anywhere: compacted, or taken by markers of transactions."""
    first, until = bounds
    stored: dict[int, bytes | None] = {at: b"packet %d" % at for at in present}
    consumer = FakeConsumer(stored, max([until, *(at + 1 for at in present)]) + extra, most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "Consumer", lambda config: consumer)
        fetcher = RangeFetcher(KafkaSettings(bootstrap_servers="nowhere:1"))
        wanted = cut_blocks([OffsetRange(TOPIC, 0, first, until)], max_messages)
        blocks = list(fetcher.fetch(wanted))
    assert contents(blocks) == {at: value for at, value in stored.items() if first <= at < until}
    assert all(0 < len(block.offset) == len(block.timestamp_ms) == len(block.messages) for block in blocks)
    ranges = [(one.offset_from, one.offset_until) for one in wanted]
    assert all(any(a <= block.offset.min() and block.offset.max() < b for a, b in ranges) for block in blocks)
    assert consumer.position is None


def test_one_fetcher_reads_one_range_after_the_other(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    consumer = FakeConsumer({at: b"%d" % at for at in range(100)}, 100)
    fetcher = fetcher_of(consumer)
    for first, until in ((40, 60), (0, 40), (99, 100)):
        found = contents(list(fetcher.fetch([OffsetRange(TOPIC, 0, first, until)])))
        assert list(found) == list(range(first, until))
    assert consumer.assigned == [(TOPIC, 0, 40), (TOPIC, 0, 0), (TOPIC, 0, 99)]
    # Never more than the range can still hold: the next one may be another process' work.
    assert consumer.asked == [20, 40, 1]


def test_a_packet_may_be_empty_or_absent(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    (block,) = fetcher_of(FakeConsumer({0: b"", 1: None, 2: b"abc"}, 3)).fetch([OffsetRange(TOPIC, 0, 0, 3)])
    assert block.messages.to_pylist() == [b"", b"", b"abc"]
    assert block.messages.null_count == 0


def test_the_largest_message_of_the_topic_can_be_fetched(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    consumer = FakeConsumer({}, 0)
    fetcher_of(consumer)
    most = KafkaSettings().max_message_bytes
    assert int(str(consumer.config["fetch.message.max.bytes"])) >= most + MESSAGE_OVERHEAD
    assert consumer.config["auto.offset.reset"] == "error"
    assert consumer.config["enable.auto.commit"] is False


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ],
)
def test_what_kafka_has_no_more_is_an_error(fetcher_of: Callable[[FakeConsumer], RangeFetcher], code: int) -> None:
    consumer = FakeConsumer(dict.fromkeys(range(5, 10), b"x"), 10, events=[KafkaError(code)])
    with pytest.raises(StoreError, match=r"alerts\.ztf/0 from 0 to 10"):
        list(fetcher_of(consumer).fetch([OffsetRange(TOPIC, 0, 0, 10)]))
    assert consumer.position is None


def test_an_error_that_mends_itself_is_waited_out(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    lost = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION, "moved", fatal=False, retriable=True)
    consumer = FakeConsumer(dict.fromkeys(range(10), b"x"), 10, events=[lost, lost])
    assert len(contents(list(fetcher_of(consumer).fetch([OffsetRange(TOPIC, 0, 0, 10)])))) == 10


@pytest.mark.usefixtures("impatient")
def test_silence_is_an_error_after_a_while(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    """The topic ends before the range does: a broker came back with less than it had."""
    consumer = FakeConsumer(dict.fromkeys(range(5), b"x"), 5)
    with pytest.raises(StoreError, match="within 60 s"):
        list(fetcher_of(consumer).fetch([OffsetRange(TOPIC, 0, 0, 10)]))
    assert consumer.position is None


@pytest.mark.usefixtures("impatient")
def test_slow_messages_are_not_silence(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    consumer = FakeConsumer(dict.fromkeys(range(50), b"x"), 50, most=1)
    assert len(contents(list(fetcher_of(consumer).fetch([OffsetRange(TOPIC, 0, 0, 50)])))) == 50


def test_errors_of_librdkafka_are_ours(
    fetcher_of: Callable[[FakeConsumer], RangeFetcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL))

    monkeypatch.setattr(FakeConsumer, "assign", refuse)
    with pytest.raises(StoreError):
        list(fetcher_of(FakeConsumer({}, 0)).fetch([OffsetRange(TOPIC, 0, 0, 10)]))


def test_a_range_without_offsets_has_no_blocks(fetcher_of: Callable[[FakeConsumer], RangeFetcher]) -> None:
    assert list(fetcher_of(FakeConsumer({}, 0)).fetch([OffsetRange(TOPIC, 0, 4, 4)])) == []
