"""A schema compiled to a table of operations that the loop of `ingest.alerts.kernel` walks.

A survey says once which columns it wants (`Layout`). Each writer's schema is then compiled against that layout:
wanted fields are copied to fixed slots, all others are stepped over with as few operations as possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from graph.errors import UnknownSchemaError
from ingest.alerts.avro_schema import Node, Shape

IntArray = NDArray[np.int64]

ABSENT_INT = np.iinfo(np.int64).min
"""What an integer slot holds when its field is null or not in the schema; no survey's identifier."""


class Kind(IntEnum):
    """What a slot holds."""

    INT = 0
    FLOAT = 1
    """The bits of a float64; NaN when absent."""
    TEXT = 2
    """Two slots: first byte within the buffer, and length [byte], which is -1 when absent."""


class Op(IntEnum):
    """Codes of the operations; the operands a, b, c follow each."""

    SKIP_FIXED = 0
    """Step over a bytes."""
    SKIP_VARINT = 1
    SKIP_BYTES = 2
    """Step over a length and as many bytes."""
    SKIP_ENUM = 3
    """Step over an index that must be below a."""
    UNION = 4
    """Read a branch below b and go where ``jumps[a + branch]`` says."""
    JUMP = 5
    """Go to a."""
    ITEMS = 6
    """Begin an array or map: a is the table that takes its items or -1, b its `END_ITEM`, c the least bytes of one."""
    END_ITEM = 7
    """Begin the next item or block of the `ITEMS` at a."""
    GET_INT = 8
    """Copy to slot a."""
    GET_INT_AS_FLOAT = 9
    GET_FLOAT = 10
    GET_DOUBLE = 11
    GET_TEXT = 12
    GET_BOOLEAN = 13
    OPTIONAL_FIXED = 14
    """Step over a union of null and b bytes; a is the branch of null."""
    OPTIONAL_VARINT = 15
    OPTIONAL_BYTES = 16


_GETTERS: dict[tuple[Shape, Kind], Op] = {
    (Shape.INTEGER, Kind.INT): Op.GET_INT,
    (Shape.BOOLEAN, Kind.INT): Op.GET_BOOLEAN,
    (Shape.INTEGER, Kind.FLOAT): Op.GET_INT_AS_FLOAT,
    (Shape.FLOAT, Kind.FLOAT): Op.GET_FLOAT,
    (Shape.DOUBLE, Kind.FLOAT): Op.GET_DOUBLE,
    (Shape.TEXT, Kind.TEXT): Op.GET_TEXT,
}
"""The operation that copies a value of a shape to a slot of a kind; other pairs do not fit."""

_PLAIN = {
    Shape.BOOLEAN: (Op.SKIP_FIXED, 1),
    Shape.FLOAT: (Op.SKIP_FIXED, 4),
    Shape.DOUBLE: (Op.SKIP_FIXED, 8),
    Shape.INTEGER: (Op.SKIP_VARINT, 0),
    Shape.TEXT: (Op.SKIP_BYTES, 0),
    Shape.BYTES: (Op.SKIP_BYTES, 0),
}
_OPTIONAL = {
    Op.SKIP_FIXED: Op.OPTIONAL_FIXED,
    Op.SKIP_VARINT: Op.OPTIONAL_VARINT,
    Op.SKIP_BYTES: Op.OPTIONAL_BYTES,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A wanted value."""

    name: str
    kind: Kind
    paths: tuple[str, ...]
    """Places where the versions of a schema keep it, below the table's record, the best first."""
    required: bool = False
    """Whether a schema without it is refused, or for items of an array, the array passed over."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns that are filled together: one row for each alert, or one for each item of an array of the alert."""

    arrays: tuple[str, ...]
    """Paths where the versions of a schema keep the array, the best first; one empty path is the alert itself."""
    columns: tuple[Column, ...]

    def slots(self) -> dict[str, int]:
        """Return the first slot of each column."""
        widths = [2 if column.kind is Kind.TEXT else 1 for column in self.columns]
        starts = np.concatenate([[0], np.cumsum(widths)])[:-1]
        return {column.name: int(start) for column, start in zip(self.columns, starts, strict=True)}

    def blank(self) -> IntArray:
        """Return a row in which everything is absent."""
        nan = np.array([np.nan]).view(np.int64)[0]
        absent = {Kind.INT: [ABSENT_INT], Kind.FLOAT: [nan], Kind.TEXT: [0, -1]}
        return np.array([slot for column in self.columns for slot in absent[column.kind]], dtype=np.int64)


ALERT = ("",)
"""`Table.arrays` of the alert itself."""

Layout = tuple[Table, ...]
"""All tables of a survey; the first is the alert itself. Of two that would take one array, the earlier does."""

MAX_TABLES = 4
"""Most tables of a layout; LSST has four. All are filled up to this number, so that the loops are compiled once."""


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """A compiled schema."""

    ops: IntArray
    """(n, 4) code and operands, see `Op`."""
    jumps: IntArray
    """Targets of the unions."""


def compile_program(schema: Node, layout: Layout) -> Program:
    """Compile a schema for a layout.

    An array whose items lack a required column is not what its name says, and is left to another table or stepped over.

    Raises
    ------
    UnknownSchemaError : a required column of the alert is not in the schema, or has another type there.
    """
    places: dict[str, dict[str, Shape]] = {}
    for array, path, shape in _places(schema, {array for table in layout for array in table.arrays}):
        places.setdefault(array, {})[path] = shape
    taken: dict[str, int] = {}
    slots: dict[tuple[int, str], tuple[Op, int]] = {}
    for number, table in enumerate(layout):
        for array in table.arrays:
            found, missing = _match(table, places.get(array, {}))
            if missing and number == 0:
                raise UnknownSchemaError(f"The schema lacks {', '.join(missing)}.")
            if not missing and array not in taken:
                taken[array] = number
                slots |= {(number, path): target for path, target in found.items()}
                break
    emitter = _Emitter({array: number for array, number in taken.items() if number}, slots)
    emitter.emit(schema, 0, "")
    return Program(
        np.array(emitter.ops, dtype=np.int64).reshape(-1, 4), np.array(emitter.jumps, dtype=np.int64).reshape(-1)
    )


def _match(table: Table, shapes: dict[str, Shape]) -> tuple[dict[str, tuple[Op, int]], list[str]]:
    """Return the getter and slot of each path that a column takes, and the required columns that find none."""
    slot_of = table.slots()
    found: dict[str, tuple[Op, int]] = {}
    missing: list[str] = []
    for column in table.columns:
        for path in column.paths:
            getter = _GETTERS.get((shapes[path], column.kind)) if path in shapes and path not in found else None
            if getter is not None:
                found[path] = (getter, slot_of[column.name])
                break
        else:
            if column.required:
                missing.append(column.paths[0])
    return found, missing


def join_programs(programs: Sequence[Program]) -> tuple[IntArray, IntArray, IntArray]:
    """Put programs one after the other; return operations, jumps and (n + 1,) the limits of each program."""
    bounds = np.cumsum([0, *(len(program.ops) for program in programs)], dtype=np.int64)
    moved = [np.empty((0, 4), dtype=np.int64)]
    targets = [np.empty(0, dtype=np.int64)]
    n_jumps = 0
    for start, program in zip(bounds, programs, strict=False):
        ops = program.ops.copy()
        ops[np.isin(ops[:, 0], (Op.JUMP, Op.END_ITEM)), 1] += start
        ops[ops[:, 0] == Op.ITEMS, 2] += start
        ops[ops[:, 0] == Op.UNION, 1] += n_jumps
        moved.append(ops)
        targets.append(program.jumps + start)
        n_jumps += len(program.jumps)
    return np.concatenate(moved), np.concatenate(targets), bounds


def _places(node: Node, wanted: set[str], array: str = "", path: str = "") -> list[tuple[str, str, Shape]]:
    """List array, path and shape of every plain value that a column could be copied from."""
    if node.shape is Shape.RECORD:
        return [
            place
            for name, child in zip(node.names, node.children, strict=True)
            for place in _places(child, wanted, array, f"{path}.{name}" if path else name)
        ]
    if node.shape is Shape.UNION:
        return [place for child in node.children for place in _places(child, wanted, array, path)]
    if node.shape is Shape.ARRAY:
        # Arrays inside arrays are not taken.
        return _places(node.children[0], wanted, path) if not array and path and path in wanted else []
    return [(array, path, node.shape)] if node.shape in _PLAIN else []


class _Emitter:
    """Writes the operations of one schema."""

    def __init__(self, taken: dict[str, int], slots: dict[tuple[int, str], tuple[Op, int]]) -> None:
        self._taken = taken
        self._slots = slots
        self.ops: list[list[int]] = []
        self.jumps: list[int] = []
        self._landing = 0

    def emit(self, node: Node, table: int, path: str) -> None:
        """Write one type; table is -1 inside what nobody wants."""
        if node.shape is Shape.RECORD:
            for name, child in zip(node.names, node.children, strict=True):
                self.emit(child, table, f"{path}.{name}" if path else name)
        elif node.shape is Shape.UNION:
            self._union(node, table, path)
        elif node.shape in (Shape.ARRAY, Shape.MAP):
            self._items(node, table, path)
        elif node.shape is Shape.ENUM:
            self._add(Op.SKIP_ENUM, node.size)
        elif node.shape is Shape.FIXED:
            self._skip(node.size)
        elif node.shape is not Shape.NOTHING:
            self._plain(node, table, path)

    def _plain(self, node: Node, table: int, path: str) -> None:
        getter, slot = self._slots.get((table, path), (None, 0))
        if getter is not None and _fits(getter, node.shape):
            self._add(getter, slot)
            return
        op, size = _PLAIN[node.shape]
        if op is Op.SKIP_FIXED:
            self._skip(size)
        else:
            self._add(op)

    def _skip(self, size: int) -> None:
        """Step over bytes, together with those just before unless a jump lands between them."""
        if self.ops and self.ops[-1][0] == Op.SKIP_FIXED and self._landing < len(self.ops):
            self.ops[-1][1] += size
        else:
            self._add(Op.SKIP_FIXED, size)

    def _union(self, node: Node, table: int, path: str) -> None:
        nulls = [place for place, branch in enumerate(node.children) if branch.shape is Shape.NOTHING]
        if len(node.children) == 2 and len(nulls) == 1:
            value = node.children[1 - nulls[0]]
            if value.shape in _PLAIN and (table, path) not in self._slots:
                op, size = _PLAIN[value.shape]
                self._add(_OPTIONAL[op], nulls[0], size)
                return
        first = len(self.jumps)
        self.jumps += [0] * len(node.children)
        self._add(Op.UNION, first, len(node.children))
        leaves: list[int] = []
        for place, branch in enumerate(node.children):
            if branch.shape is not Shape.NOTHING:
                self.jumps[first + place] = len(self.ops)
                self._land()
                self.emit(branch, table, path)
                leaves.append(len(self.ops))
                self._add(Op.JUMP)
        if leaves:
            # The last branch falls through.
            self.ops.pop()
            leaves.pop()
        self._land()
        for leaf in leaves:
            self.ops[leaf][1] = len(self.ops)
        for place in nulls:
            self.jumps[first + place] = len(self.ops)

    def _items(self, node: Node, table: int, path: str) -> None:
        inner = self._taken.get(path, -1) if node.shape is Shape.ARRAY and table == 0 else -1
        begin = len(self.ops)
        item = node.children[0]
        is_map = node.shape is Shape.MAP
        self._add(Op.ITEMS, inner, 0, item.least_bytes + is_map)
        self._land()
        if is_map:
            self._add(Op.SKIP_BYTES)
        self.emit(item, inner, "")
        self.ops[begin][2] = len(self.ops)
        self._add(Op.END_ITEM, begin)
        self._land()

    def _add(self, op: Op, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.ops.append([int(op), a, b, c])

    def _land(self) -> None:
        """Note that a jump lands on the next operation."""
        self._landing = len(self.ops)


def _fits(getter: Op, shape: Shape) -> bool:
    """Return whether a getter reads values of a shape; branches of one union may differ."""
    return any(op is getter and pair[0] is shape for pair, op in _GETTERS.items())
