"""Judge the classifier of early type Ia supernovae by purity and efficiency before the maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.early_snia import MINIMUM_POINTS, EarlySnIa
from ingest.training.judge import Judged, behaviour, goal, metrics
from ingest.training.labelled import Labelled, as_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.classifiers.forests import Classifier
    from ingest.training.early_sources import Rows

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

MIX: Final[Mapping[Survey, Mapping[str, float]]] = {
    Survey.LSST: {},
    Survey.ZTF: {"SN Ia": 0.614, "SN CC": 0.234, "nuclear": 0.055, "stellar": 0.097},
}
"""Shares of the classes that weigh the alerts; empty for the collections' own. ZTF: the 8,679 transients that were
classified, most by spectra (type Ia 5,330, of massive stars 2,032, AGN and TDE 475, CV, novae and stars 842): how many
supernovae of each type were simulated says nothing of a survey that is limited in brightness."""

POSITIVE: Final = "SN Ia"
"""The class that is looked for."""

PURITY: Final = 0.9
"""Purity for which the threshold is chosen, out of fold on training objects: the goal."""

EFFICIENCY: Final = 0.6
"""Efficiency that is wanted at this purity."""

BEHAVIOUR_ALERTS: Final = 600
"""Alerts on which nonsense is tried."""

TITLES: Final = {
    "purity": f"purity at the threshold for purity {PURITY} on training objects",
    "efficiency": f"efficiency at the threshold for purity {PURITY} on training objects",
    "purity_at_efficiency": f"purity at efficiency {EFFICIENCY}",
}
"""Figure -> its name among the goals."""

WHY: Final = {
    Survey.LSST: "Before the maximum and without a redshift, types of supernovae overlap in colour and speed.",
    Survey.ZTF: "In two bands without brightness, and with simulated contaminants only, types of supernovae overlap.",
}
"""Why a goal is missed, where it is."""


def mix_weights(label: TextArray, survey: Survey) -> FloatArray:
    """Return a weight (n,) for each row, of mean 1, so that the classes have the shares of `MIX`."""
    if not MIX[survey]:
        return np.ones(len(label))
    names, place, count = np.unique(label.astype(str), return_inverse=True, return_counts=True)
    wanted = np.array([MIX[survey][name] for name in names])
    return np.asarray((wanted / wanted.sum() * len(label) / count)[place], dtype=np.float64)


def measure(forests: Classifier, test: Rows, judged: Labelled, threshold: float) -> dict[str, Any]:
    """Return the metrics on early alerts of held-out objects, goals and behaviour on nonsense included.

    Parameters
    ----------
    test : early alerts, gated or not: what does not pass the gate counts as not found.
    judged : their objects.
    threshold : on the probability of `POSITIVE`.
    """
    survey = forests.spec.survey
    module = EarlySnIa(survey, forests)
    asked = test.take(test.passed & (test.n_points >= MINIMUM_POINTS))
    table = metrics(
        Judged(
            module.classify_features(asked.features),
            asked.label,
            asked.object_id,
            asked.source,
            asked.days_since_first,
        ),
        positive=POSITIVE,
    )
    score = np.zeros(len(test.label))
    score[test.passed] = np.nan_to_num(module.classify_features(test.take(test.passed).features).of(POSITIVE))
    parts = {str(name): test.source == name for name in np.unique(test.source.astype(str))}
    by_source = {
        name: early_figures(
            score[mine], test.label[mine] == POSITIVE, np.ones(mine.sum()), test.n_points[mine], threshold
        )
        for name, mine in parts.items()
    }
    if MIX[survey]:
        # What holds one class only has no mix; the others are weighed to that of the survey.
        mine = test.source != "bts"
        weight = mix_weights(test.label[mine], survey)
        by_source["mix"] = early_figures(
            score[mine], test.label[mine] == POSITIVE, weight, test.n_points[mine], threshold
        )
    rng = np.random.default_rng(len(test.label))
    some = np.sort(rng.permutation(len(judged))[:BEHAVIOUR_ALERTS])
    sample = judged.take(some)
    sample = sample.until(np.where(np.isnan(sample.peak_mjd_tai), np.inf, sample.peak_mjd_tai))
    return {
        **table,
        "threshold": threshold,
        "early": by_source,
        "goals": goals(survey, by_source),
        "behaviour": behaviour(module, as_batch(sample, survey), companions=(Coarse(survey),)),
    }


def early_figures(
    score: FloatArray, positive: BoolArray, weight: FloatArray, n_points: IntArray, threshold: float
) -> dict[str, Any]:
    """Return purity and efficiency at the threshold among early alerts, and what other thresholds would give."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum((weight * positive)[order])
    purity = hits / np.cumsum(weight[order])
    efficiency = hits / max(float(weight[positive].sum()), 1e-9)
    pure = np.flatnonzero(purity >= PURITY)
    enough = np.flatnonzero(efficiency >= EFFICIENCY)
    everything = np.ones(len(score), np.bool_)
    return {
        "alerts": len(score),
        "prevalence": float(weight[positive].sum() / weight.sum()),
        **_at_threshold(score >= threshold, positive, weight, everything),
        "purity_at_efficiency": float(purity[enough[0]]) if len(enough) else None,
        "efficiency_at_purity": float(efficiency[pure[-1]]) if len(pure) else 0.0,
        "by_points": {
            f"{low}-{high}": {
                "alerts": int(inside.sum()),
                **_at_threshold(score >= threshold, positive, weight, inside),
            }
            for low, high in ((3, 3), (4, 5), (6, 8), (9, 12), (13, 20))
            for inside in [(n_points >= low) & (n_points <= high)]
        },
    }


def _at_threshold(
    named: BoolArray, positive: BoolArray, weight: FloatArray, inside: BoolArray
) -> dict[str, float | None]:
    """Return purity and efficiency of what is named among some rows; None where there is nothing to count."""
    found, there = float(weight[named & inside].sum()), float(weight[positive & inside].sum())
    hits = float(weight[named & positive & inside].sum())
    return {"purity": hits / found if found else None, "efficiency": hits / there if there else None}


def goals(survey: Survey, by_source: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was asked and what was reached on each collection."""
    if survey is Survey.LSST:
        wanted = {"plasticc": "PLAsTiCC", "elasticc": "ELAsTiCC type Ia against type II"}
    else:
        wanted = {
            "bts": "ZTF Bright Transient Survey type Ia",
            "mix": "PLAsTiCC supernovae made brighter and recorded ZTF alerts, classes weighed to ZTF's mix",
        }
    reached = []
    for name, title in wanted.items():
        figures = by_source.get(name, {})
        share = figures.get("prevalence", float("nan"))
        data = f"{title}, 4 to 20 points, before the maximum, {share:.2f} of them Ia; dropped by the gate is missed"
        for key, least in (("purity", PURITY), ("efficiency", EFFICIENCY), ("purity_at_efficiency", PURITY)):
            # The survey's collection holds type Ia supernovae only: purity means nothing there.
            if not (name == "bts" and key != "efficiency"):
                value = figures.get(key)
                reached.append(
                    goal(
                        TITLES[key],
                        least,
                        float("nan") if value is None else float(value),
                        data=data,
                        why="" if value is not None and value >= least else WHY[survey],
                    )
                )
    return reached
