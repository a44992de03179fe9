"""Avro object containers outside the hot loop: new headers, compressed blocks, and files of many records."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.errors import MalformedPacketError, UnknownSchemaError
from ingest.alerts.avro_schema import parse_schema
from ingest.alerts.framing import SYNC_BYTES
from ingest.alerts.kernel import STACK_ROWS, read_varint, walk
from ingest.alerts.program import MAX_TABLES, compile_program
from ingest.alerts.status import SENTENCES, Status

Bytes = NDArray[np.uint8]

MAGIC = b"Obj\x01"
"""First bytes of every object container; Avro 1.12."""

MAX_METADATA_ENTRIES = 64
"""Most entries of a header; writers use two or three. Bounds the parsing of hostile headers."""

MAX_CONTAINER_BYTES = 2**30
"""Most bytes of one decompressed block of a file that is replayed [byte]; ten thousand LSST alerts."""

MAX_HEADER_BYTES = 2**20
"""Most bytes of a header [byte]; the surveys' have 27 kB, brokers' up to 100 kB. Headers are kept in memory."""

_CRC_BYTES = 4
"""Length of the checksum after a snappy block [byte]; Avro 1.12, "Required Codecs"."""

_ADLER_BYTES = 4
"""Most bytes left over after a deflate block [byte]: some writers cut zlib's frame and leave parts of its checksum."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a container."""

    schema: bytes
    """The writer's schema in JSON."""
    codec: str
    """``null``, ``deflate`` or ``snappy``."""
    length: int
    """Bytes before the sync marker [byte]."""


def view_bytes(data: bytes) -> Bytes:
    """Return bytes as a read-only array, the form that the loops are compiled for."""
    return np.frombuffer(data, dtype=np.uint8)


def _checked(pair: tuple[int, int]) -> tuple[int, int]:
    """Return what `read_varint` returned, or raise."""
    if pair[1] < 0:
        raise MalformedPacketError(SENTENCES[Status(pair[1])])
    return pair


def _take(buf: Bytes, p: int) -> tuple[bytes, int]:
    """Return a length-prefixed string of bytes and the place after it."""
    size, p = _checked(read_varint(buf, p, len(buf)))
    if not 0 <= size <= len(buf) - p:
        raise MalformedPacketError("A length in the container's header passes the end of the message.")
    return buf[p : p + size].tobytes(), p + size


def parse_header(buf: Bytes) -> Header:
    """Read the header that a message begins with.

    Raises
    ------
    MalformedPacketError : it is cut, or out of bounds.
    UnknownSchemaError : it holds no schema.
    """
    if buf[: len(MAGIC)].tobytes() != MAGIC:
        raise MalformedPacketError("The bytes do not begin like an Avro container.")
    entries, p = _read_metadata(buf, len(MAGIC))
    if len(buf) - p < SYNC_BYTES:
        raise MalformedPacketError(SENTENCES[Status.TRUNCATED])
    schema = entries.get(b"avro.schema")
    if schema is None:
        raise UnknownSchemaError("The container's header holds no schema.")
    codec = entries.get(b"avro.codec", b"null").decode("ascii", errors="replace")
    if codec not in ("null", "deflate", "snappy"):
        raise UnknownSchemaError(f"The container is compressed with {codec[:20]!r}, which is not read.")
    return Header(schema, codec, p)


def _read_metadata(buf: Bytes, p: int) -> tuple[dict[bytes, bytes], int]:
    """Return the entries of a header and the place after them."""
    entries: dict[bytes, bytes] = {}
    while True:
        count, p = _checked(read_varint(buf, p, len(buf)))
        if count == 0:
            break
        if count < 0:
            _, p = _checked(read_varint(buf, p, len(buf)))
        if len(entries) + abs(count) > MAX_METADATA_ENTRIES:
            raise MalformedPacketError("The container's header claims too many entries.")
        for _ in range(abs(count)):
            key, p = _take(buf, p)
            entries[key], p = _take(buf, p)
    if p > MAX_HEADER_BYTES:
        raise MalformedPacketError("The container's header is larger than allowed.")
    return entries, p


def decompress(data: bytes, codec: str, max_bytes: int) -> bytes:
    """Undo the compression of a block.

    Raises
    ------
    MalformedPacketError : the block is corrupt, or larger than ``max_bytes`` once decompressed.
    """
    try:
        if codec == "deflate":
            return _inflate(data, max_bytes)
        if codec == "snappy":
            return _unsnap(data, max_bytes)
    except (zlib.error, OSError, ValueError) as error:
        raise MalformedPacketError(f"The {codec} block of the container is corrupt.") from error
    return data


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """Undo deflate, never making more than the allowed bytes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(data, max_bytes + 1)
    if len(plain) > max_bytes:
        raise MalformedPacketError("The block of the container is larger than allowed once decompressed.")
    if not inflater.eof or len(inflater.unused_data) > _ADLER_BYTES:
        raise ValueError
    return plain


def _unsnap(data: bytes, max_bytes: int) -> bytes:
    """Undo snappy, whose first bytes state the plain length and whose last are a checksum."""
    size = 0
    for place, byte in enumerate(data[:5]):
        size |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    else:
        raise ValueError
    if size > max_bytes:
        raise MalformedPacketError("The block of the container is larger than allowed once decompressed.")
    plain: bytes = pa.Codec("snappy").decompress(data[:-_CRC_BYTES], size, asbytes=True)
    if zlib.crc32(plain) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise ValueError
    return plain


def write_varint(value: int) -> bytes:
    """Write a zig-zag integer."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _write_header(schema: bytes) -> bytes:
    """Write the header of an uncompressed container, up to the sync marker."""
    pairs = ((b"avro.codec", b"null"), (b"avro.schema", schema))
    text = b"".join(write_varint(len(part)) + part for pair in pairs for part in pair)
    return MAGIC + write_varint(len(pairs)) + text + write_varint(0)


def split_container(data: bytes) -> Iterator[bytes]:
    """Yield each record of a container as an uncompressed container of its own, as ZTF sends alerts.

    The records' bytes are not decoded, only measured; the schema and the sync marker stay.

    Raises
    ------
    MalformedPacketError, UnknownSchemaError : the container cannot be read from this place on.
    """
    buf = view_bytes(data)
    header = parse_header(buf)
    measure = _Measure(header.schema)
    sync = data[header.length : header.length + SYNC_BYTES]
    opening = _write_header(header.schema) + sync
    p = header.length + SYNC_BYTES
    while p < len(buf):
        count, p = _checked(read_varint(buf, p, len(buf)))
        block, p = _take(buf, p)
        if data[p : p + SYNC_BYTES] != sync:
            raise MalformedPacketError(SENTENCES[Status.LOST_SYNC])
        p += SYNC_BYTES
        for datum in measure.records(decompress(block, header.codec, MAX_CONTAINER_BYTES), count):
            yield opening + write_varint(1) + write_varint(len(datum)) + datum + sync


class _Measure:
    """Finds where records end."""

    def __init__(self, schema: bytes) -> None:
        self._program = compile_program(parse_schema(schema), ())
        self._tables = (np.zeros((1, 1), dtype=np.int64),) * MAX_TABLES
        self._blanks = (np.zeros(1, dtype=np.int64),) * MAX_TABLES
        self._rows = np.zeros(MAX_TABLES, dtype=np.int64)
        self._stack = np.empty((STACK_ROWS, 4), dtype=np.int64)

    def records(self, block: bytes, count: int) -> Iterator[bytes]:
        """Yield the bytes of each record of a decompressed block."""
        buf = view_bytes(block)
        program = self._program
        p = 0
        for _ in range(count):
            start = p
            p = walk(
                buf,
                p,
                len(buf),
                program.ops,
                program.jumps,
                0,
                len(program.ops),
                self._tables,
                self._blanks,
                self._rows,
                self._rows,
                self._stack,
            )
            if p < 0:
                raise MalformedPacketError(SENTENCES[Status(p)])
            if p == start:
                raise MalformedPacketError("The container holds records without content.")
            yield block[start:p]
        if p != len(buf):
            raise MalformedPacketError(SENTENCES[Status.TRAILING])
