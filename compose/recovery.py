"""Simulated counterparts that were put into nights, and at which place the correlation names each.

A counterpart that both surveys see is two objects and counts once, at the better of their places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow.parquet

from compose.config import Settings
from compose.correlate import read_notices, read_objects
from coordinator.offline import RankedPair, correlate, form_all
from graph.errors import NotFoundError
from graph.model import CoincidenceState
from graph.objects import ObjectColumns
from ingest.catalogue import build_catalogue
from ingest.simulate.catalogue import SIMULATED_CATALOGUE

PLACES: Final = (1, 5, 20)
"""Places up to which a counterpart counts as recalled: one pointing, a few, what a night of a small telescope holds."""

Identity = tuple[str, str]
"""Survey and object_id."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A counterpart that was put into a night, and what came of it."""

    kind: str
    """What it is, a class of the simulator."""
    event_key: str
    is_seen: bool
    """Whether an alert of it passed the screening."""
    n_pairs: int
    """Open pairs of its event."""
    place: int | None
    """Among the pairs of its event, by Bayes factor; 1 is first, None where there is no pair."""
    list_place: int | None
    """On the follow-up list of its science case."""


def recover(night: Path, settings: Settings, progress: Callable[[str], None]) -> tuple[Injected, ...]:
    """Correlate a night as ``heliograph simulate --out`` writes it, and look for what was put into it.

    Parameters
    ----------
    progress : is told what is done next.

    Raises
    ------
    NotFoundError : a part of the night is missing.
    """
    alerts, told, catalogue, truth = (night / name for name in ("alerts", "notices", "catalogue.csv", "truth.parquet"))
    for path in (alerts, told, catalogue, truth):
        if not path.exists():
            raise NotFoundError(f"{path} is missing: 'heliograph simulate --out {night}' writes it.")
    progress(f"{night.name}: alerts")
    with TemporaryDirectory() as folder:
        build_catalogue("simulated", catalogue, Path(folder), SIMULATED_CATALOGUE)
        ingest = settings.ingest.model_copy(update={"catalogue_dir": Path(folder)})
        objects, flares, _ = read_objects(alerts, ingest, lambda _: None)
    progress(f"{night.name}: notices")
    notices, _ = read_notices(told, lambda _: None)
    progress(f"{night.name}: correlation")
    pairs = correlate(
        form_all(notices),
        objects,
        settings.coordinator.background(),
        max_credible_level=settings.coordinator.max_credible_level,
        flares=flares,
    )
    return find_injected(truth, objects, pairs)


def find_injected(truth: Path, objects: ObjectColumns, pairs: Iterable[RankedPair]) -> tuple[Injected, ...]:
    """Return every counterpart of a truth table, by event."""
    table = pyarrow.parquet.read_table(truth, columns=["event_id", "mission", "survey", "object_id", "class"])
    members: dict[tuple[str, str], set[Identity]] = defaultdict(set)
    for row in table.filter(table["event_id"].is_valid()).to_pylist():
        event_key = f"{row['mission']}:{row['event_id']}"
        members[event_key, row["class"]].add((row["survey"], row["object_id"]))
    seen = set(zip(objects.survey.tolist(), objects.object_id.tolist(), strict=True))
    of_event: dict[str, list[RankedPair]] = defaultdict(list)
    for entry in pairs:
        if entry.pair.state is CoincidenceState.OPEN:
            of_event[entry.pair.event_key].append(entry)
    injected = []
    for (event_key, kind), names in sorted(members.items()):
        ordered = sorted(of_event[event_key], key=lambda entry: (-entry.pair.log_bayes_factor, _identity(entry)))
        places = [place for place, entry in enumerate(ordered, start=1) if _identity(entry) in names]
        ranks = [entry.rank for entry in ordered if entry.rank is not None and _identity(entry) in names]
        best, listed = min(places, default=None), min(ranks, default=None)
        injected.append(Injected(kind, event_key, bool(names & seen), len(ordered), best, listed))
    return tuple(injected)


def _identity(entry: RankedPair) -> Identity:
    return entry.pair.survey.value, entry.pair.object_id


def recall(injected: Iterable[Injected]) -> dict[str, dict[str, object]]:
    """Return figures by kind of counterpart and for all, JSON-ready.

    ``recall_at`` is the share of those seen that are among the first 1, 5, 20 of their event; ``list_recall_at`` the
    same on the list of the science case, whose places all events of the nights share.
    """
    every = list(injected)
    groups = {kind: [one for one in every if one.kind == kind] for kind in sorted({one.kind for one in every})}
    return {kind: _figures(members) for kind, members in {**groups, "all": every}.items()}


def _figures(members: list[Injected]) -> dict[str, object]:
    seen = [one for one in members if one.is_seen]
    found = [one for one in seen if one.place is not None]
    return {
        "injected": len(members),
        "seen": len(seen),
        "found": len(found),
        "recall_at": _at([one.place for one in seen]),
        "list_recall_at": _at([one.list_place for one in seen]),
        "median_pairs": float(np.median([one.n_pairs for one in found])) if found else 0.0,
    }


def _at(places: list[int | None]) -> dict[str, float | None]:
    """Return the share of places that are among the first; None of none."""
    if not places:
        return {str(limit): None for limit in PLACES}
    return {
        str(limit): round(sum(place is not None and place <= limit for place in places) / len(places), 3)
        for limit in PLACES
    }
