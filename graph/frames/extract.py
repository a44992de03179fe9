"""The relationships that hold, from Neo4j into Parquet page by page: what Spark reads of the graph.

One page is in memory at a time. The pages are transactions of their own, so what is written meanwhile may be in or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from graph.association import SAME_FROM
from graph.connection import Connection, Row

OBJECTS_PER_PAGE: Final = 10_000
"""Objects read in one transaction: a few MB, a second or so."""

EVENTS_PER_PAGE: Final = 2_000
"""Events read in one transaction; each may have some hundred pairs."""

MATCH_FROM: Final = 0.5
"""Probability from which an object and a catalogue entry count as one thing: as for two objects, more likely
than not."""

LINK_SCHEMA: Final = pa.schema(
    [
        ("relationship", pa.string()),
        ("src", pa.string()),
        ("dst", pa.string()),
        ("probability", pa.float64()),
        ("log_bayes_factor", pa.float64()),
        ("joint_event_id", pa.string()),
    ]
)
"""Columns of ``links.parquet``: type of the relationship, keys of its ends; ``probability`` of SAME_AS and MATCHES,
``log_bayes_factor`` of COINCIDES_WITH and JOINT_WITH, ``joint_event_id`` as the service keeps it on JOINT_WITH."""

EVENT_SCHEMA: Final = pa.schema([("event_key", pa.string()), ("messenger", pa.string())])
"""Columns of ``events.parquet``."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What was read of the graph."""

    links: Path
    """Parquet file, see `LINK_SCHEMA`."""
    events: Path
    """Parquet file, see `EVENT_SCHEMA`."""
    counts: Mapping[str, int]
    """Label or type of relationship -> how many were read."""


def extract_graph(connection: Connection, folder: Path, on_page: Callable[[int], None] = lambda _: None) -> Extract:
    """Write the relationships that hold and the events into a folder, replacing what is there.

    Parameters
    ----------
    on_page : called with the number of nodes read so far, after each page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    links, events = folder / "links.parquet", folder / "events.parquet"
    counts: Counter[str] = Counter(Object=0, Event=0)
    with ExitStack() as stack:
        link_file = stack.enter_context(pq.ParquetWriter(links, LINK_SCHEMA))
        event_file = stack.enter_context(pq.ParquetWriter(events, EVENT_SCHEMA))

        def put(rows: Iterable[Row]) -> None:
            table = pa.Table.from_pylist(list(rows), LINK_SCHEMA)
            link_file.write_table(table)
            counts.update(table["relationship"].to_pylist())

        for page in _pages(
            connection, "page_object_links", "object_key", OBJECTS_PER_PAGE, min_same=SAME_FROM, min_match=MATCH_FROM
        ):
            put(link for row in page for link in object_links(row))
            counts["Object"] += len(page)
            on_page(counts["Object"])
        for page in _pages(connection, "page_event_links", "event_key", EVENTS_PER_PAGE):
            put(link for row in page for link in event_links(row))
            event_file.write_table(pa.Table.from_pylist(page, EVENT_SCHEMA))
            counts["Event"] += len(page)
            on_page(counts["Object"] + counts["Event"])
    return Extract(links, events, dict(sorted(counts.items())))


def object_links(row: Row) -> Iterator[Row]:
    """Yield rows of `LINK_SCHEMA` from one row of ``page_object_links``."""
    key = row["object_key"]
    for relationship, name in (("SAME_AS", "same_as"), ("MATCHES", "matches")):
        for other, probability in sorted(row[name]):
            yield {"relationship": relationship, "src": key, "dst": other, "probability": probability}
    for event_key, evidence in sorted(row["coincidences"]):
        yield {"relationship": "COINCIDES_WITH", "src": key, "dst": event_key, "log_bayes_factor": evidence}


def event_links(row: Row) -> Iterator[Row]:
    """Yield rows of `LINK_SCHEMA` from one row of ``page_event_links``."""
    for other, evidence, identity in sorted(row["pairs"], key=lambda pair: str(pair[0])):
        yield {
            "relationship": "JOINT_WITH",
            "src": row["event_key"],
            "dst": other,
            "log_bayes_factor": evidence,
            "joint_event_id": identity,
        }


def _pages(connection: Connection, name: str, key: str, limit: int, **parameters: object) -> Iterator[list[Row]]:
    """Yield the pages of a statement until one is empty."""
    after = ""
    while page := connection.read(name, after=after, limit=limit, **parameters):
        yield page
        after = page[-1][key]
