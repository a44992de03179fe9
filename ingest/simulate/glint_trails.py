"""Trails of satellite glints: several flashes of one tumbling satellite, on one great circle, in one exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.simulate.population import SATURATION_SHIFT_MAG, Sources, join_sources, still_sources
from ingest.simulate.schedule import Schedule, offset_positions
from ingest.simulate.source_classes import CLASSES, SourceClass, magnitude_to_njy

FloatArray = NDArray[np.float64]

GLINT_SHARE = 0.01
"""Mean share of a night's alerts that are glints; a round number, since it depends on season and twilight. Glints in
ZTF's stream: Karpov & Peloton 2022, arXiv:2202.05719."""

GLINTS_OF_TRAIL = (5, 20)
"""Fewest and most glints of one trail; same source, whose search needs 5."""

GLINT_SPACING_ARCSEC = (12.0, 90.0)
"""Range of the distance from one glint to the next [arcsec]; same source, whose search takes pairs more than 10 arcsec
apart."""

GLINT_SCATTER_ARCSEC, GLINT_FARTHEST_ARCSEC = 0.7, 1.5
"""Standard deviation and largest distance of a glint from its great circle [arcsec]; the 1 to 2 arcsec of the same
source's fits."""

SHARE_OF_FIELD = 0.25
"""Largest share of a field's alerts that glints take, so that a sparse field stays a field."""


def draw_trails(rng: np.random.Generator, schedule: Schedule, field: int, n_alerts: int) -> Sources | None:
    """Draw the trails of one field, None where there are none.

    Parameters
    ----------
    n_alerts : alerts of the field tonight.
    """
    fewest, most = GLINTS_OF_TRAIL
    room = int(SHARE_OF_FIELD * n_alerts)
    parts: list[Sources] = []
    for _ in range(int(rng.poisson(GLINT_SHARE * n_alerts / (0.5 * (fewest + most))))):
        n = int(rng.integers(fewest, most + 1))
        if n > room:
            break
        room -= n
        parts.append(_trail(rng, schedule, field, n, len(parts)))
    return join_sources(parts) if parts else None


def _trail(rng: np.random.Generator, schedule: Schedule, field: int, n: int, number: int) -> Sources:
    """Return one trail of n glints; its number is unique in its field."""
    strategy = schedule.strategy
    place = offset_positions(
        schedule.field_ra_deg[[field]],
        schedule.field_dec_deg[[field]],
        0.8 * strategy.field_radius_deg * np.sqrt(rng.random(1)),
        rng.uniform(0.0, 360.0, 1),
    )
    along = np.cumsum(rng.uniform(*GLINT_SPACING_ARCSEC, n))
    along -= along.mean()
    across = np.clip(rng.normal(0.0, GLINT_SCATTER_ARCSEC, n), -GLINT_FARTHEST_ARCSEC, GLINT_FARTHEST_ARCSEC)
    heading = float(rng.uniform(0.0, 360.0))
    # Within half a degree the offset by the hypotenuse is as good as two offsets one after the other.
    distance, angle = np.hypot(along, across), heading + np.degrees(np.arctan2(across, along))
    places = offset_positions(np.repeat(place[0], n), np.repeat(place[1], n), distance / 3600.0, angle)
    bright = 16.0 + (SATURATION_SHIFT_MAG if strategy.survey is Survey.LSST else 0.0)
    visits = schedule.visits_of(field)
    visit = int(rng.integers(len(visits)))
    # A magnitude above the limit in every band that is used for pairs: none is lost to noise.
    depth = -2.5 * np.log10(schedule.limit_njy[visits[visit]]) + 31.4
    colour = 2.0 if schedule.band[visits[visit]] == 0 else 0.5
    return still_sources(
        np.full(n, CLASSES.index(SourceClass.GLINT), dtype=np.int64),
        np.full(n, field, dtype=np.int64),
        places,
        epoch_mjd_tai=np.full(n, schedule.midpoint_mjd_tai[visits[visit]]),
        peak_njy=magnitude_to_njy(rng.uniform(bright, depth - 1.0 - colour, n)),
        amplitude_mag=np.zeros(n),
        timescale_d=np.ones(n),
        phase=rng.random(n),
        only_visit=np.full(n, visit, dtype=np.int64),
        trail=np.full(n, field * 1_000 + number, dtype=np.int64),
    )
