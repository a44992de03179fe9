"""The Avro twins of the published messages: the same content, with a schema derived from the JSON Schema.

Each message is one Avro object container file, as GCN sends its Avro notices: it carries its own schema.
"""

from __future__ import annotations

import hashlib
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import fastavro
import orjson

from coordinator.message_schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE: Final = "heliograph"
"""Avro namespace of all records."""

SCHEMA_FIELD: Final = "schema"
"""Name of the field for ``$schema``: Avro allows no dollar sign."""

_SIMPLE: Final[Mapping[str, str]] = {
    "string": "string",
    "number": "double",
    "integer": "long",
    "boolean": "boolean",
    "null": "null",
}


def to_avro(body: Mapping[str, object]) -> bytes:
    """Return a message as an Avro object container file; the same message gives the same bytes.

    Raises
    ------
    KeyError : ``$schema`` is not that of a published message.
    """
    name = str(body["$schema"])
    schema = avro_schema(name)
    marker = hashlib.sha256(orjson.dumps(schema)).digest()[:16]
    datum = {SCHEMA_FIELD if key == "$schema" else key: value for key, value in body.items()}
    buffer = BytesIO()
    fastavro.writer(buffer, _parsed(name), [datum], sync_marker=marker)
    return buffer.getvalue()


@cache
def avro_schema(name: str) -> dict[str, Any]:
    """Return the Avro schema of a message from its JSON Schema.

    Parameters
    ----------
    name : value of ``$schema`` in the message.

    Notes
    -----
    An object with named properties becomes a record, one with any keys a map; a property that may be absent or null
    becomes a union with null, whose default is null.
    """
    kind = name.split("/")[1].title().replace("-", "")
    schema = _type_of(SCHEMAS[name], kind)
    return {"namespace": NAMESPACE, **schema}


def avro_files() -> dict[str, bytes]:
    """Return name and content of every file in ``docs/schemas`` that holds an Avro schema."""
    return {
        f"{name.split('/')[1]}.avsc": orjson.dumps(
            avro_schema(name), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        )
        for name in SCHEMAS
    }


@cache
def _parsed(name: str) -> Any:  # noqa: ANN401 - what an untyped library makes of a schema
    return fastavro.parse_schema(avro_schema(name))


def _type_of(schema: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - Avro types are text, lists and mappings
    """Return the Avro type of a JSON Schema; ``path`` names its records."""
    kinds = schema["type"]
    if isinstance(kinds, list):
        # Null first: the default of a union is a value of its first branch.
        ordered = sorted(kinds, key=lambda kind: kind != "null")
        return [_type_of({**schema, "type": kind}, path) for kind in ordered]
    if kinds == "array":
        return {"type": "array", "items": _type_of(schema["items"], f"{path}Item")}
    if kinds != "object":
        return _SIMPLE[kinds]
    if "properties" not in schema:
        return {"type": "map", "values": _type_of(schema["additionalProperties"], path)}
    required = set(schema["required"])
    fields = [_field(name, value, name in required, path) for name, value in schema["properties"].items()]
    return {"type": "record", "name": path, "doc": schema["description"], "fields": fields}


def _field(name: str, schema: Mapping[str, Any], is_required: bool, path: str) -> dict[str, Any]:
    """Return the field of a record."""
    plain = SCHEMA_FIELD if name == "$schema" else name
    kind = _type_of(schema, path + plain.title().replace("_", ""))
    if not is_required:
        kind = ["null", kind]
    field: dict[str, Any] = {"name": plain, "type": kind}
    if "description" in schema:
        field["doc"] = schema["description"]
    return field | ({"default": None} if isinstance(kind, list) and kind[0] == "null" else {})
