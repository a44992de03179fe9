"""Framing of a batch: which writer made each message, and where its datum lies.

A header of 25 kB that was seen before is recognised by comparing its bytes, which costs two microseconds; only a new
one is parsed, in `ingest.alerts.container`.
"""
# Compiled loops take arrays by position and leave as soon as a bound fails.
# ruff: noqa: C901, PLR0911, PLR0917

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingest.alerts.kernel import read_varint
from ingest.alerts.status import Status

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]

SYNC_BYTES = 16
"""Length of the marker between the blocks of a container [byte]; Avro 1.12, "Object Container Files"."""

FRAME_BYTES = 5
"""Length of the zero byte and the schema id before a datum [byte]; the Confluent wire format that LSST uses."""

_COMPARED_AT_ONCE = 1024
"""Bytes of two headers compared between looks at the result [byte]; long enough for the compiler to vectorise."""

_TRUNCATED = int(Status.TRUNCATED)
_BAD_LENGTH = int(Status.BAD_LENGTH)
_TRAILING = int(Status.TRAILING)
_LOST_SYNC = int(Status.LOST_SYNC)
_NOT_ONE_RECORD = int(Status.NOT_ONE_RECORD)
_TOO_LARGE = int(Status.TOO_LARGE)
_NOT_AVRO = int(Status.NOT_AVRO)
_NEW_HEADER = int(Status.NEW_HEADER)
_NEW_ID = int(Status.NEW_ID)


@njit(nogil=True, cache=True)
def frame_block(buf: Bytes, p: int, end: int) -> tuple[int, int]:
    """Check that a sync marker and one block of one record fill the rest; return the datum, or a status first.

    Parameters
    ----------
    buf : bytes of the batch.
    p, end : the sync marker that ends the container's header begins at p, the message ends at end.
    """
    if end - p < SYNC_BYTES:
        return _TRUNCATED, 0
    sync = p
    count, p = read_varint(buf, p + SYNC_BYTES, end)
    if p < 0:
        return p, 0
    size, p = read_varint(buf, p, end)
    if p < 0:
        return p, 0
    if count != 1:
        return _NOT_ONE_RECORD, 0
    if size < 0:
        return _BAD_LENGTH, 0
    if size > end - p - SYNC_BYTES:
        return _TRUNCATED, 0
    stop = p + size
    for k in range(SYNC_BYTES):
        if buf[stop + k] != buf[sync + k]:
            return _LOST_SYNC, 0
    if stop + SYNC_BYTES != end:
        return _TRAILING, 0
    return p, stop


@njit(nogil=True, cache=True)
def _same(left: Bytes, right: Bytes) -> bool:
    """Return whether two stretches of bytes of the same length are equal."""
    done = 0
    while done < len(left):
        # Slices and one-byte arithmetic let the compiler compare 32 bytes at once.
        x = left[done : done + _COMPARED_AT_ONCE]
        y = right[done : done + _COMPARED_AT_ONCE]
        differ = np.uint8(0)
        for k in range(len(x)):
            differ = np.uint8(differ | (x[k] ^ y[k]))
        if differ != 0:
            return False
        done += _COMPARED_AT_ONCE
    return True


@njit(nogil=True, cache=True)
def _find_header(buf: Bytes, p: int, end: int, headers: Bytes, limits: IntArray, likely: int) -> int:
    """Return the number of the known header that the message begins with, -1 for none."""
    known = len(limits) - 1
    for step in range(known):
        h = (likely + step) % known
        size = limits[h + 1] - limits[h]
        if size <= end - p and _same(buf[p : p + size], headers[limits[h] : limits[h + 1]]):
            return h
    return -1


@njit(nogil=True, cache=True)
def frame_batch(
    buf: Bytes,
    starts: IntArray,
    ends: IntArray,
    max_bytes: int,
    headers: Bytes,
    limits: IntArray,
    ids: IntArray,
    entries: IntArray,
    status: IntArray,
) -> None:
    """Find each message's entry and datum; narrow ``starts`` and ``ends`` to the datum.

    Parameters
    ----------
    buf : bytes of the batch.
    starts, ends : (n,) each message; narrowed where the status is 0.
    max_bytes : messages of more bytes are refused.
    headers, limits : known container headers up to their sync markers, one after the other, and where each begins.
    ids : known schema ids.
    entries : (n,) filled: number of the header, or number of headers + number of the id.
    status : (n,) filled; messages whose status is not 0 on entry are passed over.
    """
    likely = 0
    for m in range(len(starts)):
        if status[m] != 0:
            continue
        p = starts[m]
        end = ends[m]
        if end - p > max_bytes:
            status[m] = _TOO_LARGE
        elif end - p < FRAME_BYTES:
            status[m] = _TRUNCATED
        elif buf[p] == 0:
            wanted = (
                np.int64(buf[p + 1]) << 24
                | np.int64(buf[p + 2]) << 16
                | np.int64(buf[p + 3]) << 8
                | np.int64(buf[p + 4])
            )
            status[m] = _NEW_ID
            for k in range(len(ids)):
                if ids[k] == wanted:
                    entries[m], starts[m], status[m] = len(limits) - 1 + k, p + FRAME_BYTES, 0
        elif buf[p] == 79 and buf[p + 1] == 98 and buf[p + 2] == 106 and buf[p + 3] == 1:
            h = _find_header(buf, p, end, headers, limits, likely)
            if h < 0:
                status[m] = _NEW_HEADER
                continue
            likely = h
            entries[m] = h
            begin, stop = frame_block(buf, p + limits[h + 1] - limits[h], end)
            if begin < 0:
                status[m] = begin
            else:
                starts[m] = begin
                ends[m] = stop
        else:
            status[m] = _NOT_AVRO
