"""The shapes of a session and of its checkpoints, which several modules answer."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.liveness import Liveness
from holdfast.domain.policy import OnLapse
from holdfast.domain.session import EndReason, FailedBy, Status
from holdfast.doors.http.native.answers.refusals import Blocked
from holdfast.doors.http.native.answers.words import At, Count, Interval, Seconds, SessionId, Soon


class Policy(msgspec.Struct):
    """The lease policy in force."""

    preset: Annotated[str, Meta(examples=["monitor"])]
    lease_seconds: Annotated[float, Meta(examples=[180])]
    heartbeat_interval_seconds: Interval
    heartbeat_jitter_seconds: Annotated[float, Meta(examples=[5])]
    grace_seconds: Seconds
    fail_after_seconds: Annotated[float | None, Meta(examples=[900])]
    on_lapse: Annotated[OnLapse, Meta(examples=["revivable"])]


class SessionSummary(msgspec.Struct, kw_only=True):
    """A session without its free JSON."""

    id: SessionId
    scope: Annotated[str, Meta(examples=["repo=holdfast"])]
    status: Annotated[Status, Meta(examples=["active"])]
    liveness: Annotated[
        Liveness | None, Meta(description="Computed as read; null once it has ended.", examples=["live"])
    ]
    agent: Annotated[str, Meta(examples=["claude"])]
    holder_id: str
    exclusive: bool
    revision: Annotated[int, Meta(description="For `If-Match`; beats do not move it.", examples=[1])]
    started_at: At
    last_heartbeat_at: At
    lease_expires_at: Soon
    status_changed_at: At
    status_reason: str | None
    ended_at: At | None
    end_reason: EndReason | None
    failed_by: FailedBy | None
    exit_code: int | None
    late: Annotated[bool, Meta(description="Its end was told after silence had been taken for one.")]
    reported_late: Annotated[bool, Meta(description="It was reported after the fact; its times are claims.")]
    activity: str | None
    status_note: str | None
    progress: int | None
    stop_requested: bool
    stop_reason: str | None
    wake_at: At | None
    took_over_from: SessionId | None
    taken_over_by: SessionId | None
    recovered_from: SessionId | None
    recovered_by: SessionId | None
    recovery_attempts: Annotated[int, Meta(ge=0, description="How many recoveries led to it, along the whole chain.")]
    quarantined: Annotated[bool, Meta(description="It broke off again after its last recovery: only by force now.")]
    archived_at: At | None
    checkpoint_count: Count
    task_count: Annotated[int, Meta(ge=0, description="Unfinished tasks that it holds.")]
    policy: Policy
    mode: str | None
    project_id: str | None
    venture: str | None
    repo: str | None
    track: str | None
    workspace: str | None
    machine_id: str | None
    slot: int | None
    parent_id: str | None
    group_id: str | None
    client_session_id: str | None
    branch: str | None
    commit_sha: str | None
    issue_number: int | None
    client: Annotated[str | None, Meta(description="The program that runs the agent.")]
    client_version: str | None
    host: Annotated[str | None, Meta(description="The machine's name, as the client told it.")]
    current_task_id: str | None
    correlation_id: str


class Session(SessionSummary, kw_only=True):
    """A session: all but its fencing token."""

    error_details: Any
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]


class ListedSession(SessionSummary, kw_only=True):
    """A session in a list. With `fields=summary` its free JSON is left out."""

    error_details: Any = UNSET
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")] | UnsetType = UNSET
    silent_seconds: Annotated[Seconds, Meta(description="Only with `recoverable=true`.")] | UnsetType = UNSET
    blocked: Annotated["Blocked | None", Meta(description="Only with `recoverable=true`.")] | UnsetType = UNSET


class BeatingSession(Session, kw_only=True):
    """A session, and when its next beat is expected."""

    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval


class Checkpoint(msgspec.Struct, kw_only=True):
    """A durable note of progress."""

    id: Annotated[str, Meta(examples=["cp_01KF5V3Z5RBCDEFGHJKMNPQRST"])]
    session_id: SessionId
    number: Annotated[int, Meta(description="1, 2, 3… within its session, without gaps.", examples=[1])]
    summary: Annotated[str, Meta(examples=["parser done, lexer half"])]
    work_completed: list[Any]
    blockers: list[Any]
    next_actions: list[Any]
    state: Any
    branch: str | None
    commit_sha: str | None
    created_at: At
    correlation_id: str
