"""The metrics are Prometheus' text format, say what the ledger says, and come also when a part is down."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from api.metrics import Family, Metrics, exposition
from api.testing import FakeReader
from graph.errors import HeliographError, PublishError, StoreError
from graph.views import PartitionLag, StreamLag

LAG = StreamLag((PartitionLag("alerts.ztf", 0, 60, 40, 20, 1.75), PartitionLag("alerts.lsst", 1, 7, 7, 0, None)))
Sample = tuple[str, frozenset[tuple[str, str]]]


class FakeWatch:
    """Knows one lag, and can be told to fail."""

    def __init__(self, failure: HeliographError | None = None) -> None:
        self.failure = failure
        self.n_asked = 0

    def lag(self) -> StreamLag:
        self.n_asked += 1
        self.ping()
        return LAG

    def ping(self) -> None:
        if self.failure is not None:
            raise self.failure


def parsed(text: str) -> dict[Sample, float]:
    """Read the text exposition format 0.0.4 character by character, as its specification says."""
    samples: dict[Sample, float] = {}
    kinds: dict[str, str] = {}
    assert text == "" or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, rest = read_labels(line)
            assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name)
            assert kinds[name] in {"gauge", "counter"}
            key = (name, frozenset(labels.items()))
            assert key not in samples, "a sample is there twice"
            samples[key] = float(rest)
    return samples


def read_labels(line: str) -> tuple[str, dict[str, str], str]:
    brace = line.find("{")
    if brace < 0:
        name, _, value = line.partition(" ")
        return name, {}, value
    name, labels, place = line[:brace], {}, brace + 1
    while line[place] != "}":
        equals = line.index('="', place)
        label, text, place = line[place:equals], "", equals + 2
        while line[place] != '"':
            if line[place] == "\\":
                text += {"\\": "\\", '"': '"', "n": "\n"}[line[place + 1]]
                place += 2
            else:
                text += line[place]
                place += 1
        labels[label] = text
        place += 2 if line[place + 1] == "," else 1
    assert line[place + 1] == " "
    return name, labels, line[place + 2 :]


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def scraped(reader: FakeReader, watch: FakeWatch | None) -> dict[Sample, float]:
    return parsed(Metrics(reader, watch, Counter(), cache_s=0.0).text())


def test_the_ledger_is_shown_by_stage_and_reason(reader: FakeReader) -> None:
    samples = scraped(reader, FakeWatch())
    night = {"survey": "ztf", "night": "20200524"}
    shown = {
        (dict(labels)["stage"], dict(labels)["reason"]): n
        for (name, labels), n in samples.items()
        if name == "heliograph_ledger_alerts"
    }
    assert shown == {
        ("received", ""): 10, ("archived", ""): 9, ("filtered", "low_reliability"): 1, ("classified", ""): 8,
        ("loaded", ""): 7, ("dead", "malformed"): 1, ("duplicates", ""): 1,
    }  # fmt: skip
    assert value(samples, "heliograph_ledger_balanced", **night) == 1
    assert reader.calls == [("ledger", 3)], "the number of nights, and so of samples, is bounded"


def test_the_lag_is_shown_by_partition(reader: FakeReader) -> None:
    samples = scraped(reader, FakeWatch())
    ztf, lsst = {"topic": "alerts.ztf", "partition": "0"}, {"topic": "alerts.lsst", "partition": "1"}
    assert value(samples, "heliograph_stream_lag_alerts", **ztf) == 20
    assert value(samples, "heliograph_stream_oldest_unprocessed_seconds", **ztf) == 1.75
    assert value(samples, "heliograph_stream_lag_alerts", **lsst) == 0
    assert value(samples, "heliograph_stream_oldest_unprocessed_seconds", **lsst) == 0
    assert value(samples, "heliograph_up", part="kafka") == value(samples, "heliograph_up", part="graph") == 1


def test_kafka_down_leaves_the_ledger(reader: FakeReader) -> None:
    samples = scraped(reader, FakeWatch(StoreError("Kafka cannot be reached.")))
    assert value(samples, "heliograph_up", part="kafka") == 0
    assert value(samples, "heliograph_up", part="graph") == 1
    names = {name for name, _ in samples}
    assert "heliograph_ledger_alerts" in names
    assert "heliograph_stream_lag_alerts" not in names


@pytest.mark.parametrize("kafka", [0, 1])
def test_the_graph_down_leaves_whether_kafka_answers(down: FakeReader, kafka: int) -> None:
    watch = FakeWatch(None if kafka else PublishError("no"))
    samples = scraped(down, watch)
    assert samples == {
        ("heliograph_up", frozenset({("part", "graph")})): 0,
        ("heliograph_up", frozenset({("part", "kafka")})): kafka,
    }


def test_scrapes_close_to_one_another_ask_once(reader: FakeReader) -> None:
    watch = FakeWatch()
    metrics = Metrics(reader, watch, Counter(), cache_s=60.0)
    assert metrics.text() == metrics.text()
    assert watch.n_asked == 1


def test_the_route_answers_when_everything_is_down(down: FakeReader) -> None:
    client = TestClient(create_app(ApiSettings(), down, watch=FakeWatch(StoreError("no"))))
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert value(parsed(answer.text), "heliograph_up", part="graph") == 0


def test_answers_are_counted_by_method_and_status(reader: FakeReader) -> None:
    app = create_app(ApiSettings(), reader)
    app.state.reader = reader
    client = TestClient(app, raise_server_exceptions=False)
    for _ in range(3):
        client.get("/api/v1/counts")
    client.get("/api/v1/events?limit=0")
    client.request("BREW", "/api/v1/counts")
    reader.failure = RuntimeError("a fault")
    client.get("/api/v1/counts")
    reader.failure = None
    samples = parsed(client.get("/metrics").text)
    assert {
        (dict(labels)["method"], dict(labels)["status"]): n
        for (name, labels), n in samples.items()
        if name == "heliograph_api_answers_total"
    } == {("GET", "200"): 3, ("GET", "422"): 1, ("other", "405"): 1, ("GET", "500"): 1}
    assert ("heliograph_up", frozenset({("part", "kafka")})) not in samples, "nobody watches Kafka here"


@given(
    st.dictionaries(st.text(max_size=6), st.floats(allow_nan=False), min_size=1, max_size=5),
    st.text(max_size=8),
)
def test_any_label_and_value_is_read_back(values: dict[str, float], description: str) -> None:
    family = Family("a_metric", "gauge", description, [({"a": text, "b": "x"}, n) for text, n in values.items()])
    found = parsed(exposition([family]))
    assert found == {("a_metric", frozenset({("a", text), ("b", "x")})): n for text, n in values.items()}


def test_a_metric_without_labels_and_one_without_samples() -> None:
    assert parsed(exposition([Family("one", "gauge", "One.", [({}, 2.5)]), Family("none", "gauge", "None.", [])])) == {
        ("one", frozenset()): 2.5
    }
    assert exposition([]) == ""
