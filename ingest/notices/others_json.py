"""Notices in GCN's JSON schema of the missions that need no rules of their own, or one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from graph.errors import MalformedPacketError
from ingest.notices import gcn_json, wire
from ingest.notices.gcn_json import Fields, Origin

if TYPE_CHECKING:
    from graph.model import Notice

MAXI_UNKNOWN_RADIUS_DEG = 1.0
"""Radius [deg] of a new source's position that states none: the constant of MAXI's VOEvents, nominally 90 per cent."""

MAXI_KNOWN_RADIUS_DEG = 0.5
"""The same of a known source [deg]."""

_ORIGINS = {
    "einstein_probe": Origin("Einstein Probe", "WXT", "EINSTEIN_PROBE_WXT_ALERT"),
    "maxi_unknown": Origin("MAXI", "GSC", "MAXI_UNKNOWN", nominal_radius_deg=MAXI_UNKNOWN_RADIUS_DEG),
    "maxi_known": Origin(
        "MAXI", "GSC", "MAXI_KNOWN", nominal_radius_deg=MAXI_KNOWN_RADIUS_DEG, is_astrophysical_burst=False
    ),
    "chime": Origin("CHIME", "CHIME/FRB", "CHIME_FRB"),
    "dsa110": Origin("DSA-110", "DSA-110", "DSA110_FRB"),
    "burstcube": Origin("BurstCube", "BurstCube", "BURSTCUBE_ALERT"),
    "glowbug": Origin("GLOWBUG", "GLOWBUG", "GLOWBUG_ALERT"),
}


def _parse(fields: Fields, notice_id: str, *, origin: Origin) -> Notice:
    return gcn_json.notice_of(fields, notice_id, origin)


parse_einstein_probe = partial(_parse, origin=_ORIGINS["einstein_probe"])
"""Read a notice of Einstein Probe's WXT, which has no containment (so 0.9) and no time of its own."""

parse_maxi_unknown = partial(_parse, origin=_ORIGINS["maxi_unknown"])
"""Read a notice of MAXI on a new source."""

parse_maxi_known = partial(_parse, origin=_ORIGINS["maxi_known"])
"""Read a notice of MAXI on a catalogued source."""

parse_chime = partial(_parse, origin=_ORIGINS["chime"])
"""Read a notice of CHIME/FRB."""

parse_dsa110 = partial(_parse, origin=_ORIGINS["dsa110"])
"""Read a notice of DSA-110."""

parse_burstcube = partial(_parse, origin=_ORIGINS["burstcube"])
"""Read a notice of BurstCube (2024)."""

parse_glowbug = partial(_parse, origin=_ORIGINS["glowbug"])
"""Read a notice of GLOWBUG (2023)."""


def parse_boom(fields: Fields, notice_id: str) -> Notice:
    """Read an alert of the broker BOOM on optical transients that it found near an event.

    Raises
    ------
    MalformedPacketError : a field is wrong, or the alert has no target.

    Notes
    -----
    The event is the first target. Its position, known to an arcsecond, is not a localization to search: it stays in
    ``extra`` with the others, and so do the events that BOOM matched.
    """
    data = fields.get("data")
    targets = data.get("targets") if isinstance(data, dict) else None
    if not isinstance(targets, list) or not targets or not all(isinstance(target, dict) for target in targets):
        raise MalformedPacketError("the alert has no targets")
    names = tuple(name for target in targets[:32] if (name := wire.identifier(target.get("event_name"), "event_name")))
    if not names:
        raise MalformedPacketError("the alert names no target")
    origin = Origin(
        "Boom", "BOOM", "BOOM_ALERT", is_astrophysical_burst=False, event_id=names[0], event_names=names[1:]
    )
    return gcn_json.notice_of(fields, notice_id, origin)
