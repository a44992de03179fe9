"""Builders of notices, events and objects with plain defaults."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from graph.model import AlertTense, AlertType, Event, EventState, Messenger, Notice
from graph.objects import ObjectColumns

if TYPE_CHECKING:
    from collections.abc import Callable

TRIGGER = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def build_notice(**changes: Any) -> Notice:
    fields: dict[str, Any] = {
        "notice_id": "n1",
        "mission": "Fermi",
        "instrument": "GBM",
        "messenger": Messenger.EM,
        "notice_type": "FERMI_GBM_FLT_POS",
        "alert_type": AlertType.INITIAL,
        "alert_tense": AlertTense.CURRENT,
        "event_id": "611989445",
        "event_names": (),
        "record_number": None,
        "trigger_time": TRIGGER,
        "alert_time": TRIGGER,
        "localization": None,
    }
    return Notice(**{**fields, **changes})


def build_event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "event_key": "Fermi:611989445",
        "mission": "Fermi",
        "event_id": "611989445",
        "event_names": (),
        "messenger": Messenger.EM,
        "trigger_time": TRIGGER,
        "state": EventState.ACTIVE,
        "alert_tense": AlertTense.CURRENT,
        "revision": 3,
        "notice_ids": ("n1", "n2", "n3"),
        "localization": None,
        "localization_notice_id": "n3",
    }
    return Event(**{**fields, **changes})


def build_objects(ra_deg: Any, dec_deg: Any, first_midpoint_mjd_tai: Any, **columns: Any) -> ObjectColumns:
    ra, dec, first = np.broadcast_arrays(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg), first_midpoint_mjd_tai)
    n = len(ra)
    fields: dict[str, Any] = {
        "survey": np.full(n, "ztf", dtype=object),
        "object_id": np.array([f"ZTF{i:05d}" for i in range(n)], dtype=object),
        "ra_deg": ra.astype(float),
        "dec_deg": dec.astype(float),
        "first_midpoint_mjd_tai": first.astype(float),
        "last_limit_mjd_tai": np.full(n, np.nan),
        "latest_mag": np.full(n, np.nan),
        "top_class": np.full(n, "", dtype=object),
        "class_probability": np.full(n, np.nan),
        "n_detections": np.full(n, 2),
    }
    return ObjectColumns(**{**fields, **columns})


@pytest.fixture(scope="session")
def make_notice() -> Callable[..., Notice]:
    return build_notice


@pytest.fixture(scope="session")
def make_event() -> Callable[..., Event]:
    return build_event


@pytest.fixture(scope="session")
def make_objects() -> Callable[..., ObjectColumns]:
    return build_objects
