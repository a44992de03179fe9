"""Alerts into the graph: objects, detections, classifications, cross-matches and the ledger, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

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
    first_mag: FloatArray
    """(n,) AB magnitude of the first detection of the object; NaN where the packet no longer has it."""
    first_band: TextArray
    last_limit_mjd_tai: FloatArray
    """(n,) newest visit before it that saw nothing [d, TAI]."""
    last_limit_mag: FloatArray
    """(n,) 5 sigma limiting AB magnitude of that visit."""
    last_limit_band: TextArray
    n_detections: IntArray
    band: TextArray
    psf_flux_njy: FloatArray
    psf_flux_err_njy: FloatArray
    mag_ab: FloatArray
    reliability: FloatArray
    top_class: TextArray
    class_probability: FloatArray
    host_distance_mpc: FloatArray
    host_distance_err_mpc: FloatArray
    flare_flux_ratio: FloatArray
    """(n,) flux of a known blazar over its quiescent level where the detection is part of a flare [1]; else NaN."""

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.object_id)

    def keys(self) -> list[str]:
        """Return the object_key of each row."""
        return [f"{self.survey.value}:{name}" for name in self.object_id]


@dataclass(frozen=True, eq=False, slots=True)
class ClassificationRows:
    """k answers of classifiers; ``row`` points into the `AlertRows` written with them."""

    row: IntArray
    classifier: TextArray
    version: TextArray
    top_class: TextArray
    class_probability: FloatArray
    std: FloatArray
    n_points: IntArray
    out_of_distribution: BoolArray
    extras: TextArray
    """(k,) further numbers of an answer by name, as dictionaries; all finite."""


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
    log_bayes_factor: FloatArray
    p_chance: FloatArray
    redshift: FloatArray
    distance_mpc: FloatArray


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

    def write(self, rows: AlertRows, matches: MatchRows, answers: ClassificationRows) -> BoolArray:
        """Write one batch in one transaction.

        Parameters
        ----------
        rows : with the class that stands for each object.
        answers : of every classifier, that one's included.

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
        given = {"survey": rows.survey.value}
        matched = [("write_matches", _match_parameters(keys, rows, matches))] if len(matches.row) else []
        try:
            nested = _nested_answers(len(rows), order, answers)
            self._connection.write_all([("write_new_alerts", {**given, **columns, **nested}), *matched])
        except AlreadyStoredError:
            flat = [("write_classifications", _answer_parameters(keys, rows, answers))] if len(answers.row) else []
            result = self._connection.write_all([("write_alerts", {**given, **columns}), *flat, *matched])[0]
            duplicates[order[result[0]["duplicates"]]] = True
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


def _nested_answers(n: int, order: IntArray, answers: ClassificationRows) -> dict[str, object]:
    """Return the answers on each of n detections in the order in which these are written; see write_new_alerts."""
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    pairs = list(zip(answers.classifier.tolist(), answers.version.tolist(), strict=True))
    speakers = sorted(set(pairs))
    number = {speaker: i for i, speaker in enumerate(speakers)}
    speaker = np.array([number[pair] for pair in pairs], dtype=np.int64)
    by_place = np.lexsort((speaker, place[answers.row]))
    names = ("top_class", "class_probability", "std", "n_points", "out_of_distribution", "extras")
    columns = [speaker[by_place].tolist(), *(nullable(getattr(answers, name)[by_place]) for name in names)]
    entries = list(zip(*columns, strict=True))
    limits = np.searchsorted(place[answers.row][by_place], np.arange(n + 1)).tolist()
    return {
        "speakers": [list(pair) for pair in speakers],
        "answers": [entries[start:stop] for start, stop in pairwise(limits)],
    }


def _answer_parameters(keys: list[str], rows: AlertRows, answers: ClassificationRows) -> dict[str, object]:
    """Return the columns of classifications.

    Classes are few nodes that all writers share: they come in one order, lest two writers lock each other out. Of one
    object and classifier the newest comes last and stands.
    """
    midpoint_mjd_tai = rows.midpoint_mjd_tai[answers.row]
    object_key = np.array(keys, dtype=object)[answers.row]
    by_time = (rows.detection_id[answers.row], midpoint_mjd_tai)
    texts = (object_key.astype(str), answers.classifier.astype(str), answers.top_class.astype(str))
    order = np.lexsort((*by_time, *texts))
    columns = {
        field.name: nullable(getattr(answers, field.name)[order]) for field in fields(answers) if field.name != "row"
    }
    return {"object_key": object_key[order].tolist(), "midpoint_mjd_tai": midpoint_mjd_tai[order].tolist(), **columns}


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
