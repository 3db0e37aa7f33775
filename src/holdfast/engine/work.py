"""Questions about projects and tasks: answered from committed rows, for those who may see them alone."""

from typing import Final

from holdfast.commands.bodies import Body, summary_body
from holdfast.commands.lists import ListRequest
from holdfast.commands.projects import project_body, project_not_found
from holdfast.commands.releasing import project_key
from holdfast.commands.rows import Count, CountSpec
from holdfast.commands.tasks import task_body, task_key, task_not_found
from holdfast.domain.actor import Actor
from holdfast.domain.ids import SessionId, TaskId
from holdfast.domain.project import Project
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, SessionProfile, Status
from holdfast.domain.task import Task, TaskStatus, project_queue
from holdfast.engine.queries import SESSION_LIST, Page, find_session, present
from holdfast.store.port import Reader

_TASKS_OF_STATUS: Final = {
    status: CountSpec(f"{status}_tasks", Task, ("account_id", "project_id"), ("status", (status,)))
    for status in TaskStatus
}
_READY_TASKS: Final = CountSpec("ready_tasks", Task, ("account_id", "ready_in"), ("status", (TaskStatus.PENDING,)))


def find_project(store: Reader, actor: Actor, project_id: str) -> Project:
    """A project. Raises: not_found."""
    row = store.get(project_key(actor.account_id, project_id))
    if not isinstance(row, Project) or actor.project_id not in (None, project_id):
        raise project_not_found(actor)
    return row


def project(store: Reader, actor: Actor, project_id: str) -> Body:
    """One project. Raises: not_found."""
    return project_body(find_project(store, actor, project_id))


def projects(store: Reader, request: ListRequest) -> Page:
    """A page of projects, by id."""
    page = store.page(request)
    items = [project_body(row) for (row,) in page.rows if isinstance(row, Project)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def project_sessions(store: Reader, actor: Actor, project_id: str, *, limit: int) -> Body:
    """The sessions of a project by status: how many there are, and the newest of each. Raises: not_found."""
    find_project(store, actor, project_id)
    now = present(store)
    groups = [_group(store, actor, project_id, status, limit=limit, now=now) for status in Status]
    return {"project_id": project_id, "total": sum(group["count"] for group in groups), "groups": groups}


def _group(store: Reader, actor: Actor, project_id: str, status: Status, *, limit: int, now: Moment) -> Body:
    filters = (("project_id", project_id), ("status", status.value))
    page = store.page(ListRequest(SESSION_LIST, actor.account_id, filters, None, limit, with_total=True))
    sessions = [
        summary_body(row, profile, now=now)
        for row, profile in page.rows
        if isinstance(row, Session) and isinstance(profile, SessionProfile)
    ]
    return {"status": status.value, "count": page.total, "sessions": sessions}


def project_summary(store: Reader, actor: Actor, project_id: str) -> Body:
    """A project, and its sessions and tasks counted by status. Raises: not_found."""
    row = find_project(store, actor, project_id)
    now = present(store)
    sessions = {status.value: _group(store, actor, project_id, status, limit=1, now=now)["count"] for status in Status}
    of_project = (actor.account_id, project_id)
    tasks = {status.value: store.count(Count(spec, of_project)) for status, spec in _TASKS_OF_STATUS.items()}
    return {
        "project": project_body(row),
        "sessions": {"total": sum(sessions.values()), "by_status": sessions},
        "tasks": {
            "total": sum(tasks.values()),
            "ready": store.count(Count(_READY_TASKS, (actor.account_id, project_queue(project_id)))),
            "by_status": tasks,
        },
    }


def task(store: Reader, actor: Actor, task_id: TaskId) -> Body:
    """One task. Raises: not_found."""
    row = store.get(task_key(task_id))
    if not isinstance(row, Task) or row.account_id != actor.account_id:
        raise task_not_found()
    if actor.project_id not in (None, row.project_id):
        raise task_not_found()
    return task_body(row)


def tasks(store: Reader, request: ListRequest) -> Page:
    """A page of tasks, newest first."""
    page = store.page(request)
    items = [task_body(row) for (row,) in page.rows if isinstance(row, Task)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def session_tasks(store: Reader, actor: Actor, request: ListRequest, *, session_id: SessionId) -> Page:
    """A page of the tasks that were last given to a session, newest first. Raises: not_found."""
    find_session(store, actor, session_id)
    return tasks(store, request)
