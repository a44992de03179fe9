"""Figures of merit of scores and probabilities, weighted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CALIBRATION_BINS = 10
"""Bins of equal width in which stated probability and measured share are compared."""


def share(chosen: BoolArray, weight: FloatArray) -> float | None:
    """Return the weighted share of rows that are chosen; None when there are no rows."""
    total = float(weight.sum())
    return float(weight[chosen].sum()) / total if total > 0.0 else None


def calibration_error(probability: FloatArray, correct: BoolArray, weight: FloatArray) -> float:
    """Return the expected calibration error of the top class: mean distance of stated and measured share."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weight * (probability - correct), minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / weight.sum())


def calibration_table(probability: FloatArray, correct: BoolArray, weight: FloatArray) -> list[dict[str, Any]]:
    """Return the points of a calibration curve: stated and measured share in each bin that has rows."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    table = []
    for place in range(CALIBRATION_BINS):
        inside = bins == place
        total = float(weight[inside].sum())
        if total > 0.0:
            table.append(
                {
                    "low": place / CALIBRATION_BINS,
                    "rows": int(inside.sum()),
                    "stated": float(weight[inside] @ probability[inside]) / total,
                    "measured": float(weight[inside] @ correct[inside]) / total,
                }
            )
    return table


def area_under_curve(score: FloatArray, positive: BoolArray, weight: FloatArray) -> float:
    """Return the weighted probability that a positive row scores above a negative one; ties count half."""
    values, place = np.unique(score, return_inverse=True)
    ups = np.bincount(place, weight * positive, minlength=len(values))
    downs = np.bincount(place, weight * ~positive, minlength=len(values))
    below = np.cumsum(downs) - downs
    norm = float(ups.sum() * downs.sum())
    return float(np.sum(ups * (below + 0.5 * downs))) / norm if norm else float("nan")


def purity_curve(
    score: FloatArray, positive: BoolArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return purity, efficiency and threshold (t,) as the threshold falls through the distinct scores."""
    values, place = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(place, weight * positive, minlength=len(values)))
    chosen = np.cumsum(np.bincount(place, weight, minlength=len(values)))
    total = float(hits[-1]) if len(hits) else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return hits / chosen, hits / total, -values


def average_precision(score: FloatArray, positive: BoolArray, weight: FloatArray) -> float:
    """Return the mean purity over the steps of efficiency, without interpolation."""
    purity, efficiency, _ = purity_curve(score, positive, weight)
    return float(np.sum(np.diff(efficiency, prepend=0.0) * purity))


def efficiency_at_purity(
    score: FloatArray, positive: BoolArray, weight: FloatArray, purity: float
) -> dict[str, float] | None:
    """Return the greatest efficiency with at least a purity, and its threshold; None where no threshold has it."""
    pure, efficiency, threshold = purity_curve(score, positive, weight)
    good = np.flatnonzero((pure >= purity) & (efficiency > 0.0))
    if not len(good):
        return None
    place = int(good[-1])
    return {
        "efficiency": float(efficiency[place]),
        "purity": float(pure[place]),
        "threshold": float(threshold[place]),
    }


def purity_at_efficiency(
    score: FloatArray, positive: BoolArray, weight: FloatArray, efficiency: float
) -> dict[str, float] | None:
    """Return the greatest purity with at least an efficiency, and its threshold; None without positive rows."""
    pure, efficient, threshold = purity_curve(score, positive, weight)
    good = np.flatnonzero(efficient >= efficiency)
    if not len(good):
        return None
    place = int(good[np.argmax(pure[good])])
    return {
        "efficiency": float(efficient[place]),
        "purity": float(pure[place]),
        "threshold": float(threshold[place]),
    }
