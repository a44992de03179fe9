"""Match positions with local catalogues: the nearest entry within a catalogue's radius, and what it is worth.

A catalogue's cells are read when a position first falls into them and stay in memory as k-d trees of unit vectors, so
that the poles, RA 0 and the borders of cells need no special case: a position near a border asks all cells that its
circle may reach.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped, unused-ignore]

from graph.errors import ConfigurationError
from ingest.catalogue import SCHEMA, CatalogueInfo, nested_cell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

ARCSEC = np.pi / 180.0 / 3600.0
"""One arcsec [rad]."""

ALERT_SIGMA_ARCSEC = 0.3
"""1 sigma error of an alert's position on each axis [arcsec]: ZTF's scatter near its detection limit, Masci et al.
2019, doi:10.1088/1538-3873/aae8ac; LSST's is smaller, so its matches are worth a little more than stated."""

PRIOR_MATCHED = 0.1
"""Share of alerts that have their source in a catalogue, before looking; small, because no catalogue here is complete,
and of little weight: a true match at a typical density has a Bayes factor above 1e4 times its prior."""

RING_DIRECTIONS = 16
"""Directions in which the cells around a circle are probed. A cell that the circle of radius r cuts has corners of 53
degrees or more, and covers at least 27 degrees of the ring of radius 2 r: probes 22.5 degrees apart cannot miss it."""


@dataclass(frozen=True, eq=False, slots=True)
class CrossMatches:
    """Nearest catalogue entries of positions; at most one row for each position and catalogue."""

    row: IntArray
    """(m,) index of the position; ascending, then by the order of the catalogues."""
    catalogue: TextArray
    source_id: TextArray
    object_type: TextArray
    ra_deg: FloatArray
    """(m,) of the entry [deg, ICRS]."""
    dec_deg: FloatArray
    separation_arcsec: FloatArray
    probability: FloatArray
    """(m,) that position and entry are one source; see `match_probability`."""
    distance_mpc: FloatArray
    """(m,) luminosity distance [Mpc]; NaN when the catalogue gives none."""
    redshift: FloatArray

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.row)


def unit_vectors(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return unit vectors (..., 3) of ICRS positions [deg]."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def match_probability(
    separation_arcsec: FloatArray, sigma_arcsec: FloatArray, density_deg2: FloatArray, prior_matched: float
) -> FloatArray:
    """Return the probability that a position and its nearest entry are one source.

    Parameters
    ----------
    separation_arcsec : (n,).
    sigma_arcsec : (n,) both errors in quadrature, on each axis.
    density_deg2 : (n,) of entries around the position [deg^-2].
    prior_matched : share of positions that have an entry, before looking.

    Notes
    -----
    The Bayes factor of one source against two unrelated ones, 2 / s^2 exp(-d^2 / (2 s^2)) [rad], times the prior that a
    given one of the N entries that the sky would hold at this density is the match, over the chance that the position
    has no entry or has it further away than this stranger. Exact for a Poisson field of strangers. Proper motion is
    not modelled: a star that moved by more than the errors gets too small a probability.

    References
    ----------
    Budavari & Szalay 2008, doi:10.1086/587156, equations 16 and 27.
    """
    variance = (sigma_arcsec * ARCSEC) ** 2
    log_likelihood = -((separation_arcsec * ARCSEC) ** 2) / (2.0 * variance)
    log_bayes = np.log(2.0 / variance) + log_likelihood
    on_sky = np.maximum(density_deg2 * 4.0 * np.pi * (180.0 / np.pi) ** 2, 1.0)
    unseen = 1.0 - prior_matched + prior_matched * np.exp(log_likelihood)
    log_odds = np.clip(log_bayes + np.log(prior_matched / on_sky / unseen), -700.0, 700.0)
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class _Partition:
    """One cell of a catalogue in memory."""

    tree: cKDTree
    source_id: TextArray
    object_type: TextArray
    numbers: FloatArray
    """(n, 5) RA, dec, sigma, distance, redshift."""


class Catalogue:
    """An opened catalogue; cells are loaded when first needed and kept."""

    def __init__(self, folder: Path, info: CatalogueInfo) -> None:
        self.info = info
        self._folder = folder
        prefix = f"healpix{info.order}="
        self._cells = {
            int(path.name.removeprefix(prefix)): path / "part.parquet"
            for path in folder.glob(f"{prefix}*")
            if path.name.removeprefix(prefix).isdigit()
        }
        self._loaded: dict[int, _Partition] = {}

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Return the catalogue of a folder that `ingest.catalogue.build_catalogue` wrote, opened once in a process.

        Raises
        ------
        ConfigurationError : the folder is no complete catalogue.
        """
        return _open(folder.resolve())

    def _partition(self, cell: int) -> _Partition:
        """Return one cell, loaded if need be; two threads may load it twice, with the same result."""
        partition = self._loaded.get(cell)
        if partition is None:
            try:
                table = pq.read_table(self._cells[cell], schema=SCHEMA, partitioning=None)
            except (OSError, pa.ArrowException) as error:
                raise ConfigurationError(
                    f"cell {cell} of catalogue {self.info.name} cannot be read: {error}"
                ) from error
            names = ("ra_deg", "dec_deg", "sigma_arcsec", "distance_mpc", "redshift")
            numbers = np.column_stack([table[name].to_numpy() for name in names])
            partition = _Partition(
                tree=cKDTree(unit_vectors(numbers[:, 0], numbers[:, 1])),
                source_id=table["source_id"].to_numpy().astype(object),
                object_type=table["object_type"].to_numpy().astype(object),
                numbers=numbers,
            )
            self._loaded[cell] = partition
        return partition

    def _candidate_cells(
        self, ra_deg: FloatArray, dec_deg: FloatArray, vectors: FloatArray
    ) -> tuple[IntArray, IntArray]:
        """Return pairs of position and cell, for all non-empty cells that a position's circle may reach."""
        home = nested_cell(ra_deg, dec_deg, self.info.order)
        east = np.stack([-np.sin(np.radians(ra_deg)), np.cos(np.radians(ra_deg)), np.zeros(len(ra_deg))], axis=-1)
        north = np.cross(vectors, east)
        reach = np.tan(2.0 * self.info.radius_arcsec * ARCSEC)
        rows, cells = [np.arange(len(home))], [home]
        for angle in np.arange(RING_DIRECTIONS) * (2.0 * np.pi / RING_DIRECTIONS):
            probe = vectors + reach * (np.cos(angle) * north + np.sin(angle) * east)
            ra = np.degrees(np.arctan2(probe[:, 1], probe[:, 0])) % 360.0
            dec = np.degrees(np.arctan2(probe[:, 2], np.hypot(probe[:, 0], probe[:, 1])))
            cell = nested_cell(ra, dec, self.info.order)
            other = np.flatnonzero(cell != home)
            rows.append(other)
            cells.append(cell[other])
        row, cell = np.concatenate(rows), np.concatenate(cells)
        kept = np.isin(cell, np.fromiter(self._cells, dtype=np.int64, count=len(self._cells)))
        width = max(len(home), 1)
        pairs = np.unique(cell[kept] * width + row[kept])
        return pairs % width, pairs // width

    def nearest(
        self, ra_deg: FloatArray, dec_deg: FloatArray, sigma_arcsec: float, prior_matched: float
    ) -> CrossMatches:
        """Return the nearest entry within the radius of each finite position; see `crossmatch`."""
        vectors = unit_vectors(ra_deg, dec_deg)
        rows, cells = self._candidate_cells(ra_deg, dec_deg, vectors)
        chord = 2.0 * np.sin(0.5 * self.info.radius_arcsec * ARCSEC)
        best = np.full(len(ra_deg), np.inf)
        text = np.full((2, len(ra_deg)), "", dtype=object)
        numbers = np.full((len(ra_deg), 6), np.nan)
        area_deg2 = 4.0 * np.pi * (180.0 / np.pi) ** 2 / (12 * 4**self.info.order)
        edges = np.flatnonzero(np.diff(cells, prepend=-1, append=-1))
        for start, stop in pairwise(edges):
            partition = self._partition(int(cells[start]))
            mine = rows[start:stop]
            # The bound is exclusive in scipy; an entry exactly on the circle belongs to it.
            distance, place = partition.tree.query(vectors[mine], distance_upper_bound=np.nextafter(chord, 1.0))
            nearer = distance < best[mine]
            mine, place = mine[nearer], place[nearer]
            best[mine] = distance[nearer]
            text[0, mine], text[1, mine] = partition.source_id[place], partition.object_type[place]
            numbers[mine, :5] = partition.numbers[place]
            numbers[mine, 5] = len(partition.numbers) / area_deg2
        row = np.flatnonzero(np.isfinite(best))
        separation = 2.0 * np.arcsin(np.clip(0.5 * best[row], 0.0, 1.0)) / ARCSEC
        sigma = np.hypot(numbers[row, 2], sigma_arcsec)
        return CrossMatches(
            row=row,
            catalogue=np.full(len(row), self.info.name, dtype=object),
            source_id=text[0, row],
            object_type=text[1, row],
            ra_deg=numbers[row, 0],
            dec_deg=numbers[row, 1],
            separation_arcsec=separation,
            probability=match_probability(separation, sigma, numbers[row, 5], prior_matched),
            distance_mpc=numbers[row, 3],
            redshift=numbers[row, 4],
        )


@lru_cache(maxsize=64)
def _open(folder: Path) -> Catalogue:
    """Read the metadata of a catalogue."""
    try:
        info = CatalogueInfo(**json.loads((folder / "metadata.json").read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{folder.name} is not a complete catalogue: {error}") from error
    return Catalogue(folder, info)


def open_catalogues(folder: Path | None) -> tuple[Catalogue, ...]:
    """Open every complete catalogue in a folder, by name; none when there is no folder."""
    if folder is None:
        return ()
    return tuple(Catalogue.open(path.parent) for path in sorted(folder.glob("*/metadata.json")))


def crossmatch(
    catalogues: Sequence[Catalogue],
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    *,
    sigma_arcsec: float = ALERT_SIGMA_ARCSEC,
    prior_matched: float = PRIOR_MATCHED,
) -> CrossMatches:
    """Match positions with every catalogue.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS]; a position that is not finite or not on the sphere matches nothing.
    sigma_arcsec : 1 sigma error of the positions on each axis.
    prior_matched : see `match_probability`.

    Returns
    -------
    The nearest entry of each catalogue within that catalogue's radius.
    """
    ra, dec = np.asarray(ra_deg, dtype=np.float64), np.asarray(dec_deg, dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0))
    found = [item.nearest(ra[usable], dec[usable], sigma_arcsec, prior_matched) for item in catalogues]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(usable[match.row] for match in found)])
    order = np.argsort(rows, kind="stable")

    def joined(name: str, kind: type) -> NDArray[np.generic]:
        return np.concatenate([np.empty(0, dtype=kind), *(getattr(match, name) for match in found)])[order]

    texts = {name: joined(name, object) for name in ("catalogue", "source_id", "object_type")}
    numbers = ("ra_deg", "dec_deg", "separation_arcsec", "probability", "distance_mpc", "redshift")
    values = {name: joined(name, float) for name in numbers}
    return CrossMatches(row=rows[order], **texts, **values)  # type: ignore[arg-type, unused-ignore]
