"""Types that came back for objects that were asked for: from a file, or from catalogues by way of the graph."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from graph.errors import ConfigurationError
from graph.taxonomy import PARENTS
from ingest.classifiers.evidence import class_of_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from graph.model import Survey
    from graph.views import MatchView

LARGEST_FILE: Final = 20_000_000
"""Bytes of a file of labels beyond which it is refused: a million labels."""

REPORTING: Final = ("tns", "known_tde", "simbad")
"""Catalogues whose types people gave, the most trusted first: TNS and the disruptions out of it hold classification
reports, mostly spectra; SIMBAD what publications say."""

SAME_SOURCE: Final = 0.9
"""Probability of a cross-match from which the entry's type is taken for the object's [1]; a wrong label costs more than
a missing one."""

OBJECTS_AT_A_TIME: Final = 1000
"""Objects that the graph is asked about at a time: 0.1 to 0.3 s on two cores, far below its time limit."""


class LabelSource(Protocol):
    """Where types come back from: a file, or what catalogues in the graph report."""

    def labels(self) -> Mapping[str, str]:
        """Return object id -> class of `graph.taxonomy` for all objects whose type is known."""


@dataclass(frozen=True, slots=True)
class LabelFile:
    """Types in a file: CSV with the columns ``object_id`` and ``class``, or a JSON object of id -> class."""

    path: Path

    def labels(self) -> Mapping[str, str]:
        """Return object id -> class.

        Raises
        ------
        ConfigurationError : the file cannot be read, or names a class that is not in the taxonomy.
        """
        try:
            if self.path.stat().st_size > LARGEST_FILE:
                raise ConfigurationError(f"{self.path.name} is too large for a file of labels.")
            text = self.path.read_text(encoding="utf-8")
            if self.path.suffix == ".json":
                found = {str(name): str(label) for name, label in dict(json.loads(text)).items()}
            else:
                found = {row["object_id"].strip(): row["class"].strip() for row in csv.DictReader(text.splitlines())}
        except (OSError, KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
            raise ConfigurationError(f"The labels in {self.path.name} cannot be read.") from error
        unknown = sorted({label for label in found.values() if label not in PARENTS})
        if unknown:
            raise ConfigurationError(f"{self.path.name} names the class {unknown[0][:40]!r}, which is not known.")
        return found


class MatchReading(Protocol):
    """The question that `GraphLabels` asks; `graph.reader.GraphReader` answers it."""

    def matches_of_objects(self, survey: Survey, object_ids: Sequence[str]) -> Mapping[str, Sequence[MatchView]]:
        """Return object id -> the catalogue entries at its place, nearest first."""


@dataclass(frozen=True, eq=False, slots=True)
class GraphLabels:
    """Types that people reported, from the cross-matches of some objects in the graph.

    Notes
    -----
    The first of `REPORTING` that states a type counts, and of its entries the most probable. A type is known once the
    stream met the object with a catalogue that has it: what faded before its type was reported needs a `LabelFile`. A
    type belongs to a place: an old supernova gives its type to whatever shines there later.
    """

    reader: MatchReading
    survey: Survey
    object_ids: Sequence[str]
    """Objects that are asked about."""

    def labels(self) -> Mapping[str, str]:
        """Return object id -> class.

        Raises
        ------
        StoreError : the graph cannot be reached.
        """
        wanted = sorted(set(self.object_ids))
        found: dict[str, str] = {}
        for names in (wanted[i : i + OBJECTS_AT_A_TIME] for i in range(0, len(wanted), OBJECTS_AT_A_TIME)):
            for name, matches in self.reader.matches_of_objects(self.survey, names).items():
                label = _reported(matches)
                if label:
                    found[name] = label
        return found


def _reported(matches: Sequence[MatchView]) -> str:
    """Return the class that the most trusted of some catalogue entries state; empty where none states one."""
    said = [
        (REPORTING.index(match.catalog), -match.probability, match.source_key, label)
        for match in matches
        if match.catalog in REPORTING and match.probability is not None and match.probability >= SAME_SOURCE
        for label in [class_of_type(match.object_type or "")]
        if label in PARENTS
    ]
    return min(said)[3] if said else ""
