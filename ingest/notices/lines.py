"""One notice as a line for people and scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.errors import SkyMapError
from graph.model import Circle, Ellipse, Localization, Notice
from graph.regions import region_of
from graph.times import format_utc

if TYPE_CHECKING:
    from datetime import datetime

AREA_LEVEL = 0.9
"""Probability inside ``area_90_deg2``."""


def notice_line(file: str, notice: Notice) -> dict[str, object]:
    """Return the JSON-ready line of a notice that was read from a file; absent is None.

    Notes
    -----
    Position, radius and containment are as the mission states them; ``area_90_deg2`` is of the localization that the
    coordinator uses, systematic error included.
    """
    return {
        "file": file,
        "mission": notice.mission,
        "instrument": notice.instrument,
        "messenger": notice.messenger.value,
        "notice_type": notice.notice_type,
        "alert_type": notice.alert_type.value,
        "alert_tense": notice.alert_tense.value,
        "event_id": notice.event_id,
        "event_names": list(notice.event_names),
        "record_number": notice.record_number,
        "trigger_time": _time(notice.trigger_time),
        "alert_time": _time(notice.alert_time),
        **_place(notice.localization),
        "area_90_deg2": _area_deg2(notice.localization),
        "far_hz": notice.far_hz,
        "p_astro": notice.p_astro,
        "classification": dict(notice.classification),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_utc(moment)


def _place(localization: Localization | None) -> dict[str, object]:
    """Return kind, position and error as stated."""
    place: dict[str, object] = dict.fromkeys(
        ("ra_deg", "dec_deg", "error_radius_deg", "containment_probability", "systematic_included")
    )
    if isinstance(localization, Circle | Ellipse):
        place |= {
            "ra_deg": localization.ra_deg,
            "dec_deg": localization.dec_deg,
            "containment_probability": localization.containment_probability,
            "systematic_included": localization.systematic_included,
        }
    if isinstance(localization, Circle):
        place["error_radius_deg"] = localization.error_radius_deg
    kinds = {Circle: "circle", Ellipse: "ellipse", type(None): "none"}
    return {"localization_kind": kinds.get(type(localization), "skymap"), **place}


def _area_deg2(localization: Localization | None) -> float | None:
    """Return the area [deg2] of the 90 per cent credible region."""
    if localization is None:
        return None
    try:
        return region_of(localization).area_deg2(AREA_LEVEL)
    except SkyMapError:
        return None
