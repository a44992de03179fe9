"""Header, body and checksum of packets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.archive.split import CHECKSUM_SEED, MAX_HEADERS, PacketSplitter, checksums, join_packets, xxh64

MASK = 2**64 - 1
PRIMES = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)


def slow_xxh64(data: bytes, seed: int) -> int:
    """The published algorithm in plain integers."""
    one, two, three, four, five = PRIMES

    def left(x: int, by: int) -> int:
        return ((x << by) | (x >> (64 - by))) & MASK

    def mixed(lane: int, word: int) -> int:
        return left((lane + word * two) & MASK, 31) * one & MASK

    rest = data
    if len(data) >= 32:
        lanes = [(seed + one + two) & MASK, (seed + two) & MASK, seed, (seed - one) & MASK]
        while len(rest) >= 32:
            words = [int.from_bytes(rest[8 * k : 8 * k + 8], "little") for k in range(4)]
            lanes = [mixed(lane, word) for lane, word in zip(lanes, words, strict=True)]
            rest = rest[32:]
        total = sum(left(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            total = ((total ^ mixed(0, lane)) * one + four) & MASK
    else:
        total = (seed + five) & MASK
    total = (total + len(data)) & MASK
    while len(rest) >= 8:
        total = (left(total ^ mixed(0, int.from_bytes(rest[:8], "little")), 27) * one + four) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        total = (left(total ^ (int.from_bytes(rest[:4], "little") * one & MASK), 23) * two + three) & MASK
        rest = rest[4:]
    for byte in rest:
        total = left(total ^ (byte * five & MASK), 11) * one & MASK
    total = (total ^ (total >> 33)) * two & MASK
    total = (total ^ (total >> 29)) * three & MASK
    return total ^ (total >> 32)


def fast_xxh64(data: bytes, seed: int) -> int:
    return int(xxh64(np.frombuffer(data, dtype=np.uint8), np.uint64(seed)))


@pytest.mark.parametrize(
    ("data", "seed", "digest"),
    [(b"", 0, 0xEF46DB3751D8E999), (b"abc", 0, 0x44BC2CF5AD770999), (b"xxhash", 20141025, 0xB559B98D844E0635)],
)
def test_checksums_are_the_published_ones(data: bytes, seed: int, digest: int) -> None:
    assert fast_xxh64(data, seed) == digest


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, MASK), st.integers(0, 9))
def test_checksums_follow_the_algorithm_at_any_place_in_memory(data: bytes, seed: int, shift: int) -> None:
    placed = np.frombuffer(bytes(shift) + data, dtype=np.uint8)[shift:]
    assert int(xxh64(placed, np.uint64(seed))) == slow_xxh64(data, seed)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_changed_byte_changes_the_checksum(packet: bytes, data: Any) -> None:
    at = data.draw(st.integers(0, len(packet) - 1))
    changed = packet[:at] + bytes([packet[at] ^ data.draw(st.integers(1, 255))]) + packet[at + 1 :]
    assert checksums([packet]) != checksums([changed])


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda tail: b"Obj\x01" + tail)), max_size=9)
)
def test_any_bytes_come_back(messages: list[bytes]) -> None:
    split = PacketSplitter().split(pa.array(messages, pa.binary()), np.arange(len(messages)))
    assert join_packets(split.header, split.body) == messages
    assert split.size_bytes.tolist() == [len(one) for one in messages]
    signed = [slow_xxh64(one, int(CHECKSUM_SEED)) for one in messages]
    assert split.checksum.view(np.uint64).tolist() == signed


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_rows_of_a_slice_are_read_where_they_lie(ztf: Any, kind: pa.DataType) -> None:
    packets = [one for one in ztf.messages if len(one) > 1000]
    array = pa.array([b"before", *packets, b"after"], kind).slice(1, len(packets))
    row = np.array([4, 0, 7])
    split = PacketSplitter().split(array, row)
    assert join_packets(split.header, split.body) == [packets[i] for i in row]


def test_the_header_ends_where_the_sync_marker_begins(ztf: Any) -> None:
    packets = [ztf.messages[0], *ztf.messages[3:30]]
    split = PacketSplitter().split(pa.array(packets, pa.binary()), np.arange(len(packets)))
    assert len({*split.header.to_pylist()}) == 1
    assert all(body[:16] == packet[-16:] for body, packet in zip(split.body.to_pylist(), packets, strict=True))


def test_messages_without_a_container_have_no_header(lsst: Any) -> None:
    packets = lsst.messages[3:10]
    split = PacketSplitter().split(pa.array(packets, pa.binary()), np.arange(len(packets)))
    assert {*split.header.to_pylist()} == {b""}


def test_more_headers_than_are_remembered_cost_only_space() -> None:
    def packet(i: int) -> bytes:
        schema = b'{"n": %d}' % i
        return b"Obj\x01\x02\x16avro.schema" + bytes([2 * len(schema)]) + schema + b"\x00" + bytes(range(40))

    packets = [packet(i) for i in range(100, 100 + 2 * MAX_HEADERS)]
    splitter = PacketSplitter()
    for _ in range(3):
        split = splitter.split(pa.array(packets, pa.binary()), np.arange(len(packets)))
        assert join_packets(split.header, split.body) == packets
        assert len(split.header.dictionary) <= MAX_HEADERS + 1


def test_recorded_packets_come_back(shared_data: Path) -> None:
    files = sorted((shared_data / "alerts" / "ztf_packets").rglob("*.avro"))[:40]
    packets = [path.read_bytes() for path in files]
    assert len(packets) > 3
    split = PacketSplitter().split(pa.array(packets, pa.binary()), np.arange(len(packets)))
    assert join_packets(split.header, split.body) == packets
    for header, path in zip(split.header.to_pylist(), files, strict=True):
        with path.open("rb") as stream:
            assert fastavro.reader(stream).metadata["avro.schema"].encode() in header
