"""Notices of the missions whose packets need little of their own: a table of kinds, and a few rules."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from graph.model import AlertType, Messenger, Notice
from ingest.notices import classic, wire
from ingest.notices.classic import Found, Kind

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

STATISTICAL_68 = 0.68
"""Containment of GECAM's stated radius, one sigma; GCN's description of the notices."""

AMON_50 = 0.5
"""Containment of the radius of AMON's neutrino-gamma coincidences: it is ``src_err_50``."""

INTEGRAL_NUMBER_BITS = 16
"""INTEGRAL's TrigID holds the event in its low 16 bits and the sequence of the notice above them."""

GECAM_BURSTS = frozenset({"", "GRB", "GENERIC_SOURCE"})
"""Values of ``SRC_CLASS`` that leave a burst open; the others are solar flares and known sources."""

_update = AlertType.UPDATE
_integral = partial(Kind, mission="INTEGRAL", instrument="IBIS")
_time_only = partial(Kind, has_position=False)
_agile = partial(Kind, mission="AGILE", instrument="MCAL", has_position=False)
_maxi = partial(Kind, mission="MAXI", instrument="GSC")
_gecam = partial(Kind, mission="GECAM", instrument="GRD", containment_probability=STATISTICAL_68)

KINDS = {
    2: Kind("TEST_COORDS", "CGRO", "BATSE", is_test=True),
    31: _time_only("IPN_RAW", "IPN", "IPN"),
    32: _time_only("IPN_SEG", "IPN", "IPN"),
    39: Kind("IPN_POS", "IPN", "IPN"),
    44: Kind("HETE_TEST", "HETE", "HETE", is_test=True),
    45: Kind("GRB_CNTRPART", "Counterpart", "Counterpart", alert_type=AlertType.SUBSEQUENT),
    52: _integral("INTEGRAL_SPIACS", instrument="SPI-ACS", has_position=False),
    53: _integral("INTEGRAL_WAKEUP"),
    54: _integral("INTEGRAL_REFINED", alert_type=_update),
    55: _integral("INTEGRAL_OFFLINE", alert_type=_update),
    56: _integral("INTEGRAL_WEAK"),
    59: _time_only("KONUS_LC", "Konus", "Konus-Wind"),
    100: _agile("AGILE_GRB_WAKEUP", instrument="GRID", has_position=True),
    101: _agile("AGILE_GRB_GROUND", instrument="GRID", has_position=True, alert_type=_update),
    102: _agile("AGILE_GRB_REFINED", instrument="GRID", has_position=True, alert_type=_update),
    105: _agile("AGILE_MCAL_ALERT"),
    109: _agile("AGILE_GRB_POS_TEST", instrument="SuperAGILE", has_position=True, is_test=True),
    134: _maxi("MAXI_UNKNOWN"),
    135: _maxi("MAXI_KNOWN", is_astrophysical_burst=False),
    136: _maxi("MAXI_TEST", is_test=True),
    139: Kind("MOA", "MOA", "MOA", is_astrophysical_burst=False),
    159: Kind("TEST", "AMON", "AMON", messenger=Messenger.NEUTRINO, is_test=True),
    # The position is where the space station pointed.
    160: _time_only("CALET_GBM_FLT_LC", "CALET", "CGBM"),
    161: _time_only("CALET_GBM_GND_LC", "CALET", "CGBM", alert_type=_update),
    171: Kind("HAWC_BURST_MONITOR", "HAWC", "HAWC"),
    172: Kind("AMON_NU_EM_COINC", "AMON", "AMON", Messenger.NEUTRINO, containment_probability=AMON_50),
    188: _gecam("GECAM_FLT"),
    189: _gecam("GECAM_GND", alert_type=_update),
}
"""Kinds by ``Packet_Type``; radii are 90 per cent and statistical where nothing else stands."""

ANTARES_KIND = Kind("ANTARES_ALERT", "ANTARES", "ANTARES", messenger=Messenger.NEUTRINO)
"""ANTARES (to 2022) sent packets without a type number."""


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of a mission that only needs its kind.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not on an event.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    name = packet.identifier("TrigID") or packet.identifier("ID")
    # IPN and the like write -1 for an event that has no number yet.
    found = Found(event_id=None if name == "-1" else name, is_astrophysical_burst=not packet.is_set("Def_NOT_a_GRB"))
    return classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)


def parse_antares(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of ANTARES.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    found = Found(event_id=packet.identifier("TrigID"))
    position = classic.stated_position(packet, ANTARES_KIND)
    return classic.notice_of(packet, notice_id, ANTARES_KIND, position, found)


def parse_integral(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of INTEGRAL; a negative radius withdraws the event.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not on an event.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    trigger = packet.whole("TrigID")
    number = None if trigger is None else trigger % (1 << INTEGRAL_NUMBER_BITS)
    withdrawn = packet.is_set("Def_NOT_a_GRB") or packet.radii_deg.get("Error2Radius", 0.0) < 0.0
    found = Found(
        event_id=str(number) if number else None,
        record_number=None if trigger is None else trigger >> INTEGRAL_NUMBER_BITS,
        is_retraction=withdrawn and kind.has_position,
        is_astrophysical_burst=not withdrawn,
    )
    return classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)


def parse_gecam(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of GECAM, whose trigger numbers are small and counted anew on each satellite.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not on an event.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    parts = [packet.identifier(name) for name in ("MISSION", "EVENT_DATE", "Trigger_Number")]
    source = packet.identifier("SRC_CLASS") or ""
    found = Found(
        event_id=None if None in parts else "-".join(part for part in parts if part is not None),
        classification={source: 1.0} if source else {},
        is_astrophysical_burst=source in GECAM_BURSTS,
    )
    return classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)


def parse_amon(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of HAWC's burst monitor or of AMON's neutrino-gamma coincidences; rates are per year.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not on an event.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    revision = packet.whole("Rev") if "Rev" in packet.params else packet.whole("rev")
    per_year = wire.rate(packet.params.get("FAR"), "FAR")
    run, event = packet.identifier("run_id"), packet.identifier("event_id")
    found = Found(
        event_id=f"{run}_{event}" if run and event else packet.identifier("Event_ID"),
        record_number=revision,
        far_hz=None if per_year is None else per_year / wire.SECONDS_PER_YEAR,
        is_update=bool(revision),
        is_retraction=any(packet.is_set(name) for name in ("Retraction", "RetractFlag", "retraction")),
    )
    return classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)
