"""The record types of an LSST packet, from the project's own published schema files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro.schema

from ingest.alerts.lsst_schemas import LsstSchemas

DEFAULT_SCHEMA_ID = 1000
"""Schema id of simulated packets: version 10.0, the newest in which real alerts are known (March to June 2026)."""


@dataclass(frozen=True, slots=True)
class LsstSchema:
    """The parsed schema of one version."""

    schema_id: int
    """Major times 100 plus minor, as on the wire."""
    alert: Any

    def record(self, field: str) -> Any:  # noqa: ANN401 - fastavro's schemas have no type of their own
        """Return the record type inside a field of the alert, through unions and arrays."""
        declared = next(entry["type"] for entry in self.alert["fields"] if entry["name"] == field)
        return _resolve(self.alert, declared)


@cache
def load_lsst_schema(schema_id: int = DEFAULT_SCHEMA_ID) -> LsstSchema:
    """Read the schema of a version.

    Raises
    ------
    UnknownSchemaError : the schema files are not installed, or have no such version.
    """
    return LsstSchema(schema_id, fastavro.schema.parse_schema(LsstSchemas().schema(schema_id)))


def _resolve(root: Any, declared: Any) -> Any:  # noqa: ANN401 - see LsstSchema.record
    if isinstance(declared, list):
        return _resolve(root, declared[1])
    if isinstance(declared, dict):
        return _resolve(root, declared["items"]) if declared["type"] == "array" else declared
    return _find(root, declared)


def _find(node: Any, name: str) -> Any:  # noqa: ANN401 - see LsstSchema.record
    """Return the definition of a named record inside a schema, None if it is not there."""
    if isinstance(node, list):
        return next((found for entry in node if (found := _find(entry, name)) is not None), None)
    if not isinstance(node, dict):
        return None
    if node.get("type") == "record":
        if node["name"] == name:
            return node
        return next((found for entry in node["fields"] if (found := _find(entry["type"], name)) is not None), None)
    return _find(node["items"], name) if node.get("type") == "array" else None
