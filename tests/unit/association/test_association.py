from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from compose.association import AssociationQueue
from graph.association import (
    BORDER_DEG,
    CELL_ORDER,
    CELL_PIXELS,
    MAX_SEPARATION_ARCSEC,
    SIGMA_ARCSEC,
    Associator,
    cells_about,
    links_of,
    mutual_nearest,
    same_probability,
)
from graph.sky import ang2pix, cell_centres
from graph.topics import OBJECTS

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
        "healpix29": int(ang2pix(ra_deg, dec_deg)[0]),
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


def cell_of(ra_deg: float, dec_deg: float) -> int:
    return int(ang2pix(ra_deg, dec_deg)[0]) // CELL_PIXELS


def test_links_come_and_go() -> None:
    rows = [
        row("ztf", "a", 10.0, 20.0, ("lsst:2",)),
        row("lsst", "1", 10.0 + 0.2 / 3600.0, 20.0),
        row("lsst", "2", 10.0, 20.0 + 8.0 / 3600.0),
        row("ztf", "moved", 10.01, 20.0, ("lsst:unseen",)),
        row("ztf", "elsewhere", 11.0, 20.0, ("lsst:unseen",)),
        row("lsst", "elsewhere", 11.0, 20.0),
    ]
    cell = cell_of(10.0, 20.0)
    links = links_of(rows, cell)
    assert list(zip(links.ztf_key, links.lsst_key, strict=True)) == [
        ("ztf:a", "lsst:1"),
        ("ztf:a", "lsst:2"),
        ("ztf:moved", "lsst:unseen"),
    ]
    assert links.separation_arcsec[0] == pytest.approx(0.2 * np.cos(np.radians(20.0)), rel=1e-4)
    assert links.probability[0] > 0.99
    assert links.probability[1:].tolist() == [0.0, 0.0]
    shuffled = links_of(rows[::-1], cell)
    assert shuffled.ztf_key == links.ztf_key
    np.testing.assert_array_equal(shuffled.probability, links.probability)
    alone = links_of(rows[:4], cell)
    np.testing.assert_array_equal(alone.probability, links.probability)


@pytest.mark.parametrize("ra_deg", [0.0, 359.9999, 180.0])
@pytest.mark.parametrize("dec_deg", [-89.9999, 0.0, 89.9999])
def test_borders_and_poles(ra_deg: float, dec_deg: float) -> None:
    rows = [row("ztf", "a", ra_deg, dec_deg), row("lsst", "1", (ra_deg + 1e-5) % 360.0, dec_deg)]
    assert len(links_of(rows, cell_of(ra_deg, dec_deg))) == 1


def test_nothing_pairs_with_nothing() -> None:
    assert len(links_of([], 5)) == 0
    assert len(links_of([row("ztf", "a", 1.0, 1.0)], cell_of(1.0, 1.0))) == 0


def test_every_cell_at_whose_border_an_object_lies_is_looked_at() -> None:
    rng = np.random.default_rng(3)
    centre_ra, centre_dec = cell_centres(CELL_ORDER, rng.integers(0, 12 * 4**CELL_ORDER, 40))
    # Points along lines between neighbouring cells, and at the poles and corners of the base cells.
    ra = np.concatenate([centre_ra, rng.uniform(0.0, 360.0, 400), [0.0, 45.0, 90.0, 0.0, 0.0]])
    dec = np.concatenate([centre_dec, rng.uniform(-90.0, 90.0, 400), [90.0, -90.0, 41.8103, 0.0, -41.8103]])
    near = rng.uniform(0.0, 0.9 * BORDER_DEG, (200, 1)), rng.uniform(0.0, 360.0, (200, 1))
    places = SkyCoord(ra, dec, unit="deg").directional_offset_by(near[1] * u.deg, near[0] * u.deg)
    reached = ang2pix(places.ra.deg.ravel(), places.dec.deg.ravel()).reshape(200, -1) // CELL_PIXELS
    for number in range(len(ra)):
        found = cells_about(ra[number : number + 1], dec[number : number + 1])
        assert set(reached[:, number]) <= set(found.tolist()), (ra[number], dec[number])
    assert (np.array([len(set(column)) for column in reached.T]) > 1).sum() >= 5, "some lie at a border"


class FakeGraph:
    """Objects of two surveys, and the links that were written."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)
        self.looks = 0
        self.links: dict[tuple[str, str], float] = {}

    def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        if name == "has_objects_of":
            return [row for row in self.rows if row["object_key"].startswith(parameters["prefix"])][:1]
        self.looks += 1
        inside = [
            row for row in self.rows if any(low <= row["healpix29"] <= high for low, high in parameters["ranges"])
        ]
        return [{**row, "same_as": [b for a, b in self.links if a == row["object_key"]]} for row in inside]

    def write(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        assert name == "write_same_as"
        pairs = zip(parameters["ztf_key"], parameters["lsst_key"], strict=True)
        for pair, probability in zip(pairs, parameters["probability"], strict=True):
            if probability > 0.0:
                self.links[pair] = probability
            else:
                self.links.pop(pair, None)
        return []


class FakeMessage:
    """A message of one partition."""

    def __init__(self, offset: int, body: bytes) -> None:
        self._offset, self._body = offset, body

    def topic(self) -> str:
        return OBJECTS

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._body


class FakeInbox:
    """Messages that lie on a topic, and the offset up to which they are done."""

    def __init__(self, *bodies: bytes) -> None:
        self.bodies = list(bodies)
        self.next = self.committed = 0
        self.done_offsets: set[int] = set()
        self.held: frozenset[str] = frozenset()

    @property
    def is_at_end(self) -> bool:
        return self.next == len(self.bodies)

    def hold(self, topics: frozenset[str]) -> None:
        self.held = topics

    def poll(self, max_messages: int, _wait_s: float) -> list[FakeMessage]:
        if self.held:
            return []
        first, self.next = self.next, min(self.next + max_messages, len(self.bodies))
        return [FakeMessage(offset, self.bodies[offset]) for offset in range(first, self.next)]

    def done(self, places: list[tuple[str, int, int]]) -> None:
        self.done_offsets |= {offset for _, _, offset in places}

    def commit(self) -> None:
        while self.committed in self.done_offsets:
            self.committed += 1


def message(*places: tuple[float, float]) -> bytes:
    return orjson.dumps({"ra_deg": [ra for ra, _ in places], "dec_deg": [dec for _, dec in places]})


def queue_of(graph: FakeGraph, inbox: FakeInbox, now: list[float]) -> AssociationQueue:
    return AssociationQueue(graph, inbox, clock=lambda: now[0])  # type: ignore[arg-type]


PAIR = (row("ztf", "a", 10.0, 20.0), row("lsst", "1", 10.0, 20.0))


def test_cells_wait_for_their_turn_and_are_asked_once() -> None:
    graph, inbox, now = FakeGraph(*PAIR), FakeInbox(message((10.0, 20.0), (10.0001, 20.0), (200.0, -5.0))), [0.0]
    queue = queue_of(graph, inbox, now)
    assert queue.work() == 1
    assert graph.looks == len(cells_about(np.array([10.0, 200.0]), np.array([20.0, -5.0])))
    assert set(graph.links) == {("ztf:a", "lsst:1")}
    assert inbox.committed == 1
    inbox.bodies.append(message((10.0, 20.0)))
    assert queue.work() == 0, "too soon"
    now[0] += 10.0
    assert queue.work() == 1
    assert inbox.committed == 2


def test_a_message_is_done_only_once_all_its_cells_are() -> None:
    places = [(float(ra), 20.0) for ra in range(0, 300, 5)]
    graph, inbox, now = FakeGraph(*PAIR), FakeInbox(message(*places), message((10.0, 20.0))), [0.0]
    queue = queue_of(graph, inbox, now)
    queue.work()
    assert inbox.committed == 0
    again = queue_of(graph, FakeInbox(*inbox.bodies), now)
    again.drain(lambda: False)
    assert set(graph.links) == {("ztf:a", "lsst:1")}
    for _ in range(10):
        now[0] += 10.0
        queue.work()
    assert inbox.committed == 2


def test_one_survey_alone_costs_nothing_and_the_other_one_brings_its_cells() -> None:
    ztf, lsst = PAIR
    graph, inbox, now = FakeGraph(ztf), FakeInbox(message((10.0, 20.0))), [0.0]
    queue = queue_of(graph, inbox, now)
    assert queue.work() == 0
    assert graph.looks == 0
    assert inbox.committed == 1
    graph.rows.append(lsst)
    inbox.bodies.append(message((10.0, 20.0)))
    now[0] += 1.0
    assert queue.work() == 1, "at once: nobody else will ask for this cell"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_arrival_leaves_no_trace(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Around a corner of four cells, dense enough for links that come and go.
    ra, dec = 45.0 + rng.uniform(-6.0, 6.0, 30) / 3600.0, rng.uniform(-6.0, 6.0, 30) / 3600.0
    rows = [row("ztf" if n % 2 else "lsst", str(n), float(ra[n]), float(dec[n])) for n in range(30)]
    assert len({one["healpix29"] // CELL_PIXELS for one in rows}) >= 2
    found = []
    for order in (np.arange(30), rng.permutation(30)):
        graph = FakeGraph()
        associator = Associator(graph)  # type: ignore[arg-type]
        for number in order:
            graph.rows.append(rows[number])
            for cell in cells_about(ra[number : number + 1], dec[number : number + 1]):
                associator.associate(int(cell))
        found.append(graph.links)
    assert found[0] == found[1]
    assert len(found[0]) > 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"ra_deg": ["x"], "dec_deg": [1]}', b'{"ra_deg": 1}'])
def test_what_cannot_be_read_is_left_to_the_coordinator(body: bytes) -> None:
    graph, inbox = FakeGraph(*PAIR), FakeInbox(body)
    assert queue_of(graph, inbox, [0.0]).work() == 0
    assert inbox.committed == 1
