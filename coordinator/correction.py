"""A measured, monotone map from the chance probabilities that we work out to those that are observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = NDArray[np.float64]

N_KNOTS: Final = 48
"""Knots of a map: some ten for each factor of ten in probability that thousands of trials can tell apart."""

FEWEST_TRIALS: Final = 100
"""Trials below which no map is made: its steps would be a tenth and more."""

ALL_LATITUDES: Final = "all"
"""Key of the map that stands for latitude bins with too few trials."""


@dataclass(frozen=True, eq=False, slots=True)
class PMap:
    """Knots of a monotone map of [0, 1] onto itself.

    Raises
    ------
    ValueError : the knots do not ascend from 0 to 1.
    """

    stated: FloatArray
    """(k,) probabilities worked out; strictly ascending from 0 to 1."""
    observed: FloatArray
    """(k,) how often chance gave one as small; ascending from 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse what is no such map."""
        for knots in (self.stated, self.observed):
            if knots.ndim != 1 or len(knots) < 2 or knots[0] != 0.0 or knots[-1] != 1.0:
                raise ValueError("the knots of a correction go from 0 to 1")
        if self.stated.shape != self.observed.shape:
            raise ValueError("a correction has as many observed as stated knots")
        if not (np.all(np.diff(self.stated) > 0.0) and np.all(np.diff(self.observed) >= 0.0)):
            raise ValueError("the knots of a correction ascend")

    def __call__(self, p_chance: FloatArray) -> FloatArray:
        """Return the corrected probabilities (n,); between knots and below the first one in proportion."""
        return np.asarray(np.interp(p_chance, self.stated, self.observed), dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class Correction:
    """The maps of one calibration."""

    maps: Mapping[tuple[str, str], PMap]
    """(survey, number of the latitude bin or `ALL_LATITUDES`) -> map; what has none stays as it is."""
    provenance: str
    """What it was made from, in one sentence."""

    def expected(self, survey: NDArray[np.object_], latitude: int, expected: FloatArray) -> FloatArray:
        """Return numbers of objects expected by chance (n,) whose probabilities 1 - exp(-n) are corrected."""
        corrected = expected.copy()
        for name in {str(one) for one in survey}:
            chosen = self.maps.get((name, str(latitude))) or self.maps.get((name, ALL_LATITUDES))
            if chosen is not None:
                mine = survey == name
                p_chance = np.minimum(chosen(-np.expm1(-expected[mine])), np.nextafter(1.0, 0.0))
                corrected[mine] = -np.log1p(-p_chance)
        return corrected


def fit_map(p_chance: FloatArray) -> PMap | None:
    """Return the map that makes a sample of chance probabilities uniform, None for fewer than `FEWEST_TRIALS`.

    Notes
    -----
    The empirical distribution at `N_KNOTS` of its order statistics, closer together towards 0. Of n values
    the k-th smallest is taken to (k + 1) / (n + 2), so that the smallest one ever seen is not called rarer than it was.
    """
    n = len(p_chance)
    if n < FEWEST_TRIALS:
        return None
    ordered = np.sort(np.clip(p_chance, 0.0, 1.0))
    stated = np.unique(ordered[np.unique(np.geomspace(1.0, n, N_KNOTS).round().astype(np.int64)) - 1])
    # Of equal values all count.
    observed = (np.searchsorted(ordered, stated, side="right") + 1.0) / (n + 2.0)
    between = (stated > 0.0) & (stated < 1.0)
    return PMap(np.concatenate(([0.0], stated[between], [1.0])), np.concatenate(([0.0], observed[between], [1.0])))
