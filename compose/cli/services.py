"""Verbs for the parts that run for long: ingest, listen, coordinate, serve."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compose import services
from compose.cli.console import print_json, stderr, stdout, until_interrupted
from compose.cli.located import located_settings
from coordinator.forming import CoordinatorReport
from ingest.stream import BatchSummary

Once = Annotated[bool, typer.Option("--once", help="End when everything that is there is done.")]


class NoticeSource(StrEnum):
    """Where notices come from."""

    GCN = "gcn"
    KAFKA = "kafka"
    DIR = "dir"


def ingest(
    once: Once = False,
    master: Annotated[str | None, typer.Option(help="Spark master URL; default from the settings.")] = None,
) -> None:
    """Run the Spark job: alerts from Kafka into the graph."""
    settings = located_settings()
    if master is not None:
        settings = settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"master": master})})
    total: Counter[str] = Counter()

    def show(batch: BatchSummary) -> None:
        total.update(batch.outcomes)
        stderr.print(f"batch {batch.batch_id}: {batch.received} alerts, {dict(batch.outcomes)}", highlight=False)

    with until_interrupted() as stop:
        services.run_ingest(settings, show, once=once, stop=stop)
    print_json(dict(sorted(total.items())))


def listen(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders, with --source dir.")] = None,
    source: Annotated[NoticeSource, typer.Option(help="GCN, our own Kafka, or files.")] = NoticeSource.KAFKA,
    once: Once = False,
) -> None:
    """Take notices into the graph and onto the internal topic."""
    if (source is NoticeSource.DIR) != bool(paths):
        raise typer.BadParameter("paths go with --source dir, and only with it")
    settings = located_settings()
    with until_interrupted() as stop:
        outcomes = services.run_listen(settings, source.value, paths or (), lambda _: None, once=once, stop=stop)
    print_json(dict(sorted(outcomes.items())))


def coordinate(once: Once = False) -> None:
    """Correlate alerts with notices, both ways, and publish follow-up lists."""
    settings = located_settings()

    def show(report: CoordinatorReport) -> None:
        stderr.print(str(report), highlight=False)

    with until_interrupted() as stop:
        report = services.run_coordinate(settings, show, once=once, stop=stop)
    print_json(report)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve the API and the web page."""
    settings = located_settings()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"api": settings.api.model_copy(update=given)})
    with until_interrupted() as stop:
        services.run_serve(settings, lambda url: stdout.print(f"Serving {url}", highlight=False), stop)
