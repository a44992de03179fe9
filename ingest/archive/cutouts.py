"""The small images in one packet, read on demand: they are in the archive, never in the graph."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fastavro
import orjson
from fastavro.schema import SchemaParseException, UnknownType

from graph.errors import MalformedPacketError
from graph.model import Survey
from ingest.alerts.container import MAGIC, decompress, parse_header, view_bytes
from ingest.alerts.decode import MAX_MESSAGE_BYTES, AlertDecoder
from ingest.alerts.framing import FRAME_BYTES, frame_block
from ingest.alerts.lsst_schemas import LsstSchemas

FITS = "application/fits"
"""Media type of a FITS file; RFC 4047."""

GZIPPED_FITS = "application/gzip"
"""Media type of a FITS file inside gzip, as ZTF sends them; RFC 6713."""

UNKNOWN = "application/octet-stream"
"""Media type of what is neither; LSST's early samples hold pickled arrays."""

_FIELDS = {"science": "cutoutScience", "template": "cutoutTemplate", "difference": "cutoutDifference"}
"""Both surveys use the same names."""

_FASTAVRO_ERRORS = (
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
    struct.error,
    SchemaParseException,
    UnknownType,
)
"""What fastavro raises for records and schemas that it cannot read."""


@dataclass(frozen=True, slots=True)
class Cutouts:
    """The images of one packet as they were sent; None where there is none."""

    science: bytes | None
    template: bytes | None
    difference: bytes | None
    media_type: str
    """Of all of them: `FITS`, `GZIPPED_FITS` or `UNKNOWN`."""


def read_cutouts(survey: Survey, packet: bytes, lsst_schemas: LsstSchemas | None = None) -> Cutouts:
    """Read the images in a packet.

    Parameters
    ----------
    packet : as it was received: an Avro container of one record, or a message in the Confluent wire format.
    lsst_schemas : schemas by id; the published ones when None.

    Raises
    ------
    MalformedPacketError, UnknownSchemaError : the packet cannot be read.
    """
    # The decoder of the stream refuses whatever would make a general reader run for ever or fill the memory.
    _, rejects = AlertDecoder(survey, lsst_schemas).decode([packet])
    if rejects:
        raise MalformedPacketError(rejects[0].message)
    schemas = lsst_schemas or LsstSchemas()
    try:
        record = _read_record(packet, schemas)
        images = {name: _stamp(record.get(field)) for name, field in _FIELDS.items()}
    except _FASTAVRO_ERRORS as error:
        raise MalformedPacketError("The record of the packet cannot be read with its schema.") from error
    return Cutouts(**images, media_type=_media_type(next(filter(None, images.values()), b"")))


def _read_record(packet: bytes, schemas: LsstSchemas) -> dict[str, Any]:
    """Return the only record of a packet."""
    if not packet.startswith(MAGIC):
        schema = fastavro.parse_schema(schemas.schema(int.from_bytes(packet[1:FRAME_BYTES], "big")))
        return _as_record(fastavro.schemaless_reader(io.BytesIO(packet[FRAME_BYTES:]), schema))
    buf = view_bytes(packet)
    header = parse_header(buf)
    begin, stop = frame_block(buf, header.length, len(buf))
    datum = decompress(packet[begin:stop], header.codec, MAX_MESSAGE_BYTES)
    return _as_record(fastavro.schemaless_reader(io.BytesIO(datum), _container_schema(header.schema)))


@lru_cache(maxsize=16)
def _container_schema(schema: bytes) -> Any:  # noqa: ANN401 - a tree of JSON
    """Return the schema of a container as fastavro takes it."""
    return fastavro.parse_schema(orjson.loads(schema))


def _as_record(value: object) -> dict[str, Any]:
    """Return what was read as a record."""
    if not isinstance(value, dict):
        raise MalformedPacketError("The packet does not hold a record.")
    return value


def _stamp(value: object) -> bytes | None:
    """Return an image: LSST's are bytes, ZTF's lie in a record with a file name."""
    if isinstance(value, dict):
        value = value.get("stampData")
    return value if isinstance(value, bytes) and value else None


def _media_type(image: bytes) -> str:
    """Return the media type of an image, from its first bytes."""
    if image.startswith(b"\x1f\x8b"):
        return GZIPPED_FITS
    return FITS if image.startswith(b"SIMPLE  =") else UNKNOWN
