"""The Spark Structured Streaming job: the only module that knows Spark.

The driver plans micro-batches of Kafka offsets and writes the ledger; the executors take the packets from Arrow
buffers to the graph (`ingest.pipeline`) and send back one small table of counts. A batch that fails anywhere is run
again with the same offsets, and every write is idempotent, so nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from graph.alert_store import AlertStore
from graph.config import GraphSettings, KafkaSettings
from graph.connection import Connection
from graph.errors import StoreError
from graph.model import Survey
from graph.sender import KafkaSender
from ingest.config import IngestSettings
from ingest.crossmatch import open_catalogues
from ingest.pipeline import Pipeline

REPORT_SCHEMA = (
    "topic string, partition int, first_offset long, last_offset long, night long, kind string, value double"
)
"""What an executor sends back: counts (``kind`` is an outcome) and seconds of stages (``kind`` is ``s:stage``)."""

SESSION_OPTIONS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.python.worker.reuse": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    "spark.sql.streaming.metricsEnabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.task.maxFailures": "4",
}
"""Spark settings of the job; workers are kept because a new one must load numba, ONNX Runtime and the models."""


LOG_CONFIGURATION = Path(__file__).with_name("log4j2.properties")
"""Errors only: Spark and Kafka tell of every task at lower levels."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What an executor needs to know; travels to it by pickle."""

    graph: GraphSettings
    kafka: KafkaSettings
    ingest: IngestSettings

    def survey_of(self, topic: str) -> Survey:
        """Return the survey whose alerts come on a topic."""
        return Survey.ZTF if topic == self.ingest.topic_ztf else Survey.LSST


@dataclass(slots=True)
class BatchSummary:
    """What the driver knows of a finished micro-batch."""

    batch_id: int
    received: int
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)


@lru_cache(maxsize=1)
def _shared(graph: GraphSettings, kafka: KafkaSettings) -> tuple[AlertStore, KafkaSender]:
    """Return the doors of this worker process to the graph and to Kafka."""
    # The driver warns of every transaction that it is going to repeat.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    return AlertStore(Connection.open(graph)), KafkaSender(kafka)


@lru_cache(maxsize=len(Survey))
def _pipeline(survey: Survey, plan: WorkerPlan) -> Pipeline:
    """Return the pipeline of this worker process: models, connection and compiled code are kept between batches."""
    store, sender = _shared(plan.graph, plan.kafka)
    ingest = plan.ingest
    return Pipeline(
        survey,
        store,
        sender,
        open_catalogues(ingest.catalogue_dir),
        min_reliability=ingest.min_reliability,
        keep_private=ingest.keep_private,
        max_message_bytes=ingest.max_message_bytes,
    )


def handle_batches(batches: Iterator[pa.RecordBatch], plan: WorkerPlan) -> Iterator[pa.RecordBatch]:
    """Run on an executor: take Arrow batches of (topic, partition, offset, value) to the graph, report counts."""
    for batch in batches:
        topics = batch.column("topic")
        present = topics.unique().to_pylist()
        for topic in present:
            part = batch.filter(pc.equal(topics, topic)) if len(present) > 1 else batch
            yield from _handle_topic(part, topic, plan)


def _handle_topic(batch: pa.RecordBatch, topic: str, plan: WorkerPlan) -> Iterator[pa.RecordBatch]:
    partition, offset = batch.column("partition").to_numpy(), batch.column("offset").to_numpy()
    source = np.array(
        [f"{topic}/{p}/{o}" for p, o in zip(partition.tolist(), offset.tolist(), strict=True)], dtype=object
    )
    report = _pipeline(plan.survey_of(topic), plan).run(batch.column("value"), source)
    counts: Counter[tuple[int, int, str]] = Counter(
        zip(partition.tolist(), report.night.tolist(), report.outcome.tolist(), strict=True)
    )
    rows = [
        (topic, p, int(offset[partition == p].min()), int(offset[partition == p].max()), night, outcome, float(n))
        for (p, night, outcome), n in counts.items()
    ]
    rows += [(topic, -1, 0, 0, 0, f"s:{name}", value) for name, value in report.seconds.items()]
    names = ["topic", "partition", "first_offset", "last_offset", "night", "kind", "value"]
    types = [pa.string(), pa.int32(), pa.int64(), pa.int64(), pa.int64(), pa.string(), pa.float64()]
    arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    yield pa.RecordBatch.from_arrays(arrays, names)


def ledger_entries(rows: Sequence[Any], survey_of: Callable[[str], Survey]) -> list[dict[str, object]]:
    """Return one ledger entry for each (topic, partition, night) of a micro-batch.

    Parameters
    ----------
    rows : reported counts with the fields of `REPORT_SCHEMA`.
    """
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    counts: dict[tuple[str, int, int], Counter[str]] = defaultdict(Counter)
    for row in rows:
        place = (row.topic, row.partition)
        first, last = spans.get(place, (row.first_offset, row.last_offset))
        spans[place] = (min(first, row.first_offset), max(last, row.last_offset))
        counts[(*place, row.night)][row.kind] += int(row.value)
    return [
        {
            "entry_id": f"{topic}/{partition}/{spans[topic, partition][0]}/{night}",
            "topic": topic,
            "partition": partition,
            "offset_from": spans[topic, partition][0],
            "offset_until": spans[topic, partition][1] + 1,
            "night": night,
            "survey": survey_of(topic).value,
            "received": sum(count.values()),
            "loaded": count["loaded"],
            "duplicates": count["duplicate"],
            "dead": sum(_reasons(count, "dead").values()),
            "dead_reasons": json.dumps(_reasons(count, "dead")),
            "filtered": json.dumps(_reasons(count, "filtered")),
        }
        for (topic, partition, night), count in sorted(counts.items())
    ]


def _reasons(count: Counter[str], kind: str) -> dict[str, int]:
    """Return the number of messages for each reason of one kind of outcome."""
    return {name.partition(":")[2]: n for name, n in sorted(count.items()) if name.startswith(f"{kind}:")}


def open_session(settings: IngestSettings, jars: Sequence[str], driver_memory_mb: int, work_dir: Path) -> SparkSession:
    """Return the Spark session of the job."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = (
        SparkSession.builder.master(settings.master)
        .appName("heliograph-ingest")
        .config("spark.driver.memory", f"{driver_memory_mb}m")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={LOG_CONFIGURATION.as_uri()}")
        .config("spark.jars", ",".join(jars))
        .config("spark.local.dir", str(work_dir / "spark"))
        .config("spark.sql.warehouse.dir", str(work_dir / "spark-warehouse"))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(settings.rows_per_arrow_batch))
    )
    for name, value in SESSION_OPTIONS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def start_stream(
    session: SparkSession,
    plan: WorkerPlan,
    ledger: AlertStore,
    checkpoint: Path,
    on_batch: Callable[[BatchSummary], None],
    *,
    once: bool,
) -> StreamingQuery:
    """Start reading alerts from Kafka into the graph.

    Parameters
    ----------
    ledger : where the driver writes what became of each batch.
    checkpoint : folder of Spark's offset log; it belongs to the topics' data and is kept with them.
    on_batch : called on the driver after each micro-batch is in the graph and in the ledger.
    once : True ends the query when everything that was there at the start is done.
    """

    def handle(frame: DataFrame, batch_id: int) -> None:
        rows = frame.mapInArrow(partial(handle_batches, plan=plan), REPORT_SCHEMA).collect()
        counts = [row for row in rows if not row.kind.startswith("s:")]
        ledger.write_ledger(ledger_entries(counts, plan.survey_of))
        summary = BatchSummary(batch_id, int(sum(row.value for row in counts)))
        for row in rows:
            target = summary.seconds if row.kind.startswith("s:") else summary.outcomes
            target[row.kind.removeprefix("s:")] += row.value if target is summary.seconds else int(row.value)
        on_batch(summary)

    source = (
        session.readStream.format("kafka")
        .option("subscribe", f"{plan.ingest.topic_ztf},{plan.ingest.topic_lsst}")
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", plan.ingest.max_offsets_per_batch)
    )
    for name, value in kafka_options(plan.kafka).items():
        source = source.option(name, value)
    frame = source.load().select("topic", "partition", "offset", "value")
    writer = frame.writeStream.foreachBatch(handle).option("checkpointLocation", str(checkpoint))
    if once:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{plan.ingest.trigger_interval_s} seconds").start()


def await_stream(query: StreamingQuery, stop: Callable[[], bool]) -> None:
    """Return when the query has ended, by itself or because ``stop`` says so.

    Raises
    ------
    StoreError : a batch failed for good; it will be read again when the job is started again.
    """
    try:
        while not query.awaitTermination(1):
            if stop():
                query.stop()
    except StreamingQueryException as error:
        reasons = [line for line in str(error).splitlines() if "Error" in line or "Exception" in line]
        reason = (reasons or [str(error)])[-1].strip()
        raise StoreError(f"The alert stream stopped; nothing is lost, start it again: {reason}") from error


def kafka_options(kafka: KafkaSettings) -> dict[str, str]:
    """Return the options of Spark's Kafka source: Java's names for what librdkafka has in one setting."""
    options = {
        "kafka.bootstrap.servers": kafka.bootstrap_servers,
        "kafka.security.protocol": kafka.security_protocol.value.upper(),
        "kafka.max.partition.fetch.bytes": str(max(kafka.max_message_bytes, 16_777_216)),
    }
    if kafka.sasl_mechanism:
        login = "org.apache.kafka.common.security.scram.ScramLoginModule"
        if kafka.sasl_mechanism == "PLAIN":
            login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        password = kafka.sasl_password.get_secret_value()
        options |= {
            "kafka.sasl.mechanism": kafka.sasl_mechanism,
            "kafka.sasl.jaas.config": f'{login} required username="{kafka.sasl_username}" password="{password}";',
        }
    return options
