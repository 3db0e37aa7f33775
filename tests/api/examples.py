"""One good request for every route that there is, for tests that hold of all routes."""

from collections.abc import Sequence
from itertools import count
from typing import Final, NamedTuple

from holdfast.doors.http.native import ROUTES
from holdfast.doors.http.routing import Route
from tests.api.driver import Account, Json, Request

ABOUT: Final = "{about}"
"""Stands in a body or a query for the id of the session that the example is about."""


class Example(NamedTuple):
    """What to send to a route. after: verbs said before, by which the session comes into a state that allows it."""

    body: Json | None = None
    query: str = ""
    after: tuple[str, ...] = ()


_numbers = count()

REASON: Final = {"reason": "it hangs"}

EXAMPLES: Final[dict[tuple[str, str], Example]] = {
    ("GET", "/health"): Example(),
    ("GET", "/health/live"): Example(),
    ("GET", "/health/ready"): Example(),
    ("GET", "/health/detail"): Example(),
    ("POST", "/v1/sessions"): Example({"agent": "claude", "scope": "example"}),
    ("POST", "/v1/sessions/report"): Example(
        {
            "client_session_id": "example",
            "agent": "claude",
            "started_at": "2026-01-16T10:00:00Z",
            "ended_at": "2026-01-16T11:00:00Z",
        }
    ),
    ("POST", "/v1/sessions/{id}/takeover"): Example(REASON, after=("stall",)),
    ("POST", "/v1/sessions/{id}/heartbeat"): Example({"activity": "reading"}),
    ("POST", "/v1/sessions/{id}/pause"): Example({}),
    ("POST", "/v1/sessions/{id}/resume"): Example({}),
    ("POST", "/v1/sessions/{id}/park"): Example({"wake_at": "2040-01-17T10:00:00.000Z"}),
    ("POST", "/v1/sessions/{id}/stall"): Example(REASON),
    ("POST", "/v1/sessions/{id}/end"): Example({"end_reason": "manual"}),
    ("POST", "/v1/sessions/{id}/fail"): Example(REASON | {"error_details": {"line": 7}}),
    ("POST", "/v1/sessions/{id}/stop"): Example(REASON),
    ("POST", "/v1/sessions/{id}/archive"): Example({}, after=("end",)),
    ("POST", "/v1/sessions/{id}/checkpoint"): Example({"summary": "half of it is done", "state": {"step": 1}}),
    ("PATCH", "/v1/sessions/{id}"): Example({"branch": "main", "meta": {"a": None}}),
    ("DELETE", "/v1/sessions/{id}"): Example(query="confirm=true", after=("end", "archive")),
    ("POST", "/v1/heartbeats"): Example({"heartbeats": [{"session_id": ABOUT}]}),
    ("GET", "/v1/fence"): Example(query="scope=session%3D{about}&token=1"),
    ("GET", "/v1/sessions"): Example(query="status=active"),
    ("GET", "/v1/sessions/{id}"): Example(),
    ("GET", "/v1/sessions/{id}/explain"): Example(),
    ("GET", "/v1/sessions/{id}/checkpoints"): Example(query="limit=3"),
    ("GET", "/v1/events"): Example(query="limit=3"),
    ("GET", "/v1/events/stream"): Example(query="after=start"),
    ("GET", "/v1/sessions/{id}/events"): Example(query="limit=3"),
    ("POST", "/v1/keys"): Example({"name": "example"}),
    ("GET", "/v1/keys"): Example(query="scope=read"),
    ("POST", "/v1/keys/{id}/rotate"): Example({"overlap_seconds": 60}),
    ("DELETE", "/v1/keys/{id}"): Example(),
    ("POST", "/v1/accounts"): Example({"id": ABOUT}),
    ("GET", "/v1/accounts"): Example(query="status=active"),
    ("GET", "/v1/accounts/{id}"): Example(),
    ("PATCH", "/v1/accounts/{id}"): Example({"name": "example", "limits": {"live_sessions": 7}}),
    ("DELETE", "/v1/accounts/{id}"): Example(query="confirm={about}"),
    ("GET", "/v1/accounts/{id}/export"): Example(),
    ("GET", "/v1/audit/verify"): Example(),
    ("GET", "/v1/audit"): Example(query="limit=3"),
    ("POST", "/v1/cleanup"): Example({"older_than_days": 7, "statuses": ["ended"]}),
    ("GET", "/v1/jobs"): Example(),
    ("GET", "/v1/requests"): Example(query="limit=3"),
    ("GET", "/v1/requests/counts"): Example(),
    ("POST", "/v1/webhooks"): Example({"url": "https://hooks.example.com/", "event_types": ["session.*"]}),
    ("GET", "/v1/webhooks"): Example(query="limit=3"),
    ("GET", "/v1/webhooks/{id}"): Example(),
    ("PATCH", "/v1/webhooks/{id}"): Example({"description": "for the night"}),
    ("DELETE", "/v1/webhooks/{id}"): Example(),
    ("POST", "/v1/webhooks/{id}/rotate"): Example({"overlap_seconds": 60}),
    ("POST", "/v1/webhooks/{id}/test"): Example({}),
    ("GET", "/v1/webhooks/{id}/deliveries"): Example(query="status=pending"),
    ("GET", "/v1/webhooks/{id}/deliveries/{delivery_id}"): Example(),
    ("POST", "/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver"): Example({}),
    ("POST", "/v1/alerts"): Example({"type": "no_progress", "after_seconds": 1800}),
    ("GET", "/v1/alerts"): Example(query="type=parked"),
    ("GET", "/v1/alerts/{id}"): Example(),
    ("PATCH", "/v1/alerts/{id}"): Example({"name": "for the night"}),
    ("DELETE", "/v1/alerts/{id}"): Example(),
    ("GET", "/v1/alerts/{id}/open"): Example(query="limit=3"),
    ("GET", "/v1/stats"): Example(query="by=agent&from=2026-01-01T00:00:00Z"),
    ("GET", "/metrics"): Example(),
}

ALL: Final[Sequence[Route]] = ROUTES
KEYED: Final = [route for route in ALL if route.scope is not None]
MUTATING: Final = [route for route in ALL if route.is_mutating]
WITH_ID: Final = [route for route in ALL if "{id}" in route.path and "/accounts/" not in route.path]
"""Routes about something that is in an account."""


def named(route: Route) -> str:
    """A route as the id of a test."""
    return f"{route.method} {route.path}"


def example(account: Account, route: Route, *, by: str = "admin") -> Request:
    """A request that is accepted, about something that was made for it."""
    found = EXAMPLES[route.method, route.path]
    about = _made(account, route, found)
    body = None if found.body is None else _filled(found.body, about)
    query = found.query.replace(ABOUT, about)
    if "{delivery_id}" in route.path:
        tried = account.call("POST", f"/v1/webhooks/{about}/test", by="admin")
        path = route.path.replace("{delivery_id}", tried.json["id"])
    else:
        path = route.path
    return account.request(route.method, path.replace("{id}", about) + (f"?{query}" if query else ""), body, by=by)


def _made(account: Account, route: Route, found: Example) -> str:
    """The id of a new key, account or session for an example."""
    if "/accounts" in route.path:
        account_id = f"{account.id}-{next(_numbers)}"
        if "{id}" in route.path:
            assert account.call("POST", "/v1/accounts", {"id": account_id}, by="admin").status == 201
        return account_id
    if "/keys" in route.path:
        made = account.call("POST", "/v1/keys", {"name": "to be revoked", "scope": "read"}, by="admin")
        return str(made.json["id"])
    if "/alerts" in route.path:
        made = account.call("POST", "/v1/alerts", {"type": "parked"}, by="admin")
        return str(made.json["id"])
    if "/webhooks" in route.path:
        made = account.call("POST", "/v1/webhooks", {"url": "https://hooks.example.com/"}, by="admin")
        return str(made.json["id"])
    number = sum(1 for _ in account.each("/v1/sessions"))
    session = account.start(client_session_id=f"example-{number}", holder_id=f"holder-{number}")
    for verb in found.after:
        assert account.say(verb, session).status == 200
    return str(session["id"])


def _filled(body: Json, about: str) -> Json:
    if "heartbeats" in body:
        return {"heartbeats": [{"session_id": about}]}
    if body.get("id") == ABOUT:
        return {**body, "id": about}
    return body
