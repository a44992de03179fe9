"""The stream of news: all arrives once and in order, those who come back miss nothing, the slow are dropped."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from api.news import KINDS, MAX_KEPT, MAX_WAITING, RESET, News, NewsHub, NewsSource, read_mark, to_frame, write_mark
from api.routes import stream
from api.testing import FakeGraph, FakeReader
from graph.errors import StoreError
from graph.topics import JOINT_EVENTS, RETRACTIONS

places = st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 8))


class Topics:
    """Kafka that is none: what lies on the topics, and how often it fails."""

    def __init__(self) -> None:
        self.messages: list[News] = []
        self.failures = 0
        self.opened = 0
        self.arrived = threading.Condition()

    def put(self, topic: str, value: bytes, partition: int = 0) -> None:
        with self.arrived:
            offset = sum(one.topic == topic and one.partition == partition for one in self.messages)
            self.messages.append(News(topic, partition, offset, value))
            self.arrived.notify_all()

    def open(self) -> NewsSource:
        self.opened += 1
        if self.failures:
            self.failures -= 1
            raise StoreError("Kafka cannot be reached.")
        return Source(self)


class Source:
    """Reads all that lies on the topics, then what comes."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.at = 0
        self.end = len(topics.messages)

    @property
    def is_caught_up(self) -> bool:
        return self.at >= self.end

    def poll(self, timeout_s: float) -> Sequence[News]:
        with self.topics.arrived:
            if self.at == len(self.topics.messages):
                self.topics.arrived.wait(timeout_s / 10)
            found = self.topics.messages[self.at :]
            self.at += len(found)
        if self.topics.failures:
            raise StoreError("Kafka went away.")
        return found

    def close(self) -> None: ...


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10.0
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def hub(topics: Topics) -> Any:
    hub = NewsHub(topics.open, 3)
    yield hub
    hub.stop()


def begun(hub: NewsHub) -> NewsHub:
    hub.start()
    hub.wait_ready(10.0)
    return hub


def told(content: bytes) -> list[dict[str, str]]:
    """Read a stream as its standard says: events with data only, and the last id before each."""
    events, fields = [], {}
    last_id = ""
    for line in content.decode().split("\n"):
        name, _, value = line.partition(":")
        if line == "":
            last_id = fields.pop("id", last_id)
            if "data" in fields:
                events.append({**fields, "id": last_id})
            fields = {}
        elif name == "data" and "data" in fields:
            fields["data"] += "\n" + value.removeprefix(" ")
        elif name:
            fields[name] = value.removeprefix(" ")
    return events


class Line:
    """One reader's line to the application, spoken to without a server."""

    def __init__(self, app: Any, mark: str | None = None) -> None:
        self.app = app
        self.mark = mark
        self.content = b""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_done = False
        self.gone = asyncio.Event()
        self.blocked: asyncio.Event | None = None

    async def run(self) -> None:
        headers = [] if self.mark is None else [(b"last-event-id", self.mark.encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": "/api/v1/stream", "raw_path": b"/api/v1/stream", "query_string": b"", "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
                return
            if self.blocked is not None:
                await self.blocked.wait()
            self.content += message.get("body", b"")
            self.is_done = not message.get("more_body", False)

        await self.app(scope, receive, send)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not happened():  # noqa: ASYNC110 - what is waited for happens in another thread
                await asyncio.sleep(0.005)


def converse(hub: NewsHub, talk: Callable[[Callable[..., Line]], Awaitable[None]], **settings: Any) -> None:
    """Run a conversation with the application; lines that are opened in it are closed at its end."""
    app = create_app(ApiSettings(**settings), FakeReader(FakeGraph()), news=hub)

    async def whole() -> None:
        lines: list[Line] = []
        tasks = []

        def dial(mark: str | None = None) -> Line:
            line = Line(app, mark)
            lines.append(line)
            tasks.append(asyncio.create_task(line.run()))
            return line

        await talk(dial)
        for line in lines:
            line.gone.set()
            if line.blocked is not None:
                line.blocked.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 10.0)

    asyncio.run(whole())


@given(st.dictionaries(places, st.integers(0, 2**62), max_size=20))
def test_a_place_in_the_topics_comes_back(positions: dict[tuple[str, int], int]) -> None:
    assert read_mark(write_mark(positions)) == positions


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_none(text: str) -> None:
    positions = read_mark(text)
    assert positions is None or read_mark(write_mark(positions)) == positions


@pytest.mark.parametrize("text", ["a" * 5000, "lists.grb=1;" * 40, "x=" + "9" * 40, "a=1\n", "=1", "ä=1", "a=1;;b=2"])
def test_places_that_were_not_given_out_are_none(text: str) -> None:
    assert read_mark(text) is None


@pytest.mark.parametrize(
    "value", ['{"a": 1}', "two\nlines", "cr\rlf\r\nend", "\u2028 stays \x0b", "", "id: 7\n\nevent: x"]
)
def test_any_message_is_one_event(value: str) -> None:
    (event,) = told(to_frame("list", "a=1", value.encode()))
    assert event["data"] == value.replace("\r\n", "\n").replace("\r", "\n")
    assert (event["event"], event["id"]) == ("list", "a=1")


def test_what_is_published_is_told_to_all_in_order(hub: NewsHub, topics: Topics) -> None:
    topics.put(JOINT_EVENTS, b'{"old": 1}')
    begun(hub)

    async def talk(dial: Any) -> None:
        lines = [dial(), dial()]
        for line in lines:
            await line.until(lambda line=line: b"retry" in line.content)
        for number in range(3):
            topics.put(JOINT_EVENTS, json.dumps({"n": number}).encode(), partition=number)
        topics.put(RETRACTIONS, b'{"n": 3}')
        topics.put("heliograph.lists.grb", b'{"n": 4}')
        topics.put("heliograph.objects", b'{"n": 5}')
        for line in lines:
            await line.until(lambda line=line: line.content.count(b"data:") >= 5)
            assert (line.status, line.headers[b"content-type"][:17]) == (200, b"text/event-stream")
            assert line.headers[b"cache-control"] == b"no-store"
            assert b"content-length" not in line.headers
            events = told(line.content)
            assert [json.loads(event["data"]) for event in events] == [{"n": n} for n in range(5)]
            assert [event["event"] for event in events] == ["joint-event"] * 3 + ["retraction", "list"]

    converse(hub, talk)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("heard", [0, 1, 4])
def test_who_comes_back_gets_what_he_missed_once(topics: Topics, heard: int, restarted: bool) -> None:
    hub = begun(NewsHub(topics.open, 3))
    marks: list[str] = []

    async def first(dial: Any) -> None:
        line = dial()
        await line.until(lambda: b"retry" in line.content)
        marks.append(line.content.decode().partition("\n")[0].removeprefix("id: "))
        for number in range(heard):
            topics.put(JOINT_EVENTS, str(number).encode(), partition=number % 3)
        await line.until(lambda: len(told(line.content)) == heard)
        marks.extend(event["id"] for event in told(line.content))

    converse(hub, first)
    for number in range(heard, heard + 5):
        topics.put((JOINT_EVENTS, RETRACTIONS)[number % 2], str(number).encode(), partition=number % 3)
    if restarted:
        hub.stop()
        hub = begun(NewsHub(topics.open, 3))
    else:
        wait_until(lambda: sum(hub._next.values()) == heard + 5)

    async def again(dial: Any) -> None:
        line = dial(marks[-1])
        await line.until(lambda: len(told(line.content)) == 5)
        topics.put(RETRACTIONS, b"last")
        await line.until(lambda: len(told(line.content)) == 6)
        assert [event["data"] for event in told(line.content)] == [*map(str, range(heard, heard + 5)), "last"]

    converse(hub, again)
    hub.stop()


@pytest.mark.parametrize("mark", ["joint-events=3", "retractions=99", "nonsense", "<script>"])
def test_who_missed_what_is_not_kept_is_told_to_look_anew(hub: NewsHub, topics: Topics, mark: str) -> None:
    for number in range(MAX_KEPT + 10):
        topics.put(JOINT_EVENTS, str(number).encode())
    topics.put(RETRACTIONS, b"0")
    begun(hub)

    async def talk(dial: Any) -> None:
        line = dial(mark)
        await line.until(lambda: RESET in line.content)
        topics.put(JOINT_EVENTS, b"new")
        await line.until(lambda: b"data: new" in line.content)
        assert [event["data"] for event in told(line.content)] == ["{}", "new"]

    converse(hub, talk)


def test_a_silent_stream_beats(hub: NewsHub) -> None:
    begun(hub)

    async def talk(dial: Any) -> None:
        line = dial()
        await line.until(lambda: line.content.count(b": heartbeat\n\n") >= 3)
        assert told(line.content) == []

    converse(hub, talk, stream_heartbeat_s=0.02)


def test_a_slow_reader_is_dropped_and_holds_up_nobody(hub: NewsHub, topics: Topics) -> None:
    begun(hub)

    async def talk(dial: Any) -> None:
        slow, quick = dial(), dial()
        for line in (slow, quick):
            await line.until(lambda line=line: b"retry" in line.content)
        slow.blocked = asyncio.Event()
        for number in range(MAX_WAITING + 5):
            topics.put(JOINT_EVENTS, str(number).encode())
            if number % 50 == 0:
                await quick.until(lambda number=number: f"data: {number}\n".encode() in quick.content)
        await quick.until(lambda: len(told(quick.content)) == MAX_WAITING + 5)
        assert not slow.is_done
        slow.blocked.set()
        await slow.until(lambda: slow.is_done)
        assert slow.content.endswith(stream.DROPPED)
        assert len(told(slow.content)) < MAX_WAITING
        assert len(hub._readers) == 1

    converse(hub, talk)


def test_a_reader_who_takes_nothing_for_long_is_let_go(hub: NewsHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PATIENCE_S", 0.05)
    begun(hub)

    async def talk(dial: Any) -> None:
        line = dial()
        await line.until(lambda: b"retry" in line.content)
        line.blocked = asyncio.Event()
        await line.until(lambda: not hub._readers)

    converse(hub, talk, stream_heartbeat_s=0.02)


def test_only_so_many_may_listen_and_places_are_freed(hub: NewsHub) -> None:
    begun(hub)

    async def talk(dial: Any) -> None:
        lines = [dial() for _ in range(3)]
        for line in lines:
            await line.until(lambda line=line: b"retry" in line.content)
        refused = dial()
        await refused.until(lambda: refused.is_done)
        assert refused.status == 503
        assert json.loads(refused.content)["detail"].startswith("As many readers")
        lines[0].gone.set()
        await lines[1].until(lambda: len(hub._readers) == 2)
        taken = dial()
        await taken.until(lambda: b"retry" in taken.content)

    converse(hub, talk)


def test_streams_end_with_the_service(hub: NewsHub) -> None:
    begun(hub)

    async def talk(dial: Any) -> None:
        line = dial()
        await line.until(lambda: b"retry" in line.content)
        await asyncio.to_thread(hub.stop)
        await line.until(lambda: line.is_done)
        late = dial()
        await late.until(lambda: late.is_done)
        assert late.status == 503

    converse(hub, talk)


def test_a_source_that_fails_is_opened_again_and_tells_nothing_twice(
    hub: NewsHub, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.news.FIRST_PAUSE_S", 0.01)
    begun(hub)

    async def talk(dial: Any) -> None:
        line = dial()
        await line.until(lambda: b"retry" in line.content)
        topics.put(JOINT_EVENTS, b"1")
        await line.until(lambda: len(told(line.content)) == 1)
        topics.failures = 3
        topics.put(JOINT_EVENTS, b"2")
        await line.until(lambda: topics.opened >= 4)
        topics.put(JOINT_EVENTS, b"3")
        await line.until(lambda: len(told(line.content)) >= 3)
        assert [event["data"] for event in told(line.content)] == ["1", "2", "3"]

    converse(hub, talk)


def test_what_is_no_text_is_passed_over(hub: NewsHub, topics: Topics) -> None:
    begun(hub)

    async def talk(dial: Any) -> None:
        line = dial()
        await line.until(lambda: b"retry" in line.content)
        topics.put(JOINT_EVENTS, b"\xff\xfe")
        topics.put(JOINT_EVENTS, b"after")
        await line.until(lambda: b"data: after" in line.content)
        assert len(told(line.content)) == 1

    converse(hub, talk)


def test_without_a_bus_there_is_nothing_to_listen_to(client: TestClient) -> None:
    answer = client.get("/api/v1/stream")
    assert (answer.status_code, answer.content) == (204, b"")
