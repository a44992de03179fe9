"""The tree of classes that all classifiers, the graph and the coordinator share.

A classifier may answer with any node: early data tell a supernova from a star long before they tell its type. A leaf
says all that is known of its parents.
"""

from __future__ import annotations

from collections.abc import Container
from functools import cache
from typing import Final

PARENTS: Final[dict[str, str]] = {
    "explosive": "",
    "SN": "explosive",
    "SN Ia": "SN",
    "SN CC": "SN",
    "SN II": "SN CC",
    "SN Ibc": "SN CC",
    "SLSN": "SN CC",
    "KN": "explosive",
    "GRB afterglow": "explosive",
    "nuclear": "",
    "AGN": "nuclear",
    "blazar": "AGN",
    "TDE": "nuclear",
    "stellar": "",
    "variable star": "stellar",
    "RRL": "variable star",
    "EB": "variable star",
    "LPV": "variable star",
    "CEP": "variable star",
    "DSCT": "variable star",
    "ROT": "variable star",
    "YSO": "variable star",
    "CV": "stellar",
    "M-dwarf flare": "stellar",
    "microlensing": "stellar",
    "SSO": "",
    "satellite": "",
    "artefact": "",
}
"""Class -> the class that it is a kind of; empty for the roots. ``SN CC``: massive stars, superluminous ones included,
as without a redshift they are not told apart. ``ROT``: rotating stars, RS CVn included. The classes ``ordinary`` and
``anomalous`` of the anomaly score are no nodes: what is unusual may be of any class."""

OTHER: Final = "other"
"""Answer of a classifier that knows some classes only: none of mine. No node of the tree, for it says nothing of what
the object is."""

ORDINARY: Final = "ordinary"
"""The same of the anomaly score."""

LEAVES: Final[tuple[str, ...]] = tuple(name for name in PARENTS if name not in set(PARENTS.values()) or name == "AGN")
"""The classes of the object-level distribution. ``AGN`` is one although blazars are a kind of it: most are no blazars,
and those have no name of their own."""


@cache
def lineage(name: str) -> tuple[str, ...]:
    """Return a class and its ancestors, nearest first; a name that is not in the tree stands alone."""
    parent = PARENTS.get(name, "")
    return (name, *lineage(parent)) if parent else (name,)


@cache
def leaves_under(name: str) -> tuple[str, ...]:
    """Return the leaves that are a kind of a class, the class itself included where it is one."""
    return tuple(leaf for leaf in LEAVES if name in lineage(leaf))


@cache
def kinds_of(name: str) -> tuple[str, ...]:
    """Return a class and all that are a kind of it."""
    return tuple(kind for kind in PARENTS if name in lineage(kind))


def nearest(name: str, known: Container[str]) -> str:
    """Return the class itself or its nearest ancestor among some classes; empty where none of them is known."""
    return next((kind for kind in lineage(name) if kind in known), "")
