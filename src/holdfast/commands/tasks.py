"""Tasks: added, handed out to one session each, and brought to their end.

A task that can be claimed is in the queue of its project, whose row guards it: whoever puts a task there has that row
locked. A task's own row guards the waits for it, and a session's row the tasks that it holds.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body
from holdfast.commands.holding import change, find_profile, find_session, record
from holdfast.commands.lists import Filter, ListSpec, Operator
from holdfast.commands.notes import patched_meta
from holdfast.commands.projects import find_project
from holdfast.commands.releasing import project_key
from holdfast.commands.rows import Key, Members, Need, SetSpec, both_keys, key_of
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle, task
from holdfast.domain.actor import Actor, KeyScope, may
from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.fencing import check_token, require_token
from holdfast.domain.ids import AccountId, SessionId, TaskId
from holdfast.domain.limits import PROJECT_WAITS_MAX, TASK_DEPENDENTS_MAX, TASKS_HELD_MAX
from holdfast.domain.project import hands_out_tasks
from holdfast.domain.session import Session, Status
from holdfast.domain.task import (
    FINISHED,
    Task,
    TaskDependency,
    TaskStatus,
    TaskVerb,
    placed,
    project_queue,
    rank,
    session_queue,
)

READY: Final = tuple(
    SetSpec(f"ready_tasks_{limit}", Task, ("account_id", "ready_in"), order="rank", limit=limit)
    for limit in (16, 128, 1_024)
)
"""The head of a queue, as far as a batch needs it: a lone claim reads a few rows, and a batch in which all of
those were claimed reads on. No batch has as many commands as the last one has rows."""

DEPENDENTS = SetSpec("dependents", TaskDependency, ("depends_on_id",), order="task_id", limit=TASK_DEPENDENTS_MAX)
"""The tasks that wait for one task."""

TASKS_GIVEN = SetSpec("tasks_given", Task, ("last_session_id",), order="id", limit=TASKS_HELD_MAX)
"""The newest of the tasks that a session was the last to be given. The session's row is their guard."""

WAITS = SetSpec("waits", TaskDependency, ("account_id", "project_id"), order="task_id", limit=PROJECT_WAITS_MAX + 1)
"""Which task of a project waits for which."""

TASK_LIST = ListSpec(
    "tasks",
    (Task,),
    {
        "status": (Filter("task", "status"),),
        "project_id": (Filter("task", "project_id"),),
        "bound_project_id": (Filter("task", "project_id"),),
        "session_id": (Filter("task", "last_session_id"),),
        "external_ref": (Filter("task", "external_ref"),),
        "ready": (Filter("task", "ready_in", Operator.PRESENT),),
        "q": tuple(Filter("task", name, Operator.CONTAINS) for name in ("id", "name", "external_ref")),
    },
    order="id",
)

CHANGEABLE = ("name", "description", "priority", "external_ref", "external_url")


class CreateTask(NamedTuple):
    """Add a task to a project.

    project_id: None: the one of the session, or the one that the actor is bound to.
    session_id: the session that it is reserved for; to be given it, a session has to be alive.
    fields: pairs of a column in CHANGEABLE and its value.
    """

    project_id: str | None
    session_id: SessionId | None
    fencing_token: int | None
    name: str
    priority: int
    depends_on: tuple[TaskId, ...]
    fields: tuple[tuple[str, str | None], ...] = ()
    meta_json: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, the project, the session, and the tasks that it depends on, with who else waits for them."""
        project_id = self.project_id or actor.project_id
        needs: list[Need] = [account_key(actor.account_id)]
        if project_id is not None:
            needs.append(project_key(actor.account_id, project_id))
        if self.session_id is not None:
            needs += both_keys(self.session_id)
        for task_id in self.depends_on:
            needs += [task_key(task_id), Members(DEPENDENTS, (task_id,))]
        return needs

    def decide(self, view: View) -> Reply:
        """The task. Raises: not_found, validation_failed, task_crowded, too_many_tasks, and what a beat raises."""
        require_account(view)
        session = None if self.session_id is None else _working(view, self.session_id, self.fencing_token)
        project_id = self.project_id or view.actor.project_id
        if project_id is None and session is not None:
            project_id = find_profile(view, session).project_id
        if project_id is None:
            raise _unacceptable("project_id", "is required")
        project = find_project(view, project_id)
        task_id = TaskId(view.mint("task"))
        depends_on = tuple(dict.fromkeys(self.depends_on))
        given: dict[str, Any] = dict(self.fields)
        row = Task(
            id=task_id,
            account_id=view.actor.account_id,
            project_id=project.id,
            status=TaskStatus.PENDING,
            priority=self.priority,
            rank=rank(task_id, priority=self.priority),
            ready_in=None,
            held_by=None,
            last_session_id=None,
            waiting_count=_wait(view, task_id, project.id, depends_on),
            attempts=0,
            revision=1,
            name=self.name,
            description=given.get("description"),
            external_ref=given.get("external_ref"),
            external_url=given.get("external_url"),
            depends_on_json=json.dumps(depends_on, separators=(",", ":")),
            meta_json=self.meta_json,
            result_json=None,
            status_reason=None,
            error_message=None,
            created_at_ms=view.now.wall_ms,
            status_at_ms=view.now.wall_ms,
            started_at_ms=None,
            finished_at_ms=None,
            key_id=view.actor.key_id,
            correlation_id=view.correlation_id,
        )
        if session is None:
            row = placed(row)
        else:
            _take(view, session)
            row = task.reserved(row, session_id=session.id)
        view.put(row)
        _tell(view, row, EventType.TASK_CREATED, {"name": row.name, "priority": row.priority})
        return Reply(task_body(row), created=True)


class PatchTask(NamedTuple):
    """Change what a task is about, how urgent it is, or what it waits for.

    fields: pairs of a column in CHANGEABLE and its new value, None to clear it.
    depends_on: None leaves it alone. meta_patch_json: a JSON merge patch, as text; None leaves it alone.
    revision: the one that the caller knows; None: any.
    """

    task_id: TaskId
    revision: int | None
    fields: tuple[tuple[str, str | int | None], ...]
    depends_on: tuple[TaskId, ...] | None = None
    meta_patch_json: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task's row; its project follows from it."""
        return (task_key(self.task_id),)

    def decide(self, view: View) -> Reply:
        """The changed task, at its next revision.

        Raises: not_found, revision_conflict, validation_failed, task_transition_not_allowed where it has begun and may
        not wait for anything any more.
        """
        before = find_task(view, self.task_id) if self.depends_on is None else _settled(view, self.task_id)
        if self.revision is not None and self.revision != before.revision:
            ways_out = (
                WayOut(Action.READ_TASK, target=before.id),
                WayOut(Action.REPEAT_WITH_REVISION, target=before.id),
            )
            data: dict[str, Any] = {"revision": before.revision, "given": self.revision}
            raise Refusal(Code.REVISION_CONFLICT, subject=f"Task {before.id}", ways_out=ways_out, **data)
        view.require(project_key(before.account_id, before.project_id))
        given: dict[str, Any] = dict(self.fields)
        changed = before._replace(**given)
        changed = changed._replace(rank=rank(changed.id, priority=changed.priority))
        if self.meta_patch_json is not None:
            changed = changed._replace(meta_json=patched_meta(changed.meta_json, self.meta_patch_json))
        if self.depends_on is not None:
            changed = self._rewaited(view, changed, tuple(dict.fromkeys(self.depends_on)))
        if changed != before:
            changed = changed._replace(revision=before.revision + 1)
            view.put(changed)
            _tell(view, changed, EventType.TASK_CHANGED, {"revision": changed.revision})
        return Reply(task_body(changed))

    def _rewaited(self, view: View, row: Task, depends_on: tuple[TaskId, ...]) -> Task:
        before = _depends_on(row)
        if set(depends_on) == set(before):
            return row
        if row.status not in (TaskStatus.PENDING, TaskStatus.BLOCKED):
            raise task.not_allowed(row, "change of depends_on")
        added = [task_id for task_id in depends_on if task_id not in before]
        view.require(*_waits_needed(depends_on), *[_wait_key(task_id, row.id) for task_id in before])
        if added:
            _require_no_cycle(view, row, depends_on)
        for task_id in before:
            if view.get(TaskDependency, task_id, row.id) is not None:
                view.delete(_wait_key(task_id, row.id))
        waiting_count = _wait(view, row.id, row.project_id, depends_on)
        text = json.dumps(depends_on, separators=(",", ":"))
        return placed(row._replace(waiting_count=waiting_count, depends_on_json=text))


class ClaimTask(NamedTuple):
    """Give a session the next task of a project that is ready, and tie it to the session's lease.

    project_id: None: the session's.
    """

    session_id: SessionId
    fencing_token: int | None = None
    project_id: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The session, the project, and the head of its queue."""
        project_id = self.project_id or actor.project_id
        if project_id is None:
            return both_keys(self.session_id)
        return *both_keys(self.session_id), *_queue_needed(actor.account_id, project_id)

    def decide(self, view: View) -> Reply:
        """The task; an empty body where none is ready. It counts as a beat.

        Raises: not_found, validation_failed, too_many_tasks, session_parked, and what a beat raises.
        """
        session = _working(view, self.session_id, self.fencing_token)
        project_id = self.project_id or find_profile(view, session).project_id
        if project_id is None:
            raise _unacceptable("project_id", "is required: the session belongs to no project")
        view.require(*_queue_needed(session.account_id, project_id))
        project = find_project(view, project_id)
        if not hands_out_tasks(project):
            return Reply({})
        queues = [project_queue(project_id), *([session_queue(session.id)] if session.task_count else [])]
        ready = [_next_ready(view, session.account_id, queue) for queue in queues]
        found = max((each for each in ready if each is not None), key=lambda each: each.rank, default=None)
        return Reply({}) if found is None else Reply(task_body(_start(view, found, session)))


class StartTask(NamedTuple):
    """Work on a certain task. session_id: None: nobody whose lease would run out."""

    task_id: TaskId
    session_id: SessionId | None = None
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task, and the session."""
        return _needed(self.task_id, self.session_id)

    def decide(self, view: View) -> Reply:
        """The task. Raises: not_found, task_held, task_waiting, task_transition_not_allowed, and as a claim."""
        find_task(view, self.task_id)
        session = None
        if self.session_id is not None:
            session = _working(view, self.session_id, self.fencing_token)
        row = _settled(view, self.task_id)
        if session is None:
            _require_free(view, row)
        elif row.held_by is not None:
            task.require_holder(row, session_id=session.id, is_parked=False)
            if row.status == TaskStatus.IN_PROGRESS:
                return Reply(task_body(row))
        return Reply(task_body(_start(view, row, session)))


class CompleteTask(NamedTuple):
    """The task is done; those that waited for nothing else become ready.

    session_id: who says so; an agent has to tell where the task is held.
    """

    task_id: TaskId
    session_id: SessionId | None = None
    fencing_token: int | None = None
    result_json: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task, those that wait for it, and the session."""
        return *_needed(self.task_id, self.session_id), Members(DEPENDENTS, (self.task_id,))

    def decide(self, view: View) -> Reply:
        """The task; said again by the same session, the first answer.

        Raises: not_found, task_held, task_lost, task_transition_not_allowed, validation_failed, and what a beat raises.
        """
        before = find_task(view, self.task_id)
        if before.status == TaskStatus.COMPLETED and before.last_session_id == self.session_id is not None:
            return Reply(task_body(before))
        before = _acted_on(view, self.task_id, self.session_id, self.fencing_token)
        row = task.complete(before, result_json=self.result_json, now_ms=view.now.wall_ms)
        relieved = _relieve_dependents(view, row)
        return _finish(view, before, row, EventType.TASK_COMPLETED, {"made_ready": relieved})


class FailTask(NamedTuple):
    """The task went wrong. session_id: as to complete it."""

    task_id: TaskId
    error_message: str
    session_id: SessionId | None = None
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task, and the session."""
        return _needed(self.task_id, self.session_id)

    def decide(self, view: View) -> Reply:
        """The task; said again by the same session, the first answer. Raises: as to complete it."""
        before = find_task(view, self.task_id)
        is_same = before.status == TaskStatus.FAILED and before.error_message == self.error_message
        if is_same and before.last_session_id == self.session_id is not None:
            return Reply(task_body(before))
        before = _acted_on(view, self.task_id, self.session_id, self.fencing_token)
        row = task.fail(before, error_message=self.error_message, now_ms=view.now.wall_ms)
        return _finish(view, before, row, EventType.TASK_FAILED, {"error_message": self.error_message})


class BlockTask(NamedTuple):
    """The task cannot go on until somebody releases or starts it. session_id: as to complete it."""

    task_id: TaskId
    reason: str | None
    session_id: SessionId | None = None
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task, and the session."""
        return _needed(self.task_id, self.session_id)

    def decide(self, view: View) -> Reply:
        """The task. Raises: as to complete it."""
        before = _acted_on(view, self.task_id, self.session_id, self.fencing_token)
        row = task.block(before, reason=self.reason, now_ms=view.now.wall_ms)
        return _finish(view, before, row, EventType.TASK_BLOCKED, {"reason": self.reason})


class ReleaseTask(NamedTuple):
    """The task waits again for anybody: given back, unblocked, or tried anew. session_id: as to complete it."""

    task_id: TaskId
    reason: str | None
    session_id: SessionId | None = None
    fencing_token: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task, and the session; the project follows from it."""
        return _needed(self.task_id, self.session_id)

    def decide(self, view: View) -> Reply:
        """The task. Raises: as to complete it."""
        before = _acted_on(view, self.task_id, self.session_id, self.fencing_token)
        view.require(project_key(before.account_id, before.project_id))
        row = task.release(before, reason=self.reason, now_ms=view.now.wall_ms)
        return _finish(view, before, row, EventType.TASK_RELEASED, {"reason": self.reason})


class DeleteTask(NamedTuple):
    """Delete a task that nobody works on and for which none waits."""

    task_id: TaskId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The task, and those that wait for it."""
        return task_key(self.task_id), Members(DEPENDENTS, (self.task_id,))

    def decide(self, view: View) -> Reply:
        """What was deleted, counted. Raises: not_found, task_in_progress, task_needed."""
        row = _settled(view, self.task_id)
        if row.status == TaskStatus.IN_PROGRESS:
            ways_out = (WayOut(Action.RELEASE_TASK, row.held_by, target=row.id),)
            raise Refusal(Code.TASK_IN_PROGRESS, task_id=row.id, verb="deletion", ways_out=ways_out)
        waits: list[TaskDependency] = view.members(Members(DEPENDENTS, (row.id,)))
        if waits:
            first_id = min(wait.task_id for wait in waits)
            instead = (WayOut(Action.READ_TASK, target=first_id), WayOut(Action.CHANGE_DEPENDENCIES, target=first_id))
            data: dict[str, Any] = {"waiting": len(waits), "waiting_task_id": first_id}
            raise Refusal(Code.TASK_NEEDED, task_id=row.id, ways_out=instead, **data)
        remove_task(view, row, rule=Rule.REQUESTED)
        return Reply({"id": row.id, "deleted": {"tasks": 1}})


def retry_failed(view: View, session: Session) -> None:
    """Let the tasks that failed under a session wait again for somebody to work on them."""
    failed = [row for row in given_tasks(view, session.id) if row.status == TaskStatus.FAILED]
    view.require(*{project_key(row.account_id, row.project_id): None for row in failed})
    for row in failed:
        again = task.release(row, reason=None, now_ms=view.now.wall_ms)
        view.put(again)
        _tell(view, again, EventType.TASK_RELEASED, {"reason": None}, rule=Rule.RECOVERED, session_id=session.id)


def given_tasks(view: View, session_id: SessionId) -> list[Task]:
    """The tasks that were given to a session and to no other since, newest first."""
    return view.members(Members(TASKS_GIVEN, (session_id,)))


def reserve(view: View, task_id: TaskId, session: Session, *, recovered_id: SessionId) -> None:
    """Keep a task that waits for a session that is to begin with it.

    recovered_id: the session whose work it goes on with, which can be recovered without the task as well.
    Raises: not_found, task_held, task_transition_not_allowed.
    """
    row = _settled(view, task_id)
    view.require(project_key(row.account_id, row.project_id))
    if row.held_by is not None:
        raise task.held(row, WayOut(Action.RECOVER, recovered_id))
    if row.status != TaskStatus.PENDING:
        raise task.not_allowed(row, TaskVerb.START)
    _take(view, session)
    kept = task.reserved(row, session_id=session.id)._replace(revision=row.revision + 1)
    view.put(kept)
    _tell(view, kept, EventType.TASK_CHANGED, {"revision": kept.revision}, rule=Rule.RECOVERED)


def remove_task(view: View, row: Task, *, rule: Rule) -> None:
    """Delete a task for which none waits, and what it waited for."""
    view.require(*wait_keys(row))
    for key in wait_keys(row):
        if view.get(TaskDependency, *key.values) is not None:
            view.delete(key)
    _unhold(view, row)
    view.delete(task_key(row.id))
    _tell(view, row, EventType.TASK_DELETED, rule=rule)


def wait_keys(row: Task) -> list[Key]:
    """What a task may wait for, as rows that are there as long as it does."""
    return [_wait_key(task_id, row.id) for task_id in _depends_on(row)]


def task_key(task_id: TaskId) -> Key:
    """The row of a task."""
    return Key(Task, (task_id,))


def find_task(view: View, task_id: TaskId) -> Task:
    """A task that there is for the actor. Raises: not_found, the same for a foreign one as for none."""
    row = view.get(Task, task_id)
    if row is None or row.account_id != view.actor.account_id or view.actor.project_id not in (None, row.project_id):
        raise task_not_found()
    return row


def task_not_found() -> Refusal:
    """The answer for a task that there is not, or not for this caller."""
    return Refusal(Code.NOT_FOUND, what="task", ways_out=(WayOut(Action.LIST_TASKS),))


def task_body(row: Task) -> Body:
    """A task as everybody may see it."""
    is_worked_on = row.held_by is not None or row.status in FINISHED
    return {
        "id": row.id,
        "project_id": row.project_id,
        "name": row.name,
        "description": row.description,
        "status": str(row.status),
        "ready": row.ready_in is not None,
        "priority": row.priority,
        "depends_on_json": row.depends_on_json,
        "waiting_count": row.waiting_count,
        "session_id": row.held_by or (row.last_session_id if is_worked_on else None),
        "last_session_id": row.last_session_id,
        "attempts": row.attempts,
        "external_ref": row.external_ref,
        "external_url": row.external_url,
        "status_reason": row.status_reason,
        "error_message": row.error_message,
        "result_json": row.result_json,
        "meta_json": row.meta_json,
        "revision": row.revision,
        "created_at_ms": row.created_at_ms,
        "status_changed_at_ms": row.status_at_ms,
        "started_at_ms": row.started_at_ms,
        "finished_at_ms": row.finished_at_ms,
        "correlation_id": row.correlation_id,
    }


def _needed(task_id: TaskId, session_id: SessionId | None) -> tuple[Need, ...]:
    return (task_key(task_id),) if session_id is None else (task_key(task_id), *both_keys(session_id))


def _queue_needed(account_id: AccountId, project_id: str) -> tuple[Need, ...]:
    return project_key(account_id, project_id), Members(READY[0], (account_id, project_queue(project_id)))


def _beaten(view: View, session_id: SessionId, fencing_token: int | None) -> Session:
    """The session that says something of a task, which counts as a beat. Raises: not_found, and what a beat raises."""
    session = find_session(view, session_id)
    renewed = lifecycle.beat_in_time(session, now=view.now, told={})
    if renewed is None:
        return change(
            view,
            session,
            fencing_token=fencing_token,
            verb=lambda session, scope, now: lifecycle.require_writable(session, scope=scope, now=now),
        ).session
    check_token(session, given=fencing_token, now=view.now)
    require_token(session, given=fencing_token, now=view.now)
    if renewed is not session:
        view.put(renewed)
    return renewed


def _working(view: View, session_id: SessionId, fencing_token: int | None) -> Session:
    """A session that may take a task: one with a lease that runs. Raises: session_parked, and as `_beaten`."""
    session = _beaten(view, session_id, fencing_token)
    if session.status == Status.PARKED:
        ways_out = (WayOut(Action.RESUME, session.id), WayOut(Action.END, session.id))
        raise Refusal(Code.SESSION_PARKED, session_id=session.id, verb="take a task", ways_out=ways_out)
    return session


def _acted_on(view: View, task_id: TaskId, session_id: SessionId | None, fencing_token: int | None) -> Task:
    """A task, as it is once time has decided about its holder, that the caller may do something about.

    Raises: not_found, validation_failed, task_held, task_lost, and what a beat raises.
    """
    find_task(view, task_id)
    session = None if session_id is None else _beaten(view, session_id, fencing_token)
    row = _settled(view, task_id)
    if session is None:
        _require_free(view, row)
    else:
        task.require_holder(row, session_id=session.id, is_parked=session.status == Status.PARKED)
    return row


def _require_free(view: View, row: Task) -> None:
    """Where a task is held, only its holder may do something about it, or an operator. Raises: validation_failed."""
    if row.held_by is not None and not may(view.actor, KeyScope.OPERATOR):
        raise _unacceptable("session_id", f"is required: session {row.held_by} holds the task")


def _settled(view: View, task_id: TaskId) -> Task:
    """A task, let go of if the lease of the session that holds it is over and no sweep has come to that yet."""
    row = find_task(view, task_id)
    if row.held_by is None:
        return row
    view.require(*both_keys(row.held_by))
    holder = view.get(Session, row.held_by)
    assert holder is not None, "a session that holds a task is not deleted"
    settled = lifecycle.settle(holder, now=view.now)
    if settled.happenings:
        record(view, settled)
    return find_task(view, row.id)


def _next_ready(view: View, account_id: AccountId, queue: str) -> Task | None:
    """The task of a queue that is to be handed out next."""
    found: Task | None = None
    for spec in READY:
        found, is_certain = view.first(Members(spec, (account_id, queue)))
        if is_certain:
            break
    return found


def _start(view: View, row: Task, session: Session | None) -> Task:
    """The task, begun by the session; without one, it stays with the session that it is reserved for."""
    holder_id = row.held_by if session is None else session.id
    started = task.start(row, session_id=holder_id, now_ms=view.now.wall_ms)
    if session is not None:
        if row.held_by is None:
            _take(view, session)
        view.put(find_profile(view, session)._replace(current_task_id=row.id))
    view.put(started)
    _tell(view, started, EventType.TASK_STARTED, {"attempts": started.attempts})
    return started


def _take(view: View, session: Session) -> None:
    """Count one more task that the session holds. Raises: too_many_tasks."""
    if session.task_count >= TASKS_HELD_MAX:
        ways_out = (WayOut(Action.LIST_HELD_TASKS, session.id),)
        raise Refusal(Code.TOO_MANY_TASKS, session_id=session.id, limit=TASKS_HELD_MAX, ways_out=ways_out)
    view.put(session._replace(task_count=session.task_count + 1))


def _unhold(view: View, row: Task) -> None:
    """Count one task less for the session that holds this one, if one does."""
    if row.held_by is None:
        return
    view.require(*both_keys(row.held_by))
    session = view.get(Session, row.held_by)
    assert session is not None, "a session that holds a task is not deleted"
    view.put(session._replace(task_count=session.task_count - 1))
    profile = find_profile(view, session)
    if profile.current_task_id == row.id:
        view.put(profile._replace(current_task_id=None))


def _finish(view: View, before: Task, row: Task, event_type: EventType, data: Data) -> Reply:
    """Leave a task that its holder has let go of in the view."""
    _unhold(view, before)
    view.put(row)
    _tell(view, row, event_type, data, session_id=before.held_by)
    return Reply(task_body(row))


def _relieve_dependents(view: View, row: Task) -> int:
    """Let nobody wait for a completed task any more; how many tasks are ready because of it."""
    waits: list[TaskDependency] = view.members(Members(DEPENDENTS, (row.id,)))
    if not waits:
        return 0
    view.require(project_key(row.account_id, row.project_id), *[task_key(wait.task_id) for wait in waits])
    ready = 0
    for wait in waits:
        dependent = view.get(Task, wait.task_id)
        assert dependent is not None, "a task that is deleted waits for none"
        after = task.relieved(dependent)
        view.put(after)
        view.delete(key_of(wait))
        ready += after.ready_in is not None
    return ready


def _depends_on(row: Task) -> tuple[TaskId, ...]:
    return tuple(json.loads(row.depends_on_json))


def _wait_key(depends_on_id: TaskId, task_id: TaskId) -> Key:
    return Key(TaskDependency, (depends_on_id, task_id))


def _waits_needed(depends_on: tuple[TaskId, ...]) -> list[Need]:
    return [need for task_id in depends_on for need in (task_key(task_id), Members(DEPENDENTS, (task_id,)))]


def _wait(view: View, task_id: TaskId, project_id: str, depends_on: tuple[TaskId, ...]) -> int:
    """Let a task wait for those of these tasks that are not completed; how many that is.

    Raises: validation_failed, task_crowded.
    """
    view.require(*_waits_needed(depends_on))
    errors = []
    waiting_count = 0
    for position, depends_on_id in enumerate(depends_on):
        other = view.get(Task, depends_on_id)
        if other is None or (other.account_id, other.project_id) != (view.actor.account_id, project_id):
            errors.append(FieldError(f"depends_on[{position}]", "names no task of the project"))
        elif other.status != TaskStatus.COMPLETED:
            waiting_count += 1
            if len(view.members(Members(DEPENDENTS, (depends_on_id,)))) >= TASK_DEPENDENTS_MAX:
                ways_out = (WayOut(Action.READ_TASK, target=depends_on_id),)
                raise Refusal(Code.TASK_CROWDED, task_id=depends_on_id, limit=TASK_DEPENDENTS_MAX, ways_out=ways_out)
            view.put(TaskDependency(depends_on_id, task_id, view.actor.account_id, project_id))
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(errors))
    return waiting_count


def _require_no_cycle(view: View, row: Task, depends_on: tuple[TaskId, ...]) -> None:
    """Refuse waits by which a task would wait for itself. Raises: validation_failed."""
    waits: list[TaskDependency] = view.members(Members(WAITS, (row.account_id, row.project_id)))
    if len(waits) > PROJECT_WAITS_MAX:
        message = f"cannot be changed: over {PROJECT_WAITS_MAX} waits in the project; add a new task instead"
        raise _unacceptable("depends_on", message)
    next_ids: dict[TaskId, list[TaskId]] = {row.id: list(depends_on)}
    for wait in waits:
        if wait.task_id != row.id:
            next_ids.setdefault(wait.task_id, []).append(wait.depends_on_id)
    came_from: dict[TaskId, TaskId] = {}
    to_visit = [row.id]
    while to_visit:
        at = to_visit.pop()
        for next_id in next_ids.get(at, ()):
            if next_id == row.id:
                path = [row.id, at] if at != row.id else [row.id]
                while at in came_from and came_from[at] != row.id:
                    at = came_from[at]
                    path.append(at)
                raise _unacceptable("depends_on", f"would make a cycle: {_told_of_path([*path, row.id])}")
            if next_id not in came_from:
                came_from[next_id] = at
                to_visit.append(next_id)


CYCLE_SHOWN_MAX: Final = 12
"""Tasks of a cycle that a refusal names; of a longer one the middle is left out."""


def _told_of_path(path: list[TaskId]) -> str:
    half = CYCLE_SHOWN_MAX // 2
    shown: list[str] = [*path[:half], "…", *path[-half:]] if len(path) > CYCLE_SHOWN_MAX else [*path]
    return " ← ".join(shown)


def _unacceptable(field: str, message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, message),))


def _tell(
    view: View,
    row: Task,
    event_type: EventType,
    data: Data | None = None,
    *,
    rule: Rule = Rule.REQUESTED,
    session_id: SessionId | None = None,
) -> None:
    told: Data = {"task_id": row.id, "status": str(row.status), **(data or {})}
    happening = Happening(event_type, rule, view.now.wall_ms, told)
    holder_id = session_id or row.held_by or ""
    view.emit((happening,), session_id=holder_id, account_id=row.account_id, project_id=row.project_id)
