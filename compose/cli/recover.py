"""The verb that says how many simulated counterparts are found, and how high they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from compose.cli.console import print_json, set_up_logging, stderr, stdout
from compose.config import load_settings
from compose.recovery import PLACES, Injected, recall
from compose.recovery import recover as recover_night


def recover(
    nights: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Folders written by 'heliograph simulate'.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Correlate simulated nights without any server and say where their true counterparts stand."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    injected: list[Injected] = []
    with stderr.status("nights") as status:
        for night in nights:
            injected += recover_night(night, settings, status.update)
    figures = recall(injected)
    if as_json:
        lost = [one.event_key for one in injected if one.is_seen and one.place is None]
        print_json({"nights": len(nights), "counterparts": figures, "not_found": lost})
        return
    table = Table("counterpart", "injected", "seen", "found", *(f"first {n}" for n in PLACES), box=SIMPLE_HEAD)
    for kind, row in figures.items():
        shares = row["recall_at"]
        texts = [f"{share:.2f}" if share is not None else "" for share in shares.values()]  # type: ignore[attr-defined]
        table.add_row(kind, *(str(row[name]) for name in ("injected", "seen", "found")), *texts)
    stdout.print(table)
