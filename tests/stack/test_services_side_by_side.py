"""The services as an operator runs them: all at once on an empty installation, then messages come, then SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compose.feed import feed_alerts, feed_notices
from compose.testing import Installation
from graph.model import Survey
from ingest.replay import iter_notice_messages
from ingest.simulate import simulate_night, write_night

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SERVICES = ("ingest", "listen", "coordinate", "serve")


def start(installation: Installation, verb: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "HELIOGRAPH_HOME": str(installation.settings.home),
        "HELIOGRAPH_LOG_LEVEL": "WARNING",
        "HELIOGRAPH_GRAPH__URI": installation.settings.graph.uri,
        "HELIOGRAPH_KAFKA__BOOTSTRAP_SERVERS": installation.settings.kafka.bootstrap_servers,
        "HELIOGRAPH_COORDINATOR__LIST_INTERVAL_S": "1",
    }
    command = [sys.executable, "-c", "from compose.cli import main; main()", verb]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(
    installation: Installation, query: str, services: dict[str, subprocess.Popen[str]], timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while not installation.query(query)[0]["done"]:
        for verb, service in services.items():
            assert service.poll() is None, f"{verb} ended: {service.communicate()[1][-2000:]}"
        assert time.monotonic() < deadline, query
        time.sleep(0.5)


def test_services_started_together_carry_a_night(installation: Installation, tmp_path: Path) -> None:
    # Without a schema: every service finds it missing at the same time.
    for row in installation.query("SHOW CONSTRAINTS YIELD name"):
        installation.query(f"DROP CONSTRAINT {row['name']}")
    services = {verb: start(installation, verb) for verb in SERVICES}
    try:
        wait_for(installation, "SHOW CONSTRAINTS YIELD name RETURN count(*) >= 11 AS done", services, 60)
        night = simulate_night(
            seed=9, n_alerts_ztf=300, n_alerts_lsst=0, start=datetime(2026, 11, 20, 2, tzinfo=UTC), duration_s=1800.0
        )
        write_night(night, tmp_path / "night")
        # The topics of the notices are made only now, while the listener is running.
        feed_notices(installation.settings, iter_notice_messages(tmp_path / "night" / "notices"))
        feed_alerts(installation.settings, ((Survey.ZTF, packet) for packet in night.ztf))
        received = "MATCH (l:LedgerEntry) RETURN sum(l.received) = 300 AS done"
        wait_for(installation, received, services, 120)
        wait_for(installation, f"MATCH (e:Event) RETURN count(e) = {len(night.events)} AS done", services, 60)
        listed = "MATCH (:FollowUpList {is_current: true, case: 'grb'})-[:RANKS]->(t) RETURN count(t) > 0 AS done"
        wait_for(installation, listed, services, 60)
    finally:
        for service in services.values():
            service.send_signal(signal.SIGTERM)
        answers = {verb: service.communicate(timeout=60) for verb, service in services.items()}
    for verb, service in services.items():
        assert service.returncode == 0, (verb, answers[verb][1][-2000:])
    assert json.loads(answers["listen"][0].splitlines()[-1])["parsed"] == len(night.notices)
    assert answers["serve"][0].startswith("Serving http://127.0.0.1:")
