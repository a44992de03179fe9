"""Notices of LIGO, Virgo and KAGRA: ``igwn.gwalert`` as JSON and Avro, and the VOEvents of the runs to O4.

A retraction names the superevent and nothing else. The sign of ``time_difference`` in an external coincidence changed
in June 2023; it is kept in ``extra`` as written and never used.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from graph.errors import MalformedPacketError
from graph.model import AlertTense, AlertType, Messenger, Notice
from ingest.notices import classic, wire
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, embedded_map

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ingest.notices.voevent import Packet

CLASSES = ("BNS", "NSBH", "BBH", "MassGap", "Terrestrial")
"""Source classes that sum to 1; MassGap was one in O3 and became a property in O4."""

TERRESTRIAL = "Terrestrial"
"""The class of noise: the others' sum is the probability of astrophysical origin."""

PROPERTIES = ("HasNS", "HasRemnant", "HasMassGap", "HasSSM")
"""Probabilities under the assumption that the source is astrophysical."""

SKYMAP_PARAMS = ("skymap_fits", "skymap_fits_basic")
"""Params that link to the sky map, in whichever group: groups were named after the map's algorithm until O4."""

_gw = partial(Kind, mission="LVK", instrument="LVK", messenger=Messenger.GW, has_position=False)

KINDS = {
    150: _gw("LVC_PRELIMINARY"),
    151: _gw("LVC_INITIAL"),
    152: _gw("LVC_UPDATE", alert_type=AlertType.UPDATE),
    153: _gw("LVC_TEST", is_test=True),
    154: _gw("LVC_COUNTERPART", alert_type=AlertType.SUBSEQUENT),
    163: _gw("LVC_EARLY_WARNING"),
    164: _gw("LVC_RETRACTION", alert_type=AlertType.RETRACTION),
}
"""Kinds by ``Packet_Type``."""

_JSON_TYPES = {
    "EARLYWARNING": 163,
    "EARLY_WARNING": 163,
    "PRELIMINARY": 150,
    "INITIAL": 151,
    "UPDATE": 152,
    "RETRACTION": 164,
}

MOCK_PREFIXES = ("M", "T")
"""First letters of the superevents of mock data (MS...) and tests (TS...); real ones begin with S or, once, G."""


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of LVK; its sky map is behind a link.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not known.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    superevent = packet.identifier("GraceID")
    if superevent is None:
        raise MalformedPacketError("the packet names no superevent")
    tables = (packet.params, *packet.groups.values())
    classification = _shares(CLASSES, tables)
    links = (table.get(name) for name in SKYMAP_PARAMS for table in tables)
    found = Found(
        event_id=superevent,
        record_number=packet.whole("Pkt_Ser_Num"),
        far_hz=wire.rate(packet.params.get("FAR"), "FAR"),
        p_astro=_p_astro(classification),
        classification=classification,
        is_retraction=packet.is_set("Retraction"),
        tense=AlertTense.INJECTION if packet.params.get("HardwareInj") == "1" else None,
        healpix_url=wire.text(next((link for link in links if link), None), "skymap_fits"),
        extra={
            "significant": wire.flag(packet.params.get("Significant"), "Significant"),
            "group": packet.identifier("Group"),
            "pipeline": packet.identifier("Pipeline"),
            "search": packet.identifier("Search"),
            "properties": _shares(PROPERTIES, tables),
        },
    )
    if _is_mock(superevent, packet.params.get("Search")):
        found = replace(found, tense=AlertTense.TEST)
    return classic.notice_of(packet, notice_id, kind, None, found)


def _is_mock(superevent: str, search: object) -> bool:
    """Return whether an event is of mock data."""
    return superevent.startswith(MOCK_PREFIXES) or search == "MDC"


def _shares(names: tuple[str, ...], tables: tuple[Mapping[str, str], ...]) -> dict[str, float]:
    """Return the probabilities of the names that stand in any of the tables."""
    result = {}
    for name in names:
        share = next((wire.probability(table[name], name) for table in tables if name in table), None)
        if share is not None:
            result[name] = share
    return result


def _p_astro(classification: Mapping[str, float]) -> float | None:
    """Return the probability of astrophysical origin; bursts have no classification."""
    return 1.0 - classification[TERRESTRIAL] if TERRESTRIAL in classification else None


def parse_alert(fields: Fields, notice_id: str) -> Notice:
    """Read an ``igwn.gwalert`` message; the sky map inside is base64 text in JSON, bytes in Avro.

    Raises
    ------
    MalformedPacketError : a field is wrong, or a message that is no retraction lacks its event.
    """
    superevent = wire.identifier(fields.get("superevent_id"), "superevent_id")
    alert_type = wire.identifier(fields.get("alert_type"), "alert_type")
    packet_type = _JSON_TYPES.get((alert_type or "").upper())
    if superevent is None or packet_type is None:
        raise MalformedPacketError("the message names no superevent or no known alert type")
    kind = KINDS[packet_type]
    event = _table(fields, "event")
    if event is None and kind.alert_type is not AlertType.RETRACTION:
        raise MalformedPacketError("a message that is no retraction lacks its event")
    event = event or {}
    classification = wire.probabilities(event.get("classification"), "classification")
    return Notice(
        notice_id=notice_id,
        mission=kind.mission,
        instrument=kind.instrument,
        messenger=kind.messenger,
        notice_type=kind.notice_type,
        alert_type=kind.alert_type,
        alert_tense=AlertTense.TEST if _is_mock(superevent, event.get("search")) else AlertTense.CURRENT,
        event_id=superevent,
        event_names=(),
        record_number=None,
        trigger_time=_event_time(event),
        alert_time=wire.moment(fields.get("time_created"), "time_created"),
        localization=embedded_map(event.get("skymap")),
        far_hz=wire.rate(event.get("far"), "far"),
        p_astro=_p_astro(classification),
        classification=classification,
        extra=_extra(fields, event),
    )


def _event_time(event: Fields) -> datetime | None:
    """Return the time of the event."""
    return wire.moment(event.get("time"), "time")


def _table(fields: Fields, key: str) -> dict[str, Any] | None:
    """Return a nested record, None when absent."""
    value = fields.get(key)
    if value is not None and not isinstance(value, dict):
        raise MalformedPacketError(f"{key} is not a record")
    return value


def _extra(fields: Fields, event: Fields) -> dict[str, object]:
    """Return the fields that have no name in `Notice`, without the sky maps."""
    named = {"time", "far", "classification", "skymap"}
    coincidence = dict(_table(fields, "external_coinc") or {})
    coincidence.pop("combined_skymap", None)
    return {
        "format": "json",
        **{key: wire.json_ready(value) for key, value in event.items() if key not in named},
        "properties": wire.probabilities(event.get("properties"), "properties"),
        "urls": wire.json_ready(_table(fields, "urls") or {}),
        "external_coinc": wire.json_ready(coincidence) or None,
    }
