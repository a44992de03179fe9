"""Random numbers that depend on what they are for, not on when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def stable_random(phase: FloatArray, salt: NDArray[np.floating[Any]] | NDArray[np.int64] | float) -> FloatArray:
    """Return numbers in [0, 1) that are the same whenever phase and salt are.

    Notes
    -----
    The fractional part of a large sine: good enough to scatter nuisance fields of a packet, not for statistics. A
    history point needs it because it is written again in every later alert of its object.
    """
    return np.asarray(np.modf(np.abs(np.sin(phase * 127.1 + np.asarray(salt) * 78.233 + 0.5)) * 43758.5453)[0])
