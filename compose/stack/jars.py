"""The Java archives of the embedded servers: fetched once, pinned by sha256 in ``jars.lock``.

A line of the lock is ``set group:artifact:version[:classifier] sha256``. The files go to the Maven cache that every
Java tool shares (``~/.m2/repository`` unless ``HELIOGRAPH_JARS`` names another folder).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jgo.maven import MavenContext

from graph.errors import EnvironmentProblem

logger = logging.getLogger(__name__)

PARALLEL_DOWNLOADS = 12
"""Downloads at a time; most archives are small, so latency rules."""

DOWNLOAD_TRIES = 3
"""Tries for each archive before giving up; a mirror hiccup is common, a third one is not."""

READ_TIMEOUT_S = 60
"""Time allowed for an answer [s]."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned archive."""

    set_name: str
    coordinate: str
    sha256: str


def locked_jars() -> tuple[Jar, ...]:
    """Read the lock."""
    lines = (files("compose.stack") / "jars.lock").read_text().splitlines()
    return tuple(Jar(*line.split()) for line in lines if line and not line.startswith("#"))


def jar_paths(set_name: str) -> list[str]:
    """Return the paths of a set's archives (``neo4j``, ``kafka``, ``spark``, ``graphframes``).

    Raises
    ------
    EnvironmentProblem : some have not been fetched.
    """
    context = _context()
    paths = [_locate(context, jar) for jar in locked_jars() if jar.set_name == set_name]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise EnvironmentProblem(f"{len(missing)} Java archives are missing ({missing[0]}, ...): run 'make setup'.")
    return [str(path) for path in paths]


def fetch_jars(on_done: Callable[[int, int], None] = lambda _done, _total: None) -> None:
    """Fetch what is missing and verify everything; ``on_done(done, total)`` is called after each archive."""
    context = _context()
    jars = locked_jars()
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        for done, _ in enumerate(pool.map(lambda jar: _fetch(context, jar), jars), start=1):
            on_done(done, len(jars))


def _context() -> MavenContext:
    folder = os.environ.get("HELIOGRAPH_JARS")
    return MavenContext(
        repo_cache=Path(folder) if folder else Path.home() / ".m2" / "repository", timeout=READ_TIMEOUT_S
    )


def _artifact(context: MavenContext, jar: Jar) -> object:
    group, name, version, *classifier = jar.coordinate.split(":")
    return context.project(group, name).at_version(version).artifact(classifier[0] if classifier else "", "jar")


def _locate(context: MavenContext, jar: Jar) -> Path:
    return Path(_artifact(context, jar).cached_path)  # type: ignore[attr-defined]


def _fetch(context: MavenContext, jar: Jar) -> None:
    path = _locate(context, jar)
    for attempt in range(1, DOWNLOAD_TRIES + 1):
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256:
            return
        path.unlink(missing_ok=True)
        try:
            _artifact(context, jar).resolve()  # type: ignore[attr-defined]
        except (OSError, RuntimeError) as error:
            logger.warning("fetching %s failed (try %d of %d): %s", jar.coordinate, attempt, DOWNLOAD_TRIES, error)
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
        raise EnvironmentProblem(f"The Java archive {jar.coordinate} could not be fetched as pinned.")
