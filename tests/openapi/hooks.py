"""What schemathesis cannot know of the API from its schemas; it loads this module itself."""

import itertools
import json
import re
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

RELATED_FIELDS: Final = re.compile(
    r"policy\..*|lease_seconds|scope|take_over\.session_id|reason|ended_at|started_at|wake_at|meta|state|error_details"
    r"|(heartbeat|started|created)_(before|after)|expires_at|since|until|project_id|number|sha256|schema(\..*)?"
    r"|handoff(\..*)?|summary|status_label|to_agent|venture|repo|track|workspace|Idempotency-Key"
    r"|url|event_types\[\d+\]|after_seconds|from|include_total|liveness|id|slot_count|actor_id|depends_on(\[\d+\])?"
    r"|(work_completed|blockers|next_actions)\[.*"
)
"""Fields that rules tie to others, or that have bounds which no schema can state: bytes rather than characters, the
years in which a time can lie."""

IN_WORDS_ONLY: Final = ("±(2^53−1)", "nested")
"""Faults of free JSON, as a problem tells them."""

_numbers = itertools.count()


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Wait for nothing, and make of a good request one that is also good by what only words can say."""
    query: dict[str, Any] = case.query or {}
    headers: Any = case.headers or {}
    if re.fullmatch("[0-5]?[0-9]|60", str(query.get("wait_seconds"))):
        query["wait_seconds"] = 0
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for name in ("cursor", "after"):
        query.pop(name, None)  # They are opaque, and belong to their list and filter.
    if "confirm" in query and "/accounts/" in case.path:
        query["confirm"] = case.path_parameters["id"]
    if "liveness" in query:
        query.pop("include_total", None)
    if case.path_parameters:
        if case.path.startswith("/v1/docs/"):
            headers.pop("If-Match", None)  # Nobody can guess which version there is.
        headers.pop("X-Account-Id", None)  # What was made a moment ago is of the key's own account.
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = f"schemathesis.{next(_numbers)}"  # One for each request, as it is meant.
    if isinstance(case.body, dict | list):
        body = json.loads(json.dumps(case.body).replace("\\u0000", ""))
        if case.path == "/v1/cleanup":
            body.pop("cursor", None)
        scope = body.get("scope") if isinstance(body, dict) else None
        if isinstance(scope, str):
            body["scope"] = "".join(char for char in scope[:250] if char.isprintable()).strip() or "scope"
        case.body = body


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Whether a failure is one. Neither a refusal for what schemas cannot say is one, nor an account being erased.

    Nor is a number in a path: there it is the text of an id.
    """
    if isinstance(failure, AcceptedNegativeData) and "in path - incorrect type" in failure.message:
        return False
    if isinstance(failure, UseAfterFree) and case.path.startswith("/v1/accounts/"):
        return '"status":"erasing"' not in response.text
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    if problem["code"] == "idempotency_key_required":
        return False  # It may stand in a header or in the body, which no schema can say.
    if problem["code"] == "validation_failed":
        errors = problem["errors"] if "errors" in problem else problem["details"]
        return not all(RELATED_FIELDS.fullmatch(error["field"]) for error in errors)
    told = problem["detail"] if "detail" in problem else problem["message"]
    return problem["code"] != "malformed_json" or not any(words in told for words in IN_WORDS_ONLY)
