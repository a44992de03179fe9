"""Measured figures as Markdown: the sections of a model's card that show numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OVERALL = (
    ("rows", "rows"),
    ("objects", "objects"),
    ("abstained", "share of rows without an answer"),
    ("rows_of_unknown_classes", "rows of classes that it does not know"),
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
    ("log_loss", "log loss"),
    ("brier", "Brier score"),
    ("calibration_error", "expected calibration error of the top class"),
    ("std", "mean std"),
    ("out_of_distribution", "share flagged out of distribution"),
)
"""Figures of `ingest.training.judge.metrics` that stand alone, and what a card calls them."""

BEHAVIOUR = (
    ("asked", "asked"),
    ("answered", "answered"),
    ("out_of_distribution", "flagged"),
    ("top_probability", "top probability"),
    ("std", "std"),
    ("entropy", "entropy"),
    ("same", "same class"),
)
"""Figures of `ingest.training.judge.behaviour` and the heads of their columns."""


def number(value: object) -> str:
    """Write a figure with three decimals, a very small or large one by its digits, a dash where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if value == 0.0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"
    return " ".join(str(value).replace("|", "/").split())


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *([number(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def goals_section(goals: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was asked of the model and what it reached."""
    if not goals:
        return []
    rows = [
        [
            entry["name"],
            entry["data"],
            f"{'at most' if entry['at_most'] else 'at least'} {number(entry['wanted'])}",
            entry["reached"],
            "met"
            if entry["met"]
            else "not measured"
            if entry["reached"] is None
            else f"missed by {number(entry['missed_by'])}",
            entry["why"],
        ]
        for entry in goals
    ]
    return ["## Goals", table(["figure", "data", "wanted", "reached", "", "why"], rows)]


def _slices(title: str, head: str, slices: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return purity and efficiency of each class in slices of the rows."""

    def cell(part: Mapping[str, Any], name: str) -> str:
        entry = part["classes"].get(name, {"precision": None, "recall": None})
        return f"{number(entry['precision'])} / {number(entry['recall'])}"

    rows = [
        [name, part["rows"], part["accuracy"], *(cell(part, kind) for kind in names)] for name, part in slices.items()
    ]
    return [title, table([head, "rows", "accuracy", *names], rows)] if rows else []


def _positive(found: Mapping[str, Any]) -> list[str]:
    """Return how well one class is found among all others."""
    pure = [
        [f"purity {purity}", entry and entry["efficiency"], entry and entry["threshold"]]
        for purity, entry in found["efficiency_at_purity"].items()
    ]
    half = found["at_half"]
    return [
        (
            f"{found['class']} against everything else, rows without an answer included: {found['rows']} rows of "
            f"{found['objects']} objects; AUC {number(found['auc'])}, average precision "
            f"{number(found['average_precision'])}; purity {number(half['purity'])} and efficiency "
            f"{number(half['efficiency'])} from probability 0.5 on."
        ),
        table(["at", "efficiency", "from probability"], pure),
    ]


def _pictures(name: str) -> str:
    """Return the links to the pictures of a card."""
    return "\n".join(
        f"![{text}]({name}-{kind}.svg)"
        for kind, text in (
            ("calibration", "calibration curve"),
            ("by-points", "purity and efficiency over detections"),
            ("confusion", "confusion matrix"),
        )
    )


def block_section(data: str, figures: Mapping[str, Any], classes: Sequence[str], name: str) -> list[str]:
    """Return the sections on one set of held-out rows.

    Parameters
    ----------
    data : name of the set; empty text for the held-out objects of the training data.
    figures : of `ingest.training.judge.metrics`.
    name : of the files of its pictures without kind and ending; empty text when it has none.
    """
    seen = [kind for kind in classes if figures["classes"].get(kind, {"rows": 0})["rows"]]
    columns = ["objects", "rows", "recall", "precision", "auc", "average_precision"]
    of_class = [[kind, *(figures["classes"][kind].get(key) for key in columns)] for kind in seen]
    by_source = [
        [kind, source, entry["objects"], entry["rows"], entry["recall"]]
        for kind, sources in figures.get("by_source", {}).items()
        for source, entry in sources.items()
    ]
    curve = [[entry["stated"], entry["measured"], entry["rows"]] for entry in figures.get("calibration", ())]
    said = [place for place, _ in enumerate(classes) if any(row[place] for row in figures["confusion"])]
    confusion = [[kind, *(figures["confusion"][classes.index(kind)][place] for place in said)] for kind in seen]
    parts = [
        f"## {data or 'Held-out objects'}",
        _pictures(name) if name else "",
        table(["figure", "value"], [[text, figures[key]] for key, text in OVERALL if key in figures]),
        table(["class", "objects", "rows", "efficiency", "purity", "AUC", "average precision"], of_class),
        *(_positive(figures["positive"]) if "positive" in figures else ()),
        *_slices("Purity / efficiency by number of detections:", "detections", figures.get("by_points", {}), seen),
        *_slices("Purity / efficiency by days since the first:", "days", figures.get("by_days", {}), seen),
        "Rows by answer (truth down, answer across):",
        table(["", *(classes[place] for place in said)], confusion),
    ]
    if curve:
        parts += ["Calibration of the top class:", table(["stated", "right", "rows"], curve)]
    if by_source:
        parts += ["By source, unweighted:", table(["class", "source", "objects", "rows", "efficiency"], by_source)]
    return parts


def nonsense_section(behaviour: Mapping[str, Any]) -> list[str]:
    """Return what the model says of light curves that nature does not make."""
    if not behaviour:
        return []
    rows = [[kind.replace("_", " "), *(entry.get(key) for key, _ in BEHAVIOUR)] for kind, entry in behaviour.items()]
    return [
        "## Nonsense",
        (
            "Held-out light curves as they are; with their measurements in random order; with time reversed; with "
            "constant flux and noise; with noise of either sign far above the errors. Shares of alerts asked and "
            "answered; of the answers, the share flagged out of distribution, mean top probability, std and entropy "
            "(1: all classes alike), and the share that keeps its class."
        ),
        table(["light curves", *(head for _, head in BEHAVIOUR)], rows),
    ]


def further(figures: Mapping[str, Any]) -> list[str]:
    """Return figures that have no section of their own, whatever their shape, as one list."""

    def lines(value: object, path: str) -> list[str]:
        if isinstance(value, dict):
            return [
                line for key, entry in value.items() for line in lines(entry, f"{path}, {key}" if path else str(key))
            ]
        if isinstance(value, list | tuple):
            return [f"- {path}: {', '.join(number(entry) for entry in value)}"]
        return [f"- {path}: {number(value)}"]

    found = lines(dict(figures), "")
    return ["## Further figures", "\n".join(found).replace("_", " ")] if found else []
