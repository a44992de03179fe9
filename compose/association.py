"""When objects of the two surveys are looked at for being one: as they come, and all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import orjson

from graph.association import CELL_ORDER, Associator, Links
from graph.connection import Connection
from graph.model import Survey
from graph.sky import MAX_ORDER, ang2pix

CELL_PIXELS = 4 ** (MAX_ORDER - CELL_ORDER)
"""Order-29 pixels in a cell of `graph.association.CELL_ORDER`."""

BETWEEN_LOOKS_S = 5.0
"""Least time between two rounds [s]: a link may wait, a notice may not."""

CELLS_AT_A_TIME = 20
"""Cells of one round: some 40 ms of the graph's time."""

LOOK_FOR_SURVEYS_S = 60.0
"""Time between two looks whether both surveys have objects at all [s]; most installations listen to one only."""


class AssociationQueue:
    """Cells in which objects changed, associated a few at a time beside the correlation."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._associator = Associator(connection)
        self._clock = clock
        self._pending: dict[int, None] = {}
        self._next_round = self._next_look = -float("inf")
        self._has_both = False

    def take(self, body: bytes) -> None:
        """Take a message of ``heliograph.objects``; one that cannot be read is the coordinator's to refuse."""
        try:
            message = orjson.loads(body)
            ra_deg, dec_deg = (np.array(message[name], dtype=np.float64) for name in ("ra_deg", "dec_deg"))
            cells = np.unique(ang2pix(ra_deg, dec_deg)) // CELL_PIXELS
        except (KeyError, TypeError, ValueError):
            return
        self._pending.update(dict.fromkeys(cells[cells >= 0].tolist()))

    def work(self) -> int:
        """Associate some of the cells that wait, if it is time; return the number of pairs set."""
        now = self._clock()
        if not self._pending or now < self._next_round:
            return 0
        if not self._has_both and now >= self._next_look:
            self._has_both = has_both(self._connection)
            self._next_look = now + LOOK_FOR_SURVEYS_S
        if not self._has_both:
            self._pending.clear()
            return 0
        chosen = list(self._pending)[:CELLS_AT_A_TIME]
        n = sum(len(self._associator.associate(cell)) for cell in chosen)
        for cell in chosen:
            del self._pending[cell]
        self._next_round = self._clock() + BETWEEN_LOOKS_S
        return n


def has_both(connection: Connection) -> bool:
    """Return whether both surveys have objects in the graph."""
    return all(connection.read("has_objects_of", prefix=f"{survey}:") for survey in Survey)


def associate_all(connection: Connection) -> Iterator[Links]:
    """Associate every cell in which LSST has objects, yielding the links of each."""
    associator = Associator(connection)
    for row in connection.read("list_cells_of", prefix=f"{Survey.LSST}:", cell_pixels=CELL_PIXELS):
        yield associator.associate(int(row["cell"]))
