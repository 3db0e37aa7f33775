"""Putting a whole database in the place of another one: restore, copy, and the new history after a restore.

On SQLite the new file is made beside the old one and takes its name in one step; on PostgreSQL everything is one
transaction. Whoever is killed on the way leaves the old database. What is replaced is kept aside.
"""

import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import apsw

from holdfast.config import sqlite_path, without_password
from holdfast.domain.service_time import ServiceState, restored
from holdfast.maintenance import backups, databases
from holdfast.maintenance.backups import now_ms
from holdfast.maintenance.databases import Connection
from holdfast.maintenance.refusals import Failed, Refused
from holdfast.maintenance.tables import (
    PostgresTables,
    SqliteTables,
    Tables,
    contents,
    copy_rows,
    count_rows,
    differences,
    highest_token,
    holds_something,
    service_state,
    shapes_of_schema,
)
from holdfast.store import postgres, sqlite_files
from holdfast.store.port import SchemaMismatch
from holdfast.store.sqlite_files import LEDGER_TABLE, MANIFEST_TABLE, SIDE_FILES, Progress

NewHistory = Callable[[ServiceState, int, int], ServiceState]
"""The state that a database goes on from, given the state in it, the present and the highest token known."""


class Replaced(NamedTuple):
    """A database that holds what another one held.

    kept_aside: where what was there before is now; None where nothing was. token_floor: no token up to it is issued.
    """

    database_url: str
    rows: int
    kept_aside: str | None
    token_floor: int
    timeline: str
    warnings: tuple[str, ...] = ()


@databases.in_own_words()
def restore(path: Path, database_url: str, *, may_replace: bool, on_progress: Progress) -> Replaced:
    """Make a database of a backup, as the beginning of a new history.

    Raises: Refused, Failed.
    """
    checked = backups.check(path, on_progress=on_progress)
    done = _put(f"sqlite:///{path.absolute()}", database_url, may_replace, _new_history, on_progress)
    return done._replace(warnings=(*done.warnings, *checked.broken))


@databases.in_own_words()
def copy_to(database_url: str, target_url: str, *, on_progress: Progress) -> Replaced:
    """Make a database of another one that is not served, as the same history: tokens, cursors and all.

    Raises: Refused, Failed.
    """
    source_path, target_path = sqlite_path(database_url), sqlite_path(target_url)
    if source_path is None:
        if target_path is None:
            raise Refused(
                "not_supported",
                "From PostgreSQL to PostgreSQL there is pg_dump; or `holdfast backup` and then `holdfast restore`.",
                is_passing=False,
            )
        with databases.connected(database_url) as connection:
            databases.refuse_nodes(connection, without_password(database_url))
        return _put(database_url, target_url, False, _same_history, on_progress)
    if target_path is not None and target_path == source_path:
        raise Refused("not_supported", "The database and the target are the same file.", is_passing=False)
    with databases.sqlite_locked(source_path):
        databases.require_database(source_path)
        return _put(database_url, target_url, False, _same_history, on_progress)


@databases.in_own_words()
def mark_restored(database_url: str) -> Replaced:
    """Begin a new history in a database that was put in its place by other means than `restore`.

    Raises: Refused, Failed.
    """
    path = sqlite_path(database_url)
    if path is not None:
        with databases.sqlite_locked(path), closing(sqlite_files.connect(path)) as connection:
            connection.execute("pragma synchronous = full")
            applied = sqlite_files.applied_migrations(connection, path)
            databases.require_known_schema("sqlite", applied, str(path))
            with connection:
                connection.execute(f"drop table if exists {MANIFEST_TABLE}")
                state = _begin(SqliteTables(connection), _new_history, now_at_ms=now_ms(), known=0)
    else:
        with databases.postgres_alone(database_url) as alone:
            tables = PostgresTables(alone)
            databases.require_known_schema("postgres", tables.ledger(), without_password(database_url))
            state = _begin(tables, _new_history, now_at_ms=databases.postgres_now_ms(alone), known=0)
    return Replaced(database_url, 0, None, state.token_floor, state.timeline)


def _new_history(state: ServiceState, now_at_ms: int, known: int) -> ServiceState:
    return restored(state, now_at_ms=now_at_ms, highest_token=known, timeline=os.urandom(8).hex())


def _same_history(state: ServiceState, _now_at_ms: int, _known: int) -> ServiceState:
    return state


def _put(source_url: str, target_url: str, may_replace: bool, begin: NewHistory, on_progress: Progress) -> Replaced:
    target_path = sqlite_path(target_url)
    if target_path is not None:
        return _put_into_file(source_url, target_path, may_replace, begin, on_progress)
    return _put_into_postgres(source_url, target_url, may_replace, begin, on_progress)


def _begin(tables: Tables, begin: NewHistory, *, now_at_ms: int, known: int) -> ServiceState:
    """Write the state that the database goes on from."""
    before = service_state(tables)
    state = begin(before, now_at_ms, max(known, highest_token(tables)))
    if state != before:
        # The timeline is hexadecimal, and drawn here.
        tables.query(
            f"update service_state set token_floor = {state.token_floor}, timeline = '{state.timeline}' returning id"
        )
    return state


# SQLite.


def _put_into_file(
    source_url: str, path: Path, may_replace: bool, begin: NewHistory, on_progress: Progress
) -> Replaced:
    with databases.sqlite_locked(path, must_exist=False):
        old = _Old(path, may_replace=may_replace)
        states: list[ServiceState] = []
        rows: list[int] = []

        def fill(connection: apsw.Connection, _dialect: str) -> None:
            connection.execute(f"drop table if exists {MANIFEST_TABLE}")
            sqlite_files.upgrade(connection, path, now_ms=now_ms())
            tables = SqliteTables(connection)
            with connection:
                states.append(_begin(tables, begin, now_at_ms=now_ms(), known=old.highest_token))
            rows.append(count_rows(tables, tables.shapes()))

        backups.write_file(source_url, path, fill=fill, before_replacing=old.set_aside, on_progress=on_progress)
        return Replaced(
            f"sqlite:///{path}",
            rows[0],
            None if old.aside is None else str(old.aside),
            states[0].token_floor,
            states[0].timeline,
            old.warnings,
        )


class _Old:
    """The file that is to be replaced, if there is one. Its caller has locked it."""

    def __init__(self, path: Path, *, may_replace: bool) -> None:
        self._path = path
        self.highest_token = 0
        self.aside: Path | None = None
        self.warnings: tuple[str, ...] = ()
        self._has_content = path.exists() and path.stat().st_size > 0 and self._look()
        if self._has_content and not may_replace:
            raise Refused(
                "not_empty",
                f"{path} holds a database. Name another one with --database; `holdfast restore --replace` puts a "
                "backup in its place, and keeps it aside.",
            )

    def _look(self) -> bool:
        try:
            with closing(sqlite_files.connect(self._path)) as connection:
                if not sqlite_files.applied_migrations(connection, self._path):
                    return False
                tables = SqliteTables(connection)
                self.highest_token = highest_token(tables)
                return holds_something(tables)
        except (apsw.Error, SchemaMismatch) as error:
            self.warnings = (
                f"What was there could not be read ({error}), so nobody knows which tokens it had issued last.",
            )
            return True

    def set_aside(self) -> None:
        """Get the old file out of the way, without taking its name from it yet.

        Its log has to be in it, and gone: SQLite would take it for the log of the file that gets the name.
        """
        if not self._path.exists():
            return
        try:
            with closing(sqlite_files.connect(self._path)) as connection:
                ((mode,),) = connection.execute("pragma journal_mode = delete").fetchall()
            if mode != "delete":
                raise Refused("in_use", f"Another program has {self._path} open. Stop it, and try again.")
        except (apsw.BusyError, apsw.LockedError) as error:
            raise Refused("in_use", f"Another program has {self._path} open. Stop it, and try again.") from error
        except apsw.Error:
            # It is broken. Its log may hold what is worth having, and is kept beside it.
            self.warnings = self.warnings or ("What was there is broken.",)
        if self._has_content:
            self.aside = _free_name(self._path)
            for suffix in ("", *SIDE_FILES):
                side = self._path.with_name(self._path.name + suffix)
                if side.exists():
                    self.aside.with_name(self.aside.name + suffix).hardlink_to(side)
            sqlite_files.sync_directory(self._path.parent)
        for suffix in SIDE_FILES:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        sqlite_files.sync_directory(self._path.parent)


def _free_name(path: Path) -> Path:
    stamp = _stamp()
    for attempt in range(1, 100):
        name = path.with_name(f"{path.name}.replaced-{stamp}" + (f"-{attempt}" if attempt > 1 else ""))
        if not name.exists():
            return name
    raise Refused("busy", f"There are too many replaced files beside {path}. Move them away.")


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dt%H%M%S")


# PostgreSQL.


def _put_into_postgres(
    source_url: str, target_url: str, may_replace: bool, begin: NewHistory, on_progress: Progress
) -> Replaced:
    source_path = sqlite_path(source_url)
    assert source_path is not None, "one of the two is a file"
    with databases.sqlite_read(source_path) as source, databases.postgres_alone(target_url) as connection:
        known, aside = _clear(connection, target_url, may_replace=may_replace)
        schema = len(source.ledger())
        postgres.migrate(connection, upgrades=True, up_to=schema)
        target = PostgresTables(connection)
        shapes = source.shapes()
        copied = copy_rows(source, target, shapes, on_progress)
        if faults := differences(copied, contents(target, shapes, on_progress)):
            raise Failed("damaged", f"What arrived is not what was sent: {faults[0]}. Nothing was changed.")
        postgres.migrate(connection, upgrades=True)
        now_at_ms = databases.postgres_now_ms(connection)
        state = _begin(target, begin, now_at_ms=now_at_ms, known=known)
    rows = sum(each.rows for each in copied.values())
    return Replaced(target_url, rows, aside, state.token_floor, state.timeline)


def _clear(connection: Connection, target_url: str, *, may_replace: bool) -> tuple[int, str | None]:
    """Have no tables of ours in the way: the highest token that they knew, and the schema in which they are now."""
    tables = PostgresTables(connection)
    ledger = tables.ledger()
    if not ledger:
        return 0, None
    shown = without_password(target_url)
    databases.require_known_schema("postgres", ledger, shown)
    names = [LEDGER_TABLE, *[shape.name for shape in shapes_of_schema(len(ledger))]]
    if not holds_something(tables):
        for name in names:
            connection.execute(f'drop table "{name}"'.encode())
        return 0, None
    if not may_replace:
        raise Refused(
            "not_empty",
            f"{shown} holds a database. Name another one; `holdfast restore --replace` puts a backup in its place, and "
            "keeps it aside.",
        )
    known = highest_token(tables)
    aside = f"holdfast_replaced_{_stamp()}"
    connection.execute(f'create schema "{aside}"'.encode())
    for name in names:
        connection.execute(f'alter table "{name}" set schema "{aside}"'.encode())
    return known, f"schema {aside}"
