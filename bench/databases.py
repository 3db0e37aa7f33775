"""Databases of a benchmark: filled with sessions, copied, counted in; and the plain statements beside ours."""

import math
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apsw
import psycopg
from psycopg import sql as pg_sql

from holdfast.commands.command import Envelope
from holdfast.commands.rows import Key, Row, scope_key, session_key
from holdfast.commands.starts import StartSession
from holdfast.commands.view import Changes, Reply
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, KeyId, Mint, SessionId
from holdfast.domain.limits import BEAT_SPACING_MS, DAY_MS, SECOND_MS
from holdfast.domain.policy import PolicyRequest
from holdfast.domain.scope import Scope
from holdfast.domain.session import Session, SessionProfile
from holdfast.engine.batch import run_batch
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import PRAGMAS, SqliteStore
from tests.support.postgres import PostgresServer, with_database

ACTOR = Actor(DEFAULT_ACCOUNT, KeyId("key_bench"), KeyScope.ADMIN)
AGENT = "bench"
SEED = 20_260_117
"""Of the order in which sessions beat, so that every run and every machine has the same."""

SEEDED_AT_A_TIME = 5_000
"""Sessions written in one transaction while a database is filled."""

POLICY = PolicyRequest(
    lease_ms=DAY_MS, heartbeat_interval_ms=60 * SECOND_MS, heartbeat_jitter_ms=5 * SECOND_MS, grace_ms=60 * SECOND_MS
)
"""A beat a minute, as is usual, and a lease that outlives the benchmark: nothing lapses while it runs."""

Beat = tuple[int, int, int, str]
"""What a heartbeat writes: due_ms, last_heartbeat_at_ms, progress; and of which session."""

RAW_UPDATE = "update session set due_ms = ?, last_heartbeat_at_ms = ?, progress = ? where id = ?"
RAW_UPDATE_FROM_UNNEST = (
    "update session set due_ms = new.due_ms, last_heartbeat_at_ms = new.last_heartbeat_at_ms, progress = new.progress "
    "from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[]) "
    "as new (due_ms, last_heartbeat_at_ms, progress, id) where session.id = new.id"
)


class Database(Protocol):
    """A database on one of the stores, nobody connected to it but for the time of a call."""

    @property
    def store_name(self) -> str:
        """The store, as the table calls it."""
        ...

    @property
    def url(self) -> str:
        """What a server is started with."""
        ...

    def open(self) -> Store:
        """The product's own store on it."""
        ...

    def copied(self, name: str) -> "Database":
        """A copy, under another name."""
        ...

    def count(self, query: str) -> int:
        """The one number that a query gives, read beside whoever writes."""
        ...

    def settle(self) -> None:
        """Finish what writing many rows left to be done, so that no run pays for it."""
        ...

    def raw_writer(self) -> "RawWriter":
        """The plainest way to write the same rows as durably."""
        ...


class RawWriter(NamedTuple):
    """write: commits these beats in one transaction."""

    write: Callable[[Sequence[Beat]], object]
    close: Callable[[], None]


class SqliteDatabase(NamedTuple):
    """A file."""

    path: Path
    store_name: str = "SQLite"

    @property
    def url(self) -> str:
        """What a server is started with."""
        return f"sqlite:///{self.path}"

    def open(self) -> Store:
        """The product's own store on it."""
        return SqliteStore(self.path)

    def copied(self, name: str) -> "SqliteDatabase":
        """A copy, under another name."""
        copy = self._replace(path=self.path.with_name(f"{name}.db"))
        shutil.copyfile(self.path, copy.path)
        return copy

    def count(self, query: str) -> int:
        """The one number that a query gives, read beside whoever writes."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("pragma query_only = on")
            return int(next(iter(connection.execute(query)))[0] or 0)
        finally:
            connection.close()

    def settle(self) -> None:
        """Nothing: closing the last connection moved the log into the file."""

    def raw_writer(self) -> RawWriter:
        """A prepared statement a row, under the product's own settings."""
        connection = apsw.Connection(str(self.path))
        for pragma in PRAGMAS:
            connection.execute(pragma)

        def write(beats: Sequence[Beat]) -> None:
            connection.execute("begin immediate")
            connection.executemany(RAW_UPDATE, beats)
            connection.execute("commit")

        return RawWriter(write, connection.close)


class PostgresDatabase(NamedTuple):
    """A database of a server that is ours alone."""

    server: PostgresServer
    name: str
    store_name: str = "PostgreSQL"

    @property
    def url(self) -> str:
        """What a server is started with."""
        return with_database(self.server.url, self.name)

    def open(self) -> Store:
        """The product's own store on it."""
        return PostgresStore(self.url)

    def copied(self, name: str) -> "PostgresDatabase":
        """A copy, under another name."""
        copy = self._replace(name=f"{self.name}_{name}")
        self._administer("create database {} template {}", copy.name, self.name)
        return copy

    def created(self) -> "PostgresDatabase":
        """The same, once it is there, empty."""
        self._administer("create database {} template template0", self.name)
        return self

    def dropped(self) -> None:
        """Delete it, whoever is connected."""
        self._administer("drop database if exists {} with (force)", self.name)

    def count(self, query: str) -> int:
        """The one number that a query gives, read beside whoever writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(query.encode()).fetchone()
        assert found is not None
        return int(found[0] or 0)

    def settle(self) -> None:
        """Vacuum, analyse and write out."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def raw_writer(self) -> RawWriter:
        """One statement a batch, which is its own transaction; prepared, in binary."""
        connection = psycopg.connect(self.url, autocommit=True, options="-c synchronous_commit=on")

        def write(beats: Sequence[Beat]) -> None:
            columns = [list(column) for column in zip(*beats, strict=True)]
            connection.execute(RAW_UPDATE_FROM_UNNEST, columns, binary=True, prepare=True)

        return RawWriter(write, connection.close)

    def _administer(self, query: str, *names: str) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            identifiers = [pg_sql.Identifier(each) for each in names]
            connection.execute(pg_sql.SQL(query).format(*identifiers))


class Beating(NamedTuple):
    """Sessions that have beaten all along: every so often, on leases of so long."""

    interval_ms: int
    lease_ms: int


class Seeded(NamedTuple):
    """Sessions that a database was filled with, in the order in which they beat: not that of their rows."""

    session_ids: list[SessionId]
    fencing_token: int


def scope_name(number: int) -> str:
    """The scope of the session of that number."""
    return f"repo=bench-{number}"


def holder_name(number: int) -> str:
    """The holder of the session of that number."""
    return f"holder-{number}"


def seed(
    database: Database, *, sessions: int, checks_a_second: float | None = None, beating: Beating | None = None
) -> Seeded:
    """Fill a new database with live exclusive sessions, each on a scope of its own: copies of one that was started.

    checks_a_second: at which pace the sweeper is to look at them, from now on; None: not before their lease is over.
    beating: how they have beaten, and are to go on; None: they have just started, on a lease that outlives everything.
    """
    randomness = random.Random(SEED)
    mint = Mint()
    store = database.open()
    try:
        first = _started(store, mint, entropy=randomness.randbytes(ENTROPY_BYTES))
        session_ids = [SessionId("")] * sessions
        places = list(range(sessions))
        randomness.shuffle(places)
        for begin in range(1, sessions + 1, SEEDED_AT_A_TIME):
            rows: list[Row] = []
            for number in range(begin, min(begin + SEEDED_AT_A_TIME, sessions + 1)):
                at_ms, name = first.session.last_heartbeat_at_ms, scope_name(number)
                session_id = SessionId(mint.next("sess", at_ms=at_ms, random=randomness.getrandbits(80)))
                place = places[number - 1]
                session_ids[place] = session_id
                session = first.session
                if beating is not None:
                    session = _in_service(session, beating, share=place / sessions, randomness=randomness)
                if checks_a_second is not None:
                    after_ms = int(randomness.random() * sessions / checks_a_second * SECOND_MS)
                    session = session._replace(check_due_ms=at_ms + after_ms)
                rows.append(first.scope._replace(scope=name))
                rows.append(session._replace(id=session_id, scope=name, held_scope=name, holder_id=holder_name(number)))
                rows.append(first.profile._replace(id=session_id))
            transaction = store.begin()
            transaction.save(Changes(rows, [], [], [], []), recorded_at_ms=first.session.last_heartbeat_at_ms)
            transaction.commit()
    finally:
        store.close()
    database.settle()
    assert first.session.fencing_token is not None
    return Seeded(session_ids, first.session.fencing_token)


class _Started(NamedTuple):
    session: Session
    profile: SessionProfile
    scope: Scope


def _started(store: Store, mint: Mint, *, entropy: bytes) -> _Started:
    """The rows of a session that was started as any other is."""
    start = StartSession(scope_name(0), AGENT, holder_name(0), POLICY, exclusive=True)
    (outcome,) = run_batch(store, [Envelope(start, ACTOR, entropy, "bench")], mint=mint)
    if not isinstance(outcome, Reply):
        raise outcome
    session_id = SessionId(str(outcome.body["id"]))
    session = _found(store, session_key(session_id))
    profile = _found(store, Key(SessionProfile, (session_id,)))
    scope = _found(store, scope_key(DEFAULT_ACCOUNT, scope_name(0)))
    assert isinstance(session, Session)
    assert isinstance(profile, SessionProfile)
    assert isinstance(scope, Scope)
    assert session.due_ms is not None
    # Service time stands still until a server serves; as if just started, these sessions could not beat at once.
    due_ms = session.due_ms - 2 * BEAT_SPACING_MS
    return _Started(session._replace(due_ms=due_ms, check_due_ms=due_ms), profile, scope)


def _in_service(session: Session, beating: Beating, *, share: float, randomness: random.Random) -> Session:
    """The session with so great a share of an interval left until its next beat, its check where beats have left it."""
    since_beat_ms = int((1 - share) * beating.interval_ms)
    # A beat in the last half of the time until then moves it (`domain.lifecycle`), and only every so manieth is one.
    beats_between = math.ceil(beating.lease_ms / 2 / beating.interval_ms)
    since_moved_ms = since_beat_ms + randomness.randrange(beats_between) * beating.interval_ms
    now_ms = session.last_heartbeat_at_ms
    return session._replace(
        lease_ms=beating.lease_ms,
        due_ms=now_ms - since_beat_ms + beating.lease_ms,
        check_due_ms=now_ms - since_moved_ms + beating.lease_ms,
        last_heartbeat_at_ms=now_ms - since_beat_ms,
    )


def _found(store: Store, key: Key) -> tuple[Any, ...]:
    row = store.get(key)
    assert row is not None
    return row
