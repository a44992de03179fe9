"""Published tables, read a bounded number of rows at a time."""

from __future__ import annotations

import warnings
import zlib
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io.votable import parse_single_table
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from graph.errors import ConfigurationError
from ingest.catalogues.layouts import CatalogueLayout, names_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_ROWS = 500_000
"""Rows read at a time: some hundred MB at most, with the columns of the widest layout."""

PREAMBLE_LINES = 3
"""Lines above the header of a CSV file that are looked at: TNS writes the time of the export there."""

FORMATS = {
    "csv": (".csv", ".csv.gz", ".csv.zip"),
    "text": (".txt", ".txt.gz"),
    "parquet": (".parquet",),
    "fits": (".fits", ".fit", ".fits.gz"),
    "votable": (".vot", ".vot.gz", ".xml", ".xml.gz"),
}
"""Endings of file names by kind of table."""

DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, IndexError, KeyError, SyntaxError, AttributeError),
    *(pa.ArrowException, zlib.error, BadZipFile, ExpatError, VOTableSpecError, AstropyUserWarning),
)
"""What the readers of damaged tables raise."""

ABSENT_TEXTS = frozenset({"", "---", "null", "none", "nan", "<na>", "--"})
"""Texts that stand for nothing in published tables, in lower case."""


def wanted_columns(layout: CatalogueLayout) -> frozenset[str]:
    """Return the columns that a layout may read, in lower case, with those that mask them."""
    specs = (layout.ra, layout.dec, layout.source_id, layout.id_prefix, layout.object_type)
    names = [name for spec in (*specs, layout.distance_mpc, layout.redshift) for name in names_of(spec)]
    names += [name for column in layout.numbers.values() for name in column.names]
    names += [name for _, columns in layout.magnitudes for name in columns]
    names += [layout.score.column] if layout.score else []
    return frozenset(name.lower() for name in names) | {f"{name.lower()}.mask" for name in names}


def text_columns(layout: CatalogueLayout) -> frozenset[str]:
    """Return those that must never pass through floating point, in lower case: names, types and written positions."""
    written = (layout.ra, layout.dec) if layout.sexagesimal or layout.designation else ()
    specs = (layout.source_id, layout.id_prefix, layout.object_type, *written)
    return frozenset(name.lower() for spec in specs for name in names_of(spec))


def clean(name: object) -> str:
    """Return the name of a column as it is compared."""
    return str(name).strip().lower()


def read_chunks(source: Path, layout: CatalogueLayout, rows: int = CHUNK_ROWS) -> Iterator[pd.DataFrame]:
    """Yield the wanted columns of a published table, names in lower case.

    Parameters
    ----------
    source : CSV, plain or packed, text, Parquet, FITS or VOTable by its ending.
    layout : what is read; text files only where it says how.
    rows : in a chunk. A VOTable is held in memory as a whole.

    Raises
    ------
    ConfigurationError : the file cannot be read, or its ending is not known.
    """
    kind = next((kind for kind, endings in FORMATS.items() if source.name.lower().endswith(endings)), "")
    if kind == "" or (kind == "text" and not layout.text):
        raise ConfigurationError(f"the catalogue source {source.name} is neither Parquet, CSV, FITS nor VOTable")
    readers = {"csv": _csv, "text": _csv, "parquet": _parquet, "fits": _fits, "votable": _votable}
    try:
        yield from readers[kind](source, layout, rows)
    except DAMAGE as error:
        if isinstance(error, ConfigurationError):
            raise
        first = str(error).partition("\n")[0][:200]
        raise ConfigurationError(f"the catalogue source {source.name} cannot be read: {first}") from error


def _csv(source: Path, layout: CatalogueLayout, rows: int) -> Iterator[pd.DataFrame]:
    """Yield chunks of a CSV file, packed or not."""
    options: dict[str, Any] = dict(layout.text if source.name.lower().endswith(FORMATS["text"]) else layout.csv)
    wanted, texts = wanted_columns(layout), text_columns(layout)
    skipped = 0
    header: list[str] = list(options.get("names", []))
    while not header:
        found = list(pd.read_csv(source, nrows=0, skiprows=skipped, **options).columns)
        if skipped == PREAMBLE_LINES or wanted.intersection(clean(name) for name in found):
            header = found
        else:
            skipped += 1
    kinds = {name: str for name in header if clean(name) in texts}
    used = [name for name in header if clean(name) in wanted]
    if not used:
        yield pd.DataFrame(columns=[clean(name) for name in header])
        return
    options |= {"usecols": used, "dtype": kinds, "low_memory": False, "float_precision": "round_trip"}
    with pd.read_csv(source, chunksize=rows, skiprows=skipped, **options) as chunks:
        for chunk in chunks:
            yield chunk.rename(columns=clean)


def _parquet(source: Path, layout: CatalogueLayout, rows: int) -> Iterator[pd.DataFrame]:
    """Yield chunks of a Parquet file."""
    wanted, texts = wanted_columns(layout), text_columns(layout)
    with pq.ParquetFile(source) as file:
        used = [name for name in file.schema_arrow.names if clean(name) in wanted]
        if not used:
            yield pd.DataFrame(columns=[clean(name) for name in file.schema_arrow.names])
            return
        for batch in file.iter_batches(batch_size=rows, columns=used):
            columns = {}
            for name in used:
                values = batch.column(name)
                # Identifiers of 64 bits beside nulls would become floating point.
                exact = clean(name) in texts and pa.types.is_integer(values.type)
                columns[clean(name)] = (values.cast(pa.string()) if exact else values).to_pandas()
            yield pd.DataFrame(columns)


def _pieces(table: Table, layout: CatalogueLayout, rows: int) -> Iterator[pd.DataFrame]:
    """Yield chunks of an astropy table, without columns of several values for one row."""
    wanted = wanted_columns(layout)
    flat = [name for name in table.colnames if table[name].ndim == 1]
    used = [name for name in flat if clean(name) in wanted]
    if not used:
        yield pd.DataFrame(columns=[clean(name) for name in flat])
        return
    for start in range(0, len(table), rows):
        yield table[used][start : start + rows].to_pandas(index=False).rename(columns=clean)


def _fits(source: Path, layout: CatalogueLayout, rows: int) -> Iterator[pd.DataFrame]:
    """Yield chunks of a FITS table."""
    plain = not source.name.lower().endswith(".gz")
    with warnings.catch_warnings():
        # A table that was cut off is read as far as it goes otherwise.
        warnings.filterwarnings("error", message="File may have been truncated")
        table = Table.read(source, format="fits", memmap=plain, unit_parse_strict="silent")
    yield from _pieces(table, layout, rows)


def _votable(source: Path, layout: CatalogueLayout, rows: int) -> Iterator[pd.DataFrame]:
    """Yield chunks of the first table of a VOTable."""
    table = parse_single_table(source, verify="ignore").to_table(use_names_over_ids=True)
    yield from _pieces(table, layout, rows)


def plain_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as stripped text, empty where absent."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        return column.astype(str)
    decoded = column.map(lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    text = decoded.astype(object).where(decoded.notna(), "").astype(str).str.strip()
    # Bytes that a CSV file holds in Python's notation, and quotes within quotes.
    text = text.str.replace(r"^b'(.*)'$", r"\1", regex=True).str.strip('"').str.strip()
    return text.where(~text.str.lower().isin(ABSENT_TEXTS), "")
