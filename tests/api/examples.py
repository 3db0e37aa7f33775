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
    ("POST", "/v1/sessions/{id}/recover"): Example({}, after=("stall",)),
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
    ("POST", "/v1/machines"): Example({"machine_id": ABOUT, "slot_count": 2}),
    ("GET", "/v1/machines"): Example(query="status=online"),
    ("GET", "/v1/machines/available"): Example(query="limit=3"),
    ("GET", "/v1/machines/{id}"): Example(),
    ("PATCH", "/v1/machines/{id}"): Example({"status": "maintenance", "reason": "new disks"}),
    ("DELETE", "/v1/machines/{id}"): Example(),
    ("POST", "/v1/machines/{id}/heartbeat"): Example({"boot_id": "boot-2"}),
    ("GET", "/v1/fence"): Example(query="scope=session%3D{about}&token=1"),
    ("GET", "/v1/sessions"): Example(query="status=active"),
    ("GET", "/v1/sessions/{id}"): Example(),
    ("GET", "/v1/sessions/{id}/explain"): Example(),
    ("GET", "/v1/sessions/{id}/recovery"): Example(),
    ("GET", "/v1/sessions/{id}/checkpoints"): Example(query="limit=3"),
    ("POST", "/v1/handoffs"): Example({"session_id": ABOUT, "summary": "half of it is done"}),
    ("GET", "/v1/handoffs"): Example(query="limit=3&fields=summary"),
    ("GET", "/v1/handoffs/latest"): Example(query="venture=v"),
    ("GET", "/v1/handoffs/{id}"): Example(),
    ("POST", "/v1/handoffs/{id}/status"): Example({"status": "acknowledged"}),
    ("GET", "/v1/sessions/{id}/handoffs"): Example(query="limit=3"),
    ("GET", "/v1/handoff-schemas"): Example(query="limit=3"),
    ("GET", "/v1/handoff-schemas/{name}/{version}"): Example(),
    ("PUT", "/v1/handoff-schemas/{name}/{version}"): Example({"type": "object"}),
    ("GET", "/v1/sessions/{id}/tasks"): Example(query="limit=3"),
    ("POST", "/v1/projects"): Example({"id": ABOUT, "repository": "example"}),
    ("GET", "/v1/projects"): Example(query="status=active"),
    ("GET", "/v1/projects/{id}"): Example(),
    ("PATCH", "/v1/projects/{id}"): Example({"status": "paused", "meta": {"a": None}}),
    ("GET", "/v1/projects/{id}/sessions"): Example(query="limit=3"),
    ("GET", "/v1/projects/{id}/summary"): Example(),
    ("POST", "/v1/tasks"): Example({"project_id": ABOUT, "name": "example", "meta": {"a": 1}}),
    ("GET", "/v1/tasks"): Example(query="ready=true"),
    ("POST", "/v1/tasks/claim"): Example({"session_id": ABOUT, "project_id": "example"}),
    ("GET", "/v1/tasks/{id}"): Example(),
    ("PATCH", "/v1/tasks/{id}"): Example({"priority": 3, "depends_on": []}),
    ("DELETE", "/v1/tasks/{id}"): Example(),
    ("POST", "/v1/tasks/{id}/start"): Example({}),
    ("POST", "/v1/tasks/{id}/complete"): Example({"result": {"a": 1}}, after=("start",)),
    ("POST", "/v1/tasks/{id}/fail"): Example({"error_message": "it broke"}, after=("start",)),
    ("POST", "/v1/tasks/{id}/block"): Example(REASON, after=("start",)),
    ("POST", "/v1/tasks/{id}/release"): Example(REASON, after=("start",)),
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
    ("PUT", "/v1/docs/{venture}/{name}"): Example({"content": "# Conventions"}),
    ("GET", "/v1/docs/{venture}"): Example(query="limit=3"),
    ("GET", "/v1/docs/{venture}/{name}"): Example(),
    ("DELETE", "/v1/docs/{venture}/{name}"): Example(),
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
    if "{venture}" in route.path:
        return account.request(route.method, f"/v1/docs/dfg/{about}", found.body, by=by)
    body = None if found.body is None else _filled(found.body, about)
    query = found.query.replace(ABOUT, about)
    path = route.path.replace("{id}", about).replace("{name}/{version}", about)
    if "{delivery_id}" in path:
        tried = account.call("POST", f"/v1/webhooks/{about}/test", by="admin")
        path = path.replace("{delivery_id}", tried.json["id"])
    return account.request(route.method, path + (f"?{query}" if query else ""), body, by=by)


def _made(account: Account, route: Route, found: Example) -> str:
    """The id of what an example is about, new: of what the path is named after, else of a session."""
    make = MAKERS.get(route.path.removeprefix("/v1/").split("/")[0], _made_session)
    return make(account, route, found)


def _made_account(account: Account, route: Route, _: Example) -> str:
    account_id = f"{account.id}-{next(_numbers)}"
    if "{id}" in route.path:
        assert account.call("POST", "/v1/accounts", {"id": account_id}, by="admin").status == 201
    return account_id


def _made_document(account: Account, route: Route, _: Example) -> str:
    name = f"{next(_numbers)}.md"
    if route.method != "PUT":
        assert account.call("PUT", f"/v1/docs/dfg/{name}", {"content": "x"}, by="admin").status == 201
    return name


def _made_key(account: Account, _route: Route, _: Example) -> str:
    made = account.call("POST", "/v1/keys", {"name": "to be revoked", "scope": "read"}, by="admin")
    return str(made.json["id"])


def _made_alert(account: Account, _route: Route, _: Example) -> str:
    return str(account.call("POST", "/v1/alerts", {"type": "parked"}, by="admin").json["id"])


def _made_webhook(account: Account, _route: Route, _: Example) -> str:
    return str(account.call("POST", "/v1/webhooks", {"url": "https://hooks.example.com/"}, by="admin").json["id"])


def _made_schema(account: Account, route: Route, _: Example) -> str:
    schema_id = f"example-{next(_numbers)}/1"
    if route.method == "GET":
        assert account.call("PUT", f"/v1/handoff-schemas/{schema_id}", {}, by="admin").status == 201
    return schema_id


def _made_machine(account: Account, route: Route, _: Example) -> str:
    machine_id = f"machine-{next(_numbers)}"
    if "{id}" in route.path:
        made = account.call("POST", "/v1/machines", {"machine_id": machine_id, "slot_count": 2})
        assert made.status == 201
    return machine_id


def _made_project(account: Account, route: Route, _: Example) -> str:
    project_id = f"project-of-an-example-{next(_numbers)}"
    if "{id}" in route.path or "/tasks" in route.path:
        assert account.call("POST", "/v1/projects", {"id": project_id}, by="admin").status == 201
    return project_id


def _made_task(account: Account, route: Route, found: Example) -> str:
    """A task; for a new one its project, and for a claim the session that claims the one that is ready."""
    if route.path == "/v1/tasks":
        return _made_project(account, route, found)
    if route.path == "/v1/tasks/claim":
        account.call("POST", "/v1/projects", {"id": "example"}, by="admin")
        account.call("POST", "/v1/tasks", {"project_id": "example", "name": "example"}, by="admin")
        return _made_session(account, route, found)
    project_id = f"project-of-an-example-{next(_numbers)}"
    assert account.call("POST", "/v1/projects", {"id": project_id}, by="admin").status == 201
    task = account.call("POST", "/v1/tasks", {"project_id": project_id, "name": "example"}, by="admin")
    for verb in found.after:
        assert account.call("POST", f"/v1/tasks/{task.json['id']}/{verb}", {}, by="admin").status == 200
    return str(task.json["id"])


def _made_handoff(account: Account, route: Route, found: Example) -> str:
    session_id = _made_session(account, route, found)
    if "{id}" not in route.path:
        return session_id
    return str(account.call("POST", "/v1/handoffs", {"session_id": session_id, "summary": "half of it"}).json["id"])


def _made_session(account: Account, _route: Route, found: Example) -> str:
    number = sum(1 for _ in account.each("/v1/sessions"))
    session = account.start(client_session_id=f"example-{number}", holder_id=f"holder-{number}")
    for verb in found.after:
        assert account.say(verb, session).status == 200
    return str(session["id"])


MAKERS: Final = {
    "accounts": _made_account,
    "docs": _made_document,
    "keys": _made_key,
    "alerts": _made_alert,
    "webhooks": _made_webhook,
    "handoff-schemas": _made_schema,
    "handoffs": _made_handoff,
    "machines": _made_machine,
    "projects": _made_project,
    "tasks": _made_task,
}


def _filled(body: Json, about: str) -> Json:
    if "heartbeats" in body:
        return {"heartbeats": [{"session_id": about}]}
    return {name: about if value == ABOUT else value for name, value in body.items()}


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
