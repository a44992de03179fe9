"""Bytes of an answer to columns of text: VOTable and CSV, both hostile until read to their end."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pyarrow.csv as pa_csv
from lxml import etree

from ingest.xmatch.catalogues import RemoteCatalogue
from ingest.xmatch.columns import EntryColumns, FailReason
from ingest.xmatch.failures import UnansweredError
from ingest.xmatch.protocol import SEPARATION, AnswerFormat, TextColumn, Upload, check_answer, wanted_columns

MAX_COLUMNS = 2000
"""Most columns of a table; the widest of VizieR have some 700."""

_BUSY = "too many jobs"
"""How the service says, in a table with status 200, that it is overloaded; astroquery pull request 1137."""


def read_answer(body: bytes, upload: Upload, catalogue: RemoteCatalogue) -> EntryColumns:
    """Return the nearest entries that an answer names.

    Raises
    ------
    UnansweredError : the answer is not complete, not a table, not the one that was asked for, or says that it failed.
    """
    wanted = wanted_columns(catalogue)
    if not body.strip():
        raise UnansweredError(FailReason.INCOMPLETE, "The answer is empty.")
    texts = _read_votable(body, wanted) if upload.form is AnswerFormat.VOTABLE else _read_csv(body, wanted)
    return check_answer(upload, texts)


def _places(names: list[str], wanted: tuple[str, ...]) -> list[int]:
    """Return where the wanted columns stand among the columns of an answer."""
    if SEPARATION not in names:
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer is no table of matches.")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UnansweredError(FailReason.UNKNOWN_COLUMNS, f"The answer has no column {missing[0]}.")
    return [names.index(name) for name in wanted]


def _read_csv(body: bytes, wanted: tuple[str, ...]) -> tuple[TextColumn, ...]:
    """Read comma-separated values; a row that is cut lacks its line end."""
    line, _, rows = body.partition(b"\n")
    try:
        (names,) = csv.reader([line.decode("utf-8").rstrip("\r")], strict=True)
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer is no table.") from error
    if len(names) > MAX_COLUMNS:
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer has more columns than any catalogue.")
    places = _places(names, wanted)
    if not body.endswith(b"\n"):
        raise UnansweredError(FailReason.INCOMPLETE, "The answer ends within a row.")
    if not rows.strip():
        return tuple(pa.array([], type=pa.string()) for _ in wanted)
    # Columns are named by their place, because two tables joined may have the same name twice.
    keys = [str(place) for place in range(len(names))]
    try:
        table = pa_csv.read_csv(
            io.BytesIO(rows),
            pa_csv.ReadOptions(use_threads=False, column_names=keys),
            pa_csv.ParseOptions(ignore_empty_lines=False),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()),
                include_columns=sorted({keys[place] for place in places}),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as error:
        raise UnansweredError(FailReason.INCOMPLETE, "The answer has rows that are not whole.") from error
    return tuple(table[keys[place]] for place in places)


def _read_votable(body: bytes, wanted: tuple[str, ...]) -> tuple[TextColumn, ...]:
    """Read a VOTable with its cells in TABLEDATA, to the closing tag."""
    reading = _VotableReading(wanted)
    parser = etree.iterparse(
        io.BytesIO(body),
        events=("start", "end"),
        tag=_TAGS,
        remove_comments=True,
        remove_pis=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    try:
        for event, element in parser:
            tag = str(element.tag).rpartition("}")[2]
            if event == "start":
                reading.begin(tag)
            else:
                reading.end(tag, element)
    except etree.XMLSyntaxError as error:
        reason = FailReason.INCOMPLETE if _TABLE_TAG in body[:4096] else FailReason.NOT_UNDERSTOOD
        raise UnansweredError(reason, "The answer is no complete VOTable.") from error
    root = parser.root
    if root is None or str(root.tag).rpartition("}")[2] != "VOTABLE":
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer is no VOTable.")
    if root.getroottree().docinfo.internalDTD is not None:
        # A cell with an entity of its own would be read without it.
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer brings its own grammar.")
    return reading.columns()


_TAGS = tuple(f"{{*}}{name}" for name in ("TABLEDATA", "BINARY", "BINARY2", "FITS", "TR", "FIELD", "INFO"))
_TABLE_TAG = b"<VOTABLE"


class _VotableReading:
    """What was read of a VOTable so far."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._names: list[str] = []
        self._places: list[int] = []
        self._cells: list[list[str | None]] = [[] for _ in wanted]
        self._tables = 0

    def begin(self, tag: str) -> None:
        """Read an opening tag."""
        if tag == "TABLEDATA":
            self._tables += 1
            self._places = _places(self._names, self._wanted)
        elif tag in {"BINARY", "BINARY2", "FITS"}:
            raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer's cells are not written as text.")

    def end(self, tag: str, element: etree._Element) -> None:
        """Read an element that is closed."""
        if tag == "TR":
            row = [child.text for child in element]
            if not self._places or len(row) != len(self._names):
                raise UnansweredError(FailReason.INCOMPLETE, "The answer has rows that are not whole.")
            for column, place in zip(self._cells, self._places, strict=True):
                column.append(row[place])
            _forget(element)
        elif tag == "FIELD":
            if len(self._names) >= MAX_COLUMNS:
                raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer has more columns than any catalogue.")
            self._names.append(element.get("name", ""))
        elif tag == "INFO":
            _check_info(element)

    def columns(self) -> tuple[TextColumn, ...]:
        """Return the wanted columns of the one table, which may have no row."""
        # A table without rows may be written without TABLEDATA.
        _places(self._names, self._wanted)
        if self._tables > 1:
            raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer has more than one table.")
        return tuple(pa.array(column, type=pa.string()) for column in self._cells)


def _forget(element: etree._Element) -> None:
    """Free a row that was read, and the one before it that hangs empty in the tree."""
    element.clear()
    previous = element.getprevious()
    parent = element.getparent()
    if previous is not None and parent is not None:
        parent.remove(previous)


def _check_info(element: etree._Element) -> None:
    """Raise what the service says of itself; IVOA DALI 1.1, section 4.4, QUERY_STATUS."""
    if (element.get("name") or "").upper() != "QUERY_STATUS":
        return
    value = (element.get("value") or "").upper()
    if value == "OVERFLOW":
        raise UnansweredError(FailReason.OVERFLOW, "The service says that its answer is cut.")
    if value == "ERROR":
        said = (element.text or "").lower()
        reason = FailReason.BUSY if _BUSY in said else FailReason.SERVER_ERROR
        raise UnansweredError(reason, "The service says that it failed.")
