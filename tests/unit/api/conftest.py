"""A reader that knows one object, one event and one list, and the application around it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from api.testing import FakeGraph, FakeReader
from graph.errors import StoreError
from graph.model import AlertTense, CoincidenceState, EventState, Messenger, ScienceCase, Survey, Term
from graph.reading import GraphReading
from graph.views import (
    ClassificationView,
    CoincidenceCounts,
    CoincidenceView,
    DetectionView,
    EventView,
    LedgerNight,
    ListSummaryView,
    ListView,
    LocalizationView,
    MatchView,
    NoticeView,
    ObjectView,
    QueryRows,
    TargetView,
)

TRIGGER = datetime(2020, 5, 24, 5, 3, 35, 700000, tzinfo=UTC)
BIG_ID = 9_007_199_254_740_993  # 2**53 + 1: a float would give ...992
HOSTILE = "<img src=x onerror=alert(1)>"
TERMS = (Term("position", 3.0, {"credible_level": 0.31}), Term("delay", 2.4, {"delta_t_s": 88992.0, "model": "v1"}))

OBJECT = ObjectView(
    "ztf:ZTF20abbiixp", Survey.ZTF, "ZTF20abbiixp", 213.0427, 60.9052, 3_000_000_000_000_000_001,
    58993.2410, 58994.3, 19.6, "r", 58992.5, 20.4, "g",
    19.3, "g", HOSTILE, 0.91,
)  # fmt: skip
LOCALIZATION = LocalizationView("n1", "circle", 212.86, 61.44, 1.4, 0.68, 45.2)
EVENT = EventView(
    "Fermi:611989445", "Fermi", "611989445", ("bn200524211",), Messenger.EM, TRIGGER, EventState.ACTIVE,
    AlertTense.CURRENT, 3, 1.2e-9, None, {"GRB": 0.96}, True, "GBM", "FERMI_GBM_FLT_POS", 1, 1, LOCALIZATION,
)  # fmt: skip
COINCIDENCE = CoincidenceView(
    OBJECT.object_key, EVENT.event_key, 88992.0, 0.31, 0.6, 0.02, 3.1e-8, 5.4, TERMS, CoincidenceState.OPEN, 3
)
LIST = ListView(
    ListSummaryView("grb:3", ScienceCase.GRB, 3, "0123456789abcdef", 1, True),
    (
        TargetView(
            1, "grb/ztf:ZTF20abbiixp/Fermi:611989445", Survey.ZTF, OBJECT.object_id, 213.0427, 60.9052, 5.4, TERMS,
            0.02, 3.1e-8, "SN Ia", 0.91, 19.3, EVENT.event_key, EventState.ACTIVE,
        ),
    ),
)  # fmt: skip
NOTICE = NoticeView(
    "n1", "Fermi", "GBM", Messenger.EM, "FERMI_GBM_FLT_POS", "initial", AlertTense.CURRENT, EVENT.event_id,
    None, TRIGGER, TRIGGER, LOCALIZATION,
)  # fmt: skip
DETECTION = DetectionView(
    "ztf:1", Survey.ZTF, BIG_ID, 58993.241, "g", 69183.1, float("nan"), 19.3, 213.0, 60.9, None
)  # fmt: skip
GRAPH = FakeGraph(
    objects=(OBJECT,),
    events=(EVENT,),
    coincidences=(COINCIDENCE,),
    lists=(LIST,),
    notices={EVENT.event_key: (NOTICE,)},
    detections={OBJECT.object_key: (DETECTION,)},
    classifications={OBJECT.object_key: (ClassificationView("SN Ia", "early", "1.0", 0.91, 0.04, 7, 58994.3),)},
    matches={OBJECT.object_key: (MatchView("gcvs:RR Lyr", "gcvs", "RR Lyr", 1.0, 2.0, "RRAB", 0.4, None),)},
    coincidence_counts=CoincidenceCounts(2, 1, 0),
    ledger=(LedgerNight(Survey.ZTF, 20200524, 10, 9, 0, {"low_reliability": 1}, 8, 7, 1, {"malformed": 1}, 1),),
    query_rows=QueryRows(("n", "x"), ((str(BIG_ID), {"a": [1, None, "b"]}),), truncated=False),
    next_cursor="next",
)


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader(GRAPH)


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
