"""What accounts answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.account import AccountStatus
from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described, Text
from holdfast.doors.http.native.answers.words import AccountId, At, Count, NextCursor, Total


class AccountLimits(msgspec.Struct):
    """What an account may hold; null: any number."""

    live_sessions: Count | None


class AccountUsage(msgspec.Struct):
    """What an account holds of that which can be limited."""

    live_sessions: Count


class Account(msgspec.Struct, kw_only=True):
    """A tenant."""

    id: AccountId
    name: str | None
    status: Annotated[AccountStatus, Meta(examples=["active"])]
    suspended: Annotated[bool, Meta(description="Its keys are refused.")]
    status_changed_at: At | None
    limits: AccountLimits
    created_at: At


class AccountInUse(Account, kw_only=True):
    """A tenant, and how much of its limits it uses."""

    usage: AccountUsage


class AccountList(msgspec.Struct):
    """A page of accounts, by id."""

    items: list[Account]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/accounts": Described(
        "create_account",
        {201: Account},
        (Code.ACCOUNT_EXISTS,),
        {"id": "acme", "name": "Acme", "limits": {"live_sessions": 100}},
    ),
    "GET /v1/accounts": Described("list_accounts", {200: AccountList}, (Code.CURSOR_INVALID,)),
    "GET /v1/accounts/{id}": Described("read_account", {200: AccountInUse}, (Code.NOT_FOUND,)),
    "PATCH /v1/accounts/{id}": Described(
        "patch_account",
        {200: Account},
        (Code.NOT_FOUND, Code.ACCOUNT_PERMANENT),
        {"suspended": True, "reason": "the invoice is overdue"},
    ),
    "DELETE /v1/accounts/{id}": Described("erase_account", {202: Account}, (Code.NOT_FOUND, Code.ACCOUNT_PERMANENT)),
    "GET /v1/accounts/{id}/export": Described(
        "export_account",
        {
            200: Text(
                "application/jsonl",
                "A JSON document a line, of the `kind` that it says: first the account, then every row, and last `end` "
                "with the number of `rows`; without that line, the file is not whole.",
            )
        },
        (Code.NOT_FOUND,),
    ),
}
