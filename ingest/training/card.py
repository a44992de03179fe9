"""Write a model's card from its sidecar, so that what people read is what was measured."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ingest.classifiers.artefact import Sidecar
from ingest.classifiers.forests import file_name
from ingest.classifiers.registry import MODULES
from ingest.training.card_figures import block_section, further, goals_section, nonsense_section, table
from ingest.training.pictures import by_points_picture, calibration_picture, confusion_picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.classifiers.forests import ModelSpec

RARE_OBJECTS = 30
"""Held-out objects below which a class's figures are called uncertain: recall is then known to about 0.1."""

POOR_RECALL = 0.5
"""Recall below which a card names the class as a weakness."""

TOLD_APART = ("goals", "behaviour")
"""Metrics with a section of their own."""


def blocks(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the tables of figures in a sidecar by the data that they are about; empty text for held-out objects.

    A recipe may give the figures of `ingest.training.judge.metrics` as they are, or one table for each set of data.
    """
    found = {"": metrics} if "confusion" in metrics else {}
    return found | {name: entry for name, entry in metrics.items() if isinstance(entry, dict) and "confusion" in entry}


def first_block(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table of figures that the pictures show: the first; empty when there is none."""
    return next(iter(blocks(metrics).values()), {})


def _weaknesses(spec: ModelSpec | Sidecar) -> list[str]:
    """Return the sentences on what the figures show to be weak."""
    found = [str(line) for line in spec.training.get("not_covered", ())]
    figures = first_block(spec.metrics)
    classes = [name for name, entry in figures.get("classes", {}).items() if entry["rows"]]
    for name in classes:
        entry = figures["classes"][name]
        if entry["objects"] < RARE_OBJECTS:
            found.append(f"{name}: only {entry['objects']} held-out objects, so its figures are uncertain.")
        if entry["recall"] is not None and entry["recall"] < POOR_RECALL:
            row = figures["confusion"][spec.classes.index(name)]
            others = [place for place in range(len(row)) if spec.classes[place] != name]
            wrong = spec.classes[max(others, key=lambda place: row[place])]
            found.append(f"{name}: recall is {entry['recall']:.2f}; most of those missed are called {wrong}.")
    for missed in [entry for entry in spec.metrics.get("goals", ()) if not entry["met"]]:
        reached = "not measured" if missed["reached"] is None else f"missed by {missed['missed_by']:.3f}"
        found.append(f"Goal {missed['name']} on {missed['data']}: {reached}. {missed['why']}".rstrip())
    return found


def _classes(spec: ModelSpec | Sidecar) -> str:
    """Return the table of classes with what they were fitted on."""
    counts: Mapping[str, Any] = spec.training.get("counts", {})
    prior = spec.parameters.get("prior", {}) if isinstance(spec, Sidecar) else spec.prior
    prior = prior if isinstance(prior, dict) else {}
    names = [*spec.classes, *(name for name in counts.get("train", {}) if name not in spec.classes)]
    return table(
        ["class", "prior", "objects fitted", "rows fitted", "objects held out", "rows held out"],
        [
            [
                name,
                prior.get(name),
                *(
                    counts.get(side, {}).get(name, {}).get(key)
                    for side in ("train", "test")
                    for key in ("objects", "rows")
                ),
            ]
            for name in names
        ],
    )


def _origin(spec: ModelSpec | Sidecar) -> str:
    """Return what stands for the model."""
    return f"sha256 of the model `{spec.sha256}`" if spec.sha256 else "rules without fitted weights"


def _use(spec: ModelSpec | Sidecar) -> list[str]:
    """Return what the answers mean: of the classifier in general, and of this kind of model."""
    lines = []
    module = next((item for item in MODULES if item.name == spec.classifier), None)
    if module is not None:
        lines.append(" ".join((inspect.getdoc(module) or "").split()))
        lines.append(
            f"It reads {', '.join(sorted(item.value for item in module.inputs))} and is not asked below "
            f"{module.minimum_points} detections."
        )
        lines.extend(f"`{name}`: {meaning}." for name, meaning in module.extras.items())
    if not isinstance(spec, Sidecar):
        lines.append(
            f"{spec.members} bagged random forests over {len(spec.features)} features. It abstains below "
            f"{spec.minimum_points} detections. `std` is the spread of the top class's probability over the forests. "
            f"`out_of_distribution` is set when more than {spec.features_outside} features lie outside of the central "
            "99.8 % of the training rows. Probabilities hold under the priors below; divide by them and multiply by "
            f"your own where you know better. They were calibrated with one temperature, {spec.temperature:.2f}, on "
            "training objects left out of the fit."
        )
    return ["## Use", *lines] if lines else []


def model_card(spec: ModelSpec | Sidecar) -> str:
    """Return the card of a model as Markdown.

    Parameters
    ----------
    spec : a sidecar with metrics, as a recipe's ``train`` returns it.
    """
    name = file_name(spec.classifier, spec.survey)
    training, metrics = spec.training, spec.metrics
    found = blocks(metrics)
    parts = [
        f"# {spec.classifier}, {spec.survey.upper()}, {spec.version}",
        (
            f"Probabilities for {spec.survey.upper()} alerts; {_origin(spec)}. Written by `heliograph evaluate`, never "
            "by hand."
        ),
        *_use(spec),
        "## Classes",
        _classes(spec),
        (
            f"Split by {training.get('split', 'object')}. No object is on both sides, and no row holds points later "
            "than its alert."
        ),
        *goals_section(metrics.get("goals", ())),
    ]
    for data, figures in found.items():
        parts += block_section(data, figures, spec.classes, name if figures is first_block(metrics) else "")
    parts += nonsense_section(metrics.get("behaviour", {}))
    told = {*TOLD_APART, *(data for data in found if data), *(first_block(metrics) if "" in found else ())}
    parts += further({key: value for key, value in metrics.items() if key not in told})
    libraries = ", ".join(f"{key} {value}" for key, value in training.get("libraries", {}).items())
    parts += [
        "## Weaknesses",
        "\n".join(f"- {line}" for line in _weaknesses(spec)),
        "## Training data and licences",
        "\n".join(f"- {source}" for source in training.get("sources", ())),
        f"Seed {training.get('seed', '-')}; {libraries}." if libraries else f"Seed {training.get('seed', '-')}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def throughput_section(alerts_per_s: float) -> str:
    """Return the end of a card that was written where the speed was measured too."""
    return (
        f"\n## Throughput\n\n{float(f'{alerts_per_s:.2g}'):,.0f} alerts/s on one core, gate included, measured when "
        "this card was written; it depends on the machine.\n"
    )


def write_card(spec: ModelSpec | Sidecar, folder: Path, *, alerts_per_s: float | None = None) -> None:
    """Write the card of a model and its pictures, ``<name>-<survey>.md`` and three of ``.svg``.

    Parameters
    ----------
    folder : to write to, made if absent.
    alerts_per_s : measured throughput of one core; no section on it when absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name, figures = file_name(spec.classifier, spec.survey), first_block(spec.metrics)
    end = "" if alerts_per_s is None else throughput_section(alerts_per_s)
    (folder / f"{name}.md").write_text(model_card(spec) + end, encoding="utf-8")
    if figures:
        pictures = {
            "calibration": calibration_picture(figures),
            "confusion": confusion_picture(figures, spec.classes),
            "by-points": by_points_picture(figures),
        }
        for kind, picture in pictures.items():
            (folder / f"{name}-{kind}.svg").write_text(picture, encoding="utf-8")
