"""The decoder on packets made here: what it must refuse, what it must survive, and what it must not lose."""

from __future__ import annotations

import copy
import io
import json
import struct
import zlib
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import MalformedPacketError
from graph.model import Survey
from ingest.alerts.container import split_container, write_varint
from ingest.alerts.decode import AlertDecoder, decode_alerts
from ingest.alerts.library import MAX_NEW_PER_BATCH

Record = dict[str, Any]


def _field(name: str, kind: Any) -> Record:
    return {"name": name, "type": kind}


def _schema() -> Record:
    past: Record = {"jd": "double", "fid": "int", "candid": ["null", "long"], "isdiffpos": ["string", "null"]}
    past |= {name: ["null", "float"] for name in ("magpsf", "sigmapsf", "diffmaglim")}
    now: Record = {
        "jd": "double",
        "fid": "int",
        "candid": "long",
        "isdiffpos": "string",
        "ra": "double",
        "dec": "double",
    }
    now |= {"magpsf": "float", "sigmapsf": "float", "programid": "int", "ndethist": "int", "exptime": ["null", "float"]}
    now |= {name: ["null", "float"] for name in ("rb", "drb", "ssdistnr", "sgscore1", "distpsnr1")}
    now |= {"ssnamenr": ["null", "string"], "jdstarthist": ["null", "double"]}
    history = {"type": "record", "name": "past", "fields": [_field(*item) for item in past.items()]}
    measured: Record = {"jd": "double", "fid": "int", "procstatus": ["null", "string"], "exptime": ["null", "float"]}
    measured |= {name: ["null", "float"] for name in ("forcediffimflux", "forcediffimfluxunc", "magzpsci")}
    forced = {"type": "record", "name": "forced", "fields": [_field(*item) for item in measured.items()]}
    colour = {"type": "enum", "name": "colour", "symbols": ["red", "green"]}
    digest = {"type": "fixed", "name": "digest", "size": 5}
    return {
        "type": "record",
        "name": "alert",
        "namespace": "test.v1",
        "fields": [
            _field("colour", colour),
            _field("objectId", "string"),
            _field("tags", {"type": "map", "values": ["null", "long", "string", "test.v1.colour"]}),
            _field("candidate", {"type": "record", "name": "now", "fields": [_field(*item) for item in now.items()]}),
            _field("prv_candidates", ["null", {"type": "array", "items": history}]),
            _field("digest", ["int", digest, "null"]),
            _field("grid", {"type": "array", "items": {"type": "array", "items": "boolean"}}),
            _field("stamp", ["null", "bytes"]),
            _field("fp_hists", ["null", {"type": "array", "items": forced}]),
        ],
    }


SCHEMA = fastavro.parse_schema(_schema())
CANDID = 2**53 + 1


def _record() -> Record:
    now = {"jd": 2459000.75, "fid": 2, "candid": CANDID, "isdiffpos": "f", "ra": 10.5, "dec": -20.25, "magpsf": 18.9}
    now |= {"sigmapsf": 0.1, "programid": 1, "ndethist": 4, "exptime": 60.0, "rb": 0.5, "drb": None, "ssdistnr": 4.5}
    now |= {"sgscore1": -999.0, "distpsnr1": 1.5, "ssnamenr": "1999AB", "jdstarthist": 2458999.5}
    seen = {"jd": 2459000.5, "fid": 1, "candid": 7, "isdiffpos": "1", "magpsf": 19.0, "sigmapsf": 0.2}
    unseen = {"jd": 2458990.5, "fid": 3, "candid": None, "isdiffpos": None, "magpsf": None, "sigmapsf": None}
    return {
        "colour": "green",
        "objectId": "ZTF20aaaaaaa",
        "tags": {"a": None, "b": -5, "c": "x", "d": "red"},
        "candidate": now,
        "prv_candidates": [
            seen | {"diffmaglim": 20.5},
            unseen | {"diffmaglim": 20.0},
            unseen | {"diffmaglim": None},
            seen | {"candid": CANDID, "diffmaglim": 20.5},
        ],
        "digest": b"12345",
        "grid": [[True, False], [], [True]],
        "stamp": b"\x00" * 40,
        "fp_hists": None,
    }


def _pack(*records: Record, schema: Any = SCHEMA, codec: str = "null") -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema, records, codec=codec, sync_marker=SYNC)
    return stream.getvalue()


def _changed(**changes: Any) -> bytes:
    record = _record()
    for name, value in changes.items():
        (record if name in record else record["candidate"])[name] = value
    return _pack(record)


def _datum(record: Record) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, record)
    return stream.getvalue()


SYNC = b"0123456789abcdef"
GOOD = _pack(_record())
DATUM = _datum(_record())


@pytest.fixture(scope="module")
def decoder() -> AlertDecoder:
    return AlertDecoder(Survey.ZTF, max_message_bytes=100_000)


def _only_reason(decoder: AlertDecoder, message: bytes, reason: str = "malformed") -> str:
    """Decode between two good neighbours, which must survive; return the sentence of the reject."""
    columns, rejects = decoder.decode([GOOD, message, GOOD])
    assert columns.row.tolist() == [0, 2]
    assert columns.detection_id.tolist() == [CANDID, CANDID]
    assert [(reject.row, reject.reason) for reject in rejects] == [(1, reason)]
    assert rejects[0].message.endswith(".")
    return rejects[0].message


def test_values_of_one_packet(decoder: AlertDecoder) -> None:
    columns, rejects = decoder.decode([GOOD])
    assert rejects == []
    start = Time(2459000.75, format="jd", scale="utc").tai.mjd
    assert columns.detection_id.tolist() == [9007199254740993]
    assert columns.midpoint_mjd_tai[0] == pytest.approx(start + 30.0 / 86400.0, abs=1e-9)
    assert columns.psf_flux_njy[0] == pytest.approx(-100_000.0, rel=1e-6)
    assert columns.psf_flux_err_njy[0] == pytest.approx(9210.34, rel=1e-5)
    assert columns.reliability[0] == 0.5
    assert np.isnan(columns.star_galaxy_score[0])
    assert (columns.object_id[0], columns.solar_system_id[0]) == ("ZTF20aaaaaaa", "1999AB")
    assert (columns.n_detections[0], columns.is_public[0], columns.band[0]) == (4, True, 2)
    began = Time(2458999.5, format="jd", scale="utc").tai.mjd + 15.0 / 86400.0
    assert columns.first_midpoint_mjd_tai[0] == pytest.approx(began, abs=1e-9)
    curves = columns.light_curves
    assert curves.offsets.tolist() == [0, 3]
    assert curves.band.tolist() == [3, 1, 2]
    np.testing.assert_allclose(curves.upper_limit_njy, [10**4.56, np.nan, np.nan])
    np.testing.assert_allclose(curves.psf_flux_njy, [np.nan, 10**4.96, -(10**5.0)], rtol=1e-6)
    assert np.all(np.diff(curves.midpoint_mjd_tai) > 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ra": float("nan")}, "position"),
        ({"ra": -0.1}, "position"),
        ({"dec": 90.5}, "position"),
        ({"jd": 59000.0}, "jd"),
        ({"jd": float("inf")}, "jd"),
        ({"fid": 4}, "fid"),
        ({"fid": -(2**31)}, "fid"),
        ({"candid": -999}, "candid"),
        ({"magpsf": -999.0}, "magpsf"),
        ({"isdiffpos": "maybe"}, "isdiffpos"),
        ({"objectId": ""}, "objectId"),
        ({"objectId": "ZTF\x00"}, "objectId"),
        ({"objectId": "Z" * 65}, "objectId"),
    ],
)
def test_impossible_values_are_refused(decoder: AlertDecoder, changes: Record, words: str) -> None:
    assert words in _only_reason(decoder, _changed(**changes))


def test_forced_photometry_without_warnings_is_kept_apart(decoder: AlertDecoder) -> None:
    good = {"jd": 2458999.5, "fid": 2, "procstatus": "0", "exptime": 90.0, "magzpsci": 26.4}
    good |= {"forcediffimflux": -50.0, "forcediffimfluxunc": 2.0}
    changes: list[Record] = [
        {"forcediffimflux": -99999.0, "forcediffimfluxunc": -99999.0, "procstatus": "61"},
        {"forcediffimflux": -99999.0},
        {"forcediffimflux": None},
        {"procstatus": "56,57"},
        {"procstatus": "57"},
        {"procstatus": None},
        {"magzpsci": None},
        {"magzpsci": -999.0},
        {"fid": 9},
        {"jd": 0.0},
        {"jd": 2458998.5, "forcediffimfluxunc": -99999.0, "exptime": None},
        {},
    ]
    plain, _ = decoder.decode([GOOD])
    columns, rejects = decoder.decode([GOOD, _changed(fp_hists=[good | change for change in changes]), GOOD])
    assert rejects == []
    forced = columns.forced
    assert forced.offsets.tolist() == [0, 0, 2, 2]
    # 5 mag between the zero point of 26.4 and that of nJy at 31.4.
    np.testing.assert_allclose(forced.psf_flux_njy, [-5000.0, -5000.0], rtol=1e-6)
    np.testing.assert_allclose(forced.psf_flux_err_njy, [np.nan, 200.0], rtol=1e-6)
    tai = Time([2458998.5 + 15.0 / 86400.0, 2458999.5 + 45.0 / 86400.0], format="jd", scale="utc").tai.mjd
    np.testing.assert_allclose(forced.midpoint_mjd_tai, tai, rtol=0, atol=1e-9)
    assert forced.band.tolist() == [2, 2]
    for i in range(3):
        part = slice(columns.light_curves.offsets[i], columns.light_curves.offsets[i + 1])
        np.testing.assert_array_equal(columns.light_curves.psf_flux_njy[part], plain.light_curves.psf_flux_njy)
    assert set(columns.n_detections.tolist()) == {4}


@pytest.mark.parametrize(
    ("candid", "exposure_id"), [(2982177112815010003, 298217711), (516442330015015017, 51644233), (7, -1)]
)
def test_alerts_of_one_exposure_share_its_id(decoder: AlertDecoder, candid: int, exposure_id: int) -> None:
    assert decoder.decode([_changed(candid=candid)])[0].exposure_id.tolist() == [exposure_id]


def test_absent_values_have_one_form(decoder: AlertDecoder) -> None:
    record = _record()
    record["candidate"] |= dict.fromkeys(("rb", "ssdistnr", "sgscore1", "ssnamenr", "jdstarthist", "exptime"))
    record["candidate"] |= dict.fromkeys(("magnr", "sgmag1", "szmag1"), -999.0) | {"srmag1": None, "distnr": None}
    record["candidate"] |= {"distpsnr1": -999.0, "ndethist": -999, "programid": 2, "sigmapsf": -999.0}
    record["prv_candidates"] = None
    columns, rejects = decoder.decode([_pack(record)])
    assert rejects == []
    for column in (
        columns.reliability,
        columns.star_galaxy_score,
        columns.nearest_source_arcsec,
        columns.solar_system_separation_arcsec,
        columns.template_mag,
        columns.template_separation_arcsec,
        columns.neighbour_g_mag,
        columns.neighbour_r_mag,
        columns.neighbour_z_mag,
    ):
        assert np.isnan(column[0])
    assert np.isnan(columns.psf_flux_err_njy[0])
    assert (columns.n_detections[0], columns.is_public[0], columns.solar_system_id[0]) == (-1, False, "")
    assert columns.first_midpoint_mjd_tai[0] == columns.midpoint_mjd_tai[0]


@pytest.mark.parametrize(("distance", "name"), [(4.99, "1999AB"), (5.0, ""), (-999.0, ""), (0.0, "1999AB")])
def test_moving_bodies_count_when_near(decoder: AlertDecoder, distance: float, name: str) -> None:
    assert decoder.decode([_changed(ssdistnr=distance)])[0].solar_system_id.tolist() == [name]


def test_every_truncation_is_refused(decoder: AlertDecoder) -> None:
    cuts = range(len(GOOD))
    columns, rejects = decoder.decode([*(GOOD[:cut] for cut in cuts), GOOD])
    assert columns.row.tolist() == [len(cuts)]
    assert [reject.row for reject in rejects] == list(range(len(cuts)))
    assert {reject.reason for reject in rejects} == {"malformed"}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flipped_bits_never_raise(data: st.DataObject) -> None:
    places = data.draw(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 7)), min_size=1, max_size=9))
    hurt = bytearray(GOOD)
    for place, bit in places:
        hurt[place] ^= 1 << bit
    columns, rejects = decode_alerts(Survey.ZTF, [bytes(hurt), GOOD])
    assert len(columns) + len(rejects) == 2
    assert columns.row[-1] == 1


def test_every_flipped_bit_of_the_record(decoder: AlertDecoder) -> None:
    first = len(GOOD) - len(DATUM) - 34
    messages = []
    for place in range(first, len(GOOD)):
        for bit in range(8):
            hurt = bytearray(GOOD)
            hurt[place] ^= 1 << bit
            messages.append(bytes(hurt))
    columns, rejects = decoder.decode(messages)
    assert sorted([*columns.row.tolist(), *(reject.row for reject in rejects)]) == list(range(len(messages)))
    for row, object_id, ra_deg in zip(columns.row, columns.object_id, columns.ra_deg, strict=True):
        try:
            record: Any = next(fastavro.reader(io.BytesIO(messages[row])))
        except UnicodeDecodeError:
            # Of a text that nobody wants; its letters are not looked at.
            continue
        assert (record["objectId"], record["candidate"]["ra"]) == (object_id, ra_deg)


@settings(max_examples=100, deadline=None)
@given(message=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda rest: b"Obj\x01" + rest)))
def test_noise_is_refused(message: bytes) -> None:
    for survey in Survey:
        columns, rejects = decode_alerts(survey, [message])
        assert (len(columns), len(rejects)) == (0, 1)


@pytest.mark.parametrize(
    ("bytes_of_history", "words"),
    [
        (b"\x04", "branch"),
        (b"\x02" + write_varint(2**62), "items"),
        (b"\x02" + write_varint(-(2**63)) + b"\x00", "items"),
        (b"\x02" + write_varint(-1) + write_varint(-5), "length"),
        (b"\x02" + b"\xff" * 10, "64 bits"),
        (b"\x02" + b"\xff" * 11, "64 bits"),
    ],
)
def test_hostile_lists(decoder: AlertDecoder, bytes_of_history: bytes, words: str) -> None:
    record = _record()
    record["prv_candidates"] = None
    datum = _datum(record)
    tail = b"\x00" + b"\x02" + b"12345"
    assert datum.count(tail) == 1
    datum = datum.replace(tail, bytes_of_history + tail[1:])
    header = GOOD[: GOOD.index(SYNC) + 16]
    message = header + b"\x02" + write_varint(len(datum)) + datum + SYNC
    assert words in _only_reason(decoder, message)


def test_blocks_with_stated_sizes_are_read() -> None:
    """Avro lets a writer state the size of a block by a negative count; no library here writes so."""
    schema = {"type": "record", "name": "r", "fields": [_field("prv_candidates", {"type": "array", "items": "long"})]}
    block = b"\x02\x04"
    datum = write_varint(-2) + write_varint(2) + block + write_varint(1) + b"\x06" + b"\x00"
    text = json.dumps(schema).encode()
    header = b"Obj\x01\x02" + write_varint(11) + b"avro.schema" + write_varint(len(text)) + text + b"\x00" + b"s" * 16
    whole = header + b"\x04" + write_varint(2 * len(datum)) + datum * 2 + b"s" * 16
    assert [message[-16 - len(datum) : -16] for message in split_container(whole)] == [datum, datum]


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (GOOD + b"x", "left over"),
        (GOOD[:-1] + b"x", "sync marker"),
        (_pack(_record(), _record()), "exactly one"),
        (_pack(), "end before"),
        (b"", "end before"),
        (b"{json: 1}", "neither"),
        (_pack(_record() | {"stamp": b"\x00" * 200_000}), "larger than allowed"),
        (_pack(_record() | {"stamp": b"\x00" * 200_000}, codec="deflate"), "larger than allowed"),
        (_pack(_record(), codec="deflate")[:-40] + b"\x07" * 24 + SYNC, "corrupt"),
    ],
)
def test_broken_containers(decoder: AlertDecoder, hurt: bytes, words: str) -> None:
    for _ in range(2):
        assert words in _only_reason(decoder, hurt)


def _snappy(message: bytes) -> bytes:
    """Compress a container's block with snappy, as Spark does."""
    packed: bytes = pa.Codec("snappy").compress(DATUM, asbytes=True) + struct.pack(">I", zlib.crc32(DATUM))
    header = message[: message.index(SYNC)].replace(b"\x14avro.codec\x08null", b"\x14avro.codec\x0csnappy")
    return header + SYNC + b"\x02" + write_varint(len(packed)) + packed + SYNC


def test_codecs_agree(decoder: AlertDecoder) -> None:
    messages = [GOOD, _pack(_record(), codec="deflate"), _snappy(GOOD)]
    for _ in range(2):
        columns, rejects = decoder.decode(messages)
        assert rejects == []
        assert columns.object_id.tolist() == ["ZTF20aaaaaaa"] * 3
        np.testing.assert_array_equal(
            columns.light_curves.psf_flux_njy.reshape(3, 3)[1:], [columns.light_curves.psf_flux_njy[:3]] * 2
        )
    hurt = bytearray(messages[2])
    hurt[-18] ^= 1
    assert "corrupt" in _only_reason(decoder, bytes(hurt))
    assert "bzip2" in _only_reason(decoder, _pack(_record(), codec="bzip2"), "unknown_schema")


def test_schemas_that_lack_what_is_needed(decoder: AlertDecoder) -> None:
    schema = copy.deepcopy(_schema())
    now = schema["fields"][3]["type"]["fields"]
    now[:] = [field for field in now if field["name"] not in ("ra", "magpsf")]
    message = _pack(_record(), schema=schema)
    sentence = _only_reason(decoder, message, "unknown_schema")
    assert sentence == "The schema lacks candidate.ra, candidate.magpsf."
    assert sentence == _only_reason(decoder, message, "unknown_schema")


def _nested(depth: int) -> Any:
    return "int" if depth == 0 else {"type": "array", "items": _nested(depth - 1)}


def _doubling(levels: int) -> Record:
    inner: Any = "int"
    for level in range(levels):
        first = _field("a", inner)
        second = _field("b", f"r{level - 1}" if level else "int")
        inner = {"type": "record", "name": f"r{level}", "fields": [first, second]}
    return inner  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "schema",
    [
        b"not json",
        b"[" * 50_000,
        b'"nobody"',
        b"17",
        b"[]",
        b'{"type": "record", "name": "r"}',
        b'{"type": "record", "name": "r", "fields": [{"name": "x", "type": ["null", "r"]}]}',
        b'{"type": "array", "items": "null"}',
        b'{"type": "fixed", "name": "f", "size": -1}',
        b'{"type": "enum", "name": "e", "symbols": []}',
        json.dumps(_nested(40)).encode(),
        json.dumps(_doubling(20)).encode(),
    ],
)
def test_hostile_schemas(decoder: AlertDecoder, schema: bytes) -> None:
    header = b"Obj\x01\x02" + write_varint(11) + b"avro.schema" + write_varint(len(schema)) + schema + b"\x00"
    _only_reason(decoder, header + b"s" * 16 + b"\x02\x00" + b"s" * 16, "unknown_schema")


def test_a_flood_of_new_schemas_is_bounded() -> None:
    decoder = AlertDecoder(Survey.ZTF)
    schemas = [_schema() | {"doc": f"version {k}"} for k in range(MAX_NEW_PER_BATCH + 5)]
    messages = [_pack(_record(), schema=schema) for schema in schemas]
    columns, rejects = decoder.decode(messages)
    assert len(columns) == MAX_NEW_PER_BATCH
    assert {reject.reason for reject in rejects} == {"unknown_schema"}
    assert len(decoder.decode(messages)[0]) == len(messages)


def test_nothing_in_nothing_out(decoder: AlertDecoder) -> None:
    empty: Any
    for empty in ([], pa.array([], pa.binary()), pa.chunked_array([], pa.binary())):
        columns, rejects = decoder.decode(empty)
        assert (len(columns), len(columns.light_curves), rejects) == (0, 0, [])
    columns, rejects = decoder.decode(pa.array([None, GOOD, None], pa.binary()))
    assert columns.row.tolist() == [1]
    assert [reject.row for reject in rejects] == [0, 2]


def test_long_histories_make_the_tables_grow(decoder: AlertDecoder) -> None:
    times = np.random.default_rng(1).permutation(900) / 100.0 + 2458980.0
    past = [_record()["prv_candidates"][0] | {"jd": float(time), "candid": int(k)} for k, time in enumerate(times)]
    long = _pack(_record() | {"prv_candidates": past})
    columns, rejects = decoder.decode([long, GOOD] * 40)
    assert rejects == []
    curves = columns.light_curves
    assert np.diff(curves.offsets).tolist() == [901, 3] * 40
    for i in range(0, 80, 2):
        assert np.all(np.diff(curves.midpoint_mjd_tai[curves.offsets[i] : curves.offsets[i + 1]]) > 0)


def test_containers_are_split_without_loss() -> None:
    records = [_record() | {"objectId": f"ZTF{k}"} for k in range(5)]
    for codec in ("null", "deflate"):
        messages = list(split_container(_pack(*records, codec=codec)))
        assert [next(fastavro.reader(io.BytesIO(message)))["objectId"] for message in messages] == [
            f"ZTF{k}" for k in range(5)
        ]
        assert [record["tags"] for record in fastavro.reader(io.BytesIO(messages[4]))] == [records[4]["tags"]]
    with pytest.raises(MalformedPacketError):
        list(split_container(_pack(*records)[:-20]))
    with pytest.raises(MalformedPacketError):
        list(split_container(b"something else"))
    assert list(split_container(_pack())) == []
