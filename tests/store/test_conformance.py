"""Every store of ours keeps to the port: the same suite that we ship, on each of them."""

from pathlib import Path

import pytest

from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.conformance import StoreConformance, StoreFactory
from holdfast.testing.dicts import DictStore


class TestSqlite(StoreConformance):
    @pytest.fixture
    def store_factory(self, tmp_path: Path) -> StoreFactory:
        return lambda clock: SqliteStore(tmp_path / "holdfast.db", clock=clock)


class TestPostgres(StoreConformance):
    @pytest.fixture
    def store_factory(self, postgres_url: str) -> StoreFactory:
        return lambda clock: PostgresStore(postgres_url, clock=clock)


class TestDicts(StoreConformance):
    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        return lambda clock: DictStore(clock=clock)


class TestDictsThatLockRows(StoreConformance):
    """Dicts again, but every row has to be named before anything is decided: the engine's rounds of loading."""

    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        return lambda clock: DictStore(clock=clock, locks_everything=False)
