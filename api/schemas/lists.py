"""Follow-up lists and their targets."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import ResponseModel, TermResponse
from graph.model import EventState, ScienceCase, Survey


class ListSummaryResponse(ResponseModel):
    """One version of a follow-up list."""

    case: ScienceCase = Field(description="The purpose of the list.", examples=["grb"])
    version: int = Field(description="Counts up; a new version supersedes the one before.", examples=[3])
    list_id: str = Field(description="Digest of the targets: the same content is the same list.")
    n_targets: int = Field(description="Number of targets in the whole list.", examples=[12])
    is_current: bool = Field(description="Whether no newer version exists.")


class ListsResponse(ResponseModel):
    """The current version of each follow-up list."""

    items: tuple[ListSummaryResponse, ...] = Field(description="By science case.")


class TargetResponse(ResponseModel):
    """A ranked entry of a list, as it stood when the list was made."""

    rank: int = Field(description="Place in the list; 1 is first.", examples=[1])
    target_key: str = Field(description="`case/object/event`.", examples=["grb/ztf:ZTF20abbiixp/Fermi:611989445"])
    survey: Survey = Field(description="The survey that saw the object.", examples=["ztf"])
    object_id: str = Field(description="The object.", examples=["ZTF20abbiixp"])
    ra_deg: float = Field(description="Right ascension [deg], ICRS.", examples=[213.0427])
    dec_deg: float = Field(description="Declination [deg], ICRS.", examples=[60.9052])
    score: float = Field(description="Sum of `terms`; larger is sooner.", examples=[7.1])
    terms: tuple[TermResponse, ...] = Field(description="Why it stands here.")
    p_chance: float | None = Field(description="Probability that the pairing is chance.", examples=[0.02])
    joint_far_hz: float | None = Field(description="Rate of such chance pairs [Hz].", examples=[3.1e-8])
    top_class: str | None = Field(description="Most probable class.", examples=["GRB afterglow"])
    class_probability: float | None = Field(description="Its calibrated probability.", examples=[0.7])
    latest_mag: float | None = Field(description="AB magnitude of the newest positive detection.", examples=[19.3])
    event_key: str | None = Field(
        description="The event that it may belong to; null for lists without one.", examples=["Fermi:611989445"]
    )
    event_state: EventState | None = Field(description="State of that event now.", examples=["active"])


class ListResponse(ResponseModel):
    """A follow-up list with some of its targets."""

    summary: ListSummaryResponse = Field(description="Which list.")
    targets: tuple[TargetResponse, ...] = Field(description="Best first.")
