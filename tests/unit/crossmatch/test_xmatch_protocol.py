"""Uploads that say exactly what was meant, and answers that are believed whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.xmatch.answers import read_answer
from ingest.xmatch.catalogues import RemoteCatalogue, find_catalogue
from ingest.xmatch.columns import EntryColumns, FailReason
from ingest.xmatch.failures import UnansweredError
from ingest.xmatch.protocol import (
    DEC,
    MAX_LINE_BYTES,
    MAX_ROWS_BACK,
    RA,
    ROW,
    AnswerFormat,
    Upload,
    make_upload,
    rows_for,
)

SIMBAD = find_catalogue("simbad")
SENT_RA, SENT_DEC = np.array([10.0, 20.0, 30.0, 359.9999999]), np.array([-5.0, 0.0, 5.0, 89.0])
CELLS = [
    ["0.5", "0", "10.0", "-5.0", "A b", "Star"],
    ["0.25", "2", "30.0", "5.0", "M  31", "G"],
    ["1.0", "3", "-1e-7", "89.0", "ü 3", ""],
]
NAMES = ["angDist", ROW, RA, DEC, "main_id", "main_type"]


def upload(form: AnswerFormat, n: int = 4) -> Upload:
    return make_upload(SIMBAD, SENT_RA[:n], SENT_DEC[:n], 1.0, form)


def votable(rows: list[list[str]], names: list[str] = NAMES, head: str = "", root: str = "VOTABLE") -> bytes:
    fields = "".join(f'<FIELD name="{name}"/>' for name in names)
    body = "".join("<TR>" + "".join(f"<TD>{cell}</TD>" for cell in row) + "</TR>" for row in rows)
    table = f"<RESOURCE><TABLE>{fields}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE></RESOURCE>"
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<{root}>{table}</{root}>'.encode()


def table(rows: list[list[str]], names: list[str] = NAMES) -> bytes:
    return pd.DataFrame(rows, columns=names).to_csv(index=False).encode()


WRITE: dict[AnswerFormat, Callable[..., bytes]] = {AnswerFormat.VOTABLE: votable, AnswerFormat.CSV: table}


def read(body: bytes, form: AnswerFormat, catalogue: RemoteCatalogue = SIMBAD) -> EntryColumns:
    return read_answer(body, upload(form), catalogue)


def reason(body: bytes, form: AnswerFormat) -> FailReason:
    with pytest.raises(UnansweredError) as caught:
        read(body, form)
    return caught.value.reason


positions = st.lists(st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90)), min_size=2, max_size=30)


@given(positions)
def test_an_upload_holds_every_position_to_the_last_bit(rows: list[tuple[float, float]]) -> None:
    ra, dec = np.array(rows).T
    sent = make_upload(SIMBAD, ra, dec, 1.5, AnswerFormat.VOTABLE)
    lines = sent.table.decode("ascii").splitlines()
    assert lines[0] == f"{ROW},{RA},{DEC}"
    got = np.array([[float(value) for value in line.split(",")] for line in lines[1:]])
    np.testing.assert_array_equal(got, np.column_stack([np.arange(len(rows)), ra, dec]))
    assert max(map(len, lines)) < MAX_LINE_BYTES
    assert len(sent.table) <= MAX_LINE_BYTES * (len(rows) + 1)
    assert rows_for(len(sent.table)) <= len(rows)


def test_a_lone_position_is_sent_twice_and_answered_once() -> None:
    sent = upload(AnswerFormat.CSV, 1)
    assert len(pd.read_csv(io.BytesIO(sent.table))) == 2
    both = [["0.5", "0", "10.0", "-5.0", "A", "Star"], ["0.5", "1", "10.0", "-5.0", "A", "Star"]]
    assert read_answer(table(both), sent, SIMBAD).source_name.tolist() == ["A"]


@pytest.mark.parametrize("form", AnswerFormat)
def test_an_answer_is_read(form: AnswerFormat) -> None:
    found = read(WRITE[form](CELLS), form)
    assert found.row.tolist() == [0, 2, 3]
    assert found.source_name.tolist() == ["A b", "M  31", "ü 3"]
    assert found.label.tolist() == ["Star", "G", ""]
    assert found.separation_arcsec.tolist() == [0.5, 0.25, 1.0]
    # The same rows in another order, some of them twice, and columns in another order.
    again = read(WRITE[form]([row[::-1] for row in [*CELLS[::-1], *CELLS]], NAMES[::-1]), form)
    assert again.source_name.tolist() == found.source_name.tolist()
    assert len(read(WRITE[form]([]), form)) == 0


@pytest.mark.parametrize("form", AnswerFormat)
def test_a_name_that_stands_twice_among_the_columns_is_its_first(form: AnswerFormat) -> None:
    names = [*NAMES, "ra", "ra", "main_id"]
    body = WRITE[form]([[*CELLS[0], "1", "2", "no"]], names)
    assert read(body, form).source_name.tolist() == ["A b"]


@pytest.mark.parametrize("form", AnswerFormat)
def test_an_answer_that_is_cut_anywhere_is_refused(form: AnswerFormat) -> None:
    body = WRITE[form](CELLS)
    line_ends = {i + 1 for i, byte in enumerate(body) if byte == ord("\n")} if form is AnswerFormat.CSV else set()
    for end in range(len(body.rstrip())):
        if end not in line_ends:
            assert reason(body[:end], form) in {
                FailReason.INCOMPLETE,
                FailReason.NOT_UNDERSTOOD,
                FailReason.UNKNOWN_COLUMNS,
            }


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(AnswerFormat), st.data())
def test_damaged_bytes_give_the_same_entries_or_none(form: AnswerFormat, data: st.DataObject) -> None:
    body = bytearray(WRITE[form](CELLS))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(body), form)
    except UnansweredError:
        return
    # A changed letter of a name cannot be seen; a row for another position must be.
    assert set(found.row.tolist()) <= {0, 2, 3}
    assert np.all(found.separation_arcsec <= 1.001)
    assert all(found.source_name)


@settings(deadline=None)
@given(st.sampled_from(AnswerFormat), st.binary(max_size=400))
def test_noise_raises_nothing_else(form: AnswerFormat, body: bytes) -> None:
    with pytest.raises(UnansweredError):
        read(body, form)


@pytest.mark.parametrize("form", AnswerFormat)
@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        (0, "1.01", FailReason.FOREIGN_ROWS),
        (0, "-0.1", FailReason.FOREIGN_ROWS),
        (0, "nan", FailReason.FOREIGN_ROWS),
        (0, "near", FailReason.NOT_UNDERSTOOD),
        (1, "4", FailReason.FOREIGN_ROWS),
        (1, "-1", FailReason.FOREIGN_ROWS),
        (1, "0.5", FailReason.NOT_UNDERSTOOD),
        (1, "99999999999999999999", FailReason.NOT_UNDERSTOOD),
        (2, "10.00001", FailReason.FOREIGN_ROWS),
        (3, "-5.00001", FailReason.FOREIGN_ROWS),
        (3, "inf", FailReason.FOREIGN_ROWS),
        (4, "x" * 201, FailReason.NOT_UNDERSTOOD),
        (4, " ", FailReason.NOT_UNDERSTOOD),
        (4, "a\u202eb", FailReason.NOT_UNDERSTOOD),
        (5, "y" * 201, FailReason.NOT_UNDERSTOOD),
    ],
)
def test_one_wrong_cell_refuses_the_whole(form: AnswerFormat, column: int, value: str, why: FailReason) -> None:
    rows = [list(row) for row in CELLS]
    rows[0][column] = value
    assert reason(WRITE[form](rows), form) is why


@pytest.mark.parametrize("form", AnswerFormat)
def test_as_many_rows_as_may_come_back_count_as_cut(form: AnswerFormat) -> None:
    assert reason(WRITE[form]([CELLS[0]] * 4 * MAX_ROWS_BACK), form) is FailReason.OVERFLOW
    assert len(read(WRITE[form]([CELLS[0]] * (4 * MAX_ROWS_BACK - 1)), form)) == 1


def test_hostile_xml_gives_no_label() -> None:
    bomb = (
        "<!DOCTYPE VOTABLE ["
        '<!ENTITY a "Star">'
        + "".join(f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(9))
        + "]>"
    )
    assert reason(votable([[*CELLS[0][:4], "&j;", ""]], head=bomb), AnswerFormat.VOTABLE)
    assert reason(votable([[*CELLS[0][:5], "Sta&a;r"]], head=bomb), AnswerFormat.VOTABLE)
    file = '<!DOCTYPE VOTABLE [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    assert reason(votable([[*CELLS[0][:4], "&a;", ""]], head=file), AnswerFormat.VOTABLE)
    commented = votable([[*CELLS[0][:5], "St<!-- x -->ar"]])
    assert read(commented, AnswerFormat.VOTABLE).label.tolist() == ["Star"]
    assert reason(votable(CELLS, root="html"), AnswerFormat.VOTABLE) is FailReason.NOT_UNDERSTOOD
    two = votable(CELLS).replace(b"</RESOURCE>", b"<TABLE><DATA><TABLEDATA/></DATA></TABLE></RESOURCE>")
    assert reason(two, AnswerFormat.VOTABLE) is FailReason.NOT_UNDERSTOOD
    packed = votable([]).replace(b"<TABLEDATA></TABLEDATA>", b"<BINARY2><STREAM>AAAA</STREAM></BINARY2>")
    assert reason(packed, AnswerFormat.VOTABLE) is FailReason.NOT_UNDERSTOOD
    short = votable([CELLS[0], CELLS[1][:5]])
    assert reason(short, AnswerFormat.VOTABLE) is FailReason.INCOMPLETE
