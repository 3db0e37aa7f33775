"""PostgreSQL (14 or later): any number of nodes on one database, one writer connection each.

Rows are locked in one pass, in the order of tables and keys, so that two nodes never wait for each other in a circle. A
batch reads and writes each table with one statement.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from operator import itemgetter
from typing import Any, cast

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdfast.commands.lists import Aged, AgeSearch, ListPage, ListRequest
from holdfast.commands.questions import Asked, Candidate
from holdfast.commands.rows import TABLES, Count, Key, Members, Need, Row, SetSpec, Table, Value
from holdfast.commands.statistics import Figures, StatsAsked
from holdfast.commands.view import Changes, Purge, View
from holdfast.domain.events import Event, EventFilter
from holdfast.domain.ids import AccountId
from holdfast.domain.service_time import ServiceState
from holdfast.store import sql, sql_figures
from holdfast.store.clock import ProcessClock
from holdfast.store.events import numbered
from holdfast.store.migrating import LEDGER, Migration, pending
from holdfast.store.pool import Pool
from holdfast.store.port import CommitUnknown, Conflict, EventPage, SchemaMismatch, StoreFull, StoreUnavailable

log = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_SECONDS = 5
"""How long to wait for the server to take a connection, per try."""

TCP_DEFAULTS = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""A server whose host vanished is noticed within half a minute rather than the quarter of an hour that a kernel takes.
The last is in milliseconds. What the URL says counts instead."""

RETRY_SECONDS_MIN = 0.05
RETRY_SECONDS_MAX = 5.0
"""How long nobody tries to connect after a failure, doubled with each one. A node that tries every five seconds costs a
server nothing, and a server that is back is used within five."""

TRANSACTION_IDLE_MS_MAX = 2_000
"""How long a transaction of ours may stand still before the server rolls it back and ends its connection. A node that
is paused, or cut off, in the middle of one holds rows that every other node needs, the counter of events above all."""

LOST = (errors.OperationalError, errors.IdleInTransactionSessionTimeout)
"""What a statement raises when its connection is gone. The second is no OperationalError to the driver."""

MIGRATION_LOCK = 0x686F6C64
"""An advisory lock's number, held while the schema is made, so that of two nodes that start at once only one does."""

SQL_TYPES = {str: "text", int: "bigint", bool: "boolean"}


class PostgresStore:
    """A store in a PostgreSQL database.

    clock: what stands for the wall clock in tests; by default it is the server's `clock_timestamp()`.
    """

    locks_everything = False

    def __init__(self, url: str, *, clock: ProcessClock | None = None) -> None:
        self._url = url
        self._clock = clock
        self._door = _Door(url)
        self._writer: Connection | None = None
        try:
            with _connect(url) as connection:
                migrate(connection, upgrades=False, clock=clock)
        except errors.OperationalError as error:
            raise StoreUnavailable(why(error)) from error
        self._readers: Pool[Connection] = Pool(lambda: self._door.open(is_autocommit=True), lambda each: each.close())

    def begin(self) -> "PostgresTransaction":
        """Begin a transaction on the writer connection, opened anew if it was lost. Raises: StoreUnavailable."""
        if self._writer is None or self._writer.closed:
            self._writer = self._door.open()
        return PostgresTransaction(self._writer, clock=self._clock, reconnect=lambda: _connect(self._url))

    def get(self, key: Key) -> Row | None:
        """A committed row."""
        table = TABLES[key.row_type]
        query = f"select {sql.columns(table)} from {table.name} where {sql.where_key(table, sql.POSTGRES)}"
        found = self._read(query, key.values)
        return _row(table, found[0]) if found else None

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first."""
        table = TABLES[members.spec.row_type]
        found = self._read(sql.select_members(members.spec, sql.POSTGRES), members.values)
        return [_row(table, values) for values in found]

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        found = self._read(sql.count_rows(count.spec, sql.POSTGRES), (*count.values, *count.spec.among[1]))
        number: int = found[0][0]
        return number

    def account_rows(
        self, row_type: type[Row], account_id: AccountId, *, after: tuple[Value, ...] | None, limit: int
    ) -> list[Row]:
        """Committed rows that an account has in a table, by key."""
        table = TABLES[row_type]
        query = sql.account_rows(table, sql.POSTGRES, is_first=after is None)
        return [_row(table, values) for values in self._read(query, (account_id, *(after or ()), limit))]

    def page(self, request: ListRequest) -> ListPage:
        """One page of a list."""
        query = sql.page_query(request, sql.POSTGRES)
        tables = [TABLES[row_type] for row_type in request.spec.row_types]
        raw = self._read(query.page, query.page_values)
        total = self._read(query.total, query.total_values)[0][0] if request.with_total else None
        rows = [sql.split(tables, values, _row) for values in raw[: request.limit]]
        return ListPage(rows, is_last=len(raw) <= request.limit, total=total)

    def events_after(self, account_id: AccountId, *, number: int, wanted: EventFilter, limit: int) -> EventPage:
        """Events of an account with a higher number."""
        given = wanted.given()
        query = sql.events_query(tuple(given), sql.POSTGRES)
        return sql.event_page(self._read(query, (*[account_id] * 3, number, *given.values(), limit)))

    def last_event_numbers(self, account_ids: Sequence[str]) -> dict[str, int]:
        """The number of the last event of each of these accounts that has any."""
        query = "select account_id, last_number from event_counter where account_id = any(%s)"
        return dict(self._read(query, (list(account_ids),)))

    def due_sessions(self, *, service_ms: int, wall_ms: int, limit: int) -> list[str]:
        """Ids of sessions whose next check, or whose wake, is due, longest overdue first."""
        found = self._read(sql.DUE_SESSIONS.format("%s"), (service_ms, wall_ms, limit))
        return [session_id for (session_id,) in found]

    def oldest(self, search: AgeSearch, *, until_ms: int, after: Aged | None, limit: int) -> list[Aged]:
        """Rows of an age search, the oldest first, going on after one of them."""
        query = sql.oldest_rows(search, sql.POSTGRES, is_first=after is None)
        start = () if after is None else (after.at_ms, *after.key.values)
        found = self._read(query, (until_ms, *start, limit))
        return [Aged(at_ms, Key(search.row_type, tuple(values))) for at_ms, *values in found]

    def candidates(self, asked: Asked, *, limit: int) -> list[Candidate]:
        """Some of the sessions that an alert rule may be about."""
        query, values = sql_figures.candidates(asked, sql.POSTGRES)
        return [Candidate(*found) for found in self._read(query, (*values, limit))]

    def figures(self, asked: StatsAsked) -> Figures:
        """Figures of sessions and events, added up."""
        return sql_figures.figures(asked, sql.POSTGRES, lambda each: self._read(each.text, each.values))

    def count_statuses(self) -> dict[str, int]:
        """How many sessions there are of each status."""
        return dict(self._read(sql.COUNT_STATUSES, ()))

    def count_overdue(self, *, service_ms: int, rows_max: int) -> dict[str, tuple[int, int, int]]:
        """Of sessions with a running lease, by status: how many were looked at, are late, and have lapsed."""
        found = self._read(sql.COUNT_OVERDUE.format("%s"), (*[service_ms] * 3, rows_max))
        return {status: (looked_at, late, lapsed) for status, looked_at, late, lapsed in found}

    def service_clock(self) -> tuple[ServiceState, int]:
        """The service state and the wall clock as a reader sees them."""
        (values,) = self._read(_CLOCK, ())
        state, now_ms = ServiceState(*values[:-1]), values[-1]
        return state, self._clock.now_ms() if self._clock is not None else now_ms

    def reserve_spent(self) -> AbstractContextManager[None]:
        """Nothing: the server of the database has its own disk."""
        return nullcontext()

    def close(self) -> None:
        """Close every connection."""
        self._readers.close()
        if self._writer is not None:
            self._writer.close()

    def _read(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._readers.connection() as connection:
                return connection.execute(query, values).fetchall()
        except errors.OperationalError as error:
            log.warning("read_interrupted error=%s", why(error))
        # Where one kept connection turns out to be lost, the others are too: the server was away meanwhile.
        self._readers.close()
        try:
            with self._readers.connection() as connection:
                return connection.execute(query, values).fetchall()
        except errors.OperationalError as error:
            raise StoreUnavailable(why(error)) from error


class _Door:
    """The way to the server for all threads: after a failure it stays shut for a while, longer with each.

    So whoever asks meanwhile is told at once, rather than after a wait for a server that was not there a moment ago.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._retry_seconds = 0.0
        self._shut_until = 0.0

    def open(self, *, is_autocommit: bool = False) -> Connection:
        """A new connection. Raises: StoreUnavailable."""
        if time.monotonic() < self._shut_until:
            raise StoreUnavailable("The database could not be reached a moment ago.")
        try:
            connection = _connect(self._url, is_autocommit=is_autocommit)
        except errors.OperationalError as error:
            self._shut()
            raise StoreUnavailable(why(error)) from error
        self._retry_seconds = 0.0
        return connection

    def _shut(self) -> None:
        with self._lock:
            # Several threads that failed together are one failure.
            if time.monotonic() < self._shut_until:
                return
            self._retry_seconds = min(RETRY_SECONDS_MAX, max(RETRY_SECONDS_MIN, 2 * self._retry_seconds))
            # Spread, so that many nodes do not all come at once.
            self._shut_until = time.monotonic() + self._retry_seconds * random.uniform(0.5, 1.0)
            log.warning("database_unreachable retry_seconds=%.2f", self._retry_seconds)


class PostgresTransaction:
    """One transaction of the writer connection, at READ COMMITTED: what it locks, it reads as last committed."""

    def __init__(
        self, connection: Connection, *, clock: ProcessClock | None, reconnect: Callable[[], Connection]
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor(binary=True)
        self._clock = clock
        self._reconnect = reconnect
        self._transaction_id: str | None = None

    def load(self, needs: Iterable[Need], view: View) -> None:
        """Lock the rows and put them into the view, table by table, each in the order of its keys.

        A set is looked up, and a count made, once its guard, whose table comes earlier, is locked.
        """
        keys: dict[Table, dict[Key, None]] = {}
        sets: dict[Table, list[Members]] = {}
        counts: list[Count] = []
        for need in needs:
            if isinstance(need, Key):
                keys.setdefault(TABLES[need.row_type], {})[need] = None
            elif isinstance(need, Count):
                counts.append(need)
            else:
                sets.setdefault(TABLES[need.spec.row_type], []).append(need)
        tables = [table for table in TABLES.values() if table in keys or table in sets]
        absent = {
            table: self._load_table(table, list(keys.get(table, ())), sets.get(table, []), view) for table in tables
        }
        if len(tables) > 1:
            self._require_still_absent({table: missing for table, missing in absent.items() if missing})
        for count in counts:
            bound = [*count.values, *count.spec.among[1]]
            view.add_count(count, self._run(sql.count_rows(count.spec, sql.POSTGRES), bound)[0][0])

    def _require_still_absent(self, absent: Mapping[Table, Sequence[Key]]) -> None:
        """Make sure that rows which were not there have not been made meanwhile. Raises: Conflict.

        What is not there cannot be locked. Where another node makes it while later tables are read, some of what was
        read is from before and some from after. What is written on that ground runs into the new row, but a refusal
        writes nothing: a start would be refused for the sake of its own session, a repeated request as a new one.
        """
        for table, missing in absent.items():
            columns = list(zip(*(key.values for key in missing), strict=True))
            if self._run(_find_one(table), [list(column) for column in columns]):
                raise Conflict

    def _load_table(self, table: Table, named: list[Key], sets: list[Members], view: View) -> list[Key]:
        """Load what is wanted of one table; the named keys that no row has."""
        found = self._look_up(table, sets)
        wanted = dict.fromkeys([key.values for key in named] + [values for each in found.values() for values in each])
        columns = list(zip(*wanted, strict=True)) if wanted else [() for _ in table.key]
        locked = self._run(_lock_rows(table), list(map(_array, columns))) if wanted else []
        # A table's key is its first columns.
        by_key = {values[: len(table.key)]: _row(table, values) for values in locked}
        for key in named:
            view.add_row(key, by_key.get(key.values))
        for members, member_keys in found.items():
            view.add_members(members, [by_key[values] for values in member_keys if values in by_key])
        return [key for key in named if key.values not in by_key]

    def _look_up(self, table: Table, sets: list[Members]) -> dict[Members, list[tuple[Any, ...]]]:
        """The keys of the members of each set, newest first; sets of one kind are looked up together."""
        found: dict[Members, list[tuple[Any, ...]]] = {members: [] for members in sets}
        by_spec: dict[SetSpec, list[Members]] = {}
        for members in sets:
            by_spec.setdefault(members.spec, []).append(members)
        for spec, of_spec in by_spec.items():
            values = [list(column) for column in zip(*(members.values for members in of_spec), strict=True)]
            for position, *key_values in self._run(_look_up_members(table, spec), values):
                found[of_spec[position - 1]].append(tuple(key_values))
        return found

    def clock(self, *, is_tick: bool) -> tuple[ServiceState, int]:
        """The service state and the server's clock; the state is locked if it is to be ticked."""
        (values,) = self._run(_CLOCK_LOCKED if is_tick else _CLOCK_OF_WRITER, [])
        *state, now_ms, self._transaction_id = values
        if self._clock is not None:
            now_ms = self._clock.tick_ms() if is_tick else self._clock.now_ms()
        return ServiceState(*state), now_ms

    def save(self, changes: Changes, *, recorded_at_ms: int) -> None:
        """Write everything: one statement for each table and set of changed columns, in the order of the tables."""
        inserts: dict[type[Row], list[Row]] = {}
        for row in changes.inserts:
            inserts.setdefault(type(row), []).append(row)
        updates: dict[type[Row], dict[tuple[int, ...], list[Row]]] = {}
        for before, after in changes.updates:
            positions = sql.changed_columns(before, after)
            updates.setdefault(type(after), {}).setdefault(positions, []).append(after)
        for table in TABLES.values():
            rows = inserts.get(table.row_type)
            if rows:
                self._insert(table, rows)
            for positions, changed in updates.get(table.row_type, {}).items():
                columns = zip(*map(itemgetter(*range(len(table.key)), *positions), changed), strict=True)
                self._run(_update_rows(table, positions), list(map(_array, columns)))
        for row_type, deleted in sql.by_row_type(changes.deletes).items():
            self._run(_delete_rows(TABLES[row_type]), [list(column) for column in zip(*deleted, strict=True)])
        for (row_type, column), purged in _purged(changes.purges).items():
            self._run(f"delete from {TABLES[row_type].name} where {column} = any(%s)", [purged])
        if changes.emitted:
            events = numbered(changes.emitted, last_numbers=self._last_numbers, recorded_at_ms=recorded_at_ms)
            self._insert(TABLES[Event], events)

    def commit(self) -> None:
        """Make it last. Where the connection is lost on the way, the server is asked what became of it."""
        try:
            self._connection.commit()
        except LOST as error:
            if isinstance(error, errors.DiskFull) and error.diag.severity_nonlocalized == "ERROR":
                # The server lives and has rolled it back. One that panics over it may have written the commit.
                raise StoreFull from error
            log.warning("commit_interrupted error=%s", why(error))
            self._connection.close()
            self._settle_commit(error)

    def rollback(self) -> None:
        """Undo everything; a connection that cannot even do that is given up, and its server does it."""
        if self._connection.closed:
            return
        try:
            self._connection.rollback()
        except LOST as error:
            log.warning("rollback_interrupted error=%s", why(error))
            self._connection.close()

    def _settle_commit(self, cause: Exception) -> None:
        """Find out whether a commit that was not heard took place. Raises: Conflict where not, CommitUnknown."""
        try:
            with self._reconnect() as connection:
                query = "select pg_xact_status(%s::xid8)"
                (status,) = connection.execute(query, (self._transaction_id,)).fetchone() or (None,)
        except errors.OperationalError:
            raise CommitUnknown(is_fatal=False) from cause
        if status == "aborted":
            raise Conflict from cause
        if status != "committed":
            raise CommitUnknown(is_fatal=False) from cause

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        ordered = sorted(rows, key=lambda row: tuple(cast(Any, getattr(row, name)) for name in table.key))
        self._run(_insert_rows(table), list(map(_array, zip(*ordered, strict=True))))

    def _last_numbers(self, counts: Mapping[str, int]) -> dict[str, int]:
        query = sql.NEXT_NUMBERS.format("%s")
        return {account: self._run(query, [account, count])[0][0] for account, count in sorted(counts.items())}

    def _run(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            self._cursor.execute(query, values)
            return self._cursor.fetchall() if self._cursor.description is not None else []
        except (errors.UniqueViolation, errors.SerializationFailure, errors.DeadlockDetected) as error:
            raise Conflict from error
        except errors.DiskFull as error:
            raise StoreFull from error
        except LOST as error:
            log.warning("store_unavailable error=%s", why(error))
            self._connection.close()
            raise StoreUnavailable(why(error)) from error


SETTINGS = f"-c synchronous_commit=on -c timezone=UTC -c idle_in_transaction_session_timeout={TRANSACTION_IDLE_MS_MAX}"

WRITER_PLANS = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
"""The writer names every row by its key. A plan that was made and kept while a table was still empty would read all of
it for each row as it grows; these leave the index as the only way."""

READER_PLANS = "-c plan_cache_mode=force_custom_plan"
"""Lists are planned for the values that they ask for, by what the tables hold by then."""


def _connect(url: str, *, is_autocommit: bool = False) -> Connection:
    return psycopg.connect(
        make_conninfo(
            url, **{name: value for name, value in TCP_DEFAULTS.items() if name not in conninfo_to_dict(url)}
        ),
        autocommit=is_autocommit,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name="holdfast",
        options=f"{SETTINGS} {READER_PLANS if is_autocommit else WRITER_PLANS}",
    )


def migrate(
    connection: Connection, *, upgrades: bool, clock: ProcessClock | None = None, up_to: int | None = None
) -> list[Migration]:
    """Make the schema in an empty database, under a lock, or bring an older one up; the migrations that it took.

    upgrades: whether an older schema is brought up, rather than refused. up_to: the last migration that is wanted.
    Raises: SchemaMismatch.
    """
    with connection.transaction():
        lock_schema(connection)
        applied = applied_migrations(connection)
        lacking = pending("postgres", applied)[: None if up_to is None else up_to - len(applied)]
        if applied and lacking and not upgrades:
            raise SchemaMismatch(
                f"The database has schema {len(applied)}; this release serves {len(applied) + len(lacking)}. "
                "Run `holdfast migrate` against it first."
            )
        connection.execute(LEDGER.format(integer="bigint"))
        for migration in lacking:
            try:
                connection.execute(migration.sql)
            except errors.DuplicateTable as error:
                raise SchemaMismatch(
                    f"The database already holds a table that is not Holdfast's ({why(error)}). Name another one."
                ) from error
            connection.execute(
                "insert into schema_migration (version, name, sha256, applied_at_ms) values (%s, %s, %s, "
                "(extract(epoch from clock_timestamp()) * 1000)::bigint)",
                (migration.version, migration.name, migration.sha256),
            )
        if not applied:
            connection.execute(
                "insert into service_state (id, last_tick_at_ms, paused_ms, timeline, token_floor) values "
                "(1, coalesce(%s, (extract(epoch from clock_timestamp()) * 1000)::bigint), 0, %s, 0)",
                (None if clock is None else clock.now_ms(), os.urandom(8).hex()),
            )
    return lacking


def lock_schema(connection: Connection) -> None:
    """Wait until nobody else makes, brings up or replaces the schema; until the transaction ends, nobody will."""
    connection.execute("select pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))


def applied_migrations(connection: Connection) -> list[tuple[int, str]]:
    """The ledger of a database, as pairs of version and SHA-256; nothing where it has none."""
    if connection.execute("select to_regclass('schema_migration')").fetchone() == (None,):
        return []
    found = connection.execute("select version, sha256 from schema_migration order by version").fetchall()
    return [(version, sha256) for version, sha256 in found]


_STATE_COLUMNS = ", ".join(ServiceState._fields)
_NOW_MS = "(extract(epoch from clock_timestamp()) * 1000)::bigint"
_CLOCK = f"select {_STATE_COLUMNS}, {_NOW_MS} from service_state"
_CLOCK_OF_WRITER = f"select {_STATE_COLUMNS}, {_NOW_MS}, pg_current_xact_id()::text from service_state"
_CLOCK_LOCKED = f"{_CLOCK_OF_WRITER} for no key update"


def _array(values: Sequence[Value]) -> str:
    """An array as PostgreSQL reads it. The driver's own way takes a step of Python and a regular expression an element.

    Source: PostgreSQL's documentation, "Array Input and Output Syntax".
    """
    try:
        quoted = '","'.join(values)  # type: ignore[arg-type]
    except TypeError:
        return "{" + ",".join(map(_element, values)) + "}"
    if "\\" in quoted or quoted.count('"') != 2 * (len(values) - 1):
        return "{" + ",".join(map(_element, values)) + "}"
    return f'{{"{quoted}"}}'


def _element(value: Value) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "null" if value is None else str(value)


@cache
def _arrays(table: Table, names: tuple[str, ...]) -> str:
    """Bound arrays, one for each column: `%s::text[], %s::bigint[]`."""
    types = sql.column_types(table)
    return ", ".join(f"%s::{SQL_TYPES[types[name]]}[]" for name in names)


def _among_keys(table: Table) -> str:
    """The condition that a row's key is among those bound, an array for each column.

    With one column it is one scan of the index, in its order, rather than one for each key and a sort.
    """
    arrays = _arrays(table, table.key)
    if len(table.key) == 1:
        return f"{table.key[0]} = any({arrays})"
    return f"({', '.join(table.key)}) in (select * from unnest({arrays}))"


@cache
def _lock_rows(table: Table) -> str:
    keys = ", ".join(table.key)
    return f"select {sql.columns(table)} from {table.name} where {_among_keys(table)} order by {keys} for no key update"


@cache
def _find_one(table: Table) -> str:
    return f"select true from {table.name} where {_among_keys(table)} limit 1"


@cache
def _look_up_members(table: Table, spec: SetSpec) -> str:
    names = ", ".join(f"value_{name}" for name in spec.equals)
    equals = " and ".join(f"{name} = wanted.value_{name}" for name in spec.equals)
    return (
        f"select wanted.position, member.* from unnest({_arrays(table, spec.equals)}) with ordinality "
        f"as wanted ({names}, position) cross join lateral (select {', '.join(table.key)} from {table.name} "
        f"where {equals} order by {spec.order} desc limit {spec.limit}) as member order by wanted.position"
    )


@cache
def _delete_rows(table: Table) -> str:
    return f"delete from {table.name} where {_among_keys(table)}"


def _purged(purges: Sequence[Purge]) -> dict[tuple[type[Row], str], list[str]]:
    """The values of purges by table and column, so that one statement does for all of a kind."""
    grouped: dict[tuple[type[Row], str], list[str]] = {}
    for purge in purges:
        grouped.setdefault((purge.row_type, purge.column), []).append(purge.value)
    return grouped


@cache
def _insert_rows(table: Table) -> str:
    arrays = _arrays(table, table.columns)
    return f"insert into {table.name} ({sql.columns(table)}) select * from unnest({arrays})"


@cache
def _update_rows(table: Table, positions: tuple[int, ...]) -> str:
    changed = tuple(table.columns[position] for position in positions)
    keys = [f"key_{name}" for name in table.key]
    names = ", ".join([*keys, *[f"new_{name}" for name in changed]])
    assignments = ", ".join(f"{name} = changed.new_{name}" for name in changed)
    matches = " and ".join(f"{table.name}.{name} = changed.key_{name}" for name in table.key)
    arrays = _arrays(table, (*table.key, *changed))
    return f"update {table.name} set {assignments} from unnest({arrays}) as changed ({names}) where {matches}"


def _row(table: Table, values: Sequence[Any]) -> Row:
    row: Row = table.row_type._make(values)  # type: ignore[attr-defined]
    return row


def why(error: BaseException) -> str:
    """The first line of what the driver says, which holds no password."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
