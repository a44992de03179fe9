"""All classifiers, in the order in which they are asked."""

from __future__ import annotations

from typing import Final

from graph.model import Survey
from ingest.classifiers.anomaly import Anomaly
from ingest.classifiers.coarse import Coarse
from ingest.classifiers.contract import Module
from ingest.classifiers.early_snia import EarlySnIa
from ingest.classifiers.fast_transient import FastTransient
from ingest.classifiers.kilonova import Kilonova
from ingest.classifiers.microlensing import Microlensing
from ingest.classifiers.sn_types import SnTypes
from ingest.classifiers.solar_system import SolarSystem
from ingest.classifiers.summary import Summary
from ingest.classifiers.variability import Variability

MODULES: Final[tuple[type[Module], ...]] = (
    Coarse,
    SolarSystem,
    Variability,
    EarlySnIa,
    SnTypes,
    Kilonova,
    FastTransient,
    Microlensing,
    Anomaly,
    Summary,
)
"""A classifier stands after those whose answers it reads."""


def load_modules(survey: Survey) -> tuple[Module, ...]:
    """Return the classifiers for a survey, loaded.

    Raises
    ------
    ModelError : an artefact is absent or altered.
    """
    return tuple(module(survey) for module in MODULES if survey in module.surveys)
