"""SQLite: one file, one writer connection, any number of readers.

WAL with `synchronous=full`, so that what was acknowledged survives a power cut. A lock file keeps a second server off.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw

from holdfast.commands.lists import Aged, AgeSearch, ListPage, ListRequest
from holdfast.commands.questions import Asked, Candidate
from holdfast.commands.rows import TABLES, Count, Key, Members, Row, Value
from holdfast.commands.statistics import Figures, StatsAsked
from holdfast.domain.events import EventFilter
from holdfast.domain.ids import AccountId
from holdfast.domain.service_time import ServiceState
from holdfast.store import sql, sql_figures
from holdfast.store.clock import ProcessClock
from holdfast.store.pool import Pool
from holdfast.store.port import EventPage, StoreUnavailable
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
from holdfast.store.sqlite_rows import (
    CommittedSessions,
    SqliteTransaction,
    load_count,
    load_members,
    load_row,
    row,
    service_state,
)

log = logging.getLogger(__name__)

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
            return load_row(connection, key)

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first."""
        with self._readers.connection() as connection:
            return load_members(connection, members)

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        with self._readers.connection() as connection:
            return load_count(connection, count)

    def account_rows(
        self, row_type: type[Row], account_id: AccountId, *, after: tuple[Value, ...] | None, limit: int
    ) -> list[Row]:
        """Committed rows that an account has in a table, by key."""
        table = TABLES[row_type]
        query = sql.account_rows(table, sql.SQLITE, is_first=after is None)
        with self._readers.connection() as connection:
            return [row(table, values) for values in connection.execute(query, (account_id, *(after or ()), limit))]

    def page(self, request: ListRequest) -> ListPage:
        """One page of a list."""
        query = sql.page_query(request, sql.SQLITE)
        tables = [TABLES[row_type] for row_type in request.spec.row_types]
        with self._readers.connection() as connection:
            raw = list(connection.execute(query.page, query.page_values))
            total = next(iter(connection.execute(query.total, query.total_values)))[0] if request.with_total else None
        rows = [sql.split(tables, values, row) for values in raw[: request.limit]]
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
        query, values = sql_figures.candidates(asked, sql.SQLITE)
        with self._readers.connection() as connection:
            return [Candidate(*found) for found in connection.execute(query, (*values, limit))]

    def figures(self, asked: StatsAsked) -> Figures:
        """Figures of sessions and events, added up."""
        with self._readers.connection() as connection:
            return sql_figures.figures(asked, sql.SQLITE, lambda each: list(connection.execute(each.text, each.values)))

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
            return service_state(connection), self._clock.now_ms()

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


def _open(path: Path) -> apsw.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return connect(path)
