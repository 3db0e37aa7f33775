"""The audit: one record for every administrative act and every change of ownership, written with the act itself."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.ids import AccountId, AuditId, KeyId


class AuditAction(StrEnum):
    """What was done."""

    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    ACCOUNT_CREATED = "account.created"
    SESSION_TAKEN_OVER = "session.taken_over"
    SESSION_SUPERSEDED = "session.superseded"
    SESSION_STOP_REQUESTED = "session.stop_requested"
    SESSION_ARCHIVED = "session.archived"
    SESSION_DELETED = "session.deleted"


class AuditRecord(NamedTuple):
    """Who did what to what, and why."""

    id: AuditId
    account_id: AccountId
    at_ms: int
    key_id: KeyId
    action: AuditAction
    target: str
    reason: str | None
    correlation_id: str
    data_json: str
