"""What the visits before a first detection say: a counterpart that fades would have been seen by one after the trigger.

The last visit that saw nothing and the first detection bracket the onset. Where the former is before the trigger, both
a counterpart and a stranger may have begun in between, and nothing is said. Where it is after it, a counterpart was
brighter then than when it was found; it was missed only if that visit was so much shallower, which its limit tells. A
stranger may not have begun by then, or was about as bright as when it was found.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped, unused-ignore]

from graph.model import ScienceCase, Term
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from graph.objects import ObjectColumns

FloatArray = NDArray[np.float64]
RowArray = NDArray[np.intp]

DECAY_INDEX: Final = 1.0
"""Power of time with which afterglows fade [1]: flux falls as 1/t, the mean of optical ones; Kann et al. 2010,
doi:10.1088/0004-637X/720/2/1513."""

AFTERGLOW_RISE_D: Final = 300.0 / SECONDS_PER_DAY
"""Time [d] for which an afterglow may still rise: most peak within some minutes; Liang et al. 2010,
doi:10.1088/0004-637X/725/2/2209."""

KILONOVA_RISE_D: Final = 1.0
"""Time [d] for which a kilonova may still rise: AT 2017gfo was at its brightest in the optical within a day;
doi:10.3847/2041-8213/aa91c9."""

KILONOVA_FADE_MAG_D: Final = 0.3
"""How fast a kilonova fades at least [mag/d]; Andreoni et al. 2021, doi:10.3847/1538-4357/ac0bc7."""

DEPTH_SCATTER_MAG: Final = 0.7
"""Standard deviation of the difference in depth of two visits [mag] where the limit is not known: 0.5 mag of one, for
moon, clouds and band. The depth is then taken for the magnitude of the first detection."""

LIMIT_SCATTER_MAG: Final = 0.5
"""The same where it is [mag]: colours of transients between two bands, and the spread of the decay."""

NOT_BEGUN: Final = 0.5
"""P(not there at all at that visit) of a stranger, and of a counterpart while it may still rise [1]: stated, since
nobody has measured how long new objects of all kinds last."""

SMALLEST_CHANCE: Final = 0.01
"""Floor of the chance that a counterpart was missed [1]: some rise late or brighten again, and some visits are bad."""


def onset_terms(case: ScienceCase, trigger_mjd_tai: float, objects: ObjectColumns, rows: RowArray) -> dict[int, Term]:
    """Return the term of each row that a visit after the trigger did not see, by its place among the rows.

    Notes
    -----
    ``ln(P / S)`` of a limit that is ``deeper`` than the first detection by some magnitudes. A counterpart that faded
    since is missed with ``P = Phi(-(deeper + faded) / scatter)``, a stranger with
    ``S = b + (1 - b) Phi(-deeper / scatter)``, b being `NOT_BEGUN`; while a counterpart may still rise it has such a
    share as well. Neutrinos and triggers of unknown kind have no counterpart that is known to fade.
    """
    limit = objects.last_limit_mjd_tai[rows] - trigger_mjd_tai
    missed = np.flatnonzero(limit > 0.0)
    if len(missed) == 0 or case not in {ScienceCase.GRB, ScienceCase.GW}:
        return {}
    limit_d, found_d = limit[missed], objects.first_midpoint_mjd_tai[rows[missed]] - trigger_mjd_tai
    limit_mag, first_mag = objects.last_limit_mag[rows[missed]], objects.first_mag[rows[missed]]
    faded_mag = _afterglow(limit_d, found_d) if case is ScienceCase.GRB else _kilonova(limit_d, found_d)
    rise_d = AFTERGLOW_RISE_D if case is ScienceCase.GRB else KILONOVA_RISE_D
    is_known = np.isfinite(limit_mag - first_mag)
    deeper_mag = np.where(is_known, limit_mag - first_mag, 0.0)
    scatter_mag = np.where(is_known, LIMIT_SCATTER_MAG, DEPTH_SCATTER_MAG)
    counterpart = _missed(np.where(limit_d < rise_d, NOT_BEGUN, 0.0), (deeper_mag + faded_mag) / scatter_mag)
    stranger = _missed(NOT_BEGUN, deeper_mag / scatter_mag)
    value = np.log(np.maximum(counterpart, SMALLEST_CHANCE) / stranger)
    inputs = {
        "last_limit_delta_t_s": limit_d * SECONDS_PER_DAY,
        "last_limit_mag": limit_mag,
        "first_mag": first_mag,
        "faded_mag": faded_mag,
    }
    told = zip(*(column.tolist() for column in inputs.values()), strict=True)
    return {
        place: Term(
            "onset", said, {name: n if math.isfinite(n) else None for name, n in zip(inputs, numbers, strict=True)}
        )
        for place, said, numbers in zip(missed.tolist(), value.tolist(), told, strict=True)
    }


def _missed(not_begun: FloatArray | float, deeper_sigma: FloatArray) -> FloatArray:
    """Return the probability that a visit missed what began with some probability and was brighter than its limit."""
    return np.asarray(not_begun + (1.0 - not_begun) * ndtr(-deeper_sigma), dtype=np.float64)


def _afterglow(limit_d: FloatArray, found_d: FloatArray) -> FloatArray:
    """Return by how much an afterglow faded between two times since its burst [d], in magnitudes."""
    later = np.maximum(found_d / np.maximum(limit_d, AFTERGLOW_RISE_D), 1.0)
    return np.asarray(2.5 * DECAY_INDEX * np.log10(later), dtype=np.float64)


def _kilonova(limit_d: FloatArray, found_d: FloatArray) -> FloatArray:
    """Return the same of a kilonova: nothing while it may still rise."""
    return np.asarray(
        KILONOVA_FADE_MAG_D * np.maximum(found_d - np.maximum(limit_d, KILONOVA_RISE_D), 0.0), dtype=np.float64
    )
