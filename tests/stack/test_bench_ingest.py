"""The bench of the alert stream, short: what it prints is measured, and nothing is lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(500)]

ALERTS = 3000
PACED_RATE_PER_S = 150.0
PACED_S = 4.0


def test_the_bench_measures_every_stage_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from compose.cli import main; main()", "bench", "ingest", "--json"]
    options = ["--alerts", str(ALERTS), "--rate", str(PACED_RATE_PER_S), "--duration", str(PACED_S)]
    environment = {**os.environ, "HELIOGRAPH_HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["lost"] == 0
    assert figures["n"] >= ALERTS + int(PACED_RATE_PER_S * PACED_S)
    assert 0 < figures["detections_in_graph"] < figures["n"]
    stages = {"fetch", "decode", "archive", "screen", "features", "classify", "crossmatch", "write", "publish"}
    assert {name for name in figures["stages"] if not name.startswith("classify.")} == stages
    assert "classify.summary" in figures["stages"]
    assert all(rate > 0 for rate in (*figures["stages"].values(), figures["alerts_per_s"], figures["mb_per_s"]))
    (paced,) = figures["paced"]
    assert paced["n"] == int(PACED_RATE_PER_S * PACED_S)
    delays = [paced["latency_s"][name] for name in ("p50", "p95", "p98", "p99", "max")]
    assert delays == sorted(delays)
    assert delays[0] > 0
    assert figures["cpu_s_per_1000"]["total"] > 0
    assert figures["peak_memory_mb"] > 0
    assert all(peer["alerts_per_s"] > 0 for peer in figures["peers"].values())
    assert not list(tmp_path.glob("bench-*")), "the installation of the bench is removed afterwards"
