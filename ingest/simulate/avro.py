"""Write Avro records from columns, many rows at a time.

A record type becomes a short table of operations; one compiled loop walks it for each row. Fields that hold the same
value in every row are encoded once and copied. What was encoded before (history points, cutouts) is copied by span.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.alerts.container import write_varint

if TYPE_CHECKING:
    from collections.abc import Mapping

IntArray = NDArray[np.int64]
ByteArray = NDArray[np.uint8]

NULL_INT = int(np.iinfo(np.int64).min)
"""Stands for null in an integer column; no survey uses it as a value."""

_CONST, _LONG, _FLOAT, _DOUBLE, _BOOL, _RAW, _TEXT, _ARRAY = range(8)

_SCALAR_KINDS = {"int": _LONG, "long": _LONG, "float": _FLOAT, "double": _DOUBLE, "boolean": _BOOL}

_MAX_VARINT_BYTES = 10
"""Longest zigzag varint of an int64 [byte]; Avro 1.11 specification, binary encoding."""


@dataclass(frozen=True, eq=False, slots=True)
class Encoded:
    """n encoded records, back to back."""

    data: ByteArray
    offsets: IntArray
    """(n + 1,) record i is ``data[offsets[i]:offsets[i + 1]]``."""

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.offsets) - 1

    def view(self) -> memoryview:
        """Return the bytes without copying."""
        return self.data.data

    def row(self, index: int) -> bytes:
        """Return one record."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()


@dataclass(frozen=True, eq=False, slots=True)
class Spans:
    """A column of bytes that exist already: row i is ``pool[start[i]:stop[i]]``, null where start is negative."""

    kind: int
    pool: ByteArray
    start: IntArray
    stop: IntArray
    count: IntArray


Column = NDArray[Any] | Spans | bytes | str | float | int | bool | None
"""Values of one field: an array of n, spans, or one constant for all rows."""


class _Plan(NamedTuple):
    """A record type made ready for the compiled loop."""

    operations: IntArray
    bits: IntArray
    null: NDArray[np.bool_]
    start: IntArray
    stop: IntArray
    repeats: IntArray
    pool: ByteArray


def text_column(values: NDArray[np.bytes_], index: IntArray | None = None) -> Spans:
    """Return a column of strings from fixed-width ones (trailing NUL is padding).

    Parameters
    ----------
    index : (n,) which string each row takes, negative for null; without it row i takes string i.
    """
    place = np.arange(len(values), dtype=np.int64) if index is None else index
    pool = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    start = np.where(place < 0, -1, place * values.dtype.itemsize)
    stop = start + np.char.str_len(values).astype(np.int64)[place]
    return Spans(_TEXT, pool, start, stop, np.zeros(len(place), np.int64))


def bytes_column(pool: list[bytes], index: IntArray) -> Spans:
    """Return a column of byte strings chosen from a pool by index; a negative index is null."""
    ends = np.cumsum([len(item) for item in pool], dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    data = np.frombuffer(b"".join(pool), dtype=np.uint8)
    return Spans(_TEXT, data, np.where(index < 0, -1, starts[index]), ends[index], np.zeros(len(index), np.int64))


def record_column(records: Encoded, index: IntArray) -> Spans:
    """Return a column of nested records chosen by index; a negative index is null."""
    start = np.where(index < 0, -1, records.offsets[index])
    return Spans(_RAW, records.data, start, records.offsets[index + 1], np.zeros(len(index), np.int64))


def array_column(records: Encoded, first: IntArray, last: IntArray) -> Spans:
    """Return a column of arrays of the records ``first`` to ``last`` (exclusive); a negative first is null."""
    start = np.where(first < 0, -1, records.offsets[first])
    return Spans(_ARRAY, records.data, start, records.offsets[last], np.where(first < 0, 0, last - first))


def encode_records(record: Mapping[str, Any], n: int, values: Mapping[str, Column]) -> Encoded:
    """Encode n records of one type.

    Parameters
    ----------
    record : a parsed Avro record schema whose unions are all ``["null", T]``.
    values : column or constant for each field; a nullable field that is not named is null. In an integer column
        `NULL_INT` and in a float column NaN is null where the field may be.

    Raises
    ------
    ValueError : a field that may not be null has no value, or a value names no field.
    """
    names = {field["name"] for field in record["fields"]}
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"the record {record['name']} has no field {unknown[0]}")
    plan = _plan(record, n, values)
    span_bytes = int((plan.stop - plan.start)[plan.start >= 0].sum())
    kinds = plan.operations
    fixed = int((kinds[:, 3] - kinds[:, 2])[kinds[:, 0] == _CONST].sum())
    worst = n * (fixed + len(kinds) * (2 * _MAX_VARINT_BYTES + 2)) + span_bytes
    out = np.empty(worst, dtype=np.uint8)
    offsets = _write_rows(n, *plan, out)
    return Encoded(out[: offsets[-1]], offsets)


def _plan(record: Mapping[str, Any], n: int, values: Mapping[str, Column]) -> _Plan:
    """Build the table of operations: (kind, nullable, column) or (constant, 0, start, stop in the pool)."""
    operations: list[tuple[int, int, int, int]] = []
    scalars: list[tuple[IntArray, NDArray[np.bool_]]] = []
    spans: list[Spans] = []
    pools: list[ByteArray] = []
    pool_size = 0
    constant = b""

    def flush() -> None:
        nonlocal constant, pool_size
        if constant:
            operations.append((_CONST, 0, pool_size, pool_size + len(constant)))
            pools.append(np.frombuffer(constant, dtype=np.uint8))
            pool_size += len(constant)
            constant = b""

    for field in record["fields"]:
        kind, nullable = _field_kind(field["type"])
        value = values.get(field["name"])
        if not isinstance(value, (np.ndarray, Spans)):
            constant += _constant_bytes(field["name"], kind, value, nullable=nullable)
            continue
        flush()
        if isinstance(value, Spans):
            operations.append((value.kind, int(nullable), len(spans), 0))
            shift = np.where(value.start < 0, 0, pool_size)
            spans.append(Spans(value.kind, value.pool, value.start + shift, value.stop + pool_size, value.count))
            pools.append(value.pool)
            pool_size += len(value.pool)
        else:
            operations.append((kind, int(nullable), len(scalars), 0))
            scalars.append(_bits(kind, value))
    flush()
    empty = np.zeros((0, n), dtype=np.int64)
    return _Plan(
        np.array(operations, dtype=np.int64),
        np.stack([bits for bits, _ in scalars]) if scalars else empty,
        np.stack([null for _, null in scalars]) if scalars else empty.astype(np.bool_),
        np.stack([span.start for span in spans]) if spans else empty,
        np.stack([span.stop for span in spans]) if spans else empty,
        np.stack([span.count for span in spans]) if spans else empty,
        np.concatenate(pools) if pools else np.zeros(0, dtype=np.uint8),
    )


def _field_kind(declared: Any) -> tuple[int, bool]:  # noqa: ANN401 - an Avro type is a string, a list or a mapping
    """Return the operation and whether null is the first branch of a union."""
    nullable = isinstance(declared, list)
    inner = declared[1] if isinstance(declared, list) else declared
    name = inner["type"] if isinstance(inner, dict) else inner
    return _SCALAR_KINDS.get(name, _TEXT if name in {"string", "bytes"} else _RAW), nullable


def _bits(kind: int, values: NDArray[Any]) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return the bit pattern of each value as int64, and where it is null."""
    if kind == _FLOAT:
        single = values.astype(np.float32)
        return single.view(np.uint32).astype(np.int64), np.isnan(single)
    if kind == _DOUBLE:
        double = values.astype(np.float64)
        return double.view(np.int64), np.isnan(double)
    whole = values.astype(np.int64)
    return whole, whole == NULL_INT


def _constant_bytes(name: str, kind: int, value: bytes | str | float | None, *, nullable: bool) -> bytes:
    """Encode a value that is the same in all rows."""
    if value is None:
        if not nullable:
            raise ValueError(f"the field {name} must have a value")
        return b"\x00"
    branch = b"\x02" if nullable else b""
    if kind == _FLOAT:
        return branch + struct.pack("<f", value)
    if kind == _DOUBLE:
        return branch + struct.pack("<d", value)
    if kind == _BOOL:
        return branch + (b"\x01" if value else b"\x00")
    if kind == _LONG:
        return branch + write_varint(int(value))
    data = value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, bytes) else b""
    return branch + (write_varint(len(data)) + data if kind == _TEXT else data)


class Piece(NamedTuple):
    """One part of every message: row i is ``pool[start[i]:stop[i]]``."""

    pool: ByteArray
    start: IntArray
    stop: IntArray


def constant_piece(value: bytes, n: int) -> Piece:
    """Return the same bytes for each of n messages."""
    return Piece(np.frombuffer(value, dtype=np.uint8), np.zeros(n, np.int64), np.full(n, len(value), np.int64))


def record_piece(records: Encoded) -> Piece:
    """Return record i for message i."""
    return Piece(records.data, records.offsets[:-1], records.offsets[1:])


def varint_piece(values: IntArray) -> Piece:
    """Return an Avro number for each message."""
    number = {"name": "number", "fields": [{"name": "value", "type": "long"}]}
    return record_piece(encode_records(number, len(values), {"value": values}))


def join_pieces(pieces: list[Piece]) -> pa.LargeBinaryArray:
    """Return messages, each the concatenation of its pieces: every byte is copied once, into one buffer."""
    places = {id(piece.pool): piece.pool for piece in pieces}
    shifts = dict(zip(places, np.cumsum([0, *(len(pool) for pool in places.values())]).tolist(), strict=False))
    start = np.stack([piece.start + shifts[id(piece.pool)] for piece in pieces], axis=1)
    length = np.stack([piece.stop - piece.start for piece in pieces], axis=1)
    offsets = np.concatenate([[0], np.cumsum(length.sum(axis=1))]).astype(np.int64)
    out = np.empty(int(offsets[-1]), dtype=np.uint8)
    _copy_spans(start.reshape(-1), length.reshape(-1), np.concatenate(list(places.values())), out)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(out)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


@numba.njit(cache=True)
def _copy_spans(start: IntArray, length: IntArray, pool: ByteArray, out: ByteArray) -> None:
    """Copy the spans one after the other."""
    at = 0
    for i in range(len(start)):
        out[at : at + length[i]] = pool[start[i] : start[i] + length[i]]
        at += length[i]


@numba.njit(cache=True)
def _put_long(out: ByteArray, at: int, value: int) -> int:
    """Write a zigzag varint; return the position after it."""
    rest = np.uint64(np.int64(value) << np.int64(1)) ^ np.uint64(np.int64(value) >> np.int64(63))
    while rest > np.uint64(0x7F):
        out[at] = np.uint8((rest & np.uint64(0x7F)) | np.uint64(0x80))
        rest >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(rest)
    return at + 1


@numba.njit(cache=True)
def _write_rows(  # noqa: C901, PLR0917 - the tables of the format, walked by one branch for each kind of field
    n: int,
    operations: IntArray,
    bits: IntArray,
    null: NDArray[np.bool_],
    start: IntArray,
    stop: IntArray,
    count: IntArray,
    pool: ByteArray,
    out: ByteArray,
) -> IntArray:
    """Write n rows into ``out`` and return their (n + 1,) offsets."""
    offsets = np.zeros(n + 1, dtype=np.int64)
    at = 0
    for i in range(n):
        for j in range(operations.shape[0]):
            kind, nullable, column, last = operations[j, 0], operations[j, 1], operations[j, 2], operations[j, 3]
            if kind == _CONST:
                out[at : at + last - column] = pool[column:last]
                at += last - column
                continue
            is_span = kind >= _RAW
            absent = start[column, i] < 0 if is_span else null[column, i]
            if nullable:
                out[at] = 0 if absent else 2
                at += 1
                if absent:
                    continue
            if is_span:
                first, end = start[column, i], stop[column, i]
                if kind == _TEXT:
                    at = _put_long(out, at, end - first)
                elif kind == _ARRAY and count[column, i] > 0:
                    at = _put_long(out, at, count[column, i])
                out[at : at + end - first] = pool[first:end]
                at += end - first
                if kind == _ARRAY:
                    out[at] = 0
                    at += 1
            elif kind == _LONG:
                at = _put_long(out, at, bits[column, i])
            else:
                width = 4 if kind == _FLOAT else (8 if kind == _DOUBLE else 1)
                value = np.uint64(bits[column, i])
                for k in range(width):
                    out[at + k] = np.uint8((value >> np.uint64(8 * k)) & np.uint64(0xFF))
                at += width
        offsets[i + 1] = at
    return offsets
