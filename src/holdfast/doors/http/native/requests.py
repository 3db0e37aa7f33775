"""Routes that tell what was asked of the server, and how that was answered: for whoever runs it."""

from typing import Annotated

import msgspec

from holdfast.commands.request_log import REQUEST_LIST
from holdfast.domain.actor import KeyScope
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Id, Record, Time, times_ms
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import queries

HttpStatus = Annotated[int, msgspec.Meta(ge=100, le=599)]
Method = Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern=r"^[A-Z-]*$")]
Template = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[!-~]*$")]


class RequestsQuery(ListQuery):
    """`GET /v1/requests`. `route`: a path with `{id}` for its ids, as docs/http.md writes it."""

    status: HttpStatus | None = None
    errors_only: bool = False
    method: Method | None = None
    route: Template | None = None
    key_id: Id | None = None
    request_id: Id | None = None
    correlation_id: Id | None = None
    since: Time | None = None
    until: Time | None = None


class CountsQuery(Record):
    """`GET /v1/requests/counts`."""

    key_id: Id | None = None
    since: Time | None = None


async def list_requests(call: Call) -> Answer:
    """Requests of the account, newest first; accepted heartbeats are only counted."""
    query: RequestsQuery = call.query
    names = ("status", "method", "route", "key_id", "request_id", "correlation_id")
    filters = {name: getattr(query, name) for name in names} | times_ms(since=query.since, until=query.until)
    filters["errors_only"] = True if query.errors_only else None
    request = list_request(REQUEST_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(queries.requests, request), request))


async def list_counts(call: Call) -> Answer:
    """Accepted heartbeats of the account by minute, key and route, newest first."""
    query: CountsQuery = call.query
    since_at_ms = times_ms(since=query.since)["since"]
    items = await call.core.read(
        queries.request_counts, call.actor.account_id, key_id=query.key_id, since_at_ms=since_at_ms
    )
    return Answer(200, {"items": items})


ROUTES = [
    Route("GET", "/v1/requests", list_requests, KeyScope.OPERATOR, query=RequestsQuery),
    Route("GET", "/v1/requests/counts", list_counts, KeyScope.OPERATOR, query=CountsQuery),
]
