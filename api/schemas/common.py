"""What all response models share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from graph.times import datetime_to_mjd_tai, mjd_tai_to_datetime


def _utc_or_none(mjd_tai: float | None) -> datetime | None:
    return None if mjd_tai is None else mjd_tai_to_datetime(mjd_tai)


def _mjd_or_none(moment: datetime | None) -> float | None:
    return None if moment is None else datetime_to_mjd_tai(moment)


Int64Text = Annotated[str, BeforeValidator(str)]
"""A 64-bit integer as decimal text."""

UtcOfMjd = Annotated[datetime, BeforeValidator(_utc_or_none)]
"""ISO 8601 UTC, made from an MJD in TAI."""

UtcOfMjdOrNone = Annotated[datetime | None, BeforeValidator(_utc_or_none)]
"""ISO 8601 UTC, made from an MJD in TAI that may be absent."""

MjdOfUtcOrNone = Annotated[float | None, BeforeValidator(_mjd_or_none)]
"""MJD in TAI [d], made from a UTC time that may be absent."""


class ResponseModel(BaseModel):
    """A frozen response read from the attributes of a view."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    @classmethod
    def from_view(cls, view: object) -> Self:
        """Build the response from a value of `graph.views`."""
        return cls.model_validate(view)


class TermResponse(ResponseModel):
    """One addend of a score."""

    name: str = Field(description="What it accounts for.", examples=["position"])
    value: float = Field(
        description="Natural logarithm of a ratio of densities; the addends sum to the score.", examples=[4.2]
    )
    inputs: Mapping[str, float | str | None] = Field(
        description="What it was computed from, versions included.", examples=[{"credible_level": 0.31}]
    )
