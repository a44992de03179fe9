"""The door to Neo4j: one driver for each process, one way to run statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from neo4j import READ_ACCESS, WRITE_ACCESS, Driver, GraphDatabase, NotificationMinimumSeverity, Session
from neo4j.exceptions import AuthError, ClientError, ConstraintError, DriverError, Neo4jError

from graph.config import GraphSettings
from graph.errors import AlreadyStoredError, ConfigurationError, StoreError
from graph.schema import schema_statements
from graph.statements import statement

Row = dict[str, Any]
"""One record as the driver returns it."""

ResultT = TypeVar("ResultT")


def open_driver(settings: GraphSettings) -> Driver:
    """Return a driver; the connection itself is made at the first statement.

    Raises
    ------
    ConfigurationError : the address or the login is unusable.
    """
    if not settings.uri:
        raise ConfigurationError(
            "HELIOGRAPH_GRAPH__URI is empty and no embedded Neo4j is running: try 'heliograph up'."
        )
    auth = (settings.user, settings.password.get_secret_value()) if settings.user else None
    try:
        return GraphDatabase.driver(
            settings.uri,
            auth=auth,
            connection_timeout=settings.connection_timeout_s,
            notifications_min_severity=NotificationMinimumSeverity.OFF,
        )
    except (DriverError, ValueError) as error:
        raise ConfigurationError(f"HELIOGRAPH_GRAPH__URI or its login is wrong: {error}.") from error


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except AuthError as error:
        raise ConfigurationError(f"Neo4j refuses the login of HELIOGRAPH_GRAPH__USER: {error.message}.") from error
    except ConstraintError as error:
        raise AlreadyStoredError(f"The graph has this already: {error.message}") from error
    except ClientError as error:
        raise StoreError(f"Neo4j refused a statement: {error.message}") from error
    except (Neo4jError, DriverError) as error:
        raise StoreError(f"Neo4j could not be reached or gave up: {str(error).splitlines()[0]}") from error


class Connection:
    """Runs the statements of ``graph/queries`` in retried transactions."""

    def __init__(self, driver: Driver, database: str = "neo4j") -> None:
        self._driver = driver
        self._database = database

    @classmethod
    def open(cls, settings: GraphSettings) -> Self:
        """Open a driver and keep it."""
        return cls(open_driver(settings), settings.database)

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the driver."""
        self.close()

    def close(self) -> None:
        """Close the driver."""
        self._driver.close()

    def create_schema(self) -> None:
        """Create the constraints and indexes that are missing and wait until they serve.

        Several services may do so at the same time: what is there is not touched, and a deadlock is tried again.
        """

        def create(transaction: Any, text: str) -> None:  # noqa: ANN401 - the driver's type is not generic
            transaction.run(text).consume()

        with store_errors(), self._driver.session(database=self._database) as session:
            present = {record["name"] for record in session.run("SHOW INDEXES YIELD name")}
            for name, text in schema_statements().items():
                if name not in present:
                    session.execute_write(create, text)
            session.run("CALL db.awaitIndexes(60)").consume()

    def write(self, name: str, **parameters: object) -> list[Row]:
        """Run a writing statement in one transaction, retried while the failure is transient."""
        return self.write_all([(name, parameters)])[0]

    def write_all(self, statements: list[tuple[str, Mapping[str, object]]]) -> list[list[Row]]:
        """Run several writing statements in one transaction; all or none take effect."""

        def work(transaction: Any) -> list[list[Row]]:  # noqa: ANN401 - the driver's type is not generic
            return [_rows(transaction.run(statement(name), dict(given))) for name, given in statements]

        with self._session(WRITE_ACCESS) as session:
            return (
                _at_once(session, work, session.execute_write) if len(statements) == 1 else session.execute_write(work)
            )

    def read(self, name: str, **parameters: object) -> list[Row]:
        """Run a reading statement."""

        def work(transaction: Any) -> list[Row]:  # noqa: ANN401 - likewise
            return _rows(transaction.run(statement(name), parameters))

        with self._session(READ_ACCESS) as session:
            return _at_once(session, work, session.execute_read)

    @contextmanager
    def _session(self, access: str) -> Iterator[Session]:
        with store_errors(), self._driver.session(database=self._database, default_access_mode=access) as session:
            yield session


def _at_once(
    session: Session, work: Callable[[Any], ResultT], retried: Callable[[Callable[[Any], ResultT]], ResultT]
) -> ResultT:
    """Run one statement in the transaction that comes with it: beginning and ending one costs two round trips more.

    What fails and may succeed the next time is run again with the driver's own retries; every statement of ours may be
    repeated.
    """
    try:
        return work(session)
    except (Neo4jError, DriverError) as error:
        if not error.is_retryable():
            raise
        return retried(work)


def _rows(result: Iterable[Any]) -> list[Row]:
    """Return records as mappings; the driver's own conversion walks through every value in search of nodes."""
    return [dict(record.items()) for record in result]
