"""The verb that measures."""

from __future__ import annotations

import shutil
from enum import StrEnum
from typing import Annotated

import typer

from compose.bench import bench_ingest
from compose.cli.console import print_json, progress_bar, set_up_logging, stdout
from compose.config import load_settings
from compose.stack import embedded


class Work(StrEnum):
    """What can be measured."""

    INGEST = "ingest"


def bench(
    work: Annotated[Work, typer.Argument(help="What to measure.")] = Work.INGEST,
    n: Annotated[int, typer.Option(min=100, help="Alerts to send.")] = 40_000,
    seed: Annotated[int, typer.Option(help="Seed of the generated night.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a few lines.")] = False,
) -> None:
    """Measure a part on this machine, in an installation of its own that is removed afterwards."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    home = settings.home / f"bench-{work.value}"
    shutil.rmtree(home, ignore_errors=True)
    settings = settings.model_copy(update={"home": home})
    stack = embedded.up(settings, detached=False)
    try:
        with progress_bar() as bar:
            tasks = {name: bar.add_task(name, total=n) for name in ("to Kafka", "to the graph")}
            figures = bench_ingest(
                stack.apply(settings), n, seed, lambda name, done: bar.update(tasks[name], completed=done)
            )
    finally:
        embedded.down(settings)
        shutil.rmtree(home, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        for name, value in figures.items():
            stdout.print(f"{name}: {value}", highlight=False)
