"""Restores and copies: whole or not at all, nothing replaced unasked, and a new history only after a restore."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.starts import TakeOver
from holdfast.domain.errors import Code
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.limits import DAY_MS, INTEGER_MAX
from holdfast.domain.liveness import Liveness, liveness
from holdfast.domain.scope import Scope, acquire
from holdfast.domain.service_time import ServiceState, restored
from holdfast.domain.session import Session, Status
from holdfast.maintenance.backups import back_up
from holdfast.maintenance.refusals import Refused
from holdfast.maintenance.restoring import copy_to, mark_restored, restore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import START_AT_MS, FakeClock
from holdfast.testing.factories import FAIL_AFTER_MS, LEASE_MS, start
from tests.maintenance.conftest import (
    MakeUrl,
    fill,
    filled,
    held,
    open_store,
    path_of,
    silent,
    without_state,
)
from tests.support.kills import kills_in
from tests.support.stores import rows_of, session_of

YEAR_2080_MS = 3_471_292_800_000


@pytest.fixture
def backup(filled_url: str, tmp_path: Path) -> Path:
    """A backup of a filled database, which is there still."""
    back_up(filled_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    return tmp_path / "backup"


# Tokens and histories.

STATES = st.builds(
    ServiceState,
    id=st.just(1),
    last_tick_at_ms=st.integers(0, YEAR_2080_MS),
    paused_ms=st.integers(0, YEAR_2080_MS),
    timeline=st.just("old"),
    token_floor=st.integers(0, 2**50),
)


@given(
    state=STATES,
    now_at_ms=st.integers(0, YEAR_2080_MS),
    highest_token=st.integers(0, 2**50),
    last_token=st.integers(0, 2**50),
    is_exclusive=st.booleans(),
)
def test_every_token_after_a_restore_is_above_all_that_were_known(
    state: ServiceState, now_at_ms: int, highest_token: int, last_token: int, is_exclusive: bool
) -> None:
    after = restored(state, now_at_ms=now_at_ms, highest_token=highest_token, timeline="new")
    assert after == state._replace(timeline="new", token_floor=after.token_floor)
    scope = acquire(Scope(AccountId("a"), "s", last_token, 0), is_exclusive=is_exclusive, token_floor=after.token_floor)
    assert scope.last_token > max(state.token_floor, highest_token, last_token)
    assert scope.last_token <= INTEGER_MAX


@given(
    issued=st.integers(0, 4_000_000),
    first_at_ms=st.integers(START_AT_MS, YEAR_2080_MS),
    later_ms=st.integers(1_000, DAY_MS),
)
def test_tokens_that_a_lost_history_issued_since_its_own_restore_are_not_issued_again(
    issued: int, first_at_ms: int, later_ms: int
) -> None:
    """Twice the same old backup, and up to four million tokens in the second between."""
    backed_up = ServiceState(1, START_AT_MS, 0, "old", 0)
    first = restored(backed_up, now_at_ms=first_at_ms, highest_token=0, timeline="lost")
    second = restored(backed_up, now_at_ms=first_at_ms + later_ms, highest_token=0, timeline="new")
    assert second.token_floor >= first.token_floor + issued


def test_no_token_repeats_after_a_restore(database_url: str, make_url: MakeUrl, tmp_path: Path) -> None:
    target = make_url("sqlite" if database_url.startswith("sqlite:") else "postgres")
    clock = FakeClock()
    store = open_store(database_url, clock=clock)
    caller = Caller(store, clock)
    issued = [caller.accepted(start("scope")).body["fencing_token"]]
    back_up(database_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    issued += [caller.accepted(start("scope", holder_id=f"{each}")).body["fencing_token"] for each in range(20)]
    timeline = store.service_clock()[0].timeline
    store.close()
    for round_ in range(2):
        done = restore(tmp_path / "backup", target, may_replace=True, on_progress=silent)
        again = open_store(target, clock=clock)
        caller = Caller(again, clock)
        issued.append(caller.accepted(start("scope", holder_id=f"again-{round_}")).body["fencing_token"])
        assert again.service_clock()[0].timeline == done.timeline != timeline
        assert done.kept_aside is None or round_ == 1
        again.close()
    assert issued == sorted(set(issued))


def test_a_session_that_was_alive_in_the_backup_has_its_time_and_then_lapses(database_url: str, tmp_path: Path) -> None:
    clock = FakeClock()
    store = open_store(database_url, clock=clock)
    caller = Caller(store, clock)
    body = caller.accepted(start("scope")).body
    session_id = SessionId(body["id"])
    caller.serve(LEASE_MS // 2)
    store.close()
    back_up(database_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    restore(tmp_path / "backup", database_url, may_replace=True, on_progress=silent)
    clock.advance(DAY_MS)
    store = open_store(database_url, clock=clock)
    caller = Caller(store, clock)
    caller.sweep()
    caller.serve(LEASE_MS // 2 - 1)
    caller.sweep()
    assert liveness(session_of(store, session_id), now=caller.present()) == Liveness.LATE  # And not lapsed.
    assert session_of(store, session_id).status == Status.ACTIVE
    # Its holder, who knows nothing of all this, could go on with the token it has.
    caller.accepted(Heartbeat(session_id, body["fencing_token"]))
    caller.serve(LEASE_MS)
    caller.sweep()
    assert session_of(store, session_id).status == Status.STALLED
    caller.serve(FAIL_AFTER_MS)
    caller.sweep()
    assert session_of(store, session_id).status == Status.FAILED
    store.close()


def test_whoever_took_over_in_the_lost_history_holds_nothing_and_the_next_gets_a_higher_token(
    sqlite_url: str, tmp_path: Path
) -> None:
    clock = FakeClock()
    store = open_store(sqlite_url, clock=clock)
    caller = Caller(store, clock)
    first = caller.accepted(start("scope", exclusive=True)).body
    back_up(sqlite_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    caller.serve(LEASE_MS)
    second = caller.accepted(start("scope", holder_id="lost", take_over=TakeOver("it is silent"))).body
    store.close()
    restore(tmp_path / "backup", sqlite_url, may_replace=True, on_progress=silent)
    store = open_store(sqlite_url, clock=clock)
    caller = Caller(store, clock)
    assert caller.refused(Heartbeat(SessionId(second["id"]), second["fencing_token"])).code == Code.NOT_FOUND
    caller.accepted(Heartbeat(SessionId(first["id"]), first["fencing_token"]))
    caller.serve(LEASE_MS)
    third = caller.accepted(start("scope", holder_id="lost", take_over=TakeOver("it is silent"))).body
    assert third["fencing_token"] > second["fencing_token"] > first["fencing_token"]
    store.close()


def test_a_database_restored_by_other_means_is_marked(filled_url: str) -> None:
    done = mark_restored(filled_url)
    clock = FakeClock()
    store = open_store(filled_url, clock=clock)
    assert store.service_clock()[0].timeline == done.timeline
    assert Caller(store, clock).accepted(start("repo=active")).body["fencing_token"] > done.token_floor > 2**40
    store.close()


def test_a_backup_put_in_its_place_by_hand_is_served_once_it_is_marked(sqlite_url: str, tmp_path: Path) -> None:
    before = filled(sqlite_url)
    back_up(sqlite_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    (tmp_path / "backup").replace(path_of(sqlite_url))
    with pytest.raises(Exception, match="mark-restored"):
        held(sqlite_url)
    mark_restored(sqlite_url)
    assert without_state(held(sqlite_url)) == without_state(before)


# What is refused.


def test_a_restore_replaces_nothing_unless_it_is_told_to_and_keeps_what_it_replaced(
    filled_url: str, backup: Path
) -> None:
    before = held(filled_url)
    store = open_store(filled_url)
    caller = Caller(store, FakeClock())
    caller.accepted(start("made since"))
    store.close()
    since = held(filled_url)
    with pytest.raises(Refused, match="--replace") as refused:
        restore(backup, filled_url, may_replace=False, on_progress=silent)
    assert refused.value.code == "not_empty"
    assert held(filled_url) == since
    done = restore(backup, filled_url, may_replace=True, on_progress=silent)
    assert without_state(held(filled_url)) == without_state(before)
    assert done.kept_aside is not None
    if filled_url.startswith("sqlite:"):
        assert held(f"sqlite:///{done.kept_aside}") == since
        return
    schema = done.kept_aside.removeprefix("schema ")
    with psycopg.connect(filled_url) as connection:
        (count,) = connection.execute(f"select count(*) from {schema}.session".encode()).fetchone() or (None,)
    assert count == len(since["session"])


def test_a_database_that_is_served_is_not_replaced_nor_copied(filled_url: str, backup: Path, tmp_path: Path) -> None:
    store = open_store(filled_url)
    Caller(store, FakeClock()).accepted(start("held"))  # A writer's connection, as a node has.
    before = rows_of(store, Session)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: restore(backup, filled_url, may_replace=True, on_progress=silent),
        lambda: copy_to(filled_url, f"sqlite:///{tmp_path}/copy.db", on_progress=silent),
        lambda: mark_restored(filled_url),
    )
    for attempt in attempts:
        with pytest.raises(Refused, match="served") as refused:
            attempt()
        assert (refused.value.code, refused.value.is_passing) == ("in_use", True)
    assert rows_of(store, Session) == before
    store.close()


def test_postgres_is_not_replaced_while_a_node_ticked_a_moment_ago(postgres_url: str, tmp_path: Path) -> None:
    filled(postgres_url)
    back_up(postgres_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    with psycopg.connect(postgres_url) as connection:
        now_ms = "(extract(epoch from clock_timestamp()) * 1000)::bigint"
        connection.execute(f"update service_state set last_tick_at_ms = {now_ms}".encode())
    with pytest.raises(Refused, match="ticked just now"):
        restore(tmp_path / "backup", postgres_url, may_replace=True, on_progress=silent)


def test_a_file_that_another_program_reads_is_not_replaced(sqlite_url: str, tmp_path: Path) -> None:
    before = filled(sqlite_url)
    back_up(sqlite_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    read = (
        "import sys, sqlite3\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('begin')\n"
        "connection.execute('select count(*) from session').fetchall()\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", read, str(path_of(sqlite_url))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(Refused, match="nother program"):
            restore(tmp_path / "backup", sqlite_url, may_replace=True, on_progress=silent)
    assert held(sqlite_url) == before


def test_a_broken_database_is_replaced_and_kept(sqlite_url: str, tmp_path: Path) -> None:
    before = filled(sqlite_url)
    back_up(sqlite_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    path_of(sqlite_url).write_bytes(b"not a database " * 1_000)
    done = restore(tmp_path / "backup", sqlite_url, may_replace=True, on_progress=silent)
    assert without_state(held(sqlite_url)) == without_state(before)
    assert done.warnings
    assert done.kept_aside is not None
    assert Path(done.kept_aside).read_bytes().startswith(b"not a database")


# Killed on the way.


def test_a_restore_that_is_killed_anywhere_leaves_the_old_or_the_new(sqlite_url: str, tmp_path: Path) -> None:
    old_directory = tmp_path / "served"
    old_directory.mkdir()
    target = f"sqlite:///{old_directory}/holdfast.db"
    new = without_state(filled(sqlite_url))
    back_up(sqlite_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    old_store = open_store(target)
    Caller(old_store, FakeClock()).accepted(start("old"))
    old_store.close()
    # As a server that was killed leaves it: with a log that was not copied yet.
    _add_in_log(path_of(target))
    assert path_of(target).with_name("holdfast.db-wal").stat().st_size > 0
    with kills_in(old_directory, tmp_path / "images") as kills:
        restore(tmp_path / "backup", target, may_replace=True, on_progress=silent)
    found = [without_state(held(f"sqlite:///{image}/holdfast.db")) for image in kills.images]
    old = found[0]
    assert [row[2] for row in old["session"]] == ["in the log"]
    switched = found.index(new)
    assert found == [old] * switched + [new] * (len(found) - switched)
    print(f"a restore was killed at {len(found)} moments; after {switched} it was the new database")
    halfway = kills.images[len(kills.images) // 2]
    restore(tmp_path / "backup", f"sqlite:///{halfway}/holdfast.db", may_replace=True, on_progress=silent)
    assert without_state(held(f"sqlite:///{halfway}/holdfast.db")) == new


_DIE_AT = """
import os, signal, sys
from pathlib import Path
from holdfast.maintenance.restoring import restore

left = int(sys.argv[3])

def on_progress(what, done, total):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

restore(Path(sys.argv[1]), sys.argv[2], may_replace=True, on_progress=on_progress)
"""


def test_a_restore_into_postgres_that_is_killed_leaves_the_old(postgres_url: str, tmp_path: Path) -> None:
    filled(postgres_url)
    back_up(postgres_url, tmp_path / "backup", is_forced=False, on_progress=silent)
    store = open_store(postgres_url)
    Caller(store, FakeClock()).accepted(start("made since"))
    store.close()
    before = held(postgres_url)
    kills = 0
    for moment in range(1, 100):
        code = subprocess.run([sys.executable, "-c", _DIE_AT, str(tmp_path / "backup"), postgres_url, str(moment)])
        if code.returncode == 0:
            break
        kills += 1
        assert held(postgres_url) == before
    print(f"a restore into PostgreSQL was killed {kills} times")
    assert kills > 2
    assert held(postgres_url) != before


# Copies.


@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite")])
def test_a_copy_is_the_same_history(source: str, target: str, make_url: MakeUrl) -> None:
    source_url, target_url = make_url(source), make_url(target)
    clock = FakeClock()
    store = open_store(source_url, clock=clock)
    fill(store, clock)
    timeline = store.service_clock()[0].timeline
    store.close()
    before = held(source_url)
    done = copy_to(source_url, target_url, on_progress=silent)
    assert done.timeline == timeline
    assert held(target_url) == before  # The row of the service too: its clock and its floor.
    assert held(source_url) == before
    store, twin = open_store(target_url, clock=clock), open_store(source_url, clock=clock)
    assert store.service_clock()[0].timeline == timeline
    # What comes next is the same in both: the next tokens, the numbers of events, the replay of a key.
    replies = []
    for each in (store, twin):
        caller = Caller(each, clock)
        for number in range(3):
            caller.accepted(start("repo=active", holder_id=f"next-{number}"), key=f"next-{number}")
        replies.append(
            [caller.accepted(start("repo=next"), key="next"), caller.accepted(start("repo=next"), key="next")]
        )
        each.close()
    assert replies[0] == replies[1]
    assert replies[0][1].is_replay
    assert held(target_url) == held(source_url)


def test_a_copy_goes_into_an_empty_database_only(make_url: MakeUrl) -> None:
    source, target = make_url("sqlite"), make_url("postgres")
    filled(source)
    open_store(target).close()  # A schema and nothing in it.
    copy_to(source, target, on_progress=silent)
    with pytest.raises(Refused, match="holds a database"):
        copy_to(source, target, on_progress=silent)
    assert held(target) == held(source)


def _add_in_log(path: Path) -> None:
    """Have a process write to the file and be killed before its log is copied into it."""
    write = (
        "import os, signal, sys, sqlite3\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('pragma wal_autocheckpoint = 0')\n"
        "connection.execute(\"update session set scope = 'in the log', held_scope = 'in the log'\")\n"
        "connection.execute(\"update scope set scope = 'in the log'\")\n"
        "connection.commit()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", write, str(path)], env=dict(os.environ))
