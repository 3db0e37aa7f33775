"""Migrations: all or nothing, on a copied file; older and newer schemas named; one node makes an empty database."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import psycopg
import pytest

from holdfast.maintenance import databases, tables
from holdfast.maintenance.backups import back_up, check
from holdfast.maintenance.migrating import migrate
from holdfast.maintenance.refusals import Refused
from holdfast.maintenance.restoring import restore
from holdfast.store import migrating
from holdfast.store.migrating import Migration, migrations
from holdfast.store.port import SchemaMismatch, StoreFull
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import start
from tests.maintenance.conftest import MakeUrl, filled, held, open_store, path_of, silent
from tests.store import released_schemas
from tests.support.command_line import environment, run
from tests.support.kills import kills_in
from tests.support.server import PROGRAM, eventually

NOW = len(migrations("sqlite"))
LATER = migrations("sqlite")[-1].version + 1

STATEMENTS = """
create table later (id text {collate} not null primary key, words text {collate} not null);
insert into later (id, words) select id, agent || ' ' || holder_id from session;
alter table session add column later_note text;
update session set later_note = scope;
create index session_by_later_note on session (later_note);
"""

COLLATE = {"sqlite": "", "postgres": 'collate "C"'}


@pytest.fixture
def later_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A release with one migration more, as long as nobody undoes it."""

    def later(dialect: str) -> list[Migration]:
        more = Migration(LATER, "later", STATEMENTS.format(collate=COLLATE[dialect]))
        return [*migrations(dialect), more]

    with monkeypatch.context() as patched:
        patched.setattr(migrating, "migrations", later)
        patched.setattr(tables, "migrations", later)
        yield patched


@pytest.fixture
def old_url(filled_url: str, request: pytest.FixtureRequest) -> str:
    """A filled database of this release's schema, which the later release will find."""
    request.getfixturevalue("later_release")
    return filled_url


def test_migrate_brings_an_older_schema_up_and_says_so(old_url: str) -> None:
    plan = migrate(old_url, is_dry_run=True, on_progress=silent)
    assert (plan.schema_before, plan.schema_after, plan.was_applied) == (NOW, NOW + 1, False)
    assert migrate(old_url, is_dry_run=True, on_progress=silent) == plan
    done = migrate(old_url, is_dry_run=False, on_progress=silent)
    assert done == plan._replace(was_applied=True)
    assert done.migrations == (f"{LATER:04d}_later",)
    assert _later_rows(old_url) == len(held(old_url)["session"]) > 0
    again = migrate(old_url, is_dry_run=False, on_progress=silent)
    assert (again.migrations, again.copied_to) == ((), None)


def test_serve_refuses_an_older_postgres_and_names_the_command(
    postgres_url: str, request: pytest.FixtureRequest
) -> None:
    before = filled(postgres_url)
    later: pytest.MonkeyPatch = request.getfixturevalue("later_release")
    with pytest.raises(SchemaMismatch, match=f"has schema {NOW}.*serves {NOW + 1}.*holdfast migrate"):
        PostgresStore(postgres_url)
    later.undo()
    assert held(postgres_url) == before


def test_a_newer_schema_is_refused_by_name_whatever_is_asked(
    old_url: str, later_release: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    migrate(old_url, is_dry_run=False, on_progress=silent)
    later_release.undo()
    with pytest.raises(SchemaMismatch, match=f"schema {NOW + 1}; this release serves up to {NOW}"):
        open_store(old_url)
    for attempt in (
        lambda: migrate(old_url, is_dry_run=False, on_progress=silent),
        lambda: back_up(old_url, tmp_path / "backup", is_forced=False, on_progress=silent),
    ):
        with pytest.raises(Refused, match=f"schema {NOW + 1}; this release serves up to {NOW}"):
            attempt()


def test_a_sqlite_file_is_copied_before_it_is_migrated(sqlite_url: str, request: pytest.FixtureRequest) -> None:
    before = filled(sqlite_url)
    path = path_of(sqlite_url)
    later: pytest.MonkeyPatch = request.getfixturevalue("later_release")
    SqliteStore(path, clock=FakeClock()).close()
    copied = path.with_name(f"{path.name}.schema-{NOW:04d}")
    assert copied.stat().st_mode & 0o777 == 0o600
    assert _later_rows(sqlite_url) == len(before["session"])
    later.undo()
    assert held(f"sqlite:///{copied}") == before


def test_a_sqlite_file_without_room_for_its_copy_is_left_alone(
    sqlite_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(sqlite_url)
    later: pytest.MonkeyPatch = request.getfixturevalue("later_release")

    def full(*_: object) -> None:
        raise apsw.FullError

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.store.sqlite_files._copy_pages", full)
        with pytest.raises(StoreFull, match="not enough room"):
            open_store(sqlite_url)
    later.undo()
    assert held(sqlite_url) == before
    assert sorted(each.name for each in path_of(sqlite_url).parent.glob("*.db*")) == [
        "holdfast.db",
        "holdfast.db.lock",
        "holdfast.db.reserve",
    ]


def test_a_migration_that_is_killed_anywhere_leaves_the_next_start_whole(
    make_url: MakeUrl, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    directory = tmp_path / "served"
    directory.mkdir()
    url = f"sqlite:///{directory}/holdfast.db"
    before = filled(url)
    later: pytest.MonkeyPatch = request.getfixturevalue("later_release")
    with kills_in(directory, tmp_path / "images") as kills:
        migrate(url, is_dry_run=False, on_progress=silent)
    old = 0
    # Every few moments: each takes a migration of its own.
    looked_at = kills.images[::6]
    for image in looked_at:
        image_url = f"sqlite:///{image}/holdfast.db"
        was_migrated = migrate(image_url, is_dry_run=True, on_progress=silent).migrations == ()
        old += not was_migrated
        copied = image / f"holdfast.db.schema-{NOW:04d}"
        assert copied.exists() or not was_migrated, "it was migrated before it was copied"
        assert held(image_url) == before
        assert _later_rows(image_url) == len(before["session"])
        with closing(apsw.Connection(str(image / "holdfast.db"))) as opened:
            assert opened.execute("pragma integrity_check").fetchall() == [("ok",)]
    later.undo()
    for image in looked_at:
        copied = image / f"holdfast.db.schema-{NOW:04d}"
        if copied.exists():
            assert held(f"sqlite:///{copied}") == before
    print(f"a migration was killed at {len(looked_at)} moments, {old} of them before it took effect")
    assert 0 < old < len(looked_at)


@pytest.mark.parametrize("table", ["event", "idempotency"])
def test_a_migration_of_postgres_that_is_killed_is_undone_and_done_by_the_next(
    table: str, postgres_url: str, tmp_path: Path
) -> None:
    """Somebody else's lock on a table holds it up in the middle, where it is killed."""
    released_schemas.make(postgres_url, schema=1)
    command = [*PROGRAM, "migrate", "--database", postgres_url]
    with psycopg.connect(postgres_url) as holding, psycopg.connect(postgres_url, autocommit=True) as watching:
        holding.execute(f"lock table {table} in exclusive mode".encode())
        with subprocess.Popen(command, env=environment(tmp_path), stdin=subprocess.DEVNULL) as killed:
            try:
                eventually(lambda: _waits_for(watching, table))
            finally:
                killed.kill()
        # The database notices that its client is gone once it has something to say to it.
        holding.rollback()
        assert watching.execute("select count(*) from schema_migration").fetchall() == [(1,)]
    done = run(tmp_path, "migrate", "--database", postgres_url, "--json")
    assert done.code == 0, done.complained
    assert len(done.document["migrations"]) == NOW - 1
    assert held(postgres_url)["session"] != []


def _waits_for(connection: psycopg.Connection, table: str) -> bool:
    """Whether somebody waits for a lock on a table."""
    query = "select count(*) from pg_locks where not granted and relation = %s::regclass"
    (count,) = connection.execute(query, (table,)).fetchone() or (0,)
    return bool(count)


def test_a_backup_of_the_older_schema_is_restored_by_the_later_release(
    old_url: str, make_url: MakeUrl, tmp_path: Path
) -> None:
    back_up(old_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    assert check(tmp_path / "backup", on_progress=silent).schema == NOW
    for kind in ("sqlite", "postgres"):
        target = make_url(kind)
        restore(tmp_path / "backup", target, may_replace=False, on_progress=silent)
        assert _later_rows(target) == len(held(target)["session"]) > 0


def test_two_nodes_that_start_at_once_on_an_empty_postgres_make_one_schema(postgres_url: str) -> None:
    barrier = threading.Barrier(4)
    stores: list[PostgresStore] = []
    failures: list[BaseException] = []

    def start_node() -> None:
        barrier.wait()
        try:
            stores.append(PostgresStore(postgres_url))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start_node) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({store.service_clock()[0].timeline for store in stores}) == 1
    clock = FakeClock()
    tokens = [Caller(store, clock).accepted(start("scope", holder_id=f"{id(store)}")) for store in stores]
    assert [each.body["fencing_token"] for each in tokens] == [1, 2, 3, 4]
    for store in stores:
        store.close()


def test_somebody_elses_database_is_left_alone(make_url: MakeUrl) -> None:
    sqlite, postgres = make_url("sqlite"), make_url("postgres")
    with closing(apsw.Connection(str(path_of(sqlite)))) as connection:
        connection.execute("create table session (mine text)")
    with psycopg.connect(postgres) as opened:
        opened.execute("create table session (mine text)")
    with pytest.raises(SchemaMismatch, match="holds other tables"):
        open_store(sqlite)
    with pytest.raises(SchemaMismatch, match="not Holdfast's"):
        open_store(postgres)
    with closing(apsw.Connection(str(path_of(sqlite)))) as connection:
        assert connection.execute("select name from sqlite_schema").fetchall() == [("session",)]
        assert connection.execute("pragma journal_mode").fetchall() == [("delete",)]


def _later_rows(url: str) -> int:
    """How many rows the later migration made, each of which it filled."""
    path = path_of(url) if url.startswith("sqlite:") else None
    with databases.postgres_read(url) if path is None else databases.sqlite_read(path) as found:
        (count,) = found.query(
            "select count(*) from later join session on session.id = later.id where session.later_note = session.scope"
        )
        return int(count[0])
