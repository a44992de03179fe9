"""The circuit breaker, held against a model of its rules that knows nothing of tickets; and the pauses."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from ingest.xmatch.breaker import BreakerState, CircuitBreaker
from ingest.xmatch.pacing import FIRST_PAUSE_S, MAX_PAUSE_S, Pacing, pause_s, read_retry_after

LIMIT, OPEN_S, MAX_OPEN_S = 3, 10.0, 35.0


class BreakerMachine(RuleBasedStateMachine):
    """Requests that begin and end in any order, while time passes."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = CircuitBreaker(
            failures_to_open=LIMIT, open_s=OPEN_S, max_open_s=MAX_OPEN_S, monotonic=lambda: self.now
        )
        self.epoch = 0
        self.failures = 0
        self.opened_at: float | None = None
        self.open_for = 0.0
        self.next_open = OPEN_S
        self.probe: object | None = None

    def open(self, seconds: float) -> None:
        self.opened_at, self.open_for, self.probe = self.now, seconds, None
        self.failures = 0
        self.epoch += 1

    @rule(seconds=st.floats(0.0, 40.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=requests)
    def begin(self) -> tuple[int, int] | None:
        may = self.opened_at is None or (self.probe is None and self.now >= self.opened_at + self.open_for)
        ticket = self.breaker.admit()
        assert (ticket is not None) == may
        if ticket is None:
            return None
        if self.opened_at is not None:
            self.epoch += 1
            self.probe = ticket
        return ticket, self.epoch

    @rule(request=consumes(requests))
    def succeed(self, request: tuple[int, int] | None) -> None:
        if request is None:
            return
        ticket, epoch = request
        self.breaker.succeed(ticket)
        if epoch == self.epoch:
            self.failures = 0
            if self.opened_at is not None:
                self.opened_at, self.probe, self.next_open = None, None, OPEN_S
                self.epoch += 1

    @rule(request=consumes(requests), hold_s=st.sampled_from([0.0, 0.0, 0.0, 5.0, 1e6]))
    def fail(self, request: tuple[int, int] | None, hold_s: float) -> None:
        if request is None:
            return
        ticket, epoch = request
        self.breaker.fail(ticket, hold_s)
        if epoch == self.epoch:
            self.failures += 1
            if hold_s > 0.0:
                self.open(min(hold_s, MAX_OPEN_S))
            elif self.opened_at is not None or self.failures == LIMIT:
                self.open(self.next_open)
                self.next_open = min(2.0 * self.next_open, MAX_OPEN_S)

    @rule(request=consumes(requests))
    def abandon(self, request: tuple[int, int] | None) -> None:
        if request is None:
            return
        ticket, epoch = request
        self.breaker.abandon(ticket)
        if epoch == self.epoch and self.opened_at is not None:
            self.open(0.0)

    @precondition(lambda self: self.opened_at is None)
    @invariant()
    def closed_when_nothing_opened_it(self) -> None:
        assert self.breaker.state is BreakerState.CLOSED

    @precondition(lambda self: self.opened_at is not None)
    @invariant()
    def one_request_at_most_when_it_is_not_closed(self) -> None:
        wanted = BreakerState.OPEN if self.probe is None else BreakerState.HALF_OPEN
        assert self.breaker.state is wanted
        if wanted is BreakerState.HALF_OPEN:
            assert self.breaker.admit() is None


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=40, deadline=None)


@given(st.integers(1, 60), st.floats(0.0, 1e4), st.integers(0, 2**32))
def test_pauses_are_bounded_and_never_shorter_than_asked(attempt: int, retry_after_s: float, seed: int) -> None:
    pacing = Pacing(uniform=random.Random(seed).uniform)
    pause = pause_s(attempt, retry_after_s, pacing)
    assert retry_after_s <= pause <= retry_after_s + min(FIRST_PAUSE_S * 2 ** (attempt - 1), MAX_PAUSE_S)


def test_pauses_fill_the_whole_of_their_range() -> None:
    pacing = Pacing(uniform=random.Random(1).uniform)
    pauses = [pause_s(3, 0.0, pacing) for _ in range(2000)]
    assert min(pauses) < 0.01 * FIRST_PAUSE_S * 4
    assert max(pauses) > 0.99 * FIRST_PAUSE_S * 4
    assert abs(sum(pauses) / len(pauses) - FIRST_PAUSE_S * 2) < 0.05


@given(st.text(max_size=60))
def test_any_retry_after_is_read_as_a_time_or_as_nothing(text: str) -> None:
    seconds = read_retry_after(text, Pacing(unix_s=lambda: 0.0))
    assert 0.0 <= seconds < 1e12


def test_retry_after_is_seconds_or_a_date() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    pacing = Pacing(unix_s=moment.timestamp)
    assert read_retry_after(" 120 ", pacing) == 120.0
    assert read_retry_after(format_datetime(moment + timedelta(seconds=90), usegmt=True), pacing) == 90.0
    assert read_retry_after(format_datetime(moment - timedelta(seconds=90), usegmt=True), pacing) == 0.0
