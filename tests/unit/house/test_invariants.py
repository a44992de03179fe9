"""Invariants of ARCHITECTURE.md that no import contract can hold: what the sources never say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from ingest.notices.registry import CLASSIC_PREFIX, TOPICS

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("api", "compose", "coordinator", "graph", "ingest")

WIRE_NAMES = frozenset(
    re.findall(
        r"\w+",
        """
    candid magpsf sigmapsf diffmaglim isdiffpos programid ssnamenr ndethist drb prv_candidates objectId
    diaSource diaSourceId diaObject diaObjectId psfFlux psfFluxErr midpointMjdTai ssObjectId prvDiaSources
    Packet_Type TrigID Error2Radius WhereWhen ISOTime superevent_id alert_datetime ra_dec_error healpix_file GraceID
    """,
    )
)
"""Names that surveys and missions give their fields and that Heliograph has other names for."""

OUTGOING = frozenset(
    f"coordinator/{name}.py" for name in ("messages", "event_pair_messages", "message_schemas", "voevent")
)
"""Modules that write what Heliograph publishes in the words of GCN and VOEvent, and read none of it."""

CLOCKS = frozenset({"datetime.now", "datetime.today", "datetime.utcnow", "date.today", "time.time", "time.time_ns"})
"""What reads the calendar; ``time.monotonic`` only paces a loop and is not among them."""

WATCHES = frozenset({"compose/clock.py", "compose/lag.py", "ingest/stream.py", "ingest/xmatch/pacing.py"})
"""Modules that measure how long alerts wait, by Kafka's timestamps, how old an answer on disk is, and when a notice
came or a heartbeat did not; what they find reaches no graph and no list."""

GRAPH_WRITING = re.compile(r"\b(?:DELETE|REMOVE|DROP)\b")
NODE_MAKING = re.compile(r"(?<!ON )\bCREATE\b")


class Said(NamedTuple):
    """What a module says, gathered in one walk; its tree is too large to keep."""

    path: str
    words: frozenset[str]
    """Names and strings, docstrings left out."""
    imported: frozenset[str]
    relative: tuple[int, ...]
    """Lines of relative imports."""
    clocks: tuple[int, ...]
    """Lines that read the calendar."""


def said_in(path: Path) -> Said:
    inside = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    prose = {id(node.value) for node in inside if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    last = {clock.rpartition(".")[2] for clock in CLOCKS}
    words, imported, relative, clocks = set(), set(), [], []
    for node in inside:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            words.add(node.value)
        elif isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
            if node.attr in last and ast.unparse(node).endswith(tuple(CLOCKS)):
                clocks.append(node.lineno)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            words.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            if getattr(node, "level", 0):
                relative.append(node.lineno)
    where = path.relative_to(ROOT).as_posix()
    return Said(where, frozenset(words), frozenset(imported), tuple(relative), tuple(clocks))


@cache
def modules_of(package: str) -> tuple[Said, ...]:
    return tuple(said_in(path) for path in sorted((ROOT / package).rglob("*.py")))


def all_modules() -> Iterator[Said]:
    for package in PACKAGES:
        yield from modules_of(package)


def statements() -> list[tuple[str, str]]:
    """Return the name and the text of each Cypher statement, comments left out."""
    return [
        (path.stem, re.sub(r"//.*", "", path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / "graph" / "queries").glob("*.cypher"))
    ]


@pytest.mark.parametrize("package", ["api", "coordinator", "graph"])
def test_wire_names_die_in_ingest(package: str) -> None:
    found = [
        f"{module.path}: {word}"
        for module in modules_of(package)
        if module.path not in OUTGOING
        for text in module.words
        for word in re.findall(r"\w+", text)
        if word in WIRE_NAMES
    ]
    others = [*(ROOT / package).rglob("*.cypher"), *(ROOT / package).rglob("*.js")]
    found += [
        f"{path.name}: {word}"
        for path in others
        for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
        if word in WIRE_NAMES
    ]
    assert not found


def test_the_wire_names_are_those_that_ingest_reads() -> None:
    texts = {text for module in modules_of("ingest") for text in module.words}
    known = {word for text in texts for word in re.findall(r"\w+", text)}
    assert known >= WIRE_NAMES


def test_nothing_reads_the_calendar() -> None:
    found = [
        f"{module.path}:{line}" for module in all_modules() if module.path not in WATCHES for line in module.clocks
    ]
    assert not found


def test_leap_seconds_are_known_in_one_place() -> None:
    names = {"leap_seconds", "tai_utc", "utctai", "taiutc"}
    assert {module.path for module in all_modules() if module.words & names} == {"graph/times.py"}
    assert not any("astropy.time" in module.imported for module in all_modules())


def test_only_the_ledger_and_links_between_surveys_are_ever_deleted() -> None:
    assert {name for name, text in statements() if GRAPH_WRITING.search(text)} == {"write_ledger", "write_same_as"}


def test_writes_merge_instead_of_create() -> None:
    # A ledger entry replaces what was written for its offsets, so it may be created. New alerts are created where
    # none is stored yet; a key that is there makes the whole statement fail, and write_alerts merges them.
    assert {name for name, text in statements() if NODE_MAKING.search(text)} == {"write_ledger", "write_new_alerts"}


def test_statements_that_do_not_write_are_named_so() -> None:
    writing = {name for name, text in statements() if re.search(r"\b(?:MERGE|SET|CREATE|DELETE)\b", text)}
    assert writing == {name for name, _ in statements() if name.startswith(("write_", "mark_"))}


def test_names_of_the_packages_are_spelled_out_in_imports() -> None:
    assert not [f"{module.path}:{line}" for module in all_modules() for line in module.relative]


def test_every_notice_topic_is_documented() -> None:
    page = (ROOT / "docs" / "notices.md").read_text(encoding="utf-8")
    missing = [topic for topic in TOPICS if f"`{topic.removeprefix(CLASSIC_PREFIX)}`" not in page]
    assert not missing


def test_the_architecture_names_what_holds_each_invariant() -> None:
    """Every test, module and contract that ARCHITECTURE.md points at is there."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    held = re.findall(r"\*\*Architecture Invariant\.\*\*.*?(?=\n\n|\Z)", page, re.DOTALL)
    assert len(held) > 10
    for line in held:
        tests = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", line)
        named = re.findall(r'contract "([^"]+)"', " ".join(line.split()))
        assert tests or named, line
        for file, test in tests:
            assert test == "" or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
            assert (ROOT / file).exists(), file
        for name in named:
            assert f'name = "{name}"' in contracts, name


def test_the_code_map_names_every_module() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    parts = re.split(r"^### `([\w/]+)/`.*$", page, flags=re.MULTILINE)
    named = {
        f"{folder}/{name}"
        for folder, text in zip(parts[1::2], parts[2::2], strict=True)
        for name in re.findall(r"^\| `(\w+\.py)`", text.partition("\n## ")[0], re.MULTILINE)
    }
    present = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert named == present
