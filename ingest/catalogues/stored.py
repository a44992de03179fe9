"""How a built catalogue looks: its columns, its metadata, its cells."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix
from numpy.typing import NDArray

from graph.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FORMAT = 2
"""Version of what a built catalogue holds; raised when columns are added, so that an older one is refused instead of
being read as if its motions and shapes were absent."""

PARTITION_ORDER = 3
"""HEALPix order of a partition: 768 cells of 54 deg2, so that one night's fields touch a few dozen. Layouts of more
than some ten million entries state a higher one."""

NUMBERS = (
    "ra_deg",
    "dec_deg",
    "sigma_arcsec",
    "distance_mpc",
    "distance_err_mpc",
    "redshift",
    "epoch_jyear",
    "pm_ra_masyr",
    "pm_dec_masyr",
    "pm_sigma_masyr",
    "parallax_mas",
    "parallax_err_mas",
    "magnitude",
    "semi_major_arcsec",
    "axis_ratio",
    "position_angle_deg",
)
"""Numbers of an entry. Positions ICRS at their epoch; ``pm_ra_masyr`` contains the cosine of the declination; the
semi-major axis is that of half of the light, the position angle counts from north through east."""

TEXTS = ("source_id", "object_type", "band")
"""Texts of an entry; ``band`` is that of the magnitude."""

SCHEMA = pa.schema([(name, pa.string()) for name in TEXTS] + [(name, pa.float64()) for name in NUMBERS])
"""Columns of a partition; absent numbers are NaN, absent texts empty."""

EVERY_TYPE = "*"
"""In `CatalogueInfo.galaxy_types`: every entry is a galaxy."""


@dataclass(frozen=True, slots=True)
class CatalogueInfo:
    """What ``metadata.json`` says."""

    name: str
    version: str
    reference: str
    radius_arcsec: float
    sigma_arcsec: float
    epoch: float
    n: int
    n_dropped: int
    """Rows of the source without a usable position."""
    order: int
    source_sha256: tuple[str, ...]
    """Of each source file, sorted."""
    galaxy_types: tuple[str, ...] = ()
    """Object types that are galaxies; `EVERY_TYPE` stands for all."""
    fastest_masyr: Mapping[int, float] = field(default_factory=dict)
    """Largest proper motion in a cell [mas/yr]; cells where nothing moves are left out."""
    moving_epochs: tuple[float, float] = (0.0, 0.0)
    """First and last epoch of entries that move, Julian year; meaningless where nothing moves."""
    format: int = FORMAT

    @property
    def fastest_arcsec_yr(self) -> float:
        """Largest proper motion in the catalogue [arcsec/yr]."""
        return max(self.fastest_masyr.values(), default=0.0) / 1000.0


def read_info(folder: Path) -> CatalogueInfo:
    """Return the metadata of a built catalogue.

    Raises
    ------
    ConfigurationError : the folder is no complete catalogue, or one of another format.
    """
    try:
        stated: dict[str, Any] = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        found = stated.get("format", 1)
        if found == FORMAT:
            cells = {int(cell): float(speed) for cell, speed in stated.pop("fastest_masyr").items()}
            stated |= {name: tuple(stated[name]) for name in ("source_sha256", "galaxy_types", "moving_epochs")}
            return CatalogueInfo(**stated, fastest_masyr=cells)
    except (OSError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"{folder.name} is not a complete catalogue: {error}") from error
    raise ConfigurationError(
        f"the catalogue {folder.name} has format {found} instead of {FORMAT}; build it again from its source"
    )


def nested_cell(ra_deg: FloatArray, dec_deg: FloatArray, order: int = PARTITION_ORDER) -> IntArray:
    """Return the NESTED HEALPix cell of finite ICRS positions [deg]; any shape."""
    shape = np.shape(ra_deg)
    lon = Longitude(np.ravel(ra_deg) * u.deg, copy=False)
    lat = Latitude(np.clip(np.ravel(dec_deg), -90.0, 90.0) * u.deg, copy=False)
    return np.asarray(lonlat_to_healpix(lon, lat, order, num_threads=1), dtype=np.int64).reshape(shape)
