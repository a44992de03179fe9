"""The recipe of `ingest.classifiers.variability`: fit on real ZTF alerts and simulated LSST light curves, and judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.contract import Batch, batch_of
from ingest.classifiers.forests import Classifier, ModelSpec
from ingest.classifiers.variability import NAME, Variability, model_features
from ingest.classifiers.variability_features import variability_features
from ingest.crossmatch import crossmatch
from ingest.features import alert_features
from ingest.training.evaluation import class_weights
from ingest.training.examples import HISTORY_D
from ingest.training.forests import Rows, fit_artefact, keep
from ingest.training.judge import Judged, behaviour, goal, metrics
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW
from ingest.training.sources import LICENCES, plasticc
from ingest.training.sources_variability import (
    LabelledAlerts,
    cut_alerts,
    earlier,
    join,
    lend_context,
    lsst_alerts,
    published_supernovae,
    ztf_alerts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

VERSION: Final = "1.0.0"
"""Version of the recipe; a change of classes, features or sources is a new one."""

MINIMUM_POINTS: Final[Mapping[Survey, int]] = {Survey.ZTF: 1, Survey.LSST: 2}
"""Detections below which a model abstains. A ZTF packet's word on the source in quiescence says much about a first
detection; an LSST packet's first detection is a flux and nothing else."""

CUTS: Final = 3
"""Random cuts of each history beside an early one and the newest state: enough to fill the phases."""

LSST_CLASSES: Final[Mapping[str, str]] = {
    **{name: name for name in ("AGN", "TDE", "RRL", "EB", "LPV", "M-dwarf flare", "microlensing")},
    **dict.fromkeys(("SN Ia", "SN Ibc", "SN II", "SLSN"), "SN"),
}
"""Class of a simulated object -> class of the model; kilonovae, which last for some days, are left to their own."""

ASKED: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: ("EB", "LPV", "RRL", "AGN", "SSO"),
    Survey.LSST: ("EB", "LPV", "RRL", "AGN"),
}
"""Classes that the issue asks a macro F1 of; moving bodies are not simulated for LSST."""

WHY_ZTF: Final = (
    "RR Lyrae stars with some eight detections in 30 d are taken for eclipsing binaries of the same colour, and one "
    "sigma of the figure on so few objects is 0.03"
)
"""Why the goal is missed on the test split of ZTF, where it is; the sigma by drawing the objects anew."""

WHY_LSST: Final = "two to five detections in six bands show neither rhythm nor colour"
"""Why the goal is missed on LSST, where it is: the F1 is 0.4 at 2 to 4 detections, 0.6 at 5 to 9 and 0.8 beyond."""

WANTED_F1: Final = 0.85
"""Macro F1 that the issue asks for."""

BEHAVIOUR_ROWS: Final = 600
"""Rows whose nonsense is shown to the classifier: shares are then known to 2 %."""

NOT_COVERED: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: (
        "Classes of real objects come from catalogues by position and are not certain.",
        "Cepheids, delta Scuti stars, tidal disruptions and flares have too few objects; they get another's name.",
        "Cataclysmic variables, young stars and supernovae have some ten objects each to be judged on.",
        "Drawing the objects anew scatters the macro F1 by 0.02 on all held-out objects, by 0.03 on the test split.",
        "A moving body's truth is the survey's own association, which the model does not read.",
        "Objects that no catalogue knows are rarer kinds and fainter than these.",
    ),
    Survey.LSST: (
        "All rows are simulated; few of the real alerts of active nuclei, which are judged apart, get that name.",
        "Most real active nuclei keep one sign of flux in all detections, as simulated supernovae do.",
        "Long-period variables have 12 objects to fit on.",
        "Neither the template nor the host galaxy nor a redshift is read.",
    ),
}
"""What the figures cannot show."""

Sides = dict[str, LabelledAlerts]
"""``train``, ``test`` and ``reserve``: objects of the split below .5, below .7, and the rest."""


def build(survey: Survey, data_dir: Path, seed: int) -> Sides:
    """Return labelled alerts by side of the split; of ZTF, only those to fit on are cut earlier as well.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/`` and the packet folders.
    """
    rng = np.random.default_rng(seed)
    if survey is Survey.LSST:
        simulated = plasticc(data_dir)
        known = np.isin(simulated.label.astype(str), list(LSST_CLASSES))
        alerts = cut_alerts(simulated.take(known), survey, rng, CUTS, HISTORY_D[survey])
        alerts = LabelledAlerts(
            alerts.columns, np.array([LSST_CLASSES[name] for name in alerts.label], dtype=object), alerts.source
        )
        return _sides(alerts)
    sides = _sides(ztf_alerts(data_dir))
    packets = sides["train"]
    published = published_supernovae(data_dir)
    drawn = cut_alerts(published.take(published.is_train), survey, rng, CUTS, HISTORY_D[survey])
    sides["train"] = join([packets, earlier(packets, rng, CUTS), lend_context(drawn, packets, rng)])
    return sides


def _sides(alerts: LabelledAlerts) -> Sides:
    place = alerts.fraction
    return {
        "train": alerts.take(place < TRAIN_BELOW),
        "test": alerts.take((place >= TRAIN_BELOW) & (place < TEST_BELOW)),
        "reserve": alerts.take(place >= TEST_BELOW),
    }


def batch(alerts: LabelledAlerts) -> Batch:
    """Return alerts as the batch that classifiers read, without catalogue matches."""
    return batch_of(alerts.columns, crossmatch((), alerts.columns.ra_deg, alerts.columns.dec_deg))


def judged(module: Variability, alerts: LabelledAlerts) -> Judged:
    """Return a model's answers on alerts beside the truth."""
    columns = alerts.columns
    return Judged(
        answer=module.classify(batch(alerts), {}),
        label=alerts.label,
        object_id=columns.object_id,
        source=alerts.source,
        days_since_first=columns.midpoint_mjd_tai - columns.first_midpoint_mjd_tai,
    )


def macro_f1(judged_rows: Judged, classes: tuple[str, ...]) -> float:
    """Return the mean F1 of some classes over the rows that truly are of one of them; any answer may be wrong."""
    rows = np.isin(judged_rows.label.astype(str), classes) & ~judged_rows.answer.abstained
    truth, said = judged_rows.label[rows], judged_rows.answer.top_class[rows]
    scores = []
    for name in classes:
        hit = int(((truth == name) & (said == name)).sum())
        either = int((truth == name).sum() + (said == name).sum())
        scores.append(2.0 * hit / either if either else np.nan)
    return float(np.mean(scores))


def newest(alerts: LabelledAlerts) -> NDArray[np.int64]:
    """Return the place of the newest alert of each object, ascending."""
    order = np.lexsort((alerts.columns.midpoint_mjd_tai, alerts.columns.object_id.astype(str)))
    names = alerts.columns.object_id[order].astype(str)
    return np.sort(order[np.append(names[1:] != names[:-1], True)])


def _measure(module: Variability, survey: Survey, sides: Sides, real: LabelledAlerts | None) -> dict[str, Any]:
    """Return the metrics on held-out objects."""
    test = judged(module, sides["test"])
    table = metrics(test, weight=class_weights(test.label, test.object_id))
    name = f"macro F1 on {', '.join(ASKED[survey])}"

    def reached(rows: Judged, data: str, why: str) -> dict[str, Any]:
        value = macro_f1(rows, ASKED[survey])
        return goal(name, WANTED_F1, value, data=data, why=why if value < WANTED_F1 else "")

    if survey is Survey.LSST:
        last = judged(module, sides["test"].take(newest(sides["test"])))
        table["goals"] = [
            reached(last, "PLAsTiCC, the newest alert of each object", WHY_LSST),
            reached(test, "PLAsTiCC, alerts at all times", WHY_LSST),
        ]
    else:
        rest = judged(module, join([sides["test"], sides["reserve"]]))
        table["goals"] = [
            reached(rest, "ZTF alerts with catalogue labels, all objects that were not fitted on", WHY_ZTF),
            reached(test, "ZTF alerts with catalogue labels, objects of the test split", WHY_ZTF),
        ]
        table["all_held_out"] = metrics(rest, weight=class_weights(rest.label, rest.object_id))
    if real is not None:
        table["real"] = metrics(judged(module, real))
    rows = np.linspace(0, len(sides["test"]) - 1, min(len(sides["test"]), BEHAVIOUR_ROWS)).astype(np.int64)
    table["behaviour"] = behaviour(module, batch(sides["test"].take(rows)), companions=())
    return table


def _provenance(survey: Survey, sides: Sides) -> dict[str, Any]:
    """Return what a sidecar says on the origin of a model."""
    used = ("packet", "alerce") if survey is Survey.ZTF else ("plasticc",)
    return {
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}, the rest judged apart",
        "sources": [LICENCES[name][0] for name in used],
        "not_covered": list(NOT_COVERED[survey]),
        "counts": {
            side: {
                str(kind): {
                    "objects": len(set(alerts.columns.object_id[alerts.label == kind])),
                    "rows": int((alerts.label == kind).sum()),
                }
                for kind in np.unique(sides["train"].label.astype(str))
            }
            for side, alerts in sides.items()
        },
    }


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> ModelSpec:
    """Fit a survey's model and write ``variability-<survey>.onnx`` and ``.json``.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/`` and the packet folders.
    seed : of every random choice.
    out_dir : folder to write to, made if absent.

    Returns
    -------
    The sidecar, with the metrics on held-out objects.
    """
    sides = build(survey, data_dir, seed)
    alerts = sides["train"]
    table = variability_features(alerts.columns, alert_features(alerts.columns))
    enough = table.select(("n_points",))[:, 0] >= MINIMUM_POINTS[survey]
    names = model_features(survey)
    spec, model = fit_artefact(
        NAME,
        VERSION,
        survey,
        names,
        Rows(table.select(names)[enough], alerts.label[enough], alerts.columns.object_id[enough]),
        minimum_points=MINIMUM_POINTS[survey],
        training=_provenance(survey, sides),
        seed=seed,
    )
    real = lsst_alerts(data_dir) if survey is Survey.LSST else None
    return keep(spec, model, out_dir, lambda forests: _measure(Variability(survey, forests), survey, sides, real))


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure a stored model on held-out objects, cut with another seed.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    module = Variability(survey, Classifier.load(NAME, survey, directory=directory))
    real = lsst_alerts(data_dir) if survey is Survey.LSST else None
    return _measure(module, survey, build(survey, data_dir, seed), real)
