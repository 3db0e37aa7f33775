"""Databases with something in every table, and what is in them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.commands.accounts import OpenAccount
from holdfast.commands.alerts import (
    ENABLED_RULES,
    SCHEDULE,
    CreateAlertRule,
    JudgeSessions,
    Mark,
    MarkProgress,
)
from holdfast.commands.beginning import About
from holdfast.commands.documents import PutDocument
from holdfast.commands.handoffs import CreateHandoff, RegisterSchema
from holdfast.commands.jobs import Claim, ClaimJob
from holdfast.commands.keys import CreateKey
from holdfast.commands.machines import GivenSlot, RegisterMachine, Said
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.projects import CreateProject
from holdfast.commands.questions import Asked, Question
from holdfast.commands.rows import Members
from holdfast.commands.tasks import ClaimTask, CreateTask
from holdfast.commands.webhooks import CreateWebhook, TryWebhook
from holdfast.commands.workspace_entries import AddEscalation
from holdfast.commands.workspace_starts import StartWorkspace
from holdfast.config import sqlite_path
from holdfast.domain.actor import KeyScope
from holdfast.domain.alerts import AlertRule, AlertType
from holdfast.domain.drafting import drafted
from holdfast.domain.handoff import Topic
from holdfast.domain.ids import AccountId, MachineId, SessionId, TaskId, WebhookId
from holdfast.domain.keys import KEY_ENTROPY_BYTES
from holdfast.domain.webhooks import SECRET_ENTROPY_BYTES
from holdfast.domain.workspace import OwnerKind
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import ADMIN, actor, start
from tests.support.postgres import PostgresServer, database_of
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
                left = drafted(summary="half of it", payload={"ünïcödé": "🚀\\"}, topic=Topic(issue_number=7))
                caller.accepted(CreateHandoff(there.id, there.token, left), by=there.holder)
                caller.accepted(CreateProject("project", ()), by=there.holder)
                task = CreateTask("project", None, None, "task", 0, ())
                first = TaskId(caller.accepted(task, by=there.holder).body["id"])
                caller.accepted(task._replace(depends_on=(first,)), by=there.holder)
                caller.accepted(task, by=there.holder)
                caller.accepted(ClaimTask(there.id, there.token, "project"), by=there.holder)
    caller.accepted(PutDocument("dfg", "a.md", "ä", "text/markdown", sha256=64 * "0", size_bytes=2, version=None))
    key = CreateKey("a key", KeyScope.AGENT, None, bytes(KEY_ENTROPY_BYTES))
    caller.accepted(key, by=ADMIN, key="create-a-key")
    caller.accepted(RegisterSchema("review/1", '{"type": "object"}', "a hash"), by=ADMIN)
    about = About(machine_id="ünïcödé 🚀 \\ \t", meta_json='{"quoted": "\\n", "null": null}')
    slots = tuple(GivenSlot(number, (("label", "ünïcödé"), ("cpu_millis", 500))) for number in (1, 2))
    assert about.machine_id is not None
    said = Said(fields=(("hostname", "host"), ("capacity_json", '{"cpu": 4}')), slots=slots)
    caller.accepted(RegisterMachine(MachineId(about.machine_id), said), by=actor())
    caller.accepted(start("repo=text", client_session_id="client-1", about=about), key="start-once", by=actor())
    _be_told(caller)
    caller.accepted(StartWorkspace("workspace=main", OwnerKind.INTERACTIVE, "interactive"), by=actor())
    caller.accepted(AddEscalation("workspace=main", "which one?", blocking=True), by=actor())
    return caller


def _be_told(caller: Caller) -> None:
    """Have a webhook with a message to send, and an alert that is open."""
    secret = bytes(SECRET_ENTROPY_BYTES)
    hook = CreateWebhook("https://hooks.example.com/", None, ("*",), None, None, secret, 0, allows_private=False)
    webhook_id = WebhookId(caller.accepted(hook, by=ADMIN).body["id"])
    caller.accepted(TryWebhook(webhook_id), by=ADMIN)
    caller.accepted(CreateAlertRule(AlertType.PARKED, "parked", 1_000, None, None), by=ADMIN)
    claim = Claim(SCHEDULE.name, caller.accepted(ClaimJob(SCHEDULE, "node"), by=ADMIN).body["claim_id"])
    caller.serve(2_000)
    (rule,) = caller.store.find(Members(ENABLED_RULES, (True,)))
    assert isinstance(rule, AlertRule)
    asked = Asked(Question.PARKED, rule.account_id, caller.present().wall_ms - 1_000, rule.id, None, None)
    parked = SessionId(caller.store.candidates(asked, limit=1)[0].session_id)
    assert caller.accepted(JudgeSessions(rule, (parked,), claim), by=ADMIN).body["count"] == 1
    caller.accepted(MarkProgress(rule.account_id, (Mark(parked, 7, 1),), claim), by=ADMIN)


def filled(url: str) -> Dump:
    """Fill a new database, and let go of it; what it holds."""
    clock = FakeClock()
    store = open_store(url, clock=clock)
    try:
        fill(store, clock)
        return dump(store)
    finally:
        store.close()


@pytest.fixture(scope="module")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is filled once, to be copied."""
    path = tmp_path_factory.mktemp("filled") / "holdfast.db"
    filled(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def filled_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database that is filled once, to be copied."""
    with postgres_server.database() as url:
        filled(url)
        yield database_of(url)


@pytest.fixture(params=["sqlite", "postgres"])
def filled_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of the test's own that has something in every table: once on each kind of store."""
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("filled_sqlite").parent, tmp_path, dirs_exist_ok=True)
        yield f"sqlite:///{tmp_path}/holdfast.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database(copied_from=request.getfixturevalue("filled_postgres")) as url:
        yield url


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
