"""The house keeps its own rules: everything a user can name is documented, and the packages are ours."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from compose.cli.main import build_app
from compose.config import Settings
from graph import model, schema, topics
from graph.statements import statement

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("api", "compose", "coordinator", "graph", "ingest")


def setting_names(cls: type[BaseModel], prefix: str = "HELIOGRAPH_") -> Iterator[str]:
    for name, field in cls.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_names(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def documented(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(setting_names(Settings)))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in documented("configuration.md")


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {*setting_names(Settings), "HELIOGRAPH_JARS"}
    assert set(re.findall(r"`(HELIOGRAPH_[A-Z0-9_]+)`", documented("configuration.md"))) <= known


@pytest.mark.parametrize("topic", sorted(topics.PUBLISHED))
def test_every_topic_is_documented(topic: str) -> None:
    assert f"`{topic}`" in documented("topics.md")


def test_every_verb_is_documented_and_says_what_it_does() -> None:
    page = documented("cli.md")
    verbs = [command.callback for command in build_app().registered_commands if command.callback is not None]
    assert len(verbs) > 10
    for verb in verbs:
        name = verb.__name__
        assert verb.__doc__, name
        assert f"## `heliograph {name}" in page, name


@pytest.mark.parametrize("label", sorted(schema.KEYS))
def test_every_label_is_documented(label: str) -> None:
    assert f"`{label}`" in documented("graph.md")


def test_every_domain_type_is_in_the_glossary() -> None:
    page = documented("glossary.md").lower()
    for name, kind in vars(model).items():
        if isinstance(kind, type) and kind.__module__ == model.__name__ and dataclasses.is_dataclass(kind):
            words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
            assert f"| {words} |" in page or f"| {words}s |" in page, words


def test_every_statement_is_used_and_opens_with_a_comment() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    for path in (ROOT / "graph" / "queries").glob("*.cypher"):
        assert statement(path.stem).startswith("//"), path.name
        assert f'"{path.stem}"' in sources, f"{path.name} is used nowhere"


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_are_imported_from_this_clone(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(ROOT)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_modules_and_functions_stay_small() -> None:
    too_long = []
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if text.count("\n") > 400:
                too_long.append(f"{path.name}: {text.count(chr(10))} lines")
            functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            too_long += [f"{path.name}:{function.name}" for function in functions if code_lines(function) > 60]
    assert not too_long


def test_no_host_of_a_package_registry_is_named() -> None:
    hosts = "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "maven" + r"\.org", "npmjs" + r"\.(com|org)"))
    found = subprocess.run(
        ["git", "grep", "-nIE", hosts, "--", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
