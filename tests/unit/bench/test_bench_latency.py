"""Quantiles from logarithmic bins, held against the delays themselves."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.bench.latency import QUANTILES, latency_figures, quantile

DELAYS = st.lists(st.floats(0.001, 10_000.0), min_size=1, max_size=300)
ONE_BIN = 1.0101


def binned(delays: list[float]) -> Counter[int]:
    return Counter(round(50 * math.log(delay)) for delay in delays)


@given(DELAYS, st.sampled_from([*QUANTILES.values(), 1.0]))
def test_a_quantile_is_within_half_a_bin_of_the_exact_one(delays: list[float], share: float) -> None:
    exact = float(np.quantile(delays, share, method="inverted_cdf"))
    found = quantile(binned(delays), share)
    assert found is not None
    assert exact / ONE_BIN <= found <= exact * ONE_BIN


@given(DELAYS)
def test_quantiles_grow_with_their_share(delays: list[float]) -> None:
    figures = list(latency_figures(binned(delays)).values())
    assert figures == sorted(figures, key=lambda value: value or 0.0)


def test_without_alerts_there_is_no_delay() -> None:
    assert set(latency_figures({}).values()) == {None}


@pytest.mark.parametrize(("delay_s", "n"), [(5.0, 98), (0.25, 2)])
def test_the_98th_percentile_of_a_hundred_is_the_98th(delay_s: float, n: int) -> None:
    slow = 40.0
    counts = binned([delay_s] * n + [slow] * (100 - n))
    assert quantile(counts, n / 100) == pytest.approx(delay_s, rel=0.0101)
    assert quantile(counts, (n + 1) / 100) == pytest.approx(slow, rel=0.0101)
