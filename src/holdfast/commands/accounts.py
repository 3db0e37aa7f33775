"""Accounts: made, changed, suspended, erased; and what a command that adds to one has to ask of it."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from holdfast.commands.bodies import Body
from holdfast.commands.holding import audit
from holdfast.commands.lists import Filter, ListSpec
from holdfast.commands.rows import TABLES, CountSpec, Key, Need, Row, SetSpec
from holdfast.commands.view import Reply, View
from holdfast.domain.account import (
    Account,
    AccountStatus,
    begin_erasure,
    end_erasure,
    is_there,
    opened,
    readmit,
    suspend,
)
from holdfast.domain.actor import Actor, KeyScope, may, require
from holdfast.domain.audit import AuditAction, AuditHead, AuditRecord, blanked
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import AccountId
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.session import Session, Status

LIVE_STATUSES: Final = frozenset({Status.ACTIVE, Status.PAUSED, Status.PARKED, Status.STALLED})
"""What counts against the limit of live sessions: all that is not over. One that fell silent may still come back."""

LIVE_SESSIONS = CountSpec("live_sessions", Session, ("account_id",), ("status", tuple(sorted(LIVE_STATUSES))))

ACCOUNTS_BY_STATUS = SetSpec("accounts_by_status", Account, ("status",), order="id", limit=16)

ACCOUNT_LIST = ListSpec(
    "accounts", (Account,), {"status": (Filter("account", "status"),)}, order="id", descending=False, is_of_all=True
)

ERASURE_SETTLES_MS = 10 * SECOND_MS
"""How long after its request an erasure is finished at the earliest: by then no node believes a key of the account any
more, and whatever was under way for it is committed."""

KEPT_IN_PART: Final[frozenset[type[Row]]] = frozenset({AuditRecord, AuditHead})
"""Tables of which an erasure leaves rows, for the chain's sake: ids and hashes."""

ERASED_TABLES: Final = tuple(
    table for table in TABLES.values() if "account_id" in table.columns and table.row_type is not AuditHead
)
"""Every table in which an account may have something to erase."""


class CreateAccount(NamedTuple):
    """Make an account of a name that nobody has used."""

    account_id: AccountId
    name: str | None
    live_sessions_max: int | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account's row."""
        return (account_key(self.account_id),)

    def decide(self, view: View) -> Reply:
        """The account. Raises: forbidden, account_exists."""
        require(view.actor, KeyScope.ADMIN)
        if view.get(Account, self.account_id) is not None:
            raise Refusal(Code.ACCOUNT_EXISTS, account_id=self.account_id, ways_out=(WayOut(Action.READ_ACCOUNTS),))
        account = opened(self.account_id, now_ms=view.now.wall_ms)
        account = account._replace(name=self.name, live_sessions_max=self.live_sessions_max)
        view.put(account)
        audit(view, AuditAction.ACCOUNT_CREATED, target=account.id)
        return Reply(account_body(account), created=True)


class ChangeAccount(NamedTuple):
    """Change an account.

    fields: pairs of a column in CHANGEABLE and its new value, None to clear it.
    suspended: whether its keys are to be refused; None: as they are.
    """

    account_id: AccountId
    fields: tuple[tuple[str, str | int | None], ...]
    suspended: bool | None
    reason: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account's row."""
        return (account_key(self.account_id),)

    def decide(self, view: View) -> Reply:
        """The changed account. Raises: forbidden, not_found, account_permanent."""
        require(view.actor, KeyScope.ADMIN)
        before = find_account(view, self.account_id)
        account = before._replace(**dict(self.fields))  # type: ignore[arg-type]
        if account != before:
            audit(view, AuditAction.ACCOUNT_CHANGED, target=account.id, reason=self.reason)
        if self.suspended is not None:
            act = suspend if self.suspended else readmit
            changed = act(account, now_ms=view.now.wall_ms)
            if changed != account:
                action = AuditAction.ACCOUNT_SUSPENDED if self.suspended else AuditAction.ACCOUNT_READMITTED
                audit(view, action, target=account.id, reason=self.reason)
            account = changed
        view.put(account)
        return Reply(account_body(account))


CHANGEABLE = ("name", "live_sessions_max")


class OpenAccount(NamedTuple):
    """Make sure that an account exists which an operator names."""

    account_id: AccountId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (account_key(self.account_id),)

    def decide(self, view: View) -> Reply:
        """The account. Raises: forbidden, not_found where it was erased."""
        if not may(view.actor, KeyScope.OPERATOR):
            raise Refusal(Code.FORBIDDEN, scope=KeyScope.OPERATOR.value)
        open_account(view, self.account_id)
        return Reply({"id": self.account_id})


class RequestErasure(NamedTuple):
    """Have an account erased: nobody is let in from now on, and everything in it is deleted bit by bit."""

    account_id: AccountId
    reason: str | None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account's row."""
        return (account_key(self.account_id),)

    def decide(self, view: View) -> Reply:
        """The account; asked again while it is being erased, the same. Raises: forbidden, not_found."""
        require(view.actor, KeyScope.ADMIN)
        account = view.get(Account, self.account_id)
        if account is not None and account.status == AccountStatus.ERASING:
            return Reply(account_body(account))
        account = begin_erasure(find_account(view, self.account_id), now_ms=view.now.wall_ms)
        view.put(account)
        audit(view, AuditAction.ACCOUNT_ERASURE_REQUESTED, target=account.id, reason=self.reason)
        return Reply(account_body(account))


class EraseRows(NamedTuple):
    """Erase some rows of an account that is being erased; rows that are gone already are passed over."""

    account_id: AccountId
    keys: tuple[Key, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, and the rows."""
        return account_key(self.account_id), *self.keys

    def decide(self, view: View) -> Reply:
        """How many were erased."""
        account = view.get(Account, self.account_id)
        if account is None or account.status != AccountStatus.ERASING:
            return Reply({"erased": 0})
        erased = 0
        for key in self.keys:
            row = view.get(key.row_type, *key.values)
            if row is None or getattr(row, "account_id", None) != self.account_id:
                continue
            erased += 1
            if isinstance(row, AuditRecord):
                view.put(blanked(row))
            else:
                view.delete(key)
        return Reply({"erased": erased})


class FinishErasure(NamedTuple):
    """Note that nothing of an account is left. Asked for only after all of its tables were found empty."""

    account_id: AccountId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account's row."""
        return (account_key(self.account_id),)

    def decide(self, view: View) -> Reply:
        """Whether it is finished: not while somebody may still be writing what began before the request."""
        account = view.get(Account, self.account_id)
        if account is None or account.status != AccountStatus.ERASING:
            return Reply({"finished": True})
        if view.now.wall_ms < (account.status_at_ms or 0) + ERASURE_SETTLES_MS:
            return Reply({"finished": False})
        view.put(end_erasure(account, now_ms=view.now.wall_ms))
        audit(view, AuditAction.ACCOUNT_ERASED, target=account.id)
        return Reply({"finished": True})


def account_key(account_id: AccountId) -> Key:
    """The row of an account."""
    return Key(Account, (account_id,))


def find_account(view: View, account_id: AccountId) -> Account:
    """An account that is there. Raises: not_found."""
    account = view.get(Account, account_id)
    if account is None or not is_there(account):
        raise account_not_found()
    return account


def require_account(view: View) -> Account | None:
    """The actor's account, where it has a row. Raises: not_found where it is erased: nothing may be added to it."""
    account = view.get(Account, view.actor.account_id)
    if account is not None and not is_there(account):
        raise account_not_found()
    return account


def account_not_found() -> Refusal:
    """The answer for an account that there is not, or not any more."""
    return Refusal(Code.NOT_FOUND, what="account")


def open_account(view: View, account_id: AccountId) -> None:
    """Make the account if there is none. Raises: not_found for the id of one that was erased."""
    account = view.get(Account, account_id)
    if account is None:
        view.put(opened(account_id, now_ms=view.now.wall_ms))
        audit(view, AuditAction.ACCOUNT_CREATED, target=account_id)
    elif not is_there(account):
        raise account_not_found()


def account_body(account: Account) -> Body:
    """An account as administrators see it."""
    return {
        "id": account.id,
        "name": account.name,
        "status": str(account.status),
        "suspended": account.status == AccountStatus.SUSPENDED,
        "status_changed_at_ms": account.status_at_ms,
        "limits": {"live_sessions": account.live_sessions_max},
        "created_at_ms": account.created_at_ms,
    }
