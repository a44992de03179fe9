"""The application: the API under ``/api/v1`` and the page at ``/``."""

from __future__ import annotations

from collections import Counter
from importlib import metadata, resources
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.config import ApiSettings
from api.cutouts import CutoutSource
from api.errors import Problem, add_error_handlers
from api.metrics import METRICS_MEDIA_TYPE, CountingMiddleware, Metrics, StreamWatch
from api.middleware import SafetyMiddleware
from api.news import NewsHub
from api.notices import NoticeIntake, SourceWatch
from api.routes import cutouts as cutout_routes
from api.routes import events, joint_events, lists, objects, service
from api.routes import notices as notice_routes
from api.routes import stream as stream_routes
from api.routes import visits as visit_routes
from coordinator.coverage import VisitSource
from graph.reading import GraphReading

API_PREFIX = "/api/v1"
"""Path of the first version of the API; a change that breaks clients gets a new number."""

DESCRIPTION = """
Survey alerts, multi-messenger events and ranked follow-up lists.

Positions are degrees in ICRS. Times are ISO 8601 in UTC, with the MJD beside them in TAI (37 s ahead of UTC since
2017). False-alarm rates are in Hz. Integers that may exceed 2^53 are text. Every answer to GET carries an ETag; every
error is an RFC 9457 problem document.
"""


class _Application(FastAPI):
    """An application whose OpenAPI document knows the problem documents."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas |= problem.pop("$defs", {}) | {"Problem": problem}
            self.openapi_schema = document
        return self.openapi_schema


def create_app(
    settings: ApiSettings,
    reader: GraphReading,
    *,
    watch: StreamWatch | None = None,
    cutouts: CutoutSource | None = None,
    visits: VisitSource | None = None,
    intake: NoticeIntake | None = None,
    sources: SourceWatch | None = None,
    news: NewsHub | None = None,
) -> FastAPI:
    """Build the application; it opens nothing and starts nothing.

    Parameters
    ----------
    settings : bounds on queries and pages; host and port are for whoever runs the application.
    reader : answers all questions to the graph; stays the caller's to close.
    watch : knows how far the alert stream is behind, for the metrics; None leaves that out.
    cutouts : finds images of detections; None when there is no archive.
    visits : knows when surveys looked at a place; None when there is no archive.
    intake : takes notices for the listener; None when there is no bus.
    sources : knows how the sources of notices do, for the metrics; None leaves that out.
    news : tells what is published as it happens; stays the caller's to start and to stop. None when there is no bus.
    """
    # No documentation page of the framework: it loads scripts from elsewhere. docs/api.md describes the routes.
    app = _Application(
        title="Heliograph",
        version=_version(),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.settings = settings
    app.state.reader = reader
    app.state.cutouts = cutouts
    app.state.visits = visits
    app.state.intake = intake
    app.state.news = news
    add_error_handlers(app)
    larger_bodies = {f"{API_PREFIX}/notices": settings.max_notice_bytes}
    app.add_middleware(SafetyMiddleware, max_body_bytes=settings.max_body_bytes, larger_bodies=larger_bodies)
    routes = APIRouter(prefix=API_PREFIX)
    of_objects, of_events = (objects, cutout_routes), (events, visit_routes, joint_events)
    for module in (service, *of_objects, *of_events, lists, notice_routes, stream_routes):
        routes.include_router(module.router)
    app.include_router(routes)
    _add_metrics(app, reader, watch, sources)
    _add_page(app)
    return app


def _add_metrics(app: FastAPI, reader: GraphReading, watch: StreamWatch | None, sources: SourceWatch | None) -> None:
    """Serve the metrics, where Prometheus looks for them."""
    answers: Counter[tuple[str, int]] = Counter()
    metrics = Metrics(reader, watch, answers, sources=sources)
    app.add_middleware(CountingMiddleware, counts=answers)

    @app.get("/metrics", include_in_schema=False)
    def read_metrics() -> Response:
        return Response(metrics.text(), media_type=METRICS_MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _add_page(app: FastAPI) -> None:
    """Serve the page and its files."""
    folder = resources.files("api") / "static"
    page = (folder / "index.html").read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    def read_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    app.mount("/static", StaticFiles(directory=str(folder)), name="static")


def _version() -> str:
    """Return the installed version."""
    try:
        return metadata.version("heliograph")
    except metadata.PackageNotFoundError:
        return "0"
