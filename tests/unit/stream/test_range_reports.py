"""What the executors report, added up to the ledger and to the summary of a batch."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graph.model import Survey
from ingest.offsets import OffsetRange
from ingest.pipeline import BatchReport
from ingest.stream import (
    LATENCY_BINS_PER_E,
    MIN_LATENCY_S,
    RangeReport,
    latency_bins,
    ledger_entries,
    summarise,
)

OUTCOMES = ["loaded", "duplicate", "filtered:solar_system", "filtered:streak", "dead:malformed", "dead:unknown_schema"]
NIGHTS = [20261119, 20261120, 0]


def survey_of(topic: str) -> Survey:
    return Survey(topic.partition(".")[2])


@given(st.lists(st.floats(MIN_LATENCY_S, 1e6), min_size=1, max_size=50))
def test_a_bin_tells_the_latency_to_one_per_cent(latency_s: list[float]) -> None:
    bins = latency_bins(np.array(latency_s))
    for bin_number, seconds in zip(bins.tolist(), latency_s, strict=True):
        assert math.isclose(math.exp(bin_number / LATENCY_BINS_PER_E), seconds, rel_tol=0.0101)


def test_latencies_below_the_clock_are_counted_as_its_resolution() -> None:
    """Two clocks differ: a message may have been produced after now."""
    assert len(set(latency_bins(np.array([-5.0, 0.0, 1e-9, MIN_LATENCY_S])).tolist())) == 1
    assert latency_bins(np.zeros(0)).tolist() == []


def batch_report(outcomes: list[str], night: int) -> BatchReport:
    n = len(outcomes)
    dead = np.array([name.startswith("dead") for name in outcomes], dtype=np.bool_)
    classified = np.array([name in {"loaded", "duplicate"} for name in outcomes], dtype=np.bool_)
    return BatchReport(
        np.array(outcomes, dtype=object), np.full(n, night, np.int64), ~dead, classified, {"decode": 0.25, "write": 1.0}
    )


def test_a_report_counts_every_message_of_its_range_once() -> None:
    report = RangeReport(OffsetRange("alerts.ztf", 0, 10, 16))
    timestamps = np.array([1_000_000, 1_000_000, -1, 999_000, -1, 1_000_000])
    report.add(batch_report(OUTCOMES, 20261120), timestamps, now_s=1002.0)
    report.add(batch_report(OUTCOMES[:1], 20261119), np.array([-1]), now_s=1002.0)
    assert report.outcomes.total() == 7
    assert report.outcomes[20261120, "loaded"] == report.outcomes[20261119, "loaded"] == 1
    assert report.archived == Counter({20261120: 4, 20261119: 1})
    assert report.classified == Counter({20261120: 2, 20261119: 1})
    assert report.seconds == {"decode": 0.5, "write": 2.0}
    # Kafka does not know when three of them were produced.
    assert report.latency == Counter(
        {int(latency_bins(np.array([2.0]))[0]): 3, int(latency_bins(np.array([3.0]))[0]): 1}
    )


REPORTS = st.lists(
    st.tuples(
        st.sampled_from([("alerts.ztf", 0), ("alerts.ztf", 1), ("alerts.lsst", 0)]),
        st.integers(1, 40),
        st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(NIGHTS)), max_size=40),
    ),
    max_size=8,
)


def reports_of(drawn: list[tuple[tuple[str, int], int, list[tuple[str, int]]]]) -> list[RangeReport]:
    """Lay ranges of each partition one after the other."""
    end: Counter[tuple[str, int]] = Counter({("alerts.ztf", 1): 500})
    reports = []
    for place, size, found in drawn:
        report = RangeReport(OffsetRange(*place, end[place], end[place] + size))
        end[place] += size
        for outcome, night in found:
            report.outcomes[night, outcome] += 1
            report.archived[night] += not outcome.startswith("dead")
            report.classified[night] += outcome in {"loaded", "duplicate"}
        report.seconds = {"fetch": 0.5}
        report.latency = Counter({3: len(found)})
        reports.append(report)
    return reports


@given(drawn=REPORTS, shuffled=st.randoms(use_true_random=False))
def test_the_ledger_adds_up_whatever_the_order_of_the_reports(
    drawn: list[tuple[tuple[str, int], int, list[tuple[str, int]]]], shuffled: object
) -> None:
    reports = reports_of(drawn)
    entries = ledger_entries(reports, survey_of, keeps_archive=True)
    messages = [(place, outcome, night) for place, _, found in drawn for outcome, night in found]
    assert sum(entry["received"] for entry in entries) == len(messages)  # type: ignore[misc]
    for entry in entries:
        dead, filtered = json.loads(str(entry["dead_reasons"])), json.loads(str(entry["filtered"]))
        assert entry["dead"] == sum(dead.values())
        parts = (entry["loaded"], entry["duplicates"], entry["dead"], sum(filtered.values()))
        assert entry["received"] == sum(parts)
        place = (entry["topic"], entry["partition"])
        mine = [outcome for other, outcome, night in messages if (other, night) == (place, entry["night"])]
        assert entry["received"] == len(mine)
        assert entry["archived"] == len([name for name in mine if not name.startswith("dead")])
        assert entry["classified"] == entry["loaded"] + entry["duplicates"]  # type: ignore[operator]
        assert filtered.get("streak", 0) == mine.count("filtered:streak")
        assert dead.get("malformed", 0) == mine.count("dead:malformed")
        ranges = [one.wanted for one in reports if (one.wanted.topic, one.wanted.partition) == place]
        assert entry["offset_from"] == min(one.offset_from for one in ranges)
        assert entry["offset_until"] == max(one.offset_until for one in ranges)
        assert entry["survey"] == str(entry["topic"]).removeprefix("alerts.")
    names = [entry["entry_id"] for entry in entries]
    assert len(set(names)) == len(names)
    shuffled.shuffle(reports)  # type: ignore[attr-defined]
    assert ledger_entries(reports, survey_of, keeps_archive=True) == entries


def test_without_an_archive_the_ledger_does_not_say_how_many_are_in_it() -> None:
    reports = reports_of([(("alerts.ztf", 0), 1, [("loaded", NIGHTS[0])])])
    assert [entry["archived"] for entry in ledger_entries(reports, survey_of, keeps_archive=False)] == [None]


@given(drawn=REPORTS)
def test_a_summary_adds_up_its_ranges(drawn: list[tuple[tuple[str, int], int, list[tuple[str, int]]]]) -> None:
    summary = summarise(7, reports_of(drawn))
    found = Counter(outcome for _, _, messages in drawn for outcome, _ in messages)
    assert summary.batch_id == 7
    assert summary.outcomes == found
    assert summary.received == found.total() == sum(summary.latency.values())
    assert math.isclose(summary.seconds.get("fetch", 0.0), 0.5 * len(drawn))
