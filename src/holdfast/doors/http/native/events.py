"""Routes that tell what happened: events in the order of commits, from a cursor on, waiting for more if asked to."""

import asyncio
from typing import Annotated

import msgspec

from holdfast.commands.bodies import Body
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import EventType
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import LIST_LIMIT_DEFAULT
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Id, Record
from holdfast.doors.http.native.paging import Cursor, Limit, decoded, encoded
from holdfast.doors.http.routing import Route
from holdfast.engine import queries

WAIT_SECONDS_MAX = 60
"""The longest that a long poll waits: under the idle time that balancers allow."""

LOOK_AGAIN_SECONDS = 0.5
"""How often a long poll looks by itself: this node's commits wake it, another node's do not."""


class EventsQuery(Record):
    """`GET /v1/events`."""

    after: Cursor | None = None
    limit: Limit = LIST_LIMIT_DEFAULT
    wait_seconds: Annotated[int, msgspec.Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0
    type: EventType | None = None
    session_id: Id | None = None


class SessionEventsQuery(Record):
    """`GET /v1/sessions/{id}/events`."""

    after: Cursor | None = None
    limit: Limit = LIST_LIMIT_DEFAULT


async def list_events(call: Call) -> Answer:
    """Events of the account after a cursor; `next_cursor` is where to go on, also when there were none."""
    query: EventsQuery = call.query
    filters = {} if query.type is None else {"type": query.type.value}
    if query.session_id is not None:
        filters["session_id"] = query.session_id
    return Answer(200, await _events(call, query.after, filters, limit=query.limit, wait_seconds=query.wait_seconds))


async def list_session_events(call: Call) -> Answer:
    """Events of one session after a cursor."""
    await call.core.read(queries.find_session, call.actor.account_id, SessionId(call.ids[0]))
    filters = {"session_id": call.ids[0]}
    return Answer(200, await _events(call, call.query.after, filters, limit=call.query.limit, wait_seconds=0))


async def _events(call: Call, cursor: str | None, filters: dict[str, str], *, limit: int, wait_seconds: int) -> Body:
    timeline = await call.core.read(queries.timeline)
    after = 0 if cursor is None else _number(cursor, timeline=timeline)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while True:
        found = await call.core.read(queries.events, call.actor.account_id, after=after, filters=filters, limit=limit)
        left = deadline - loop.time()
        if found or left <= 0 or call.core.is_leaving():
            break
        await call.core.changed(timeout_seconds=min(left, LOOK_AGAIN_SECONDS))
    items = [{**body, "cursor": encoded([timeline, number])} for number, body in found]
    last = found[-1][0] if found else after
    return {"items": items, "next_cursor": encoded([timeline, last])}


def _number(cursor: str, *, timeline: str) -> int:
    """The number that a cursor stands at. Raises: cursor_invalid, cursor_expired."""
    found_timeline, number = decoded(cursor, length=2)
    if not isinstance(number, int):
        raise Refusal(Code.CURSOR_INVALID, ways_out=(WayOut(Action.REPEAT_FROM_START),))
    if found_timeline != timeline:
        raise Refusal(Code.CURSOR_EXPIRED, ways_out=(WayOut(Action.REPEAT_FROM_START),))
    return number


ROUTES = [
    Route("GET", "/v1/events", list_events, KeyScope.READ, query=EventsQuery),
    Route("GET", "/v1/sessions/{id}/events", list_session_events, KeyScope.READ, query=SessionEventsQuery),
]
