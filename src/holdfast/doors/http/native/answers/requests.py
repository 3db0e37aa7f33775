"""What the request log answers."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, Count, NextCursor, Total


class LoggedRequest(msgspec.Struct):
    """A request, and how it was answered."""

    id: str
    at: At
    method: Annotated[str, Meta(examples=["POST"])]
    route: Annotated[
        str | None,
        Meta(description="Its path without ids; null where no route was meant.", examples=["/v1/sessions/{id}/end"]),
    ]
    status: Annotated[int, Meta(examples=[409])]
    error_code: str | None
    detail: Annotated[str | None, Meta(description="Why it was refused, or what was notable otherwise.")]
    duration_seconds: float
    request_bytes: Count
    response_bytes: Count
    idempotency_hit: Annotated[bool, Meta(description="An earlier request's answer was given again.")]
    key_id: Annotated[str | None, Meta(description="Null where no key was accepted.")]
    request_id: str
    correlation_id: str


class RequestList(msgspec.Struct):
    """A page of the request log, newest first."""

    items: list[LoggedRequest]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class RequestCount(msgspec.Struct):
    """Requests of one key to one route within one minute."""

    minute_at: At
    key_id: str
    route: Annotated[str, Meta(examples=["/v1/sessions/{id}/heartbeat"])]
    requests: Count
    heartbeats: Annotated[int, Meta(ge=0, description="Accepted ones; those of a batch each.")]


class RequestCounts(msgspec.Struct):
    """Requests that are only counted, newest first."""

    items: list[RequestCount]


DESCRIBED: Mapping[str, Described] = {
    "GET /v1/requests": Described("list_requests", {200: RequestList}, (Code.CURSOR_INVALID,)),
    "GET /v1/requests/counts": Described("count_requests", {200: RequestCounts}),
}
