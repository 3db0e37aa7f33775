"""Accounts: the boundary between tenants, what one may hold, and how one is suspended or erased."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import DEFAULT_ACCOUNT, AccountId


class AccountStatus(StrEnum):
    """Where an account is in its life."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERASING = "erasing"
    ERASED = "erased"


OPEN = frozenset({AccountStatus.ACTIVE, AccountStatus.SUSPENDED})
"""An account that is there: an operator may act in it, even while its own keys are refused."""


class Account(NamedTuple):
    """The boundary between tenants.

    status_at_ms: since when it has its status; None: from the beginning.
    live_sessions_max: how many sessions that are not over it may have; None: any number.
    Of an erased one this row is left, so that its id is never given out again.
    """

    id: AccountId
    created_at_ms: int
    name: str | None
    status: AccountStatus
    status_at_ms: int | None
    live_sessions_max: int | None


def opened(account_id: AccountId, *, now_ms: int) -> Account:
    """A new account, without a name and without limits."""
    return Account(account_id, now_ms, None, AccountStatus.ACTIVE, None, None)


def suspend(account: Account, *, now_ms: int) -> Account:
    """The account with its keys refused. Raises: account_permanent."""
    _require_impermanent(account, verb="suspended")
    if account.status == AccountStatus.SUSPENDED:
        return account
    return account._replace(status=AccountStatus.SUSPENDED, status_at_ms=now_ms)


def readmit(account: Account, *, now_ms: int) -> Account:
    """The account with its keys accepted again."""
    if account.status != AccountStatus.SUSPENDED:
        return account
    return account._replace(status=AccountStatus.ACTIVE, status_at_ms=now_ms)


def begin_erasure(account: Account, *, now_ms: int) -> Account:
    """The account with nobody in it any more, about to be emptied. Raises: account_permanent."""
    _require_impermanent(account, verb="erased")
    return account._replace(status=AccountStatus.ERASING, status_at_ms=now_ms)


def end_erasure(account: Account, *, now_ms: int) -> Account:
    """What is left of an account that has nothing any more: its id, and since when."""
    return Account(account.id, account.created_at_ms, None, AccountStatus.ERASED, now_ms, None)


def require_room(account: Account, *, live_sessions: int) -> None:
    """Refuse one more session where these, the new one among them, are over the limit. Raises: quota_exceeded."""
    limit = account.live_sessions_max
    if limit is not None and live_sessions > limit:
        raise Refusal(
            Code.QUOTA_EXCEEDED,
            what="live sessions",
            limit=limit,
            usage=live_sessions - 1,
            ways_out=(WayOut(Action.REPEAT_LATER),),
        )


def is_there(account: Account | None) -> bool:
    """Whether an account exists for those who ask for it: erased ones do not, nor do those that are being erased."""
    return account is not None and AccountStatus(account.status) in OPEN


def _require_impermanent(account: Account, *, verb: str) -> None:
    if account.id == DEFAULT_ACCOUNT:
        raise Refusal(Code.ACCOUNT_PERMANENT, account_id=account.id, verb=verb)
