"""Decoded slots as typed columns, still in the survey's own names and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from ingest.alerts.columns import TextArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

MAX_TEXT_BYTES = 64
"""Longest identifier or name that is believed [byte]; ZTF's objectId has 12, the longest asteroid names about 25."""


@dataclass(frozen=True, eq=False, slots=True)
class Slots:
    """Rows of one table."""

    buf: Bytes
    first: Mapping[str, int]
    """The first slot of each column, `ingest.alerts.program.Table.slots`."""
    values: IntArray
    """(n, slots)."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def take(self, chosen: BoolArray) -> Slots:
        """Return some of the rows."""
        return self if chosen.all() else Slots(self.buf, self.first, self.values[chosen])

    def integers(self, name: str) -> IntArray:
        """Return an integer column; absent is `ingest.alerts.program.ABSENT_INT`."""
        return np.ascontiguousarray(self.values[:, self.first[name]])

    def floats(self, name: str) -> FloatArray:
        """Return a float column; absent is NaN."""
        return self.integers(name).view(np.float64)

    def letters(self, name: str) -> Bytes:
        """Return the bytes of texts of one letter; absent or longer is 0."""
        slot = self.first[name]
        single = self.values[:, slot + 1] == 1
        letters = np.zeros(len(self.values), dtype=np.uint8)
        letters[single] = self.buf[self.values[single, slot]]
        return letters

    def is_name(self, name: str) -> BoolArray:
        """Return which texts are printable ASCII of 1 to `MAX_TEXT_BYTES` bytes."""
        slot = self.first[name]
        return _are_names(self.buf, self.integers(name), np.ascontiguousarray(self.values[:, slot + 1]))

    def texts(self, name: str, chosen: BoolArray) -> TextArray:
        """Return a text column; rows that are not chosen, or hold no name, are empty."""
        slot = self.first[name]
        starts = self.integers(name)
        lengths = np.where(chosen & self.is_name(name), self.values[:, slot + 1], 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        data = _gather(self.buf, starts, lengths, int(offsets[-1]))
        column = pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
        texts: TextArray = column.to_numpy(zero_copy_only=False)
        return texts


@njit(nogil=True, cache=True)
def _are_names(buf: Bytes, starts: IntArray, lengths: IntArray) -> BoolArray:
    """Return which stretches of bytes are printable ASCII of a believable length."""
    good = np.zeros(len(starts), dtype=np.bool_)
    for i in range(len(starts)):
        if 0 < lengths[i] <= MAX_TEXT_BYTES:
            good[i] = True
            for k in range(lengths[i]):
                if buf[starts[i] + k] < 32 or buf[starts[i] + k] > 126:
                    good[i] = False
    return good


@njit(nogil=True, cache=True)
def _gather(buf: Bytes, starts: IntArray, lengths: IntArray, total: int) -> Bytes:
    """Copy stretches of bytes one after the other."""
    data = np.empty(total, dtype=np.uint8)
    at = 0
    for i in range(len(starts)):
        for k in range(lengths[i]):
            data[at + k] = buf[starts[i] + k]
        at += lengths[i]
    return data


@dataclass(frozen=True, eq=False, slots=True)
class Items:
    """Items of one array of all messages."""

    slots: Slots
    """(p,)."""
    offsets: IntArray
    """(n + 1,) items ``offsets[i]`` to ``offsets[i + 1]`` belong to message i."""


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """Messages that could be walked to their end."""

    row: IntArray
    """(n,) index of each message in its batch."""
    alerts: Slots
    """(n,)."""
    items: tuple[Items, ...]
    """One for each other table of the layout, in its order."""
