"""Projects: what sessions and tasks belong to. A project's row also guards the queue of its tasks."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.ids import AccountId, KeyId


class ProjectStatus(StrEnum):
    """Where a project is in its life; only an active one hands out tasks."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class Project(NamedTuple):
    """A project. Its id is its account's own: another account may have one of the same id.

    external_ref, external_url: where it is kept elsewhere, such as a GitHub project; never written there.
    meta_json: free JSON, as text. revision: grows with every change.
    """

    account_id: AccountId
    id: str
    name: str
    repository: str | None
    status: ProjectStatus
    external_ref: str | None
    external_url: str | None
    meta_json: str | None
    revision: int
    created_at_ms: int
    changed_at_ms: int
    key_id: KeyId
    correlation_id: str


def opened(account_id: AccountId, project_id: str, *, key_id: KeyId, correlation_id: str, now_ms: int) -> Project:
    """A project of which nothing but its id is known yet."""
    return Project(
        account_id=account_id,
        id=project_id,
        name=project_id,
        repository=None,
        status=ProjectStatus.ACTIVE,
        external_ref=None,
        external_url=None,
        meta_json=None,
        revision=1,
        created_at_ms=now_ms,
        changed_at_ms=now_ms,
        key_id=key_id,
        correlation_id=correlation_id,
    )


def hands_out_tasks(project: Project) -> bool:
    """Whether tasks of the project may be claimed."""
    return project.status == ProjectStatus.ACTIVE
