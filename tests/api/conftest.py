"""Servers without sockets: one of each kind of store that all these tests share, each test in an account of its own."""

from collections.abc import Iterator

import pytest

from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Server, serving
from tests.support.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"], scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on each kind of store, whose clock only ever goes forwards."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("api") / "holdfast.db"
        with serving(f"sqlite:///{path}", FakeClock()) as served:
            yield served
        return
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    with postgres.database() as url, serving(url, FakeClock()) as served:
        yield served


@pytest.fixture
def account(server: Server) -> Account:
    """An account that only this test has."""
    return server.new_account()


@pytest.fixture
def other(server: Server) -> Account:
    """Another tenant of the same server."""
    return server.new_account()
