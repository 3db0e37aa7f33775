"""What a session's own writes answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.session import Status
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.handoffs import DRAFTING
from holdfast.doors.http.native.answers.refusals import ENDING, OVER, TOKEN, WRITING
from holdfast.doors.http.native.answers.sessions import BeatingSession, Checkpoint, Session
from holdfast.doors.http.native.answers.words import At, Count, HandoffId, Interval, Redactions, SessionId, Soon


class ChangedSession(BeatingSession, kw_only=True):
    """A session that goes on."""

    reactivated: Annotated[bool, Meta(description="It had been given up for silent, and came back.")]


class WrittenCheckpoint(Checkpoint, kw_only=True):
    """A checkpoint just written, which counted as a beat."""

    redactions: Redactions

    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon


class EndedSession(Session, kw_only=True):
    """A session that is over; and where it left a handoff with its end, which."""

    handoff_id: HandoffId | UnsetType = UNSET
    payload_hash: str | UnsetType = UNSET
    payload_size_bytes: int | UnsetType = UNSET
    redactions: Redactions | UnsetType = UNSET


class Beat(msgspec.Struct, kw_only=True):
    """A beat was taken."""

    status: Annotated[Status, Meta(examples=["active"])]
    last_heartbeat_at: At
    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon
    stop_requested: Annotated[bool, Meta(description="Somebody asks the holder to stop.")]
    reactivated: bool
    stop_reason: str | UnsetType = UNSET


class DeletedRows(msgspec.Struct):
    """How much was deleted, by kind."""

    sessions: Count
    checkpoints: Count
    handoffs: Annotated[int, Meta(ge=0, description="Only with a session's own deletion.")] | UnsetType = UNSET


class DeletedSession(msgspec.Struct):
    """A session that is gone, and what went with it."""

    id: SessionId
    deleted: DeletedRows


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/sessions/{id}/heartbeat": Described(
        "heartbeat", {200: Beat}, WRITING, {"fencing_token": 1, "activity": "running the tests", "progress": 12}
    ),
    "POST /v1/sessions/{id}/pause": Described(
        "pause_session", {200: ChangedSession}, (*WRITING, Code.SESSION_STALLED), {"fencing_token": 1}
    ),
    "POST /v1/sessions/{id}/resume": Described("resume_session", {200: ChangedSession}, WRITING, {"fencing_token": 1}),
    "POST /v1/sessions/{id}/park": Described(
        "park_session",
        {200: Session},
        (*ENDING, Code.SESSION_STALLED),
        {"fencing_token": 1, "wake_at": "2040-01-17T10:00:00.000Z", "reason": "waits for a review"},
    ),
    "POST /v1/sessions/{id}/stall": Described(
        "stall_session", {200: Session}, (*ENDING, Code.SESSION_PARKED), {"reason": "no output for an hour"}
    ),
    "POST /v1/sessions/{id}/end": Described(
        "end_session",
        {200: EndedSession},
        (*ENDING, *DRAFTING),
        {
            "fencing_token": 1,
            "end_reason": "completed",
            "handoff": {"summary": "parser done, lexer half", "next_actions": ["finish the lexer"]},
        },
    ),
    "POST /v1/sessions/{id}/fail": Described(
        "fail_session", {200: Session}, ENDING, {"fencing_token": 1, "reason": "the build broke", "exit_code": 2}
    ),
    "POST /v1/sessions/{id}/stop": Described(
        "stop_session", {200: Session}, (Code.NOT_FOUND, *OVER), {"reason": "the task was withdrawn"}
    ),
    "POST /v1/sessions/{id}/archive": Described(
        "archive_session", {200: Session}, (*TOKEN, Code.SESSION_NOT_TERMINAL), {}
    ),
    "POST /v1/sessions/{id}/checkpoint": Described(
        "write_checkpoint",
        {201: WrittenCheckpoint},
        WRITING,
        {"fencing_token": 1, "summary": "parser done, lexer half", "next_actions": ["finish the lexer"]},
    ),
    "PATCH /v1/sessions/{id}": Described(
        "patch_session",
        {200: BeatingSession},
        (*WRITING, Code.REVISION_CONFLICT),
        {"fencing_token": 1, "branch": "main", "meta": {"ticket": "HF-12"}},
    ),
    "DELETE /v1/sessions/{id}": Described(
        "delete_session", {200: DeletedSession}, (*TOKEN, Code.SESSION_NOT_TERMINAL, Code.SESSION_NOT_ARCHIVED)
    ),
}
