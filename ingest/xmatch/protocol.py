"""The service's protocol without its transport: what is sent, and what may be believed of the answer.

Rows are sent under numbers and come back with the number and the position that were sent, so that an answer to another
question is noticed. Everything in an answer is checked before any of it is believed: it is taken whole or not at all.

References
----------
CDS X-Match service, documentation of the HTTP API, version of 2021-02-16.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from ingest.xmatch.catalogues import RemoteCatalogue
from ingest.xmatch.columns import EntryColumns, FailReason, FloatArray, IntArray, TextArray
from ingest.xmatch.failures import UnansweredError

ROW, RA, DEC = "heliograph_row", "heliograph_ra", "heliograph_dec"
"""Columns of the upload; names that no catalogue has, because an answer joins the columns of both tables."""

SEPARATION = "angDist"
"""Column of the answer with the separation [arcsec]."""

MAX_LINE_BYTES = 64
"""Longest line of an upload [byte]: a number of 9 digits, two doubles of at most 24 characters, commas, line end."""

MAX_UPLOAD_BYTES = 16_000_000
"""Largest upload [byte]; the service takes 100 MB, and a request that fails is sent again as a whole."""

MAX_ROWS_BACK = 20
"""Rows asked for at most, for each position: one is expected, and a service that ignores that only the best is wanted
may return all within the radius. At this limit the answer counts as cut."""

MAX_TEXT = 200
"""Longest believable name or type of an entry [characters]; SIMBAD's longest identifiers have some 60."""

ECHO_TOLERANCE_DEG = 1e-6
"""How far the position that comes back may lie from the one sent [deg]: 4 milliarcsec, for a service that rounds."""

RADIUS_TOLERANCE_ARCSEC = 0.001
"""How far a separation may exceed the radius [arcsec]; the service rounds it to a microarcsec or so."""


TextColumn: TypeAlias = Any
"""An Arrow column of an answer, every value as the service wrote it; Arrow's types are not known to the checker."""

_WITHOUT_LABEL = 5


class AnswerFormat(StrEnum):
    """Formats of answers that are read; the names are the service's."""

    VOTABLE = "votable"
    """Ends with a closing tag: an answer that was cut anywhere is noticed."""
    CSV = "csv"
    """Smaller and faster, but one that was cut between two rows upstream of a proxy looks complete."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One request: the fields, the table, and the positions for checking the answer."""

    fields: dict[str, str]
    form: AnswerFormat
    table: bytes
    ra_deg: FloatArray
    """(n,) [deg, ICRS]."""
    dec_deg: FloatArray
    radius_arcsec: float
    rows_sent: int
    """Lines of the table: n, but 2 for a lone position."""

    @property
    def max_rows(self) -> int:
        """Rows that the answer must stay below."""
        return self.rows_sent * MAX_ROWS_BACK


def rows_for(max_bytes: int) -> int:
    """Return how many positions fit an upload of so many bytes, whatever their digits."""
    return max(max_bytes // MAX_LINE_BYTES - 1, 1)


def make_upload(
    catalogue: RemoteCatalogue, ra_deg: FloatArray, dec_deg: FloatArray, radius_arcsec: float, form: AnswerFormat
) -> Upload:
    """Return the request for some positions.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) with n > 0 [deg, ICRS], finite.
    """
    # A table of one row was refused as a bad request (astroquery issue 1376), so a lone position is sent twice.
    repeats = 2 if len(ra_deg) == 1 else 1
    rows = len(ra_deg) * repeats
    table = pa.table({ROW: np.arange(rows), RA: np.tile(ra_deg, repeats), DEC: np.tile(dec_deg, repeats)})
    sink = io.BytesIO()
    # Arrow quotes the names of columns, which this table's reader need not understand.
    sink.write(f"{ROW},{RA},{DEC}\n".encode())
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=False))
    fields = {
        "request": "xmatch",
        "distMaxArcsec": repr(float(radius_arcsec)),
        "RESPONSEFORMAT": form.value,
        "MAXREC": str(rows * MAX_ROWS_BACK),
        "selection": "best",
        "cat2": catalogue.service_name,
        "colRA1": RA,
        "colDec1": DEC,
        "area": "allsky",
    }
    return Upload(fields, form, sink.getvalue(), ra_deg, dec_deg, radius_arcsec, rows)


def wanted_columns(catalogue: RemoteCatalogue) -> tuple[str, ...]:
    """Return the columns of an answer that are read: our three, the separation, name and, if there is one, type."""
    label = (catalogue.label_column,) if catalogue.label_column else ()
    return (ROW, RA, DEC, SEPARATION, catalogue.name_column, *label)


def check_answer(upload: Upload, texts: tuple[TextColumn, ...]) -> EntryColumns:
    """Return the nearest entry of each position that has one.

    Parameters
    ----------
    texts : columns of the answer as text, in the order of `wanted_columns`.

    Raises
    ------
    UnansweredError : a number cannot be read, a row was not asked for, or there are as many rows as may come back.
    """
    try:
        row = texts[0].cast(pa.int64()).to_numpy()
        ra, dec, separation = (text.cast(pa.float64()).to_numpy() for text in texts[1:4])
        names, labels = (_objects(text) for text in (texts[4], texts[-1]))
    except (pa.ArrowException, ValueError) as error:
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer holds numbers that are none.") from error
    if len(texts) == _WITHOUT_LABEL:
        labels = np.full(len(row), "", dtype=object)
    if len(row) >= upload.max_rows:
        raise UnansweredError(FailReason.OVERFLOW, "The answer has as many rows as may come back, so it may be cut.")
    _check_rows(upload, row, ra, dec, separation)
    _check_texts(names, labels)
    # Nearest first; the name settles ties, so that the same rows in any order give the same entry.
    order = np.lexsort((labels.astype(str), names.astype(str), separation, row))
    order = order[row[order] < len(upload.ra_deg)]
    first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    return EntryColumns(row[first], labels[first], names[first], separation[first])


def _objects(column: TextColumn) -> TextArray:
    """Return text as objects without blanks at the ends; absent is empty."""
    return pc.utf8_trim_whitespace(pc.fill_null(column, "")).to_numpy(zero_copy_only=False).astype(object)


def _check_rows(upload: Upload, row: IntArray, ra: FloatArray, dec: FloatArray, separation: FloatArray) -> None:
    """Refuse rows that were not asked for."""
    if np.any((row < 0) | (row >= upload.rows_sent)):
        raise UnansweredError(FailReason.FOREIGN_ROWS, "The answer has rows that were not asked for.")
    place = np.minimum(row, len(upload.ra_deg) - 1)
    # Right ascensions may come back wrapped.
    d_ra = np.abs((ra - upload.ra_deg[place] + 180.0) % 360.0 - 180.0)
    near = (d_ra <= ECHO_TOLERANCE_DEG) & (np.abs(dec - upload.dec_deg[place]) <= ECHO_TOLERANCE_DEG)
    inside = (separation >= 0.0) & (separation <= upload.radius_arcsec + RADIUS_TOLERANCE_ARCSEC)
    # Comparisons with NaN are false, so absent numbers are refused too.
    if not (np.all(near) and np.all(inside)):
        raise UnansweredError(FailReason.FOREIGN_ROWS, "The answer has rows for other positions or beyond the radius.")


def _check_texts(names: TextArray, labels: TextArray) -> None:
    """Refuse names and types that no catalogue has."""
    if not all(names):
        raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer has entries without a name.")
    for column in (names, labels):
        # One look at all characters is faster than one at each text.
        if not "".join(column).isprintable() or max(map(len, column), default=0) > MAX_TEXT:
            raise UnansweredError(FailReason.NOT_UNDERSTOOD, "The answer has texts that no catalogue has.")
