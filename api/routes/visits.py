"""The route of visits: which surveys looked at the place of an event, whatever they saw."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import EventPath, Limit, Reader, answer
from api.errors import problem_responses
from api.schemas.visits import VisitsResponse
from coordinator.coincidence import DEFAULT_MAX_CREDIBLE_LEVEL
from coordinator.coverage import VisitSource, who_looked
from coordinator.lifecycle import event_from_notices
from graph.errors import NotFoundError

router = APIRouter(prefix="/events", tags=["events"], responses=problem_responses(404, 422, 503))

MAX_DAYS = 30.0
"""Most days before or after a trigger [d]: each night is read, and histories in packets go back as far."""

DEFAULT_DAYS = 7.0
"""Days before and after a trigger when nobody asks for others [d]: two rounds of ZTF's public survey."""

Days = Annotated[float, Query(ge=0.0, le=MAX_DAYS, description="Days from the trigger.", examples=[7.0])]


@router.get("/{event_key}/visits", response_model=VisitsResponse)
def read_visits(
    request: Request,
    event_key: EventPath,
    reader: Reader,
    limit: Limit,
    *,
    before_d: Days = DEFAULT_DAYS,
    after_d: Days = DEFAULT_DAYS,
) -> Response:
    """Return the visits nearest in time to an event that looked at its place, with their depth."""
    source = cast("VisitSource | None", request.app.state.visits)
    if source is None:
        raise NotFoundError("This service has no archive, so it does not know who looked where.")
    event = event_from_notices(reader.notices(event_key))
    looked = who_looked(
        event, source, before_d=before_d, after_d=after_d, max_credible_level=DEFAULT_MAX_CREDIBLE_LEVEL
    )
    nearest = sorted(looked.visits, key=lambda visit: abs(visit.delta_t_s))[:limit]
    items = sorted(nearest, key=lambda visit: visit.delta_t_s)
    return answer(
        request,
        VisitsResponse.model_validate(
            {"searched_probability": looked.searched_probability, "n_visits": len(looked.visits), "items": items}
        ),
    )
