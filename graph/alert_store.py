"""Alerts into the graph: objects, detections, classifications, cross-matches and the ledger, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from graph.connection import Connection
from graph.errors import AlreadyStoredError
from graph.model import Survey

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class AlertRows:
    """n detections of one survey, ready for the graph; NaN and empty text become null.

    ``object_key`` is ``survey:object_id``, ``detection_key`` is ``survey:detection_id``; ``source`` says which message
    brought the detection (``topic/partition/offset``), so that a replayed message is told from a second delivery.
    """

    survey: Survey
    object_id: TextArray
    detection_id: IntArray
    source: TextArray
    ra_deg: FloatArray
    dec_deg: FloatArray
    healpix29: IntArray
    midpoint_mjd_tai: FloatArray
    first_midpoint_mjd_tai: FloatArray
    last_limit_mjd_tai: FloatArray
    n_detections: IntArray
    band: TextArray
    psf_flux_njy: FloatArray
    psf_flux_err_njy: FloatArray
    mag_ab: FloatArray
    reliability: FloatArray
    top_class: TextArray
    class_probability: FloatArray
    std: FloatArray
    n_points: IntArray

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.object_id)

    def keys(self) -> list[str]:
        """Return the object_key of each row."""
        return [f"{self.survey.value}:{name}" for name in self.object_id]


@dataclass(frozen=True, eq=False, slots=True)
class MatchRows:
    """m cross-matches; ``row`` points into the `AlertRows` written with them."""

    row: IntArray
    catalog: TextArray
    name: TextArray
    object_type: TextArray
    source_ra_deg: FloatArray
    source_dec_deg: FloatArray
    separation_arcsec: FloatArray
    probability: FloatArray


def nullable(column: NDArray[np.generic]) -> list[object]:
    """Return a column as a list in which NaN and empty text are None."""
    values = column.astype(object)
    if column.dtype.kind == "f":
        values[np.isnan(column.astype(np.float64))] = None
    elif column.dtype.kind == "O":
        values[values == ""] = None
    return values.tolist()


class AlertStore:
    """Writes what the alert stream found; every call may be repeated without changing the outcome."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, rows: AlertRows, matches: MatchRows, classifier: str, version: str) -> BoolArray:
        """Write one batch in one transaction.

        Returns
        -------
        (n,) True where another message had brought the same detection before.

        Notes
        -----
        Nearly all detections are new, and creating them costs half of merging them. So creation is tried first; the
        uniqueness of their keys makes it fail as a whole where one is there already: a second delivery, or a batch
        that is replayed after a crash. Then the batch is merged.
        """
        duplicates = np.zeros(len(rows), dtype=np.bool_)
        if not len(rows):
            return duplicates
        # One order for all writers: two transactions that lock the same objects in the same order cannot deadlock.
        keys = rows.keys()
        # The detections of an object come in order of time: Neo4j may look at all rows before it changes any, and what
        # is written last stands.
        order = np.lexsort((rows.detection_id, rows.midpoint_mjd_tai, np.array(keys, dtype=np.str_)))
        columns: dict[str, list[object]] = {
            column.name: nullable(getattr(rows, column.name)[order])
            for column in fields(rows)
            if column.name != "survey"
        }
        columns["object_key"] = [keys[i] for i in order]
        columns["detection_key"] = [f"{rows.survey.value}:{number}" for number in rows.detection_id[order].tolist()]
        given = {"survey": rows.survey.value, "classifier": classifier, "version": version}
        matched = [("write_matches", _match_parameters(keys, rows, matches))] if len(matches.row) else []
        try:
            self._connection.write_all([("write_new_alerts", {**given, **columns}), *matched])
        except AlreadyStoredError:
            statements = [("write_alerts", {**given, **columns}), *_classifications(given, columns), *matched]
            answer = self._connection.write_all(statements)[0]
            duplicates[order[answer[0]["duplicates"]]] = True
        return duplicates

    def write_ledger(self, entries: Sequence[Mapping[str, object]]) -> None:
        """Set the ledger entries of one micro-batch; see ``write_ledger.cypher``."""
        if not entries:
            return
        wanted = ("topic", "partition", "offset_from", "offset_until")
        spans = {tuple(entry[name] for name in wanted) for entry in entries}
        self._connection.write(
            "write_ledger",
            rows=[dict(entry) for entry in entries],
            spans=[dict(zip(wanted, span, strict=True)) for span in sorted(spans, key=str)],
        )


def _classifications(
    given: Mapping[str, object], columns: Mapping[str, list[object]]
) -> list[tuple[str, Mapping[str, object]]]:
    """Return the statement that merges the classifications of those rows that have one."""
    top_class = columns["top_class"]
    places = [place for place, name in enumerate(top_class) if name is not None]
    # Classes are few nodes that all writers share: one order, lest two of them lock each other out.
    places.sort(key=lambda place: str(top_class[place]))
    wanted = ("object_key", "top_class", "class_probability", "std", "n_points", "midpoint_mjd_tai")
    picked = {name: [columns[name][place] for place in places] for name in wanted}
    return [("write_classifications", {**given, **picked})] if places else []


def _match_parameters(keys: list[str], rows: AlertRows, matches: MatchRows) -> dict[str, object]:
    midpoint_mjd_tai = rows.midpoint_mjd_tai[matches.row]
    by_time = (rows.detection_id[matches.row], midpoint_mjd_tai)
    order = np.lexsort((*by_time, matches.name.astype(str), matches.catalog.astype(str)))
    columns = {
        field.name: nullable(getattr(matches, field.name)[order]) for field in fields(matches) if field.name != "row"
    }
    sources = [f"{catalog}:{name}" for catalog, name in zip(columns["catalog"], columns["name"], strict=True)]
    return {
        "object_key": [keys[i] for i in matches.row[order].tolist()],
        "source_key": sources,
        "midpoint_mjd_tai": midpoint_mjd_tai[order].tolist(),
        **columns,
    }
