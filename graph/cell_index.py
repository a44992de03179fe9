"""Which of many disjoint stretches of the sky holds a pixel: a binary search, then a look at a table."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.sky import MAX_ORDER, IntArray

BUCKETS_PER_CELL: Final = 4
"""Buckets of the table for each cell at least [1]: nine in ten of a gravitational-wave map then touch one cell only."""

FINEST_TABLE_ORDER: Final = 8
"""Finest HEALPix order of the table: 3 MB."""

WORTH_A_TABLE: Final = 15_000
"""Pixels looked up [1] after which the table is made: by then the searches have taken as long as it takes, 0.7 ms."""

_NOWHERE: Final = -1
"""Interval of a pixel that is in none."""

_AMBIGUOUS: Final = -2
"""What the table says of a bucket that is not all of one kind."""


class CellIndex:
    """Sorted, disjoint, half-open intervals of order-29 pixels, ready to be searched.

    Notes
    -----
    The table says for each cell of one coarse order which interval holds all of it. Only pixels in the others are
    searched for, so that a look-up costs one step for most of the sky, whatever the number of intervals.
    """

    def __init__(self, start: IntArray, stop: IntArray) -> None:
        """Take intervals (m,), first pixel and the one behind the last; m is 1 or more."""
        self.start, self.stop = start, stop
        self._looked_up = 0
        self._table: IntArray | None = None
        self._shift = 0

    def find(self, pixel: IntArray) -> IntArray:
        """Return the interval (n,) that holds each pixel (n,); -1 where there is none, as for negative pixels."""
        if self._table is None:
            self._looked_up += len(pixel)
            if self._looked_up < WORTH_A_TABLE:
                return self._search(pixel)
            self._shift, self._table = _table(self.start, self.stop)
        # A negative pixel stays negative: it is in the extra bucket at the end.
        found = self._table[np.maximum(pixel >> self._shift, -1)]
        rest = np.flatnonzero(found == _AMBIGUOUS)
        found[rest] = self._search(pixel[rest])
        return found

    def _search(self, pixel: IntArray) -> IntArray:
        found = np.searchsorted(self.start, pixel, side="right") - 1
        return np.where(pixel < self.stop[found], found, _NOWHERE)


def _table(start: IntArray, stop: IntArray) -> tuple[int, IntArray]:
    """Return bits of a pixel below its bucket, and what is said of each bucket; one more bucket is outside the sky."""
    order = 0
    while order < FINEST_TABLE_ORDER and 12 * 4**order < BUCKETS_PER_CELL * len(start):
        order += 1
    shift = 2 * (MAX_ORDER - order)
    table = np.full(12 * 4**order + 1, _NOWHERE, dtype=np.int64)
    # Buckets that an interval holds as a whole, then those in which one begins or ends.
    first, behind = -(-start >> shift), stop >> shift
    n_whole = np.maximum(behind - first, 0)
    before = np.cumsum(n_whole) - n_whole
    table[np.arange(n_whole.sum()) + np.repeat(first - before, n_whole)] = np.repeat(np.arange(len(start)), n_whole)
    table[start[(first << shift) != start] >> shift] = _AMBIGUOUS
    table[stop[(behind << shift) != stop] >> shift] = _AMBIGUOUS
    return shift, table
