"""Packets in Arrow columns to Avro containers of one packet each, as a survey sends them.

Every column is encoded by itself in one compiled pass; records and arrays are then put together from the stretches of
bytes below them. All fields are unions of null and their type, since a recording no longer says which were not.
"""
# Compiled loops take arrays by position.
# ruff: noqa: PLR0917

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from graph.model import Survey
from ingest.alerts.container import MAGIC, write_varint
from ingest.alerts.framing import SYNC_BYTES
from ingest.recorded.columns import valid_of

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

_MAX_VARINT_BYTES = 10
"""Longest zigzag varint of 64 bits [byte]; Avro 1.12, "Primitive Types"."""

_SHORT_BYTES = 32
"""Stretches up to this length are copied byte by byte, which is quicker than a call [byte]."""

_NULL, _VALUE = 0, 2  # Zigzag varints of the branches 0 and 1 of a union.


@dataclass(frozen=True, eq=False, slots=True)
class _Encoded:
    """n encoded values, back to back."""

    data: Bytes
    offsets: IntArray
    """(n + 1,) value i is ``data[offsets[i]:offsets[i + 1]]``."""


class PacketWriter:
    """Writes packets of one type, each as a container of its own."""

    def __init__(self, survey: Survey, packet_type: pa.StructType) -> None:
        declared = _declare(packet_type, "alert", survey.value)
        schema = json.dumps(declared, separators=(",", ":")).encode()
        # The same schema gives the same bytes; the marker only has to be unlike the data.
        self._sync = hashlib.sha256(schema).digest()[:SYNC_BYTES]
        pairs = ((b"avro.codec", b"null"), (b"avro.schema", schema))
        text = b"".join(write_varint(len(part)) + part for pair in pairs for part in pair)
        self._opening = MAGIC + write_varint(len(pairs)) + text + b"\x00" + self._sync + write_varint(1)

    def write(self, packets: pa.StructArray) -> Iterator[bytes]:
        """Yield the packets; their type must be that of the writer."""
        encoded = _encode_records(packets, is_optional=False)
        data, offsets = encoded.data.data, encoded.offsets.tolist()
        for start, stop in pairwise(offsets):
            yield b"".join((self._opening, write_varint(stop - start), data[start:stop], self._sync))


def _declare(found: pa.DataType, name: str, namespace: str) -> Any:  # noqa: ANN401 - an Avro type is a tree of JSON
    """Return the Avro type of an Arrow type."""
    if pa.types.is_struct(found):
        below = f"{namespace}.{name}"
        fields = [
            {"name": field.name, "type": ["null", _declare(field.type, field.name, below)], "default": None}
            for field in found
        ]
        return {"type": "record", "name": name, "namespace": namespace, "fields": fields}
    if pa.types.is_large_list(found):
        item = _declare(found.value_type, name, namespace)
        return {"type": "array", "items": item if pa.types.is_struct(found.value_type) else ["null", item]}
    return {
        pa.bool_(): "boolean",
        pa.int64(): "long",
        pa.float32(): "float",
        pa.float64(): "double",
        pa.large_string(): "string",
        pa.large_binary(): "bytes",
    }[found]


def _encode(array: pa.Array) -> _Encoded:
    """Encode a column of optional values."""
    if pa.types.is_struct(array.type):
        return _encode_records(array, is_optional=True)
    valid = valid_of(array)
    n = len(array)
    if pa.types.is_large_list(array.type):
        limits = array.offsets.to_numpy().astype(np.int64)
        is_record = pa.types.is_struct(array.type.value_type)
        items = _encode_records(array.values, is_optional=False) if is_record else _encode(array.values)
        places = items.offsets[limits]
        return _join(items.data, places[:-1], places[1:], np.diff(limits), valid, is_array=True)
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        _, where, data = array.buffers()
        limits = np.frombuffer(where, dtype=np.int64)[array.offset : array.offset + n + 1] if n else np.zeros(1, int)
        pool = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
        return _join(pool, limits[:-1], limits[1:], np.diff(limits), valid, is_array=False)
    if pa.types.is_int64(array.type):
        out = np.empty(n * (_MAX_VARINT_BYTES + 1), dtype=np.uint8)
        offsets = _put_integers(array.fill_null(0).to_numpy(zero_copy_only=False), valid, out)
    else:
        absent = False if pa.types.is_boolean(array.type) else 0.0
        values = np.ascontiguousarray(array.fill_null(absent).to_numpy(zero_copy_only=False))
        out = np.empty(n * (values.itemsize + 1), dtype=np.uint8)
        offsets = _put_fixed(values.view(np.uint8), values.itemsize, valid, out)
    return _Encoded(out[: offsets[-1]], offsets)


def _join(
    pool: Bytes, starts: IntArray, stops: IntArray, counts: IntArray, valid: BoolArray, *, is_array: bool
) -> _Encoded:
    """Encode a column of stretches of bytes."""
    total = int((stops - starts)[valid].sum())
    out = np.empty(total + len(valid) * (_MAX_VARINT_BYTES + 2), dtype=np.uint8)
    # Arrow's buffers may not be written to, which is a type of its own to the compiler.
    pool = pool.view()
    pool.flags.writeable = False
    offsets = _put_stretches(pool, starts.astype(np.int64), stops.astype(np.int64), counts, valid, is_array, out)
    return _Encoded(out[: offsets[-1]], offsets)


def _encode_records(array: pa.StructArray, *, is_optional: bool) -> _Encoded:
    """Encode a column of records."""
    n = len(array)
    children = [_encode(array.field(i)) for i in range(array.type.num_fields)]
    shifts = np.cumsum([0, *(len(child.data) for child in children)], dtype=np.int64)
    limits = np.empty((n + 1, len(children)), dtype=np.int64)
    for i, child in enumerate(children):
        limits[:, i] = child.offsets + shifts[i]
    pool = np.concatenate([np.empty(0, dtype=np.uint8), *(child.data for child in children)])
    out = np.empty(len(pool) + n, dtype=np.uint8)
    offsets = _put_records(pool, limits, valid_of(array), is_optional, out)
    return _Encoded(out[: offsets[-1]], offsets)


@njit(nogil=True, cache=True)
def _put_varint(out: Bytes, p: int, value: int) -> int:
    """Write a zigzag varint; return the place after it."""
    rest = np.uint64(np.int64(value) << np.int64(1)) ^ np.uint64(np.int64(value) >> np.int64(63))
    while rest > np.uint64(127):
        out[p] = np.uint8((rest & np.uint64(127)) | np.uint64(128))
        rest >>= np.uint64(7)
        p += 1
    out[p] = np.uint8(rest)
    return p + 1


@njit(nogil=True, cache=True)
def _copy(out: Bytes, p: int, pool: Bytes, start: int, stop: int) -> int:
    """Copy a stretch of bytes; return the place after it."""
    if stop - start <= _SHORT_BYTES:
        for k in range(stop - start):
            out[p + k] = pool[start + k]
    else:
        out[p : p + stop - start] = pool[start:stop]
    return p + stop - start


@njit(nogil=True, cache=True)
def _put_integers(values: IntArray, valid: BoolArray, out: Bytes) -> IntArray:
    """Write optional whole numbers; return their (n + 1,) offsets."""
    offsets = np.zeros(len(valid) + 1, dtype=np.int64)
    p = 0
    for i in range(len(valid)):
        out[p] = _VALUE if valid[i] else _NULL
        p = _put_varint(out, p + 1, values[i]) if valid[i] else p + 1
        offsets[i + 1] = p
    return offsets


@njit(nogil=True, cache=True)
def _put_fixed(raw: Bytes, width: int, valid: BoolArray, out: Bytes) -> IntArray:
    """Write optional values of a fixed width; return their (n + 1,) offsets."""
    offsets = np.zeros(len(valid) + 1, dtype=np.int64)
    p = 0
    for i in range(len(valid)):
        out[p] = _VALUE if valid[i] else _NULL
        p += 1
        if valid[i]:
            for k in range(width):
                out[p + k] = raw[i * width + k]
            p += width
        offsets[i + 1] = p
    return offsets


@njit(nogil=True, cache=True)
def _put_stretches(
    pool: Bytes,
    starts: IntArray,
    stops: IntArray,
    counts: IntArray,
    valid: BoolArray,
    is_array: bool,
    out: Bytes,
) -> IntArray:
    """Write optional texts, or arrays as one block of items; return their (n + 1,) offsets."""
    offsets = np.zeros(len(valid) + 1, dtype=np.int64)
    p = 0
    for i in range(len(valid)):
        out[p] = _VALUE if valid[i] else _NULL
        p += 1
        if valid[i]:
            if counts[i] > 0 or not is_array:
                p = _put_varint(out, p, counts[i])
                p = _copy(out, p, pool, starts[i], stops[i])
            if is_array:
                out[p] = 0
                p += 1
        offsets[i + 1] = p
    return offsets


@njit(nogil=True, cache=True)
def _put_records(pool: Bytes, limits: IntArray, valid: BoolArray, is_optional: bool, out: Bytes) -> IntArray:
    """Write records from their (n + 1, fields) encoded fields; return their (n + 1,) offsets."""
    offsets = np.zeros(len(valid) + 1, dtype=np.int64)
    p = 0
    for i in range(len(valid)):
        if is_optional:
            out[p] = _VALUE if valid[i] else _NULL
            p += 1
        if valid[i] or not is_optional:
            for j in range(limits.shape[1]):
                p = _copy(out, p, pool, limits[i, j], limits[i + 1, j])
        offsets[i + 1] = p
    return offsets
