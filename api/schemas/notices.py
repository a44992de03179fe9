"""Responses of the route of notices."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import ResponseModel


class NoticeAcceptedResponse(ResponseModel):
    """A notice that lies on its topic."""

    notice_id: str = Field(
        description="Identity of its bytes: sha256, first 32 hexadecimal digits.",
        examples=["9f86d081884c7d659a2feaa0c55ad015"],
    )
    source: str = Field(
        description="Where it lies: topic/partition/offset.", examples=["heliograph.unrecognised-notices/0/12"]
    )
