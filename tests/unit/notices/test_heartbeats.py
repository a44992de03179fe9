"""Gaps between heartbeats are measured by both clocks and said once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import MalformedPacketError, WireError
from graph.heartbeats import SourceState, from_bytes, to_bytes
from graph.topics import HEARTBEAT
from ingest.heartbeats import STATE_INTERVAL_S, HeartbeatWatch

START = datetime(2026, 11, 20, 2, tzinfo=UTC)
TOPIC = "gcn.heartbeat"


class Bench:
    """A watch with a clock that is set by hand, and what it sent."""

    def __init__(self, *expected: str, max_gap_s: float = 60.0) -> None:
        self.now = START
        self.sent: list[SourceState] = []
        self.watch = HeartbeatWatch(self, lambda: self.now, max_gap_s, expected)

    def send(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        state = from_bytes(value)
        assert (topic, key, headers) == (HEARTBEAT, state.source, None)
        self.sent.append(state)

    def flush(self) -> None:
        raise AssertionError("states wait for nobody")

    def at(self, second: float) -> None:
        self.now = START + timedelta(seconds=second)

    def beat(self, received: float, stated: float | None = None) -> None:
        self.at(received)
        moment = START + timedelta(seconds=received if stated is None else stated)
        # As GCN writes it: ISO 8601 with a zone, after its schema.
        body = {"$schema": "https://gcn.nasa.gov/a.schema.json", "alert_datetime": moment.isoformat()}
        assert self.watch.take(TOPIC, json.dumps(body).encode())


def test_other_topics_are_not_taken() -> None:
    assert not Bench().watch.take("gcn.notices.km3net.alert", b"{}")


def test_regular_heartbeats_are_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for second in range(35):
        bench.beat(second)
        bench.watch.look()
    assert [round((one.last_received - START).total_seconds()) for one in bench.sent] == [0, 10, 20, 30]
    assert STATE_INTERVAL_S == 10
    assert all(one.ok for one in bench.sent)
    assert bench.sent[-1].last_heartbeat == START + timedelta(seconds=30)
    assert not caplog.records


def test_a_silence_is_said_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.beat(0)
    for second in range(1, 200, 5):
        bench.at(second)
        bench.watch.look()
    bench.beat(200)
    bench.beat(201)
    bench.watch.look()
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]
    assert "gcn for 61 s" in caplog.messages[0]
    flips = [(one.ok, one.gap_s) for one in bench.sent if one.ok is not True or one is bench.sent[-1]]
    assert flips[0] == (False, 61.0)
    assert bench.sent[-1].ok


def test_a_gap_at_the_source_counts_though_messages_come_fast(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.beat(0.0, stated=-500)
    bench.beat(0.1, stated=-499)
    bench.beat(0.2, stated=-100)
    (state,) = bench.watch.states()
    assert (state.ok, state.gap_s) == (False, 399.0)
    bench.beat(0.3, stated=-99)
    (state,) = bench.watch.states()
    assert state.ok
    assert [one.levelname for one in caplog.records if one.levelno >= logging.WARNING] == ["WARNING"]


def test_a_silence_that_nobody_looked_at_is_said(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.beat(0)
    bench.beat(100)
    assert len(caplog.records) == 1
    assert not bench.sent[-1].ok


def test_a_source_that_is_expected_and_never_speaks_is_down() -> None:
    bench = Bench("gcn")
    bench.at(60)
    bench.watch.look()
    assert bench.sent[-1].ok
    bench.at(61)
    bench.watch.look()
    assert bench.sent[-1] == SourceState("gcn", None, START, 61.0, ok=False)


def test_a_source_that_nobody_expects_is_not_missed() -> None:
    bench = Bench()
    bench.at(1000)
    bench.watch.look()
    assert (bench.sent, bench.watch.states()) == ([], ())


@given(
    st.binary(max_size=40)
    | st.sampled_from([b"[]", b"null", b'{"alert_datetime": 5}', b'{"alert_datetime": "0001-01-01T00:00:00+23:00"}'])
    | st.just(b'{"alert_datetime": "2026-01-01"}' + b" " * 70_000)
)
def test_any_bytes_are_a_heartbeat_without_a_time(payload: bytes) -> None:
    bench = Bench()
    assert bench.watch.take(TOPIC, payload)
    (state,) = bench.watch.states()
    assert (state.last_heartbeat, state.ok) == (None, True)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=20))
def test_gaps_are_finite_and_not_negative_whatever_the_clocks_do(beats: list[tuple[float, float]]) -> None:
    bench = Bench()
    for received, stated in beats:
        bench.beat(received, stated)
        bench.watch.look()
        (state,) = bench.watch.states()
        assert 0.0 <= state.gap_s < 1e7
        assert from_bytes(to_bytes(state)) == state


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"null", b'{"$schema": "heliograph/notice/1"}'])
def test_another_message_is_no_state(value: bytes) -> None:
    with pytest.raises(WireError):
        from_bytes(value)


def test_a_state_with_a_wrong_time_is_malformed() -> None:
    body = to_bytes(SourceState("gcn", None, START, 0.0, ok=True)).replace(b"2026-11-20", b"yesterday")
    with pytest.raises(MalformedPacketError):
        from_bytes(body)
