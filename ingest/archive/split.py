"""Packets as two stretches of bytes, header and body, and the checksum of both: one pass over a batch, no copies.

A ZTF packet is a file of its own whose header, the schema, is the same for all packets of a writer up to the sync
marker. It is recognised by comparing bytes and stored once for many rows. What has no such header, as an LSST message,
is body alone. Header and body together are always the packet, byte for byte.
"""
# Unsigned 64-bit arithmetic needs every constant typed: mixed with signed integers it would become floating point.
# Compiled loops take arrays by position.
# ruff: noqa: PLR0917

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from graph.errors import WireError
from ingest.alerts.container import parse_header

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAX_HEADERS = 64
"""Headers remembered; a survey has a few writers at a time. What comes beyond is stored as body, which costs space."""

MAX_HEADER_BYTES = 1 << 18
"""Longest header stored apart [byte], ten times ZTF's; keeps what is remembered below 16 MiB."""

CHECKSUM_SEED = np.uint64(42)
"""Seed of the checksum: the one of Spark's function ``xxhash64``, so that Spark can check the archive by itself."""

INLINE_BYTES = 12
"""Longest value that Arrow keeps inside a view [byte]; Arrow columnar format 1.4, "Variable-size Binary View"."""

MAX_VIEW_OFFSET = 2**31 - 1
"""Largest place in a buffer that a view can name [byte]; the same section."""

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_U1, _U7, _U12, _U18 = np.uint64(1), np.uint64(7), np.uint64(12), np.uint64(18)
_U11, _U23, _U27, _U64 = np.uint64(11), np.uint64(23), np.uint64(27), np.uint64(64)
_U29, _U31, _U32, _U33 = np.uint64(29), np.uint64(31), np.uint64(32), np.uint64(33)
_BYTE_SHIFTS = tuple(np.uint64(8 * k) for k in range(8))
_STRIPE_BYTES = 32


@njit(nogil=True, cache=True, inline="always")
def _rotate(x: np.uint64, by: np.uint64) -> np.uint64:
    """Rotate 64 bits to the left."""
    return np.uint64((x << by) | (x >> (_U64 - by)))


@njit(nogil=True, cache=True, inline="always")
def _word(buf: Bytes, p: int, n: int) -> np.uint64:
    """Read n bytes as an integer, the lowest byte first."""
    value = np.uint64(0)
    for k in range(n):
        value |= np.uint64(buf[p + k]) << np.uint64(8 * k)
    return value


@njit(nogil=True, cache=True, inline="always")
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    """Mix eight bytes into a lane."""
    return np.uint64(_rotate(np.uint64(lane + word * _P2), _U31) * _P1)


@njit(nogil=True, cache=True, inline="always")
def _merge(total: np.uint64, lane: np.uint64) -> np.uint64:
    """Mix a lane into the sum."""
    return np.uint64((total ^ _round(np.uint64(0), lane)) * _P1 + _P4)


@njit(nogil=True, cache=True)
def xxh64(buf: Bytes, seed: np.uint64) -> np.uint64:
    """Return the XXH64 checksum of bytes.

    References
    ----------
    "XXH64 algorithm description", xxHash fast digest algorithm, version 0.2.0.
    """
    n = len(buf)
    p = 0
    if n >= _STRIPE_BYTES:
        a = np.uint64(seed + _P1 + _P2)
        b = np.uint64(seed + _P2)
        c = np.uint64(seed)
        d = np.uint64(seed - _P1)
        words = buf[: n // _STRIPE_BYTES * _STRIPE_BYTES].view(np.uint64)
        for k in range(0, len(words), 4):
            a = _round(a, words[k])
            b = _round(b, words[k + 1])
            c = _round(c, words[k + 2])
            d = _round(d, words[k + 3])
        p = 8 * len(words)
        total = np.uint64(_rotate(a, _U1) + _rotate(b, _U7) + _rotate(c, _U12) + _rotate(d, _U18))
        total = _merge(_merge(_merge(_merge(total, a), b), c), d)
    else:
        total = np.uint64(seed + _P5)
    total = np.uint64(total + np.uint64(n))
    while p + 8 <= n:
        total = np.uint64(_rotate(np.uint64(total ^ _round(np.uint64(0), _word(buf, p, 8))), _U27) * _P1 + _P4)
        p += 8
    if p + 4 <= n:
        total = np.uint64(_rotate(np.uint64(total ^ (_word(buf, p, 4) * _P1)), _U23) * _P2 + _P3)
        p += 4
    while p < n:
        total = np.uint64(_rotate(np.uint64(total ^ (np.uint64(buf[p]) * _P5)), _U11) * _P1)
        p += 1
    total = np.uint64((total ^ (total >> _U33)) * _P2)
    total = np.uint64((total ^ (total >> _U29)) * _P3)
    return np.uint64(total ^ (total >> _U32))


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
    seed: np.uint64,
    codes: IntArray,
    checksum: IntArray,
    done: int,
) -> int:
    """Find the header of each message and take its checksum, until a header comes that is not known.

    Parameters
    ----------
    buf : bytes of the batch.
    starts, ends : (n,) each message.
    headers, limits : known headers one after the other, and where each begins.
    codes : (n,) filled: number of the header, -1 for none; -2 on entry where none is to be looked for.
    checksum : (n,) filled.
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
        checksum[m] = np.int64(xxh64(buf[p:end], seed))
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
        checksum = np.empty(len(row), dtype=np.int64)
        if len(self._headers) >= MAX_HEADERS:
            self._headers.clear()
        done = 0
        while done < len(row):
            known = np.frombuffer(b"".join(self._headers), dtype=np.uint8)
            limits = np.cumsum([0, *map(len, self._headers)], dtype=np.int64)
            done = _split_batch(buf, starts, ends, known, limits, CHECKSUM_SEED, codes, checksum, done)
            if done < len(row) and not self._learn(buf[starts[done] : ends[done]]):
                codes[done] = -2
        lengths = np.array([*map(len, self._headers), 0], dtype=np.int64)
        dictionary = pa.array([*self._headers, b""], pa.binary())
        header = pa.DictionaryArray.from_arrays(
            np.where(codes < 0, len(lengths) - 1, codes).astype(np.int32), dictionary
        )
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


def checksums(packets: Sequence[bytes]) -> IntArray:
    """Return the checksum of each packet (n,), as `Split.checksum` has it."""
    taken = [xxh64(np.frombuffer(packet, dtype=np.uint8), CHECKSUM_SEED) for packet in packets]
    return np.array(taken, dtype=np.uint64).view(np.int64)
