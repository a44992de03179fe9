"""What the machine lacks is said in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from compose.stack import jars, java, processes
from compose.stack.jars import Jar, locked_jars
from graph.errors import EnvironmentProblem


def fake_java(folder: Path, version: str) -> None:
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)


def test_missing_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="Java is missing: install a Java 17"):
        java.check_java()


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21.0.2", 21)])
def test_supported_java_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, major: int) -> None:
    fake_java(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert java.check_java() == major


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22", "23.0.1"])
def test_another_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    fake_java(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(EnvironmentProblem, match="Java 17 or 21 is needed"):
        java.check_java()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="MiB left, 10000000000 MiB are needed"):
        processes.check_disk(tmp_path, 10_000_000_000)


def test_the_lock_names_every_set_and_pins_each_archive() -> None:
    found = locked_jars()
    assert {jar.set_name for jar in found} == {"neo4j", "kafka", "spark", "graphframes"}
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in found)
    assert len({(jar.set_name, jar.coordinate) for jar in found}) == len(found)


def test_missing_archives_say_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HELIOGRAPH_JARS", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="run 'make setup'"):
        jars.jar_paths("kafka")


def test_an_altered_archive_is_fetched_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = b"the archive as pinned"
    jar = Jar("kafka", "org.example:thing:1.0", hashlib.sha256(content).hexdigest())
    path = tmp_path / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")

    class Artifact:
        cached_path = path

        def resolve(self) -> Path:
            assert not path.exists()
            path.write_bytes(content)
            return path

    monkeypatch.setenv("HELIOGRAPH_JARS", str(tmp_path))
    monkeypatch.setattr(jars, "locked_jars", lambda: (jar,))
    monkeypatch.setattr(jars, "_artifact", lambda context, jar: Artifact())
    progress: list[tuple[int, int]] = []
    jars.fetch_jars(lambda done, total: progress.append((done, total)))
    assert path.read_bytes() == content
    assert progress == [(1, 1)]
