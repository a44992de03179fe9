"""Fetches ranges of offsets from Kafka into Arrow buffers, in the process that decodes them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from graph.config import KafkaSettings
from graph.errors import StoreError
from ingest.alerts.columns import IntArray
from ingest.offsets import OffsetRange

FETCH_GROUP = "heliograph-fetch"
"""Consumer group; its offsets are never committed, Spark's checkpoint holds them."""

FETCH_OPTIONS: dict[str, str | int | bool] = {
    "enable.auto.commit": False,
    # A range that Kafka no longer has is an error, never silently another range.
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "fetch.message.max.bytes": 4_194_304,
    "queued.max.messages.kbytes": 16_384,
    # A full queue is looked at again soon: the default of a second is longer than a whole batch takes.
    "fetch.queue.backoff.ms": 5,
    "log_level": 3,
}
"""Little is fetched ahead, since the next range of a partition may be another process' work. 4 MiB are 50 packets."""

MESSAGE_OVERHEAD = 1024
"""What a record batch adds to the largest message [byte]; headers and framing of Kafka's format have some 100."""

FETCH_TIMEOUT_S = 60.0
"""Longest wait for the next message of a range that Kafka has announced [s]."""

POLL_S = 0.1
"""Longest wait for a block of messages to be complete [s]; only a range with gaps at its end ever takes so long."""


@dataclass(frozen=True, eq=False, slots=True)
class Fetched:
    """n messages of one partition, in order."""

    topic: str
    partition: int
    offset: IntArray
    """(n,) offset of each."""
    timestamp_ms: IntArray
    """(n,) when it was produced [ms since 1970, UTC]; -1 when Kafka does not know."""
    messages: pa.LargeBinaryArray
    """(n,) the packets."""


class RangeFetcher:
    """One Kafka consumer that reads ranges of offsets; not to be used from two threads at once."""

    def __init__(self, settings: KafkaSettings) -> None:
        most = max(settings.max_message_bytes + MESSAGE_OVERHEAD, int(FETCH_OPTIONS["fetch.message.max.bytes"]))
        self._consumer = Consumer(
            {
                **settings.client_config(),
                **FETCH_OPTIONS,
                "fetch.message.max.bytes": most,
                "group.id": FETCH_GROUP,
            }
        )
        self._ahead: list[Message] = []
        self._end = -1

    def fetch(self, blocks: Sequence[OffsetRange]) -> Iterator[Fetched]:
        """Yield the messages of consecutive ranges of one partition, one block for each range that has any.

        Raises
        ------
        StoreError : Kafka cannot be reached, or it has not all of the ranges any more.
        """
        wanted = [block for block in blocks if len(block)]
        if not wanted:
            return
        first = wanted[0]
        self._ahead, self._end = [], -1
        try:
            self._consumer.assign([TopicPartition(first.topic, first.partition, first.offset_from)])
            for block in wanted:
                batch = self._collect(block)
                if batch:
                    yield _as_fetched(block, batch)
        except KafkaException as error:
            raise StoreError(f"Kafka did not hand out {_name(first)}: {error}.") from error
        finally:
            self._consumer.unassign()

    def _collect(self, block: OffsetRange) -> list[Message]:
        """Return the messages of a range."""
        batch: list[Message] = []
        ahead, self._ahead = self._ahead, []
        ended = self._end >= block.offset_until
        for message in ahead:
            ended |= self._take(message, block, batch)
        deadline = time.monotonic() + FETCH_TIMEOUT_S
        while not ended:
            # Never more than the range can still hold: librdkafka would wait for them.
            last = batch[-1].offset() if batch else block.offset_from - 1
            found = self._consumer.consume(block.offset_until - 1 - last, timeout=POLL_S)
            if found:
                deadline = time.monotonic() + FETCH_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise StoreError(f"Kafka did not hand out {_name(block)} within {FETCH_TIMEOUT_S:g} s.")
            for message in found:
                ended |= self._take(message, block, batch)
        return batch

    def _take(self, message: Message, block: OffsetRange, batch: list[Message]) -> bool:
        """Add a message to the batch if it is of the range; return whether nothing of the range comes after it."""
        error = message.error()
        if error is None:
            (batch if message.offset() < block.offset_until else self._ahead).append(message)
            return bool(message.offset() >= block.offset_until - 1)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code
            # What lies between the last message and the end are markers of transactions.
            self._end = message.offset()
            return bool(self._end >= block.offset_until)
        if error.fatal() or not error.retriable():
            raise StoreError(f"Kafka did not hand out {_name(block)}: {error.str()}.")
        return False


def _as_fetched(wanted: OffsetRange, batch: list[Message]) -> Fetched:
    # Joined once into memory of the right size: a builder that grows copies everything several times.
    values = [message.value() or b"" for message in batch]
    limits = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, values), dtype=np.int64, count=len(values)), out=limits[1:])
    data = b"".join(values)
    return Fetched(
        wanted.topic,
        wanted.partition,
        np.array([message.offset() for message in batch], dtype=np.int64),
        np.array([message.timestamp()[1] for message in batch], dtype=np.int64),
        pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(values), [None, pa.py_buffer(limits), pa.py_buffer(data)]
        ),
    )


def _name(wanted: OffsetRange) -> str:
    return f"{wanted.topic}/{wanted.partition} from {wanted.offset_from} to {wanted.offset_until}"
