"""The table of rules on moving bodies, on made and on real alerts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from graph.model import Survey
from ingest.alerts.columns import AlertColumns, ForcedPhotometry, LightCurves
from ingest.classifiers.contract import batch_of
from ingest.classifiers.run import Runner
from ingest.classifiers.solar_system import RULES, SolarSystem, ecliptic_latitude_deg, unnamed
from ingest.crossmatch import crossmatch
from ingest.training.labelled import Labelled, as_batch
from ingest.training.solar_system import public_alerts, shares

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.classifiers.contract import Classifications

NAN = float("nan")
LONE: dict[str, Any] = {
    "object_id": "a", "solar_system_id": "", "n_detections": 1, "nearest_source_arcsec": 9.0, "reliability": 0.9,
    "psf_flux_njy": 50.0, "ra_deg": 0.0, "dec_deg": 0.0, "solar_system_separation_arcsec": NAN, "is_streak": False,
    "trail_length_arcsec": NAN, "extendedness": NAN, "exposure_id": -1, "midpoint_mjd_tai": 60000.0,
    "first_midpoint_mjd_tai": 60000.0,
}  # fmt: skip


def columns_of(*alerts: dict[str, Any], survey: Survey = Survey.ZTF) -> AlertColumns:
    n, none = len(alerts), np.empty(0)
    points = LightCurves(
        np.arange(n + 1), np.full(n, 60000.0), np.ones(n, np.int8), np.full(n, 50.0), np.full(n, 5.0), np.full(n, NAN)
    )
    absent = np.full(n, NAN)
    forced = ForcedPhotometry(np.zeros(n + 1, np.int64), none, np.empty(0, np.int8), none, none)
    made = as_batch(Labelled(*(np.full(n, "a", dtype=object),) * 3, points, forced, *(absent,) * 5), survey).columns
    rows = [LONE | alert for alert in alerts]
    kinds = {"object_id": object, "solar_system_id": object, "is_streak": bool}
    return replace(made, **{name: np.array([row[name] for row in rows], dtype=kinds.get(name)) for name in LONE})


def ask(*alerts: dict[str, Any], survey: Survey = Survey.ZTF) -> Classifications:
    columns = columns_of(*alerts, survey=survey)
    outcome = Runner((SolarSystem(survey, together=True),), time_limit_s=60).run(
        batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg))
    )
    assert not outcome.left_out
    return outcome.answers["solar_system"]


@pytest.mark.parametrize(
    ("alert", "rule"),
    [
        ({"solar_system_id": "Ceres", "solar_system_separation_arcsec": 0.4}, "associated"),
        ({"solar_system_id": "42", "object_id": "", "n_detections": -1}, "associated"),
        ({"solar_system_id": "Ceres", "solar_system_separation_arcsec": 0.4, "n_detections": 9}, "associated_close"),
        (
            {"solar_system_id": "Ceres", "solar_system_separation_arcsec": 4.0, "n_detections": 9},
            "associated_by_chance",
        ),
        ({"is_streak": True}, "trail"),
        ({"trail_length_arcsec": 20.0}, "trail"),
        ({}, "alone_near_ecliptic"),
        ({"reliability": NAN, "nearest_source_arcsec": NAN}, "alone_near_ecliptic"),
        ({"dec_deg": 25.0}, "alone_off_ecliptic"),
        ({"dec_deg": 60.0}, "alone_far_off"),
        ({"n_detections": 2}, ""),
        ({"nearest_source_arcsec": 0.5}, ""),
        ({"reliability": 0.2}, ""),
        ({"psf_flux_njy": -50.0}, ""),
        ({"extendedness": 0.9}, ""),
        ({"ra_deg": NAN}, ""),
        ({"psf_flux_njy": NAN}, ""),
    ],
)
def test_the_first_rule_that_holds_answers(alert: dict[str, Any], rule: str) -> None:
    answer = ask(alert)
    if not rule:
        assert answer.abstained.all()
        return
    assert RULES[int(answer.extras["rule"][0])].name == rule
    assert answer.probability[0].sum() == pytest.approx(1.0)
    top = float(answer.top_probability[0])
    assert answer.std[0] == pytest.approx(top * (1.0 - top), rel=1e-5)


def test_the_table_is_one_of_probabilities() -> None:
    for rule in RULES:
        assert rule.reason
        assert np.isnan(rule.sso) or (rule.sso >= 0.0 and rule.sso + rule.satellite <= 1.0)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_survey_that_names_no_body_lowers_the_odds() -> None:
    share = np.array([0.95])
    # Of 100 lone detections 95 are bodies; 90 or so of them have been named and are gone.
    assert unnamed(share, Survey.ZTF)[0] == pytest.approx(4.75 / (4.75 + 5.0))
    assert unnamed(share, Survey.LSST)[0] == pytest.approx(66.5 / (66.5 + 5.0))
    assert ask({}, survey=Survey.LSST).of("SSO")[0] > ask({}).of("SSO")[0]


def test_ecliptic_latitude_is_that_of_astropy() -> None:
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    expected = SkyCoord(ra * u.deg, dec * u.deg).barycentricmeanecliptic.lat.deg
    np.testing.assert_allclose(ecliptic_latitude_deg(ra, dec), expected, atol=1e-3)


def test_three_in_a_line_are_a_body_far_from_the_ecliptic() -> None:
    track = [
        {"ra_deg": 10.0, "dec_deg": 70.0 + 0.005 * k, "midpoint_mjd_tai": 60000.0 + k / 48.0, "object_id": str(k)}
        for k in range(3)
    ]
    track = [alert | {"first_midpoint_mjd_tai": alert["midpoint_mjd_tai"], "reliability": 0.3} for alert in track]
    answer = ask(*track, {"ra_deg": 200.0, "dec_deg": 70.0})
    assert answer.top_class.tolist() == ["SSO", "SSO", "SSO", "other"]
    assert answer.extras["tracklet"][:3].tolist() == [0.0, 0.0, 0.0]
    assert answer.extras["rate_arcsec_min"][0] == pytest.approx(0.6, rel=1e-3)
    assert np.isnan(answer.extras["tracklet"][3])
    # A border between batches: two points are a pair, and one of low score is nothing.
    assert set(ask(*track[:2]).extras["tracklet_points"]) == {2.0}
    assert ask(track[2]).abstained.all()


def test_flashes_on_one_line_are_a_satellite() -> None:
    flashes = [
        {"ra_deg": 10.0 + 0.02 * k, "dec_deg": 5.0 + 0.01 * k, "exposure_id": 7, "object_id": str(k)} for k in range(8)
    ]
    assert set(ask(*flashes).top_class) == {"satellite"}


def test_real_bodies_are_known_without_their_names(shared_data: Path) -> None:
    columns = public_alerts(shared_data / "alerts")
    batch = batch_of(columns, crossmatch((), columns.ra_deg, columns.dec_deg))
    answer = SolarSystem(Survey.ZTF).classify(batch, {})
    known = columns.solar_system_id != ""
    assert (answer.top_class[known] == "SSO").mean() > 0.95
    found = shares(columns)
    table = {rule.name: rule.sso for rule in RULES}
    for name, sides in found.items():
        assert sides["held_out"]["known_bodies"] == pytest.approx(table[name], abs=0.15)
    assert sum(sides["held_out"]["alerts"] for sides in found.values()) > 200
