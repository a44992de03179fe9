"""Rates from finished batches, and waiting for them."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from compose.bench.timeline import Finished, Stretch, Timeline, undisturbed, warm_start
from graph.errors import StoreError
from ingest.stream import BatchSummary


def batch(received: int) -> BatchSummary:
    return BatchSummary(0, received, Counter(loaded=received), {"decode": received / 100}, Counter({7: received}))


def finished(*at_and_received: tuple[float, int]) -> list[Finished]:
    return [Finished(at_s, batch(received)) for at_s, received in at_and_received]


def test_the_first_two_batches_are_warming_up() -> None:
    assert warm_start(finished((20.0, 10), (30.0, 10), (32.0, 10), (34.0, 10)), 1.0) == 30.0


@pytest.mark.parametrize(("batches", "start_s"), [(1, 5.0), (2, 20.0)])
def test_a_short_stream_is_measured_with_what_it_has(batches: int, start_s: float) -> None:
    assert warm_start(finished(*[(20.0 + i, 10) for i in range(batches)]), 5.0) == start_s


def test_a_stretch_adds_up_its_batches() -> None:
    stretch = Stretch(2.0, 6.0, (batch(100), batch(300)))
    assert stretch.per_s == 100.0
    assert stretch.outcomes() == {"loaded": 400}
    assert stretch.stage_rates() == {"decode": 100.0}
    assert stretch.latency() == {7: 400}


def test_batches_under_way_while_the_producer_sent_do_not_count() -> None:
    done = finished((1.0, 5), (4.0, 10), (6.0, 20), (8.0, 40))
    whole = Stretch(0.0, 8.0, tuple(one.batch for one in done))
    alone = undisturbed(whole, done, 3.0)
    # The batch that ended at 4 began before 3; those of 20 and 40 took from 4 to 8.
    assert alone.received == 60
    assert alone.per_s == 15.0
    assert undisturbed(whole, done, 7.0) == whole


def test_waiting_ends_when_enough_is_done() -> None:
    timeline = Timeline()

    def work() -> None:
        for _ in range(3):
            time.sleep(0.02)
            timeline.note(batch(10))

    thread = threading.Thread(target=work)
    start = time.perf_counter()
    thread.start()
    timeline.wait_for(30)
    thread.join()
    assert timeline.processed == 30
    assert timeline.stretch(start, time.perf_counter()).received == 30


def test_a_stuck_stream_is_not_waited_for() -> None:
    timeline = Timeline()
    timeline.note(batch(10))
    with pytest.raises(StoreError, match="after 10 of 20 alerts"):
        timeline.wait_for(20, stall_timeout_s=0.05)


def test_an_ended_stream_is_not_waited_for() -> None:
    timeline = Timeline()
    threading.Timer(0.05, timeline.close).start()
    with pytest.raises(StoreError, match="after 0 of 20 alerts"):
        timeline.wait_for(20)
