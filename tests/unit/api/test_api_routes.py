"""What each route answers, and what it asks the graph for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from graph.model import CoincidenceState, EventState, Messenger, ScienceCase

BASE = "/api/v1"
OBJECT = f"{BASE}/objects/ztf/ZTF20abbiixp"


def body(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_object_has_both_kinds_of_time_and_its_pixel_as_text(client: TestClient) -> None:
    found = body(client, OBJECT)
    assert found["object"]["healpix29"] == "3000000000000000001"
    assert found["object"]["first_midpoint_mjd_tai"] == 58993.2410
    # 0.2410 d is 05:47:02.4 in TAI, which was 37 s ahead of UTC.
    assert found["object"]["first_midpoint_time"].startswith("2020-05-24T05:46:25.4")
    assert found["object"]["first_midpoint_time"].endswith("Z")
    assert found["object"]["last_limit_time"].startswith("2020-05-23T11:59:23")
    assert (found["object"]["last_limit_mag"], found["object"]["last_limit_band"]) == (20.4, "g")
    assert (found["object"]["first_mag"], found["object"]["first_band"]) == (19.6, "r")
    assert found["classifications"][0]["class_name"] == "SN Ia"
    assert found["matches"][0]["separation_arcsec"] == 0.4


def test_detection_identifiers_survive_readers_that_use_floats(client: TestClient) -> None:
    (item,) = body(client, f"{OBJECT}/detections")["items"]
    assert item["detection_id"] == "9007199254740993"
    assert item["psf_flux_err_njy"] is None, "NaN is not JSON"


def test_event_has_utc_and_mjd(client: TestClient) -> None:
    page = body(client, f"{BASE}/events")
    assert page["next_cursor"] == "next"
    (event,) = page["items"]
    assert event["trigger_time"] == "2020-05-24T05:03:35.700000Z"
    # Independent of graph.times: days since 2020-05-24 is MJD 58993, plus 37 s.
    assert event["trigger_mjd_tai"] == pytest.approx(58993 + (5 * 3600 + 3 * 60 + 35.7 + 37) / 86400, abs=1e-9)
    assert event["localization"]["area_90_deg2"] == 45.2
    assert event["n_open_coincidences"] == 1


def test_filters_and_cursor_reach_the_reader(client: TestClient, reader: Any) -> None:
    body(client, f"{BASE}/events?limit=7&cursor=abc&messenger=Neutrino&state=retracted")
    assert reader.calls[-1] == ("events", 7, "abc", Messenger.NEUTRINO, EventState.RETRACTED)
    body(client, f"{BASE}/events/Fermi:611989445/candidates?state=open")
    assert reader.calls[-1] == ("candidates", "Fermi:611989445", 50, CoincidenceState.OPEN)
    body(client, f"{BASE}/lists/grb?after_rank=20&limit=10")
    assert reader.calls[-1] == ("list", ScienceCase.GRB, None, 10, 20)
    body(client, f"{BASE}/lists/grb/3")
    assert reader.calls[-1] == ("list", ScienceCase.GRB, 3, 50, 0)


def test_page_size_is_bounded_by_the_settings(client: TestClient, reader: Any) -> None:
    body(client, f"{BASE}/events?limit=100000")
    assert reader.calls[-1][1] == 100


def test_event_by_bare_identifier(client: TestClient) -> None:
    found = body(client, f"{BASE}/events/611989445")
    assert found["event"]["event_key"] == "Fermi:611989445"
    assert found["notices"][0]["localization"]["error_radius_deg"] == 1.4


def test_a_target_says_why(client: TestClient) -> None:
    (target,) = body(client, f"{BASE}/lists/grb")["targets"]
    assert sum(term["value"] for term in target["terms"]) == pytest.approx(target["score"])
    assert target["terms"][1]["inputs"] == {"delta_t_s": 88992.0, "model": "v1"}
    (pair,) = body(client, f"{OBJECT}/events")["items"]
    assert sum(term["value"] for term in pair["coincidence"]["terms"]) == pytest.approx(
        pair["coincidence"]["log_bayes_factor"]
    )


def test_ledger_says_whether_it_balances(client: TestClient) -> None:
    (night,) = body(client, f"{BASE}/ledger?nights=3")["items"]
    assert night["balanced"] is True
    assert night["received"] == night["loaded"] + night["duplicates"] + night["dead"] + sum(night["filtered"].values())


def test_counts(client: TestClient) -> None:
    assert body(client, f"{BASE}/counts") == {
        "nodes": {"Object": 1, "Event": 1},
        "coincidences": {"open": 2, "withdrawn": 1, "joint_events": 0},
    }


@pytest.mark.parametrize("path", [f"{BASE}/lists", f"{BASE}/lists/grb", f"{BASE}/lists/grb/3", f"{BASE}/events"])
def test_unchanged_answers_are_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    for header in (tag, f'"other", W/{tag}', "*"):
        again = client.get(path, headers={"If-None-Match": header})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_retraction_changes_the_tag_of_a_list(client: TestClient, reader: Any) -> None:
    tag = client.get(f"{BASE}/lists/grb").headers["etag"]
    reader.retract("Fermi:611989445")
    again = client.get(f"{BASE}/lists/grb", headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.json()["targets"][0]["event_state"] == "retracted"


def test_cypher_is_bounded_by_the_settings(client: TestClient, reader: Any) -> None:
    request = {"query": "MATCH (n) RETURN n", "params": {"a": [1, {"b": None}]}}
    answer = client.post(f"{BASE}/cypher", json=request | {"max_rows": 9999})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "columns": ["n", "x"],
        "rows": [["9007199254740993", {"a": [1, None, "b"]}]],
        "truncated": False,
    }
    assert reader.calls[-1] == ("read_query", "MATCH (n) RETURN n", request["params"], 10.0, 50)
    client.post(f"{BASE}/cypher", json=request | {"max_rows": 3})
    assert reader.calls[-1][-1] == 3


def test_health_lives_without_the_graph_and_ready_does_not(client: TestClient, reader: Any) -> None:
    assert client.get(f"{BASE}/health").json() == {"status": "ok", "graph_reachable": True}
    assert client.get(f"{BASE}/ready").json() == {"status": "ready"}
    from graph.errors import StoreError

    reader.failure = StoreError("The graph cannot be reached.")
    assert client.get(f"{BASE}/health").json() == {"status": "ok", "graph_reachable": False}
    assert client.get(f"{BASE}/ready").status_code == 503
