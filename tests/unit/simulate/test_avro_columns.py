"""The column encoder against fastavro, record by record."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.simulate.avro import (
    NULL_INT,
    Column,
    array_column,
    bytes_column,
    encode_records,
    record_column,
    text_column,
)

ITEM = {"type": "record", "name": "item", "fields": [{"name": "k", "type": "int"}]}
RECORD: dict[str, Any] = {
    "type": "record",
    "name": "row",
    "fields": [
        {"name": "whole", "type": ["null", "long"]},
        {"name": "single", "type": ["null", "float"]},
        {"name": "double", "type": "double"},
        {"name": "flag", "type": "boolean"},
        {"name": "always", "type": "string"},
        {"name": "word", "type": ["null", "string"]},
        {"name": "blob", "type": ["null", "bytes"]},
        {"name": "item", "type": ["null", ITEM]},
        {"name": "items", "type": ["null", {"type": "array", "items": "item"}]},
        {"name": "absent", "type": ["null", "long"]},
    ],
}

rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**62), 2**62),
        st.none() | st.floats(allow_nan=False, width=32),
        st.floats(allow_nan=False),
        st.booleans(),
        st.integers(-1, 3),
        st.integers(-1, 2),
        st.integers(-1, 9),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=8,
)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_encoder_writes_what_fastavro_reads(drawn: list[tuple[Any, ...]]) -> None:
    n = len(drawn)
    whole, single, double, flag, word, blob, first, length = zip(*drawn, strict=True)
    items = encode_records(ITEM, 20, {"k": np.arange(-10, 10)})
    words, blobs = np.array([b"", b"g", b"kilonova", b"r"]), [b"", b"\x00\xff", b"x" * 300]
    start = np.array(first)
    values: dict[str, Column] = {
        "whole": np.array([NULL_INT if value is None else value for value in whole], dtype=np.int64),
        "single": np.array([np.nan if value is None else value for value in single]),
        "double": np.array(double),
        "flag": np.array(flag),
        "always": "constant",
        "word": text_column(words, np.array(word)),
        "blob": bytes_column(blobs, np.array(blob)),
        "item": record_column(items, start),
        "items": array_column(items, start, np.where(start < 0, 0, start + np.array(length))),
    }
    encoded = encode_records(RECORD, n, values)
    parsed = fastavro.parse_schema(RECORD)
    for i in range(n):
        stream = io.BytesIO(encoded.row(i))
        got: Any = fastavro.schemaless_reader(stream, parsed)
        assert stream.read() == b""
        assert got == {
            "whole": whole[i],
            "single": single[i],
            "double": double[i],
            "flag": flag[i],
            "always": "constant",
            "word": None if word[i] < 0 else words[word[i]].decode(),
            "blob": None if blob[i] < 0 else blobs[blob[i]],
            "item": None if first[i] < 0 else {"k": first[i] - 10},
            "items": None if first[i] < 0 else [{"k": k - 10} for k in range(first[i], first[i] + length[i])],
            "absent": None,
        }


def test_field_without_value_is_refused() -> None:
    with pytest.raises(ValueError, match="k must have a value"):
        encode_records(ITEM, 1, {})


def test_value_without_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no field j"):
        encode_records(ITEM, 1, {"k": 1, "j": 2})
