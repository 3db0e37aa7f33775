"""Routes for accounts: made, changed, suspended, taken away in a file, erased."""

from collections.abc import AsyncIterator

import msgspec

from holdfast.commands.accounts import ACCOUNT_LIST, ChangeAccount, CreateAccount, RequestErasure
from holdfast.commands.bodies import Body
from holdfast.domain.account import AccountStatus
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import AccountId
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import AccountName, Name, Natural, Reason, Record
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.rendering import rendered
from holdfast.doors.http.routing import Route
from holdfast.engine import administration

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType


class LimitsBody(Record):
    """What an account may hold; null: any number."""

    live_sessions: Natural | Unset | None = UNSET


class AccountBody(Record):
    """`POST /v1/accounts`."""

    id: AccountName
    name: Name | None = None
    limits: LimitsBody = msgspec.field(default_factory=LimitsBody)


class PatchAccountBody(Record):
    """`PATCH /v1/accounts/{id}`: what is not named stays, null clears."""

    name: Name | Unset | None = UNSET
    limits: LimitsBody = msgspec.field(default_factory=LimitsBody)
    suspended: bool | None = None
    reason: Reason | None = None


class AccountsQuery(ListQuery):
    """`GET /v1/accounts`."""

    status: AccountStatus | None = None


class EraseQuery(Record):
    """`DELETE /v1/accounts/{id}`. `confirm`: the account's id once more."""

    confirm: str
    reason: Reason | None = None


def _account_id(call: Call) -> AccountId:
    return AccountId(call.ids[0])


async def create(call: Call) -> Answer:
    """Make an account."""
    body: AccountBody = call.body
    limit = body.limits.live_sessions
    command = CreateAccount(AccountId(body.id), body.name, None if limit is UNSET else limit)
    return answered(await call.execute(command))


async def list_accounts(call: Call) -> Answer:
    """Accounts, by id."""
    query: AccountsQuery = call.query
    filters: dict[str, str | int | bool | None] = {"status": None if query.status is None else query.status.value}
    request = list_request(ACCOUNT_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(administration.accounts, request), request))


async def read(call: Call) -> Answer:
    """One account, and how much of its limits it uses."""
    return Answer(200, await call.core.read(administration.account, _account_id(call)))


async def patch(call: Call) -> Answer:
    """Change an account, suspend it, or readmit it."""
    body: PatchAccountBody = call.body
    given = {"name": body.name, "live_sessions_max": body.limits.live_sessions}
    fields = tuple((name, value) for name, value in given.items() if value is not UNSET)
    reply = await call.execute(ChangeAccount(_account_id(call), fields, body.suspended, body.reason))
    call.core.forget_keys()
    return answered(reply)


async def export(call: Call) -> Answer:
    """Everything that an account has, a JSON document a line, but no secrets."""
    account = await call.core.read(administration.account, _account_id(call))
    return Answer(200, None, lines=_lines(call, account))


async def _lines(call: Call, account: Body) -> AsyncIterator[bytes]:
    """The account, every row of every table, and at the end how many there were, so that a short file is noticed."""
    yield rendered({"kind": "account", **account}) + b"\n"
    count = 0
    for table in administration.EXPORTED:
        after = None
        while True:
            found = await call.core.read(administration.piece, _account_id(call), table, after)
            count += len(found.rows)
            if found.rows:
                yield b"".join([rendered(administration.exported(table, row)) + b"\n" for row in found.rows])
            after = found.next_after
            if after is None:
                break
    yield rendered({"kind": "end", "rows": count}) + b"\n"


async def erase(call: Call) -> Answer:
    """Erase an account and everything in it, in the background; reading it answers 404 once it is done."""
    query: EraseQuery = call.query
    if query.confirm != call.ids[0]:
        message = "must be the account's id once more: nothing brings it back"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("confirm", message),))
    reply = await call.execute(RequestErasure(_account_id(call), query.reason))
    call.core.forget_keys()
    return Answer(202, reply.body, reply.is_replay)


ROUTES = [
    Route("POST", "/v1/accounts", create, KeyScope.ADMIN, body=AccountBody, is_mutating=True),
    Route("GET", "/v1/accounts", list_accounts, KeyScope.ADMIN, query=AccountsQuery),
    Route("GET", "/v1/accounts/{id}", read, KeyScope.ADMIN),
    Route("PATCH", "/v1/accounts/{id}", patch, KeyScope.ADMIN, body=PatchAccountBody, is_mutating=True),
    Route("DELETE", "/v1/accounts/{id}", erase, KeyScope.ADMIN, query=EraseQuery, is_mutating=True),
    Route("GET", "/v1/accounts/{id}/export", export, KeyScope.ADMIN),
]
