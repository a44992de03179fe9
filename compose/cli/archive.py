"""The verb that looks after the archive: verify, compact."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from itertools import chain
from typing import Annotated

import typer

from compose.archive import archive_root
from compose.audit import ALL_NIGHTS
from compose.cli.console import print_json, progress_bar, set_up_logging, stdout
from compose.cli.located import located_settings
from compose.config import Settings, load_settings
from graph.errors import ConfigurationError
from graph.reader import GraphReader
from ingest.archive.compact import compact_night, finished_nights
from ingest.archive.layout import Night
from ingest.archive.nights import list_nights
from ingest.archive.notices import NoticeArchive
from ingest.archive.reader import ArchiveReader
from ingest.archive.verify import verify_archive


class ArchiveTask(StrEnum):
    """What to do with the archive."""

    VERIFY = "verify"
    COMPACT = "compact"


def archive(
    task: Annotated[ArchiveTask, typer.Argument(help="verify: re-read everything; compact: rewrite finished nights.")],
    night: Annotated[int | None, typer.Option(help="With compact: only this night, YYYYMMDD, finished or not.")] = None,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="With verify: compare the numbers with the ledger in the graph.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """Verify the archive of packets, or compact its finished nights; exit status 1 when something is damaged."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    root = archive_root(settings)
    if root is None:
        raise ConfigurationError("HELIOGRAPH_INGEST__ARCHIVE_DIR says that there is no archive.")
    reader = ArchiveReader(root)
    if task is ArchiveTask.COMPACT:
        if ledger:
            raise typer.BadParameter("--ledger goes with verify")
        _compact(settings, reader, night, as_json=as_json)
        return
    if night is not None:
        raise typer.BadParameter("--night goes with compact")
    _verify(reader, _counted() if ledger else None, as_json=as_json)


def _counted() -> Mapping[Night, int]:
    """Return the rows that the archive must have of each night, from the ledger."""
    with GraphReader.open(located_settings().graph) as graph:
        return {
            Night(entry.survey, entry.night): entry.received - entry.dead
            for entry in graph.ledger(ALL_NIGHTS)
            if entry.night
        }


def _verify(reader: ArchiveReader, expected: Mapping[Night, int] | None, *, as_json: bool) -> None:
    found = 0
    with progress_bar() as progress:
        bar = progress.add_task("files", total=None)
        damages = verify_archive(
            reader, lambda done, total: progress.update(bar, completed=done, total=total), expected
        )
        for damage in chain(damages, NoticeArchive(reader.storage.root).verify()):
            found += 1
            if as_json:
                print_json(damage)
            else:
                row = "" if damage.row < 0 else f", row {damage.row}"
                source = f" ({damage.source})" if damage.source else ""
                stdout.print(f"{damage.path}{row}{source}: {damage.reason}", markup=False, highlight=False)
    if as_json:
        print_json({"damaged": found, "nights": len(reader.nights())})
    elif not found:
        stdout.print(f"The archive is whole: {len(reader.nights())} nights.", highlight=False)
    if found:
        raise typer.Exit(1)


def _compact(settings: Settings, reader: ArchiveReader, night: int | None, *, as_json: bool) -> None:
    storage = reader.storage
    _merge_notices(NoticeArchive(storage.root), night, as_json=as_json)
    wanted = finished_nights(storage) if night is None else tuple(n for n in list_nights(storage) if n.night == night)
    with progress_bar() as progress:
        for one in progress.track(wanted, description="nights"):
            done = compact_night(storage, one, settings.ingest.archive_compression)
            if as_json:
                print_json({**dataclasses.asdict(one), **dataclasses.asdict(done), "night": one.night})
            elif done.merged_files:
                stdout.print(
                    f"{one.survey.value} {one.night}: {done.merged_files} files taken in, {done.rows} rows in "
                    f"{done.files} files",
                    highlight=False,
                )


def _merge_notices(kept: NoticeArchive, day: int | None, *, as_json: bool) -> None:
    """Put the notices of each day before the newest one, or of the day that is named, into one file."""
    for one in kept.days()[:-1] if day is None else (found for found in kept.days() if found == day):
        done = kept.merge(one)
        if as_json:
            print_json({"notices_of": done.day, "rows": done.rows, "merged_files": done.merged_files})
        elif done.merged_files:
            stdout.print(f"notices {one}: {done.merged_files} files taken in, {done.rows} rows", highlight=False)
