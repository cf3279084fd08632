"""The one way to the database: transactions whose failures are ours."""

import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from annotations.errors import RecordsError, UsageError

from .in_turn import InTurn, NotInTurn

READING = "extent_reading"
SECONDS_TO_WAIT = 5.0  # for a lock, or for a server to answer
SECONDS_FOR_A_TURN = 20.0  # to write, while others of this process do


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits: nobody guesses another's."""
    return secrets.token_hex(16)


def now() -> float:
    """Seconds since 1970 (UTC), as the tables keep times."""
    return time.time()


class Records:
    """A database, its connections, and transactions on it. For any number of threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise UsageError("--database: not a database URL") from None
        if parsed.get_backend_name() == "postgresql" and "+" not in parsed.drivername:
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if not self.is_sqlite and parsed.get_backend_name() != "postgresql":
            raise UsageError("--database: takes sqlite:///PATH or postgresql://…")
        self.engine = _sqlite(parsed) if self.is_sqlite else _postgresql(parsed)
        self._writer = InTurn()
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        only_reading = self.engine.execution_options(**{READING: True})
        self._reading = sessionmaker(only_reading, expire_on_commit=False)

    def begin(self) -> AbstractContextManager[Session]:
        """A transaction: committed at the end, rolled back when an exception leaves.

        Raises:
            RecordsError: the database is away, locked or full; the same may succeed later.
        """
        return self._write()

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that changes nothing, and so never waits for those that do.

        Raises:
            RecordsError: the database is away; the same may succeed later.
        """
        return self._transaction(self._reading)

    @contextmanager
    def _write(self) -> Iterator[Session]:
        if not self.is_sqlite:
            with self._transaction(self._writing) as session:
                yield session
            return
        # SQLite lets one write and has the others look again now and then: some never find it free
        try:
            with self._writer.held(SECONDS_FOR_A_TURN), self._transaction(self._writing) as session:
                yield session
        except NotInTurn:
            raise RecordsError("the database is busy; try again soon") from None

    @contextmanager
    def _transaction(self, sessions: sessionmaker[Session]) -> Iterator[Session]:
        with _our_errors(), sessions.begin() as session:
            yield session

    def migrate(self) -> None:
        """Make the tables, or bring those of an earlier version up to this one's.

        Raises:
            UsageError: it is of a later version, or no database of Extent's.
            RecordsError: it is away, locked or full.
        """
        from .upgrade import upgrade

        try:
            with _our_errors(), self.engine.begin() as connection:
                upgrade(connection)
        except DBAPIError as error:
            raise UsageError(f"--database: cannot be used: {error.orig}") from error

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _our_errors() -> Iterator[None]:
    """What a database says when it is away, locked or full, as RecordsError."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise RecordsError("the database cannot be reached or is full; try again soon") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise RecordsError("the database went away; try again soon") from error
        raise


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url, connect_args={"timeout": SECONDS_TO_WAIT, "check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # transactions are ours
        cursor = connection.cursor()  # type: ignore[attr-defined]
        connection.create_function("lower", 1, _lower)  # type: ignore[attr-defined]
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A writer locks at once, so that what it read first cannot have changed when it writes.
        reading = connection.get_execution_options().get(READING)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _lower(text: str | None) -> str | None:
    """SQLite's own lowers ASCII alone; PostgreSQL's lowers everything."""
    return text and text.lower()


def _postgresql(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            pool_timeout=SECONDS_TO_WAIT,
            connect_args={
                "connect_timeout": int(SECONDS_TO_WAIT),
                "tcp_user_timeout": int(2 * SECONDS_TO_WAIT * 1000),  # of a server cut off
            },
        )
    except ModuleNotFoundError:
        raise UsageError("--database postgresql: install tumour-extent[postgresql]") from None
