"""What handoffs and their schemas answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.handoff import HandoffStatus
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.refusals import WRITING
from holdfast.doors.http.native.answers.words import (
    At,
    HandoffId,
    Interval,
    KeyId,
    NextCursor,
    Redactions,
    SessionId,
    Soon,
    Total,
)


class HandoffSummary(msgspec.Struct, kw_only=True):
    """A handoff without its lists and its payload."""

    id: HandoffId
    session_id: SessionId
    project_id: str | None
    scope: str
    venture: str | None
    repo: str | None
    track: str | None
    issue_number: int | None
    from_agent: Annotated[str, Meta(examples=["claude"])]
    to_agent: Annotated[str | None, Meta(description="An agent, or the beginning of a name and `*`.")]
    status: Annotated[HandoffStatus, Meta(examples=["open"])]
    status_label: str | None
    summary: Annotated[str, Meta(examples=["parser done, lexer half"])]
    auto: Annotated[bool, Meta(description="Drafted by the server, since the session went without one.")]
    orphan: Annotated[bool, Meta(description="Its session was over by then, so that it was refused, and kept.")]
    orphan_reason: Annotated[str | None, Meta(description="The code for which it was refused.")]
    branch: str | None
    commit_sha: str | None
    payload_hash: Annotated[str, Meta(description="SHA-256 of the payload's canonical form (RFC 8785).")]
    payload_size_bytes: Annotated[int, Meta(description="Likewise its length.", examples=[2])]
    schema: Annotated[str | None, Meta(description="The registered schema that the payload fits.")]
    schema_version: Annotated[str, Meta(examples=["1.0"])]
    redactions: Redactions
    created_at: At
    created_by: KeyId
    acknowledged_at: At | None
    acknowledged_by: str | None
    status_changed_at: At
    status_changed_by: str | None
    status_note: str | None
    superseded_by: str | None
    correlation_id: str


class Handoff(HandoffSummary, kw_only=True):
    """What a session left for whoever goes on."""

    work_completed: list[Any]
    blockers: list[Any]
    next_actions: list[Any]
    payload: Any


class ListedHandoff(HandoffSummary, kw_only=True):
    """A handoff; without lists and payload where `fields=summary`."""

    work_completed: list[Any] | UnsetType = UNSET
    blockers: list[Any] | UnsetType = UNSET
    next_actions: list[Any] | UnsetType = UNSET
    payload: Any = UNSET


class LastHandoff(Handoff, kw_only=True):
    """What was left last."""

    payload_omitted: Annotated[bool, Meta(description="The payload is long: `GET /v1/handoffs/{id}` has it.")]


class CreatedHandoff(HandoffSummary, kw_only=True):
    """A handoff just left by a session that goes on, which counted as a beat."""

    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon


class FoundHandoff(msgspec.Struct):
    """The newest handoff; null where there is none."""

    handoff: ListedHandoff | None


class HandoffList(msgspec.Struct):
    """A page of handoffs, newest first; short where they are long."""

    items: list[ListedHandoff]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class HandoffSchema(msgspec.Struct, kw_only=True):
    """A version of a schema for payloads."""

    id: Annotated[str, Meta(examples=["review/1"])]
    name: Annotated[str, Meta(examples=["review"])]
    version: Annotated[str, Meta(examples=["1"])]
    sha256: Annotated[str, Meta(description="Of its canonical form (RFC 8785).")]
    schema: Annotated[Any, Meta(description="JSON Schema 2020-12.")]
    created_at: At
    created_by: KeyId


class HandoffSchemaList(msgspec.Struct):
    """A page of schemas, by name and version."""

    items: list[HandoffSchema]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


DRAFTING = (Code.PAYLOAD_TOO_LARGE,)


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/handoffs": Described(
        "create_handoff",
        {200: CreatedHandoff, 201: CreatedHandoff},
        (*WRITING, *DRAFTING),
        {
            "session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD",
            "fencing_token": 1,
            "summary": "parser done, lexer half",
            "status_label": "in progress",
            "work_completed": [{"claim": "the tests pass", "kind": "command", "value": "make test", "exit_code": 0}],
            "next_actions": ["finish the lexer"],
            "to_agent": "codex-*",
        },
    ),
    "GET /v1/handoffs": Described("list_handoffs", {200: HandoffList}, (Code.CURSOR_INVALID,)),
    "GET /v1/handoffs/latest": Described("read_latest_handoff", {200: FoundHandoff}),
    "GET /v1/handoffs/{id}": Described("read_handoff", {200: Handoff}, (Code.NOT_FOUND,)),
    "POST /v1/handoffs/{id}/status": Described(
        "set_handoff_status",
        {200: HandoffSummary},
        (Code.NOT_FOUND, Code.HANDOFF_SETTLED),
        {"status": "acknowledged", "note": "I take it from here"},
    ),
    "GET /v1/sessions/{id}/handoffs": Described(
        "list_session_handoffs", {200: HandoffList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
    "GET /v1/handoff-schemas": Described("list_handoff_schemas", {200: HandoffSchemaList}, (Code.CURSOR_INVALID,)),
    "GET /v1/handoff-schemas/{name}/{version}": Described(
        "read_handoff_schema", {200: HandoffSchema}, (Code.NOT_FOUND,)
    ),
    "PUT /v1/handoff-schemas/{name}/{version}": Described(
        "register_handoff_schema",
        {200: HandoffSchema, 201: HandoffSchema},
        (Code.HANDOFF_SCHEMA_EXISTS, Code.PAYLOAD_TOO_LARGE),
        {"value": {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}},
    ),
}
