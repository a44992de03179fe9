"""Fetches ranges of offsets from Kafka into Arrow buffers, in the process that decodes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
        self._last = -1

    def fetch(self, wanted: OffsetRange, max_messages: int) -> Iterator[Fetched]:
        """Yield the messages of a range in blocks of equal size, of at most ``max_messages``.

        Raises
        ------
        StoreError : Kafka cannot be reached, or it has not all of the range any more.
        """
        self._consumer.assign([TopicPartition(wanted.topic, wanted.partition, wanted.offset_from)])
        self._last = wanted.offset_from - 1
        try:
            at_end = False
            block = -(-len(wanted) // -(-len(wanted) // max_messages))
            while not at_end:
                batch, at_end = self._collect(wanted, block)
                if batch:
                    yield _as_fetched(wanted, batch)
        except KafkaException as error:
            raise StoreError(f"Kafka did not hand out {_name(wanted)}: {error}.") from error
        finally:
            self._consumer.unassign()

    def _collect(self, wanted: OffsetRange, max_messages: int) -> tuple[list[Message], bool]:
        """Return messages of the range and whether they are the last of it."""
        batch: list[Message] = []
        deadline = time.monotonic() + FETCH_TIMEOUT_S
        while len(batch) < max_messages:
            # Never more than the range can still hold: librdkafka would wait for them.
            last = batch[-1].offset() if batch else self._last
            room = min(max_messages - len(batch), wanted.offset_until - 1 - last)
            found = self._consumer.consume(room, timeout=POLL_S)
            if found:
                deadline = time.monotonic() + FETCH_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise StoreError(f"Kafka did not hand out {_name(wanted)} within {FETCH_TIMEOUT_S:g} s.")
            for message in found:
                if _take(message, wanted, batch):
                    return batch, True
        self._last = batch[-1].offset()
        return batch, False


def _take(message: Message, wanted: OffsetRange, batch: list[Message]) -> bool:
    """Add a message to the batch if it is of the range; return whether the range ends with it."""
    error = message.error()
    if error is None:
        if message.offset() < wanted.offset_until:
            batch.append(message)
        return bool(message.offset() >= wanted.offset_until - 1)
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code
        # What lies between the last message and the end are markers of transactions.
        return bool(message.offset() >= wanted.offset_until)
    if error.fatal() or not error.retriable():
        raise StoreError(f"Kafka did not hand out {_name(wanted)}: {error.str()}.")
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
