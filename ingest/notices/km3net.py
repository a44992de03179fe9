"""Notices of KM3NeT, as VOEvent and as JSON with the same fields.

Both give the false-alarm rate as the same number: Hz, as the schema says and the publication threshold of one a month
(3.9e-7 Hz) confirms, although the VOEvent labels it per year.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graph.errors import MalformedPacketError
from graph.model import AlertTense, AlertType, Messenger, Notice
from ingest.notices import classic, gcn_json, wire
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

KIND = Kind(
    notice_type="KM3NET_ALERT",
    mission="KM3NeT",
    instrument="KM3NeT",
    messenger=Messenger.NEUTRINO,
    containment_probability=0.9,
    systematic_included=True,
)
"""All notices; the stated radius holds 90 per cent, systematic errors included (KM3NeT's page at GCN)."""

RADIUS_NAMES = ("Error2Radius", "Error2Radius90")
"""Elements that hold the 90 per cent radius; KM3-230213A gives one for each of four containments."""


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of KM3NeT.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    names = (packet.identifier("TrigID"), packet.identifier("Event_Name"), packet.identifier("Identifier"))
    known = [name for name in names if name is not None]
    if not known:
        raise MalformedPacketError("the packet names no event")
    radius_name = next((name for name in RADIUS_NAMES if name in packet.radii_deg), "Error2Radius")
    found = Found(
        event_id=known[0],
        event_names=tuple(known[1:]),
        record_number=packet.whole("record_number"),
        far_hz=wire.rate(packet.params.get("FAR"), "FAR"),
        tense=_tense(packet),
        healpix_url=wire.text(packet.params.get("healpix_url"), "healpix_url"),
    )
    notice = classic.notice_of(packet, notice_id, KIND, classic.stated_position(packet, KIND, radius_name), found)
    return replace(
        notice,
        instrument=packet.identifier("Instrument") or KIND.instrument,
        alert_type=_alert_type(packet, notice.alert_type),
    )


def _alert_type(packet: Packet, default: AlertType) -> AlertType:
    """Return the alert type that the packet names."""
    try:
        return AlertType(packet.params["Alert_Type"].lower()) if "Alert_Type" in packet.params else default
    except ValueError:
        raise MalformedPacketError("Alert_Type is not one of the schema's values") from None


def _tense(packet: Packet) -> AlertTense | None:
    """Return the tense that the packet names."""
    try:
        return AlertTense(packet.params["Alert_Tense"].lower()) if "Alert_Tense" in packet.params else None
    except ValueError:
        raise MalformedPacketError("Alert_Tense is not one of the schema's values") from None


def parse_json(fields: Fields, notice_id: str) -> Notice:
    """Read a notice of KM3NeT in GCN's JSON schema.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    origin = Origin(mission="KM3NeT", instrument="KM3NeT", notice_type=KIND.notice_type, messenger=Messenger.NEUTRINO)
    return gcn_json.notice_of({"systematic_included": True, **fields}, notice_id, origin)
