"""Events, their notices and what coincides with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from api.schemas.common import MjdOfUtcOrNone, ResponseModel, TermResponse
from api.schemas.joint_events import EventPairResponse
from api.schemas.objects import ObjectResponse
from graph.model import AlertTense, CoincidenceState, EventState, Messenger

EXAMPLE_TIME = "2020-05-24T05:03:35.700000Z"
"""Trigger of GRB 200524A: a real burst with a real counterpart, ZTF20abbiixp."""


class LocalizationResponse(ResponseModel):
    """Where an event is."""

    localization_id: str = Field(description="The notice that gave it.")
    kind: str = Field(description="`circle`, `ellipse` or `skymap`.", examples=["circle"])
    ra_deg: float | None = Field(description="Right ascension of the centre [deg], ICRS.", examples=[212.86])
    dec_deg: float | None = Field(description="Declination of the centre [deg], ICRS.", examples=[61.44])
    error_radius_deg: float | None = Field(description="Radius as stated [deg].", examples=[1.4])
    containment_probability: float | None = Field(
        description="Probability that the source lies within that radius.", examples=[0.68]
    )
    area_90_deg2: float | None = Field(
        description="Area of the smallest region that holds 90 % of the probability [deg^2].", examples=[45.2]
    )


class EventResponse(ResponseModel):
    """The astrophysical occurrence that notices describe."""

    event_key: str = Field(description="`mission:event_id`.", examples=["Fermi:611989445"])
    mission: str = Field(description="Who saw it.", examples=["Fermi"])
    instrument: str | None = Field(description="Instrument of the newest notice.", examples=["GBM"])
    notice_type: str | None = Field(description="The mission's name for the newest notice.")
    event_id: str = Field(description="The mission's own identifier.", examples=["611989445"])
    event_names: tuple[str, ...] = Field(description="Other names.", examples=[["bn200524211"]])
    messenger: Messenger = Field(description="What carried the signal.", examples=["EM"])
    trigger_time: datetime | None = Field(
        description="Time of the burst, merger or neutrino, UTC.", examples=[EXAMPLE_TIME]
    )
    trigger_mjd_tai: MjdOfUtcOrNone = Field(
        validation_alias="trigger_time", description="The same, MJD [d, TAI].", examples=[58993.21125]
    )
    state: EventState = Field(description="`active`, or `retracted` by its mission.", examples=["active"])
    alert_tense: AlertTense = Field(description="Whether it is about the sky or a test.", examples=["current"])
    revision: int = Field(description="Number of distinct notices that formed this state.", examples=[3])
    far_hz: float | None = Field(description="False-alarm rate of the trigger [Hz].", examples=[1.2e-9])
    p_astro: float | None = Field(description="Probability of astrophysical origin.", examples=[0.98])
    classification: Mapping[str, float] = Field(description="Probability of each class that the mission names.")
    is_astrophysical_burst: bool = Field(description="False when the mission says that it is not its target.")
    n_notices: int = Field(description="Notices in the graph.", examples=[3])
    n_open_coincidences: int = Field(description="Objects that coincide and are not withdrawn.", examples=[2])
    no_counterpart_probability: float | None = Field(
        description="Probability that none of them is the counterpart; with the `association_probability` of each "
        "it sums to 1. Null where it was never worked out.",
        examples=[0.62],
    )
    localization: LocalizationResponse | None = Field(description="Where it is; null if only its time is known.")


class EventsResponse(ResponseModel):
    """A page of events."""

    items: tuple[EventResponse, ...] = Field(description="Newest trigger first; those without a time come last.")
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last page.")


class NoticeResponse(ResponseModel):
    """One machine message on an event."""

    notice_id: str = Field(description="First 32 hex digits of the sha256 of the bytes as received.")
    mission: str = Field(description="Who sent it.", examples=["Fermi"])
    instrument: str = Field(description="The instrument.", examples=["GBM"])
    messenger: Messenger = Field(description="What carried the signal.", examples=["EM"])
    notice_type: str = Field(description="The mission's name for it.", examples=["FERMI_GBM_FLT_POS"])
    alert_type: str = Field(description="`initial`, `subsequent`, `update` or `retraction`.", examples=["initial"])
    alert_tense: AlertTense = Field(description="Whether it is about the sky or a test.", examples=["current"])
    event_id: str = Field(description="The mission's own identifier.", examples=["611989445"])
    record_number: int | None = Field(description="Its number, as the mission counts.", examples=[1])
    trigger_time: datetime | None = Field(description="Time of the trigger, UTC.", examples=[EXAMPLE_TIME])
    trigger_mjd_tai: MjdOfUtcOrNone = Field(validation_alias="trigger_time", description="The same, MJD [d, TAI].")
    alert_time: datetime | None = Field(description="Time when it was made, UTC.", examples=[EXAMPLE_TIME])
    localization: LocalizationResponse | None = Field(description="Where it says the event is.")


class EventDetailResponse(ResponseModel):
    """An event with all its notices."""

    event: EventResponse = Field(description="As of its latest revision.")
    notices: tuple[NoticeResponse, ...] = Field(description="Oldest first.")
    pairs: tuple[EventPairResponse, ...] = Field(
        description="With other events that the same source may have made; open ones first, then by evidence."
    )


class CoincidenceResponse(ResponseModel):
    """Why an object and an event may belong together."""

    delta_t_s: float = Field(
        description="First detection minus trigger [s]; for a known blazar in a flare its brightest detection instead.",
        examples=[88992.0],
    )
    credible_level: float = Field(
        description="Probability within the smallest region that reaches the object; 0 is the most probable place.",
        examples=[0.31],
    )
    separation_deg: float | None = Field(
        description="Angle from the localization's centre [deg]; null for sky maps.", examples=[0.6]
    )
    p_chance: float = Field(
        description="Probability of an unrelated new object as central as this one in the whole window.",
        examples=[0.02],
    )
    joint_far_hz: float = Field(description="Rate of such chance pairs [Hz].", examples=[3.1e-8])
    log_bayes_factor: float = Field(description="ln of signal over chance, the sum of `terms`.", examples=[5.4])
    terms: tuple[TermResponse, ...] = Field(description="The addends.")
    association_probability: float | None = Field(
        description="Probability that this object is the event's counterpart, given all its other candidates and that "
        "there may be none; null for a withdrawn pair.",
        examples=[0.35],
    )
    state: CoincidenceState = Field(description="`open`, or `withdrawn` after a retraction.", examples=["open"])
    revision: int = Field(description="Revision of the event that it was computed for.", examples=[3])


class CandidateResponse(ResponseModel):
    """An object that coincides with the event."""

    coincidence: CoincidenceResponse = Field(description="Why.")
    object: ObjectResponse = Field(description="The object.")


class CandidatesResponse(ResponseModel):
    """Objects that coincide with an event."""

    items: tuple[CandidateResponse, ...] = Field(description="Open ones first, then by evidence.")


class ObjectEventResponse(ResponseModel):
    """An event that the object coincides with."""

    coincidence: CoincidenceResponse = Field(description="Why.")
    event: EventResponse = Field(description="The event.")


class ObjectEventsResponse(ResponseModel):
    """Events that an object coincides with."""

    items: tuple[ObjectEventResponse, ...] = Field(description="Open ones first, then by evidence.")
