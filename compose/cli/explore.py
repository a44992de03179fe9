"""The verb that looks at the whole graph in Spark."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from compose.cli.console import print_json, progress_bar, set_up_logging, stdout
from compose.cli.located import located_settings
from compose.explore import explore_graph
from graph.frames.job import Exploration


def explore(
    out: Annotated[Path | None, typer.Option(help="Folder of the Parquet files.")] = None,
    master: Annotated[str | None, typer.Option(help="Spark master URL; default from the settings.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """Compute joint events and sky groups over the whole graph; status 1 when the service keeps others."""
    settings = located_settings()
    set_up_logging(settings.log_level)
    if master is not None:
        settings = settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"master": master})})
    folder = out or settings.home / "explore"
    with progress_bar() as bar:
        task = bar.add_task("nodes", total=None)
        found = explore_graph(settings, folder, lambda done: bar.update(task, completed=done))
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        _show(found, folder)
    if not found.joint_events.agrees:
        raise typer.Exit(1)


def _show(found: Exploration, folder: Path) -> None:
    """Print the figures as sentences."""
    joint = found.joint_events
    kept = f"{joint.equal} as the service keeps them, {len(joint.missing)} missing, {len(joint.extra)} extra"
    split = f"{found.split_sky_groups} with several objects of one survey"
    apart = f"{found.shared_not_joint} of them in no joint event, {found.shared_by_several} through several objects"
    lines = [
        f"Joint events: {kept}.",
        *(f"  missing: {' '.join(keys)}" for keys in joint.missing),
        *(f"  extra: {' '.join(keys)}" for keys in joint.extra),
        f"Sky groups: {found.sky_groups}, the largest of {found.largest_sky_group}, {split}.",
        f"Shared by events of two messengers: {found.shared}, {apart}.",
        f"The tables are in {folder}.",
    ]
    for line in lines:
        stdout.print(line, markup=False, highlight=False, soft_wrap=True)
