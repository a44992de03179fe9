"""A survey's alerts of a night as a stream: visit after visit, made in chunks, never all at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.simulate.histories import Histories, join_histories
from ingest.simulate.observe import Observed, join_observed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.simulate.survey_sky import SurveySky

IntArray = NDArray[np.int64]

CHUNK_ALERTS = 512
"""Alerts encoded at a time, at least: 30 to 60 MB of packets, which repays the work that is done once for a chunk."""

KEPT_POINTS = 1_000_000
"""Points of fields kept from one visit to the next: some 150 MB. A denser night makes its fields again."""


@dataclass(frozen=True, eq=False, slots=True)
class NamedAlerts:
    """Alerts, the sources that they are of, and how the survey names both."""

    seen: Observed
    histories: Histories
    detection_id: IntArray
    """(p,) identifier of the detection, `ingest.simulate.avro.NULL_INT` where nothing was detected."""
    image_id: IntArray
    """(p,) ZTF: identifier of the processed image; LSST: of the forced photometry."""
    object_number: IntArray
    """(n,) number from which the survey's name of each source is made."""
    alert_points: IntArray
    """(a,) points of the alerts, in order of time."""

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.alert_points)

    def of_points(self, chosen: IntArray) -> NamedAlerts:
        """Return the alerts of some points with their sources only."""
        rows = np.unique(self.seen.source[chosen])
        points = self.seen.points_of(rows)
        return NamedAlerts(
            self.seen.select(rows),
            self.histories.select(rows, points),
            self.detection_id[points],
            self.image_id[points],
            self.object_number[rows],
            # The points of the sources are still in the order of the table.
            np.searchsorted(points, chosen),
        )


def join_alerts(parts: list[NamedAlerts]) -> NamedAlerts:
    """Return all alerts as one, in order."""
    if len(parts) == 1:
        return parts[0]
    shift = np.cumsum([0] + [len(part.seen.source) for part in parts[:-1]])
    return NamedAlerts(
        join_observed([part.seen for part in parts]),
        join_histories([part.histories for part in parts]),
        np.concatenate([part.detection_id for part in parts]),
        np.concatenate([part.image_id for part in parts]),
        np.concatenate([part.object_number for part in parts]),
        np.concatenate([part.alert_points + step for part, step in zip(parts, shift, strict=True)]),
    )


class AlertNames(NamedTuple):
    """How the survey names some alerts."""

    detection_id: IntArray
    object_id: pa.Array
    """Empty where the alert is of no object that stands still."""
    solar_system_id: pa.Array
    """Null where no known body is near."""
    exposure_id: IntArray


class Packer(Protocol):
    """What differs between surveys: identifiers and bytes."""

    def name_field(self, seen: Observed, first_number: int) -> NamedAlerts:
        """Give the detections and sources of a field their identifiers; it has no alerts chosen yet."""

    def names(self, alerts: NamedAlerts) -> AlertNames:
        """Return the identifiers of alerts."""

    def pack(self, alerts: NamedAlerts, begin: int) -> pa.LargeBinaryArray:
        """Encode alerts, the first of which is the night's alert number ``begin``."""


def iter_packets(batch: pa.LargeBinaryArray) -> Iterator[bytes]:
    """Yield the packets of one batch, which was not sliced."""
    _, offsets, values = batch.buffers()
    data = memoryview(values)
    ends = np.frombuffer(offsets, dtype=np.int64).tolist()
    for start, stop in pairwise(ends):
        yield bytes(data[start:stop])


class _Shelf:
    """Fields kept from one visit to the next, as many as there is room for."""

    def __init__(self) -> None:
        self._fields: dict[int, NamedAlerts] = {}
        self._points = 0

    def get(self, number: int) -> NamedAlerts | None:
        """Return a field that was kept."""
        return self._fields.get(number)

    def put(self, number: int, alerts: NamedAlerts) -> None:
        """Keep a field if there is room."""
        if number not in self._fields and self._points + len(alerts.seen.source) <= KEPT_POINTS:
            self._fields[number] = alerts
            self._points += len(alerts.seen.source)

    def drop(self, number: int) -> None:
        """Let a field go whose last visit is over, unless everything fits anyway."""
        if self._points > KEPT_POINTS // 2 and number in self._fields:
            self._points -= len(self._fields.pop(number).seen.source)


@dataclass(frozen=True, eq=False, slots=True)
class AlertStream:
    """All alerts of a survey's night, sized; it can be iterated any number of times and is the same each time."""

    sky: SurveySky
    packer: Packer
    _shelf: _Shelf = field(default_factory=_Shelf)

    def __len__(self) -> int:
        """Return the number of alerts."""
        return int(self.sky.n_alerts.sum())

    def __iter__(self) -> Iterator[bytes]:
        """Yield the packets in order of time."""
        for batch in self.iter_batches():
            yield from iter_packets(batch)

    def iter_batches(self) -> Iterator[pa.LargeBinaryArray]:
        """Yield the packets in order of time, many in one array."""
        begin = 0
        for alerts in self.iter_alerts():
            yield self.packer.pack(alerts, begin)
            begin += len(alerts)

    def iter_alerts(self) -> Iterator[NamedAlerts]:
        """Yield the alerts in order of time, in the chunks of `iter_batches`."""
        waiting: list[NamedAlerts] = []
        schedule = self.sky.schedule
        for visit in schedule.visits_tonight.tolist():
            number = int(schedule.field[visit])
            named = self.field(number)
            points = named.seen.alerts_of(visit)
            for begin in range(0, len(points), CHUNK_ALERTS):
                waiting.append(named.of_points(points[begin : begin + CHUNK_ALERTS]))
                if sum(len(part) for part in waiting) >= CHUNK_ALERTS:
                    yield join_alerts(waiting)
                    waiting = []
            if visit == schedule.visits_of(number)[-1]:
                self._shelf.drop(number)
        if waiting:
            yield join_alerts(waiting)

    def field(self, number: int) -> NamedAlerts:
        """Return all that the survey saw in one field, named, with no alerts chosen."""
        kept = self._shelf.get(number)
        if kept is None:
            kept = self.packer.name_field(self.sky.field(number), int(self.sky.first_number[number]))
            self._shelf.put(number, kept)
        return kept
