"""The shape of the graph as data: labels, keys and indexes.

Relationships (from -> to), with their properties, are listed in ``docs/graph.md``; what is written is in
``graph/queries/write_*.cypher``.
"""

from __future__ import annotations

from typing import Final

KEYS: Final[dict[str, str]] = {
    "Object": "object_key",
    "Detection": "detection_key",
    "CatalogSource": "source_key",
    "Class": "name",
    "Event": "event_key",
    "Notice": "notice_id",
    "Localization": "localization_id",
    "FollowUpList": "list_key",
    "Target": "target_key",
    "Night": "night",
    "LedgerEntry": "entry_id",
}
"""Label -> the property that identifies a node. A uniqueness constraint backs each, so every write can MERGE."""

INDEXES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("object_healpix29", "Object", ("healpix29",)),
    ("object_first_midpoint", "Object", ("first_midpoint_mjd_tai",)),
    ("object_last_midpoint", "Object", ("last_midpoint_mjd_tai",)),
    ("object_last_flare", "Object", ("last_flare_mjd_tai",)),
    ("event_time", "Event", ("trigger_time", "event_key")),
    ("event_bare_id", "Event", ("event_id",)),
    ("event_case", "Event", ("case",)),
    ("list_current", "FollowUpList", ("is_current", "case")),
    ("notice_event", "Notice", ("event_key",)),
    ("ledger_until", "LedgerEntry", ("topic", "partition", "offset_until")),
)
"""(index name, label, properties): region look-ups, time windows, newest events, current lists, end of the ledger."""


def schema_statements() -> dict[str, str]:
    """Return the Cypher statements that make the keys and indexes, by the name of the index that each leaves."""
    constraints = {
        f"{label.lower()}_{key}": f"CREATE CONSTRAINT {label.lower()}_{key} IF NOT EXISTS "
        f"FOR (n:{label}) REQUIRE n.{key} IS UNIQUE"
        for label, key in KEYS.items()
    }
    indexes = {
        name: f"CREATE INDEX {name} IF NOT EXISTS FOR (n:{label}) ON ({', '.join(f'n.{field}' for field in fields)})"
        for name, label, fields in INDEXES
    }
    return constraints | indexes
