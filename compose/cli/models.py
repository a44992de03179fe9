"""Verbs for classifiers and catalogues: classify, train, evaluate, catalogue."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from compose.cli.console import print_json, stderr, stdout
from graph.errors import ConfigurationError
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.catalogue import build_catalogue
from ingest.classify import MODELS, Classifier
from ingest.features import alert_features
from ingest.model_card import model_card
from ingest.replay import iter_alert_messages
from ingest.train import MODEL_NAME
from ingest.train import evaluate as measure_model
from ingest.train import train as fit_model

MESSAGES_AT_A_TIME = 500
"""Alerts decoded at a time; bounds memory at about 50 MB."""

DataDir = Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder of labelled alerts.")]
OutDir = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the artefacts.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


class Model(StrEnum):
    """The classifiers that can be trained."""

    COARSE_ZTF = "coarse-ztf"
    COARSE_LSST = "coarse-lsst"

    @property
    def survey(self) -> Survey:
        """The survey whose light curves it reads."""
        return Survey(self.value.rpartition("-")[2])


def classify(
    files: Annotated[list[Path], typer.Argument(exists=True, help="Alert packets: files or folders.")],
) -> None:
    """Classify alerts without any server, one JSON line for each alert and class that leads."""
    refused = 0
    for survey in Survey:
        decoder = AlertDecoder(survey)
        classifier = Classifier.load(MODEL_NAME, survey)
        messages = (packet for path in files for found, packet in iter_alert_messages(path) if found is survey)
        while batch := list(islice(messages, MESSAGES_AT_A_TIME)):
            columns, rejects = decoder.decode(batch)
            refused += len(rejects)
            result = classifier.classify(columns, alert_features(columns))
            top_class, probability = result.top_class, result.top_probability
            for row in range(len(columns)):
                known = not result.abstained[row]
                print_json(
                    {
                        "survey": survey.value,
                        "object_id": columns.object_id[row],
                        "detection_id": str(columns.detection_id[row]),
                        "classifier": result.classifier,
                        "version": result.version,
                        "class": top_class[row] if known else None,
                        "probability": float(probability[row]) if known else None,
                        "std": float(result.std[row]) if known else None,
                        "n_points": int(result.n_points[row]),
                        "out_of_distribution": bool(result.out_of_distribution[row]),
                    }
                )
    if refused:
        stderr.print(f"{refused} packets could not be read.")
        raise typer.Exit(1)


def train(
    model: Annotated[Model, typer.Argument(help="Which classifier.")],
    data: DataDir,
    out: OutDir = MODELS,
    cards: Annotated[Path | None, typer.Option(help="Folder for the model card.")] = None,
    seed: Seed = 1,
) -> None:
    """Fit a classifier on labelled alerts, measure it on objects never trained on, write artefact and model card."""
    with stderr.status(f"Training {model.value}"):
        spec = fit_model(model.survey, data, seed, out)
    if cards is not None:
        cards.mkdir(parents=True, exist_ok=True)
        (cards / f"{model.value}.md").write_text(model_card(spec), encoding="utf-8")
    stdout.print(f"Wrote {model.value} version {spec.version} to {out}.", highlight=False, soft_wrap=True)


def evaluate(
    model: Annotated[Model, typer.Argument(help="Which classifier.")],
    data: DataDir,
    out: OutDir = MODELS,
    seed: Seed = 1,
) -> None:
    """Measure a classifier on held-out objects and print the figures as JSON."""
    with stderr.status(f"Measuring {model.value}"):
        figures = measure_model(model.survey, data, seed, out)
    print_json(figures)


def catalogue(
    name: Annotated[str, typer.Argument(help="Name of a known layout, e.g. gcvs, vsx, mangrove.")],
    source: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The published table: Parquet, CSV or FITS.")
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
