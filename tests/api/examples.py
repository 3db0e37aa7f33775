"""One good request for every route that there is, for tests that hold of all routes."""

from collections.abc import Sequence
from itertools import count
from typing import Final, NamedTuple

from holdfast.doors.http.native import ROUTES
from holdfast.doors.http.routing import Route
from tests.api.driver import Account, Json, Request

ABOUT: Final = "{about}"
"""Stands in a body or a query for the id of the session that the example is about."""

SESSION: Final = "{session}"
ESCALATION: Final = "{escalation}"
"""Likewise for the session and an escalation of the workspace that the example is about."""


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
    ("GET", "/metrics"): Example(),
    ("GET", "/v1/workspaces"): Example(query="scope=workspace%3Dexample"),
    ("POST", "/v1/workspaces/start"): Example({"scope": "workspace=start"}),
    ("POST", "/v1/workspaces/heartbeat"): Example({"scope": ABOUT, "activity": "reading"}),
    ("POST", "/v1/workspaces/takeover"): Example({"scope": ABOUT, "actor_id": "other", "reason": "it fell silent"}),
    ("POST", "/v1/workspaces/clear"): Example({"scope": "workspace=example"}),
    ("POST", "/v1/workspaces/escalations"): Example({"scope": "workspace=example", "reason": "which one?"}),
    ("POST", "/v1/workspaces/escalations/resolve"): Example({"scope": ABOUT, "id": ESCALATION}),
    ("POST", "/v1/workspaces/gates"): Example({"scope": "workspace=example", "gates": [{"text": "it is reviewed"}]}),
    ("POST", "/v1/workspaces/baseline"): Example({"scope": ABOUT, "session_id": SESSION, "digests": {"gates": "0a"}}),
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
    if "/workspaces/" in route.path:
        assert found.body is not None
        return account.request(route.method, route.path, _in_workspace(account, route, found.body), by=by)
    about = _made(account, route, found)
    body = None if found.body is None else _filled(found.body, about)
    query = found.query.replace(ABOUT, about)
    return account.request(
        route.method, route.path.replace("{id}", about) + (f"?{query}" if query else ""), body, by=by
    )


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


def _in_workspace(account: Account, route: Route, body: Json) -> Json:
    """The body of an example about a new workspace, in which an agent works, or fell silent."""
    if ABOUT not in body.values():
        return body
    scope = f"workspace={next(_numbers)}"
    owner = {"owner_kind": "runtime_worker", "actor_id": "worker", "lease_seconds": 60}
    is_takeover = route.path.endswith("takeover")
    started = account.call("POST", "/v1/workspaces/start", {"scope": scope, **(owner if is_takeover else {})})
    session_id = str(started.json["session_id"])
    if is_takeover:
        core_id, token = session_id.replace("ses_", "sess_"), started.json["fencing_token"]
        assert account.call("POST", f"/v1/sessions/{core_id}/stall", {**REASON, "fencing_token": token}).status == 200
    added = account.call("POST", "/v1/workspaces/escalations", {"scope": scope, "reason": "which one?"})
    filled = {ABOUT: scope, SESSION: session_id, ESCALATION: added.json["escalation"]["id"]}
    return {name: filled.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
