"""Every store of ours keeps to the port: the same suite that we ship, on each of them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import psycopg
import pytest

from holdfast.commands.rows import key_of
from holdfast.domain.session import Session
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.conformance import StoreConformance, StoreFactory, changes, load, session_row, write
from holdfast.testing.dicts import DictStore
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module")
def reused_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database for all of these tests, each of which empties it first: making one takes longer than a test."""
    with postgres_server.database() as url:
        yield url


class TestSqlite(StoreConformance):
    @pytest.fixture
    def store_factory(self, tmp_path: Path) -> StoreFactory:
        return lambda clock: SqliteStore(tmp_path / "holdfast.db", clock=clock)

    def test_what_another_connection_wrote_is_loaded(self, store: Store, tmp_path: Path) -> None:
        row = session_row("s1", activity="ours")
        write(store, changes(inserts=[row]))
        assert load(store, key_of(row)).get(Session, "s1") == row
        with closing(apsw.Connection(str(tmp_path / "holdfast.db"))) as behind:
            behind.execute("update session set activity = 'theirs'")
        assert load(store, key_of(row)).get(Session, "s1") == row._replace(activity="theirs")


class TestPostgres(StoreConformance):
    @pytest.fixture
    def store_factory(self, reused_url: str) -> StoreFactory:
        with psycopg.connect(reused_url, autocommit=True) as connection:
            connection.execute("drop schema public cascade")
            connection.execute("create schema public")
        return lambda clock: PostgresStore(reused_url, clock=clock)


class TestDicts(StoreConformance):
    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        return lambda clock: DictStore(clock=clock)


class TestDictsThatLockRows(StoreConformance):
    """Dicts again, but every row has to be named before anything is decided: the engine's rounds of loading."""

    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        return lambda clock: DictStore(clock=clock, locks_everything=False)
