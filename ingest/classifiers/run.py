"""Ask all classifiers about a batch; one that fails or takes too long is left out of it and reported.

A classifier runs in a thread of its own, because nothing else can give it up: native code cannot be interrupted. One
that exceeded its time is not asked again until its thread came back.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ingest.classifiers.contract import abstain, nobody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.classifiers.contract import Batch, Classifications, Kept, Module

logger = logging.getLogger(__name__)


LEADING: Final = ("summary", "coarse")
"""Classifiers whose answer stands for the object, best first; the next one where the best was left out."""


UNKEPT: Final = frozenset({"coarse"})
"""Classifiers whose answers are not kept beside the summary's, which holds all that they said: an answer on each alert
costs the graph a third of what the detection costs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the classifiers said of a batch of n alerts."""

    answers: dict[str, Classifications] = field(default_factory=dict)
    """Classifier -> its answers (n,); absent where it was left out."""
    subjects: dict[str, frozenset[str]] = field(default_factory=dict)
    """Classifier -> the classes that it is there to find, empty for all."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Classifier -> why it was left out: ``failed``, ``timed_out`` or ``busy``."""
    asked: dict[str, int] = field(default_factory=dict)
    """Classifier -> alerts that passed its gate."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Classifier -> wall time, its gate included [s]."""
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """Classifier -> processor time, its gate included [s]; absent where it was left out."""

    def kept(self) -> tuple[Kept, ...]:
        """Return the answers that are kept in the graph, with the classes of which they are.

        Those of `UNKEPT` only where they stand for the objects.
        """
        unkept = UNKEPT if LEADING[0] in self.answers else frozenset()
        return tuple(
            (answer, self.subjects.get(name, frozenset()))
            for name, answer in self.answers.items()
            if name not in unkept
        )

    def leading(self, n: int) -> Classifications:
        """Return the answers that stand for the n objects; those of nobody where all of `LEADING` were left out."""
        for name in LEADING:
            if name in self.answers:
                return self.answers[name]
        return nobody(n)


class _Reply(NamedTuple):
    """What comes back from a classifier's thread."""

    answer: Classifications
    asked: int
    cpu_s: float


class Runner:
    """The classifiers of one survey in the order of the registry."""

    def __init__(self, modules: Sequence[Module], *, time_limit_s: float) -> None:
        """Keep the classifiers.

        Parameters
        ----------
        time_limit_s : time that one classifier has for one batch [s].
        """
        self._modules = tuple(modules)
        self._time_limit_s = time_limit_s
        self._threads = ThreadPoolExecutor(max_workers=max(len(self._modules), 1), thread_name_prefix="classifier")
        self._stuck: dict[str, Future[_Reply]] = {}

    def run(self, batch: Batch) -> Outcome:
        """Return all answers on a batch."""
        outcome = Outcome()
        for module in self._modules if len(batch) else ():
            start = time.perf_counter()
            earlier = self._stuck.pop(module.name, None)
            if earlier is not None and not earlier.done():
                self._stuck[module.name] = earlier
                outcome.left_out[module.name] = "busy"
                continue
            known = {name: outcome.answers[name] for name in module.reads if name in outcome.answers}
            task = self._threads.submit(_ask, module, batch, known)
            try:
                reply = task.result(timeout=self._time_limit_s)
            except FutureTimeoutError:
                self._stuck[module.name] = task
                outcome.left_out[module.name] = "timed_out"
                logger.warning("The classifier %s exceeded %g s and is left out.", module.name, self._time_limit_s)
            # Whatever is wrong inside of a classifier, the stream goes on without it.
            except Exception:
                outcome.left_out[module.name] = "failed"
                logger.exception("The classifier %s failed and is left out.", module.name)
            else:
                outcome.answers[module.name] = reply.answer
                outcome.subjects[module.name] = module.subject
                outcome.asked[module.name] = reply.asked
                outcome.cpu_seconds[module.name] = reply.cpu_s
            outcome.seconds[module.name] = time.perf_counter() - start
        return outcome

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ask(module: Module, batch: Batch, known: dict[str, Classifications]) -> _Reply:
    """Return what a classifier says on all alerts of a batch; it sees those that pass its gate."""
    start = time.thread_time()
    passed = (batch.n_points >= module.minimum_points) & module.gate(batch, known)
    row = np.flatnonzero(passed)
    if len(row) == len(batch):
        answer = module.classify(batch, known)
    elif len(row):
        chosen = {name: given.take(row) for name, given in known.items()}
        answer = module.classify(batch.take(row), chosen).scatter(row, batch.n_points)
    else:
        answer = abstain(module.name, module.version, module.classes, batch.n_points, tuple(module.extras))
    return _Reply(answer, len(row), time.thread_time() - start)
