"""Pictures of a model's card as SVG: the same figures give the same bytes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "heliograph",
    "font.family": "sans-serif",
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Text stays text, which keeps a picture small and readable; the salt makes the names of its parts repeatable."""

SHOWN_ROWS = 10
"""A class is drawn in a bin from this many rows on: fewer are a scatter, not a figure."""

SHOWN_CLASSES = 8
"""Classes drawn over the number of detections, those with most rows: more lines cannot be told apart."""


def _svg(figure: Figure) -> str:
    """Return a figure as SVG without date."""
    text = StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def calibration_picture(figures: Mapping[str, Any]) -> str:
    """Draw the measured share of right answers over the stated probability of the top class."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2, 3.0))
        axes = figure.add_subplot()
        points = figures["calibration"]
        stated = [entry["stated"] for entry in points]
        measured = [entry["measured"] for entry in points]
        rows = np.array([entry["rows"] for entry in points], dtype=np.float64)
        axes.plot([0.0, 1.0], [0.0, 1.0], color="0.7", linewidth=0.8)
        axes.plot(stated, measured, color="C0", linewidth=1.0)
        if len(rows):
            axes.scatter(stated, measured, s=(4.0 + 60.0 * rows / rows.max()).tolist(), color="C0")
        axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), xlabel="stated probability", ylabel="share of right answers")
        return _svg(figure)


def confusion_picture(figures: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Draw the confusion matrix, rows normalised to the truth; classes without rows and answers are left out."""
    counts = np.array(figures["confusion"], dtype=np.float64)
    shown = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1)).tolist()
    counts, names = counts[np.ix_(shown, shown)], [classes[place] for place in shown]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    with mpl.rc_context(STYLE):
        size = 1.4 + 0.3 * len(names)
        figure = Figure(figsize=(size, size))
        axes = figure.add_subplot()
        axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="answer", ylabel="truth")
        for truth, answer in zip(*np.nonzero(share >= 0.01), strict=True):
            part = share[truth, answer]
            axes.text(
                answer, truth, f"{100.0 * part:.0f}", ha="center", va="center", color="white" if part > 0.6 else "black"
            )
        return _svg(figure)


def by_points_picture(figures: Mapping[str, Any]) -> str:
    """Draw purity and efficiency of each class over the number of detections."""
    table = figures["by_points"]
    bins = list(table)
    ranked = sorted(figures["classes"].items(), key=lambda item: (-item[1]["rows"], item[0]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.6))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, key, title in ((left, "precision", "purity"), (right, "recall", "efficiency")):
            for place, (name, _) in enumerate(ranked[:SHOWN_CLASSES]):
                entries = [table[part]["classes"].get(name, {"rows": 0, key: None}) for part in bins]
                values = [
                    np.nan if entry["rows"] < SHOWN_ROWS or entry[key] is None else entry[key] for entry in entries
                ]
                axes.plot(bins, values, marker="o", markersize=3.0, linewidth=1.0, color=f"C{place}", label=name)
            axes.set(xlabel="detections", title=title, ylim=(0.0, 1.02))
            axes.tick_params(axis="x", rotation=30)
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        return _svg(figure)
