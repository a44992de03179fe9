"""News from the bus for any number of readers, none of whom can hold up the others.

One thread reads the topics and gives each message to everybody who listens. A reader who takes nothing is dropped once
more waits for him than allowed. Every message carries the place in all topics behind it, so a reader who comes back
says where he was and gets what he missed, as long as it is kept; else he is told to look at everything anew.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from graph.errors import HeliographError, StoreError
from graph.model import ScienceCase
from graph.topics import JOINT_EVENTS, RETRACTIONS, list_topic

logger = logging.getLogger(__name__)

KINDS: Final[Mapping[str, str]] = {
    JOINT_EVENTS: "joint-event",
    RETRACTIONS: "retraction",
    **{list_topic(case): "list" for case in ScienceCase},
}
"""Topics that are told of, and what an event of the stream is called."""

MAX_WAITING: Final = 256
"""Messages that may wait for one reader: a burst of retractions of a large event, a few megabytes at most."""

MAX_KEPT: Final = 2000
"""Messages kept for readers who come back: a night's, where no flood came."""

MAX_KEPT_BYTES: Final = 16 << 20
"""Their size together [bytes]; a list of 50 targets has some 50 kB."""

MAX_MARK_CHARACTERS: Final = 4096
"""Longest place in the topics that is read [characters]; ten partitions of each topic take 300."""

POLL_S: Final = 0.5
"""Longest wait for a message [s]: how soon the thread sees that it is to end."""

FIRST_PAUSE_S: Final = 1.0
"""Wait after the source failed [s]; each further failure in a row doubles it."""

LONGEST_PAUSE_S: Final = 30.0
"""Longest wait between two attempts [s]: the page asks every 5 s anyway."""

RESET: Final = b"event: reset\ndata: {}\n\n"
"""Tells a reader that something he missed is not kept: he must read all anew."""

Place = tuple[str, int]
"""Topic and partition."""

_MARK: Final = re.compile(r"[a-z.-]{1,40}=[0-9,]{0,2000}(?:;[a-z.-]{1,40}=[0-9,]{0,2000}){0,31}")
"""A place in all topics as text: ``topic=offset,offset;topic=offset``, one offset for each partition or none."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
"""What ends a line of server-sent events."""

_PREFIX: Final = "heliograph."
"""What all topics begin with, left out in the text."""


@dataclass(frozen=True, slots=True)
class News:
    """One message of a topic that is told of."""

    topic: str
    partition: int
    offset: int
    value: bytes
    """JSON."""


class NewsSource(Protocol):
    """Reads the topics of `KINDS` from a little before their end; belongs to one thread."""

    def poll(self, timeout_s: float) -> Sequence[News]:
        """Return messages that have come, of each partition in order.

        Raises
        ------
        HeliographError : the bus cannot be reached.
        """

    @property
    def is_caught_up(self) -> bool:
        """Whether all that lay on the topics when the source was opened has been returned."""

    def close(self) -> None:
        """Leave."""


def write_mark(positions: Mapping[Place, int]) -> str:
    """Return a place in all topics as text.

    Parameters
    ----------
    positions : for each partition the offset that is next.
    """
    by_topic: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in positions.items():
        by_topic.setdefault(topic.removeprefix(_PREFIX), {})[partition] = offset
    return ";".join(
        f"{topic}={','.join(str(offsets.get(place, '')) for place in range(max(offsets) + 1))}"
        for topic, offsets in sorted(by_topic.items())
    )


def read_mark(text: str) -> dict[Place, int] | None:
    """Return the place that a text means, None where `write_mark` did not write it."""
    if len(text) > MAX_MARK_CHARACTERS or (text and not _MARK.fullmatch(text)):
        return None
    positions: dict[Place, int] = {}
    for part in filter(None, text.split(";")):
        topic, _, offsets = part.partition("=")
        for partition, offset in enumerate(offsets.split(",")):
            if len(offset) > len(str(2**63)):
                return None
            if offset:
                positions[_PREFIX + topic, partition] = int(offset)
    return positions


def to_frame(kind: str, mark: str, value: bytes) -> bytes:
    """Return a message as an event of the stream.

    Raises
    ------
    UnicodeDecodeError : it is not text.
    """
    # What other separators of lines there are in Unicode stays as it is: the stream knows these three only.
    data = "".join(f"data: {line}\n" for line in _LINE_END.split(value.decode("utf-8")))
    return f"id: {mark}\nevent: {kind}\n{data}\n".encode()


class Reader:
    """What waits for one reader; filled by the thread of the news, emptied by the one that writes to him."""

    def __init__(self, wake: Callable[[], None], wanted: Mapping[Place, int] | None) -> None:
        self._wake = wake
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self.wanted = wanted
        """For each partition the first offset that he has not had; None for one who wants only what is new."""
        self.is_dropped = False
        """Whether too much waited for him."""
        self.is_over = False
        """Whether nothing more will come."""

    def put(self, frame: bytes) -> None:
        """Let a message wait; with too many waiting the reader is dropped and they are let go."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self.is_dropped = True
                self._waiting.clear()
            if not self.is_dropped:
                self._waiting.append(frame)
        self._wake()

    def take(self) -> bytes:
        """Return all that waits."""
        with self._lock:
            frames = b"".join(self._waiting)
            self._waiting.clear()
        return frames

    def end(self) -> None:
        """Tell that nothing more will come."""
        self.is_over = True
        self._wake()


class NewsHub:
    """Gives what a source tells to all who listen; safe for use from several threads."""

    def __init__(self, open_source: Callable[[], NewsSource], max_readers: int) -> None:
        self._open_source = open_source
        self._max_readers = max_readers
        self._lock = threading.Lock()
        self._readers: list[Reader] = []
        self._kept: deque[tuple[Place, int, bytes]] = deque()
        self._kept_bytes = 0
        self._next: dict[Place, int] = {}
        self._first: dict[Place, int] = {}
        self._is_ready = threading.Event()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read the topics, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and end every stream; nobody can listen any more."""
        self._is_over.set()
        self._is_ready.set()
        with self._lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.end()
        if self._thread is not None:
            self._thread.join(timeout=LONGEST_PAUSE_S)

    def wait_ready(self, timeout_s: float) -> None:
        """Return once the past is known, or after a time [s]."""
        self._is_ready.wait(timeout_s)

    def attach(self, mark: str | None, wake: Callable[[], None]) -> Reader:
        """Let somebody listen.

        Parameters
        ----------
        mark : where he was, from the last message that he got; None for one who is new.
        wake : called, from another thread, when something waits for him.

        Raises
        ------
        StoreError : as many listen as may, or the service ends.
        """
        wanted = None if mark is None else read_mark(mark)
        with self._lock:
            if self._is_over.is_set() or len(self._readers) >= self._max_readers:
                raise StoreError("As many readers listen to the stream as it can serve.")
            reader = Reader(wake, wanted)
            reader.put(f"id: {write_mark(self._next)}\nretry: 3000\n\n".encode())
            if mark is not None and (wanted is None or self._is_lost(wanted)):
                reader.wanted = None
                reader.put(RESET)
            elif wanted is not None:
                missed = [frame for place, offset, frame in self._kept if offset >= wanted.get(place, 0)]
                if len(missed) >= MAX_WAITING - 1:
                    missed = [RESET]
                for frame in missed:
                    reader.put(frame)
            self._readers.append(reader)
        return reader

    def detach(self, reader: Reader) -> None:
        """Forget a reader."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)

    def _is_lost(self, wanted: Mapping[Place, int]) -> bool:
        """Return whether something after a place is not kept any more, or the topics are not those of then."""
        missed = any(wanted.get(place, 0) < first for place, first in self._first.items())
        return missed or any(offset > self._next.get(place, offset) for place, offset in wanted.items())

    def _run(self) -> None:
        """Read until told to stop; after a failure begin again where it was."""
        failures = 0
        while not self._is_over.is_set():
            try:
                source = self._open_source()
                try:
                    while not self._is_over.is_set():
                        for news in source.poll(POLL_S):
                            self._tell(news)
                        failures = 0
                        if source.is_caught_up:
                            self._is_ready.set()
                finally:
                    source.close()
            except HeliographError as error:
                failures += 1
                logger.log(logging.WARNING if failures == 1 else logging.DEBUG, "the stream of news waits: %s", error)
                self._is_over.wait(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))

    def _tell(self, news: News) -> None:
        """Keep a message and give it to those who want it; one that was told before is passed over."""
        place, kind = (news.topic, news.partition), KINDS.get(news.topic)
        with self._lock:
            if kind is None or news.offset < self._next.get(place, 0):
                return
            self._first.setdefault(place, news.offset)
            self._next[place] = news.offset + 1
            try:
                frame = to_frame(kind, write_mark(self._next), news.value)
            except UnicodeDecodeError:
                logger.warning("%s/%d/%d is no text and was not told", *place, news.offset)
                return
            self._kept.append((place, news.offset, frame))
            self._kept_bytes += len(frame)
            while len(self._kept) > MAX_KEPT or self._kept_bytes > MAX_KEPT_BYTES:
                old, offset, gone = self._kept.popleft()
                self._kept_bytes -= len(gone)
                self._first[old] = offset + 1
            # What lay there when the service began is news only for one who comes back to it.
            is_new = self._is_ready.is_set()
            for reader in self._readers:
                wanted = reader.wanted
                if is_new if wanted is None else news.offset >= wanted.get(place, 0):
                    reader.put(frame)
