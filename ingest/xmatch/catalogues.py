"""Catalogues as the service names them, and the columns that hold an entry's name and type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graph.errors import ConfigurationError

SIMBAD = "simbad"
"""The one name of the service that is no table of VizieR."""

MAX_RADIUS_ARCSEC = 180.0
"""Largest radius that the service takes [arcsec]; CDS X-Match documentation, parameter ``distMaxArcsec``."""

DEFAULT_RADIUS_ARCSEC = 1.0
"""Radius of a match [arcsec] unless told: some three times the error of an alert's position."""

_NAME = re.compile(r"[A-Za-z0-9+._/-]{1,100}")
_COLUMN = re.compile(r"[^\x00-\x1f,\"]{1,100}")


@dataclass(frozen=True, slots=True)
class RemoteCatalogue:
    """A catalogue of the service.

    Raises
    ------
    ConfigurationError : a name that no table or column can have.
    """

    name: str
    """``simbad`` or a table of VizieR such as ``I/355/gaiadr3``."""
    name_column: str
    """Column with the name of an entry."""
    label_column: str = ""
    """Column with the type of an entry; empty where the catalogue states none."""
    version: str = ""
    """Version of the content. Answers of another version are not taken from the cache."""

    def __post_init__(self) -> None:
        """Refuse names that cannot be meant."""
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError("A catalogue is 'simbad' or a VizieR table such as 'I/355/gaiadr3'.")
        if not _COLUMN.fullmatch(self.name_column) or not _COLUMN.fullmatch(self.label_column or "-"):
            raise ConfigurationError(f"The columns named for {self.name} are no names of columns.")

    @property
    def service_name(self) -> str:
        """The catalogue as the parameter ``cat2`` names it."""
        return self.name if self.name == SIMBAD else f"vizier:{self.name}"


KNOWN = {
    item.name: item
    for item in (
        RemoteCatalogue(SIMBAD, "main_id", "main_type", "daily"),
        RemoteCatalogue("I/355/gaiadr3", "DR3Name", "", "DR3"),
        RemoteCatalogue("B/vsx/vsx", "Name", "Type", "weekly"),
        RemoteCatalogue("II/246/out", "2MASS", "", "2003"),
        RemoteCatalogue("II/328/allwise", "AllWISE", "", "2013"),
        RemoteCatalogue("J/ApJS/254/33/table1", "SPICY", "class", "2021"),
    )
}
"""Catalogues whose columns are known, by name: those that brokers ask for. The version of a table that is published
once is its release; SIMBAD and VSX grow every day or week, so their answers only grow old."""


def find_catalogue(name: str, name_column: str = "", label_column: str = "", version: str = "") -> RemoteCatalogue:
    """Return a catalogue by its name in the service; what is not given is taken from the known ones.

    Parameters
    ----------
    name : ``simbad`` or a table of VizieR, with or without ``vizier:`` before it.

    Raises
    ------
    ConfigurationError : the catalogue is not known and no column is named for the entries' names.
    """
    short = name.removeprefix("vizier:")
    known = KNOWN.get(short)
    if known is None and not name_column:
        raise ConfigurationError(
            f"The columns of {short[:100]!r} are not known: name the one with the entries' names, "
            f"or take one of {', '.join(KNOWN)}."
        )
    return RemoteCatalogue(
        short,
        name_column or (known.name_column if known else ""),
        label_column or (known.label_column if known else ""),
        version or (known.version if known else ""),
    )
