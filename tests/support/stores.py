"""Stores of every kind for one test, each with a clock of its own and a caller, and what can be seen in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from holdfast.commands.rows import TABLES, Key, Members, Row, SetSpec, Value
from holdfast.commands.view import Reply
from holdfast.domain.events import Event
from holdfast.domain.session import Session, SessionProfile
from holdfast.engine.batch import Outcome
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.dicts import DictStore

KINDS = ("dicts", "sqlite", "postgres")

ROWS_MAX = 1_000_000

ALL_ROWS = {
    row_type: SetSpec(f"all_of_{table.name}", row_type, (), order=table.key[-1], limit=ROWS_MAX)
    for row_type, table in TABLES.items()
}

ROWS_OF_ACCOUNT = {
    row_type: spec._replace(name=f"{spec.name}_in_account", equals=("account_id",))
    for row_type, spec in ALL_ROWS.items()
    if "account_id" in TABLES[row_type].columns
}

EVENTS_OF_SESSION = SetSpec("all_events_of_session", Event, ("session_id",), order="number", limit=ROWS_MAX)

R = TypeVar("R", bound=tuple[Any, ...])

Dump = dict[str, list[tuple[Value, ...]]]


class World(NamedTuple):
    """A store and who calls it."""

    store: Store
    clock: FakeClock
    caller: Caller


@contextmanager
def world(kind: str, *, sqlite_path: Path | None, postgres_url: str | None) -> Iterator[World]:
    """A new store of a kind, empty."""
    clock = FakeClock()
    store: Store
    if kind == "postgres":
        assert postgres_url is not None
        store = PostgresStore(postgres_url, clock=clock)
    elif kind == "sqlite":
        assert sqlite_path is not None
        store = SqliteStore(sqlite_path, clock=clock)
    else:
        store = DictStore(clock=clock)
    try:
        yield World(store, clock, Caller(store, clock))
    finally:
        store.close()


def fork(original: World) -> World:
    """Another world in the same state at the same time, on dicts: to try what would happen."""
    assert isinstance(original.store, DictStore)
    clock = copy(original.clock)
    caller = copy(original.caller)
    caller.store, caller.clock, caller.mint = original.store.copy(clock=clock), clock, copy(caller.mint)
    return World(caller.store, clock, caller)


def rows_of(store: Store, row_type: type[R]) -> list[R]:
    """Every row of a table, in the order of its key."""
    return _in_order(store.find(Members(ALL_ROWS[row_type], ())), row_type)


def rows_in_account(store: Store, row_type: type[R], account_id: str) -> list[R]:
    """Every row of a table that an account has, in the order of its key."""
    return _in_order(store.find(Members(ROWS_OF_ACCOUNT[row_type], (account_id,))), row_type)


def dump(store: Store) -> Dump:
    """Everything in a store, as plain values; the timeline, which every database draws for itself, is left out."""
    found = {table.name: [_plain(row) for row in rows_of(store, table.row_type)] for table in TABLES.values()}
    found["service_state"] = [values[:3] + values[4:] for values in found["service_state"]]
    return found


def dump_account(store: Store, account_id: str) -> Dump:
    """Everything that a store has of one account."""
    tables = [TABLES[row_type] for row_type in ROWS_OF_ACCOUNT]
    return {table.name: [_plain(row) for row in rows_in_account(store, table.row_type, account_id)] for table in tables}


def _in_order(rows: list[Row], row_type: type[R]) -> list[R]:
    key = TABLES[row_type].key
    found: list[Any] = sorted(rows, key=lambda row: tuple(getattr(row, column) for column in key))
    return found


def _plain(row: Row) -> tuple[Value, ...]:
    """The values of a row; an enumeration's member is the text that is stored for it."""
    return tuple(str(value) if isinstance(value, str) else value for value in row)


def strictly(value: object) -> str:
    """A value in a form in which true differs from 1, and a member of an enumeration does not from its text."""
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)


def answer(outcome: Outcome) -> str:
    """All that a caller is told, comparable between stores."""
    if isinstance(outcome, Reply):
        return strictly({"created": outcome.created, "is_secret": outcome.is_secret, "body": outcome.body})
    return strictly(
        {
            "code": outcome.code,
            "data": outcome.data,
            "ways_out": outcome.ways_out,
            "errors": outcome.errors,
            "retry_after_ms": outcome.retry_after_ms,
        }
    )


def session_of(store: Store, session_id: str) -> Session:
    """A session's row, as stored."""
    session = store.get(Key(Session, (session_id,)))
    assert isinstance(session, Session)
    return session


def profile_of(store: Store, session_id: str) -> SessionProfile:
    """A session's profile, as stored."""
    profile = store.get(Key(SessionProfile, (session_id,)))
    assert isinstance(profile, SessionProfile)
    return profile


def events_of(store: Store, session_id: str) -> list[Event]:
    """The events of a session, in order."""
    found = store.find(Members(EVENTS_OF_SESSION, (session_id,)))
    return [event for event in reversed(found) if isinstance(event, Event)]


def told(store: Store, session_id: str) -> list[str]:
    """The types of a session's events, in order, without their common beginning."""
    return [str(event.type).removeprefix("session.") for event in events_of(store, session_id)]


def numbers_of(store: Store, account_id: str) -> list[int]:
    """The numbers of an account's events."""
    return [event.number for event in rows_in_account(store, Event, account_id)]
