"""Rows of a published table as entries of a catalogue: one set of names, units and signs of absence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.errors import ConfigurationError
from ingest.catalogues.layouts import CatalogueLayout, Column, names_of
from ingest.catalogues.stored import NUMBERS, TEXTS
from ingest.catalogues.tables import clean, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

POSITIVE = frozenset(
    {
        *("distance_mpc", "distance_err_mpc", "redshift", "parallax_err_mas", "semi_major_arcsec", "axis_ratio"),
        *("ra_error_arcsec", "dec_error_arcsec", "pm_ra_error_masyr", "pm_dec_error_masyr", "semi_minor_arcsec"),
    }
)
"""Numbers that are absent when they are not above zero, as tables write -1, -999 or 0 for them."""

SENSIBLE = {
    "magnitude": (-30.0, 60.0),
    "epoch_jyear": (1890.0, 2200.0),
    "pm_ra_masyr": (-2e4, 2e4),
    "pm_dec_masyr": (-2e4, 2e4),
    "parallax_mas": (-1e4, 1e4),
    "position_angle_deg": (-360.0, 360.0),
}
"""Ranges outside of which a number is a sign of absence (-999) or damage: no star moves by more than 10.4 arcsec a year
or is nearer than 0.77 arcsec of parallax, and MJD -999 is 1856."""

LARGEST_ERROR_ARCSEC = 60.0
"""Largest error of a position that is believed [arcsec]; PS1 writes -999, others 9999."""


def _series(frame: pd.DataFrame, names: Iterable[str]) -> pd.Series[Any] | None:
    """Return the first of some columns that is there."""
    found = next((clean(name) for name in names if clean(name) in frame.columns), None)
    return None if found is None else frame[found]


def _number(frame: pd.DataFrame, quantity: str, column: Column) -> FloatArray:
    """Return a quantity, NaN where it is absent, masked or impossible."""
    series = _series(frame, column.names)
    if series is None:
        return np.full(len(frame), np.nan)
    values = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    values = values * column.scale + column.offset
    mask = _series(frame, [f"{series.name}.mask"])
    absent = ~np.isfinite(values)
    if mask is not None:
        absent |= plain_text(mask).str.lower().isin({"true", "1"}).to_numpy(bool)
    if quantity in POSITIVE:
        absent |= ~(values > 0.0)
    low, high = SENSIBLE.get(quantity, (-np.inf, np.inf))
    return np.where(absent | (values < low) | (values > high), np.nan, values)


def _first_text(frame: pd.DataFrame, names: Iterable[str]) -> TextArray:
    """Return of each row the first text that is not empty."""
    text = np.full(len(frame), "", dtype=object)
    for name in names:
        series = _series(frame, [name])
        if series is not None:
            text = np.where(text == "", plain_text(series).to_numpy(object), text)
    return text


def _sexagesimal(ra: pd.Series[Any], dec: pd.Series[Any], pattern: tuple[str, str]) -> tuple[FloatArray, FloatArray]:
    """Return positions [deg] from texts; each pattern has groups of hours or signed degrees, minutes and seconds."""
    parts = [plain_text(text).str.extract(shape) for text, shape in zip((ra, dec), pattern, strict=True)]
    numbers = [part.astype(np.float64).to_numpy() for part in parts]
    sign = np.where(parts[1][0].fillna("").str.startswith("-"), -1.0, 1.0)
    weights = np.array([1.0, 1.0 / 60.0, 1.0 / 3600.0])
    hours, degrees = (np.abs(number) @ weights[: number.shape[1]] for number in numbers)
    return hours * 15.0, sign * degrees


def _positions(frame: pd.DataFrame, layout: CatalogueLayout) -> tuple[FloatArray, FloatArray]:
    """Return ICRS positions [deg], NaN where they cannot be read."""
    ra, dec = (_series(frame, names_of(spec)) for spec in (layout.ra, layout.dec))
    if ra is None or dec is None:
        raise ConfigurationError(f"a catalogue source has no position {layout.ra} and {layout.dec}")
    if layout.designation:
        found = _sexagesimal(ra, dec, (r"J(\d{2})(\d{2}\.\d)[+-]\d{4}", r"J\d{4}\.\d([+-]\d{2})(\d{2})"))
        # A name is cut off, not rounded: the middle of what it may mean.
        return found[0] + 0.05 * 15.0 / 60.0, found[1] + np.copysign(0.5 / 60.0, found[1])
    if layout.sexagesimal:
        shape = r"^([+-]?\d+)[ :]+(\d+)[ :]+(\d+\.?\d*)$"
        return _sexagesimal(ra, dec, (shape, shape))
    both = [pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan) for series in (ra, dec)]
    return both[0], both[1]


def check_columns(frame: pd.DataFrame, name: str, layout: CatalogueLayout) -> None:
    """Refuse a table without a column that its layout needs.

    Raises
    ------
    ConfigurationError : which columns are missing.
    """
    needed = {
        field: names_of(getattr(layout, field))
        for field in ("ra", "dec", "source_id", "id_prefix", "object_type", "distance_mpc", "redshift")
        if field not in layout.optional
    }
    needed |= {field: column.names for field, column in layout.numbers.items() if column.required}
    if layout.score is not None:
        needed["score"] = (layout.score.column,)
    missing = [" or ".join(names) for names in needed.values() if names and _series(frame, names) is None]
    if missing:
        raise ConfigurationError(f"the source of catalogue {name} has no column {', '.join(missing)}")


def _types(frame: pd.DataFrame, layout: CatalogueLayout) -> TextArray:
    """Return the type of each entry."""
    kind = _first_text(frame, names_of(layout.object_type))
    if layout.score is not None:
        score = _number(frame, "score", Column((layout.score.column,)))
        star, galaxy = score >= layout.score.star_from, (score >= 0.0) & (score < layout.score.galaxy_below)
        kind = np.where(star, "star", np.where(galaxy, "galaxy", kind))
    return np.where(kind == "", layout.constant_type, kind)


def _magnitudes(frame: pd.DataFrame, layout: CatalogueLayout) -> tuple[FloatArray, TextArray]:
    """Return the magnitude of each entry and its band."""
    magnitude, band = np.full(len(frame), np.nan), np.full(len(frame), "", dtype=object)
    for label, names in layout.magnitudes:
        for name in names:
            values = _number(frame, "magnitude", Column((name,)))
            new = np.isnan(magnitude) & np.isfinite(values)
            magnitude[new], band[new] = values[new], label
    return magnitude, band


def _root_mean_square(values: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return the error on each axis from two; the other one where one is absent."""
    first, second = (np.where(np.isnan(one), other, one) for one, other in (values, values[::-1]))
    return np.sqrt(0.5 * (first**2 + second**2))


def tidy(frame: pd.DataFrame, name: str, layout: CatalogueLayout) -> pd.DataFrame:
    """Return rows in the columns of `ingest.catalogues.stored.SCHEMA`, those without a position dropped.

    Parameters
    ----------
    frame : rows of the published table, names of columns as `ingest.catalogues.tables.clean` gives them.
    name : of the catalogue; stands in the names of entries that have none.

    Raises
    ------
    ConfigurationError : a column is missing.
    """
    check_columns(frame, name, layout)
    ra, dec = _positions(frame, layout)
    spec = {**layout.numbers, "distance_mpc": Column(names_of(layout.distance_mpc))}
    spec["redshift"] = Column(names_of(layout.redshift))
    found = {quantity: _number(frame, quantity, column) for quantity, column in spec.items()}
    absent = np.full(len(frame), np.nan)
    error = _root_mean_square((found.get("ra_error_arcsec", absent), found.get("dec_error_arcsec", absent)))
    error = np.where(error <= LARGEST_ERROR_ARCSEC, error, 0.0)
    minor, major = found.get("semi_minor_arcsec", absent), found.get("semi_major_arcsec", absent)
    ratio = np.where(np.isnan(minor), found.get("axis_ratio", absent), minor / major)
    found["axis_ratio"] = np.where(ratio <= 1.0, ratio, np.where(np.isnan(ratio), np.nan, 1.0))
    found["sigma_arcsec"] = np.hypot(layout.sigma_arcsec, error)
    motion_errors = found.get("pm_ra_error_masyr", absent), found.get("pm_dec_error_masyr", absent)
    found["pm_sigma_masyr"] = _root_mean_square(motion_errors)
    epoch = found.get("epoch_jyear", absent)
    found["epoch_jyear"] = np.where(np.isnan(epoch), layout.epoch, epoch)
    found["ra_deg"], found["dec_deg"] = ra % 360.0, dec
    magnitude, band = _magnitudes(frame, layout)
    source_id = _first_text(frame, names_of(layout.source_id))
    if layout.id_prefix is not None:
        prefix = _first_text(frame, [layout.id_prefix])
        source_id = np.where((prefix == "") | (source_id == ""), source_id, prefix + " " + source_id)
    entries = pd.DataFrame(
        {
            "source_id": source_id,
            "object_type": _types(frame, layout),
            "band": band,
            **{quantity: found.get(quantity, absent) for quantity in NUMBERS},
            "magnitude": magnitude,
        }
    )[[*TEXTS, *NUMBERS]]
    usable = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)
    entries = entries[usable].reset_index(drop=True)
    nameless = np.flatnonzero(entries["source_id"] == "")
    places = entries.loc[nameless, ["ra_deg", "dec_deg"]].to_numpy()
    entries.loc[nameless, "source_id"] = [f"{name} J{a:010.6f}{d:+010.6f}" for a, d in places.tolist()]
    return entries
