"""One survey's night, field by field: how many alerts each field has, and its sources when they are asked for.

A field is a pure function of the night's seed and its number. A night of millions of alerts is therefore never in
memory as a whole: its fields are made when their visits come, and made again for the next visit if they were let go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.glint_trails import draw_trails
from ingest.simulate.observe import observe_field
from ingest.simulate.population import Sources, field_shares, join_sources
from ingest.simulate.source_classes import SourceClass

if TYPE_CHECKING:
    from ingest.simulate.observe import Observed
    from ingest.simulate.schedule import Schedule

IntArray = NDArray[np.int64]

SHARED_SHARE = 1 / 3
"""Largest share of LSST's alerts that may be of sources that ZTF saw as well: the bright end of a deep survey."""

EVENT_ALERTS = 3
"""Alerts that a field with an event has at least, as long as there are alerts: room for its counterpart."""


@dataclass(frozen=True, eq=False, slots=True)
class SurveySky:
    """Fields of one survey."""

    schedule: Schedule
    seed: tuple[int, int]
    """Seed of the night and number of the survey."""
    n_alerts: IntArray
    """(f,) alerts of each field tonight."""
    first_number: IntArray
    """(f,) number of the first source of each field, so that no two sources of the night share a name."""
    given: Sources
    """Counterparts of events."""
    other: SurveySky | None
    """The survey that may have seen the same sources."""
    other_field: IntArray
    """(f,) its field at the same place, -1 where there is none."""

    def field(self, number: int) -> Observed:
        """Return the sources of one field with all their visits, each with an alert tonight.

        Raises
        ------
        ValueError : the field cannot make as many alerts.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.seed[0], spawn_key=(self.seed[1], number)))
        wanted = int(self.n_alerts[number])
        parts = [self.given.select(np.flatnonzero(self.given.field == number))]
        if self.other is not None and self.other_field[number] >= 0 and wanted:
            parts.append(self._shared(number, int(SHARED_SHARE * wanted)))
        trails = draw_trails(rng, self.schedule, number, wanted)
        if trails is not None:
            parts.append(trails)
        return observe_field(rng, self.schedule, number, wanted, join_sources(parts))

    def _shared(self, number: int, at_most: int) -> Sources:
        """Return sources of the other survey that stand still, belong to no event and lie in this field."""
        if self.other is None:
            raise ValueError("there is no other survey")
        sources = self.other.field(int(self.other_field[number])).sources
        schedule = self.schedule
        ra, dec = np.radians(sources.ra_deg), np.radians(sources.dec_deg)
        ra0, dec0 = np.radians(schedule.field_ra_deg[number]), np.radians(schedule.field_dec_deg[number])
        cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
        inside = cosine > np.cos(np.radians(schedule.strategy.field_radius_deg))
        steady = (sources.rate_deg_d == 0.0) & ~sources.is_of(SourceClass.BOGUS, SourceClass.GLINT)
        rows = np.flatnonzero(inside & steady & (sources.event < 0))[:at_most]
        return replace(sources, field=np.full(len(sources), number, dtype=np.int64)).select(rows)


def make_sky(
    schedule: Schedule,
    seed: tuple[int, int],
    n_alerts: int,
    given: Sources,
    other: tuple[SurveySky, IntArray] | None = None,
) -> SurveySky:
    """Spread a night's alerts over the fields of a survey, as the density of its sources has it.

    Parameters
    ----------
    other : the survey that may have seen the same sources, and its field for each field of this one.
    """
    weights = field_shares(schedule).sum(axis=1)
    counts = np.zeros(len(schedule), dtype=np.int64)
    left = n_alerts
    for field in given.field.tolist():
        counts[field] += min(EVENT_ALERTS, left)
        left -= min(EVENT_ALERTS, left)
    rng = np.random.default_rng(np.random.SeedSequence(seed[0], spawn_key=(seed[1], len(schedule))))
    counts += rng.multinomial(left, weights / weights.sum())
    first = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)
    no_field = np.full(len(schedule), -1, dtype=np.int64)
    return SurveySky(
        schedule,
        seed,
        counts,
        first,
        given,
        None if other is None else other[0],
        no_field if other is None else other[1],
    )
