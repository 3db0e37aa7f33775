"""The job runner on real databases: several nodes, one of which dies; and a database of the first schema."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Final

import psycopg

from holdfast.commands.jobs import Claim, ClaimJob
from holdfast.commands.retention import KINDS, ROWS_PER_STEP, RetireRows
from holdfast.commands.rows import IdempotencyRecord, Key
from holdfast.commands.view import Changes
from holdfast.domain.events import Event
from holdfast.domain.ids import AccountId
from holdfast.domain.jobs import CLAIM_MS, Job
from holdfast.domain.limits import DAY_MS, HOUR_MS
from holdfast.engine.driver import QueueLimits
from holdfast.engine.jobs import JobRunner
from holdfast.engine.thread import ThreadEngine
from holdfast.store.migrating import LEDGER, migrations
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import START_AT_MS, FakeClock
from holdfast.testing.factories import OPERATOR
from tests.support.stores import rows_of

KEEPS: Final[dict[str, int | None]] = {"idempotency": 0}

KIND: Final = KINDS["idempotency"]

ROUNDS: Final = 8


def open_store(url: str, clock: FakeClock) -> Store:
    """A node's own way to the database."""
    if url.startswith("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")), clock=clock)
    return PostgresStore(url, clock=clock)


@contextmanager
def node(store: Store, name: str) -> Iterator[JobRunner]:
    """A node's engine, and its job runner, whose passes the test makes."""
    engine = ThreadEngine(store, limits=QueueLimits(), on_fatal=lambda: None)
    engine.start()
    try:
        yield JobRunner(store, engine, keeps=KEEPS, node=name)
    finally:
        asyncio.run(engine.stop())


def expired(count: int, *, name: str = "old", at_ms: int = START_AT_MS - DAY_MS) -> list[IdempotencyRecord]:
    """Answers that nobody may get any more."""
    account_id = AccountId("default")
    return [
        IdempotencyRecord(f"{name}-{number:05}", account_id, "0", True, False, "{}", at_ms - DAY_MS, at_ms + number)
        for number in range(count)
    ]


def write(store: Store, rows: list[IdempotencyRecord]) -> None:
    """Let the store have these rows."""
    transaction = store.begin()
    transaction.clock(is_tick=False)
    transaction.save(Changes([*rows], [], [], [], []), recorded_at_ms=0)
    transaction.commit()


def job_of(store: Store) -> Job:
    """The row of the job."""
    job = store.get(Key(Job, (KIND.name,)))
    assert isinstance(job, Job)
    return job


def plan(caller: Caller) -> None:
    """Make the job known, and due."""
    if caller.accepted(ClaimJob(KIND.schedule, "nobody"), by=OPERATOR).body["claim_id"] is None:
        caller.serve(KIND.schedule.jitter_ms)
        return
    caller.serve(CLAIM_MS)


def test_a_run_sees_to_all_that_expired_and_to_nothing_else(database_url: str) -> None:
    clock = FakeClock()
    store = open_store(database_url, clock)
    kept = expired(3, name="new", at_ms=START_AT_MS + DAY_MS)
    write(store, [*expired(2 * ROWS_PER_STEP + 7), *kept])
    plan(Caller(store, clock))
    with node(store, "node-1") as runner:
        assert runner.run_due() == ["idempotency"]
        assert runner.run_due() == []
    assert rows_of(store, IdempotencyRecord) == kept
    job = job_of(store)
    assert (job.last_count, job.total_count, job.run_count) == (2 * ROWS_PER_STEP + 7, 2 * ROWS_PER_STEP + 7, 1)
    assert (job.claim_id, job.claimed_by, job.claim_expires_at_ms, job.last_error) == (None, None, None, None)
    store.close()


def test_of_two_nodes_that_ask_at_once_exactly_one_runs_each_period(postgres_url: str) -> None:
    clock = FakeClock()
    with ExitStack() as stack:
        stores = [stack.enter_context(_closing(PostgresStore(postgres_url, clock=clock))) for _ in range(2)]
        caller = Caller(stores[0], clock)
        plan(caller)
        runners = [stack.enter_context(node(store, f"node-{number}")) for number, store in enumerate(stores)]
        for round_number in range(ROUNDS):
            rows = expired(ROWS_PER_STEP + 1, name=f"round-{round_number}")
            _insert(postgres_url, rows)
            barrier = Barrier(2)

            def run(runner: JobRunner, together: Barrier = barrier) -> list[str]:
                together.wait()
                return runner.run_due()

            with ThreadPoolExecutor(2) as threads:
                ran = list(threads.map(run, runners))
            assert sorted(ran) == [[], ["idempotency"]]
            job = job_of(stores[0])
            assert (job.run_count, job.last_count, job.failure_count) == (round_number + 1, len(rows), 0)
            assert rows_of(stores[0], IdempotencyRecord) == []
            caller.serve(HOUR_MS + 2 * KIND.schedule.jitter_ms)


def test_a_node_that_died_in_the_middle_is_replaced_and_does_nothing_more(database_url: str) -> None:
    clock = FakeClock()
    store = open_store(database_url, clock)
    rows = expired(2 * ROWS_PER_STEP)
    write(store, rows)
    caller = Caller(store, clock)
    plan(caller)
    claim = Claim("idempotency", caller.accepted(ClaimJob(KIND.schedule, "dead")).body["claim_id"])
    first, second = rows[:ROWS_PER_STEP], rows[ROWS_PER_STEP:]
    step = RetireRows("idempotency", tuple(Key(IdempotencyRecord, (row.id,)) for row in first), 0, claim)
    assert caller.accepted(step).body == {"is_held": True, "count": ROWS_PER_STEP}
    with node(store, "alive") as runner:
        caller.serve(CLAIM_MS - 1)
        assert runner.run_due() == []
        assert rows_of(store, IdempotencyRecord) == second
        clock.advance(1)
        assert runner.run_due() == ["idempotency"]
    assert rows_of(store, IdempotencyRecord) == []
    job = job_of(store)
    assert (job.last_count, job.total_count, job.run_count) == (ROWS_PER_STEP, 2 * ROWS_PER_STEP, 1)
    assert job.failure_count == 1
    late = expired(1, name="late")
    write(store, late)
    revenant = RetireRows("idempotency", (Key(IdempotencyRecord, (late[0].id,)),), 0, claim)
    assert caller.accepted(revenant).body == {"is_held": False, "count": 0}
    assert rows_of(store, IdempotencyRecord) == late
    store.close()


def test_space_of_deleted_rows_is_used_again(sqlite_url: str) -> None:
    clock = FakeClock()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    store = SqliteStore(path, clock=clock)
    write(store, expired(4_000))
    plan(Caller(store, clock))
    pages = _pages(path)
    with node(store, "node-1") as runner:
        assert runner.run_due() == ["idempotency"]
    assert rows_of(store, IdempotencyRecord) == []
    write(store, expired(3_900, name="new"))
    assert _pages(path) <= pages + 8
    store.close()


def test_a_database_of_the_first_schema_keeps_its_answers_for_a_day(database_url: str) -> None:
    clock = FakeClock()
    _make_first_schema(database_url)
    store = open_store(database_url, clock)
    (record,) = rows_of(store, IdempotencyRecord)
    assert record.expires_at_ms == record.created_at_ms + DAY_MS == START_AT_MS + DAY_MS
    (event,) = rows_of(store, Event)
    assert event.number == 1
    assert rows_of(store, Job) == []
    caller = Caller(store, clock)
    caller.serve(DAY_MS)
    plan(caller)
    with node(store, "node-1") as runner:
        assert runner.run_due() == ["idempotency"]
    assert rows_of(store, IdempotencyRecord) == []
    store.close()


FIRST_ROWS: Final = (
    f"insert into service_state values (1, {START_AT_MS}, 0, 'first', 0)",
    f"insert into idempotency values ('a', 'default', '0', true, true, '{{}}', {START_AT_MS})",
    "insert into event_counter values ('default', 1)",
    f"insert into event values ('default', 1, 'e', 'session.ended', 'requested', 's', 1, {START_AT_MS}, 'k', 'c', '')",
)


def _make_first_schema(url: str) -> None:
    """A database as the first release made it; on PostgreSQL migrated, as an operator does."""
    dialect = "sqlite" if url.startswith("sqlite:") else "postgres"
    first, *later = migrations(dialect)
    ledger = "insert into schema_migration (version, name, sha256, applied_at_ms) values ({}, '{}', '{}', 0)"
    if dialect == "sqlite":
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(first.sql)
        connection.execute(LEDGER.format(integer="integer"))
        connection.execute(ledger.format(first.version, first.name, first.sha256))
        for statement in FIRST_ROWS:
            connection.execute(statement)
        connection.commit()
        connection.close()
        return
    with psycopg.connect(url) as postgres:
        postgres.execute(LEDGER.format(integer="bigint").encode())
        postgres.execute(first.sql.encode())
        for statement in FIRST_ROWS:
            postgres.execute(statement.encode())
        for migration in later:
            postgres.execute(migration.sql.encode())
        for migration in (first, *later):
            postgres.execute(ledger.format(migration.version, migration.name, migration.sha256).encode())


def _insert(url: str, rows: list[IdempotencyRecord]) -> None:
    """Rows written by nobody's engine, whose writer connections are their threads' own."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        places = ", ".join(["%s"] * len(IdempotencyRecord._fields))
        cursor.executemany(f"insert into idempotency values ({places})".encode(), rows)


def _pages(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (count,) = connection.execute("pragma page_count").fetchone()
    return int(count)


@contextmanager
def _closing(store: Store) -> Iterator[Store]:
    try:
        yield store
    finally:
        store.close()
