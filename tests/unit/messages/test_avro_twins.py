"""The Avro twin of a message says what the JSON says."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator import messages
from coordinator.avro_twin import avro_schema, to_avro
from coordinator.message_schemas import SCHEMAS
from graph.model import CoincidenceState


def as_json(datum: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return an Avro record as the JSON message: its dollar sign back, its optional nulls left out."""
    named = {"$schema" if key == "schema" and "$schema" in schema["properties"] else key: v for key, v in datum.items()}
    kept = {key: value for key, value in named.items() if value is not None or key in schema["required"]}
    for key, value in kept.items():
        branch = schema["properties"][key]
        if isinstance(value, list) and "properties" in branch["items"]:
            kept[key] = [as_json(item, branch["items"]) for item in value]
        elif isinstance(value, dict) and "properties" in branch:
            kept[key] = as_json(value, branch)
    return kept


def read(payload: bytes) -> dict[str, Any]:
    (datum,) = fastavro.reader(BytesIO(payload))
    return datum


def assert_twin(body: dict[str, object]) -> None:
    said = json.loads(messages.to_bytes(body))
    assert as_json(read(to_avro(body)), SCHEMAS[said["$schema"]]) == said


def test_a_twin_holds_the_whole_message(build: Any) -> None:
    gone = build.pair(state=CoincidenceState.WITHDRAWN, separation_deg=None)
    assert_twin(messages.joint_event(build.news()))
    assert_twin(messages.joint_event(build.news(gone, found=None, previous="ivo://a/b#1")))
    assert_twin(messages.retraction(build.news(gone, previous="ivo://a/b#1")))
    assert_twin(messages.follow_up_list(build.follow_up()))


@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    text=st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
)
@settings(max_examples=40, deadline=None)
def test_numbers_and_text_come_back_exactly(build: Any, numbers: list[float], text: str) -> None:
    terms = (messages.Term(text, numbers[0], {"a": numbers[1], "b": text, "c": None}),)
    assert_twin(messages.joint_event(build.news(build.pair(object_id=text, delta_t_s=numbers[2], terms=terms))))


def test_the_same_message_gives_the_same_bytes(build: Any) -> None:
    body = messages.joint_event(build.news())
    assert to_avro(body) == to_avro(dict(reversed(body.items())))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_avro(name: str) -> None:
    parsed = fastavro.parse_schema(avro_schema(name))
    assert parsed["name"].startswith("heliograph.")
    assert {field["name"] for field in avro_schema(name)["fields"]} == {
        key.lstrip("$") for key in SCHEMAS[name]["properties"]
    }
