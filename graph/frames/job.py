"""One look at the whole graph in Spark: what is computed, where it is written, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from graph.event_pair_rows import joint_event_id
from graph.frames.check import JointEventCheck, check_joint_events, kept_joint_events
from graph.frames.components import joint_members, memberships, shared_sky_groups, sky_group_table
from graph.frames.extract import Extract

JOINT_EVENT_SCHEMA: Final = pa.schema([("joint_event_id", pa.string()), ("event_keys", pa.list_(pa.string()))])
"""Columns of ``joint_events.parquet``."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """What was found in the graph."""

    read: Mapping[str, int]
    """Label or type of relationship -> how many were read."""
    joint_events: JointEventCheck
    """Those that follow from the open pairs against those that the service keeps."""
    sky_groups: int
    """Of two or more objects and catalogue sources."""
    largest_sky_group: int
    """Members of the largest of them."""
    split_sky_groups: int
    """Those in which a survey has several objects."""
    shared: int
    """Pairs of events of two messengers that point at one sky group; a pair counts once for each group."""
    shared_not_joint: int
    """Those whose events are not of one joint event."""
    shared_by_several: int
    """Those that only the group shows: no single object coincides with both events."""


def explore(session: SparkSession, extract: Extract, folder: Path) -> Exploration:
    """Compute joint events, sky groups and what points at them, and write them into a folder, replacing what is there.

    Parameters
    ----------
    folder : absolute; on a cluster all executors see it. ``joint_events.parquet`` is a file, ``sky_groups`` and
        ``shared`` are folders of Parquet files.
    """
    context = session.sparkContext
    context.setCheckpointDir((folder / "checkpoints").as_uri())
    session.conf.set("spark.sql.shuffle.partitions", max(2, context.defaultParallelism))
    links = session.read.parquet(extract.links.as_uri())
    check, joint_events = _joint_events(session, extract, links, folder)

    members = memberships(links)
    groups = sky_group_table(members).checkpoint()
    n_members = f.size("object_keys") + f.size("source_keys")
    tied = groups.where(n_members > 1).drop("component").orderBy("sky_group_id")
    tied = _written(session, tied, folder / "sky_groups")
    told = (
        session.read.parquet(extract.events.as_uri())
        .join(joint_events.select("joint_event_id", f.explode("event_keys").alias("event_key")), "event_key", "left")
        .select("event_key", "messenger", "joint_event_id")
    )
    shared = _written(session, shared_sky_groups(links, members, groups, told), folder / "shared")
    return Exploration(
        read=extract.counts,
        joint_events=check,
        sky_groups=tied.count(),
        largest_sky_group=int(tied.agg(f.coalesce(f.max(n_members), f.lit(0))).first()[0]),
        split_sky_groups=tied.where("is_split").count(),
        shared=shared.count(),
        shared_not_joint=shared.where("NOT is_joint").count(),
        shared_by_several=shared.where("NOT by_one_object").count(),
    )


def _joint_events(
    session: SparkSession, extract: Extract, links: DataFrame, folder: Path
) -> tuple[JointEventCheck, DataFrame]:
    """Return the check of the joint events, and the joint events with their members."""
    found: Sequence[tuple[str, ...]] = joint_members(links)
    path = folder / "joint_events.parquet"
    rows = [{"joint_event_id": joint_event_id(keys), "event_keys": list(keys)} for keys in found]
    pq.write_table(pa.Table.from_pylist(rows, JOINT_EVENT_SCHEMA), path)
    pairs = pq.read_table(
        extract.links, columns=["src", "dst", "joint_event_id"], filters=[("relationship", "=", "JOINT_WITH")]
    )
    return check_joint_events(found, kept_joint_events(pairs.to_pylist())), session.read.parquet(path.as_uri())


def _written(session: SparkSession, frame: DataFrame, folder: Path) -> DataFrame:
    """Write a frame as Parquet and return what was written."""
    frame.write.mode("overwrite").parquet(folder.as_uri())
    return session.read.parquet(folder.as_uri())
