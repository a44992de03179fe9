"""Notices of SVOM: GRM triggers, ECLAIRs positions, MXT refinements, VT candidates and their retraction.

All notices of a burst carry its ``Burst_Id``. The retraction is a packet of its own with role observation.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from graph.errors import MalformedPacketError
from graph.model import AlertType, Notice
from ingest.notices import classic, gcn_json, wire
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

SVOM_CONTAINMENT = 0.9
"""Containment of the stated radius, R90; SVOM's description of its notices at GCN."""

_eclairs = partial(Kind, mission="SVOM", instrument="ECLAIRs", containment_probability=SVOM_CONTAINMENT)
_update = partial(_eclairs, alert_type=AlertType.UPDATE)

KINDS = {
    # Since April 2026 with a rough position whose radius is -1: unknown, some ten degrees.
    201: _eclairs("grm-trigger", instrument="GRM"),
    202: _eclairs("eclairs-wakeup"),
    203: _eclairs("eclairs-catalog", is_astrophysical_burst=False),
    204: _update("slewing"),
    205: _update("not-slewing"),
    209: _update("mxt-initial", instrument="MXT"),
    210: _update("mxt-update", instrument="MXT"),
    211: _update("vt-candidate", instrument="VT"),
    219: _eclairs("retraction", alert_type=AlertType.RETRACTION),
}
"""Kinds by ``Packet_Type``; names as in SVOM's own IVORNs."""

_SLEW_NOTICE = {"accepted": KINDS[204], "rejected": KINDS[205]}


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of SVOM.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not known.
    MalformedPacketError : a field is wrong.

    Notes
    -----
    The time of a packet is the start of its own instrument's window. For MXT and VT that is minutes after the burst;
    their trigger time is the start of the alert sequence where the packet states it.
    """
    kind = classic.kind_of(KINDS, packet)
    burst_id = wire.identifier(packet.in_group("Svom_Identifiers", "Burst_Id"), "Burst_Id")
    if burst_id is None:
        raise MalformedPacketError("the packet names no Burst_Id")
    instrument = packet.identifier("Instrument")
    found = Found(event_id=burst_id, record_number=packet.whole("Pkt_Ser_Num"))
    notice = classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)
    start = wire.moment(packet.in_group("Svom_Identifiers", "Alert_Seq_T0"), "Alert_Seq_T0")
    is_follow_up = kind.instrument in {"MXT", "VT"} and start is not None
    return replace(
        notice,
        instrument=instrument or kind.instrument,
        trigger_time=start if is_follow_up else notice.trigger_time,
    )


def parse_json(fields: Fields, notice_id: str) -> Notice:
    """Read a trigger notice of SVOM in GCN's JSON schema.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    instrument = wire.text(fields.get("instrument"), "instrument") or "ECLAIRs"
    kind = KINDS[201] if instrument == "GRM" else KINDS[202]
    slew = wire.text(fields.get("slew_status"), "slew_status") or ""
    if instrument == "ECLAIRs" and fields.get("alert_type") == "update":
        kind = _SLEW_NOTICE.get(slew, kind)
    origin = Origin(mission="SVOM", instrument=instrument, notice_type=kind.notice_type)
    return gcn_json.notice_of(fields, notice_id, origin)
