"""Routes for tasks: added, claimed, and brought to their end."""

from typing import Annotated, Any

import msgspec

from holdfast.commands.tasks import (
    CHANGEABLE,
    TASK_LIST,
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
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import SessionId, TaskId
from holdfast.domain.limits import (
    META_BYTES_MAX,
    TASK_DEPENDENCIES_MAX,
    TASK_DESCRIPTION_CHARS_MAX,
    TASK_PRIORITY_MAX,
)
from holdfast.domain.task import TaskStatus
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Name, Note, Reason, Record, Title, Token, Url, free_json
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import work

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

Priority = Annotated[int, msgspec.Meta(ge=-TASK_PRIORITY_MAX, le=TASK_PRIORITY_MAX)]
TaskIds = Annotated[list[Id], msgspec.Meta(max_length=TASK_DEPENDENCIES_MAX)]
Description = Annotated[str, msgspec.Meta(max_length=TASK_DESCRIPTION_CHARS_MAX)]


class TaskBody(Record, kw_only=True):
    """`POST /v1/tasks`."""

    name: Title
    project_id: Annotated[Id | None, msgspec.Meta(description="By default the session's.")] = None
    description: Description | None = None
    priority: Annotated[Priority, msgspec.Meta(description="The higher is claimed first.")] = 0
    depends_on: Annotated[TaskIds, msgspec.Meta(description="Tasks of the same project.")] = msgspec.field(
        default_factory=list
    )
    session_id: Annotated[Id | None, msgspec.Meta(description="For which it is reserved.")] = None
    fencing_token: Annotated[Token | None, msgspec.Meta(description="The session's.")] = None
    external_ref: Title | None = None
    external_url: Url | None = None
    meta: dict[str, Any] | None = None


class PatchTaskBody(Record):
    """`PATCH /v1/tasks/{id}`: what is not named stays, null clears; meta is a merge patch."""

    name: Title | Unset = UNSET
    description: Description | Unset | None = UNSET
    priority: Priority | Unset = UNSET
    depends_on: TaskIds | Unset = UNSET
    external_ref: Title | Unset | None = UNSET
    external_url: Url | Unset | None = UNSET
    meta: dict[str, Any] | Unset | None = UNSET


class ClaimBody(Record):
    """`POST /v1/tasks/claim`."""

    session_id: Id
    fencing_token: Token | None = None
    project_id: Annotated[Id | None, msgspec.Meta(description="By default the session's.")] = None


class WorkerBody(Record):
    """Who says so: the session that holds the task, if one does; an operator may leave it out."""

    session_id: Id | None = None
    fencing_token: Annotated[Token | None, msgspec.Meta(description="The session's.")] = None

    @property
    def told(self) -> tuple[SessionId | None, int | None]:
        """The session, and its token."""
        return None if self.session_id is None else SessionId(self.session_id), self.fencing_token


class CompleteBody(WorkerBody):
    """`POST …/complete`."""

    result: Any = None


class FailTaskBody(WorkerBody, kw_only=True):
    """`POST …/fail`."""

    error_message: Reason


class SetAsideBody(WorkerBody):
    """`POST …/block` and `…/release`."""

    reason: Note | None = None


class TasksQuery(ListQuery):
    """`GET /v1/tasks`."""

    status: TaskStatus | None = None
    project_id: Id | None = None
    session_id: Id | None = None
    external_ref: Title | None = None
    ready: Annotated[bool, msgspec.Meta(extra_json_schema={"const": True})] | None = None
    q: Name | None = None


class SessionTasksQuery(ListQuery):
    """`GET /v1/sessions/{id}/tasks`."""

    status: TaskStatus | None = None


def _task_id(call: Call) -> TaskId:
    return TaskId(call.ids[0])


async def create(call: Call) -> Answer:
    """Add a task to a project."""
    body: TaskBody = call.body
    plain = ("description", "external_ref", "external_url")
    command = CreateTask(
        project_id=body.project_id,
        session_id=None if body.session_id is None else SessionId(body.session_id),
        fencing_token=body.fencing_token,
        name=body.name,
        priority=body.priority,
        depends_on=tuple(map(TaskId, body.depends_on)),
        fields=tuple((name, getattr(body, name)) for name in plain),
        meta_json=None if body.meta is None else free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX),
    )
    return answered(await call.execute(command))


async def list_tasks(call: Call) -> Answer:
    """Tasks, newest first."""
    query: TasksQuery = call.query
    if query.ready is False:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("ready", "must be true, or left out"),))
    filters = {name: getattr(query, name) for name in ("project_id", "session_id", "external_ref", "ready", "q")}
    filters["status"] = None if query.status is None else query.status.value
    filters["bound_project_id"] = call.actor.project_id
    request = list_request(TASK_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(work.tasks, request), request))


async def list_session_tasks(call: Call) -> Answer:
    """The tasks that a session was given and that no other was given since, newest first."""
    query: SessionTasksQuery = call.query
    session_id = SessionId(call.ids[0])
    status = None if query.status is None else query.status.value
    filters: dict[str, str | int | bool | None] = {"session_id": session_id, "status": status}
    filters["bound_project_id"] = call.actor.project_id
    request = list_request(TASK_LIST, call.actor.account_id, query, filters)
    page = await call.core.read(work.session_tasks, call.actor, request, session_id=session_id)
    return Answer(200, page_body(page, request))


async def read(call: Call) -> Answer:
    """One task."""
    return Answer(200, await call.core.read(work.task, call.actor, _task_id(call)))


async def patch(call: Call) -> Answer:
    """Change what a task is about, how urgent it is, or what it waits for."""
    body: PatchTaskBody = call.body
    fields = tuple((name, getattr(body, name)) for name in CHANGEABLE if getattr(body, name) is not UNSET)
    depends_on = None if isinstance(body.depends_on, Unset) else tuple(map(TaskId, body.depends_on))
    meta_patch_json = None
    if body.meta is not UNSET:
        meta_patch_json = free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX)
    command = PatchTask(_task_id(call), call.revision, fields, depends_on, meta_patch_json)
    return answered(await call.execute(command))


async def delete(call: Call) -> Answer:
    """Delete a task that nobody works on and for which none waits."""
    return answered(await call.execute(DeleteTask(_task_id(call))))


async def claim(call: Call) -> Answer:
    """Give a session the next task that is ready, for as long as its lease lasts; 204 where none is."""
    body: ClaimBody = call.body
    reply = await call.execute(ClaimTask(SessionId(body.session_id), body.fencing_token, body.project_id))
    return answered(reply) if reply.body else Answer(204, None, reply.is_replay)


async def start(call: Call) -> Answer:
    """Work on a certain task."""
    return answered(await call.execute(StartTask(_task_id(call), *call.body.told)))


async def complete(call: Call) -> Answer:
    """The task is done; those that waited for nothing else become ready."""
    body: CompleteBody = call.body
    result = body.result
    result_json = None if result is None else free_json(result, field="result", bytes_max=META_BYTES_MAX)
    return answered(await call.execute(CompleteTask(_task_id(call), *body.told, result_json)))


async def fail(call: Call) -> Answer:
    """The task went wrong; released, it is tried anew."""
    body: FailTaskBody = call.body
    return answered(await call.execute(FailTask(_task_id(call), body.error_message, *body.told)))


async def block(call: Call) -> Answer:
    """The task cannot go on for now; its session is free for another."""
    body: SetAsideBody = call.body
    return answered(await call.execute(BlockTask(_task_id(call), body.reason, *body.told)))


async def release(call: Call) -> Answer:
    """Give a task back, unblock it, or have it tried anew: it is pending again."""
    body: SetAsideBody = call.body
    return answered(await call.execute(ReleaseTask(_task_id(call), body.reason, *body.told)))


def _verb(name: str, handler: Any, body: type[Record]) -> Route:
    return Route("POST", f"/v1/tasks/{{id}}/{name}", handler, KeyScope.AGENT, body=body, is_mutating=True)


ROUTES = [
    Route("POST", "/v1/tasks", create, KeyScope.AGENT, body=TaskBody, is_mutating=True),
    Route("GET", "/v1/tasks", list_tasks, KeyScope.READ, query=TasksQuery),
    Route("POST", "/v1/tasks/claim", claim, KeyScope.AGENT, body=ClaimBody, is_mutating=True),
    Route("GET", "/v1/tasks/{id}", read, KeyScope.READ),
    Route("PATCH", "/v1/tasks/{id}", patch, KeyScope.AGENT, body=PatchTaskBody, is_mutating=True, takes_revision=True),
    Route("DELETE", "/v1/tasks/{id}", delete, KeyScope.AGENT, is_mutating=True),
    _verb("start", start, WorkerBody),
    _verb("complete", complete, CompleteBody),
    _verb("fail", fail, FailTaskBody),
    _verb("block", block, SetAsideBody),
    _verb("release", release, SetAsideBody),
    Route("GET", "/v1/sessions/{id}/tasks", list_session_tasks, KeyScope.READ, query=SessionTasksQuery),
]
