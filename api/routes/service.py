"""Routes about the service itself, and the one for typed queries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import Reader, Settings, answer
from api.errors import problem_responses
from api.schemas.service import (
    CoincidenceCountsResponse,
    CountsResponse,
    CypherRequest,
    CypherResponse,
    HealthResponse,
    LedgerNightResponse,
    LedgerResponse,
    ReadyResponse,
)
from graph.errors import StoreError

router = APIRouter(tags=["service"])


@router.get("/health", response_model=HealthResponse)
def read_health(request: Request, reader: Reader) -> Response:
    """Say that the service lives, and whether it reaches the graph; 200 in both cases."""
    try:
        reader.ping()
    except StoreError:
        return answer(request, HealthResponse(graph_reachable=False))
    return answer(request, HealthResponse(graph_reachable=True))


@router.get("/ready", response_model=ReadyResponse, responses=problem_responses(503))
def read_ready(request: Request, reader: Reader) -> Response:
    """Answer 200 when questions can be answered, 503 when not."""
    reader.ping()
    return answer(request, ReadyResponse())


@router.get("/counts", response_model=CountsResponse, responses=problem_responses(503))
def read_counts(request: Request, reader: Reader) -> Response:
    """Return what the graph holds: nodes by label, coincidences by state."""
    pairs = CoincidenceCountsResponse.from_view(reader.coincidence_counts())
    return answer(request, CountsResponse(nodes=reader.counts(), coincidences=pairs))


@router.get("/ledger", response_model=LedgerResponse, responses=problem_responses(422, 503))
def read_ledger(
    request: Request,
    reader: Reader,
    nights: Annotated[int, Query(ge=1, le=366, description="Number of nights to go back.", examples=[7])] = 7,
) -> Response:
    """Return what became of the alerts of the newest nights."""
    return answer(request, LedgerResponse(items=tuple(map(LedgerNightResponse.from_view, reader.ledger(nights)))))


@router.post("/cypher", response_model=CypherResponse, responses=problem_responses(400, 413, 422, 503))
def run_cypher(request: Request, body: CypherRequest, reader: Reader, settings: Settings) -> Response:
    """Run a query that only reads, bounded in time and rows."""
    max_rows = min(body.max_rows or settings.query_max_rows, settings.query_max_rows)
    found = reader.read_query(body.query, body.params, settings.query_timeout_s, max_rows)
    return answer(request, CypherResponse.from_view(found))
