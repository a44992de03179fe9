"""The recipe of the anomaly score: isolation forests, answers of experts, and how soon they find what is rare.

Experts are asked in rounds about the objects that look most unusual. Here labels answer for them: a training object is
worth a look if it is of a rare class. Answers of people, in ``labels/anomaly_feedback.csv`` of the data folder with the
columns ``object_id`` and ``worth_a_look`` (0 or 1), come on top of these and overrule them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import coniferest  # type: ignore[import-untyped]
import numpy as np
import onnx
import pandas as pd
from coniferest.aadforest import AADForest  # type: ignore[import-untyped]
from coniferest.onnx import to_onnx  # type: ignore[import-untyped]
from numpy.typing import NDArray

from graph.model import Survey
from ingest.classifiers.anomaly import CLASSES, Anomaly, member_shares, squeeze
from ingest.classifiers.artefact import Sidecar, read_artefact, write_artefact
from ingest.training.alert_sets import AlertSet, alert_set
from ingest.training.coarse import model_features
from ingest.training.figures import area_under_curve
from ingest.training.judge import behaviour, goal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

VERSION: Final = "1.0.0"
"""Version of the recipe; a change of features, sources or rare classes is a new one."""

RARE: Final[Mapping[Survey, tuple[str, ...]]] = {
    Survey.ZTF: ("KN", "SLSN", "TDE", "microlensing", "CV", "M-dwarf flare", "YSO"),
    Survey.LSST: ("KN", "SLSN", "TDE", "microlensing"),
}
"""Classes whose objects are never among those that the trees are grown on, and that experts call worth a look. The
simulation's M-dwarf flares are as many as its supernovae of massive stars, and hence ordinary."""

MEMBERS: Final = 5
"""Forests, each grown from its own draws; their spread is the std."""

TREES: Final = 100
"""Trees of each forest: with `SUBSAMPLE`, what an artefact below 1 MB holds."""

SUBSAMPLE: Final = 256
"""Rows that each tree is grown on; Liu et al. 2008 find this enough."""

ROUNDS, ASKED = 15, 20
"""Rounds of questions, and objects asked about in each: what an expert answers in three weeks."""

ASKED_SHARE: Final = 0.01
"""Share of the objects that is asked about in a round at most: what is left has to tell the unusual from the rest."""

CALIBRATED_ON: Final = 0.3
"""Share of the training objects that is neither grown on nor asked about, and says how scores are spread."""

TAIL: Final = tuple(float(f"{share:.4g}") for share in np.logspace(-3.3, 0.0, 60))
"""Shares of training alerts at which scores are kept; a share below the first is not told from it."""

RARE_ROWS: Final = 30
"""Held-out alerts of rare classes below which no goal is judged."""

TOPS: Final = (0.01, 0.05)
"""Shares of the alerts that an expert may look at."""


@dataclass(frozen=True, eq=False, slots=True)
class Grown:
    """Forests over squeezed features, with what they were told."""

    forests: tuple[AADForest, ...]
    asked: dict[str, bool]
    """Object -> whether it was worth a look."""

    def score(self, read: NDArray[np.float32]) -> FloatArray:
        """Return scores (members, n); smaller is more unusual."""
        return np.stack([forest.score_samples(read) for forest in self.forests]).astype(np.float64)


def grow(read: NDArray[np.float32], seed: int, *, trees: int = TREES) -> Grown:
    """Grow forests on rows (n, k)."""
    forests = tuple(
        AADForest(
            n_trees=trees, n_subsamples=SUBSAMPLE, map_value="exponential", n_jobs=1, random_seed=seed + member
        ).fit(read)
        for member in range(MEMBERS)
    )
    return Grown(forests, {})


def learn(
    grown: Grown,
    read: NDArray[np.float32],
    object_id: TextArray,
    worth: BoolArray,
    feedback: Mapping[str, bool],
    *,
    rounds: int = ROUNDS,
) -> Grown:
    """Ask about the most unusual objects, round by round, and weight the leaves by the answers.

    Parameters
    ----------
    read : (n, k) rows that may be asked about, each by its object.
    worth : (n,) answer on each row where ``feedback`` has none.
    feedback : answers that are there before the first round.
    """
    answers = dict(feedback)
    row_of: dict[str, int] = {}
    names = object_id.astype(str)
    at_once = min(ASKED, max(int(ASKED_SHARE * len(set(names))), 1))
    for place, name in enumerate(names):
        if name in answers:
            row_of.setdefault(name, place)
    for _ in range(rounds):
        order = np.argsort(grown.score(read).mean(axis=0), kind="stable")
        new = [place for place in order if names[place] not in row_of]
        _, first = np.unique(names[new], return_index=True)
        for place in np.sort(first)[:at_once]:
            row_of[str(names[new[place]])] = int(new[place])
            answers[str(names[new[place]])] = bool(worth[new[place]])
        asked = list(row_of)
        told = np.array([-1 if answers[name] else 1 for name in asked])
        known = read[[row_of[name] for name in asked]]
        for forest in grown.forests:
            forest.fit_known(read, known, told)
    return replace(grown, asked={name: answers[name] for name in row_of})


def export(grown: Grown, width: int) -> bytes:
    """Return one ONNX model with an output of scores (n, 1) for each forest."""
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    outputs: list[onnx.ValueInfoProto] = []
    opsets: dict[str, int] = {}
    for place, forest in enumerate(grown.forests):
        model = to_onnx(forest, np.zeros((1, width), dtype=np.float32), name="forest")
        opsets |= {item.domain: item.version for item in model.opset_import}
        model = onnx.compose.add_prefix(model, f"member{place}_")
        for node in model.graph.node:
            node.input[:] = ["features" if name == model.graph.input[0].name else name for name in node.input]
        nodes.extend(model.graph.node)
        tensors.extend(model.graph.initializer)
        outputs.append(
            onnx.helper.make_tensor_value_info(model.graph.output[0].name, onnx.TensorProto.FLOAT, [None, 1])
        )
    features = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [None, width])
    merged = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "isolation forests", [features], outputs, tensors),
        producer_name="heliograph",
        ir_version=10,
        opset_imports=[onnx.helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())],
    )
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString(deterministic=True))


def _rows(alerts: AlertSet, chosen: BoolArray) -> AlertSet:
    """Return the chosen alerts that have enough points."""
    return alerts.take(np.flatnonzero(chosen & (alerts.batch.n_points >= Anomaly.minimum_points)))


def _feedback(data_dir: Path) -> dict[str, bool]:
    """Return the answers of people, where there are any."""
    path = data_dir / "labels" / "anomaly_feedback.csv"
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype={"object_id": str})
    return dict(zip(table["object_id"], table["worth_a_look"].astype(bool), strict=True))


def _recall(score: FloatArray, label: TextArray, rare: tuple[str, ...]) -> dict[str, Any]:
    """Return how much of what is rare lies among the most unusual, (n,) smaller is more unusual."""
    wanted = np.isin(label, rare)
    order = np.argsort(score, kind="stable")
    table: dict[str, Any] = {
        "auc": area_under_curve(-score, wanted, np.ones(len(score))) if wanted.any() and not wanted.all() else None,
        "share_of_rare_rows": float(wanted.mean()) if len(wanted) else None,
    }
    for top in TOPS:
        first = order[: max(round(top * len(order)), 1)]
        table[f"top_{top:g}"] = {
            "purity": float(wanted[first].mean()) if len(first) else None,
            "recall": float(wanted[first].sum() / wanted.sum()) if wanted.any() else None,
            "recall_by_class": {
                name: float((label[first] == name).sum() / (label == name).sum())
                for name in rare
                if (label == name).any()
            },
        }
    return table


def _measure(module: Anomaly, untold: Mapping[str, Any], test: AlertSet, rare: tuple[str, ...]) -> dict[str, Any]:
    """Return what the score finds among held-out alerts, before and after feedback."""
    answer = module.classify(test.batch, {})
    figures: dict[str, Any] = {
        "rows": len(test),
        "objects": len(set(test.object_id)),
        "flagged_anomalous": float((answer.of("anomalous") > 0.5).mean()),
        "mean_std": float(answer.std.mean()),
        "with_feedback": _recall(-answer.of("anomalous"), test.label, rare),
        "without_feedback": dict(untold),
        "behaviour": behaviour(module, test.batch.take(np.arange(min(len(test), 600))), companions=()),
    }
    found = figures["with_feedback"]["top_0.05"]["purity"]
    base = figures["with_feedback"]["share_of_rare_rows"]
    enough = found is not None and base and int(base * len(test)) >= RARE_ROWS
    figures["goals"] = [
        goal(
            "times more rare alerts in the top 5 % than by chance",
            2.0,
            found / base if enough else float("nan"),
            data="held-out alerts of the survey's mix",
            why="Our own goal. What is rare need not look unusual: most tidal disruptions and superluminous supernovae "
            "have the features of slow supernovae."
            if enough
            else "There are too few alerts of rare classes.",
        )
    ]
    return figures


def _provenance(survey: Survey, train_rows: AlertSet, test: AlertSet, seed: int) -> dict[str, Any]:
    """Return what a sidecar says on the origin of a model."""
    sources = {
        Survey.ZTF: "ZTF public alert packets, classes of catalogues (Apache-2.0, BSD-3-Clause, MIT)",
        Survey.LSST: "PLAsTiCC simulated LSST light curves (CC-BY-4.0, doi:10.5281/zenodo.2539456)",
    }
    counts = {
        side: {
            str(name) or "unknown": {
                "objects": len(set(rows.object_id[rows.label == name])),
                "rows": int((rows.label == name).sum()),
            }
            for name in np.unique(rows.label.astype(str))
        }
        for side, rows in (("train", train_rows), ("test", test))
    }
    return {
        "seed": seed,
        "libraries": {"coniferest": coniferest.__version__, "onnx": onnx.__version__, "numpy": np.__version__},
        "split": "md5 of the object id: train < 0.5, test < 0.7; rare classes are asked about, never grown on",
        "sources": [sources[survey]],
        "not_covered": [
            "Labels answered in place of experts: objects of rare classes were called worth a look, all others not.",
            "What is rare in the data is not rare in proportion to the sky.",
            "Artefacts of subtraction look unusual: the stream screens most of them before.",
        ],
        "counts": counts,
    }


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> Sidecar:
    """Fit a survey's score, measure it on held-out alerts, and write its artefact.

    Parameters
    ----------
    data_dir : folder of labelled alerts.
    seed : of every random choice.
    out_dir : folder to write to, made if absent.
    """
    alerts = alert_set(survey, data_dir, seed)
    fitted, test = _rows(alerts, alerts.is_train), _rows(alerts, alerts.is_test)
    names, rare = model_features(survey), RARE[survey]
    values = fitted.batch.features.select(names)
    rng = np.random.default_rng(seed)
    objects, owner = np.unique(fitted.object_id.astype(str), return_inverse=True)
    spare = (rng.random(len(objects)) < CALIBRATED_ON)[owner]
    is_rare = np.isin(fitted.label, rare)
    low, centre, high = (np.nan_to_num(part) for part in np.nanquantile(values[~is_rare], (0.16, 0.5, 0.84), axis=0))
    width = np.where(high > low, high - low, 1.0)
    read = squeeze(values, centre, width)
    grown = grow(read[~is_rare & ~spare], seed)
    untold = _recall(
        grown.score(squeeze(test.batch.features.select(names), centre, width)).mean(axis=0), test.label, rare
    )
    told = learn(grown, read[~spare], fitted.object_id[~spare], is_rare[~spare], _feedback(data_dir))
    model = export(told, len(names))
    score = told.score(read[spare])
    score_at = np.quantile(score, TAIL, axis=1).T
    combined = np.log(member_shares(score, score_at, np.array(TAIL))).mean(axis=0)
    parameters = {
        "features": list(names),
        "centre": centre.tolist(),
        "width": width.tolist(),
        "tail": list(TAIL),
        "score_at": score_at.tolist(),
        "combined_at": np.quantile(combined, TAIL).tolist(),
        "asked": told.asked,
        "without_feedback": untold,
    }
    module = Anomaly.from_parts(VERSION, parameters, model)
    sidecar = Sidecar(
        classifier=Anomaly.name,
        version=VERSION,
        survey=survey,
        classes=CLASSES,
        sha256=hashlib.sha256(model).hexdigest(),
        parameters=parameters,
        training=_provenance(survey, fitted, test, seed),
        metrics=_measure(module, untold, test, rare),
    )
    write_artefact(sidecar, model, out_dir)
    return sidecar


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Measure a stored score on held-out alerts; the figures without feedback are those of its training.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    sidecar, model = read_artefact(Anomaly.name, survey, directory=directory)
    alerts = alert_set(survey, data_dir, seed)
    module = Anomaly.from_parts(sidecar.version, sidecar.parameters, model)
    untold = sidecar.parameters["without_feedback"]
    return _measure(module, untold, _rows(alerts, alerts.is_test), RARE[survey])
