"""A storm of repeated notices through listener and coordinator: nothing is lost, fresh bursts are told in its midst."""

from __future__ import annotations

import pytest

from compose.bench.notices import REVISED_EVERY, StormPlan, bench_notices
from compose.testing import Installation

pytestmark = [pytest.mark.stack, pytest.mark.timeout(500)]


def test_a_storm_loses_nothing_and_does_not_hold_up_a_burst(installation: Installation) -> None:
    plan = StormPlan(rate_per_s=1000.0, duration_s=20.0, bursts=5, warm_ups=1, warm_up_s=0.0, objects=500)
    figures = bench_notices(installation.settings, plan, lambda *_: None)
    assert figures["lost"] == figures["untold"] == 0
    assert figures["bursts_before_the_end"] == plan.bursts
    assert figures["n"]["messages"] == 20_050 + 2 * plan.bursts + 1  # type: ignore[index]
    assert figures["n"]["distinct"] == 50 + 20_000 // REVISED_EVERY + 2 * plan.bursts + 1  # type: ignore[index]
    rows = installation.query("MATCH (:Object)-[c:COINCIDES_WITH]->(e:Event) RETURN e.event_id AS e, c.state AS state")
    states = {(row["e"], row["state"]) for row in rows}
    assert {state for event_id, state in states if event_id != f"fresh{plan.bursts}"} == {"withdrawn"}
    assert (f"fresh{plan.bursts}", "open") in states
    assert figures["retraction_s"]["list"]["p50"] is not None  # type: ignore[index]
