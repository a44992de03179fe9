"""Verbs that look at what is there: events, lists, cypher, ledger, notice."""

from __future__ import annotations

import csv
import dataclasses
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from compose.audit import ALL_NIGHTS
from compose.cli.console import print_json, stderr, stdout
from compose.cli.located import located_settings
from graph.errors import NotFoundError, SkyMapError, WireError
from graph.model import ScienceCase
from graph.reader import GraphReader
from graph.times import format_utc
from graph.views import ListView
from ingest.notices.lines import notice_line
from ingest.notices.registry import parse_notice

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

RIGHT_ALIGNED = ("#", "score", "mag")
"""Columns of numbers with a fixed number of decimals."""


class TableFormat(StrEnum):
    """How rows of a query are printed."""

    CSV = "csv"
    JSON = "json"


def events(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Events at most.")] = 20, as_json: AsJson = False
) -> None:
    """Show the newest events."""
    with GraphReader.open(located_settings().graph) as reader:
        found = reader.events(limit).items
    if as_json:
        for event in found:
            print_json(event)
        return
    table = Table("event", "messenger", "trigger time", "state", "area 90 % [deg2]", "notices", "coincidences")
    for event in found:
        area = event.localization.area_90_deg2 if event.localization else None
        table.add_row(
            event.event_key,
            event.messenger.value,
            format_utc(event.trigger_time)[:19] if event.trigger_time else "-",
            event.state.value,
            "-" if area is None else f"{area:.4g}",
            str(event.n_notices),
            str(event.n_open_coincidences),
        )
    stdout.print(table)


def lists(
    case: Annotated[ScienceCase | None, typer.Argument(help="A science case; all when absent.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Targets of each list at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the current follow-up lists."""
    with GraphReader.open(located_settings().graph) as reader:
        for wanted in [case] if case else list(ScienceCase):
            try:
                view = reader.list(wanted, None, limit)
            except NotFoundError:
                if case is not None:
                    raise
                continue
            if as_json:
                print_json(view)
            else:
                stdout.print(list_table(view))


def list_table(view: ListView) -> Table:
    """Return a follow-up list as a table for a terminal."""
    summary = view.summary
    table = Table(
        title=f"{summary.case.value}, version {summary.version}, {summary.n_targets} targets",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for column in ("#", "object", "score", "class", "mag", "p chance", "FAR [Hz]", "event"):
        table.add_column(column, no_wrap=True, justify="right" if column in RIGHT_ALIGNED else "left")
    for target in view.targets:
        table.add_row(
            str(target.rank),
            f"{target.survey.value}:{target.object_id}",
            f"{target.score:.2f}",
            f"{target.top_class} {target.class_probability:.2f}"
            if target.top_class and target.class_probability
            else "-",
            "-" if target.latest_mag is None else f"{target.latest_mag:.2f}",
            "-" if target.p_chance is None else f"{target.p_chance:.2g}",
            "-" if target.joint_far_hz is None else f"{target.joint_far_hz:.2g}",
            target.event_key or "-",
        )
    return table


def cypher(
    query: Annotated[str, typer.Argument(help="A reading Cypher statement.")],
    table_format: Annotated[TableFormat, typer.Option("--format", help="csv or json.")] = TableFormat.JSON,
) -> None:
    """Run a read-only Cypher query, bounded in time and rows."""
    settings = located_settings()
    bounds = settings.api
    with GraphReader.open(settings.graph) as reader:
        answer = reader.read_query(query, {}, bounds.query_timeout_s, bounds.query_max_rows)
    if answer.truncated:
        stderr.print(f"Only the first {bounds.query_max_rows} rows are shown (HELIOGRAPH_API__QUERY_MAX_ROWS).")
    if table_format is TableFormat.CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
        return
    for row in answer.rows:
        print_json(dict(zip(answer.columns, row, strict=True)))


def ledger(as_json: AsJson = False) -> None:
    """Show what became of every alert, by night; exit status 1 when a night does not add up."""
    with GraphReader.open(located_settings().graph) as reader:
        nights = reader.ledger(ALL_NIGHTS)
    if as_json:
        for night in nights:
            print_json({**dataclasses.asdict(night), "balanced": night.balanced})
    else:
        table = Table("night", "survey", "received", "loaded", "filtered", "dead", "duplicates", "balanced")
        for night in nights:
            reasons = [
                orjson.dumps(dict(part)).decode() if part else "-" for part in (night.filtered, night.dead_reasons)
            ]
            table.add_row(
                str(night.night or "unreadable"),
                night.survey.value,
                str(night.received),
                str(night.loaded),
                *reasons,
                str(night.duplicates),
                "yes" if night.balanced else "NO",
            )
        stdout.print(table)
    if not all(night.balanced for night in nights):
        raise typer.Exit(1)


def notice(
    files: Annotated[list[Path], typer.Argument(help="Notices as received.", exists=True, dir_okay=False)],
) -> None:
    """Parse notices to canonical JSON, one line each; exit status 1 when one was refused."""
    refused = False
    for path in files:
        try:
            print_json(notice_line(str(path), parse_notice(path.read_bytes())))
        except (WireError, SkyMapError) as error:
            refused = True
            print_json({"file": str(path), "error": str(error)})
    if refused:
        raise typer.Exit(1)
