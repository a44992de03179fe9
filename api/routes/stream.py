"""The route of news: server-sent events, as they happen."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Annotated, Final, cast

from fastapi import APIRouter, Header, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.deps import Settings
from api.errors import problem_responses
from api.news import NewsHub, Reader

logger = logging.getLogger(__name__)

router = APIRouter(tags=["stream"])

READY_S: Final = 5.0
"""Longest wait for the past of a service that has just begun [s]; longer and the reader is told to look anew."""

PATIENCE_S: Final = 10.0
"""Longest time that one piece may take to be sent [s]: a reader whose line is full that long is gone or asleep."""

HEARTBEAT: Final = b": heartbeat\n\n"
"""A comment: keeps proxies from closing a quiet line and tells both ends that it is alive."""

DROPPED: Final = b": dropped, too much waited; come back with Last-Event-ID\n\n"
"""The last words to a reader who was too slow."""


class EventStream(Response):
    """Server-sent events until the reader leaves, is too slow, or the service ends."""

    media_type = "text/event-stream"

    def __init__(self, hub: NewsHub, mark: str | None, heartbeat_s: float) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._mark = mark
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # The loop may have ended before the thread of the news knows.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(woken.set)

        await asyncio.to_thread(self._hub.wait_ready, READY_S)
        reader = self._hub.attach(self._mark, wake)
        leaving = asyncio.create_task(_until_gone(receive, reader, woken))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._feed(reader, woken, send)
        except TimeoutError:
            logger.info("a reader of %s took nothing for %g s and was dropped", scope["path"], PATIENCE_S)
        finally:
            self._hub.detach(reader)
            leaving.cancel()

    async def _feed(self, reader: Reader, woken: asyncio.Event, send: Send) -> None:
        """Send all that waits, again and again, and a heartbeat when nothing does."""
        while True:
            woken.clear()
            if frames := reader.take():
                await _send(send, frames)
            if reader.is_dropped or reader.is_over:
                await _send(send, DROPPED if reader.is_dropped else b"", more=False)
                return
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await woken.wait()
            except TimeoutError:
                await _send(send, HEARTBEAT)


async def _send(send: Send, content: bytes, *, more: bool = True) -> None:
    """Send a piece; raises `TimeoutError` where the reader does not take it."""
    async with asyncio.timeout(PATIENCE_S):
        await send({"type": "http.response.body", "body": content, "more_body": more})


async def _until_gone(receive: Receive, reader: Reader, woken: asyncio.Event) -> None:
    """Wait until the reader has left, then end his stream."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.is_over = True
    woken.set()


@router.get(
    "/stream",
    response_class=Response,
    responses={
        200: {
            "description": "Events `joint-event`, `retraction`, `list` and `reset`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problem_responses(422, 503),
    },
)
async def read_stream(
    request: Request,
    settings: Settings,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="`id` of the last event that was read.", max_length=4096)
    ] = None,
) -> Response:
    """Return joint events, retractions and new lists as they are published, as server-sent events."""
    hub = cast("NewsHub | None", request.app.state.news)
    if hub is None:
        # No content ends the attempts of a browser to connect, without an error.
        return Response(status_code=204)
    return EventStream(hub, last_event_id, settings.stream_heartbeat_s)
