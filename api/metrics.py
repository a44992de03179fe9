"""What Prometheus reads: the ledger, the lag of the alert stream and the API's own answers, as text."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.notices import SourceWatch
from graph.errors import HeliographError
from graph.heartbeats import SourceState
from graph.reading import GraphReading
from graph.views import LedgerNight, StreamLag

logger = logging.getLogger(__name__)

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of Prometheus' text exposition format, version 0.0.4."""

METRIC_NIGHTS = 3
"""Newest nights that the gauges show: tonight, last night and the one before; older ones no longer change."""

CACHE_S = 5.0
"""Time for which an answer is kept [s]: several scrapers cost no more than one, and none sees old figures for long."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are counted by name; any other word a client may send is counted as ``other``."""


class StreamWatch(Protocol):
    """Knows how far the alert stream is behind."""

    def lag(self) -> StreamLag:
        """Return the lag of each partition; raise `graph.errors.HeliographError` when it cannot be told."""

    def ping(self) -> None:
        """Return when Kafka answers, raise `graph.errors.HeliographError` when not."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its samples."""

    name: str
    kind: str
    """``gauge`` or ``counter``."""
    description: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    """Labels and value of each; no two with the same labels."""


def exposition(families: Sequence[Family]) -> str:
    """Return metrics in Prometheus' text exposition format 0.0.4; a metric without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        description = family.description.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {family.name} {description}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{family.name}{{{inside}}} {value!r}" if inside else f"{family.name} {value!r}")
    return "\n".join(lines) + "\n" if lines else ""


def _escaped(text: str) -> str:
    """Return the text of a label as it stands between quotation marks."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def ledger_families(nights: Sequence[LedgerNight]) -> tuple[Family, ...]:
    """Return the gauges of the ledger."""
    counts = [(labels, float(n)) for night in nights for labels, n in _stages(night)]
    balanced = [({"survey": one.survey.value, "night": str(one.night)}, float(one.balanced)) for one in nights]
    return (
        Family("heliograph_ledger_alerts", "gauge", "Alerts of a night, by what became of them.", counts),
        Family("heliograph_ledger_balanced", "gauge", "1 when every alert of the night is in one place.", balanced),
    )


def _stages(night: LedgerNight) -> Iterator[tuple[dict[str, str], int]]:
    """Yield labels and number of each stage of a night."""
    stages: list[tuple[str, str, int | None]] = [
        ("received", "", night.received),
        ("archived", "", night.archived),
        *(("filtered", reason, n) for reason, n in sorted(night.filtered.items())),
        ("classified", "", night.classified),
        *(("left_out", classifier, n) for classifier, n in sorted(night.left_out.items())),
        ("loaded", "", night.loaded),
        *(("dead", reason, n) for reason, n in sorted(night.dead_reasons.items())),
        ("duplicates", "", night.duplicates),
    ]
    for stage, reason, n in stages:
        if n is not None:
            yield {"survey": night.survey.value, "night": str(night.night), "stage": stage, "reason": reason}, n


def lag_families(lag: StreamLag) -> tuple[Family, ...]:
    """Return the gauges of the alert stream; age 0 where nothing waits, no sample where the age could not be told."""
    places = [({"topic": one.topic, "partition": str(one.partition)}, one) for one in lag.partitions]
    ages = [(labels, one.oldest_unprocessed_s if one.lag_alerts else 0.0) for labels, one in places]
    return (
        Family(
            "heliograph_stream_lag_alerts",
            "gauge",
            "Alerts on the topic that the ledger does not count yet.",
            [(labels, float(one.lag_alerts)) for labels, one in places],
        ),
        Family(
            "heliograph_stream_oldest_unprocessed_seconds",
            "gauge",
            "Time since the oldest of them was put on the topic.",
            [(labels, age) for labels, age in ages if age is not None],
        ),
    )


def source_families(states: Sequence[SourceState]) -> tuple[Family, ...]:
    """Return the gauges of the sources of notices."""
    return (
        Family(
            "heliograph_notice_source_up",
            "gauge",
            "1 while heartbeats of this source of notices come.",
            [({"source": one.source}, float(one.ok)) for one in states],
        ),
        Family(
            "heliograph_notice_source_gap_seconds",
            "gauge",
            "Time without a heartbeat of this source.",
            [({"source": one.source}, one.gap_s) for one in states],
        ),
    )


class CountingMiddleware:
    """Counts the answers of the API by method and status."""

    def __init__(self, app: ASGIApp, counts: Counter[tuple[str, int]]) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "other"
        begun = False

        async def counting_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._counts[method, message["status"]] += 1
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        except Exception:
            # A fault of ours is answered farther out.
            if not begun:
                self._counts[method, HTTPStatus.INTERNAL_SERVER_ERROR.value] += 1
            raise


class Metrics:
    """Collects everything for one scrape; answers, with less, when Kafka or the graph is down."""

    def __init__(
        self,
        reader: GraphReading,
        watch: StreamWatch | None,
        answers: Counter[tuple[str, int]],
        cache_s: float = CACHE_S,
        sources: SourceWatch | None = None,
    ) -> None:
        self._reader = reader
        self._watch = watch
        self._sources = sources
        self._answers = answers
        self._cache_s = cache_s
        self._lock = threading.Lock()
        self._kept: tuple[float, str] | None = None

    def text(self) -> str:
        """Return the metrics of now, or those of a moment ago."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] >= self._cache_s:
                text = exposition(self._collect())
                self._kept = (time.monotonic(), text)
            return self._kept[1]

    def _collect(self) -> list[Family]:
        families: list[Family] = []
        up = {"graph": _done(lambda: families.extend(ledger_families(self._reader.ledger(METRIC_NIGHTS))))}
        watch = self._watch
        if watch is not None and up["graph"]:
            up["kafka"] = _done(lambda: families.extend(lag_families(watch.lag())))
        elif watch is not None:
            # The lag needs the ledger, but whether Kafka answers can still be said.
            up["kafka"] = _done(watch.ping)
        sources = self._sources
        if sources is not None and up.get("kafka", True):
            up["kafka"] = _done(lambda: families.extend(source_families(sources.sources())))
        parts = [({"part": part}, float(is_up)) for part, is_up in up.items()]
        answers = [
            ({"method": method, "status": str(status)}, float(n))
            for (method, status), n in sorted(self._answers.items())
        ]
        return [
            Family("heliograph_up", "gauge", "1 when this part answers.", parts),
            *families,
            Family("heliograph_api_answers_total", "counter", "Answers of the API since its start.", answers),
        ]


def _done(work: Callable[[], None]) -> bool:
    """Do something that needs another part; return whether that part answered."""
    try:
        work()
    except HeliographError as error:
        # The gauge of the part says so at every scrape; a line each time would fill the log.
        logger.debug("a part does not answer: %s", error)
        return False
    return True
