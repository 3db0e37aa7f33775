"""Routes for projects."""

from typing import Annotated, Any

import msgspec

from holdfast.commands.projects import CHANGEABLE, PROJECT_LIST, CreateProject, PatchProject
from holdfast.domain.actor import KeyScope
from holdfast.domain.limits import META_BYTES_MAX
from holdfast.domain.project import ProjectStatus
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Name, Record, Title, Url, free_json
from holdfast.doors.http.native.paging import Limit, ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import work

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

SESSIONS_OF_STATUS_DEFAULT = 20


class ProjectBody(Record):
    """`POST /v1/projects`."""

    id: Annotated[Id | None, msgspec.Meta(description="By default one is made up.")] = None
    name: Annotated[Title | None, msgspec.Meta(description="By default its id.")] = None
    repository: Title | None = None
    status: ProjectStatus = ProjectStatus.ACTIVE
    external_ref: Title | None = None
    external_url: Url | None = None
    meta: dict[str, Any] | None = None


class PatchProjectBody(Record):
    """`PATCH /v1/projects/{id}`: what is not named stays, null clears; meta is a merge patch."""

    name: Title | Unset = UNSET
    repository: Title | Unset | None = UNSET
    status: ProjectStatus | Unset = UNSET
    external_ref: Title | Unset | None = UNSET
    external_url: Url | Unset | None = UNSET
    meta: dict[str, Any] | Unset | None = UNSET


class ProjectsQuery(ListQuery):
    """`GET /v1/projects`."""

    status: ProjectStatus | None = None
    repository: Title | None = None
    external_ref: Title | None = None
    q: Name | None = None


class ProjectSessionsQuery(Record):
    """`GET /v1/projects/{id}/sessions`. `limit`: sessions shown of each status."""

    limit: Limit = SESSIONS_OF_STATUS_DEFAULT


async def create(call: Call) -> Answer:
    """Make a project. One that a session names is made by itself."""
    body: ProjectBody = call.body
    given = {name: getattr(body, name) for name in CHANGEABLE}
    fields = tuple((name, value) for name, value in given.items() if value is not None)
    if body.id is not None and body.name is None:
        fields = (("name", body.id), *fields)
    meta_json = None if body.meta is None else free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX)
    return answered(await call.execute(CreateProject(body.id, fields, meta_json)))


async def list_projects(call: Call) -> Answer:
    """Projects, by id."""
    query: ProjectsQuery = call.query
    filters = {name: getattr(query, name) for name in ("repository", "external_ref", "q")}
    filters["status"] = None if query.status is None else query.status.value
    filters["bound_project_id"] = call.actor.project_id
    request = list_request(PROJECT_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(work.projects, request), request))


async def read(call: Call) -> Answer:
    """One project."""
    return Answer(200, await call.core.read(work.project, call.actor, call.ids[0]))


async def patch(call: Call) -> Answer:
    """Change a project. Only an active one hands out tasks."""
    body: PatchProjectBody = call.body
    given = {name: getattr(body, name) for name in CHANGEABLE}
    fields = tuple((name, value) for name, value in given.items() if value is not UNSET)
    meta_patch_json = None
    if body.meta is not UNSET:
        meta_patch_json = free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX)
    return answered(await call.execute(PatchProject(call.ids[0], call.revision, fields, meta_patch_json)))


async def list_sessions(call: Call) -> Answer:
    """The sessions of a project, grouped by status: how many, and the newest of each."""
    query: ProjectSessionsQuery = call.query
    return Answer(200, await call.core.read(work.project_sessions, call.actor, call.ids[0], limit=query.limit))


async def summary(call: Call) -> Answer:
    """A project, with its sessions and tasks counted by status."""
    return Answer(200, await call.core.read(work.project_summary, call.actor, call.ids[0]))


ROUTES = [
    Route("POST", "/v1/projects", create, KeyScope.AGENT, body=ProjectBody, is_mutating=True),
    Route("GET", "/v1/projects", list_projects, KeyScope.READ, query=ProjectsQuery),
    Route("GET", "/v1/projects/{id}", read, KeyScope.READ),
    Route(
        "PATCH",
        "/v1/projects/{id}",
        patch,
        KeyScope.AGENT,
        body=PatchProjectBody,
        is_mutating=True,
        takes_revision=True,
    ),
    Route("GET", "/v1/projects/{id}/sessions", list_sessions, KeyScope.READ, query=ProjectSessionsQuery),
    Route("GET", "/v1/projects/{id}/summary", summary, KeyScope.READ),
]
