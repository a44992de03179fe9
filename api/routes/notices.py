"""The route on which notices come in over HTTP."""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.deps import Settings
from api.errors import problem_responses
from api.notices import NoticeIntake
from api.schemas.notices import NoticeAcceptedResponse

router = APIRouter(prefix="/notices", tags=["notices"])

MEDIA_TYPES = (
    "application/xml",
    "text/xml",
    "application/json",
    "application/avro",
    "avro/binary",
    "application/octet-stream",
)
"""Media types of a VOEvent (RFC 7303), of JSON (RFC 8259), of Avro (its specification 1.12 and older use), and of bytes
whose sender leaves it to the content to say what they are."""

_bearer = HTTPBearer(auto_error=False, description="The value of `HELIOGRAPH_API__NOTICE_TOKEN`.")


def check_token(
    settings: Settings, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> None:
    """Let a request through that knows the token; the comparison takes as long for any wrong one."""
    token = settings.notice_token.get_secret_value()
    if not token:
        raise HTTPException(HTTPStatus.FORBIDDEN, "This service takes no notices: it has no token for them")
    digests = (hashlib.sha256(text.encode()).digest() for text in (token, given.credentials if given else ""))
    if not hmac.compare_digest(*digests):
        challenge = {"WWW-Authenticate": "Bearer"}
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "The request does not carry the right token", challenge)


def check_media_type(request: Request) -> None:
    """Let a request through whose body may be a notice."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"A notice is one of {', '.join(MEDIA_TYPES)}")


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=NoticeAcceptedResponse,
    responses=problem_responses(401, 403, 413, 415, 422, 503),
    dependencies=[Depends(check_token), Depends(check_media_type)],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPES},
        }
    },
)
async def post_notice(
    request: Request,
    topic: Annotated[
        str | None,
        Query(
            description="Topic that the notice would have come on; without it the content says what it is.",
            examples=["gcn.notices.einstein_probe.wxt.alert"],
            pattern="^[A-Za-z0-9._-]{1,249}$",
        ),
    ] = None,
) -> Response:
    """Put a notice on its topic, where the listener reads it; 202 once Kafka has it."""
    intake = cast("NoticeIntake | None", request.app.state.intake)
    if intake is None:
        raise HTTPException(HTTPStatus.FORBIDDEN, "This service takes no notices: it has no bus to put them on")
    payload = await request.body()
    if not payload:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "The request has no body")
    receipt = await run_in_threadpool(intake.put, payload, topic)
    body = NoticeAcceptedResponse(notice_id=receipt.notice_id, source=receipt.source)
    return Response(body.model_dump_json(), HTTPStatus.ACCEPTED, {"Cache-Control": "no-store"}, "application/json")
