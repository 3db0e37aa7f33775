"""What every Crane path answers, and what it is refused for: for the description, and for the tests of it."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At

_EXAMPLE = {"agent": "cc-cli-host", "venture": "dfg", "repo": "durganfieldguide/dfg-console", "track": 1}
_ID = {"session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD"}
_OVER = (
    Code.SESSION_ENDED,
    Code.SESSION_TAKEN_OVER,
    Code.SESSION_ABANDONED,
    Code.SESSION_FAILED,
    Code.LEASE_HELD,
    Code.LEASE_EXPIRED,
)
_WRITING = (*_OVER, Code.FENCING_TOKEN_REQUIRED)

CraneStatus = Annotated[str, Meta(description="`active`, `ended` or `abandoned`.", examples=["active"])]
Interval = Annotated[int | None, Meta(description="To the next heartbeat, drawn anew each time.", examples=[683])]


class CraneSessionShort(msgspec.Struct, kw_only=True):
    """A session without its free JSON."""

    id: str
    agent: str
    client: str | None
    client_version: str | None
    host: str | None
    venture: str | None
    repo: str | None
    track: int | str | None
    issue_number: int | None
    branch: str | None
    commit_sha: str | None
    status: CraneStatus
    created_at: At
    last_heartbeat_at: At
    ended_at: At | None
    end_reason: str | None
    schema_version: str
    creation_correlation_id: str


class CraneSession(CraneSessionShort, kw_only=True):
    """A session."""

    meta: Any


class CraneCheckpoint(msgspec.Struct, kw_only=True):
    """A note of progress."""

    id: str
    session_id: str
    number: int
    branch: str | None
    commit_sha: str | None
    summary: str | None
    work_completed: list[Any]
    blockers: list[Any]
    next_actions: list[Any]
    state: Any
    created_at: At


class CraneHandoffShort(msgspec.Struct, kw_only=True):
    """A handoff without what may be long."""

    id: str
    session_id: str
    venture: str | None
    repo: str | None
    track: int | str | None
    issue_number: int | None
    from_agent: str
    to_agent: str | None
    status: Annotated[str, Meta(examples=["open"])]
    status_label: str | None
    summary: str
    auto: Annotated[bool, Meta(description="Drafted by the server: its session broke off without one.")]
    orphan: Annotated[bool, Meta(description="Its session was over already, and did not accept it.")]
    branch: str | None
    commit_sha: str | None
    payload_hash: Annotated[str, Meta(description="SHA-256 of the payload in canonical form (RFC 8785).")]
    payload_size_bytes: int
    schema: str | None
    schema_version: str
    redactions: Annotated[int, Meta(description="Secrets that were taken out of what was sent.")]
    created_at: At
    creation_correlation_id: str
    acknowledged_at: At | None
    acknowledged_by: str | None
    status_changed_at: At
    status_changed_by: str | None
    status_note: str | None
    superseded_by: str | None


class CraneHandoff(CraneHandoffShort, kw_only=True):
    """A handoff."""

    work_completed: list[Any]
    blockers: list[Any]
    next_actions: list[Any]
    payload: Any


class LatestHandoff(msgspec.Struct, kw_only=True):
    """The handoff that was looked for; null where there is none."""

    handoff: CraneHandoff | None


class OneHandoff(msgspec.Struct, kw_only=True):
    """A handoff, whole."""

    handoff: CraneHandoff


class CraneHandoffListed(CraneHandoffShort, kw_only=True):
    """A handoff; with `fields=summary` without what may be long."""

    work_completed: list[Any] | UnsetType = UNSET
    blockers: list[Any] | UnsetType = UNSET
    next_actions: list[Any] | UnsetType = UNSET
    payload: Any | UnsetType = UNSET


class HandoffHistory(msgspec.Struct, kw_only=True):
    """Handoffs, newest first."""

    handoffs: list[CraneHandoffListed]
    count: int
    has_more: bool
    next_cursor: str | None
    total: Annotated[int | UnsetType, Meta(description="Only with `include_total=true`.")] = UNSET


class SteppedHandoff(msgspec.Struct, kw_only=True):
    """The handoff as it is now."""

    handoff: CraneHandoffShort


class EndedDay(msgspec.Struct, kw_only=True):
    """The handoff was kept, and the session has ended unless it was to stay open."""

    session_id: str
    handoff_id: str
    status: Annotated[str, Meta(examples=["ended"])]
    ended_at: At | None
    correlation_id: str
    late: Annotated[bool | UnsetType, Meta(description="It had been given up before.")] = UNSET
    redactions: Annotated[int | UnsetType, Meta(description="Secrets that were taken out.")] = UNSET


class CraneDocument(msgspec.Struct, kw_only=True):
    """A document of the venture, told by its name and hash."""

    name: str
    version: int
    sha256: str
    size_bytes: int
    updated_at: At


class CraneDocumentText(msgspec.Struct, kw_only=True):
    """A document of the venture, whole."""

    name: str
    sha256: str
    content: str


class StartedDay(msgspec.Struct, kw_only=True):
    """The session, and where the work stands."""

    status: Annotated[str, Meta(description="`created` or `resumed`.", examples=["created"])]
    session_id: str
    session: CraneSession
    last_handoff: CraneHandoff | None
    last_checkpoint: CraneCheckpoint | None
    active_sessions: Annotated[list[CraneSessionShort], Meta(description="Others in the same repository.")]
    doc_index: list[CraneDocument]
    docs: Annotated[list[CraneDocumentText] | UnsetType, Meta(description="Only where it was asked for.")] = UNSET
    next_heartbeat_at: At | None
    heartbeat_interval_seconds: Interval
    correlation_id: str
    truncated: Annotated[
        dict[str, int] | UnsetType, Meta(description="What was cut to stay within 16 KB: bytes by field.")
    ] = UNSET


class BeatOfDay(msgspec.Struct, kw_only=True):
    """When to beat next."""

    session_id: str
    last_heartbeat_at: At
    next_heartbeat_at: At | None
    heartbeat_interval_seconds: Interval
    stop_requested: Annotated[bool | UnsetType, Meta(description="Only where somebody wants it to stop.")] = UNSET
    stop_reason: str | UnsetType = UNSET


class UpdatedDay(msgspec.Struct, kw_only=True):
    """What was written, and when to beat next."""

    session_id: str
    updated_at: At
    checkpoint_number: int
    last_heartbeat_at: At
    next_heartbeat_at: At | None
    heartbeat_interval_seconds: Interval
    correlation_id: str
    redactions: Annotated[int | UnsetType, Meta(description="Secrets that were taken out.")] = UNSET


class CranePagination(msgspec.Struct):
    """Where a list goes on; null on the last page."""

    next_cursor: str | None


class AtWork(msgspec.Struct, kw_only=True):
    """Sessions whose agents are at work, newest first."""

    sessions: list[CraneSession]
    count: int
    pagination: CranePagination


def _start(name: str) -> Described:
    refused = (Code.LEASE_HELD, Code.SCOPE_LAPSED, Code.QUOTA_EXCEEDED)
    return Described(name, {200: StartedDay}, refused, _EXAMPLE)


def _end(name: str) -> Described:
    example = _ID | {
        "handoff": {
            "summary": "Completed authentication implementation",
            "status_label": "ready-for-review",
            "work_completed": ["Implemented JWT middleware"],
            "blockers": [],
            "next_actions": ["Review PR #123"],
        }
    }
    return Described(name, {200: EndedDay}, (*_WRITING, Code.PAYLOAD_TOO_LARGE), example)


CRANE_DESCRIBED: Mapping[str, Described] = {
    "POST /sod": _start("start_day"),
    "POST /sos": _start("start_day_sos"),
    "POST /update": Described(
        "update_day", {200: UpdatedDay}, (*_WRITING, "idempotency_key_required"), _ID | {"update_id": "step-7"}
    ),
    "POST /checkpoint": Described("checkpoint_day", {200: UpdatedDay}, _WRITING, _ID | {"summary": "half of it"}),
    "POST /heartbeat": Described("heartbeat_day", {200: BeatOfDay}, _WRITING, _ID),
    "POST /eod": _end("end_day"),
    "POST /eos": _end("end_day_eos"),
    "GET /handoffs/latest": Described("latest_handoff_of_days", {200: LatestHandoff}),
    "GET /handoffs": Described("list_handoffs_of_days", {200: HandoffHistory}, (Code.CURSOR_INVALID,)),
    "GET /handoffs/{id}": Described("read_handoff_of_days", {200: OneHandoff}),
    "POST /handoffs/{id}/status": Described(
        "step_handoff", {200: SteppedHandoff}, (Code.HANDOFF_SETTLED,), {"status": "acknowledged"}
    ),
    "GET /active": Described("list_at_work", {200: AtWork}, (Code.CURSOR_INVALID,)),
}
