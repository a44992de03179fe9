"""What is worked on next: the urgent soon, everything at last, one thing once, and nothing that failed forgotten."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.limits import REST_PER_WORK, Flow, Pace, SourceLimits, TokenBucket
from coordinator.priority import LONGEST_RETRY_S, SHARES, Lane, Steps, WorkQueue, headline_of, lane_of, retry_s
from graph import codec
from graph.errors import StoreError
from graph.model import AlertTense, AlertType, Circle, Messenger


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lane(notice: Any, received: Any = None) -> Lane:
    return lane_of(headline_of(codec.to_bytes(notice)), received)


def test_fresh_waves_and_bursts_come_first_then_neutrinos_then_the_rest(make_notice: Any) -> None:
    burst = make_notice()
    assert lane(burst) is Lane.URGENT
    assert lane(make_notice(messenger=Messenger.GW, far_hz=1e-10, alert_type=AlertType.UPDATE)) is Lane.URGENT
    assert lane(make_notice(messenger=Messenger.NEUTRINO)) is Lane.NEUTRINO
    late = burst.trigger_time + timedelta(hours=3)
    assert lane(make_notice(alert_time=late)) is Lane.ROUTINE
    assert lane(make_notice(alert_time=late, alert_type=AlertType.RETRACTION)) is Lane.URGENT
    assert lane(make_notice(messenger=Messenger.GW, far_hz=2.3e-5)) is Lane.ROUTINE, "twice a day"
    assert lane(make_notice(messenger=Messenger.GW, far_hz=1.0 / (366 * 86400))) is Lane.URGENT, "once a year"
    assert lane(make_notice(is_astrophysical_burst=False)) is Lane.ROUTINE
    assert lane(make_notice(trigger_time=None)) is Lane.ROUTINE
    assert lane(make_notice(alert_tense=AlertTense.TEST)) is Lane.ARCHIVAL
    assert lane(make_notice(alert_tense=AlertTense.ARCHIVAL)) is Lane.ARCHIVAL


def test_what_was_made_long_before_it_came_is_archival(make_notice: Any) -> None:
    made = make_notice().alert_time
    assert lane(make_notice(), made + timedelta(hours=2)) is Lane.URGENT
    assert lane(make_notice(), made + timedelta(days=2)) is Lane.ARCHIVAL
    assert lane(make_notice(alert_type=AlertType.RETRACTION), made + timedelta(days=2)) is Lane.ARCHIVAL
    assert lane(make_notice(alert_time=None), made + timedelta(seconds=9)) is Lane.URGENT, "the time of arrival counts"


@given(st.binary() | st.sampled_from([b"[]", b"{}", b"null", b'{"notice_id": 1}', b"\xff"]))
def test_any_bytes_have_a_lane(body: bytes) -> None:
    assert lane_of(headline_of(body)) is Lane.ARCHIVAL


def test_a_headline_with_damaged_values_is_none(make_notice: Any) -> None:
    body = codec.to_bytes(make_notice(localization=Circle(10.0, 10.0, 1.0)))
    assert headline_of(body) is not None
    for old, new in ((b'"EM"', b'"X"'), (b'"far_hz":null', b'"far_hz":[]'), (b'"initial"', b"7"), (b"2026-", b"20x6-")):
        assert old in body
        assert headline_of(body.replace(old, new)) is None


class Bench:
    """A queue whose work takes a second a slice."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue = WorkQueue(self.clock)
        self.done: list[str] = []
        self.slices: list[str] = []

    def job(self, key: str, slices: int = 1, failures: int = 0) -> Any:
        left = [failures]

        def begin() -> Steps:
            for number in range(slices):
                self.slices.append(key)
                self.clock.now_s += 1.0
                if left[0]:
                    left[0] -= 1
                    raise StoreError("away")
                if number < slices - 1:
                    yield
            self.done.append(key)

        return begin

    def run(self) -> None:
        while len(self.queue):
            self.queue.step(rest=False)


def test_an_urgent_task_waits_for_one_slice_only() -> None:
    bench = Bench()
    bench.queue.add("map", Lane.URGENT, bench.job("map", slices=100))
    bench.queue.add("old", Lane.ARCHIVAL, bench.job("old", slices=100))
    for _ in range(7):
        bench.queue.step()
    bench.queue.add("burst", Lane.URGENT, bench.job("burst"))
    started = bench.clock.now_s
    while "burst" not in bench.done:
        bench.queue.step()
    assert bench.clock.now_s - started <= 3.0
    bench.run()
    assert sorted(bench.done) == ["burst", "map", "old"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(list(Lane)), min_size=2, max_size=7, unique=True))
def test_no_lane_starves_and_each_gets_its_share(lanes: list[Lane]) -> None:
    bench = Bench()
    for one in lanes:
        bench.queue.add(one.name, one, bench.job(one.name, slices=10_000))
    n = 3000
    for _ in range(n):
        bench.queue.step()
    counts = Counter(bench.slices)
    total = sum(SHARES[one] for one in lanes)
    for one in lanes:
        assert counts[one.name] == pytest.approx(n * SHARES[one] / total, abs=len(lanes) + 1)


def test_a_lane_that_was_idle_has_saved_up_nothing() -> None:
    bench = Bench()
    bench.queue.add("old", Lane.ARCHIVAL, bench.job("old", slices=500))
    for _ in range(200):
        bench.queue.step()
    bench.queue.add("delayed", Lane.DELAYED, bench.job("delayed", slices=100))
    bench.slices.clear()
    for _ in range(40):
        bench.queue.step()
    assert Counter(bench.slices)["old"] >= 18, "both have the same share"


def test_what_waits_is_done_once_and_what_is_under_way_once_more() -> None:
    bench = Bench()
    for number in range(5):
        bench.queue.add("event", Lane.ROUTINE, bench.job("event", slices=2), places=[("t", 0, number)])
    assert bench.queue.step() is None
    bench.queue.add("event", Lane.ROUTINE, bench.job("event", slices=2), places=[("t", 0, 5)])
    bench.queue.add("event", Lane.ROUTINE, bench.job("event", slices=2), places=[("t", 0, 6)])
    first = bench.queue.step()
    assert first is not None
    assert [place[2] for place in first.places] == [0, 1, 2, 3, 4]
    assert bench.queue.places == 2
    bench.run()
    assert bench.done == ["event", "event"]
    assert bench.queue.places == 0


def test_work_becomes_as_urgent_as_its_most_urgent_reason() -> None:
    bench = Bench()
    bench.queue.add("a", Lane.ROUTINE, bench.job("a"))
    bench.queue.add("b", Lane.ARCHIVAL, bench.job("b"), places=[("t", 0, 0)])
    bench.queue.add("b", Lane.URGENT, bench.job("b"), places=[("t", 0, 1)])
    task = bench.queue.step()
    assert task is not None
    assert (task.key, len(task.places)) == ("b", 2)
    bench.run()
    assert bench.done == ["b", "a"]


def test_a_retraction_drops_what_is_under_way() -> None:
    bench = Bench()
    bench.queue.add("event", Lane.ROUTINE, bench.job("event", slices=100), places=[("t", 0, 0)])
    bench.queue.step()
    bench.queue.add("event", Lane.ROUTINE, bench.job("event", slices=3), places=[("t", 0, 1)], ready_at_s=1e9)
    bench.queue.add("event", Lane.URGENT, bench.job("event", slices=3), places=[("t", 0, 2)], anew=True)
    bench.slices.clear()
    tasks = [bench.queue.step() for _ in range(3)]
    assert bench.slices == ["event"] * 3
    assert tasks[-1] is not None
    assert sorted(place[2] for place in tasks[-1].places) == [0, 1, 2]
    assert len(bench.queue) == 0


def test_what_rests_is_not_begun_before_its_time() -> None:
    bench = Bench()
    bench.queue.add("event", Lane.URGENT, bench.job("event"), ready_at_s=10.0)
    assert bench.queue.step() is None
    assert bench.queue.wait_s() == 10.0
    bench.clock.now_s = 10.0
    assert bench.queue.wait_s() == 0.0
    assert bench.queue.step() is not None


def test_what_failed_is_begun_again_later_with_all_its_messages() -> None:
    bench = Bench()
    bench.queue.add("event", Lane.URGENT, bench.job("event", slices=2, failures=2), places=[("t", 0, 0)])
    bench.queue.add("other", Lane.DELAYED, bench.job("other"))
    with pytest.raises(StoreError):
        bench.queue.step()
    assert bench.queue.step() is not None, "the others go on meanwhile"
    assert bench.done == ["other"]
    bench.clock.now_s = 1.0
    bench.queue.add("event", Lane.URGENT, bench.job("never"), places=[("t", 0, 1)])
    assert bench.queue.step() is None, "more of the same does not bring it forward"
    with pytest.raises(StoreError):
        bench.queue.step(rest=False)
    assert 0.0 < bench.queue.wait_s() <= retry_s(2)
    bench.clock.now_s += LONGEST_RETRY_S
    bench.queue.step()
    task = bench.queue.step()
    assert task is not None
    assert sorted(place[2] for place in task.places) == [0, 1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcde"), st.sampled_from(list(Lane)), st.booleans(), st.integers(0, 3), st.integers(0, 4)
        ),
        max_size=60,
    )
)
def test_every_message_is_finished_once_whatever_happens(
    events: list[tuple[str, Lane, bool, int, int]],
) -> None:
    bench, finished = Bench(), []

    def step(*, rest: bool) -> None:
        try:
            task = bench.queue.step(rest=rest)
        except StoreError:
            return
        finished.extend([] if task is None else task.places)

    for number, (key, one, anew, slices, steps) in enumerate(events):
        begin = bench.job(key, slices=slices + 1, failures=slices % 2)
        place = ("t", 0, number)
        bench.queue.add(key, one, begin, places=[place], ready_at_s=bench.clock.now_s + number % 3, anew=anew)
        for _ in range(steps):
            step(rest=True)
    for _ in range(2000):
        step(rest=False)
    assert len(bench.queue) == bench.queue.places == 0
    assert sorted(finished) == [("t", 0, number) for number in range(len(events))]


@given(st.floats(0.1, 100), st.floats(1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_a_bucket_lets_no_more_pass_than_burst_and_rate(rate: float, burst: float, gaps: list[float]) -> None:
    bucket, now_s, passed = TokenBucket(rate, burst, burst, 0.0), 0.0, 0
    for gap in gaps:
        now_s += gap
        passed += bucket.take(now_s)
        assert passed <= burst + rate * now_s + 1e-6


def test_a_slow_source_is_never_delayed_and_a_flood_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    limits = SourceLimits(10.0, 5.0, clock)
    for _ in range(100):
        clock.now_s += 0.11
        assert limits.admit("Swift", Flow.REVISION)
    admitted = sum(limits.admit("Fermi", Flow.REVISION) for _ in range(1000))
    assert admitted == 5
    assert limits.delayed == {"Fermi": 995}
    assert limits.admit("Fermi", Flow.NEW), "new events have a bucket of their own"
    assert limits.admit("Fermi", Flow.RETRACTION), "and so have retractions"
    assert limits.admit("Swift", Flow.REVISION)
    assert len([record for record in caplog.records if "Fermi" in record.getMessage()]) == 1


def test_an_event_rests_longer_the_longer_it_took() -> None:
    clock = Clock()
    pace = Pace(1.0, clock)
    assert pace.ready_at_s("a") < 0.0
    pace.note("a", 0.01)
    pace.note("b", 10.0)
    assert (pace.ready_at_s("a"), pace.ready_at_s("b")) == (1.0, 10.0 * REST_PER_WORK)
