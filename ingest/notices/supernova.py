"""Neutrino bursts of a nearby supernova: Super-Kamiokande and SNEWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.model import Messenger, Notice
from ingest.notices import classic, gcn_json, wire
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

KINDS = {
    149: Kind("SNEWS", "SNEWS", "SNEWS", messenger=Messenger.NEUTRINO),
    175: Kind("SK_SN", "Super-Kamiokande", "Super-Kamiokande", messenger=Messenger.NEUTRINO),
}
"""Kinds by ``Packet_Type``."""


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of Super-Kamiokande, whose radius is a Param, or of SNEWS, which has the whole sky.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not known.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    found = Found(
        event_id=packet.identifier("TrigID") or packet.identifier("Trigger_Number"),
        is_retraction=packet.is_set("Retraction"),
    )
    if kind.notice_type != "SK_SN":
        return classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)
    position = wire.circle(
        packet.ra_deg,
        packet.dec_deg,
        packet.number("Src_Error90"),
        kind.containment_probability,
        systematic_included=False,
    )
    return classic.notice_of(packet, notice_id, kind, position, found)


def parse_superk_json(fields: Fields, notice_id: str) -> Notice:
    """Read a notice of Super-Kamiokande in GCN's JSON schema.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    origin = Origin("Super-Kamiokande", "Super-Kamiokande", "SK_SN", messenger=Messenger.NEUTRINO)
    return gcn_json.notice_of(fields, notice_id, origin)
