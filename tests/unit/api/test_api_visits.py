"""The route of visits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from graph.errors import ArchiveError
from graph.model import AlertTense, AlertType, Circle, Messenger, Notice
from graph.times import datetime_to_mjd_tai
from graph.visits import IntArray, VisitColumns

TRIGGER = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TRIGGER_MJD = datetime_to_mjd_tai(TRIGGER)
PATH = "/api/v1/events/611989445/visits"
NOTICE = Notice(
    notice_id="n1", mission="Fermi", instrument="LAT", messenger=Messenger.EM, notice_type="", event_id="611989445",
    alert_type=AlertType.INITIAL, alert_tense=AlertTense.CURRENT, event_names=(), record_number=1,
    trigger_time=TRIGGER, alert_time=TRIGGER, localization=Circle(150.2, 2.2, 0.001),
)  # fmt: skip


class FakeVisits:
    """Looks at the first cell, some days after the trigger each."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []
        self.days = [-3.0, -0.1, 0.2, 5.0]
        self.failure: Exception | None = None

    def visits(self, cells: IntArray, from_mjd_tai: float, until_mjd_tai: float) -> VisitColumns:
        self.asked.append((from_mjd_tai - TRIGGER_MJD, until_mjd_tai - TRIGGER_MJD))
        if self.failure is not None:
            raise self.failure
        n = len(self.days)
        return VisitColumns(
            np.full(n, "ztf", dtype=object), TRIGGER_MJD + np.array(self.days), np.full(n, "g", dtype=object),
            np.full(n, cells[0]), np.full(n, 20.4), np.ones(n, dtype=np.int64),
        )  # fmt: skip


@pytest.fixture
def source() -> FakeVisits:
    return FakeVisits()


@pytest.fixture
def looking(reader: Any, source: FakeVisits) -> TestClient:
    reader.graph = replace(reader.graph, whole_notices={"Fermi:611989445": (NOTICE,)})
    return TestClient(create_app(ApiSettings(), reader, visits=source), raise_server_exceptions=False)


def test_visits_are_told_in_order_of_time_with_both_times(looking: TestClient, source: FakeVisits) -> None:
    found = looking.get(PATH).json()
    assert source.asked == [(pytest.approx(-7.0), pytest.approx(7.0))]
    assert found["searched_probability"] == pytest.approx(0.99)
    assert found["n_visits"] == 4
    assert [one["delta_t_s"] / 86400.0 for one in found["items"]] == pytest.approx(source.days)
    last = found["items"][-1]
    assert last["midpoint_time"].startswith("2026-03-06T12:00:00")
    assert (last["survey"], last["band"], last["limit_mag"]) == ("ztf", "g", 20.4)
    assert last["probability"] == pytest.approx(0.99)


def test_the_nearest_visits_are_told_first_of_many(looking: TestClient) -> None:
    found = looking.get(f"{PATH}?limit=2").json()
    assert [one["delta_t_s"] / 86400.0 for one in found["items"]] == pytest.approx([-0.1, 0.2])
    assert found["n_visits"] == 4


def test_the_window_can_be_chosen_within_bounds(looking: TestClient, source: FakeVisits) -> None:
    assert looking.get(f"{PATH}?before_d=0&after_d=30").status_code == 200
    assert source.asked == [(pytest.approx(0.0), pytest.approx(30.0))]
    for wrong in ("before_d=-1", "after_d=30.5", "after_d=nan", "before_d=x"):
        assert looking.get(f"{PATH}?{wrong}").status_code == 422


def test_without_archive_place_or_event_there_is_no_answer(
    client: TestClient, looking: TestClient, reader: Any
) -> None:
    assert looking.get("/api/v1/events/nobody/visits").status_code == 404
    assert client.get(PATH).status_code == 404
    reader.graph = replace(reader.graph, whole_notices={"Fermi:611989445": (replace(NOTICE, localization=None),)})
    answer = looking.get(PATH)
    assert (answer.status_code, answer.json()["detail"].count("no place")) == (404, 1)


def test_an_archive_that_cannot_be_read_is_said(looking: TestClient, source: FakeVisits) -> None:
    source.failure = ArchiveError("The archive cannot be read.")
    assert looking.get(PATH).status_code == 503
