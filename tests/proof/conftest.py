"""Servers for the proofs."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ALLOW_NO_POSTGRES_VARIABLE
from tests.proof.own_postgres import OwnPostgres, own_postgres
from tests.support.postgres import PostgresUnavailable
from tests.support.server import PROGRAM, Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server on a database, as often as it is called; all of them are gone in the end."""
    numbers = itertools.count(1)
    with ExitStack() as running:

        def start(
            database_url: str, *, program: Sequence[str] = PROGRAM, environ: Mapping[str, str] | None = None
        ) -> Server:
            directory = tmp_path / f"node-{next(numbers)}"
            server = running.enter_context(Server(database_url, directory=directory, program=program, environ=environ))
            server.start()
            return server

        yield start


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL that this test alone uses, so that it may be stopped."""
    try:
        with own_postgres() as started:
            yield started
    except PostgresUnavailable as unavailable:
        if os.environ.get(ALLOW_NO_POSTGRES_VARIABLE) != "1":
            raise
        pytest.skip(f"no PostgreSQL: {unavailable}")
