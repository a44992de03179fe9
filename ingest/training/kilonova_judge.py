"""Judge the classifier of kilonovae: on held-out alerts, on the one real kilonova, and against published features."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from graph.errors import ModelError
from graph.model import Survey
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.contract import Batch, Classifications
from ingest.classifiers.run import Runner
from ingest.crossmatch import crossmatch
from ingest.training import judge, sources
from ingest.training.evaluation import class_weights
from ingest.training.figures import average_precision, efficiency_at_purity
from ingest.training.kilonova_rows import as_class, at_alerts, without_forced
from ingest.training.labelled import Labelled, as_batch
from ingest.training.sources_fast import AT2017GFO_MPC, AT2017GFO_Z, at2017gfo, fink_kn

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.classifiers.contract import Module

FloatArray = NDArray[np.float64]

EARLY_D: Final = 5.0
"""Age up to which alerts of PLAsTiCC objects count for the goal [d]."""

BEHAVIOUR_ROWS: Final = 300
"""Alerts whose nonsense versions are looked at."""

LIMIT_S: Final = 600.0
"""Time that a classifier has for one collection [s]: generous, only a hang is to be ended."""

TREES: Final = 300
"""Trees of the experiment on published features, without a bound on their leaves: it leaves no artefact that would have
to stay small. Extremely randomised, which of three kinds of forests did best there."""

WANTED_AP, WANTED_RECALL, WANTED_PURITY, WANTED_D = 0.97, 0.6, 0.5, 2.0
"""Goals: average precision on the published features; recall and purity on PLAsTiCC; days until AT2017gfo is named."""


def ask(module: Module, batch: Batch) -> Classifications:
    """Return the answers of a classifier behind its gate, the coarse one asked before.

    Raises
    ------
    ModelError : it failed.
    """
    runner = Runner((Coarse(batch.survey), module), time_limit_s=LIMIT_S)
    try:
        outcome = runner.run(batch)
    finally:
        runner.close()
    if module.name not in outcome.answers:
        raise ModelError(f"the classifier {module.name} gave no answer")
    return outcome.answers[module.name]


def with_host(batch: Batch, redshift: FloatArray, distance_mpc: FloatArray) -> Batch:
    """Return a batch whose alerts lie near a galaxy of a redshift and distance (n,); none where both are NaN."""
    row = np.flatnonzero(np.isfinite(redshift) | np.isfinite(distance_mpc))
    empty = crossmatch((), np.empty(0), np.empty(0))
    columns: dict[str, Any] = {
        name: np.full(len(row), "" if getattr(empty, name).dtype == object else np.nan, getattr(empty, name).dtype)
        for name in type(empty).__slots__
        if name != "row"
    }
    columns |= {
        "catalogue": np.full(len(row), "host", dtype=object),
        "separation_arcsec": np.full(len(row), 10.0),
        "probability": np.zeros(len(row)),
        "redshift": redshift[row],
        "distance_mpc": distance_mpc[row],
    }
    return replace(batch, matches=type(empty)(row=row, **columns))


def early_goal(module: Module, plasticc: Labelled, *, hosts: bool = False) -> dict[str, Any]:
    """Return how many kilonovae of PLAsTiCC are found within `EARLY_D` at `WANTED_PURITY`.

    Every object counts once, by its best alert; one without an alert that is answered is not found.
    """
    alerts, age = at_alerts(plasticc, Survey.LSST, 0, cuts=None)
    early = age <= EARLY_D
    alerts = alerts.take(early)
    batch = as_batch(alerts, Survey.LSST)
    if hosts:
        batch = with_host(batch, alerts.redshift, np.full(len(alerts), np.nan))
    score = np.nan_to_num(ask(module, batch).of("KN"))
    names, place = np.unique(alerts.object_id.astype(str), return_inverse=True)
    best = np.zeros(len(names))
    np.maximum.at(best, place, score)
    all_names = plasticc.object_id.astype(str)
    total = np.zeros(len(all_names))
    known = np.isin(all_names, names)
    total[known] = best[np.searchsorted(names, all_names[known])]
    is_kn = plasticc.label == "KN"
    weight = np.ones(len(total))
    found = efficiency_at_purity(total, is_kn, weight, WANTED_PURITY)
    return {
        "objects": len(total),
        "kilonovae": int(is_kn.sum()),
        "kilonovae_with_two_detections": len(set(alerts.object_id[alerts.label == "KN"])),
        "average_precision": average_precision(total, is_kn, weight),
        "recall": found["efficiency"] if found else 0.0,
        "threshold": found["threshold"] if found else None,
        "recall_at_half": float((total[is_kn] >= 0.5).mean()),
        "purity_at_half": float(is_kn[total >= 0.5].mean()) if (total >= 0.5).any() else None,
    }


def first_named(module: Module, data_dir: Path, survey: Survey, *, host: bool) -> dict[str, Any]:
    """Return when AT2017gfo is first called a kilonova, and what is said at each epoch.

    Returns
    -------
    ``days``: age of its data at the first answer whose top class is KN, None when never.
    """
    real = at2017gfo(data_dir, survey)
    time = np.unique(real.curves.midpoint_mjd_tai)
    time = time[time <= time[0] + 8.0]
    alerts = real.take(np.zeros(len(time), dtype=np.int64)).until(time)
    batch = as_batch(alerts, survey)
    if host:
        n = len(batch)
        batch = with_host(batch, np.full(n, AT2017GFO_Z), np.full(n, AT2017GFO_MPC))
    answer = ask(module, batch)
    named = np.flatnonzero(answer.top_class == "KN")
    said = ~answer.abstained
    age = time - time[0]
    return {
        "days": float(age[named[0]]) if len(named) else None,
        "detections": int(answer.n_points[named[0]]) if len(named) else 0,
        "share_named_within_2_d": float((answer.top_class == "KN")[said & (age <= WANTED_D)].mean()),
        "share_named_within_8_d": float((answer.top_class == "KN")[said].mean()),
        "probability": {
            f"{day:g} d": round(float(answer.of("KN")[np.searchsorted(age, day, side="right") - 1]), 3)
            for day in (0.25, 0.5, 1.0, 2.0, 4.0, 7.0)
        },
    }


def published_features(data_dir: Path, seed: int) -> dict[str, float]:
    """Return the average precision of a forest on published component features, fitted on their train part."""
    rows, test = fink_kn(data_dir, "train"), fink_kn(data_dir, "test")
    forest = ExtraTreesClassifier(TREES, max_features=None, random_state=seed % 2**31, n_jobs=1)
    score = forest.fit(rows.values, rows.label == "KN").predict_proba(test.values)[:, 1].astype(np.float64)
    is_kn = test.label == "KN"
    return {
        "average_precision": average_precision(score, is_kn, np.ones(len(score))),
        "kilonovae": float(is_kn.sum()),
        "others": float((~is_kn).sum()),
    }


def measure(module: Module, held_out: Labelled, survey: Survey, data_dir: Path, seed: int) -> dict[str, Any]:
    """Return all figures of a model: those of every classifier, the goals, and what it says of nonsense."""
    alerts, age = at_alerts(held_out, survey, seed)
    batch = as_batch(alerts, survey)
    rows = np.arange(0, len(alerts), max(len(alerts) // BEHAVIOUR_ROWS, 1))
    weight = class_weights(as_class(alerts.label), alerts.object_id)
    table = judge.metrics(_judged(ask(module, batch), alerts, age), positive="KN", weight=weight)
    table["behaviour"] = judge.behaviour(module, batch.take(rows), companions=(Coarse(survey),))
    gfo = {
        name: first_named(module, data_dir, survey, host=host)
        for name, host in (("without_host", False), ("with_host", True))
    }
    days = gfo["with_host"]["days"]
    table["at2017gfo"] = gfo
    reached = float("nan") if days is None else days
    table["goals"] = [
        judge.goal(
            "days until AT2017gfo is named", WANTED_D, reached, data="AT2017gfo, real, with its host", at_most=True
        )
    ]
    if survey is Survey.ZTF:
        table["published_features"] = published_features(data_dir, seed)
        table["goals"].append(
            judge.goal(
                "average precision on published features",
                WANTED_AP,
                table["published_features"]["average_precision"],
                data="fink_kn, test part; a forest fitted on its train part",
            )
        )
        table["real_supernovae"] = _false_names(module, data_dir)
        return table
    plasticc = held_out.take(held_out.source == "plasticc")
    table["plasticc_early"] = early_goal(module, plasticc)
    table["plasticc_early_without_forced"] = early_goal(module, without_forced(plasticc))
    table["plasticc_early_with_hosts"] = early_goal(module, plasticc, hosts=True)
    table["goals"].append(
        judge.goal(
            f"recall at purity {WANTED_PURITY} within {EARLY_D:g} d",
            WANTED_RECALL,
            table["plasticc_early"]["recall"],
            data="PLAsTiCC, held-out objects of all classes, forced photometry as simulated, without hosts",
            why="Four of the 23 kilonovae have no second detection within five days, and most others have one point in "
            "each of two bands.",
        )
    )
    return table


def _judged(answer: Classifications, alerts: Labelled, age_d: FloatArray) -> judge.Judged:
    return judge.Judged(answer, as_class(alerts.label), alerts.object_id, alerts.source, age_d)


def _false_names(module: Module, data_dir: Path) -> dict[str, float]:
    """Return the share of young alerts of real type Ia supernovae that are called kilonovae."""
    alerts, _ = at_alerts(sources.bts(data_dir), Survey.ZTF, 0)
    answer = ask(module, as_batch(alerts, Survey.ZTF))
    said = ~answer.abstained
    return {
        "alerts": float(said.sum()),
        "named_kilonova": float((answer.top_class == "KN")[said].mean()),
        "named_supernova": float((answer.top_class == "SN")[said].mean()),
        "above_0.9": float((answer.of("KN")[said] > 0.9).mean()),
    }
