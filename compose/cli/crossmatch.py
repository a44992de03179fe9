"""The verb that asks a catalogue service: crossmatch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from compose.cli.console import print_json, set_up_logging, stderr
from compose.config import load_settings
from graph.errors import ConfigurationError
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.replay import iter_alert_messages
from ingest.xmatch.catalogues import DEFAULT_RADIUS_ARCSEC, find_catalogue
from ingest.xmatch.columns import FloatArray, MatchStatus, TextArray, XMatchColumns
from ingest.xmatch.opening import open_xmatch

POSITIONS_AT_A_TIME = 100_000
"""Positions matched at a time; some seconds of answers, and bounds memory at about 100 MB."""

PACKETS_AT_A_TIME = 500
"""Alert packets decoded at a time; bounds memory at about 50 MB."""

POSITION_COLUMNS = (("ra_deg", "dec_deg"), ("ra", "dec"))
"""Names of the columns of a table that are taken for positions, in this order."""


@dataclass(frozen=True, eq=False, slots=True)
class Positions:
    """Positions of a file."""

    ra_deg: FloatArray
    """(n,) [deg, ICRS]."""
    dec_deg: FloatArray
    object_id: TextArray | None
    """(n,) the survey's name of the object; None for a table."""
    unread: int
    """Packets that could not be read."""


def crossmatch(  # noqa: PLR0917 - Typer calls it by name
    files: Annotated[list[Path], typer.Argument(exists=True, help="CSV with ra_deg and dec_deg, or alert packets.")],
    catalogue: Annotated[str, typer.Option(help="simbad or a VizieR table such as I/355/gaiadr3.")],
    radius_arcsec: Annotated[float, typer.Option(help="Radius of a match [arcsec], at most 180.")] = (
        DEFAULT_RADIUS_ARCSEC
    ),
    url: Annotated[str, typer.Option(help="Address of the service; the setting's or the CDS's unless told.")] = "",
    name_column: Annotated[str, typer.Option(help="Column with the name of an entry.")] = "",
    label_column: Annotated[str, typer.Option(help="Column with the type of an entry.")] = "",
    catalogue_version: Annotated[str, typer.Option(help="Version whose kept answers may be used.")] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask for everything, keep nothing.")] = False,
) -> None:
    """Ask the CDS X-match service what a catalogue has at positions, one JSON line for each position."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    remote = find_catalogue(catalogue, name_column, label_column, catalogue_version)
    folder = None if no_cache else settings.home / "xmatch"
    unanswered = unread = 0
    with closing(open_xmatch(settings.ingest, remote, folder, radius_arcsec=radius_arcsec, url=url)) as service:
        for path in files:
            for first, positions in _positions(path):
                unread += positions.unread
                found = service.match(positions.ra_deg, positions.dec_deg)
                unanswered += len(found) - int(np.count_nonzero(found.answered))
                _print(path, first, positions, found)
    if unread:
        stderr.print(f"{unread} packets could not be read.")
    if unanswered:
        stderr.print(f"{unanswered} positions have no answer; called again, only these are asked for.")
    if unread or unanswered:
        raise typer.Exit(1)


def _positions(path: Path) -> Iterator[tuple[int, Positions]]:
    """Yield the positions of a file with the number of the first one."""
    first = 0
    for positions in _table(path) if path.suffix.lower() == ".csv" else _packets(path):
        yield first, positions
        first += len(positions.ra_deg)


def _table(path: Path) -> Iterator[Positions]:
    """Read a table of positions."""
    try:
        with pd.read_csv(path, chunksize=POSITIONS_AT_A_TIME) as parts:
            for part in parts:
                names = next((pair for pair in POSITION_COLUMNS if set(pair) <= set(part.columns)), None)
                if names is None:
                    raise ConfigurationError(f"{path} has no columns ra_deg and dec_deg.")
                ra, dec = (pd.to_numeric(part[name], errors="coerce").to_numpy(dtype=np.float64) for name in names)
                yield Positions(ra, dec, None, 0)
    except ValueError as error:
        raise ConfigurationError(f"{path} is no CSV table.") from error


def _packets(path: Path) -> Iterator[Positions]:
    """Read the positions of alert packets, survey by survey."""
    for survey in Survey:
        decoder = AlertDecoder(survey)
        messages = (packet for found, packet in iter_alert_messages(path) if found is survey)
        while batch := list(islice(messages, PACKETS_AT_A_TIME)):
            columns, rejects = decoder.decode(batch)
            yield Positions(columns.ra_deg, columns.dec_deg, np.asarray(columns.object_id, dtype=object), len(rejects))


def _print(path: Path, first: int, positions: Positions, found: XMatchColumns) -> None:
    """Print one line for each position."""
    for row in range(len(found)):
        matched = found.status[row] == MatchStatus.MATCHED
        asked = found.asked_unix_s[row]
        print_json(
            {
                "file": str(path),
                "row": first + row,
                "object_id": None if positions.object_id is None else positions.object_id[row],
                "ra_deg": float(positions.ra_deg[row]),
                "dec_deg": float(positions.dec_deg[row]),
                "status": MatchStatus(int(found.status[row])).name.lower(),
                "reason": found.reason[row] or None,
                "label": found.label[row] or None,
                "separation_arcsec": float(found.separation_arcsec[row]) if matched else None,
                "source_name": found.source_name[row] or None,
                "catalogue": found.catalogue_id,
                "version": found.version,
                "asked_at": datetime.fromtimestamp(asked, UTC).isoformat() if np.isfinite(asked) else None,
            }
        )
