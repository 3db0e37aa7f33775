"""Routes for keys."""

import os
from typing import Annotated

import msgspec

from holdfast.commands.keys import KEY_LIST, CreateKey, RevokeKey, RotateKey
from holdfast.domain.actor import RANK, KeyScope
from holdfast.domain.ids import AccountId, KeyId
from holdfast.domain.keys import KEY_ENTROPY_BYTES
from holdfast.domain.limits import DAY_MS, SECOND_MS
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import AccountName, Id, Name, Record, Time, at_ms
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route
from holdfast.engine import queries

OVERLAP_SECONDS_DEFAULT = DAY_MS // SECOND_MS
"""A day: time to bring the new secret to wherever the old one is."""

OVERLAP_SECONDS_MAX = 30 * DAY_MS // SECOND_MS
"""What takes longer is better served by a second key."""


class KeyBody(Record):
    """`POST /v1/keys`. `scopes`: the widest counts, since each includes the narrower ones."""

    name: Name = "unnamed"
    scopes: Annotated[list[KeyScope], msgspec.Meta(min_length=1, max_length=4)] | None = None
    scope: KeyScope = KeyScope.AGENT
    account_id: AccountName | None = None
    project_id: Id | None = None
    expires_at: Time | None = None


class RotateBody(Record):
    """`POST /v1/keys/{id}/rotate`. `overlap_seconds`: for how long the present secret stays good; 0: not at all."""

    overlap_seconds: Annotated[float, msgspec.Meta(ge=0, le=OVERLAP_SECONDS_MAX)] = OVERLAP_SECONDS_DEFAULT


class KeysQuery(ListQuery):
    """`GET /v1/keys`."""

    scope: KeyScope | None = None


async def create(call: Call) -> Answer:
    """Make a key; it is shown this once."""
    body: KeyBody = call.body
    account_id = None if body.account_id is None else AccountId(body.account_id)
    scope = max(body.scopes, key=RANK.__getitem__) if body.scopes else body.scope
    expires_at_ms = at_ms(body.expires_at, field="expires_at")
    entropy = os.urandom(KEY_ENTROPY_BYTES)
    command = CreateKey(body.name, scope, account_id, entropy, body.project_id, expires_at_ms)
    return answered(await call.execute(command))


async def rotate(call: Call) -> Answer:
    """Give a key a new secret, shown this once; the present one stays good for the overlap."""
    body: RotateBody = call.body
    overlap_ms = round(body.overlap_seconds * SECOND_MS)
    reply = await call.execute(RotateKey(KeyId(call.ids[0]), overlap_ms, os.urandom(KEY_ENTROPY_BYTES)))
    call.core.forget_keys()
    return answered(reply)


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


ROUTES = [
    Route("POST", "/v1/keys", create, KeyScope.ADMIN, body=KeyBody, is_mutating=True),
    Route("GET", "/v1/keys", list_keys, KeyScope.ADMIN, query=KeysQuery),
    Route("POST", "/v1/keys/{id}/rotate", rotate, KeyScope.ADMIN, body=RotateBody, is_mutating=True),
    Route("DELETE", "/v1/keys/{id}", revoke, KeyScope.ADMIN, is_mutating=True),
]
