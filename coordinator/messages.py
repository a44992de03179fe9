"""What the world is told, as JSON-ready bodies: joint events, retractions and follow-up lists.

Bodies carry the fields of `graph.model` and, beside them, GCN's names for the same: a reader of GCN notices finds
``alert_type``, ``ra``, ``far`` and ``ref_ID`` where it expects them. They are functions of their arguments and read no
clock, so that the same state gives the same bytes. A GCN field that is not known is left out; a field of the model that
is absent is null. The schemas are in `coordinator.message_schemas`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson

from coordinator.windows import science_case_of
from graph import codec
from graph.model import (
    AlertType,
    Coincidence,
    CoincidenceState,
    Event,
    EventState,
    FollowUpList,
    ScienceCase,
    Term,
)
from graph.times import format_utc, mjd_tai_to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from coordinator.posterior import Association
    from graph.model import Notice, Target

JOINT_EVENT_SCHEMA: Final = "heliograph/joint-event/1"
"""``$schema`` of the messages on ``heliograph.joint-events``."""

RETRACTION_SCHEMA: Final = "heliograph/retraction/1"
"""``$schema`` of the messages on ``heliograph.retractions``."""

REPORTER: Final = "Heliograph"
"""Who reports, GCN's ``mission``."""

POSITION_ERROR_DEG: Final = 0.3 / 3600.0 * math.sqrt(-2.0 * math.log(0.1))
"""Radius that holds an object's true position with `POSITION_CONTAINMENT` [deg].

From 0.3 arcsec on each axis, ZTF's scatter near its detection limit (doi:10.1088/1538-3873/aae8ac); LSST's is smaller.
"""

POSITION_CONTAINMENT: Final = 0.9
"""Probability that goes with `POSITION_ERROR_DEG`; GCN's default, stated all the same."""

REFERENCE_TYPES: Final[Mapping[ScienceCase, str]] = {
    ScienceCase.GRB: "GRB",
    ScienceCase.GW: "GW",
    ScienceCase.NEUTRINO: "neutrino",
}
"""GCN's ``ref_type`` of an event by its science case; other events have none."""

_IVORN: Final = re.compile(r"ivo://[A-Za-z0-9][!#-;=?-\[\]_a-z~]{2,250}")
"""An IVORN that may be cited: printable, without what an XML or URI reader stumbles over, of bounded length."""


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """What messages say of the notices behind an event, beside the event itself."""

    ivorn: str | None
    """IVORN of the notice whose localization stands, else of the newest that has one; None for notices in JSON."""
    newest_time: datetime | None
    """When the newest notice was made, UTC."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What messages say of an object, as the graph has it."""

    ra_deg: float
    """Right ascension of the newest detection [deg, ICRS]."""
    dec_deg: float
    first_midpoint_mjd_tai: float
    """Middle of the exposure of the first detection [d, TAI]."""
    classifiers: tuple[tuple[str, str], ...]
    """(classifier, version) of every classifier that spoke, sorted."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A state of a pair that is to be told, with all that the telling needs."""

    pair: Coincidence
    event: Event
    notices: NoticeFacts
    found: ObjectFacts | None
    """None when the graph has no position of the object."""
    number: int
    """Which message on this pair this is, from 1."""
    ivorn: str
    """Identity of this message."""
    previous_ivorn: str | None
    """Identity of the message that this one follows; None for the first."""
    association: Association | None = None
    """What all candidates of the event are worth together, None where that was not worked out."""

    @property
    def association_probability(self) -> float | None:
        """Probability that the object is the event's counterpart [1]; None for a withdrawn pair."""
        return None if self.association is None else self.association.probability(self.pair)

    @property
    def alert_type(self) -> AlertType:
        """Place of the message in the life of the pair."""
        if self.pair.state is CoincidenceState.WITHDRAWN:
            return AlertType.RETRACTION
        return AlertType.INITIAL if self.previous_ivorn is None else AlertType.UPDATE

    @property
    def first_seen(self) -> datetime | None:
        """Time of the object's first detection, UTC."""
        return None if self.found is None else mjd_tai_to_datetime(self.found.first_midpoint_mjd_tai)

    @property
    def data_time(self) -> datetime | None:
        """Time of the newest datum behind the message, UTC: the clock of the data."""
        return max((t for t in (self.notices.newest_time, self.first_seen) if t is not None), default=None)


def pair_ivorn(authority: str, pair: Coincidence, number: int, digest: str) -> str:
    """Return the identity of a message on a pair: the same for the same state in the same place of the sequence.

    Parameters
    ----------
    authority : authority part of our IVORNs.
    number : which message on this pair it is, from 1.
    digest : of the pair's state.
    """
    names = (pair.event_key, f"{pair.survey.value}:{pair.object_id}")
    return f"ivo://{authority}/heliograph#{'/'.join(quote(name, safe=':') for name in names)}/{number}-{digest}"


def notice_facts(notices: Iterable[Notice], localization_notice_id: str | None = None) -> NoticeFacts:
    """Return what messages say of the notices of one event.

    Parameters
    ----------
    localization_notice_id : of the notice whose localization stands; its IVORN is preferred.
    """
    told = list(notices)
    cited = [
        (notice.notice_id == localization_notice_id, notice.alert_time is not None, notice.alert_time, ivorn)
        for notice in told
        if isinstance(ivorn := notice.extra.get("ivorn"), str) and _IVORN.fullmatch(ivorn)
    ]
    best = max(
        cited, key=lambda entry: (entry[0], entry[1], format_utc(entry[2]) if entry[2] else "", entry[3]), default=None
    )
    times = [notice.alert_time for notice in told if notice.alert_time is not None]
    return NoticeFacts(None if best is None else best[3], max(times, default=None))


def joint_event(news: Announcement) -> dict[str, object]:
    """Return the message on ``heliograph.joint-events``: the pair, its evidence and what it was computed from."""
    pair, event = news.pair, news.event
    body = {**_pair_fields(pair), **_head(news), "$schema": JOINT_EVENT_SCHEMA, "far": pair.joint_far_hz}
    if event.p_astro is not None:
        body["p_astro"] = event.p_astro
    if news.association is not None:
        body["no_counterpart_probability"] = news.association.no_counterpart_probability
        body["counterpart_prior"] = news.association.counterpart_prior
    if news.association_probability is not None:
        body["association_probability"] = news.association_probability
    if news.found is not None:
        body |= _position(news.found.ra_deg, news.found.dec_deg)
    if news.first_seen is not None:
        body["observation_start"] = format_utc(news.first_seen)
    kind = class_of(pair.terms)
    if kind is not None:
        body["classification"] = kind
    return body


def retraction(news: Announcement) -> dict[str, object]:
    """Return the message on ``heliograph.retractions``: what no longer holds, and why."""
    pair = news.pair
    body = _head(news)
    body |= {"$schema": RETRACTION_SCHEMA, "reason": withdrawal_reason(news.event)}
    return body | {
        "survey": pair.survey.value,
        "object_id": pair.object_id,
        "event_key": pair.event_key,
        "state": pair.state.value,
        "revision": pair.revision,
    }


def follow_up_list(follow_up: FollowUpList) -> dict[str, object]:
    """Return the message on the topic of a list: the list as the model has it, with GCN's names beside."""
    body = codec.to_json(follow_up)
    body |= {
        "alert_type": (AlertType.INITIAL if follow_up.version == 1 else AlertType.UPDATE).value,
        "alert_tense": "current",
        "mission": REPORTER,
        "record_number": follow_up.version,
        "id": follow_up.case.value,
    }
    return body | {"targets": [_target(target) for target in follow_up.targets]}


def to_bytes(body: Mapping[str, object]) -> bytes:
    """Return a message as UTF-8 JSON with sorted keys."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def withdrawal_reason(event: Event) -> str:
    """Return in one sentence why pairs with an event were withdrawn."""
    if event.state is EventState.RETRACTED:
        return "The event was retracted."
    if not event.is_astrophysical_burst:
        return "The event is not an astrophysical burst."
    return "The object no longer lies in the time window and the credible region of the event."


def class_of(terms: Iterable[Term]) -> dict[str, float] | None:
    """Return the classification that entered the evidence; None where no classifier spoke."""
    for term in terms:
        name, probability = term.inputs.get("top_class"), term.inputs.get("class_probability")
        if isinstance(name, str) and isinstance(probability, int | float):
            return {name: float(probability)}
    return None


def _head(news: Announcement) -> dict[str, object]:
    """Return what the messages on a pair share, in GCN's words."""
    pair, event = news.pair, news.event
    head: dict[str, object] = {
        "alert_type": news.alert_type.value,
        "alert_tense": event.alert_tense.value,
        "mission": REPORTER,
        "instrument": pair.survey.value.upper(),
        "messenger": "EM",
        "record_number": news.number,
        "id": f"{pair.event_key}/{pair.survey.value}:{pair.object_id}",
        "ivorn": news.ivorn,
        "ref_instrument": event.mission,
        "ref_ID": event.event_id,
        "event": event_fields(event),
        "inputs": {
            "event_revision": event.revision,
            "notice_ids": list(event.notice_ids),
            "localization_notice_id": event.localization_notice_id,
            "classifiers": [
                {"classifier": name, "version": version}
                for name, version in (() if news.found is None else news.found.classifiers)
            ],
        },
    }
    optional = {
        "alert_datetime": None if news.data_time is None else format_utc(news.data_time),
        "trigger_time": None if event.trigger_time is None else format_utc(event.trigger_time),
        "ref_type": REFERENCE_TYPES.get(science_case_of(event)),
        "previous_ivorn": news.previous_ivorn,
    }
    return head | {name: value for name, value in optional.items() if value is not None}


def event_fields(event: Event) -> dict[str, object]:
    """Return the event as it stands, without its localization, which may have a megabyte."""
    return {
        "mission": event.mission,
        "event_names": list(event.event_names),
        "messenger": event.messenger.value,
        "state": event.state.value,
        "far_hz": event.far_hz,
        "p_astro": event.p_astro,
        "classification": dict(event.classification),
    }


def _pair_fields(pair: Coincidence) -> dict[str, object]:
    """Return the fields of a pair as the model names them."""
    body = codec.to_json(pair)
    del body["$schema"]
    return body


def _position(ra_deg: float, dec_deg: float) -> dict[str, object]:
    """Return a position in GCN's words."""
    return {
        "ra": ra_deg,
        "dec": dec_deg,
        "ra_dec_error": POSITION_ERROR_DEG,
        "containment_probability": POSITION_CONTAINMENT,
    }


def _target(target: Target) -> dict[str, object]:
    """Return an entry of a list."""
    body = codec.to_json(target)
    del body["$schema"]
    body |= {"id": f"{target.survey.value}:{target.object_id}", **_position(target.ra_deg, target.dec_deg)}
    if target.joint_far_hz is not None:
        body["far"] = target.joint_far_hz
    if target.event_key is not None:
        mission, _, event_id = target.event_key.partition(":")
        body |= {"ref_instrument": mission, "ref_ID": event_id}
    if target.top_class is not None and target.class_probability is not None:
        body["classification"] = {target.top_class: target.class_probability}
    return body
