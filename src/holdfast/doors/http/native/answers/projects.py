"""What projects answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.project import ProjectStatus
from holdfast.domain.session import Status
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.sessions import SessionSummary
from holdfast.doors.http.native.answers.words import At, Count, NextCursor, Total


class Project(msgspec.Struct, kw_only=True):
    """What sessions and tasks belong to."""

    id: Annotated[str, Meta(examples=["holdfast"])]
    name: Annotated[str, Meta(examples=["Holdfast"])]
    repository: str | None
    status: Annotated[ProjectStatus, Meta(description="Only an active one hands out tasks.", examples=["active"])]
    external_ref: Annotated[str | None, Meta(description="What it is called where it is kept, such as GitHub.")]
    external_url: str | None
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]
    revision: Annotated[int, Meta(description="For `If-Match`.", examples=[1])]
    created_at: At
    changed_at: At
    correlation_id: str


class ProjectList(msgspec.Struct):
    """A page of projects, by id."""

    items: list[Project]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class SessionGroup(msgspec.Struct):
    """The sessions of one status: all of them counted, and the newest."""

    status: Status
    count: Count
    sessions: list[SessionSummary]


class ProjectSessions(msgspec.Struct):
    """A project's sessions by status, those of which there are none included."""

    project_id: str
    total: Count
    groups: list[SessionGroup]


class SessionCounts(msgspec.Struct):
    """Sessions, counted."""

    total: Count
    by_status: dict[str, int]


class TaskCounts(msgspec.Struct):
    """Tasks, counted. `ready`: those that any session can claim."""

    total: Count
    ready: Count
    by_status: dict[str, int]


class ProjectSummary(msgspec.Struct):
    """A project, and how its work stands."""

    project: Project
    sessions: SessionCounts
    tasks: TaskCounts


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/projects": Described(
        "create_project",
        {201: Project},
        (Code.NOT_FOUND, Code.PROJECT_EXISTS),
        {"id": "holdfast", "name": "Holdfast", "repository": "github.com/example/holdfast"},
    ),
    "GET /v1/projects": Described("list_projects", {200: ProjectList}, (Code.CURSOR_INVALID,)),
    "GET /v1/projects/{id}": Described("read_project", {200: Project}, (Code.NOT_FOUND,)),
    "PATCH /v1/projects/{id}": Described(
        "patch_project", {200: Project}, (Code.NOT_FOUND, Code.REVISION_CONFLICT), {"status": "paused"}
    ),
    "GET /v1/projects/{id}/sessions": Described("list_project_sessions", {200: ProjectSessions}, (Code.NOT_FOUND,)),
    "GET /v1/projects/{id}/summary": Described("summarize_project", {200: ProjectSummary}, (Code.NOT_FOUND,)),
}
