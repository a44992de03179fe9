"""Every error as an RFC 9457 problem document; the only place where errors become status codes."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from graph.errors import HeliographError, NotFoundError, PublishError, QueryRefusedError, StoreError, WireError

PROBLEM_MEDIA_TYPE = "application/problem+json"
"""Media type of a problem document; RFC 9457 section 3."""

RETRY_AFTER_S = 5
"""When to come back while the graph is down [s]: an embedded one restarts in about 8 s, the page asks every 5 s."""

log = logging.getLogger(__name__)


class WrongValue(BaseModel):
    """One value of a request that could not be used."""

    place: str = Field(description="Where it stood, e.g. `query.limit` or `body.query`.", examples=["query.limit"])
    detail: str = Field(description="What is wrong with it.", examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(
        description="Kind of the problem; stable, for programs.", examples=["urn:heliograph:problem:not-found"]
    )
    title: str = Field(description="The kind in words.", examples=["Not Found"])
    status: int = Field(description="HTTP status code.", examples=[404])
    detail: str = Field(
        description="What happened, in one sentence.",
        examples=["There is no object ZTF18abcdefg of ztf in the graph."],
    )
    instance: str = Field(description="Path of the request.", examples=["/api/v1/objects/ztf/ZTF18abcdefg"])
    errors: list[WrongValue] | None = Field(
        default=None, description="The values that could not be used; with 422 only."
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the errors that a route may answer with."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_response(
    request: Request,
    status: int,
    detail: str,
    errors: list[WrongValue] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Build the answer for one error."""
    phrase = HTTPStatus(status).phrase
    problem = Problem(
        type=f"urn:heliograph:problem:{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=errors,
    )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def _of_heliograph(request: Request, error: Exception) -> Response:
    """Answer an error that Heliograph raised on purpose."""
    if isinstance(error, NotFoundError):
        return problem_response(request, HTTPStatus.NOT_FOUND, str(error))
    if isinstance(error, QueryRefusedError):
        return problem_response(request, HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, WireError):
        return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    if isinstance(error, StoreError | PublishError):
        log.warning("%s %s: %s", request.method, request.url.path, error)
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return problem_response(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers=headers)
    return _of_anything_else(request, error)


def _of_validation(request: Request, error: Exception) -> Response:
    """Answer a request whose values are wrong; the values themselves are not repeated."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    wrong = [WrongValue(place=".".join(map(str, one["loc"])), detail=str(one["msg"])) for one in found]
    detail = "The request holds values that cannot be used."
    return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, wrong)


def _of_http(request: Request, error: Exception) -> Response:
    """Answer an error of the web framework, e.g. an unknown path."""
    if not isinstance(error, HTTPException):
        return _of_anything_else(request, error)
    return problem_response(request, error.status_code, f"{error.detail}.", headers=dict(error.headers or {}))


def _of_anything_else(request: Request, error: Exception) -> Response:
    """Answer a fault of ours without telling its inside."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed; its log says why.")


def add_error_handlers(app: FastAPI) -> None:
    """Make an application answer every error with a problem document."""
    app.add_exception_handler(HeliographError, _of_heliograph)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_anything_else)
