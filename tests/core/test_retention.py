"""What is kept, for how long, and what is never removed however old it is."""

from collections.abc import Sequence
from itertools import count
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.commands.command import Command
from holdfast.commands.handoffs import CreateHandoff, SetHandoffStatus
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.jobs import Claim, ClaimJob
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.projects import CreateProject
from holdfast.commands.retention import KINDS, RetireRows
from holdfast.commands.rows import IdempotencyRecord, Key, session_key
from holdfast.commands.tasks import CompleteTask, CreateTask, FailTask, ReleaseTask, StartTask
from holdfast.commands.transitions import ArchiveSession, EndSession, FailSession
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.drafting import drafted
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.events import Event, EventCursor, EventFilter
from holdfast.domain.handoff import Handoff, HandoffBody, HandoffStatus
from holdfast.domain.ids import SessionId, TaskId
from holdfast.domain.limits import DAY_MS, HOUR_MS
from holdfast.domain.liveness import Liveness, liveness
from holdfast.domain.scope import Scope
from holdfast.domain.session import ClientSession, EndReason, Session, SessionProfile, Status
from holdfast.domain.task import Task
from holdfast.engine.queries import events
from holdfast.testing.factories import AGENT, actor, start
from tests.support.states import STATES, reach
from tests.support.stores import World, events_of, fork, rows_in_account, rows_of, told, world

KEEP_MS: Final = 30 * DAY_MS

_accounts = count()


@pytest.fixture
def agent() -> Actor:
    """Somebody in an account that no other test has."""
    return actor(f"kept-{next(_accounts)}")


def claimed(world: World, kind: str) -> Claim:
    """A claim of the kind's job, whose own last claim is over."""
    world.caller.serve(HOUR_MS)
    command = ClaimJob(KINDS[kind].schedule, "node-1")
    claim_id = world.caller.accepted(command).body["claim_id"]
    if claim_id is None:
        world.caller.serve(DAY_MS + HOUR_MS)
        claim_id = world.caller.accepted(command).body["claim_id"]
    return Claim(kind, claim_id)


def aged(world: World, kind: str, *, keep_ms: int) -> tuple[Key, ...]:
    """The rows that a kind's job would look at now."""
    until_ms = world.caller.present().wall_ms - keep_ms
    return tuple(each.key for each in world.store.oldest(KINDS[kind].search, until_ms=until_ms, after=None, limit=999))


def retire(world: World, kind: str, keys: Sequence[Key], claim: Claim, *, keep_ms: int = KEEP_MS) -> int:
    """How many rows a step of the job changed."""
    return int(world.caller.accepted(RetireRows(kind, tuple(keys), keep_ms, claim)).body["count"])


def test_an_answer_is_given_again_until_its_full_time_has_passed_and_then_no_more(
    database: World, agent: Actor
) -> None:
    first = database.caller.accepted(start(), by=agent, key="key-0001")
    database.caller.serve(DAY_MS - 1)
    again = database.caller.accepted(start(), by=agent, key="key-0001")
    assert (again.is_replay, again.body) == (True, first.body)
    database.caller.serve(1)
    anew = database.caller.accepted(start(), by=agent, key="key-0001")
    assert (anew.is_replay, anew.body["outcome"]) == (False, "resumed")
    assert database.caller.accepted(start(), by=agent, key="key-0001").is_replay
    (record,) = rows_in_account(database.store, IdempotencyRecord, agent.account_id)
    assert record.expires_at_ms == record.created_at_ms + DAY_MS


def test_an_expired_answer_does_not_forbid_another_body(database: World, agent: Actor) -> None:
    database.caller.accepted(start("one"), by=agent, key="key-0001")
    database.caller.serve(DAY_MS - 1)
    assert database.caller.refused(start("two"), by=agent, key="key-0001").code == Code.IDEMPOTENCY_KEY_REUSED
    database.caller.serve(1)
    assert not database.caller.accepted(start("two"), by=agent, key="key-0001").is_replay


def test_answers_are_deleted_when_they_expire_and_not_when_they_were_renewed_meanwhile(
    database: World, agent: Actor
) -> None:
    claim = claimed(database, "idempotency")
    for key in ("key-renewed", "key-expired"):
        database.caller.accepted(start(), by=agent, key=key)
    ours = {each.id for each in rows_in_account(database.store, IdempotencyRecord, agent.account_id)}
    database.caller.serve(DAY_MS - 1)
    assert not [key for key in aged(database, "idempotency", keep_ms=0) if key.values[0] in ours]
    database.caller.serve(1)
    found = [key for key in aged(database, "idempotency", keep_ms=0) if key.values[0] in ours]
    assert len(found) == 2
    database.caller.accepted(start(), by=agent, key="key-renewed")
    assert retire(database, "idempotency", found, claim, keep_ms=0) == 1
    assert len(rows_in_account(database.store, IdempotencyRecord, agent.account_id)) == 1
    assert database.caller.accepted(start(), by=agent, key="key-renewed").is_replay


def test_events_go_and_a_cursor_before_them_is_refused(database: World, agent: Actor) -> None:
    other = actor(f"{agent.account_id}-other")
    claim = claimed(database, "event")
    old = [database.caller.accepted(start(f"s{number}"), by=agent).body["id"] for number in range(3)]
    database.caller.serve(KEEP_MS - 1)
    database.caller.accepted(start("later"), by=agent)
    database.caller.accepted(start("later"), by=other)
    assert not [key for key in aged(database, "event", keep_ms=KEEP_MS) if key.values[0] == agent.account_id]
    database.caller.serve(1)
    found = [key for key in aged(database, "event", keep_ms=KEEP_MS) if key.values[0] == agent.account_id]
    assert retire(database, "event", found, claim) == 3
    assert told(database.store, old[0]) == []

    def numbers(after: int | None, account: Actor = agent) -> list[int]:
        return _read(database, account, after)

    assert (numbers(None), numbers(3), numbers(4)) == ([4], [4], [])
    for after in (0, 2):
        with pytest.raises(Refusal) as refused:
            numbers(after)
        assert refused.value.code == Code.CURSOR_EXPIRED
    assert numbers(0, other) == [1]
    database.caller.accepted(start("last"), by=agent)
    assert numbers(4) == [5]


def test_a_session_is_archived_then_deleted_with_all_that_hangs_on_it(database: World, agent: Actor) -> None:
    client = start("retired", client_session_id="client-1")
    session_id = SessionId(database.caller.accepted(client, by=agent).body["id"])
    database.caller.accepted(WriteCheckpoint(session_id, None, "done"), by=agent)
    database.caller.accepted(EndSession(session_id, None, EndReason.COMPLETED), by=agent)
    archive, delete = claimed(database, "session_archive"), claimed(database, "session_delete")
    ended_at_ms = _session(database, session_id).status_at_ms
    key = session_key(session_id)
    database.caller.serve(ended_at_ms + KEEP_MS - 1 - database.clock.now_ms())
    assert retire(database, "session_archive", [key], archive) == 0
    assert retire(database, "session_delete", [key], delete) == 0
    database.caller.serve(1)
    assert key in aged(database, "session_archive", keep_ms=KEEP_MS)
    assert retire(database, "session_archive", [key], archive) == 1
    assert key not in aged(database, "session_archive", keep_ms=KEEP_MS)
    assert _session(database, session_id).archived_at_ms == database.clock.now_ms()
    database.caller.serve(KEEP_MS - 1)
    assert retire(database, "session_delete", [key], delete) == 0
    database.caller.serve(1)
    assert key in aged(database, "session_delete", keep_ms=KEEP_MS)
    assert retire(database, "session_delete", [key], delete) == 1
    for row_type in (Session, SessionProfile, Checkpoint, ClientSession):
        assert rows_in_account(database.store, row_type, agent.account_id) == []
    assert told(database.store, session_id) == ["started", "ended", "archived", "deleted"]
    last = events_of(database.store, session_id)[-1]
    assert (last.rule, last.actor) == ("retention_passed", AGENT.key_id)
    again = database.caller.accepted(start("retired"), by=agent).body
    assert again["fencing_token"] == 2


def test_a_session_that_came_back_after_it_was_found_is_left_alone(database: World, agent: Actor) -> None:
    subject = reach("failed by silence", database.caller, is_exclusive=False, account_id=agent.account_id)
    database.caller.accepted(ArchiveSession(subject.id), by=agent)
    claim = claimed(database, "session_delete")
    subject = reach("failed by silence", database.caller, is_exclusive=False, account_id=agent.account_id, scope="x")
    database.caller.accepted(ArchiveSession(subject.id), by=agent)
    database.caller.accepted(Heartbeat(subject.id, subject.token), by=agent)
    before = _session(database, subject.id)
    assert retire(database, "session_delete", [session_key(subject.id)], claim, keep_ms=0) == 0
    assert _session(database, subject.id) == before


def test_a_step_under_a_lost_claim_changes_nothing(database: World, agent: Actor) -> None:
    session_id = SessionId(database.caller.accepted(start("lost"), by=agent).body["id"])
    database.caller.accepted(EndSession(session_id, None, EndReason.COMPLETED), by=agent)
    lost = claimed(database, "session_archive")
    claimed(database, "session_archive")
    outcome = database.caller.do(RetireRows("session_archive", (session_key(session_id),), 0, lost))
    assert isinstance(outcome, Reply)
    assert outcome.body == {"is_held": False, "count": 0}
    assert _session(database, session_id).archived_at_ms is None


def test_a_checkpoint_that_nobody_was_given_is_kept_until_somebody_is(database: World, agent: Actor) -> None:
    archive = claimed(database, "session_archive")
    first = SessionId(database.caller.accepted(start("unread"), by=agent).body["id"])
    database.caller.accepted(WriteCheckpoint(first, None, "half done"), by=agent)
    database.caller.accepted(FailSession(first, None, "it broke"), by=agent)
    keys = [session_key(first)]
    assert retire(database, "session_archive", keys, archive, keep_ms=0) == 0
    database.caller.accepted(start("unread", agent="codex"), by=agent)
    assert retire(database, "session_archive", keys, archive, keep_ms=0) == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(STATES)),
        st.sampled_from(("one", "two")),
        st.booleans(),
        st.sampled_from((0, HOUR_MS, 2 * DAY_MS, 31 * DAY_MS)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(steps=STEPS, waits=st.sampled_from((0, 1, DAY_MS, 29 * DAY_MS, 61 * DAY_MS)), is_swept=st.booleans())
def test_nothing_live_held_or_unread_is_ever_removed(
    steps: list[tuple[str, str, bool, int]], waits: int, is_swept: bool
) -> None:
    with world("dicts", sqlite_path=None, postgres_url=None) as new:
        claims = {kind: claimed(new, kind) for kind in ("session_archive", "session_delete")}
        for number, (state, scope, has_checkpoint, passes_ms) in enumerate(steps):
            subject = reach(state, new.caller, is_exclusive=False, account_id="default", scope=f"{scope}-{number % 2}")
            if has_checkpoint:
                new.caller.do(WriteCheckpoint(subject.id, subject.token, "half done"), by=subject.holder)
            new.caller.serve(passes_ms)
        new.caller.serve(waits)
        if is_swept:
            new.caller.sweep()
        settled = fork(new)
        settled.caller.sweep()
        before = rows_of(settled.store, Session)
        keys = [session_key(each.id) for each in before]
        for kind, claim in claims.items():
            retire(new, kind, keys, claim, keep_ms=0)
        left = {each.id: each for each in rows_of(new.store, Session)}
        for session in before:
            if _must_stay(settled, session):
                assert session.id in left
                assert left[session.id].archived_at_ms is None
            else:
                assert session.id not in left


def _must_stay(found: World, session: Session) -> bool:
    """By the rows alone: whether a session is live, held, or left something that nobody was given."""
    alive = liveness(session, now=found.caller.present())
    if alive in (Liveness.LIVE, Liveness.LATE) or session.held_scope is not None:
        return True
    if session.status not in (Status.ENDED, Status.FAILED, Status.ABANDONED):
        return True
    scope = found.store.get(Key(Scope, (session.account_id, session.scope)))
    assert isinstance(scope, Scope)
    is_last = session.fencing_token == scope.last_token and session.taken_over_by is None
    return is_last and session.status != Status.ENDED and session.checkpoint_count > 0


def _session(found: World, session_id: SessionId) -> Session:
    session = found.store.get(session_key(session_id))
    assert isinstance(session, Session)
    return session


@pytest.mark.parametrize("step", [1, 2, 9])
def test_events_are_kept_without_a_gap_although_a_clock_was_set_back(dicts: World, step: int) -> None:
    claim = claimed(dicts, "event")
    for number in range(8):
        dicts.caller.accepted(start(f"s{number}"))
        dicts.clock.jump({2: 40 * DAY_MS, 3: -40 * DAY_MS}.get(number, 0))
        dicts.caller.serve(DAY_MS)
    before = _numbers(dicts)
    for _ in before:
        found = aged(dicts, "event", keep_ms=DAY_MS)
        for place in range(0, len(found), step):
            retire(dicts, "event", found[place : place + step], claim, keep_ms=DAY_MS)
        kept = _numbers(dicts)
        assert kept == before[len(before) - len(kept) :]
        assert _read(dicts, AGENT, kept[0] - 1) == kept
    assert _numbers(dicts)[0] == 4


def _read(found: World, account: Actor, after: int | None) -> list[int]:
    """The numbers of the events that somebody is told who stands at a number. Raises: cursor_expired."""
    cursor = None if after is None else EventCursor(found.store.service_clock()[0].timeline, after)
    page = events(found.store, account.account_id, after=cursor, wanted=EventFilter(), limit=9)
    return [event.number for event in page.events]


def _numbers(found: World) -> list[int]:
    return [event.number for event in rows_of(found.store, Event)]


def test_where_no_event_is_left_an_old_cursor_is_refused_all_the_same(database: World, agent: Actor) -> None:
    claim = claimed(database, "event")
    database.caller.accepted(start("one"), by=agent)
    database.caller.accepted(start("two"), by=agent)
    found = [key for key in aged(database, "event", keep_ms=0) if key.values[0] == agent.account_id]
    assert retire(database, "event", found, claim, keep_ms=0) == 2
    assert (_read(database, agent, 2), _read(database, agent, None)) == ([], [])
    with pytest.raises(Refusal):
        _read(database, agent, 1)


def test_an_open_handoff_expires_when_its_full_time_has_passed_and_one_that_was_taken_up_does_not(
    database: World, agent: Actor
) -> None:
    begun = database.caller.accepted(start(), by=agent).body
    left = [
        database.caller.accepted(CreateHandoff(begun["id"], None, drafted(summary=text, payload={})), by=agent).body
        for text in ("one", "two")
    ]
    taken = SetHandoffStatus(left[1]["id"], HandoffStatus.ACKNOWLEDGED)
    database.caller.accepted(taken, by=agent)
    claim = claimed(database, "handoff_expiry")
    keys = [Key(Handoff, (each["id"],)) for each in left]
    database.caller.serve(left[0]["created_at_ms"] + KEEP_MS - 1 - database.clock.now_ms())
    assert retire(database, "handoff_expiry", keys, claim) == 0
    database.caller.serve(1)
    assert keys[0] in aged(database, "handoff_expiry", keep_ms=KEEP_MS)
    assert keys[1] not in aged(database, "handoff_expiry", keep_ms=KEEP_MS)
    assert retire(database, "handoff_expiry", keys, claim) == 1
    found = {each.id: each.status for each in rows_in_account(database.store, Handoff, agent.account_id)}
    assert found == {left[0]["id"]: "expired", left[1]["id"]: "acknowledged"}
    assert events_of(database.store, begun["id"])[-1].type == "handoff.expired"
    # Closed, it is kept until it is asked for that it should not be.
    claim = claimed(database, "handoff")
    database.caller.serve(DAY_MS)
    assert retire(database, "handoff", keys, claim, keep_ms=10 * DAY_MS) == 0
    assert retire(database, "handoff", keys, claim, keep_ms=DAY_MS) == 1
    assert [each.id for each in rows_in_account(database.store, HandoffBody, agent.account_id)] == [left[1]["id"]]


def test_a_finished_task_is_deleted_but_no_failed_one_for_which_others_wait(database: World, agent: Actor) -> None:
    claim = claimed(database, "task")
    database.caller.accepted(CreateProject("p", ()), by=agent)

    def add(*depends_on: TaskId) -> TaskId:
        command = CreateTask("p", None, None, "task", 0, depends_on)
        return TaskId(database.caller.accepted(command, by=agent).body["id"])

    def finish(task_id: TaskId, command: Command) -> None:
        database.caller.accepted(StartTask(task_id), by=agent)
        database.caller.accepted(command, by=agent)

    done, failed, needed = add(), add(), add()
    waiting, tried_again = add(needed), add()
    finish(done, CompleteTask(done))
    for task_id in (failed, needed, tried_again):
        finish(task_id, FailTask(task_id, "it broke"))
    database.caller.accepted(ReleaseTask(tried_again, None), by=agent)
    database.caller.serve(KEEP_MS - 1)
    ours = {done, failed, needed, waiting, tried_again}
    assert not [key for key in aged(database, "task", keep_ms=KEEP_MS) if key.values[0] in ours]
    database.caller.serve(1)
    found = [key for key in aged(database, "task", keep_ms=KEEP_MS) if key.values[0] in ours]
    assert {key.values[0] for key in found} == {done, failed, needed}
    database.caller.accepted(ReleaseTask(failed, None), by=agent)
    assert retire(database, "task", found, claim) == 1
    kept = {row.id for row in rows_in_account(database.store, Task, agent.account_id)}
    assert kept == {failed, needed, waiting, tried_again}
