"""Tasks: one table of what may happen to one in which status, and the functions that read it.

A task is worked on by one session at a time, for as long as that session's lease. Nothing about a task's status is
decided anywhere else.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import ULID_ALPHABET, AccountId, KeyId, SessionId, TaskId
from holdfast.domain.limits import TASK_PRIORITY_MAX, TASKS_NOTED_MAX


class TaskStatus(StrEnum):
    """Where a task is in its life."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"


class TaskVerb(StrEnum):
    """What somebody can do about a task."""

    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    BLOCK = "block"
    RELEASE = "release"


class Task(NamedTuple):
    """A task.

    rank: by which ready tasks are handed out, the greatest first: the higher priority, then the older task.
    ready_in: the queue in which the task can be claimed; None while it can not.
    held_by: the session that works on it, or that it waits for; None once that has let go of it.
    last_session_id: the last session that it was given to.
    waiting_count: how many of the tasks that it depends on are not completed.
    attempts: how often it was started. revision: grows with every change.
    depends_on_json: a list of ids. meta_json, result_json: free JSON. All as text.
    status_reason: why it is blocked, or was released. error_message: why it failed last.
    """

    id: TaskId
    account_id: AccountId
    project_id: str
    status: TaskStatus
    priority: int
    rank: str
    ready_in: str | None
    held_by: SessionId | None
    last_session_id: SessionId | None
    waiting_count: int
    attempts: int
    revision: int
    name: str
    description: str | None
    external_ref: str | None
    external_url: str | None
    depends_on_json: str
    meta_json: str | None
    result_json: str | None
    status_reason: str | None
    error_message: str | None
    created_at_ms: int
    status_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    key_id: KeyId
    correlation_id: str


class TaskDependency(NamedTuple):
    """One task waits for another; there is no row once that other one is completed."""

    depends_on_id: TaskId
    task_id: TaskId
    account_id: AccountId
    project_id: str


_S, _V = TaskStatus, TaskVerb

TABLE: Final[dict[TaskStatus, dict[TaskVerb, TaskStatus]]] = {
    _S.PENDING: {_V.START: _S.IN_PROGRESS, _V.BLOCK: _S.BLOCKED},
    _S.IN_PROGRESS: {
        _V.COMPLETE: _S.COMPLETED,
        _V.FAIL: _S.FAILED,
        _V.BLOCK: _S.BLOCKED,
        _V.RELEASE: _S.PENDING,
    },
    _S.BLOCKED: {_V.START: _S.IN_PROGRESS, _V.FAIL: _S.FAILED, _V.RELEASE: _S.PENDING},
    _S.FAILED: {_V.RELEASE: _S.PENDING},
    _S.COMPLETED: {},
}
"""What may become of a task. One that is pending but reserved for a session can be released as well."""

FINISHED: Final = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})

_ACTIONS: Final = {
    TaskVerb.START: Action.START_TASK,
    TaskVerb.COMPLETE: Action.COMPLETE_TASK,
    TaskVerb.FAIL: Action.FAIL_TASK,
    TaskVerb.BLOCK: Action.BLOCK_TASK,
    TaskVerb.RELEASE: Action.RELEASE_TASK,
}

_INVERTED: Final = str.maketrans(ULID_ALPHABET, ULID_ALPHABET[::-1])


def rank(task_id: TaskId, *, priority: int) -> str:
    """Sorts above every task of a lower priority, and of the same one above every task with a later id."""
    return f"{priority + TASK_PRIORITY_MAX:07d}{task_id.removeprefix('task_').translate(_INVERTED)}"


def placed(task: Task) -> Task:
    """The task, in a queue where it can be claimed, and in none where not."""
    if task.status != TaskStatus.PENDING or task.waiting_count > 0:
        return task._replace(ready_in=None)
    queue = project_queue(task.project_id) if task.held_by is None else session_queue(task.held_by)
    return task._replace(ready_in=queue)


def project_queue(project_id: str) -> str:
    """The tasks of a project that any session can claim."""
    return f"project={project_id}"


def session_queue(session_id: SessionId) -> str:
    """The tasks that are reserved for a session."""
    return f"session={session_id}"


def allowed(task: Task) -> list[TaskVerb]:
    """What may be done about a task as it stands."""
    verbs = [verb for verb in TABLE[task.status] if verb != TaskVerb.START or task.waiting_count == 0]
    if task.status == TaskStatus.PENDING and task.held_by is not None:
        verbs.append(TaskVerb.RELEASE)
    return verbs


def start(task: Task, *, session_id: SessionId | None, now_ms: int) -> Task:
    """Somebody works on the task. session_id: the session that does; None: nobody whose lease would run out.

    Raises: task_waiting, task_transition_not_allowed.
    """
    if task.status in (TaskStatus.PENDING, TaskStatus.BLOCKED) and task.waiting_count > 0:
        ways_out = (WayOut(Action.READ_TASK, target=task.id), WayOut(Action.CHANGE_DEPENDENCIES, target=task.id))
        raise Refusal(Code.TASK_WAITING, task_id=task.id, waiting=task.waiting_count, ways_out=ways_out)
    moved = _moved(task, TaskVerb.START, now_ms=now_ms)
    return placed(
        moved._replace(
            held_by=session_id,
            last_session_id=session_id or task.last_session_id,
            attempts=task.attempts + 1,
            started_at_ms=now_ms,
            finished_at_ms=None,
        )
    )


def complete(task: Task, *, result_json: str | None, now_ms: int) -> Task:
    """The task is done. Raises: task_transition_not_allowed."""
    moved = _moved(task, TaskVerb.COMPLETE, now_ms=now_ms)
    return moved._replace(held_by=None, result_json=result_json, error_message=None, finished_at_ms=now_ms)


def fail(task: Task, *, error_message: str, now_ms: int) -> Task:
    """The task went wrong; it stays so until it is released. Raises: task_transition_not_allowed."""
    moved = _moved(task, TaskVerb.FAIL, now_ms=now_ms)
    return moved._replace(held_by=None, error_message=error_message, finished_at_ms=now_ms)


def block(task: Task, *, reason: str | None, now_ms: int) -> Task:
    """The task cannot go on for now, and nobody works on it. Raises: task_transition_not_allowed."""
    moved = _moved(task, TaskVerb.BLOCK, now_ms=now_ms)
    return placed(moved._replace(held_by=None, status_reason=reason))


def release(task: Task, *, reason: str | None, now_ms: int) -> Task:
    """The task waits again for somebody to work on it. Raises: task_transition_not_allowed."""
    if task.status == TaskStatus.PENDING and task.held_by is not None:
        return requeued(task, now_ms=now_ms)._replace(status_reason=reason)
    moved = _moved(task, TaskVerb.RELEASE, now_ms=now_ms)
    return placed(moved._replace(held_by=None, status_reason=reason, finished_at_ms=None))


def requeued(task: Task, *, now_ms: int) -> Task:
    """The task after the session that held it lapsed or was over: pending again, its attempt counted."""
    return placed(
        task._replace(status=TaskStatus.PENDING, held_by=None, status_at_ms=now_ms, revision=task.revision + 1)
    )


def reserved(task: Task, *, session_id: SessionId) -> Task:
    """The task, to be started by this session and by no other."""
    return placed(task._replace(held_by=session_id, last_session_id=session_id))


class LetGo(NamedTuple):
    """What is remembered of the tasks that a session held as it lapsed or was over.

    current_task_id: the one that it had begun last. number: of all; the first of them in `statuses`, by their ids.
    """

    current_task_id: TaskId | None
    number: int
    statuses: dict[TaskId, TaskStatus]


NOTHING_LET_GO: Final = LetGo(None, 0, {})


def noted(tasks: Sequence[Task], *, current_task_id: str | None) -> str:
    """What is to be remembered of tasks that are let go of, as text; the current one first, then what was begun."""
    import json

    ordered = sorted(tasks, key=lambda task: task.rank, reverse=True)
    ordered.sort(key=lambda task: (task.id != current_task_id, task.status != TaskStatus.IN_PROGRESS))
    kept = [[task.id, str(task.status)] for task in ordered[:TASKS_NOTED_MAX]]
    current = next((task.id for task in ordered if task.id == current_task_id), None)
    return json.dumps({"current": current, "number": len(tasks), "tasks": kept}, separators=(",", ":"))


def let_go(note: str | None) -> LetGo:
    """What `noted` wrote; of a session that held none: nothing."""
    if note is None:
        return NOTHING_LET_GO
    import json

    told = json.loads(note)
    return LetGo(told["current"], told["number"], {task_id: TaskStatus(was) for task_id, was in told["tasks"]})


def relieved(task: Task) -> Task:
    """The task after one more of those that it depends on was completed."""
    return placed(task._replace(waiting_count=task.waiting_count - 1, revision=task.revision + 1))


def _moved(task: Task, verb: TaskVerb, *, now_ms: int) -> Task:
    to = TABLE[task.status].get(verb)
    if to is None:
        raise not_allowed(task, verb)
    return task._replace(status=to, ready_in=None, status_reason=None, status_at_ms=now_ms, revision=task.revision + 1)


def not_allowed(task: Task, verb: str) -> Refusal:
    """The refusal of a transition that the table does not have, with those that it has."""
    verbs = allowed(task)
    ways_out = [WayOut(Action.READ_TASK, target=task.id)]
    ways_out += [WayOut(_ACTIONS[each], session_id=task.held_by, target=task.id) for each in verbs]
    data: dict[str, Any] = {"task_id": task.id, "task_status": str(task.status), "verb": str(verb)}
    told = ", ".join(each.value for each in verbs) or "nothing"
    return Refusal(Code.TASK_TRANSITION_NOT_ALLOWED, allowed=told, ways_out=tuple(ways_out), **data)


def held(task: Task, instead: WayOut) -> Refusal:
    """The refusal of a task that another session has. instead: what can be done without it."""
    ways_out = (WayOut(Action.READ_TASK, target=task.id), instead)
    return Refusal(Code.TASK_HELD, task_id=task.id, holder_session_id=task.held_by, ways_out=ways_out)


def require_holder(task: Task, *, session_id: SessionId, is_parked: bool) -> None:
    """Refuse a session that does not have the task, or not any more. Raises: task_held, task_lost.

    is_parked: the session is, so that it is given no task before it is resumed.
    """
    if task.held_by == session_id:
        return
    resume = WayOut(Action.RESUME, session_id)
    if task.held_by is not None:
        raise held(task, resume if is_parked else WayOut(Action.CLAIM_TASK, session_id, target=task.project_id))
    read = WayOut(Action.READ_TASK, target=task.id)
    if task.status == TaskStatus.PENDING and task.last_session_id == session_id:
        start = resume if is_parked else WayOut(Action.START_TASK, session_id, target=task.id)
        again = (start,) if task.waiting_count == 0 else ()
        raise Refusal(Code.TASK_LOST, task_id=task.id, session_id=session_id, ways_out=(read, *again))
