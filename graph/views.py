"""What a reader of the graph gets back: one frozen value for each thing that is stored.

Field names are the graph's property names, see `graph.model` for their meaning and unit. Times of notices are aware
UTC datetimes; times of detections are ``*_mjd_tai`` [d]. Null in the graph is None here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from graph.model import AlertTense, CoincidenceState, EventPair, EventState, Messenger, ScienceCase, Survey, Term

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """Some items of a longer sequence, and where the rest begins."""

    items: tuple[ItemT, ...]
    next_cursor: str | None
    """Opaque; None when nothing follows."""


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object of one survey."""

    object_key: str
    survey: Survey
    object_id: str
    ra_deg: float
    dec_deg: float
    healpix29: int
    first_midpoint_mjd_tai: float
    last_midpoint_mjd_tai: float
    first_mag: float | None
    first_band: str | None
    last_limit_mjd_tai: float | None
    last_limit_mag: float | None
    last_limit_band: str | None
    latest_mag: float | None
    latest_band: str | None
    top_class: str | None
    class_probability: float | None


@dataclass(frozen=True, slots=True)
class DetectionView:
    """One difference-image measurement."""

    detection_key: str
    survey: Survey
    detection_id: int
    midpoint_mjd_tai: float
    band: str
    psf_flux_njy: float | None
    psf_flux_err_njy: float | None
    mag_ab: float | None
    ra_deg: float
    dec_deg: float
    reliability: float | None


@dataclass(frozen=True, slots=True)
class SameObjectView:
    """An object of another survey that is the same."""

    survey: Survey
    object_id: str
    separation_arcsec: float
    probability: float


@dataclass(frozen=True, slots=True)
class ClassificationView:
    """What one classifier said of an object."""

    class_name: str
    classifier: str
    version: str
    probability: float
    std: float | None
    n_points: int | None
    midpoint_mjd_tai: float | None
    out_of_distribution: bool | None = None
    """Whether the classifier was asked about something unlike what it knows; None in graphs of older versions."""


@dataclass(frozen=True, slots=True)
class MatchView:
    """A catalogue entry at an object's place."""

    source_key: str
    catalog: str
    name: str
    ra_deg: float
    dec_deg: float
    object_type: str | None
    separation_arcsec: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class LocalizationView:
    """Where an event is, without the sky map's bytes."""

    localization_id: str
    kind: str
    """``circle``, ``ellipse`` or ``skymap``."""
    ra_deg: float | None
    dec_deg: float | None
    error_radius_deg: float | None
    containment_probability: float | None
    area_90_deg2: float | None


@dataclass(frozen=True, slots=True)
class NoticeView:
    """One notice of an event, without its body."""

    notice_id: str
    mission: str
    instrument: str
    messenger: Messenger
    notice_type: str
    alert_type: str
    alert_tense: AlertTense
    event_id: str
    record_number: int | None
    trigger_time: datetime | None
    alert_time: datetime | None
    localization: LocalizationView | None


@dataclass(frozen=True, slots=True)
class EventView:
    """An event as of its latest revision, with the localization that stands."""

    event_key: str
    mission: str
    event_id: str
    event_names: tuple[str, ...]
    messenger: Messenger
    trigger_time: datetime | None
    state: EventState
    alert_tense: AlertTense
    revision: int
    far_hz: float | None
    p_astro: float | None
    classification: Mapping[str, float]
    is_astrophysical_burst: bool
    instrument: str | None
    """Of the newest notice."""
    notice_type: str | None
    """Of the newest notice."""
    n_notices: int
    n_open_coincidences: int
    localization: LocalizationView | None
    no_counterpart_probability: float | None = None
    """That none of the objects that coincide is its counterpart; None where that was never worked out."""


@dataclass(frozen=True, slots=True)
class EventDetailView:
    """An event with all its notices, oldest first."""

    event: EventView
    notices: tuple[NoticeView, ...]
    pairs: tuple[EventPair, ...] = ()
    """With other events, open ones first, then by evidence."""


@dataclass(frozen=True, slots=True)
class JointEventView:
    """Events that open pairs link, or two whose pair was withdrawn."""

    joint_event_id: str
    """A hash of the members' keys."""
    state: CoincidenceState
    trigger_time: datetime | None
    """Of the newest first event of a pair."""
    pairs: tuple[EventPair, ...]
    coincidences: tuple[tuple[str, str, float], ...] = ()
    """(object_key, event_key, log Bayes factor) of objects that coincide with several members; only where one joint
    event is asked for."""


@dataclass(frozen=True, slots=True)
class CoincidenceView:
    """An object-event pair as stored."""

    object_key: str
    event_key: str
    delta_t_s: float
    credible_level: float
    separation_deg: float | None
    p_chance: float
    joint_far_hz: float
    log_bayes_factor: float
    terms: tuple[Term, ...]
    state: CoincidenceState
    revision: int
    association_probability: float | None = None
    """That this object is the event's counterpart, given all other candidates; None for a withdrawn pair."""


@dataclass(frozen=True, slots=True)
class CandidateView:
    """An object that coincides with the event asked for."""

    coincidence: CoincidenceView
    object: ObjectView


@dataclass(frozen=True, slots=True)
class ObjectEventView:
    """An event that the object asked for coincides with."""

    coincidence: CoincidenceView
    event: EventView


@dataclass(frozen=True, slots=True)
class ListSummaryView:
    """One version of a follow-up list, without its targets."""

    list_key: str
    case: ScienceCase
    version: int
    list_id: str
    n_targets: int
    is_current: bool


@dataclass(frozen=True, slots=True)
class TargetView:
    """A ranked entry of a follow-up list, as it stood when the list was made."""

    rank: int
    target_key: str
    survey: Survey
    object_id: str
    ra_deg: float
    dec_deg: float
    score: float
    terms: tuple[Term, ...]
    p_chance: float | None
    joint_far_hz: float | None
    top_class: str | None
    class_probability: float | None
    latest_mag: float | None
    event_key: str | None
    event_state: EventState | None
    """State of that event now."""


@dataclass(frozen=True, slots=True)
class ListView:
    """A follow-up list with its first targets, best first."""

    summary: ListSummaryView
    targets: tuple[TargetView, ...]


@dataclass(frozen=True, slots=True)
class CoincidenceCounts:
    """Numbers of pairs in the graph."""

    open: int
    withdrawn: int
    joint_events: int
    """Event-event pairs of different messengers."""


@dataclass(frozen=True, slots=True)
class LedgerNight:
    """What became of one survey's alerts in one night, summed over all batches."""

    survey: Survey
    night: int
    """Date of the night as yyyymmdd, UTC; 0 for messages whose time could not be read."""
    received: int
    archived: int | None
    """None where no archive was on."""
    archive_mismatch: int
    """Alerts too few or too many in the archive, summed over those batches that an archive was on for."""
    filtered: Mapping[str, int]
    """Number for each reason."""
    classified: int
    """Alerts that the classifiers saw; 0 in batches written before this was counted."""
    loaded: int
    dead: int
    dead_reasons: Mapping[str, int]
    """Number for each reason; they sum to ``dead``."""
    duplicates: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Classifier -> alerts on which it was not heard, because it failed or took too long."""

    @property
    def balanced(self) -> bool:
        """Whether every alert received is in exactly one place, and every readable one in the archive that was on."""
        placed = self.loaded + self.duplicates + sum(self.filtered.values()) + sum(self.dead_reasons.values())
        return self.received == placed and self.archive_mismatch == 0


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far the alert stream is behind on one partition of a topic."""

    topic: str
    partition: int
    end_offset: int
    """Offset that the next message will get."""
    processed_until: int
    """Offset of the first message that the ledger does not count yet."""
    lag_alerts: int
    """Messages on the topic that the ledger does not count yet."""
    oldest_unprocessed_s: float | None
    """How long ago the oldest of them was put on the topic [s]; None when none waits or it was not read in time."""


@dataclass(frozen=True, slots=True)
class StreamLag:
    """How far the alert stream is behind."""

    partitions: tuple[PartitionLag, ...]

    @property
    def lag_alerts(self) -> int:
        """Return how many alerts wait."""
        return sum(one.lag_alerts for one in self.partitions)

    @property
    def oldest_unprocessed_s(self) -> float | None:
        """Return how long the oldest alert has waited [s], None when none waits."""
        return max(
            (one.oldest_unprocessed_s for one in self.partitions if one.oldest_unprocessed_s is not None), default=None
        )


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The answer to a query that somebody typed."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    """JSON-ready values: maps, lists, text, numbers, booleans and None."""
    truncated: bool
    """Whether there was more than the limit of rows."""
