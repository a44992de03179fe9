"""Verbs for classifiers and catalogues: train, evaluate, catalogue."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from compose.cli.console import print_json, stderr, stdout
from graph.errors import ConfigurationError
from graph.model import Survey
from ingest.catalogue import build_catalogue
from ingest.classifiers.contract import Batch
from ingest.classifiers.forests import MODELS
from ingest.training.card import write_card
from ingest.training.recipes import RULES, models, read_sidecar, recipe
from ingest.training.throughput import alerts_per_s, sample_alerts

DataDir = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder of labelled alerts.")]
OutDir = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the artefacts.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
ModelName = Annotated[str, typer.Argument(help="Classifier and survey, e.g. coarse-ztf, or all.")]
CardDir = Annotated[Path | None, typer.Option("--cards", file_okay=False, help="Folder for model cards and pictures.")]


def train(model: ModelName, data: DataDir, out: OutDir = MODELS, cards: CardDir = None, seed: Seed = 1) -> None:
    """Fit classifiers on labelled alerts, measure them on objects never fitted on, write artefacts and model cards."""
    for name, survey in models(model):
        if name in RULES:
            stdout.print(f"{name}-{survey} is rules: nothing is fitted.", highlight=False)
            continue
        with stderr.status(f"Training {name} for {survey.upper()}"):
            spec = recipe(name).train(survey, data, seed, out)
        if cards is not None:
            write_card(spec, cards)
        stdout.print(f"Wrote {name}-{survey} version {spec.version} to {out}.", highlight=False, soft_wrap=True)


def evaluate(model: ModelName, data: DataDir, out: OutDir = MODELS, cards: CardDir = None, seed: Seed = 1) -> None:
    """Measure classifiers on held-out objects, print the figures as JSON, a line for each model, and write cards."""
    batches: dict[Survey, Batch] = {}
    for name, survey in models(model):
        spec = read_sidecar(name, survey, out)
        with stderr.status(f"Measuring {name} for {survey.upper()}"):
            figures = recipe(name).evaluate(survey, data, seed, out)
            if cards is not None and survey not in batches:
                batches[survey] = sample_alerts(survey, data)
        if cards is not None:
            write_card(replace(spec, metrics=figures), cards, alerts_per_s=alerts_per_s(name, batches[survey]))
        # Figures have keys that are numbers; what is printed is what the sidecar would hold.
        print_json({"model": f"{name}-{survey}", "version": spec.version, **json.loads(json.dumps(figures))})


def catalogue(
    name: Annotated[str, typer.Argument(help="Name of a known layout, e.g. gaia, gcvs, glade, tns, vsx.")],
    source: Annotated[
        list[Path],
        typer.Argument(
            exists=True, dir_okay=False, help="The published table, or its parts: CSV, Parquet, FITS or VOTable."
        ),
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of catalogues; also HELIOGRAPH_INGEST__CATALOGUE_DIR.")
    ],
) -> None:
    """Turn a published catalogue into HEALPix-partitioned Parquet for the cross-match."""
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is not a folder.")
    build_catalogue(name, source, out)
    stdout.print(f"Wrote {name} to {out}.", highlight=False, soft_wrap=True)
