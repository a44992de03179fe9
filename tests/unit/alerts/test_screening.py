"""Which reason an alert is set aside for, and that an object seen before is never a satellite."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, LightCurves
from ingest.alerts.decode import AlertDecoder
from ingest.replay import iter_alert_messages
from ingest.screening import REASONS, is_single, screen

GOOD: dict[str, Any] = {
    "object_id": "a", "solar_system_id": "", "band": 1, "is_public": True, "n_detections": 1, "exposure_id": 9,
    "is_streak": False, "trail_length_arcsec": float("nan"), "reliability": 0.9, "first_midpoint_mjd_tai": 60000.0,
    "midpoint_mjd_tai": 60000.0, "ra_deg": 10.0, "dec_deg": 10.0,
}  # fmt: skip
KINDS: dict[str, Any] = {"object_id": object, "solar_system_id": object, "is_public": bool, "is_streak": bool}
EMPTY = LightCurves(np.zeros(1, np.int64), *(np.zeros(0) for _ in range(5)))  # type: ignore[arg-type]


def columns_of(*alerts: dict[str, Any]) -> AlertColumns:
    """Return columns of alerts that differ from a good one as stated, no two at one place."""
    rows = [GOOD | {"ra_deg": 10.0 + 0.37 * place**2} | alert for place, alert in enumerate(alerts)]
    values: dict[str, Any] = {"survey": Survey.LSST, "light_curves": EMPTY}
    for field in fields(AlertColumns):
        if field.name not in values:
            column = [row.get(field.name, 0) for row in rows]
            values[field.name] = np.array(column, dtype=KINDS.get(field.name))
    return AlertColumns(**values)


def reasons(*alerts: dict[str, Any], keep_private: bool = False) -> list[str]:
    return list(screen(columns_of(*alerts), 0.5, keep_private=keep_private))


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        ({}, ""),
        ({"reliability": float("nan")}, ""),
        ({"reliability": 0.4}, "low_reliability"),
        ({"solar_system_id": "Ceres", "reliability": 0.4, "is_streak": True}, "solar_system"),
        ({"object_id": ""}, "solar_system"),
        ({"is_public": False, "solar_system_id": "Ceres"}, "not_public"),
        ({"is_streak": True, "reliability": 0.4}, "streak"),
        ({"trail_length_arcsec": 12.4}, ""),
        ({"trail_length_arcsec": 12.6}, "streak"),
        ({"trail_length_arcsec": 40.0, "n_detections": 2}, ""),
        ({"is_streak": True, "n_detections": -1, "first_midpoint_mjd_tai": 59990.0}, ""),
        ({"is_streak": True, "n_detections": -1}, "streak"),
    ],
)
def test_the_first_reason_that_holds_is_given(alert: dict[str, Any], reason: str) -> None:
    assert reasons(alert) == [reason]
    assert reason in {"", *REASONS}


def test_partnership_alerts_go_on_where_they_are_wanted() -> None:
    assert reasons({"is_public": False}, keep_private=True) == [""]


def test_flashes_on_a_great_circle_are_glints_and_known_objects_on_it_are_not() -> None:
    line = [{"ra_deg": 20.0 + 0.05 * place, "dec_deg": 0.0} for place in range(12)]
    line[3] |= {"n_detections": 40}
    line[5] |= {"reliability": 0.1}
    line[7] |= {"first_midpoint_mjd_tai": 59000.0}
    found = reasons(*line)
    assert [place for place, reason in enumerate(found) if reason != "satellite_glint"] == [3, 7]
    assert found[3] == found[7] == ""


def test_no_alerts_are_no_reasons() -> None:
    assert reasons() == []


@pytest.mark.parametrize(
    ("alert", "single"),
    [
        ({}, True),
        ({"first_midpoint_mjd_tai": 60000.0 - 30 / 86400}, True),
        ({"first_midpoint_mjd_tai": 60000.0 - 90 / 86400}, False),
        ({"first_midpoint_mjd_tai": float("nan")}, True),
        ({"n_detections": 2}, False),
        ({"solar_system_id": "Ceres"}, False),
    ],
)
def test_a_single_detection_is_the_only_one_that_anybody_knows(alert: dict[str, Any], single: bool) -> None:
    assert is_single(columns_of(alert)).tolist() == [single]


def test_no_recorded_alert_is_taken_for_a_satellite(shared_data: Path) -> None:
    messages = [packet for _, packet in iter_alert_messages(shared_data / "alerts" / "lsst_bulk")]
    columns, _ = AlertDecoder(Survey.LSST).decode(pa.array(messages, pa.binary()))
    assert is_single(columns).sum() > 100
    assert not {"streak", "satellite_glint"} & set(screen(columns, 0.3, keep_private=True))
