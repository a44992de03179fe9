"""JSON Schemas of the published messages, as data; ``docs/schemas`` holds them as files.

A property that is not required is left out of a message where it is not known.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from coordinator.messages import JOINT_EVENT_SCHEMA, RETRACTION_SCHEMA
from graph import codec
from graph.model import (
    AlertTense,
    CoincidenceState,
    EventPair,
    EventState,
    FollowUpList,
    Messenger,
    ScienceCase,
    Survey,
)

Schema = dict[str, Any]
"""A JSON Schema, draft 2020-12."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""The language in which the schemas are written."""


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _time(description: str) -> Schema:
    return {"type": "string", "format": "date-time", "description": f"{description} [UTC, ISO 8601]."}


def _number(description: str, **bounds: float) -> Schema:
    return {"type": "number", "description": description, **bounds}


def _count(description: str) -> Schema:
    return {"type": "integer", "minimum": 1, "description": description}


def _one_of(values: list[str], description: str) -> Schema:
    return {"type": "string", "enum": values, "description": description}


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "description": description}


def _record(properties: Schema, description: str, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": sorted(set(properties) - set(optional)),
    }


def _probabilities(description: str) -> Schema:
    return {
        "type": "object",
        "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        "description": description,
    }


_PROBABILITY: Final = {"minimum": 0, "maximum": 1}

_TERM: Final = _record(
    {
        "name": _text("What the addend is about."),
        "value": _number("Natural logarithm of a ratio of densities."),
        "inputs": {
            "type": "object",
            "additionalProperties": {"type": ["number", "string", "null"]},
            "description": "What it was computed from, unit in the name.",
        },
    },
    "One addend of the evidence or of a score.",
)

_EVENT: Final = _record(
    {
        "mission": _text("Mission that announced the event."),
        "event_names": _list(_text("A name."), "Other names of the event."),
        "messenger": _one_of([m.value for m in Messenger], "What carried the signal."),
        "state": _one_of([s.value for s in EventState], "State after all notices so far."),
        "far_hz": _maybe(_number("The event's own false-alarm rate [Hz].")),
        "p_astro": _maybe(_number("Probability that the event is of astrophysical origin.", **_PROBABILITY)),
        "classification": _probabilities("Probability of each class that the mission names."),
    },
    "The event as it stands.",
)

_INPUTS: Final = _record(
    {
        "event_revision": _count("Revision of the event: number of notices that formed it."),
        "notice_ids": _list(_text("sha256 of the notice, first 32 hex digits."), "Notices that formed the event."),
        "localization_notice_id": _maybe(_text("The notice whose localization stands.")),
        "classifiers": _list(
            _record({"classifier": _text("Name."), "version": _text("Version.")}, "A classifier."),
            "Classifiers that spoke on the object.",
        ),
    },
    "Revisions of everything that the message was computed from.",
)

_POSITION: Final[Schema] = {
    "ra": _number("Right ascension of the object [deg, ICRS].", minimum=0, maximum=360),
    "dec": _number("Declination [deg, ICRS].", minimum=-90, maximum=90),
    "ra_dec_error": _number("Radius of the position's error circle [deg].", minimum=0),
    "containment_probability": _number("Probability that the circle holds the true position.", **_PROBABILITY),
}

_REPORT: Final[Schema] = {
    "alert_tense": _one_of([t.value for t in AlertTense], "Whether the event is about the sky as it is."),
    "mission": _text("Who reports."),
    "record_number": _count("Which message on this subject this is, from 1."),
    "id": _text("What the message is about; the same for all messages on it."),
}

_OBJECT_ID: Final = {
    "survey": _one_of([s.value for s in Survey], "Survey that found the object."),
    "object_id": _text("The survey's identifier of the object."),
}

_PAIR_HEAD: Final[Schema] = {
    **_REPORT,
    **_OBJECT_ID,
    "alert_datetime": _time("Time of the newest datum behind the message"),
    "instrument": _text("Survey whose detections are reported."),
    "messenger": _one_of([Messenger.EM.value], "What carried the reported signal."),
    "ivorn": _text("Identity of this message, also of its VOEvent."),
    "previous_ivorn": _text("Identity of the message that this one follows; left out in the first."),
    "ref_type": _text("Kind of the event: GRB, GW or neutrino."),
    "ref_instrument": _text("Mission that announced the event."),
    "ref_ID": _text("The mission's identifier of the event."),
    "trigger_time": _time("Time of the burst, merger or neutrino"),
    "event_key": _text("The event: mission:identifier."),
    "event": _EVENT,
    "inputs": _INPUTS,
    "revision": _count("Revision of the event that the pair was computed for."),
}
_PAIR_OPTIONAL: Final = ("alert_datetime", "previous_ivorn", "ref_type", "trigger_time")


_ASSOCIATION: Final[Schema] = {
    "association_probability": _number(
        "Probability that the object is the event's counterpart, given all candidates known then.", **_PROBABILITY
    ),
    "no_counterpart_probability": _number("Probability that none of the candidates is.", **_PROBABILITY),
    "counterpart_prior": _number("Probability, before any look, that one of them would be.", **_PROBABILITY),
}


def _message(name: str, title: str, properties: Schema, optional: tuple[str, ...]) -> Schema:
    record = _record({"$schema": {"const": name, "type": "string"}, **properties}, title, optional)
    return {"$schema": DIALECT, "$id": name, "title": title, **record}


JOINT_EVENT: Final = _message(
    JOINT_EVENT_SCHEMA,
    "A coincidence of an object and an event, whenever it changes",
    {
        **_PAIR_HEAD,
        **_POSITION,
        "alert_type": _one_of(["initial", "update", "retraction"], "Opened, changed or withdrawn."),
        "observation_start": _time("Middle of the exposure of the object's first detection"),
        "far": _number("Joint false-alarm rate: how often chance makes such a pair [Hz].", minimum=0),
        "p_astro": _number("Probability that the event is of astrophysical origin.", **_PROBABILITY),
        "classification": _probabilities("The object's class that entered the evidence."),
        "delta_t_s": _number(
            "First detection minus trigger [s]; for a known blazar in a flare its brightest detection instead."
        ),
        "credible_level": _number("Of the object's position on the event's localization.", **_PROBABILITY),
        "separation_deg": _maybe(_number("From the localization's centre [deg]; null for sky maps.", minimum=0)),
        "p_chance": _number("Probability of an unrelated new object at least as central.", **_PROBABILITY),
        "joint_far_hz": _number("The same as far [Hz].", minimum=0),
        "log_bayes_factor": _number("ln of signal over chance, the sum of the terms."),
        **_ASSOCIATION,
        "terms": _list(_TERM, "The evidence, addend by addend."),
        "state": _one_of([s.value for s in CoincidenceState], "State of the pair."),
    },
    (*_PAIR_OPTIONAL, *_POSITION, *_ASSOCIATION, "observation_start", "p_astro", "classification"),
)
"""Messages on ``heliograph.joint-events``."""

RETRACTION: Final = _message(
    RETRACTION_SCHEMA,
    "A coincidence that no longer holds",
    {
        **_PAIR_HEAD,
        "alert_type": {"type": "string", "const": "retraction", "description": "Withdrawn."},
        "reason": _text("Why, in one sentence."),
        "state": {"type": "string", "const": CoincidenceState.WITHDRAWN.value, "description": "State of the pair."},
    },
    _PAIR_OPTIONAL,
)
"""Messages on ``heliograph.retractions``."""

_TARGET: Final = _record(
    {
        **_POSITION,
        **_OBJECT_ID,
        "id": _text("The object: survey:identifier."),
        "rank": _count("Place on the list."),
        "ra_deg": _number("The same as ra [deg, ICRS].", minimum=0, maximum=360),
        "dec_deg": _number("The same as dec [deg, ICRS].", minimum=-90, maximum=90),
        "score": _number("Sum of the terms; larger is sooner."),
        "terms": _list(_TERM, "Why the target has its place, addend by addend."),
        "event_key": _maybe(_text("The event that it may belong to.")),
        "ref_instrument": _text("Mission that announced that event."),
        "ref_ID": _text("The mission's identifier of that event."),
        "top_class": _maybe(_text("Most probable class.")),
        "class_probability": _maybe(_number("Probability of that class.", **_PROBABILITY)),
        "classification": _probabilities("Both together."),
        "latest_mag": _maybe(_number("AB magnitude of the newest detection [mag].")),
        "first_midpoint_mjd_tai": _number("Middle of the exposure of the first detection [d, TAI]."),
        "p_chance": _maybe(_number("Of its coincidence, see joint events.", **_PROBABILITY)),
        "joint_far_hz": _maybe(_number("Joint false-alarm rate of its coincidence [Hz].", minimum=0)),
        "far": _number("The same as joint_far_hz [Hz].", minimum=0),
    },
    "A ranked entry.",
    ("ref_instrument", "ref_ID", "classification", "far"),
)

FOLLOW_UP_LIST: Final = _message(
    codec.SCHEMAS[FollowUpList],
    "A new version of a follow-up list",
    {
        **_REPORT,
        "alert_type": _one_of(["initial", "update"], "First version or a later one."),
        "case": _one_of([c.value for c in ScienceCase], "Purpose of the list."),
        "version": _count("Version; a new one supersedes."),
        "list_id": _text("sha256 of the targets, first 16 hex digits."),
        "targets": _list(_TARGET, "Best first."),
    },
    (),
)
"""Messages on the topics of the lists."""

_MEMBERSHIP: Final = _record(
    {
        "joint_event_id": _text("Identity: a hash of the members' keys."),
        "event_keys": _list(_text("mission:identifier."), "Its members."),
        "joint_far_hz": _number("Of its rarest pair [Hz].", minimum=0),
        "log_bayes_factor": _number("Sum of the evidence."),
        "counterparts": _list(
            _record(
                {"object_key": _text("survey:identifier."), "log_bayes_factor": _number("Sum over the members.")},
                "An object.",
            ),
            "Objects that coincide with several members.",
        ),
    },
    "The joint event that the pair is part of; null for a withdrawn pair.",
)

_MEMBER: Final = _record(
    {
        "event_key": _text("The event: mission:identifier."),
        **_EVENT["properties"],
        **{name: shape for name, shape in _INPUTS["properties"].items() if name != "classifiers"},
    },
    "An event of the pair as it stands, with the revision and the notices behind it.",
)

_EVENT_PAIR_OPTIONAL: Final = (
    "alert_tense",
    "alert_datetime",
    "previous_ivorn",
    "reason",
    "ref_type",
    "trigger_time",
)

EVENT_PAIR: Final = _message(
    codec.SCHEMAS[EventPair],
    "Two events that one source may have made, whenever it changes",
    {
        **_REPORT,
        "alert_type": _one_of(["initial", "update", "retraction"], "Opened, changed or withdrawn."),
        "alert_datetime": _time("Time of the newest notice behind the message"),
        "id": _text("The pair: first_key/second_key."),
        "ivorn": _text("Identity of this message, also of its VOEvent."),
        "previous_ivorn": _text("Identity of the message that this one follows; left out in the first."),
        "reason": _text("Why the pair was withdrawn, in one sentence."),
        "ref_type": _text("Kind of the first event: GRB, GW or neutrino."),
        "ref_instrument": _text("Mission that announced the first event."),
        "ref_ID": _text("That mission's identifier of the first event."),
        "trigger_time": _time("Time of the first event"),
        "events": _list(_MEMBER, "First and second event; one that is no longer known is left out."),
        "far": _number("The same as joint_far_hz [Hz].", minimum=0),
        "first_key": _text("First event, mission:identifier: gravitational wave, light, neutrino."),
        "second_key": _text("Second event."),
        "delta_t_s": _number("Second trigger minus first [s]."),
        "overlap": _maybe(_number("Overlap integral of the localizations; null where one has no place.", minimum=0)),
        "joint_far_hz": _number("How often chance makes such a pair [Hz].", minimum=0),
        "log_bayes_factor": _number("ln of one source over chance, the sum of the terms."),
        "terms": _list(_TERM, "The evidence, addend by addend."),
        "state": _one_of([s.value for s in CoincidenceState], "State of the pair."),
        "first_revision": _count("Revision of the first event that this was computed for."),
        "second_revision": _count("Of the second."),
        "revision": _count("Both together; a later state has a larger one."),
        "joint_event_id": _maybe(_text("The joint event that the pair is part of; null once withdrawn.")),
        "joint_event": _maybe(_MEMBERSHIP),
    },
    _EVENT_PAIR_OPTIONAL,
)
"""Messages of pairs of events, on ``heliograph.joint-events`` and ``heliograph.retractions``."""

SCHEMAS: Final[dict[str, Schema]] = {
    schema["$id"]: schema for schema in (JOINT_EVENT, RETRACTION, FOLLOW_UP_LIST, EVENT_PAIR)
}
"""Schema of each message by the value of its ``$schema``."""


def schema_files() -> dict[str, bytes]:
    """Return name and content of every file in ``docs/schemas`` that holds a JSON Schema."""
    return {
        f"{name.split('/')[1]}.schema.json": orjson.dumps(
            schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        )
        for name, schema in SCHEMAS.items()
    }
