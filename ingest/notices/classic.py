"""What all VOEvent notices share: from a packet and a row of a mission's table to a `Notice`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graph.errors import UnsupportedNoticeError
from graph.model import (
    DEFAULT_CONTAINMENT_PROBABILITY,
    AlertTense,
    AlertType,
    Localization,
    Messenger,
    Notice,
    SystematicError,
)
from ingest.notices import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.notices.voevent import Packet

USABLE_COORDS_TYPE = 1
"""``Coords_Type`` of a source; 0 is unavailable and 2 the pointing of the spacecraft, both with numbers filled in."""

TEST_FLAGS = ("Test_Submission", "Test_Notice", "Test", "InternalTest")
"""Flags, in whichever group, by which GCN's missions mark a test beside the packet's role."""

TENSE_OF_ROLE = {"test": AlertTense.TEST, "prediction": AlertTense.PLANNED}
"""Meaning of VOEvent roles; observation and utility are about the sky."""

DROPPED_GROUPS = frozenset({"Obs_Support_Info"})
"""Groups not kept: places of Sun and Moon when the packet was written, from which nothing follows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of notice: what its type number says that its fields do not."""

    notice_type: str
    mission: str
    instrument: str
    messenger: Messenger = Messenger.EM
    alert_type: AlertType = AlertType.INITIAL
    has_position: bool = True
    """False where the position is a pointing, a copy or a time-only notice's filling."""
    containment_probability: float = DEFAULT_CONTAINMENT_PROBABILITY
    """Of the stated radius."""
    systematic_included: bool = False
    systematic: SystematicError | None = None
    is_astrophysical_burst: bool = True
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a mission's parser found in a packet beyond what all packets have."""

    event_id: str | None = None
    event_names: tuple[str, ...] = ()
    record_number: int | None = None
    far_hz: float | None = None
    p_astro: float | None = None
    classification: Mapping[str, float] = field(default_factory=dict)
    is_astrophysical_burst: bool = True
    is_retraction: bool = False
    is_update: bool = False
    tense: AlertTense | None = None
    healpix_url: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


def kind_of(kinds: Mapping[int, Kind], packet: Packet) -> Kind:
    """Return the kind of a packet.

    Raises
    ------
    UnsupportedNoticeError : the type number is not in the table.
    """
    kind = None if packet.packet_type is None else kinds.get(packet.packet_type)
    if kind is None:
        raise UnsupportedNoticeError(f"no parser reads VOEvents of Packet_Type {packet.packet_type}")
    return kind


def stated_position(packet: Packet, kind: Kind, radius_name: str = "Error2Radius") -> Localization | None:
    """Return the circle that a packet states, None where it states none."""
    coords_type = packet.whole("Coords_Type")
    if not kind.has_position or (coords_type is not None and coords_type != USABLE_COORDS_TYPE):
        return None
    return wire.circle(
        packet.ra_deg,
        packet.dec_deg,
        packet.radii_deg.get(radius_name),
        kind.containment_probability,
        systematic_included=kind.systematic_included,
        systematic=kind.systematic,
    )


def notice_of(packet: Packet, notice_id: str, kind: Kind, localization: Localization | None, found: Found) -> Notice:
    """Return the notice of a packet.

    Raises
    ------
    MalformedPacketError : the packet names neither an event nor a time, or a field is wrong.
    """
    trigger_time = packet.event_time()
    alert_type = AlertType.UPDATE if found.is_update and kind.alert_type is AlertType.INITIAL else kind.alert_type
    if found.is_retraction or packet.cites("retraction"):
        alert_type = AlertType.RETRACTION
    return Notice(
        notice_id=notice_id,
        mission=kind.mission,
        instrument=kind.instrument,
        messenger=kind.messenger,
        notice_type=kind.notice_type,
        alert_type=alert_type,
        alert_tense=_tense(packet, kind, found),
        event_id=found.event_id or wire.fallback_id(trigger_time),
        event_names=found.event_names,
        record_number=found.record_number,
        trigger_time=trigger_time,
        alert_time=packet.made_at(),
        localization=localization,
        far_hz=found.far_hz,
        p_astro=found.p_astro,
        classification=found.classification,
        is_astrophysical_burst=kind.is_astrophysical_burst and found.is_astrophysical_burst,
        healpix_url=found.healpix_url,
        extra={**wire_fields(packet), **found.extra},
    )


def _tense(packet: Packet, kind: Kind, found: Found) -> AlertTense:
    """Return whether a packet is about the sky."""
    if kind.is_test or packet.role == "test" or any(packet.is_set(name) for name in TEST_FLAGS):
        return AlertTense.TEST
    return found.tense or TENSE_OF_ROLE.get(packet.role, AlertTense.CURRENT)


def wire_fields(packet: Packet) -> dict[str, object]:
    """Return the packet's own fields, JSON-ready."""
    groups = {name: dict(entries) for name, entries in packet.groups.items() if name not in DROPPED_GROUPS}
    return {
        "format": "voevent",
        "ivorn": packet.ivorn,
        "role": packet.role,
        "citations": [{"cite": cite, "ivorn": ivorn} for cite, ivorn in packet.citations],
        "params": wire.json_ready(packet.params),
        "groups": wire.json_ready(groups),
    }
