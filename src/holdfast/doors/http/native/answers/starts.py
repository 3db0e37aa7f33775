"""What beginning to work answers."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.domain.errors import Code
from holdfast.domain.session import Status
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.handoffs import LastHandoff
from holdfast.doors.http.native.answers.refusals import STARTING
from holdfast.doors.http.native.answers.sessions import BeatingSession, Checkpoint, Session
from holdfast.doors.http.native.answers.words import At, Count, SessionId, Token


class Recoverable(msgspec.Struct):
    """A session that fell silent and that nobody has taken over."""

    id: SessionId
    status: Annotated[Status, Meta(examples=["stalled"])]
    agent: Annotated[str, Meta(examples=["claude"])]
    last_heartbeat_at: At
    checkpoint_count: Count
    can_resume: bool
    can_recover: bool


class StartedSession(BeatingSession, kw_only=True):
    """A session that somebody acquired, and what the last one on its scope left."""

    outcome: Annotated[str, Meta(extra_json_schema={"enum": ["created", "resumed", "taken_over"]})]
    fencing_token: Token
    last_handoff: LastHandoff | None
    last_checkpoint: Checkpoint | None
    recoverable: list[Recoverable]


class RecoveredSession(BeatingSession, kw_only=True):
    """A session that goes on with the work of another, and the last checkpoint of those before it."""

    outcome: Annotated[str, Meta(extra_json_schema={"const": "recovered"})]
    fencing_token: Annotated[
        int | None, Meta(description="Send it with every write; null once it holds nothing any more.", examples=[8])
    ]
    last_handoff: LastHandoff | None
    last_checkpoint: Checkpoint | None
    requeued_task_ids: Annotated[list[str], Meta(description="Tasks of the old session that wait to be claimed again.")]


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/sessions": Described(
        "start_session",
        {200: StartedSession, 201: StartedSession},
        (*STARTING, Code.CLIENT_SESSION_ID_REUSED),
        {"scope": {"repo": "holdfast"}, "agent": "claude", "exclusive": True, "policy": {"lease_seconds": 180}},
    ),
    "POST /v1/sessions/report": Described(
        "report_session",
        {200: Session, 201: Session},
        (Code.FENCING_TOKEN_STALE, Code.FENCING_TOKEN_REQUIRED),
        {
            "client_session_id": "laptop-2026-01-16-3",
            "agent": "claude",
            "started_at": "2026-01-16T10:00:00Z",
            "ended_at": "2026-01-16T11:00:00Z",
            "exit_code": 0,
        },
    ),
    "POST /v1/sessions/{id}/takeover": Described(
        "take_over_session", {201: StartedSession}, STARTING, {"holder_id": "worker-2", "reason": "it fell silent"}
    ),
    "POST /v1/sessions/{id}/recover": Described(
        "recover_session",
        {200: RecoveredSession, 201: RecoveredSession},
        (
            *STARTING,
            Code.SESSION_QUARANTINED,
            Code.SESSION_STOP_REQUESTED,
            Code.TASK_HELD,
            Code.TASK_TRANSITION_NOT_ALLOWED,
        ),
        {"holder_id": "worker-2"},
    ),
}
