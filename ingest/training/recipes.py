"""The table of recipes: which models can be fitted and judged, and by what."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from graph.errors import ConfigurationError, ModelError
from graph.model import Survey
from ingest.classifiers.artefact import Sidecar, read_artefact
from ingest.classifiers.forests import Classifier, file_name
from ingest.classifiers.registry import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.classifiers.forests import ModelSpec

BOTH: Final = (Survey.ZTF, Survey.LSST)
"""A model for either survey."""

RECIPES: Final[Mapping[str, tuple[Survey, ...]]] = {
    "coarse": BOTH,
    "early_snia": BOTH,
    "sn_types": BOTH,
    "microlensing": BOTH,
    "kilonova": BOTH,
    "fast_transient": BOTH,
    "variability": BOTH,
    "anomaly": BOTH,
    "summary": BOTH,
}
"""Classifier -> surveys that it is fitted for; the recipe is the module of that name beside this one. In the order of
fitting: a recipe that reads the answers of others comes after them."""

RULES: Final = frozenset({"fast_transient"})
"""Classifiers without an artefact: nothing is fitted, their recipe measures only."""

EVERY: Final = "all"
"""Name that stands for all models."""


class Recipe(Protocol):
    """What a module with a recipe offers; that of `RULES` has no ``train``."""

    @staticmethod
    def train(survey: Survey, data_dir: Path, seed: int, out_dir: Path) -> ModelSpec | Sidecar:
        """Fit a survey's model, measure it on objects never fitted on, write the artefact and return its sidecar."""

    @staticmethod
    def evaluate(survey: Survey, data_dir: Path, seed: int, directory: Path) -> dict[str, Any]:
        """Return the metrics of a stored model on held-out objects."""


def models(name: str) -> tuple[tuple[str, Survey], ...]:
    """Return classifier and survey of a model, e.g. ``coarse-ztf``, or of each for ``all``, in the order of fitting.

    Raises
    ------
    ConfigurationError : there is no such model.
    """
    known = {file_name(recipe, survey): (recipe, survey) for recipe, surveys in RECIPES.items() for survey in surveys}
    if name == EVERY:
        return tuple(known.values())
    if name not in known:
        raise ConfigurationError(f"There is no model {name!r}; it is one of {', '.join(known)} or {EVERY}.")
    return (known[name],)


def read_sidecar(name: str, survey: Survey, directory: Path) -> ModelSpec | Sidecar:
    """Return the sidecar of a stored model, of either kind; the checksum of its bytes is verified.

    Raises
    ------
    ModelError : absent, altered, unreadable, or made for the other survey.
    """
    if name in RULES:
        return _described(name, survey)
    try:
        text = (directory / f"{file_name(name, survey)}.json").read_text(encoding="utf-8")
        is_forest = "temperature" in json.loads(text)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"the sidecar of {name} cannot be read: {error}") from error
    if is_forest:
        return Classifier.load(name, survey, directory=directory).spec
    return read_artefact(name, survey, directory=directory)[0]


def _described(name: str, survey: Survey) -> Sidecar:
    """Return what a sidecar would say of a classifier that is rules; the checksum is empty, its code is the model."""
    module = next((item for item in MODULES if item.name == name), None)
    if module is None:
        raise ModelError(f"the classifier {name} is not registered")
    rules = module(survey)
    training: dict[str, Any] = {"split": "md5 of the object id: rules are measured on .5 to .7"}
    return Sidecar(name, rules.version, survey, rules.classes, "", {}, training, {})


def recipe(name: str) -> Recipe:
    """Return the recipe of a classifier, loaded when it is needed: each brings its own libraries."""
    return cast("Recipe", import_module(f"ingest.training.{name}"))
