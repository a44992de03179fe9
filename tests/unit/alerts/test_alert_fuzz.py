"""Bytes that mean harm: every one a reject, none an exception, memory bounded, good packets beside them decoded."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.model import Survey
from ingest.alerts.avro_schema import MAX_SCHEMA_BYTES
from ingest.alerts.container import MAX_HEADER_BYTES, write_varint
from ingest.alerts.decode import MAX_GROWTH, MAX_MESSAGE_BYTES, AlertDecoder
from ingest.alerts.kernel import MAX_ITEMS

Record = dict[str, Any]
SYNC = b"0123456789abcdef"
MEGABYTE = 2**20


def _type(name: str, kinds: Record) -> Record:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in kinds.items()]}


def _list(name: str, kinds: Record) -> list[Any]:
    return ["null", {"type": "array", "items": _type(name, kinds)}]


_VISIT = {"midpointMjdTai": ["null", "double"], "band": ["null", "string"]}
_FLUX = _VISIT | {"psfFlux": ["null", "float"], "psfFluxErr": ["null", "float"]}
_SOURCE = _FLUX | {"diaSourceId": ["null", "long"]}
SCHEMA = fastavro.parse_schema(
    _type(
        "alert",
        {
            "diaSource": _type("diaSource", _SOURCE | {"ra": "double", "dec": "double", "diaObjectId": "long"}),
            "prvDiaSources": _list("past", _SOURCE),
            "prvDiaForcedSources": _list("forced", _FLUX),
            "prvDiaNondetectionLimits": _list("limit", _VISIT | {"diaNoise": "float"}),
            "cutoutDifference": ["null", "bytes"],
        },
    )
)


def _record(**changes: Any) -> Record:
    point = {"midpointMjdTai": 60990.5, "band": "g", "psfFlux": 5.0, "psfFluxErr": 1.0}
    return {
        "diaSource": point | {"diaSourceId": 9, "midpointMjdTai": 61000.5, "ra": 1.0, "dec": 2.0, "diaObjectId": 5},
        "prvDiaSources": [point | {"diaSourceId": 8}],
        "prvDiaForcedSources": [point, point | {"psfFlux": -1.0, "midpointMjdTai": 60980.5}],
        "prvDiaNondetectionLimits": [{"midpointMjdTai": 60970.5, "band": "r", "diaNoise": 2.0}],
        "cutoutDifference": b"SIMPLE",
    } | changes


def _datum(record: Record) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, record)
    return stream.getvalue()


def _header(schema: bytes, codec: bytes = b"null", **more: bytes) -> bytes:
    pairs = {b"avro.schema": schema, b"avro.codec": codec} | {key.encode(): value for key, value in more.items()}
    text = b"".join(write_varint(len(part)) + part for pair in pairs.items() for part in pair)
    return b"Obj\x01" + write_varint(len(pairs)) + text + b"\x00" + SYNC


def _pack(datum: bytes, codec: bytes = b"null") -> bytes:
    return _header(json.dumps(SCHEMA).encode(), codec) + b"\x02" + write_varint(len(datum)) + datum + SYNC


def _deflated(plain: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(plain) + packer.flush()


def _snapped(plain: bytes) -> bytes:
    block: bytes = pa.Codec("snappy").compress(plain, asbytes=True)
    return block + struct.pack(">I", zlib.crc32(plain))


DATUM = _datum(_record())
GOOD = _pack(DATUM)


@pytest.fixture(scope="module")
def decoder() -> AlertDecoder:
    decoder = AlertDecoder(Survey.LSST)
    decoder.decode([GOOD])
    return decoder


def _refused(decoder: AlertDecoder, messages: Sequence[bytes], reason: str, words: str) -> int:
    """Decode messages between good ones; return how many bytes were taken at most meanwhile."""
    tracemalloc.start()
    try:
        columns, rejects = decoder.decode([GOOD, *messages, GOOD])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert columns.row.tolist() == [0, len(messages) + 1]
    assert columns.detection_id.tolist() == [9, 9]
    assert np.diff(columns.forced.offsets).tolist() == [2, 2]
    assert np.diff(columns.light_curves.offsets).tolist() == [3, 3]
    assert [reject.row for reject in rejects] == list(range(1, len(messages) + 1))
    assert {reject.reason for reject in rejects} == {reason}
    assert all(words in reject.message for reject in rejects)
    return peak


def test_every_cut_is_refused(decoder: AlertDecoder) -> None:
    _refused(decoder, [GOOD[:cut] for cut in range(len(GOOD))], "malformed", "")


def test_every_cut_of_the_record_is_refused(decoder: AlertDecoder) -> None:
    _refused(decoder, [_pack(DATUM[:cut]) for cut in range(len(DATUM))], "malformed", "")


@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 7)), min_size=1, max_size=6))
def test_flipped_bits_hurt_nobody_else(places: list[tuple[int, int]]) -> None:
    hurt = bytearray(GOOD)
    for place, bit in places:
        hurt[place] ^= 1 << bit
    columns, rejects = AlertDecoder(Survey.LSST).decode([GOOD, bytes(hurt), GOOD])
    assert len(columns) + len(rejects) == 3
    assert {0, 2} <= set(columns.row.tolist())
    assert columns.light_curves.offsets[-1] == len(columns.light_curves.band)
    assert columns.forced.offsets[-1] == len(columns.forced.band)


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=300), at=st.integers(0, len(DATUM)))
def test_noise_within_a_record_hurts_nobody_else(noise: bytes, at: int) -> None:
    wire = [_pack(DATUM[:at] + noise), b"\x00\x00\x00\x04\x4d" + DATUM[:at] + noise, noise]
    columns, rejects = AlertDecoder(Survey.LSST).decode([*wire, GOOD])
    assert sorted([*columns.row.tolist(), *(reject.row for reject in rejects)]) == [0, 1, 2, 3]
    assert columns.row[-1] == 3


@pytest.mark.parametrize("opening", [b"Obj\x01", b"\x00\x00\x00\x04\x4d", b"\x1f\x8b\x08\x00", b"PK\x03\x04"])
def test_fifty_megabytes(decoder: AlertDecoder, opening: bytes) -> None:
    message = opening + bytes(50 * MEGABYTE)
    # The batch itself is one copy of the messages.
    assert _refused(decoder, [message], "malformed", "larger than allowed") < 4 * MEGABYTE


@pytest.mark.parametrize("magic", [b"Obj\x00", b"Obj\x02", b"obj\x01", b"\x01\x00\x00\x04\x4d", b"\xc3\x01", b"ORC"])
def test_wrong_magic(decoder: AlertDecoder, magic: bytes) -> None:
    _refused(decoder, [magic + GOOD[4:]], "malformed", "neither")


@pytest.mark.parametrize(("codec", "pack"), [(b"deflate", _deflated), (b"snappy", _snapped)])
def test_bombs_in_blocks(decoder: AlertDecoder, codec: bytes, pack: Any) -> None:
    """Each is allowed by its size; a batch of them would take a gigabyte."""
    bomb = _pack(pack(_datum(_record(cutoutDifference=bytes(MAX_MESSAGE_BYTES - 4096)))), codec)
    many = [bomb] * (60 if codec == b"deflate" else 2)
    if codec == b"snappy":
        # Snappy packs 21 to 1 at most: no bomb, the limit of a message is what holds.
        many = [_pack(pack(bytes(MAX_MESSAGE_BYTES + 1)), codec)] * 2
    peak = _refused(decoder, many, "malformed", "larger than allowed once decompressed")
    assert peak < 8 * MEGABYTE + 3 * MAX_GROWTH * len(bomb) + 2 * sum(map(len, many))


def test_a_snappy_block_that_claims_what_it_has_not(decoder: AlertDecoder) -> None:
    block = b"\xff\xff\x7f" + b"\x00" * 20
    peak = _refused(decoder, [_pack(block, b"snappy")], "malformed", "")
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize(("codec", "pack"), [(b"deflate", _deflated), (b"snappy", _snapped)])
def test_blocks_that_shrink_well_are_read(decoder: AlertDecoder, codec: bytes, pack: Any) -> None:
    past = [{"midpointMjdTai": 60000.0 + k, "band": "g", "diaNoise": 5.0} for k in range(3000)]
    message = _pack(pack(_datum(_record(prvDiaNondetectionLimits=past))), codec)
    columns, rejects = decoder.decode([message])
    assert rejects == []
    assert len(columns.light_curves.band) == 3002


def test_cutouts_are_never_opened(decoder: AlertDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(200 * MEGABYTE), 9)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("decompress", "decompressobj"):
        monkeypatch.setattr(zlib, name, refuse)
    monkeypatch.setattr(gzip, "decompress", refuse)
    message = _pack(_datum(_record(cutoutDifference=bomb)))
    tracemalloc.start()
    columns, rejects = decoder.decode([message, GOOD])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rejects == []
    assert columns.detection_id.tolist() == [9, 9]
    assert peak < 4 * MEGABYTE


def _long(name: str, items: int) -> bytes:
    """Return a datum with a list of items that say nothing, at four or five bytes each."""
    before, after = _datum(_record(**{name: None})), _datum(_record(**{name: []}))
    at = next(k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
    item = b"\x00" * (5 if name == "prvDiaSources" else 4)
    return before[:at] + b"\x02" + write_varint(items) + item * items + before[at:]


@pytest.mark.parametrize("name", ["prvDiaSources", "prvDiaForcedSources"])
def test_lists_without_end(decoder: AlertDecoder, name: str) -> None:
    assert decoder.decode([_pack(_long(name, MAX_ITEMS))])[1] == []
    messages = [_pack(_long(name, 20 * MAX_ITEMS))] * 3
    assert _refused(decoder, messages, "malformed", "more items than") < 64 * MEGABYTE


@pytest.mark.parametrize("count", [2**62, -(2**62), -(2**63), 2**63 - 1, 10**7])
def test_counts_that_the_bytes_cannot_hold(decoder: AlertDecoder, count: int) -> None:
    datum = _datum(_record(prvDiaForcedSources=None))
    whole = _datum(_record(prvDiaForcedSources=[]))
    at = next(k for k, pair in enumerate(zip(datum, whole, strict=False)) if pair[0] != pair[1])
    size = b"\x08" if count < 0 else b""
    hurt = datum[:at] + b"\x02" + write_varint(count) + size + datum[at + 1 :]
    assert _refused(decoder, [_pack(hurt)], "malformed", "items") < 4 * MEGABYTE


def test_a_schema_too_long_to_look_at(decoder: AlertDecoder) -> None:
    doc = json.dumps(SCHEMA | {"doc": "x" * (MAX_SCHEMA_BYTES // 2)}).encode()
    assert decoder.decode([_header(doc) + b"\x02" + write_varint(len(DATUM)) + DATUM + SYNC])[1] == []
    for size, reason, words in (
        (MAX_HEADER_BYTES - 4096, "unknown_schema", "not JSON"),
        (MAX_HEADER_BYTES, "malformed", "header is larger than allowed"),
        (10 * MEGABYTE, "malformed", "header is larger than allowed"),
    ):
        assert _refused(decoder, [_header(b"[" * size) + GOOD[-40:]], reason, words) < 80 * MEGABYTE


def test_headers_full_of_other_things(decoder: AlertDecoder) -> None:
    schema = json.dumps(SCHEMA).encode()
    _refused(decoder, [_header(schema, junk=bytes(2 * MEGABYTE))], "malformed", "header is larger than allowed")


def test_headers_do_not_pile_up() -> None:
    decoder = AlertDecoder(Survey.LSST)
    schema = json.dumps(SCHEMA).encode()
    body = b"\x02" + write_varint(len(DATUM)) + DATUM + SYNC
    tracemalloc.start()
    for k in range(20):
        many = [_header(schema, junk=bytes([k, j]) * 200_000) + body for j in range(10)]
        assert decoder.decode(many)[1] == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * MEGABYTE
