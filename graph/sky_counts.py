"""Counts over the sky from the graph: what appeared in a time, and where a survey looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.connection import Connection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]


@dataclass(frozen=True, eq=False, slots=True)
class NewObjects:
    """Numbers of objects of one survey that appeared; row i of every column is the same kind and cell."""

    top_class: TextArray
    """(n,) empty where no classifier spoke."""
    latest_mag: FloatArray
    """(n,) AB magnitude to a quarter; NaN where there is none."""
    cell: IntArray
    """(n,) NESTED cell."""
    n_objects: IntArray
    """(n,) how many."""


class SkyCounts:
    """Counts by sky cell; reads only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def new_objects(self, from_mjd_tai: float, until_mjd_tai: float, cell_pixels: int) -> dict[str, NewObjects]:
        """Return what appeared in a time window [d, TAI], by survey.

        Parameters
        ----------
        until_mjd_tai : not included.
        cell_pixels : order-29 pixels in a cell.
        """
        rows = self._connection.read(
            "count_new_objects", from_mjd_tai=from_mjd_tai, until_mjd_tai=until_mjd_tai, cell_pixels=cell_pixels
        )
        return {str(row["survey"]): _new_objects(row["found"]) for row in rows}

    def visited_cells(self, from_mjd_tai: float, until_mjd_tai: float, cell_pixels: int) -> dict[str, IntArray]:
        """Return the cells with a detection or an upper limit in a time window [d, TAI], by survey."""
        rows = self._connection.read(
            "count_visited_cells", from_mjd_tai=from_mjd_tai, until_mjd_tai=until_mjd_tai, cell_pixels=cell_pixels
        )
        return {str(row["survey"]): np.array(row["cells"], dtype=np.int64) for row in rows}

    def flaring_blazars(self, from_mjd_tai: float, until_mjd_tai: float) -> dict[str, int]:
        """Return how many known blazars were seen in a flare in a time window [d, TAI], by survey.

        Parameters
        ----------
        until_mjd_tai : not included.
        """
        rows = self._connection.read("count_flaring", from_mjd_tai=from_mjd_tai, until_mjd_tai=until_mjd_tai)
        return {str(row["survey"]): int(row["n"]) for row in rows}


def _new_objects(found: list[tuple[str | None, int | None, int, int]]) -> NewObjects:
    top_class, half_magnitudes, cell, n_objects = zip(*found, strict=True)
    # The middle of the half magnitude: no edge of a bin falls into one.
    halves = np.array([np.nan if half is None else half for half in half_magnitudes], dtype=np.float64)
    return NewObjects(
        np.array([name or "" for name in top_class], dtype=object),
        halves / 2.0 + 0.25,
        np.array(cell, dtype=np.int64),
        np.array(n_objects, dtype=np.int64),
    )
