"""A disk that is full, or broken: nothing is acknowledged that is not kept, and with room again everything goes on."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from holdfast.commands.command import Envelope
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.rows import IdempotencyRecord
from holdfast.commands.view import Reply
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.events import Event
from holdfast.domain.ids import SessionId
from holdfast.domain.scope import Scope
from holdfast.domain.session import Session
from holdfast.engine.batch import Outcome
from holdfast.store.port import CommitUnknown, Store
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.dicts import DictStore
from holdfast.testing.factories import start
from tests.proof.client import Client
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, check, working
from tests.proof.power_cut import Disk, Operation
from tests.proof.report import summary
from tests.support.command_line import run
from tests.support.server import eventually
from tests.support.stores import dump, rows_of

T = TypeVar("T")

HOLDERS = 6
SMALL_DISK = "64m"
ACKS_BETWEEN = 30
DELETED = 5


def test_a_disk_that_is_full_at_any_write_refuses_and_changes_nothing(tmp_path: Path) -> None:
    """Of one batch, the first write is made to fail, then the second, and so on until none is left to fail."""
    faulty = _FaultyStore(tmp_path / "holdfast.db", apsw.FullError, Operation.WRITE)
    with faulty.disk.in_use():
        faulty.open()
        nth = 1
        while faulty.has_failed_in(batch := faulty.batch(nth), failing_at=nth):
            codes = [outcome.code for outcome in faulty.outcomes if isinstance(outcome, Refusal)]
            assert codes == [Code.STORAGE_FULL] * len(batch)
            faulty.has_failed_in(batch, failing_at=None)
            assert all(isinstance(outcome, Reply) for outcome in faulty.outcomes)
            faulty.twin.send(batch)
            nth += 1
        faulty.close()
    faulty.twin.send(batch)
    print(f"a batch of {len(batch)} was stopped at each of its {nth - 1} writes")
    assert nth > 2
    assert faulty.left(_outline) == _outline(faulty.twin.store)


@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.SYNC])
def test_a_disk_that_fails_at_a_commit_is_acknowledged_to_nobody_and_not_written_again(
    tmp_path: Path, operation: Operation
) -> None:
    nth = 1
    while _fails_at(tmp_path / f"{nth}", operation, nth=nth):
        nth += 1
    print(f"a batch was stopped at each of its {nth - 1} {operation.value}s")
    assert nth > 1


def _fails_at(directory: Path, operation: Operation, *, nth: int) -> bool:
    """Whether a batch has an nth operation to fail at; then nobody may be told that anything was done."""
    directory.mkdir()
    faulty = _FaultyStore(directory / "holdfast.db", apsw.IOError, operation)
    with faulty.disk.in_use():
        faulty.open()
        before = dump(faulty.twin.store)
        batch = faulty.batch(1)
        has_failed = faulty.has_failed_in(batch, failing_at=nth)
        faulty.close()
    faulty.twin.send(batch)
    if has_failed:
        assert not any(isinstance(outcome, Reply) for outcome in faulty.outcomes)
        assert faulty.left(dump) in (before, dump(faulty.twin.store))
    return has_failed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room, where this user may mount one."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no program `mount` here")
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def test_a_server_whose_disk_is_full_refuses_and_heals(serve: Serve, small_disk: Path) -> None:
    database_url = f"sqlite:///{small_disk}/holdfast.db"
    server = serve(database_url)
    ledger = Ledger()
    holders = [Holder(f"holder-{number}", "scope", [server], ledger, seed=number) for number in range(HOLDERS)]
    with working(holders), Client(server) as client:
        eventually(lambda: ledger.acks > ACKS_BETWEEN)
        ballast = small_disk / "ballast"
        _fill(ballast)
        eventually(lambda: ledger.postponed["storage_full"] > HOLDERS)
        assert client.get("/v1/sessions").status == 200
        # Not at once: the smallest write may still fit into what the file has already.
        eventually(lambda: client.get("/health/ready").status == 503)
        eventually(lambda: client.get("/health/detail").body["store"]["write_error"] == "storage_full")
        ballast.unlink()
        acks = ledger.acks
        eventually(lambda: ledger.acks > acks + ACKS_BETWEEN)
        eventually(lambda: client.get("/health/ready").status == 200)
    for holder in holders:
        holder.close()
    check(ledger, database_url)
    server.kill()
    server.start()
    check(ledger, database_url)
    print(summary("full disk", ledger.counts(), findings=ledger.findings, trials=ledger.acks))
    assert ledger.findings == []
    assert set(ledger.postponed) == {"storage_full"}
    server.kill()


def test_on_a_full_disk_sessions_are_deleted_all_the_same_as_often_as_one_likes(serve: Serve, small_disk: Path) -> None:
    server = serve(f"sqlite:///{small_disk}/holdfast.db")
    with Client(server) as client:
        ended = []
        for number in range(DELETED):
            session = client.started(None, holder_id=f"holder-{number}")
            path = f"/v1/sessions/{session['id']}"
            token = {"fencing_token": session["fencing_token"]}
            state = {"filler": "x" * 20_000}
            assert client.post(f"{path}/checkpoint", {**token, "summary": "s", "state": state}).status in (200, 201)
            assert client.post(f"{path}/end", token).status == 200
            assert client.post(f"{path}/archive", token).status == 200
            ended.append(path)
        _fill(small_disk / "ballast")
        _fill_log(client)
        for path in ended:
            deleted = client.send("DELETE", f"{path}?confirm=true")
            assert deleted.status == 200, deleted
            assert client.get(path).status == 404
            assert (small_disk / "holdfast.db.reserve").stat().st_size > 0
            _fill(small_disk / "ballast")
            _fill_log(client)
    server.kill()


def _fill_log(client: Client) -> None:
    """Start sessions until there is no room for another."""
    eventually(lambda: client.start(None, holder_id="filler").code == "storage_full")


def test_a_backup_onto_a_full_disk_leaves_no_file_and_succeeds_with_room(
    serve: Serve, database_url: str, small_disk: Path, tmp_path: Path
) -> None:
    server = serve(database_url)
    with Client(server) as client:
        client.started("scope", holder_id="holder")
    ballast = small_disk / "ballast"
    _fill(ballast)
    arguments = ("backup", str(small_disk / "backup"), "--database", database_url)
    refused = run(tmp_path, *arguments)
    assert refused.code == 4
    assert "room" in refused.complained
    assert [each.name for each in small_disk.iterdir()] == ["ballast"]
    ballast.unlink()
    assert run(tmp_path, *arguments).code == 0
    assert run(tmp_path, "backup", "--check", str(small_disk / "backup")).code == 0
    server.kill()


def _fill(ballast: Path) -> None:
    """Leave no room at all."""
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    size = 65_536
    while size:
        try:
            os.write(descriptor, bytes(size))
        except OSError:
            size //= 2
    os.close(descriptor)


def _outline(store: Store) -> list[tuple[object, ...]]:
    """Everything but the ids: a batch that was stopped has used up some."""
    return [
        *[(each.scope, str(each.status), each.fencing_token) for each in rows_of(store, Session)],
        *[(each.number, each.summary) for each in rows_of(store, Checkpoint)],
        *[(each.number, str(each.type)) for each in rows_of(store, Event)],
        *rows_of(store, Scope),
        *[(each.id, each.request_sha256) for each in rows_of(store, IdempotencyRecord)],
    ]


class _FaultyStore:
    """A SQLite store on a disk that fails at will, and a twin on plain dicts to which nothing happens."""

    def __init__(self, path: Path, error: type[Exception], operation: Operation) -> None:
        self.outcomes: list[Outcome] = []
        self._has_failed = False
        self.disk = Disk(before_each=self._before)
        self._path = path
        self._error = error
        self._operation = operation
        self._left: int | None = None
        clock = FakeClock()
        self.twin = Caller(DictStore(clock=clock), clock)
        (first,) = self.twin.send([opening := self.twin.wrap(start("scope", exclusive=True))])
        assert isinstance(first, Reply)
        self._opening = opening
        self._session = (SessionId(first.body["id"]), first.body["fencing_token"])

    def open(self) -> None:
        """Open the store with one session in it."""
        clock = FakeClock()
        self._store = SqliteStore(self._path, clock=clock)
        self._caller = Caller(self._store, clock)
        self._caller.send([self._opening])

    def close(self) -> None:
        """Close the store, with nothing failing."""
        self._left = None
        self._store.close()

    def batch(self, number: int) -> list[Envelope]:
        """A start under a key, a long checkpoint and another start."""
        started = self.twin.wrap(start(f"scope-{number}"), key=f"{number}")
        written = self.twin.wrap(WriteCheckpoint(*self._session, f"{number}" + "x" * 4_000))
        return [started, written, self.twin.wrap(start(f"another-{number}"))]

    def has_failed_in(self, batch: list[Envelope], *, failing_at: int | None) -> bool:
        """Run the batch; whether it came to its nth operation, from which on each one failed until it was over."""
        self.outcomes = []
        self._left = failing_at
        self._has_failed = False
        try:
            self.outcomes = self._caller.send(batch)
        except CommitUnknown as unknown:
            # Then the engine takes nothing any more, and everybody is answered `outcome_unknown`.
            if not unknown.is_fatal:
                raise
        finally:
            self._left = None
        return self._has_failed

    def left(self, look: Callable[[Store], T]) -> T:
        """What is found when the file is opened again."""
        store = SqliteStore(self._path, clock=FakeClock())
        try:
            return look(store)
        finally:
            store.close()

    def _before(self, operation: Operation) -> None:
        if self._left is None or operation != self._operation:
            return
        self._left -= 1
        if self._left < 1:
            self._has_failed = True
            raise self._error("on purpose")
