"""A reader without a graph, and the application around it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.config import ApiSettings
from graph.errors import NotFoundError, QueryRefusedError, StoreError
from graph.model import AlertTense, CoincidenceState, EventState, Messenger, ScienceCase, Survey, Term
from graph.reading import GraphReading
from graph.views import (
    CandidateView,
    ClassificationView,
    CoincidenceCounts,
    CoincidenceView,
    DetectionView,
    EventDetailView,
    EventView,
    LedgerNight,
    ListSummaryView,
    ListView,
    LocalizationView,
    MatchView,
    NoticeView,
    ObjectEventView,
    ObjectView,
    Page,
    QueryRows,
    TargetView,
)

with warnings.catch_warnings():
    # The client asks for a newer httpx at its first import; warnings are errors in these tests.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

TRIGGER = datetime(2020, 5, 24, 5, 3, 35, 700000, tzinfo=UTC)
BIG_ID = 9_007_199_254_740_993  # 2**53 + 1: a float would give ...992
HOSTILE = "<img src=x onerror=alert(1)>"
TERMS = (Term("position", 3.0, {"credible_level": 0.31}), Term("delay", 2.4, {"delta_t_s": 88992.0, "model": "v1"}))

OBJECT = ObjectView(
    "ztf:ZTF20abbiixp", Survey.ZTF, "ZTF20abbiixp", 213.0427, 60.9052, 3_000_000_000_000_000_001,
    58993.2410, 58994.3, None, 19.3, "g", HOSTILE, 0.91,
)  # fmt: skip
LOCALIZATION = LocalizationView("n1", "circle", 212.86, 61.44, 1.4, 0.68, 45.2)
EVENT = EventView(
    "Fermi:611989445", "Fermi", "611989445", ("bn200524211",), Messenger.EM, TRIGGER, EventState.ACTIVE,
    AlertTense.CURRENT, 3, 1.2e-9, None, {"GRB": 0.96}, True, "GBM", "FERMI_GBM_FLT_POS", 1, 1, LOCALIZATION,
)  # fmt: skip
COINCIDENCE = CoincidenceView(
    OBJECT.object_key, EVENT.event_key, 88992.0, 0.31, 0.6, 0.02, 3.1e-8, 5.4, TERMS, CoincidenceState.OPEN, 3
)
SUMMARY = ListSummaryView("grb:3", ScienceCase.GRB, 3, "0123456789abcdef", 1, True)


class FakeReader:
    """Answers with one object, one event and one list; can be told to fail."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.calls: list[tuple[object, ...]] = []
        self.event_state = EventState.ACTIVE

    def _called(self, *call: object) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure

    def ping(self) -> None:
        self._called("ping")

    def object(self, survey: Survey, object_id: str) -> ObjectView:
        self._called("object", survey, object_id)
        if (survey, object_id) != (OBJECT.survey, OBJECT.object_id):
            raise NotFoundError(f"There is no object {object_id} of {survey} in the graph.")
        return OBJECT

    def detections(self, survey: Survey, object_id: str, limit: int) -> tuple[DetectionView, ...]:
        self.object(survey, object_id)
        self._called("detections", limit)
        return (DetectionView("ztf:1", survey, BIG_ID, 58993.241, "g", 69183.1, float("nan"), 19.3, 213.0, 60.9, None),)

    def classifications(self, survey: Survey, object_id: str) -> tuple[ClassificationView, ...]:
        self._called("classifications", survey, object_id)
        return (ClassificationView("SN Ia", "early", "1.0", 0.91, 0.04, 7, 58994.3),)

    def matches(self, survey: Survey, object_id: str) -> tuple[MatchView, ...]:
        self._called("matches", survey, object_id)
        return (MatchView("gcvs:RR Lyr", "gcvs", "RR Lyr", 1.0, 2.0, "RRAB", 0.4, None),)

    def events_of_object(self, survey: Survey, object_id: str) -> tuple[ObjectEventView, ...]:
        self.object(survey, object_id)
        return (ObjectEventView(COINCIDENCE, EVENT),)

    def events(
        self, limit: int, cursor: str | None = None, messenger: Messenger | None = None, state: EventState | None = None
    ) -> Page[EventView]:
        self._called("events", limit, cursor, messenger, state)
        return Page((EVENT,), "next")

    def event(self, name: str) -> EventDetailView:
        self._called("event", name)
        if name not in {EVENT.event_key, EVENT.event_id}:
            raise NotFoundError(f"There is no event {name} in the graph.")
        notice = NoticeView(
            "n1", "Fermi", "GBM", Messenger.EM, "FERMI_GBM_FLT_POS", "initial", AlertTense.CURRENT, EVENT.event_id,
            None, TRIGGER, TRIGGER, LOCALIZATION,
        )  # fmt: skip
        return EventDetailView(EVENT, (notice,))

    def candidates(self, name: str, limit: int, state: CoincidenceState | None = None) -> tuple[CandidateView, ...]:
        self.event(name)
        self._called("candidates", name, limit, state)
        return (CandidateView(COINCIDENCE, OBJECT),)

    def lists(self) -> tuple[ListSummaryView, ...]:
        self._called("lists")
        return (SUMMARY,)

    def list(self, case: ScienceCase, version: int | None, limit: int, after_rank: int = 0) -> ListView:
        self._called("list", case, version, limit, after_rank)
        if case != SUMMARY.case or version not in {None, SUMMARY.version}:
            raise NotFoundError(f"The {case} list has no such version in the graph.")
        target = TargetView(
            1, "grb/ztf:ZTF20abbiixp/Fermi:611989445", Survey.ZTF, OBJECT.object_id, 213.0427, 60.9052, 5.4, TERMS,
            0.02, 3.1e-8, "SN Ia", 0.91, 19.3, EVENT.event_key, self.event_state,
        )  # fmt: skip
        return ListView(SUMMARY, (target,))

    def coincidence_counts(self) -> CoincidenceCounts:
        self._called("coincidence_counts")
        return CoincidenceCounts(2, 1, 0)

    def counts(self) -> Mapping[str, int]:
        self._called("counts")
        return {"Object": 1, "Event": 1}

    def ledger(self, nights: int) -> tuple[LedgerNight, ...]:
        self._called("ledger", nights)
        return (LedgerNight(Survey.ZTF, 20200524, 10, 7, 1, 1, {"bogus": 1}, {"malformed": 1}),)

    def read_query(self, text: str, params: Mapping[str, Any], timeout_s: float, max_rows: int) -> QueryRows:
        self._called("read_query", text, dict(params), timeout_s, max_rows)
        if "CREATE" in text:
            raise QueryRefusedError("Only queries that read the graph are allowed here.")
        return QueryRows(("n", "x"), ((str(BIG_ID), {"a": [1, None, "b"]}),), truncated=False)


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def app(reader: FakeReader) -> FastAPI:
    known: GraphReading = reader
    return create_app(ApiSettings(page_limit_max=100, query_max_rows=50, max_body_bytes=4096), known)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def down(reader: FakeReader) -> FakeReader:
    reader.failure = StoreError("The graph cannot be reached.")
    return reader
