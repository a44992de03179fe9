"""What the world is told of pairs of events, as JSON-ready bodies in the vocabulary of GCN.

A pair, once told, keeps its identity: each message says which one before it follows, and a withdrawal says why. As in
`coordinator.messages`, what is absent in the model is null and a GCN field that is not known is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from coordinator.messages import REFERENCE_TYPES, REPORTER, event_fields
from coordinator.windows import science_case_of
from graph import codec
from graph.model import AlertType, CoincidenceState, Event, EventPair, EventState
from graph.times import format_utc

if TYPE_CHECKING:
    from datetime import datetime

    from coordinator.chains import JointEvent
    from coordinator.messages import NoticeFacts


@dataclass(frozen=True, slots=True)
class PairAnnouncement:
    """A state of a pair of events that is to be told, with all that the telling needs."""

    pair: EventPair
    joint: JointEvent | None
    """The joint event that it is part of; None for a withdrawn pair."""
    events: tuple[tuple[Event, NoticeFacts], ...]
    """First and second event with what is known of their notices; one that is no longer known is left out."""
    number: int
    """Which message on this pair this is, from 1."""
    ivorn: str
    """Identity of this message."""
    previous_ivorn: str | None
    """Identity of the message that this one follows; None for the first."""

    @property
    def alert_type(self) -> AlertType:
        """Place of the message in the life of the pair."""
        if self.pair.state is CoincidenceState.WITHDRAWN:
            return AlertType.RETRACTION
        return AlertType.INITIAL if self.previous_ivorn is None else AlertType.UPDATE

    @property
    def data_time(self) -> datetime | None:
        """Time of the newest notice behind the message, UTC: the clock of the data."""
        return max((facts.newest_time for _, facts in self.events if facts.newest_time is not None), default=None)


def event_pair_ivorn(authority: str, pair: EventPair, number: int, digest: str) -> str:
    """Return the identity of a message on a pair of events; see `pair_ivorn`."""
    names = (quote(name, safe=":") for name in (pair.first_key, pair.second_key))
    return f"ivo://{authority}/heliograph#{'/'.join(names)}/{number}-{digest}"


def event_pair_body(pair: EventPair, joint: JointEvent | None) -> dict[str, object]:
    """Return what a message on a pair of events says of its state; two states are the same where this is.

    Parameters
    ----------
    joint : None for a withdrawn pair, which is part of none.
    """
    body = codec.to_json(pair) | {
        "revision": pair.revision,
        "mission": REPORTER,
        "id": f"{pair.first_key}/{pair.second_key}",
        "far": pair.joint_far_hz,
    }
    if joint is None:
        return body | {"joint_event": None}
    return body | {
        "joint_event": {
            "joint_event_id": joint.joint_event_id,
            "event_keys": list(joint.event_keys),
            "joint_far_hz": joint.joint_far_hz,
            "log_bayes_factor": joint.log_bayes_factor,
            "counterparts": [{"object_key": key, "log_bayes_factor": value} for key, value in joint.counterparts],
        }
    }


def event_pair(news: PairAnnouncement) -> dict[str, object]:
    """Return the message about a pair of events: its state, what it was computed from, and its place in the sequence.

    Notes
    -----
    GCN has one reference for each message; it is the first event. Both stand in ``events``.
    """
    mission, _, event_id = news.pair.first_key.partition(":")
    body = event_pair_body(news.pair, news.joint) | {
        "alert_type": news.alert_type.value,
        "record_number": news.number,
        "ivorn": news.ivorn,
        "ref_instrument": mission,
        "ref_ID": event_id,
        "events": [
            {
                "event_key": event.event_key,
                **event_fields(event),
                "event_revision": event.revision,
                "notice_ids": list(event.notice_ids),
                "localization_notice_id": event.localization_notice_id,
            }
            for event, _ in news.events
        ],
    }
    if news.alert_type is AlertType.RETRACTION:
        body["reason"] = pair_withdrawal_reason(news)
    first = next((event for event, _ in news.events if event.event_key == news.pair.first_key), None)
    optional = {
        "alert_tense": news.events[0][0].alert_tense.value if news.events else None,
        "alert_datetime": None if news.data_time is None else format_utc(news.data_time),
        "trigger_time": None if first is None or first.trigger_time is None else format_utc(first.trigger_time),
        "ref_type": None if first is None else REFERENCE_TYPES.get(science_case_of(first)),
        "previous_ivorn": news.previous_ivorn,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def pair_withdrawal_reason(news: PairAnnouncement) -> str:
    """Return in one sentence why a pair of events was withdrawn."""
    retracted = [event.event_key for event, _ in news.events if event.state is EventState.RETRACTED]
    if retracted:
        return f"Retracted: {' and '.join(retracted)}."
    if any(not event.is_astrophysical_burst for event, _ in news.events):
        return "One of the events is not an astrophysical burst."
    return "The newest revisions of the two events no longer speak for one source."
