"""Routes that tell of sessions: lists, one of them, what it left, and why it is in its state."""

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast.commands.rows import Value
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import SessionId
from holdfast.domain.liveness import Liveness
from holdfast.domain.session import Status
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Id, Name, Time, times_ms
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import queries, recovery


class Fields(StrEnum):
    """How much of each session a list shows; a summary leaves out `meta` and `error_details`, which may be long."""

    ALL = "all"
    SUMMARY = "summary"


class SessionsQuery(ListQuery):
    """`GET /v1/sessions`."""

    status: Status | None = None
    liveness: Liveness | None = None
    heartbeat_before: Time | None = None
    heartbeat_after: Time | None = None
    started_before: Time | None = None
    started_after: Time | None = None
    venture: Name | None = None
    repo: Name | None = None
    track: Name | None = None
    project_id: Id | None = None
    machine_id: Id | None = None
    agent: Name | None = None
    scope: str | None = None
    group_id: Id | None = None
    parent_id: Id | None = None
    q: Name | None = None
    fields: Fields | None = None
    recoverable: Annotated[
        bool, msgspec.Meta(description="Those that broke off and that nobody has followed, oldest first.")
    ] = False


_TIMES = ("heartbeat_before", "heartbeat_after", "started_before", "started_after")
_PLAIN = ("venture", "repo", "track", "project_id", "machine_id", "agent", "scope", "group_id", "parent_id", "q")


async def list_sessions(call: Call) -> Answer:
    """Sessions, newest first; `recoverable=true`: those that broke off, oldest first, and what blocks them."""
    query: SessionsQuery = call.query
    filters: dict[str, Value] = {name: getattr(query, name) for name in _PLAIN}
    filters |= times_ms(**{name: getattr(query, name) for name in _TIMES})
    filters["bound_project_id"] = call.actor.project_id
    filters["status"] = None if query.status is None else query.status.value
    bound_to = "" if query.liveness is None else query.liveness.value
    if query.liveness is not None and query.include_total:
        message = "cannot be told together with liveness, which is computed for a page at a time"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("include_total", message),))
    if query.recoverable:
        return await _list_recoverable(call, query, filters)
    request = list_request(queries.SESSION_LIST, call.actor.account_id, query, filters, bound_to=bound_to)
    is_summary = query.fields == Fields.SUMMARY
    page = await call.core.read(queries.sessions, request, alive=query.liveness, is_summary=is_summary)
    return Answer(200, page_body(page, request, bound_to=bound_to))


async def _list_recoverable(call: Call, query: SessionsQuery, filters: dict[str, Value]) -> Answer:
    if query.liveness is not None:
        message = "cannot be told together with recoverable: all of those have lapsed"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("liveness", message),))
    request = list_request(recovery.RECOVERABLE_LIST, call.actor.account_id, query, filters | recovery.BROKE_OFF)
    is_summary = query.fields == Fields.SUMMARY
    page = await call.core.read(recovery.recoverable, call.actor, request, is_summary=is_summary)
    return Answer(200, page_body(page, request))


async def read_recovery(call: Call) -> Answer:
    """The last known state of a session, and what to do about it."""
    session_id, attempts_max = SessionId(call.ids[0]), call.core.recovery_attempts_max
    return Answer(200, await call.core.read(recovery.recovery, call.actor, session_id, attempts_max=attempts_max))


async def read_session(call: Call) -> Answer:
    """One session."""
    return Answer(200, await call.core.read(queries.session, call.actor, SessionId(call.ids[0])))


async def explain(call: Call) -> Answer:
    """Why a session is in its state."""
    return Answer(200, await call.core.read(queries.explain, call.actor, SessionId(call.ids[0])))


async def list_checkpoints(call: Call) -> Answer:
    """A session's checkpoints, newest first."""
    session_id = SessionId(call.ids[0])
    filters: dict[str, str | int | bool | None] = {"session_id": session_id}
    request = list_request(queries.CHECKPOINT_LIST, call.actor.account_id, call.query, filters)
    page = await call.core.read(queries.checkpoints, call.actor, request, session_id=session_id)
    return Answer(200, page_body(page, request))


ROUTES = [
    Route("GET", "/v1/sessions", list_sessions, KeyScope.READ, query=SessionsQuery),
    Route("GET", "/v1/sessions/{id}", read_session, KeyScope.READ),
    Route("GET", "/v1/sessions/{id}/explain", explain, KeyScope.READ),
    Route("GET", "/v1/sessions/{id}/recovery", read_recovery, KeyScope.READ),
    Route("GET", "/v1/sessions/{id}/checkpoints", list_checkpoints, KeyScope.READ, query=ListQuery),
]
