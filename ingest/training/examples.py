"""From labelled histories to the rows that a classifier is fitted on: what single alerts would have shown.

An alert sees the past only, and a survey's packet only a window of it. Every history is therefore cut at random
detections, early ones preferred, so that a model meets short histories as often as in a night.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.features import FeatureTable, light_curve_features
from ingest.training.histories import History, SimulatedObject, flux_from_magnitude, pack_light_curves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ingest.alerts.columns import LightCurves

FloatArray = NDArray[np.float64]

HISTORY_D: Mapping[Survey, float] = {Survey.ZTF: 30.0, Survey.LSST: 365.0}
"""Length of the history in a packet [d]; ZTF alert schema prv_candidates, LSST DPDD (LSE-163) 12 months."""

MINIMUM_POINTS = 3
"""Detections below which no model answers: fewer have neither a slope nor a scatter in any band."""

EARLY_POINTS = 8
"""Every object is cut once at its third to eighth detection: young transients are what follow-up needs."""

CUTS = 3
"""Random cuts of each history beside the early one: enough to fill the phases, few enough to stay independent."""

SUPERNOVAE = frozenset({"SN Ia", "SN CC"})
"""Classes of the simulation that stand in for the supernovae of ZTF."""

PEAK_MAG_RANGE = (12.0, 20.0)
"""Peak of the brightened supernovae [mag AB], from the nearest of a decade to the faintest that get a class, density
rising linearly: far less steep than on the sky, because brightness alone must not make a star of a supernova."""

VISIT_PROBABILITY = 0.4
"""Chance that a band is observed in a night: ZTF's public survey returns every 2 to 3 nights in g and r."""

DEPTH_MAG = 20.5
"""Median 5 sigma depth of a ZTF exposure [mag AB]; Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe."""

DEPTH_SCATTER_MAG = 0.4
"""Scatter of the depth with moon and weather [mag]."""

FLOOR = 0.02
"""Calibration error of a difference flux, relative; Masci et al. 2019, doi:10.1088/1538-3873/aae8ac."""

LONGEST_GAP_D = 15.0
"""Simulated points further apart than this are not joined [d]: a supernova's maximum would be cut off."""

SCORE_SPREAD = 0.1
"""Blur of a lent star-galaxy score: a choice of ours, small beside the distance between star and galaxy."""

DISTANCE_SPREAD = 0.3
"""Blur of a lent distance, in its natural logarithm: as wide as the gaps between the few lenders."""

NEIGHBOURLESS = 0.25
"""Share of rows that lose their neighbour."""


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """Rows to fit or to judge on."""

    features: FeatureTable
    label: NDArray[np.object_]
    object_id: NDArray[np.object_]
    source: NDArray[np.object_]
    curves: LightCurves
    """The light curves that the features are of."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)


def _window(history: History, end: int, length_d: float) -> History:
    """Return the part of a history that ends with point ``end`` and is ``length_d`` long."""
    time = history.midpoint_mjd_tai[: end + 1]
    kept = slice(int(np.searchsorted(time, time[-1] - length_d)), end + 1)
    return replace(
        history,
        midpoint_mjd_tai=history.midpoint_mjd_tai[kept],
        band=history.band[kept],
        psf_flux_njy=history.psf_flux_njy[kept],
        psf_flux_err_njy=history.psf_flux_err_njy[kept],
        upper_limit_njy=history.upper_limit_njy[kept],
    )


def cut_histories(histories: Iterable[History], survey: Survey, rng: np.random.Generator) -> Iterator[History]:
    """Yield what alerts would have shown: the newest, an early and some random detections of each history."""
    for history in histories:
        detections = np.flatnonzero(np.isfinite(history.psf_flux_njy))
        if len(detections) < MINIMUM_POINTS:
            continue
        places = {len(detections) - 1} if history.source == "packet" else set()
        places.add(int(rng.integers(MINIMUM_POINTS - 1, min(EARLY_POINTS, len(detections)))))
        places.update(int(place) for place in rng.integers(MINIMUM_POINTS - 1, len(detections), size=CUTS))
        for place in sorted(places):
            seen = _window(history, int(detections[place]), HISTORY_D[survey])
            if np.isfinite(seen.psf_flux_njy).sum() >= MINIMUM_POINTS:
                yield seen


def as_seen_by_ztf(item: SimulatedObject, rng: np.random.Generator) -> History | None:
    """Move a simulated LSST supernova nearer until ZTF sees it, and observe it with ZTF's cadence and depth.

    Returns
    -------
    The light curve in g and r, or None where the simulation is too sparse or too faint to be joined.

    Notes
    -----
    Brightening by s moves the source to the redshift z / sqrt(s), which shortens the light curve by the ratio of
    (1 + z); colours are not K-corrected, so the reddest supernovae of the simulation are too red for ZTF.
    """
    old = item.history
    good = old.psf_flux_njy > 10.0 * old.psf_flux_err_njy
    good &= (old.band == 1) | (old.band == 2)
    if item.redshift <= 0.0 or old.label not in SUPERNOVAE or good.sum() < EARLY_POINTS:
        return None
    peak = int(np.argmax(np.where(good, old.psf_flux_njy, -np.inf)))
    scale = float(
        flux_from_magnitude(rng.triangular(*PEAK_MAG_RANGE, PEAK_MAG_RANGE[1], size=1))[0] / old.psf_flux_njy[peak]
    )
    if scale < 1.0:
        return None
    stretch = (1.0 + item.redshift / np.sqrt(scale)) / (1.0 + item.redshift)
    parts: list[tuple[FloatArray, NDArray[np.int8], FloatArray, FloatArray]] = []
    for band in (1, 2):
        mine = old.band == band
        time = (old.midpoint_mjd_tai[mine] - old.midpoint_mjd_tai[peak]) * stretch
        nights = np.arange(-40.0, 100.0)
        visits = nights[rng.random(len(nights)) < VISIT_PROBABILITY] + rng.uniform(0.0, 0.3)
        right = np.searchsorted(time, visits)
        inside = (right > 0) & (right < len(time))
        visits, right = visits[inside], right[inside]
        visits = visits[time[right] - time[right - 1] <= LONGEST_GAP_D]
        flux = np.interp(visits, time, old.psf_flux_njy[mine] * scale) if len(time) else visits
        depth = flux_from_magnitude(rng.normal(DEPTH_MAG, DEPTH_SCATTER_MAG, len(visits)))
        err = np.hypot(depth / 5.0, FLOOR * np.abs(flux))
        parts.append(
            (visits, np.full(len(visits), band, dtype=np.int8), flux + err * rng.normal(size=len(visits)), err)
        )
    time, codes, flux, err = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    time, codes, flux, err = time[order], codes[order], flux[order], err[order]
    detected = flux > 5.0 * err
    return replace(
        old,
        label="SN",
        source="plasticc-as-ztf",
        midpoint_mjd_tai=time + old.midpoint_mjd_tai[peak],
        band=codes,
        psf_flux_njy=np.where(detected, flux, np.nan),
        psf_flux_err_njy=np.where(detected, err, np.nan),
        upper_limit_njy=np.where(detected, np.nan, 5.0 * err),
    )


def lend_context(histories: Sequence[History], rng: np.random.Generator) -> list[History]:
    """Give light curves without a packet the PS1 neighbour of a random packet of the same class.

    Without this, an absent neighbour would betray the published and simulated supernovae. What is lent is blurred,
    or a tree would learn the lenders by heart. A quarter of all rows loses its neighbour, so that a model also knows
    what to do without one.
    """
    lenders: dict[str, list[History]] = {}
    for history in histories:
        if history.source == "packet":
            lenders.setdefault(history.label, []).append(history)
    lent: list[History] = []
    for history in histories:
        given = history
        if history.source != "packet" and history.label in lenders:
            lender = lenders[history.label][int(rng.integers(len(lenders[history.label])))]
            given = replace(
                history,
                star_galaxy_score=float(np.clip(rng.normal(lender.star_galaxy_score, SCORE_SPREAD), 0.0, 1.0)),
                nearest_source_arcsec=lender.nearest_source_arcsec * float(np.exp(rng.normal(0.0, DISTANCE_SPREAD))),
            )
        if rng.random() < NEIGHBOURLESS:
            given = replace(given, star_galaxy_score=float("nan"), nearest_source_arcsec=float("nan"))
        lent.append(given)
    return lent


def tabulate(histories: Sequence[History]) -> Examples:
    """Compute the features of histories, with the PS1 neighbour as context."""
    packed = pack_light_curves(histories)
    curves = light_curve_features(packed)
    context = np.array([(history.star_galaxy_score, history.nearest_source_arcsec) for history in histories])
    return Examples(
        features=FeatureTable(
            names=(*curves.names, "star_galaxy_score", "nearest_source_arcsec"),
            values=np.hstack([curves.values, context.reshape(-1, 2)]),
        ),
        label=np.array([history.label for history in histories], dtype=object),
        object_id=np.array([history.object_id for history in histories], dtype=object),
        source=np.array([history.source for history in histories], dtype=object),
        curves=packed,
    )
