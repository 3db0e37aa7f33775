"""Worlds for the tests of the core: a new one on dicts, and one of each kind that a module shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer
from tests.support.stores import World, world


@pytest.fixture
def dicts(tmp_path: Path) -> Iterator[World]:
    """A new store on dicts."""
    with world("dicts", sqlite_path=tmp_path / "unused.db", postgres_url=None) as new:
        yield new


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store in a database, for tests of a module that keep to accounts of their own."""
    path = tmp_path_factory.mktemp("database") / "holdfast.db"
    if request.param == "sqlite":
        with world("sqlite", sqlite_path=path, postgres_url=None) as new:
            yield new
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url, world("postgres", sqlite_path=path, postgres_url=url) as new:
        yield new
