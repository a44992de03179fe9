"""Objects in columns: what the coordinator needs to know of many objects at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]


@dataclass(frozen=True, eq=False, slots=True)
class ObjectColumns:
    """n objects; row i of every column is the same object. Absent is NaN, -1 or an empty string.

    Raises
    ------
    ValueError : the columns are not of one length.
    """

    survey: TextArray
    """(n,) value of `graph.model.Survey`, e.g. ``ztf``."""
    object_id: TextArray
    """(n,) the survey's own identifier."""
    ra_deg: FloatArray
    """(n,) [deg, ICRS]."""
    dec_deg: FloatArray
    """(n,) [deg, ICRS]."""
    first_midpoint_mjd_tai: FloatArray
    """(n,) middle of the exposure of the first detection [d, TAI]."""
    last_limit_mjd_tai: FloatArray
    """(n,) newest visit before the first detection that saw nothing [d, TAI]; NaN when there is none."""
    latest_mag: FloatArray
    """(n,) AB magnitude of the newest detection; NaN while its difference flux is negative."""
    top_class: TextArray
    """(n,) name of the most probable class; empty when no classifier spoke."""
    class_probability: FloatArray
    """(n,) probability of that class; NaN when no classifier spoke."""
    n_detections: IntArray
    """(n,) detections so far; -1 when unknown."""
    host_distance_mpc: FloatArray = field(default_factory=lambda: np.empty(0))
    """(n,) luminosity distance of the likely host galaxy [Mpc]; NaN when unknown; all NaN when left out."""
    host_distance_err_mpc: FloatArray = field(default_factory=lambda: np.empty(0))
    """(n,) its standard error [Mpc]; NaN when unknown; all NaN when left out."""
    last_limit_mag: FloatArray = field(default_factory=lambda: np.empty(0))
    """(n,) 5 sigma limiting AB magnitude of the visit that saw nothing; NaN when unknown; all NaN when left out."""
    first_mag: FloatArray = field(default_factory=lambda: np.empty(0))
    """(n,) AB magnitude of the first detection; NaN when unknown; all NaN when left out."""

    def __post_init__(self) -> None:
        """Fill what was left out; refuse columns of different lengths."""
        for name in ("host_distance_mpc", "host_distance_err_mpc", "last_limit_mag", "first_mag"):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.full(np.shape(self.ra_deg), np.nan))
        if len({getattr(self, column.name).shape for column in fields(self)}) != 1 or self.ra_deg.ndim != 1:
            raise ValueError("the columns of objects are not of one length")

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.ra_deg)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ObjectColumns:
        """Return the objects of the given rows."""
        return ObjectColumns(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})

    def key(self, row: int) -> tuple[Survey, str]:
        """Return survey and identifier of one object."""
        return Survey(self.survey[row]), str(self.object_id[row])


@dataclass(frozen=True, eq=False, slots=True)
class Flares:
    """k detections of known blazars in a flare, row by row with their objects; an object may have several.

    Raises
    ------
    ValueError : the columns are not of one length.
    """

    objects: ObjectColumns
    """(k,) the object of each."""
    midpoint_mjd_tai: FloatArray
    """(k,) middle of the exposure [d, TAI]."""
    flux_ratio: FloatArray
    """(k,) flux over the blazar's quiescent level [1]."""

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        if not len(self.objects) == len(self.midpoint_mjd_tai) == len(self.flux_ratio):
            raise ValueError("the columns of flares are not of one length")

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.objects)


def joined_objects(parts: Sequence[ObjectColumns]) -> ObjectColumns:
    """Return the objects of some parts, one or more, one after the other."""
    names = [column.name for column in fields(ObjectColumns)]
    return ObjectColumns(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
