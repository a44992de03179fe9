"""The same packets decoded by fastavro: what a plain Python consumer does before it has done anything else."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Sequence

import fastavro
import psutil

from graph.errors import MalformedPacketError
from graph.model import Survey
from ingest.alerts.lsst_schemas import LsstSchemas

WIRE_HEADER_BYTES = 5
"""Bytes before the datum in Confluent's wire format: a zero and the schema's id, big-endian [byte]."""

SYNC_BYTES = 16
"""Length of the marker that ends the header and each block of an Avro container [byte]; Avro 1.11 specification."""


def measure_peers(survey: Survey, packets: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """Measure fastavro on one core: with the schema parsed for each packet, and with a parsed schema kept.

    Raises
    ------
    MalformedPacketError : a ZTF packet is not an Avro container.
    UnknownSchemaError : LSST's schemas are not installed, or do not have the packets' version.
    """
    return {
        "fastavro_schema_each_time": _measure(_schema_each_time(survey), packets),
        "fastavro_schema_kept": _measure(_schema_kept(survey, packets[0]), packets),
    }


def _measure(decode: Callable[[bytes], object], packets: Iterable[bytes]) -> dict[str, float]:
    me = psutil.Process()
    count = 0
    used, started = me.cpu_times(), time.perf_counter()
    for packet in packets:
        decode(packet)
        count += 1
    elapsed = time.perf_counter() - started
    now = me.cpu_times()
    cpu_s = now.user + now.system - used.user - used.system
    return {"alerts_per_s": round(count / elapsed, 1), "cpu_s_per_1000": round(1000 * cpu_s / count, 3)}


def _schema_each_time(survey: Survey) -> Callable[[bytes], object]:
    if survey is Survey.ZTF:
        return lambda packet: list(fastavro.reader(io.BytesIO(packet)))
    schemas = LsstSchemas()

    def decode(packet: bytes) -> object:
        declared = schemas.schema(int.from_bytes(packet[1:WIRE_HEADER_BYTES], "big"))
        return fastavro.schemaless_reader(io.BytesIO(packet[WIRE_HEADER_BYTES:]), fastavro.parse_schema(declared), None)

    return decode


def _schema_kept(survey: Survey, first: bytes) -> Callable[[bytes], object]:
    if survey is Survey.ZTF:
        try:
            metadata = fastavro.reader(io.BytesIO(first)).metadata
        except (ValueError, EOFError) as error:
            raise MalformedPacketError("A packet is not an Avro container.") from error
        # The reader's own schema would be parsed anew for each packet: it does not carry its named types.
        parsed = fastavro.parse_schema(json.loads(metadata["avro.schema"]))
        header = first.find(first[-SYNC_BYTES:]) + SYNC_BYTES

        def decode_block(packet: bytes) -> object:
            block = io.BytesIO(packet[header:])
            _skip_varint(block)
            _skip_varint(block)
            return fastavro.schemaless_reader(block, parsed, None)

        return decode_block
    declared = LsstSchemas().schema(int.from_bytes(first[1:WIRE_HEADER_BYTES], "big"))
    kept = fastavro.parse_schema(declared)
    return lambda packet: fastavro.schemaless_reader(io.BytesIO(packet[WIRE_HEADER_BYTES:]), kept, None)


def _skip_varint(stream: io.BytesIO) -> None:
    """Pass over one of the two numbers, of records and of bytes, that open a block."""
    while stream.read(1)[0] & 0x80:
        pass
