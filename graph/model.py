"""The common language: what every part means by a notice, an event, a coincidence or a target.

Frozen values, no I/O. A field's name is the same here, as Spark column, as Neo4j property and as JSON key;
its unit is in the suffix. Times of notices are aware UTC datetimes, times of detections are ``*_mjd_tai`` [d].
Positions are ICRS [deg]. Detections and their light curves travel in columns, not as objects: see
``ingest.alerts.columns`` for their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from graph.sky import SkyMap


class Survey(StrEnum):
    """A source of alerts."""

    ZTF = "ztf"
    LSST = "lsst"


class Messenger(StrEnum):
    """What carried the signal; spelling of GCN's core schema."""

    EM = "EM"
    GW = "GW"
    NEUTRINO = "Neutrino"


class AlertType(StrEnum):
    """Place of a notice in the life of its event; GCN core schema ``alert_type``."""

    INITIAL = "initial"
    SUBSEQUENT = "subsequent"
    UPDATE = "update"
    RETRACTION = "retraction"


class AlertTense(StrEnum):
    """Whether a notice is about the sky; GCN core schema ``alert_tense``."""

    CURRENT = "current"
    ARCHIVAL = "archival"
    PLANNED = "planned"
    INJECTION = "injection"
    COMMANDED = "commanded"
    TEST = "test"


class EventState(StrEnum):
    """State of an event after all notices so far."""

    ACTIVE = "active"
    RETRACTED = "retracted"


class CoincidenceState(StrEnum):
    """State of an object-event pair; nothing is deleted, a withdrawn pair stays readable."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"


class ScienceCase(StrEnum):
    """The purpose of a follow-up list; one list for each."""

    GRB = "grb"
    GW = "gw"
    NEUTRINO = "neutrino"
    SUPERNOVA = "supernova"
    UNKNOWN = "unknown"


DEFAULT_CONTAINMENT_PROBABILITY = 0.9
"""Containment of an error region that does not state one; GCN core Localization schema v6."""


@dataclass(frozen=True, slots=True)
class SystematicError:
    """A mixture of Gaussian blurs to be added to a stated circle, e.g. Fermi GBM's core and tail."""

    sigma_deg: tuple[float, ...]
    """Standard deviation of each Gaussian [deg]."""
    weight: tuple[float, ...]
    """Share of each; they sum to 1."""


@dataclass(frozen=True, slots=True)
class Circle:
    """A position with a radial error."""

    ra_deg: float
    dec_deg: float
    error_radius_deg: float
    """Radius as stated by the mission [deg]."""
    containment_probability: float = DEFAULT_CONTAINMENT_PROBABILITY
    """Probability that the source lies within the stated radius, before ``systematic``."""
    systematic_included: bool = False
    systematic: SystematicError | None = None
    """What the coordinator adds in quadrature when the stated radius is statistical only."""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A position with an elliptical error."""

    ra_deg: float
    dec_deg: float
    semi_major_deg: float
    semi_minor_deg: float
    position_angle_deg: float
    """Angle of the major axis from north through east [deg]."""
    containment_probability: float = DEFAULT_CONTAINMENT_PROBABILITY
    systematic_included: bool = False


Localization = Circle | Ellipse | SkyMap
"""Where an event is. None stands for a notice that gives a time only."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One immutable machine message on an event, in one vocabulary for all missions."""

    notice_id: str
    """Unique: the sha256 of the bytes as received, first 32 hex digits. IVORNs of re-sent packets differ."""
    mission: str
    """``Fermi``, ``Swift``, ``SVOM``, ``IceCube``, ``KM3NeT``, ``LVK``, ...; GCN's spelling."""
    instrument: str
    messenger: Messenger
    notice_type: str
    """The mission's own name, e.g. ``FERMI_GBM_FLT_POS``; the last part of its GCN classic topic where it has one."""
    alert_type: AlertType
    alert_tense: AlertTense
    event_id: str
    """The mission's own identifier, e.g. ``611989445``, ``S230518h``, ``sb26022501``."""
    event_names: tuple[str, ...]
    """Other names, e.g. ``bn200524211``; exact, for aliases."""
    record_number: int | None
    """Sequence of the notice for its event, as the mission counts."""
    trigger_time: datetime | None
    """Time of the burst, merger or neutrino, UTC."""
    alert_time: datetime | None
    """Time when the notice was made, UTC."""
    localization: Localization | None
    far_hz: float | None = None
    """False-alarm rate of the trigger [Hz]; converted from yr^-1 where the mission uses that."""
    p_astro: float | None = None
    """Probability of astrophysical origin; IceCube's signalness."""
    classification: Mapping[str, float] = field(default_factory=dict)
    """Probability for each class the mission names, e.g. ``{"BNS": 1.0}`` or ``{"GRB": 0.96}``."""
    is_astrophysical_burst: bool = True
    """False when the mission itself says that this is not its target: a known source, a particle event, noise."""
    healpix_url: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields of the wire format that have no name here, kept as JSON-ready values."""

    @property
    def event_key(self) -> str:
        """Identity of the event across all missions: ``mission:event_id``."""
        return f"{self.mission}:{self.event_id}"


@dataclass(frozen=True, slots=True)
class Event:
    """The astrophysical occurrence that notices describe, as of one revision."""

    event_key: str
    mission: str
    event_id: str
    event_names: tuple[str, ...]
    messenger: Messenger
    trigger_time: datetime | None
    state: EventState
    alert_tense: AlertTense
    revision: int
    """Number of distinct notices that formed this state."""
    notice_ids: tuple[str, ...]
    """In the order of (alert_time, record_number, notice_id), which does not depend on arrival."""
    localization: Localization | None
    localization_notice_id: str | None
    """The notice whose localization stands."""
    far_hz: float | None = None
    p_astro: float | None = None
    classification: Mapping[str, float] = field(default_factory=dict)
    is_astrophysical_burst: bool = True


@dataclass(frozen=True, slots=True)
class Term:
    """One addend of a score, with what it was computed from."""

    name: str
    value: float
    """Natural logarithm of a ratio of densities; addends sum to the score."""
    inputs: Mapping[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Coincidence:
    """An object inside an event's localization, new or in a flare inside its time window."""

    survey: Survey
    object_id: str
    event_key: str
    delta_t_s: float
    """First detection minus trigger [s]; of a known blazar in a flare, its brightest detection minus trigger."""
    credible_level: float
    """Of the object's position on the event's localization; 0 is the most probable place."""
    separation_deg: float | None
    """From the localization's centre [deg]; None for sky maps."""
    p_chance: float
    """Probability of at least one unrelated object of its kind, new or in a flare, as central in the whole window."""
    joint_far_hz: float
    """Rate of such chance pairs [Hz]."""
    log_bayes_factor: float
    """ln of (signal / chance), the sum of ``terms``."""
    terms: tuple[Term, ...]
    state: CoincidenceState
    revision: int
    """Revision of the event that this was computed for."""


@dataclass(frozen=True, slots=True)
class EventPair:
    """Two events that one source may have made: of two messengers, or one burst seen by two missions."""

    first_key: str
    """The event that comes first by messenger (gravitational wave, light, neutrino), then by key."""
    second_key: str
    delta_t_s: float
    """Second trigger minus first [s]."""
    overlap: float | None
    """Overlap integral of the two localizations, 1 for unrelated ones on average; None where one has no place."""
    joint_far_hz: float
    """Rate of chance pairs like this one [Hz]."""
    log_bayes_factor: float
    """ln of (one source / chance), the sum of ``terms``."""
    terms: tuple[Term, ...]
    state: CoincidenceState
    first_revision: int
    """Revision of the first event that this was computed for."""
    second_revision: int
    joint_event_id: str | None
    """The joint event that this pair is part of: a hash of its members' keys; None once withdrawn."""

    @property
    def revision(self) -> int:
        """Number of notices that formed both events; a later state of a pair has a larger one."""
        return self.first_revision + self.second_revision


@dataclass(frozen=True, slots=True)
class Target:
    """A ranked entry of a follow-up list."""

    rank: int
    survey: Survey
    object_id: str
    ra_deg: float
    dec_deg: float
    score: float
    """Sum of ``terms``; larger is sooner."""
    terms: tuple[Term, ...]
    event_key: str | None
    """The event that it may belong to, None for lists without one."""
    top_class: str | None
    class_probability: float | None
    latest_mag: float | None
    """AB magnitude of the newest detection; None while its difference flux is negative."""
    first_midpoint_mjd_tai: float
    p_chance: float | None
    joint_far_hz: float | None


@dataclass(frozen=True, slots=True)
class FollowUpList:
    """Ordered, immutable, versioned targets of one science case; a new version supersedes."""

    case: ScienceCase
    version: int
    list_id: str
    """sha256 of the targets, first 16 hex digits: the same content is the same list."""
    targets: tuple[Target, ...]
