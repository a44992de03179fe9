"""Notices of Swift: BAT triggers, XRT and UVOT follow-up of them, and BAT searches at other events' times (GUANO).

A third of the BAT position notices are no new burst: sources of the on-board catalogue, and images taken while the
star tracker had lost lock. Flags say so; ``Def_NOT_a_GRB`` and the packet's concept do not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from graph.model import AlertType, Notice
from ingest.notices import classic, gcn_json
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

SWIFT_CONTAINMENT = 0.9
"""Containment of the radii of all three instruments, systematic errors included; GCN's description of the notices.
Of 236 BAT positions 91.5 per cent held the later XRT position."""

_bat = partial(
    Kind, mission="Swift", instrument="BAT", containment_probability=SWIFT_CONTAINMENT, systematic_included=True
)
_xrt = partial(_bat, instrument="XRT", alert_type=AlertType.UPDATE)
_uvot = partial(_bat, instrument="UVOT", alert_type=AlertType.UPDATE)
_data = partial(_bat, alert_type=AlertType.UPDATE, has_position=False)
_xrt_data = partial(_xrt, has_position=False)
_uvot_data = partial(_uvot, has_position=False)

KINDS = {
    61: _bat("SWIFT_BAT_GRB_POS_ACK"),
    62: _bat("SWIFT_BAT_GRB_POS_NACK", has_position=False, is_astrophysical_burst=False),
    63: _data("SWIFT_BAT_GRB_LC"),
    64: _data("SWIFT_BAT_SCALEDMAP"),
    65: _data("SWIFT_FOM_OBS"),
    66: _data("SWIFT_SC_SLEW"),
    67: _xrt("SWIFT_XRT_POSITION"),
    68: _xrt_data("SWIFT_XRT_SPECTRUM"),
    69: _xrt_data("SWIFT_XRT_IMAGE"),
    70: _xrt_data("SWIFT_XRT_LC"),
    # No source found: the numbers are where the telescope pointed.
    71: _xrt_data("SWIFT_XRT_CENTROID"),
    72: _uvot_data("SWIFT_UVOT_DBURST"),
    73: _uvot_data("SWIFT_UVOT_FCHART"),
    76: _data("SWIFT_BAT_GRB_LC_PROC"),
    77: _xrt_data("SWIFT_XRT_SPECTRUM_PROC"),
    78: _xrt_data("SWIFT_XRT_IMAGE_PROC"),
    79: _uvot_data("SWIFT_UVOT_DBURST_PROC"),
    80: _uvot_data("SWIFT_UVOT_FCHART_PROC"),
    81: _uvot("SWIFT_UVOT_POS"),
    82: _bat("SWIFT_BAT_GRB_POS_TEST", is_test=True),
    84: _bat("SWIFT_BAT_TRANS", alert_type=AlertType.UPDATE),
    # No source found: the position repeats XRT's.
    89: _uvot_data("SWIFT_UVOT_POS_NACK"),
    97: _bat("SWIFT_BAT_QL_POS"),
    133: _bat("SWIFT_BAT_MONITOR", is_astrophysical_burst=False),
    # Some thousand a day at a significance of 5 in an image: noise and catalogued sources.
    140: _bat("SWIFT_BAT_SUBSUB", is_astrophysical_burst=False),
    141: _bat("SWIFT_BAT_KNOWN_SRC", is_astrophysical_burst=False),
}
"""Kinds by ``Packet_Type``."""

CATALOGUE_FLAGS = ("Target_in_Flt_Catalog", "Target_in_Gnd_Catalog", "Target_in_Blk_Catalog")
"""Flags of a source that a catalogue of BAT holds."""


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of BAT, XRT or UVOT.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not on an event.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    found = Found(
        event_id=packet.identifier("TrigID") or packet.identifier("RefNum"),
        is_astrophysical_burst=_may_be_burst(packet, kind),
    )
    # Half of the XRT positions flagged so are real and half lie 13 arcmin off; BAT's circle holds either way.
    localization = None if packet.is_set("Cosmic_Ray") else classic.stated_position(packet, kind)
    return classic.notice_of(packet, notice_id, kind, localization, found)


def _may_be_burst(packet: Packet, kind: Kind) -> bool:
    """Return whether no flag says that the trigger is a known source or an artefact."""
    if packet.is_set("Def_NOT_a_GRB") or packet.is_set("StarTrack_Lost_Lock"):
        return False
    catalogued = kind.instrument == "BAT" and any(packet.is_set(name) for name in CATALOGUE_FLAGS)
    return packet.is_set("GRB_Identified") or not catalogued


def parse_guano_json(fields: Fields, notice_id: str) -> Notice:
    """Read a notice of BAT's search for a burst at another event's time.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    origin = Origin(mission="Swift", instrument="BAT-GUANO", notice_type="SWIFT_BAT_GUANO")
    return gcn_json.notice_of(fields, notice_id, origin)
