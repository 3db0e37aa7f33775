"""One transaction of a SQLite connection, and rows as they are read from one.

Whoever runs one command as a process of its own imports this and not `store.sqlite`, which is for servers.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import apsw

from holdfast.commands.rows import TABLES, Count, Key, Members, Need, Row, Table, Value
from holdfast.commands.view import Changes, View
from holdfast.domain.events import Event
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import Session
from holdfast.store import sql
from holdfast.store.events import numbered
from holdfast.store.port import CommitUnknown, Conflict, StoreFull

if TYPE_CHECKING:
    import logging

    from holdfast.store.sqlite_log import LogCopier

SESSIONS_REMEMBERED_MAX = 131_072
"""Rows of sessions that are remembered, at about 1.3 KB each: as many as a node has beating, in 170 MB at most.
Past that all are forgotten, and read anew."""


class CommittedSessions:
    """The rows of sessions as they were last committed, so that a beat need not read what the writer itself wrote.

    Nobody else writes to the file while the server has its lock. Should somebody do it all the same, SQLite's
    `data_version` tells, and everything is forgotten.
    """

    def __init__(self, writer: apsw.Connection) -> None:
        self._writer = writer
        self._rows: dict[Value, Session] = {}
        self._version = self._data_version()

    def check(self) -> None:
        """At the beginning of a transaction: forget all that another connection may have changed."""
        version = self._data_version()
        if version != self._version:
            self._version = version
            self._rows.clear()

    def get(self, session_id: Value) -> Session | None:
        """The row, if it is remembered."""
        return self._rows.get(session_id)

    def add(self, sessions: Iterable[Session]) -> None:
        """Remember rows that are committed."""
        for session in sessions:
            self._rows[session.id] = session
        if len(self._rows) > SESSIONS_REMEMBERED_MAX:
            self._rows.clear()

    def remove(self, session_id: Value) -> None:
        """Forget a row that was deleted."""
        self._rows.pop(session_id, None)

    def _data_version(self) -> Value:
        version: Value = next(iter(self._writer.execute("pragma data_version")))[0]
        return version


class Clock(Protocol):
    """What stands for the wall clock."""

    def now_ms(self) -> int:
        """The present, in epoch milliseconds."""
        ...

    def tick_ms(self) -> int:
        """The present, for a tick."""
        ...


def _log() -> "logging.Logger":
    import logging

    return logging.getLogger("holdfast.store.sqlite")


class SqliteTransaction:
    """One transaction of the writer connection. copier: what copies the log; None: SQLite itself, when it is closed."""

    def __init__(
        self,
        connection: apsw.Connection,
        clock: Clock,
        sessions: CommittedSessions,
        copier: "LogCopier | None" = None,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._sessions = sessions
        self._copier = copier
        self._saved: Changes | None = None

    def load(self, needs: Iterable[Need], view: View) -> None:
        """Put rows and sets into the view; the file's lock covers them all."""
        for need in needs:
            if isinstance(need, Members):
                view.add_members(need, load_members(self._connection, need))
            elif isinstance(need, Count):
                view.add_count(need, load_count(self._connection, need))
            elif need.row_type is Session:
                view.add_row(need, self._sessions.get(need.values[0]) or self._session(need))
            else:
                view.add_row(need, load_row(self._connection, need))

    def _session(self, key: Key) -> Row | None:
        row = load_row(self._connection, key)
        if isinstance(row, Session):
            self._sessions.add((row,))
        return row

    def clock(self, *, is_tick: bool) -> tuple[ServiceState, int]:
        """The service state and the wall clock."""
        now_ms = self._clock.tick_ms() if is_tick else self._clock.now_ms()
        return service_state(self._connection), now_ms

    def save(self, changes: Changes, *, recorded_at_ms: int) -> None:
        """Write everything, a statement at a time, in the order of the tables."""
        self._saved = changes
        try:
            self._save(changes, recorded_at_ms=recorded_at_ms)
        except apsw.FullError as error:
            raise StoreFull from error
        except apsw.ConstraintError as error:
            _log().warning("constraint_broken error=%s", error)
            raise Conflict from error

    def _save(self, changes: Changes, *, recorded_at_ms: int) -> None:
        execute_many = self._connection.executemany
        inserts: dict[type[Row], list[Row]] = {}
        for row in changes.inserts:
            inserts.setdefault(type(row), []).append(row)
        updates: dict[tuple[type[Row], tuple[int, ...]], list[Row]] = {}
        for before, after in changes.updates:
            written_alike = (type(after), sql.changed_columns(before, after))
            updates.setdefault(written_alike, []).append(after)
        for table in TABLES.values() if inserts else ():
            rows = inserts.get(table.row_type)
            if rows:
                rows.sort(key=_key_values)
                execute_many(_insert(table), rows)
        for (row_type, positions), written in updates.items():
            table = TABLES[row_type]
            execute_many(_update(table, positions), map(sql.bound_values(table, positions), written))
        for row_type, deleted in sql.by_row_type(changes.deletes).items():
            table = TABLES[row_type]
            execute_many(f"delete from {table.name} where {sql.where_key(table, sql.SQLITE)}", deleted)
        for purge in changes.purges:
            name = TABLES[purge.row_type].name
            self._connection.execute(f"delete from {name} where {purge.column} = ?", (purge.value,))
        if changes.emitted:
            events = numbered(changes.emitted, last_numbers=self._last_numbers, recorded_at_ms=recorded_at_ms)
            execute_many(_insert(TABLES[Event]), events)

    def _last_numbers(self, counts: Mapping[str, int]) -> dict[str, int]:
        query = sql.NEXT_NUMBERS.format("?")
        return {
            account_id: next(iter(self._connection.execute(query, (account_id, count))))[0]
            for account_id, count in sorted(counts.items())
        }

    def commit(self) -> None:
        """Make it last, through an fsync of the log."""
        if self._copier is not None and self._copier.is_broken:
            raise CommitUnknown(is_fatal=True)
        try:
            self._connection.execute("commit")
        except apsw.FullError as error:
            raise StoreFull from error
        except apsw.Error as error:
            # Whether the log reached the disk is not known; after a failed fsync no later one can be trusted either.
            _log().critical("commit_failed error=%s", error)
            raise CommitUnknown(is_fatal=True) from error
        if self._saved is not None:
            self._remember(self._saved)
        if self._copier is not None:
            self._copier.committed()

    def _remember(self, committed: Changes) -> None:
        self._sessions.add(row for row in committed.inserts if isinstance(row, Session))
        self._sessions.add(after for _, after in committed.updates if isinstance(after, Session))
        for key in committed.deletes:
            if key.row_type is Session:
                self._sessions.remove(key.values[0])

    def rollback(self) -> None:
        """Undo everything."""
        if self._connection.in_transaction:
            self._connection.execute("rollback")


def service_state(connection: apsw.Connection) -> ServiceState:
    row = load_row(connection, Key(ServiceState, (1,)))
    assert isinstance(row, ServiceState)
    return row


@cache
def _select(table: Table) -> str:
    return f"select {sql.columns(table)} from {table.name} where {sql.where_key(table, sql.SQLITE)}"


@cache
def _insert(table: Table) -> str:
    return sql.insert_one(table, sql.SQLITE)


@cache
def _update(table: Table, positions: tuple[int, ...]) -> str:
    return sql.update_one(table, positions, sql.SQLITE)


@cache
def _select_members(members_of: Any) -> str:
    return sql.select_members(members_of, sql.SQLITE)


def load_row(connection: apsw.Connection, key: Key) -> Row | None:
    table = TABLES[key.row_type]
    values = connection.execute(_select(table), key.values).fetchone()
    return None if values is None else row(table, values)


def load_members(connection: apsw.Connection, members: Members) -> list[Row]:
    table = TABLES[members.spec.row_type]
    return [row(table, values) for values in connection.execute(_select_members(members.spec), members.values)]


def load_count(connection: apsw.Connection, count: Count) -> int:
    query = sql.count_rows(count.spec, sql.SQLITE)
    number: int = next(iter(connection.execute(query, (*count.values, *count.spec.among[1]))))[0]
    return number


def row(table: Table, values: Sequence[Any]) -> Row:
    positions = sql.bool_positions(table)
    if positions:
        made = list(values)
        for position in positions:
            made[position] = made[position] == 1
        values = made
    row: Row = table.row_type._make(values)  # type: ignore[attr-defined]
    return row


def _key_values(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in TABLES[type(row)].key)
