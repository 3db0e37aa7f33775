"""Routes by which a holder, or whoever watches it, says what becomes of a session."""

from typing import Annotated, Any

import msgspec

from holdfast.commands.bodies import Body
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.notes import PATCHABLE, PatchSession, WriteCheckpoint
from holdfast.commands.transitions import (
    ArchiveSession,
    DeleteSession,
    EndSession,
    FailSession,
    ParkSession,
    PauseSession,
    ResumeSession,
    StallSession,
    StopSession,
)
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import META_BYTES_MAX, STATE_BYTES_MAX
from holdfast.domain.rate_limits import Budget
from holdfast.domain.redaction import redact_json, redact_text
from holdfast.domain.session import EndReason
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.limits import BODY_BYTES_LARGE_MAX
from holdfast.doors.http.native.fields import (
    Id,
    Integer,
    Items,
    Name,
    Note,
    Reason,
    Record,
    Summary,
    Time,
    Token,
    at_ms,
    free_json,
)
from holdfast.doors.http.native.handoffs import HandoffFields, draft_of
from holdfast.doors.http.rendering import rendered
from holdfast.doors.http.routing import Route, Routine

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType


class HolderBody(Record):
    """A holder's write: its token, which an exclusive session's has to carry."""

    fencing_token: Annotated[Token | None, msgspec.Meta(description="As its start answered it.")] = None


class HeartbeatBody(HolderBody):
    """`POST …/heartbeat`."""

    activity: Note | None = None
    progress: Annotated[Integer | None, msgspec.Meta(description="Anything that grows with real work.")] = None
    status_note: Note | None = None


class ParkBody(HolderBody):
    """`POST …/park`."""

    wake_at: Time | None = None
    reason: Note | None = None


class StallBody(HolderBody):
    """`POST …/stall`."""

    reason: Note | None = None


class EndBody(HolderBody):
    """`POST …/end`."""

    end_reason: EndReason = EndReason.COMPLETED
    exit_code: Integer | None = None
    handoff: HandoffFields | None = None


class FailBody(HolderBody, kw_only=True):
    """`POST …/fail`."""

    reason: Reason
    error_details: Any = None
    exit_code: Integer | None = None


class StopBody(Record):
    """`POST …/stop`."""

    reason: Reason


class CheckpointBody(HolderBody, kw_only=True):
    """`POST …/checkpoint`."""

    summary: Summary
    work_completed: Items = msgspec.field(default_factory=list)
    blockers: Items = msgspec.field(default_factory=list)
    next_actions: Items = msgspec.field(default_factory=list)
    state: Any = None
    branch: Name | None = None
    commit_sha: Name | None = None


class PatchBody(HolderBody):
    """`PATCH /v1/sessions/{id}`: what is not named stays, null clears; meta is a merge patch."""

    branch: Name | Unset | None = UNSET
    commit_sha: Name | Unset | None = UNSET
    issue_number: Integer | Unset | None = UNSET
    current_task_id: Id | Unset | None = UNSET
    meta: dict[str, Any] | Unset | None = UNSET


class DeleteQuery(Record):
    """`DELETE /v1/sessions/{id}`."""

    confirm: Annotated[bool, msgspec.Meta(extra_json_schema={"const": True})]
    fencing_token: Token | None = None


def _session_id(call: Call) -> SessionId:
    return SessionId(call.ids[0])


async def heartbeat(call: Call) -> Answer:
    """Say that the holder is alive."""
    body: HeartbeatBody = call.body
    command = Heartbeat(_session_id(call), body.fencing_token, body.activity, body.progress, body.status_note)
    reply = await call.execute(command, is_beat=True, render=routine_beat)
    if reply.rendered is not None:
        return Answer(200, reply.rendered, reply.is_replay)
    return Answer(200, reply.body, reply.is_replay, None, "reactivated" if reply.body["reactivated"] else None)


def routine_beat(body: Body) -> bytes | None:
    """What a beat is answered with; None for one that is worth a line in the request log."""
    return None if body["reactivated"] else rendered(body)


async def pause(call: Call) -> Answer:
    """The holder rests but keeps beating."""
    return answered(await call.execute(PauseSession(_session_id(call), call.body.fencing_token)))


async def resume(call: Call) -> Answer:
    """The holder goes on."""
    return answered(await call.execute(ResumeSession(_session_id(call), call.body.fencing_token)))


async def park(call: Call) -> Answer:
    """Set the work aside."""
    body: ParkBody = call.body
    wake_at_ms = at_ms(body.wake_at, field="wake_at")
    return answered(await call.execute(ParkSession(_session_id(call), body.fencing_token, wake_at_ms, body.reason)))


async def stall(call: Call) -> Answer:
    """Somebody says that the holder hangs."""
    return answered(await call.execute(StallSession(_session_id(call), call.body.fencing_token, call.body.reason)))


async def end(call: Call) -> Answer:
    """The work is over."""
    body: EndBody = call.body
    handoff = None if body.handoff is None else await draft_of(call, body.handoff, within="handoff.")
    command = EndSession(_session_id(call), body.fencing_token, body.end_reason, body.exit_code, handoff)
    return answered(await call.execute(command))


async def fail(call: Call) -> Answer:
    """The work went wrong."""
    body: FailBody = call.body
    details = body.error_details
    details_json = None if details is None else free_json(details, field="error_details", bytes_max=META_BYTES_MAX)
    command = FailSession(_session_id(call), body.fencing_token, body.reason, details_json, body.exit_code)
    return answered(await call.execute(command))


async def stop(call: Call) -> Answer:
    """Ask the holder to stop."""
    return answered(await call.execute(StopSession(_session_id(call), call.body.reason)))


async def archive(call: Call) -> Answer:
    """Put the record of a finished session away."""
    return answered(await call.execute(ArchiveSession(_session_id(call), call.body.fencing_token)))


async def delete(call: Call) -> Answer:
    """Delete an archived session and all that hangs on it."""
    query: DeleteQuery = call.query
    if not query.confirm:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("confirm", "must be true: nothing brings it back"),))
    return answered(await call.execute(DeleteSession(_session_id(call), query.fencing_token)))


async def checkpoint(call: Call) -> Answer:
    """Write a durable note of progress."""
    return answered(await call.execute(await call.compute(lambda: checkpoint_of(_session_id(call), call.body))))


def checkpoint_of(session_id: SessionId, body: CheckpointBody) -> WriteCheckpoint:
    """A checkpoint without the secrets that were found in it."""
    free = {name: redact_json(getattr(body, name)) for name in (*_LISTS, "state")}
    summary = redact_text(body.summary)
    lists = {f"{name}_json": _items(free[name].value, field=name) for name in _LISTS}
    state = free["state"].value
    return WriteCheckpoint(
        session_id=session_id,
        fencing_token=body.fencing_token,
        summary=summary.value,
        **lists,
        state_json=None if state is None else free_json(state, field="state", bytes_max=STATE_BYTES_MAX),
        branch=body.branch,
        commit_sha=body.commit_sha,
        redactions=summary.number + sum(each.number for each in free.values()),
    )


_LISTS = ("work_completed", "blockers", "next_actions")


async def patch(call: Call) -> Answer:
    """Change what a session is about."""
    body: PatchBody = call.body
    fields = tuple((name, getattr(body, name)) for name in PATCHABLE if getattr(body, name) is not UNSET)
    meta_patch_json = None
    if body.meta is not UNSET:
        meta_patch_json = free_json(body.meta, field="meta", bytes_max=META_BYTES_MAX)
    return answered(
        await call.execute(PatchSession(_session_id(call), body.fencing_token, call.revision, fields, meta_patch_json))
    )


def _items(items: list[Any], *, field: str) -> str:
    return free_json(items, field=field, bytes_max=STATE_BYTES_MAX)


def _verb(name: str, handler: Any, body: type[Record], budget: Budget = Budget.REQUESTS) -> Route:
    path = f"/v1/sessions/{{id}}/{name}"
    return Route("POST", path, handler, KeyScope.AGENT, body=body, is_mutating=True, budget=budget)


ROUTES = [
    _verb("heartbeat", heartbeat, HeartbeatBody, Budget.HEARTBEATS)._replace(routine=Routine.HEARTBEAT),
    _verb("pause", pause, HolderBody),
    _verb("resume", resume, HolderBody),
    _verb("park", park, ParkBody),
    _verb("stall", stall, StallBody),
    _verb("end", end, EndBody)._replace(body_bytes_max=BODY_BYTES_LARGE_MAX),
    _verb("fail", fail, FailBody),
    _verb("stop", stop, StopBody),
    _verb("archive", archive, HolderBody),
    _verb("checkpoint", checkpoint, CheckpointBody),
    Route("PATCH", "/v1/sessions/{id}", patch, KeyScope.AGENT, body=PatchBody, is_mutating=True, takes_revision=True),
    Route("DELETE", "/v1/sessions/{id}", delete, KeyScope.AGENT, query=DeleteQuery, is_mutating=True),
]
