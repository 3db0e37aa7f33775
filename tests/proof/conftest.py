"""Servers for the proofs."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.server import PROGRAM, Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server on a database, as often as it is called; all of them are gone in the end."""
    numbers = itertools.count(1)
    with ExitStack() as running:

        def start(database_url: str, *, program: Sequence[str] = PROGRAM) -> Server:
            directory = tmp_path / f"node-{next(numbers)}"
            server = running.enter_context(Server(database_url, directory=directory, program=program))
            server.start()
            return server

        yield start
