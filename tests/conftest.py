"""Fixtures for every test: databases of both kinds, empty and of the test's own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.postgres import PostgresServer, PostgresUnavailable, Run, in_memory, server_of

ALLOW_NO_POSTGRES_VARIABLE = "HOLDFAST_TEST_ALLOW_NO_POSTGRES"
WORKER_INPUT = "holdfast_run"

run_key = pytest.StashKey[Run]()
run_directory_key = pytest.StashKey[Path]()


class WorkerNode(Protocol):
    """What pytest-xdist shows of a worker process before it starts it."""

    workerinput: dict[str, str]
    config: pytest.Config


def pytest_configure(config: pytest.Config) -> None:
    # Whoever starts the tests in the background of a script has them ignore these, and every process that they start
    # would inherit that: what is typed in a test's own terminal would go unheard.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    worker_input: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker_input is None:
        config.stash[run_key] = Run(in_memory())
        config.stash[run_directory_key] = config.stash[run_key].directory
    else:
        config.stash[run_directory_key] = Path(worker_input[WORKER_INPUT])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerNode) -> None:
    node.workerinput[WORKER_INPUT] = str(node.config.stash[run_directory_key])


def pytest_unconfigure(config: pytest.Config) -> None:
    if run := config.stash.get(run_key, None):
        run.end()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> PostgresServer:
    """The PostgreSQL of this run; without one the test fails, or is skipped where the environment allows that."""
    try:
        return server_of(pytestconfig.stash[run_directory_key])
    except PostgresUnavailable as unavailable:
        reason = f"no PostgreSQL: {unavailable}"
    if os.environ.get(ALLOW_NO_POSTGRES_VARIABLE) == "1":
        pytest.skip(reason)
    pytest.fail(f"{reason} ({ALLOW_NO_POSTGRES_VARIABLE}=1 skips these tests)", pytrace=False)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that only this test has."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/holdfast.db"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: a test that takes this runs once on each kind of store."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
