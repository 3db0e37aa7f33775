"""Databases with something in every table, and what is in them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.commands.accounts import OpenAccount
from holdfast.commands.keys import CreateKey
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.starts import About
from holdfast.commands.workspace_entries import AddEscalation
from holdfast.commands.workspace_starts import StartWorkspace
from holdfast.config import sqlite_path
from holdfast.domain.actor import KeyScope
from holdfast.domain.ids import AccountId
from holdfast.domain.keys import KEY_ENTROPY_BYTES
from holdfast.domain.workspace import OwnerKind
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import ADMIN, actor, start
from tests.support.postgres import PostgresServer
from tests.support.states import STATES, reach
from tests.support.stores import Dump, dump

OTHER_ACCOUNT = "another"

MakeUrl = Callable[[str], str]


def silent(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def open_store(url: str, *, clock: FakeClock | None = None) -> Store:
    """A database, served by a test."""
    path = sqlite_path(url)
    clock = clock or FakeClock()
    return PostgresStore(url, clock=clock) if path is None else SqliteStore(path, clock=clock)


def path_of(url: str) -> Path:
    """The file of a SQLite URL."""
    path = sqlite_path(url)
    assert path is not None
    return path


def fill(store: Store, clock: FakeClock) -> Caller:
    """Sessions in every state that there is, of two accounts, with all that hangs on them."""
    caller = Caller(store, clock)
    for account_id in ("default", OTHER_ACCOUNT):
        caller.accepted(OpenAccount(AccountId(account_id)), by=ADMIN)
        for number, state in enumerate(STATES):
            there = reach(state, caller, is_exclusive=number % 2 == 0, account_id=account_id, scope=f"repo={state}")
            if state == "active":
                caller.accepted(WriteCheckpoint(there.id, there.token, "half of it is done"), by=there.holder)
    key = CreateKey("a key", KeyScope.AGENT, None, bytes(KEY_ENTROPY_BYTES))
    caller.accepted(key, by=ADMIN, key="create-a-key")
    about = About(machine_id="ünïcödé 🚀 \\ \t", meta_json='{"quoted": "\\n", "null": null}')
    caller.accepted(start("repo=text", client_session_id="client-1", about=about), key="start-once", by=actor())
    caller.accepted(StartWorkspace("workspace=main", OwnerKind.INTERACTIVE, "interactive"), by=actor())
    caller.accepted(AddEscalation("workspace=main", "which one?", blocking=True), by=actor())
    return caller


def filled(url: str) -> Dump:
    """Fill a new database, and let go of it; what it holds."""
    clock = FakeClock()
    store = open_store(url, clock=clock)
    try:
        fill(store, clock)
        return dump(store)
    finally:
        store.close()


def held(url: str) -> Dump:
    """All that a database holds."""
    store = open_store(url)
    try:
        return dump(store)
    finally:
        store.close()


def without_state(found: Dump) -> Dump:
    """All but the row about the service itself."""
    return {name: rows for name, rows in found.items() if name != "service_state"}


@pytest.fixture
def make_url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeUrl]:
    """Makes URLs of databases that are empty, or not there yet: `make_url("postgres")`."""
    with ExitStack() as opened:
        names = iter(range(100))

        def make(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path}/made-{next(names)}.db"
            server: PostgresServer = request.getfixturevalue("postgres_server")
            return opened.enter_context(server.database())

        yield make
