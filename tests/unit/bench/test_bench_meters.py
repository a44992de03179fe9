"""What processes use: real children that burn a known time, and arithmetic on made samples."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from compose.bench.meters import FamilyMeter, Sample, cpu_between, cpu_per_thousand, part_of, peak_memory_mb

BURN = "import time\nwhile time.process_time() < 0.8: pass\nbytearray(64 << 20)[0:1]"


def test_a_child_is_counted_after_its_end() -> None:
    with FamilyMeter("me") as meter:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", BURN, "compose.bench.producer"], check=True)
        time.sleep(0.6)
    used = cpu_between(meter.samples, start, time.perf_counter())
    # What it used after the last look at it is not seen.
    assert 0.15 < used["producer"] < 1.5
    totals = [sample.cpu_s.get("producer", 0.0) for sample in meter.samples]
    assert totals == sorted(totals)
    assert meter.samples[-1].rss_bytes.get("producer", 0) == 0
    assert meter.samples[-1].rss_bytes["me"] > 10 << 20


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["python", "-m", "compose.stack.neo4j_server", "{}"], "neo4j"),
        (["python", "-m", "compose.stack.kafka_server", "{}"], "kafka"),
        (["java", "-cp", "/x/jars/*", "org.apache.spark.deploy.SparkSubmit", "pyspark-shell"], "spark_jvm"),
        (["python", "-m", "pyspark.daemon"], "python_workers"),
        (["python", "-c", "from compose.cli import main; main()", "ingest"], "driver"),
        (["bash"], "other"),
        ([], "other"),
    ],
)
def test_a_process_is_told_by_its_command_line(command: list[str], part: str) -> None:
    assert part_of(command) == part


def test_processor_time_is_taken_between_two_moments() -> None:
    samples = [
        Sample(10.0, {"neo4j": 1.0}, {"neo4j": 3 << 20}),
        Sample(20.0, {"neo4j": 11.0, "kafka": 2.0}, {"neo4j": 9 << 20, "kafka": 1 << 20, "producer": 100 << 20}),
        Sample(30.0, {"neo4j": 31.0, "kafka": 4.0}, {"neo4j": 5 << 20, "kafka": 2 << 20}),
    ]
    assert cpu_between(samples, 15.0, 25.0) == pytest.approx({"neo4j": 15.0, "kafka": 2.0})
    assert peak_memory_mb(samples, 15.0, 30.0) == {"total": 10, "kafka": 2, "neo4j": 9}
    assert cpu_between([], 0.0, 1.0) == {}
    assert peak_memory_mb(samples, 31.0, 32.0) == {}


def test_the_outside_world_is_in_no_sum() -> None:
    figures = cpu_per_thousand({"neo4j": 4.0, "driver": 1.0, "producer": 50.0, "watcher": 7.0, "other": 0.0}, 2000)
    assert figures == {"total": 2.5, "neo4j": 2.0, "driver": 0.5}
    assert cpu_per_thousand({"neo4j": 4.0}, 0) == {}
