"""Active learning: which objects to observe next, and what that gains over chance.

Each night a strategy asks for as many objects as telescopes can take; their types come back, the forest is fitted anew
and asked again. Ishida et al. 2019, doi:10.1093/mnras/sty3015.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from graph.errors import ConfigurationError
from graph.taxonomy import lineage
from ingest.classifiers.forests import model_input

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

START: Final = 5
"""Objects of either kind whose types are known before the first night."""

TREES: Final = 100
"""Trees of the forest that learns; the figures stay the same with more."""

NOVELTY_POOL: Final = 5
"""The novelty strategy chooses among this many times the quota of the most uncertain objects."""


class Strategy(StrEnum):
    """How the objects to be observed are chosen."""

    UNCERTAINTY = "uncertainty"
    """Nearest to a probability of one half."""
    ENTROPY = "entropy"
    """Largest entropy of the class probabilities; with two classes the same order as uncertainty."""
    NOVELTY = "novelty"
    """Uncertain ones, far from all that is labelled and from each other."""
    RANDOM = "random"
    """By lot: what the others are compared with."""


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Objects with features and types; a strategy sees a type only after it asked."""

    values: FloatArray
    """(n, k) features, NaN where absent."""
    positive: BoolArray
    """(n,) whether it is a type Ia supernova."""
    object_id: TextArray

    def take(self, chosen: BoolArray | IntArray) -> Sample:
        """Return some objects."""
        return Sample(self.values[chosen], self.positive[chosen], self.object_id[chosen])


@dataclass(frozen=True, slots=True)
class Night:
    """State after a night."""

    labels: int
    """Types known so far."""
    purity: float
    """Of the target objects that are called type Ia; 0 when none is."""
    efficiency: float
    """Share of the target's type Ia that are called so."""
    purity_at_half: float
    """Purity of the likeliest ones among which half of the target's type Ia are: what a fixed threshold trades between
    purity and efficiency is left out."""


@dataclass(frozen=True, slots=True)
class Target:
    """One object of a list of whom to observe next."""

    rank: int
    object_id: str
    ra_deg: float
    dec_deg: float
    probability: float
    """Of a type Ia supernova."""
    std: float
    n_points: int
    days_to_peak: float
    """Until the fitted maximum [d]."""


def entropy(probability: FloatArray) -> FloatArray:
    """Return the entropy (n,) of class probabilities (n, c) [nat]."""
    safe = np.clip(probability, 1e-12, 1.0)
    return np.asarray(-(safe * np.log(safe)).sum(axis=1), dtype=np.float64)


def ask(
    probability: FloatArray,
    values: FloatArray,
    known: FloatArray,
    *,
    strategy: Strategy,
    quota: int,
    rng: np.random.Generator,
) -> IntArray:
    """Return the places of the objects to observe next, first ones first.

    Parameters
    ----------
    probability : (n, c) of each class; the first column is that of type Ia.
    values : (n, k) features of the same objects.
    known : (m, k) features of the objects whose types are known.
    quota : objects that can be observed in a night.
    """
    n = len(probability)
    quota = min(quota, n)
    if strategy is Strategy.RANDOM:
        return rng.permutation(n)[:quota]
    doubt = entropy(probability) if strategy is Strategy.ENTROPY else -np.abs(probability[:, 0] - 0.5)
    # Ties are broken by lot, else the order of the file would decide.
    order = np.lexsort((rng.random(n), -doubt))
    return order[:quota] if strategy is not Strategy.NOVELTY else _farthest(order, values, known, quota)


def _farthest(order: IntArray, values: FloatArray, known: FloatArray, quota: int) -> IntArray:
    """Return the objects among the most uncertain that lie farthest from what is known, one after another."""
    few = order[: NOVELTY_POOL * quota]
    both = np.nan_to_num(np.vstack([values[few], known]), nan=0.0, posinf=0.0, neginf=0.0)
    middle = np.median(both, axis=0)
    width = np.maximum(np.median(np.abs(both - middle), axis=0), 1e-9)
    scaled = np.clip((both - middle) / width, -5.0, 5.0)
    mine, rest = scaled[: len(few)], scaled[len(few) :]
    distance = np.full(len(few), np.inf)
    for other in rest:
        distance = np.minimum(distance, ((mine - other) ** 2).sum(axis=1))
    chosen: list[int] = []
    for _ in range(quota):
        best = int(np.argmax(distance))
        chosen.append(best)
        distance = np.minimum(distance, ((mine - mine[best]) ** 2).sum(axis=1))
        distance[chosen] = -1.0
    return few[chosen]


def figures(said: BoolArray, truth: BoolArray) -> tuple[float, float]:
    """Return purity and efficiency, 0 where nothing is named or there is nothing to find."""
    hits = float((said & truth).sum())
    return hits / max(float(said.sum()), 1.0), hits / max(float(truth.sum()), 1.0)


def purity_at(score: FloatArray, truth: BoolArray, efficiency: float) -> float:
    """Return the purity of the best scores that hold a share of all positives; equal scores share it."""
    levels, place = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(place, truth, minlength=len(levels)))
    named = np.cumsum(np.bincount(place, minlength=len(levels)))
    enough = int(np.searchsorted(hits, efficiency * truth.sum()))
    return float(hits[enough] / named[enough])


def learn(
    pool: Sample, target: Sample, start: IntArray, *, strategy: Strategy, queries: int, quota: int, seed: int
) -> list[Night]:
    """Ask, learn and judge night by night.

    Parameters
    ----------
    pool : whom can be asked for; the types of ``start``, places in it, are known.
    target : objects to judge on, never asked for.
    queries : types that are asked for in all.
    quota : types that come back in a night.

    Returns
    -------
    The state before the first night and after each.
    """
    rng = np.random.default_rng(seed)
    known = np.zeros(len(pool.positive), np.bool_)
    known[start] = True
    values, judged = model_input(pool.values), model_input(target.values)
    nights: list[Night] = []
    left = queries
    while True:
        forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=1).fit(values[known], pool.positive[known])
        place = int(np.flatnonzero(forest.classes_)[0])
        said = forest.predict_proba(judged)[:, place]
        half = purity_at(said, target.positive, 0.5)
        nights.append(Night(int(known.sum()), *figures(said >= 0.5, target.positive), half))
        others = np.flatnonzero(~known)
        if left <= 0 or not len(others):
            return nights
        score = forest.predict_proba(values[others])[:, place]
        both = np.column_stack([score, 1.0 - score])
        tonight = min(quota, left)
        known[others[ask(both, pool.values[others], pool.values[known], strategy=strategy, quota=tonight, rng=rng)]] = (
            True
        )
        left -= tonight


def compare(
    pool: Sample, target: Sample, strategies: Sequence[Strategy], *, queries: int, quota: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Return the learning curves of strategies, mean and spread over seeds, and how many labels each spares.

    Notes
    -----
    ``labels_for_random_purity`` is the number of labels with which a strategy's mean purity at an efficiency of one
    half, and that of every later night, is at least what chance reaches in the end; ``share_of_random`` is that over
    chance's number of labels. The labels known at first count.
    """
    curves: dict[str, dict[str, Any]] = {}
    for strategy in dict.fromkeys([Strategy.RANDOM, *strategies]):
        runs = [
            learn(pool, target, start_of(pool, seed), strategy=strategy, queries=queries, quota=quota, seed=seed)
            for seed in seeds
        ]
        table = np.array([[(night.purity, night.efficiency, night.purity_at_half) for night in run] for run in runs])
        curves[strategy.value] = {
            "labels": [night.labels for night in runs[0]],
            "purity": table[:, :, 0].mean(axis=0).tolist(),
            "purity_std": table[:, :, 0].std(axis=0).tolist(),
            "efficiency": table[:, :, 1].mean(axis=0).tolist(),
            "efficiency_std": table[:, :, 1].std(axis=0).tolist(),
            "purity_at_half": table[:, :, 2].mean(axis=0).tolist(),
            "purity_at_half_std": table[:, :, 2].std(axis=0).tolist(),
        }
    chance = curves[Strategy.RANDOM.value]
    for curve in curves.values():
        lowest = np.minimum.accumulate(curve["purity_at_half"][::-1])[::-1]
        reached = np.flatnonzero(lowest >= chance["purity_at_half"][-1])
        labels = curve["labels"][reached[0]] if len(reached) else None
        curve["labels_for_random_purity"] = labels
        curve["share_of_random"] = labels / chance["labels"][-1] if labels else None
    return {
        "pool": len(pool.positive),
        "target": len(target.positive),
        "prevalence": float(target.positive.mean()),
        "quota": quota,
        "seeds": list(seeds),
        "strategies": curves,
    }


def start_of(pool: Sample, seed: int) -> IntArray:
    """Return the places of the objects that are known at first: `START` type Ia and as many others, drawn by lot."""
    rng = np.random.default_rng([seed, START])
    kinds = (np.flatnonzero(pool.positive), np.flatnonzero(~pool.positive))
    if min(len(kind) for kind in kinds) < START:
        raise ConfigurationError("The pool has too few objects of one kind to start from.")
    return np.sort(np.concatenate([rng.choice(kind, START, replace=False) for kind in kinds]))


def is_positive(label: str, name: str = "SN Ia") -> bool:
    """Tell whether a class of the taxonomy is the one that is looked for, or a kind of it."""
    return name in lineage(label)


def write_targets(targets: Sequence[Target], path: Path) -> None:
    """Write a list for observers: CSV, or JSON where the name ends so."""
    rows = [asdict(target) for target in targets]
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Target.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(rows)
