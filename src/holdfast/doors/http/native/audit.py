"""Routes for the audit: what was done, and whether that is still what was written down."""

import re
from typing import Annotated

import msgspec

from holdfast.commands.auditing import AUDIT_LIST
from holdfast.domain.actor import KeyScope
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Id, Natural, Record
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import administration, queries

SHA256 = re.compile(r"[0-9a-f]{64}")

VERIFICATIONS_MAX = 3
"""Readings from the start, where each time the oldest records were deleted for their age meanwhile."""


class AuditQuery(ListQuery):
    """`GET /v1/audit`."""

    action: AuditAction | None = None
    target: Id | None = None
    key_id: Id | None = None


class VerifyQuery(Record):
    """`GET /v1/audit/verify`. `number`, `sha256`: the head of the chain as an earlier verification told it."""

    number: Natural | None = None
    sha256: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{SHA256.pattern}$"})] | None = None


async def list_audit(call: Call) -> Answer:
    """Administrative acts and changes of ownership, newest first."""
    query: AuditQuery = call.query
    filters: dict[str, str | int | bool | None] = {
        "action": None if query.action is None else query.action.value,
        "target": query.target,
        "key_id": query.key_id,
    }
    request = list_request(AUDIT_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(queries.audit, request), request))


async def verify(call: Call) -> Answer:
    """Whether no record of the audit was changed, removed or inserted; the first one that was is named."""
    query: VerifyQuery = call.query
    if (query.number is None) != (query.sha256 is None):
        raise _invalid("sha256" if query.sha256 is None else "number", "is needed as well: the two belong together")
    if query.sha256 is not None and SHA256.fullmatch(query.sha256) is None:
        raise _invalid("sha256", "must be 64 of 0–9 a–f")
    verification = await _verified(call)
    if verification.flaw is None and query.number is not None and query.sha256 is not None:
        verification.flaw = await call.core.read(
            administration.noted_differs, call.actor.account_id, number=query.number, sha256=query.sha256
        )
    return Answer(200, verification.body())


async def _verified(call: Call) -> administration.Verification:
    tries = 0
    while True:
        tries += 1
        verification = await call.core.read(administration.Verification, call.actor.account_id)
        is_more = True
        while is_more:
            is_more = await call.core.read(verification.go_on)
        was_overtaken = verification.flaw is not None and await call.core.read(verification.was_overtaken)
        if not was_overtaken or tries >= VERIFICATIONS_MAX:
            return verification


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError(field, message),))


ROUTES = [
    Route("GET", "/v1/audit", list_audit, KeyScope.OPERATOR, query=AuditQuery),
    Route("GET", "/v1/audit/verify", verify, KeyScope.OPERATOR, query=VerifyQuery),
]
