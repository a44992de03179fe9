"""When objects of the two surveys are looked at for being one: as they come, and all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import orjson

from compose.inbox import Inbox, Place
from graph.association import CELL_PIXELS, Associator, Links, cells_about
from graph.connection import Connection
from graph.model import Survey
from graph.topics import OBJECTS

BETWEEN_ROUNDS_S = 1.0
"""Least time between two rounds [s]: a link may wait, a notice may not."""

CELLS_AT_A_TIME = 20
"""Cells of one round: a tenth of a second."""

MESSAGES_AT_A_TIME = 500
"""Messages of which the cells are done before more are read: objects that come again and again are looked at once."""

DRAIN_WAIT_S = 0.2
"""Wait for messages where there is nothing else to do [s]: to join the group takes some seconds."""


class AssociationQueue:
    """Cells in which objects changed, associated a few at a time beside the correlation.

    It has a place of its own on ``heliograph.objects``, which moves on once the cells of all that was read are done: a
    kill loses none.
    """

    def __init__(self, connection: Connection, inbox: Inbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._associator = Associator(connection)
        self._inbox = inbox
        self._clock = clock
        self._pending: dict[int, None] = {}
        self._read: list[Place] = []
        self._next_round_s = -float("inf")
        self._has_both = False

    def work(self) -> int:
        """Associate some of the cells that wait, if it is time; return the number of links set or taken away."""
        if self._clock() < self._next_round_s:
            return 0
        n = self._round(0.0)
        self._next_round_s = self._clock() + BETWEEN_ROUNDS_S
        return n

    def drain(self, stop: Callable[[], bool]) -> None:
        """Work without pauses until the end of the topic, or until stopped."""
        while not stop() and not (self._inbox.is_at_end and not self._pending):
            self._round(DRAIN_WAIT_S)

    def close(self) -> None:
        """Leave the topic."""
        self._inbox.close()

    def _round(self, wait_s: float) -> int:
        # Asked even while cells wait: a reader that is silent for long loses its place in the group.
        self._inbox.hold(frozenset({OBJECTS} if self._pending else ()))
        for message in self._inbox.poll(MESSAGES_AT_A_TIME, 0.0 if self._pending else wait_s):
            self._pending.update(dict.fromkeys(_cells(message.value() or b"")))
            self._read.append((message.topic(), message.partition(), message.offset()))
        # An object is written before its message is sent, so cells that are dropped here come again with the other
        # survey's first object.
        self._has_both = self._has_both or (bool(self._pending) and has_both(self._connection))
        if not self._has_both:
            self._pending.clear()
        n = 0
        for cell in list(self._pending)[:CELLS_AT_A_TIME]:
            n += len(self._associator.associate(cell))
            del self._pending[cell]
        if not self._pending:
            self._inbox.done(self._read)
            self._read.clear()
        self._inbox.commit()
        return n


def _cells(body: bytes) -> list[int]:
    """Return the cells that a message is about; one that cannot be read is the coordinator's to refuse."""
    try:
        message = orjson.loads(body)
        ra_deg, dec_deg = (np.array(message[name], dtype=np.float64).ravel() for name in ("ra_deg", "dec_deg"))
        return [int(cell) for cell in cells_about(ra_deg, dec_deg)]
    except (KeyError, TypeError, ValueError):
        return []


def has_both(connection: Connection) -> bool:
    """Return whether both surveys have objects in the graph."""
    return all(connection.read("has_objects_of", prefix=f"{survey}:") for survey in Survey)


def associate_all(connection: Connection) -> Iterator[Links]:
    """Associate every cell in which ZTF has objects, yielding the links of each."""
    associator = Associator(connection)
    for row in connection.read("list_cells_of", prefix=f"{Survey.ZTF}:", cell_pixels=CELL_PIXELS):
        yield associator.associate(int(row["cell"]))
