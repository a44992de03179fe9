"""The whole graph in Spark, on a real Neo4j: what the service keeps, scipy and plain loops are the oracles."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from compose import services
from compose.config import Settings
from compose.testing import Installation, clean_installation
from coordinator.chains import joint_events
from graph import codec
from graph.event_store import EventStore, notice_row
from graph.model import AlertTense, AlertType, Circle, CoincidenceState, EventPair, Messenger, Notice
from graph.sender import KafkaSender

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TRIGGER = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MESSENGERS = {"Fermi": "EM", "LVK": "GW", "IceCube": "NU"}


def correlate_three(installation: Installation) -> None:
    """Have the service make a joint event of a wave and of one burst that two missions saw."""
    services.prepare(installation.settings).close()
    sender = KafkaSender(installation.settings.kafka)
    for mission, messenger in (("Fermi", Messenger.EM), ("Swift", Messenger.EM), ("LVK", Messenger.GW)):
        notice = Notice(
            notice_id=f"{mission}0",
            mission=mission,
            instrument="BAT" if mission == "Swift" else "",
            messenger=messenger,
            notice_type="",
            alert_type=AlertType.INITIAL,
            alert_tense=AlertTense.CURRENT,
            event_id="1",
            event_names=(),
            record_number=0,
            trigger_time=TRIGGER,
            alert_time=TRIGGER.replace(minute=1),
            localization=Circle(30.0, 10.0, 2.0),
            far_hz=1e-9 if messenger is Messenger.GW else None,
        )
        body = codec.to_bytes(notice)
        EventStore(installation.connection).write_notices([notice_row(notice, body)])
        sender.send("heliograph.notices", notice.event_key, body)
    sender.flush()
    services.run_coordinate(installation.settings, lambda report: None, once=True)


def generate_pairs(installation: Installation, rng: random.Random) -> list[EventPair]:
    """Store events and pairs as the service would leave them; one in five is withdrawn."""
    keys = [f"{mission}:g{n}" for mission in MESSENGERS for n in range(40)]
    installation.query(
        "UNWIND $rows AS row MERGE (e:Event {event_key: row[0]}) SET e.messenger = row[1]",
        rows=[[key, MESSENGERS[key.partition(":")[0]]] for key in keys],
    )
    ends = sorted({tuple(sorted(rng.sample(keys, 2))) for _ in range(110)})
    pairs = [
        EventPair(
            first_key=first,
            second_key=second,
            delta_t_s=0.0,
            overlap=None,
            joint_far_hz=1e-9,
            log_bayes_factor=rng.uniform(0.1, 9.0),
            terms=(),
            state=CoincidenceState.OPEN if rng.random() < 0.8 else CoincidenceState.WITHDRAWN,
            first_revision=1,
            second_revision=1,
            joint_event_id=None,
        )
        for first, second in ends
    ]
    EventStore(installation.connection).write_event_pairs(pairs)
    for joint in joint_events(pairs):
        installation.query(
            "MATCH (a:Event)-[j:JOINT_WITH {state: 'open'}]->() WHERE a.event_key IN $keys SET j.joint_event_id = $id",
            keys=list(joint.event_keys),
            id=joint.joint_event_id,
        )
    return pairs


def generate_sources(
    installation: Installation, rng: random.Random
) -> tuple[list[tuple[str, str]], list[tuple[str, str, float]]]:
    """Store objects of both surveys, catalogue entries and what ties them; return ties and coincidences that count."""
    ztf, lsst = [f"ztf:{n}" for n in range(70)], [f"lsst:{n}" for n in range(70)]
    # A catalogue by the name of a survey: its entries have the keys of objects and are others.
    sources = [f"ztf:{n}" for n in range(30)]
    events = [f"{mission}:g{n}" for mission in MESSENGERS for n in range(8)]
    installation.query("UNWIND $keys AS key MERGE (:Object {object_key: key})", keys=ztf + lsst)
    installation.query("UNWIND $keys AS key MERGE (:CatalogSource {source_key: key})", keys=sources)

    def draw(n: int, one: list[str], other: list[str], low: float, high: float) -> list[list[Any]]:
        ends = sorted({(rng.choice(one), rng.choice(other)) for _ in range(n)})
        return [[*pair, rng.uniform(low, high)] for pair in ends]

    same, match = draw(50, ztf, lsst, 0.0, 1.0), draw(50, ztf + lsst, sources, 0.0, 1.0)
    told = draw(120, ztf + lsst, events, -2.0, 6.0)
    installation.query(
        "UNWIND $rows AS r MATCH (a:Object {object_key: r[0]}), (b:Object {object_key: r[1]}) "
        "MERGE (a)-[:SAME_AS {probability: r[2]}]->(b)",
        rows=same,
    )
    installation.query(
        "UNWIND $rows AS r MATCH (a:Object {object_key: r[0]}), (b:CatalogSource {source_key: r[1]}) "
        "MERGE (a)-[:MATCHES {probability: r[2]}]->(b)",
        rows=match,
    )
    installation.query(
        "UNWIND $rows AS r MATCH (a:Object {object_key: r[0]}), (b:Event {event_key: r[1]}) "
        "MERGE (a)-[:COINCIDES_WITH {log_bayes_factor: r[2], "
        "state: CASE WHEN r[2] > 5 THEN 'withdrawn' ELSE 'open' END}]->(b)",
        rows=told,
    )
    ties = [(f"o{a}", f"o{b}") for a, b, probability in same if probability >= 0.5]
    ties += [(f"o{a}", f"s{b}") for a, b, probability in match if probability >= 0.5]
    return ties, [(a, b, evidence) for a, b, evidence in told if 0.0 < evidence <= 5.0]


def parts(edges: Collection[tuple[str, str]], alone: Iterable[str] = ()) -> set[frozenset[str]]:
    """Return the connected components of named edges by scipy."""
    names, ends = np.unique([*(name for edge in edges for name in edge), *alone], return_inverse=True)
    one, other = ends[: 2 * len(edges)].reshape(-1, 2).T
    _, labels = connected_components(coo_matrix((np.ones(len(one)), (one, other)), (len(names),) * 2), directed=False)
    found: dict[int, set[str]] = defaultdict(set)
    for name, label in zip(names.tolist(), labels.tolist(), strict=True):
        found[label].add(name)
    return {frozenset(members) for members in found.values()}


def sky_group_id(part: Iterable[str]) -> str:
    """Return the identity of a sky group as docs/graph.md says."""
    vertices = sorted({"o": "Object/", "s": "CatalogSource/"}[name[0]] + name[1:] for name in part)
    return hashlib.sha256("\n".join(vertices).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Explored:
    """A generated graph, and what the verb made of it."""

    home: Path
    figures: dict[str, Any]
    pairs: list[EventPair]
    open_ends: list[tuple[str, str]]
    """Ends of all open pairs, those that the service made included."""
    of_service: str
    """Identity that the service gave to its own joint event."""
    spoilt: tuple[str, ...]
    """Events of the joint event one pair of which was given another identity."""
    ties: list[tuple[str, str]]
    told: list[tuple[str, str, float]]

    def table(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.home / "explore" / name).to_pylist()
        return rows


@pytest.fixture(scope="module")
def explored(stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    """Run the verb once, in a process of its own as a user does: Spark's JVM must start with GraphFrames in it."""
    rng = random.Random(20261122)
    home = tmp_path_factory.mktemp("explored")
    installation = clean_installation(stack_settings, home)
    with installation.connection:
        correlate_three(installation)
        pairs = generate_pairs(installation, rng)
        ties, told = generate_sources(installation, rng)
        spoilt = max(joint_events(pairs), key=lambda joint: len(joint.event_keys))
        installation.query(
            "MATCH ()-[j:JOINT_WITH {joint_event_id: $id}]->() WITH j LIMIT 1 SET j.joint_event_id = 'spoilt'",
            id=spoilt.joint_event_id,
        )
        open_ends = installation.query(
            "MATCH (a)-[:JOINT_WITH {state: 'open'}]->(b) RETURN a.event_key AS a, b.event_key AS b"
        )
        (of_service,) = installation.query(
            "MATCH (:Event {event_key: 'LVK:1'})-[j:JOINT_WITH]->(:Event {event_key: 'Swift:1'}) "
            "RETURN j.joint_event_id AS id"
        )
    located = {"HELIOGRAPH_HOME": str(home), "HELIOGRAPH_GRAPH__URI": stack_settings.graph.uri}
    done = subprocess.run(
        [sys.executable, "-c", "from compose.cli import main; main()", "explore", "--json"],
        env={**os.environ, **located},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return Explored(
        home,
        orjson.loads(done.stdout),
        pairs,
        [(row["a"], row["b"]) for row in open_ends],
        of_service["id"],
        spoilt.event_keys,
        ties,
        told,
    )


def test_joint_events_are_those_of_the_service_of_its_chains_and_of_scipy(explored: Explored) -> None:
    found = {row["joint_event_id"]: tuple(row["event_keys"]) for row in explored.table("joint_events.parquet")}
    kept = {joint.joint_event_id: joint.event_keys for joint in joint_events(explored.pairs)}
    assert found == {**kept, explored.of_service: ("Fermi:1", "LVK:1", "Swift:1")}
    assert {frozenset(keys) for keys in found.values()} == parts(explored.open_ends)
    assert max(map(len, found.values())) > 5


def test_a_joint_event_that_the_service_keeps_otherwise_is_missing_and_extra(explored: Explored) -> None:
    check = explored.figures["joint_events"]
    assert check["equal"] == len(parts(explored.open_ends)) - 1
    assert check["missing"] == [list(explored.spoilt)]
    assert check["extra"]
    assert all(set(keys) <= set(explored.spoilt) for keys in check["extra"])


def test_sky_groups_are_the_components_of_scipy(explored: Explored) -> None:
    groups = explored.table("sky_groups")
    found = {
        row["sky_group_id"]: frozenset([*(f"o{k}" for k in row["object_keys"]), *(f"s{k}" for k in row["source_keys"])])
        for row in groups
    }
    assert found == {sky_group_id(part): part for part in parts(explored.ties)}
    assert explored.figures["sky_groups"] == len(found) > 10
    assert explored.figures["largest_sky_group"] == max(map(len, found.values()))
    for row in groups:
        surveys = [key.partition(":")[0] for key in row["object_keys"]]
        assert row["is_split"] == (len(set(surveys)) < len(surveys))


def test_shared_groups_are_those_of_a_loop_over_all_coincidences(explored: Explored) -> None:
    home = {name: part for part in parts(explored.ties, [f"o{key}" for key, _, _ in explored.told]) for name in part}
    joint_of = {key: part for part in parts(explored.open_ends) for key in part}
    wanted: dict[tuple[str, str, str], tuple[float, bool, bool]] = {}
    for (one, a, first), (other, b, second) in product(explored.told, repeat=2):
        part = home[f"o{one}"]
        if part == home[f"o{other}"] and MESSENGERS[a.partition(":")[0]] < MESSENGERS[b.partition(":")[0]]:
            key = (sky_group_id(part), a, b)
            best, by_one, _ = wanted.get(key, (-np.inf, False, False))
            is_joint = a in joint_of and joint_of[a] == joint_of.get(b)
            wanted[key] = (max(best, first + second), by_one or one == other, is_joint)
    names = ("log_bayes_factor", "by_one_object", "is_joint")
    found = {
        (row["sky_group_id"], row["first_key"], row["second_key"]): tuple(row[name] for name in names)
        for row in explored.table("shared")
    }
    assert found == wanted
    figures = explored.figures
    assert figures["shared"] == len(wanted) > 10
    assert figures["shared_by_several"] == sum(not by_one for _, by_one, _ in wanted.values()) > 0
    assert figures["shared_not_joint"] == sum(not is_joint for *_, is_joint in wanted.values()) > 0


def test_the_notebook_reads_what_was_found(explored: Explored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(explored.home))
    notebook = json.loads((Path(__file__).parents[2] / "notebooks" / "02_sky_groups.ipynb").read_text("utf-8"))
    namespace: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), namespace)  # noqa: S102 - our own notebook
    assert len(namespace["split"]) == explored.figures["split_sky_groups"]
    assert len(namespace["open_questions"]) == explored.figures["shared_not_joint"]
