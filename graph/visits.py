"""Visits of surveys: when and how deep they looked at parts of the sky, whatever they saw there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from graph.sky import MAX_ORDER

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

VISIT_CELL_ORDER = 7
"""HEALPix order of the cells by which visits are told: 27 arcmin wide, half a ZTF quadrant or two LSST detectors. What
was seen in one corner speaks for the whole of it, gaps between detectors excepted."""

VISIT_CELL_SHIFT = 2 * (MAX_ORDER - VISIT_CELL_ORDER)
"""Bits of a nested order-29 pixel below its cell."""


@dataclass(frozen=True, eq=False, slots=True)
class VisitColumns:
    """n looks of visits at cells; row i of every column is one visit and one cell. None is there twice.

    Raises
    ------
    ValueError : the columns are not of one length.
    """

    survey: TextArray
    """(n,) value of `graph.model.Survey`."""
    midpoint_mjd_tai: FloatArray
    """(n,) middle of the exposure, to a second [d, TAI]."""
    band: TextArray
    """(n,) band letter."""
    cell: IntArray
    """(n,) NESTED cell of `VISIT_CELL_ORDER`."""
    limit_mag: FloatArray
    """(n,) median 5 sigma limiting AB magnitude of what the visit measured there."""
    n_points: IntArray
    """(n,) how many measurements that were."""

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        if len({len(getattr(self, column.name)) for column in fields(self)}) != 1:
            raise ValueError("the columns of visits are not of one length")

    def __len__(self) -> int:
        """Return the number of looks."""
        return len(self.cell)


def joined_visits(parts: Sequence[VisitColumns]) -> VisitColumns:
    """Return the looks of some parts, one after the other."""
    text, number, count = np.empty(0, dtype=object), np.empty(0), np.empty(0, dtype=np.int64)
    every = (VisitColumns(text, number, text, count, number, count), *parts)
    names = [column.name for column in fields(VisitColumns)]
    return VisitColumns(**{name: np.concatenate([getattr(part, name) for part in every]) for name in names})
