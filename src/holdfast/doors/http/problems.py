"""Refusals as HTTP: one table from code to status, and the document that says why and what to do next."""

from typing import Any
from urllib.parse import quote

from holdfast.commands.bodies import Body
from holdfast.commands.leaving import OVER
from holdfast.domain.errors import SENTENCES, Action, Code, Refusal, WayOut
from holdfast.domain.times import rfc3339
from holdfast.doors.http.dialect import Dialect

STATUS: dict[Code, int] = {
    Code.VALIDATION_FAILED: 422,
    Code.NOT_FOUND: 404,
    Code.FORBIDDEN: 403,
    Code.ACCOUNT_SUSPENDED: 403,
    Code.ACCOUNT_EXISTS: 409,
    Code.ACCOUNT_PERMANENT: 409,
    Code.QUOTA_EXCEEDED: 403,
    Code.RATE_LIMITED: 429,
    Code.KEY_ENDED: 409,
    Code.WEBHOOK_DISABLED: 409,
    Code.LEASE_HELD: 409,
    Code.SCOPE_LAPSED: 409,
    Code.SCOPE_CROWDED: 409,
    Code.LEASE_EXPIRED: 409,
    Code.SESSION_PARKED: 409,
    Code.SESSION_STALLED: 409,
    Code.SESSION_FAILED: 409,
    Code.SESSION_ABANDONED: 409,
    Code.SESSION_ENDED: 409,
    Code.SESSION_TAKEN_OVER: 409,
    Code.SESSION_RECOVERED: 409,
    Code.SESSION_QUARANTINED: 409,
    Code.SESSION_STOP_REQUESTED: 409,
    Code.SESSION_NOT_TERMINAL: 409,
    Code.SESSION_NOT_ARCHIVED: 409,
    Code.SLOT_OCCUPIED: 409,
    Code.SLOT_DISABLED: 409,
    Code.NO_FREE_SLOT: 409,
    Code.MACHINE_IN_MAINTENANCE: 409,
    Code.MACHINE_OCCUPIED: 409,
    Code.CLIENT_SESSION_ID_REUSED: 409,
    Code.HANDOFF_SETTLED: 409,
    Code.HANDOFF_SCHEMA_EXISTS: 409,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.FENCING_TOKEN_REQUIRED: 428,
    Code.FENCING_TOKEN_STALE: 409,
    Code.REVISION_CONFLICT: 412,
    Code.WORKSPACE_OWNED: 409,
    Code.WORKSPACE_OWNED_AUTONOMOUS: 409,
    Code.WORKSPACE_OWNED_INTERACTIVE: 409,
    Code.WORKSPACE_STALE_OWNED: 409,
    Code.WORKSPACE_STALE_AUTONOMOUS: 409,
    Code.WORKSPACE_EMPTY: 409,
    Code.WORKSPACE_STALE: 409,
    Code.WORKSPACE_STALE_INTERACTIVE: 409,
    Code.WORKSPACE_CHANGED: 409,
    Code.WORKSPACE_FULL: 409,
    Code.HEARTBEAT_NOT_AUTONOMOUS: 409,
    Code.HEARTBEAT_NOT_OWNER: 409,
    Code.HEARTBEAT_WITHOUT_SESSION: 409,
    Code.ACTIVITY_TOO_LONG: 422,
    Code.TAKEOVER_OF_NOTHING: 409,
    Code.TAKEOVER_OF_INTERACTIVE: 409,
    Code.TAKEOVER_TOO_EARLY: 409,
    Code.TAKEOVER_OF_OWN: 409,
    Code.TAKEOVER_WITHOUT_LEASE: 409,
    Code.CLEAR_WITHOUT_ACTOR: 409,
    Code.CLEAR_STALE_WITHOUT_ACTOR: 409,
    Code.CLEAR_OF_AHEAD: 409,
    Code.CLEAR_OF_STALE: 409,
    Code.CLEAR_OF_STALE_WITHOUT_LEASE: 409,
    Code.CLEAR_OF_ACTIVE: 409,
    Code.IDEMPOTENCY_KEY_REUSED: 422,
    Code.SECRET_ALREADY_SHOWN: 409,
    Code.CURSOR_INVALID: 422,
    Code.CURSOR_EXPIRED: 410,
    Code.PROJECT_EXISTS: 409,
    Code.TASK_TRANSITION_NOT_ALLOWED: 409,
    Code.TASK_WAITING: 409,
    Code.TASK_HELD: 409,
    Code.TASK_LOST: 409,
    Code.TASK_NEEDED: 409,
    Code.TASK_IN_PROGRESS: 409,
    Code.TASK_CROWDED: 409,
    Code.TOO_MANY_TASKS: 409,
    Code.BUSY: 503,
    Code.OVERLOADED: 503,
    Code.TOO_MANY_STREAMS: 429,
    Code.OUTCOME_UNKNOWN: 503,
    Code.STORAGE_FULL: 507,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}

TITLES: dict[int, str] = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Payload too large",
    414: "URI too long",
    415: "Unsupported media type",
    422: "Unprocessable content",
    428: "Precondition required",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal error",
    503: "Service unavailable",
    507: "Insufficient storage",
}


DOOR_CODES: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "A header that says one thing is there twice."),
    "malformed_json": (400, "The body is not acceptable JSON."),
    "malformed_path": (400, "The path holds a segment that cannot be an id."),
    "malformed_if_match": (400, "If-Match takes a session's revision."),
    "idempotency_key_required": (400, "The request changes something, and carries no Idempotency-Key."),
    "unauthorized": (401, "There is no key, or it is not valid."),
    "not_local": (403, "Without keys, only the server's own machine is served."),
    "method_not_allowed": (405, "The path exists, and `Allow` says by which methods."),
    "request_timeout": (408, "The request did not arrive in time."),
    "uri_too_long": (414, "Path and query are too long."),
    "unsupported_media_type": (415, "The body is not sent as application/json, or not as it is."),
    "headers_too_large": (431, "The request has too many headers, or too long ones."),
    "not_ready": (503, "The store does not take writes."),
}
"""What the door itself refuses: by code, the status and what it means. The core's own are in STATUS and SENTENCES."""


WIRE_CODES = ("malformed_request", "request_timeout", "payload_too_large", "uri_too_long", "headers_too_large")
"""What any well-formed request may be refused for before its route is looked at; see `faults`."""


class HttpProblem(Exception):
    """What the HTTP door itself refuses, before the core is asked.

    headers: further response headers, such as `Allow`. closes: the rest of the request was not read.
    dialect: of the path, where no route was found for the method.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        closes: bool = False,
        dialect: Dialect | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.closes = closes
        self.dialect = dialect


def document(status: int, code: str, detail: str, *, instance: str, request_id: str, **more: Any) -> Body:
    """A problem document. Source: RFC 9457, with `code`, `request_id`, `errors` and `ways_out` as extensions."""
    return {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "request_id": request_id,
        **more,
    }


def refusal_document(refusal: Refusal, *, instance: str, request_id: str) -> Body:
    """A refusal of the core as a problem document."""
    more: Body = {}
    if refusal.errors:
        more["errors"] = [error._asdict() for error in refusal.errors]
    facts = {_FACTS[name]: value for name, value in refusal.data.items() if name in _FACTS and value is not None}
    if refusal.ways_out:
        more["ways_out"] = [way_out(each) for each in refusal.ways_out]
    return document(
        STATUS[refusal.code],
        refusal.code.value,
        sentence(refusal),
        instance=instance,
        request_id=request_id,
        **facts,
        **more,
    )


_FACTS = {
    **{name: name for name in ("session_id", "successor_id", "scope", "end_reason", "lease_expires_at_ms", "revision")},
    **{name: name for name in ("limit", "usage", "size", "handoff_id", "machine_id", "slot")},
    **{name: name for name in ("project_id", "task_id", "task_status", "holder_session_id", "waiting_task_id")},
    "status": "session_status",
}
"""What of a refusal's data is told as a field of its own, so that a program need not read the sentence; and the name
of that field, since a problem's own `status` is the response's."""


def item_document(refusal: Refusal) -> Body:
    """A refusal of one item in a batch: what differs from the request's own document is left out."""
    body: Body = {"status_code": STATUS[refusal.code], "code": refusal.code.value, "detail": sentence(refusal)}
    if refusal.ways_out:
        body["ways_out"] = [way_out(each) for each in refusal.ways_out]
    return body


def sentence(refusal: Refusal) -> str:
    """What happened, in one sentence."""
    words = dict(refusal.data)
    for name, value in refusal.data.items():
        if name.endswith("_at_ms") and isinstance(value, int):
            words[name.removesuffix("_ms")] = rfc3339(value)
    told = SENTENCES[refusal.code].format_map(words)
    if refusal.code in OVER and "handoff_id" in words:
        told += f" Its handoff was kept as an orphan, {words['handoff_id']}."
    return told


def way_out(way: WayOut) -> Body:
    """One way out as a request that can be made, and as a phrase."""
    session = "" if way.session_id is None else f"/v1/sessions/{way.session_id}"
    target = "" if way.target is None else quote(way.target, safe="")
    body: Body = {"action": way.action.value}
    method, path, fields, phrase = _REQUESTS[way.action]
    if method is not None:
        body |= {"method": method, "path": path.format(session=session, target=target)}
    if way.action in _WORKING and way.session_id is not None:
        fields = {"session_id": way.session_id, "fencing_token": "…", **fields}
    if way.identity is not None:
        fields = {**fields, **way.identity._asdict()}
    if way.action == Action.CLAIM_TASK:
        fields = {**fields, "project_id": way.target}
    if way.action == Action.START_TAKING_OVER:
        fields = {"take_over": {"session_id": way.session_id, "reason": "…"}}
    if fields:
        body["body"] = fields
    body["how"] = phrase
    if way.after_at_ms is not None:
        body["after_at_ms"] = way.after_at_ms
    return body


_REQUESTS: dict[Action, tuple[str | None, str, Body, str]] = {
    Action.READ: ("GET", "{session}", {}, "Read the session as it is now."),
    Action.READ_HANDOFF: ("GET", "/v1/handoffs/{target}", {}, "Read the handoff as it is now."),
    Action.REGISTER_VERSION: (None, "", {}, "Register it as another version."),
    Action.EXPLAIN: ("GET", "{session}/explain", {}, "See why it is in this state, and who acted."),
    Action.START: (
        "POST",
        "/v1/sessions",
        {"scope": "…", "agent": "…"},
        "Start; the same scope, agent and holder_id resume their session.",
    ),
    Action.START_TAKING_OVER: ("POST", "/v1/sessions", {}, "Send the same start with `take_over` added."),
    Action.TAKE_OVER: (
        "POST",
        "{session}/takeover",
        {"holder_id": "…", "reason": "…"},
        "Take the session over; you get its scope's next token and its last checkpoint.",
    ),
    Action.FORCE_TAKE_OVER: (
        "POST",
        "{session}/takeover",
        {"holder_id": "…", "reason": "…", "force": True},
        "With an operator's key: take the session over while its lease is running.",
    ),
    Action.RECOVER: (
        "POST",
        "{session}/recover",
        {"holder_id": "…"},
        "Recover the session: a new one goes on with its work, under its scope's next token.",
    ),
    Action.FORCE_RECOVER: (
        "POST",
        "{session}/recover",
        {"holder_id": "…", "reason": "…", "force": True},
        "With an operator's key: recover the session all the same.",
    ),
    Action.RESUME: ("POST", "{session}/resume", {"fencing_token": "…"}, "Resume the session first, with its token."),
    Action.END: (
        "POST",
        "{session}/end",
        {"end_reason": "manual", "fencing_token": "…"},
        "End the session, with its fencing token.",
    ),
    Action.ARCHIVE: ("POST", "{session}/archive", {}, "Archive the session first."),
    Action.REPEAT_WITH_TOKEN: (None, "", {}, "Repeat the request with the `fencing_token` that the start answered."),
    Action.REPEAT_WITH_REVISION: (None, "", {}, "Repeat the request with the present revision in `If-Match`."),
    Action.REPEAT_WITH_NEW_KEY: (None, "", {}, "Repeat the request with a new Idempotency-Key."),
    Action.REPEAT_LATER: (None, "", {}, "Repeat the request later; with the same Idempotency-Key nothing is doubled."),
    Action.REPEAT_FROM_START: (None, "", {}, "Read from the beginning, without a cursor."),
    Action.CREATE_KEY: ("POST", "/v1/keys", {}, "Create another key, and revoke the one whose secret was lost."),
    Action.ENABLE_WEBHOOK: ("PATCH", "/v1/webhooks/{target}", {"enabled": True}, "Enable the webhook first."),
    Action.READ_WEBHOOKS: ("GET", "/v1/webhooks", {}, "Find the webhook, and rotate its secret."),
    Action.READ_ACCOUNTS: ("GET", "/v1/accounts", {}, "See which accounts there are."),
    Action.REGISTER_MACHINE: ("POST", "/v1/machines", {"machine_id": "…", "slot_count": 4}, "Register it first."),
    Action.READ_MACHINE: ("GET", "/v1/machines/{target}", {}, "See the machine's slots, and who is in them."),
    Action.READ_AVAILABLE_MACHINES: ("GET", "/v1/machines/available", {}, "See which machines have room."),
    Action.BRING_ONLINE: (
        "PATCH",
        "/v1/machines/{target}",
        {"status": "online"},
        "End its maintenance, then repeat.",
    ),
    Action.REPEAT_WITH_ANY_SLOT: (None, "", {}, "Repeat the request without `slot`: the lowest free one is taken."),
    Action.REPEAT_WITHOUT_MACHINE: (None, "", {}, "Repeat the request without `machine_id` and `slot`."),
    Action.FREE_SPACE: (None, "", {}, "Free space on the disk of the store, then repeat the request."),
    Action.READ_PROJECT: ("GET", "/v1/projects/{target}", {}, "Read the project as it is now."),
    Action.CHANGE_PROJECT: ("PATCH", "/v1/projects/{target}", {"name": "…"}, "Change the project that there is."),
    Action.LIST_PROJECTS: ("GET", "/v1/projects", {}, "See which projects there are."),
    Action.CREATE_PROJECT: ("POST", "/v1/projects", {"name": "…"}, "Make the project first."),
    Action.READ_TASK: ("GET", "/v1/tasks/{target}", {}, "Read the task as it is now."),
    Action.LIST_TASKS: ("GET", "/v1/tasks", {}, "See which tasks there are."),
    Action.LIST_HELD_TASKS: ("GET", "{session}/tasks", {}, "See which tasks it holds; complete or release one first."),
    Action.CLAIM_TASK: ("POST", "/v1/tasks/claim", {}, "Claim another task."),
    Action.START_TASK: ("POST", "/v1/tasks/{target}/start", {}, "Start the task."),
    Action.COMPLETE_TASK: ("POST", "/v1/tasks/{target}/complete", {}, "Complete the task."),
    Action.FAIL_TASK: ("POST", "/v1/tasks/{target}/fail", {"error_message": "…"}, "Fail the task, and say why."),
    Action.BLOCK_TASK: ("POST", "/v1/tasks/{target}/block", {"reason": "…"}, "Block the task."),
    Action.RELEASE_TASK: ("POST", "/v1/tasks/{target}/release", {}, "Release the task, so that it is pending again."),
    Action.CHANGE_DEPENDENCIES: ("PATCH", "/v1/tasks/{target}", {"depends_on": []}, "Let it wait for nothing."),
}

_WORKING = frozenset(
    {
        Action.CLAIM_TASK,
        Action.START_TASK,
        Action.COMPLETE_TASK,
        Action.FAIL_TASK,
        Action.BLOCK_TASK,
        Action.RELEASE_TASK,
    }
)
"""What a session does that holds, or wants, a task: the request names it, with its token where it is exclusive."""
