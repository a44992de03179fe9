"""Look-ups of many pixels at once against a plain reading of the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.cell_index import WORTH_A_TABLE, CellIndex
from graph.sky import MAX_ORDER, N_PIXELS, IntArray


def find_plainly(start: IntArray, stop: IntArray, pixel: IntArray) -> list[int]:
    inside = (pixel[:, None] >= start) & (pixel[:, None] < stop)
    found: list[int] = np.where(inside.any(axis=1), inside.argmax(axis=1), -1).tolist()
    return found


def around(edges: IntArray, rng: np.random.Generator) -> IntArray:
    """Return both sides of every edge, the ends of the sky, places anywhere, and no pixel."""
    anywhere = rng.integers(0, N_PIXELS, 500)
    pixel = np.concatenate([edges - 1, edges, anywhere, [0, N_PIXELS - 1, -1]])
    return np.asarray(pixel[pixel < N_PIXELS], dtype=np.int64)


def find_twice(index: CellIndex, pixel: IntArray) -> list[list[int]]:
    """Return what is found by searching, and by the table that is made once it is worth it."""
    searched = index.find(pixel).tolist()
    index.find(np.zeros(WORTH_A_TABLE, dtype=np.int64))
    return [searched, index.find(pixel).tolist()]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, N_PIXELS), min_size=2, max_size=60, unique=True),
    st.integers(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_many_pixels_are_found_as_one_by_one(edges: list[int], touching: int, seed: int) -> None:
    bounds = np.sort(np.array(edges, dtype=np.int64))
    # Either every stretch between two edges is an interval, or every second one.
    start, stop = (bounds[:-1], bounds[1:]) if touching else (bounds[: len(bounds) // 2 * 2 : 2], bounds[1::2])
    pixel = around(bounds, np.random.default_rng(seed))
    assert find_twice(CellIndex(start, stop), pixel) == [find_plainly(start, stop, pixel)] * 2


@pytest.mark.parametrize("order", [0, 3])
def test_cells_of_one_order_and_intervals_far_below_the_table(order: int) -> None:
    width = 1 << 2 * (MAX_ORDER - order)
    # The last interval is one pixel in the middle of an otherwise empty part of the sky.
    start = np.append(np.arange(5, dtype=np.int64) * width, N_PIXELS - width // 2)
    stop = np.append(start[1:6] - 1, N_PIXELS - width // 2 + 1)
    stop[4] = start[4] + width
    pixel = around(np.concatenate([start, stop]), np.random.default_rng(order))
    assert find_twice(CellIndex(start, stop), pixel) == [find_plainly(start, stop, pixel)] * 2


def test_no_pixels_and_few_pixels() -> None:
    index = CellIndex(np.array([4], dtype=np.int64), np.array([9], dtype=np.int64))
    assert find_twice(index, np.empty(0, dtype=np.int64)) == [[], []]
    assert find_twice(index, np.array([3, 4, 8, 9, -1])) == [[-1, 0, 0, -1, -1]] * 2
