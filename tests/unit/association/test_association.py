from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from compose.association import CELL_PIXELS, AssociationQueue
from graph.association import MAX_SEPARATION_ARCSEC, SIGMA_ARCSEC, links_of, mutual_nearest, same_probability
from graph.sky import ang2pix

FIELD_DEG = 1.0


def field(rng: np.random.Generator, n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return positions that are uniform in a small field on the equator."""
    return rng.uniform(0.0, FIELD_DEG, n), rng.uniform(-0.5 * FIELD_DEG, 0.5 * FIELD_DEG, n)


def row(survey: str, name: str, ra_deg: float, dec_deg: float, same_as: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "survey": survey,
        "object_key": f"{survey}:{name}",
        "ra_deg": ra_deg,
        "dec_deg": dec_deg,
        "same_as": list(same_as),
    }


def test_pairs_are_the_mutual_nearest_of_astropy() -> None:
    rng = np.random.default_rng(5)
    first, second = field(rng, 3000), field(rng, 4000)
    one, two, separation = mutual_nearest(first, second)
    a, b = (SkyCoord(*side, unit="deg") for side in (first, second))
    there, distance, _ = a.match_to_catalog_sky(b)
    back, _, _ = b.match_to_catalog_sky(a)
    near = distance.to_value(u.arcsec) <= MAX_SEPARATION_ARCSEC
    expected = np.flatnonzero(near & (back[there] == np.arange(len(first[0]))))
    assert len(expected) > 5
    np.testing.assert_array_equal(one, expected)
    np.testing.assert_array_equal(two, there[expected])
    np.testing.assert_allclose(separation, distance.to_value(u.arcsec)[expected], atol=1e-6)


def test_the_probability_is_calibrated_on_a_field_of_pairs_and_strangers() -> None:
    rng = np.random.default_rng(7)
    n = 60_000
    ra, dec = field(rng, n)
    # Half of the first survey's objects are in the second too, displaced by the errors; as many strangers beside them.
    scatter = rng.normal(0.0, SIGMA_ARCSEC / 3600.0, (2, n // 2))
    there = np.concatenate([ra[: n // 2] + scatter[0], rng.uniform(0.0, FIELD_DEG, n // 2)])
    up = np.concatenate([dec[: n // 2] + scatter[1], rng.uniform(-0.5, 0.5, n // 2) * FIELD_DEG])
    one, two, separation = mutual_nearest((ra, dec), (there, up))
    probability = same_probability(separation, n / FIELD_DEG**2)
    true = one == two
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 0.95), (0.95, 1.0)):
        inside = (probability >= low) & (probability < high)
        assert inside.sum() > 50
        assert abs(probability[inside].mean() - true[inside].mean()) < 0.09, (low, high)


def test_links_come_and_go() -> None:
    rows = [
        row("ztf", "a", 10.0, 20.0, ("lsst:2",)),
        row("lsst", "1", 10.0 + 0.2 / 3600.0, 20.0),
        row("lsst", "2", 10.0, 20.0 + 8.0 / 3600.0),
        row("ztf", "far", 10.1, 20.0, ("lsst:unseen",)),
    ]
    links = links_of(rows, 0.05)
    assert list(zip(links.ztf_key, links.lsst_key, strict=True)) == [("ztf:a", "lsst:1"), ("ztf:a", "lsst:2")]
    assert links.separation_arcsec[0] == pytest.approx(0.2 * np.cos(np.radians(20.0)), rel=1e-4)
    assert links.probability[0] > 0.99
    assert links.probability[1] == 0.0
    shuffled = links_of(rows[::-1], 0.05)
    assert shuffled.ztf_key == links.ztf_key
    np.testing.assert_array_equal(shuffled.probability, links.probability)


@pytest.mark.parametrize("ra_deg", [0.0, 359.9999, 180.0])
@pytest.mark.parametrize("dec_deg", [-89.9999, 0.0, 89.9999])
def test_borders_and_poles(ra_deg: float, dec_deg: float) -> None:
    rows = [row("ztf", "a", ra_deg, dec_deg), row("lsst", "1", (ra_deg + 1e-5) % 360.0, dec_deg)]
    assert len(links_of(rows, 0.05)) == 1


def test_nothing_pairs_with_nothing() -> None:
    assert len(links_of([], 0.05)) == 0
    assert len(links_of([row("ztf", "a", 1.0, 1.0)], 0.05)) == 0


class FakeGraph:
    """Two objects of two surveys, and what was written."""

    def __init__(self, *, both: bool) -> None:
        self.both = both
        self.read_ranges: list[Any] = []
        self.written: list[dict[str, Any]] = []

    def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        if name == "has_objects_of":
            return [{"object_key": "x"}] if self.both or parameters["prefix"] == "ztf:" else []
        self.read_ranges.append(parameters["ranges"])
        return [row("ztf", "a", 10.0, 20.0), row("lsst", "1", 10.0, 20.0)]

    def write(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        assert name == "write_same_as"
        self.written.append(parameters)
        return []


def message(*places: tuple[float, float]) -> bytes:
    return orjson.dumps({"ra_deg": [ra for ra, _ in places], "dec_deg": [dec for _, dec in places]})


def test_cells_wait_for_their_turn_and_are_asked_once() -> None:
    graph, now = FakeGraph(both=True), [0.0]
    queue = AssociationQueue(graph, clock=lambda: now[0])  # type: ignore[arg-type]
    queue.take(message((10.0, 20.0), (10.0001, 20.0), (200.0, -5.0)))
    assert queue.work() == 2
    assert len(graph.read_ranges) == 2
    pixel = int(ang2pix(10.0, 20.0)[0])
    assert any(low <= pixel <= high for low, high in graph.read_ranges[0])
    assert (pixel // CELL_PIXELS) * CELL_PIXELS >= graph.read_ranges[0][0][0]
    queue.take(message((10.0, 20.0)))
    assert queue.work() == 0, "too soon"
    now[0] += 10.0
    assert queue.work() == 1


def test_one_survey_alone_costs_nothing() -> None:
    graph = FakeGraph(both=False)
    queue = AssociationQueue(graph, clock=lambda: 0.0)  # type: ignore[arg-type]
    queue.take(message((10.0, 20.0)))
    assert queue.work() == 0
    assert not graph.read_ranges


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"ra_deg": ["x"], "dec_deg": [1]}', b'{"ra_deg": 1}'])
def test_what_cannot_be_read_is_left_to_the_coordinator(body: bytes) -> None:
    queue = AssociationQueue(FakeGraph(both=True), clock=lambda: 0.0)  # type: ignore[arg-type]
    queue.take(body)
    assert queue.work() == 0
