"""What handlers ask for, as annotated types."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.config import ApiSettings
from graph.model import ScienceCase, Survey
from graph.reading import GraphReading

DEFAULT_PAGE_LIMIT = 50
"""Items on a page when nobody asks for a number: fills a screen or two."""


def get_reader(request: Request) -> GraphReading:
    """Return the reader that the application was made with."""
    return cast("GraphReading", request.app.state.reader)


def get_settings(request: Request) -> ApiSettings:
    """Return the settings that the application was made with."""
    return cast("ApiSettings", request.app.state.settings)


def get_limit(
    request: Request,
    limit: Annotated[
        int,
        Query(
            ge=1,
            description="Most items to return. More than the service's `page_limit_max` gives that many.",
            examples=[20],
        ),
    ] = DEFAULT_PAGE_LIMIT,
) -> int:
    """Return the number of items asked for, within the service's bound."""
    return min(limit, get_settings(request).page_limit_max)


Reader = Annotated[GraphReading, Depends(get_reader)]
Settings = Annotated[ApiSettings, Depends(get_settings)]
Limit = Annotated[int, Depends(get_limit)]
SurveyPath = Annotated[Survey, Path(description="The survey that the object belongs to.", examples=["ztf"])]
ObjectIdPath = Annotated[
    str,
    Path(description="Identifier of the object in its survey.", examples=["ZTF20abbiixp"], min_length=1, max_length=64),
]
EventPath = Annotated[
    str,
    Path(
        description="`mission:event_id`, or the bare `event_id` if only one mission uses it.",
        examples=["Fermi:611989445"],
        min_length=1,
        max_length=256,
    ),
]
CasePath = Annotated[ScienceCase, Path(description="The purpose of the list.", examples=["grb"])]


def answer(request: Request, body: BaseModel) -> Response:
    """Serialise a body once, tag it, and send it only if the client does not have it already.

    The tag is a digest of the bytes, so it changes exactly when the answer does, a retraction included.
    """
    return answer_bytes(request, body.model_dump_json().encode(), "application/json")


def answer_bytes(
    request: Request, content: bytes, media_type: str, extra_headers: Mapping[str, str] | None = None
) -> Response:
    """Tag an answer of any kind, and send it only if the client does not have it already."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", **(extra_headers or {})}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if request.method in {"GET", "HEAD"} and (tag in known or "*" in known):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
