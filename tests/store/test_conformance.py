"""Every store of ours keeps to the port: the same suite that we ship, on each of them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.conformance import StoreConformance, StoreFactory
from holdfast.testing.dicts import DictStore
from tests.support.postgres import PostgresServer


class TestSqlite(StoreConformance):
    @pytest.fixture
    def store_factory(self, tmp_path: Path) -> StoreFactory:
        return lambda clock: SqliteStore(tmp_path / "holdfast.db", clock=clock)


class TestPostgres(StoreConformance):
    @pytest.fixture(scope="class")
    def database_of_class(self, postgres_server: PostgresServer) -> Iterator[str]:
        """A database for all of these tests, each of which finds it empty: making a new one takes longer than a test."""
        with postgres_server.database() as url:
            yield url

    @pytest.fixture
    def store_factory(self, database_of_class: str) -> StoreFactory:
        with psycopg.connect(database_of_class, autocommit=True) as connection:
            connection.execute("drop schema public cascade")
            connection.execute("create schema public")
        return lambda clock: PostgresStore(database_of_class, clock=clock)


class TestDicts(StoreConformance):
    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        return lambda clock: DictStore(clock=clock)


class TestDictsThatLockRows(StoreConformance):
    """Dicts again, but every row has to be named before anything is decided: the engine's rounds of loading."""

    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        return lambda clock: DictStore(clock=clock, locks_everything=False)
