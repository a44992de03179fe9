"""The schema registry's client against a real HTTP server that behaves, and that does not."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro
import pytest

from graph.errors import ConfigurationError, SchemaRegistryError, UnknownSchemaError
from graph.model import Survey
from ingest.alerts import schema_registry
from ingest.alerts.decode import AlertDecoder
from ingest.alerts.library import MAX_QUESTIONS_PER_BATCH
from ingest.alerts.schema_registry import ABSENT_S, DOWN_S, MAX_ANSWER_BYTES, SchemaRegistry, open_registry

USER, PASSWORD = "reader", "open sesame: ü"

SOURCE = {
    "type": "record",
    "name": "diaSource",
    "fields": [
        {"name": name, "type": kind}
        for name, kind in {
            "diaSourceId": "long",
            "ra": "double",
            "dec": "double",
            "midpointMjdTai": "double",
            "band": "string",
            "psfFlux": "float",
            "diaObjectId": "long",
        }.items()
    ],
}
SCHEMA: dict[str, Any] = {"type": "record", "name": "alert", "fields": [{"name": "diaSource", "type": SOURCE}]}
GOOD = {"schema": json.dumps(SCHEMA)}
ABSENT = {"error_code": 40403, "message": "Schema not found"}

Reply = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Answers each path as it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, Reply] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, schema_id: int, body: object, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()

        def reply(handler: Handler) -> None:
            handler.answer(status, data, headers)

        self.replies[f"/schemas/ids/{schema_id}"] = reply


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(self.path)
        reply = server.replies.get(self.path)
        with suppress(OSError):
            if reply is None:
                self.answer(404, json.dumps(ABSENT).encode(), {})
            else:
                reply(self)

    def answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server uses
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _message(schema_id: int) -> bytes:
    source = {"diaSourceId": 9, "ra": 1.0, "dec": 2.0, "midpointMjdTai": 61000.5, "band": "r", "psfFlux": 3.0}
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), {"diaSource": source | {"diaObjectId": 5}})
    return struct.pack(">bi", 0, schema_id) + stream.getvalue()


def test_a_schema_is_asked_for_once(server: Server) -> None:
    server.say(70001, GOOD)
    decoder = AlertDecoder(Survey.LSST, registry=SchemaRegistry(server.url))
    for _ in range(3):
        columns, rejects = decoder.decode([_message(70001)] * 20)
        assert rejects == []
        assert columns.detection_id.tolist() == [9] * 20
    assert server.asked == ["/schemas/ids/70001"]


def test_published_schemas_are_not_asked_for(server: Server) -> None:
    decoder = AlertDecoder(Survey.LSST, registry=SchemaRegistry(server.url))
    decoder.decode([_message(1101)])
    assert server.asked == []


def test_absent_ids_are_remembered_for_a_while(server: Server) -> None:
    clock = Clock()
    registry = SchemaRegistry(server.url, clock=clock)
    decoder = AlertDecoder(Survey.LSST, registry=registry)
    for _ in range(3):
        _, rejects = decoder.decode([_message(70002)] * 5)
        assert {(reject.reason, reject.message) for reject in rejects} == {
            (
                "unknown_schema",
                "No schema is known for id 70002 (asked: the published schemas and the schema registry).",
            )
        }
    assert len(server.asked) == 1
    server.say(70002, GOOD)
    clock.now += ABSENT_S + 1.0
    assert decoder.decode([_message(70002)])[1] == []
    assert len(server.asked) == 2


def test_an_unknown_id_stands_in_when_the_registry_does_not_know_it(server: Server) -> None:
    _, rejects = AlertDecoder(Survey.LSST, registry=SchemaRegistry(server.url)).decode([_message(1102)])
    assert server.asked == ["/schemas/ids/1102"]
    assert "the schema registry), and the nearest, 1101, does not fit" in rejects[0].message


def test_hostile_ids_do_not_flood_the_registry(server: Server) -> None:
    decoder = AlertDecoder(Survey.LSST, registry=SchemaRegistry(server.url))
    _, rejects = decoder.decode([_message(70000 + k) for k in range(100)])
    assert len(rejects) == 100
    assert len(server.asked) == MAX_QUESTIONS_PER_BATCH


def test_ztf_can_be_framed_too(server: Server) -> None:
    server.say(5, GOOD)
    _, rejects = AlertDecoder(Survey.ZTF, registry=SchemaRegistry(server.url)).decode([_message(5)])
    assert rejects[0].reason == "unknown_schema"
    assert rejects[0].message.startswith("The schema lacks objectId, candidate.candid")


def _drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def _hang_up(handler: Handler) -> None:
    handler.connection.close()


def _noise(handler: Handler) -> None:
    handler.wfile.write(b"\x00\xff" * 100 + b"\r\n\r\n")


def _endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(2 + MAX_ANSWER_BYTES // 2**20):
        handler.wfile.write(b"x" * 2**20)


@pytest.mark.parametrize("reply", [_drip, _hang_up, _noise, _endless, lambda _: time.sleep(0.6)])
def test_a_registry_that_gives_no_answer(server: Server, monkeypatch: pytest.MonkeyPatch, reply: Reply) -> None:
    monkeypatch.setattr(schema_registry, "TIMEOUT_S", 0.3)
    server.replies["/schemas/ids/70003"] = reply
    started = time.monotonic()
    with pytest.raises(SchemaRegistryError) as caught:
        AlertDecoder(Survey.LSST, registry=SchemaRegistry(server.url)).decode([_message(70003)])
    assert caught.value.retryable
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (GOOD, 500),
        (GOOD, 503),
        (b"<html>busy</html>", 200),
        (b"", 200),
        (b"[" * 100_000, 200),
        ([], 200),
        ({"schema": 7}, 200),
        ({}, 200),
        (b"\xff\xfe", 200),
        ({"error_code": 404}, 404),
        (b"no such page", 404),
        (b"x" * (MAX_ANSWER_BYTES + 1), 200),
        (GOOD, 429),
    ],
)
def test_an_answer_that_is_none_is_tried_again(server: Server, body: object, status: int) -> None:
    server.say(70004, body, status)
    clock = Clock()
    registry = SchemaRegistry(server.url, clock=clock)
    for _ in range(3):
        with pytest.raises(SchemaRegistryError):
            registry.schema(70004)
    assert len(server.asked) == 1
    server.say(70004, GOOD)
    clock.now += DOWN_S + 1.0
    assert registry.schema(70004) == SCHEMA


@pytest.mark.parametrize(
    "schema",
    ["", "not json", '"string"', "[]", '{"type": "record"}', "[" * 90_000, '{"type":"array","items":' * 60 + '"int"'],
)
def test_a_schema_that_is_none_is_unknown(server: Server, schema: str) -> None:
    server.say(70005, {"schema": schema})
    with pytest.raises(UnknownSchemaError):
        SchemaRegistry(server.url).schema(70005)


def test_other_kinds_of_schema_are_unknown(server: Server) -> None:
    server.say(70006, GOOD | {"schemaType": "JSON"})
    with pytest.raises(UnknownSchemaError, match="no Avro record"):
        SchemaRegistry(server.url).schema(70006)


def test_a_schema_without_what_is_needed_says_so(server: Server) -> None:
    fields = [field for field in SOURCE["fields"] if field["name"] not in ("ra", "psfFlux")]  # type: ignore[index]
    schema = {**SCHEMA, "fields": [{"name": "diaSource", "type": {**SOURCE, "fields": fields}}]}
    server.say(70007, {"schema": json.dumps(schema)})
    _, rejects = AlertDecoder(Survey.LSST, registry=SchemaRegistry(server.url)).decode([_message(70007)])
    assert [(reject.reason, reject.message) for reject in rejects] == [
        ("unknown_schema", "The schema lacks diaSource.psfFlux, diaSource.ra.")
    ]


def test_credentials(server: Server) -> None:
    right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def reply(handler: Handler) -> None:
        good = handler.headers["Authorization"] == right
        handler.answer(200 if good else 401, json.dumps(GOOD).encode(), {})

    server.replies["/schemas/ids/1"] = reply
    assert SchemaRegistry(server.url + "/", USER, PASSWORD).schema(1) == SCHEMA
    for user, password in (("", ""), (USER, "wrong")):
        with pytest.raises(ConfigurationError) as caught:
            SchemaRegistry(server.url, user, password).schema(1)
        assert "wrong" not in str(caught.value)


def test_redirects_stay_on_the_host(server: Server) -> None:
    server.say(1, b"", 302, Location="/schemas/ids/2")
    server.say(2, GOOD)
    assert SchemaRegistry(server.url).schema(1) == SCHEMA
    with Server() as other:
        server.say(3, b"", 301, Location=f"{other.url}/schemas/ids/2")
        server.say(4, b"", 307, Location="file:///etc/hostname")
        server.say(5, b"", 308, Location="//example.invalid/schemas/ids/2")
        server.say(6, b"", 302, Location="/schemas/ids/6")
        server.say(7, b"", 302)
        for schema_id in range(3, 8):
            with pytest.raises(SchemaRegistryError):
                SchemaRegistry(server.url, USER, PASSWORD).schema(schema_id)
        assert other.asked == []


def test_nobody_there() -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(SchemaRegistryError, match="no answer"):
        SchemaRegistry(url).schema(1)


@pytest.mark.parametrize(
    "url",
    ["ftp://host/", "host:8081", "http://", "http://user:secret@host", "http://[::1", "http://h:99999", "http://h?q"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_registry(url, "", "")
    assert "secret" not in str(caught.value)


def test_no_address_no_registry() -> None:
    assert open_registry("", "", "") is None
