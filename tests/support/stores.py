"""Stores of every kind for one test, each with a clock of its own and a caller, and what can be seen in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.commands.rows import TABLES, Members, Row, SetSpec, Value
from holdfast.commands.view import Reply
from holdfast.domain.events import Event
from holdfast.domain.ids import AccountId, SessionId
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

Dump = dict[str, list[tuple[Value, ...]]]


class World(NamedTuple):
    """A store and who calls it."""

    store: Store
    clock: FakeClock
    caller: Caller


@contextmanager
def world(kind: str, *, sqlite_path: Path, postgres_url: str | None) -> Iterator[World]:
    """A new store of a kind, empty."""
    clock = FakeClock()
    store: Store
    if kind == "postgres":
        assert postgres_url is not None
        store = PostgresStore(postgres_url, clock=clock)
    elif kind == "sqlite":
        store = SqliteStore(sqlite_path, clock=clock)
    else:
        store = DictStore(clock=clock)
    try:
        yield World(store, clock, Caller(store, clock))
    finally:
        store.close()


def rows_of(store: Store, row_type: type[Row]) -> list[Any]:
    """Every row of a table, in the order of its key."""
    key = TABLES[row_type].key
    rows = store.find(Members(ALL_ROWS[row_type], ()))
    return sorted(rows, key=lambda row: tuple(getattr(row, column) for column in key))


def dump(store: Store) -> Dump:
    """Everything in a store, as plain values; the timeline, which every database draws for itself, is left out."""
    found = {table.name: [_plain(row) for row in rows_of(store, table.row_type)] for table in TABLES.values()}
    found["service_state"] = [values[:3] + values[4:] for values in found["service_state"]]
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
    return next(row for row in rows_of(store, Session) if row.id == session_id)  # type: ignore[no-any-return]


def profile_of(store: Store, session_id: str) -> SessionProfile:
    """A session's profile, as stored."""
    return next(row for row in rows_of(store, SessionProfile) if row.id == session_id)  # type: ignore[no-any-return]


def events_of(store: Store, session_id: SessionId | str) -> list[Event]:
    """The events of a session, in order."""
    return sorted((row for row in rows_of(store, Event) if row.session_id == session_id), key=lambda each: each.number)


def told(store: Store, session_id: SessionId | str) -> list[str]:
    """The types of a session's events, in order, without their common beginning."""
    return [str(event.type).removeprefix("session.") for event in events_of(store, session_id)]


def numbers_of(store: Store, account_id: AccountId | str) -> list[int]:
    """The numbers of an account's events."""
    return [event.number for event in rows_of(store, Event) if event.account_id == account_id]
