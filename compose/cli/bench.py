"""The verb that measures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compose.bench.classify import ClassifyPlan, bench_classify
from compose.bench.correlate import CorrelatePlan, bench_correlate
from compose.bench.ingest import PACED_RATES_PER_S, IngestPlan, bench_ingest, disk_figures
from compose.bench.night import NightPlan, bench_night
from compose.bench.notices import STORM_OBJECTS, STORM_RATE_PER_S, StormPlan, bench_notices
from compose.bench.response import ResponsePlan, bench_response
from compose.cli.console import StageBars, print_json, progress_bar, set_up_logging, stdout
from compose.config import Settings, load_settings
from compose.stack import embedded
from graph.errors import ConfigurationError, HeliographError
from graph.model import Survey
from ingest.catalogues.opened import open_catalogues

DEFAULT_ALERTS = 40_000
"""Alerts of a quick measurement: half a minute of work on two cores."""

SCALE_ALERTS = 1_000_000
"""Alerts of a measurement of growth and of a whole night: a good night of ZTF."""


class Work(StrEnum):
    """What can be measured."""

    INGEST = "ingest"
    NIGHT = "night"
    CORRELATE = "correlate"
    CLASSIFY = "classify"
    NOTICES = "notices"
    RESPONSE = "response"


def bench(
    work: Annotated[Work, typer.Argument(help="What to measure.")] = Work.INGEST,
    *,
    alerts: Annotated[int | None, typer.Option(min=100, help="Alerts to send.")] = None,
    survey: Annotated[Survey, typer.Option(help="Whose packets.")] = Survey.ZTF,
    rate: Annotated[list[float] | None, typer.Option(min=1, help="Paced alerts a second; may be repeated.")] = None,
    duration: Annotated[float, typer.Option(min=0, help="Length of each paced sending [s]; 0 for none.")] = 30.0,
    scale: Annotated[bool, typer.Option("--scale", help="Grow the graph in ten steps, each a burst.")] = False,
    kill: Annotated[bool, typer.Option("--kill", help="Kill the stream in the middle of the night.")] = False,
    cutouts: Annotated[bool, typer.Option(help="Packets of the night with their images.")] = True,
    source: Annotated[
        list[Path] | None, typer.Option(exists=True, help="Recorded alerts, with classify; may be repeated.")
    ] = None,
    objects: Annotated[int, typer.Option(min=100, help="Objects, with correlate and response.")] = 1_000_000,
    skymap: Annotated[Path | None, typer.Option(exists=True, help="Recorded sky map, with correlate.")] = None,
    second_map: Annotated[Path | None, typer.Option(exists=True, help="Map that it overlaps with.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated night.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a few lines.")] = False,
) -> None:
    """Measure a part on this machine, in an installation of its own that is removed afterwards."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    if work is Work.CORRELATE:
        plan = CorrelatePlan(objects=objects, skymap=skymap, second_map=second_map, seed=seed)
        with progress_bar() as bar:
            _show(bench_correlate(plan, StageBars(bar)), as_json=as_json)
        return
    if work is Work.CLASSIFY:
        _show(_classify(settings, survey, source or [], alerts or DEFAULT_ALERTS), as_json=as_json)
        return
    if work is Work.NOTICES:
        storm = StormPlan((rate or [STORM_RATE_PER_S])[0], duration, objects=alerts or STORM_OBJECTS, seed=seed)
        figures = _served(work, settings, lambda located, bars: bench_notices(located, storm, bars))
    elif work is Work.RESPONSE:
        response = ResponsePlan(objects, seed=seed)
        figures = _served(work, settings, lambda located, bars: bench_response(located, response, bars))
    elif work is Work.NIGHT:
        night = NightPlan(alerts or SCALE_ALERTS, survey, kill=kill, seed=seed, cutouts=cutouts)
        figures = _served(work, settings, lambda located, bars: bench_night(located, night, bars))
    else:
        number, rates = alerts or (SCALE_ALERTS if scale else DEFAULT_ALERTS), tuple(rate or PACED_RATES_PER_S)
        ingest = IngestPlan(number, survey, rates, duration, scale, seed)
        figures = _served(work, settings, lambda located, bars: bench_ingest(located, ingest, bars))
    _show(figures, as_json=as_json)
    if figures.get("nothing_lost") is False:
        raise HeliographError("The night does not add up: see 'checks'.")
    if work is Work.NOTICES and figures["lost"] != 0:
        raise HeliographError(f"{figures['lost']} of the notices are not in the graph.")


def _served(
    work: Work, settings: Settings, measure: Callable[[Settings, StageBars], dict[str, object]]
) -> dict[str, object]:
    """Measure something on servers of its own, which are removed afterwards."""
    home = settings.home / f"bench-{work.value}"
    shutil.rmtree(home, ignore_errors=True)
    settings = settings.model_copy(update={"home": home})
    stack = embedded.up(settings, detached=False)
    located = stack.apply(settings)
    try:
        with progress_bar() as bar:
            figures = measure(located, StageBars(bar))
        embedded.down(settings)
        n, detections = figures["n"], figures.get("detections_in_graph")
        if isinstance(n, int) and isinstance(detections, int):
            figures |= disk_figures(settings, n, detections)
    finally:
        embedded.down(settings)
        shutil.rmtree(home, ignore_errors=True)
    return figures


def _classify(settings: Settings, survey: Survey, source: list[Path], alerts: int) -> dict[str, object]:
    """Measure the classifiers of a survey on recorded alerts."""
    if not source:
        raise ConfigurationError("bench classify needs recorded alerts: --source PATH.")
    catalogues = open_catalogues(settings.ingest.catalogue_dir)
    plan = ClassifyPlan(survey, tuple(source), alerts, catalogues, settings.ingest.min_reliability)
    with progress_bar() as bar:
        task = bar.add_task("classify", total=alerts)
        return bench_classify(plan, lambda n: bar.update(task, completed=n))


def _show(figures: dict[str, object], *, as_json: bool) -> None:
    """Print figures as one object or as lines."""
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        stdout.print(f"{name}: {value}", highlight=False)
