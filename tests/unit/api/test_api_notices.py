"""Notices over HTTP: only from those who know the token, bounded, and taken only once Kafka has them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from api.notices import NoticeReceipt
from api.testing import FakeReader
from graph.errors import PublishError, UnsupportedNoticeError

AUTHORIZED = {"Authorization": "Bearer a-token", "Content-Type": "application/xml"}


class Intake:
    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str | None]] = []
        self.failure: Exception | None = None

    def put(self, payload: bytes, topic: str | None) -> NoticeReceipt:
        if self.failure is not None:
            raise self.failure
        self.taken.append((payload, topic))
        return NoticeReceipt("a" * 32, f"{topic or 'heliograph.unrecognised-notices'}/1/42")


@pytest.fixture
def intake() -> Intake:
    return Intake()


def client_of(reader: FakeReader, intake: Intake | None, known: str = "a-token") -> TestClient:
    settings = ApiSettings(notice_token=SecretStr(known), max_notice_bytes=100_000, max_body_bytes=2048)
    return TestClient(create_app(settings, reader, intake=intake), raise_server_exceptions=False)


def post(client: TestClient, body: bytes = b"<x/>", query: str = "", **headers: str) -> Any:
    return client.post(f"/api/v1/notices{query}", content=body, headers={**AUTHORIZED, **headers})


def test_a_notice_is_accepted_with_its_identity(reader: FakeReader, intake: Intake) -> None:
    answer = post(client_of(reader, intake), b"\x00\xff<x/>", "?topic=igwn.gwalert")
    assert answer.status_code == 202
    assert answer.json() == {"notice_id": "a" * 32, "source": "igwn.gwalert/1/42"}
    assert answer.headers["cache-control"] == "no-store"
    assert intake.taken == [(b"\x00\xff<x/>", "igwn.gwalert")]


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Bearer a-token-and-more", "Basic a-token", "a-token"])
def test_without_the_token_nothing_is_taken(reader: FakeReader, intake: Intake, given: str) -> None:
    answer = post(client_of(reader, intake), Authorization=given)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "urn:heliograph:problem:unauthorized"
    assert "a-token" not in answer.text
    assert not intake.taken


def test_the_scheme_is_told_in_any_case(reader: FakeReader, intake: Intake) -> None:
    assert post(client_of(reader, intake), Authorization="bearer a-token").status_code == 202


def test_a_service_without_a_token_takes_nothing(reader: FakeReader, intake: Intake) -> None:
    for given in ("Bearer ", "Bearer x", ""):
        assert post(client_of(reader, intake, known=""), Authorization=given).status_code == 403
    assert post(client_of(reader, None)).status_code == 403
    assert not intake.taken


def test_the_token_is_asked_for_before_anything_is_read_or_told(reader: FakeReader, intake: Intake) -> None:
    client = client_of(reader, intake)
    wrong = {"Authorization": "Bearer wrong"}
    assert post(client, b"x" * 200_000, **wrong).status_code == 401
    assert post(client, b"x", **{**wrong, "Content-Type": "image/png"}).status_code == 401
    assert post(client, b"x", "?topic=a%20b", **wrong).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"), [(b"x" * 100_000, 202), (b"x" * 100_001, 413), (b"x" * 2049, 202), (b"", 422)]
)
def test_size_is_bounded_by_its_own_setting(reader: FakeReader, intake: Intake, body: bytes, status: int) -> None:
    assert post(client_of(reader, intake), body).status_code == status
    assert [len(payload) for payload, _ in intake.taken] == ([len(body)] if status == 202 else [])


def test_other_routes_keep_their_bound(reader: FakeReader, intake: Intake) -> None:
    body = b'{"query": "' + b"x" * 4000 + b'"}'
    answer = client_of(reader, intake).post(
        "/api/v1/cypher", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("kind", ["", "image/png", "application/x-www-form-urlencoded", "multipart/form-data", "xml"])
def test_other_media_types_are_refused(reader: FakeReader, intake: Intake, kind: str) -> None:
    assert post(client_of(reader, intake), **{"Content-Type": kind}).status_code == 415
    assert not intake.taken


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "TEXT/XML", "avro/binary"])
def test_media_types_are_told_whatever_stands_around_them(reader: FakeReader, intake: Intake, kind: str) -> None:
    assert post(client_of(reader, intake), **{"Content-Type": kind}).status_code == 202


def test_kafka_down_is_said_and_when_to_come_again(reader: FakeReader, intake: Intake) -> None:
    intake.failure = PublishError("Kafka cannot be reached, so the notice was not taken.")
    answer = post(client_of(reader, intake))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["detail"].startswith("Kafka cannot be reached")


def test_a_topic_that_nobody_reads_is_a_wrong_value(reader: FakeReader, intake: Intake) -> None:
    intake.failure = UnsupportedNoticeError("No parser is registered for the topic x.")
    assert post(client_of(reader, intake), query="?topic=x").status_code == 422
    assert post(client_of(reader, intake), query="?topic=a%0Ab").status_code == 422


def test_the_token_is_not_told_by_the_settings() -> None:
    assert "a-token" not in repr(ApiSettings(notice_token=SecretStr("a-token")))


def test_a_token_beyond_ascii_is_compared_as_it_is_sent(reader: FakeReader, intake: Intake) -> None:
    # Headers are latin-1 on the way in; a token in another alphabet can never match, and must not fail either.
    assert post(client_of(reader, intake, known="ключ")).status_code == 401
