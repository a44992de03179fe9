"""Reference catalogues as Parquet by sky cell, built once from what their authors publish.

A built catalogue is a folder: ``metadata.json`` and ``healpix3=NNN/part.parquet``, one folder for each HEALPix cell
of order 3 (NESTED, 54 deg2) that holds a source. Rows are sorted, so that the same source file gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.coordinates import Latitude, Longitude
from astropy.table import Table
from cdshealpix.nested import lonlat_to_healpix
from numpy.typing import NDArray

from graph.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PARTITION_ORDER = 3
"""HEALPix order of a partition: 768 cells of 54 deg2, so that one night's fields touch a few dozen."""

SCHEMA = pa.schema(
    [
        ("source_id", pa.string()),
        ("ra_deg", pa.float64()),
        ("dec_deg", pa.float64()),
        ("object_type", pa.string()),
        ("sigma_arcsec", pa.float64()),
        ("distance_mpc", pa.float64()),
        ("redshift", pa.float64()),
    ]
)
"""Columns of a partition; positions ICRS, absent numbers NaN."""


@dataclass(frozen=True, slots=True)
class CatalogueLayout:
    """How a published table becomes a catalogue."""

    ra: str
    """Column of the right ascension."""
    dec: str
    version: str
    reference: str
    radius_arcsec: float
    """Largest separation that counts as a match [arcsec]."""
    sigma_arcsec: float
    """1 sigma error of a position on each axis [arcsec]; for galaxies the offset of a transient from the centre."""
    epoch: float = 2000.0
    """Epoch of the positions, Julian year; proper motions are not applied."""
    source_id: str | None = None
    """Column of the name; None where the table has none and the position names the source."""
    object_type: str | None = None
    constant_type: str = ""
    """Type of every source where there is no column."""
    distance_mpc: str | None = None
    redshift: str | None = None
    sexagesimal: bool = False
    """Whether positions are texts in hours and degrees instead of numbers in degrees."""
    csv: Mapping[str, Any] = field(default_factory=dict)
    """Options of the CSV reader."""


LAYOUTS: Mapping[str, CatalogueLayout] = {
    "gcvs": CatalogueLayout(
        ra="ra",
        dec="dec",
        version="5.1",
        reference="Samus et al. 2017, doi:10.1134/S1063772917010085",
        radius_arcsec=1.5,
        sigma_arcsec=0.5,
        object_type="VarType",
    ),
    "vsx": CatalogueLayout(
        ra="RAJ2000",
        dec="DEJ2000",
        version="2024",
        reference="Watson et al. 2006, AAVSO; CDS B/vsx",
        radius_arcsec=1.5,
        sigma_arcsec=0.5,
        object_type="VType",
    ),
    "spicy": CatalogueLayout(
        ra="RAdeg",
        dec="DEdeg",
        version="2021",
        reference="Kuhn et al. 2021, doi:10.3847/1538-4365/abe465",
        radius_arcsec=1.5,
        sigma_arcsec=0.3,
        object_type="class",
    ),
    "4lac": CatalogueLayout(
        ra="RA_Counterpart",
        dec="DEC_Counterpart",
        version="DR3",
        reference="Ajello et al. 2022, doi:10.3847/1538-4365/ac9523",
        radius_arcsec=2.0,
        sigma_arcsec=0.3,
        source_id="Source_Name",
        object_type="CLASS",
        redshift="Redshift",
    ),
    "3hsp": CatalogueLayout(
        ra="R.A.",
        dec="Dec",
        version="2019",
        reference="Chang et al. 2019, doi:10.1051/0004-6361/201834526",
        radius_arcsec=3.0,
        sigma_arcsec=0.7,
        source_id="3HSP Source name",
        constant_type="blazar",
        sexagesimal=True,
    ),
    "mangrove": CatalogueLayout(
        ra="ra",
        dec="dec",
        version="2020",
        reference="Ducoin et al. 2020, doi:10.1093/mnras/staa114",
        radius_arcsec=30.0,
        sigma_arcsec=8.0,
        source_id="HyperLEDA_name",
        constant_type="galaxy",
        distance_mpc="lum_dist",
    ),
    "symbiotic_cv": CatalogueLayout(
        ra="RA(J2000)",
        dec="DEC(J2000)",
        version="2023",
        reference="Ritter & Kolb 2003; Merc et al. 2019",
        radius_arcsec=2.0,
        sigma_arcsec=0.7,
        source_id="Name",
        object_type="source",
        sexagesimal=True,
    ),
    "known_tde": CatalogueLayout(
        ra="ra",
        dec="dec",
        version="2024",
        reference="TNS classification reports",
        radius_arcsec=2.0,
        sigma_arcsec=0.5,
        source_id="name",
        constant_type="TDE",
    ),
}
"""Catalogues that are known by name. Radii: as brokers match these tables; a host galaxy's is its optical size."""


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
    source_sha256: str


def nested_cell(ra_deg: FloatArray, dec_deg: FloatArray, order: int = PARTITION_ORDER) -> IntArray:
    """Return the NESTED HEALPix cell of finite ICRS positions [deg]; any shape."""
    shape = np.shape(ra_deg)
    lon = Longitude(np.ravel(ra_deg) * u.deg, copy=False)
    lat = Latitude(np.clip(np.ravel(dec_deg), -90.0, 90.0) * u.deg, copy=False)
    return np.asarray(lonlat_to_healpix(lon, lat, order, num_threads=1), dtype=np.int64).reshape(shape)


def _read(source: Path, layout: CatalogueLayout) -> pd.DataFrame:
    """Read a published table, by its ending."""
    try:
        if source.suffix == ".parquet":
            return pd.read_parquet(source)
        if source.suffix in {".fits", ".fit"}:
            table = Table.read(source, format="fits")
            flat = [name for name in table.colnames if table[name].ndim == 1]
            return table[flat].to_pandas()
        if source.name.endswith((".csv", ".csv.gz")):
            frame = pd.read_csv(source, **dict(layout.csv))
            return frame.rename(columns=lambda name: str(name).strip())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigurationError(f"the catalogue source {source.name} cannot be read: {error}") from error
    raise ConfigurationError(f"the catalogue source {source.name} is neither Parquet, CSV nor FITS")


def _text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as stripped text, empty where absent."""
    decoded = column.map(lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return decoded.where(decoded.notna(), "").astype(str).str.strip().str.strip('"').str.strip()


def _number(frame: pd.DataFrame, column: str | None) -> FloatArray:
    """Return a column as numbers, NaN where there is none or where it is not finite and positive."""
    if column is None:
        return np.full(len(frame), np.nan)
    values = np.array(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _positions(frame: pd.DataFrame, layout: CatalogueLayout) -> tuple[FloatArray, FloatArray]:
    """Return ICRS positions [deg], NaN where they cannot be read."""
    if not layout.sexagesimal:
        ra, dec = (
            np.array(pd.to_numeric(frame[name], errors="coerce"), np.float64) for name in (layout.ra, layout.dec)
        )
        return ra, dec
    parts = [
        _text(frame[name]).str.extract(r"^([+-]?\d+)[ :]+(\d+)[ :]+(\d+\.?\d*)$") for name in (layout.ra, layout.dec)
    ]
    numbers = [part.astype(np.float64).to_numpy() for part in parts]
    sign = np.where(parts[1][0].fillna("").str.startswith("-"), -1.0, 1.0)
    hours, degrees = (np.abs(number) @ np.array([1.0, 1.0 / 60.0, 1.0 / 3600.0]) for number in numbers)
    return hours * 15.0, sign * degrees


def _tidy(frame: pd.DataFrame, name: str, layout: CatalogueLayout) -> pd.DataFrame:
    """Return the table in the columns of `SCHEMA`, rows without a position dropped, sorted."""
    wanted = [layout.ra, layout.dec, layout.source_id, layout.object_type, layout.distance_mpc, layout.redshift]
    missing = [column for column in wanted if column is not None and column not in frame.columns]
    if missing:
        raise ConfigurationError(f"the source of catalogue {name} has no column {', '.join(missing)}")
    ra, dec = _positions(frame, layout)
    usable = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)
    kind = _text(frame[layout.object_type]).to_numpy() if layout.object_type else layout.constant_type
    tidy = pd.DataFrame(
        {
            "source_id": _text(frame[layout.source_id]).to_numpy() if layout.source_id else "",
            "ra_deg": ra % 360.0,
            "dec_deg": dec,
            "object_type": kind,
            "sigma_arcsec": layout.sigma_arcsec,
            "distance_mpc": _number(frame, layout.distance_mpc),
            "redshift": _number(frame, layout.redshift),
        }
    )[usable]
    designation = [f"{name} J{a:010.6f}{d:+010.6f}" for a, d in zip(tidy["ra_deg"], tidy["dec_deg"], strict=True)]
    tidy["source_id"] = np.where(tidy["source_id"] == "", designation, tidy["source_id"])
    return tidy.sort_values(["ra_deg", "dec_deg", "source_id", "object_type"], kind="stable", ignore_index=True)


def build_catalogue(name: str, source: Path, out_dir: Path, layout: CatalogueLayout | None = None) -> CatalogueInfo:
    """Write the partitions and the metadata of one catalogue.

    Parameters
    ----------
    name : of the catalogue, and of its folder in ``out_dir``; a key of `LAYOUTS` unless a layout is given.
    source : published table, Parquet, CSV or FITS.
    out_dir : folder of all catalogues.

    Raises
    ------
    ConfigurationError : unknown name, unreadable source, missing column, no usable row, or already built.
    """
    chosen = LAYOUTS.get(name) if layout is None else layout
    if chosen is None or Path(name).name != name:
        raise ConfigurationError(f"there is no catalogue {name!r}; known are {', '.join(sorted(LAYOUTS))}")
    folder = out_dir / name
    if folder.exists():
        raise ConfigurationError(f"the catalogue {name} is already built in {out_dir}; remove it first")
    frame = _read(source, chosen)
    tidy = _tidy(frame, name, chosen)
    if tidy.empty:
        raise ConfigurationError(f"the source of catalogue {name} has no usable position")
    cells = nested_cell(tidy["ra_deg"].to_numpy(), tidy["dec_deg"].to_numpy())
    for cell in np.unique(cells):
        part = folder / f"healpix{PARTITION_ORDER}={cell:03d}"
        part.mkdir(parents=True)
        rows = pa.Table.from_pandas(tidy[cells == cell], schema=SCHEMA, preserve_index=False)
        pq.write_table(rows.replace_schema_metadata(None), part / "part.parquet", compression="zstd")
    info = CatalogueInfo(
        name=name,
        version=chosen.version,
        reference=chosen.reference,
        radius_arcsec=chosen.radius_arcsec,
        sigma_arcsec=chosen.sigma_arcsec,
        epoch=chosen.epoch,
        n=len(tidy),
        n_dropped=len(frame) - len(tidy),
        order=PARTITION_ORDER,
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
    )
    # Written last: a folder without metadata is an interrupted build and is not opened.
    (folder / "metadata.json").write_text(json.dumps(asdict(info), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return info
