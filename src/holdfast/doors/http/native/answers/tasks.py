"""What tasks answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.commands.bodies import Body
from holdfast.domain.errors import Code
from holdfast.domain.task import TaskStatus
from holdfast.doors.http.described import Described, Nothing
from holdfast.doors.http.native.answers.refusals import WRITING
from holdfast.doors.http.native.answers.words import At, Count, NextCursor, SessionId, TaskId, Total


class Task(msgspec.Struct, kw_only=True):
    """A piece of work, done by one session at a time."""

    id: TaskId
    project_id: Annotated[str, Meta(examples=["holdfast"])]
    name: Annotated[str, Meta(examples=["write the parser"])]
    description: str | None
    status: Annotated[TaskStatus, Meta(examples=["pending"])]
    ready: Annotated[bool, Meta(description="It can be claimed, where it is reserved by its session alone.")]
    priority: Annotated[int, Meta(description="The higher is claimed first, and the older of equal ones.")]
    depends_on: list[TaskId]
    waiting_count: Annotated[int, Meta(ge=0, description="How many of those are not completed.")]
    session_id: Annotated[SessionId | None, Meta(description="Which works on it, or finished it.")]
    last_session_id: Annotated[SessionId | None, Meta(description="To which it was given last.")]
    attempts: Annotated[int, Meta(ge=0, description="How often it was started.")]
    external_ref: Annotated[str | None, Meta(description="What it is called where it is kept, such as GitHub.")]
    external_url: str | None
    status_reason: Annotated[str | None, Meta(description="Why it was blocked or released.")]
    error_message: Annotated[str | None, Meta(description="Why it failed last.")]
    result: Any
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]
    revision: Annotated[int, Meta(description="For `If-Match`.", examples=[1])]
    created_at: At
    status_changed_at: At
    started_at: At | None
    finished_at: At | None
    correlation_id: str


class TaskList(msgspec.Struct):
    """A page of tasks, newest first."""

    items: list[Task]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class DeletedTasks(msgspec.Struct):
    """What a deletion took away, counted."""

    tasks: Count


class DeletedTask(msgspec.Struct):
    """A task that is gone."""

    id: TaskId
    deleted: DeletedTasks


_TAKING = (*WRITING, Code.SESSION_PARKED, Code.TOO_MANY_TASKS)
_ON_TASK = (*WRITING, Code.TASK_HELD, Code.TASK_LOST, Code.TASK_TRANSITION_NOT_ALLOWED)
_WORKER: Body = {"session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD", "fencing_token": 1}


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/tasks": Described(
        "create_task",
        {201: Task},
        (*_TAKING, Code.TASK_CROWDED),
        {"project_id": "holdfast", "name": "write the parser", "priority": 5},
    ),
    "GET /v1/tasks": Described("list_tasks", {200: TaskList}, (Code.CURSOR_INVALID,)),
    "POST /v1/tasks/claim": Described(
        "claim_task", {200: Task, 204: Nothing("No task is ready.")}, _TAKING, {**_WORKER, "project_id": "holdfast"}
    ),
    "GET /v1/tasks/{id}": Described("read_task", {200: Task}, (Code.NOT_FOUND,)),
    "PATCH /v1/tasks/{id}": Described(
        "patch_task",
        {200: Task},
        (Code.NOT_FOUND, Code.REVISION_CONFLICT, Code.TASK_TRANSITION_NOT_ALLOWED, Code.TASK_CROWDED),
        {"priority": 9},
    ),
    "DELETE /v1/tasks/{id}": Described(
        "delete_task", {200: DeletedTask}, (Code.NOT_FOUND, Code.TASK_IN_PROGRESS, Code.TASK_NEEDED)
    ),
    "POST /v1/tasks/{id}/start": Described(
        "start_task",
        {200: Task},
        (*_TAKING, Code.TASK_HELD, Code.TASK_WAITING, Code.TASK_TRANSITION_NOT_ALLOWED),
        _WORKER,
    ),
    "POST /v1/tasks/{id}/complete": Described(
        "complete_task", {200: Task}, _ON_TASK, {**_WORKER, "result": {"pull_request": 12}}
    ),
    "POST /v1/tasks/{id}/fail": Described(
        "fail_task", {200: Task}, _ON_TASK, {**_WORKER, "error_message": "the build broke"}
    ),
    "POST /v1/tasks/{id}/block": Described(
        "block_task", {200: Task}, _ON_TASK, {**_WORKER, "reason": "waits for a review"}
    ),
    "POST /v1/tasks/{id}/release": Described("release_task", {200: Task}, _ON_TASK, _WORKER),
    "GET /v1/sessions/{id}/tasks": Described(
        "list_session_tasks", {200: TaskList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
}
