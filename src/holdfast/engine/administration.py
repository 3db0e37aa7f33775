"""Questions of those who run the service: accounts and what is in them, and whether the audit is what was written.

Answered from committed rows, in pieces of a bounded size, so that a caller can go on to the next one as slowly as it
likes.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from holdfast.commands.accounts import (
    ACCOUNTS_BY_STATUS,
    ERASED_TABLES,
    LIVE_SESSIONS,
    account_body,
    account_key,
    account_not_found,
)
from holdfast.commands.auditing import AUDIT_CHAIN
from holdfast.commands.bodies import Body
from holdfast.commands.lists import ListRequest
from holdfast.commands.rows import TABLES, Count, Key, Members, Row, Table, Value
from holdfast.domain.account import Account, AccountStatus, is_there
from holdfast.domain.audit import AuditHead, AuditRecord, ChainCheck, Flaw, FlawKind, blanked, new_head
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.handoff import HandoffBody, HandoffSchema
from holdfast.domain.ids import AccountId
from holdfast.engine.queries import Page
from holdfast.store.port import Reader

PIECE_ROWS: Final = 200
"""Rows read at a time for an export, a verification or an erasure: a few milliseconds of a reader."""

LONG_PIECE_ROWS: Final = 20
"""Rows read at a time where one may have a megabyte."""

LONG_ROWS: Final = (HandoffBody, HandoffSchema)

SECRETS: Final[dict[str, frozenset[str]]] = {
    "api_key": frozenset({"secret_sha256", "previous_secret_sha256"}),
    "session": frozenset({"fencing_token"}),
    "idempotency": frozenset({"request_sha256", "reply_json"}),
    "webhook": frozenset({"secret", "previous_secret"}),
}
"""Columns that no export holds, by table: what would let its reader act as somebody else. Replies that are kept for
repeated requests are among them, since a start's has its token."""

EXPORTED: Final = tuple(table for table in TABLES.values() if "account_id" in table.columns)


def account(store: Reader, account_id: AccountId) -> Body:
    """An account, and how much of its limits it uses. Raises: not_found."""
    found = store.get(account_key(account_id))
    if not isinstance(found, Account) or found.status == AccountStatus.ERASED:
        raise account_not_found()
    live_sessions = store.count(Count(LIVE_SESSIONS, (account_id,)))
    return {**account_body(found), "usage": {"live_sessions": live_sessions}}


def accounts(store: Reader, request: ListRequest) -> Page:
    """A page of accounts, by id."""
    page = store.page(request)
    items = [account_body(row) for (row,) in page.rows if isinstance(row, Account)]
    return Page(items, None if page.is_last else items[-1]["id"], page.total)


def has_account(store: Reader, account_id: AccountId) -> bool:
    """Whether there is an account of this id."""
    found = store.get(account_key(account_id))
    return isinstance(found, Account) and is_there(found)


class Piece(NamedTuple):
    """Some rows of one table that an account has, and the key of the last of them; None: none follow in this table."""

    table: Table
    rows: list[Row]
    next_after: tuple[Value, ...] | None


def piece(store: Reader, account_id: AccountId, table: Table, after: tuple[Value, ...] | None) -> Piece:
    """The next rows of a table."""
    limit = LONG_PIECE_ROWS if table.row_type in LONG_ROWS else PIECE_ROWS
    rows = store.account_rows(table.row_type, account_id, after=after, limit=limit)
    is_last = len(rows) < limit
    return Piece(table, rows, None if is_last else _key_of(table, rows[-1]))


def exported(table: Table, row: Row) -> Body:
    """A row as an export tells it: under the names of its columns, without what is secret."""
    secrets = SECRETS.get(table.name, frozenset())
    told = {name: value for name, value in zip(table.columns, row, strict=True) if name not in secrets}
    return {"kind": table.name, **told}


def erasing(store: Reader) -> list[AccountId]:
    """Accounts that are being erased."""
    found = store.find(Members(ACCOUNTS_BY_STATUS, (AccountStatus.ERASING.value,)))
    return [each.id for each in found if isinstance(each, Account)]


def to_erase(found: Piece) -> tuple[Key, ...]:
    """The keys of those rows that still hold something to erase."""
    held = [row for row in found.rows if not (isinstance(row, AuditRecord) and row == blanked(row))]
    return tuple(Key(found.table.row_type, _key_of(found.table, row)) for row in held)


def tables_to_erase() -> Iterator[Table]:
    """Every table in which an account that is being erased may have something."""
    return iter(ERASED_TABLES)


class Verification:
    """One reading of an account's audit, piece by piece, from its oldest record to what was the newest at the start."""

    def __init__(self, store: Reader, account_id: AccountId) -> None:
        self._account_id = account_id
        self.head = _head(store, account_id)
        found = store.get(account_key(account_id))
        is_erased = isinstance(found, Account) and not is_there(found)
        self._check = ChainCheck(self.head, is_erased=is_erased)
        self._after: int | None = None
        self._is_behind_head = False
        self.flaw: Flaw | None = None
        self.is_done = False

    def go_on(self, store: Reader) -> bool:
        """Read the next piece; whether another one follows."""
        request = ListRequest(AUDIT_CHAIN, self._account_id, (), self._after, PIECE_ROWS)
        page = store.page(request)
        for (record,) in page.rows:
            assert isinstance(record, AuditRecord)
            if record.number > self.head.last_number:
                self._is_behind_head = True
                break
            self.flaw = self._check.see(record)
            if self.flaw is not None:
                return False
            self._after = record.number
        if not (page.is_last or self._is_behind_head):
            return True
        self.flaw = self._check.end() or _behind_the_head(store, self._account_id)
        return False

    def was_overtaken(self, store: Reader) -> bool:
        """Whether the oldest records were deleted for their age meanwhile, which looks like a flaw and is none."""
        return _head(store, self._account_id).cut_number != self.head.cut_number

    def body(self) -> Body:
        """What was found, and where the chain ended: whoever notes that elsewhere can tell a chain written anew."""
        flaw = self.flaw
        return {
            "account_id": self._account_id,
            "intact": flaw is None,
            "verified": self._check.verified,
            "unchained": self._check.unchained,
            "flaw": None if flaw is None else {"kind": str(flaw.kind), "number": flaw.number, "id": flaw.id},
            "cut": {"number": self.head.cut_number, "sha256": self.head.cut_sha256},
            "head": {"number": self.head.last_number, "sha256": self.head.last_sha256},
        }


def noted_differs(store: Reader, account_id: AccountId, *, number: int, sha256: str) -> Flaw | None:
    """Whether the record of this number has another hash than somebody noted. Raises: validation_failed."""
    head = _head(store, account_id)
    if number <= head.cut_number:
        if number == head.cut_number and sha256 == head.cut_sha256:
            return None
        message = f"is of a record that was deleted for its age; the oldest one is {head.cut_number + 1}"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("number", message),))
    page = store.page(ListRequest(AUDIT_CHAIN, account_id, (), number - 1, 1))
    for (record,) in page.rows:
        assert isinstance(record, AuditRecord)
        if record.number == number:
            return None if record.sha256 == sha256 else Flaw(FlawKind.CHANGED, number, record.id)
    return Flaw(FlawKind.REMOVED, number, None)


def _behind_the_head(store: Reader, account_id: AccountId) -> Flaw | None:
    """A record behind the last one that was ever written."""
    head = _head(store, account_id)
    page = store.page(ListRequest(AUDIT_CHAIN, account_id, (), head.last_number, 1))
    for (record,) in page.rows:
        assert isinstance(record, AuditRecord)
        # What was committed between the two readings is known to the head by now.
        if record.number > _head(store, account_id).last_number:
            return Flaw(FlawKind.INSERTED, record.number, record.id)
    return None


def _head(store: Reader, account_id: AccountId) -> AuditHead:
    found = store.get(Key(AuditHead, (account_id,)))
    return found if isinstance(found, AuditHead) else new_head(account_id)


def _key_of(table: Table, row: Any) -> tuple[Value, ...]:
    return tuple(row[: len(table.key)])
