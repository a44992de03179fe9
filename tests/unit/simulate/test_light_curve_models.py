"""The flux models against what is published about their kinds."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.simulate import transients
from ingest.simulate.light_curves import MODELS, difference_flux
from ingest.simulate.source_classes import (
    BAND_WAVELENGTH_NM,
    CLASSES,
    Points,
    SourceClass,
    magnitude_to_njy,
    njy_to_magnitude,
    planck_colour_mag,
)
from ingest.simulate.variables import random_walk

FloatArray = NDArray[np.float64]

if TYPE_CHECKING:
    from pathlib import Path

G, R = 1, 2
TRANSIENTS = (
    SourceClass.SN_IA,
    SourceClass.SN_II,
    SourceClass.SN_IBC,
    SourceClass.SUPERLUMINOUS,
    SourceClass.TIDAL_DISRUPTION,
    SourceClass.KILONOVA,
    SourceClass.AFTERGLOW,
    SourceClass.OFF_AXIS_AFTERGLOW,
)


def curve(source_class: SourceClass, days: FloatArray, band: int = R, timescale: float = 1.0) -> FloatArray:
    n = len(days)
    points = Points(
        days=np.asarray(days, dtype=np.float64),
        band=np.full(n, band, dtype=np.int64),
        peak_njy=np.full(n, 1e5),
        amplitude_mag=np.full(n, 1.0),
        timescale_d=np.full(n, timescale),
        phase=np.full(n, 0.3),
    )
    return difference_flux(np.full(n, CLASSES.index(source_class)), points)


@given(st.floats(10.0, 30.0))
def test_magnitude_and_flux_are_inverse(magnitude: float) -> None:
    assert njy_to_magnitude(magnitude_to_njy(magnitude)) == pytest.approx(magnitude, abs=1e-9)


def test_one_microjansky_is_23_9() -> None:
    assert float(magnitude_to_njy(23.9)) == pytest.approx(1000.0, rel=1e-6)


def test_every_class_has_a_model() -> None:
    assert set(MODELS) == set(SourceClass)


@pytest.mark.parametrize("source_class", TRANSIENTS)
def test_nothing_before_a_transient(source_class: SourceClass) -> None:
    assert not curve(source_class, np.array([-30.0, -1.0, -1e-6])).any()
    assert (curve(source_class, np.array([0.5, 5.0, 9.0])) > 0.0).all()


def test_supernova_ia_peaks_after_two_to_three_weeks_at_its_peak_flux() -> None:
    days = np.arange(1.0, 60.0, 0.25)
    flux = curve(SourceClass.SN_IA, days)
    assert 14.0 < days[np.argmax(flux)] < 26.0
    assert flux.max() == pytest.approx(1e5, rel=0.1)
    # Delta m15 in g: near 1 mag, as for normal SNe Ia.
    blue = curve(SourceClass.SN_IA, days, band=G)
    peak = int(np.argmax(blue))
    assert 0.6 < 2.5 * np.log10(blue[peak] / blue[peak + 60]) < 1.4


def test_supernova_ii_keeps_a_plateau() -> None:
    plateau = curve(SourceClass.SN_II, np.array([25.0, 75.0]))
    late = curve(SourceClass.SN_II, np.array([75.0, 125.0]))
    assert plateau[1] / plateau[0] > 0.7
    assert late[1] / late[0] < 0.3


def test_kilonova_fades_and_reddens_as_at2017gfo(shared_data: Path) -> None:
    path = shared_data / "alerts" / "lightcurves" / "redback_at2017gfo.csv"
    if not path.is_file():
        pytest.skip("the photometry of AT2017gfo is not beside this clone")
    with path.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["band"] in {"g", "r", "i"}]
    bands = {"g": 1, "r": 2, "i": 3}
    days = np.array([float(row["time (days)"]) for row in rows])
    observed = np.array([float(row["magnitude"]) for row in rows])
    band = np.array([bands[row["band"]] for row in rows])
    early = (days > 0.4) & (days < 4.5)
    model = np.array(
        [njy_to_magnitude(curve(SourceClass.KILONOVA, np.array([t]), b))[0] for t, b in zip(days, band, strict=True)]
    )
    residual = (observed - model)[early]
    # One offset for the distance; the shape must then hold for all bands together.
    assert np.median(np.abs(residual - np.median(residual))) < 0.2


def test_afterglow_is_a_power_law_of_the_published_index() -> None:
    flux = curve(SourceClass.AFTERGLOW, np.array([0.1, 1.0]))
    assert np.log10(flux[0] / flux[1]) == pytest.approx(1.1)
    assert curve(SourceClass.AFTERGLOW, np.array([1.0 / 24.0]))[0] == pytest.approx(1e5)
    assert curve(SourceClass.AFTERGLOW, np.array([1.0]), band=G)[0] < flux[1]


def test_random_walk_has_unit_variance_and_forgets_slowly() -> None:
    phase = np.random.default_rng(5).random(4000)
    now, soon, late = (random_walk(np.full(4000, day), phase) for day in (1000.0, 1001.0, 2500.0))
    assert now.std() == pytest.approx(1.0, abs=0.05)
    # exp(-1 / 200) after a day; next to nothing after 7.5 damping times.
    assert np.corrcoef(now, soon)[0, 1] > 0.97
    assert abs(np.corrcoef(now, late)[0, 1]) < 0.15


@pytest.mark.parametrize(("source_class", "peak_d"), [(SourceClass.SN_IBC, 17.0), (SourceClass.SUPERLUMINOUS, 45.0)])
@pytest.mark.parametrize("timescale", [0.8, 1.0, 1.5])
def test_other_supernovae_peak_when_and_as_high_as_they_should(
    source_class: SourceClass, peak_d: float, timescale: float
) -> None:
    days = np.arange(0.0, 150.0, 0.05)
    flux = curve(source_class, days, timescale=timescale)
    assert days[np.argmax(flux)] == pytest.approx(peak_d * timescale, abs=0.06)
    assert flux.max() == pytest.approx(1e5, rel=1e-4)


def test_stripped_supernovae_fade_as_published() -> None:
    # Drout et al. 2011: 0.6 mag in R over 15 d, with a scatter of 0.15.
    flux = curve(SourceClass.SN_IBC, np.array([17.0, 32.0]))
    assert 2.5 * np.log10(flux[0] / flux[1]) == pytest.approx(0.6, abs=0.2)


def test_disruption_falls_as_fallback_and_stays_blue() -> None:
    peak = transients.DISRUPTION_PEAK_D
    flux = curve(SourceClass.TIDAL_DISRUPTION, np.array([peak, peak + 60.0, peak + 60.0 * 7.0]))
    np.testing.assert_allclose(flux / flux[0], [1.0, 2.0 ** (-5.0 / 3.0), 8.0 ** (-5.0 / 3.0)])
    blue = curve(SourceClass.TIDAL_DISRUPTION, np.array([peak, peak + 100.0]), band=G)
    np.testing.assert_allclose(
        blue / curve(SourceClass.TIDAL_DISRUPTION, np.array([peak, peak + 100.0])), blue[0] / 1e5
    )
    assert blue[0] > 1e5


def test_off_axis_afterglow_turns_from_one_power_law_to_the_other() -> None:
    flux = curve(SourceClass.OFF_AXIS_AFTERGLOW, np.array([0.01, 0.1, 10.0, 1000.0, 10_000.0]), timescale=10.0)
    assert np.log10(flux[1] / flux[0]) == pytest.approx(0.86, abs=0.01)
    assert np.log10(flux[3] / flux[4]) == pytest.approx(1.92, abs=0.01)
    assert flux[2] == pytest.approx(1e5)


@given(st.floats(0.3, 3.0), st.floats(5.0, 80.0))
def test_microlensing_is_paczynskis_curve(amplitude: float, einstein_d: float) -> None:
    points = Points(
        days=np.array([0.0, einstein_d, -einstein_d]),
        band=np.full(3, R),
        peak_njy=np.full(3, 1000.0),
        amplitude_mag=np.full(3, amplitude),
        timescale_d=np.full(3, einstein_d),
        phase=np.zeros(3),
    )
    flux = transients.microlensing(points)
    largest = 10.0 ** (0.4 * amplitude)
    assert flux[0] == pytest.approx(1000.0 * (largest - 1.0))
    assert flux[1] == pytest.approx(flux[2])
    # Solve for the closest approach without the closed form, then add one Einstein radius along the track.
    low, high = 1e-6, 5.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (middle**2 + 2) / (middle * np.hypot(middle, 2)) > largest else (low, middle)
    u = np.hypot(low, 1.0)
    assert flux[1] == pytest.approx(1000.0 * ((u**2 + 2) / (u * np.sqrt(u**2 + 4)) - 1.0), rel=1e-6)


def test_kilonova_turns_from_blue_to_red_within_days() -> None:
    days = np.array([0.5, 1.0, 3.5])
    colour = njy_to_magnitude(curve(SourceClass.KILONOVA, days, band=G)) - njy_to_magnitude(
        curve(SourceClass.KILONOVA, days)
    )
    assert abs(colour[0]) < 0.15
    assert colour[2] > 1.0
    assert curve(SourceClass.KILONOVA, days)[1] == pytest.approx(1e5)


def test_cepheid_has_its_amplitude_and_rises_faster_than_it_falls() -> None:
    flux = curve(SourceClass.CEPHEID, np.linspace(0.0, 5.0, 2001), timescale=5.0)
    # The mean is subtracted: add it to come back to magnitudes.
    magnitude = njy_to_magnitude(flux + 1e5)
    assert np.ptp(magnitude) == pytest.approx(1.0, abs=1e-3)
    rising = (np.diff(magnitude) < 0.0).mean()
    assert 0.15 < rising < 0.45


@pytest.mark.parametrize("temperature_k", [5_000.0, 13_000.0, 20_000.0])
def test_blackbody_colours_agree_with_astropy(temperature_k: float) -> None:
    from astropy import units
    from astropy.modeling.physical_models import BlackBody

    body = BlackBody(temperature_k * units.K)
    flux = body(BAND_WAVELENGTH_NM * units.nm).value
    np.testing.assert_allclose(planck_colour_mag(temperature_k), -2.5 * np.log10(flux / flux[2]), atol=1e-5)


@pytest.mark.parametrize(
    "source_class", [SourceClass.RR_LYRAE, SourceClass.CEPHEID, SourceClass.ECLIPSING_BINARY, SourceClass.LONG_PERIOD]
)
def test_periodic_sources_repeat(source_class: SourceClass) -> None:
    days = np.linspace(0.0, 0.5, 101)
    first, later = curve(source_class, days, timescale=0.5), curve(source_class, days + 37.0, timescale=0.5)
    np.testing.assert_allclose(first, later, rtol=1e-6, atol=1e-3 * np.ptp(first))


def test_eclipses_are_negative_and_flares_positive() -> None:
    assert curve(SourceClass.ECLIPSING_BINARY, np.linspace(0.0, 1.0, 50)).max() <= 0.0
    assert curve(SourceClass.M_DWARF_FLARE, np.linspace(-0.02, 0.2, 50), timescale=0.01).min() >= 0.0
