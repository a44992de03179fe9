"""Messages are held back until they are due."""

from __future__ import annotations

import functools
import io
import math
from typing import TYPE_CHECKING

import fastavro
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from compose import feed
from compose.cli.night import is_notice, is_packet, replay
from compose.config import Settings
from compose.feed import MESSAGES_DECODED_AT_ONCE, Pace, feed_alerts, with_midpoints
from graph.model import Survey
from ingest.recorded.json_alerts import iter_json

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86400.0


class Clock:
    """Time that passes only while somebody sleeps, or when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def sent_at(pace: Pace, clock: Clock, midpoints: list[float], work_s: float = 0.0) -> list[float]:
    times = []
    for midpoint in midpoints:
        pace.wait(midpoint)
        times.append(clock.now - 1000.0)
        clock.now += work_s
    return times


def test_a_rate_spaces_messages_evenly() -> None:
    clock = Clock()
    pace = Pace(rate=4.0, clock=clock, sleep=clock.sleep)
    assert sent_at(pace, clock, [math.nan] * 5) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_lost_time_is_made_up() -> None:
    clock = Clock()
    pace = Pace(rate=10.0, clock=clock, sleep=clock.sleep)
    pace.wait()
    clock.now += 0.35
    assert sent_at(pace, clock, [math.nan] * 4)[-1] == pytest.approx(0.4)


def test_without_rate_and_speed_nothing_waits() -> None:
    clock = Clock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    assert sent_at(pace, clock, [61000.0, 61001.0, math.nan]) == [0.0, 0.0, 0.0]


def test_speed_keeps_the_distances_of_the_sky() -> None:
    clock = Clock()
    pace = Pace(speed=60.0, clock=clock, sleep=clock.sleep)
    # An unknown time follows the one before, one that is earlier goes out at once.
    midpoints = [61000.0, 61000.0 + 60 / DAY_S, math.nan, 61000.0 - 5, 61000.0 + 600 / DAY_S]
    assert sent_at(pace, clock, midpoints) == pytest.approx([0.0, 1.0, 1.0, 1.0, 10.0], abs=1e-6)


def test_speed_starts_at_the_first_known_time() -> None:
    clock = Clock()
    pace = Pace(speed=1.0, clock=clock, sleep=clock.sleep)
    assert sent_at(pace, clock, [math.nan, 61000.0, 61000.0 + 2 / DAY_S]) == pytest.approx([0.0, 0.0, 2.0], abs=1e-5)


@given(rate=st.floats(0.1, 1e4), n=st.integers(2, 60), work_s=st.floats(0, 1), speed=st.floats(0.1, 100) | st.none())
def test_never_early_and_never_slower_than_the_work(rate: float, n: int, work_s: float, speed: float | None) -> None:
    clock = Clock()
    pace = Pace(rate=None if speed else rate, speed=speed, clock=clock, sleep=clock.sleep)
    gap = 1 / rate if speed is None else 30.0 / speed
    times = sent_at(pace, clock, [61000.0 + 30.0 * i / DAY_S for i in range(n)], work_s)
    for i, time in enumerate(times):
        assert time >= i * gap - 1e-4
        assert time <= i * max(gap, work_s) + 1e-4


def ztf_packet(jd: float) -> bytes:
    fields = [("jd", "double"), ("fid", "int"), ("candid", "long"), ("isdiffpos", "string"), ("magpsf", "float")]
    fields += [("ra", "double"), ("dec", "double")]
    candidate = {
        "type": "record",
        "name": "candidate",
        "fields": [{"name": name, "type": declared} for name, declared in fields],
    }
    schema = {
        "type": "record",
        "name": "alert",
        "fields": [{"name": "objectId", "type": "string"}, {"name": "candidate", "type": candidate}],
    }
    values = {"jd": jd, "fid": 1, "candid": 5, "isdiffpos": "t", "magpsf": 18.0, "ra": 1.0, "dec": 2.0}
    out = io.BytesIO()
    fastavro.writer(out, schema, [{"objectId": "ZTF24aaaaaaa", "candidate": values}])
    return out.getvalue()


def test_midpoints_belong_to_their_messages_in_order() -> None:
    text = '{"diaSource": {"diaSourceId": 1, "diaObjectId": 2, "midpointMjdTai": %s, "band": "g", "psfFlux": 1.5, '
    text += '"ra": 1.0, "dec": 2.0}}'
    messages: list[tuple[Survey, bytes]] = []
    expected: list[float] = []
    for i in range(MESSAGES_DECODED_AT_ONCE + 30):
        if i % 3 == 0:
            messages.append((Survey.ZTF, ztf_packet(2460000.5 + i)))
            expected.append(60000.0 + i + (37.0 + 15.0) / DAY_S)
        elif i % 3 == 1:
            messages += iter_json((text % (61000.0 + i)).encode(), "a.json")
            expected.append(61000.0 + i)
        else:
            messages.append((Survey.LSST, b"junk"))
            expected.append(math.nan)
    found = list(with_midpoints(messages))
    assert [(survey, message) for survey, message, _ in found] == messages
    assert [midpoint for _, _, midpoint in found] == pytest.approx(expected, nan_ok=True, abs=1e-7)


class Sent:
    """Takes what is sent and notes when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.messages: list[tuple[float, str, bytes]] = []
        self.is_flushed = False

    def send(self, topic: str, key: str | None, value: bytes) -> None:
        assert key is None
        self.messages.append((self._clock.now - 1000.0, topic, value))

    def flush(self) -> None:
        self.is_flushed = True


@pytest.mark.parametrize(("rate", "speed", "gap_s"), [(None, None, 0.0), (5.0, None, 0.2), (None, DAY_S, 1.0)])
def test_alerts_are_fed_in_order_when_they_are_due(
    monkeypatch: pytest.MonkeyPatch, rate: float | None, speed: float | None, gap_s: float
) -> None:
    clock = Clock()
    sent = Sent(clock)
    made: list[str] = []
    monkeypatch.setattr(feed, "KafkaSender", lambda _: sent)
    monkeypatch.setattr(feed, "ensure_topics", lambda _, topics: made.extend(topics))
    monkeypatch.setattr(feed, "Pace", functools.partial(Pace, clock=clock, sleep=clock.sleep))
    packets = [ztf_packet(2460000.5 + i) for i in range(4)]
    reported: list[int] = []
    assert feed_alerts(Settings(), [(Survey.ZTF, packet) for packet in packets], reported.append, rate, speed) == 4
    times, topics, values = zip(*sent.messages, strict=True)
    assert list(values) == packets
    assert set(topics) == {made[0]}
    assert list(times) == pytest.approx([i * gap_s for i in range(4)], abs=1e-5)
    assert sent.is_flushed
    assert reported[-1] == 4


def test_rate_and_speed_together_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="either --rate or --speed"):
        replay([tmp_path], rate=1.0, speed=1.0)


def test_a_single_file_is_told_by_its_content(tmp_path: Path) -> None:
    contents = {"a.json": b'{"diaSource": {}}', "n.json": b'{"ra": 1}', "n.xml": b"<voe/>", "a.jsonl": b'{"candid": 1}'}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    assert {name for name in contents if is_notice(tmp_path / name)} == {"n.json", "n.xml"}
    assert {name for name, data in contents.items() if is_packet(tmp_path / name, data)} == {"a.json", "a.jsonl"}
