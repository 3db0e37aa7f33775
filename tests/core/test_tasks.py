"""Tasks: who gets which, what becomes of them when a session is gone, and what waits for what. On every store."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from holdfast.commands import tasks
from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.projects import CreateProject, PatchProject
from holdfast.commands.rows import Key
from holdfast.commands.starts import TakeOver, TakeOverSession
from holdfast.commands.tasks import (
    BlockTask,
    ClaimTask,
    CompleteTask,
    CreateTask,
    DeleteTask,
    FailTask,
    PatchTask,
    ReleaseTask,
    StartTask,
)
from holdfast.commands.transitions import EndSession, FailSession, ParkSession, StallSession
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor
from holdfast.domain.drafting import TASKS_IN_SUMMARY_MAX
from holdfast.domain.errors import Action, Code, Refusal
from holdfast.domain.events import Event
from holdfast.domain.handoff import Handoff, HandoffBody
from holdfast.domain.ids import SessionId, TaskId
from holdfast.domain.limits import DAY_MS, TASK_DEPENDENTS_MAX, TASKS_NOTED_MAX
from holdfast.domain.project import Project
from holdfast.domain.session import EndReason
from holdfast.domain.task import TABLE, Task, TaskDependency, TaskStatus, TaskVerb
from holdfast.testing.factories import FAIL_AFTER_MS, LEASE_MS, REVIVABLE, STRICT, actor, start
from tests.support.postgres import PostgresServer
from tests.support.stores import World, profile_of, rows_in_account, session_of, world

_accounts = count()
_starts = count()


@pytest.fixture(params=["dicts", "sqlite", "postgres"], scope="module")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store of every kind, shared by the tests of this module."""
    path: Path = tmp_path_factory.mktemp("tasks") / "holdfast.db"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as url, world("postgres", sqlite_path=path, postgres_url=url) as new:
            yield new
        return
    with world(request.param, sqlite_path=path, postgres_url=None) as new:
        yield new


class Shop:
    """An account of a test's own with one project, and what is done in it."""

    def __init__(self, store: World) -> None:
        self.store = store
        self.caller = store.caller
        self.agent: Actor = actor(f"account-{next(_accounts)}")
        self.operator = actor(self.agent.account_id, key_id="key_operator", scope="operator")  # type: ignore[arg-type]
        self.caller.accepted(CreateProject("p", ()), by=self.agent)

    def do(self, command: Any, *, by: Actor | None = None) -> dict[str, Any]:
        """What a command that must be accepted answers."""
        return self.caller.accepted(command, by=by or self.agent).body

    def refused(self, command: Any, *, by: Actor | None = None) -> Refusal:
        """Why a command is refused."""
        return self.caller.refused(command, by=by or self.agent)

    def begin(self, **fields: Any) -> SessionId:
        """A session on the project, on a scope of its own."""
        about = {"scope": f"repo={next(_starts)}"} | fields
        return SessionId(self.do(start(**about))["id"])

    def add(self, name: str = "task", **fields: Any) -> TaskId:
        """A task of the project."""
        defaults: dict[str, Any] = {
            "project_id": "p",
            "session_id": None,
            "fencing_token": None,
            "priority": 0,
            "depends_on": (),
        }
        return TaskId(self.do(CreateTask(name=name, **(defaults | fields)))["id"])

    def claim(self, session_id: SessionId, project_id: str = "p") -> str | None:
        """The id of the task that a session is given."""
        return self.do(ClaimTask(session_id, None, project_id)).get("id")

    def task(self, task_id: TaskId) -> Task:
        """A task's row."""
        row = self.store.store.get(Key(Task, (task_id,)))
        assert isinstance(row, Task)
        return row

    def told(self, kind: str) -> list[str]:
        """The ids of the tasks of which this was told, in order."""
        events = rows_in_account(self.store.store, Event, self.agent.account_id)
        return [event.data_json for event in events if event.type == kind]

    def check(self) -> None:
        """What holds of every task, wait and session, at any time."""
        tasks = {row.id: row for row in rows_in_account(self.store.store, Task, self.agent.account_id)}
        waits = rows_in_account(self.store.store, TaskDependency, self.agent.account_id)
        for row in tasks.values():
            assert row.waiting_count == sum(wait.task_id == row.id for wait in waits)
            is_ready = row.status == TaskStatus.PENDING and row.waiting_count == 0
            queue = f"project={row.project_id}" if row.held_by is None else f"session={row.held_by}"
            assert row.ready_in == (queue if is_ready else None)
            assert row.held_by is None or row.status in (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)
        for wait in waits:
            assert tasks[wait.depends_on_id].status != TaskStatus.COMPLETED
        for holder_id in {row.held_by for row in tasks.values() if row.held_by is not None}:
            held = sum(row.held_by == holder_id for row in tasks.values())
            assert session_of(self.store.store, holder_id).task_count == held


@pytest.fixture
def shop(store: World) -> Iterator[Shop]:
    """An account of the test's own; what always holds is looked at in the end."""
    made = Shop(store)
    yield made
    made.check()


def test_the_highest_priority_is_claimed_first_and_the_oldest_of_it(shop: Shop) -> None:
    low, first, second, high = (shop.add(priority=priority) for priority in (-5, 0, 0, 7))
    session = shop.begin()
    assert [shop.claim(session) for _ in range(5)] == [high, first, second, low, None]
    assert session_of(shop.store.store, session).task_count == 4
    assert profile_of(shop.store.store, session).current_task_id == low
    assert shop.task(high).attempts == 1


def test_no_task_goes_to_two_of_many_claims_in_one_batch(shop: Shop) -> None:
    added = [shop.add() for _ in range(150)]
    sessions = [shop.begin() for _ in range(160)]
    outcomes = shop.caller.do_all(*[ClaimTask(session, None, "p") for session in sessions], by=shop.agent)
    claimed = [outcome.body.get("id") for outcome in outcomes if isinstance(outcome, Reply)]
    assert claimed == [*added, *[None] * 10]


def test_a_batch_that_adds_a_task_behind_many_still_hands_out_the_first_ones(shop: Shop) -> None:
    added = [shop.add() for _ in range(20)]
    sessions = [shop.begin() for _ in range(21)]
    late = CreateTask("p", None, None, "late", -1, ())
    claims = [ClaimTask(session, None, "p") for session in sessions]
    outcomes = shop.caller.do_all(late, *claims, by=shop.agent)
    bodies = [outcome.body for outcome in outcomes if isinstance(outcome, Reply)]
    assert [body["id"] for body in bodies[1:]] == [*added, bodies[0]["id"]]


def test_a_lapse_queues_the_tasks_again_once_and_counts_the_attempt(shop: Shop) -> None:
    added = [shop.add() for _ in range(2)]
    session = shop.begin()
    assert [shop.claim(session) for _ in range(2)] == added
    shop.caller.serve(LEASE_MS)
    shop.caller.sweep()
    shop.caller.serve(FAIL_AFTER_MS)
    shop.caller.sweep()
    shop.caller.serve(2 * DAY_MS)
    shop.caller.sweep()
    for task_id in added:
        row = shop.task(task_id)
        assert (row.status, row.held_by, row.attempts, row.last_session_id) == ("pending", None, 1, session)
    assert len(shop.told("task.requeued")) == 2
    assert session_of(shop.store.store, session).task_count == 0
    assert profile_of(shop.store.store, session).current_task_id is None
    other = shop.begin()
    assert shop.claim(other) == added[0]
    assert shop.task(added[0]).attempts == 2


@pytest.mark.parametrize("how", ["end", "fail", "stall", "take over", "take over forced", "supersede", "start anew"])
def test_however_a_session_is_over_its_tasks_are_pending_again_in_the_same_transaction(shop: Shop, how: str) -> None:
    task_id = shop.add()
    scope = f"repo={next(_starts)}"
    session = shop.begin(scope=scope)
    shop.claim(session)
    if how == "take over":
        shop.caller.serve(LEASE_MS)
    command: Any = {
        "end": EndSession(session, None, EndReason.COMPLETED),
        "fail": FailSession(session, None, "it broke"),
        "stall": StallSession(session, None, "it hangs"),
        "take over": TakeOverSession(session, "codex", "holder-2", "it is silent"),
        "take over forced": TakeOverSession(session, "codex", "holder-2", "urgent", force=True),
        "supersede": start(scope, supersede=True),
        "start anew": start(scope, holder_id="holder-9", exclusive=True, supersede=True, force=True, reason="mine"),
    }[how]
    shop.do(command, by=shop.operator)
    row = shop.task(task_id)
    assert (row.status, row.held_by, row.ready_in, row.attempts) == ("pending", None, "project=p", 1)
    assert session_of(shop.store.store, session).task_count == 0
    assert profile_of(shop.store.store, session).current_task_id is None
    assert len(shop.told("task.requeued")) == 1


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_session_that_comes_back_has_lost_its_tasks_and_can_start_one_anew(shop: Shop, is_batch: bool) -> None:
    task_id = shop.add()
    session = shop.begin()
    shop.claim(session)
    shop.caller.serve(LEASE_MS)
    # Nobody swept: the refusal is the same, and changes nothing.
    assert shop.refused(CompleteTask(task_id, session)).code == Code.TASK_LOST
    assert shop.task(task_id).status == "in_progress"
    shop.do(HeartbeatBatch((Heartbeat(session),)) if is_batch else Heartbeat(session))
    assert shop.task(task_id).status == "pending"
    refusal = shop.refused(CompleteTask(task_id, session))
    assert (refusal.code, [way.action for way in refusal.ways_out]) == (
        Code.TASK_LOST,
        [Action.READ_TASK, Action.START_TASK],
    )
    shop.do(StartTask(task_id, session))
    assert shop.do(CompleteTask(task_id, session))["attempts"] == 2


def test_a_task_that_another_session_has_by_now_is_not_completed_by_the_one_that_lost_it(shop: Shop) -> None:
    task_id = shop.add()
    lost, other = shop.begin(), shop.begin()
    shop.claim(lost)
    shop.caller.serve(LEASE_MS)
    shop.do(HeartbeatBatch((Heartbeat(other), Heartbeat(lost))))
    assert shop.claim(other) == task_id
    for command in (CompleteTask, StartTask):
        refusal = shop.refused(command(task_id, lost))
        assert (refusal.code, refusal.data["holder_session_id"]) == (Code.TASK_HELD, other)
    assert shop.do(CompleteTask(task_id, other))["session_id"] == other
    assert shop.do(CompleteTask(task_id, other))["revision"] == shop.task(task_id).revision


def test_a_strict_session_that_lapsed_is_given_nothing(shop: Shop) -> None:
    shop.add()
    session = shop.begin(policy=STRICT)
    shop.caller.serve(LEASE_MS)
    assert shop.refused(ClaimTask(session, None, "p")).code == Code.LEASE_EXPIRED


def test_a_parked_session_keeps_its_tasks_and_takes_no_more(shop: Shop) -> None:
    added = [shop.add(), shop.add()]
    session = shop.begin()
    shop.claim(session)
    shop.do(ParkSession(session, None, None, None))
    shop.caller.serve(2 * DAY_MS)
    shop.caller.sweep()
    assert shop.refused(ClaimTask(session, None, "p")).code == Code.SESSION_PARKED
    assert shop.do(CompleteTask(added[0], session))["status"] == "completed"


def test_an_exclusive_session_shows_its_token(shop: Shop) -> None:
    task_id = shop.add()
    begun = shop.do(start(f"repo={next(_starts)}", exclusive=True))
    session, token = begun["id"], begun["fencing_token"]
    assert shop.refused(ClaimTask(session, None, "p")).code == Code.FENCING_TOKEN_REQUIRED
    assert shop.refused(ClaimTask(session, token + 1, "p")).code == Code.FENCING_TOKEN_STALE
    assert shop.do(ClaimTask(session, token, "p"))["id"] == task_id
    assert shop.refused(CompleteTask(task_id, session)).code == Code.FENCING_TOKEN_REQUIRED
    assert shop.do(CompleteTask(task_id, session, token))["status"] == "completed"


def test_where_a_session_holds_a_task_an_agent_says_which_it_is_and_an_operator_need_not(shop: Shop) -> None:
    task_id = shop.add()
    session = shop.begin()
    shop.claim(session)
    refusal = shop.refused(CompleteTask(task_id))
    assert [error.field for error in refusal.errors] == ["session_id"]
    assert shop.do(CompleteTask(task_id), by=shop.operator)["status"] == "completed"
    assert session_of(shop.store.store, session).task_count == 0


def test_dependents_become_ready_once_all_that_they_wait_for_is_completed(shop: Shop) -> None:
    first, second = shop.add("first"), shop.add("second")
    third = shop.add("third", depends_on=(first, second, first))
    session = shop.begin()
    assert [shop.claim(session) for _ in range(3)] == [first, second, None]
    refusal = shop.refused(StartTask(third, session))
    assert (refusal.code, refusal.data["waiting"]) == (Code.TASK_WAITING, 2)
    shop.do(CompleteTask(first, session))
    assert shop.claim(session) is None
    shop.do(CompleteTask(second, session))
    assert shop.claim(session) == third


def test_a_task_that_depends_on_a_completed_one_does_not_wait(shop: Shop) -> None:
    first = shop.add()
    shop.do(StartTask(first))
    shop.do(CompleteTask(first))
    assert shop.task(shop.add(depends_on=(first,))).waiting_count == 0


def test_a_failed_task_is_waited_for_until_it_was_tried_anew(shop: Shop) -> None:
    first = shop.add()
    second = shop.add(depends_on=(first,))
    session = shop.begin()
    shop.claim(session)
    failed = shop.do(FailTask(first, "it broke", session))
    assert (failed["status"], failed["error_message"], failed["session_id"]) == ("failed", "it broke", session)
    assert shop.do(FailTask(first, "it broke", session)) == failed
    assert shop.refused(DeleteTask(first)).code == Code.TASK_NEEDED
    assert shop.claim(session) is None
    shop.do(ReleaseTask(first, None))
    assert shop.claim(session) == first
    assert shop.do(CompleteTask(first, session))["error_message"] is None
    assert shop.claim(session) == second


def test_cycles_are_refused_and_other_changes_of_what_is_waited_for_are_not(shop: Shop) -> None:
    first = shop.add()
    chain = [first]
    for _ in range(12):
        chain.append(shop.add(depends_on=(chain[-1],)))
    for waits_for in ((first,), (chain[1],), (chain[-1],)):
        refusal = shop.refused(PatchTask(first, None, (), waits_for))
        assert [error.field for error in refusal.errors] == ["depends_on"]
    other = shop.add()
    assert shop.do(PatchTask(first, None, (), (other,)))["ready"] is False
    assert [error.field for error in shop.refused(PatchTask(other, None, (), (chain[-1],))).errors] == ["depends_on"]
    assert shop.do(PatchTask(first, None, (), ()))["ready"] is True
    assert shop.do(PatchTask(other, None, (), (chain[-1],)))["waiting_count"] == 1
    session = shop.begin()
    assert shop.claim(session) == first
    assert shop.refused(PatchTask(first, None, (), (other,))).code == Code.TASK_TRANSITION_NOT_ALLOWED


def test_only_tasks_of_the_same_project_and_account_can_be_waited_for(shop: Shop, store: World) -> None:
    shop.do(CreateProject("other", ()))
    elsewhere = shop.add(project_id="other")
    foreign = Shop(store).add()
    for task_id in (elsewhere, foreign, TaskId("task_none")):
        refusal = shop.refused(CreateTask("p", None, None, "task", 0, (task_id,)))
        assert [tuple(error) for error in refusal.errors] == [("depends_on[0]", "names no task of the project")]


def test_no_more_tasks_wait_for_one_than_may(shop: Shop) -> None:
    first = shop.add()
    wait = CreateTask("p", None, None, "task", 0, (first,))
    outcomes = shop.caller.do_all(*[wait] * (TASK_DEPENDENTS_MAX + 1), by=shop.agent)
    assert [type(outcome) for outcome in outcomes] == [*[Reply] * TASK_DEPENDENTS_MAX, Refusal]
    assert shop.refused(wait).code == Code.TASK_CROWDED
    shop.do(StartTask(first))
    shop.do(CompleteTask(first))
    assert all(
        row.ready_in == "project=p" for row in rows_in_account(shop.store.store, Task, shop.agent.account_id)[1:]
    )


def test_a_session_holds_no_more_than_it_may(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TASKS_HELD_MAX", 3)
    for _ in range(4):
        shop.add()
    session = shop.begin()
    held = [shop.claim(session) for _ in range(3)]
    refusal = shop.refused(ClaimTask(session, None, "p"))
    assert (refusal.code, [way.action for way in refusal.ways_out]) == (Code.TOO_MANY_TASKS, [Action.LIST_HELD_TASKS])
    shop.do(EndSession(session, None, EndReason.COMPLETED))
    assert {row.status for row in rows_in_account(shop.store.store, Task, shop.agent.account_id)} == {"pending"}
    assert len(shop.told("task.requeued")) == len(held)


def test_a_reserved_task_goes_to_its_session_only_and_to_anybody_once_that_is_over(shop: Shop) -> None:
    session, other = shop.begin(), shop.begin()
    reserved = shop.add(session_id=session)
    assert shop.claim(other) is None
    assert shop.refused(StartTask(reserved, other)).code == Code.TASK_HELD
    urgent = shop.add(priority=1)
    assert [shop.claim(session), shop.claim(session)] == [urgent, reserved]
    again = shop.add(session_id=session)
    shop.do(EndSession(session, None, EndReason.COMPLETED))
    assert shop.task(again).attempts == 0
    assert {shop.claim(other) for _ in range(3)} == {urgent, reserved, again}


def test_only_an_active_project_hands_out_tasks(shop: Shop) -> None:
    task_id = shop.add()
    session = shop.begin()
    for status in ("paused", "completed", "failed"):
        shop.do(PatchProject("p", None, (("status", status),)))
        assert shop.claim(session) is None
    shop.do(PatchProject("p", None, (("status", "active"),)))
    assert shop.claim(session) == task_id


def test_a_change_of_priority_moves_a_task_in_its_queue(shop: Shop) -> None:
    first, second = shop.add(), shop.add()
    shop.do(PatchTask(second, 1, (("priority", 3),)))
    assert shop.refused(PatchTask(second, 1, (("priority", 4),))).code == Code.REVISION_CONFLICT
    session = shop.begin()
    assert [shop.claim(session), shop.claim(session)] == [second, first]


def test_a_deleted_task_is_gone_with_what_it_waited_for(shop: Shop) -> None:
    first = shop.add()
    second = shop.add(depends_on=(first,))
    assert shop.do(DeleteTask(second)) == {"id": second, "deleted": {"tasks": 1}}
    assert shop.store.store.get(Key(Task, (second,))) is None
    session = shop.begin()
    shop.claim(session)
    refusal = shop.refused(DeleteTask(first))
    assert (refusal.code, [way.action for way in refusal.ways_out]) == (Code.TASK_IN_PROGRESS, [Action.RELEASE_TASK])
    shop.do(ReleaseTask(first, None, session))
    shop.do(DeleteTask(first))
    assert not rows_in_account(shop.store.store, TaskDependency, shop.agent.account_id)


def test_every_verb_has_an_answer_in_every_status_and_every_way_out_works(shop: Shop) -> None:
    verbs: dict[TaskVerb, Any] = {
        TaskVerb.START: StartTask,
        TaskVerb.COMPLETE: CompleteTask,
        TaskVerb.FAIL: lambda task_id: FailTask(task_id, "it broke"),
        TaskVerb.BLOCK: lambda task_id: BlockTask(task_id, None),
        TaskVerb.RELEASE: lambda task_id: ReleaseTask(task_id, None),
    }
    paths: dict[TaskStatus, tuple[TaskVerb, ...]] = {
        TaskStatus.PENDING: (),
        TaskStatus.IN_PROGRESS: (TaskVerb.START,),
        TaskStatus.COMPLETED: (TaskVerb.START, TaskVerb.COMPLETE),
        TaskStatus.FAILED: (TaskVerb.START, TaskVerb.FAIL),
        TaskStatus.BLOCKED: (TaskVerb.BLOCK,),
    }

    def reach(status: TaskStatus) -> TaskId:
        task_id = shop.add()
        for verb in paths[status]:
            shop.do(verbs[verb](task_id))
        return task_id

    for status, moves in TABLE.items():
        for verb, command in verbs.items():
            task_id = reach(status)
            if verb in moves:
                assert shop.do(command(task_id))["status"] == moves[verb]
                continue
            refusal = shop.refused(command(task_id))
            assert refusal.code == Code.TASK_TRANSITION_NOT_ALLOWED
            told = [way.action.value for way in refusal.ways_out if way.action != Action.READ_TASK]
            assert told == [f"{each.value}_task" for each in moves]


def test_a_session_makes_the_project_that_it_names_once(shop: Shop) -> None:
    from holdfast.commands.beginning import About
    from holdfast.domain.scope import ScopeParts

    about = About(parts=ScopeParts(project_id="new"))
    starts = [start(f"repo={next(_starts)}", about=about) for _ in range(3)]
    outcomes = shop.caller.do_all(*starts, by=shop.agent)
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    made = [row.id for row in rows_in_account(shop.store.store, Project, shop.agent.account_id)]
    assert made == ["new", "p"]
    task_id = shop.add(project_id="new")
    session = SessionId(outcomes[0].body["id"])  # type: ignore[union-attr]
    assert shop.do(ClaimTask(session))["id"] == task_id


def test_a_claim_without_a_project_is_told_so(shop: Shop) -> None:
    session = shop.begin()
    assert [error.field for error in shop.refused(ClaimTask(session)).errors] == ["project_id"]
    assert shop.refused(ClaimTask(session, None, "none")).code == Code.NOT_FOUND


def test_what_a_bound_key_does_not_see_is_not_found(shop: Shop) -> None:
    task_id = shop.add()
    bound = shop.agent._replace(project_id="other")
    shop.do(CreateProject(None, ()), by=bound)
    for command in (
        CreateProject("p", ()),
        PatchProject("p", None, ()),
        CreateTask("p", None, None, "task", 0, ()),
        PatchTask(task_id, None, ()),
        StartTask(task_id),
        DeleteTask(task_id),
    ):
        assert shop.refused(command, by=bound).code == Code.NOT_FOUND
    session = SessionId(shop.do(start(f"repo={next(_starts)}"), by=bound)["id"])
    assert shop.refused(ClaimTask(session, None, "p"), by=bound).code == Code.NOT_FOUND
    assert shop.do(ClaimTask(session), by=bound) == {}


def test_a_claim_repeated_with_its_key_gives_the_same_task(shop: Shop) -> None:
    added = [shop.add(), shop.add()]
    session = shop.begin()
    claim = ClaimTask(session, None, "p")
    first = shop.caller.accepted(claim, by=shop.agent, key="key-0001")
    again = shop.caller.accepted(claim, by=shop.agent, key="key-0001")
    assert (first.body["id"], again.is_replay, again.body) == (added[0], True, first.body)


def test_many_that_die_at_once_give_everything_back(shop: Shop) -> None:
    added = [shop.add() for _ in range(40)]
    sessions = [shop.begin() for _ in range(20)]
    shop.caller.do_all(*[ClaimTask(session, None, "p") for session in sessions * 2], by=shop.agent)
    shop.caller.serve(LEASE_MS)
    shop.caller.sweep()
    rows = [shop.task(task_id) for task_id in added]
    assert all((row.status, row.attempts, row.held_by) == ("pending", 1, None) for row in rows)
    assert len(shop.told("task.requeued")) == 40


def test_a_takeover_by_a_start_gives_back_what_the_old_one_held(shop: Shop) -> None:
    task_id = shop.add()
    scope = f"repo={next(_starts)}"
    session = shop.begin(scope=scope, exclusive=True)
    token = session_of(shop.store.store, session).fencing_token
    shop.do(ClaimTask(session, token, "p"))
    shop.caller.serve(LEASE_MS)
    new = shop.do(start(scope, holder_id="holder-2", exclusive=True, take_over=TakeOver("it is silent")))
    assert shop.do(ClaimTask(new["id"], new["fencing_token"], "p"))["id"] == task_id


def draft_of(shop: Shop, session_id: SessionId) -> tuple[str, dict[str, Any], list[str]]:
    """The one handoff that was drafted for a session: its summary, its payload and its next actions."""
    (found,) = [each for each in rows_in_account(shop.store.store, Handoff, shop.agent.account_id) if each.auto]
    assert found.session_id == session_id
    body = shop.store.store.get(Key(HandoffBody, (found.id,)))
    assert isinstance(body, HandoffBody)
    return found.summary, json.loads(body.payload_json), json.loads(body.next_actions_json)


@pytest.mark.parametrize("how", ["by time", "swept late", "fail", "crash", "take over", "take over forced"])
def test_a_draft_names_the_tasks_that_the_session_had_when_it_broke_off(shop: Shop, how: str) -> None:
    done, given_up, *held = [shop.add(name) for name in ("done", "given up", "the parser", "the lexer")]
    session = shop.begin()
    for task_id in (done, given_up, *held):
        shop.do(StartTask(task_id, session))
    shop.do(CompleteTask(done, session))
    shop.do(ReleaseTask(given_up, "not mine", session))
    steps: dict[str, list[Any]] = {
        "by time": [LEASE_MS, FAIL_AFTER_MS],
        "swept late": [2 * DAY_MS],
        "fail": [FailSession(session, None, "it broke")],
        "crash": [EndSession(session, None, EndReason.CRASHED)],
        "take over": [LEASE_MS, TakeOverSession(session, "codex", "holder-2", "it is silent")],
        "take over forced": [TakeOverSession(session, "codex", "holder-2", "urgent", force=True)],
    }
    for step in steps[how]:
        if isinstance(step, int):
            shop.caller.serve(step)
            shop.caller.sweep()
        else:
            shop.do(step, by=shop.operator)
    summary, payload, next_actions = draft_of(shop, session)
    lexer, parser = [
        {"id": task_id, "status": "in_progress", "status_now": "pending", "name": name, "project_id": "p"}
        for task_id, name in zip(held[::-1], ("the lexer", "the parser"), strict=True)
    ]
    # What was begun last was the current one, and comes first.
    assert (payload["unfinished_tasks"], payload["unfinished_task_count"]) == ([lexer, parser], 2)
    assert payload["current_task_id"] == held[1]
    assert f"2 unfinished tasks:\n- {held[1]}: the lexer (in_progress)\n- {held[0]}: the parser (in_pro" in summary
    assert next_actions == [f"Finish {held[1]}: the lexer", f"Finish {held[0]}: the parser"]


def test_a_draft_tells_what_became_since_of_the_tasks_that_a_lapse_took(shop: Shop) -> None:
    held = [shop.add(name) for name in ("held", "done", "given back", "deleted")]
    lapsed = shop.begin(policy=REVIVABLE._replace(fail_after_ms=2 * FAIL_AFTER_MS))
    for task_id in held:
        shop.do(StartTask(task_id, lapsed))
    shop.caller.serve(LEASE_MS)
    shop.caller.sweep()
    other = shop.begin(policy=REVIVABLE._replace(lease_ms=DAY_MS, fail_after_ms=2 * DAY_MS))
    for task_id in held[:3]:
        shop.do(StartTask(task_id, other))
    shop.do(CompleteTask(held[1], other))
    shop.do(ReleaseTask(held[2], None, other))
    shop.do(DeleteTask(held[3]))
    shop.caller.serve(2 * FAIL_AFTER_MS)
    shop.caller.sweep()
    _, payload, next_actions = draft_of(shop, lapsed)
    told = [
        [each.get(name) for name in ("id", "status_now", "held_by", "last_held_by")]
        for each in payload["unfinished_tasks"]
    ]
    assert told == [
        [held[3], "deleted", None, None],
        [held[0], "in_progress", other, None],
        [held[1], "completed", None, other],
        [held[2], "pending", None, other],
    ]
    assert next_actions == [f"Finish {held[2]}: given back"]


def test_a_draft_does_not_name_tasks_that_a_session_lost_before_it_came_back(shop: Shop) -> None:
    lost, kept = shop.add("lost"), shop.add("kept")
    session = shop.begin()
    shop.do(StartTask(lost, session))
    shop.caller.serve(LEASE_MS)
    shop.caller.sweep()
    shop.do(Heartbeat(session))
    assert profile_of(shop.store.store, session).let_go_json is None
    shop.do(StartTask(kept, session))
    shop.caller.serve(FAIL_AFTER_MS)
    shop.caller.sweep()
    assert [each["id"] for each in draft_of(shop, session)[1]["unfinished_tasks"]] == [kept]


def test_a_draft_of_many_tasks_names_the_first_and_counts_the_rest_and_hides_secrets(shop: Shop) -> None:
    token = "ghp_" + "a1" * 18
    held = [shop.add(f"push with {token}", priority=10)]
    held += [shop.add(f"task {number}") for number in range(TASKS_NOTED_MAX)]
    session = shop.begin()
    for task_id in held:
        shop.do(StartTask(task_id, session))
    shop.do(WriteCheckpoint(session, None, "half of it", "[]", "[]", '["my own plan"]'))
    shop.do(FailSession(session, None, "it broke"))
    summary, payload, next_actions = draft_of(shop, session)
    assert next_actions == ["my own plan"]
    assert (len(payload["unfinished_tasks"]), payload["unfinished_task_count"]) == (TASKS_NOTED_MAX, len(held))
    assert [each["id"] for each in payload["unfinished_tasks"]][:2] == [held[-1], held[0]]
    assert summary.splitlines()[-2:] == [
        f"- and {len(held) - TASKS_IN_SUMMARY_MAX} more",
        "Its last checkpoint, number 1: half of it",
    ]
    assert token not in summary + str(payload)
    assert "push with [redacted]" in summary


def test_a_draft_of_a_session_without_tasks_says_nothing_of_any(shop: Shop) -> None:
    session = shop.begin()
    shop.do(FailSession(session, None, "it broke"))
    summary, payload, next_actions = draft_of(shop, session)
    assert ("task" in summary, [name for name in payload if "task" in name], next_actions) == (False, [], [])


def test_sweeping_many_with_tasks_asks_for_all_of_them_together(shop: Shop) -> None:
    sessions = [shop.begin() for _ in range(20)]
    for session in sessions:
        shop.do(StartTask(shop.add(), session))
    shop.caller.serve(LEASE_MS)
    shop.caller.sweep()
    shop.caller.serve(FAIL_AFTER_MS)
    shop.caller.sweep()
    drafts = [each for each in rows_in_account(shop.store.store, Handoff, shop.agent.account_id) if each.auto]
    assert sorted(each.session_id for each in drafts) == sorted(sessions)
    assert all("It had 1 unfinished task:" in each.summary for each in drafts)
