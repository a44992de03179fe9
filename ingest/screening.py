"""What is set aside before the costly stages, each with a reason that the ledger counts."""

from __future__ import annotations

import numpy as np

from ingest.alerts.columns import AlertColumns, BoolArray, TextArray
from ingest.glints import find_glints

REASONS = ("not_public", "solar_system", "streak", "satellite_glint", "low_reliability")
"""Reasons in the order in which they are tried; an alert is counted under the first that holds. What the survey says
comes before what is concluded from many alerts, and what a thing is before how well it was measured."""

MAX_TRAIL_ARCSEC = 12.5
"""Longest trail of a single detection that goes on [arcsec]: 10 deg/day during an exposure of 30 s, the rate above
which LSST itself holds sources back, DMTN-199. Trail fits of real point sources reach 6 arcsec."""

SAME_EXPOSURE_D = 60.0 / 86_400.0
"""Detections closer in time than this are one [d]: longer than an exposure, shorter than the time between two."""


def is_single(columns: AlertColumns) -> BoolArray:
    """Return (n,) True where the alert is the only detection of its object, and no moving body is known there.

    Where the survey does not count, the packet's own history decides.
    """
    with np.errstate(invalid="ignore"):
        seen_before = columns.first_midpoint_mjd_tai < columns.midpoint_mjd_tai - SAME_EXPOSURE_D
    return (columns.n_detections <= 1) & ~seen_before & (columns.solar_system_id == "") & (columns.object_id != "")


def screen(columns: AlertColumns, min_reliability: float, *, keep_private: bool) -> TextArray:
    """Return for each alert the reason to set it aside, an empty string for those that go on.

    Parameters
    ----------
    columns : (n,) alerts.
    min_reliability : real/bogus score below which an alert is an artefact; an absent score passes.
    keep_private : whether alerts of partnership programmes go on.

    Notes
    -----
    ``not_public``: a partnership alert, not ours to publish. ``solar_system``: the survey associated a known moving
    body, or the packet belongs to no fixed object. ``streak``: a single detection that the survey marks as part of a
    streak or that is trailed beyond `MAX_TRAIL_ARCSEC`. ``satellite_glint``: a single detection on one great circle
    with others of its exposure, see `ingest.glints.find_glints`; alerts that other reasons set aside count as points
    of that circle. ``low_reliability``: the survey's own score says artefact.

    An object that was seen before is never a streak or a glint, whatever crosses it.
    """
    single = is_single(columns)
    on_circle = find_glints(columns.exposure_id, columns.ra_deg, columns.dec_deg, single)
    reason = np.full(len(columns), "", dtype=object)
    with np.errstate(invalid="ignore"):
        reason[columns.reliability < min_reliability] = "low_reliability"
        trailed = columns.is_streak | (columns.trail_length_arcsec > MAX_TRAIL_ARCSEC)
    reason[on_circle] = "satellite_glint"
    reason[single & trailed] = "streak"
    reason[(columns.solar_system_id != "") | (columns.object_id == "")] = "solar_system"
    if not keep_private:
        reason[~columns.is_public] = "not_public"
    return reason
