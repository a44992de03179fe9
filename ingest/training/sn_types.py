"""The recipe of the network for types of supernovae: what it is fitted on, how, and how it is calibrated.

Both surveys' networks learn from simulated supernovae. LSST's come as they are and observed anew at other redshifts;
ZTF's are the same ones observed with ZTF's cadence and depth, so that all real supernovae are left to judge with.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from graph.taxonomy import OTHER
from ingest.classifiers.artefact import Sidecar, write_artefact
from ingest.classifiers.sn_types import Calibration, SnTypes, entropy, outlier_score, soft_max
from ingest.classifiers.sn_types_input import MAX_NIGHTS, Sequences, sequences, width
from ingest.training.histories import split_fraction
from ingest.training.labelled import TEST_BELOW, TRAIN_BELOW, Labelled, concatenate
from ingest.training.recurrent import Design, Examples, draw_masks, export, fit_members
from ingest.training.sn_types_calibration import HeldOut, choose_calibration
from ingest.training.sn_types_data import (
    MINIMUM_POINTS,
    SUPERNOVAE,
    collections,
    cut,
    emitters,
    real_others,
    resimulate,
    spoil,
    supernovae,
    thin,
)
from ingest.training.sn_types_judge import measure
from ingest.training.sources import LICENCES
from ingest.training.sources_elasticc import elasticc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MODEL_VERSION: Final = "1.0.0"
"""Version of the recipe; a change of classes, inputs or sources is a new one."""

CLASSES: Final = (*SUPERNOVAE, OTHER)
"""Classes of the network; the last for all that is no supernova of these types."""

MEMBERS: Final = 3
"""Networks that are fitted; their disagreement is most of the uncertainty."""

STATE_SAMPLES: Final = 3
"""Recurrent dropout masks of each member; a sample of these costs a whole run."""

HEADS: Final = 2
"""Masks of the head for each of them; they cost next to nothing. 3 x 3 x 2 = 18 samples in all."""

HIDDEN: Final = 48
"""Size of the state: one of 32, fitted for half as many epochs, lost 0.01 to 0.05 in
area under the curve."""

DROPOUT: Final = 0.05
"""Chance that a number of the state is dropped; Moller & de Boissiere 2020 took the same."""

EPOCHS: Final = {Survey.LSST: 110, Survey.ZTF: 70}
"""Passes over fresh cuts of the data: five to six minutes of one core for all members. Fewer are
not enough, see `HIDDEN`."""

BATCH: Final = 128
"""Sequences of a step."""

LENGTHS: Final = (12, 20, 28, 36, MAX_NIGHTS)
"""Lengths to which sequences are padded; each is compiled once."""

COPIES: Final = {Survey.LSST: 6, Survey.ZTF: 5}
"""Attempts to observe each supernova anew."""

POOL_ROWS: Final = {Survey.LSST: 3500, Survey.ZTF: 5000}
"""Of those observed anew, how many an epoch sees."""

OTHER_ROWS: Final = 2200
"""Most objects that are no supernovae in an epoch."""

SPOILT: Final = ("shuffled", "reversed", "bogus", "flat", "sine")
"""Kinds of nonsense that the outlier's logit learns from; swapped bands are left to judge with."""

SPOILT_SHARE: Final = 0.16
"""Share of the supernovae of an epoch that become each kind of nonsense."""

SPOILT_WEIGHT: Final = 0.6
"""Weight of nonsense beside a supernova: types come first."""

FULL: Final = 0.25
"""Share of light curves that an epoch sees uncut."""

HELD: Final = 0.12
"""Share of the training objects that is not fitted on but calibrates: temperature, biases and thresholds."""

FALSE_FLAGS: Final = 0.05
"""Share of supernovae that may be flagged as outliers."""

CALIBRATION_CUTS: Final = 8
"""Alerts of each object that calibrate; more of the same few hundred objects change nothing."""

NOT_COVERED: Final = {
    Survey.LSST: (
        "All rows are simulated: no real LSST light curve with a certain type was to be had.",
        "Peculiar type Ia (91bg, Iax) count as SN Ia; supernovae of SPCC have no superluminous ones among them.",
        "Shares of the types are those of the collections, not of the sky: divide by the prior for another.",
    ),
    Survey.ZTF: (
        "Fitted on simulated supernovae made nearer; what the figures of real ones cover is mostly type Ia.",
        "Real light curves of other types are few, so purity on the survey's own mix is not known.",
        "Forced photometry is not read: no labelled light curve has it.",
    ),
}
"""What the figures cannot show, for the cards."""


@dataclass(frozen=True, eq=False, slots=True)
class Material:
    """Light curves of the training objects."""

    survey: Survey
    originals: Labelled
    """Supernovae as they were published; empty for ZTF."""
    pool: Labelled
    """Supernovae observed anew."""
    others: Labelled
    """What is no supernova."""
    held: Labelled
    """Of training objects that are not fitted on: to calibrate with."""


def column(label: NDArray[np.object_]) -> IntArray:
    """Return the column (n,) of each class; all that is no supernova shares the last."""
    place = {name: number for number, name in enumerate(SUPERNOVAE)}
    return np.array([place.get(str(name), len(SUPERNOVAE)) for name in label], dtype=np.int64)


def material(survey: Survey, data_dir: Path, seed: int) -> Material:
    """Return the light curves to fit on and to calibrate with.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/``, ``elasticc/`` and the packet folders.
    """
    rng = np.random.default_rng([seed, 0])
    simulated, redshift = collections(data_dir)
    held = np.array([split_fraction(f"held {name}") < HELD for name in simulated.object_id])
    movable = np.isin(simulated.label, (*SUPERNOVAE, "TDE", "KN") if survey is Survey.ZTF else SUPERNOVAE)
    parts = {}
    for side, chosen in (("fit", simulated.is_train & ~held), ("held", simulated.is_train & held)):
        mine = simulated.take(chosen & movable)
        seen_from = emitters(mine, redshift[chosen & movable])
        copies = COPIES[survey] if side == "fit" else 1
        parts[side] = resimulate(mine, seen_from, survey, rng, copies=copies)
    fit = simulated.is_train & ~held
    if survey is Survey.LSST:
        further = elasticc(data_dir)
        apart = np.array([split_fraction(f"held {name}") < HELD for name in further.object_id])
        return Material(
            survey,
            concatenate([simulated.take(fit & movable), further.take(further.is_train & ~apart)]),
            parts["fit"],
            simulated.take(fit & ~movable),
            concatenate([simulated.take(simulated.is_train & held), further.take(further.is_train & apart)]),
        )
    real = real_others(data_dir)
    apart = np.array([split_fraction(f"held {name}") < HELD for name in real.object_id])
    nearer, is_sn = parts["fit"], supernovae(parts["fit"])
    return Material(
        survey,
        nearer.take(np.empty(0, dtype=np.int64)),
        nearer.take(is_sn),
        concatenate([nearer.take(~is_sn), real.take(real.is_train & ~apart)]),
        concatenate([parts["held"], real.take(real.is_train & apart)]),
    )


def _some(labelled: Labelled, most: int, rng: np.random.Generator) -> Labelled:
    """Return at most a number of rows, drawn without replacement."""
    if len(labelled) <= most:
        return labelled
    return labelled.take(np.sort(rng.choice(len(labelled), most, replace=False)))


def _epoch(given: Material, rng: np.random.Generator) -> tuple[Sequences, IntArray, NDArray[np.bool_], FloatArray]:
    """Return sequences of fresh cuts with column (-1 for nonsense), outlier and weight of each."""

    def seen(labelled: Labelled) -> Labelled:
        return thin(cut(labelled, given.survey, rng, full=FULL), rng)

    pool = _some(given.pool, POOL_ROWS[given.survey], rng)
    good = seen(concatenate([given.originals, pool]))
    others = seen(_some(given.others, OTHER_ROWS, rng))
    parts = [good, others]
    for kind in SPOILT:
        drawn = np.flatnonzero(rng.random(len(good)) < SPOILT_SHARE)
        parts.append(spoil(good.take(drawn), kind, rng))
    lengths = [len(part) for part in parts]
    joined = concatenate(parts)
    nonsense = np.arange(len(joined)) >= lengths[0] + lengths[1]
    target = np.where(nonsense, -1, column(joined.label))
    outlier = nonsense | (target == len(SUPERNOVAE))
    weight = np.where(nonsense, SPOILT_WEIGHT, 1.0)
    read = sequences(given.survey, joined.curves, joined.forced)
    kept = np.flatnonzero(read.nights > 0)
    return (
        Sequences(read.values[kept], read.nights[kept], read.points[kept]),
        target[kept],
        outlier[kept],
        weight[kept],
    )


def _batches(given: Material, seed: int) -> Callable[[int], Iterator[Examples]]:
    """Return what yields the batches of an epoch, sequences of similar length together."""

    def batches(epoch: int) -> Iterator[Examples]:
        rng = np.random.default_rng([seed, 1, epoch])
        read, target, outlier, weight = _epoch(given, rng)
        order = np.argsort(read.nights + rng.uniform(-4.0, 4.0, len(read.nights)))
        starts = np.arange(0, len(order) - BATCH + 1, BATCH)
        for start in rng.permutation(starts):
            row = order[start : start + BATCH]
            length = next(size for size in LENGTHS if size >= read.nights[row].max())
            yield Examples(
                np.ascontiguousarray(read.values[row, :length]),
                read.nights[row].astype(np.int32),
                target[row].astype(np.int32),
                outlier[row].astype(np.float32),
                weight[row].astype(np.float32),
            )

    return batches


def fit(given: Material, seed: int) -> bytes:
    """Fit all members and return them with their masks as one ONNX model."""
    design = Design(width(given.survey), HIDDEN, len(CLASSES) + 1, DROPOUT)
    epochs = EPOCHS[given.survey]
    rows = len(_epoch(given, np.random.default_rng([seed, 2]))[1])
    seeds = [(seed, 3, member) for member in range(MEMBERS)]
    members = fit_members(design, _batches(given, seed), epochs, epochs * (rows // BATCH), seeds)
    rng = np.random.default_rng([seed, 4])
    masks = [
        (draw_masks(design, STATE_SAMPLES, rng)[0], draw_masks(design, STATE_SAMPLES * HEADS, rng)[1]) for _ in members
    ]
    return export(members, masks, HEADS)


def calibrate(module: SnTypes, given: Material, seed: int) -> dict[str, Any]:
    """Return the numbers of the calibration and the thresholds, from the training objects that were not fitted on.

    Parameters
    ----------
    module : uncalibrated; only its `SnTypes.logits` are asked.

    Notes
    -----
    Every object is cut as alerts are, `CALIBRATION_CUTS` times, so that the numbers hold for alerts.
    """
    rng = np.random.default_rng([seed, 5])
    rows = concatenate([cut(given.held, given.survey, rng) for _ in range(CALIBRATION_CUTS)])
    read = sequences(given.survey, rows.curves, rows.forced)
    kept = np.flatnonzero(read.points >= MINIMUM_POINTS)
    logits = module.logits(Sequences(read.values[kept], read.nights[kept], read.points[kept]))
    held = HeldOut(logits[:, :, :-1], read.points[kept], column(rows.label)[kept], rows.object_id[kept])
    found, scores = choose_calibration(held)
    inside = held.target < len(SUPERNOVAE)
    mean = soft_max(found.apply(held.logits, held.n_points)).mean(axis=0)
    return {
        **asdict(found),
        "calibration_brier": scores,
        "outlier_threshold": float(np.quantile(outlier_score(logits)[inside], 1.0 - FALSE_FLAGS)),
        "entropy_threshold_nat": float(np.quantile(entropy(mean)[inside], 1.0 - FALSE_FLAGS)),
    }


def _provenance(given: Material, seed: int) -> dict[str, Any]:
    """Return what a sidecar says on the origin of a model."""
    names = ("plasticc", "spcc", "elasticc") if given.survey is Survey.LSST else ("plasticc", "spcc", "packet")
    everything = concatenate([given.originals, given.pool, given.others])
    label = np.array(CLASSES, dtype=object)[column(everything.label)]
    return {
        "seed": seed,
        "split": f"md5 of the object id: train < {TRAIN_BELOW}, test < {TEST_BELOW}; {HELD:.0%} of the training "
        "objects calibrate",
        "sources": [LICENCES[name][0] for name in names],
        "not_covered": list(NOT_COVERED[given.survey]),
        "counts": {
            "train": {
                name: {
                    "objects": len(set(everything.object_id[label == name])),
                    "rows": int((label == name).sum()),
                }
                for name in CLASSES
            }
        },
        "libraries": {name: version(name) for name in ("jax", "optax", "onnx")},
    }


def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> Sidecar:
    """Fit a survey's network and write ``sn_types-<survey>.onnx`` and ``sn_types-<survey>.json``.

    Parameters
    ----------
    data_dir : folder with ``labels/``, ``lightcurves/``, ``elasticc/`` and the packet folders.
    seed : of every random choice. The same seed gives the same bytes on the same processor and libraries.
    out_dir : folder to write to, made if absent.

    Returns
    -------
    The sidecar, with the metrics on held-out objects.
    """
    given = material(survey, data_dir, seed)
    model = fit(given, seed)
    sidecar = Sidecar(
        classifier=SnTypes.name,
        version=MODEL_VERSION,
        survey=survey,
        classes=CLASSES,
        sha256=hashlib.sha256(model).hexdigest(),
        parameters={
            **asdict(Calibration.of(np.zeros(2 + len(CLASSES)))),
            "outlier_threshold": 0.5,
            "samples": MEMBERS * STATE_SAMPLES * HEADS,
        },
        training=_provenance(given, seed),
        metrics={},
    )
    write_artefact(sidecar, model, out_dir)
    sidecar = replace(sidecar, parameters={**sidecar.parameters, **calibrate(SnTypes(survey, out_dir), given, seed)})
    write_artefact(sidecar, model, out_dir)
    metrics = evaluate(survey, data_dir, seed, out_dir)
    sidecar = replace(sidecar, metrics=metrics, training={**sidecar.training, "counts": _with_test(sidecar, metrics)})
    write_artefact(sidecar, model, out_dir)
    return sidecar


def _with_test(sidecar: Sidecar, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of a sidecar with those of the objects judged on."""
    test = {name: {"objects": entry["objects"], "rows": entry["rows"]} for name, entry in metrics["classes"].items()}
    return {**sidecar.training["counts"], "test": test}


def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
    """Return the metrics of a stored network on held-out objects, see `ingest.training.sn_types_judge.measure`.

    Raises
    ------
    ModelError : the model is absent, altered or for the other survey.
    """
    return measure(SnTypes(survey, directory), survey, data_dir, seed)
