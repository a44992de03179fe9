"""Components and motifs of the whole graph with GraphFrames: joint events, sky groups, what they share.

Functions from data frames to data frames. Only `components` computes at once: it needs a checkpoint directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from graphframes import GraphFrame
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f

from graph.errors import StoreError

OBJECT: Final = "Object/"
"""Opens the vertices that are objects: keys of objects and of catalogue entries may be alike."""

SOURCE: Final = "CatalogSource/"
"""Opens the vertices that are catalogue entries."""

EVENT: Final = "Event/"
"""Opens the vertices that are events."""

MIN_LOG_BAYES_FACTOR: Final = 0.0
"""Coincidences at or below it speak for chance and are passed over [natural logarithm], as for pairs of events: a
wide localization has ten thousands of them, and pairs of pairs grow with the square."""


@contextmanager
def spark_errors() -> Iterator[None]:
    """Turn what Spark raises into ours."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # What Java threw stands below the name of the call.
        reason = next((line[2:] for line in lines if line.startswith(": ")), lines[0])
        raise StoreError(f"Spark gave up: {reason}") from error


def components(vertices: DataFrame, edges: DataFrame) -> DataFrame:
    """Return ``id`` and ``component`` of each vertex, edges taken both ways.

    Parameters
    ----------
    vertices : with ``id``, each once.
    edges : with ``src`` and ``dst``, both of them vertices.
    """
    # GraphFrames numbers vertices of text itself, and anew whenever its result is computed again: components would then
    # fall apart. Numbers and result are therefore written down, once.
    numbered = vertices.select("id", f.monotonically_increasing_id().alias("number")).checkpoint()
    ends = (
        edges.select("src", "dst")
        .join(numbered.select(f.col("id").alias("src"), f.col("number").alias("one")), "src")
        .join(numbered.select(f.col("id").alias("dst"), f.col("number").alias("other")), "dst")
        .select(f.col("one").alias("src"), f.col("other").alias("dst"))
    )
    found = GraphFrame(numbered.select(f.col("number").alias("id")), ends).connectedComponents()
    named = found.select(f.col("id").alias("number"), "component").join(numbered, "number")
    return named.select("id", "component").checkpoint()


def joint_members(links: DataFrame) -> tuple[tuple[str, ...], ...]:
    """Return the keys of the events of each joint event, sorted: the components of the open pairs."""
    pairs = links.where(f.col("relationship") == "JOINT_WITH")
    if pairs.isEmpty():
        return ()
    found = components(_ends(pairs), pairs).groupBy("component").agg(f.array_sort(f.collect_list("id")).alias("keys"))
    return tuple(sorted(tuple(row["keys"]) for row in found.collect()))


def memberships(links: DataFrame) -> DataFrame:
    """Return ``id`` (label, slash, key) and ``component`` of objects and catalogue entries.

    One component is one sky group: SAME_AS and MATCHES tie; objects that only coincide with an event stand alone.
    """
    kind = f.col("relationship")
    ties = links.where(kind.isin("SAME_AS", "MATCHES")).select(
        f.concat(f.lit(OBJECT), "src").alias("src"),
        f.concat(f.when(kind == "SAME_AS", OBJECT).otherwise(SOURCE), "dst").alias("dst"),
    )
    alone = _evident(links).select(f.concat(f.lit(OBJECT), "src").alias("id"))
    return components(_ends(ties).union(alone).distinct(), ties)


def sky_group_table(members: DataFrame) -> DataFrame:
    """Return one row for each component, single members too.

    Parameters
    ----------
    members : see `memberships`.

    Returns
    -------
    ``component``; ``sky_group_id``, sha256 of the sorted vertices, first 16 hex digits; ``object_keys`` and
    ``source_keys``, sorted; ``is_split``, whether a survey has several objects in it, which one thing should not.
    """

    def keys(label: str) -> Column:
        return f.array_sort(
            f.collect_list(f.when(f.startswith("id", f.lit(label)), f.substr("id", f.lit(len(label) + 1))))
        )

    surveys = f.array_distinct(f.transform("object_keys", lambda key: f.substring_index(key, ":", 1)))
    return (
        members.groupBy("component")
        .agg(
            f.substring(f.sha2(f.concat_ws("\n", f.array_sort(f.collect_list("id"))), 256), 1, 16).alias(
                "sky_group_id"
            ),
            keys(OBJECT).alias("object_keys"),
            keys(SOURCE).alias("source_keys"),
        )
        .withColumn("is_split", f.size("object_keys") > f.size(surveys))
    )


def shared_sky_groups(links: DataFrame, members: DataFrame, groups: DataFrame, events: DataFrame) -> DataFrame:
    """Return the sky groups at which events of two messengers point, each through any object of the group.

    Parameters
    ----------
    members, groups : see `memberships` and `sky_group_table`.
    events : with ``event_key``, ``messenger`` and ``joint_event_id`` (null outside of joint events).

    Returns
    -------
    ``sky_group_id``; ``first_key`` and ``second_key``, events in the order of their messengers' names;
    ``log_bayes_factor``, the sum of the best coincidence with each; ``by_one_object``, whether one object has both;
    ``is_joint``, whether the events are of one joint event already. Best first.
    """
    pointed = (
        _evident(links)
        .select(f.concat(f.lit(OBJECT), "src").alias("id"), "src", "dst", "log_bayes_factor")
        .join(members, "id")
        .groupBy("component", "dst")
        .agg(f.max("log_bayes_factor").alias("log_bayes_factor"), f.collect_set("src").alias("object_keys"))
        .join(groups.select("component", "sky_group_id"), "component")
        .select(
            f.col("sky_group_id").alias("src"),
            f.concat(f.lit(EVENT), "dst").alias("dst"),
            "log_bayes_factor",
            "object_keys",
        )
    )
    told = events.select(f.concat(f.lit(EVENT), "event_key").alias("id"), "event_key", "messenger", "joint_event_id")
    vertices = told.unionByName(pointed.select(f.col("src").alias("id")).distinct(), allowMissingColumns=True)
    motif = GraphFrame(vertices, pointed).find("(group)-[one]->(a); (group)-[other]->(b)")
    return (
        motif.where(f.col("a.messenger") < f.col("b.messenger"))
        .select(
            f.col("group.id").alias("sky_group_id"),
            f.col("a.event_key").alias("first_key"),
            f.col("b.event_key").alias("second_key"),
            (f.col("one.log_bayes_factor") + f.col("other.log_bayes_factor")).alias("log_bayes_factor"),
            f.arrays_overlap("one.object_keys", "other.object_keys").alias("by_one_object"),
            f.coalesce(f.col("a.joint_event_id") == f.col("b.joint_event_id"), f.lit(False)).alias("is_joint"),
        )
        .orderBy(f.desc("log_bayes_factor"), "sky_group_id", "first_key", "second_key")
    )


def _evident(links: DataFrame) -> DataFrame:
    """Return the coincidences that speak against chance."""
    return links.where((f.col("relationship") == "COINCIDES_WITH") & (f.col("log_bayes_factor") > MIN_LOG_BAYES_FACTOR))


def _ends(edges: DataFrame) -> DataFrame:
    """Return the vertices ``id`` that edges have, each once."""
    return edges.select(f.col("src").alias("id")).union(edges.select(f.col("dst").alias("id"))).distinct()
