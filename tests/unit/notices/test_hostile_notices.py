"""Generated packets of each form, and what happens when they lie, break or attack."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import fastavro
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import MalformedPacketError, UnknownSchemaError, UnsupportedNoticeError, WireError
from graph.model import AlertTense, AlertType, Circle, Ellipse, Messenger
from graph.sky import SkyMap
from ingest.notices.lines import notice_line
from ingest.notices.registry import TOPICS, parse_notice, topic_of

GBM_SCHEMA = "https://gcn.nasa.gov/schema/main/gcn/notices/fermi/gbm/trigger.schema.json"


def voevent(
    packet_type: int | str = 61,
    *,
    params: str = '<Param name="TrigID" value="42"/><Param name="Coords_Type" value="1"/>',
    time: str = "2024-01-02T03:04:05.5",
    place: tuple[object, object, object] = (10.0, -20.0, 0.05),
    role: str = "observation",
    head: str = "",
    extra: str = "",
    date: str = "2024-01-02T03:05:00",
) -> bytes:
    ra, dec, radius = place
    return f"""<?xml version="1.0"?>{head}
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="ivo://test/x#1" role="{role}" version="2.0">
<Who><Date>{date}</Date></Who>
<What><Param name="Packet_Type" value="{packet_type}"/>{params}</What>
<WhereWhen><ObsDataLocation><ObservationLocation><AstroCoords coord_system_id="UTC-FK5-GEO">
<Time unit="s"><TimeInstant><ISOTime>{time}</ISOTime></TimeInstant></Time>
<Position2D unit="deg"><Value2><C1>{ra}</C1><C2>{dec}</C2></Value2><Error2Radius>{radius}</Error2Radius></Position2D>
</AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>{extra}
</voe:VOEvent>""".encode()


def gbm(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "$schema": GBM_SCHEMA,
        "alert_datetime": "2024-01-02T03:05:00",
        "alert_type": "update",
        "id": ["42", "bn240102128"],
        "trigger_time": "2024-01-02T03:04:05.5",
        "ra": 10.0,
        "dec": -20.0,
        "ra_dec_error": 3.0,
        "containment_probability": 0.68,
        "subtype": "GROUND_POSITION",
    } | changes
    return json.dumps({key: value for key, value in fields.items() if value is not ...}).encode()


def skymap_bytes() -> bytes:
    columns = [fits.Column("UNIQ", "K", array=np.arange(4, 16)), fits.Column("PROBDENSITY", "D", array=np.ones(12))]
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(buffer)
    return buffer.getvalue()


def gw_alert(**changes: object) -> dict[str, Any]:
    event = {
        "time": "2024-01-02T03:04:05.678Z",
        "far": 1e-9,
        "significant": True,
        "search": "AllSky",
        "classification": {"BNS": 0.9, "Terrestrial": 0.1},
        "properties": {"HasNS": 1.0},
        "skymap": base64.b64encode(skymap_bytes()).decode(),
    } | changes
    return {
        "alert_type": "INITIAL",
        "time_created": "2024-01-02T03:10:00Z",
        "superevent_id": "S240102a",
        "urls": {},
        "event": event,
        "external_coinc": None,
    }


def test_voevent_in_our_words() -> None:
    payload = voevent()
    notice = parse_notice(payload)
    assert notice.event_key == "Swift:42"
    assert notice.notice_id == hashlib.sha256(payload).hexdigest()[:32]
    assert notice.trigger_time == datetime(2024, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)
    assert notice.localization == Circle(10.0, -20.0, 0.05, 0.9, systematic_included=True)
    assert notice.messenger is Messenger.EM
    assert topic_of(notice) == "gcn.classic.voevent.SWIFT_BAT_GRB_POS_ACK"
    json.dumps(dict(notice.extra))


def test_json_in_our_words() -> None:
    notice = parse_notice(gbm())
    assert notice.event_id == "42"
    assert notice.event_names == ("bn240102128",)
    assert notice.notice_type == "FERMI_GBM_GND_POS"
    assert isinstance(notice.localization, Circle)
    assert notice.localization.systematic is not None
    assert notice.localization.systematic.sigma_deg == pytest.approx((0.66 * 3.72, 0.66 * 13.7))
    assert topic_of(notice) == "gcn.notices.fermi.gbm.trigger"
    assert TOPICS["gcn.notices.fermi.gbm.trigger"](gbm()) == notice


def test_gw_alert_as_json_and_avro() -> None:
    notice = parse_notice(json.dumps(gw_alert()).encode())
    assert isinstance(notice.localization, SkyMap)
    assert notice.p_astro == pytest.approx(0.9)
    assert notice.alert_tense is AlertTense.CURRENT
    assert parse_notice(json.dumps(gw_alert(search="MDC")).encode()).alert_tense is AlertTense.TEST
    assert notice_line("f", notice)["localization_kind"] == "skymap"


def test_line_of_a_time_only_notice_is_all_there() -> None:
    line = notice_line("a.xml", parse_notice(voevent(62, place=(0, 0, 0))))
    assert line["localization_kind"] == "none"
    assert line["trigger_time"] == "2024-01-02T03:04:05.500000Z"
    assert line["ra_deg"] is line["area_90_deg2"] is line["far_hz"] is None


@pytest.mark.parametrize("place", [(0, 0, 0), (-1, -1, -1), (10, 20, 0), (10, 20, -1), (10, 20, 360), ("", "", "")])
def test_ways_to_say_nowhere(place: tuple[object, object, object]) -> None:
    assert parse_notice(voevent(place=place)).localization is None


@pytest.mark.parametrize("coords_type", [0, 2])
def test_pointing_is_no_position(coords_type: int) -> None:
    params = f'<Param name="TrigID" value="42"/><Param name="Coords_Type" value="{coords_type}"/>'
    assert parse_notice(voevent(params=params)).localization is None


@pytest.mark.parametrize("place", [("nan", 0, 1), ("inf", 0, 1), (400, 0, 1), (1, 91, 1), ("1e999", 0, 1), ("a", 0, 1)])
def test_places_off_the_sky_are_refused(place: tuple[object, object, object]) -> None:
    with pytest.raises(MalformedPacketError):
        parse_notice(voevent(place=place))


def test_test_role_and_citation_of_retraction() -> None:
    assert parse_notice(voevent(role="test")).alert_tense is AlertTense.TEST
    citation = '<Citations><EventIVORN cite="retraction">ivo://test/x#0</EventIVORN></Citations>'
    assert parse_notice(voevent(extra=citation)).alert_type is AlertType.RETRACTION


@given(day=st.integers(9000, 19000), second=st.floats(0, 86399.99))
@settings(max_examples=40, deadline=None)
def test_day_number_replaces_an_impossible_date(day: int, second: float) -> None:
    params = (
        f'<Param name="TrigID" value="42"/><Param name="Burst_TJD" value="{day}"/>'
        f'<Param name="Burst_SOD" value="{second!r}"/>'
    )
    notice = parse_notice(voevent(params=params, time="2024-01-00T00:00:00"))
    assert notice.trigger_time is not None
    # JD of the same day by the calendar: 1968-05-24 is TJD 0.
    elapsed = notice.trigger_time - datetime(1968, 5, 24, tzinfo=UTC)
    assert elapsed.days == day
    assert elapsed.seconds + elapsed.microseconds * 1e-6 == pytest.approx(second, abs=2e-6)


@pytest.mark.parametrize(("day", "second"), [(-4651, 1.0), (32156, 1.0), (15000, -1494.0), (10**9, 0.0)])
def test_garbage_day_numbers_are_refused(day: int, second: float) -> None:
    params = f'<Param name="Burst_TJD" value="{day}"/><Param name="Burst_SOD" value="{second}"/>'
    with pytest.raises(MalformedPacketError):
        parse_notice(voevent(params=params, time="2024-01--5T00:00:00"))


def test_leap_second_and_barycentric_time() -> None:
    leap = parse_notice(voevent(time="2016-12-31T23:59:60.5", date="2017-01-01T00:01:00")).trigger_time
    assert leap == datetime(2017, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)
    with pytest.raises(MalformedPacketError, match="TDB"):
        parse_notice(voevent().replace(b"UTC-FK5-GEO", b"TDB-FK5-GEO"))


BOMB = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(f'<!ENTITY b{i} "{"&a;" * 50}">' for i in range(20)) + "]>"


@pytest.mark.parametrize(
    "head",
    [
        BOMB,
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
        "<!DOCTYPE x>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused(head: str, encoding: str) -> None:
    payload = voevent(head=head).decode().replace('<?xml version="1.0"?>', "").encode(encoding)
    with pytest.raises(MalformedPacketError, match="document type"):
        parse_notice(payload)


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(MalformedPacketError, match="larger"):
        parse_notice(voevent(extra=" " * (1 << 20)))
    with pytest.raises(MalformedPacketError):
        parse_notice(voevent(extra="<a>" * 5000 + "</a>" * 5000))
    with pytest.raises(MalformedPacketError):
        parse_notice(b'{"a":' * 100_000)
    with pytest.raises(MalformedPacketError, match="larger"):
        parse_notice(b'{"a":"' + b"x" * (17 << 20) + b'"}')


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", MalformedPacketError),
        (b"hello", MalformedPacketError),
        (b"[1]", MalformedPacketError),
        (b'{"a": NaN}', MalformedPacketError),
        (b"<a/>", MalformedPacketError),
        (b"{}", UnsupportedNoticeError),
        (voevent(83), UnsupportedNoticeError),
        (voevent(9999), UnsupportedNoticeError),
        (voevent("x"), MalformedPacketError),
        (gbm(**{"$schema": "https://evil.example/x.json"}), UnknownSchemaError),
        (gbm(**{"$schema": GBM_SCHEMA.replace("trigger", "new")}), UnknownSchemaError),
        (gbm(**{"$schema": 3}), MalformedPacketError),
        (b"Obj\x01garbage", MalformedPacketError),
    ],
)
def test_refusals_by_kind(payload: bytes, error: type[WireError]) -> None:
    with pytest.raises(error) as caught:
        parse_notice(payload)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"ra": "abc"},
        {"ra": True},
        {"ra": [1]},
        {"dec": 91},
        {"ra": 1e308},
        {"far": -1},
        {"far": "x"},
        {"p_astro": 2},
        {"containment_probability": 1},
        {"containment_probability": 0},
        {"ra_dec_error": [1, 2, 3, 4]},
        {"ra_dec_error": [1, -2]},
        {"ra_dec_error": {"a": 1}},
        {"classification": [1]},
        {"classification": {"GRB": "x"}},
        {"classification": {"GRB": 7}},
        {"alert_type": "exploded"},
        {"alert_tense": 4},
        {"record_number": 1.5},
        {"record_number": 10**30},
        {"id": {"a": 1}},
        {"id": ["x" * 500]},
        {"trigger_time": "2024-13-01"},
        {"trigger_time": "9999-12-31T23:59:59-23:00"},
        {"trigger_time": "0001-01-01T00:00:00"},
        {"trigger_time": 5},
        {"ra": ..., "healpix_file": "no map"},
        {"id": ..., "trigger_time": ...},
    ],
)
def test_wrong_fields_are_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedPacketError):
        parse_notice(gbm(**changes))


def test_ellipse_has_its_major_axis_first() -> None:
    assert parse_notice(gbm(ra_dec_error=[0.5, 0.6, 0])).localization == Ellipse(10.0, -20.0, 0.6, 0.5, 90.0, 0.68)
    assert parse_notice(gbm(ra_dec_error=[0.6, 0.5, 190])).localization == Ellipse(10.0, -20.0, 0.6, 0.5, 10.0, 0.68)
    assert isinstance(parse_notice(gbm(ra_dec_error=[0.6])).localization, Circle)


def test_circle_stands_in_for_a_broken_map() -> None:
    notice = parse_notice(gbm(healpix_file="stuff"))
    assert isinstance(notice.localization, Circle)
    assert "skymap_defect" in notice.extra


def test_default_containment_is_that_of_the_schema() -> None:
    place = parse_notice(gbm(containment_probability=...)).localization
    assert isinstance(place, Circle)
    assert place.containment_probability == 0.9


def test_unknown_topic_and_test_topic() -> None:
    with pytest.raises(UnsupportedNoticeError, match="nowhere"):
        parse_notice(gbm(), "gcn.notices.nowhere")
    track = json.dumps({"id": "1_2_0", "trigger_time": "2024-01-02T03:04:05Z", "pipeline": "Gold Track Alert"}).encode()
    notice = parse_notice(track, "gcn.notices.icecube.test.gold_bronze_track_alerts")
    assert (notice.event_id, notice.alert_tense) == ("1_2", AlertTense.TEST)
    assert parse_notice(track, "gcn.notices.icecube.gold_bronze_track_alerts").alert_tense is AlertTense.CURRENT


def test_topics_cover_what_a_consumer_needs() -> None:
    for topic in (
        "igwn.gwalert",
        "gcn.notices.svom.voevent.mxt",
        "gcn.notices.km3net.voevent",
        "gcn.notices.swift.bat.guano",
        "gcn.classic.voevent.FERMI_GBM_SUBTHRESH",
        "gcn.classic.voevent.ICECUBE_CASCADE",
        "gcn.classic.voevent.LVC_RETRACTION",
    ):
        assert topic in TOPICS
    assert not any(topic.endswith("POINTDIR") for topic in TOPICS)


@pytest.mark.parametrize(
    "items", [{"type": "array", "items": "null"}, {"type": "map", "values": {"type": "array", "items": "null"}}]
)
def test_avro_schema_that_expands_is_refused(items: dict[str, object]) -> None:
    schema = {
        "type": "record",
        "name": "igwn.alerts.v1_0.Alert",
        "fields": [{"name": "superevent_id", "type": "string"}, {"name": "bomb", "type": items}],
    }
    buffer = io.BytesIO()
    bomb: object = [] if items["type"] == "array" else {}
    fastavro.writer(buffer, schema, [{"superevent_id": "S1", "bomb": bomb}])
    with pytest.raises(UnknownSchemaError):
        parse_notice(buffer.getvalue())


def test_avro_alert_and_its_truncation() -> None:
    schema = {
        "type": "record",
        "name": "igwn.alerts.v1_0.Alert",
        "fields": [{"name": name, "type": "string"} for name in ("superevent_id", "alert_type", "time_created")],
    }
    buffer = io.BytesIO()
    record = {"superevent_id": "S240102a", "alert_type": "RETRACTION", "time_created": "2024-01-02T03:10:00Z"}
    fastavro.writer(buffer, schema, [record])
    payload = buffer.getvalue()
    notice = parse_notice(payload)
    assert (notice.event_id, notice.alert_type) == ("S240102a", AlertType.RETRACTION)
    for length in range(4, len(payload) - 20, 7):
        with pytest.raises(WireError):
            parse_notice(payload[:length])


WHOLE = [voevent(), voevent(111), voevent(173), voevent(202), gbm(), json.dumps(gw_alert()).encode()]


@settings(max_examples=400, deadline=None)
@given(
    payload=st.sampled_from(WHOLE),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    topic=st.sampled_from([None, *list(TOPICS)[::9]]),
)
def test_damage_never_raises_anything_else(
    payload: bytes, cut: float, damage: list[tuple[float, int]], topic: str | None
) -> None:
    broken = bytearray(payload[: round(cut * len(payload))] if damage == [] else payload)
    for place, value in damage:
        broken[min(int(place * len(broken)), len(broken) - 1)] = value
    with contextlib.suppress(WireError):
        json.dumps(notice_line("f", parse_notice(bytes(broken), topic)), allow_nan=False)


FIELDS = ("ra", "dec", "ra_dec_error", "id", "event_name", "far", "classification", "trigger_time", "healpix_file")
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(FIELDS),
    value=_VALUES,
)
def test_values_of_any_type_never_raise_anything_else(key: str, value: object) -> None:
    with contextlib.suppress(WireError):
        json.dumps(notice_line("f", parse_notice(gbm(**{key: value}))), allow_nan=False)
