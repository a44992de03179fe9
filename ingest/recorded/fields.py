"""Which fields the packets of a survey have, and as what Arrow type a recording of them is taken.

Brokers add columns of their own at the top of a packet and table tools change types. What stands here tells the
survey's fields from the broker's, and a number that must be whole from one that may be broken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import pyarrow as pa

from graph.model import Survey
from ingest.alerts.lsst_schemas import LsstSchemas
from ingest.alerts.ztf_schema import ALERT as ZTF_ALERT

Known: TypeAlias = "str | dict[str, Known] | list[Known]"
"""A known field: the name of an Avro primitive, the fields of a record, or a list of one for an array."""

MAX_TYPE_DEPTH = 8
"""Deepest nesting of a recorded type that is followed; a packet needs 3."""

_ARROW_OF_PRIMITIVE: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "string": pa.large_string(),
    "bytes": pa.large_binary(),
}

_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def known_fields(survey: Survey) -> dict[str, Known]:
    """Return the fields of a survey's packets, of all versions together; a later version wins.

    Raises
    ------
    UnknownSchemaError : a published schema of LSST cannot be read.
    """
    if survey is Survey.ZTF:
        return _fields(ZTF_ALERT, {})
    schemas = LsstSchemas()
    known: dict[str, Known] = {}
    for schema_id in schemas.ids():
        known = _merge(known, _fields(schemas.schema(schema_id), {}))
    return known


def _fields(record: Mapping[str, Any], named: dict[str, Known]) -> dict[str, Known]:
    """Return the fields of an Avro record whose types are written out at their first use."""
    found: dict[str, Known] = {}
    for field in record["fields"]:
        known = _known(field["type"], named)
        if known is not None:
            found[field["name"]] = known
    return found


def _known(declared: Any, named: dict[str, Known]) -> Known | None:  # noqa: ANN401 - a tree of JSON
    """Return what is known of one Avro type; None for those that no survey uses."""
    if isinstance(declared, list):
        return next((known for branch in declared if (known := _known(branch, named)) is not None), None)
    if isinstance(declared, str):
        return declared if declared in _ARROW_OF_PRIMITIVE else named.get(declared.rpartition(".")[2])
    if declared["type"] == "record":
        fields = _fields(declared, named)
        named[declared["name"].rpartition(".")[2]] = fields
        return fields
    if declared["type"] == "array":
        item = _known(declared["items"], named)
        return None if item is None else [item]
    # What is left is a primitive with a logical type.
    return _known(declared["type"], named)


def _merge(older: dict[str, Known], newer: dict[str, Known]) -> dict[str, Known]:
    return older | {name: _merge_one(older.get(name), known) for name, known in newer.items()}


def _merge_one(older: Known | None, newer: Known) -> Known:
    if isinstance(older, dict) and isinstance(newer, dict):
        return _merge(older, newer)
    if isinstance(older, list) and isinstance(newer, list):
        return [_merge_one(older[0], newer[0])]
    return newer


def arrow_type(known: Known, seen: object) -> pa.DataType:
    """Return the Arrow type of a known field, with those fields of its records that were seen, or all if none was.

    Parameters
    ----------
    seen : names seen in the record, or in the items of the array, as a dictionary of the same form.
    """
    if isinstance(known, str):
        return _ARROW_OF_PRIMITIVE[known]
    if isinstance(known, list):
        return pa.large_list(arrow_type(known[0], seen))
    names = seen if isinstance(seen, dict) else {}
    # Avro's readers refuse an array of records without fields.
    chosen = [name for name in known if name in names] or list(known)
    return pa.struct([pa.field(name, arrow_type(known[name], names.get(name))) for name in chosen])


def packet_type(recorded: pa.StructType, survey: Survey) -> pa.StructType:
    """Return the type that recorded packets are taken as: without a broker's columns, in as few types as can be."""
    known = known_fields(survey)
    return _struct_type([field for field in recorded if field.name in known], known, 0)


def _struct_type(fields: list[pa.Field], known: Known | None, depth: int) -> pa.StructType:
    taken: dict[str, pa.DataType] = {}
    for field in fields:
        below = known.get(field.name) if isinstance(known, dict) else None
        wanted = _wanted_type(field.type, below, depth + 1)
        if wanted is not None and field.name not in taken and _AVRO_NAME.fullmatch(field.name):
            taken[field.name] = wanted
    return pa.struct(list(taken.items()))


def _wanted_type(found: pa.DataType, known: Known | None, depth: int) -> pa.DataType | None:
    """Return the type to take a recorded one as; None where no survey's field has such a type."""
    if depth > MAX_TYPE_DEPTH:
        return None
    if pa.types.is_dictionary(found):
        return _wanted_type(found.value_type, known, depth)
    if pa.types.is_struct(found):
        struct = _struct_type(list(found), known, depth)
        return struct if struct.num_fields else None
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        item = _wanted_type(found.value_type, known[0] if isinstance(known, list) else None, depth + 1)
        return None if item is None else pa.large_list(item)
    return _leaf_type(found, known if isinstance(known, str) else None)


def _leaf_type(found: pa.DataType, known: str | None) -> pa.DataType | None:
    if pa.types.is_null(found):
        return _ARROW_OF_PRIMITIVE[known or "string"]
    if pa.types.is_boolean(found):
        return pa.bool_()
    if pa.types.is_integer(found) or pa.types.is_timestamp(found):
        return pa.int64()
    if pa.types.is_floating(found):
        # Table tools make whole numbers with gaps into broken ones.
        whole = known in {"int", "long"}
        return pa.int64() if whole else pa.float64() if pa.types.is_float64(found) else pa.float32()
    if pa.types.is_string(found) or pa.types.is_large_string(found):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary(found) or pa.types.is_large_binary(found) else None
