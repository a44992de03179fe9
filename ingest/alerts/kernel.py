"""The loop that walks the bytes of a batch and copies what is wanted of its Avro data into slots.

Every byte comes from outside. No read is made before its bounds are checked, no loop runs longer than the bytes
it consumes allow, and a fault ends the one message that has it. Faults are statuses, not exceptions.
"""
# Compiled loops take arrays by position and leave as soon as a bound fails; splitting them further costs speed.
# ruff: noqa: C901, PLR0911, PLR0912, PLR0917

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingest.alerts.avro_schema import MAX_SCHEMA_DEPTH
from ingest.alerts.program import Op
from ingest.alerts.status import Status

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Tables = tuple[IntArray, ...]

STACK_ROWS = MAX_SCHEMA_DEPTH + 2
"""Arrays that can be open at once: every one is a level of the schema."""

MAX_ITEMS = 50_000
"""Most items that one alert may add to one table; LSST's longest histories so far have 2,204 points. Bounds the memory
that a few bytes can claim."""

_TRUNCATED = int(Status.TRUNCATED)
_BAD_VARINT = int(Status.BAD_VARINT)
_BAD_BRANCH = int(Status.BAD_BRANCH)
_BAD_LENGTH = int(Status.BAD_LENGTH)
_BAD_COUNT = int(Status.BAD_COUNT)
_BAD_BOOLEAN = int(Status.BAD_BOOLEAN)
_TRAILING = int(Status.TRAILING)
_TOO_MANY = int(Status.TOO_MANY)
_TABLE_FULL = int(Status.TABLE_FULL)
_SKIP_FIXED = int(Op.SKIP_FIXED)
_SKIP_VARINT = int(Op.SKIP_VARINT)
_SKIP_BYTES = int(Op.SKIP_BYTES)
_SKIP_ENUM = int(Op.SKIP_ENUM)
_UNION = int(Op.UNION)
_JUMP = int(Op.JUMP)
_ITEMS = int(Op.ITEMS)
_END_ITEM = int(Op.END_ITEM)
_GET_INT = int(Op.GET_INT)
_GET_INT_AS_FLOAT = int(Op.GET_INT_AS_FLOAT)
_GET_FLOAT = int(Op.GET_FLOAT)
_GET_DOUBLE = int(Op.GET_DOUBLE)
_GET_TEXT = int(Op.GET_TEXT)
_GET_BOOLEAN = int(Op.GET_BOOLEAN)
_OPTIONAL_FIXED = int(Op.OPTIONAL_FIXED)
_OPTIONAL_VARINT = int(Op.OPTIONAL_VARINT)
_OPTIONAL_BYTES = int(Op.OPTIONAL_BYTES)


@njit(nogil=True, cache=True)
def _unfold(value: np.uint64) -> int:
    """Return the signed integer that zig-zag folded into an unsigned one."""
    return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))  # type: ignore[return-value]


@njit(nogil=True, cache=True)
def read_varint(buf: Bytes, p: int, end: int) -> tuple[int, int]:
    """Read a zig-zag integer; return it and the place after it, or a status in the second."""
    if p >= end:
        return 0, _TRUNCATED
    byte = np.uint64(buf[p])
    if byte < 128:
        return _unfold(byte), p + 1
    value = byte & np.uint64(127)
    shift = np.uint64(7)
    p += 1
    while True:
        if p >= end:
            return 0, _TRUNCATED
        byte = np.uint64(buf[p])
        p += 1
        if shift == 63 and byte > 1:
            return 0, _BAD_VARINT
        value |= (byte & np.uint64(127)) << shift
        if byte < 128:
            return _unfold(value), p
        shift += np.uint64(7)


@njit(nogil=True, cache=True)
def skip_bytes(buf: Bytes, p: int, end: int) -> int:
    """Step over a length and as many bytes; return the place after them or a status."""
    size, p = read_varint(buf, p, end)
    if p < 0:
        return p
    if size < 0 or size > end - p:
        return _BAD_LENGTH
    return p + size


@njit(nogil=True, cache=True)
def _read_block(buf: Bytes, p: int, end: int, least: int) -> tuple[int, int, int]:
    """Read the head of a block; return its items, where it must end (-1: unsaid), and the place or a status."""
    count, p = read_varint(buf, p, end)
    if p < 0:
        return 0, -1, p
    block_end = -1
    if count < 0:
        # The size that follows would let unwanted items be jumped over; walking them finds more corruption.
        size, p = read_varint(buf, p, end)
        if p < 0:
            return 0, -1, p
        if size < 0 or size > end - p:
            return 0, -1, _BAD_LENGTH
        block_end = p + size
        count = -count
    if count < 0 or count > (end - p) // least:
        return 0, -1, _BAD_COUNT
    return count, block_end, p


@njit(nogil=True, cache=True)
def _next_item(buf: Bytes, p: int, end: int, least: int, stack: IntArray, level: int) -> int:
    """Go to the next item, reading a block's count if one ended; no items left means that the list is over."""
    if stack[level, 0] == 0:
        if stack[level, 1] >= 0 and stack[level, 1] != p:
            return _BAD_LENGTH
        stack[level, 0], stack[level, 1], p = _read_block(buf, p, end, least)
    return p


@njit(nogil=True, cache=True)
def _float_bits(buf: Bytes, p: int) -> np.int64:
    """Return the float32 at p as the bits of a float64."""
    bits = np.uint32(buf[p])
    bits |= np.uint32(buf[p + 1]) << np.uint32(8)
    bits |= np.uint32(buf[p + 2]) << np.uint32(16)
    bits |= np.uint32(buf[p + 3]) << np.uint32(24)
    return np.float64(np.uint32(bits).view(np.float32)).view(np.int64)


@njit(nogil=True, cache=True)
def _double_bits(buf: Bytes, p: int) -> np.int64:
    """Return the eight bytes at p."""
    bits = np.uint64(0)
    for k in range(8):
        bits |= np.uint64(buf[p + k]) << np.uint64(8 * k)
    return np.int64(bits)


@njit(nogil=True, cache=True)
def _copy(buf: Bytes, p: int, end: int, code: int, out: IntArray, row: int, slot: int) -> int:
    """Copy one value to its slot; return the place after it or a status."""
    if code == _GET_FLOAT:
        if end - p < 4:
            return _TRUNCATED
        out[row, slot] = _float_bits(buf, p)
        return p + 4
    if code == _GET_DOUBLE:
        if end - p < 8:
            return _TRUNCATED
        out[row, slot] = _double_bits(buf, p)
        return p + 8
    if code == _GET_BOOLEAN:
        if p >= end:
            return _TRUNCATED
        if buf[p] > 1:
            return _BAD_BOOLEAN
        out[row, slot] = buf[p]
        return p + 1
    value, p = read_varint(buf, p, end)
    if p < 0:
        return p
    if code == _GET_INT:
        out[row, slot] = value
    elif code == _GET_INT_AS_FLOAT:
        out[row, slot] = np.float64(value).view(np.int64)
    else:
        if value < 0 or value > end - p:
            return _BAD_LENGTH
        out[row, slot] = p
        out[row, slot + 1] = value
        p += value
    return p


@njit(nogil=True, cache=True)
def _skip(buf: Bytes, p: int, end: int, code: int, a: int, b: int) -> int:
    """Step over one value that nobody wants; return the place after it or a status."""
    if code >= _OPTIONAL_FIXED:
        if p >= end:
            return _TRUNCATED
        branch = buf[p]
        p += 1
        # Zig-zag: branch 0 is byte 0, branch 1 is byte 2.
        if branch & 0xFD:
            return _BAD_BRANCH
        if branch == 2 * a:
            return p
        code -= _OPTIONAL_FIXED
        a = b
    if code == _SKIP_FIXED:
        return p + a if a <= end - p else _TRUNCATED
    if code == _SKIP_BYTES:
        return skip_bytes(buf, p, end)
    value, p = read_varint(buf, p, end)
    if code == _SKIP_ENUM and p >= 0 and (value < 0 or value >= a):
        return _BAD_BRANCH
    return p


@njit(nogil=True, cache=True)
def _begin_row(tables: Tables, blanks: Tables, rows: IntArray, ceilings: IntArray, table: int) -> int:
    """Blank the next row of a table and return it, or a status."""
    row = rows[table]
    if row >= ceilings[table]:
        return _TOO_MANY
    if row >= len(tables[table]):
        return _TABLE_FULL
    tables[table][row] = blanks[table]
    rows[table] = row + 1
    return row


@njit(nogil=True, cache=True)
def walk(
    buf: Bytes,
    p: int,
    end: int,
    ops: IntArray,
    jumps: IntArray,
    first: int,
    last: int,
    tables: Tables,
    blanks: Tables,
    rows: IntArray,
    ceilings: IntArray,
    stack: IntArray,
) -> int:
    """Walk one datum; return the place after it, or a status.

    Parameters
    ----------
    buf : bytes of the batch.
    p, end : the datum begins at p and may not pass end.
    ops, jumps : operations of all programs; this one is ``first`` to ``last``.
    tables, blanks : slots to fill, and an empty row of each.
    rows : the row to fill in the first table, and the next free row of each other one; advanced.
    ceilings : the rows at which each table has more items than one alert may have.
    stack : (`STACK_ROWS`, 4) work space: items left, end of block, table and row around.
    """
    out, table, row = tables[0], 0, rows[0]
    depth = 0
    i = first
    while i < last:
        code = ops[i, 0]
        a = ops[i, 1]
        if code == _UNION:
            if p >= end:
                return _TRUNCATED
            branch = buf[p]
            if branch & 1 or branch >= 2 * ops[i, 2]:
                return _BAD_BRANCH
            p += 1
            i = jumps[a + (branch >> 1)]
        elif code == _JUMP:
            i = a
        elif code == _ITEMS:
            stack[depth] = (0, -1, table, row)
            depth += 1
            i = ops[i, 2]
        elif code == _END_ITEM:
            p = _next_item(buf, p, end, ops[a, 3], stack, depth - 1)
            if p < 0:
                return p
            if stack[depth - 1, 0] == 0:
                depth -= 1
                table, row = stack[depth, 2], stack[depth, 3]
                i += 1
            else:
                stack[depth - 1, 0] -= 1
                if ops[a, 1] >= 0:
                    table = ops[a, 1]
                    row = _begin_row(tables, blanks, rows, ceilings, table)
                    if row < 0:
                        return row
                i = a + 1
            out = tables[table]
        else:
            copies = _GET_INT <= code <= _GET_BOOLEAN
            p = _copy(buf, p, end, code, out, row, a) if copies else _skip(buf, p, end, code, a, ops[i, 2])
            if p < 0:
                return p
            i += 1
    return p


@njit(nogil=True, cache=True)
def decode_batch(
    buf: Bytes,
    starts: IntArray,
    ends: IntArray,
    programs: IntArray,
    bounds: IntArray,
    ops: IntArray,
    jumps: IntArray,
    tables: Tables,
    blanks: Tables,
    rows: IntArray,
    offsets: IntArray,
    status: IntArray,
    begin: int,
) -> int:
    """Decode messages from ``begin`` on, until the end or until a table is full; return where to go on.

    Parameters
    ----------
    buf : bytes of the batch.
    starts, ends : (n,) the datum of each message.
    programs : (n,) its program; ``bounds[program]`` and ``bounds[program + 1]`` limit the operations.
    ops, jumps, tables, blanks, rows : as `walk` takes them.
    offsets : (n + 1, tables) rows of each other table used before each message; filled.
    status : (n,) filled; messages whose status is not 0 on entry are passed over.
    """
    stack = np.empty((STACK_ROWS, 4), dtype=np.int64)
    saved = rows.copy()
    ceilings = rows + MAX_ITEMS
    for m in range(begin, len(starts)):
        rows[0] = m
        saved[:] = rows
        for k in range(len(rows)):
            ceilings[k] = rows[k] + MAX_ITEMS
        tables[0][m] = blanks[0]
        if status[m] == 0:
            program = programs[m]
            p = walk(
                buf,
                starts[m],
                ends[m],
                ops,
                jumps,
                bounds[program],
                bounds[program + 1],
                tables,
                blanks,
                rows,
                ceilings,
                stack,
            )
            if p == _TABLE_FULL:
                rows[:] = saved
                return m
            if p < 0:
                status[m] = p
            elif p != ends[m]:
                status[m] = _TRAILING
            if status[m] != 0:
                rows[:] = saved
        offsets[m + 1] = rows
    return len(starts)
