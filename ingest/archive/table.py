"""Normalised columns and packets as Arrow tables and Parquet files of standard types.

The normalised columns are taken from the fields of `ingest.alerts.columns.AlertColumns` as they are, so that a new one
is archived without a change here. Absent values become nulls, ragged parts become columns of lists.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from graph.sky import ang2pix
from ingest.alerts.columns import BANDS, AlertColumns, IntArray
from ingest.archive.layout import CELL_ORDER, Compression
from ingest.archive.split import Split

ROWS_PER_GROUP = 256
"""Rows of a row group: some 20 MB, what is read to get at one packet."""

PAGE_ROWS = 16
"""Packets between two looks at a page's size; with 1024, the default, a page of packets grows to 100 MB."""

_CELL_SHIFT = 2 * (29 - CELL_ORDER)
"""Bits of a nested order-29 cell below its cell of `CELL_ORDER`."""

SOURCE_COLUMNS = ("topic", "partition", "offset")
"""What identifies a row: the message that it came as."""

PACKET_COLUMNS = ("header", "body")
"""Bytes of the packet: header + body."""

_REPEATED = frozenset({"topic", "header", "band", "light_curve_band", "forced_band", "solar_system_id"})
"""Columns in which few values occur many times; written with a dictionary."""

_NAMES_OF_PARTS = {"light_curves": "light_curve", "forced": "forced"}
"""Field of ragged columns -> what the names of its columns begin with."""

_LETTERS = pa.array([*BANDS, None], pa.string())


def cells_of(ra_deg: ArrayLike, dec_deg: ArrayLike) -> IntArray:
    """Return the nested cells of order 5 (n,) of positions [deg, ICRS]."""
    return ang2pix(ra_deg, dec_deg) >> _CELL_SHIFT


def normalised_table(columns: AlertColumns) -> pa.Table:
    """Return the normalised columns (n,) as a table, with the cell of each position."""
    healpix29 = ang2pix(columns.ra_deg, columns.dec_deg)
    arrays: dict[str, pa.Array] = {
        "healpix5": pa.array((healpix29 >> _CELL_SHIFT).astype(np.int32)),
        "healpix29": pa.array(healpix29),
    }
    for field in fields(columns):
        value: Any = getattr(columns, field.name)
        if hasattr(value, "offsets"):
            offsets = pa.array(value.offsets.astype(np.int32))
            prefix = _NAMES_OF_PARTS.get(field.name, field.name)
            arrays |= {
                f"{prefix}_{part.name}": pa.ListArray.from_arrays(offsets, _array(part.name, getattr(value, part.name)))
                for part in fields(value)
                if part.name != "offsets"
            }
        elif isinstance(value, np.ndarray) and field.name != "row":
            arrays[field.name] = _array(field.name, value)
    return pa.table(arrays)


def _array(name: str, values: np.ndarray) -> pa.Array:
    """Return a column with nulls where it is absent: NaN, -1 or empty text."""
    if name == "band":
        return _LETTERS.take(pa.array(np.where(values < 0, len(BANDS), values)))
    if values.dtype.kind == "f":
        absent = np.isnan(values)
    elif values.dtype.kind == "i":
        absent = values == -1
    elif values.dtype.kind == "O":
        return pa.array([value or None for value in values.tolist()], pa.string())
    else:
        return pa.array(values)
    return pa.array(values, mask=absent if absent.any() else None)


def source_table(topic: str, partition: IntArray, offset: IntArray, timestamp_ms: IntArray) -> pa.Table:
    """Return the columns that say where messages (n,) came from; a timestamp below 0 is absent."""
    names = pa.DictionaryArray.from_arrays(np.zeros(len(offset), dtype=np.int32), pa.array([topic]))
    return pa.table(
        {
            "topic": names,
            "partition": pa.array(partition.astype(np.int32)),
            "offset": pa.array(offset.astype(np.int64)),
            "kafka_timestamp": pa.array(
                timestamp_ms.astype("datetime64[ms]"), pa.timestamp("ms", tz="UTC"), mask=timestamp_ms < 0
            ),
        }
    )


def packet_table(split: Split) -> pa.Table:
    """Return the columns of packets (n,)."""
    return pa.table(
        {
            "header": split.header,
            "body": split.body,
            "packet_bytes": pa.array(split.size_bytes.astype(np.int32)),
            "packet_xxh64": pa.array(split.checksum),
        }
    )


def join_columns(*tables: pa.Table) -> pa.Table:
    """Return one table with the columns of several of one length."""
    arrays = {name: column for table in tables for name, column in zip(table.column_names, table.columns, strict=True)}
    return pa.table(arrays)


def open_writer(sink: pa.NativeFile, schema: pa.Schema, compression: Compression) -> pq.ParquetWriter:
    """Return a writer of archive files.

    Notes
    -----
    Normalised columns are compressed with snappy, headers with zstd, bodies as asked for. Statistics are kept of
    single numbers and names only: of packets they would cost their bytes once more. Arrow's own schema is left out, so
    that every reader sees the same plain types.
    """
    scalars = [field.name for field in schema if field.name not in PACKET_COLUMNS and not pa.types.is_list(field.type)]
    codecs = dict.fromkeys(map(_leaf, schema), "snappy") | {"header": "zstd", "body": compression.value}
    return pq.ParquetWriter(
        sink,
        schema,
        compression=codecs,
        use_dictionary=[_leaf(field) for field in schema if field.name in _REPEATED],
        write_statistics=scalars,
        write_batch_size=PAGE_ROWS,
        store_schema=False,
    )


def _leaf(field: pa.Field) -> str:
    """Return the path of a column in the Parquet schema."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def write_rows(writer: pq.ParquetWriter, table: pa.Table) -> None:
    """Append rows in groups that are small enough to be read for one packet."""
    writer.write_table(table, row_group_size=ROWS_PER_GROUP)
