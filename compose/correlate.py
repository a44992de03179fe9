"""Recorded alerts to objects and recorded notices to events in memory: what the offline correlation starts from.

The same steps as on the way through Kafka, Spark and the graph: decoded, screened, classified and cross-matched in
batches; of each object the newest state is kept, decided as the graph decides it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graph import codec
from graph.alert_store import AlertRows
from graph.errors import MalformedPacketError, SkyMapError, WireError
from graph.model import Notice, Survey
from graph.objects import Flares, ObjectColumns
from graph.regions import region_of
from ingest.alerts.decode import AlertDecoder
from ingest.catalogues.opened import open_catalogues
from ingest.classifiers.contract import batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Runner
from ingest.config import IngestSettings
from ingest.crossmatch import match_alerts
from ingest.hosts import find_hosts
from ingest.notices.registry import parse_notice
from ingest.replay import iter_alert_messages, iter_notice_messages
from ingest.rows import alert_rows
from ingest.screening import screen

MAX_BATCH_BYTES = 64 << 20
"""Packets decoded at a time [byte]: 1,000 of ZTF's with images; with their columns a fifth of a gigabyte."""

ROWS_BETWEEN_MERGES = 200_000
"""Detections gathered before only the newest state of each object is kept: some 50 MB of columns."""

STATE = ("top_class", "class_probability", "n_detections", "host_distance_mpc", "host_distance_err_mpc")
"""Columns of an object that are those of its newest detection."""

LIMIT = ("last_limit_mjd_tai", "last_limit_mag")
"""Columns of the newest visit before the first detection that saw nothing."""

Columns = dict[str, NDArray[np.generic]]
Progress = Callable[[int], None]


@dataclass(slots=True)
class AlertCounts:
    """What became of the alerts."""

    received: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class NoticeCounts:
    """What became of the notices."""

    received: int = 0
    repeated: int = 0
    dead: Counter[str] = field(default_factory=Counter)


class ObjectFold:
    """Detections in any order to the newest state of each object, in memory bounded by the number of objects."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []
        self._pending = 0
        self._flares: dict[tuple[str, int], tuple[str, float, float]] = {}

    def add(self, rows: AlertRows) -> None:
        """Take the detections of one batch, (n,) each."""
        names = ("object_id", "detection_id", "ra_deg", "dec_deg", "midpoint_mjd_tai", "first_midpoint_mjd_tai")
        part: Columns = {name: getattr(rows, name) for name in (*names, "mag_ab", *STATE, *LIMIT, "first_mag")}
        part["survey"] = np.full(len(rows), rows.survey.value, dtype=object)
        self._parts.append(part)
        for row in np.flatnonzero(np.isfinite(rows.flare_flux_ratio)).tolist():
            # A detection may come twice.
            of_detection = (
                str(rows.object_id[row]),
                float(rows.midpoint_mjd_tai[row]),
                float(rows.flare_flux_ratio[row]),
            )
            self._flares[rows.survey.value, int(rows.detection_id[row])] = of_detection
        self._pending += len(rows)
        if self._pending >= ROWS_BETWEEN_MERGES:
            self._merge()

    def objects(self) -> ObjectColumns:
        """Return the newest state of each object, by survey and identifier."""
        self._merge()
        if not self._parts:
            empty, text = np.empty(0), np.empty(0, dtype=object)
            return ObjectColumns(text, text, empty, empty, empty, empty, empty, text, empty, np.empty(0, np.int64))
        state = self._parts[0]
        taken = ("survey", "object_id", "ra_deg", "dec_deg", "first_midpoint_mjd_tai", "first_mag", *LIMIT, *STATE)
        return ObjectColumns(latest_mag=state["mag_ab"], **{name: state[name] for name in taken})  # type: ignore[arg-type, unused-ignore]

    def flares(self) -> Flares:
        """Return the detections of known blazars in a flare, with the newest state of their objects."""
        objects = self.objects()
        names = zip(objects.survey.tolist(), objects.object_id.tolist(), strict=True)
        row_of = {name: row for row, name in enumerate(names)}
        found = [(row_of[survey, name], *numbers) for (survey, _), (name, *numbers) in sorted(self._flares.items())]
        row, time, ratio = (np.array([one[place] for one in found]) for place in range(3))
        return Flares(objects.take(row.astype(np.intp)), time.astype(np.float64), ratio.astype(np.float64))

    def _merge(self) -> None:
        """Keep one row for each object: the newest detection's, with the earliest first detection of all."""
        if not self._parts:
            return
        every = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        key = np.array([f"{s}:{o}" for s, o in zip(every["survey"], every["object_id"], strict=True)], dtype=np.str_)
        _, group = np.unique(key, return_inverse=True)
        by_age = np.lexsort((every["detection_id"], every["midpoint_mjd_tai"], group))
        newest = by_age[np.flatnonzero(np.append(np.diff(group[by_age]) != 0, True))]
        state = {name: column[newest] for name, column in every.items()}
        # As the graph does: of the packets with the earliest first detection the newest, then deepest limit stands,
        # and the brightest magnitude; NaN is larger than all and so comes last.
        limit, depth = (-every[name].astype(np.float64) for name in LIMIT)
        for names, order in ((LIMIT, (depth, limit)), (("first_midpoint_mjd_tai", "first_mag"), (every["first_mag"],))):
            by_first = np.lexsort((*order, every["first_midpoint_mjd_tai"], group))
            earliest = by_first[np.flatnonzero(np.append(True, np.diff(group[by_first]) != 0))]
            state |= {name: every[name][earliest] for name in names}
        self._parts = [state] if len(key) else []
        self._pending = 0


def read_objects(path: Path, settings: IngestSettings, progress: Progress) -> tuple[ObjectColumns, Flares, AlertCounts]:
    """Read recorded alerts to the newest state of each object and the flares of known blazars.

    Parameters
    ----------
    path : a file, a folder or an archive; see `ingest.replay.iter_alert_messages`.
    progress : called with the number of alerts read.
    """
    catalogues = open_catalogues(settings.catalogue_dir)
    decoders = {survey: AlertDecoder(survey, max_message_bytes=settings.max_message_bytes) for survey in Survey}
    classifiers = {
        survey: Runner(load_modules(survey), time_limit_s=settings.classifier_time_limit_s) for survey in Survey
    }
    fold, counts = ObjectFold(), AlertCounts()
    for survey, packets in _batches(iter_alert_messages(path), settings.max_rows_at_once):
        columns, rejects = decoders[survey].decode(packets)
        counts.received += len(packets)
        counts.dead.update(reject.reason for reject in rejects)
        reasons = screen(columns, settings.min_reliability, keep_private=settings.keep_private)
        counts.filtered.update(reasons[reasons != ""].tolist())
        kept = columns.take(reasons == "")
        batch = batch_of(kept, match_alerts(catalogues, kept))
        outcome = classifiers[survey].run(batch)
        hosts = find_hosts(catalogues, kept.ra_deg, kept.dec_deg)
        fold.add(alert_rows(batch, outcome.leading(len(kept)), hosts, np.full(len(kept), "", dtype=object)))
        progress(counts.received)
    return fold.objects(), fold.flares(), counts


def _batches(messages: Iterable[tuple[Survey, bytes]], max_rows: int) -> Iterator[tuple[Survey, list[bytes]]]:
    """Yield the packets of one survey at a time, so many or so large that they are decoded at once."""
    waiting: dict[Survey, list[bytes]] = {survey: [] for survey in Survey}
    size = Counter[Survey]()
    for survey, packet in messages:
        waiting[survey].append(packet)
        size[survey] += len(packet)
        if len(waiting[survey]) >= max_rows or size[survey] >= MAX_BATCH_BYTES:
            yield survey, waiting[survey]
            waiting[survey], size[survey] = [], 0
    for survey, rest in waiting.items():
        if rest:
            yield survey, rest


def read_notices(path: Path, progress: Progress) -> tuple[list[Notice], NoticeCounts]:
    """Read recorded notices; what the listener would refuse is refused here, what repeats counts once.

    Parameters
    ----------
    path : a file, a folder or an archive; see `ingest.replay.iter_notice_messages`.
    progress : called with the number of notices read.
    """
    found: dict[str, Notice] = {}
    counts = NoticeCounts()
    for topic, _, payload in iter_notice_messages(path):
        counts.received += 1
        try:
            notice = parse_notice(payload, topic)
            codec.to_bytes(notice)
            if notice.localization is not None:
                region_of(notice.localization)
        except (WireError, SkyMapError, ValueError) as error:
            counts.dead[error.reason if isinstance(error, WireError) else MalformedPacketError.reason] += 1
        else:
            counts.repeated += notice.notice_id in found
            found[notice.notice_id] = notice
        progress(counts.received)
    return list(found.values()), counts
