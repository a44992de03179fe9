"""A clean installation on running servers, for tests: an empty graph, no topics, fresh checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from compose.config import Settings
from graph.bus import admin_client
from graph.connection import Connection, Row, open_driver
from graph.errors import StoreError

EMPTY_TIMEOUT_S = 30.0
"""Time allowed for the broker to forget its topics [s]."""


@dataclass(frozen=True)
class Installation:
    """An installation that a test has to itself."""

    settings: Settings
    connection: Connection

    def query(self, text: str, **parameters: object) -> list[Row]:
        """Run any Cypher, in a transaction of its own."""
        with (
            open_driver(self.settings.graph) as driver,
            driver.session(database=self.settings.graph.database) as session,
        ):
            return [record.data() for record in session.run(text, parameters)]


def clean_installation(settings: Settings, home: Path) -> Installation:
    """Empty the graph and the bus that the settings name; close ``connection`` when done.

    Raises
    ------
    StoreError : the broker still knows topics after `EMPTY_TIMEOUT_S`.
    """
    settings = settings.model_copy(update={"home": home})
    installation = Installation(settings, Connection.open(settings.graph))
    installation.query("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS")
    _empty_bus(settings)
    installation.connection.create_schema()
    return installation


def _empty_bus(settings: Settings) -> None:
    admin = admin_client(settings.kafka)
    groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
    for future in admin.delete_consumer_groups(groups).values() if groups else ():
        future.result()
    deadline = time.monotonic() + EMPTY_TIMEOUT_S
    while topics := [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]:
        for future in admin.delete_topics(topics).values():
            future.exception()
        if time.monotonic() > deadline:
            raise StoreError(f"{len(topics)} topics were not deleted in {EMPTY_TIMEOUT_S:g} s.")
        time.sleep(0.2)
