"""Notices of IceCube: single tracks and cascades as VOEvent and JSON, and neutrinos at the time of a GW event.

Revision 0 comes within a minute with a circle that four of ten final positions lie outside of; revision 1 replaces
it. Nothing cites: revisions belong together by run and event number.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from graph.model import Messenger, Notice
from ingest.notices import classic, gcn_json, wire
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

IC90 = 0.9
"""Containment of ``src_error_90``, which all kinds but one give as radius."""

EHE_CONTAINMENT = 0.5
"""Containment of the radius of extremely-high-energy notices (to 2019): it is ``src_error_50``."""

_track = partial(Kind, mission="IceCube", instrument="IC86", messenger=Messenger.NEUTRINO, containment_probability=IC90)

KINDS = {
    157: _track("AMON_ICECUBE_COINC"),
    158: _track("AMON_ICECUBE_HESE"),
    169: _track("AMON_ICECUBE_EHE", containment_probability=EHE_CONTAINMENT),
    173: _track("ICECUBE_ASTROTRACK_GOLD"),
    174: _track("ICECUBE_ASTROTRACK_BRONZE"),
    # Cascades alone are reconstructed with systematic errors; the sky map behind the link is better than the circle.
    176: _track("ICECUBE_CASCADE", systematic_included=True),
}
"""Kinds by ``Packet_Type``."""

_PIPELINES = {"gold": "ICECUBE_ASTROTRACK_GOLD", "bronze": "ICECUBE_ASTROTRACK_BRONZE", "cascade": "ICECUBE_CASCADE"}


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of IceCube.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not known.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    revision = packet.whole("Rev")
    per_year = wire.rate(packet.params.get("FAR"), "FAR")
    signalness = packet.params.get("signalness") or packet.params.get("Signalness")
    name = packet.identifier("event_name")
    found = Found(
        event_id=_event_id(packet),
        event_names=() if name is None else (name,),
        record_number=revision,
        far_hz=None if per_year is None else per_year / wire.SECONDS_PER_YEAR,
        p_astro=wire.probability(signalness, "signalness"),
        is_retraction=packet.is_set("Retraction"),
        is_update=bool(revision),
        healpix_url=wire.text(packet.params.get("skymap_fits"), "skymap_fits"),
    )
    return classic.notice_of(packet, notice_id, kind, classic.stated_position(packet, kind), found)


def _event_id(packet: Packet) -> str | None:
    """Return run and event number; the first notices of 2015 lack them."""
    run, event = packet.whole("run_id"), packet.whole("event_id")
    if run is None or event is None:
        return packet.identifier("TrigID") or packet.identifier("ID")
    return f"{run}_{event}"


def parse_track_json(fields: Fields, notice_id: str) -> Notice:
    """Read a notice on a single neutrino in GCN's JSON schema, whose false-alarm rate is in Hz.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    pipeline = (wire.text(fields.get("pipeline"), "pipeline") or "").split(" ")[0].lower()
    identifiers = gcn_json.names_of(fields, "id")
    # Some senders append the revision, which would make every revision an event of its own.
    run_event = "_".join(identifiers[0].split("_")[:2]) if identifiers else None
    origin = Origin(
        mission="IceCube",
        instrument="IC86",
        notice_type=_PIPELINES.get(pipeline, "ICECUBE_SINGLE_NEUTRINO"),
        messenger=Messenger.NEUTRINO,
        event_id=run_event,
    )
    return gcn_json.notice_of({**fields, "id": list(identifiers[1:])}, notice_id, origin)


def parse_gw_search_json(fields: Fields, notice_id: str) -> Notice:
    """Read the result of a search for neutrinos at the time of a GW event; its positions are of many neutrinos.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    reference = wire.identifier(fields.get("ref_ID"), "ref_ID")
    origin = Origin(
        mission="IceCube",
        instrument="IC86",
        notice_type="ICECUBE_LVK_NU_TRACK_SEARCH",
        messenger=Messenger.NEUTRINO,
        event_id=None if reference is None else f"nu_track_search_{reference}",
    )
    return gcn_json.notice_of({**fields, "id": None}, notice_id, origin)
