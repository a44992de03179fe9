"""How many known blazars are in a flare about the time of a neutrino: what chance with them is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.strata import CELL_DEG2
from coordinator.windows import TimeWindow
from graph.model import Messenger
from graph.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from coordinator.background import Background, SurveyTally
    from graph.model import Event

FloatArray = NDArray[np.float64]
TextArray = NDArray[np.object_]

FLARE_WINDOW: Final = TimeWindow(
    start_s=-30.0 * SECONDS_PER_DAY,
    stop_s=30.0 * SECONDS_PER_DAY,
    softening_s=None,
    share_before=0.0,
    reason="Flares of blazars last weeks to months, before and after their neutrino; TXS 0506+056 brightened over the "
    "50 days before IceCube-170922A. No delay is preferred.",
)
"""Delay of a detection in a flare from the neutrino."""

FLARING_PER_DEG2: Final = 0.03
"""Known blazars that are seen in a high state at some time of `FLARE_WINDOW` [1/deg2], until it is measured: 4LAC-DR3
and 3HSP have some 4,500 between them on 41,253 deg2; fluxes are log-normal with a deviation of 0.5 mag, so a fifth are
above 1.5 times their median at any time and some three in ten within two months. The same for all surveys."""

FEWEST_NIGHTS: Final = 20
"""Nights of a survey below which the stated number holds: chance would be overstated more than threefold, see
`measured_flaring_per_deg2`."""

FEWEST_FLARING: Final = 20
"""Known blazars in a flare below which it holds as well: a fifth of Poisson error."""


def may_have_flares(event: Event) -> bool:
    """Return whether flares of known blazars are candidates of an event."""
    return event.messenger is Messenger.NEUTRINO and event.trigger_time is not None


def flaring_per_deg2(background: Background, survey: TextArray) -> FloatArray:
    """Return how many known blazars each survey (n,) sees in a flare in `FLARE_WINDOW` [1/deg2]."""
    known = background.flaring_per_deg2
    return np.array([known.get(name, FLARING_PER_DEG2) for name in survey], dtype=np.float64)


def measured_flaring_per_deg2(n_flaring: int, counted: SurveyTally) -> float | None:
    """Return how many known blazars a survey sees in a flare in a window like `FLARE_WINDOW` [1/deg2].

    Parameters
    ----------
    n_flaring : known blazars that it saw in a flare in the nights of the tally.

    Returns
    -------
    The number in a square degree of the sky that it visited; None where that is too few to say.

    Notes
    -----
    A window of 60 days holds as many shorter spells as fit into it, and no more flaring blazars than all of these
    together. So a count over n < 60 nights is multiplied by 60 / n: an upper bound, for a blazar that flares on and on
    is counted in each. Chance is overstated by that, never understated.
    """
    if counted.n_nights < FEWEST_NIGHTS or n_flaring < FEWEST_FLARING:
        return None
    spells = max(FLARE_WINDOW.length_s / SECONDS_PER_DAY / counted.n_nights, 1.0)
    return (1.0 + n_flaring) * spells / (CELL_DEG2 * np.count_nonzero(counted.visits))
