"""Routes for those who look after many sessions: beats by the thousand, and whether a token is current."""

from collections import Counter
from typing import Annotated

import msgspec

from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.domain.actor import KeyScope
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import HEARTBEAT_BATCH_MAX, SCOPE_BYTES_MAX
from holdfast.domain.rate_limits import Budget
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Id, Record, Token
from holdfast.doors.http.native.lifecycle import HeartbeatBody
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine import queries


class SessionBeat(HeartbeatBody, kw_only=True):
    """One beat of a batch."""

    session_id: Id


class HeartbeatsBody(Record):
    """`POST /v1/heartbeats`."""

    heartbeats: Annotated[list[SessionBeat], msgspec.Meta(min_length=1, max_length=HEARTBEAT_BATCH_MAX)]


class FenceQuery(Record):
    """`GET /v1/fence`."""

    scope: Annotated[str, msgspec.Meta(min_length=1, max_length=SCOPE_BYTES_MAX)]
    token: Token


async def heartbeats(call: Call) -> Answer:
    """Beat for many sessions at once; each has its own result."""
    body: HeartbeatsBody = call.body
    if len(body.heartbeats) > 1:
        call.take(Budget.HEARTBEATS, cost=len(body.heartbeats) - 1)
    beats = tuple(
        Heartbeat(SessionId(each.session_id), each.fencing_token, each.activity, each.progress, each.status_note)
        for each in body.heartbeats
    )
    reply = await call.execute(HeartbeatBatch(beats), is_beat=True, weight=len(beats))
    results, accepted = reply.body["results"], reply.body["accepted"]
    refused = Counter([each["refusal"]["code"] for each in results if not each["ok"]])
    reactivated = sum([each["ok"] and each["reactivated"] for each in results])
    told = [f"{count} {what}" for what, count in (("reactivated", reactivated), *sorted(refused.items())) if count]
    note = f"of {len(results)} beats: {', '.join(told)}" if told else None
    return Answer(200, reply.body, reply.is_replay, None, note, accepted, refused)


async def fence(call: Call) -> Answer:
    """Whether a token is the one under which a scope is held."""
    query: FenceQuery = call.query
    body = await call.core.read(queries.fence, call.actor, query.scope, token=query.token)
    return Answer(200, body)


ROUTES = [
    Route(
        "POST",
        "/v1/heartbeats",
        heartbeats,
        KeyScope.AGENT,
        body=HeartbeatsBody,
        is_mutating=True,
        budget=Budget.HEARTBEATS,
        routine=Routine.HEARTBEAT,
    ),
    Route("GET", "/v1/fence", fence, KeyScope.READ, query=FenceQuery),
]
