"""The door to the alert decoder: messages of a survey in, normalised columns and rejects out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.errors import MalformedPacketError, UnknownSchemaError, WireError
from graph.model import Survey
from ingest.alerts import lsst, ztf
from ingest.alerts.columns import AlertColumns, Reject
from ingest.alerts.container import decompress
from ingest.alerts.framing import FRAME_BYTES, frame_batch, frame_block
from ingest.alerts.kernel import decode_batch
from ingest.alerts.library import Entry, Library, SchemaSource
from ingest.alerts.lsst_schemas import LsstSchemas
from ingest.alerts.program import MAX_TABLES, Layout
from ingest.alerts.slots import Decoded, Items, Slots
from ingest.alerts.status import SENTENCES, Status

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Messages: TypeAlias = pa.BinaryArray | pa.LargeBinaryArray | pa.ChunkedArray | Sequence[bytes]

MAX_MESSAGE_BYTES = 16 * 2**20
"""Default limit of one message, also once decompressed [byte]; LSST's largest so far have 0.6 MB, Kafka's limit is
usually 1 to 10 MB."""

MAX_GROWTH = 50
"""Most bytes that one byte of a compressed block may become; recorded packets become 2 to 9, deflate reaches 1032.
Bounds what a batch of small bombs takes, each of which is smaller than `MAX_MESSAGE_BYTES` once decompressed."""

_SMALL_BLOCK_BYTES = 65_536
"""Decompressed blocks up to this size may have grown by any factor [byte]."""

_HISTORY_POINTS = 40
"""First guess of the points of each history of an alert, ZTF's mean; only decides how much room is made at once."""

_SURVEYS: dict[Survey, tuple[Layout, Callable[[Decoded], tuple[AlertColumns, list[Reject]]]]] = {
    Survey.ZTF: (ztf.LAYOUT, ztf.normalise),
    Survey.LSST: (lsst.LAYOUT, lsst.normalise),
}


class AlertDecoder:
    """Reads the alerts of one survey; keep it, since it compiles each writer's schema once.

    Not to be used from two threads at once.
    """

    def __init__(
        self,
        survey: Survey,
        lsst_schemas: LsstSchemas | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        registry: SchemaSource | None = None,
    ) -> None:
        self._survey = survey
        self._max_message_bytes = max_message_bytes
        self._layout, self._normalise = _SURVEYS[survey]
        if lsst_schemas is None and survey is Survey.LSST:
            lsst_schemas = LsstSchemas()
        self._library = Library(self._layout, lsst_schemas, registry)
        self._first = [table.slots() for table in self._layout]
        self._points_per_alert = [float(_HISTORY_POINTS)] * (len(self._layout) - 1)

    def decode(self, messages: Messages) -> tuple[AlertColumns, list[Reject]]:
        """Decode a batch; every message becomes either one row or one reject, both in order of the batch.

        Parameters
        ----------
        messages : (n,) whole messages as they came from Kafka; an Arrow array is read where it lies.

        Returns
        -------
        The columns of those that could be read, and why the others could not.

        Raises
        ------
        SchemaRegistryError : a schema must be asked for and the registry does not answer; decode the batch again later.
        """
        batch = _Batch(messages)
        self._library.begin_batch()
        self._frame(batch)
        decoded = self._walk(batch)
        columns, implausible = self._normalise(decoded)
        rejects = [batch.explain(reject) for reject in (*batch.rejects(), *implausible)]
        return columns, sorted(rejects, key=lambda reject: reject.row)

    def _frame(self, batch: _Batch) -> None:
        """Find the datum and the program of every message."""
        known = self._library.known()
        entries = np.full(len(batch.starts), -1, dtype=np.int64)
        frame_batch(
            batch.buf,
            batch.starts,
            batch.ends,
            self._max_message_bytes,
            known.headers,
            known.limits,
            known.ids,
            entries,
            batch.status,
        )
        programs = np.array([entry.program for entry in known.entries] + [-1], dtype=np.int64)
        batch.programs = programs[entries]
        packed = [number for number, entry in enumerate(known.entries) if entry.codec != "null"]
        compressed = np.flatnonzero(np.isin(entries, packed) & (batch.status == 0))
        codecs = {int(m): known.entries[entries[m]].codec for m in compressed} | self._frame_new(batch)
        batch.expand(codecs, self._max_message_bytes)

    def _frame_new(self, batch: _Batch) -> dict[int, str]:
        """Frame the messages of writers that the loop does not know; after their first batch there are none.

        Returns
        -------
        The codec of each of these messages that is compressed.
        """
        compressed: dict[int, str] = {}
        for m in np.flatnonzero((batch.status == Status.NEW_HEADER) | (batch.status == Status.NEW_ID)):
            start, end = int(batch.starts[m]), int(batch.ends[m])
            try:
                entry = self._learn(batch, int(m))
            except WireError as error:
                batch.refuse(int(m), error)
                continue
            if entry.error is not None:
                batch.refuse(int(m), entry.error)
                continue
            if batch.status[m] == Status.NEW_ID:
                start += FRAME_BYTES
            else:
                start, end = frame_block(batch.buf, start + entry.length, end)
            batch.status[m] = min(start, 0)
            batch.starts[m], batch.ends[m], batch.programs[m] = start, end, entry.program
            if entry.doubt:
                batch.doubts[int(m)] = entry.doubt
            if start >= 0 and entry.codec != "null":
                compressed[int(m)] = entry.codec
        return compressed

    def _learn(self, batch: _Batch, m: int) -> Entry:
        message = batch.buf[batch.starts[m] : batch.ends[m]]
        if batch.status[m] == Status.NEW_HEADER:
            return self._library.learn_header(message)
        return self._library.learn_id(int.from_bytes(message[1:FRAME_BYTES].tobytes(), "big"))

    def _walk(self, batch: _Batch) -> Decoded:
        """Copy what is wanted of every datum."""
        known = self._library.known()
        n = len(batch.starts)
        room = [n, *(int(n * points) + 64 for points in self._points_per_alert)]
        unused = MAX_TABLES - len(room)
        blanks = (*(table.blank() for table in self._layout), *[np.empty(0, dtype=np.int64)] * unused)
        tables = [
            np.empty((rows, len(blank)), dtype=np.int64)
            for rows, blank in zip([*room, *[0] * unused], blanks, strict=True)
        ]
        rows = np.zeros(MAX_TABLES, dtype=np.int64)
        offsets = np.zeros((n + 1, MAX_TABLES), dtype=np.int64)
        done = 0
        while done < n:
            done = decode_batch(
                batch.buf,
                batch.starts,
                batch.ends,
                batch.programs,
                known.bounds,
                known.ops,
                known.jumps,
                tuple(tables),
                blanks,
                rows,
                offsets,
                batch.status,
                done,
            )
            if done < n:
                tables[1:] = [_grown(table, used) for table, used in zip(tables[1:], rows[1:], strict=True)]
        good = batch.status == 0
        # Room for half as many again, so that a batch like this one needs no second attempt.
        self._points_per_alert = [min(1.5 * used / max(n, 1) + 1.0, 1000.0) for used in rows[1 : len(room)].tolist()]
        items = tuple(
            Items(Slots(batch.buf, self._first[k], tables[k][: rows[k]]), np.append(0, offsets[1:, k][good]))
            for k in range(1, len(room))
        )
        return Decoded(np.flatnonzero(good), Slots(batch.buf, self._first[0], tables[0][good]), items)


def _grown(table: IntArray, used: int) -> IntArray:
    """Return a table of twice the rows."""
    wider = np.empty((2 * len(table), table.shape[1]), dtype=np.int64)
    wider[:used] = table[:used]
    return wider


class _Batch:
    """Bytes of a batch and what is known of each message so far."""

    def __init__(self, messages: Messages) -> None:
        array = _as_arrow(messages)
        n = len(array)
        wide = pa.types.is_large_binary(array.type)
        _, limits, data = array.buffers()
        offsets = np.frombuffer(limits, dtype=np.int64 if wide else np.int32) if limits else np.zeros(1, dtype=np.int64)
        offsets = offsets[array.offset : array.offset + n + 1].astype(np.int64)
        self.buf: Bytes = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
        self.buf.flags.writeable = False
        self.starts: IntArray = offsets[:n].copy()
        self.ends: IntArray = offsets[1 : n + 1].copy()
        self.status: IntArray = np.zeros(n, dtype=np.int64)
        self.programs: IntArray = np.full(n, -1, dtype=np.int64)
        self.doubts: dict[int, str] = {}
        self._faults: dict[int, tuple[str, str]] = {}
        if array.null_count:
            # A null has no bytes, which is how any other empty message ends.
            self.ends = np.where(array.is_null().to_numpy(zero_copy_only=False), self.starts, self.ends)

    def refuse(self, m: int, error: WireError) -> None:
        """Note why a message cannot be read."""
        # The error itself would keep its traceback, and with it all that was decompressed so far.
        self._faults[m] = (error.reason, str(error))
        self.status[m] = Status.NOT_AVRO

    def expand(self, compressed: dict[int, str], max_bytes: int) -> None:
        """Decompress some data and put them behind all other bytes, which costs a copy of the batch."""
        parts: list[Bytes] = [self.buf]
        at = len(self.buf)
        for m, codec in compressed.items():
            try:
                packed = self.buf[self.starts[m] : self.ends[m]].tobytes()
                plain = decompress(packed, codec, min(max_bytes, _SMALL_BLOCK_BYTES + MAX_GROWTH * len(packed)))
            except WireError as error:
                self.refuse(m, error)
                continue
            parts.append(np.frombuffer(plain, dtype=np.uint8))
            self.starts[m], self.ends[m] = at, at + len(plain)
            at += len(plain)
        if len(parts) > 1:
            self.buf = np.concatenate(parts)
            self.buf.flags.writeable = False

    def rejects(self) -> list[Reject]:
        """Return every message that could not be read."""
        return [self._reject(int(m)) for m in np.flatnonzero(self.status != 0)]

    def explain(self, reject: Reject) -> Reject:
        """Return a reject; where another schema stood in for an unknown one, that is the reason."""
        doubt = self.doubts.get(reject.row)
        if doubt is None:
            return reject
        fault = reject.message[0].lower() + reject.message[1:]
        return Reject(reject.row, UnknownSchemaError.reason, f"{doubt}: {fault}")

    def _reject(self, m: int) -> Reject:
        if m in self._faults:
            return Reject(m, *self._faults[m])
        return Reject(m, MalformedPacketError.reason, SENTENCES[Status(int(self.status[m]))])


def _as_arrow(messages: Messages) -> pa.Array:
    """Return messages as one Arrow array of bytes."""
    if isinstance(messages, pa.ChunkedArray):
        messages = messages.combine_chunks()
        if isinstance(messages, pa.ChunkedArray):
            messages = pa.concat_arrays(messages.chunks)
    if isinstance(messages, pa.Array):
        return messages if pa.types.is_binary(messages.type) else messages.cast(pa.large_binary())
    return pa.array(messages, type=pa.large_binary())


def decode_alerts(survey: Survey, messages: Messages) -> tuple[AlertColumns, list[Reject]]:
    """Decode a batch with a decoder that is kept for the survey; see `AlertDecoder.decode`."""
    if survey not in _DECODERS:
        _DECODERS[survey] = AlertDecoder(survey)
    return _DECODERS[survey].decode(messages)


_DECODERS: dict[Survey, AlertDecoder] = {}
