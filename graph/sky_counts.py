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
        # The middle of the half magnitude: no edge of a bin falls into one.
        halves = [np.nan if row["half_magnitudes"] is None else row["half_magnitudes"] for row in rows]
        return {
            name: NewObjects(
                np.array([rows[i]["top_class"] or "" for i in chosen], dtype=object),
                np.array([halves[i] for i in chosen], dtype=np.float64) / 2.0 + 0.25,
                np.array([rows[i]["cell"] for i in chosen], dtype=np.int64),
                np.array([rows[i]["n"] for i in chosen], dtype=np.int64),
            )
            for name, chosen in _by_survey([str(row["survey"]) for row in rows]).items()
        }

    def visited_cells(self, from_mjd_tai: float, until_mjd_tai: float, cell_pixels: int) -> dict[str, IntArray]:
        """Return the cells with a detection or an upper limit in a time window [d, TAI], by survey."""
        rows = self._connection.read(
            "count_visited_cells", from_mjd_tai=from_mjd_tai, until_mjd_tai=until_mjd_tai, cell_pixels=cell_pixels
        )
        return {
            name: np.array([rows[i]["cell"] for i in chosen], dtype=np.int64)
            for name, chosen in _by_survey([str(row["survey"]) for row in rows]).items()
        }

    def flaring_blazars(self, from_mjd_tai: float, until_mjd_tai: float) -> dict[str, int]:
        """Return how many known blazars were seen in a flare in a time window [d, TAI], by survey.

        Parameters
        ----------
        until_mjd_tai : not included.
        """
        rows = self._connection.read("count_flaring", from_mjd_tai=from_mjd_tai, until_mjd_tai=until_mjd_tai)
        return {str(row["survey"]): int(row["n"]) for row in rows}


def _by_survey(names: list[str]) -> dict[str, list[int]]:
    """Return the rows of each survey."""
    return {name: [i for i, other in enumerate(names) if other == name] for name in sorted(set(names))}
