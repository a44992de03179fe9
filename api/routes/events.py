"""Routes of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import EventPath, Limit, Reader, answer
from api.errors import problem_responses
from api.schemas.events import CandidateResponse, CandidatesResponse, EventDetailResponse, EventsResponse
from api.schemas.joint_events import RevisionResponse, RevisionsResponse
from coordinator.lifecycle import event_from_notices, notice_order
from graph.cursors import MAX_CURSOR_CHARACTERS
from graph.model import CoincidenceState, EventState, Messenger, Notice

router = APIRouter(prefix="/events", tags=["events"])


@router.get("", response_model=EventsResponse, responses=problem_responses(400, 422, 503))
def read_events(
    *,
    request: Request,
    reader: Reader,
    limit: Limit,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", max_length=MAX_CURSOR_CHARACTERS)
    ] = None,
    messenger: Annotated[Messenger | None, Query(description="Only events of this messenger.")] = None,
    state: Annotated[EventState | None, Query(description="Only events in this state.")] = None,
) -> Response:
    """Return a page of events, newest trigger first."""
    return answer(request, EventsResponse.from_view(reader.events(limit, cursor, messenger, state)))


@router.get("/{event_key}", response_model=EventDetailResponse, responses=problem_responses(404, 422, 503))
def read_event(request: Request, event_key: EventPath, reader: Reader) -> Response:
    """Return one event with its notices."""
    return answer(request, EventDetailResponse.from_view(reader.event(event_key)))


@router.get("/{event_key}/revisions", response_model=RevisionsResponse, responses=problem_responses(404, 422, 503))
def read_revisions(request: Request, event_key: EventPath, reader: Reader, limit: Limit) -> Response:
    """Return what was known of an event after each of its first notices."""
    notices = sorted(reader.notices(event_key), key=notice_order)[:limit]
    items = tuple(_revision(notices[:count]) for count in range(1, len(notices) + 1))
    return answer(request, RevisionsResponse(items=items))


@router.get("/{event_key}/candidates", response_model=CandidatesResponse, responses=problem_responses(404, 422, 503))
def read_candidates(
    request: Request,
    event_key: EventPath,
    reader: Reader,
    limit: Limit,
    state: Annotated[CoincidenceState | None, Query(description="Only pairs in this state.")] = None,
) -> Response:
    """Return the objects that coincide with an event, with the reasons."""
    found = reader.candidates(event_key, limit, state)
    return answer(request, CandidatesResponse(items=tuple(map(CandidateResponse.from_view, found))))


def _revision(notices: Sequence[Notice]) -> RevisionResponse:
    """Return what some notices, in their order, say of their event."""
    last, event = notices[-1], event_from_notices(notices)
    return RevisionResponse.model_validate(
        {
            "revision": event.revision,
            "notice_id": last.notice_id,
            "notice_type": last.notice_type,
            "alert_type": last.alert_type,
            "alert_time": last.alert_time,
            "state": event.state,
            "alert_tense": event.alert_tense,
            "trigger_time": event.trigger_time,
            "localization_notice_id": event.localization_notice_id,
            "far_hz": event.far_hz,
            "p_astro": event.p_astro,
            "classification": event.classification,
            "is_astrophysical_burst": event.is_astrophysical_burst,
        }
    )
