"""Encoded sky maps: exact, small, and refused when damaged."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graph.errors import MalformedPacketError
from graph.model import Circle
from graph.regions import region_of, to_skymap
from graph.sky import SKY_SR, SkyMap, cells_to_ranges
from graph.skymap_bytes import skymap_from_bytes, skymap_to_bytes

LAYERS = ("start", "stop", "probability_density_sr", "distance_mu_mpc", "distance_sigma_mpc", "distance_norm_mpc2")


def random_map(seed: int, layers: tuple[bool, bool, bool]) -> SkyMap:
    rng = np.random.default_rng(seed)
    order = int(rng.integers(0, 4))
    cells = np.flatnonzero(rng.random(12 * 4**order) < 0.5)
    cells = cells if len(cells) else np.array([0])
    start, stop = cells_to_ranges(order, cells)
    density = rng.random(len(cells)) + 0.01
    density /= density.sum() * SKY_SR / (12 * 4**order)
    # Distances of places without information are infinite in published maps.
    distances = [np.where(rng.random(len(cells)) < 0.2, np.inf, rng.normal(size=len(cells))) for _ in range(3)]
    return SkyMap(start, stop, density, *(d if wanted else None for d, wanted in zip(distances, layers, strict=True)))


def assert_same(one: SkyMap, other: SkyMap) -> None:
    for name in LAYERS:
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        assert first is None or np.array_equal(first, second, equal_nan=True)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_maps_come_back_bit_by_bit(seed: int, layers: tuple[bool, bool, bool]) -> None:
    skymap = random_map(seed, layers)
    payload = skymap_to_bytes(skymap)
    assert_same(skymap_from_bytes(payload), skymap)
    assert skymap_to_bytes(skymap_from_bytes(payload)) == payload


def test_a_circle_of_thousands_of_cells_is_small() -> None:
    skymap = to_skymap(region_of(Circle(10.0, 20.0, 5.0)))
    assert len(skymap) > 10_000
    assert len(skymap_to_bytes(skymap)) < 9 * len(skymap)


PAYLOAD = skymap_to_bytes(random_map(1, (True, False, True)))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
# Other layers, as many as before.
@example(5, 3)
@example(5, 6)
def test_one_altered_byte_is_noticed(at: int, by: int) -> None:
    payload = bytearray(PAYLOAD)
    payload[at % len(payload)] ^= by
    try:
        back = skymap_from_bytes(bytes(payload))
    except MalformedPacketError:
        return
    # The only flips that pass are those of deflate's own tables that leave the content alone.
    assert_same(back, skymap_from_bytes(PAYLOAD))


@settings(deadline=None)
@given(st.integers(0, len(PAYLOAD) - 1))
def test_a_truncated_map_is_refused(length: int) -> None:
    with pytest.raises(MalformedPacketError):
        skymap_from_bytes(PAYLOAD[:length])


def packed(count: int, body: bytes, version: int = 1, bits: int = 0) -> bytes:
    return struct.pack("<4sBBI", b"HSKY", version, bits, count) + zlib.compress(body)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"HSKY",
        b"X" * 50,
        packed(1, bytes(24), version=2),
        packed(1, bytes(24), bits=8),
        packed(0, b""),
        packed(2**32 - 1, b""),
        packed(1, bytes(24)),
        packed(1, bytes(10**7)),
        packed(2, b"\x7f" * 48),
        packed(1, np.array([2**62, 2**62, 0], dtype="<i8").view(np.uint8).reshape(3, 8).tobytes()),
    ],
)
def test_hostile_bytes_are_refused(payload: Any) -> None:
    with pytest.raises(MalformedPacketError):
        skymap_from_bytes(payload)
