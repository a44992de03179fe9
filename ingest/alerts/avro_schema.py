"""Avro schemas as trees: names resolved, defaults and documentation gone, hostile ones refused.

Only what decides the layout of the bytes is kept. A schema comes from outside as much as a packet does, therefore
depth and size are bounded and every fault is an `UnknownSchemaError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from graph.errors import UnknownSchemaError

MAX_SCHEMA_DEPTH = 32
"""Deepest nesting of types; LSST needs 4. Bounds the recursion here and the stack of the decoder."""

MAX_BRANCHES = 64
"""Most branches of a union, so that an index is always one byte; the surveys use 2 (Avro 1.12, "Unions")."""

MAX_TYPES = 20_000
"""Most types after all names are written out; LSST 11.1 has about 900. Bounds schemas that name types often."""

MAX_SCHEMA_BYTES = 2**20
"""Longest schema that is parsed [byte]; LSST's have up to 120 kB. Bounds time and memory of the parser."""

_TOO_DEEP = f"The schema is nested more than {MAX_SCHEMA_DEPTH} deep."


class Shape(IntEnum):
    """How a value lies in the bytes."""

    NOTHING = 0
    BOOLEAN = 1
    INTEGER = 2
    FLOAT = 3
    DOUBLE = 4
    TEXT = 5
    BYTES = 6
    FIXED = 7
    ENUM = 8
    RECORD = 9
    UNION = 10
    ARRAY = 11
    MAP = 12


_PRIMITIVES = {
    "null": Shape.NOTHING,
    "boolean": Shape.BOOLEAN,
    "int": Shape.INTEGER,
    "long": Shape.INTEGER,
    "float": Shape.FLOAT,
    "double": Shape.DOUBLE,
    "string": Shape.TEXT,
    "bytes": Shape.BYTES,
}

_LEAST_BYTES = {
    Shape.NOTHING: 0,
    Shape.BOOLEAN: 1,
    Shape.INTEGER: 1,
    Shape.FLOAT: 4,
    Shape.DOUBLE: 8,
    Shape.TEXT: 1,
    Shape.BYTES: 1,
    Shape.ENUM: 1,
    Shape.ARRAY: 1,
    Shape.MAP: 1,
}


@dataclass(frozen=True, slots=True)
class Node:
    """One type; a named type that is used twice is the same node."""

    shape: Shape
    least_bytes: int
    """Fewest bytes that a value can take [byte]."""
    n_types: int
    """Types below and including this one, names written out."""
    height: int = 1
    """Levels of types below and including this one."""
    size: int = 0
    """Bytes of a fixed, or symbols of an enum."""
    children: tuple[Node, ...] = ()
    """Fields of a record, branches of a union, the items of an array or map."""
    names: tuple[str, ...] = ()
    """Names of the fields of a record."""


def parse_schema(text: str | bytes) -> Node:
    """Read an Avro schema in JSON.

    Raises
    ------
    UnknownSchemaError : this is no schema, or one that is too deep, too large or refers to itself.
    """
    if len(text) > MAX_SCHEMA_BYTES:
        raise UnknownSchemaError(f"The schema is longer than {MAX_SCHEMA_BYTES} bytes.")
    try:
        declared = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnknownSchemaError("The embedded schema is not JSON.") from error
    return parse_declared(declared)


def parse_declared(declared: object) -> Node:
    """Read an Avro schema that was JSON, see `parse_schema`."""
    return _Reader().read(declared, namespace="", depth=0)


class _Reader:
    """Reads one schema; knows the names defined so far."""

    def __init__(self) -> None:
        self._named: dict[str, Node | None] = {}

    def read(self, declared: object, namespace: str, depth: int) -> Node:
        if depth > MAX_SCHEMA_DEPTH:
            raise UnknownSchemaError(_TOO_DEEP)
        if isinstance(declared, str):
            return self._refer(declared, namespace)
        if isinstance(declared, list):
            branches = tuple(self.read(branch, namespace, depth + 1) for branch in declared)
            if not 0 < len(branches) <= MAX_BRANCHES:
                raise UnknownSchemaError(f"The schema has a union of {len(branches)} branches.")
            return _node(Shape.UNION, branches, 1 + min(branch.least_bytes for branch in branches))
        if isinstance(declared, Mapping):
            return self._complex(declared, namespace, depth)
        raise UnknownSchemaError("The schema has a type that is neither a name, a list nor an object.")

    def _refer(self, name: str, namespace: str) -> Node:
        if name in _PRIMITIVES:
            return _leaf(_PRIMITIVES[name])
        for full in (f"{namespace}.{name}" if namespace and "." not in name else name, name):
            if full in self._named:
                known = self._named[full]
                if known is None:
                    raise UnknownSchemaError("The schema has a type that contains itself.")
                return known
        raise UnknownSchemaError("The schema uses a type name that it does not define.")

    def _complex(self, declared: Mapping[str, Any], namespace: str, depth: int) -> Node:
        kind = declared.get("type")
        if kind in ("record", "error", "enum", "fixed"):
            return self._define(declared, namespace, depth)
        if kind in ("array", "map"):
            item = self.read(declared.get("items" if kind == "array" else "values"), namespace, depth + 1)
            if kind == "array" and item.least_bytes == 0:
                # A count would cost the sender nothing and the reader everything.
                raise UnknownSchemaError("The schema has an array of items that may take no bytes.")
            shape = Shape.ARRAY if kind == "array" else Shape.MAP
            return _node(shape, (item,), _LEAST_BYTES[shape])
        return self.read(kind, namespace, depth + 1)

    def _define(self, declared: Mapping[str, Any], namespace: str, depth: int) -> Node:
        name = declared.get("name")
        if not isinstance(name, str) or not name:
            raise UnknownSchemaError("The schema has a named type without a name.")
        own = declared.get("namespace", namespace)
        space = name.rpartition(".")[0] if "." in name else own if isinstance(own, str) else ""
        full = name if "." in name or not space else f"{space}.{name}"
        self._named[full] = None
        node = self._body(declared, space, depth)
        self._named[full] = node
        return node

    def _body(self, declared: Mapping[str, Any], space: str, depth: int) -> Node:
        kind = declared["type"]
        if kind == "fixed":
            return _leaf(Shape.FIXED, _whole(declared.get("size")))
        if kind == "enum":
            symbols = declared.get("symbols")
            if not isinstance(symbols, list) or not symbols:
                raise UnknownSchemaError("The schema has an enum without symbols.")
            return _leaf(Shape.ENUM, len(symbols))
        fields = declared.get("fields")
        if not isinstance(fields, list) or not all(isinstance(field, Mapping) for field in fields):
            raise UnknownSchemaError("The schema has a record without fields.")
        names = tuple(field.get("name") for field in fields)
        if not all(isinstance(name, str) for name in names):
            raise UnknownSchemaError("The schema has a field without a name.")
        children = tuple(self.read(field.get("type"), space, depth + 1) for field in fields)
        return _node(Shape.RECORD, children, sum(child.least_bytes for child in children), names)


def _whole(size: object) -> int:
    """Return the size of a fixed."""
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**31:
        raise UnknownSchemaError("The schema has a fixed without a usable size.")
    return size


def _leaf(shape: Shape, size: int = 0) -> Node:
    """Make a node without children."""
    return Node(shape, size if shape is Shape.FIXED else _LEAST_BYTES[shape], 1, size=size)


def _node(shape: Shape, children: tuple[Node, ...], least_bytes: int, names: tuple[str, ...] = ()) -> Node:
    """Make a node with children."""
    n_types = 1 + sum(child.n_types for child in children)
    # A name can stand for a deep type, so what is written deep and what is deep differ.
    height = 1 + max((child.height for child in children), default=0)
    if n_types > MAX_TYPES:
        raise UnknownSchemaError(f"The schema holds more than {MAX_TYPES} types.")
    if height > MAX_SCHEMA_DEPTH:
        raise UnknownSchemaError(_TOO_DEEP)
    return Node(shape, min(least_bytes, 2**40), n_types, height, children=children, names=names)
