"""One cell of a built catalogue in memory: its numbers, its texts, and trees of its entries by how fast they move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped, unused-ignore]

from graph.errors import ConfigurationError
from graph.sky import unit_vectors
from ingest.catalogues.stored import NUMBERS, SCHEMA, TEXTS, nested_cell

if TYPE_CHECKING:
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

DENSITY_LEVELS = 4
"""Levels below a cell at which the density of entries is counted first: 0.2 deg2 where cells are of 54 deg2, in which a
galactic field varies little."""

DENSITY_MIN = 32
"""Entries that a density is counted from, for an error below a fifth; where there are fewer, the next larger part of
the cell counts, and at last the cell."""

SPEED_STEPS_MASYR = (0.0, 20.0, 200.0, 2000.0, np.inf)
"""Bounds of proper motion between the trees of moving entries [mas/yr]: after ten years, 0.2, 2 and 20 arcsec. Nine in
ten of Gaia's stars are in the slowest tree; the fastest holds a hundred in the whole sky."""

UNPACKED_ROWS = 20_000
"""Entries of a cell up to which its texts are held unpacked: ten times the memory, a tenth of the time."""

COLUMN = {name: place for place, name in enumerate((*NUMBERS, "density_deg2"))}
"""Place of a number in `Neighbours.numbers`."""


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Entries of one cell that move about as fast as each other."""

    tree: cKDTree
    entry: IntArray
    """Places of its entries in the cell."""
    fastest_arcsec_yr: float


@dataclass(frozen=True, eq=False, slots=True)
class Cell:
    """One cell of a catalogue in memory."""

    groups: tuple[Group, ...]
    texts: dict[str, TextArray | pa.Array]
    """As Python's texts in small cells, packed in large ones."""
    numbers: FloatArray


def _density_deg2(ra_deg: FloatArray, dec_deg: FloatArray, order: int) -> FloatArray:
    """Return the density of the entries of a cell around each of them [deg^-2]."""
    density = np.full(len(ra_deg), np.nan)
    cells = nested_cell(ra_deg, dec_deg, order + DENSITY_LEVELS)
    for level in range(order + DENSITY_LEVELS, order - 1, -1):
        _, place, counts = np.unique(cells, return_inverse=True, return_counts=True)
        area = 4.0 * np.pi * (180.0 / np.pi) ** 2 / (12 * 4**level)
        enough = np.isnan(density) & ((counts[place] >= DENSITY_MIN) | (level == order))
        density[enough] = counts[place][enough] / area
        cells = cells >> 2
    return density


def _groups(numbers: FloatArray) -> tuple[Group, ...]:
    """Return the trees of a cell: what stands still, then what moves, by speed."""
    speed = np.nan_to_num(np.hypot(numbers[:, COLUMN["pm_ra_masyr"]], numbers[:, COLUMN["pm_dec_masyr"]]))
    vectors = unit_vectors(numbers[:, 0], numbers[:, 1])
    step = np.searchsorted(np.array(SPEED_STEPS_MASYR), speed)
    groups = []
    for found in np.unique(step).tolist():
        entry = np.flatnonzero(step == found)
        tree = cKDTree(vectors[entry], balanced_tree=False, compact_nodes=False)
        groups.append(Group(tree, entry, float(speed[entry].max()) / 1000.0))
    return tuple(groups)


def read_cell(path: Path, order: int, label: str) -> Cell:
    """Read one cell.

    Parameters
    ----------
    path : of its file.
    order : HEALPix order of the cell.
    label : of the cell, for messages.

    Raises
    ------
    ConfigurationError : the file cannot be read.
    """
    try:
        table = pq.read_table(path, schema=SCHEMA, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(f"{label} cannot be read: {error}") from error
    plain = [table[name].to_numpy() for name in NUMBERS]
    numbers = np.column_stack([*plain, _density_deg2(plain[0], plain[1], order)])
    texts = {name: table[name].combine_chunks() for name in TEXTS}
    if len(numbers) <= UNPACKED_ROWS:
        texts = {name: text.to_numpy(zero_copy_only=False).astype(object) for name, text in texts.items()}
    return Cell(_groups(numbers), texts, numbers)


def chosen_texts(texts: TextArray | pa.Array, entry: IntArray) -> TextArray:
    """Return some texts of a cell."""
    if isinstance(texts, pa.Array):
        return np.asarray(texts.take(pa.array(entry)).to_numpy(zero_copy_only=False), dtype=object)
    return texts[entry]
