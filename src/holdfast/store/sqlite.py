"""SQLite: one file, one writer connection, any number of readers.

WAL with `synchronous=full`, so that what was acknowledged survives a power cut. A lock file keeps a second server off.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import apsw

from holdfast.commands.lists import Aged, AgeSearch, ListPage, ListRequest
from holdfast.commands.questions import Asked, Candidate
from holdfast.commands.rows import TABLES, Count, Key, Members, Need, Row, Table, Value
from holdfast.commands.statistics import Figures, StatsAsked
from holdfast.commands.view import Changes, View
from holdfast.domain.events import Event, EventFilter
from holdfast.domain.ids import AccountId
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import Session
from holdfast.store import sql
from holdfast.store.clock import ProcessClock
from holdfast.store.events import numbered
from holdfast.store.pool import Pool
from holdfast.store.port import CommitUnknown, Conflict, EventPage, StoreFull, StoreUnavailable
from holdfast.store.sqlite_files import (
    BUSY_TIMEOUT_MS,
    PAGE_BYTES,
    RESERVE_FREE_BYTES_MIN,
    applied_migrations,
    connect,
    keep_reserve,
    lock,
    migrate,
    refuse_backup,
    release_reserve,
    warn_of_network,
)
from holdfast.store.sqlite_log import LogCopier

log = logging.getLogger(__name__)

SESSIONS_REMEMBERED_MAX = 131_072
"""Rows of sessions that are remembered, at about 1.3 KB each: as many as a node has beating, in 170 MB at most.
Past that all are forgotten, and read anew."""

LOG_PAGES = 16_384
"""How long the log grows before it is copied into the database: 16 MiB. A commit that writes over an old log costs
half of one that lengthens it, since no blocks have to be found for it; a much shorter one is copied, and the database
synced, too often."""

PRAGMAS = (
    f"pragma page_size = {PAGE_BYTES}",
    "pragma journal_mode = wal",
    f"pragma wal_autocheckpoint = {LOG_PAGES}",
    f"pragma journal_size_limit = {LOG_PAGES * PAGE_BYTES}",
    "pragma synchronous = full",
    "pragma foreign_keys = on",
    "pragma cache_size = -65536",
    "pragma temp_store = memory",
)


class SqliteReaders:
    """What is committed in one SQLite file, for any number of threads.

    path: a file that a `SqliteStore` of this or another process has open.
    clock: what stands for the wall clock.
    """

    def __init__(self, path: Path, *, clock: ProcessClock) -> None:
        self._path = path
        self._clock = clock
        self._readers: Pool[apsw.Connection] = Pool(self._open_reader, lambda connection: connection.close())

    def get(self, key: Key) -> Row | None:
        """A committed row."""
        with self._readers.connection() as connection:
            return _load_row(connection, key)

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first."""
        with self._readers.connection() as connection:
            return _load_members(connection, members)

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        with self._readers.connection() as connection:
            return _load_count(connection, count)

    def account_rows(
        self, row_type: type[Row], account_id: AccountId, *, after: tuple[Value, ...] | None, limit: int
    ) -> list[Row]:
        """Committed rows that an account has in a table, by key."""
        table = TABLES[row_type]
        query = sql.account_rows(table, sql.SQLITE, is_first=after is None)
        with self._readers.connection() as connection:
            return [_row(table, values) for values in connection.execute(query, (account_id, *(after or ()), limit))]

    def page(self, request: ListRequest) -> ListPage:
        """One page of a list."""
        query = sql.page_query(request, sql.SQLITE)
        tables = [TABLES[row_type] for row_type in request.spec.row_types]
        with self._readers.connection() as connection:
            raw = list(connection.execute(query.page, query.page_values))
            total = next(iter(connection.execute(query.total, query.total_values)))[0] if request.with_total else None
        rows = [sql.split(tables, values, _row) for values in raw[: request.limit]]
        return ListPage(rows, is_last=len(raw) <= request.limit, total=total)

    def events_after(self, account_id: AccountId, *, number: int, wanted: EventFilter, limit: int) -> EventPage:
        """Events of an account with a higher number."""
        given = wanted.given()
        query = sql.events_query(tuple(given), sql.SQLITE)
        with self._readers.connection() as connection:
            found = connection.execute(query, (*[account_id] * 3, number, *given.values(), limit))
            return sql.event_page(list(found))

    def last_event_numbers(self, account_ids: Sequence[str]) -> dict[str, int]:
        """The number of the last event of each of these accounts that has any."""
        query = "select account_id, last_number from event_counter where account_id in (select value from json_each(?))"
        with self._readers.connection() as connection:
            return dict(connection.execute(query, (json.dumps(account_ids),)))

    def due_sessions(self, *, service_ms: int, wall_ms: int, limit: int) -> list[str]:
        """Ids of sessions whose next check, or whose wake, is due, longest overdue first."""
        with self._readers.connection() as connection:
            found = connection.execute(sql.DUE_SESSIONS.format("?"), (service_ms, wall_ms, limit))
            return [str(session_id) for (session_id,) in found]

    def oldest(self, search: AgeSearch, *, until_ms: int, after: Aged | None, limit: int) -> list[Aged]:
        """Rows of an age search, the oldest first, going on after one of them."""
        query = sql.oldest_rows(search, sql.SQLITE, is_first=after is None)
        start = () if after is None else (after.at_ms, *after.key.values)
        with self._readers.connection() as connection:
            found = connection.execute(query, (until_ms, *start, limit))
            return [Aged(at_ms, Key(search.row_type, tuple(values))) for at_ms, *values in found]

    def candidates(self, asked: Asked, *, limit: int) -> list[Candidate]:
        """Some of the sessions that an alert rule may be about."""
        query, values = sql.candidates(asked, sql.SQLITE)
        with self._readers.connection() as connection:
            return [Candidate(*found) for found in connection.execute(query, (*values, limit))]

    def figures(self, asked: StatsAsked) -> Figures:
        """Figures of sessions and events, added up."""
        with self._readers.connection() as connection:
            return sql.figures(asked, sql.SQLITE, lambda each: list(connection.execute(each.text, each.values)))

    def count_statuses(self) -> dict[str, int]:
        """How many sessions there are of each status."""
        with self._readers.connection() as connection:
            return {str(status): count for status, count in connection.execute(sql.COUNT_STATUSES)}

    def count_overdue(self, *, service_ms: int, rows_max: int) -> dict[str, tuple[int, int, int]]:
        """Of sessions with a running lease, by status: how many were looked at, are late, and have lapsed."""
        with self._readers.connection() as connection:
            found = connection.execute(sql.COUNT_OVERDUE.format("?"), (*[service_ms] * 3, rows_max))
            return {str(status): (looked_at, late, lapsed) for status, looked_at, late, lapsed in found}

    def service_clock(self) -> tuple[ServiceState, int]:
        """The service state and the wall clock as a reader sees them."""
        with self._readers.connection() as connection:
            return _service_state(connection), self._clock.now_ms()

    def close(self) -> None:
        """Let go of every connection."""
        self._readers.close()

    def _open_reader(self) -> apsw.Connection:
        connection = connect(self._path)
        connection.execute("pragma query_only = on")
        return connection


class SqliteStore(SqliteReaders):
    """A store in one SQLite file, with its one writer.

    path: the file; it is created, with mode 0600, where there is none.
    clock: what stands for the wall clock; tests bring their own.
    server_pid: who is named to others who want the file; by default this process.
    log_pages: from which length on the log is copied.
    """

    locks_everything = True

    def __init__(
        self,
        path: Path,
        *,
        clock: ProcessClock | None = None,
        server_pid: int | None = None,
        log_pages: int = LOG_PAGES,
    ) -> None:
        super().__init__(path, clock=clock or ProcessClock())
        self._lock = lock(path, server_pid=server_pid or os.getpid())
        with ExitStack() as opened:
            opened.callback(os.close, self._lock)
            self._writer = _open(path)
            opened.callback(self._writer.close)
            configure_writer(self._writer, path)
            migrate(self._writer, path, now_ms=self._clock.now_ms())
            self._sessions = CommittedSessions(self._writer)
            keep_reserve(path, free_bytes_min=RESERVE_FREE_BYTES_MIN)
            warn_of_network(path)
            self._copier = LogCopier(path, self._writer, pages_max=log_pages)
            opened.pop_all()

    def begin(self) -> "SqliteTransaction":
        """Begin a write transaction, which keeps other writers out."""
        try:
            self._writer.execute("begin immediate")
        except apsw.BusyError as error:
            raise StoreUnavailable from error
        self._sessions.check()
        return SqliteTransaction(self._writer, self._clock, self._sessions, self._copier)

    @contextmanager
    def reserve_spent(self) -> Iterator[None]:
        """Let something be deleted meanwhile though the disk is full. Only ever called by the writer's thread."""
        release_reserve(self._path)
        try:
            yield
        finally:
            # The log goes into the file, where freed pages take what comes next; what that leaves is kept back again.
            self._copier.stop()
            self._writer.set_busy_timeout(0)
            try:
                self._writer.execute("pragma wal_checkpoint(truncate)")
            except apsw.Error as error:
                log.warning("checkpoint_failed error=%s", error)
            self._writer.set_busy_timeout(BUSY_TIMEOUT_MS)
            keep_reserve(self._path, free_bytes_min=0)

    def close(self) -> None:
        """Let go of every connection and of the lock."""
        super().close()
        self._copier.stop()
        self._writer.close()
        self._copier.close()
        os.close(self._lock)


def configure_writer(connection: apsw.Connection, path: Path) -> None:
    """Set a connection up to write durably. Raises: SchemaMismatch where the file is no database to be served."""
    applied_migrations(connection, path)
    refuse_backup(connection, path)
    for pragma in PRAGMAS:
        connection.execute(pragma)


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


class SqliteTransaction:
    """One transaction of the writer connection."""

    def __init__(
        self, connection: apsw.Connection, clock: ProcessClock, sessions: CommittedSessions, copier: LogCopier
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
                view.add_members(need, _load_members(self._connection, need))
            elif isinstance(need, Count):
                view.add_count(need, _load_count(self._connection, need))
            elif need.row_type is Session:
                view.add_row(need, self._sessions.get(need.values[0]) or self._session(need))
            else:
                view.add_row(need, _load_row(self._connection, need))

    def _session(self, key: Key) -> Row | None:
        row = _load_row(self._connection, key)
        if isinstance(row, Session):
            self._sessions.add((row,))
        return row

    def clock(self, *, is_tick: bool) -> tuple[ServiceState, int]:
        """The service state and the wall clock."""
        now_ms = self._clock.tick_ms() if is_tick else self._clock.now_ms()
        return _service_state(self._connection), now_ms

    def save(self, changes: Changes, *, recorded_at_ms: int) -> None:
        """Write everything, a statement at a time, in the order of the tables."""
        self._saved = changes
        try:
            self._save(changes, recorded_at_ms=recorded_at_ms)
        except apsw.FullError as error:
            raise StoreFull from error
        except apsw.ConstraintError as error:
            log.warning("constraint_broken error=%s", error)
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
        for table in TABLES.values():
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
        if self._copier.is_broken:
            raise CommitUnknown(is_fatal=True)
        try:
            self._connection.execute("commit")
        except apsw.FullError as error:
            raise StoreFull from error
        except apsw.Error as error:
            # Whether the log reached the disk is not known; after a failed fsync no later one can be trusted either.
            log.critical("commit_failed error=%s", error)
            raise CommitUnknown(is_fatal=True) from error
        if self._saved is not None:
            self._remember(self._saved)
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


def _open(path: Path) -> apsw.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return connect(path)


def _service_state(connection: apsw.Connection) -> ServiceState:
    row = _load_row(connection, Key(ServiceState, (1,)))
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


def _load_row(connection: apsw.Connection, key: Key) -> Row | None:
    table = TABLES[key.row_type]
    values = connection.execute(_select(table), key.values).fetchone()
    return None if values is None else _row(table, values)


def _load_members(connection: apsw.Connection, members: Members) -> list[Row]:
    table = TABLES[members.spec.row_type]
    return [_row(table, values) for values in connection.execute(_select_members(members.spec), members.values)]


def _load_count(connection: apsw.Connection, count: Count) -> int:
    query = sql.count_rows(count.spec, sql.SQLITE)
    number: int = next(iter(connection.execute(query, (*count.values, *count.spec.among[1]))))[0]
    return number


def _row(table: Table, values: Sequence[Any]) -> Row:
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
