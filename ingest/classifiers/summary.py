"""One distribution over all classes from the answers of all classifiers and the cross-matches, with its evidence.

The logarithm of each leaf's probability is a sum: a term for the prior, one for each classifier that answered, linear
in the logarithms of its probabilities, and one for the cross-matches. A classifier that is absent or abstains adds
nothing. As the terms add up, each answer can be told by how much it was for the class that leads.

What moves is none of this: no set of labelled objects tells how many of the alerts of one sky it is. Its probability is
taken as `solar_system` states it, and the rest is shared among the other classes; the cross-matches judge all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from graph.errors import ModelError
from graph.model import Survey
from graph.taxonomy import LEAVES, PARENTS, leaves_under, lineage
from ingest.classifiers.artefact import read_artefact
from ingest.classifiers.contract import Answers, Batch, Classifications, Input, Module
from ingest.classifiers.evidence import SMALLEST_CHANCE, match_evidence, read_answers
from ingest.classifiers.forests import MODELS
from ingest.classifiers.session import start_session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]
BoolArray = NDArray[np.bool_]

READ: Final = (
    "coarse",
    "early_snia",
    "sn_types",
    "microlensing",
    "kilonova",
    "fast_transient",
    "variability",
)
"""Classifiers whose answers are weighed, where they are there."""

MOVING: Final = ("SSO", "satellite")
"""Classes whose probabilities are taken from `MOVING_FROM` as they are."""

MOVING_FROM: Final = "solar_system"
"""Classifier of what moves."""

SETTLED: Final = 0.5
"""Probability from which a class is called settled: more likely than all else together."""

NODES: Final = tuple(sorted(PARENTS, key=lambda name: (-len(lineage(name)), name)))
"""All classes, the deepest first."""

UNDER: Final = np.array([[leaf in leaves_under(node) for leaf in LEAVES] for node in NODES], dtype=np.float64)
"""(nodes, leaves) 1 where a leaf is a kind of a node."""

DEPTH: Final = np.array([len(lineage(node)) for node in NODES], dtype=np.float64)
"""(nodes,) steps from the root, itself included."""


def settle(probability: NDArray[np.floating]) -> tuple[TextArray, FloatArray]:
    """Return the deepest class with at least `SETTLED` and its probability, of distributions over `LEAVES`.

    Parameters
    ----------
    probability : (n, leaves); a row of NaN is settled on nothing.

    Returns
    -------
    (n,) names, empty where not even a root is settled, and (n,) probabilities, NaN there.
    """
    of_node = np.nan_to_num(np.asarray(probability, dtype=np.float64)) @ UNDER.T
    settled = of_node >= SETTLED
    # Of two equally deep ones, which can only both reach one half exactly, the first by name counts.
    place = np.argmax(np.where(settled, DEPTH, 0.0), axis=1) if len(of_node) else np.empty(0, dtype=np.int64)
    some = settled.any(axis=1)
    names = np.where(some, np.array(NODES, dtype=object)[place], "").astype(object)
    return names, np.where(some, of_node[np.arange(len(of_node)), place], np.nan)


def _normalised(logit: FloatArray) -> FloatArray:
    """Return log probabilities (m, n, leaves)."""
    logit = logit - logit.max(axis=2, keepdims=True)
    return np.asarray(logit - np.log(np.exp(logit).sum(axis=2, keepdims=True)), dtype=np.float64)


def _with_moving(log_probability: FloatArray, moving: Classifications) -> FloatArray:
    """Return log probabilities (m, n, leaves) with those of `MOVING` as a classifier states them, where it does."""
    leaves = [LEAVES.index(name) for name in MOVING]
    columns = [moving.classes.index(name) for name in MOVING if name in moving.classes]
    if len(columns) < len(leaves):
        return log_probability
    row = np.flatnonzero(~moving.abstained)
    stated = np.maximum(moving.probability[row][:, columns].astype(np.float64), SMALLEST_CHANCE)
    still = np.ones(len(LEAVES), np.bool_)
    still[leaves] = False
    part = log_probability[:, row]
    part = np.where(still, part, -np.inf)
    rest = np.maximum(1.0 - stated.sum(axis=1), SMALLEST_CHANCE)[None, :, None]
    part = _normalised(part) + np.log(rest)
    part[:, :, leaves] = np.log(stated)
    fused = log_probability.copy()
    fused[:, row] = part
    return fused


def _is_known(answer: Classifications | None, kinds: tuple[str, ...]) -> bool:
    """Return whether a classifier answered, and with the classes that the weights were fitted to."""
    return answer is not None and answer.classes == kinds


class Summary(Module):
    """Fusion of all answers and cross-matches into one calibrated distribution over the leaves of the taxonomy."""

    name: ClassVar[str] = "summary"
    surveys: ClassVar[frozenset[Survey]] = frozenset(Survey)
    inputs: ClassVar[frozenset[Input]] = frozenset({Input.ANSWERS, Input.CATALOGUES})
    minimum_points: ClassVar[int] = 1
    cost_us: ClassVar[float] = 12.0
    reads: ClassVar[tuple[str, ...]] = (*READ, MOVING_FROM)
    extras: ClassVar[Mapping[str, str]] = {
        "evidence_prior_ln": "what the prior adds to the logarithm of the odds of the leading class against the second",
        "evidence_matches_ln": "what the cross-matches add to it",
        **{f"evidence_{name}_ln": f"what the answer of {name} adds to it" for name in reads},
    }

    def __init__(self, survey: Survey, *, directory: Path = MODELS) -> None:
        """Load the weights of a survey."""
        sidecar, model = read_artefact(self.name, survey, directory=directory)
        self._setup(sidecar.version, sidecar.classes, sidecar.parameters, model)

    @classmethod
    def from_parts(cls, version: str, parameters: Mapping[str, Any], model: bytes) -> Summary:
        """Return a classifier that is not stored: parameters of a sidecar and ONNX bytes."""
        module = cls.__new__(cls)
        module._setup(version, LEAVES, parameters, model)  # noqa: SLF001 - our own
        return module

    def _setup(self, version: str, classes: tuple[str, ...], parameters: Mapping[str, Any], model: bytes) -> None:
        """Keep what a sidecar holds."""
        self._version = version
        try:
            self._inputs = {str(name): tuple(kinds) for name, kinds in parameters["inputs"].items()}
            self._prior = np.array([parameters["prior"][leaf] for leaf in LEAVES], dtype=np.float64)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the sidecar of {self.name} lacks a parameter: {error}") from error
        self._session = start_session(model, self.name)
        widths = {item.name: item.shape[-1] for item in self._session.get_inputs()}
        expected = {"prior": 1} | {name: len(kinds) + 1 for name, kinds in self._inputs.items()}
        if classes != LEAVES or widths != expected or not (self._prior > 0.0).all():
            raise ModelError(f"the sidecar of {self.name} contradicts itself")

    @property
    def version(self) -> str:
        """Version of the training recipe."""
        return self._version

    @property
    def classes(self) -> tuple[str, ...]:
        """`LEAVES`."""
        return LEAVES

    def terms(self, batch: Batch, answers: Answers) -> dict[str, FloatArray]:
        """Return what each source of evidence adds to the log probabilities: name -> (1 + members, n, leaves).

        The first is with the weights that count, the others with those of the bootstrap. A classifier whose classes
        are not those that the weights were fitted to is left out.
        """
        n = len(batch)
        read = {"prior": np.ones((n, 1), dtype=np.float32)}
        for name, kinds in self._inputs.items():
            known = _is_known(answers.get(name), kinds)
            columns = read_answers(answers[name]) if known else np.zeros((n, len(kinds) + 1))
            read[name] = columns.astype(np.float32)
        names = [output.name for output in self._session.get_outputs()]
        found = {
            name.removesuffix("_term"): term.reshape(n, -1, len(LEAVES)).transpose(1, 0, 2).astype(np.float64)
            for name, term in zip(names, self._session.run(names, read), strict=True)
        }
        found["matches"] = match_evidence(batch.matches, n, self._prior)[None]
        return found

    def classify(self, batch: Batch, answers: Answers) -> Classifications:
        """Fuse the answers on all alerts; abstain where there is neither an answer nor a typed match."""
        n = len(batch)
        terms = self.terms(batch, answers)
        matches = terms.pop("matches")
        weighed = _normalised(np.sum(list(terms.values()), axis=0))
        moving = answers.get(MOVING_FROM)
        fused = weighed if moving is None else _with_moving(weighed, moving)
        terms |= {MOVING_FROM: fused - weighed, "matches": matches}
        members = np.exp(_normalised(fused + matches))
        probability = members[0]
        order = np.argsort(-probability, axis=1, kind="stable")
        row, top, second = np.arange(n), order[:, 0], order[:, 1]
        heard = [
            answers[name] for name in self._inputs if name in answers and answers[name].classes == self._inputs[name]
        ]
        heard += [moving] if moving is not None else []
        said = np.sum([~answer.abstained for answer in heard], axis=0) if heard else np.zeros(n)
        doubted = np.sum([answer.out_of_distribution for answer in heard], axis=0) if heard else np.zeros(n)
        silent = (said == 0) & ~terms["matches"][0].any(axis=1)
        evidence = {f"evidence_{name}_ln": term[0, row, top] - term[0, row, second] for name, term in terms.items()}
        absent = np.full(n, np.nan)
        extras = {name: np.where(silent, np.nan, evidence.get(name, absent)) for name in self.extras}
        return Classifications(
            classifier=self.name,
            version=self.version,
            classes=LEAVES,
            probability=np.where(silent[:, None], np.nan, probability).astype(np.float32),
            std=np.where(silent, np.nan, members[1:, row, top].std(axis=0, ddof=1)),
            n_points=batch.n_points,
            out_of_distribution=np.asarray(~silent & (2 * doubted > said), dtype=np.bool_),
            extras=extras,
        )
