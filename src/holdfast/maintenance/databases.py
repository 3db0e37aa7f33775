"""Opening a database to work on it as a whole: to read one moment of it, or with every server kept away."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import psycopg
from psycopg import errors

from holdfast.config import sqlite_path, without_password
from holdfast.maintenance.refusals import UNREACHABLE, Failed, Refused
from holdfast.maintenance.tables import PostgresTables, SqliteTables, Values
from holdfast.store.migrating import pending
from holdfast.store.port import SchemaMismatch, StoreFull, StoreInUse, StoreUnavailable
from holdfast.store.postgres import CONNECT_TIMEOUT_SECONDS, lock_schema, why
from holdfast.store.sqlite_files import (
    applied_migrations,
    connect_to_read,
    lock,
    refuse_backup,
)

Connection = psycopg.Connection[Values]

POSTGRES_SETTINGS = "-c synchronous_commit=on -c timezone=UTC -c idle_in_transaction_session_timeout=0"

NODE_APPLICATION = "holdfast"
"""By which name the connections of servers are known."""

LOCK_TIMEOUT_MS = 10_000
"""How long work on the schema waits for those who read and write; they wait behind it meanwhile."""

RECENT_TICK_MS = 5_000
"""A node ticks twice a second; one that has not for so long is not there."""


def dialect_of(database_url: str) -> str:
    """`sqlite` or `postgres`."""
    return "postgres" if sqlite_path(database_url) is None else "sqlite"


@contextmanager
def in_own_words() -> Iterator[None]:
    """Say what a store or its driver raises as a refusal or a failure of the work. Raises: Refused, Failed."""
    try:
        yield
    except StoreInUse as error:
        raise Refused("in_use", str(error)) from error
    except StoreFull as error:
        raise Refused("storage_full", str(error)) from error
    except SchemaMismatch as error:
        raise Refused("schema_mismatch", str(error), is_passing=False) from error
    except StoreUnavailable as error:
        raise Failed(UNREACHABLE, str(error)) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Refused("busy", "Another program keeps the file locked. Stop it, or wait, and try again.") from error
    except apsw.FullError as error:
        raise Refused("storage_full", "The disk is full. Make room, and try again.") from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise Failed(
            "damaged", f"The database is damaged: {error}. `holdfast restore` makes one of a backup."
        ) from error
    except apsw.Error as error:
        raise Failed("failed", f"SQLite gave up: {error}.") from error
    except psycopg.Error as error:
        raise Failed("failed", f"PostgreSQL gave up: {why(error)}.") from error


@contextmanager
def sqlite_locked(path: Path, *, must_exist: bool = True) -> Iterator[None]:
    """Keep every server off a file. Raises: StoreInUse, Refused."""
    if must_exist:
        require_file(path)
    descriptor = lock(path, server_pid=os.getpid())
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def sqlite_read(path: Path) -> Iterator[SqliteTables]:
    """The tables of a file as they are at one moment. Raises: Refused, SchemaMismatch."""
    require_file(path)
    try:
        with closing(connect_to_read(path)) as connection:
            connection.execute("begin")
            require_known_schema("sqlite", applied_migrations(connection, path), str(path))
            yield SqliteTables(connection)
    except apsw.CantOpenError as error:
        raise Refused("unreadable", f"{path} cannot be opened: {error}.", is_passing=False) from error


@contextmanager
def postgres_read(database_url: str) -> Iterator[PostgresTables]:
    """The tables of a database as they are at one moment. Raises: Refused, SchemaMismatch, StoreUnavailable."""
    with connected(database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        tables = PostgresTables(connection)
        require_known_schema("postgres", tables.ledger(), without_password(database_url))
        yield tables


@contextmanager
def postgres_alone(database_url: str) -> Iterator[Connection]:
    """One transaction on a database that no node is on, nor can come on. It is committed where nothing is raised.

    Raises: Refused while a node is there, StoreUnavailable.
    """
    with connected(database_url) as connection, connection.transaction():
        connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}".encode())
        lock_schema(connection)
        refuse_nodes(connection, without_password(database_url))
        yield connection


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """A connection that is told apart from a server's. Raises: StoreUnavailable, Refused where a lock is not had."""
    try:
        with psycopg.connect(
            database_url,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="holdfast-maintenance",
            options=POSTGRES_SETTINGS,
        ) as connection:
            yield connection
    except errors.LockNotAvailable as error:
        raise Refused("busy", f"Somebody else holds a lock on the database ({why(error)}). Try again.") from error
    except errors.InsufficientPrivilege as error:
        raise Refused("no_privilege", f"This user may not do that: {why(error)}.", is_passing=False) from error
    except errors.DiskFull as error:
        raise StoreFull(f"The server's disk is full: {why(error)}. Make room, and try again.") from error
    except errors.OperationalError as error:
        raise StoreUnavailable(f"The database cannot be reached: {why(error)}") from error


def refuse_nodes(connection: Connection, shown_url: str) -> None:
    """Raises: Refused while a node is connected, or ticked a moment ago."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s "
        "and pid <> pg_backend_pid()"
    )
    (found,) = connection.execute(query, (NODE_APPLICATION,)).fetchall()
    silent_ms = _since_tick_ms(connection)
    if found[0] or (silent_ms is not None and 0 <= silent_ms < RECENT_TICK_MS):
        connections = f"{found[0]} connections of `holdfast serve`" if found[0] else "a node that ticked just now"
        raise Refused(
            "in_use",
            f"{shown_url} is being served: there are {connections}. Stop every node, wait {RECENT_TICK_MS // 1_000} "
            "seconds, and try again.",
        )


def _since_tick_ms(connection: Connection) -> int | None:
    if connection.execute("select to_regclass('service_state')").fetchone() == (None,):
        return None
    query = "select (extract(epoch from clock_timestamp()) * 1000)::bigint - last_tick_at_ms from service_state"
    found = connection.execute(query).fetchall()
    return int(found[0][0]) if found else None


def postgres_now_ms(connection: Connection) -> int:
    """The server's clock."""
    (found,) = connection.execute("select (extract(epoch from clock_timestamp()) * 1000)::bigint").fetchall()
    return int(found[0])


def require_file(path: Path) -> None:
    """Raises: Refused where there is no such file."""
    if not path.is_file():
        raise Refused("not_found", f"There is no database at {path}. Name one with --database.", is_passing=False)


def require_database(path: Path) -> None:
    """Raises: Refused where there is no such file, SchemaMismatch where it is no database that may be served."""
    with sqlite_read(path) as tables:
        refuse_backup(tables.connection, path)


def require_known_schema(dialect: str, applied: list[tuple[int, str]], shown: str) -> None:
    """Raises: Refused for an empty database, SchemaMismatch for a newer one than this release knows."""
    if not applied:
        raise Refused("empty", f"{shown} is no Holdfast database yet: it is empty.", is_passing=False)
    try:
        pending(dialect, applied)
    except SchemaMismatch as error:
        raise Refused("schema_unknown", f"{shown}: {error}", is_passing=False) from error
