"""Quantiles of delays that were counted in logarithmic bins."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ingest.stream import LATENCY_BINS_PER_E

QUANTILES = {"p50": 0.50, "p95": 0.95, "p98": 0.98, "p99": 0.99}
"""Quantiles reported; 98 % within 60 s is LSST's own requirement, LSST document LSE-61."""


def delay_of_bin(number: int) -> float:
    """Return the delay [s] at the middle of a bin."""
    return math.exp(number / LATENCY_BINS_PER_E)


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the delay [s] that a share of the alerts did not exceed.

    Parameters
    ----------
    counts : alerts by bin, see `ingest.stream.latency_bins`.
    share : in (0, 1]; 1 gives the largest delay.

    Returns
    -------
    The middle of the bin in which that alert lies, so within 1 % of its delay; None without alerts.
    """
    total = sum(counts.values())
    wanted = share * total
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        # A product such as 0.98 * 50 may come out a little above the whole number that it is.
        if counts[number] and seen >= wanted - 1e-9 * total:
            return delay_of_bin(number)
    return None


def latency_figures(counts: Mapping[int, int]) -> dict[str, float | None]:
    """Return the reported quantiles and the largest delay [s], rounded to milliseconds."""
    found = {name: quantile(counts, share) for name, share in {**QUANTILES, "max": 1.0}.items()}
    return {name: None if delay is None else round(delay, 3) for name, delay in found.items()}
