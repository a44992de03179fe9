"""Which of many disjoint stretches of the sky holds a pixel: a binary search, or a look at a table for many at once."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from graph.sky import MAX_ORDER, IntArray

BUCKETS_PER_CELL: Final = 4
"""Buckets of the table for each cell at least [1]: nine in ten of a gravitational-wave map then touch one cell only."""

FINEST_TABLE_ORDER: Final = 8
"""Finest HEALPix order of the table: 3 MB."""

MANY_PIXELS: Final = 2000
"""Pixels looked up at once from which the table is worth its millisecond."""

_AMBIGUOUS: Final = -2
"""What the table says of a bucket that touches several cells, or one cell and none."""


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

    def find(self, pixel: IntArray) -> IntArray:
        """Return the interval (n,) that holds each pixel (n,); -1 where there is none, as for negative pixels."""
        if len(pixel) < MANY_PIXELS:
            return self._search(pixel)
        shift, table = self._table
        # A negative pixel stays negative: it is in the extra bucket at the end.
        found = table[np.maximum(pixel >> shift, -1)]
        rest = np.flatnonzero(found == _AMBIGUOUS)
        found[rest] = self._search(pixel[rest])
        return found

    def _search(self, pixel: IntArray) -> IntArray:
        found = np.searchsorted(self.start, pixel, side="right") - 1
        return np.where(pixel < self.stop[found], found, -1) if len(found) else found

    @cached_property
    def _table(self) -> tuple[int, IntArray]:
        """Bits of a pixel below its bucket, and what is said of each bucket; one more bucket is outside the sky."""
        order = 0
        while order < FINEST_TABLE_ORDER and 12 * 4**order < BUCKETS_PER_CELL * len(self.start):
            order += 1
        shift = 2 * (MAX_ORDER - order)
        first = np.arange(12 * 4**order, dtype=np.int64) << shift
        begins, ends = self._search(first), self._search(first + (1 << shift) - 1)
        # Two ends in no interval may have one between them.
        none_between = np.searchsorted(self.start, first) == np.searchsorted(self.start, first + (1 << shift))
        table = np.where((begins == ends) & ((begins >= 0) | none_between), begins, _AMBIGUOUS)
        return shift, np.append(table, -1)
