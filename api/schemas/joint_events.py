"""Events that belong together, and the revisions of one event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from api.schemas.common import MjdOfUtcOrNone, ResponseModel, TermResponse
from graph.model import AlertTense, AlertType, CoincidenceState, EventState


class EventPairResponse(ResponseModel):
    """Two events that one source may have made."""

    first_key: str = Field(
        description="First event: gravitational wave, light, neutrino in this order.", examples=["LVK:S190425z"]
    )
    second_key: str = Field(description="Second event.", examples=["Fermi:611989445"])
    delta_t_s: float = Field(description="Second trigger minus first [s].", examples=[1.7])
    overlap: float | None = Field(
        description="Overlap integral of the two localizations, 1 for unrelated ones on average; null where one has no "
        "place.",
        examples=[32.3],
    )
    joint_far_hz: float = Field(description="How often chance makes such a pair [Hz].", examples=[3.1e-12])
    log_bayes_factor: float = Field(description="ln of one source over chance, the sum of `terms`.", examples=[12.4])
    terms: tuple[TermResponse, ...] = Field(description="The addends.")
    state: CoincidenceState = Field(description="`open`, or `withdrawn` when it no longer holds.", examples=["open"])
    first_revision: int = Field(description="Revision of the first event that it was computed for.", examples=[3])
    second_revision: int = Field(description="The same of the second.", examples=[2])
    joint_event_id: str | None = Field(
        description="The joint event that it is part of; null once withdrawn.", examples=["5d1c0e7a9b3f2468"]
    )


class JointEventResponse(ResponseModel):
    """Events that open pairs link, or two whose pair was withdrawn."""

    joint_event_id: str = Field(description="A hash of the members' keys.", examples=["5d1c0e7a9b3f2468"])
    state: CoincidenceState = Field(description="`open`, or `withdrawn` for a pair that no longer holds.")
    event_keys: tuple[str, ...] = Field(description="The members.", examples=[["Fermi:611989445", "LVK:S190425z"]])
    trigger_time: datetime | None = Field(description="Trigger of the newest first event of its pairs, UTC.")
    trigger_mjd_tai: MjdOfUtcOrNone = Field(validation_alias="trigger_time", description="The same, MJD [d, TAI].")
    joint_far_hz: float = Field(description="Of its rarest pair [Hz].", examples=[3.1e-12])
    log_bayes_factor: float = Field(
        description="Sum over the strongest pairs that hold it together; pairs that close a ring do not count twice.",
        examples=[12.4],
    )


class JointEventsResponse(ResponseModel):
    """A page of joint events."""

    items: tuple[JointEventResponse, ...] = Field(description="Newest trigger first.")
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last page.")


class CounterpartResponse(ResponseModel):
    """An object that coincides with several members."""

    object_key: str = Field(description="`survey:object_id`.", examples=["ztf:ZTF20abbiixp"])
    log_bayes_factor: float = Field(description="Sum over the members that it coincides with.", examples=[14.2])


class JointEventDetailResponse(ResponseModel):
    """A joint event with what it consists of."""

    joint_event: JointEventResponse = Field(description="The whole.")
    pairs: tuple[EventPairResponse, ...] = Field(description="Its pairs, by key.")
    counterparts: tuple[CounterpartResponse, ...] = Field(
        description="Objects that coincide with two or more members, strongest first."
    )


class RevisionResponse(ResponseModel):
    """What was known of an event after one of its notices, in the order in which they were made."""

    revision: int = Field(description="Number of distinct notices that formed this state.", examples=[2])
    notice_id: str = Field(description="The notice that made it.")
    notice_type: str = Field(description="The mission's name for that notice.", examples=["FERMI_GBM_FLT_POS"])
    alert_type: AlertType = Field(description="Place of that notice in the life of the event.", examples=["initial"])
    alert_time: datetime | None = Field(description="Time when that notice was made, UTC.")
    state: EventState = Field(description="`active`, or `retracted` by its mission.", examples=["active"])
    alert_tense: AlertTense = Field(description="Whether it is about the sky or a test.", examples=["current"])
    trigger_time: datetime | None = Field(description="Time of the burst, merger or neutrino, UTC.")
    trigger_mjd_tai: MjdOfUtcOrNone = Field(validation_alias="trigger_time", description="The same, MJD [d, TAI].")
    localization_notice_id: str | None = Field(description="The notice whose localization stood; null without any.")
    far_hz: float | None = Field(description="False-alarm rate of the trigger [Hz].", examples=[1.2e-9])
    p_astro: float | None = Field(description="Probability of astrophysical origin.", examples=[0.98])
    classification: Mapping[str, float] = Field(description="Probability of each class that the mission names.")
    is_astrophysical_burst: bool = Field(description="False when the mission says that it is not its target.")


class RevisionsResponse(ResponseModel):
    """The revisions of an event."""

    items: tuple[RevisionResponse, ...] = Field(description="Oldest first.")
