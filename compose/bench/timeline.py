"""When each micro-batch was in the graph, and the rates that follow from it."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from graph.errors import StoreError
from ingest.stream import BatchSummary

STALL_TIMEOUT_S = 240.0
"""Time without any finished batch after which the stream counts as stuck [s]; a cold start takes a minute."""

WARM_UP_BATCHES = 2
"""Micro-batches left out of the sustained rate: workers load models and compiled code, and Neo4j's statements are
compiled by its Java machine only after some ten thousand rows."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A micro-batch that is in the graph and in the ledger."""

    at_s: float
    """When the driver knew [s], ``time.perf_counter``."""
    batch: BatchSummary


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the stream's life over which rates are taken."""

    start_s: float
    end_s: float
    batches: tuple[BatchSummary, ...]

    @property
    def received(self) -> int:
        """Alerts of the stretch."""
        return sum(batch.received for batch in self.batches)

    @property
    def per_s(self) -> float:
        """Alerts a second."""
        return self.received / max(self.end_s - self.start_s, 1e-9)

    def outcomes(self) -> Counter[str]:
        """Return what became of the alerts."""
        return sum((batch.outcomes for batch in self.batches), Counter())

    def latency(self) -> Counter[int]:
        """Return the alerts by bin of delay; see `compose.bench.latency`."""
        return sum((batch.latency for batch in self.batches), Counter())

    def stage_rates(self) -> dict[str, float]:
        """Return the alerts a second of each stage alone, by the time that all workers spent in it."""
        seconds: dict[str, float] = defaultdict(float)
        for batch in self.batches:
            for name, spent in batch.seconds.items():
                seconds[name] += spent
        return {name: round(self.received / spent, 1) for name, spent in sorted(seconds.items()) if spent > 0}


class Timeline:
    """Collects finished batches on one thread while another waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._finished: list[Finished] = []
        self._processed = 0
        self._closed = False

    def note(self, batch: BatchSummary) -> None:
        """Remember a finished batch."""
        with self._changed:
            self._finished.append(Finished(time.perf_counter(), batch))
            self._processed += batch.received
            self._changed.notify_all()

    def close(self) -> None:
        """Wake whoever waits: no batch will come any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def processed(self) -> int:
        """Alerts in finished batches."""
        return self._processed

    @property
    def finished(self) -> tuple[Finished, ...]:
        """All finished batches so far."""
        return tuple(self._finished)

    def wait_for(self, processed: int, stall_timeout_s: float = STALL_TIMEOUT_S) -> None:
        """Return when so many alerts have been processed since the beginning.

        Raises
        ------
        StoreError : the stream ended before, or no batch was finished for ``stall_timeout_s``.
        """
        with self._changed:
            while self._processed < processed:
                before = len(self._finished)
                self._changed.wait_for(lambda: self._closed or len(self._finished) > before, stall_timeout_s)  # noqa: B023
                if len(self._finished) == before:
                    raise StoreError(f"The stream stopped after {self._processed} of {processed} alerts.")

    def stretch(self, start_s: float, end_s: float) -> Stretch:
        """Return the batches that were finished after ``start_s`` and not after ``end_s``."""
        return Stretch(start_s, end_s, tuple(f.batch for f in self.finished if start_s < f.at_s <= end_s))


def warm_start(finished: Sequence[Finished], start_s: float) -> float:
    """Return the moment from which the stream counts as warm; ``start_s`` when there are too few batches to tell."""
    warm_from = min(WARM_UP_BATCHES, len(finished) - 1)
    return finished[warm_from - 1].at_s if warm_from > 0 else start_s


def undisturbed(stretch: Stretch, finished: Sequence[Finished], from_s: float) -> Stretch:
    """Return the part of a stretch whose batches began after a moment, when what disturbed them was over.

    Notes
    -----
    A batch begins when the one before it is finished, while messages are waiting. So the first batch finished after
    ``from_s`` is left out; with no batch after it the whole stretch stands.
    """
    after = [done for done in finished if from_s <= done.at_s <= stretch.end_s]
    if len(after) < 2:
        return stretch
    return Stretch(after[0].at_s, after[-1].at_s, tuple(done.batch for done in after[1:]))
