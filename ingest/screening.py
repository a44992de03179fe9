"""What is set aside before the costly stages, each with a reason that the ledger counts."""

from __future__ import annotations

import numpy as np

from ingest.alerts.columns import AlertColumns, TextArray

REASONS = ("not_public", "solar_system", "low_reliability")
"""Reasons in the order in which they are tried; an alert is counted under the first that holds."""


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
    body, or the packet belongs to no fixed object. ``low_reliability``: the survey's own score says artefact.
    """
    reason = np.full(len(columns), "", dtype=object)
    with np.errstate(invalid="ignore"):
        reason[columns.reliability < min_reliability] = "low_reliability"
    reason[(columns.solar_system_id != "") | (columns.object_id == "")] = "solar_system"
    if not keep_private:
        reason[~columns.is_public] = "not_public"
    return reason
