"""Visits of surveys to the place of an event."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import ResponseModel, UtcOfMjd
from graph.model import Survey


class VisitResponse(ResponseModel):
    """One exposure that looked at some of an event's place."""

    survey: Survey = Field(description="Who looked.", examples=["ztf"])
    midpoint_time: UtcOfMjd = Field(
        validation_alias="midpoint_mjd_tai", description="Middle of the exposure, UTC, to a second."
    )
    midpoint_mjd_tai: float = Field(description="The same, MJD [d, TAI].", examples=[58993.24])
    delta_t_s: float = Field(description="Middle of the exposure minus trigger [s].", examples=[8211.0])
    band: str = Field(description="One of u g r i z y.", examples=["g"])
    limit_mag: float = Field(
        description="5 sigma limiting AB magnitude that half of what it covered reached.", examples=[20.4]
    )
    probability: float = Field(description="Probability that the event is where it looked.", examples=[0.62])


class VisitsResponse(ResponseModel):
    """Who looked at the place of an event."""

    searched_probability: float = Field(
        description="Probability that the event is in the part of its place for which visits were looked up.",
        examples=[0.95],
    )
    n_visits: int = Field(description="Visits found, those that are not told included.", examples=[12])
    items: tuple[VisitResponse, ...] = Field(description="Those nearest to the trigger, in order of time.")
