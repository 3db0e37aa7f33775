"""What is answered to whoever looks at sessions."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.events import EventType, Rule
from holdfast.domain.recovery import Step
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.events import Event
from holdfast.doors.http.native.answers.handoffs import Handoff
from holdfast.doors.http.native.answers.refusals import Blocked
from holdfast.doors.http.native.answers.sessions import Checkpoint, ListedSession, Session
from holdfast.doors.http.native.answers.tasks import Task
from holdfast.doors.http.native.answers.words import At, NextCursor, Seconds, SessionId, Total


class Recommendation(msgspec.Struct):
    """The next step, and why. `session_id`: the session that it concerns, where it is another one."""

    step: Step
    why: str
    session_id: SessionId | None


class FailureAnalysis(msgspec.Struct):
    """How a session broke off, as far as that is known."""

    silent_seconds: Seconds
    status_for_seconds: Seconds
    stuck_tasks: Annotated["list[Task]", Meta(description="Begun by it and not finished, by it or by anybody since.")]
    recommended: Recommendation


class Recovery(msgspec.Struct, kw_only=True):
    """The last known state of a session, and what to do about it."""

    session: Session
    recoverable: bool
    blocked: Blocked | None
    attempts: Annotated[int, Meta(ge=0, description="How many recoveries led to it.")]
    attempts_left: Annotated[int, Meta(ge=0, description="How often its work may still be recovered.")]
    last_checkpoint: Checkpoint | None
    last_handoff: Handoff | None
    conversation_id: str | None
    current_task: "Task | None"
    current_task_id: str | None
    last_completed_task: "Task | None"
    branch: str | None
    commit_sha: str | None
    machine_id: str | None
    slot: int | None
    analysis: FailureAnalysis
    now_at: At


class Happening(msgspec.Struct):
    """What time has decided and no sweep has recorded yet, and from what."""

    type: Annotated[EventType, Meta(examples=["session.stalled"])]
    rule: Annotated[Rule, Meta(examples=["lease_lapsed"])]
    at: At
    last_heartbeat_at: At | UnsetType = UNSET
    lease_seconds: Seconds | UnsetType = UNSET
    fail_after_seconds: Seconds | UnsetType = UNSET
    abandon_after_seconds: Seconds | UnsetType = UNSET
    was: str | UnsetType = UNSET


class Explanation(msgspec.Struct):
    """Why a session is in its state: the rule, its inputs, who and when."""

    session: Session
    because: Event | None
    pending: list[Happening]
    silent_seconds: Seconds
    now_at: At
    history: list[Event]


class SessionList(msgspec.Struct):
    """A page of sessions, newest first."""

    items: list[ListedSession]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class CheckpointList(msgspec.Struct):
    """A page of checkpoints, newest first."""

    items: list[Checkpoint]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


DESCRIBED: Mapping[str, Described] = {
    "GET /v1/sessions": Described("list_sessions", {200: SessionList}, (Code.CURSOR_INVALID,)),
    "GET /v1/sessions/{id}": Described("read_session", {200: Session}, (Code.NOT_FOUND,)),
    "GET /v1/sessions/{id}/explain": Described("explain_session", {200: Explanation}, (Code.NOT_FOUND,)),
    "GET /v1/sessions/{id}/recovery": Described("read_recovery", {200: Recovery}, (Code.NOT_FOUND,)),
    "GET /v1/sessions/{id}/checkpoints": Described(
        "list_checkpoints", {200: CheckpointList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
}
