"""A short night whose stream is killed in the middle: ledger, dead letters and graph agree with the truth."""

from __future__ import annotations

import pytest

from compose.bench.night import NightPlan, bench_night
from compose.testing import Installation
from graph.model import Survey

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

ALERTS = 6000
PER_BATCH = 600


def test_a_killed_night_loses_and_doubles_nothing(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    # The stream is a process of its own and has its settings from the environment.
    monkeypatch.setenv("HELIOGRAPH_INGEST__MAX_OFFSETS_PER_BATCH", str(PER_BATCH))
    settings = installation.settings
    settings = settings.model_copy(
        update={"ingest": settings.ingest.model_copy(update={"max_offsets_per_batch": PER_BATCH})}
    )
    plan = NightPlan(ALERTS, Survey.ZTF, kill=True, seed=11, ahead=2000, cutouts=False)
    figures = bench_night(settings, plan, lambda stage, done, total: None)
    assert figures["nothing_lost"], figures
    # Counted here by other means: the statements below know neither the ledger's reader nor the judge.
    (ledger,) = installation.query(
        "MATCH (l:LedgerEntry) RETURN sum(l.received) AS received, sum(l.loaded) AS loaded, "
        "sum(l.duplicates) AS duplicates, sum(l.dead) AS dead"
    )
    (graph,) = installation.query("MATCH (d:Detection) RETURN count(d) AS n, count(DISTINCT d.source) AS sources")
    assert ledger["received"] == plan.messages == ALERTS + 61 + 12
    assert ledger["loaded"] == graph["n"] == graph["sources"] > ALERTS / 2
    assert ledger["dead"] == ALERTS // 499
    assert 0 < ledger["duplicates"] <= ALERTS // 97
    killed_at = figures["killed_at"]
    assert isinstance(killed_at, int)
    assert plan.messages / 2 <= killed_at < plan.messages
    assert figures["outage_s"]
