"""Write a model's card from its sidecar, so that what people read is what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.classify import ModelSpec

RARE_OBJECTS = 30
"""Held-out objects below which a class's figures are called uncertain: recall is then known to about 0.1."""

POOR_RECALL = 0.5
"""Recall below which a card names the class as a weakness."""


def _number(value: object) -> str:
    """Write a figure with three decimals, a dash where there is none."""
    return f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *([_number(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _weaknesses(spec: ModelSpec) -> list[str]:
    """Return the sentences on what the figures show to be weak."""
    found = list(spec.training["not_covered"])
    for name, entry in spec.metrics["classes"].items():
        recall = entry["recall"]
        if entry["objects"] < RARE_OBJECTS:
            found.append(f"{name}: only {entry['objects']} held-out objects, so its figures are uncertain.")
        if recall is not None and recall < POOR_RECALL:
            place = spec.classes.index(name)
            row = spec.metrics["confusion"][place]
            others = [other for other in range(len(row)) if other != place]
            wrong = spec.classes[max(others, key=lambda other: row[other])]
            found.append(f"{name}: recall is {recall:.2f}; most of those missed are called {wrong}.")
    for name, sources in spec.metrics["recall_by_source"].items():
        simulated = sum(int(entry["rows"]) for source, entry in sources.items() if source.startswith("plasticc"))
        total = sum(int(entry["rows"]) for entry in sources.values())
        if 0 < simulated < total:
            found.append(f"{name}: {simulated} of {total} rows judged on are simulated.")
    return found


def _classes(spec: ModelSpec) -> str:
    """Return the table of classes."""
    counts: Mapping[str, Any] = spec.training["counts"]["train"]
    return _table(
        ["class", "prior", "objects fitted", "objects held out", "recall", "precision", "AUC"],
        [
            [
                name,
                spec.prior[name],
                counts[name]["objects"],
                entry["objects"],
                entry["recall"],
                entry["precision"],
                entry["auc"],
            ]
            for name, entry in spec.metrics["classes"].items()
        ],
    )


def _introduction(spec: ModelSpec) -> str:
    """Return what the model is."""
    return (
        f"Class probabilities for {spec.survey.upper()} alerts from {len(spec.features)} features of their light "
        f"curves: {spec.members} bagged random forests as ONNX, sha256 `{spec.sha256}`. Written by code from the "
        "model's sidecar."
    )


def _use(spec: ModelSpec) -> str:
    """Return what the answers mean."""
    return (
        f"It abstains below {spec.minimum_points} detections: the class is empty and nothing stands for a "
        "probability. `std` is the spread of the top class's probability over the forests. `out_of_distribution` is "
        f"set when more than {spec.features_outside} features lie outside of the central 99.8 % of the training rows. "
        "Probabilities hold under the priors below; divide by them and multiply by your own where you know better. "
        f"They were calibrated with one temperature, {spec.temperature:.2f}, on training objects left out of the fit."
    )


def model_card(spec: ModelSpec) -> str:
    """Return the card of a model as Markdown.

    Parameters
    ----------
    spec : a sidecar with metrics, as `ingest.train.train` returns it.
    """
    metrics = spec.metrics
    overall = [(name, metrics[name]) for name in ("accuracy", "balanced_accuracy", "log_loss", "brier")]
    overall += [
        ("calibration error of the top class", metrics["calibration_error"]),
        ("out of distribution", metrics["out_of_distribution"]),
    ]
    judged = (
        f"{metrics['rows']} light curves of {metrics['objects']} objects, none of them fitted on. Rows are weighted to "
        f"the priors, and cut at random detections, early ones preferred. Split by {spec.training['split']}."
    )
    by_source = [
        [name, source, int(entry["rows"]), entry["recall"]]
        for name, sources in metrics["recall_by_source"].items()
        for source, entry in sources.items()
    ]
    libraries = [f"{name} {version}" for name, version in spec.training["libraries"].items()]
    confusion = [[name, *row] for name, row in zip(spec.classes, metrics["confusion"], strict=True)]
    parts = [
        f"# {spec.classifier}, {spec.survey.upper()}, {spec.version}",
        _introduction(spec),
        "## Use",
        _use(spec),
        "## Classes",
        _classes(spec),
        "## Held-out objects",
        judged,
        _table(["figure", "value"], overall),
        _table(["detections", "accuracy"], list(metrics["accuracy_by_points"].items())),
        "Rows by answer (truth down, answer across):",
        _table(["", *spec.classes], confusion),
        "Recall by source, unweighted:",
        _table(["class", "source", "rows", "recall"], by_source),
        "## Weaknesses",
        "\n".join(f"- {line}" for line in _weaknesses(spec)),
        "## Training data and licences",
        "\n".join(f"- {source}" for source in spec.training["sources"]),
        f"Seed {spec.training['seed']}; " + ", ".join(libraries) + ".",
    ]
    return "\n\n".join(parts) + "\n"
