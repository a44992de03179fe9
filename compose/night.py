"""One night from end to end: messages in, lists out, every count from where the truth lies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from compose import services
from compose.audit import audit
from compose.config import Settings
from compose.feed import feed_alerts, feed_notices
from ingest.replay import iter_alert_messages, iter_notice_messages

Progress = Callable[[str, int, int | None], None]
"""Called with the name of a stage, how much is done, and how much there is if that is known."""


@dataclass(slots=True)
class Stopwatch:
    """Wall time of named stages."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block [s]."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)


def run_night(
    settings: Settings, alerts: Path, notices: Path, progress: Progress, stopwatch: Stopwatch
) -> dict[str, object]:
    """Feed recorded packets and notices, run every part until nothing is left to do, and count.

    Returns
    -------
    JSON-ready summary; ``ledger_balanced`` says whether topics, ledger and graph agree.
    """
    with stopwatch.stage("prepare"):
        services.prepare(settings).close()
    with stopwatch.stage("feed"):
        n_alerts = feed_alerts(settings, iter_alert_messages(alerts), lambda n: progress("alerts to Kafka", n, None))
        topics = feed_notices(settings, iter_notice_messages(notices))
    n_notices = sum(topics.values())
    with stopwatch.stage("listen"):
        progress("notices to the graph", 0, n_notices)
        services.run_listen(
            settings,
            "kafka",
            (),
            lambda done: progress("notices to the graph", sum(done.values()), n_notices),
            once=True,
        )
    done = 0

    def count(received: int) -> None:
        nonlocal done
        done += received
        progress("alerts to the graph", done, n_alerts)

    with stopwatch.stage("ingest"):
        progress("alerts to the graph", 0, n_alerts)
        services.run_ingest(settings, lambda batch: count(batch.received), once=True)
    with stopwatch.stage("coordinate"):
        progress("coordination", 0, None)
        services.run_coordinate(
            settings,
            lambda report: progress("coordination", report.events_formed + report.objects_matched, None),
            once=True,
        )
    with stopwatch.stage("audit"):
        figures = audit(settings, topics)
    return {**asdict(figures), "seconds": stopwatch.seconds}
