"""Packets as two stretches of bytes, header and body, and the checksum of both: no copies.

A ZTF packet is a file of its own whose header, the schema, is the same for all packets of a writer up to the sync
marker. It is recognised by comparing bytes and stored once for many rows. What has no such header, as an LSST message,
is body alone. Header and body together are always the packet, byte for byte.
"""
# Compiled loops take arrays by position.
# ruff: noqa: PLR0917

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from xxhash import xxh64_intdigest

from graph.errors import WireError
from ingest.alerts.container import parse_header

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAX_HEADERS = 64
"""Headers remembered; a survey has a few writers at a time. What comes beyond is stored as body, which costs space."""

MAX_HEADER_BYTES = 1 << 18
"""Longest header stored apart [byte], ten times ZTF's; keeps what is remembered below 16 MiB."""

CHECKSUM_SEED = 42
"""Seed of the checksum: the one of Spark's function ``xxhash64``, so that Spark can check the archive by itself."""

INLINE_BYTES = 12
"""Longest value that Arrow keeps inside a view [byte]; Arrow columnar format 1.4, "Variable-size Binary View"."""

MAX_VIEW_OFFSET = 2**31 - 1
"""Largest place in a buffer that a view can name [byte]; the same section."""


@njit(nogil=True, cache=True)
def _begins_with(buf: Bytes, p: int, end: int, header: Bytes) -> bool:
    """Return whether a message begins with a header; looks at the result once in a kilobyte."""
    if len(header) > end - p:
        return False
    done = 0
    while done < len(header):
        x = header[done : done + 1024]
        y = buf[p + done : p + done + len(x)]
        differ = np.uint8(0)
        for k in range(len(x)):
            differ = np.uint8(differ | (x[k] ^ y[k]))
        if differ != 0:
            return False
        done += 1024
    return True


@njit(nogil=True, cache=True)
def _split_batch(
    buf: Bytes,
    starts: IntArray,
    ends: IntArray,
    headers: Bytes,
    limits: IntArray,
    codes: IntArray,
    done: int,
) -> int:
    """Find the header of each message, until a header comes that is not known.

    Parameters
    ----------
    buf : bytes of the batch.
    starts, ends : (n,) each message.
    headers, limits : known headers one after the other, and where each begins.
    codes : (n,) filled: number of the header, -1 for none; -2 on entry where none is to be looked for.
    done : messages that are done already.

    Returns
    -------
    Messages done; fewer than n when the next one has an unknown header.
    """
    known = len(limits) - 1
    likely = 0
    for m in range(done, len(starts)):
        p = starts[m]
        end = ends[m]
        code = -1
        if codes[m] != -2 and end - p > 4 and buf[p] == 79 and buf[p + 1] == 98 and buf[p + 2] == 106:
            for step in range(known):
                h = (likely + step) % known
                if _begins_with(buf, p, end, headers[limits[h] : limits[h + 1]]):
                    code = h
                    break
            if code < 0:
                return m
            likely = code
        codes[m] = code
    return len(starts)


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Packets in two columns; packet = header + body."""

    header: pa.DictionaryArray
    """(n,) everything before the sync marker of a container; empty when there is none."""
    body: pa.Array
    """(n,) the rest: a binary view into the messages' own buffer, or a copy of it."""
    checksum: IntArray
    """(n,) XXH64 of the whole packet with `CHECKSUM_SEED`, its 64 bits read as a signed integer."""
    size_bytes: IntArray
    """(n,) length of the whole packet."""


class PacketSplitter:
    """Splits batches; remembers the headers that it has met."""

    def __init__(self) -> None:
        self._headers: list[bytes] = []

    def split(self, messages: pa.Array, row: IntArray) -> Split:
        """Split some messages of a batch.

        Parameters
        ----------
        messages : (n,) binary, large_binary; read where it lies.
        row : (m,) which of them, in the order of the result.
        """
        starts, ends, data = _places(messages, row)
        buf = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
        buf.flags.writeable = False
        codes = np.full(len(row), -1, dtype=np.int64)
        if len(self._headers) >= MAX_HEADERS:
            self._headers.clear()
        done = 0
        while done < len(row):
            known = np.frombuffer(b"".join(self._headers), dtype=np.uint8)
            limits = np.cumsum([0, *map(len, self._headers)], dtype=np.int64)
            done = _split_batch(buf, starts, ends, known, limits, codes, done)
            if done < len(row) and not self._learn(buf[starts[done] : ends[done]]):
                codes[done] = -2
        lengths = np.array([*map(len, self._headers), 0], dtype=np.int64)
        dictionary = pa.array([*self._headers, b""], pa.binary())
        header = pa.DictionaryArray.from_arrays(
            np.where(codes < 0, len(lengths) - 1, codes).astype(np.int32), dictionary
        )
        whole = memoryview(data) if data is not None else memoryview(b"")
        places = zip(starts.tolist(), ends.tolist(), strict=True)
        checksum = checksums([whole[start:end] for start, end in places])
        return Split(header, _body(buf, data, starts + lengths[codes], ends), checksum, ends - starts)

    def _learn(self, message: Bytes) -> bool:
        """Remember a new header; return False for what cannot be read or is too much."""
        try:
            length = parse_header(message).length
        except WireError:
            return False
        if len(self._headers) >= MAX_HEADERS or length > MAX_HEADER_BYTES:
            return False
        self._headers.append(message[:length].tobytes())
        return True


def _places(messages: pa.Array, row: IntArray) -> tuple[IntArray, IntArray, pa.Buffer | None]:
    """Return where the messages of some rows begin and end in their buffer."""
    if not (pa.types.is_binary(messages.type) or pa.types.is_large_binary(messages.type)):
        messages = messages.cast(pa.large_binary())
    _, limits, data = messages.buffers()
    kind = np.int64 if pa.types.is_large_binary(messages.type) else np.int32
    offsets = np.frombuffer(limits, dtype=kind) if limits else np.zeros(1, dtype=kind)
    first = row + messages.offset
    return offsets[first].astype(np.int64), offsets[first + 1].astype(np.int64), data


def _body(buf: Bytes, data: pa.Buffer | None, starts: IntArray, ends: IntArray) -> pa.Array:
    """Return stretches of a buffer as one array, without a copy where Arrow's views can name them."""
    lengths = ends - starts
    if data is None or not len(starts) or lengths.min() <= INLINE_BYTES or ends.max() > MAX_VIEW_OFFSET:
        return pa.array([buf[p:end].tobytes() for p, end in zip(starts, ends, strict=True)], pa.large_binary())
    views = np.empty((len(starts), 4), dtype=np.int32)
    views[:, 0] = lengths
    # The first four bytes of the value stand in the view, for comparisons.
    views[:, 1] = buf[starts[:, None] + np.arange(4)].view(np.int32)[:, 0]
    views[:, 2] = 0
    views[:, 3] = starts
    return pa.Array.from_buffers(pa.binary_view(), len(starts), [None, pa.py_buffer(views), data])


def join_packets(header: pa.Array | pa.ChunkedArray, body: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """Return packets (n,) as they were received; what is null counts as empty."""
    return [(h or b"") + (b or b"") for h, b in zip(header.to_pylist(), body.to_pylist(), strict=True)]


def checksums(packets: Sequence[bytes | memoryview]) -> IntArray:
    """Return the checksum of each packet (n,), as `Split.checksum` has it."""
    taken = [xxh64_intdigest(packet, seed=CHECKSUM_SEED) for packet in packets]
    return np.array(taken, dtype=np.uint64).view(np.int64)
