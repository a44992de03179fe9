"""What a set of notices says about its event: a pure function of the set, whatever the order of arrival.

Notices are ordered by (alert_time, record_number, notice_id); a notice without a time comes first. Values that later
notices may revise are the last stated; a localization is the best stage reached, then the last; a retraction holds
until a later notice that is none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from graph.model import AlertTense, AlertType, Event, EventState, Messenger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from graph.model import Notice

ValueT = TypeVar("ValueT")

TENSE_ORDER: Final = (
    AlertTense.CURRENT,
    AlertTense.ARCHIVAL,
    AlertTense.INJECTION,
    AlertTense.TEST,
    AlertTense.COMMANDED,
    AlertTense.PLANNED,
)
"""The event takes the first of these tenses that any of its notices has, and only notices of that tense form it."""

LOCALIZATION_STAGES: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "fermi": (
        ("LAT", 4),
        ("FIN_POS", 3),
        ("FINAL_POSITION", 3),
        ("GND_POS", 2),
        ("GROUND_POSITION", 2),
        ("FLT_POS", 1),
        ("FLIGHT_POSITION", 1),
    ),
    "swift": (("UVOT", 3), ("XRT", 2), ("BAT", 1)),
    "svom": (("VT", 4), ("MXT", 3), ("ECLAIRS", 2), ("SLEWING", 2), ("GRM", 1)),
    "integral": (("OFFLINE", 4), ("REFINED", 3), ("WAKEUP", 2), ("WEAK", 1)),
}
"""Stage of a localization by mission: the first part that a notice's type or instrument contains.

A later stage is a better analysis of the same burst, so a delayed notice of an earlier stage does not replace it;
a Fermi flight position may come a day after the final one. Missions that are not named count their notices: the last
localization stands.
"""

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
_AFTER_ALL: Final = datetime.max.replace(tzinfo=UTC)


def event_from_notices(notices: Sequence[Notice]) -> Event:
    """Return the event that a set of notices describes.

    Parameters
    ----------
    notices : at least one, all of one ``event_key``, in any order; repeated notice_ids count once.

    Raises
    ------
    ValueError : there is no notice, or they are of different events.
    """
    if len({notice.event_key for notice in notices}) != 1:
        raise ValueError("an event is formed by one or more notices of one event_key")
    distinct = {notice.notice_id: notice for notice in sorted(notices, key=notice_order, reverse=True)}
    tense = min((notice.alert_tense for notice in distinct.values()), key=TENSE_ORDER.index)
    ordered = sorted((n for n in distinct.values() if n.alert_tense is tense), key=notice_order)
    last = ordered[-1]
    located = _standing_localization(ordered)
    return Event(
        event_key=last.event_key,
        mission=last.mission,
        event_id=last.event_id,
        event_names=tuple(dict.fromkeys(name for notice in ordered for name in notice.event_names)),
        messenger=last.messenger,
        trigger_time=_trigger_time(ordered),
        state=_state(ordered),
        alert_tense=tense,
        revision=len(ordered),
        notice_ids=tuple(notice.notice_id for notice in ordered),
        localization=None if located is None else located.localization,
        localization_notice_id=None if located is None else located.notice_id,
        far_hz=_latest(ordered, lambda notice: notice.far_hz),
        p_astro=_latest(ordered, lambda notice: notice.p_astro),
        classification=_latest(ordered, lambda notice: notice.classification or None) or {},
        is_astrophysical_burst=_is_astrophysical_burst(ordered),
    )


def notice_order(notice: Notice) -> tuple[datetime, int, str]:
    """Return the sort key of a notice within its event."""
    record = -1 if notice.record_number is None else notice.record_number
    return (notice.alert_time or _BEFORE_ALL, record, notice.notice_id)


def localization_stage(notice: Notice) -> int:
    """Return how far the analysis behind a notice's localization is, 0 where the mission has no stages."""
    text = f"{notice.notice_type} {notice.instrument}".upper().replace("-", "_")
    stages = LOCALIZATION_STAGES.get(notice.mission.casefold(), ())
    return next((stage for part, stage in stages if part in text), 0)


def _latest(ordered: Sequence[Notice], value_of: Callable[[Notice], ValueT | None]) -> ValueT | None:
    """Return the last value stated; a retraction, which often repeats nothing, states none if others did."""
    stated = [(notice, value_of(notice)) for notice in ordered if value_of(notice) is not None]
    stated.sort(key=lambda pair: pair[0].alert_type is not AlertType.RETRACTION)
    return stated[-1][1] if stated else None


def _trigger_time(ordered: Sequence[Notice]) -> datetime | None:
    """Return the last trigger time stated, for light by the instrument that spoke first.

    An XRT or UVOT notice carries the start of its own observation, a minute or more after the burst that BAT saw.
    """
    timed = [notice for notice in ordered if notice.trigger_time is not None]
    if timed and timed[0].messenger is Messenger.EM:
        timed = [notice for notice in timed if notice.instrument == timed[0].instrument]
    return _latest(timed, lambda notice: notice.trigger_time)


def _standing_localization(ordered: Sequence[Notice]) -> Notice | None:
    """Return the notice whose localization stands: the best stage, then the last; a retraction's only if alone."""
    located = [notice for notice in ordered if notice.localization is not None]
    return max(
        enumerate(located),
        key=lambda pair: (pair[1].alert_type is not AlertType.RETRACTION, localization_stage(pair[1]), pair[0]),
        default=(0, None),
    )[1]


def _state(ordered: Sequence[Notice]) -> EventState:
    """Return retracted unless a notice that is no retraction was made after the last one that is."""
    retractions = [notice.alert_time or _AFTER_ALL for notice in ordered if notice.alert_type is AlertType.RETRACTION]
    if not retractions:
        return EventState.ACTIVE
    others = (notice.alert_time for notice in ordered if notice.alert_type is not AlertType.RETRACTION)
    revived = any(time is not None and time > max(retractions) for time in others)
    return EventState.ACTIVE if revived else EventState.RETRACTED


def _is_astrophysical_burst(ordered: Sequence[Notice]) -> bool:
    """Return the last statement on whether this is the mission's target.

    A notice states it when it says no, when it classifies, or when it is of a type that said no for this event;
    the others, such as Fermi's ground and final positions, carry the default only.
    """
    deniers = {notice.notice_type for notice in ordered if not notice.is_astrophysical_burst}
    statements = [
        notice.is_astrophysical_burst for notice in ordered if notice.classification or notice.notice_type in deniers
    ]
    return statements[-1] if statements else True
