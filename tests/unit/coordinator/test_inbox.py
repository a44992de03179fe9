"""Offsets are committed up to the oldest message that is not done, in whatever order messages are done."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from compose.coordination import Coordination
from compose.inbox import Inbox, OpenOffsets
from coordinator.forming import CoordinatorReport
from graph.errors import ConfigurationError, HeliographError, StoreError


@given(st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))), st.integers(0, 1000))
def test_nothing_is_committed_that_is_not_done(order: list[int], first: int) -> None:
    offsets, done = OpenOffsets(), set()
    assert offsets.committable() is None
    for place in range(len(order)):
        offsets.read(first + 2 * place)
    for place in order:
        offsets.done(first + 2 * place)
        done.add(place)
        oldest = next((one for one in range(len(order)) if one not in done), None)
        assert offsets.committable() == (first + 2 * len(order) - 1 if oldest is None else first + 2 * oldest)


class Message:
    def __init__(self, topic: str, offset: int, error: Any = None) -> None:
        self._topic, self._offset, self._error = topic, offset, error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return str(self._offset).encode()

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_800_000_000_000

    def error(self) -> Any:
        return self._error


class Consumer:
    """A broker with one partition a topic."""

    def __init__(self, **waiting: int) -> None:
        self.waiting = [Message(topic, offset) for topic, n in waiting.items() for offset in range(n)]
        self.waiting += [Message(topic, 0, KafkaError(KafkaError._PARTITION_EOF)) for topic in waiting]
        self.places = [TopicPartition(topic, 0) for topic in waiting]
        self.commits: list[dict[str, int]] = []
        self.paused: set[str] = set()
        self.refuses = 0

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any) -> None:
        self.topics, self.revoke, self.assign = topics, on_revoke, on_assign

    def consume(self, n: int, timeout: float) -> list[Message]:
        assert timeout >= 0.0
        ready = [message for message in self.waiting if message.topic() not in self.paused][:n]
        self.waiting = [message for message in self.waiting if message not in ready]
        return ready

    def assignment(self) -> list[TopicPartition]:
        return self.places

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        if self.refuses:
            self.refuses -= 1
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        self.commits.append({place.topic: place.offset for place in offsets})

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused |= {place.topic for place in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.paused -= {place.topic for place in places}

    def close(self) -> None:
        self.closed = True


def test_a_commit_that_fails_is_made_later_and_what_goes_to_another_reader_is_forgotten() -> None:
    consumer = Consumer(a=5)
    inbox = Inbox(consumer, ("a",))
    assert len(inbox.poll(5, 0.0)) == 5
    inbox.done([("a", 0, 0), ("a", 0, 1), ("a", 0, 3), ("b", 0, 9)])
    consumer.refuses = 1
    inbox.commit(now=True)
    inbox.commit(now=True)
    inbox.commit(now=True)
    assert consumer.commits == [{"a": 2}]
    inbox.done([("a", 0, 2)])
    consumer.revoke(consumer, consumer.places)
    assert consumer.commits[-1] == {"a": 4}
    inbox.done([("a", 0, 4)])
    inbox.close()
    assert len(consumer.commits) == 2


def test_a_held_topic_is_not_read_and_the_others_are() -> None:
    consumer = Consumer(a=3, b=3)
    inbox = Inbox(consumer, ("a", "b"))
    inbox.hold(frozenset({"a"}))
    assert {message.topic() for message in inbox.poll(10, 0.0)} == {"b"}
    inbox.hold(frozenset())
    assert {message.topic() for message in inbox.poll(10, 0.0)} == {"a"}
    assert inbox.is_at_end


class Work:
    """A coordinator that does one message a slice, the last one first, and fails now and then."""

    def __init__(self, failures: list[HeliographError]) -> None:
        self.failures = failures
        self.taken: list[Any] = []
        self.done: list[Any] = []
        self.told: list[Any] = []
        self.report = CoordinatorReport()

    @property
    def is_idle(self) -> bool:
        return not self.taken

    def take(self, topic: str, key: bytes, value: bytes, place: Any, received: Any) -> None:
        assert (topic, received.year, key, int(value)) == (place[0], 2027, b"key", place[2])
        self.taken.append(place)

    def step(self, *, rest: bool) -> None:
        assert not rest
        if self.failures and self.taken:
            raise self.failures.pop()
        if self.taken:
            self.done.append(self.taken.pop())
            self.told.append(self.done[-1])

    def finished(self) -> list[Any]:
        told, self.told = self.told, []
        return told

    def wait_s(self) -> float:
        return 0.0 if self.taken else float("inf")

    def full_topics(self) -> frozenset[str]:
        return frozenset()


def run(consumer: Consumer, work: Work) -> list[CoordinatorReport]:
    inbox, now = Inbox(consumer, ("a", "b")), [0.0]
    reports: list[CoordinatorReport] = []

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    loop = Coordination(work, inbox, lambda: None, max_messages=7, clock=clock)  # type: ignore[arg-type]
    try:
        loop.run(reports.append, once=True, stop=lambda: False)
    finally:
        inbox.close()
    return reports


def test_the_loop_does_everything_and_commits_everything() -> None:
    consumer, work = Consumer(a=30, b=11), Work([StoreError("away")] * 4)
    assert run(consumer, work)
    assert Counter(topic for topic, _, _ in work.done) == {"a": 30, "b": 11}
    last: dict[str, int] = {}
    for commit in consumer.commits:
        last |= commit
    assert last == {"a": 30, "b": 11}


@pytest.mark.parametrize(
    "failures", [[StoreError("away")] * 5, [ConfigurationError("wrong")]], ids=["often", "at once"]
)
def test_a_run_that_is_to_end_gives_up_and_commits_nothing_undone(failures: list[HeliographError]) -> None:
    consumer, work = Consumer(a=3, b=0), Work(failures)
    with pytest.raises(HeliographError):
        run(consumer, work)
    assert all(offset == 0 for commit in consumer.commits for offset in commit.values())
