"""The verb that correlates recorded alerts with recorded notices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from compose.cli.console import print_json, progress_bar, set_up_logging
from compose.config import load_settings
from compose.correlate import AlertCounts, NoticeCounts, read_notices, read_objects
from coordinator.background import Background
from coordinator.offline import RankedPair, form_all
from coordinator.offline import correlate as find_pairs
from graph.model import CoincidenceState, Event, EventState

STEPS_BETWEEN_UPDATES = 100
"""Notices between two updates of the progress display: drawing it costs more than many a notice."""


def correlate(
    alerts: Annotated[Path, typer.Option(exists=True, help="Alerts: a file, a folder or an archive.")],
    notices: Annotated[Path, typer.Option(exists=True, help="Notices: a file, a folder or an archive.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, which is what is printed anyway.")] = True,
) -> None:
    """Correlate recorded alerts with recorded notices without any server, one JSON line for each coincidence."""
    del as_json
    settings = load_settings()
    set_up_logging(settings.log_level)
    chosen = settings.coordinator
    background = chosen.background()
    with progress_bar() as bar:
        objects, flares, alert_counts = read_objects(alerts, settings.ingest, _Step(bar, "alerts"))
        found, notice_counts = read_notices(notices, _Step(bar, "notices", STEPS_BETWEEN_UPDATES))
        events = form_all(found)
        pairs = find_pairs(
            events,
            objects,
            background,
            max_credible_level=chosen.max_credible_level,
            flares=flares,
            include_tests=chosen.include_tests,
            progress=_Step(bar, "events", total=len(events)),
        )
    for entry in pairs:
        print_json(pair_line(entry))
    print_json(
        summary_line(
            alerts=alert_counts,
            n_objects=len(objects),
            notices=notice_counts,
            events=events,
            pairs=pairs,
            background=background,
        )
    )


class _Step:
    """One progress bar, told how many are done."""

    def __init__(self, bar: Progress, name: str, every: int = 1, total: int | None = None) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task(name, total=total)
        self._every = every

    def __call__(self, done: int) -> None:
        if done % self._every == 0:
            self._bar.update(self._task, completed=done)


def pair_line(entry: RankedPair) -> dict[str, object]:
    """Return a coincidence as it is printed."""
    pair = entry.pair
    return {
        "survey": pair.survey.value,
        "object_id": pair.object_id,
        "event_id": entry.event.event_id,
        "delta_t_s": pair.delta_t_s,
        "credible_level": pair.credible_level,
        "separation_deg": pair.separation_deg,
        "p_chance": pair.p_chance,
        "joint_far_hz": pair.joint_far_hz,
        "log_bayes_factor": pair.log_bayes_factor,
        "state": pair.state.value,
        "rank": entry.rank,
        "revision": pair.revision,
        "event_key": pair.event_key,
    }


def summary_line(
    *,
    alerts: AlertCounts,
    n_objects: int,
    notices: NoticeCounts,
    events: tuple[Event, ...],
    pairs: tuple[RankedPair, ...],
    background: Background,
) -> dict[str, object]:
    """Return the counts of a run as they are printed last."""
    n_open = sum(entry.pair.state is CoincidenceState.OPEN for entry in pairs)
    return {
        "alerts": alerts.received,
        "filtered": dict(sorted(alerts.filtered.items())),
        "dead": dict(sorted(alerts.dead.items())),
        "objects": n_objects,
        "notices": notices.received,
        "notices_repeated": notices.repeated,
        "notices_dead": dict(sorted(notices.dead.items())),
        "events": len(events),
        "events_located": sum(event.localization is not None for event in events),
        "events_retracted": sum(event.state is EventState.RETRACTED for event in events),
        "coincidences": len(pairs),
        "open": n_open,
        "withdrawn": len(pairs) - n_open,
        "background_per_deg2_day": dict(sorted(background.rate_per_deg2_day.items())),
        "background": background.provenance,
    }
