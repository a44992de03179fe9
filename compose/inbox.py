"""Reading from Kafka where messages are not done in the order in which they came.

The offset of a partition is committed up to the oldest message that is not done, so after a kill everything behind
which work was open comes again, and some that was done.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from graph.bus import ABSENT_TOPIC
from graph.errors import StoreError

logger = logging.getLogger(__name__)

COMMIT_EVERY_S = 0.5
"""Least time between two commits [s]: what a kill may repeat."""

Place = tuple[str, int, int]
"""Topic, partition and offset of a message."""


class OpenOffsets:
    """Which messages of one partition are not done."""

    def __init__(self) -> None:
        self._read: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None
        self.committed: int | None = None

    def read(self, offset: int) -> None:
        """Note that a message was read; offsets ascend."""
        self._read.append(offset)
        self._next = offset + 1

    def done(self, offset: int) -> None:
        """Note that a message is done; one that was not read here is passed over."""
        if self._read and offset >= self._read[0]:
            self._done.add(offset)

    def committable(self) -> int | None:
        """Return the offset of the oldest message that is not done, or of the next one; None before the first."""
        while self._read and self._read[0] in self._done:
            self._done.discard(self._read.popleft())
        return self._read[0] if self._read else self._next


class Inbox:
    """Messages of some topics, each to be reported as done."""

    def __init__(
        self,
        consumer: Any,  # noqa: ANN401 - confluent_kafka's Consumer is untyped
        topics: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Subscribe.

        Parameters
        ----------
        consumer : with `graph.bus.CONSUMER_OPTIONS`; closed by `close`.
        """
        self._consumer = consumer
        self._clock = clock
        self._open: dict[tuple[str, int], OpenOffsets] = {}
        self._at_end: set[tuple[str, int]] = set()
        self._held: frozenset[str] = frozenset()
        self._commit_at_s = clock() + COMMIT_EVERY_S
        consumer.subscribe(list(topics), on_assign=self._forget, on_revoke=self._give_up)

    @property
    def is_at_end(self) -> bool:
        """Whether all that lay on the topics has been read."""
        assigned = {(place.topic, place.partition) for place in self._consumer.assignment()}
        return bool(assigned) and assigned <= self._at_end

    def poll(self, max_messages: int, wait_s: float) -> list[Message]:
        """Return messages that are there, waiting so long for the first [s].

        Raises
        ------
        StoreError : the broker reports an error that librdkafka does not mend by itself.
        """
        messages: list[Message] = []
        # To ask for many at once would wait for all of them.
        found = self._consumer.consume(1, timeout=wait_s)
        if found and max_messages > 1:
            found += self._consumer.consume(max_messages - 1, timeout=0.0)
        for message in found:
            error, partition = message.error(), (message.topic(), message.partition())
            if error is None:
                self._at_end.discard(partition)
                self._open.setdefault(partition, OpenOffsets()).read(message.offset())
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's public code
                self._at_end.add(partition)
            elif error.code() in ABSENT_TOPIC:
                logger.warning("topic %s is passed over: %s", message.topic(), error.str())
            elif error.fatal() or not error.retriable():
                raise StoreError(f"Kafka reports an error: {error.str()}.")
        return messages

    def done(self, places: Iterable[Place]) -> None:
        """Note that messages are done."""
        for topic, partition, offset in places:
            if (open_offsets := self._open.get((topic, partition))) is not None:
                open_offsets.done(offset)

    def commit(self, *, now: bool = False) -> None:
        """Commit what is done, if it is time; what fails is tried again the next time.

        Parameters
        ----------
        now : True does not wait for `COMMIT_EVERY_S`.
        """
        if not now and self._clock() < self._commit_at_s:
            return
        self._commit_at_s = self._clock() + COMMIT_EVERY_S
        offsets = []
        for (topic, partition), open_offsets in self._open.items():
            offset = open_offsets.committable()
            if offset is not None and offset != open_offsets.committed:
                offsets.append(TopicPartition(topic, partition, offset))
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            logger.warning("Kafka did not take offsets: %s", error)
            return
        for place in offsets:
            self._open[place.topic, place.partition].committed = place.offset

    def hold(self, topics: frozenset[str]) -> None:
        """Read no more messages of these topics for now, and those of the others again."""
        if topics == self._held:
            return
        for topic in topics ^ self._held:
            places = [place for place in self._consumer.assignment() if place.topic == topic]
            if places:
                (self._consumer.pause if topic in topics else self._consumer.resume)(places)
        self._held = topics

    def close(self) -> None:
        """Commit what is done and leave the group."""
        self.commit(now=True)
        self._consumer.close()

    def _forget(self, _: object, places: list[TopicPartition]) -> None:
        """Begin anew with partitions: they are read from what was committed, and none is held."""
        self._held = frozenset()
        for place in places:
            self._open.pop((place.topic, place.partition), None)
            self._at_end.discard((place.topic, place.partition))

    def _give_up(self, consumer: object, places: list[TopicPartition]) -> None:
        """Commit what is done before partitions go to another reader."""
        self.commit(now=True)
        self._forget(consumer, places)
