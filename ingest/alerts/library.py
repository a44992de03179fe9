"""What the decoder remembers: compiled programs by container header and by schema id."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.errors import UnknownSchemaError, WireError
from ingest.alerts.avro_schema import parse_schema
from ingest.alerts.container import parse_header
from ingest.alerts.lsst_schemas import LsstSchemas
from ingest.alerts.program import Layout, Program, compile_program, join_programs

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAX_REMEMBERED = 512
"""Headers that are kept; a survey's whole history needs about 30. When full, all are forgotten and learnt anew."""

MAX_NEW_PER_BATCH = 64
"""Headers and schemas learnt in one batch, at about 5 ms each; more are an attack or corruption, not writers."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one header or schema id."""

    program: int = -1
    """Number of the program, -1 when the schema was refused."""
    codec: str = "null"
    length: int = 0
    """Bytes of the header before its sync marker [byte]; 0 for a schema id."""
    error: WireError | None = None


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

    def __init__(self, layout: Layout, lsst_schemas: LsstSchemas | None) -> None:
        self._layout = layout
        self._lsst_schemas = lsst_schemas
        self._forget()

    def _forget(self) -> None:
        self._headers: dict[bytes, Entry] = {}
        self._ids: dict[int, Entry] = {}
        self._programs: dict[bytes, int] = {}
        self._compiled: list[Program] = []
        self._known: Known | None = None
        self._budget = MAX_NEW_PER_BATCH

    def begin_batch(self) -> Known:
        """Return all that is known, and allow new schemas again."""
        if len(self._headers) + len(self._compiled) > MAX_REMEMBERED:
            self._forget()
        self._budget = MAX_NEW_PER_BATCH
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
        return self._headers[raw]

    def learn_id(self, schema_id: int) -> Entry:
        """Return the entry of a schema id, compiling its schema if it is new.

        Raises
        ------
        UnknownSchemaError : no schema has this id.
        """
        if schema_id in self._ids:
            return self._ids[schema_id]
        if self._lsst_schemas is None:
            raise UnknownSchemaError(f"No schema is known for id {schema_id}.")
        # What is unknown is not remembered: it may be registered before the next batch.
        schema = self._lsst_schemas.schema(schema_id)
        self._spend()
        self._ids[schema_id] = self._compile(json.dumps(schema).encode(), "null", 0)
        return self._ids[schema_id]

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
                return Entry(codec=codec, length=length, error=error)
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
