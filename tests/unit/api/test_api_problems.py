"""Every error is a problem document, and none tells more than it should."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

BASE = "/api/v1"


def problem(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status
    assert found["type"].startswith("urn:heliograph:problem:")
    assert found["title"]
    assert found["detail"].endswith((".", "!"))
    return found


def test_unknown_things_are_404(client: TestClient) -> None:
    paths = ("/objects/ztf/NOPE", "/objects/lsst/1/detections", "/events/NOPE", "/events/NOPE/candidates", "/lists/gw")
    for path in (*paths, "/lists/grb/99", "/nothing"):
        found = problem(client.get(BASE + path), 404)
        assert found["instance"] == BASE + path
    assert "NOPE" in problem(client.get(f"{BASE}/objects/ztf/NOPE"), 404)["detail"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/events?limit=0", "query.limit"),
        ("/events?limit=many", "query.limit"),
        ("/events?messenger=pigeon", "query.messenger"),
        ("/objects/sdss/1", "path.survey"),
        ("/lists/weather", "path.case"),
        ("/lists/grb/-1", "path.version"),
        ("/lists/grb/99999999999999999999", "path.version"),
        ("/ledger?nights=0", "query.nights"),
        ("/objects/ztf/" + "x" * 65, "path.object_id"),
    ],
)
def test_wrong_values_are_422_and_say_where(client: TestClient, path: str, place: str) -> None:
    found = problem(client.get(BASE + path), 422)
    assert [one["place"] for one in found["errors"]] == [place]


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"[]", b'{"query": ""}', b'{"query": 3}', b'{"query": "RETURN 1", "extra": 1}', b"\xff\xfe", b"null"],
)
def test_wrong_bodies_are_422(client: TestClient, sent: bytes) -> None:
    answer = client.post(f"{BASE}/cypher", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    problem(answer, answer.status_code)


def test_what_was_sent_is_not_repeated(client: TestClient) -> None:
    answer = client.get(f"{BASE}/events", params={"messenger": "<script>"})
    assert "script" not in answer.text


def test_refused_query_is_400(client: TestClient) -> None:
    found = problem(client.post(f"{BASE}/cypher", json={"query": "CREATE (n)"}), 400)
    assert found["detail"] == "Only queries that read the graph are allowed here."


def test_large_body_is_413(client: TestClient, reader: Any) -> None:
    problem(client.post(f"{BASE}/cypher", json={"query": "RETURN 1", "params": {"x": "y" * 5000}}), 413)
    assert reader.calls == []


def test_wrong_method_is_405(client: TestClient) -> None:
    problem(client.delete(f"{BASE}/events"), 405)


@pytest.mark.usefixtures("down")
def test_graph_down_is_503_with_a_time_to_come_back(client: TestClient) -> None:
    for path in ("/ready", "/events", "/lists", "/lists/grb", "/counts", "/ledger", "/objects/ztf/a", "/events/a"):
        answer = client.get(BASE + path)
        problem(answer, 503)
        assert int(answer.headers["retry-after"]) > 0


def test_a_fault_of_ours_is_500_and_keeps_its_inside(client: TestClient, reader: Any) -> None:
    reader.failure = RuntimeError("secret password")
    answer = client.get(f"{BASE}/events")
    problem(answer, 500)
    assert "secret" not in answer.text
