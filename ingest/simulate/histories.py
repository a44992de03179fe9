"""What a survey knows of an object before the packet's own history: how old, how often seen, what lies next to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.hashing import stable_random
from ingest.simulate.source_classes import CLASSES, SourceClass

if TYPE_CHECKING:
    from ingest.simulate.observe import Observed

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Neighbour(NamedTuple):
    """The nearest catalogued source of a kind: ranges of its distance and of its star-galaxy score."""

    nearest_arcsec: float
    farthest_arcsec: float
    lowest_score: float
    highest_score: float


_STAR = Neighbour(0.05, 0.5, 0.85, 1.0)
_GALAXY = Neighbour(0.4, 4.0, 0.0, 0.2)
_NUCLEUS = Neighbour(0.05, 0.4, 0.05, 0.9)
_UNRELATED = Neighbour(2.5, 20.0, 0.0, 1.0)

NEIGHBOURS: dict[SourceClass, Neighbour] = {
    SourceClass.SN_IA: _GALAXY,
    SourceClass.SN_II: _GALAXY,
    SourceClass.SN_IBC: _GALAXY,
    SourceClass.SUPERLUMINOUS: _GALAXY,
    SourceClass.TIDAL_DISRUPTION: Neighbour(0.05, 0.4, 0.0, 0.3),
    SourceClass.KILONOVA: Neighbour(2.0, 10.0, 0.0, 0.1),
    SourceClass.AFTERGLOW: _UNRELATED,
    SourceClass.OFF_AXIS_AFTERGLOW: _UNRELATED,
    SourceClass.MICROLENSING: _STAR,
    SourceClass.AGN: _NUCLEUS,
    SourceClass.BLAZAR_FLARE: _NUCLEUS,
    SourceClass.RR_LYRAE: _STAR,
    SourceClass.CEPHEID: _STAR,
    SourceClass.ECLIPSING_BINARY: _STAR,
    SourceClass.LONG_PERIOD: _STAR,
    SourceClass.CATACLYSMIC: _STAR,
    SourceClass.M_DWARF_FLARE: _STAR,
    SourceClass.ASTEROID: _UNRELATED,
    SourceClass.STREAK: _UNRELATED,
    SourceClass.GLINT: _UNRELATED,
    SourceClass.BOGUS: _UNRELATED,
}
"""What PS1 shows next to each kind; scores as in Tachibana & Miller 2018, doi:10.1088/1538-3873/aae3d9."""

LONG_KNOWN = (
    SourceClass.AGN,
    SourceClass.BLAZAR_FLARE,
    SourceClass.RR_LYRAE,
    SourceClass.CEPHEID,
    SourceClass.ECLIPSING_BINARY,
    SourceClass.LONG_PERIOD,
)
"""Kinds that the surveys have detected for years."""

OLDEST_D = 2000.0
"""Age of the oldest records [d]: ZTF's public survey began in 2018, LSST's are younger still."""


@dataclass(frozen=True, eq=False, slots=True)
class Histories:
    """Record of each of the n sources of a survey."""

    earlier_detections: IntArray
    """(n,) detections before the packet's history."""
    first_mjd_tai: FloatArray
    """(n,) first detection ever [d, TAI]."""
    detections: IntArray
    """(p,) detections up to and with each point."""
    neighbour_arcsec: FloatArray
    neighbour_score: FloatArray

    def select(self, rows: IntArray, points: IntArray) -> Histories:
        """Return the records of some sources, whose points are given too."""
        return Histories(
            self.earlier_detections[rows],
            self.first_mjd_tai[rows],
            self.detections[points],
            self.neighbour_arcsec[rows],
            self.neighbour_score[rows],
        )


def join_histories(parts: list[Histories]) -> Histories:
    """Return the records of several fields in one table, in order."""
    return Histories(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Histories)))


def make_histories(seen: Observed, *, oldest_d: float = OLDEST_D) -> Histories:
    """Invent what happened before the packet's history, consistently for each source."""
    sources = seen.sources
    known = sources.is_of(*LONG_KNOWN)
    age = stable_random(sources.phase, 1.0)
    earlier = np.where(known, 3 + (400.0 * age * stable_random(sources.phase, 2.0)).astype(np.int64), 0)
    begin = seen.schedule.midpoint_mjd_tai.min()
    # Every kept source was detected at least tonight; the first place of its detections in the ragged table.
    rows = np.flatnonzero(seen.detected)
    first_row = rows[np.searchsorted(rows, seen.point_start[:-1])]
    first = np.where(known, begin - 30.0 - oldest_d * age, seen.midpoint_mjd_tai[first_row])
    running = np.concatenate([[0], np.cumsum(seen.detected)])
    so_far = running[1:] - running[seen.point_start[seen.source]]
    ranges = np.array([NEIGHBOURS[one] for one in CLASSES])[sources.code]
    near, score = stable_random(sources.phase, 3.0), stable_random(sources.phase, 4.0)
    return Histories(
        earlier_detections=earlier,
        first_mjd_tai=first,
        detections=so_far + earlier[seen.source],
        neighbour_arcsec=ranges[:, 0] + (ranges[:, 1] - ranges[:, 0]) * near,
        neighbour_score=ranges[:, 2] + (ranges[:, 3] - ranges[:, 2]) * score,
    )
