"""Reference catalogues as Parquet by sky cell, built once from what their authors publish.

A built catalogue is a folder: ``metadata.json`` and ``healpix3=NNN/part.parquet``, one folder for each HEALPix cell
(NESTED, of order 3 unless the layout says otherwise) that holds a source. Rows are sorted, so that the same source
gives the same bytes, however it was cut into files. Tables of any size are read in chunks, each chunk is laid down by
cell, and the cells are then put together one after another: the memory that is needed is that of a chunk or of the
fullest cell.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from graph.errors import ConfigurationError
from ingest.catalogues.layouts import CatalogueLayout
from ingest.catalogues.published import LAYOUTS
from ingest.catalogues.stored import SCHEMA, CatalogueInfo, nested_cell
from ingest.catalogues.tables import CHUNK_ROWS, read_chunks
from ingest.catalogues.tidy import tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LAYOUTS", "CatalogueInfo", "CatalogueLayout", "build_catalogue", "nested_cell"]

ROW_ORDER = ["ra_deg", "dec_deg", "source_id", "object_type", "magnitude", "redshift", "distance_mpc"]
"""By what the rows of a cell are sorted."""

COLUMNS = tuple((column.name, column.type) for column in SCHEMA)
"""Names and types of the columns."""

HASHED_BYTES = 1 << 20
"""Bytes of a source that are hashed at a time."""


class _Spool:
    """Chunks laid down by cell, to be collected cell by cell."""

    def __init__(self, folder: Path, order: int) -> None:
        self._folder = folder
        self._order = order
        self._batches: dict[int, list[tuple[int, int]]] = {}
        self._chunks = 0
        self.n = 0

    def add(self, entries: pd.DataFrame) -> None:
        """Lay down a chunk, one record batch for each cell."""
        cells = nested_cell(entries["ra_deg"].to_numpy(), entries["dec_deg"].to_numpy(), self._order)
        order = np.argsort(cells, kind="stable")
        found, starts, lengths = np.unique(cells[order], return_index=True, return_counts=True)
        # From numpy, because NaN is to stay NaN.
        table = pa.table([pa.array(entries[name].to_numpy()[order], type=kind) for name, kind in COLUMNS], SCHEMA)
        with pa.ipc.new_file(self._folder / str(self._chunks), SCHEMA) as file:
            for place, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
                file.write_table(table.slice(start, length), max_chunksize=length)
                self._batches.setdefault(int(found[place]), []).append((self._chunks, place))
        self._chunks += 1
        self.n += len(entries)

    def cells(self) -> list[int]:
        """Return the cells that hold a source."""
        return sorted(self._batches)

    def collect(self, cell: int) -> pa.Table:
        """Return the sorted rows of a cell."""
        parts = []
        for chunk, place in self._batches[cell]:
            with pa.memory_map(str(self._folder / str(chunk))) as source:
                parts.append(pa.ipc.open_file(source).get_batch(place))
        rows = pa.Table.from_batches(parts, SCHEMA)
        return rows.sort_by([(name, "ascending") for name in ROW_ORDER])


def _digest(source: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while piece := file.read(HASHED_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _write_cells(spool: _Spool, folder: Path, order: int) -> tuple[dict[int, float], tuple[float, float]]:
    """Write the partitions; return the fastest motion of each cell where something moves [mas/yr], and the epochs."""
    fastest: dict[int, float] = {}
    epochs: list[float] = []
    for cell in spool.cells():
        part = folder / f"healpix{order}={cell:03d}"
        part.mkdir(parents=True)
        rows = spool.collect(cell)
        pq.write_table(rows, part / "part.parquet", compression="zstd")
        speed = np.nan_to_num(np.hypot(*(rows[name].to_numpy() for name in ("pm_ra_masyr", "pm_dec_masyr"))))
        if speed.max() > 0.0:
            fastest[cell] = float(speed.max())
            epoch = rows["epoch_jyear"].to_numpy()[speed > 0.0]
            epochs += [float(epoch.min()), float(epoch.max())]
    return fastest, (min(epochs, default=0.0), max(epochs, default=0.0))


def build_catalogue(
    name: str,
    source: Path | Sequence[Path],
    out_dir: Path,
    layout: CatalogueLayout | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> CatalogueInfo:
    """Write the partitions and the metadata of one catalogue.

    Parameters
    ----------
    name : of the catalogue, and of its folder in ``out_dir``; a key of `LAYOUTS` unless a layout is given.
    source : published table, or the files that it is cut into: CSV, plain or packed, Parquet, FITS or VOTable.
    out_dir : folder of all catalogues.
    chunk_rows : read at a time.

    Raises
    ------
    ConfigurationError : unknown name, unreadable source, missing column, no usable row, or already built.
    """
    chosen = LAYOUTS.get(name) if layout is None else layout
    if chosen is None or Path(name).name != name:
        raise ConfigurationError(f"there is no catalogue {name!r}; known are {', '.join(sorted(LAYOUTS))}")
    folder = out_dir / name
    if folder.exists():
        raise ConfigurationError(f"the catalogue {name} is already built in {out_dir}; remove it first")
    sources = [source] if isinstance(source, Path) else list(source)
    n_read = 0
    with tempfile.TemporaryDirectory(prefix="catalogue-") as scratch:
        spool = _Spool(Path(scratch), chosen.order)
        for path in sources:
            for frame in read_chunks(path, chosen, chunk_rows):
                entries = tidy(frame, name, chosen)
                n_read += len(frame)
                if len(entries):
                    spool.add(entries)
        if spool.n == 0:
            raise ConfigurationError(f"the source of catalogue {name} has no usable position")
        fastest, epochs = _write_cells(spool, folder, chosen.order)
    info = CatalogueInfo(
        name=name,
        version=chosen.version,
        reference=chosen.reference,
        radius_arcsec=chosen.radius_arcsec,
        sigma_arcsec=chosen.sigma_arcsec,
        epoch=chosen.epoch,
        n=spool.n,
        n_dropped=n_read - spool.n,
        order=chosen.order,
        source_sha256=tuple(sorted(_digest(path) for path in sources)),
        galaxy_types=chosen.galaxy_types,
        fastest_masyr=fastest,
        moving_epochs=epochs,
    )
    # Written last: a folder without metadata is an interrupted build and is not opened.
    (folder / "metadata.json").write_text(json.dumps(asdict(info), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return info
