"""The doctor: says that a sound database is sound, and finds each thing that is wrong."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from holdfast.domain.scope import Scope
from holdfast.domain.session import Session
from holdfast.maintenance import doctor
from holdfast.maintenance.backups import back_up
from holdfast.maintenance.doctor import Finding, Health, examine
from holdfast.maintenance.invariants import INVARIANTS
from tests.maintenance.conftest import filled, open_store, path_of, silent
from tests.support.stores import rows_of


def findings_of(url: str) -> dict[str, Finding]:
    """What the doctor finds, by check; where one check finds several things, the worst."""
    order = list(Health)
    found = sorted(examine(url, is_full=True, on_progress=silent), key=lambda each: order.index(each.health))
    return {each.check: each for each in found}


def change(url: str, statement: str) -> None:
    """Put a hand into the tables."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(path_of(url))) as connection, connection:
            connection.execute(statement)
        return
    with psycopg.connect(url) as opened:
        opened.execute(statement.encode())


def test_a_sound_database_is_found_sound(filled_url: str) -> None:
    found = findings_of(filled_url)
    assert [each for each in found.values() if each.health == Health.WRONG] == []
    assert {found["schema"].health, found["rows"].health} == {Health.FINE}


BREAKS = {
    "one_service_state": "delete from service_state",
    "tokens_within_counter": "update session set fencing_token = 1000 where scope = 'repo=parked'",
    "exclusive_tokens_within_counter": "update scope set last_exclusive_token = last_token + 1",
    "exclusive_scope_held_once": (
        "update session set scope = 'one', held_scope = 'one', exclusive = true where held_scope is not null"
    ),
    "held_scope_is_own_scope": "update session set held_scope = 'another' where held_scope is not null",
    "workspace_session_on_its_scope": (
        "update workspace set session_id = (select min(id) from session where scope <> 'workspace=main')"
    ),
    "checkpoints_without_gaps": "delete from checkpoint where number = 1",
    "events_without_gaps": "delete from event where number = 3",
    "sessions_have_profiles": "delete from session_profile",
    "checkpoints_have_sessions": "delete from session where checkpoint_count > 0",
    "handoffs_have_bodies": "delete from handoff_body",
    "handoffs_are_open_or_not": "update handoff set status = 'done'",
    "documents_have_contents": "delete from document_content",
    "tasks_counted_by_their_sessions": "update session set task_count = 2 where task_count = 1",
    "tasks_held_by_sessions": "update task set status = 'completed' where held_by is not null",
    "tasks_wait_for_what_is_told": "delete from task_dependency",
    "tasks_queued_where_ready": "update task set ready_in = null where ready_in is not null",
    "tasks_have_projects": "delete from project",
    "client_ids_name_sessions": "delete from session where scope = 'repo=text'",
    "slots_hold_live_sessions": "update slot set session_id = 'nobody' where number = 2",
    "sessions_have_one_slot": "update slot set session_id = (select max(session_id) from slot)",
    "slots_have_machines": "delete from machine",
    "recoveries_are_linked": "update session_profile set recovered_from = null where recovered_from is not null",
    "webhooks_have_readers": "delete from event_reader",
    "accounts_exist": "delete from account",
}


@pytest.mark.parametrize("name", [each.name for each in INVARIANTS])
def test_a_broken_invariant_is_found_by_its_name(filled_url: str, name: str) -> None:
    change(filled_url, BREAKS[name])
    found = findings_of(filled_url)
    if name == "one_service_state":
        assert Health.WRONG in {each.health for each in found.values()}
        return
    assert found[name].health == Health.WRONG


def test_an_account_that_is_being_erased_breaks_nothing(filled_url: str) -> None:
    change(filled_url, BREAKS["sessions_have_profiles"])
    change(filled_url, "update account set status = 'erasing'")
    assert Health.WRONG not in {each.health for each in findings_of(filled_url).values()}


def test_a_file_that_others_may_read_is_found(sqlite_url: str) -> None:
    filled(sqlite_url)
    path_of(sqlite_url).chmod(0o644)
    assert findings_of(sqlite_url)["file"].health == Health.WRONG


def test_who_serves_a_file_is_told_and_is_not_disturbed(sqlite_url: str) -> None:
    filled(sqlite_url)
    assert findings_of(sqlite_url)["lock"].health == Health.NOTE
    with closing(open_store(sqlite_url)) as store:
        found = findings_of(sqlite_url)
        assert found["lock"].message.startswith("Served by process ")
        assert len(rows_of(store, Session)) > 0
        assert len(rows_of(store, Scope)) > 0
    assert [each for each in found.values() if each.health == Health.WRONG] == []


def test_a_damaged_file_is_found(sqlite_url: str) -> None:
    filled(sqlite_url)
    path = path_of(sqlite_url)
    content = bytearray(path.read_bytes())
    for page in range(10, 40):
        content[page * 1024 : page * 1024 + 64] = b"\xff" * 64
    path.write_bytes(content)
    assert Health.WRONG in {each.health for each in findings_of(sqlite_url).values()}
    path.write_bytes(b"not a database " * 1_000)
    assert findings_of(sqlite_url)["integrity"].health == Health.WRONG


def test_what_is_not_there_is_said(sqlite_url: str) -> None:
    assert findings_of(sqlite_url)["file"].message.startswith("There is no database")
    (unreachable,) = examine("postgresql://nobody@127.0.0.1:1/none", is_full=False, on_progress=silent)
    assert (unreachable.check, unreachable.health) == ("server", Health.WRONG)


def test_a_backup_that_stands_in_for_a_database_is_found(sqlite_url: str) -> None:
    filled(sqlite_url)
    backup = path_of(sqlite_url).with_name("backup")
    back_up(sqlite_url, backup, is_forced=False, on_progress=silent)
    assert findings_of(f"sqlite:///{backup}")["schema"].health == Health.WRONG


def test_a_network_file_system_and_a_full_and_slow_disk_are_found(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(sqlite_url)
    slow: Callable[[object], tuple[float, float]] = lambda _: (30.0, 90.0)  # noqa: E731
    monkeypatch.setattr(doctor, "_sync_ms", slow)
    monkeypatch.setattr(doctor, "file_system", lambda _: "nfs4")
    monkeypatch.setattr(doctor, "DISK_BYTES_MIN", 2**62)
    said = [each for each in examine(sqlite_url, is_full=False, on_progress=silent) if each.check == "disk"]
    assert [each.health for each in said] == [Health.WRONG, Health.WARNING, Health.WARNING]
    path_of(sqlite_url).with_name("holdfast.db.reserve").unlink()
    said = [each for each in examine(sqlite_url, is_full=False, on_progress=silent) if each.check == "disk"]
    assert [each.health for each in said] == [Health.WRONG, Health.NOTE, Health.WARNING, Health.WARNING]


def test_settings_of_postgres_that_lose_data_are_found() -> None:
    found = list(doctor._postgres_settings({"fsync": "off", "full_page_writes": "on"} | _FINE))
    assert [each.health for each in found] == [Health.WRONG]
    found = list(doctor._postgres_settings({"fsync": "on", "full_page_writes": "on"} | _FINE))
    assert [each.health for each in found] == [Health.FINE]


_FINE = {"server_encoding": "UTF8", "synchronous_commit": "on"}
