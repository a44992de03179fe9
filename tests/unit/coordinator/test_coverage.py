"""How much of an event's place a visit covered, and how deep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from coordinator.coverage import COARSE_CELLS, Places, coverage_of, places_of, who_looked
from graph.errors import NotFoundError
from graph.model import Circle, Event, Survey
from graph.regions import region_of
from graph.sky import ang2pix
from graph.times import datetime_to_mjd_tai
from graph.visits import VISIT_CELL_SHIFT, IntArray, VisitColumns, joined_visits

PLACES = Places(np.array([10, 11, 12]), np.array([0.5, 0.3, 0.1]))
TRIGGER = 61_000.0


def visits(*looks: tuple[str, float, str, int, float]) -> VisitColumns:
    survey, time, band, cell, limit = (list(column) for column in zip(*looks, strict=True))
    texts = (np.array(survey, dtype=object), np.array(band, dtype=object))
    return VisitColumns(
        texts[0], np.array(time), texts[1], np.array(cell), np.array(limit), np.ones(len(looks), dtype=np.int64)
    )


def cell_of(ra_deg: float, dec_deg: float) -> int:
    return int(ang2pix(ra_deg, dec_deg)[0] >> VISIT_CELL_SHIFT)


def test_a_small_circle_is_in_one_cell() -> None:
    places = places_of(region_of(Circle(150.2, 2.2, 2.0 / 3600.0)), 0.95)
    assert places.cell.tolist() == [cell_of(150.2, 2.2)]
    # A region below a square degree is searched to 99 per cent.
    assert places.probability.tolist() == [pytest.approx(0.99)]


def test_a_circle_of_a_degree_is_spread_as_its_density_is() -> None:
    region = region_of(Circle(150.0, 2.0, 1.0, systematic_included=True))
    places = places_of(region, 0.95)
    assert places.probability.sum() == pytest.approx(0.95)
    assert np.all(np.diff(places.cell) > 0)
    rng = np.random.default_rng(5)
    ra, dec = 150.0 + rng.uniform(-3.0, 3.0, 400_000), 2.0 + rng.uniform(-3.0, 3.0, 400_000)
    inside = region.credible_level(ra, dec) <= 0.95
    weight = np.where(inside, region.probability_density_sr(ra, dec), 0.0) * np.cos(np.radians(dec))
    cell = ang2pix(ra, dec) >> VISIT_CELL_SHIFT
    for one, probability in zip(places.cell.tolist(), places.probability.tolist(), strict=True):
        assert probability == pytest.approx(0.95 * weight[cell == one].sum() / weight.sum(), rel=0.1, abs=0.004)


def test_of_a_wide_region_the_likeliest_part_is_looked_up() -> None:
    places = places_of(region_of(Circle(150.0, 2.0, 30.0)), 0.95)
    assert len(np.unique(places.cell >> 4)) == COARSE_CELLS
    assert 0.05 < places.probability.sum() < 0.5
    assert cell_of(150.0, 2.0) >> 4 in set((places.cell >> 4).tolist())


def test_a_visit_covers_what_its_cells_hold_and_reaches_what_half_of_it_reached() -> None:
    found = coverage_of(
        PLACES,
        visits(
            ("ztf", TRIGGER + 0.5, "g", 10, 20.0),
            ("ztf", TRIGGER + 0.5, "g", 11, 21.0),
            ("ztf", TRIGGER + 0.5, "r", 12, 19.0),
            ("lsst", TRIGGER + 0.5, "g", 11, 24.0),
            ("ztf", TRIGGER - 1.0, "g", 10, 20.5),
            ("ztf", TRIGGER - 1.0, "g", 99, 22.5),
        ),
        TRIGGER,
    )
    assert [(one.survey, one.band, one.delta_t_s) for one in found] == [
        (Survey.ZTF, "g", -86_400.0),
        (Survey.LSST, "g", 43_200.0),
        (Survey.ZTF, "g", 43_200.0),
        (Survey.ZTF, "r", 43_200.0),
    ]
    assert [one.probability for one in found] == pytest.approx([0.5, 0.3, 0.8, 0.1])
    # 0.3 of 0.8 reached 21, all of it 20.
    assert [one.limit_mag for one in found] == [20.5, 24.0, 20.0, 19.0]


def test_nothing_covers_nothing() -> None:
    assert coverage_of(PLACES, joined_visits([]), TRIGGER) == ()
    nowhere = Places(np.empty(0, dtype=np.int64), np.empty(0))
    assert coverage_of(nowhere, visits(("ztf", TRIGGER, "g", 10, 20.0)), TRIGGER) == ()


@dataclass
class OneVisit:
    asked: tuple[float, float] = (0.0, 0.0)

    def visits(self, cells: IntArray, from_mjd_tai: float, until_mjd_tai: float) -> VisitColumns:
        self.asked = (from_mjd_tai, until_mjd_tai)
        return visits(("ztf", until_mjd_tai, "r", int(cells[0]), 20.4))


def test_the_window_is_around_the_trigger(make_event: Callable[..., Event]) -> None:
    event = make_event(localization=Circle(30.2, 10.2, 0.001))
    assert event.trigger_time is not None
    trigger = datetime_to_mjd_tai(event.trigger_time)
    source = OneVisit()
    looked = who_looked(event, source, before_d=2.0, after_d=0.5, max_credible_level=0.95)
    assert source.asked == (pytest.approx(trigger - 2.0), pytest.approx(trigger + 0.5))
    assert looked.searched_probability == pytest.approx(0.99)
    (one,) = looked.visits
    assert (one.delta_t_s, one.probability) == (pytest.approx(43_200.0, abs=1.0), pytest.approx(0.99))


@pytest.mark.parametrize("missing", ["trigger_time", "localization"])
def test_without_time_or_place_there_is_no_answer(make_event: Callable[..., Event], missing: str) -> None:
    event = make_event(**{"localization": Circle(30.2, 10.2, 0.001), missing: None})
    with pytest.raises(NotFoundError, match="no trigger time or no place"):
        who_looked(event, OneVisit(), before_d=1.0, after_d=1.0, max_credible_level=0.95)
