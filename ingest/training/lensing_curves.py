"""Simulated lenses and the stars that are mistaken for them, observed with a survey's cadence, depth and noise.

Real lenses with a licence that allows to fit on them are a few dozen, so the classifier learns from simulations. The
formulae are deliberately simple: what has to be learned is smooth, single, symmetric and achromatic against all else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG, ForcedPhotometry, LightCurves
from ingest.training.labelled import Labelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FloatArray = NDArray[np.float64]

COLOUR_STEPS_MAG: Final[FloatArray] = np.array([2.2, 1.0, 0.0, -0.5, -0.8, -0.95])
"""Magnitudes in u to y less that in r of a star of g-r = 1, the stellar locus to a tenth;
Covey et al. 2007, doi:10.1086/522052."""

SINGLE_VISIT_FLOOR: Final = 0.01
"""Relative error of a difference flux beside photon noise: what image subtraction leaves of the star beneath."""

BAD_SHARE: Final = 0.01
"""Share of points with `BAD_FACTOR` times their error: real photometry has tails."""

BAD_FACTOR: Final = 5.0
"""See `BAD_SHARE`."""

DETECTION_SIGMA: Final = 5.0
"""Both surveys send an alert at 5 sigma; Bellm et al. 2019, doi:10.1088/1538-3873/aaecbe; LSST DPDD, LSE-163."""

EINSTEIN_TIME_D: Final = (25.0, 0.8)
"""Median [d] and spread of the natural logarithm of Einstein times; Mroz et al. 2019, doi:10.3847/1538-4365/ab426b,
a little wider, because the disc has longer events than the bulge."""

LARGEST_IMPACT: Final = 1.2
"""Impact parameters are uniform up to this: magnification 1.25, less is no alert for most stars."""


@dataclass(frozen=True, eq=False, slots=True)
class Cadence:
    """When and how deep one place of the sky was looked at."""

    time: FloatArray
    """(p,) [d, TAI], ascending."""
    band: NDArray[np.int8]
    err: FloatArray
    """(p,) 1 sigma of a faint source [nJy]."""
    electrons_per_njy: float
    """Photo-electrons of one exposure for a flux of 1 nJy: photon noise of bright stars."""


def magnification(time: FloatArray, peak: float, einstein_time: float, impact: float) -> FloatArray:
    """Return Paczynski's magnification; times in days."""
    u2 = impact**2 + ((time - peak) / einstein_time) ** 2
    return np.asarray((u2 + 2.0) / np.sqrt(u2 * (u2 + 4.0)), dtype=np.float64)


def _star(rng: np.random.Generator, brightest: float, faintest: float) -> FloatArray:
    """Return the fluxes (6,) of a star [nJy]; r uniform between two magnitudes."""
    colour = float(np.clip(rng.normal(0.8, 0.35), 0.0, 2.0))
    mag = rng.uniform(brightest, faintest) + colour * COLOUR_STEPS_MAG + rng.normal(0.0, 0.05, 6)
    return np.asarray(10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - mag)), dtype=np.float64)


def _magnitudes(cadence: Cadence, star: FloatArray, change_mag: FloatArray) -> FloatArray:
    """Return the flux of a star that brightens by ``change_mag`` (p,), positive is brighter [nJy]."""
    return np.asarray(star[cadence.band] * 10.0 ** (0.4 * np.clip(change_mag, -10.0, 12.0)), dtype=np.float64)


def lens(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return flux (p,) and template (6,) [nJy] of a star behind a lens, blended by another colour."""
    source = _star(rng, 14.0, 22.5)
    blend = _star(rng, 15.0, 24.0) if rng.random() < 0.7 else np.zeros(6)
    einstein_time = float(np.clip(EINSTEIN_TIME_D[0] * np.exp(rng.normal(0.0, EINSTEIN_TIME_D[1])), 2.0, 400.0))
    impact = float(rng.uniform(0.003, LARGEST_IMPACT))
    first, last = cadence.time[0], cadence.time[-1]
    peak = float(rng.uniform(first - 0.2 * einstein_time, last + 0.2 * einstein_time))
    gain = magnification(cadence.time, peak, einstein_time, impact)
    template = source + blend
    if rng.random() < 0.1:
        # A template made of images of the event itself.
        template = source * magnification(rng.uniform(first, last, 1), peak, einstein_time, impact)[0] + blend
    return source[cadence.band] * gain + blend[cadence.band], template


def long_period(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a Mira or a semi-regular giant: one or two periods, an amplitude that wanders, larger in the blue."""
    star = _star(rng, 12.0, 19.0)
    time = cadence.time - cadence.time[0]
    change = np.zeros(len(time))
    for _ in range(int(rng.integers(1, 3))):
        period = np.exp(rng.uniform(np.log(40.0), np.log(1000.0)))
        amplitude = np.exp(rng.uniform(np.log(0.05), np.log(3.0)))
        phase = rng.uniform(0.0, 2.0 * np.pi)
        wander = 1.0 + 0.3 * np.sin(2.0 * np.pi * time / (period * rng.uniform(2.0, 8.0)) + rng.uniform(0.0, 6.0))
        angle = 2.0 * np.pi * time / period + phase
        change += amplitude * wander * (np.sin(angle) + rng.uniform(0.0, 0.3) * np.sin(2.0 * angle + phase))
    slope = 1.0 - rng.uniform(0.0, 0.25) * (cadence.band.astype(np.float64) - 2.0)
    change *= np.clip(slope, 0.1, 2.0)
    return _magnitudes(cadence, star, change), _levels(cadence, star, change, rng)


def periodic(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a pulsating, eclipsing or rotating star."""
    star = _star(rng, 13.0, 20.5)
    kind = int(rng.integers(3))
    period = np.exp(rng.uniform(np.log(0.15), np.log(90.0)))
    phase = np.mod(cadence.time / period + rng.random(), 1.0)
    amplitude = np.exp(rng.uniform(np.log(0.03), np.log(1.2)))
    tint = 1.0 - rng.uniform(0.0, 0.2) * (cadence.band.astype(np.float64) - 2.0)
    if kind == 0:
        rise = rng.uniform(0.1, 0.45)
        change = amplitude * np.where(phase < rise, phase / rise, (1.0 - phase) / (1.0 - rise)) * tint
    elif kind == 1:
        width, second = rng.uniform(0.02, 0.15), rng.uniform(0.0, 1.0)
        change = -amplitude * np.clip(1.0 - np.abs(phase - 0.25) / width, 0.0, None)
        change -= second * amplitude * np.clip(1.0 - np.abs(phase - 0.75) / width, 0.0, None)
    else:
        change = 0.5 * amplitude * np.sin(2.0 * np.pi * phase) * tint
    return _magnitudes(cadence, star, change), _levels(cadence, star, change, rng)


def restless(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a young or Be star: a damped random walk with bursts that rise faster than they fade."""
    star = _star(rng, 13.0, 20.0)
    change = _walk(cadence.time, np.exp(rng.uniform(np.log(2.0), np.log(100.0))), rng.uniform(0.01, 0.3), rng)
    for _ in range(int(rng.poisson(1.5))):
        start = rng.uniform(cadence.time[0] - 50.0, cadence.time[-1])
        rise = np.exp(rng.uniform(np.log(2.0), np.log(60.0)))
        fade = rise * rng.uniform(1.5, 6.0)
        since = cadence.time - start
        burst = np.where(since < 0.0, np.exp(since / rise), np.exp(-since / fade))
        change += rng.uniform(0.1, 1.5) * burst * (1.0 + rng.uniform(0.0, 0.12) * (cadence.band - 2.0))
    return _magnitudes(cadence, star, change), _levels(cadence, star, change, rng)


def cataclysmic(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a dwarf nova with its outbursts, or a nova with its one; both are blue when bright."""
    star = _star(rng, 17.0, 23.0)
    time = cadence.time
    bright = np.zeros(len(time))
    nova = rng.random() < 0.3
    wait = np.exp(rng.uniform(np.log(15.0), np.log(800.0)))
    start = rng.uniform(time[0] - (30.0 if nova else wait), time[-1] if nova else time[0] + wait)
    height = rng.uniform(6.0, 11.0) if nova else rng.uniform(1.0, 6.0)
    while start < time[-1]:
        rise = rng.uniform(0.5, 4.0)
        plateau = rng.uniform(0.0, 3.0) if nova else np.exp(rng.uniform(np.log(1.0), np.log(20.0)))
        fall = np.exp(rng.uniform(np.log(4.0), np.log(60.0))) if nova else rng.uniform(1.0, 6.0)
        since = time - start
        shape = np.where(since < rise, since / rise, 1.0)
        late = since - rise - plateau
        shape = np.where(late > 0.0, np.exp(-late / (2.0 * fall)) if nova else 1.0 - late / (2.0 * fall), shape)
        bright = np.maximum(bright, height * np.clip(shape, 0.0, 1.0) * (since > 0.0))
        start += np.inf if nova else wait * rng.uniform(0.5, 1.5)
        height = height if nova else height * rng.uniform(0.85, 1.15)
    bright += _walk(time, 0.1, 0.1, rng)
    return _magnitudes(cadence, star, bright * (1.0 - 0.06 * (cadence.band - 2.0))), star


def constant(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a star that does not vary above a template that is wrong by a little, or residuals of subtraction."""
    star = _star(rng, 14.0, 21.0)
    err = float(np.median(cadence.err))
    level = rng.normal(0.0, 6.0) * err
    seeing = rng.normal(0.0, rng.uniform(0.0, 6.0), len(cadence.time)) * err
    return star[cadence.band] + level + np.where(rng.random(len(cadence.time)) < 0.3, seeing, 0.0), star


def nucleus(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return an active nucleus: a damped random walk; Kelly et al. 2009, doi:10.1088/0004-637X/698/1/895."""
    star = _star(rng, 16.0, 22.0)
    change = _walk(cadence.time, np.exp(rng.uniform(np.log(20.0), np.log(600.0))), rng.uniform(0.05, 0.4), rng)
    change *= 1.0 - rng.uniform(0.0, 0.12) * (cadence.band - 2.0)
    return _magnitudes(cadence, star, change), _levels(cadence, star, change, rng)


def supernova(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return an explosion that declines slower in the red; after Bazin et al. 2009, doi:10.1051/0004-6361/200911847."""
    peak = rng.uniform(cadence.time[0] - 10.0, cadence.time[-1])
    rise, fall = rng.uniform(2.0, 7.0), rng.uniform(12.0, 50.0)
    mag = rng.uniform(15.0, 22.5) + rng.normal(0.0, 0.3) * COLOUR_STEPS_MAG
    slow = 1.0 + rng.uniform(0.05, 0.3) * (cadence.band - 1.0)
    since = np.clip((cadence.time - peak) / slow, -300.0, 1e4)
    shape = np.exp(-since / fall) / (1.0 + np.exp(-since / rise))
    shape += rng.uniform(0.0, 0.15) * np.exp(-((((cadence.time - peak) - 25.0) / 9.0) ** 2)) * (cadence.band >= 2)
    flux = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - mag))
    host = np.full(6, 10.0 ** (0.4 * (AB_ZERO_POINT_NJY_MAG - rng.uniform(18.0, 24.0))))
    return flux[cadence.band] * shape + host[cadence.band], host


def flare(cadence: Cadence, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return flares of a red dwarf: minutes to rise, an hour to fade, far stronger in the blue."""
    star = _star(rng, 16.0, 21.0)
    flux = star[cadence.band]
    for _ in range(int(rng.integers(1, 6))):
        # A visit in ten minutes to two hours after a flare, or none would be seen.
        start = rng.choice(cadence.time) - rng.uniform(0.005, 0.08)
        since = cadence.time - start
        decay = np.where(since >= 0.0, np.exp(-np.clip(since, 0.0, 10.0) / 0.05), 0.0)
        flux = flux + star[3] * rng.uniform(0.1, 5.0) * decay * 10.0 ** (-0.15 * (cadence.band - 3.0))
    return flux, star


def _walk(time: FloatArray, tau: float, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Return a damped random walk of correlation time tau and deviation sigma at ascending times."""
    out = np.empty(len(time))
    steps = rng.normal(size=len(time))
    state = sigma * steps[0]
    memory = np.exp(-np.diff(time) / tau)
    out[0] = state
    for place, keep in enumerate(memory):
        state = keep * state + sigma * np.sqrt(1.0 - keep * keep) * steps[place + 1]
        out[place + 1] = state
    return out


def _levels(cadence: Cadence, star: FloatArray, change: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a template (6,) of a star that varies: the mean of some of its fluxes, its quiet flux without any."""
    flux = _magnitudes(cadence, star, change)
    levels = star.copy()
    images = int(rng.integers(3, 30))
    for band in np.unique(cadence.band):
        mine = np.flatnonzero(cadence.band == band)
        levels[band] = flux[rng.choice(mine, images)].mean()
    return levels


KINDS: Final[Mapping[str, Sequence[Callable[[Cadence, np.random.Generator], tuple[FloatArray, FloatArray]]]]] = {
    "microlensing": (lens,),
    "variable star": (periodic, restless),
    "CV": (cataclysmic,),
    "LPV": (long_period,),
    "artefact": (constant,),
    "nuclear": (nucleus,),
    "explosive": (supernova,),
    "M-dwarf flare": (flare,),
}
"""Class -> its models, drawn with equal probability. ``artefact``: stars that do not vary."""


def observe(
    cadence: Cadence, flux: FloatArray, template: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return difference flux and its stated error (p,) [nJy] of a star of flux (p,) above a template (6,)."""
    err = np.sqrt(cadence.err**2 + np.abs(flux) / cadence.electrons_per_njy + (SINGLE_VISIT_FLOOR * flux) ** 2)
    tail = np.where(rng.random(len(flux)) < BAD_SHARE, BAD_FACTOR, 1.0)
    return flux - template[cadence.band] + err * tail * rng.normal(size=len(flux)), err


def simulate(cadences: Sequence[Cadence], counts: Mapping[str, int], rng: np.random.Generator, *, tag: str) -> Labelled:
    """Simulate ``counts[class]`` objects of each class that were detected at least twice.

    Parameters
    ----------
    cadences : of which one is drawn for each object.
    tag : begins the names of the objects and is their source.
    """
    rows: list[tuple[str, Cadence, FloatArray, FloatArray]] = []
    for label, wanted in counts.items():
        found = tries = 0
        while found < wanted and tries < 30 * wanted:
            tries += 1
            cadence = cadences[int(rng.integers(len(cadences)))]
            model = KINDS[label][int(rng.integers(len(KINDS[label])))]
            flux, err = observe(cadence, *model(cadence, rng), rng)
            if (np.abs(flux) > DETECTION_SIGMA * err).sum() >= 2:
                rows.append((label, cadence, flux, err))
                found += 1
    return _packed(rows, tag)


def light_curves(
    offsets: NDArray[np.int64], time: FloatArray, band: NDArray[np.int8], flux: FloatArray, err: FloatArray
) -> LightCurves:
    """Return measurements as a survey would send them: detections where they are significant, else upper limits."""
    seen = np.abs(flux) > DETECTION_SIGMA * err
    return LightCurves(
        offsets,
        time,
        band,
        np.where(seen, flux, np.nan),
        np.where(seen, err, np.nan),
        np.where(seen, np.nan, DETECTION_SIGMA * err),
    )


def _packed(rows: Sequence[tuple[str, Cadence, FloatArray, FloatArray]], tag: str) -> Labelled:
    """Return simulated objects as columns: detections and limits as light curves, everything as forced photometry."""
    n = len(rows)
    offsets = np.concatenate([[0], np.cumsum([len(row[2]) for row in rows])]).astype(np.int64)
    time = np.concatenate([row[1].time for row in rows])
    band = np.concatenate([row[1].band for row in rows])
    flux = np.concatenate([row[2] for row in rows])
    err = np.concatenate([row[3] for row in rows])
    absent = np.full(n, np.nan)
    return Labelled(
        object_id=np.array([f"{tag}-{place}" for place in range(n)], dtype=object),
        label=np.array([row[0] for row in rows], dtype=object),
        source=np.full(n, tag, dtype=object),
        curves=light_curves(offsets, time, band, flux, err),
        forced=ForcedPhotometry(offsets, time, band, flux, err),
        ra_deg=absent,
        dec_deg=absent,
        redshift=absent,
        redshift_err=absent,
        peak_mjd_tai=absent,
    )
