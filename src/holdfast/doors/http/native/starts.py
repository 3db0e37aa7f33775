"""Routes that begin a session: start or resume, take over, recover, report."""

from typing import Annotated, Any, Literal

import msgspec

from holdfast.commands.beginning import About
from holdfast.commands.recovery import RecoverSession
from holdfast.commands.reports import ReportSession
from holdfast.commands.starts import StartSession, TakeOver, TakeOverSession
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import META_BYTES_MAX, SCOPE_BYTES_MAX
from holdfast.domain.policy import PRESET_NAMES, OnLapse, PolicyRequest
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.session import EndReason
from holdfast.doors.http.bodies import OF_NAMES
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import (
    Id,
    Integer,
    Name,
    Natural,
    Reason,
    Record,
    Seconds,
    Time,
    Token,
    free_json,
    ms,
    times_ms,
)
from holdfast.doors.http.routing import Route

Preset = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*PRESET_NAMES]})]
IntervalSeconds = Annotated[Seconds, msgspec.Meta(extra_json_schema={"exclusiveMinimum": 0})]
ScopeText = Annotated[
    str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": SCOPE_BYTES_MAX, "pattern": OF_NAMES})
]
"""What the core itself refuses is only described by the extra words."""


class PolicyBody(Record):
    """A lease policy: a preset's name, and what differs from it."""

    preset: Preset | None = None
    lease_seconds: Seconds | None = None
    heartbeat_interval_seconds: IntervalSeconds | None = None
    heartbeat_jitter_seconds: Seconds | None = None
    grace_seconds: Seconds | None = None
    fail_after_seconds: Seconds | None = None
    on_lapse: OnLapse | None = None


class ScopeBody(Record):
    """A scope in parts."""

    project_id: Id | None = None
    venture: Name | None = None
    repo: Name | None = None
    track: Name | Integer | None = None
    workspace: Name | None = None


class TakeOverBody(Record):
    """A start's wish to take over."""

    reason: Reason
    session_id: Id | None = None


class AboutBody(Record):
    """What the bodies that begin a session have in common."""

    machine_id: Id | None = None
    slot: Natural | None = None
    mode: Name | None = None
    parent_id: Id | None = None
    group_id: Id | None = None
    branch: Name | None = None
    commit_sha: Name | None = None
    issue_number: Integer | None = None
    meta: dict[str, Any] | None = None


class PlacedBody(AboutBody):
    """A body that says what the session is on: a scope, or the parts of one."""

    scope: ScopeText | ScopeBody | None = None
    project_id: Id | None = None
    venture: Name | None = None
    repo: Name | None = None
    track: Name | Integer | None = None
    workspace: Name | None = None


class StartBody(PlacedBody, kw_only=True):
    """`POST /v1/sessions`."""

    agent: Name
    holder_id: Annotated[Id | None, msgspec.Meta(description="Who works; the key's id if not given.")] = None
    policy: Preset | PolicyBody | None = None
    exclusive: Annotated[bool | None, msgspec.Meta(description="One session at a time on the scope.")] = None
    take_over: Annotated[TakeOverBody | None, msgspec.Meta(description="Take what lapsed, and start, in one.")] = None
    on_conflict: Literal["reject", "supersede"] = "reject"
    force: Annotated[bool, msgspec.Meta(description="Even from the living; an operator's right, with a reason.")] = (
        False
    )
    reason: Reason | None = None
    client_session_id: Annotated[
        Id | None, msgspec.Meta(description="The client's own id: a start that names it again resumes.")
    ] = None


class TakeOverSessionBody(AboutBody, kw_only=True):
    """`POST /v1/sessions/{id}/takeover`."""

    reason: Reason
    holder_id: Id | None = None
    agent: Name | None = None
    force: bool = False
    policy: Preset | PolicyBody | None = None


class RecoverBody(AboutBody):
    """`POST /v1/sessions/{id}/recover`. What is not given is as it was for the old session."""

    holder_id: Annotated[Id | None, msgspec.Meta(description="Who goes on; the key's id if not given.")] = None
    agent: Name | None = None
    policy: Preset | PolicyBody | None = None
    resume_from_task_id: Annotated[Id | None, msgspec.Meta(description="The task to begin with.")] = None
    retry_failed_tasks: Annotated[bool, msgspec.Meta(description="Queue failed tasks again, not only open ones.")] = (
        True
    )
    force: Annotated[
        bool, msgspec.Meta(description="Although it lives, is quarantined or was stopped; an operator's right.")
    ] = False
    reason: Annotated[Reason | None, msgspec.Meta(description="Why; required with force.")] = None


class ReportBody(PlacedBody, kw_only=True):
    """`POST /v1/sessions/report`."""

    client_session_id: Id
    agent: Name
    started_at: Time
    ended_at: Time
    holder_id: Id | None = None
    exit_code: Integer | None = None
    end_reason: EndReason | None = None
    fencing_token: Token | None = None


async def start(call: Call) -> Answer:
    """Start or resume a session."""
    body: StartBody = call.body
    scope, parts = _placed(body)
    take_over = body.take_over
    return answered(
        await call.execute(
            StartSession(
                scope=scope,
                agent=body.agent,
                holder_id=body.holder_id or call.actor.key_id,
                policy=_policy(body.policy),
                exclusive=body.exclusive,
                take_over=None
                if take_over is None
                else TakeOver(
                    take_over.reason, None if take_over.session_id is None else SessionId(take_over.session_id)
                ),
                supersede=body.on_conflict == "supersede",
                force=body.force,
                reason=body.reason,
                client_session_id=body.client_session_id,
                about=_about(body, parts),
            )
        )
    )


async def take_over(call: Call) -> Answer:
    """Take a lapsed session over."""
    body: TakeOverSessionBody = call.body
    return answered(
        await call.execute(
            TakeOverSession(
                session_id=SessionId(call.ids[0]),
                agent=body.agent,
                holder_id=body.holder_id or call.actor.key_id,
                reason=body.reason,
                force=body.force,
                policy=_policy(body.policy),
                about=_about(body, ScopeParts()),
            )
        )
    )


async def recover(call: Call) -> Answer:
    """Go on with the work of a session that broke off."""
    body: RecoverBody = call.body
    return answered(
        await call.execute(
            RecoverSession(
                session_id=SessionId(call.ids[0]),
                holder_id=body.holder_id or call.actor.key_id,
                attempts_max=call.core.recovery_attempts_max,
                agent=body.agent,
                force=body.force,
                reason=body.reason,
                policy=_policy(body.policy),
                about=_about(body, ScopeParts()),
                resume_from_task_id=body.resume_from_task_id,
                retry_failed_tasks=body.retry_failed_tasks,
            )
        )
    )


async def report(call: Call) -> Answer:
    """Record a session that ran while the server was away."""
    body: ReportBody = call.body
    scope, parts = _placed(body)
    times = times_ms(started_at=body.started_at, ended_at=body.ended_at)
    started_at_ms, ended_at_ms = times["started_at"], times["ended_at"]
    assert started_at_ms is not None
    assert ended_at_ms is not None
    return answered(
        await call.execute(
            ReportSession(
                client_session_id=body.client_session_id,
                scope=scope,
                agent=body.agent,
                holder_id=body.holder_id or call.actor.key_id,
                started_at_ms=started_at_ms,
                ended_at_ms=ended_at_ms,
                end_reason=body.end_reason or (EndReason.CRASHED if body.exit_code else EndReason.COMPLETED),
                exit_code=body.exit_code,
                fencing_token=body.fencing_token,
                about=_about(body, parts),
            )
        )
    )


def _placed(body: PlacedBody) -> tuple[str | None, ScopeParts]:
    """The scope's canonical string, and its parts where they were given. Raises: validation_failed."""
    parts = _parts(body)
    if isinstance(body.scope, ScopeBody):
        parts = _merged(_parts(body.scope), parts)
    has_parts = any(part is not None for part in parts)
    if isinstance(body.scope, str):
        if not (body.scope.strip() and body.scope.isprintable()) or len(body.scope.encode()) > SCOPE_BYTES_MAX:
            raise _invalid("scope", f"must be 1–{SCOPE_BYTES_MAX} bytes of printable text, and not blank")
        return body.scope, parts
    scope = canonical(parts) if has_parts else None
    if scope is not None and len(scope) > SCOPE_BYTES_MAX:
        raise _invalid("scope", f"must stay within {SCOPE_BYTES_MAX} bytes, percent-encoded")
    return scope, parts


def _parts(given: PlacedBody | ScopeBody) -> ScopeParts:
    track = None if given.track is None else str(given.track)
    return ScopeParts(given.project_id, given.venture, given.repo, track, given.workspace)


def _merged(inside: ScopeParts, beside: ScopeParts) -> ScopeParts:
    """Parts given inside of `scope` and beside it. Raises: validation_failed where the two contradict each other."""
    pairs = dict(zip(ScopeParts._fields, zip(inside, beside, strict=True), strict=True))
    for name, pair in pairs.items():
        if None not in pair and len(set(pair)) > 1:
            raise _invalid(name, f"is {pair[0]!r} in `scope` and {pair[1]!r} beside it")
    return ScopeParts(**{name: one if other is None else other for name, (one, other) in pairs.items()})


def _policy(given: str | PolicyBody | None) -> PolicyRequest | None:
    if given is None:
        return None
    if isinstance(given, str):
        return PolicyRequest(preset=given)
    return PolicyRequest(
        preset=given.preset,
        lease_ms=ms(given.lease_seconds),
        heartbeat_interval_ms=ms(given.heartbeat_interval_seconds),
        heartbeat_jitter_ms=ms(given.heartbeat_jitter_seconds),
        grace_ms=ms(given.grace_seconds),
        fail_after_ms=ms(given.fail_after_seconds),
        on_lapse=given.on_lapse,
    )


def _about(body: AboutBody, parts: ScopeParts) -> About:
    said = {name: getattr(body, name) for name in AboutBody.__struct_fields__ if name != "meta"}
    meta_json = None if body.meta is None else free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX)
    return About(parts=parts, meta_json=meta_json, **said)


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, message),))


ROUTES = [
    Route("POST", "/v1/sessions", start, KeyScope.AGENT, body=StartBody, is_mutating=True),
    Route("POST", "/v1/sessions/report", report, KeyScope.AGENT, body=ReportBody, is_mutating=True),
    Route("POST", "/v1/sessions/{id}/takeover", take_over, KeyScope.AGENT, body=TakeOverSessionBody, is_mutating=True),
    Route("POST", "/v1/sessions/{id}/recover", recover, KeyScope.AGENT, body=RecoverBody, is_mutating=True),
]
