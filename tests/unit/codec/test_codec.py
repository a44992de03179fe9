"""JSON forms of the model: exact round trips for any value, one-sentence refusals for any damage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.codec import SCHEMAS, from_bytes, from_json, to_bytes, to_json
from graph.errors import MalformedPacketError, UnknownSchemaError, WireError
from graph.model import (
    AlertTense,
    AlertType,
    Circle,
    Coincidence,
    CoincidenceState,
    Ellipse,
    Event,
    EventState,
    FollowUpList,
    Messenger,
    Notice,
    ScienceCase,
    Survey,
    SystematicError,
    Target,
    Term,
)
from graph.sky import N_PIXELS, SKY_SR, SkyMap

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
moments = st.datetimes(timezones=st.just(UTC))
scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | finite | text
extras = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
circles = st.builds(
    Circle,
    finite,
    finite,
    finite,
    finite,
    st.booleans(),
    st.none() | st.builds(SystematicError, st.just((3.7, 14.3)), st.just((0.9, 0.1))),
)
ellipses = st.builds(Ellipse, finite, finite, finite, finite, finite, finite, st.booleans())
probabilities = st.dictionaries(text, finite, max_size=3)
notices = st.builds(
    Notice,
    notice_id=text,
    mission=text,
    instrument=text,
    messenger=st.sampled_from(Messenger),
    notice_type=text,
    alert_type=st.sampled_from(AlertType),
    alert_tense=st.sampled_from(AlertTense),
    event_id=text,
    event_names=st.lists(text, max_size=3).map(tuple),
    record_number=st.none() | st.integers(0, 2**40),
    trigger_time=st.none() | moments,
    alert_time=st.none() | moments,
    localization=st.none() | circles | ellipses,
    far_hz=st.none() | finite,
    p_astro=st.none() | finite,
    classification=probabilities,
    is_astrophysical_burst=st.booleans(),
    healpix_url=st.none() | text,
    extra=st.dictionaries(text, extras, max_size=3),
)
events = st.builds(
    Event,
    event_key=text,
    mission=text,
    event_id=text,
    event_names=st.lists(text, max_size=3).map(tuple),
    messenger=st.sampled_from(Messenger),
    trigger_time=st.none() | moments,
    state=st.sampled_from(EventState),
    alert_tense=st.sampled_from(AlertTense),
    revision=st.integers(0, 1000),
    notice_ids=st.lists(text, max_size=3).map(tuple),
    localization=st.none() | circles | ellipses,
    localization_notice_id=st.none() | text,
    far_hz=st.none() | finite,
    p_astro=st.none() | finite,
    classification=probabilities,
    is_astrophysical_burst=st.booleans(),
)
terms = st.lists(
    st.builds(Term, text, finite, st.dictionaries(text, st.none() | finite | text, max_size=3)), max_size=3
).map(tuple)
coincidences = st.builds(
    Coincidence,
    survey=st.sampled_from(Survey),
    object_id=text,
    event_key=text,
    delta_t_s=finite,
    credible_level=finite,
    separation_deg=st.none() | finite,
    p_chance=finite,
    joint_far_hz=finite,
    log_bayes_factor=finite,
    terms=terms,
    state=st.sampled_from(CoincidenceState),
    revision=st.integers(0, 1000),
)
targets = st.builds(
    Target,
    rank=st.integers(1, 1000),
    survey=st.sampled_from(Survey),
    object_id=text,
    ra_deg=finite,
    dec_deg=finite,
    score=finite,
    terms=terms,
    event_key=st.none() | text,
    top_class=st.none() | text,
    class_probability=st.none() | finite,
    latest_mag=st.none() | finite,
    first_midpoint_mjd_tai=finite,
    p_chance=st.none() | finite,
    joint_far_hz=st.none() | finite,
)
lists = st.builds(
    FollowUpList, st.sampled_from(ScienceCase), st.integers(1, 99), text, st.lists(targets, max_size=3).map(tuple)
)


@settings(deadline=None)
@given(st.one_of(notices, events, coincidences, targets, lists))
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    payload = to_bytes(value)
    assert from_bytes(type(value), payload) == value
    assert to_bytes(from_bytes(type(value), payload)) == payload
    assert orjson.loads(payload)["$schema"] == SCHEMAS[type(value)]


NOTICE = Notice(
    notice_id="00ff",
    mission="Fermi",
    instrument="GBM",
    messenger=Messenger.EM,
    notice_type="FERMI_GBM_FIN_POS",
    alert_type=AlertType.UPDATE,
    alert_tense=AlertTense.CURRENT,
    event_id="611989445",
    event_names=("bn200524211",),
    record_number=None,
    trigger_time=datetime(2020, 5, 24, 5, 4, 0, 123456, tzinfo=UTC),
    alert_time=None,
    localization=Circle(208.92, 62.44, 1.08, 0.68),
    classification={"GRB": 0.96},
)


def test_the_keys_are_the_names_of_the_model() -> None:
    body = to_json(NOTICE)
    assert set(body) == {"$schema", *NOTICE.__dataclass_fields__}
    assert body["trigger_time"] == "2020-05-24T05:04:00.123456Z"
    assert body["messenger"] == "EM"


def test_times_of_another_zone_are_the_same_moment() -> None:
    moment = datetime(2020, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))
    body = to_json(Notice(**{**as_fields(NOTICE), "alert_time": moment}))
    assert body["alert_time"] == "2020-01-01T03:00:00.000000Z"
    assert from_json(Notice, body).alert_time == moment


def as_fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def test_a_sky_map_travels_inside() -> None:
    skymap = SkyMap(np.array([0]), np.array([N_PIXELS]), np.array([1 / SKY_SR]))
    back = from_bytes(Notice, to_bytes(Notice(**{**as_fields(NOTICE), "localization": skymap}))).localization
    assert isinstance(back, SkyMap)
    assert back.start.tolist() == [0]
    assert back.probability_density_sr.tolist() == skymap.probability_density_sr.tolist()


def test_a_number_that_is_not_finite_is_not_published() -> None:
    with pytest.raises(ValueError, match="no JSON form"):
        to_bytes(Notice(**{**as_fields(NOTICE), "far_hz": float("nan")}))


def test_foreign_content_of_any_kind_is_kept_as_far_as_json_goes() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    extra = {"nan": float("nan"), "big": 2**70, "bytes": b"x", "deep": deep, "ok": [1, {"a": None}]}
    back = from_bytes(Notice, to_bytes(Notice(**{**as_fields(NOTICE), "extra": extra}))).extra
    assert back["nan"] is None
    assert back["big"] == str(2**70)
    assert back["ok"] == [1, {"a": None}]


@pytest.mark.parametrize(
    "change",
    [
        {"mission": None},
        {"mission": 3},
        {"messenger": "em"},
        {"event_names": "bn"},
        {"event_names": [1]},
        {"record_number": True},
        {"record_number": 1.5},
        {"trigger_time": "yesterday"},
        {"trigger_time": "0001-01-01T00:00:00+14:00"},
        {"localization": {"kind": "square"}},
        {"localization": {"kind": "circle", "ra_deg": 1.0}},
        {"localization": {"kind": ["circle"]}},
        {"localization": {"kind": "skymap", "skymap": "no base64!"}},
        {"localization": {"kind": "skymap", "skymap": "AAAA"}},
        {"localization": {"kind": "skymap"}},
        {"localization": "here"},
        {"far_hz": "high"},
        {"far_hz": True},
        {"classification": {"GRB": "yes"}},
        {"classification": []},
        {"is_astrophysical_burst": 1},
        {"extra": []},
    ],
)
def test_a_wrong_field_is_refused_by_name(change: dict[str, object]) -> None:
    body = {**to_json(NOTICE), **change}
    with pytest.raises(MalformedPacketError, match=f"{next(iter(change))}|sky map"):
        from_json(Notice, body)


@pytest.mark.parametrize("name", ["notice_id", "mission", "trigger_time", "localization"])
def test_an_absent_field_is_refused_by_name(name: str) -> None:
    body = to_json(NOTICE)
    del body[name]
    with pytest.raises(MalformedPacketError, match=name):
        from_json(Notice, body)


def test_fields_with_a_default_may_be_absent_and_unknown_ones_are_passed_over() -> None:
    body = to_json(NOTICE)
    del body["p_astro"], body["extra"]
    body["a_field_of_tomorrow"] = 1
    assert from_json(Notice, body) == NOTICE


@pytest.mark.parametrize("schema", [None, "heliograph/notice/2", "heliograph/event/1", 5, ["x"]])
def test_another_schema_is_refused(schema: object) -> None:
    with pytest.raises(UnknownSchemaError):
        from_json(Notice, {**to_json(NOTICE), "$schema": schema})


def damaged(at: int, by: int) -> bytes:
    payload = bytearray(to_bytes(NOTICE))
    payload[at % len(payload)] ^= by
    return bytes(payload)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.builds(damaged, st.integers(0, 10_000), st.integers(1, 255)))
def test_any_bytes_give_a_notice_or_a_wire_error(payload: bytes) -> None:
    try:
        notice = from_bytes(Notice, payload)
    except WireError:
        return
    assert isinstance(notice, Notice)
