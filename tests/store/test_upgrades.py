"""Databases of every schema that was ever released, opened by this release: nothing is lost, and work goes on."""

from contextlib import closing
from pathlib import Path

import pytest

from holdfast.commands.rows import TABLES
from holdfast.commands.transitions import ResumeSession
from holdfast.config import sqlite_path
from holdfast.domain.ids import DEFAULT_ACCOUNT, AccountId
from holdfast.domain.session import Session, Status
from holdfast.maintenance import databases
from holdfast.maintenance.backups import back_up, check
from holdfast.maintenance.invariants import broken_invariants
from holdfast.maintenance.migrating import migrate
from holdfast.maintenance.restoring import restore
from holdfast.maintenance.tables import Values, shapes_of_schema
from holdfast.store.migrating import migrations
from holdfast.store.port import SchemaMismatch, Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import start
from tests.store.released_schemas import SCHEMAS, make
from tests.support.stores import numbers_of, rows_of

NEWEST = SCHEMAS[-1]


def silent(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> int:
    """Every schema that was released, this release's among them."""
    number: int = request.param
    return number


def open_store(url: str, clock: FakeClock) -> Store:
    """The database, opened by this release."""
    path = sqlite_path(url)
    return PostgresStore(url, clock=clock) if path is None else SqliteStore(path, clock=clock)


def rows_before(url: str, *, schema: int) -> dict[str, list[Values]]:
    """Every row of the tables that a schema has, by their columns then."""
    path = sqlite_path(url)
    with databases.postgres_read(url) if path is None else databases.sqlite_read(path) as tables:
        return {shape.name: list(tables.rows(shape)) for shape in shapes_of_schema(schema)}


def test_a_database_of_any_schema_keeps_every_row_and_goes_on(database_url: str, schema: int) -> None:
    make(database_url, schema=schema)
    before = rows_before(database_url, schema=schema)
    assert all(before[name] for name in ("session", "session_profile", "event", "checkpoint", "api_key", "idempotency"))
    done = migrate(database_url, is_dry_run=False, on_progress=silent)
    assert (done.schema_before, done.schema_after, len(done.migrations)) == (schema, NEWEST, NEWEST - schema)
    assert rows_before(database_url, schema=schema) == before
    _require_whole(database_url)
    _work(database_url)
    _require_whole(database_url)


def test_a_backup_of_any_schema_is_restored_to_this_one(
    database_url: str, schema: int, tmp_path: Path, sqlite_url: str, postgres_url: str
) -> None:
    make(database_url, schema=schema)
    before = rows_before(database_url, schema=schema)
    del before["service_state"]  # A restore begins a new history.
    back_up(database_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    assert check(tmp_path / "backup", on_progress=silent).schema == schema
    for target in (sqlite_url, postgres_url):
        restore(tmp_path / "backup", target, may_replace=True, on_progress=silent)
        found = rows_before(target, schema=schema)
        del found["service_state"]
        assert found == before
        _require_whole(target)
        _work(target)


def test_serving_migrates_a_sqlite_file_and_keeps_a_copy_of_an_older_one(sqlite_url: str, schema: int) -> None:
    make(sqlite_url, schema=schema)
    before = rows_before(sqlite_url, schema=schema)
    _work(sqlite_url)
    path = sqlite_path(sqlite_url)
    assert path is not None
    copied = path.with_name(f"{path.name}.schema-{schema:04d}")
    assert copied.exists() == (schema < NEWEST)
    if copied.exists():
        assert rows_before(f"sqlite:///{copied}", schema=schema) == before


@pytest.mark.skipif(len(SCHEMAS) < 2, reason="there is one schema, so none is older")
def test_serving_refuses_an_older_postgres_and_names_the_command(postgres_url: str) -> None:
    make(postgres_url, schema=1)
    with pytest.raises(SchemaMismatch, match="holdfast migrate"):
        PostgresStore(postgres_url)


def _require_whole(url: str) -> None:
    path = sqlite_path(url)
    with databases.postgres_read(url) if path is None else databases.sqlite_read(path) as tables:
        assert [str(each) for each in broken_invariants(tables)] == []


def _work(url: str) -> None:
    """Read every table as rows of this release; beat, sweep and start on what the older release left."""
    clock = FakeClock()
    with closing(open_store(url, clock)) as store:
        for table in TABLES.values():
            assert all(type(row) is table.row_type for row in rows_of(store, table.row_type))
        clock.jump(store.service_clock()[0].last_tick_at_ms - clock.now_ms())
        caller = Caller(store, clock)
        parked = next(each for each in rows_of(store, Session) if each.status == Status.PARKED)
        reply = caller.accepted(ResumeSession(parked.id, parked.fencing_token))
        assert reply.body["status"] == Status.ACTIVE
        highest = max(each.fencing_token or 0 for each in rows_of(store, Session) if each.scope == parked.scope)
        again = caller.accepted(start(parked.scope, holder_id=parked.holder_id, agent=parked.agent))
        assert again.body["fencing_token"] > highest
        caller.serve(10**9)
        caller.sweep()
        numbers = numbers_of(store, AccountId(DEFAULT_ACCOUNT))
        assert numbers == list(range(1, len(numbers) + 1))


def test_both_dialects_have_the_same_migrations() -> None:
    names = [[(each.version, each.name) for each in migrations(dialect)] for dialect in ("sqlite", "postgres")]
    assert names[0] == names[1]
