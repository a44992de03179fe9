"""Routes of joint events: what several messengers or missions saw of one source."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api.deps import Limit, Reader, answer
from api.errors import problem_responses
from api.schemas.joint_events import (
    CounterpartResponse,
    EventPairResponse,
    JointEventDetailResponse,
    JointEventResponse,
    JointEventsResponse,
)
from coordinator.chains import joint_events
from graph.cursors import MAX_CURSOR_CHARACTERS
from graph.model import CoincidenceState
from graph.views import JointEventView

router = APIRouter(prefix="/joint-events", tags=["joint events"])

JointEventPath = Annotated[
    str,
    Path(
        description="Identity of the joint event.",
        examples=["5d1c0e7a9b3f2468"],
        pattern="^[0-9a-f]{16}$",
        max_length=16,
    ),
]


@router.get("", response_model=JointEventsResponse, responses=problem_responses(400, 422, 503))
def read_joint_events(
    *,
    request: Request,
    reader: Reader,
    limit: Limit,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", max_length=MAX_CURSOR_CHARACTERS)
    ] = None,
    state: Annotated[CoincidenceState | None, Query(description="Only those in this state.")] = None,
) -> Response:
    """Return a page of joint events, newest trigger first."""
    page = reader.joint_events(limit, cursor, state)
    return answer(request, JointEventsResponse(items=tuple(map(_summary, page.items)), next_cursor=page.next_cursor))


@router.get("/{joint_event_id}", response_model=JointEventDetailResponse, responses=problem_responses(404, 422, 503))
def read_joint_event(request: Request, joint_event_id: JointEventPath, reader: Reader) -> Response:
    """Return one joint event with its pairs and the objects that coincide with several members."""
    found = reader.joint_event(joint_event_id)
    named = [one for whole in joint_events(found.pairs, found.coincidences) for one in whole.counterparts]
    body = JointEventDetailResponse(
        joint_event=_summary(found),
        pairs=tuple(map(EventPairResponse.from_view, found.pairs)),
        counterparts=tuple(CounterpartResponse(object_key=key, log_bayes_factor=value) for key, value in named),
    )
    return answer(request, body)


def _summary(found: JointEventView) -> JointEventResponse:
    """Return a joint event as the coordinator weighs it; a withdrawn pair as it was when it stood."""
    whole = joint_events(found.pairs)
    keys = {key for pair in found.pairs for key in (pair.first_key, pair.second_key)}
    return JointEventResponse.model_validate(
        {
            "joint_event_id": found.joint_event_id,
            "state": found.state,
            "event_keys": tuple(sorted(keys)),
            "trigger_time": found.trigger_time,
            "joint_far_hz": whole[0].joint_far_hz if whole else found.pairs[0].joint_far_hz,
            "log_bayes_factor": whole[0].log_bayes_factor if whole else found.pairs[0].log_bayes_factor,
        }
    )
