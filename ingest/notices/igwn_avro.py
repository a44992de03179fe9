"""The Avro form of ``igwn.gwalert``: an object container file that brings its own schema.

A schema from outside is a program: arrays of nulls or recursive records make few bytes expand without end. The schema
is therefore walked first and must be built of what the LVK alert schema is built of.
"""

from __future__ import annotations

import io
from typing import Any

import fastavro

from graph.errors import MalformedPacketError, UnknownSchemaError
from ingest.notices.gcn_json import MAX_MESSAGE_BYTES

MAGIC = b"Obj\x01"
"""First bytes of an Avro object container; Avro 1.11, 'Object Container Files'."""

ALERT_NAMESPACE = "igwn.alerts"
"""Namespace of LVK's schemas in all versions to 1.3."""

CODECS = frozenset({"null", ""})
"""Compressions that are read; LVK uses none, and a compressed block would escape the limit on size."""

_SCALARS = frozenset({"null", "boolean", "int", "long", "float", "double", "string", "bytes"})
MAX_DEPTH = 8
"""Deepest nesting of an accepted schema; LVK's has 5."""


def read_alert(payload: bytes) -> dict[str, Any]:
    """Read the one alert of an Avro file.

    Raises
    ------
    UnknownSchemaError : the schema is not of an LVK alert.
    MalformedPacketError : the bytes are too many, truncated or corrupt.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise MalformedPacketError(f"the message is larger than {MAX_MESSAGE_BYTES} bytes")
    try:
        reader = fastavro.reader(io.BytesIO(payload))
        schema, codec = reader.writer_schema, reader.codec
    except _FAULTS:
        raise MalformedPacketError("the Avro header cannot be read") from None
    if codec not in CODECS:
        raise UnknownSchemaError("the Avro file is compressed in a way that is not read")
    name = schema.get("name", "") if isinstance(schema, dict) else ""
    full_name = f"{schema.get('namespace', '')}.{name}" if isinstance(schema, dict) and "." not in name else name
    if not full_name.startswith(ALERT_NAMESPACE) or not _is_plain(schema, MAX_DEPTH):
        raise UnknownSchemaError("the Avro schema is not that of an LVK alert")
    try:
        alert = next(iter(reader))
    except _FAULTS:
        raise MalformedPacketError("the Avro message is truncated or corrupt") from None
    if not isinstance(alert, dict):
        raise MalformedPacketError("the Avro message is not a record")
    return alert


_FAULTS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError,
    StopIteration, TypeError, ValueError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType,
)  # fmt: skip
"""What the decoder raises on corrupt bytes; it has no error of its own for them."""


def _is_plain(schema: object, depth: int) -> bool:
    """Return whether each element of the schema consumes input: no references, no lists of nothing."""
    if depth == 0 or not isinstance(schema, str | list | dict):
        return False
    if isinstance(schema, str):
        return schema in _SCALARS
    if isinstance(schema, list):
        return all(_is_plain(branch, depth - 1) for branch in schema)
    kind = schema.get("type")
    if kind == "record" and isinstance(schema.get("fields"), list):
        return all(isinstance(entry, dict) and _is_plain(entry.get("type"), depth - 1) for entry in schema["fields"])
    if kind in {"array", "map"}:
        return schema.get("items" if kind == "array" else "values") in ("string", "double")
    return kind == "enum" or (isinstance(kind, str) and kind in _SCALARS)
