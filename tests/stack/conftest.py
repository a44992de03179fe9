"""One embedded stack for all tests of this folder; a clean installation on it for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.config import Settings, load_settings
from compose.stack import embedded
from compose.testing import Installation, clean_installation

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options of Spark's Java machines: they live for seconds, in which most of the optimising compiler's work is lost."""


@pytest.fixture(scope="session", autouse=True)
def quick_spark() -> Iterator[None]:
    """Spare a fifth of the time in which a Spark starts: a dozen of them are started here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPARK_LAUNCHER_OPTS", "SPARK_DAEMON_JAVA_OPTS", "SPARK_SUBMIT_OPTS"):
            patch.setenv(name, SHORT_LIVED)
        yield


@pytest.fixture(scope="session")
def stack_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Start Neo4j and Kafka once; stop them at the end."""
    settings = load_settings().model_copy(update={"home": tmp_path_factory.mktemp("heliograph")})
    stack = embedded.up(settings, detached=False)
    yield stack.apply(settings)
    embedded.down(settings)


@pytest.fixture
def installation(stack_settings: Settings, tmp_path: Path) -> Iterator[Installation]:
    """Give a test an empty graph and an empty bus."""
    clean = clean_installation(stack_settings, tmp_path)
    yield clean
    clean.connection.close()
