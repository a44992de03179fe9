"""Objects as Neo4j returns them, as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.objects import Flares, ObjectColumns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OBJECT_FIELDS: Final = (
    "survey",
    "object_id",
    "ra_deg",
    "dec_deg",
    "first_midpoint_mjd_tai",
    "last_limit_mjd_tai",
    "latest_mag",
    "top_class",
    "class_probability",
    "n_detections",
    "host_distance_mpc",
    "host_distance_err_mpc",
    "last_limit_mag",
    "first_mag",
)
"""Properties of an object in the order of the lists of ``read_objects_in_window``; columns of `ObjectColumns`."""


def object_columns(rows: Sequence[Mapping[str, Any]]) -> ObjectColumns:
    """Return records of objects as columns, null as NaN, -1 or empty text."""
    return listed_objects([[row[name] for name in OBJECT_FIELDS] for row in rows])


def listed_objects(rows: Sequence[Sequence[Any]]) -> ObjectColumns:
    """Return objects as columns, each given by its `OBJECT_FIELDS`, null as NaN, -1 or empty text."""
    values = zip(*rows, strict=True) if rows else ((),) * len(OBJECT_FIELDS)
    columns = dict(zip(OBJECT_FIELDS, values, strict=True))

    def numbers(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([np.nan if value is None else value for value in columns[name]], dtype=np.float64)

    def texts(name: str) -> np.ndarray[Any, np.dtype[np.object_]]:
        return np.array([value or "" for value in columns[name]], dtype=object)

    return ObjectColumns(
        survey=texts("survey"),
        object_id=texts("object_id"),
        ra_deg=numbers("ra_deg"),
        dec_deg=numbers("dec_deg"),
        first_midpoint_mjd_tai=numbers("first_midpoint_mjd_tai"),
        last_limit_mjd_tai=numbers("last_limit_mjd_tai"),
        latest_mag=numbers("latest_mag"),
        top_class=texts("top_class"),
        class_probability=numbers("class_probability"),
        n_detections=np.array([-1 if n is None else n for n in columns["n_detections"]], dtype=np.int64),
        host_distance_mpc=numbers("host_distance_mpc"),
        host_distance_err_mpc=numbers("host_distance_err_mpc"),
        last_limit_mag=numbers("last_limit_mag"),
        first_mag=numbers("first_mag"),
    )


def listed_flares(rows: Sequence[Sequence[Any]]) -> Flares:
    """Return flares, each given by the `OBJECT_FIELDS` of its object, its time [d, TAI] and its flux ratio."""
    n = len(OBJECT_FIELDS)
    times, ratios = (np.array([row[place] for row in rows], dtype=np.float64) for place in (n, n + 1))
    return Flares(listed_objects([row[:n] for row in rows]), times, ratios)
