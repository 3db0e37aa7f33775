"""Readers of events that must not miss one: where they stand, and what moves them."""

from holdfast.commands.beginning import About
from holdfast.commands.readers import AdvanceReader
from holdfast.commands.rows import Key
from holdfast.commands.sweeping import SweepSessions
from holdfast.commands.transitions import ArchiveSession, DeleteSession, EndSession
from holdfast.domain.errors import Code
from holdfast.domain.events import Event, EventReader
from holdfast.domain.scope import ScopeParts
from holdfast.domain.session import EndReason
from holdfast.testing.factories import FAIL_AFTER_MS, actor, start
from tests.support.stores import World, rows_in_account

WEBHOOK = "webhook-1"


def stands_at(world: World, account_id: str) -> list[tuple[str, int]]:
    """The readers of an account, and where they stand."""
    return [(reader.name, reader.last_number) for reader in rows_in_account(world.store, EventReader, account_id)]


def test_a_reader_moves_forward_to_events_that_there_are(database: World) -> None:
    agent = actor("readers-forward")
    for number in range(3):
        database.caller.accepted(start(f"scope {number}"), by=agent)
    assert database.caller.accepted(AdvanceReader(WEBHOOK, 2), by=agent).body == {"name": WEBHOOK, "number": 2}
    assert database.caller.refused(AdvanceReader(WEBHOOK, 4), by=agent).code == Code.NOT_FOUND
    assert database.caller.refused(AdvanceReader("another", 0), by=agent).code == Code.NOT_FOUND
    assert stands_at(database, agent.account_id) == [(WEBHOOK, 2)]
    database.caller.accepted(AdvanceReader("another", 3), by=agent)
    assert stands_at(database, agent.account_id) == [("another", 3), (WEBHOOK, 2)]


def test_a_late_worker_does_not_move_a_reader_back(database: World) -> None:
    agent = actor("readers-late")
    for number in range(3):
        database.caller.accepted(start(f"scope {number}"), by=agent)
    quick, late = database.caller.do_all(AdvanceReader(WEBHOOK, 3), AdvanceReader(WEBHOOK, 1), by=agent)
    assert quick == late
    before = rows_in_account(database.store, EventReader, agent.account_id)
    database.clock.advance(1)
    assert database.caller.accepted(AdvanceReader(WEBHOOK, 2), by=agent).body["number"] == 3
    assert rows_in_account(database.store, EventReader, agent.account_id) == before


def test_a_reader_s_name_is_its_account_s_own(database: World) -> None:
    mine, theirs = actor("readers-mine"), actor("readers-theirs")
    database.caller.accepted(start("scope"), by=mine)
    assert database.caller.refused(AdvanceReader(WEBHOOK, 1), by=theirs).code == Code.NOT_FOUND
    database.caller.accepted(start("scope"), by=theirs)
    database.caller.accepted(AdvanceReader(WEBHOOK, 1), by=theirs)
    assert (stands_at(database, mine.account_id), stands_at(database, theirs.account_id)) == ([], [(WEBHOOK, 1)])


def test_every_event_of_a_session_bears_its_project_whoever_caused_it(database: World) -> None:
    agent = actor("readers-project")
    session = database.caller.accepted(
        start(None, about=About(parts=ScopeParts(project_id="project-1"))), by=agent
    ).body
    database.caller.serve(FAIL_AFTER_MS)
    database.caller.accepted(SweepSessions((session["id"],)))
    database.caller.accepted(EndSession(session["id"], None, EndReason.COMPLETED), by=agent)
    database.caller.accepted(ArchiveSession(session["id"]), by=agent)
    database.caller.accepted(DeleteSession(session["id"]), by=agent)
    database.caller.accepted(start("of no project"), by=agent)
    told = [(str(event.type), event.project_id) for event in rows_in_account(database.store, Event, agent.account_id)]
    assert told[-1] == ("session.started", None)
    assert {project_id for _, project_id in told[:-1]} == {"project-1"}
    assert [name.removeprefix("session.") for name, _ in told[:-1]] == [
        "project.created", "started", "stalled", "failed", "ended", "archived", "deleted",
    ]  # fmt: skip
    assert database.store.get(Key(EventReader, (agent.account_id, WEBHOOK))) is None
