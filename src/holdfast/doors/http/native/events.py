"""Routes that tell what happened: events in the order of commits, from a cursor on, waiting for more if asked to."""

import asyncio
from typing import Annotated

import msgspec

from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import EventCursor, EventFilter, EventType, History
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import LIST_LIMIT_DEFAULT
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Id, Record
from holdfast.doors.http.native.paging import Cursor, Limit, decoded, encoded
from holdfast.doors.http.rendering import rendered
from holdfast.doors.http.routing import Route
from holdfast.engine import queries
from holdfast.engine.event_hub import Follower, Told

WAIT_SECONDS_MAX = 60
"""The longest that a long poll waits: under the idle time that balancers allow."""

START = "start"
"""What stands for the cursor before the oldest event that is kept."""

RETRY_MS = 1_000
RETRY_SPREAD_MS = 2_000
"""When a client is to connect again: not all of them at once."""


class StreamQuery(Record):
    """`GET /v1/events/stream`."""

    after: Cursor | None = None
    type: EventType | None = None
    session_id: Id | None = None
    project_id: Id | None = None

    @property
    def wanted(self) -> EventFilter:
        """What is asked for."""
        return EventFilter(None if self.type is None else self.type.value, self.session_id, self.project_id)


class EventsQuery(StreamQuery):
    """`GET /v1/events`."""

    limit: Limit = LIST_LIMIT_DEFAULT
    wait_seconds: Annotated[int, msgspec.Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0


class SessionEventsQuery(Record):
    """`GET /v1/sessions/{id}/events`."""

    after: Cursor | None = None
    limit: Limit = LIST_LIMIT_DEFAULT


async def list_events(call: Call) -> Answer:
    """Events of the account after a cursor; `next_cursor` is where to go on, also when there were none."""
    query: EventsQuery = call.query
    return await _listed(call, query.after, query.wanted, limit=query.limit, wait_seconds=query.wait_seconds)


async def list_session_events(call: Call) -> Answer:
    """Events of one session after a cursor."""
    await call.core.read(queries.find_session, call.actor, SessionId(call.ids[0]))
    return await _listed(call, call.query.after, EventFilter(session_id=call.ids[0]), limit=call.query.limit)


async def stream_events(call: Call) -> "EventStream":
    """Events as they happen, as server-sent events: from `Last-Event-ID` or `after` on, else from now on."""
    assert call.watch is not None
    query: StreamQuery = call.query
    wanted = query.wanted.within(call.actor.project_id)
    given = call.watch.last_event_id or query.after
    after = None if given is None else _opened(given)
    page = await call.core.events_after(call.actor.account_id, after=after, wanted=wanted, limit=0)
    number = page.history.last_number if given is None else _start(page.history, after).number
    follower = call.core.events.follow(
        call.actor, page.history, wanted, number=number, permission=call.watch.permission
    )
    spread_ms = int.from_bytes(call.core.random.take(2), "big") * RETRY_SPREAD_MS >> 16
    return EventStream(follower, retry_ms=RETRY_MS + spread_ms)


class EventStream:
    """What one client of a stream is sent.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html. A block without data moves the cursor that
    the client connects again with, and nothing else.
    """

    def __init__(self, follower: Follower, *, retry_ms: int) -> None:
        self._follower = follower
        self._opening = b"retry: %d\n" % retry_ms + _moved_to(follower.cursor)
        self._told_number = follower.number

    async def next_part(self) -> bytes | None:
        """The cursor first, so that a client that is cut off before any event goes on from here; then the events."""
        if self._opening:
            opening, self._opening = self._opening, b""
            return opening
        try:
            told = await self._follower.next()
        except Refusal:
            # Connecting again, the client is told why.
            return None
        if told is None:
            return None
        before, self._told_number = self._told_number, self._follower.number
        if told:
            return b"".join([each.frame or _framed(each) for each in told])
        return _moved_to(self._follower.cursor) if self._told_number != before else b":\n"

    def stop(self) -> None:
        """Come to an end."""
        self._follower.end()

    def close(self) -> None:
        """Follow no longer."""
        self._follower.leave()


async def _listed(call: Call, cursor: str | None, wanted: EventFilter, *, limit: int, wait_seconds: int = 0) -> Answer:
    wanted = wanted.within(call.actor.project_id)
    after = None if cursor is None else _opened(cursor)
    page = await call.core.events_after(call.actor.account_id, after=after, wanted=wanted, limit=limit)
    found = [Told(event, timeline=page.history.timeline) for event in page.events]
    if not found and wait_seconds and call.watch is not None and not call.core.is_leaving():
        found = await _awaited(call, page.history, wanted, wait_seconds=wait_seconds)
    found = found[:limit]
    last = found[-1].cursor if found else _start(page.history, after)
    body = {"items": [msgspec.Raw(each.item or _itemised(each)) for each in found], "next_cursor": encoded([*last])}
    return Answer(200, body)


async def _awaited(call: Call, history: History, wanted: EventFilter, *, wait_seconds: int) -> list[Told]:
    """The next events after those that were looked through; none where none comes in time."""
    assert call.watch is not None
    permission = call.watch.permission
    follower = call.core.events.follow(call.actor, history, wanted, number=history.last_number, permission=permission)
    try:
        async with asyncio.timeout(wait_seconds):
            told: list[Told] | None = []
            while told == []:
                told = await follower.next()
            return told or []
    except TimeoutError:
        return []
    finally:
        follower.leave()


def _itemised(told: Told) -> bytes:
    """An event as JSON, made once for everybody."""
    told.item = rendered({**queries.event_body(told.event), "cursor": encoded([*told.cursor])})
    return told.item


def _framed(told: Told) -> bytes:
    """An event as it stands in a stream, made once for everybody. JSON has no line ends, and nor have types."""
    cursor = encoded([*told.cursor]).encode()
    item = told.item or _itemised(told)
    told.frame = b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor, told.event.type.encode(), item)
    return told.frame


def _moved_to(cursor: EventCursor) -> bytes:
    return b"id: %b\n\n" % encoded([*cursor]).encode()


def _start(history: History, after: EventCursor | None) -> EventCursor:
    """The cursor that was given; without one, that before the oldest event that is kept."""
    return EventCursor(history.timeline, history.first_number - 1) if after is None else after


def _opened(cursor: str) -> EventCursor | None:
    """Where a cursor stands; None: at the start. Raises: cursor_invalid."""
    if cursor == START:
        return None
    timeline, number = decoded(cursor, length=2)
    if not isinstance(timeline, str) or not isinstance(number, int):
        raise Refusal(Code.CURSOR_INVALID, ways_out=(WayOut(Action.REPEAT_FROM_START),))
    return EventCursor(timeline, number)


ROUTES = [
    Route("GET", "/v1/events", list_events, KeyScope.READ, query=EventsQuery, is_watching=True),
    Route("GET", "/v1/events/stream", stream_events, KeyScope.READ, query=StreamQuery, is_watching=True),
    Route("GET", "/v1/sessions/{id}/events", list_session_events, KeyScope.READ, query=SessionEventsQuery),
]
