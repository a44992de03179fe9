"""The listener outlives servers that are away, and the archive's verbs look after notices too."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from compose import services
from compose.cli import archive as archive_verb
from compose.cli.main import build_app
from compose.config import Settings
from graph.errors import ConfigurationError, PublishError, StoreError
from ingest.archive.notices import NoticeArchive, Reception
from ingest.listen import NoticeListener

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Servers:
    """Parts of `run_listen` that fail as told and note what was asked of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: list[Exception | None]) -> None:
        self.failures = failures
        self.pauses: list[float] = []
        self.n_attempts = 0
        self.consumed: list[tuple[str, ...]] = []
        monkeypatch.setattr(services, "prepare", self.prepare)
        monkeypatch.setattr(services, "KafkaSender", lambda _: None)
        monkeypatch.setattr(services, "gcn_consumer", lambda *_: None)
        monkeypatch.setattr(services, "listen_kafka", self.listen)
        monkeypatch.setattr(services, "_pause", lambda seconds, _: self.pauses.append(seconds))

    def prepare(self, _: Settings) -> Any:
        return self

    def __enter__(self) -> None:
        self.n_attempts += 1
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure

    def __exit__(self, *_: object) -> None:
        pass

    def listen(self, listener: NoticeListener, _: object, topics: tuple[str, ...], **options: Any) -> None:
        self.consumed.append(topics)
        listener.outcomes["parsed"] += 1
        options["on_batch"](listener.outcomes)
        if self.failures:
            raise PublishError("3 messages were not taken by Kafka.")


def run(source: str = "kafka", *, once: bool = False) -> tuple[Counter[str], list[int]]:
    seen: list[int] = []
    done = services.run_listen(Settings(), source, (), lambda so_far: seen.append(so_far["parsed"]), once=once)
    return done, seen


def test_it_tries_again_and_counts_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path))
    away = StoreError("The graph cannot be reached.")
    servers = Servers(monkeypatch, [away, away, None, away, None])
    done, seen = run()
    # After a batch that went well, the pauses begin anew.
    assert servers.pauses == [1.0, 2.0, 1.0, 2.0]
    assert (done, seen) == ({"parsed": 2}, [1, 2])
    assert servers.n_attempts == 5
    assert servers.consumed[0][-1] == "^gcn\\.heartbeat$"


def test_a_run_that_is_to_end_gives_up_and_reads_no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(monkeypatch, [StoreError("The graph cannot be reached.")] * 9)
    with pytest.raises(StoreError):
        run(once=True)
    assert len(servers.pauses) == services.FAILURES_IN_A_ROW - 1
    servers.failures = []
    run(once=True)
    assert "gcn.heartbeat" not in "".join(servers.consumed[0])


def test_what_no_waiting_mends_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for source, failure in (("gcn", ConfigurationError("no id")), ("dir", StoreError("away"))):
        servers = Servers(monkeypatch, [failure])
        with pytest.raises(type(failure)):
            run(source)
        assert servers.pauses == []


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NoticeArchive:
    root = str(tmp_path / "archive")
    settings = Settings()
    ingest = settings.ingest.model_copy(update={"archive_dir": root})
    monkeypatch.setattr(archive_verb, "load_settings", lambda: settings.model_copy(update={"ingest": ingest}))
    kept = NoticeArchive(root, sync=False)
    for hour in range(0, 48, 8):
        kept.append([Reception(b"x" * 99, DAY + timedelta(hours=hour), "t", f"t/0/{hour}")])
    return kept


def heliograph_archive(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    found = CliRunner().invoke(build_app("archive"), ["archive", *arguments, "--json"])
    return found.exit_code, [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]


def test_compact_merges_days_that_are_over(kept: NoticeArchive) -> None:
    before = list(kept.receptions())
    status, lines = heliograph_archive("compact")
    assert (status, lines) == (0, [
        {"notices_of": 20261120, "rows": 2, "merged_files": 2}, {"notices_of": 20261121, "rows": 3, "merged_files": 3},
    ])  # fmt: skip
    assert list(kept.receptions()) == before
    assert heliograph_archive("compact", "--night", "20261121")[1] == [
        {"notices_of": 20261121, "rows": 0, "merged_files": 0}
    ]


def test_verify_names_a_damaged_notice(kept: NoticeArchive) -> None:
    assert heliograph_archive("verify") == (0, [{"damaged": 0, "nights": 0}])
    next(Path(kept._storage.root).rglob("*.parquet")).write_bytes(b"PAR1PAR1")
    status, lines = heliograph_archive("verify")
    assert status == 1
    assert lines[-1]["damaged"] == 1
    assert lines[0]["path"].startswith("notices/day=2026112")
