"""How the Crane paths are spoken to, and what their refusals look like."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.commands.bodies import Body
from holdfast.domain.errors import Code
from holdfast.doors.http.dialect import Dialect
from holdfast.doors.http.rendering import shown

NOT_ACTIVE = "session_not_active"

MESSAGES = {"unauthorized": "Unauthorized", "validation_failed": "Validation failed"}
"""The seed's own sentences."""

_GONE = {
    Code.SESSION_ENDED.value: ("ended", "ended"),
    Code.SESSION_TAKEN_OVER.value: ("ended", "taken_over"),
    Code.SESSION_ABANDONED.value: ("abandoned", "stale"),
    Code.SESSION_FAILED.value: ("abandoned", "failed"),
    Code.SESSION_STALLED.value: ("active", "stale"),
    Code.SESSION_PARKED.value: ("active", "parked"),
    Code.LEASE_EXPIRED.value: ("active", "stale"),
}
"""Codes that say that a session takes no more, the status it has here, and why, where nobody gave a reason."""

KEPT = "The handoff was kept as {handoff_id}, and the next start shows it. "
HINT = "Start again with POST /sod; its last_handoff and last_checkpoint tell where the work stands."


class CraneDetail(msgspec.Struct):
    """One field that was not accepted, and why."""

    field: str
    message: str


class CraneError(msgspec.Struct, kw_only=True):
    """Why a request of the Crane paths was refused. Which of the optional fields there are depends on the code."""

    error: Annotated[str, Meta(examples=["validation_failed"])]
    code: str
    message: Annotated[str, Meta(examples=["Validation failed"])]
    correlation_id: str
    details: list[CraneDetail] | msgspec.UnsetType = msgspec.UNSET
    session_id: str | msgspec.UnsetType = msgspec.UNSET
    successor_id: str | msgspec.UnsetType = msgspec.UNSET
    status: Annotated[str | msgspec.UnsetType, Meta(description="The session's.")] = msgspec.UNSET
    reason: Annotated[str | msgspec.UnsetType, Meta(description="Why it is over.")] = msgspec.UNSET
    hint: str | msgspec.UnsetType = msgspec.UNSET
    scope: str | msgspec.UnsetType = msgspec.UNSET
    lease_expires_at: Any = msgspec.UNSET
    limit: int | msgspec.UnsetType = msgspec.UNSET
    size: int | msgspec.UnsetType = msgspec.UNSET
    usage: int | msgspec.UnsetType = msgspec.UNSET
    handoff_id: Annotated[
        str | msgspec.UnsetType, Meta(description="The handoff was kept all the same, for the next start.")
    ] = msgspec.UNSET


_FACTS = ("session_id", "successor_id", "scope", "lease_expires_at_ms", "limit", "size", "usage", "handoff_id")


def error_body(problem: Body, correlation_id: str) -> Body:
    """A problem as these paths tell it."""
    code, native_code = problem["code"], problem["native_code"]
    body: Body = {"error": code, "code": code, "message": MESSAGES.get(code, problem["detail"])}
    if "errors" in problem:
        body["details"] = problem["errors"]
    elif code == "validation_failed":
        body["details"] = []
    if code == NOT_ACTIVE:
        status, reason = _GONE[native_code]
        kept = KEPT.format(**problem) if problem.get("handoff_id") else ""
        body |= {"status": status, "reason": problem.get("end_reason") or reason, "hint": kept + HINT}
    body |= {name: problem[name] for name in _FACTS if name in problem}
    return shown({**body, "correlation_id": correlation_id})


CRANE = Dialect(
    key_header=b"x-relay-key",
    key_words="X-Relay-Key",
    is_lenient=True,
    idempotency_key=re.compile(rb"[!-~][ -~]{0,254}"),
    idempotency_words="must be 1–255 printable ASCII characters",
    key_field="update_id",
    replay_headers=((b"idempotency-replayed", b"true"), (b"x-idempotency-hit", b"true")),
    keep_ms=lambda core: core.day.idempotency_keep_ms,
    told={
        "validation_failed": (400, "validation_failed"),
        "cursor_invalid": (400, "cursor_invalid"),
        **dict.fromkeys(_GONE, (409, NOT_ACTIVE)),
    },
    shown=error_body,
    problem=CraneError,
)
