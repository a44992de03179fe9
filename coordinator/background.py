"""How many unrelated new objects the sky shows: the rate that chance coincidences are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.objects import ObjectColumns

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Background:
    """Rate of new objects that pass the same filters as those that are searched.

    Raises
    ------
    ValueError : there is no rate, or one is not positive.
    """

    rate_per_deg2_day: Mapping[str, float]
    """New objects per square degree and day, for each survey."""
    provenance: str
    """Where the rates come from, in one sentence."""

    def __post_init__(self) -> None:
        """Refuse rates that would make chance impossible."""
        rates = self.rate_per_deg2_day.values()
        if not rates or not all(0.0 < rate < np.inf for rate in rates):
            raise ValueError("a background needs a positive rate for at least one survey")

    def rates_of(self, survey: NDArray[np.object_]) -> FloatArray:
        """Return the rate (n,) [1/deg2/d] for each survey name (n,); an unknown survey gets the largest."""
        largest = max(self.rate_per_deg2_day.values())
        rates = np.full(len(survey), largest, dtype=np.float64)
        for name, rate in self.rate_per_deg2_day.items():
            rates[survey == name] = rate
        return rates


DEFAULT_BACKGROUND: Final = Background(
    {Survey.ZTF.value: 2.5, Survey.LSST.value: 20.0},
    "order of magnitude before any measurement: ZTF 2e5 public alerts a night over 1e4 deg2, 12 per cent of them the "
    "first of a new object that passes the screening (night of 2023-10-18); LSST 8e5 alerts over 1e4 deg2, 22 per cent "
    "new (first public nights of 2026)",
)
"""Rates [1/deg2/d] until the stream has been measured.

For every new object of any class, for that is what is matched: a rate of classified extragalactic transients, a
thousand times lower, would make chance look rare that is not.
"""


def measure_background(objects: ObjectColumns, area_deg2: Mapping[str, float], duration_d: float) -> Background:
    """Measure the rate of new objects from the stream itself.

    Parameters
    ----------
    objects : all objects first detected in the time and area, through the same filters as those searched.
    area_deg2 : sky that each survey visited at least twice in that time [deg2]; surveys without an entry are left out.
    duration_d : length of the time [d].

    Notes
    -----
    One object is added to each count, so that a short or empty sample overstates chance instead of dividing by zero.
    """
    rates = {
        name: (1.0 + float(np.count_nonzero(objects.survey == name))) / (area * duration_d)
        for name, area in sorted(area_deg2.items())
    }
    return Background(rates, f"measured: {len(objects)} new objects in {duration_d:g} d")
