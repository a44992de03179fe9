"""One batch of packets from bytes to archive and graph: the hot path, without Spark.

Everything here works on whole columns. The outcome of each message is exactly one of loaded, duplicate, filtered with
a reason, or dead with a reason; `BatchReport` says so and the ledger adds it up. What could be decoded is archived
before anything else is done with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from graph.alert_store import AlertRows, AlertStore
from graph.model import Survey
from graph.sender import Sender
from graph.times import night_of_mjd_tai
from graph.topics import DEAD_LETTERS, OBJECTS
from ingest.alerts.columns import AlertColumns, BoolArray, IntArray, Reject, TextArray
from ingest.alerts.decode import AlertDecoder
from ingest.alerts.library import SchemaSource
from ingest.archive.writer import ArchiveWriter
from ingest.catalogues.opened import Catalogue
from ingest.classifiers.contract import Batch, batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Outcome, Runner
from ingest.classifiers.warm import warm_up
from ingest.crossmatch import match_alerts
from ingest.fetch import Fetched
from ingest.hosts import Hosts, find_hosts
from ingest.rows import alert_rows, classification_rows, match_rows, objects_message
from ingest.screening import screen

UNREADABLE_NIGHT = 0
"""Night under which messages are counted whose time could not be read."""


@dataclass(slots=True)
class BatchReport:
    """What became of a batch."""

    outcome: TextArray
    """(n,) ``loaded``, ``duplicate``, ``filtered:<reason>`` or ``dead:<reason>``."""
    night: IntArray
    """(n,) YYYYMMDD, `UNREADABLE_NIGHT` for dead letters."""
    archived: BoolArray
    """(n,) whether it is in the archive."""
    classified: BoolArray
    """(n,) whether the classifiers saw it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage [s]."""
    left_out: tuple[str, ...] = ()
    """Classifiers that were not heard on this batch, because they failed or took too long."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Pipeline:
    """Everything a worker needs to handle alerts of one survey; built once for each process."""

    def __init__(
        self,
        survey: Survey,
        store: AlertStore,
        sender: Sender,
        catalogues: Sequence[Catalogue],
        *,
        min_reliability: float,
        keep_private: bool,
        max_message_bytes: int,
        classifier_time_limit_s: float,
        registry: SchemaSource | None = None,
        archive: ArchiveWriter | None = None,
    ) -> None:
        self._store = store
        self._sender = sender
        self._archive = archive
        self._catalogues = tuple(catalogues)
        self._min_reliability = min_reliability
        self._keep_private = keep_private
        self._decoder = AlertDecoder(survey, max_message_bytes=max_message_bytes, registry=registry)
        modules = load_modules(survey)
        # Compiling takes longer than a classifier has for a batch.
        warm_up(modules, survey)
        self._classifiers = Runner(modules, time_limit_s=classifier_time_limit_s)

    def run(self, fetched: Fetched) -> BatchReport:
        """Take a batch of packets to the archive and the graph, its dead letters and its news to Kafka."""
        n = len(fetched.messages)
        report = BatchReport(
            outcome=np.full(n, "", object),
            night=np.full(n, UNREADABLE_NIGHT, np.int64),
            archived=np.zeros(n, np.bool_),
            classified=np.zeros(n, np.bool_),
        )
        with report.stage("decode"):
            columns, rejects = self._decoder.decode(fetched.messages)
        for reject in rejects:
            report.outcome[reject.row] = f"dead:{reject.reason}"
        report.night[columns.row] = night_of_mjd_tai(columns.midpoint_mjd_tai)
        with report.stage("archive"):
            self._archive_batch(fetched, columns, report)
        with report.stage("screen"):
            reasons = screen(columns, self._min_reliability, keep_private=self._keep_private)
            report.outcome[columns.row] = np.where(reasons == "", "loaded", "filtered:" + reasons)
            kept = columns.take(reasons == "")
        batch, hosts, outcome = self._classify(kept, report)
        rows = self._load(batch, hosts, outcome, fetched, report)
        with report.stage("publish"):
            self._bury(fetched, rejects)
            if len(rows):
                spoke = outcome.leading(len(batch))
                news = objects_message(rows, spoke.classifier, spoke.version)
                self._sender.send(OBJECTS, rows.survey.value, news)
            self._sender.flush()
        return report

    def _archive_batch(self, fetched: Fetched, columns: AlertColumns, report: BatchReport) -> None:
        """Write what could be decoded to the archive, where one is kept."""
        if self._archive is None:
            return
        partition = np.full(len(fetched.offset), fetched.partition, np.int64)
        self._archive.write(fetched.topic, partition, fetched.offset, fetched.timestamp_ms, fetched.messages, columns)
        report.archived[columns.row] = True

    def _classify(self, kept: AlertColumns, report: BatchReport) -> tuple[Batch, Hosts, Outcome]:
        """Cross-match and classify what was not set aside."""
        with report.stage("crossmatch"):
            matches = match_alerts(self._catalogues, kept)
            hosts = find_hosts(self._catalogues, kept.ra_deg, kept.dec_deg)
        with report.stage("features"):
            batch = batch_of(kept, matches)
        with report.stage("classify"):
            outcome = self._classifiers.run(batch)
        report.classified[kept.row] = True
        report.left_out = tuple(outcome.left_out)
        for name, seconds in outcome.seconds.items():
            report.seconds[f"classify.{name}"] = seconds
        return batch, hosts, outcome

    def _load(self, batch: Batch, hosts: Hosts, outcome: Outcome, fetched: Fetched, report: BatchReport) -> AlertRows:
        """Write objects, detections, classifications and cross-matches to the graph."""
        with report.stage("write"):
            row = batch.columns.row
            rows = alert_rows(batch, outcome.leading(len(batch)), hosts, source_names(fetched, row))
            duplicates = self._store.write(rows, match_rows(batch.matches), classification_rows(outcome.kept()))
            report.outcome[row[duplicates]] = "duplicate"
        return rows

    def _bury(self, fetched: Fetched, rejects: Sequence[Reject]) -> None:
        """Send refused packets to the dead letters; their key makes a second burial recognisable."""
        sources = source_names(fetched, np.array([reject.row for reject in rejects], dtype=np.int64))
        for reject, source in zip(rejects, sources.tolist(), strict=True):
            headers = {"stage": "decode", "reason": reject.reason, "message": reject.message, "source": source}
            self._sender.send(DEAD_LETTERS, source, fetched.messages[reject.row].as_py() or b"", headers)


def source_names(fetched: Fetched, row: IntArray) -> TextArray:
    """Return ``topic/partition/offset`` of some messages of a batch."""
    prefix = f"{fetched.topic}/{fetched.partition}/"
    return np.array([f"{prefix}{offset}" for offset in fetched.offset[row].tolist()], dtype=object)
