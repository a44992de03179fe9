"""Which sources the sky holds: kinds, places, brightness, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey
from ingest.simulate.schedule import Schedule, offset_positions
from ingest.simulate.source_classes import CLASSES, SourceClass, magnitude_to_njy

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Habitat(StrEnum):
    """How the density of a kind varies over the sky."""

    PLANE = "plane"
    DISC = "disc"
    HALO = "halo"
    COSMIC = "cosmic"
    ECLIPTIC = "ecliptic"
    ANYWHERE = "anywhere"


class Recipe(NamedTuple):
    """Ranges to draw a kind of source from."""

    share_ztf: float
    """Share of the sources that are drawn; the mix of alerts follows from what is detected."""
    share_lsst: float
    habitat: Habitat
    bright_mag: float
    """Brightest r magnitude for ZTF; LSST saturates 2 mag later."""
    faint_offset_mag: float
    """Faintest r magnitude minus the depth of one visit."""
    amplitude_mag: tuple[float, float]
    timescale_d: tuple[float, float]
    """Drawn evenly in the logarithm."""
    age_d: tuple[float, float]
    """Start of the night minus the source's epoch."""


RECIPES: dict[SourceClass, Recipe] = {
    SourceClass.RR_LYRAE: Recipe(0.16, 0.10, Habitat.HALO, 13.5, -1.0, (0.4, 1.1), (0.3, 0.75), (0, 1)),
    SourceClass.CEPHEID: Recipe(0.01, 0.004, Habitat.PLANE, 12.5, -2.0, (0.4, 1.2), (2.0, 40.0), (0, 1)),
    SourceClass.ECLIPSING_BINARY: Recipe(0.30, 0.22, Habitat.DISC, 13.0, -1.5, (0.3, 1.2), (0.25, 5.0), (0, 1)),
    SourceClass.LONG_PERIOD: Recipe(0.12, 0.05, Habitat.DISC, 12.5, -1.5, (0.8, 4.0), (80.0, 500.0), (0, 1)),
    SourceClass.AGN: Recipe(0.14, 0.22, Habitat.COSMIC, 16.0, -0.5, (0.12, 0.35), (1.0, 1.001), (0, 1)),
    SourceClass.ASTEROID: Recipe(0.12, 0.25, Habitat.ECLIPTIC, 16.0, 0.0, (0.05, 0.3), (0.1, 0.5), (0, 1)),
    SourceClass.STREAK: Recipe(0.003, 0.003, Habitat.ANYWHERE, 16.0, -0.5, (0.05, 0.3), (0.02, 0.3), (0, 1)),
    SourceClass.SN_IA: Recipe(0.015, 0.03, Habitat.COSMIC, 16.5, -0.3, (0, 0), (0.9, 1.15), (4, 55)),
    SourceClass.SN_II: Recipe(0.008, 0.02, Habitat.COSMIC, 16.5, -0.3, (0, 0), (1.0, 1.001), (2, 80)),
    SourceClass.SN_IBC: Recipe(0.003, 0.006, Habitat.COSMIC, 16.5, -0.3, (0, 0), (0.8, 1.3), (4, 45)),
    SourceClass.SUPERLUMINOUS: Recipe(0.001, 0.002, Habitat.COSMIC, 17.0, -0.3, (0, 0), (0.6, 1.6), (10, 140)),
    SourceClass.TIDAL_DISRUPTION: Recipe(0.001, 0.002, Habitat.COSMIC, 16.5, -0.3, (0, 0), (0.6, 1.6), (10, 140)),
    SourceClass.KILONOVA: Recipe(0.0002, 0.0004, Habitat.COSMIC, 18.0, -0.3, (0, 0), (0.7, 1.5), (0.1, 4)),
    SourceClass.AFTERGLOW: Recipe(0.0004, 0.0008, Habitat.COSMIC, 14.0, -1.0, (0, 0), (1.0, 1.001), (0.01, 1)),
    SourceClass.OFF_AXIS_AFTERGLOW: Recipe(0.0002, 0.0004, Habitat.COSMIC, 18.0, -0.2, (0, 0), (3.0, 40.0), (2, 60)),
    SourceClass.MICROLENSING: Recipe(0.002, 0.001, Habitat.PLANE, 14.0, -0.5, (0.4, 3.0), (10.0, 60.0), (-15, 15)),
    SourceClass.CATACLYSMIC: Recipe(0.01, 0.005, Habitat.DISC, 13.5, -1.0, (2.0, 5.0), (3.0, 8.0), (0.3, 6)),
    SourceClass.M_DWARF_FLARE: Recipe(0.01, 0.01, Habitat.DISC, 16.0, -0.5, (0, 0), (0.01, 0.03), (-0.02, 0.03)),
    SourceClass.BOGUS: Recipe(0.13, 0.10, Habitat.ANYWHERE, 17.0, -0.1, (0, 0), (1.0, 1.001), (0, 1)),
}
"""The mix of a night: mostly variable stars, asteroids and nuclei as in ALeRCE's census of the ZTF stream, Sanchez-Saez
et al. 2021, doi:10.3847/1538-3881/abd5c1; magnitudes and periods are round numbers inside the published ranges. Rare
kinds are more frequent than in the sky, so that a night of a million alerts has some of each; satellite glints come in
trails, see `ingest.simulate.glint_trails`."""

SATURATION_SHIFT_MAG = 3.5
"""LSST's bright limit (r about 16) minus ZTF's (about 12.5) [mag]; Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""

ASTEROID_RATE_DEG_D = 0.2
"""Apparent motion of a main-belt asteroid near opposition [deg/d]; Jedicke 1996, doi:10.1086/117844."""

STREAK_RATE_DEG_D = (2.0, 15.0)
"""Motion of near-Earth asteroids that leave a streak in 30 s [deg/d]: 2.5 to 19 arcsec; ZTF's streak search, Ye et al.
2019, doi:10.1088/1538-3873/ab1b18."""

KNOWN_BODIES = {SourceClass.ASTEROID: 0.9, SourceClass.STREAK: 0.4}
"""Share of moving bodies that the survey associates with a known orbit: nearly all of the main belt at these depths,
few of those that pass near the Earth; round numbers."""

ALWAYS = -1
"""Value of ``only_visit`` for a source that is there all the time."""


@dataclass(frozen=True, eq=False, slots=True)
class Sources:
    """n sources."""

    code: IntArray
    """(n,) place of the class in `CLASSES`."""
    ra_deg: FloatArray
    dec_deg: FloatArray
    field: IntArray
    """(n,) field of the schedule."""
    epoch_mjd_tai: FloatArray
    peak_njy: FloatArray
    amplitude_mag: FloatArray
    timescale_d: FloatArray
    phase: FloatArray
    only_visit: IntArray
    """(n,) visit of the night that sees a moving body or an artefact here, `ALWAYS` for the rest."""
    rate_deg_d: FloatArray
    """(n,) apparent motion [deg/d], 0 for what stands still."""
    body: IntArray
    """(n,) number of the moving body that the survey knows here, -1 for the rest."""
    trail: IntArray
    """(n,) trail of glints that this is one of, -1 for the rest."""
    event: IntArray
    """(n,) event that the source is the counterpart of, -1 for none."""

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.code)

    def select(self, rows: IntArray) -> Sources:
        """Return some of the sources."""
        return Sources(*(getattr(self, column.name)[rows] for column in fields(self)))

    def is_of(self, *classes: SourceClass) -> NDArray[np.bool_]:
        """Tell which sources are of one of the classes."""
        return np.isin(self.code, [CLASSES.index(one) for one in classes])


def join_sources(parts: list[Sources]) -> Sources:
    """Return all sources in one table, in order."""
    return Sources(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Sources)))


def still_sources(
    code: IntArray, field: IntArray, places_deg: tuple[FloatArray, FloatArray], **known: FloatArray | IntArray
) -> Sources:
    """Return sources that stand still, are always there and are no event's, with the other columns given."""
    n = len(code)
    none = np.full(n, -1, dtype=np.int64)
    columns: dict[str, Any] = {
        "only_visit": np.full(n, ALWAYS, dtype=np.int64),
        "rate_deg_d": np.zeros(n),
        "body": none,
        "trail": none,
        "event": none,
        **known,
    }
    return Sources(code=code, ra_deg=places_deg[0], dec_deg=places_deg[1], field=field, **columns)


def habitat_weights(schedule: Schedule, habitat: Habitat) -> FloatArray:
    """Return the relative density of a habitat's sources in each field; together 1.

    Notes
    -----
    Star counts fall with galactic latitude as a disc seen from inside; behind the plane the dust hides galaxies.
    """
    latitude = np.abs(schedule.galactic_latitude_deg)
    weights = {
        Habitat.PLANE: 0.005 + np.exp(-latitude / 4.0),
        Habitat.DISC: 0.05 + np.exp(-latitude / 12.0),
        Habitat.HALO: 0.5 + np.exp(-latitude / 25.0),
        Habitat.COSMIC: 1.0 - 0.98 * np.exp(-((latitude / 12.0) ** 2)),
        Habitat.ECLIPTIC: 0.01 + np.exp(-((schedule.ecliptic_latitude_deg / 12.0) ** 2)),
        Habitat.ANYWHERE: np.ones(len(latitude)),
    }[habitat]
    return np.asarray(weights / weights.sum())


def field_shares(schedule: Schedule) -> FloatArray:
    """Return how the sources of each kind spread over the fields: (f, k), all together 1, kinds as in `RECIPES`."""
    lsst = schedule.strategy.survey is Survey.LSST
    weights = {habitat: habitat_weights(schedule, habitat) for habitat in Habitat}
    shares = [
        (recipe.share_lsst if lsst else recipe.share_ztf) * weights[recipe.habitat] for recipe in RECIPES.values()
    ]
    return np.asarray(np.stack(shares, axis=1) / np.sum(shares))


def draw_sources(rng: np.random.Generator, schedule: Schedule, field: int, n: int) -> Sources:
    """Draw about n sources of all kinds in one field; a moving body counts once for each visit."""
    shares = field_shares(schedule)[field]
    counts = rng.multinomial(n, shares / shares.sum())
    parts = [
        draw_class(rng, schedule, source_class, field, int(count))
        for source_class, count in zip(RECIPES, counts, strict=True)
        if count
    ]
    sources = join_sources(parts)
    return sources.select(rng.permutation(len(sources)))


def draw_class(rng: np.random.Generator, schedule: Schedule, source_class: SourceClass, field: int, n: int) -> Sources:
    """Draw n sources of one kind in one field."""
    recipe = RECIPES[source_class]
    strategy = schedule.strategy
    bright = recipe.bright_mag + (SATURATION_SHIFT_MAG if strategy.survey is Survey.LSST else 0.0)
    faint = strategy.depth_mag[2] + recipe.faint_offset_mag
    distance = strategy.field_radius_deg * np.sqrt(rng.random(n))
    places = offset_positions(
        np.full(n, schedule.field_ra_deg[field]),
        np.full(n, schedule.field_dec_deg[field]),
        distance,
        rng.uniform(0.0, 360.0, n),
    )
    low, high = np.log(recipe.timescale_d)
    # Counts double with each magnitude or so; the square root leans the draw to the faint end as far.
    magnitude = bright + (faint - bright) * np.sqrt(rng.random(n))
    visits = schedule.visits_of(field)
    first = schedule.midpoint_mjd_tai[visits[0]]
    sources = still_sources(
        np.full(n, CLASSES.index(source_class), dtype=np.int64),
        np.full(n, field, dtype=np.int64),
        places,
        epoch_mjd_tai=first - rng.uniform(*recipe.age_d, n),
        peak_njy=magnitude_to_njy(magnitude),
        amplitude_mag=rng.uniform(*recipe.amplitude_mag, n),
        timescale_d=np.exp(rng.uniform(low, high, n)),
        phase=rng.random(n),
    )
    if source_class is SourceClass.BOGUS:
        return replace(sources, only_visit=rng.integers(0, len(visits), n))
    if source_class in KNOWN_BODIES:
        return _moved(rng, schedule.midpoint_mjd_tai[visits] - first, sources, source_class)
    return sources


def _moved(rng: np.random.Generator, late_d: FloatArray, bodies: Sources, source_class: SourceClass) -> Sources:
    """Return each body once for each visit of the night, where it then is."""
    n = len(bodies)
    number = np.where(rng.random(n) < KNOWN_BODIES[source_class], rng.integers(1000, 900_000, n), -1)
    if source_class is SourceClass.STREAK:
        slow, fast = np.log(STREAK_RATE_DEG_D)
        angle, rate = rng.uniform(0.0, 360.0, n), np.exp(rng.uniform(slow, fast, n))
    else:
        angle, rate = rng.normal(250.0, 15.0, n), ASTEROID_RATE_DEG_D * rng.uniform(0.7, 1.3, n)
    parts = []
    for visit, late in enumerate(late_d):
        ra, dec = offset_positions(bodies.ra_deg, bodies.dec_deg, rate * late, angle)
        here = np.full(n, visit, dtype=np.int64)
        parts.append(replace(bodies, ra_deg=ra, dec_deg=dec, only_visit=here, body=number, rate_deg_d=rate))
    return join_sources(parts)
