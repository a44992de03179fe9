"""Statements that stand alone: one round trip where all is well, the driver's retries where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest
from neo4j.exceptions import ClientError, ServiceUnavailable, TransientError

from graph.connection import Connection
from graph.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable


class Session:
    """A session whose first statement fails as it is told to."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure
        self.retried = 0

    def session(self, **_: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, text: str, parameters: dict[str, object]) -> list[dict[str, object]]:
        assert "newest" in text or "event_key" in text
        assert isinstance(parameters, dict)
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return [{"newest": 7.0}]

    def _again(self, work: Callable[[Any], object]) -> object:
        self.retried += 1
        return work(self)

    execute_read = execute_write = _again


def read(session: Session) -> object:
    return Connection(session).read("read_newest_midpoint")  # type: ignore[arg-type]


def test_a_statement_that_stands_alone_needs_no_transaction_of_its_own() -> None:
    session = Session(None)
    assert read(session) == [{"newest": 7.0}]
    assert session.retried == 0


@pytest.mark.parametrize("failure", [ServiceUnavailable("gone"), TransientError("deadlock")])
def test_what_may_succeed_the_next_time_is_run_again(failure: Exception) -> None:
    session = Session(failure)
    assert read(session) == [{"newest": 7.0}]
    assert session.retried == 1


def test_what_is_refused_is_refused_at_once() -> None:
    session = Session(ClientError("no such thing"))
    with pytest.raises(StoreError, match="refused"):
        read(session)
    assert session.retried == 0


def test_several_statements_are_one_transaction() -> None:
    session = Session(None)
    given = [("write_coincidences", {"rows": []}), ("mark_coincidences_published", {"rows": []})]
    assert len(Connection(session).write_all(given)) == 2  # type: ignore[arg-type]
    assert session.retried == 1
