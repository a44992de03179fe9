"""Flux against time for each kind of source: simple forms from the literature, on arrays of points.

Every model answers in nJy of difference flux: what a survey sees after its reference image was subtracted. A model
is a pure function of time, so the same source has the same past in every alert and in both surveys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ingest.simulate import transients, variables
from ingest.simulate.source_classes import CLASSES, SourceClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.simulate.source_classes import Points

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MODELS: dict[SourceClass, Callable[[Points], FloatArray]] = {
    SourceClass.SN_IA: transients.supernova_ia,
    SourceClass.SN_II: transients.supernova_ii,
    SourceClass.SN_IBC: transients.supernova_ibc,
    SourceClass.SUPERLUMINOUS: transients.superluminous,
    SourceClass.TIDAL_DISRUPTION: transients.tidal_disruption,
    SourceClass.KILONOVA: transients.kilonova,
    SourceClass.AFTERGLOW: transients.afterglow,
    SourceClass.OFF_AXIS_AFTERGLOW: transients.off_axis_afterglow,
    SourceClass.MICROLENSING: transients.microlensing,
    SourceClass.AGN: variables.active_nucleus,
    SourceClass.BLAZAR_FLARE: variables.blazar_flare,
    SourceClass.RR_LYRAE: variables.rr_lyrae,
    SourceClass.CEPHEID: variables.cepheid,
    SourceClass.ECLIPSING_BINARY: variables.eclipsing_binary,
    SourceClass.LONG_PERIOD: variables.long_period,
    SourceClass.CATACLYSMIC: transients.cataclysmic,
    SourceClass.M_DWARF_FLARE: transients.m_dwarf_flare,
    SourceClass.ASTEROID: variables.asteroid,
    SourceClass.STREAK: variables.asteroid,
    SourceClass.GLINT: variables.satellite_glint,
    SourceClass.BOGUS: variables.bogus,
}
"""The model of each class."""


def difference_flux(code: IntArray, points: Points) -> FloatArray:
    """Return the difference flux of each point.

    Parameters
    ----------
    code : (p,) place of the source's class in `CLASSES`.
    points : (p,) moments.

    Returns
    -------
    (p,) [nJy]; zero before a transient begins, signed for variables.
    """
    flux = np.zeros(len(code))
    for place, source_class in enumerate(CLASSES):
        rows = np.flatnonzero(code == place)
        if len(rows):
            flux[rows] = MODELS[source_class](points.select(rows))
    return flux
