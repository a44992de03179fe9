"""Alerts in JSON to the packets that the survey sent."""

from __future__ import annotations

import base64
import binascii
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from graph.errors import MalformedPacketError, WireError
from graph.model import Survey
from ingest.recorded.columns import LARGEST_EXACT, take_as
from ingest.recorded.encode import PacketWriter
from ingest.recorded.fields import Known, arrow_type, known_fields
from ingest.recorded.json_rows import GZIP_MAGIC, JsonRow, parse_row, read_text, split_rows

ROWS_AT_ONCE = 64
"""Rows that are read and encoded together."""

MAX_PASSED_ON_BYTES = 2**19
"""Most bytes of a damaged row that are passed on [byte]: enough to see what it was, and within what Kafka takes."""

_ALERT = re.compile(rb'"(?:diaSource|diaSourcesList|candid)"\s*:')
_LSST = re.compile(rb'"dia(?:Source|Object)')

_Values = dict[str, object]

_LISTS_OF_LASAIR = {
    "diaForcedSourcesList": "prvDiaForcedSources",
    "diaNondetectionLimitsList": "prvDiaNondetectionLimits",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Packet:
    """A row that was read."""

    survey: Survey
    values: _Values


def holds_alerts(data: bytes, name: str) -> bool:
    """Return whether JSON, compressed or not, names a field that only alerts of the surveys have.

    Raises
    ------
    MalformedPacketError : see `ingest.recorded.json_rows.read_text`.
    """
    return _ALERT.search(read_text(data, name) if data.startswith(GZIP_MAGIC) else data) is not None


def iter_json(data: bytes, name: str) -> Iterator[tuple[Survey, bytes]]:
    """Yield the packets of a text, each as an Avro container of its own, in the order of the rows.

    Notes
    -----
    A row that cannot be read, or is no alert, is passed on as it stands, up to `MAX_PASSED_ON_BYTES`: the decoder
    refuses it, so that it is counted. Fields that no version of the survey's packets has are left out. An object as
    Lasair describes it gives the packet of its newest detection.

    Raises
    ------
    MalformedPacketError : the text is too large, has too many rows, or its compression is damaged.
    """
    text = read_text(data, name)
    fallback = Survey.LSST if _LSST.search(text) else Survey.ZTF
    rows = enumerate(split_rows(text, name), start=1)
    faults: list[str] = []
    while block := list(islice(rows, ROWS_AT_ONCE)):
        yield from _encode_block(block, name, fallback, faults)
    if faults:
        _log.warning("%d rows of %s cannot be read; the first: %s", len(faults), name, faults[0])


def read_packet(row: JsonRow, number: int, name: str) -> tuple[Survey, _Values]:
    """Return a row's survey and its values as the packet's fields want them.

    Raises
    ------
    MalformedPacketError : it is damaged or no alert; the sentence names file and row.
    """
    try:
        survey, found = _find_packet(parse_row(row))
        values = _fit(found, known_fields(survey), "alert")
    except ValueError as error:
        raise MalformedPacketError(f"Row {number} of {name} {error}.") from error
    if not isinstance(values, dict):
        raise MalformedPacketError(f"Row {number} of {name} is not an alert.")
    return survey, values


def _encode_block(
    block: list[tuple[int, JsonRow]], name: str, fallback: Survey, faults: list[str]
) -> Iterator[tuple[Survey, bytes]]:
    """Yield the messages of some rows."""
    packets: list[_Packet | None] = []
    for number, row in block:
        try:
            packets.append(_Packet(*read_packet(row, number, name)))
        except WireError as error:
            faults.append(str(error))
            packets.append(None)
    encoded = {
        survey: _encode(survey, [packet.values for packet in packets if packet and packet.survey is survey])
        for survey in Survey
    }
    for (number, row), packet in zip(block, packets, strict=True):
        message = None if packet is None else next(encoded[packet.survey])
        if packet is None or message is None:
            if packet is not None:
                faults.append(f"Row {number} of {name} holds numbers that no packet can hold.")
            yield fallback, row.raw[:MAX_PASSED_ON_BYTES]
        else:
            yield packet.survey, message


def _encode(survey: Survey, packets: list[_Values]) -> Iterator[bytes | None]:
    """Yield each packet encoded; None for one whose values do not fit its types."""
    if not packets:
        return
    seen: _Values = {}
    for packet in packets:
        _note_names(packet, seen)
    wanted = arrow_type(known_fields(survey), seen)
    writer = PacketWriter(survey, wanted)
    try:
        yield from writer.write(take_as(pa.array(packets, type=wanted), wanted))
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        # One of them is the culprit.
        for packet in packets:
            yield _encode_one(writer, packet, wanted)


def _encode_one(writer: PacketWriter, packet: _Values, wanted: pa.StructType) -> bytes | None:
    try:
        return next(writer.write(take_as(pa.array([packet], type=wanted), wanted)))
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _note_names(value: object, seen: _Values) -> None:
    """Add the names of a record, or of the records of an array, to those seen, level by level."""
    if isinstance(value, dict):
        for name, below in value.items():
            inner = seen.setdefault(name, {})
            if isinstance(inner, dict):
                _note_names(below, inner)
    elif isinstance(value, list):
        for item in value:
            _note_names(item, seen)


def _find_packet(value: object) -> tuple[Survey, _Values]:
    """Return the survey and the packet in what a row holds."""
    if isinstance(value, dict):
        inner = value.get("alert")
        if isinstance(value.get("diaSource"), dict):
            return Survey.LSST, value
        if isinstance(value.get("candidate"), dict):
            return Survey.ZTF, value
        if isinstance(value.get("diaSourcesList"), list):
            return Survey.LSST, _packet_of_object(value)
        if isinstance(inner, dict) and "alert" not in inner:
            return _find_packet(inner)
    raise ValueError("is not an alert")


def _packet_of_object(value: _Values) -> _Values:
    """Return the packet that an object's newest detection came with."""
    listed = value["diaSourcesList"]
    sources = [source for source in listed if isinstance(source, dict)] if isinstance(listed, list) else []
    times = [source.get("midpointMjdTai") for source in sources]
    usable = [(time, -at) for at, time in enumerate(times) if isinstance(time, int | float) and math.isfinite(time)]
    if not usable:
        raise ValueError("has no detection with a time")
    newest = -max(usable)[1]
    packet: _Values = {
        "diaSourceId": sources[newest].get("diaSourceId"),
        "diaSource": sources[newest],
        "prvDiaSources": sources[:newest] + sources[newest + 1 :],
        "diaObject": value.get("diaObject"),
    }
    return packet | {name: value[listed] for listed, name in _LISTS_OF_LASAIR.items() if listed in value}


def _fit(value: object, known: Known, field: str) -> object:
    """Return a value as a known field wants it, without fields that are not known."""
    if value is None:
        return None
    if isinstance(known, dict) and isinstance(value, dict):
        return {name: _fit(below, known[name], name) for name, below in value.items() if name in known}
    if isinstance(known, list) and isinstance(value, list):
        return [_fit(item, known[0], field) for item in value]
    if isinstance(known, str):
        return _fit_plain(value, known, field)
    raise _misfit(field)


def _fit_plain(value: object, known: str, field: str) -> object:
    """Return a value as a known primitive."""
    if known in {"int", "long"}:
        return _fit_whole(value, field)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if known == "string" and (is_number or isinstance(value, str)):
        return str(value)
    if known in {"float", "double"} and is_number:
        # Arrow refuses whole numbers that a float cannot hold.
        return value
    if known == "boolean" and value in (False, True):
        return bool(value)
    if known == "bytes" and isinstance(value, str):
        return _decode_base64(value, field)
    raise _misfit(field)


def _decode_base64(value: str, field: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _misfit(field) from error


def _fit_whole(value: object, field: str) -> int | None:
    """Return a whole number; table tools write NaN for none and quote those that JavaScript cannot hold."""
    if isinstance(value, float) and (math.isnan(value) or (value.is_integer() and abs(value) <= LARGEST_EXACT)):
        return None if math.isnan(value) else int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise _misfit(field)


def _misfit(field: str) -> ValueError:
    return ValueError(f"holds a value of another kind in the field {field}")
