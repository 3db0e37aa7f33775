"""Routes for keys and the audit."""

import os
import re
from typing import Annotated

import msgspec

from holdfast.commands.keys import KEY_LIST, CreateKey, RevokeKey
from holdfast.domain.actor import RANK, KeyScope
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import AccountId, KeyId
from holdfast.domain.keys import KEY_ENTROPY_BYTES
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Name, Record
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import queries


class KeyBody(Record):
    """`POST /v1/keys`. `scopes`: the widest counts, since each includes the narrower ones."""

    name: Name = "unnamed"
    scopes: Annotated[list[KeyScope], msgspec.Meta(min_length=1, max_length=4)] | None = None
    scope: KeyScope = KeyScope.AGENT
    account_id: Id | None = None


class KeysQuery(ListQuery):
    """`GET /v1/keys`."""

    scope: KeyScope | None = None


class AuditQuery(ListQuery):
    """`GET /v1/audit`."""

    action: AuditAction | None = None
    target: Id | None = None
    key_id: Id | None = None


ACCOUNT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


async def create(call: Call) -> Answer:
    """Make a key; it is shown this once."""
    body: KeyBody = call.body
    if body.account_id is not None and ACCOUNT_ID.fullmatch(body.account_id) is None:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("account_id", "must be 1–64 of A–Z a–z 0–9 . _ -"),))
    account_id = None if body.account_id is None else AccountId(body.account_id)
    scope = max(body.scopes, key=RANK.__getitem__) if body.scopes else body.scope
    return answered(await call.execute(CreateKey(body.name, scope, account_id, os.urandom(KEY_ENTROPY_BYTES))))


async def revoke(call: Call) -> Answer:
    """Make a key useless."""
    reply = await call.execute(RevokeKey(KeyId(call.ids[0])))
    call.core.forget_keys()
    return answered(reply)


async def list_keys(call: Call) -> Answer:
    """Keys of the account, without the keys themselves."""
    query: KeysQuery = call.query
    filters: dict[str, str | int | bool | None] = {"scope": None if query.scope is None else query.scope.value}
    request = list_request(KEY_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(queries.keys, request), request))


async def list_audit(call: Call) -> Answer:
    """Administrative acts and changes of ownership, newest first."""
    query: AuditQuery = call.query
    filters: dict[str, str | int | bool | None] = {
        "action": None if query.action is None else query.action.value,
        "target": query.target,
        "key_id": query.key_id,
    }
    request = list_request(queries.AUDIT_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(queries.audit, request), request))


ROUTES = [
    Route("POST", "/v1/keys", create, KeyScope.ADMIN, body=KeyBody, is_mutating=True),
    Route("GET", "/v1/keys", list_keys, KeyScope.ADMIN, query=KeysQuery),
    Route("DELETE", "/v1/keys/{id}", revoke, KeyScope.ADMIN, is_mutating=True),
    Route("GET", "/v1/audit", list_audit, KeyScope.OPERATOR, query=AuditQuery),
]
