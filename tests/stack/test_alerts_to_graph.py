"""Real packets through Kafka and Spark into Neo4j, held against an independent reading of the same packets."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from compose import services
from compose.audit import audit
from compose.feed import feed_alerts
from compose.testing import Installation
from graph.bus import read_all
from graph.model import Survey
from graph.topics import DEAD_LETTERS
from ingest.simulate import simulate_night

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

LEAP_SECONDS_AFTER_2017 = 37.0
EXPOSURE_S = 30.0


def expected_ztf(packets: Sequence[bytes]) -> dict[int, dict[str, Any]]:
    """Return what the graph must hold of each packet that is not filtered, read with fastavro."""
    expected: dict[int, dict[str, Any]] = {}
    for packet in packets:
        (alert,) = fastavro.reader(io.BytesIO(packet))
        candidate = alert["candidate"]
        score = candidate.get("drb")
        score = candidate.get("rb") if score is None or score < 0 else score
        distance = candidate.get("ssdistnr")
        known_body = candidate.get("ssnamenr") not in (None, "null", "") and distance is not None and 0 <= distance < 5
        if candidate["programid"] != 1 or known_body or (score is not None and 0 <= score < 0.3):
            continue
        expected[candidate["candid"]] = {
            "object_id": alert["objectId"],
            "mag_ab": candidate["magpsf"] if candidate["isdiffpos"] in ("t", "1") else None,
            "mjd_utc": candidate["jd"] - 2400000.5,
            "ra_deg": candidate["ra"],
            "dec_deg": candidate["dec"],
        }
    return expected


def ingest(installation: Installation) -> None:
    services.run_ingest(installation.settings, lambda batch: None, once=True)


def assert_graph_holds(installation: Installation, expected: dict[int, dict[str, Any]]) -> None:
    rows = installation.query(
        "MATCH (o:Object {survey: 'ztf'})-[:HAS_DETECTION]->(d:Detection) "
        "RETURN o.object_id AS object_id, d.detection_id AS detection_id, d.mag_ab AS mag_ab, "
        "d.midpoint_mjd_tai AS mjd, d.ra_deg AS ra_deg, d.dec_deg AS dec_deg"
    )
    assert {row["detection_id"] for row in rows} == set(expected)
    assert len(rows) == len(expected)
    for row in rows:
        wanted = expected[row["detection_id"]]
        assert row["object_id"] == wanted["object_id"]
        assert (row["ra_deg"], row["dec_deg"]) == (wanted["ra_deg"], wanted["dec_deg"])
        if wanted["mag_ab"] is None:
            assert row["mag_ab"] is None
        else:
            assert math.isclose(row["mag_ab"], wanted["mag_ab"], abs_tol=1e-6)
        middle = wanted["mjd_utc"] + (LEAP_SECONDS_AFTER_2017 + EXPOSURE_S / 2) / 86400
        assert math.isclose(row["mjd"], middle, abs_tol=20 / 86400)


def test_real_packets_arrive_once_and_unchanged(installation: Installation, shared_data: Path) -> None:
    files = sorted((shared_data / "alerts" / "ztf_packets").rglob("*.avro"))
    packets = [path.read_bytes() for path in files]
    # Every packet twice: the second delivery must count as a duplicate and leave no trace.
    feed_alerts(installation.settings, ((Survey.ZTF, packet) for packet in packets * 2))
    ingest(installation)
    expected = expected_ztf(packets)
    assert len(expected) > 100
    assert_graph_holds(installation, expected)
    figures = audit(installation.settings, ())
    assert figures.ledger_balanced
    assert figures.alerts_received == 2 * len(packets)
    assert figures.detections == len(expected)
    assert figures.objects == len({wanted["object_id"] for wanted in expected.values()})
    assert figures.alerts_received == figures.alerts_loaded + figures.alerts_filtered + figures.alerts_duplicate


def test_malformed_packets_end_in_the_dead_letters(installation: Installation, shared_data: Path) -> None:
    damaged = [path.read_bytes() for path in sorted((shared_data / "alerts" / "malformed").glob("*.avro"))]
    sound = [path.read_bytes() for path in sorted((shared_data / "alerts" / "ztf_packets").rglob("*.avro"))[:20]]
    assert damaged
    mixed = [packet for pair in zip(sound, damaged * len(sound), strict=False) for packet in pair]
    feed_alerts(
        installation.settings, ((Survey.ZTF, packet) for packet in [*damaged, *mixed, b"", b"Obj\x01", b"\x00" * 9])
    )
    ingest(installation)
    assert_graph_holds(installation, expected_ztf(sound))
    letters = list(read_all(installation.settings.kafka, DEAD_LETTERS))
    buried = [message.value() or b"" for message in letters]
    assert set(damaged) <= set(buried)
    assert len(letters) == len(damaged) + len(sound) + 3
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers()}
        assert headers["stage"] == "decode"
        assert headers["reason"] in {"malformed", "unknown_schema"}
        assert headers["message"]
        assert headers["source"].startswith("alerts.ztf/")
    figures = audit(installation.settings, ())
    assert figures.ledger_balanced


def test_a_killed_job_leaves_the_same_graph(installation: Installation, tmp_path: Path) -> None:
    """Kill the whole job in the middle of a batch, start it again: as if nothing had happened."""
    night = simulate_night(
        seed=3, n_alerts_ztf=1500, n_alerts_lsst=300, start=datetime(2026, 11, 20, 2, tzinfo=UTC), duration_s=1800.0
    )
    ztf, lsst = list(night.ztf), list(night.lsst)
    feed_alerts(installation.settings, [*((Survey.ZTF, p) for p in ztf), *((Survey.LSST, p) for p in lsst)])
    environment = {
        **os.environ,
        "HELIOGRAPH_HOME": str(installation.settings.home),
        "HELIOGRAPH_GRAPH__URI": installation.settings.graph.uri,
        "HELIOGRAPH_KAFKA__BOOTSTRAP_SERVERS": installation.settings.kafka.bootstrap_servers,
        "HELIOGRAPH_INGEST__MAX_OFFSETS_PER_BATCH": "600",
        "HELIOGRAPH_INGEST__MAX_ROWS_AT_ONCE": "50",
    }
    command = [sys.executable, "-c", "from compose.cli import main; main()", "ingest", "--once"]
    log = tmp_path / "ingest.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as job,
    ):
        deadline = time.monotonic() + 200
        while not installation.query("MATCH (d:Detection) RETURN count(d) AS n")[0]["n"]:
            assert job.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, "the job wrote nothing"
            time.sleep(0.05)
        os.killpg(job.pid, signal.SIGKILL)
    half_done = installation.query("MATCH (d:Detection) RETURN count(d) AS n")[0]["n"]
    assert 0 < half_done < len(ztf)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert "duplicate" not in counts
    truth = {int(name) for name in night.truth.column("detection_id").to_pylist()}
    in_graph = {row["id"] for row in installation.query("MATCH (d:Detection) RETURN d.detection_id AS id")}
    assert in_graph <= truth
    figures = audit(installation.settings, ())
    assert figures.ledger_balanced
    assert figures.alerts_received == len(ztf) + len(lsst)
    assert figures.alerts_duplicate == 0
    assert len(in_graph) == figures.alerts_loaded == figures.alerts_received - figures.alerts_filtered
