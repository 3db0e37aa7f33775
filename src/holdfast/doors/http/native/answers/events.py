"""What events answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.domain.errors import Code
from holdfast.domain.events import EventType, Rule
from holdfast.doors.http.described import Described, Text
from holdfast.doors.http.native.answers.words import At, SessionId


class Event(msgspec.Struct):
    """One change of the state of a session, a task, a project or a machine; which one, `data` tells."""

    id: Annotated[str, Meta(examples=["evt_01KF5V3Z5RXYZ0123456789ABC"])]
    type: Annotated[EventType, Meta(examples=["session.started"])]
    rule: Annotated[Rule, Meta(examples=["requested"])]
    session_id: Annotated[SessionId | None, Meta(description="Null where it happened to no session.")]
    project_id: str | None
    at: Annotated[At, Meta(description="When it took effect.")]
    recorded_at: At
    actor: str
    correlation_id: str
    data: dict[str, Any]


class ListedEvent(Event):
    """An event, and the cursor behind it."""

    cursor: str


class Events(msgspec.Struct):
    """Events in the order of commits. `next_cursor` is where to go on, also when there were none."""

    items: list[ListedEvent]
    next_cursor: str


_FOLLOWING = (Code.CURSOR_INVALID, Code.CURSOR_EXPIRED)


DESCRIBED: Mapping[str, Described] = {
    "GET /v1/events": Described("list_events", {200: Events}, (*_FOLLOWING, Code.TOO_MANY_STREAMS)),
    "GET /v1/events/stream": Described(
        "stream_events",
        {
            200: Text(
                "text/event-stream",
                "Server-sent events: `id` is a cursor, `event` a type, `data` an event as `GET /v1/events` lists it. "
                "A block with an `id` alone moves the cursor on; a line `:` says that the stream is alive.",
            )
        },
        (*_FOLLOWING, Code.TOO_MANY_STREAMS),
    ),
    "GET /v1/sessions/{id}/events": Described("list_session_events", {200: Events}, (Code.NOT_FOUND, *_FOLLOWING)),
}
