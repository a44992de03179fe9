"""Judge the rules for fast transients, and fit the one number that they take from data: the temperature.

The rules have no artefact: their numbers are constants with their sources, and this module measures how good they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.decay_fit import KINDS, fit_decays
from ingest.classifiers.early_points import early_points
from ingest.classifiers.fast_transient import OLDEST_D, PRIOR, FastTransient
from ingest.training import judge, sources
from ingest.training.fast_skies import AFTERGLOW_INDEX, lsst_visits, simulated, ztf_visits
from ingest.training.kilonova_judge import ask, with_host
from ingest.training.kilonova_rows import at_alerts
from ingest.training.labelled import Labelled, as_batch, concatenate
from ingest.training.sources_fast import AT2017GFO_MPC, AT2017GFO_Z, at2017gfo

if TYPE_CHECKING:
    from pathlib import Path

FloatArray = NDArray[np.float64]

OBJECTS: Final = {"GRB afterglow": 400, "M-dwarf flare": 300, "CV": 400, "KN": 300}
"""Simulated objects of each kind, both sides of the split together."""

SUPERNOVAE: Final = {"SN Ia": 400, "SN II": 300, "SN Ibc": 200}
"""Simulated supernovae; with real and PLAsTiCC's ones where a survey has them."""

TEMPERATURES: Final = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""Temperatures that are tried."""

BEHAVIOUR_ROWS: Final = 300
"""Alerts whose nonsense versions are looked at."""

WANTED_EFFICIENCY, WANTED_GFO = 0.5, 0.5
"""Goals of ours, the issue has none: half of the afterglows with two points found at a purity of 0.5 in a sky of equal
parts; AT2017gfo never called an afterglow with more than this."""


def collect(survey: Survey, data_dir: Path, seed: int) -> Labelled:
    """Return labelled young transients: simulated, and PLAsTiCC's flares, kilonovae and supernovae for LSST."""
    real = sources.plasticc(data_dir) if survey is Survey.LSST else None
    parts: list[Labelled] = []
    if real is not None:
        lasting = np.isin(real.label.astype(str), ["SN Ia", "SN II", "SN Ibc", "SLSN", "KN", "M-dwarf flare"])
        parts.append(real.take(lasting))
        donors = real.take(real.is_train & np.isin(real.label.astype(str), ["SN Ia", "SN II", "SN Ibc"]))
        parts += [
            simulated(label, n, survey, seed + 1, lambda count, rng: lsst_visits(donors, count, rng))
            for label, n in OBJECTS.items()
        ]
        return concatenate(parts)
    kinds = {**OBJECTS, **SUPERNOVAE}
    return concatenate([simulated(label, n, survey, seed + 1, ztf_visits) for label, n in kinds.items()])


def _young(objects: Labelled, survey: Survey, seed: int) -> tuple[Labelled, FloatArray]:
    """Return the objects at alerts of an age at which the rules are asked, and the ages [d]."""
    alerts, age = at_alerts(objects, survey, seed)
    return alerts.take(age <= OLDEST_D), age[age <= OLDEST_D]


def fit_temperature(survey: Survey, data_dir: Path, seed: int) -> float:
    """Return the temperature of least log loss on objects of the training side, each kind with its prior's weight."""
    objects = collect(survey, data_dir, seed)
    alerts, _ = _young(objects.take(objects.is_train), survey, seed)
    evidence = fit_decays(early_points(alerts.curves, alerts.forced), spreads=1).log_evidence[:, 0]
    truth = judge.as_known(alerts.label, KINDS)
    row = np.flatnonzero(np.isfinite(evidence).all(axis=1) & (truth != ""))
    target = np.array([KINDS.index(str(name)) for name in truth[row]])
    weight = PRIOR[target] / np.bincount(target, minlength=len(KINDS))[target]

    def loss(temperature: float) -> float:
        logs = evidence[row] / temperature + np.log(PRIOR)
        logs -= logs.max(axis=1, keepdims=True)
        chosen = logs[np.arange(len(row)), target] - np.log(np.exp(logs).sum(axis=1))
        return -float((weight * np.maximum(chosen, -20.0)).sum())

    return min(TEMPERATURES, key=loss)


def _of_at2017gfo(data_dir: Path, survey: Survey, *, host: bool) -> FloatArray:
    """Return the probability that AT2017gfo is an afterglow at each epoch of its first eight days."""
    real = at2017gfo(data_dir, survey)
    time = np.unique(real.curves.midpoint_mjd_tai)
    time = time[time <= time[0] + 8.0]
    batch = as_batch(real.take(np.zeros(len(time), dtype=np.int64)).until(time), survey)
    if host:
        batch = with_host(batch, np.full(len(batch), AT2017GFO_Z), np.full(len(batch), AT2017GFO_MPC))
    return ask(FastTransient(survey), batch).of("GRB afterglow")


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Return the metrics of the rules on objects that the temperature was not fitted on."""
    del directory
    objects = collect(survey, data_dir, seed)
    alerts, age = _young(objects.take(objects.is_test), survey, seed)
    module, batch = FastTransient(survey), as_batch(alerts, survey)
    answer = ask(module, batch)
    kinds = judge.as_known(alerts.label, KINDS)
    share = np.array([PRIOR[KINDS.index(str(name))] / max((kinds == name).sum(), 1) for name in kinds])
    judged = judge.Judged(answer, alerts.label, alerts.object_id, alerts.source, age)
    table = judge.metrics(judged, positive="GRB afterglow", weight=share)
    rows = np.arange(0, len(alerts), max(len(alerts) // BEHAVIOUR_ROWS, 1))
    table["behaviour"] = judge.behaviour(module, batch.take(rows), companions=(Coarse(survey),))
    power = np.flatnonzero((alerts.label == "GRB afterglow") & ~answer.abstained)
    index, err = (answer.extras[name][power] for name in ("decay_index", "decay_index_err"))
    table["decay_index"] = {
        "median": float(np.median(index)),
        "true": AFTERGLOW_INDEX,
        "pull": float(np.std((index - AFTERGLOW_INDEX) / err)),
    }
    gfo = max(float(np.nanmax(_of_at2017gfo(data_dir, survey, host=host))) for host in (False, True))
    found = table["positive"]["efficiency_at_purity"]["0.5"]
    table["goals"] = [
        judge.goal(
            "efficiency for afterglows at purity 0.5",
            WANTED_EFFICIENCY,
            found["efficiency"] if found else 0.0,
            data="held-out simulated transients, weighted as the prior",
        ),
        judge.goal(
            "largest probability of an afterglow for AT2017gfo", WANTED_GFO, gfo, data="AT2017gfo, real", at_most=True
        ),
    ]
    if survey is Survey.ZTF:
        young, _ = _young(sources.bts(data_dir), survey, seed)
        named = ask(module, as_batch(young, survey))
        said = ~named.abstained
        table["real_supernovae"] = {
            "alerts": float(said.sum()),
            "named_slow": float((named.top_class == "SN")[said].mean()),
            "named_afterglow": float((named.top_class == "GRB afterglow")[said].mean()),
        }
    return table
