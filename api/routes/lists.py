"""Routes of follow-up lists."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api.deps import CasePath, Limit, Reader, answer
from api.errors import problem_responses
from api.schemas.lists import ListResponse, ListsResponse, ListSummaryResponse

router = APIRouter(prefix="/lists", tags=["lists"])

AfterRank = Annotated[int, Query(ge=0, le=2**31, description="Only targets after this rank, for paging.")]
Version = Annotated[int, Path(ge=0, le=2**31, description="Version of the list.", examples=[3])]


@router.get("", response_model=ListsResponse, responses=problem_responses(503))
def read_lists(request: Request, reader: Reader) -> Response:
    """Return the current version of each follow-up list, without targets."""
    return answer(request, ListsResponse(items=tuple(map(ListSummaryResponse.from_view, reader.lists()))))


@router.get("/{case}", response_model=ListResponse, responses=problem_responses(404, 422, 503))
def read_current_list(
    request: Request, case: CasePath, reader: Reader, limit: Limit, after_rank: AfterRank = 0
) -> Response:
    """Return targets of the current version of a list, best first."""
    return answer(request, ListResponse.from_view(reader.list(case, None, limit, after_rank)))


@router.get("/{case}/{version}", response_model=ListResponse, responses=problem_responses(404, 422, 503))
def read_list(
    *, request: Request, case: CasePath, version: Version, reader: Reader, limit: Limit, after_rank: AfterRank = 0
) -> Response:
    """Return targets of one version of a list, best first."""
    return answer(request, ListResponse.from_view(reader.list(case, version, limit, after_rank)))
