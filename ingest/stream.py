"""The Spark Structured Streaming job: the only module of `ingest` that knows Spark.

Spark plans micro-batches of Kafka offsets and keeps them in its checkpoint; the executors fetch the packets of their
ranges (`ingest.fetch`), take them to the archive and the graph (`ingest.pipeline`) and send back counts, which the
driver writes to the ledger. A batch that fails anywhere is run again with the same offsets, and every write is
idempotent, so nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import cast

import numpy as np
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from graph import errors
from graph.alert_store import AlertStore
from graph.config import GraphSettings, KafkaSettings
from graph.connection import Connection
from graph.errors import HeliographError, StoreError
from graph.model import Survey
from graph.sender import KafkaSender
from ingest.alerts.columns import FloatArray, IntArray
from ingest.alerts.schema_registry import open_registry
from ingest.archive.writer import ArchiveWriter
from ingest.catalogues.opened import open_catalogues
from ingest.config import IngestSettings
from ingest.fetch import RangeFetcher
from ingest.offsets import OffsetRange, cut_blocks, planned_ranges, share_blocks
from ingest.pipeline import BatchReport, Pipeline

OWN_ERROR = re.compile(r"^graph\.errors\.(\w+): (.*)", re.MULTILINE)
"""An error of ours in the last line of a Python traceback, as Spark passes it on."""

FOREIGN_ERROR = re.compile(r"^(?:Caused by: )?[\w.]+(?:Error|Exception): ")
"""An error of Java or Python in a stack trace."""

LATENCY_BINS_PER_E = 50
"""Bins of latency for each factor e: a resolution of 2 %, finer than what repeats from run to run."""

MIN_LATENCY_S = 1e-3
"""Latencies below this are counted as this [s]: Kafka's timestamps have no more digits."""

WORKER_ENVIRONMENT = {
    # Packets come and go by the hundred megabyte; memory that is given back to the system each time is faulted in
    # again page by page, which takes longer than all the rest of fetching them.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_ARENA_MAX": "2",
}
"""Environment of the executors' Python processes: how glibc keeps freed memory."""

SESSION_OPTIONS = {
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
    archive_root: str | None
    """Folder or URI of the archive; None where none is kept."""

    def survey_of(self, topic: str) -> Survey:
        """Return the survey whose alerts come on a topic."""
        return Survey.ZTF if topic == self.ingest.topic_ztf else Survey.LSST


@dataclass(slots=True)
class RangeReport:
    """What became of the messages of one range; travels back to the driver by pickle."""

    wanted: OffsetRange
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    """(night, outcome) -> messages."""
    archived: Counter[int] = field(default_factory=Counter)
    """Night -> messages."""
    classified: Counter[int] = field(default_factory=Counter)
    """Night -> messages."""
    left_out: Counter[tuple[int, str]] = field(default_factory=Counter)
    """(night, classifier) -> messages on which the classifier was not heard."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> wall time [s]."""
    latency: Counter[int] = field(default_factory=Counter)
    """Bin of the time from Kafka's timestamp to committed -> messages, see `latency_bins`."""

    def add(self, report: BatchReport, timestamp_ms: IntArray, now_s: float) -> None:
        """Add what became of a batch of the range."""
        self.outcomes.update(zip(report.night.tolist(), report.outcome.tolist(), strict=True))
        self.archived.update(report.night[report.archived].tolist())
        classified = report.night[report.classified].tolist()
        self.classified.update(classified)
        self.left_out.update((night, name) for name in report.left_out for night in classified)
        _add_seconds(self.seconds, report.seconds)
        self.latency.update(latency_bins(now_s - timestamp_ms[timestamp_ms >= 0] / 1e3).tolist())


@dataclass(slots=True)
class BatchSummary:
    """What the driver knows of a finished micro-batch."""

    batch_id: int
    received: int
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> wall time, summed over the workers [s]."""
    latency: Counter[int] = field(default_factory=Counter)
    """Bin of latency -> messages, see `latency_bins`."""


def _add_seconds(total: dict[str, float], more: Mapping[str, float]) -> None:
    """Add the times of stages."""
    for name, seconds in more.items():
        total[name] = total.get(name, 0.0) + seconds


def latency_bins(latency_s: FloatArray) -> IntArray:
    """Return the logarithmic bin of each latency [s]: ``exp(bin / LATENCY_BINS_PER_E)`` seconds."""
    return np.rint(LATENCY_BINS_PER_E * np.log(np.maximum(latency_s, MIN_LATENCY_S))).astype(np.int64)


@lru_cache(maxsize=1)
def _shared(graph: GraphSettings, kafka: KafkaSettings) -> tuple[AlertStore, KafkaSender, RangeFetcher]:
    """Return the doors of this worker process to the graph and to Kafka."""
    # The driver warns of every transaction that it is going to repeat.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    return AlertStore(Connection.open(graph)), KafkaSender(kafka), RangeFetcher(kafka)


@lru_cache(maxsize=len(Survey))
def _pipeline(survey: Survey, plan: WorkerPlan) -> Pipeline:
    """Return the pipeline of this worker process: models, connection and compiled code are kept between batches."""
    store, sender, _ = _shared(plan.graph, plan.kafka)
    ingest = plan.ingest
    return Pipeline(
        survey,
        store,
        sender,
        open_catalogues(ingest.catalogue_dir),
        min_reliability=ingest.min_reliability,
        keep_private=ingest.keep_private,
        classifier_time_limit_s=ingest.classifier_time_limit_s,
        max_message_bytes=ingest.max_message_bytes,
        registry=open_registry(
            ingest.schema_registry_url,
            ingest.schema_registry_user,
            ingest.schema_registry_password.get_secret_value(),
        ),
        archive=ArchiveWriter(plan.archive_root, ingest.archive_compression) if plan.archive_root else None,
    )


def handle_share(share: Sequence[OffsetRange], plan: WorkerPlan) -> Iterator[RangeReport]:
    """Run on an executor: take blocks of messages from Kafka to the archive and the graph, report counts."""
    _, _, fetcher = _shared(plan.graph, plan.kafka)
    for (topic, _), blocks in groupby(share, key=lambda block: (block.topic, block.partition)):
        run = list(blocks)
        pipeline = _pipeline(plan.survey_of(topic), plan)
        total = RangeReport(replace(run[0], offset_until=run[-1].offset_until))
        started = time.perf_counter()
        for fetched in fetcher.fetch(run):
            _add_seconds(total.seconds, {"fetch": time.perf_counter() - started})
            total.add(pipeline.run(fetched), fetched.timestamp_ms, time.time())
            started = time.perf_counter()
        yield total


def ledger_entries(
    reports: Iterable[RangeReport], survey_of: Callable[[str], Survey], *, keeps_archive: bool
) -> list[dict[str, object]]:
    """Return one ledger entry for each (topic, partition, night) of a micro-batch.

    Parameters
    ----------
    keeps_archive : False leaves ``archived`` empty: nothing was to be archived.
    """
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    outcomes: dict[tuple[str, int, int], Counter[str]] = defaultdict(Counter)
    archived: Counter[tuple[str, int, int]] = Counter()
    classified: Counter[tuple[str, int, int]] = Counter()
    left_out: dict[tuple[str, int, int], Counter[str]] = defaultdict(Counter)
    for report in reports:
        wanted = report.wanted
        place = (wanted.topic, wanted.partition)
        first, until = spans.get(place, (wanted.offset_from, wanted.offset_until))
        spans[place] = (min(first, wanted.offset_from), max(until, wanted.offset_until))
        for (night, outcome), n in report.outcomes.items():
            outcomes[(*place, night)][outcome] += n
        archived.update({(*place, night): n for night, n in report.archived.items()})
        classified.update({(*place, night): n for night, n in report.classified.items()})
        for (night, name), n in report.left_out.items():
            left_out[*place, night][name] += n
    return [
        {
            "entry_id": f"{topic}/{partition}/{spans[topic, partition][0]}/{night}",
            "topic": topic,
            "partition": partition,
            "offset_from": spans[topic, partition][0],
            "offset_until": spans[topic, partition][1],
            "night": night,
            "survey": survey_of(topic).value,
            "received": sum(count.values()),
            "archived": archived[topic, partition, night] if keeps_archive else None,
            "classified": classified[topic, partition, night],
            "left_out": json.dumps(dict(sorted(left_out[topic, partition, night].items()))),
            "loaded": count["loaded"],
            "duplicates": count["duplicate"],
            "dead": sum(_reasons(count, "dead").values()),
            "dead_reasons": json.dumps(_reasons(count, "dead")),
            "filtered": json.dumps(_reasons(count, "filtered")),
        }
        for (topic, partition, night), count in sorted(outcomes.items())
    ]


def _reasons(count: Counter[str], kind: str) -> dict[str, int]:
    """Return the number of messages for each reason of one kind of outcome."""
    return {name.partition(":")[2]: n for name, n in sorted(count.items()) if name.startswith(f"{kind}:")}


def summarise(batch_id: int, reports: Iterable[RangeReport]) -> BatchSummary:
    """Add up what the ranges of a micro-batch report."""
    summary = BatchSummary(batch_id, 0)
    for report in reports:
        for (_, outcome), n in report.outcomes.items():
            summary.outcomes[outcome] += n
        _add_seconds(summary.seconds, report.seconds)
        summary.latency.update(report.latency)
    summary.received = summary.outcomes.total()
    return summary


def open_session(
    settings: IngestSettings,
    jars: Sequence[str],
    driver_memory_mb: int,
    work_dir: Path,
    *,
    app_name: str = "heliograph-ingest",
) -> SparkSession:
    """Return the Spark session of a job."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", settings.driver_host)
    builder = (
        SparkSession.builder.master(settings.master)
        .appName(app_name)
        .config("spark.driver.memory", f"{driver_memory_mb}m")
        .config("spark.driver.host", settings.driver_host)
        .config("spark.driver.bindAddress", settings.driver_host)
        .config("spark.executor.memory", f"{settings.executor_memory_mb}m")
        .config("spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={LOG_CONFIGURATION.as_uri()}")
        .config("spark.jars", ",".join(jars))
        .config("spark.local.dir", str(work_dir / "spark"))
        .config("spark.sql.warehouse.dir", str(work_dir / "spark-warehouse"))
    )
    options = SESSION_OPTIONS | {f"spark.executorEnv.{name}": value for name, value in WORKER_ENVIRONMENT.items()}
    for name, value in options.items():
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

    def handle(_: DataFrame, batch_id: int) -> None:
        ranges = planned_ranges(checkpoint, batch_id)
        if not ranges:
            return
        context = session.sparkContext
        shares = share_blocks(cut_blocks(ranges, plan.ingest.max_rows_at_once), context.defaultParallelism)
        tasks = context.parallelize(shares, len(shares))
        reports = tasks.flatMap(partial(handle_share, plan=plan)).collect()
        ledger.write_ledger(ledger_entries(reports, plan.survey_of, keeps_archive=plan.archive_root is not None))
        on_batch(summarise(batch_id, reports))

    source = (
        session.readStream.format("kafka")
        .option("subscribe", f"{plan.ingest.topic_ztf},{plan.ingest.topic_lsst}")
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", plan.ingest.max_offsets_per_batch)
    )
    for name, value in kafka_options(plan.kafka).items():
        source = source.option(name, value)
    # Spark plans and remembers the offsets; the frame itself, which would fetch the packets into Java, is never run.
    writer = source.load().writeStream.foreachBatch(handle).option("checkpointLocation", str(checkpoint))
    if once:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{plan.ingest.trigger_interval_s} seconds").start()


def await_stream(query: StreamingQuery, stop: Callable[[], bool]) -> None:
    """Return when the query has ended, by itself or because ``stop`` says so.

    Raises
    ------
    HeliographError : a batch failed; nothing is lost, it is read again when the query is started again.
    """
    try:
        while not query.awaitTermination(1):
            if stop():
                query.stop()
    except StreamingQueryException as error:
        raise _cause(str(error)) from error


def _cause(text: str) -> HeliographError:
    """Return our error that a failed query tells of in its long text; an error of others counts as one of the store."""
    own = OWN_ERROR.findall(text)
    if own:
        name, message = own[-1]
        kind = getattr(errors, name, StoreError)
        return cast("HeliographError", kind(message))
    reasons = [line.strip() for line in text.splitlines() if FOREIGN_ERROR.match(line)]
    return StoreError(f"The alert stream stopped: {(reasons or text.splitlines())[-1]}")


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
