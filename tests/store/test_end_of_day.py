"""An end of the day that is killed between any two statements: handoff and end are both there, or neither."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from holdfast.commands.days import EndDay
from holdfast.commands.rows import IdempotencyRecord
from holdfast.commands.view import Reply
from holdfast.domain.drafting import drafted
from holdfast.domain.events import Event
from holdfast.domain.handoff import Handoff, HandoffBody
from holdfast.domain.ids import SessionId
from holdfast.domain.session import EndReason, Session, SessionProfile
from holdfast.store.port import Store
from holdfast.store.postgres import PostgresStore, PostgresTransaction
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import start
from tests.support.kills import kills_in
from tests.support.stores import rows_of

PAYLOAD = {"summary": "all of it", "text": "x" * 10_000}

KINDS = (Session, SessionProfile, Handoff, HandoffBody, Event, IdempotencyRecord)


def end_of(session_id: str) -> EndDay:
    """The command that is killed."""
    return EndDay(
        SessionId(session_id), drafted(summary="all of it", payload=PAYLOAD), EndReason.COMPLETED, keeps_open=False
    )


def kept(store: Store) -> list[Any]:
    """Everything that an end of the day writes."""
    return [rows_of(store, kind) for kind in KINDS]


def test_on_sqlite_a_kill_at_any_moment_leaves_all_or_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "served"
    directory.mkdir()
    clock = FakeClock()
    with (
        kills_in(directory, tmp_path / "images") as kills,
        closing(SqliteStore(directory / "holdfast.db", clock=clock)) as store,
    ):
        caller = Caller(store, clock)
        session_id = caller.accepted(start()).body["id"]
        begun = len(kills.images)
        reply = caller.accepted(end_of(session_id), key="k")
        kills.take()
        images = kills.images[begun:]
    found, answers = [], []
    for image in images:
        with closing(SqliteStore(image / "holdfast.db", clock=clock)) as left:
            found.append(kept(left))
            answers.append(Caller(left, clock).accepted(end_of(session_id), key="k"))
            assert len(rows_of(left, Handoff)) == 1
    print(f"an end of the day was killed at {len(found)} moments")
    before, after = found[0], found[-1]
    done = found.index(after)
    assert found == [before] * done + [after] * (len(found) - done)
    assert [len(rows) for rows in before] == [1, 1, 0, 0, 1, 0]
    assert [len(rows) for rows in after] == [1, 1, 1, 1, 3, 1]
    assert done > 2
    assert [each.is_replay for each in answers] == [False] * done + [True] * (len(found) - done)
    assert all(each.body == reply.body for each in answers[done:])


def test_on_postgres_a_lost_connection_at_any_statement_leaves_all_or_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    run = PostgresTransaction._run
    with (
        closing(PostgresStore(postgres_url, clock=clock)) as store,
        closing(PostgresStore(postgres_url, clock=clock)) as onlooker,
    ):
        caller = Caller(store, clock)
        session_id = caller.accepted(start()).body["id"]
        before = kept(onlooker)
        killed = 0
        while True:
            left = killed + 1

            def dying(transaction: PostgresTransaction, query: str, values: Sequence[Any]) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    # As the server sees a process that is gone.
                    transaction._connection.pgconn.finish()
                return run(transaction, query, values)

            monkeypatch.setattr(PostgresTransaction, "_run", dying)
            outcome = caller.do(end_of(session_id), key="k")
            monkeypatch.undo()
            if isinstance(outcome, Reply):
                break
            killed += 1
            assert kept(onlooker) == before
            store._door._shut_until = 0.0
        print(f"an end of the day was killed at {killed} statements")
        assert killed > 5
        assert kept(onlooker) != before
        assert len(rows_of(onlooker, Handoff)) == 1
