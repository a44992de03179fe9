"""Messages in JSON keep their published schemas, GCN's vocabulary and the fields of the model."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator import messages
from coordinator.avro_twin import avro_files
from coordinator.chains import JointEvent
from coordinator.event_pair_messages import PairAnnouncement, event_pair
from coordinator.message_schemas import EVENT_PAIR, FOLLOW_UP_LIST, JOINT_EVENT, RETRACTION, SCHEMAS, schema_files
from graph import codec
from graph.model import Coincidence, CoincidenceState, EventPair, EventState, FollowUpList, Messenger

ROOT = Path(__file__).resolve().parents[3]
GCN_CORE = ("Alert", "DateTime", "Event", "FollowUp", "Localization", "Reporter", "Statistics")


def round_trip(body: dict[str, object]) -> dict[str, Any]:
    """Return what a reader gets: the bytes read by another library than wrote them."""
    read: dict[str, Any] = json.loads(messages.to_bytes(body))
    return read


def three_messages(build: Any) -> list[dict[str, Any]]:
    gone = build.pair(state=CoincidenceState.WITHDRAWN)
    event = build.event(state=EventState.RETRACTED)
    return [
        round_trip(messages.joint_event(build.news())),
        round_trip(messages.retraction(build.news(gone, event, previous="ivo://a/b#1"))),
        round_trip(messages.follow_up_list(build.follow_up())),
    ]


def test_every_message_keeps_its_schema(build: Any, broken: Any, undeclared: Any) -> None:
    for body in three_messages(build):
        schema = SCHEMAS[body["$schema"]]
        assert broken(schema, body) == []
        assert undeclared(schema, body) == []


@pytest.mark.parametrize("schema", [JOINT_EVENT, RETRACTION, FOLLOW_UP_LIST], ids=lambda schema: schema["$id"])
def test_a_message_without_any_required_field_breaks_its_schema(build: Any, broken: Any, schema: Any) -> None:
    body = next(body for body in three_messages(build) if body["$schema"] == schema["$id"])
    for name in schema["required"]:
        assert broken(schema, {key: value for key, value in body.items() if key != name})
        assert broken(schema, {**body, name: object()})


def test_a_joint_event_says_what_is_known_and_nothing_else(build: Any, broken: Any) -> None:
    event = build.event(trigger_time=None, localization_notice_id=None, mission="CHIME", event_key="CHIME:1")
    bare = build.pair(terms=(), event_key="CHIME:1", separation_deg=None)
    news = build.news(bare, event, notices=messages.NoticeFacts(None, None), found=None)
    body = round_trip(messages.joint_event(news))
    absent = {"ra", "dec", "ra_dec_error", "p_astro", "classification", "alert_datetime", "trigger_time", "ref_type"}
    assert not absent & set(body)
    assert broken(JOINT_EVENT, body) == []


def test_a_joint_event_carries_evidence_and_inputs(build: Any) -> None:
    event = build.event(messenger=Messenger.GW, p_astro=0.75, far_hz=1e-9, mission="LVK", event_id="S1")
    body = round_trip(messages.joint_event(build.news(event=event)))
    assert (body["ref_type"], body["ref_instrument"], body["ref_ID"]) == ("GW", "LVK", "S1")
    assert (body["ra"], body["dec"], body["far"], body["p_astro"]) == (213.0431, 60.9053, 1.6e-7, 0.75)
    assert body["classification"] == {"KN": 0.5}
    assert sum(term["value"] for term in body["terms"]) == body["log_bayes_factor"]
    assert body["inputs"] == {
        "event_revision": 2,
        "notice_ids": ["n1", "n2"],
        "localization_notice_id": "n2",
        "classifiers": [{"classifier": "coarse-ztf", "version": "3"}],
    }
    # 2020-05-24T06:55 UTC is 58993.28819 in UTC, and TAI is 37 s ahead of it.
    assert body["observation_start"].startswith("2020-05-24T06:55:0")
    assert body["alert_datetime"] == body["observation_start"]


def test_the_first_message_is_initial_the_next_an_update_the_last_a_retraction(build: Any) -> None:
    gone = build.pair(state=CoincidenceState.WITHDRAWN)
    told = [build.news(), build.news(previous="ivo://a/b#1"), build.news(gone, previous="ivo://a/b#2")]
    assert [messages.joint_event(news)["alert_type"] for news in told] == ["initial", "update", "retraction"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"state": EventState.RETRACTED}, "retracted"),
        ({"is_astrophysical_burst": False}, "not an astrophysical"),
        ({}, "no longer lies"),
    ],
)
def test_a_retraction_says_why(build: Any, changes: dict[str, Any], word: str) -> None:
    news = build.news(build.pair(state=CoincidenceState.WITHDRAWN), build.event(**changes))
    assert word in str(messages.retraction(news)["reason"])


def test_readers_of_the_model_read_the_messages(build: Any) -> None:
    follow_up = build.follow_up()
    assert codec.from_bytes(FollowUpList, messages.to_bytes(messages.follow_up_list(follow_up))) == follow_up
    body = round_trip(messages.joint_event(build.news()))
    assert codec.from_json(Coincidence, {**body, "$schema": codec.SCHEMAS[Coincidence]}) == build.pair()


@pytest.mark.parametrize("state", list(CoincidenceState))
def test_pairs_of_events_keep_their_schema(build: Any, broken: Any, undeclared: Any, state: CoincidenceState) -> None:
    opened = state is CoincidenceState.OPEN
    pair = EventPair(
        "LVK:S1", "Fermi:1", 1.7, None, 1e-12, 5.0, build.pair().terms, state, 2, 3, "j" if opened else None
    )
    joint = JointEvent("j", ("LVK:S1", "Fermi:1"), 1e-12, 5.0, (("ztf:ZTF20abbiixp", 6.0),)) if opened else None
    first = build.event(event_key="LVK:S1", messenger=Messenger.GW, mission="LVK")
    news = PairAnnouncement(
        pair, joint, ((first, messages.NoticeFacts(None, build.trigger)),), 2, "ivo://a/b#2", "ivo://a/b#1"
    )
    body = round_trip(event_pair(news))
    assert body["alert_type"] == ("update" if opened else "retraction")
    assert (body["ref_type"], body["ref_instrument"], body["ref_ID"]) == ("GW", "LVK", "S1")
    assert broken(EVENT_PAIR, body) == []
    assert undeclared(EVENT_PAIR, body) == []


def test_a_later_version_of_a_list_is_an_update(build: Any) -> None:
    body = messages.follow_up_list(replace(build.follow_up(), version=7))
    assert (body["alert_type"], body["record_number"], body["version"]) == ("update", 7, 7)


@given(
    number=st.floats(allow_nan=False, allow_infinity=False),
    share=st.floats(0.0, 1.0),
    text=st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    inputs=st.dictionaries(st.text("abc_", min_size=1), st.none() | st.floats(-1e9, 1e9) | st.text("x<&", max_size=3)),
)
@settings(max_examples=60, deadline=None)
def test_any_pair_keeps_the_schema(
    build: Any, broken: Any, number: float, share: float, text: str, inputs: Any
) -> None:
    terms = (messages.Term("class", number, inputs),)
    pair = build.pair(object_id=text, terms=terms, delta_t_s=number, credible_level=share, p_chance=share)
    event = build.event(event_names=(text,), p_astro=share)
    body = round_trip(messages.joint_event(build.news(pair, event)))
    assert broken(JOINT_EVENT, body) == []
    assert body["object_id"] == text


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=60), number=st.integers(1, 10**6))
@settings(max_examples=60, deadline=None)
def test_an_ivorn_is_printable_whatever_the_object_is_called(build: Any, text: str, number: int) -> None:
    ivorn = messages.pair_ivorn("heliograph", build.pair(object_id=text), number, "0123456789abcdef")
    assert ivorn.isascii()
    assert not set(ivorn) & set(" <>\"'&\n\t\\")
    assert ivorn.count("#") == 1
    assert ivorn.endswith(f"/{number}-0123456789abcdef")


def test_the_ivorn_that_is_cited_is_that_of_the_standing_localization(build: Any) -> None:
    later = build.trigger + timedelta(hours=1)
    notices = [
        build.notice(notice_id="n1", extra={"ivorn": "ivo://a/b#1"}),
        build.notice(notice_id="n2", extra={"ivorn": "ivo://a/b#2"}, alert_time=later),
        build.notice(notice_id="n3", extra={}, alert_time=None),
    ]
    assert messages.notice_facts(notices, "n1") == messages.NoticeFacts("ivo://a/b#1", later)
    assert messages.notice_facts(notices, "n3") == messages.NoticeFacts("ivo://a/b#2", later)


@pytest.mark.parametrize("ivorn", [None, 7, "", "http://x", "ivo://a b", "ivo://a/<b>", "ivo://a/" + "b" * 300])
def test_what_is_no_ivorn_is_not_cited(build: Any, ivorn: object) -> None:
    assert messages.notice_facts([build.notice(extra={"ivorn": ivorn})]).ivorn is None


def test_the_published_schemas_are_those_of_the_code() -> None:
    """Written by ``schema_files`` and ``avro_files``; write them again when a message changes."""
    folder = ROOT / "docs" / "schemas"
    expected = {**schema_files(), **avro_files()}
    assert {path.name for path in folder.iterdir()} == set(expected)
    for name, content in expected.items():
        assert (folder / name).read_bytes() == content, name


def test_every_field_is_documented() -> None:
    page = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8")
    fields = {name for schema in SCHEMAS.values() for name in schema["properties"]}
    assert [name for name in sorted(fields) if f"`{name}`" not in page] == []


def test_gcn_means_the_same_by_its_words(build: Any, broken: Any, shared_data: Path) -> None:
    for body in three_messages(build):
        for name in GCN_CORE:
            path = shared_data / "notices" / "schema" / f"gcn-schema_core_{name}.schema.json"
            assert broken(json.loads(path.read_text(encoding="utf-8")), body) == [], name
