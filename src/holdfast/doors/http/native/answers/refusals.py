"""The shape of a refusal, and the codes that many routes share."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Action, Code
from holdfast.doors.http.native.answers.words import At


class WayOut(msgspec.Struct):
    """One thing that works in the state in which it is suggested."""

    action: Action
    how: str
    method: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    body: dict[str, Any] | UnsetType = UNSET
    after_at: At | UnsetType = UNSET


class Blocked(msgspec.Struct, kw_only=True):
    """Why a recovery would be refused."""

    status_code: int
    code: Code
    detail: str
    ways_out: list[WayOut] | UnsetType = UNSET


class FieldFault(msgspec.Struct):
    """One field that was not accepted, and why."""

    field: str
    message: str


class Problem(msgspec.Struct, kw_only=True):
    """Why a request was refused, and what works instead. Source: RFC 9457."""

    type: Annotated[str, Meta(extra_json_schema={"const": "about:blank"})]
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: str | UnsetType = UNSET
    errors: list[FieldFault] | UnsetType = UNSET
    ways_out: list[WayOut] | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    successor_id: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    session_status: str | UnsetType = UNSET
    end_reason: str | UnsetType = UNSET
    lease_expires_at: At | UnsetType = UNSET
    revision: int | UnsetType = UNSET
    machine_id: str | UnsetType = UNSET
    slot: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    usage: int | UnsetType = UNSET
    size: int | UnsetType = UNSET
    handoff_id: Annotated[str, Meta(description="Where a handoff was kept all the same.")] | UnsetType = UNSET
    project_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    task_status: str | UnsetType = UNSET
    holder_session_id: str | UnsetType = UNSET
    waiting_task_id: str | UnsetType = UNSET


# What is refused to whoever writes to a session by its id; to one that is over; to whoever ends it; to whoever goes on
# with it; and to whoever begins.
TOKEN = (Code.NOT_FOUND, Code.FENCING_TOKEN_STALE)
OVER = (
    Code.SESSION_FAILED,
    Code.SESSION_ABANDONED,
    Code.SESSION_ENDED,
    Code.SESSION_TAKEN_OVER,
    Code.SESSION_RECOVERED,
)
ENDING = (*TOKEN, Code.FENCING_TOKEN_REQUIRED, *OVER)
WRITING = (*ENDING, Code.LEASE_HELD, Code.LEASE_EXPIRED)
STARTING = (
    Code.NOT_FOUND,
    Code.LEASE_HELD,
    Code.SCOPE_LAPSED,
    Code.SCOPE_CROWDED,
    Code.QUOTA_EXCEEDED,
    Code.SLOT_OCCUPIED,
    Code.SLOT_DISABLED,
    Code.NO_FREE_SLOT,
    Code.MACHINE_IN_MAINTENANCE,
    *OVER,
)
