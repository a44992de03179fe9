"""Verbs that look at what is there: events, visits, lists, cypher, ledger, notice."""

from __future__ import annotations

import csv
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from api.routes.visits import DEFAULT_DAYS, MAX_DAYS
from compose.archive import ArchiveAnswers
from compose.audit import ALL_NIGHTS
from compose.cli.console import print_json, stderr, stdout
from compose.cli.located import located_settings
from compose.lag import StreamLagReader
from coordinator.coverage import who_looked
from coordinator.lifecycle import event_from_notices
from graph.errors import ConfigurationError, NotFoundError, SkyMapError, WireError
from graph.model import ScienceCase
from graph.reader import GraphReader
from graph.times import format_utc, mjd_tai_to_datetime
from graph.views import LedgerNight, ListView, StreamLag
from ingest.notices.lines import notice_line
from ingest.notices.registry import parse_notice

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

RIGHT_ALIGNED = ("#", "score", "mag")
"""Columns of numbers with a fixed number of decimals."""


LEDGER_FIELDS = (
    "survey", "night", "stage", "received", "archived", "filtered", "classified", "left_out", "loaded", "dead",
    "duplicates", "balanced",
)  # fmt: skip
"""What the ledger prints of a night, in order."""


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


def visits(
    event_key: Annotated[str, typer.Argument(help="An event, MISSION:ID, or the ID where only one mission uses it.")],
    before_d: Annotated[float, typer.Option(min=0.0, max=MAX_DAYS, help="Days before the trigger.")] = DEFAULT_DAYS,
    after_d: Annotated[float, typer.Option(min=0.0, max=MAX_DAYS, help="Days after the trigger.")] = DEFAULT_DAYS,
    as_json: AsJson = False,
) -> None:
    """Show which surveys looked at the place of an event, and how deep."""
    settings = located_settings()
    archive = ArchiveAnswers.of(settings)
    if archive is None:
        raise ConfigurationError("HELIOGRAPH_INGEST__ARCHIVE_DIR is off, so nothing is known of who looked where.")
    with GraphReader.open(settings.graph) as reader:
        event = event_from_notices(reader.notices(event_key))
    level = settings.coordinator.max_credible_level
    looked = who_looked(event, archive, before_d=before_d, after_d=after_d, max_credible_level=level)
    if as_json:
        for visit in looked.visits:
            print_json(visit)
        return
    columns = ("survey", "time (UTC)", "after [h]", "band", "depth [mag]", "covered")
    table = Table(*columns, title=f"of {looked.searched_probability:.1%} of the probability", box=SIMPLE_HEAD)
    for visit in looked.visits:
        time = format_utc(mjd_tai_to_datetime(visit.midpoint_mjd_tai))[:19]
        numbers = (f"{visit.delta_t_s / 3600.0:+.2f}", visit.band, f"{visit.limit_mag:.2f}", f"{visit.probability:.1%}")
        table.add_row(visit.survey.value, time, *numbers)
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


def ledger(
    lag: Annotated[bool, typer.Option("--lag", help="Show how far the alert stream is behind instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what became of every alert, by night; exit status 1 when a night does not add up."""
    settings = located_settings()
    with GraphReader.open(settings.graph) as reader:
        if lag:
            _show_lag(StreamLagReader.of(settings, reader).lag(), as_json=as_json)
            return
        nights = reader.ledger(ALL_NIGHTS)
    lines = [ledger_line(night) for night in nights]
    if as_json:
        for line in lines:
            print_json(line)
    else:
        # A column that is nearly always empty would only take room from the others.
        unused = {"stage"} if any(night.left_out for night in nights) else {"stage", "left_out"}
        shown_fields = [name for name in LEDGER_FIELDS if name not in unused]
        table = Table(*shown_fields, box=SIMPLE_HEAD)
        for line in lines:
            shown = line | {"night": line["night"] or "unreadable", "balanced": "yes" if line["balanced"] else "NO"}
            table.add_row(*(_cell(shown[name]) for name in shown_fields))
        stdout.print(table)
    if not all(night.balanced for night in nights):
        raise typer.Exit(1)


def ledger_line(night: LedgerNight) -> dict[str, object]:
    """Return what became of one survey's alerts in one night, as the ledger prints it."""
    values = {
        "survey": night.survey.value,
        "night": night.night,
        "stage": "ingest",
        "received": night.received,
        "archived": night.archived,
        "filtered": dict(sorted(night.filtered.items())),
        "classified": night.classified,
        "left_out": dict(sorted(night.left_out.items())),
        "loaded": night.loaded,
        "dead": dict(sorted(night.dead_reasons.items())),
        "duplicates": night.duplicates,
        "balanced": night.balanced,
    }
    return {name: values[name] for name in LEDGER_FIELDS}


def _cell(value: object) -> str:
    """Return a value as it stands in a table: numbers by reason one below the other, absent as a dash."""
    if isinstance(value, dict):
        return "\n".join(f"{reason} {n}" for reason, n in value.items()) or "-"
    return "-" if value is None else str(value)


def _show_lag(lag: StreamLag, *, as_json: bool) -> None:
    """Print the lag of each partition and of all."""
    total = {"lag_alerts": lag.lag_alerts, "oldest_unprocessed_s": lag.oldest_unprocessed_s}
    if as_json:
        for one in lag.partitions:
            print_json(one)
        print_json(total)
        return
    table = Table("topic", "partition", "end", "processed until", "lag [alerts]", "oldest [s]", box=SIMPLE_HEAD)
    for one in lag.partitions:
        numbers = (one.partition, one.end_offset, one.processed_until, one.lag_alerts)
        table.add_row(one.topic, *map(str, numbers), _seconds(one.oldest_unprocessed_s))
    table.add_row("all", "", "", "", str(lag.lag_alerts), _seconds(lag.oldest_unprocessed_s))
    stdout.print(table)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


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
