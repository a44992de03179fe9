"""A built catalogue, opened: its cells in memory and the entries near positions.

A catalogue's cells are read when a position first falls into them and stay in memory as k-d trees of unit vectors, so
that the poles, RA 0 and the borders of cells need no special case: a position near a border asks all cells that its
circle may reach. Entries that move are kept in trees of their own by how fast they are, so that one fast star widens
the search among its like only. The cells that were not used for longest are dropped when a catalogue gets too large.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped, unused-ignore]

from graph.sky import tangents, unit_vectors
from ingest.catalogues.cells import COLUMN, Cell, Group, chosen_texts, read_cell
from ingest.catalogues.motion import ARCSEC, moved_vectors, separations_arcsec
from ingest.catalogues.stored import TEXTS, CatalogueInfo, nested_cell, read_info

if TYPE_CHECKING:
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

RING_DIRECTIONS = 16
"""Directions in which the cells around a circle are probed. A cell that the circle of radius r cuts has corners of 53
degrees or more, and covers at least 27 degrees of the ring of radius 2 r: probes 22.5 degrees apart cannot miss it."""

DEEPEST = 29
"""Order of the smallest HEALPix cells that 64 bits number."""

FINE_LEVELS = 8
"""Levels below a catalogue's cells by which positions near a border are told from the others: 256 x 256 parts, of which
the outer ones are near it."""

SQUARENESS = 0.25
"""Smallest height of a HEALPix cell in units of the root of its area, rounded down: 0.4 for the flattest ones."""

ROWS_IN_MEMORY = 8_000_000
"""Entries of one catalogue that stay in memory, some 1.5 GB; the fields of one exposure of Gaia are 2 million."""


@dataclass(frozen=True, eq=False, slots=True)
class Neighbours:
    """Pairs of positions and entries, sorted by position, then by separation."""

    row: IntArray
    """(p,) index of the position."""
    separation_arcsec: FloatArray
    """(p,) at the time of the position."""
    years: FloatArray
    """(p,) from the entry's epoch to the time of the position; zero where either is not known."""
    numbers: FloatArray
    """(p, k) of the entries; columns as in `COLUMN`."""
    source_id: TextArray
    object_type: TextArray
    band: TextArray

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.row)

    def take(self, chosen: IntArray) -> Neighbours:
        """Return the pairs at some places."""
        return Neighbours(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})

    def column(self, name: str) -> FloatArray:
        """Return (p,) of a number of the entries."""
        return self.numbers[:, COLUMN[name]]


@dataclass(frozen=True, eq=False, slots=True)
class Positions:
    """Finite positions on the sky, and when."""

    ra_deg: FloatArray
    dec_deg: FloatArray
    jyear: FloatArray
    """(n,) Julian year; NaN where it is not known, which leaves entries at their own epoch."""
    vectors: FloatArray
    deepest: IntArray
    """(n,) NESTED cell of order `DEEPEST`, from which that of any order follows by a shift."""

    @classmethod
    def of(cls, ra_deg: FloatArray, dec_deg: FloatArray, jyear: FloatArray | None = None) -> Positions:
        """Return positions [deg, ICRS], at Julian years if they are given."""
        years = np.full(len(ra_deg), np.nan) if jyear is None else jyear
        return cls(ra_deg, dec_deg, years, unit_vectors(ra_deg, dec_deg), nested_cell(ra_deg, dec_deg, DEEPEST))

    def cell(self, order: int) -> IntArray:
        """Return the NESTED cell of an order of each position."""
        return self.deepest >> (2 * (DEEPEST - order))


class Catalogue:
    """An opened catalogue; cells are loaded when first needed and kept."""

    def __init__(self, folder: Path, info: CatalogueInfo) -> None:
        self.info = info
        prefix = f"healpix{info.order}="
        self._cells = {
            int(path.name.removeprefix(prefix)): path / "part.parquet"
            for path in folder.glob(f"{prefix}*")
            if path.name.removeprefix(prefix).isdigit()
        }
        self._filled = np.zeros(12 * 4**info.order, dtype=np.bool_)
        self._filled[list(self._cells)] = True
        self._loaded: dict[int, Cell] = {}
        self._lock = Lock()

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Return the catalogue of a folder that `ingest.catalogue.build_catalogue` wrote, opened once in a process.

        Raises
        ------
        ConfigurationError : the folder is no complete catalogue, or one of another format.
        """
        return _open(folder.resolve())

    def _cell(self, cell: int) -> Cell:
        """Return one cell, loaded if need be; two threads may load it twice, with the same result."""
        with self._lock:
            loaded = self._loaded.pop(cell, None)
            if loaded is not None:
                self._loaded[cell] = loaded
                return loaded
        loaded = read_cell(self._cells[cell], self.info.order, f"cell {cell} of catalogue {self.info.name}")
        with self._lock:
            self._loaded[cell] = loaded
            held = sum(len(one.numbers) for one in self._loaded.values())
            # In the order of their last use; the one that was just loaded stays, however large.
            for oldest in list(self._loaded)[:-1]:
                if held <= ROWS_IN_MEMORY:
                    break
                held -= len(self._loaded.pop(oldest).numbers)
        return loaded

    def _near_border(self, at: Positions, reach_arcsec: float) -> NDArray[np.bool_]:
        """Tell which positions may be within reach of another cell than their own."""
        whole = np.sqrt(4.0 * np.pi / (12 * 4**self.info.order)) / ARCSEC
        levels = min(FINE_LEVELS, int(np.floor(np.log2(max(SQUARENESS * whole / reach_arcsec, 1.0)))))
        if levels < 1:
            return np.ones(len(at.ra_deg), dtype=np.bool_)
        inside = at.cell(self.info.order + levels) & (4**levels - 1)
        # The bits of the two directions within a cell stand alternately; all equal means the outermost part.
        x = inside & 0x5555555555555555
        y = inside & 0x2AAAAAAAAAAAAAAA
        last = 4**levels - 1
        edge = (x == 0) | (y == 0) | (x == (last & 0x5555555555555555)) | (y == (last & 0x2AAAAAAAAAAAAAAA))
        return np.asarray(edge, dtype=np.bool_)

    def _candidate_cells(self, at: Positions, reach_arcsec: float) -> tuple[IntArray, IntArray]:
        """Return pairs of position and cell, for all non-empty cells that a position's circle may reach."""
        home = at.cell(self.info.order)
        border = np.flatnonzero(self._near_border(at, reach_arcsec))
        east, north = tangents(at.ra_deg[border], at.dec_deg[border])
        reach = np.tan(2.0 * reach_arcsec * ARCSEC)
        rows, cells = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for angle in np.arange(RING_DIRECTIONS) * (2.0 * np.pi / RING_DIRECTIONS) if len(border) else ():
            probe = at.vectors[border] + reach * (np.cos(angle) * north + np.sin(angle) * east)
            ra = np.degrees(np.arctan2(probe[:, 1], probe[:, 0])) % 360.0
            dec = np.degrees(np.arctan2(probe[:, 2], np.hypot(probe[:, 0], probe[:, 1])))
            cell = nested_cell(ra, dec, self.info.order)
            other = np.flatnonzero(cell != home[border])
            rows.append(border[other])
            cells.append(cell[other])
        width = max(len(home), 1)
        pairs = np.unique(np.concatenate(cells) * width + np.concatenate(rows))
        row = np.concatenate([np.arange(len(home)), pairs % width])
        cell = np.concatenate([home, pairs // width])
        kept = np.flatnonzero(self._filled[cell])
        order = kept[np.argsort(cell[kept], kind="stable")]
        return row[order], cell[order]

    def _search(
        self, at: Positions, mine: IntArray, cell: Cell, radius_arcsec: float, nearest: bool
    ) -> list[tuple[IntArray, IntArray, FloatArray]]:
        """Return row, entry and separation of the pairs of some positions with one cell; at least the nearest ones."""
        found = []
        # The bound is exclusive in scipy; an entry exactly on the circle belongs to it.
        chord = np.nextafter(2.0 * np.sin(0.5 * radius_arcsec * ARCSEC), 1.0)
        for group in cell.groups:
            if nearest and group.fastest_arcsec_yr == 0.0:
                distance, place = group.tree.query(at.vectors[mine], distance_upper_bound=chord)
                hit = np.isfinite(distance)
                row, entry = mine[hit], group.entry[place[hit]]
                separation = 2.0 * np.arcsin(0.5 * distance[hit]) / ARCSEC
            else:
                row, entry, separation = self._moving(at, mine, cell, group, radius_arcsec)
            if len(row):
                found.append((row, entry, separation))
        return found

    @staticmethod
    def _moving(
        at: Positions, mine: IntArray, cell: Cell, group: Group, radius_arcsec: float
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return all pairs of some positions with the entries of a group, at the time of the positions."""
        epochs = cell.numbers[group.entry, COLUMN["epoch_jyear"]]
        times = at.jyear[mine][np.isfinite(at.jyear[mine])]
        longest = 0.0 if len(times) == 0 else max(times.max() - epochs.min(), epochs.max() - times.min(), 0.0)
        reach = radius_arcsec + group.fastest_arcsec_yr * longest
        pairs = cKDTree(at.vectors[mine]).sparse_distance_matrix(
            group.tree, np.nextafter(2.0 * np.sin(0.5 * reach * ARCSEC), 1.0), output_type="ndarray"
        )
        row, entry = mine[pairs["i"]], group.entry[pairs["j"]]
        numbers = cell.numbers[entry]
        years = np.nan_to_num(at.jyear[row] - numbers[:, COLUMN["epoch_jyear"]])
        names = ("ra_deg", "dec_deg", "pm_ra_masyr", "pm_dec_masyr")
        ra, dec, east, north = (numbers[:, COLUMN[name]] for name in names)
        moved = moved_vectors(ra, dec, east, north, years)
        separation = separations_arcsec(at.vectors[row], moved)
        near = separation <= radius_arcsec
        return row[near], entry[near], separation[near]

    def _reach_arcsec(self, at: Positions, radius_arcsec: float) -> float:
        """Return how far from its place at the catalogue's epoch an entry may be for a match."""
        times = at.jyear[np.isfinite(at.jyear)]
        if self.info.fastest_arcsec_yr == 0.0 or len(times) == 0:
            return radius_arcsec
        first, last = self.info.moving_epochs
        return radius_arcsec + self.info.fastest_arcsec_yr * float(max(times.max() - first, last - times.min(), 0.0))

    def neighbours(self, at: Positions, radius_arcsec: float, *, nearest: bool = False) -> Neighbours:
        """Return the entries within a radius of each position, at the time of the position.

        Parameters
        ----------
        at : n positions.
        radius_arcsec : of each circle; an entry on it belongs to it.
        nearest : whether only the nearest entry of each position is wanted, which is faster.
        """
        rows, numbers = self._candidate_cells(at, self._reach_arcsec(at, radius_arcsec))
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
        cells: list[Cell] = []
        none = np.empty(0, dtype=np.int64)
        found: list[tuple[IntArray, IntArray, FloatArray, IntArray]] = [(none, none, np.empty(0), none)]
        for start, stop in pairwise(edges):
            cell = self._cell(int(numbers[start]))
            for row, entry, separation in self._search(at, rows[start:stop], cell, radius_arcsec, nearest):
                found.append((row, entry, separation, np.full(len(row), len(cells))))
            cells.append(cell)
        row, entry, separation, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
        # Ties, as of doubles in a catalogue, always fall to the same entry.
        order = np.lexsort((entry, place, separation, row))
        if nearest:
            order = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
        return _gather(cells, (row, entry, separation, place), order, at)


def _gather(
    cells: list[Cell], pairs: tuple[IntArray, IntArray, FloatArray, IntArray], order: IntArray, at: Positions
) -> Neighbours:
    """Return pairs with what the entries say; they are row, entry, separation and place of the cell in ``cells``."""
    row, entry, separation, place = pairs[0][order], pairs[1][order], pairs[2][order], pairs[3][order]
    numbers = np.full((len(row), len(COLUMN)), np.nan)
    texts = {name: np.full(len(row), "", dtype=object) for name in TEXTS}
    order = np.argsort(place, kind="stable")
    edges = np.flatnonzero(np.diff(place[order], prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        mine = order[start:stop]
        cell = cells[int(place[mine[0]])]
        numbers[mine] = cell.numbers[entry[mine]]
        for name, values in texts.items():
            values[mine] = chosen_texts(cell.texts[name], entry[mine])
    years = np.nan_to_num(at.jyear[row] - numbers[:, COLUMN["epoch_jyear"]])
    return Neighbours(row, separation, years, numbers, **texts)


@lru_cache(maxsize=64)
def _open(folder: Path) -> Catalogue:
    """Open the catalogue of a folder."""
    return Catalogue(folder, read_info(folder))


def open_catalogues(folder: Path | None) -> tuple[Catalogue, ...]:
    """Open every complete catalogue in a folder, by name; none when there is no folder."""
    if folder is None:
        return ()
    return tuple(Catalogue.open(path.parent) for path in sorted(folder.glob("*/metadata.json")))
