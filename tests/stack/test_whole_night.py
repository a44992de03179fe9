"""A generated night through every part, read back over the API; then the same night once more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from compose.archive import ArchiveAnswers
from compose.night import Stopwatch, run_night
from compose.testing import Installation
from graph.bus import read_all
from graph.model import ScienceCase
from graph.reader import GraphReader
from graph.topics import list_topic
from ingest.simulate import SimulatedNight, simulate_night, write_night

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

HOSTILE_QUERIES = [
    "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "LOAD CSV FROM 'http://127.0.0.1:1/' AS line RETURN line",
    "RETURN [x IN [1] | COLLECT { LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l }]",
    "MATCH (o:Object) DETACH DELETE o",
    "CREATE (:Object {object_key: 'x'}) RETURN 1",
    "SHOW SETTINGS",
    "SHOW TRANSACTIONS",
    "CALL dbms.listConfig() YIELD name RETURN name",
    "CREATE INDEX mischief FOR (o:Object) ON (o.ra_deg)",
]


def counterparts(night: SimulatedNight) -> set[tuple[str, str, str]]:
    """Return (survey, object_id, event_key) of every injected counterpart with an alert in the night."""
    rows = night.truth.select(["survey", "object_id", "mission", "event_id"]).to_pylist()
    return {
        (row["survey"], row["object_id"], f"{row['mission']}:{row['event_id']}")
        for row in rows
        if row["event_id"] is not None
    }


def run(installation: Installation, folder: Path) -> dict[str, Any]:
    return run_night(installation.settings, folder / "alerts", folder / "notices", lambda *_: None, Stopwatch())


def list_messages(installation: Installation) -> list[bytes]:
    cases = [list_topic(case) for case in ScienceCase]
    return sorted(message.value() for topic in cases for message in read_all(installation.settings.kafka, topic))


def run_notebook(name: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the code cells of a notebook in order and return what they defined."""
    monkeypatch.setenv("HELIOGRAPH_GRAPH__URI", installation.settings.graph.uri)
    notebook = json.loads((Path(__file__).parents[2] / "notebooks" / name).read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), namespace)  # noqa: S102 - our own notebook
    return namespace


def test_a_night_from_end_to_end_and_once_more(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = simulate_night(
        seed=5, n_alerts_ztf=600, n_alerts_lsst=250, start=datetime(2026, 11, 20, 2, tzinfo=UTC), duration_s=3600.0
    )
    write_night(night, tmp_path / "night")
    first = run(installation, tmp_path / "night")
    assert first["ledger_balanced"]
    assert first["alerts_received"] == 850
    assert first["notices_parsed"] == first["notices_received"] == len(night.notices)
    assert first["dead_letters"] == 0
    injected = counterparts(night)
    found = {
        (row["survey"], row["object_id"], row["event_key"])
        for row in installation.query(
            "MATCH (o:Object)-[:COINCIDES_WITH {state: 'open'}]->(e:Event) "
            "RETURN o.survey AS survey, o.object_id AS object_id, e.event_key AS event_key"
        )
    }
    assert len(injected) >= 6
    missed = injected - found
    # Some counterparts lie outside the searched 95 per cent, or their own alert was screened out.
    assert len(missed) <= len(injected) // 3, missed
    assert_the_api_shows_it(installation, first)
    namespace = run_notebook("01_ask_the_graph.ipynb", installation, monkeypatch)
    assert namespace["best"].object.object_key in {f"{survey}:{object_id}" for survey, object_id, _ in found}

    lists_before = list_messages(installation)
    graph_before = fingerprint(installation)
    second = run(installation, tmp_path / "night")
    assert second["ledger_balanced"]
    assert second["alerts_received"] == 1700
    assert second["alerts_duplicate"] == first["alerts_loaded"]
    assert fingerprint(installation) == graph_before
    assert list_messages(installation) == lists_before


def fingerprint(installation: Installation) -> list[str]:
    """Return every node and relationship but the ledger, sorted as text: the database keeps no order."""
    nodes = installation.query(
        "MATCH (n) WHERE NOT n:LedgerEntry RETURN labels(n) AS labels, properties(n) AS properties"
    )
    edges = installation.query(
        "MATCH (a)-[r]->(b) WHERE NOT a:LedgerEntry "
        "RETURN type(r) AS type, properties(r) AS properties, properties(a) AS first, properties(b) AS last"
    )
    return sorted(json.dumps(item, sort_keys=True, default=str) for item in (*nodes, *edges))


def assert_what_was_seen_was_looked_at(client: TestClient, events: list[dict[str, Any]]) -> None:
    """Each newest detection of a candidate, as the graph has it, is one of the visits that the archive tells of."""
    small = [event for event in events if event["localization"] and (event["localization"]["area_90_deg2"] or 99.0) < 1]
    candidates = 0
    for event in small:
        path = f"/api/v1/events/{event['event_key']}"
        answer = client.get(f"{path}/visits", params={"limit": 500}).json()
        looked = {(visit["survey"], round(visit["midpoint_mjd_tai"] * 86_400)) for visit in answer["items"]}
        for candidate in client.get(f"{path}/candidates", params={"state": "open"}).json()["items"]:
            seen = candidate["object"]
            assert (seen["survey"], round(seen["last_midpoint_mjd_tai"] * 86_400)) in looked
            candidates += 1
    assert candidates > 0


def assert_the_api_shows_it(installation: Installation, summary: dict[str, Any]) -> None:
    with (
        GraphReader.open(installation.settings.graph) as reader,
        TestClient(create_app(ApiSettings(), reader, visits=ArchiveAnswers.of(installation.settings))) as client,
    ):
        assert client.get("/api/v1/health").json()["status"] == "ok"
        events = client.get("/api/v1/events", params={"limit": 50}).json()["items"]
        assert len(events) == summary["events"]
        retracted = [event for event in events if event["state"] == "retracted"]
        assert [event["n_open_coincidences"] for event in retracted] == [0]
        busiest = max(events, key=lambda event: event["n_open_coincidences"])
        candidates = client.get(f"/api/v1/events/{busiest['event_key']}/candidates").json()["items"]
        assert len(candidates) == busiest["n_open_coincidences"]
        assert sum(event["n_open_coincidences"] for event in events) == summary["coincidences"]
        assert_what_was_seen_was_looked_at(client, events)
        for case, n_targets in summary["lists"].items():
            answer = client.get(f"/api/v1/lists/{case}", params={"limit": 500})
            if n_targets == 0:
                continue
            targets = answer.json()["targets"]
            assert len(targets) == n_targets
            assert [target["rank"] for target in targets] == list(range(1, n_targets + 1))
            for target in targets:
                assert target["score"] == pytest.approx(sum(term["value"] for term in target["terms"]))
        target = client.get("/api/v1/lists/grb").json()["targets"][0]
        shown = client.get(f"/api/v1/objects/{target['survey']}/{target['object_id']}").json()
        assert shown["object"]["object_id"] == target["object_id"]
        counted = client.post("/api/v1/cypher", json={"query": "MATCH (d:Detection) RETURN count(d) AS n"}).json()
        assert counted["rows"] == [[summary["detections"]]]
        for query in HOSTILE_QUERIES:
            refused = client.post("/api/v1/cypher", json={"query": query})
            assert refused.status_code == 400, query
            assert refused.headers["content-type"] == "application/problem+json"
        assert installation.query("MATCH (o:Object) RETURN count(o) AS n")[0]["n"] == summary["objects"]
