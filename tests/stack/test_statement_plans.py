"""How Neo4j goes about our statements where its counts mislead it: with more events than pairs, as after a quiet month.

A statement that is given many keys looks each up; one that walks an index, or all pairs of an event, once for each key
is right in a small graph and takes seconds for a wide sky map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from neo4j import Driver

import graph.statements
from compose.testing import Installation
from graph.connection import open_driver
from graph.statements import statement

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

MANY_EVENTS_FEW_PAIRS = """
UNWIND range(1, 300) AS i
CREATE (o:Object {object_key: 'ztf:' + i, healpix29: i}), (e:Event {event_key: 'Swift:' + i})
FOREACH (_ IN CASE WHEN i % 10 = 0 THEN [1] ELSE [] END |
  CREATE (o)-[:COINCIDES_WITH {state: 'open'}]->(e), (o)-[:HAS_DETECTION]->(:Detection {detection_key: 'ztf:' + i}),
    (o)-[:MATCHES]->(:CatalogSource {source_key: 'ned:' + i})
  MERGE (k:Class {name: 'supernova'})
  CREATE (o)-[:CLASSIFIED_AS]->(k)
)
"""

OF_MANY_KEYS = sorted(
    path.stem
    for path in (Path(graph.statements.__file__).parent / "queries").glob("*.cypher")
    if "UNWIND $" in path.read_text() or "UNWIND range" in path.read_text()
)

WITH_BOTH_ENDS = ("mark_coincidences_published", "mark_event_pairs_published", "read_coincidences_of_event")


@pytest.fixture
def driver(installation: Installation) -> Iterator[Driver]:
    installation.query(MANY_EVENTS_FEW_PAIRS)
    with open_driver(installation.settings.graph) as driver:
        yield driver


def operators(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a plan does, as `Expand(All)` and the like."""
    yield plan["operatorType"].partition("@")[0]
    for child in plan.get("children", ()):
        yield from operators(child)


def plan_of(driver: Driver, name: str) -> list[str]:
    summary = driver.execute_query("EXPLAIN " + statement(name)).summary
    return list(operators(summary.plan))


def test_statement_with_many_keys_scans_nothing(driver: Driver) -> None:
    scanning = {name: [step for step in plan_of(driver, name) if "Scan" in step] for name in OF_MANY_KEYS}
    assert len(OF_MANY_KEYS) > 20
    assert {name: steps for name, steps in scanning.items() if steps} == {}


@pytest.mark.parametrize("name", WITH_BOTH_ENDS)
def test_relationship_with_known_ends_is_looked_up(driver: Driver, name: str) -> None:
    steps = plan_of(driver, name)
    assert "Expand(Into)" in steps
    assert not {"Expand(All)", "NodeHashJoin"} & set(steps)


@pytest.mark.parametrize("name", ["read_objects_in_window", "read_young_objects"])
def test_the_oldest_come_in_the_order_of_the_index(driver: Driver, name: str) -> None:
    steps = plan_of(driver, name)
    assert "NodeIndexSeekByRange" in steps
    assert not [step for step in steps if "Sort" in step or "Top" in step]
