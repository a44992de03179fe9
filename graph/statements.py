"""Cypher statements, one in each file of ``graph/queries``, loaded with the package."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statement(name: str) -> str:
    """Return the text of ``graph/queries/<name>.cypher``."""
    return (resources.files("graph") / "queries" / f"{name}.cypher").read_text(encoding="utf-8")
