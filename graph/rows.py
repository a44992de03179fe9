"""Maps that Neo4j returns, turned into the values of `graph.views`."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from neo4j.graph import Node, Path, Relationship

from graph.errors import StoreError
from graph.model import AlertTense, CoincidenceState, EventState, Messenger, ScienceCase, Survey, Term
from graph.times import parse_utc
from graph.views import (
    ClassificationView,
    CoincidenceView,
    DetectionView,
    EventView,
    LedgerNight,
    ListSummaryView,
    LocalizationView,
    MatchView,
    NoticeView,
    ObjectView,
    SameObjectView,
    TargetView,
)

Row = Mapping[str, Any]
"""A map projection as the driver returns it."""

MAX_JSON_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly; RFC 8259 section 6."""

LEDGER_COUNTS = ("received", "classified", "loaded", "duplicates", "dead")
"""Numbers of a ledger entry that simply add up; absent is 0."""


def to_object(row: Row) -> ObjectView:
    """Read an object."""
    return ObjectView(**{**row, "survey": Survey(row["survey"])})


def to_detection(row: Row) -> DetectionView:
    """Read a detection."""
    return DetectionView(**{**row, "survey": Survey(row["survey"])})


def to_same_object(row: Row) -> SameObjectView:
    """Read an object of another survey that is the same."""
    return SameObjectView(**{**row, "survey": Survey(row["survey"])})


def to_classification(row: Row) -> ClassificationView:
    """Read what one classifier said."""
    return ClassificationView(**row)


def to_match(row: Row) -> MatchView:
    """Read a catalogue entry at an object's place."""
    return MatchView(**row)


def to_localization(row: Row | None) -> LocalizationView | None:
    """Read a localization, or None for a notice that gives a time only."""
    return None if row is None else LocalizationView(**row)


def to_notice(row: Row) -> NoticeView:
    """Read a notice with its localization."""
    changed = {
        "messenger": Messenger(row["messenger"]),
        "alert_tense": AlertTense(row["alert_tense"]),
        "trigger_time": _moment(row["trigger_time"]),
        "alert_time": _moment(row["alert_time"]),
        "localization": to_localization(row["localization"]),
    }
    return NoticeView(**{**row, **changed})


def to_event(row: Row) -> EventView:
    """Read a described event."""
    changed = {
        "event_names": tuple(row["event_names"] or ()),
        "messenger": Messenger(row["messenger"]),
        "trigger_time": _moment(row["trigger_time"]),
        "state": EventState(row["state"]),
        "alert_tense": AlertTense(row["alert_tense"]),
        "classification": _from_json(row["classification"], dict),
        "is_astrophysical_burst": row["is_astrophysical_burst"] is not False,
        "localization": to_localization(row["localization"]),
    }
    return EventView(**{**row, **changed})


def to_coincidence(row: Row) -> CoincidenceView:
    """Read an object-event pair."""
    return CoincidenceView(**{**row, "terms": to_terms(row["terms"]), "state": CoincidenceState(row["state"])})


def to_list_summary(row: Row) -> ListSummaryView:
    """Read one version of a list."""
    return ListSummaryView(**{**row, "case": ScienceCase(row["case"]), "is_current": bool(row["is_current"])})


def to_target(row: Row) -> TargetView:
    """Read a ranked entry of a list."""
    changed = {
        "survey": Survey(row["survey"]),
        "terms": to_terms(row["terms"]),
        "event_state": None if row["event_state"] is None else EventState(row["event_state"]),
    }
    return TargetView(**{**row, **changed})


def to_terms(text: str | None) -> tuple[Term, ...]:
    """Read the terms of a score: a JSON list of name, value and inputs."""
    return tuple(
        Term(str(term["name"]), float(term["value"]), dict(term.get("inputs") or {})) for term in _from_json(text, list)
    )


def sum_ledger(rows: list[Row]) -> tuple[LedgerNight, ...]:
    """Add up the batches of each night and survey, newest night first.

    Whether the archive holds what it should is asked of each batch, because an archive may be on for some only.
    """
    sums: dict[tuple[int, Survey], dict[str, Any]] = {}
    for row in rows:
        key = (int(row["night"]), Survey(row["survey"]))
        total = sums.setdefault(
            key,
            {**dict.fromkeys(LEDGER_COUNTS, 0), "archived": None, "archive_mismatch": 0}
            | {"filtered": {}, "dead_reasons": {}, "left_out": {}},
        )
        for name in LEDGER_COUNTS:
            total[name] += int(row.get(name) or 0)
        if row.get("archived") is not None:
            archived = int(row["archived"])
            total["archived"] = (total["archived"] or 0) + archived
            total["archive_mismatch"] += abs(int(row["received"] or 0) - int(row["dead"] or 0) - archived)
        for name in ("filtered", "dead_reasons", "left_out"):
            for reason, n in _from_json(row.get(name), dict).items():
                total[name][reason] = total[name].get(reason, 0) + int(n)
    ordered = sorted(sums, key=lambda key: (-key[0], key[1]))
    return tuple(LedgerNight(survey=survey, night=night, **sums[night, survey]) for night, survey in ordered)


def to_json_value(value: object) -> object:
    """Return any value that Cypher can return as a JSON-ready one.

    Integers beyond 2^53 - 1 become text, NaN and infinities None, bytes base64, times ISO 8601; a node is a map of
    ``labels`` and ``properties``, a relationship of ``type`` and ``properties``, a path a list of both.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_JSON_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    return _container_to_json(value)


def _container_to_json(value: object) -> object:
    """Return a graph value, a collection or a time as a JSON-ready value."""
    if isinstance(value, Node):
        return {"labels": sorted(value.labels), "properties": to_json_value(dict(value))}
    if isinstance(value, Relationship):
        return {"type": value.type, "properties": to_json_value(dict(value))}
    if isinstance(value, Path):
        steps: list[object] = [value.nodes[0]] if value.nodes else []
        for relationship, node in zip(value.relationships, value.nodes[1:], strict=True):
            steps += [relationship, node]
        return [to_json_value(step) for step in steps]
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(item) for item in value]
    iso_format = getattr(value, "iso_format", None)
    return str(iso_format()) if callable(iso_format) else str(value)


def _moment(text: str | None) -> Any:  # noqa: ANN401 - spread into typed fields with the rest of the row
    """Read a stored UTC time."""
    return None if text is None else parse_utc(text)


def _from_json(text: str | None, kind: type) -> Any:  # noqa: ANN401 - the kind is checked here
    """Read a property that holds JSON; null is an empty one."""
    value = kind() if text is None else json.loads(text)
    if not isinstance(value, kind):
        raise StoreError("A property of the graph holds JSON of another kind than expected.")
    return value
