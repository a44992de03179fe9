"""What Spark's offset log says a micro-batch is, and how it is shared out."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import StoreError
from ingest.offsets import OffsetRange, cut_blocks, planned_ranges, share_blocks

METADATA = json.dumps({"batchWatermarkMs": 0, "batchTimestampMs": 1795000000000, "conf": {}})


def write_batch(checkpoint: Path, number: int, offsets: object) -> None:
    """Write a plan as Spark does: version, metadata, then one line for each source."""
    path = checkpoint / "offsets" / str(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"v1\n{METADATA}\n{json.dumps(offsets)}")


def write_beginning(checkpoint: Path, offsets: object, prefix: str = "") -> None:
    path = checkpoint / "sources" / "0" / "0"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{prefix}v1\n{json.dumps(offsets)}")


@pytest.mark.parametrize("prefix", ["", "\0"])
def test_the_first_batch_begins_where_the_source_began(tmp_path: Path, prefix: str) -> None:
    write_beginning(tmp_path, {"alerts.ztf": {"0": 5, "1": 70}}, prefix)
    write_batch(tmp_path, 0, {"alerts.ztf": {"1": 71, "0": 10}})
    assert planned_ranges(tmp_path, 0) == [OffsetRange("alerts.ztf", 0, 5, 10), OffsetRange("alerts.ztf", 1, 70, 71)]


def test_a_later_batch_begins_where_the_one_before_ended(tmp_path: Path) -> None:
    write_beginning(tmp_path, {"b": {"0": 0}, "a": {"0": 0}})
    write_batch(tmp_path, 0, {"b": {"0": 3}, "a": {"0": 4}})
    write_batch(tmp_path, 1, {"b": {"0": 3}, "a": {"0": 9}})
    assert planned_ranges(tmp_path, 1) == [OffsetRange("a", 0, 4, 9)]


def test_partitions_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    numbers = [10, 2, 0, 1]
    write_beginning(tmp_path, {"a": dict.fromkeys(map(str, numbers), 0)})
    write_batch(tmp_path, 0, {"a": dict.fromkeys(map(str, numbers), 1)})
    assert [one.partition for one in planned_ranges(tmp_path, 0)] == [0, 1, 2, 10]


def test_a_new_partition_is_read_from_its_beginning(tmp_path: Path) -> None:
    write_batch(tmp_path, 6, {"a": {"0": 100}})
    write_batch(tmp_path, 7, {"a": {"0": 100, "1": 8}, "b": {"0": 2}})
    assert planned_ranges(tmp_path, 7) == [OffsetRange("a", 1, 0, 8), OffsetRange("b", 0, 0, 2)]


def test_a_batch_without_messages_has_no_ranges(tmp_path: Path) -> None:
    write_batch(tmp_path, 0, {"a": {"0": 100}})
    write_batch(tmp_path, 1, {"a": {"0": 100}})
    assert planned_ranges(tmp_path, 1) == []


@pytest.mark.parametrize(
    "content",
    [
        "v2\n{}\n{}",
        "",
        "\n",
        "v1",
        "v1\n",
        "v1\n{}\n-",
        "v1\n{}\nnot json",
        "v1\n{}\n[]",
        "v1\n{}\n7",
        'v1\n{}\n{"a": 3}',
        'v1\n{}\n{"a": [1]}',
        'v1\n{}\n{"a": {"zero": 1}}',
        'v1\n{}\n{"a": {"0": "many"}}',
        'v1\n{}\n{"a": {"0": null}}',
        b"v1\n{}\n\xff\xfe",
    ],
)
def test_a_log_that_is_not_as_it_must_be_is_an_error_of_ours(tmp_path: Path, content: str | bytes) -> None:
    write_batch(tmp_path, 0, {"a": {"0": 1}})
    path = tmp_path / "offsets" / "1"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError):
        planned_ranges(tmp_path, 1)


def test_an_absent_log_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        planned_ranges(tmp_path, 0)
    write_batch(tmp_path, 0, {"a": {"0": 1}})
    with pytest.raises(StoreError, match="cannot be read"):
        planned_ranges(tmp_path, 0)


RANGES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), st.integers(0, 10**12), st.integers(1, 5000)),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one[:2],
).map(lambda found: [OffsetRange(topic, number, first, first + n) for topic, number, first, n in sorted(found)])


@given(ranges=RANGES, max_offsets=st.integers(1, 4000))
def test_blocks_are_equal_parts_of_their_ranges(ranges: list[OffsetRange], max_offsets: int) -> None:
    blocks = cut_blocks(ranges, max_offsets)
    for one in ranges:
        parts = [b for b in blocks if (b.topic, b.partition) == (one.topic, one.partition)]
        assert (parts[0].offset_from, parts[-1].offset_until) == (one.offset_from, one.offset_until)
        assert all(earlier.offset_until == later.offset_from for earlier, later in pairwise(parts))
        sizes = list(map(len, parts))
        assert max(sizes) <= max_offsets
        assert max(sizes) - min(sizes) <= 1
        assert len(parts) == -(-len(one) // max_offsets)


@given(ranges=RANGES, shares=st.integers(1, 64), max_offsets=st.integers(100, 4000))
def test_every_block_is_in_one_share_whatever_their_number(
    ranges: list[OffsetRange], shares: int, max_offsets: int
) -> None:
    blocks = cut_blocks(ranges, max_offsets)
    made = share_blocks(blocks, shares)
    assert [block for share in made for block in share] == blocks
    assert len(made) == min(shares, len(blocks))
    assert all(made)
    assert not made or max(map(len, made)) - min(map(len, made)) <= 1
