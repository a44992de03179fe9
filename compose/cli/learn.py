"""The verb of active learning: what it gains, whom to observe next, and what to do with the answers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from compose.cli.console import print_json, stderr, stdout
from compose.cli.located import located_settings
from graph.errors import ConfigurationError
from graph.model import Survey
from graph.reader import GraphReader
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import AlertDecoder
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.contract import batch_of
from ingest.classifiers.early_snia import EarlySnIa
from ingest.classifiers.run import Runner
from ingest.crossmatch import crossmatch
from ingest.replay import iter_alert_messages
from ingest.training.active import Strategy, Target, ask, compare, write_targets
from ingest.training.active_samples import SAMPLES
from ingest.training.early_snia import train
from ingest.training.early_sources import alerts_as_labelled
from ingest.training.labels import GraphLabels, LabelFile

MESSAGES_AT_A_TIME = 500
"""Alerts decoded at a time; bounds memory at about 50 MB."""

FROM_GRAPH = "graph"
"""Value of ``--labels`` that stands for the graph; a file of that name is ``./graph``."""

TIME_LIMIT_S = 600.0
"""Time that a classifier has for a few hundred alerts [s]: nothing waits for it here."""


def learn(
    *,
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of labelled light curves.")
    ] = None,
    sample: Annotated[str, typer.Option(help="What the experiment runs on: actsn or spcc.")] = "actsn",
    queries: Annotated[int, typer.Option(min=1, max=10_000, help="Types asked for in all.")] = 300,
    quota: Annotated[int, typer.Option(min=1, max=1000, help="Types that come back in a night.")] = 20,
    strategy: Annotated[Strategy, typer.Option(help="How objects are chosen.")] = Strategy.UNCERTAINTY,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Repetitions, each from another start.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 20261122,
    alerts: Annotated[Path | None, typer.Option(exists=True, help="Alert packets: a file or a folder.")] = None,
    ask_for: Annotated[int, typer.Option("--ask", min=0, max=10_000, help="List whom to observe next.")] = 0,
    labels: Annotated[str, typer.Option(help="Types that came back: a file, or 'graph' for the graph's.")] = "",
    survey: Annotated[Survey, typer.Option(help="Whose alerts.")] = Survey.ZTF,
    out: Annotated[Path | None, typer.Option(help="File for the list, or folder for the new model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Learn from follow-up: the gain over chance, a list of whom to observe, or a model with the new types."""
    if ask_for:
        if alerts is None:
            raise typer.BadParameter("--ask needs --alerts")
        _list_targets(
            _columns(alerts, survey), survey, strategy=strategy, most=ask_for, seed=seed, out=out, as_json=as_json
        )
        return
    if data is None:
        raise typer.BadParameter("--data is needed")
    if labels:
        if alerts is None or out is None:
            raise typer.BadParameter("--labels needs --alerts and --out")
        parts = _columns(alerts, survey)
        returned = alerts_as_labelled(parts, _labels(labels, parts, survey))
        with stderr.status(f"Fitting with {len(returned)} more objects"):
            spec = train(survey, data, seed, out, more=returned)
        stdout.print(f"Wrote {spec.classifier} with {len(returned)} more objects to {out}.", soft_wrap=True)
        return
    if sample not in SAMPLES:
        raise typer.BadParameter(f"--sample is one of {', '.join(SAMPLES)}")
    with stderr.status("Asking, night by night"):
        pool, target = SAMPLES[sample](data)
        result = compare(pool, target, [strategy], queries=queries, quota=quota, seeds=range(seed, seed + seeds))
    if as_json:
        print_json(result)
        return
    for name, curve in result["strategies"].items():
        for place in range(len(curve["labels"])):
            stdout.print(
                f"{name} {curve['labels'][place]} labels: purity {curve['purity'][place]:.3f}, efficiency "
                f"{curve['efficiency'][place]:.3f}, purity at efficiency 0.5 {curve['purity_at_half'][place]:.3f} "
                f"± {curve['purity_at_half_std'][place]:.3f}",
                highlight=False,
                soft_wrap=True,
            )


def _labels(source: str, parts: list[AlertColumns], survey: Survey) -> Mapping[str, str]:
    """Return the types that came back: of a file, or what the graph knows of the objects of some alerts."""
    if source != FROM_GRAPH:
        return LabelFile(Path(source)).labels()
    names = np.unique(np.concatenate([columns.object_id for columns in parts]).astype(str))
    with GraphReader.open(located_settings().graph) as reader:
        return GraphLabels(reader, survey, names[names != ""].tolist()).labels()


def _columns(path: Path, survey: Survey) -> list[AlertColumns]:
    """Return the alerts of a survey below a path, decoded."""
    decoder = AlertDecoder(survey)
    messages = (packet for found, packet in iter_alert_messages(path) if found is survey)
    parts: list[AlertColumns] = []
    while batch := list(islice(messages, MESSAGES_AT_A_TIME)):
        parts.append(decoder.decode(batch)[0])
    if not parts:
        raise ConfigurationError(f"There are no alerts of {survey.value} in {path.name}.")
    return parts


def _list_targets(
    parts: list[AlertColumns],
    survey: Survey,
    *,
    strategy: Strategy,
    most: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print or write whom to observe next, the newest alert of each object."""
    runner = Runner((Coarse(survey), EarlySnIa(survey)), time_limit_s=TIME_LIMIT_S)
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    try:
        for columns in parts:
            outcome = runner.run(batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg)))
            answer = outcome.answers.get(EarlySnIa.name)
            if answer is None:
                continue
            for row in np.flatnonzero(~answer.abstained):
                name, time = str(columns.object_id[row]), float(columns.midpoint_mjd_tai[row])
                if name and (name not in found or time > found[name][0]):
                    found[name] = (
                        time,
                        {
                            "object_id": name,
                            "ra_deg": float(columns.ra_deg[row]),
                            "dec_deg": float(columns.dec_deg[row]),
                            "probability": float(answer.of("SN Ia")[row]),
                            "std": float(answer.std[row]),
                            "n_points": int(answer.n_points[row]),
                            "days_to_peak": float(answer.extras["days_to_peak_d"][row]),
                        },
                    )
    finally:
        runner.close()
    rows = [found[name][1] for name in sorted(found)]
    chance = np.array([row["probability"] for row in rows])
    # Uncertainty and novelty ask in the space of the answers: the features of a batch are gone by then.
    space = np.array([[row["probability"], row["std"], row["n_points"]] for row in rows]).reshape(-1, 3)
    rng = np.random.default_rng(seed)
    chosen = ask(np.column_stack([chance, 1.0 - chance]), space, space[:0], strategy=strategy, quota=most, rng=rng)
    targets = [Target(rank=place + 1, **rows[row]) for place, row in enumerate(chosen)]
    if out is not None:
        write_targets(targets, out)
        return
    for target in targets:
        if as_json:
            print_json(target)
        else:
            stdout.print(
                f"{target.rank} {target.object_id} {target.ra_deg:.5f} {target.dec_deg:+.5f} "
                f"P(SN Ia) {target.probability:.2f} ± {target.std:.2f}",
                highlight=False,
            )
