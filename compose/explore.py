"""The whole graph in Spark, from Neo4j to Parquet and figures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from compose.config import Settings
from compose.stack.jars import jar_paths
from graph.connection import Connection
from graph.frames.components import spark_errors
from graph.frames.extract import extract_graph
from graph.frames.job import Exploration, explore
from ingest.stream import open_session


def explore_graph(settings: Settings, folder: Path, on_page: Callable[[int], None]) -> Exploration:
    """Read the graph once, and compute its joint events, its sky groups and what these share.

    Parameters
    ----------
    folder : receives the Parquet files; what earlier runs left there is replaced.
    on_page : called with the number of nodes read so far.

    Raises
    ------
    EnvironmentProblem : the archive with GraphFrames has not been fetched.
    StoreError : the graph could not be read, or Spark gave up.
    """
    folder = folder.expanduser().absolute()
    jars = jar_paths("graphframes")
    with Connection.open(settings.graph) as connection:
        extract = extract_graph(connection, folder, on_page)
    try:
        with spark_errors():
            # GraphFrames' classes must be there when Spark's JVM starts; one that runs already takes in no more.
            session = open_session(
                settings.ingest,
                jars,
                settings.stack.spark_driver_memory_mb,
                settings.home / "spark",
                app_name="heliograph-explore",
            )
            try:
                return explore(session, extract, folder)
            finally:
                session.stop()
    finally:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
