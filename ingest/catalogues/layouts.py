"""How a published table becomes a catalogue: which column means what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.catalogues.stored import PARTITION_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping

HELPERS = ("ra_error_arcsec", "dec_error_arcsec", "pm_ra_error_masyr", "pm_dec_error_masyr", "semi_minor_arcsec")
"""Quantities that a layout may name beside those of `ingest.catalogues.stored.NUMBERS`: they are worked into the
errors and the axis ratio."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a number stands."""

    names: tuple[str, ...]
    """Possible names of the column, as the releases of a catalogue have them; the first that is there is taken."""
    scale: float = 1.0
    """Factor to the wanted unit."""
    offset: float = 0.0
    """Added after the factor."""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """A number between galaxy (0) and star (1) that tells types apart."""

    column: str
    star_from: float
    galaxy_below: float


@dataclass(frozen=True, slots=True)
class CatalogueLayout:
    """How a published table becomes a catalogue.

    Names of columns are compared without regard to case and outer blanks. Where several are given, the first that is in
    the table counts; for ``source_id`` the first that is not empty in the row.
    """

    ra: str | tuple[str, ...]
    """Column of the right ascension."""
    dec: str | tuple[str, ...]
    version: str
    reference: str
    radius_arcsec: float
    """Largest separation that counts as a match [arcsec]."""
    sigma_arcsec: float
    """1 sigma error of a position on each axis [arcsec], in quadrature with the table's own; for galaxies the offset of
    a transient from the centre."""
    epoch: float = 2000.0
    """Epoch of the positions, Julian year, where no column states it."""
    source_id: str | tuple[str, ...] | None = None
    """Column of the name; None where the table has none and the position names the source."""
    id_prefix: str | None = None
    """Column of a text that stands before the name, as TNS has it."""
    object_type: str | tuple[str, ...] | None = None
    constant_type: str = ""
    """Type of every source where there is no column, or where it is empty."""
    score: Score | None = None
    """Types by a score instead of a column."""
    galaxy_types: tuple[str, ...] = ()
    """Types whose entries are galaxies, see `ingest.catalogues.stored.EVERY_TYPE`."""
    distance_mpc: str | tuple[str, ...] | None = None
    redshift: str | tuple[str, ...] | None = None
    numbers: Mapping[str, Column] = field(default_factory=dict)
    """Further numbers by their stored name, or by one of `HELPERS`."""
    magnitudes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Band and columns of magnitudes; of each row the first one that is there is kept."""
    optional: frozenset[str] = frozenset()
    """Fields of the layout whose columns some releases lack."""
    sexagesimal: bool = False
    """Whether positions are texts in hours and degrees instead of numbers in degrees."""
    designation: bool = False
    """Whether the positions must be read from a name of the form JHHMM.m+DDMM in the column ``ra``."""
    order: int = PARTITION_ORDER
    csv: Mapping[str, Any] = field(default_factory=dict)
    """Options of the CSV reader."""
    text: Mapping[str, Any] = field(default_factory=dict)
    """Options of the CSV reader for files that end in .txt; empty where the catalogue is not published as text."""


def names_of(spec: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the possible names of a column."""
    return () if spec is None else (spec,) if isinstance(spec, str) else spec
