"""Any schema, any record: the compiled walk ends where fastavro's bytes end, and copies what fastavro wrote."""

from __future__ import annotations

import io
import struct
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.alerts.avro_schema import parse_declared
from ingest.alerts.container import view_bytes, write_varint
from ingest.alerts.kernel import STACK_ROWS, read_varint, walk
from ingest.alerts.program import (
    ABSENT_INT,
    ALERT,
    Column,
    Kind,
    Layout,
    Program,
    Table,
    compile_program,
    join_programs,
)
from ingest.alerts.status import Status

LAYOUT: Layout = (
    Table(
        ALERT,
        (Column("whole", Kind.INT, ("a.b", "b")), Column("real", Kind.FLOAT, ("r",)), Column("t", Kind.TEXT, ("t",))),
    ),
    Table(("items",), (Column("x", Kind.FLOAT, ("x",)), Column("n", Kind.INT, ("n",), required=True))),
)

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=6),
    "bytes": st.binary(max_size=6),
}


class _Names:
    """Fresh names for named types."""

    def __init__(self) -> None:
        self.count = 0

    def new(self) -> str:
        self.count += 1
        return f"n{self.count}"


@st.composite
def _typed(  # noqa: PLR0911 - one return for each kind of type
    draw: st.DrawFn, names: _Names, depth: int
) -> tuple[Any, st.SearchStrategy[Any]]:
    """Draw a type and a strategy of its values."""
    kinds = [*PRIMITIVES, "enum", "fixed", *(["record", "array", "map", "union"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    if kind in PRIMITIVES:
        return kind, PRIMITIVES[kind]
    if kind == "enum":
        return {"type": "enum", "name": names.new(), "symbols": ["p", "q", "r"]}, st.sampled_from("pqr")
    if kind == "fixed":
        size = draw(st.integers(1, 5))
        return {"type": "fixed", "name": names.new(), "size": size}, st.binary(min_size=size, max_size=size)
    if kind == "record":
        return draw(_recorded(names, depth - 1))
    if kind == "union":
        # One branch of each distinct Python type, so that the writer's choice is plain.
        chosen = draw(
            st.lists(st.sampled_from(["null", "boolean", "long", "string", "bytes"]), unique=True, min_size=1)
        )
        return chosen, st.one_of([PRIMITIVES[branch] for branch in chosen])
    inner, values = draw(_typed(names, depth - 1).filter(lambda pair: not _may_be_empty(pair[0])))
    if kind == "array":
        return {"type": "array", "items": inner}, st.lists(values, max_size=3)
    return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=3), values, max_size=3)


def _may_be_empty(declared: Any) -> bool:
    if isinstance(declared, dict) and declared["type"] == "record":
        return all(_may_be_empty(field["type"]) for field in declared["fields"])
    return bool(declared == "null")


@st.composite
def _recorded(draw: st.DrawFn, names: _Names, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
    pairs = [draw(_typed(names, depth)) for _ in range(draw(st.integers(0, 4)))]
    fields = [{"name": f"f{k}", "type": pair[0]} for k, pair in enumerate(pairs)]
    values = st.fixed_dictionaries({f"f{k}": pair[1] for k, pair in enumerate(pairs)})
    return {"type": "record", "name": names.new(), "fields": fields}, values


def _write(schema: Any, record: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return stream.getvalue()


def _walk(program: Program, datum: bytes, rows: int = 16, most: int = 100) -> tuple[int, np.ndarray, np.ndarray, int]:
    """Walk a datum as the second of two programs, so that targets were moved."""
    ops, jumps, bounds = join_programs([program, program])
    blanks = tuple(table.blank() for table in LAYOUT)
    tables = tuple(np.tile(blank, (rows, 1)) for blank in blanks)
    used = np.zeros(2, dtype=np.int64)
    stack = np.empty((STACK_ROWS, 4), dtype=np.int64)
    buf = view_bytes(datum)
    end = walk(buf, 0, len(buf), ops, jumps, bounds[1], bounds[2], tables, blanks, used, used + most, stack)
    return end, tables[0], tables[1], int(used[1])


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_walk_ends_where_the_record_does(data: st.DataObject) -> None:
    schema, values = data.draw(_recorded(_Names(), 3))
    datum = _write(schema, data.draw(values))
    program = compile_program(parse_declared(schema), LAYOUT)
    assert _walk(program, datum + b"more")[0] == len(datum)
    for cut in range(0, len(datum), 1 + len(datum) // 20):
        assert _walk(program, datum[:cut])[0] < 0


@settings(max_examples=100, deadline=None)
@given(
    whole=st.none() | PRIMITIVES["long"],
    real=PRIMITIVES["float"] | PRIMITIVES["double"],
    text=st.none() | PRIMITIVES["string"],
    items=st.lists(st.tuples(st.none() | st.integers(-(2**31), 2**31 - 1), PRIMITIVES["long"]), max_size=9),
    width=st.sampled_from(["float", "double"]),
)
def test_wanted_values_are_copied(
    whole: int | None, real: float, text: str | None, items: list[tuple[int | None, int]], width: str
) -> None:
    item = {
        "type": "record",
        "name": "item",
        "fields": [
            {"name": "skip", "type": ["null", "double"]},
            {"name": "x", "type": ["int", "null"]},
            {"name": "inner", "type": {"type": "array", "items": "string"}},
            {"name": "n", "type": "long"},
        ],
    }
    inner = {"type": "record", "name": "inner", "fields": [{"name": "b", "type": ["null", "string", "long"]}]}
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "before", "type": ["string", "bytes", "null"]},
            {"name": "a", "type": ["null", inner]},
            {"name": "items", "type": ["null", {"type": "array", "items": item}]},
            {"name": "r", "type": width},
            {"name": "t", "type": ["null", "string"]},
        ],
    }
    if width == "float":
        real = float(np.clip(real, -3e38, 3e38))
    record = {
        "before": b"b",
        "a": None if whole is None else {"b": whole},
        "items": [{"skip": 1.0, "x": x, "inner": ["i"] * k, "n": n} for k, (x, n) in enumerate(items)],
        "r": real,
        "t": text,
    }
    datum = _write(schema, record)
    end, alert, history, used = _walk(compile_program(parse_declared(schema), LAYOUT), datum)
    assert end == len(datum)
    assert alert[0, 0] == (ABSENT_INT if whole is None else whole)
    stored = alert[0, 1:2].view(np.float64)[0]
    assert stored == (struct.unpack("<f", struct.pack("<f", real))[0] if width == "float" else real)
    start, length = alert[0, 2:4]
    assert (None if length < 0 else datum[start : start + length].decode()) == text
    assert used == len(items)
    assert history[:used, 1].tolist() == [n for _, n in items]
    expected = [np.nan if x is None else float(x) for x, _ in items]
    np.testing.assert_array_equal(history[:used, :1].copy().view(np.float64)[:, 0], expected)


def test_an_array_that_lacks_what_is_required_is_stepped_over() -> None:
    item = {"type": "record", "name": "item", "fields": [{"name": "x", "type": "double"}]}
    schema = {"type": "record", "name": "r", "fields": [{"name": "items", "type": {"type": "array", "items": item}}]}
    datum = _write(schema, {"items": [{"x": 1.0}, {"x": 2.0}]})
    end, _, _, used = _walk(compile_program(parse_declared(schema), LAYOUT), datum)
    assert (end, used) == (len(datum), 0)


def test_a_full_table_is_said() -> None:
    item = {"type": "record", "name": "item", "fields": [{"name": "n", "type": "int"}]}
    schema = {"type": "record", "name": "r", "fields": [{"name": "items", "type": {"type": "array", "items": item}}]}
    datum = _write(schema, {"items": [{"n": k} for k in range(5)]})
    program = compile_program(parse_declared(schema), LAYOUT)
    assert _walk(program, datum, rows=4)[0] == Status.TABLE_FULL
    assert _walk(program, datum, rows=5)[0] == len(datum)


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(value: int) -> None:
    written = write_varint(value)
    assert written == _write("long", value)
    assert read_varint(view_bytes(written), 0, len(written)) == (value, len(written))
    assert read_varint(view_bytes(written), 0, len(written) - 1)[1] == Status.TRUNCATED


@pytest.mark.parametrize("raw", [b"\xff" * 10, b"\xff" * 9 + b"\x02", b"\x80" * 11 + b"\x00"])
def test_integers_that_do_not_fit(raw: bytes) -> None:
    assert read_varint(view_bytes(raw), 0, len(raw))[1] == Status.BAD_VARINT
