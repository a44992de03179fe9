"""JSON as brokers distribute it, replayed: good rows are decoded to what they say, bad ones are passed on."""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import math
import re
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import MalformedPacketError
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.recorded import json_alerts, json_rows
from ingest.recorded.json_alerts import MAX_PASSED_ON_BYTES, ROWS_AT_ONCE, holds_alerts, iter_json, read_packet
from ingest.recorded.json_rows import JsonRow, parse_row, split_rows
from ingest.replay import is_alert_json, iter_alert_messages, iter_notice_messages

if TYPE_CHECKING:
    from pathlib import Path

BIG = 2**53 + 1


def alert(number: int, **other: object) -> dict[str, Any]:
    source = {
        "diaSourceId": number,
        "diaObjectId": number + 1,
        "midpointMjdTai": 61000.5,
        "band": "g",
        "psfFlux": 1.5,
        "psfFluxErr": 0.5,
        "ra": 10,
        "dec": -5.25,
    }
    return {"diaSourceId": number, "diaSource": source | other, "prvDiaSources": []}


def packet_of(message: bytes) -> dict[str, Any]:
    (packet,) = fastavro.reader(io.BytesIO(message))
    assert isinstance(packet, dict)
    return packet


def replay(text: str | bytes) -> list[bytes]:
    return [message for _, message in iter_json(text.encode() if isinstance(text, str) else text, "some.json")]


def ids(messages: list[bytes]) -> list[int | None]:
    return [packet_of(m)["diaSource"]["diaSourceId"] if m.startswith(b"Obj\x01") else None for m in messages]


def tolerant(text: str) -> Any:
    """Read JSON with trailing commas by another way than the code."""
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))


def test_recorded_packets_are_decoded_to_what_they_say(shared_data: Path) -> None:
    for name in ("lasair_schema10_0_alert.json", "lasair_schema7_1_alert.json"):
        path = shared_data / "alerts" / "lsst_json" / name
        expected = json.loads(path.read_text())
        ((survey, message),) = iter_alert_messages(path)
        assert survey is Survey.LSST
        columns, rejects = AlertDecoder(Survey.LSST).decode([message])
        assert rejects == []
        own = expected["diaSource"]
        assert columns.detection_id.tolist() == [own["diaSourceId"]]
        assert columns.object_id.tolist() == [str(expected["diaObject"]["diaObjectId"])]
        assert (columns.ra_deg[0], columns.dec_deg[0]) == (own["ra"], own["dec"])
        assert (columns.midpoint_mjd_tai[0], columns.psf_flux_njy[0]) == (own["midpointMjdTai"], own["psfFlux"])
        points = [own, *expected["prvDiaSources"]]
        assert sorted(columns.light_curves.midpoint_mjd_tai) == sorted(p["midpointMjdTai"] for p in points)
        assert sorted(columns.light_curves.psf_flux_njy) == sorted(p["psfFlux"] for p in points)


def test_recorded_cutouts_are_bytes_again(shared_data: Path) -> None:
    path = shared_data / "alerts" / "lsst_json" / "lasair_schema7_1_alert.json"
    ((_, message),) = iter_alert_messages(path)
    assert packet_of(message)["cutoutDifference"] == base64.b64decode("MAo=")


def test_recorded_objects_give_the_packet_of_their_newest_detection(shared_data: Path) -> None:
    path = shared_data / "alerts" / "lsst_json" / "lvra_20260202.json.gz"
    rows = tolerant(gzip.decompress(path.read_bytes()).decode())
    messages = [message for _, message in iter_alert_messages(path)]
    assert len(messages) == len(rows) == 44
    columns, rejects = AlertDecoder(Survey.LSST).decode(messages)
    assert [reject.row for reject in rejects] == [i for i, row in enumerate(rows) if "alert" not in row]
    for place, row in enumerate(columns.row.tolist()):
        sources = rows[row]["alert"]["diaSourcesList"]
        newest = max(sources, key=lambda source: source["midpointMjdTai"])
        assert columns.detection_id[place] == newest["diaSourceId"]
        assert columns.object_id[place] == str(rows[row]["diaObjectId"])
        assert columns.ra_deg[place] == newest["ra"]
        assert columns.dec_deg[place] == newest["decl"]
        curves = columns.light_curves
        times = curves.midpoint_mjd_tai[curves.offsets[place] : curves.offsets[place + 1]]
        expected = [s["midpointMjdTai"] for s in sources if s["psfFlux"] is not None and math.isfinite(s["psfFlux"])]
        np.testing.assert_array_equal(times, sorted(expected))


def test_a_ztf_packet_in_json_is_one_of_ztf(tmp_path: Path) -> None:
    candidate = {"jd": 2460000.5, "fid": 1.0, "candid": BIG, "isdiffpos": "t", "magpsf": 18, "ra": 1.5, "dec": 2.5}
    stamp = {"fileName": "a.fits.gz", "stampData": base64.b64encode(b"\x1f\x8bimage").decode()}
    before = {"jd": 2459999.5, "fid": 2, "candid": float("nan"), "diffmaglim": 20.5, "isdiffpos": None, "magpsf": None}
    row = {
        "objectId": "ZTF24aaaaaaa",
        "candid": str(BIG),
        "candidate": candidate | {"programid": 1, "broker_score": {"deep": [1]}},
        "prv_candidates": [before],
        "cutoutScience": stamp,
        "classifications": {"SN": 0.5},
    }
    path = tmp_path / "alert.json"
    path.write_text(json.dumps(row))
    ((survey, message),) = iter_alert_messages(path)
    assert survey is Survey.ZTF
    packet = packet_of(message)
    assert packet["candid"] == packet["candidate"]["candid"] == BIG
    assert packet["cutoutScience"] == {"fileName": "a.fits.gz", "stampData": b"\x1f\x8bimage"}
    assert packet["prv_candidates"][0]["candid"] is None
    assert "classifications" not in packet
    assert "broker_score" not in packet["candidate"]
    columns, rejects = AlertDecoder(Survey.ZTF).decode([message])
    assert rejects == []
    assert np.isfinite(columns.light_curves.upper_limit_njy).sum() == 1


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([alert(BIG), alert(BIG + 2)]),
        json.dumps([alert(BIG), alert(BIG + 2)], indent=2),
        "\n".join(json.dumps(alert(n)) for n in (BIG, BIG + 2)) + "\n",
        "\r\n\r\n".join(json.dumps(alert(n)) for n in (BIG, BIG + 2)),
        "\n".join(json.dumps(alert(n), indent=1) for n in (BIG, BIG + 2)),
        json.dumps(alert(BIG)) + json.dumps(alert(BIG + 2)),
        "[" + json.dumps(alert(BIG))[:-1] + ",},\n" + json.dumps(alert(BIG + 2)).replace("[]", "[\n, ]") + ",\n]",
        "\ufeff" + json.dumps([alert(BIG), alert(BIG + 2)]),
    ],
    ids=["list", "indented", "lines", "spaced lines", "indented objects", "joined", "trailing commas", "mark"],
)
def test_every_arrangement_of_rows_is_read(text: str) -> None:
    assert ids(replay(text)) == [BIG, BIG + 2]
    assert ids(replay(gzip.compress(text.encode()))) == [BIG, BIG + 2]


DAMAGED_ROWS = {
    "word": "nonsense",
    "number": "12",
    "text": '"a [ text"',
    "literal": '{"diaSource": {"diaSourceId": 1, "ra": nope}}',
    "other": '{"diaSourceId": 3}',
    "repeated": '{"diaSource": {"diaSourceId": 1, "diaSourceId": 2}}',
    "deep": '{"diaSource": {"x": ' + "[" * 5000 + "]" * 5000 + "}}",
    "kind": '{"diaSource": {"diaSourceId": "some"}}',
    "broken": '{"diaSource": {"diaSourceId": 1.5}}',
    "huge": '{"diaSource": {"diaSourceId": ' + "9" * 6000 + "}}",
    "beyond": '{"diaSource": {"diaSourceId": 9223372036854775808}}',
    "record": '{"diaSource": {"diaSourceId": 1}, "prvDiaSources": {"a": 1}}',
    "surrogate": '{"diaSource": {"diaSourceId": 1, "band": "\\ud800"}}',
    "image": '{"diaSource": {"diaSourceId": 1}, "cutoutScience": "?"}',
    "float": '{"diaSource": {"diaSourceId": 1, "ra": 9007199254740993}}',
    "untimed": '{"alert": {"diaSourcesList": [{"diaSourceId": 1}]}}',
}


@pytest.mark.parametrize("bad", DAMAGED_ROWS.values(), ids=DAMAGED_ROWS.keys())
@pytest.mark.parametrize("form", ["[{}, {}, {}]", "{}\n{}\n{}\n"])
def test_a_damaged_row_is_passed_on_and_does_not_stop_the_others(bad: str, form: str) -> None:
    good = [json.dumps(alert(BIG + n)) for n in range(2)]
    messages = replay(form.format(good[0], bad, good[1]))
    assert messages[1] == bad.encode()
    assert ids(messages) == [BIG, None, BIG + 1]
    columns, rejects = AlertDecoder(Survey.LSST).decode(messages)
    assert columns.row.tolist() == [0, 2]
    assert [reject.row for reject in rejects] == [1]


def test_the_fault_names_file_and_row(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        replay(f'[{json.dumps(alert(1))}, {{"a": 1}}, 3, {json.dumps(alert(2))}]')
    (record,) = caplog.records
    assert record.getMessage() == "2 rows of some.json cannot be read; the first: Row 2 of some.json is not an alert."
    with pytest.raises(MalformedPacketError, match=r"^Row 7 of a\.json says a name twice\.$"):
        read_packet(JsonRow(b"", b'{"a": 1, "a": 2}', 1), 7, "a.json")


def test_a_row_left_open_takes_the_rest_and_a_line_only_itself() -> None:
    first, second = json.dumps(alert(1)), json.dumps(alert(2))
    listed = replay(f"[{first}, {second[:-9]}, {first}]")
    assert ids(listed) == [1, None]
    assert ids(replay(f"{first}\n{second[:-9]}\n{first}\n")) == [1, None, 1]
    assert ids(replay(f"[{first}] {second}")) == [1, 2]


def test_rows_of_many_blocks_and_kinds_stay_in_order() -> None:
    n = 2 * ROWS_AT_ONCE + 3
    ztf = {"candidate": {"candid": 5, "jd": 2460000.5}, "objectId": "ZTF24a"}
    rows = [ztf if i % 5 == 3 else alert(i, snr=float(i)) if i % 2 else alert(i) for i in range(n)]
    found = list(iter_json(json.dumps(rows).encode(), "a.json"))
    assert [survey for survey, _ in found] == [Survey.ZTF if i % 5 == 3 else Survey.LSST for i in range(n)]
    for i, (survey, message) in enumerate(found):
        packet = packet_of(message)
        assert packet["candidate"]["candid"] == 5 if survey is Survey.ZTF else packet["diaSourceId"] == i


def test_null_nan_and_infinity_are_told_apart() -> None:
    text = json.dumps([alert(1, snr=None), alert(2, snr=float("nan")), alert(3, snr=-math.inf), alert(4, snr=1)])
    found = [packet_of(message)["diaSource"]["snr"] for message in replay(text)]
    assert found[0] is None
    assert math.isnan(found[1])
    assert found[2:] == [-math.inf, 1.0]


def test_text_beyond_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_TEXT_BYTES", 1000)
    bomb = gzip.compress(b'"diaSource": ' + b" " * 100_000)
    for data in (bomb, b" " * 1001):
        with pytest.raises(MalformedPacketError, match=r"a\.json holds more than 1000 bytes"):
            list(iter_json(data, "a.json"))
    for data in (bomb[:40], bomb[:20] + b"?" + bomb[21:]):
        with pytest.raises(MalformedPacketError, match=r"a\.json"):
            list(iter_json(data, "a.json"))
    monkeypatch.setattr(json_rows, "MAX_ROWS", 3)
    for text in (b"[1,2,3,4]", b"{}\n{}\n{}\n{}"):
        with pytest.raises(MalformedPacketError, match="more than 3 rows"):
            list(split_rows(text, "a.json"))


def test_not_more_of_a_damaged_row_is_passed_on_than_kafka_takes() -> None:
    assert len(replay(b'{"diaSource": ' + b"x" * (2 * MAX_PASSED_ON_BYTES))[0]) == MAX_PASSED_ON_BYTES


def test_notices_and_alerts_in_json_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "alert.json").write_text(json.dumps(alert(1)))
    (tmp_path / "alerts.jsonl.gz").write_bytes(gzip.compress(json.dumps(alert(2)).encode()))
    (tmp_path / "notice.json").write_text('{"superevent_id": "S1", "candidate": {"far": 1}}')
    assert ids([message for _, message in iter_alert_messages(tmp_path)]) == [1, 2]
    found = {name.name: is_alert_json(data, name) for _, name, data in iter_notice_messages(tmp_path)}
    assert found == {"alert.json": True, "notice.json": False}
    assert not holds_alerts(b'{"text": "diaSource"}', "a.json")
    with pytest.raises(MalformedPacketError, match=r"notice\.json holds no alerts"):
        list(iter_alert_messages(tmp_path / "notice.json"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(JSON, max_size=5), indent=st.sampled_from([None, 1]), comma=st.booleans())
def test_a_list_is_cut_where_json_says(rows: list[object], indent: int | None, comma: bool) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=False)
    if comma and rows:
        text = text[:-1] + " ,\n]"
    found = [parse_row(row) for row in split_rows(text.encode(), "a.json")]
    assert found == rows


def bare(data: bytes) -> bytes:
    """Leave out what may stand between rows."""
    return data.removeprefix(b"\xef\xbb\xbf").translate(None, b" \t\r\n\x0b\x0c,[]")


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ \n1a', max_size=60).map(str.encode))
def test_any_text_gives_rows_in_which_nothing_is_lost(data: bytes) -> None:
    messages = [] if data.startswith(b"\x1f\x8b") else [message for _, message in iter_json(data, "a.json")]
    assert data.startswith(b"\x1f\x8b") or bare(b"".join(messages)) == bare(data)


def test_an_encoder_that_fails_on_all_still_sends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    genuine = json_alerts.take_as

    def failing(array: Any, wanted: Any) -> Any:
        calls.append(len(array))
        if len(array) > 1:
            raise ValueError
        return genuine(array, wanted)

    monkeypatch.setattr(json_alerts, "take_as", failing)
    assert ids(replay(json.dumps([alert(1), alert(2)]))) == [1, 2]
    assert calls == [2, 1, 1]
