"""One batch of packets from bytes to the graph: the hot path, without Spark.

Everything here works on whole columns. The outcome of each message is exactly one of loaded, duplicate, filtered with
a reason, or dead with a reason; `BatchReport` says so and the ledger adds it up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from graph.alert_store import AlertStore
from graph.model import Survey
from graph.sender import Sender
from graph.times import night_of_mjd_tai
from graph.topics import DEAD_LETTERS, OBJECTS
from ingest.alerts.columns import IntArray, Reject, TextArray
from ingest.alerts.decode import AlertDecoder
from ingest.classify import Classifier
from ingest.crossmatch import Catalogue, crossmatch
from ingest.features import alert_features
from ingest.rows import alert_rows, match_rows, objects_message, take
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
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage [s]."""

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
    ) -> None:
        self._store = store
        self._sender = sender
        self._catalogues = tuple(catalogues)
        self._min_reliability = min_reliability
        self._keep_private = keep_private
        self._decoder = AlertDecoder(survey, max_message_bytes=max_message_bytes)
        self._classifier = Classifier.load("coarse", survey)

    def run(self, messages: pa.Array, source: TextArray) -> BatchReport:
        """Take a batch of packets to the graph, its dead letters and its news to Kafka.

        Parameters
        ----------
        messages : (n,) binary.
        source : (n,) ``topic/partition/offset`` of each.
        """
        report = BatchReport(np.full(len(messages), "", object), np.full(len(messages), UNREADABLE_NIGHT, np.int64))
        with report.stage("decode"):
            columns, rejects = self._decoder.decode(messages)
        for reject in rejects:
            report.outcome[reject.row] = f"dead:{reject.reason}"
        report.night[columns.row] = night_of_mjd_tai(columns.midpoint_mjd_tai)
        with report.stage("screen"):
            reasons = screen(columns, self._min_reliability, keep_private=self._keep_private)
            report.outcome[columns.row] = np.where(reasons == "", "loaded", "filtered:" + reasons)
            kept = take(columns, reasons == "")
        with report.stage("features"):
            features = alert_features(kept)
        with report.stage("classify"):
            classified = self._classifier.classify(kept, features)
        with report.stage("crossmatch"):
            matches = match_rows(crossmatch(self._catalogues, kept.ra_deg, kept.dec_deg))
        with report.stage("write"):
            rows = alert_rows(kept, classified, source[kept.row])
            duplicates = self._store.write(rows, matches, classified.classifier, classified.version)
            report.outcome[kept.row[duplicates]] = "duplicate"
        with report.stage("publish"):
            self._bury(messages, source, rejects)
            if len(rows):
                news = objects_message(rows, classified.classifier, classified.version)
                self._sender.send(OBJECTS, rows.survey.value, news)
            self._sender.flush()
        return report

    def _bury(self, messages: pa.Array, source: TextArray, rejects: Sequence[Reject]) -> None:
        """Send refused packets to the dead letters; their key makes a second burial recognisable."""
        for reject in rejects:
            headers = {
                "stage": "decode",
                "reason": reject.reason,
                "message": reject.message,
                "source": source[reject.row],
            }
            self._sender.send(DEAD_LETTERS, source[reject.row], messages[reject.row].as_py() or b"", headers)
