"""Notices, events, coincidences and follow-up lists in the graph: what the listener and the coordinator write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from graph import codec
from graph.connection import Connection, Row
from graph.event_pair_rows import event_pair_row
from graph.model import (
    Circle,
    Coincidence,
    CoincidenceState,
    Event,
    EventPair,
    FollowUpList,
    Localization,
    Notice,
    ScienceCase,
    Survey,
    Target,
    Term,
)
from graph.object_rows import listed_flares, listed_objects, object_columns
from graph.objects import Flares, ObjectColumns
from graph.regions import region_of
from graph.sky import SkyMap
from graph.times import format_utc

KEYS_PER_READ = 5000
"""Objects asked for in one statement; keeps an answer at about 1 MB."""

StoredPairs = dict[tuple[str, str], dict[str, Any]]
"""(object_key, event_key) -> properties of the COINCIDES_WITH relationship."""

StrongestPairs = tuple[tuple[str, float], ...]
"""(object_key, log Bayes factor) of open coincidences with one event, the strongest first."""


class EventStore:
    """Reads and writes everything about events; every write may be repeated without changing the outcome."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write_notices(self, rows: Sequence[Row]) -> frozenset[str]:
        """Store notices and their localizations, given by `notice_row`; return the notice_ids that were new."""
        distinct = list({row["notice"]["notice_id"]: row for row in rows}.values())
        return frozenset(self._connection.write("write_notices", rows=distinct)[0]["new_ids"]) if rows else frozenset()

    def notices_of(self, event_keys: Sequence[str]) -> dict[str, tuple[Notice, ...]]:
        """Return every notice of some events; events without any are left out."""
        rows = self._connection.read("read_notices_of_events", event_keys=list(event_keys))
        return {row["event_key"]: tuple(codec.from_bytes(Notice, b.encode()) for b in row["bodies"]) for row in rows}

    def event_keys(self) -> tuple[str, ...]:
        """Return the keys of all events that notices tell of."""
        return tuple(row["event_key"] for row in self._connection.read("read_event_keys"))

    def write_events(self, events: Sequence[tuple[Event, ScienceCase, Sequence[str]]]) -> None:
        """Set the states of events, each with its case and the localizations of its notices, oldest first."""
        rows = [
            {
                "event": event_properties(event, case),
                "notice_ids": list(event.notice_ids),
                "localization_ids": list(localization_ids),
            }
            for event, case, localization_ids in events
        ]
        if rows:
            self._connection.write("write_events", rows=rows)

    def objects_by_key(self, keys: Sequence[str]) -> ObjectColumns:
        """Return the objects of these keys; keys without an object are passed over."""
        rows: list[Row] = []
        for start in range(0, len(keys), KEYS_PER_READ):
            rows += self._connection.read("read_objects_by_key", object_keys=list(keys[start : start + KEYS_PER_READ]))
        return object_columns(rows)

    def objects_in_window(self, from_mjd_tai: float, until_mjd_tai: float, limit: int) -> ObjectColumns:
        """Return objects first detected in a closed time window [d, TAI], the oldest ``limit`` at most."""
        window = {"from_mjd_tai": from_mjd_tai, "until_mjd_tai": until_mjd_tai}
        return listed_objects(self._connection.read("read_objects_in_window", limit=limit, **window)[0]["objects"])

    def objects_in_ranges(
        self, from_mjd_tai: float, until_mjd_tai: float, ranges: Sequence[tuple[int, int]]
    ) -> ObjectColumns:
        """Return objects first detected in a time window [d, TAI] inside closed ranges of order-29 pixels."""
        window = {"from_mjd_tai": from_mjd_tai, "until_mjd_tai": until_mjd_tai}
        pixels = [list(pair) for pair in ranges]
        found = self._connection.read("read_objects_in_ranges", ranges=pixels, **window)
        return listed_objects(found[0]["objects"])

    def flares_in_window(self, from_mjd_tai: float, until_mjd_tai: float) -> Flares:
        """Return the detections of known blazars in a flare, in a closed time window [d, TAI]."""
        window = {"from_mjd_tai": from_mjd_tai, "until_mjd_tai": until_mjd_tai}
        return listed_flares(self._connection.read("read_flares_in_window", **window)[0]["flares"])

    def flares_of(self, object_keys: Sequence[str], from_mjd_tai: float, until_mjd_tai: float) -> Flares:
        """Return those of some objects."""
        window = {"from_mjd_tai": from_mjd_tai, "until_mjd_tai": until_mjd_tai}
        found = self._connection.read("read_flares_of_objects", object_keys=list(object_keys), **window)
        return listed_flares(found[0]["flares"])

    def young_objects(
        self,
        from_mjd_tai: float,
        until_mjd_tai: float,
        limit: int,
        *,
        classes: Sequence[str] | None,
        max_probability: float,
        min_detections: int,
    ) -> tuple[ObjectColumns, int, float]:
        """Return objects first detected in a closed time window [d, TAI] that qualify, oldest first.

        Parameters
        ----------
        limit : objects that are looked at, at most.
        classes : only objects whose newest classification is one of these; None for any class or none.
        max_probability : only objects whose class is not more probable than this.
        min_detections : only objects that were seen so often.

        Returns
        -------
        Those that qualify; how many were looked at; the first detection of the youngest of these [d, TAI], or the begin
        of the window.
        """
        found = self._connection.read(
            "read_young_objects",
            from_mjd_tai=from_mjd_tai,
            until_mjd_tai=until_mjd_tai,
            limit=limit,
            classes=None if classes is None else list(classes),
            max_probability=max_probability,
            min_detections=min_detections,
        )[0]
        return listed_objects(found["objects"]), found["n_looked_at"], found["last_mjd_tai"]

    def newest_midpoint_mjd_tai(self) -> float:
        """Return the time of the newest detection [d, TAI], 0 for an empty graph: the clock of the data."""
        rows = self._connection.read("read_newest_midpoint")
        return float(rows[0]["newest"]) if rows else 0.0

    def coincidences_of(self, event_keys: Sequence[str]) -> StoredPairs:
        """Return what is stored of the coincidences with some events."""
        return _pairs(self._connection.read("read_coincidences_of_events", event_keys=list(event_keys)))

    def write_coincidences(self, coincidences: Iterable[Coincidence]) -> None:
        """Set coincidences."""
        rows = [
            {
                "object_key": f"{c.survey.value}:{c.object_id}",
                "event_key": c.event_key,
                "properties": pair_properties(c),
            }
            for c in coincidences
        ]
        if rows:
            self._connection.write("write_coincidences", rows=rows)

    def mark_published(self, digests: Mapping[tuple[str, str], str]) -> None:
        """Remember which state of each (object_key, event_key) has been handed to Kafka."""
        rows = [{"object_key": o, "event_key": e, "digest": digest} for (o, e), digest in digests.items()]
        if rows:
            self._connection.write("mark_coincidences_published", rows=rows)

    def coincidences_of_objects(self, object_keys: Sequence[str]) -> StoredPairs:
        """Return what is stored of the coincidences of some objects."""
        return _pairs(self._connection.read("read_coincidences_of_objects", object_keys=list(object_keys)))

    def coincidences_with(self, event_key: str, object_keys: Sequence[str]) -> StoredPairs:
        """Return what is stored of the coincidences of some objects with one event."""
        if not object_keys:
            return {}
        given = {"event_key": event_key, "object_keys": list(object_keys)}
        return _pairs(self._connection.read("read_coincidences_of_event", **given))

    def unsettled_objects_of(self, event_key: str) -> list[str]:
        """Return the keys of the objects whose coincidence with an event is open, or was told in another state."""
        return list(self._connection.read("read_unsettled_pairs", event_key=event_key)[0]["object_keys"])

    def evidence_of(self, event_key: str) -> list[tuple[str, float]]:
        """Return (object_key, log Bayes factor) of the open coincidences with an event."""
        rows = self._connection.read("read_evidence_of_event", event_key=event_key)
        return [(row["object_key"], float(row["log_bayes_factor"])) for row in rows]

    def write_associations(self, associations: Mapping[str, Mapping[str, float | None]]) -> frozenset[str]:
        """Set what the candidates of events are worth together, by event_key; return the keys of those stored so far.

        None removes a property.
        """
        rows = [{"event_key": key, "properties": dict(one)} for key, one in associations.items()]
        return frozenset(row["event_key"] for row in self._connection.write("write_associations", rows=rows))

    def event_pairs(self) -> dict[tuple[str, str], Row]:
        """Return what is stored of all event pairs, by (first_key, second_key)."""
        rows = self._connection.read("read_event_pairs")
        return {(row["first_key"], row["second_key"]): row["properties"] for row in rows}

    def write_event_pairs(self, pairs: Iterable[EventPair]) -> None:
        """Set event pairs; both events must be stored."""
        if rows := [event_pair_row(pair) for pair in pairs]:
            self._connection.write("write_event_pairs", rows=rows)

    def mark_event_pairs_published(self, digests: Mapping[tuple[str, str], str]) -> None:
        """Remember which message about each (first_key, second_key) has been handed to Kafka."""
        if rows := [{"first_key": a, "second_key": b, "digest": digest} for (a, b), digest in digests.items()]:
            self._connection.write("mark_event_pairs_published", rows=rows)

    def classifiers_of(self, object_keys: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """Return (classifier, version) of every classifier that spoke on some objects, by object_key."""
        rows = self._connection.read("read_classifiers_of_objects", object_keys=list(object_keys))
        return {row["object_key"]: tuple(sorted(map(tuple, row["classifiers"]))) for row in rows}

    def strongest_pairs(self, event_keys: Sequence[str], limit: int) -> dict[str, tuple[ScienceCase, StrongestPairs]]:
        """Return the case of each of some events and its strongest open pairs; events without any are left out.

        Parameters
        ----------
        limit : pairs of each event.
        """
        rows = self._connection.read("read_strongest_pairs", event_keys=list(event_keys), limit=limit)
        return {row["event_key"]: (ScienceCase(row["case"]), tuple(map(tuple, row["pairs"]))) for row in rows}

    def open_coincidences(
        self, case: ScienceCase, object_keys: Sequence[str]
    ) -> tuple[list[Coincidence], ObjectColumns]:
        """Return the open coincidences of some objects with events of a case, and their objects row by row."""
        rows = self._connection.read("read_open_coincidences", case=case.value, object_keys=list(object_keys))
        return [
            stored_coincidence((row["object_key"], row["event_key"]), row["properties"]) for row in rows
        ], object_columns([row["object"] for row in rows])

    def current_list(self, case: ScienceCase) -> tuple[int, str, str]:
        """Return (version, list_id, identity of what was published last) of a case; (0, "", "") without any."""
        rows = self._connection.read("read_current_list", case=case.value)
        return (rows[0]["version"], rows[0]["list_id"], rows[0]["published_id"]) if rows else (0, "", "")

    def write_list(self, follow_up: FollowUpList) -> None:
        """Store a version of a follow-up list and make it the current one."""
        key = f"{follow_up.case.value}:{follow_up.version}"
        self._connection.write(
            "write_list",
            list={
                "list_key": key,
                "case": follow_up.case.value,
                "version": follow_up.version,
                "list_id": follow_up.list_id,
                "n_targets": len(follow_up.targets),
            },
            targets=[_target_row(follow_up.case, target) for target in follow_up.targets],
        )

    def mark_list_published(self, follow_up: FollowUpList) -> None:
        """Remember that a list has been handed to Kafka."""
        key = f"{follow_up.case.value}:{follow_up.version}"
        self._connection.write("mark_list_published", list_key=key, list_id=follow_up.list_id)


def event_properties(event: Event, case: ScienceCase) -> dict[str, object]:
    """Return the properties of an Event node."""
    return {
        "event_key": event.event_key,
        "mission": event.mission,
        "event_id": event.event_id,
        "event_names": list(event.event_names),
        "case": case.value,
        "messenger": event.messenger.value,
        "trigger_time": format_utc(event.trigger_time) if event.trigger_time else None,
        "state": event.state.value,
        "alert_tense": event.alert_tense.value,
        "revision": event.revision,
        "far_hz": event.far_hz,
        "p_astro": event.p_astro,
        "classification": json.dumps(dict(sorted(event.classification.items()))),
        "is_astrophysical_burst": event.is_astrophysical_burst,
    }


def notice_properties(notice: Notice, body: bytes) -> dict[str, object]:
    """Return the properties of a Notice node."""
    return {
        "notice_id": notice.notice_id,
        "event_key": notice.event_key,
        "mission": notice.mission,
        "instrument": notice.instrument,
        "messenger": notice.messenger.value,
        "notice_type": notice.notice_type,
        "alert_type": notice.alert_type.value,
        "alert_tense": notice.alert_tense.value,
        "event_id": notice.event_id,
        "record_number": notice.record_number,
        "trigger_time": format_utc(notice.trigger_time) if notice.trigger_time else None,
        "alert_time": format_utc(notice.alert_time) if notice.alert_time else None,
        "body": body.decode(),
    }


def notice_row(notice: Notice, body: bytes) -> Row:
    """Return what `EventStore.write_notices` stores of a notice; ``body`` is its JSON form.

    Raises
    ------
    SkyMapError : the localization is no distribution on the sky.
    """
    place = localization_properties(notice.notice_id, notice.localization)
    return {"notice": notice_properties(notice, body), "localization": place}


def localization_properties(notice_id: str, place: Localization | None) -> dict[str, object] | None:
    """Return the properties of a Localization node."""
    if place is None:
        return None
    properties: dict[str, object] = {"localization_id": notice_id, "area_90_deg2": region_of(place).area_deg2(0.9)}
    if isinstance(place, SkyMap):
        return {**properties, "kind": "skymap"}
    properties |= {
        "ra_deg": place.ra_deg,
        "dec_deg": place.dec_deg,
        "containment_probability": place.containment_probability,
        "systematic_included": place.systematic_included,
    }
    if isinstance(place, Circle):
        return {**properties, "kind": "circle", "error_radius_deg": place.error_radius_deg}
    return {
        **properties,
        "kind": "ellipse",
        "error_radius_deg": place.semi_major_deg,
        "semi_minor_deg": place.semi_minor_deg,
        "position_angle_deg": place.position_angle_deg,
    }


def pair_properties(pair: Coincidence) -> dict[str, object]:
    """Return the properties of a COINCIDES_WITH relationship; ``digest`` tells two states of a pair apart."""
    properties: dict[str, object] = {
        "delta_t_s": pair.delta_t_s,
        "credible_level": pair.credible_level,
        "separation_deg": pair.separation_deg,
        "p_chance": pair.p_chance,
        "joint_far_hz": pair.joint_far_hz,
        "log_bayes_factor": pair.log_bayes_factor,
        "terms": terms_json(pair.terms),
        "state": pair.state.value,
        "revision": pair.revision,
    }
    canonical = orjson.dumps(properties, option=orjson.OPT_SORT_KEYS)
    return {**properties, "digest": hashlib.sha256(canonical).hexdigest()[:16]}


def stored_coincidence(key: tuple[str, str], stored: Mapping[str, Any]) -> Coincidence:
    """Return a stored pair as a value of the model."""
    survey, _, object_id = key[0].partition(":")
    names = ("delta_t_s", "credible_level", "p_chance", "joint_far_hz", "log_bayes_factor", "revision")
    return Coincidence(
        survey=Survey(survey),
        object_id=object_id,
        event_key=key[1],
        separation_deg=stored.get("separation_deg"),
        terms=tuple(Term(**term) for term in orjson.loads(stored["terms"])),
        state=CoincidenceState(stored["state"]),
        **{name: stored[name] for name in names},
    )


def _pairs(rows: Iterable[Row]) -> StoredPairs:
    return {(row["object_key"], row["event_key"]): row["properties"] for row in rows}


def terms_json(terms: Iterable[Any]) -> str:
    """Return the terms of a score as JSON text."""
    return orjson.dumps([{"name": t.name, "value": t.value, "inputs": dict(t.inputs)} for t in terms]).decode()


def _target_row(case: ScienceCase, target: Target) -> dict[str, object]:
    object_key = f"{target.survey.value}:{target.object_id}"
    return {
        "target_key": f"{case.value}/{object_key}/{target.event_key or '-'}",
        "object_key": object_key,
        "event_key": target.event_key,
        "ranks": {
            "rank": target.rank,
            "score": target.score,
            "terms": terms_json(target.terms),
            "p_chance": target.p_chance,
            "joint_far_hz": target.joint_far_hz,
            "top_class": target.top_class,
            "class_probability": target.class_probability,
            "latest_mag": target.latest_mag,
        },
    }
