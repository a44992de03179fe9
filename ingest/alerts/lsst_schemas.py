"""LSST's alert schemas by the id that stands before each message: major version x 100 + minor.

The published schemas are data files of the package ``lsst-alert-packet``; only those files are read, none of its
code is imported. A schema that is newer than the installed package can be registered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from graph.errors import UnknownSchemaError

PACKAGE = "lsst-alert-packet"
"""Distribution that carries the schemas; https://github.com/lsst/alert_packet."""

IDS_PER_MAJOR = 100
"""Ids that a major version has: an id is major x 100 + minor; lsst-alert-packet, ``SchemaRegistry``."""

Schema = dict[str, Any]


class LsstSchemas:
    """The known schemas; each is read from disk when it is first asked for."""

    def __init__(self, extra: Mapping[int, Schema] | None = None) -> None:
        self._schemas: dict[int, Schema] = {}
        self._files = _published_files()
        for schema_id, schema in (extra or {}).items():
            self.register(schema_id, schema)

    def register(self, schema_id: int, schema: Schema) -> None:
        """Make a self-contained schema known under an id; it replaces a published one."""
        self._schemas[schema_id] = schema

    def ids(self) -> tuple[int, ...]:
        """Return every known id, ascending."""
        return tuple(sorted({*self._schemas, *self._files}))

    def schema(self, schema_id: int) -> Schema:
        """Return a self-contained schema.

        Raises
        ------
        UnknownSchemaError : nobody registered or published this id.
        """
        if schema_id not in self._schemas:
            folder = self._files.get(schema_id)
            if folder is None:
                raise UnknownSchemaError(f"No schema is known for id {schema_id}.")
            self._schemas[schema_id] = _assemble(folder)
        return self._schemas[schema_id]


def _published_files() -> dict[int, Path]:
    """Return the main file of each published version by its id; none where the package is not installed."""
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        return {}
    found: dict[int, Path] = {}
    for file in files:
        major, minor = file.parts[-3:-1] if len(file.parts) > 2 else ("", "")
        if file.name.endswith(".alert.avsc") and major.isdigit() and minor.isdigit():
            found[int(major) * IDS_PER_MAJOR + int(minor)] = Path(str(file.locate()))
    return found


def _assemble(main: Path) -> Schema:
    """Write each type that the main file names in place of its first use."""
    try:
        parts = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(main.parent.glob("*.avsc"))]
        whole = json.loads(main.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownSchemaError(f"The schema file {main.name} cannot be read.") from error
    unused = {f"{part['namespace']}.{part['name']}": part for part in parts}
    unused.pop(f"{whole['namespace']}.{whole['name']}", None)
    schema: Schema = _write_out(whole, unused)
    return schema


def _write_out(declared: Any, unused: dict[str, Schema]) -> Any:  # noqa: ANN401 - a tree of JSON
    """Replace the first use of each name by its definition."""
    if isinstance(declared, str):
        return _write_out(unused.pop(declared), unused) if declared in unused else declared
    if isinstance(declared, list):
        return [_write_out(branch, unused) for branch in declared]
    if not isinstance(declared, dict):
        return declared
    written = dict(declared)
    for key in ("type", "items", "values"):
        if key in written:
            written[key] = _write_out(written[key], unused)
    if isinstance(written.get("fields"), list):
        written["fields"] = [_write_out(field, unused) for field in written["fields"]]
    return written
