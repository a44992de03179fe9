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

from ingest.archive.split import MAX_HEADERS, PacketSplitter, checksums, join_packets


def test_the_checksum_is_that_of_spark() -> None:
    # SELECT xxhash64(X'537061726B') in Spark, whose seed is 42 and whose answer is signed.
    assert checksums([b"Spark"]).tolist() == [-4294468057691064905]


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
    assert split.checksum.tolist() == checksums(messages).tolist()


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
