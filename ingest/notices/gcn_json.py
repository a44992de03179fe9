"""Notices in GCN's unified JSON schema: from bytes to fields, and from fields to a `Notice`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import orjson

from graph.errors import MalformedPacketError, UnknownSchemaError, UnsupportedNoticeError
from graph.model import (
    DEFAULT_CONTAINMENT_PROBABILITY,
    AlertTense,
    AlertType,
    Circle,
    Ellipse,
    Localization,
    Messenger,
    Notice,
    SystematicError,
)
from graph.sky import separation_deg
from ingest.notices import wire
from ingest.notices.skymap_fits import read_skymap_of_notice

MAX_MESSAGE_BYTES = 16 << 20
"""Largest JSON or Avro message [bytes]; Kafka's own limit at GCN is below, the largest real one has 2 MB."""

LARGEST_CONTAINMENT = 0.9999
"""Largest containment of a region that is taken for one; missions state 0.5 to 0.99, and 1 has no width."""

_SCHEMA = re.compile(r"https?://[^/]+/schema/(?:[^/]+/)?gcn/notices/([\w./-]{1,96})\.schema\.json")

_NAMED = frozenset(
    {
        "alert_datetime", "alert_tense", "alert_type", "classification", "containment_probability", "dec", "event_name",
        "far", "healpix_file", "healpix_url", "id", "instrument", "messenger", "mission", "p_astro", "ra",
        "ra_dec_error", "record_number", "systematic_included", "trigger_time",
    }
)  # fmt: skip
"""Fields of the schema that have a name in `Notice`; all others go to ``extra``."""

Fields = Mapping[str, Any]

_Enum = TypeVar("_Enum", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a schema says of its notices where the message itself is silent."""

    mission: str
    instrument: str
    notice_type: str
    messenger: Messenger = Messenger.EM
    nominal_radius_deg: float | None = None
    """Radius of positions that state none [deg]."""
    is_astrophysical_burst: bool = True
    event_id: str | None = None
    event_names: tuple[str, ...] = ()
    systematic: SystematicError | None = None
    """Blur of circles whose systematic error is not included."""
    extra: Mapping[str, object] = field(default_factory=dict)


def read_fields(payload: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    MalformedPacketError : the bytes are too many, no JSON, or no object.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise MalformedPacketError(f"the message is larger than {MAX_MESSAGE_BYTES} bytes")
    try:
        fields = orjson.loads(payload.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        raise MalformedPacketError("the message is not well-formed JSON") from None
    if not isinstance(fields, dict):
        raise MalformedPacketError("the message is not a JSON object")
    return fields


def schema_name(fields: Fields) -> str | None:
    """Return the lower-case path of a message's schema below ``gcn/notices``, None when it names none.

    Raises
    ------
    UnknownSchemaError : the schema is not one of GCN's notices.
    """
    schema = wire.text(fields.get("$schema"), "$schema")
    if schema is None:
        return None
    match = _SCHEMA.fullmatch(schema)
    if match is None:
        raise UnknownSchemaError("the message follows a schema that is not of a GCN notice")
    return match.group(1).lower()


def names_of(fields: Fields, key: str) -> tuple[str, ...]:
    """Return the identifiers under a key, which may be one or a list."""
    value = fields.get(key)
    entries = value if isinstance(value, list) else [value]
    if len(entries) > 32:
        raise MalformedPacketError(f"{key} lists too many identifiers")
    return tuple(name for entry in entries if (name := wire.identifier(entry, key)))


def notice_of(fields: Fields, notice_id: str, origin: Origin) -> Notice:
    """Return the notice of a message.

    Raises
    ------
    MalformedPacketError : a field is wrong, or the message names neither an event nor a time.
    """
    trigger_time = wire.moment(fields.get("trigger_time"), "trigger_time")
    identifiers = names_of(fields, "id")
    names = (*identifiers[1:], *names_of(fields, "event_name"), *origin.event_names)
    event_id = origin.event_id or (identifiers[0] if identifiers else wire.fallback_id(trigger_time))
    record_number = wire.whole(fields.get("record_number"), "record_number")
    localization, defect = _localization(fields, origin)
    kept = {key: value for key, value in fields.items() if key not in _NAMED}
    extra = wire.json_ready({"format": "json", **kept, **origin.extra, **defect})
    return Notice(
        notice_id=notice_id,
        mission=wire.text(fields.get("mission"), "mission") or origin.mission,
        instrument=wire.text(fields.get("instrument"), "instrument") or origin.instrument,
        messenger=_choice(Messenger, fields, "messenger", origin.messenger),
        notice_type=origin.notice_type,
        alert_type=_choice(AlertType, fields, "alert_type", AlertType.INITIAL),
        alert_tense=_choice(AlertTense, fields, "alert_tense", AlertTense.CURRENT),
        event_id=event_id,
        event_names=tuple(dict.fromkeys(name for name in names if name != event_id)),
        record_number=record_number,
        trigger_time=trigger_time,
        alert_time=wire.moment(fields.get("alert_datetime"), "alert_datetime"),
        localization=localization,
        far_hz=wire.rate(fields.get("far"), "far"),
        p_astro=wire.probability(fields.get("p_astro"), "p_astro"),
        classification=wire.probabilities(fields.get("classification"), "classification"),
        is_astrophysical_burst=origin.is_astrophysical_burst,
        healpix_url=wire.text(fields.get("healpix_url"), "healpix_url"),
        extra=extra if isinstance(extra, dict) else {},
    )


def _choice(kinds: type[_Enum], fields: Fields, key: str, default: _Enum) -> _Enum:
    """Return the member that a field names, the default when absent."""
    value = wire.text(fields.get(key), key)
    if value is None:
        return default
    try:
        return kinds(value)
    except ValueError:
        raise MalformedPacketError(f"{key} is not one of the schema's values") from None


def _localization(fields: Fields, origin: Origin) -> tuple[Localization | None, dict[str, object]]:
    """Return where a message says that its event is, and the defect of a map that a circle stands in for."""
    region = _region(fields, origin)
    try:
        skymap = embedded_map(fields.get("healpix_file"))
    except MalformedPacketError as error:
        if region is None:
            raise
        return region, {"skymap_defect": str(error)}
    return (region if skymap is None else skymap), {}


def embedded_map(value: object) -> Localization | None:
    """Read a sky map from base64 text or bytes; None when absent.

    Raises
    ------
    MalformedPacketError : the map cannot be read or is none.
    """
    if value is None or value in ("", b""):
        return None
    if not isinstance(value, str | bytes):
        raise MalformedPacketError("the sky map is neither text nor bytes")
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise MalformedPacketError("the sky map is not base64") from None
    return read_skymap_of_notice(value)


def _region(fields: Fields, origin: Origin) -> Circle | Ellipse | None:
    """Return the circle or ellipse of a message."""
    ra, dec = wire.number(fields.get("ra"), "ra"), wire.number(fields.get("dec"), "dec")
    error = _error_deg(fields)
    containment = wire.probability(fields.get("containment_probability"), "containment_probability")
    containment = DEFAULT_CONTAINMENT_PROBABILITY if containment is None else containment
    if not 1.0 - LARGEST_CONTAINMENT <= containment <= LARGEST_CONTAINMENT:
        raise MalformedPacketError("containment_probability leaves no room for a distribution")
    included = wire.flag(fields.get("systematic_included"), "systematic_included") is True
    if ra is None or dec is None:
        return None
    if not error:
        error = [r for r in (_corner_radius_deg(fields, ra, dec), origin.nominal_radius_deg) if r is not None][:1]
    if len(error) <= 1 or error[0] == error[1]:
        radius = error[0] if error else None
        systematic = origin.systematic
        return wire.circle(ra, dec, radius, containment, systematic_included=included, systematic=systematic)
    return _ellipse(ra, dec, error, containment, systematic_included=included)


def _ellipse(ra: float, dec: float, error: list[float], containment: float, *, systematic_included: bool) -> Ellipse:
    """Return the ellipse of two semi-axes [deg] and the angle of the first; senders do not put the major one first."""
    wire.check_position(ra, dec)
    first, second = error[:2]
    angle = error[2] if len(error) > 2 else 0.0
    if not wire.SMALLEST_RADIUS_DEG <= min(first, second) <= max(first, second) <= wire.ALL_SKY_RADIUS_DEG:
        raise MalformedPacketError("ra_dec_error is not an ellipse")
    if second > first:
        first, second, angle = second, first, angle + 90.0
    return Ellipse(ra % 360.0, dec, first, second, angle % 180.0, containment, systematic_included)


def _error_deg(fields: Fields) -> list[float]:
    """Return the one to three numbers of the error; older messages write ``ra_uncertainty`` and ``dec_uncertainty``."""
    for key in ("ra_dec_error", "ra_uncertainty", "dec_uncertainty"):
        value = fields.get(key)
        if value is not None:
            entries = value if isinstance(value, list) else [value]
            numbers = [wire.number(entry, key) for entry in entries[:4]]
            if len(entries) > 3 or None in numbers:
                raise MalformedPacketError(f"{key} is not one to three numbers")
            return [number for number in numbers if number is not None]
    return []


def _corner_radius_deg(fields: Fields, ra: float, dec: float) -> float | None:
    """Return the radius [deg] of the circle about a position that holds MAXI's rectangle."""
    corners = fields.get("rectangular_error_corners")
    if corners is None:
        return None
    if not isinstance(corners, list) or not 3 <= len(corners) <= 8:
        raise MalformedPacketError("rectangular_error_corners is not a list of corners")
    largest = 0.0
    for corner in corners:
        if not isinstance(corner, list) or len(corner) != 2:
            raise MalformedPacketError("a corner is not a position")
        corner_ra, corner_dec = (wire.number(value, "a corner") for value in corner)
        if corner_ra is None or corner_dec is None:
            raise MalformedPacketError("a corner is not a position")
        wire.check_position(corner_ra, corner_dec)
        largest = max(largest, float(separation_deg(ra, dec, corner_ra, corner_dec)))
    return largest


def as_test(notice: Notice) -> Notice:
    """Return the notice of a message that came on a test topic."""
    return replace(notice, alert_tense=AlertTense.TEST)


def unsupported(what: str) -> UnsupportedNoticeError:
    """Return the error of a well-formed message that is no notice on an event."""
    return UnsupportedNoticeError(f"{what} is not a notice on an event")
