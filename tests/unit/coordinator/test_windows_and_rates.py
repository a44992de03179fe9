"""Time windows integrate to one, and the closed forms of joint rates give the published numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from coordinator.background import DEFAULT_BACKGROUND, Background, measure_background
from coordinator.joint import galaxy_chance_probability, targeted_joint_far_hz, untargeted_joint_far_hz
from coordinator.windows import SECONDS_PER_YEAR, WINDOWS, event_rate_hz, science_case_of, window_of
from graph.model import Messenger, ScienceCase


@pytest.mark.parametrize("case", list(WINDOWS))
def test_densities_of_delays_integrate_to_one(case: ScienceCase) -> None:
    window = WINDOWS[case]
    # Logarithmic steps from the trigger, even ones before it.
    after = np.concatenate(([0.0], np.geomspace(1e-3, window.stop_s, 20_000)))
    integral = np.trapezoid(window.density_per_s(after), after)
    if window.start_s < 0:
        integral += window.density_per_s(np.array([window.start_s / 2]))[0] * -window.start_s
    assert integral == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("case", list(WINDOWS))
def test_windows_include_their_ends_and_nothing_else(case: ScienceCase) -> None:
    window = WINDOWS[case]
    delays = np.array([window.start_s - 1, window.start_s, 0.0, window.stop_s, window.stop_s + 1, np.nan])
    assert window.contains(delays).tolist() == [False, True, True, True, False, False]
    assert (window.density_per_s(delays) > 0).tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("messenger", "mission", "case"),
    [
        (Messenger.EM, "Fermi", ScienceCase.GRB),
        (Messenger.EM, "Einstein Probe", ScienceCase.GRB),
        (Messenger.EM, "DSA-110", ScienceCase.UNKNOWN),
        (Messenger.GW, "LVK", ScienceCase.GW),
        (Messenger.NEUTRINO, "IceCube", ScienceCase.NEUTRINO),
    ],
)
def test_messengers_lead_to_cases(make_event: Any, messenger: Messenger, mission: str, case: ScienceCase) -> None:
    event = make_event(messenger=messenger, mission=mission)
    assert science_case_of(event) is case
    assert window_of(event) is WINDOWS[case]


def test_rates_come_from_the_event_or_from_its_mission(make_event: Any) -> None:
    gw = make_event(messenger=Messenger.GW, mission="LVK", far_hz=1e-9)
    assert event_rate_hz(gw) == 1e-9
    burst = make_event(mission="Einstein_Probe", far_hz=1e-9)
    assert event_rate_hz(burst) * SECONDS_PER_YEAR == pytest.approx(100.0)
    assert event_rate_hz(make_event(mission="Nobody")) * SECONDS_PER_YEAR == pytest.approx(365.25)
    assert event_rate_hz(make_event(messenger=Messenger.NEUTRINO, mission="IceCube", far_hz=0.0)) > 0


def test_untargeted_joint_rate() -> None:
    external = 310 / (365.0 * 86400.0)
    assert untargeted_joint_far_hz(6.0, external, 1e-7) == pytest.approx(5.898021e-12, rel=1e-6)
    assert untargeted_joint_far_hz(6.0, external, 1e-7, 20.0) == pytest.approx(2.949011e-13, rel=1e-6)
    assert math.isinf(untargeted_joint_far_hz(6.0, external, 1e-7, 0.0))


def test_targeted_joint_rate() -> None:
    far = targeted_joint_far_hz(12.0, 1e-5, 1e-6, 1e-4, 1 / 86400.0)
    assert far == pytest.approx(6.901623e-10, rel=1e-6)
    ceiling = targeted_joint_far_hz(12.0, 1e-4, 1 / 86400.0, 1e-4, 1 / 86400.0)
    assert targeted_joint_far_hz(12.0, 1.0, 1.0, 1e-4, 1 / 86400.0) == ceiling
    assert targeted_joint_far_hz(12.0, 0.0, 1e-6, 1e-4, 1 / 86400.0) == 0.0


def test_targeted_joint_rate_is_a_distribution_of_products() -> None:
    """Simulated pairs below both thresholds are as rare as the formula says."""
    rng = np.random.default_rng(0)
    product = rng.random(200_000) * rng.random(200_000)
    for z in (1e-3, 0.03, 0.4):
        assert np.mean(product <= z) == pytest.approx(targeted_joint_far_hz(1.0, z, 1.0, 1.0, 1.0), rel=0.05)


def test_chance_galaxies() -> None:
    assert galaxy_chance_probability(5.0, 18.0) == pytest.approx(0.0039220, abs=5e-8)


def test_backgrounds_are_measured_and_never_zero(make_objects: Any) -> None:
    objects = make_objects(np.zeros(9), 0.0, 61100.0)
    measured = measure_background(objects, {"ztf": 100.0, "lsst": 50.0}, 2.0)
    assert measured.rate_per_deg2_day == {"ztf": 10 / 200.0, "lsst": 1 / 100.0}
    assert "9 new objects" in measured.provenance
    rates = DEFAULT_BACKGROUND.rates_of(np.array(["ztf", "lsst", "other"], dtype=object))
    assert rates.tolist() == [2.5, 20.0, 20.0]


@pytest.mark.parametrize("rates", [{}, {"ztf": 0.0}, {"ztf": math.nan}, {"ztf": -1.0}, {"ztf": math.inf}])
def test_backgrounds_without_a_rate_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive rate"):
        Background(rates, "")
