"""What the decoder remembers: compiled programs by container header and by schema id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graph.errors import UnknownSchemaError, WireError
from ingest.alerts.avro_schema import parse_schema
from ingest.alerts.container import parse_header
from ingest.alerts.lsst_schemas import IDS_PER_MAJOR, LsstSchemas
from ingest.alerts.program import Layout, Program, compile_program, join_programs

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAX_REMEMBERED = 512
"""Headers that are kept; a survey's whole history needs about 30. When full, all are forgotten and learnt anew."""

MAX_REMEMBERED_BYTES = 2**26
"""Bytes of headers that are kept [byte]; those 30 have about 1 MB."""

MAX_NEW_PER_BATCH = 64
"""Headers and schemas learnt in one batch, at about 5 ms each; more are an attack or corruption, not writers."""

MAX_QUESTIONS_PER_BATCH = 16
"""Ids that a registry is asked for in one batch; each may take seconds, and hostile messages can name any id."""


class SchemaSource(Protocol):
    """Something that knows schemas by id, such as `ingest.alerts.schema_registry.SchemaRegistry`."""

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        """Return a self-contained schema.

        Raises
        ------
        UnknownSchemaError : there is none of this id.
        SchemaRegistryError : it cannot be said now whether there is.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one header or schema id."""

    program: int = -1
    """Number of the program, -1 when the schema was refused."""
    codec: str = "null"
    length: int = 0
    """Bytes of the header before its sync marker [byte]; 0 for a schema id."""
    error: WireError | None = None
    doubt: str = ""
    """Why a message that this program cannot read has an unknown schema; empty when the program is the writer's."""


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """The library in the form that the loops take, see `ingest.alerts.framing.frame_batch`."""

    headers: Bytes
    limits: IntArray
    ids: IntArray
    entries: tuple[Entry, ...]
    """Of the headers, then of the ids."""
    ops: IntArray
    jumps: IntArray
    bounds: IntArray


class Library:
    """Compiles each writer's schema once."""

    def __init__(self, layout: Layout, lsst_schemas: LsstSchemas | None, registry: SchemaSource | None = None) -> None:
        self._layout = layout
        self._lsst_schemas = lsst_schemas
        self._registry = registry
        self._forget()

    def _forget(self) -> None:
        self._headers: dict[bytes, Entry] = {}
        self._ids: dict[int, Entry] = {}
        self._programs: dict[bytes, int] = {}
        self._compiled: list[Program] = []
        self._known: Known | None = None
        self._header_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._budget = MAX_NEW_PER_BATCH
        self._questions = MAX_QUESTIONS_PER_BATCH
        # What is unknown is not remembered for longer: it may be registered before the next batch.
        self._stand_ins: dict[int, Entry] = {}

    def begin_batch(self) -> Known:
        """Return all that is known, and allow new schemas again."""
        if len(self._headers) + len(self._compiled) > MAX_REMEMBERED or self._header_bytes > MAX_REMEMBERED_BYTES:
            self._forget()
        self._begin()
        return self.known()

    def learn_header(self, message: Bytes) -> Entry:
        """Return the entry of a message's header, compiling its schema if it is new.

        Raises
        ------
        WireError : the header cannot be read; nothing is remembered.
        """
        header = parse_header(message)
        raw = message[: header.length].tobytes()
        if raw not in self._headers:
            self._spend()
            self._headers[raw] = self._compile(header.schema, header.codec, header.length)
            self._header_bytes += len(raw)
        return self._headers[raw]

    def learn_id(self, schema_id: int) -> Entry:
        """Return the entry of a schema id, compiling its schema if it is new.

        An id that nobody knows gets the program of the nearest id of the same major version, with a doubt.

        Raises
        ------
        UnknownSchemaError : more schemas are new than one batch may bring.
        SchemaRegistryError : the schema registry could not be asked.
        """
        for known in (self._ids, self._stand_ins):
            if schema_id in known:
                return known[schema_id]
        schema = self._look_up(schema_id)
        if schema is None:
            self._stand_ins[schema_id] = self._stand_in(schema_id)
            return self._stand_ins[schema_id]
        self._spend()
        self._ids[schema_id] = self._compile(json.dumps(schema).encode(), "null", 0)
        return self._ids[schema_id]

    def _look_up(self, schema_id: int) -> Mapping[str, Any] | None:
        """Return the schema of an id: published ones first, then the registry's; None when neither knows it."""
        sources = [self._lsst_schemas] if self._questions <= 0 else [self._lsst_schemas, self._registry]
        for source in sources:
            if source is not None:
                self._questions -= source is self._registry
                try:
                    return source.schema(schema_id)
                except UnknownSchemaError:
                    continue
        return None

    def _stand_in(self, schema_id: int) -> Entry:
        """Return the entry that stands in for an unknown id: that of the nearest known id, or an error."""
        tried = [] if self._lsst_schemas is None else ["the published schemas"]
        tried += [] if self._registry is None else ["the schema registry"]
        unknown = f"No schema is known for id {schema_id}"
        asked = f"{unknown} (asked: {' and '.join(tried)})" if tried else unknown
        published = () if self._lsst_schemas is None else self._lsst_schemas.ids()
        alike = [other for other in published if other // IDS_PER_MAJOR == schema_id // IDS_PER_MAJOR]
        if not alike:
            return Entry(error=UnknownSchemaError(f"{asked}."))
        nearest = min(alike, key=lambda other: (abs(other - schema_id), -other))
        return replace(self.learn_id(nearest), doubt=f"{asked}, and the nearest, {nearest}, does not fit")

    def _spend(self) -> None:
        if self._budget <= 0:
            raise UnknownSchemaError(f"More than {MAX_NEW_PER_BATCH} new headers or schemas came in one batch.")
        self._budget -= 1
        self._known = None

    def _compile(self, schema: bytes, codec: str, length: int) -> Entry:
        if schema not in self._programs:
            try:
                program = compile_program(parse_schema(schema), self._layout)
            except WireError as error:
                # A new one, for the error's traceback would keep the parsed schema.
                return Entry(codec=codec, length=length, error=type(error)(str(error)))
            self._programs[schema] = len(self._compiled)
            self._compiled.append(program)
        return Entry(self._programs[schema], codec, length)

    def known(self) -> Known:
        """Return the library as arrays; what was refused is left to `learn_header` and `learn_id`."""
        if self._known is None:
            headers = {raw: entry for raw, entry in self._headers.items() if entry.program >= 0}
            ids = {schema_id: entry for schema_id, entry in self._ids.items() if entry.program >= 0}
            ops, jumps, bounds = join_programs(self._compiled)
            self._known = Known(
                headers=np.frombuffer(b"".join(headers), dtype=np.uint8),
                limits=np.cumsum([0, *map(len, headers)], dtype=np.int64),
                ids=np.array(list(ids), dtype=np.int64),
                entries=(*headers.values(), *ids.values()),
                ops=ops,
                jumps=jumps,
                bounds=bounds,
            )
        return self._known
