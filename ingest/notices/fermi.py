"""Notices of Fermi: GBM bursts from alert to final position, sub-threshold bursts, LAT positions and flares.

GBM states one sigma of its statistical error only; a burst lies outside twice that radius one time in six. The
coordinator adds the systematic error given here. What a trigger is, is said by flight positions alone
(``Most_Likely_Index``): ``Def_NOT_a_GRB`` is false in every notice, those on solar flares included.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from graph.model import AlertType, Notice, SystematicError
from ingest.notices import classic, gcn_json, wire
from ingest.notices.classic import Found, Kind
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from ingest.notices.voevent import Packet

GBM_CONTAINMENT = 0.68
"""Containment of GBM's stated radius; ``containment_probability`` of its GCN JSON notices."""

SIGMA_OF_68_PERCENT_RADIUS = 0.66
"""Standard deviation on each axis over the 68 % radius [1]: the published core and tail values are radii of Fisher
distributions with concentration 1 / (0.66 radius)^2; Briggs et al. 1999, ApJS 122, 503. Read as deviations they are too
wide: of Swift positions of the same bursts, 65, 74 and 92 % then lie in the 50 % region of flight, ground and final
positions, against 52, 68 and 69 % so (23, 19 and 13 bursts)."""


def _core_and_tail(core_deg: float, tail_deg: float, core_weight: float) -> SystematicError:
    """Return a systematic error from the 68 % radii [deg] of its core and its tail."""
    sigma_deg = (SIGMA_OF_68_PERCENT_RADIUS * core_deg, SIGMA_OF_68_PERCENT_RADIUS * tail_deg)
    return SystematicError(sigma_deg=sigma_deg, weight=(core_weight, 1.0 - core_weight))


FLIGHT_SYSTEMATIC = _core_and_tail(7.52, 55.6, 0.897)
"""Core and tail of positions computed on board; Connaughton et al. 2015, doi:10.1088/0067-0049/216/2/32."""

GROUND_SYSTEMATIC = _core_and_tail(3.72, 13.7, 0.804)
"""Core and tail of automatic positions on ground; Connaughton et al. 2015."""

FINAL_SYSTEMATIC = _core_and_tail(3.71, 14.3, 0.900)
"""Core and tail of final positions; Connaughton et al. 2015."""

SUBTHRESHOLD_SYSTEMATIC = SystematicError(sigma_deg=(5.53,), weight=(1.0,))
"""Blur [deg] of positions of the untargeted search; its model in the Fermi GBM Data Tools."""

UNRELIABLE_RADIUS_DEG = 50.0
"""Radius [deg] that GBM writes for a position that it does not trust."""

GBM_CLASSES = {
    1: "UNRELIABLE_LOCATION",
    2: "LOCAL_PARTICLES",
    3: "BELOW_HORIZON",
    4: "GRB",
    5: "GENERIC_SGR",
    6: "GENERIC_TRANSIENT",
    7: "DISTANT_PARTICLES",
    8: "SOLAR_FLARE",
    9: "CYG_X1",
    10: "SGR_1806_20",
    11: "GROJ_0422_32",
    19: "TGF",
}
"""Classes of the flight software by ``Most_Likely_Index``, in the spelling of the GCN JSON notices."""

POSSIBLE_BURSTS = frozenset({"GRB", "GENERIC_TRANSIENT", "UNRELIABLE_LOCATION"})
"""Classes that leave a gamma-ray burst open; an unreliable location says nothing about the source."""

LAT_CONTAINMENT = 0.9
"""Containment of LAT's stated radius, statistical; GCN's description of the Fermi notices."""

_gbm = partial(Kind, mission="Fermi", instrument="GBM", containment_probability=GBM_CONTAINMENT)
_lat = partial(Kind, mission="Fermi", instrument="LAT", containment_probability=LAT_CONTAINMENT)
_flight = partial(_gbm, alert_type=AlertType.UPDATE, systematic=FLIGHT_SYSTEMATIC)
_ground = partial(_gbm, alert_type=AlertType.UPDATE, systematic=GROUND_SYSTEMATIC)
_final = partial(_gbm, alert_type=AlertType.UPDATE, systematic=FINAL_SYSTEMATIC)

KINDS = {
    110: _gbm("FERMI_GBM_ALERT"),
    111: _flight("FERMI_GBM_FLT_POS"),
    112: _ground("FERMI_GBM_GND_POS"),
    114: _ground("FERMI_GBM_GND_INTERNAL"),
    115: _final("FERMI_GBM_FIN_POS"),
    116: _gbm("FERMI_GBM_ALERT_INTERNAL"),
    117: _flight("FERMI_GBM_FLT_INTERNAL"),
    119: _gbm("FERMI_GBM_POS_TEST", is_test=True),
    120: _lat("FERMI_LAT_POS_INI"),
    121: _lat("FERMI_LAT_POS_UPD", alert_type=AlertType.UPDATE),
    122: _lat("FERMI_LAT_POS_DIAG", alert_type=AlertType.UPDATE),
    123: _lat("FERMI_LAT_TRANS"),
    124: _lat("FERMI_LAT_POS_TEST", is_test=True),
    # Fields of this one are visibly shifted; it names known sources only.
    125: _lat("FERMI_LAT_MONITOR", is_astrophysical_burst=False),
    127: _lat("FERMI_LAT_GND", alert_type=AlertType.UPDATE),
    128: _lat("FERMI_LAT_OFFLINE", alert_type=AlertType.UPDATE),
    131: _gbm("FERMI_GBM_SUBTHRESH", systematic=SUBTHRESHOLD_SYSTEMATIC),
    146: _final("FERMI_GBM_FIN_INTERNAL"),
}
"""Kinds by ``Packet_Type``."""

_JSON_KINDS = {
    "INITIAL_ALERT": KINDS[110],
    "FLIGHT_POSITION": KINDS[111],
    "GROUND_POSITION": KINDS[112],
    "FINAL_POSITION": KINDS[115],
}

_BURST_NAME = re.compile(r"/(bn\d{9})/")


def parse_voevent(packet: Packet, notice_id: str) -> Notice:
    """Read a VOEvent of GBM or LAT.

    Raises
    ------
    UnsupportedNoticeError : the packet is of a kind that is not on an event.
    MalformedPacketError : a field is wrong.
    """
    kind = classic.kind_of(KINDS, packet)
    radius = packet.radii_deg.get("Error2Radius")
    trusted = kind.instrument != "GBM" or radius != UNRELIABLE_RADIUS_DEG
    classification = _classification(packet)
    sequence = "Sequence_Num" if kind.instrument == "GBM" else "Record_Num"
    found = Found(
        event_id=packet.identifier("TrigID") or packet.identifier("Trans_Num"),
        event_names=_burst_names(packet),
        record_number=packet.whole(sequence),
        classification=classification,
        is_astrophysical_burst=_may_be_burst(classification),
        healpix_url=_healpix_url(packet),
    )
    localization = classic.stated_position(packet, kind) if trusted else None
    return classic.notice_of(packet, notice_id, kind, localization, found)


def _classification(packet: Packet) -> dict[str, float]:
    """Return the two likeliest classes of a flight position with their probabilities."""
    result = {}
    for rank in ("Most_Likely", "Sec_Most_Likely"):
        name = GBM_CLASSES.get(packet.whole(f"{rank}_Index") or 0)
        percent = packet.number(f"{rank}_Prob")
        if name is not None and percent is not None and name not in result:
            share = wire.probability(percent / 100.0, f"{rank}_Prob")
            result[name] = 0.0 if share is None else share
    return result


def _may_be_burst(classification: dict[str, float]) -> bool:
    """Return whether the likeliest class leaves a gamma-ray burst open; none leaves everything open."""
    return not classification or max(classification, key=lambda name: classification[name]) in POSSIBLE_BURSTS


def _burst_names(packet: Packet) -> tuple[str, ...]:
    """Return the ``bnYYMMDDfff`` name that GBM's links hold."""
    links = (packet.params.get("LightCurve_URL", ""), packet.params.get("LocationMap_URL", ""))
    found = (match.group(1) for link in links if (match := _BURST_NAME.search(link)))
    return tuple(dict.fromkeys(found))


def _healpix_url(packet: Packet) -> str | None:
    """Return the link to the HEALPix map: stated for sub-threshold bursts, beside the plot for final positions."""
    stated = wire.text(packet.params.get("HealPix_URL"), "HealPix_URL")
    plot = wire.text(packet.params.get("LocationMap_URL"), "LocationMap_URL") or ""
    if stated or "glg_locplot_all_" not in plot:
        return stated
    return plot.replace("glg_locplot_all_", "glg_healpix_all_").rsplit(".", 1)[0] + ".fit"


def parse_gbm_json(fields: Fields, notice_id: str) -> Notice:
    """Read a GBM trigger notice in GCN's JSON schema.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    subtype = wire.text(fields.get("subtype"), "subtype") or ""
    kind = _JSON_KINDS.get(subtype)
    origin = Origin(
        mission="Fermi",
        instrument="GBM",
        notice_type=f"FERMI_GBM_{subtype or 'TRIGGER'}" if kind is None else kind.notice_type,
        systematic=None if kind is None else kind.systematic,
    )
    return _with_class(gcn_json.notice_of(fields, notice_id, origin))


def parse_targeted_json(fields: Fields, notice_id: str) -> Notice:
    """Read a notice of GBM's targeted search for a burst at another event's time.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    origin = Origin(mission="Fermi", instrument="GBM", notice_type="FERMI_GBM_TARGETED")
    return gcn_json.notice_of(fields, notice_id, origin)


def parse_lat_flare_json(fields: Fields, notice_id: str) -> Notice:
    """Read a LAT notice on the flare of a known source, which is named instead of numbered.

    Raises
    ------
    MalformedPacketError : a field is wrong.
    """
    names = gcn_json.names_of(fields, "event_name")
    origin = Origin(
        mission="Fermi",
        instrument="LAT",
        notice_type="FERMI_LAT_FLARE",
        is_astrophysical_burst=False,
        event_id=names[0] if names else None,
    )
    return gcn_json.notice_of(fields, notice_id, origin)


def _with_class(notice: Notice) -> Notice:
    """Return the notice with the judgement that its classification implies."""
    return replace(notice, is_astrophysical_burst=_may_be_burst(dict(notice.classification)))
