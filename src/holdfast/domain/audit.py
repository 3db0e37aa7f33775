"""The audit: one record for every administrative act and every change of ownership, written with the act itself.

The records of an account are a chain: each carries the hash of the one before it, so that none can be changed, removed
or inserted without every later one showing it.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from holdfast.domain.ids import AccountId, AuditId, KeyId


class AuditAction(StrEnum):
    """What was done."""

    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_ROTATED = "key.rotated"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_SUSPENDED = "account.suspended"
    ACCOUNT_READMITTED = "account.readmitted"
    ACCOUNT_ERASURE_REQUESTED = "account.erasure_requested"
    ACCOUNT_ERASED = "account.erased"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_ROTATED = "webhook.rotated"
    WEBHOOK_DELETED = "webhook.deleted"
    ALERT_RULE_CREATED = "alert_rule.created"
    ALERT_RULE_CHANGED = "alert_rule.changed"
    ALERT_RULE_DELETED = "alert_rule.deleted"
    SESSION_TAKEN_OVER = "session.taken_over"
    SESSION_RECOVERED = "session.recovered"
    SESSION_SUPERSEDED = "session.superseded"
    SESSION_STOP_REQUESTED = "session.stop_requested"
    SESSION_ARCHIVED = "session.archived"
    SESSION_DELETED = "session.deleted"
    MACHINE_DECLARED = "machine.declared"
    MACHINE_DELETED = "machine.deleted"
    WORKSPACE_FORCE_CLEARED = "workspace.force_cleared"
    SESSIONS_CLEANED_UP = "sessions.cleaned_up"


class AuditRecord(NamedTuple):
    """Who did what to what, and why.

    number: its place in its account's chain, from 1 on without gaps; 0 until it is saved.
    previous_sha256: of the record before it. sha256: over the record, as `record_body` tells it, in canonical form.
    """

    id: AuditId
    account_id: AccountId
    at_ms: int
    key_id: KeyId
    action: AuditAction
    target: str
    reason: str | None
    correlation_id: str
    data_json: str
    number: int
    previous_sha256: str
    sha256: str


class AuditHead(NamedTuple):
    """Where an account's chain begins and ends; whoever adds a record holds this row until it is committed.

    cut_number, cut_sha256: the last record that was deleted for its age; the chain goes on behind it.
    unchained_number: records up to it are older than the chain and have no hash.
    """

    account_id: AccountId
    last_number: int
    last_sha256: str
    cut_number: int
    cut_sha256: str
    unchained_number: int


def new_head(account_id: AccountId) -> AuditHead:
    """The head of a chain that has no record yet."""
    return AuditHead(account_id, 0, "", 0, "", 0)


def chained(head: AuditHead, record: AuditRecord) -> tuple[AuditHead, AuditRecord]:
    """The record in its place behind the last one, and the head that knows it."""
    linked = record._replace(number=head.last_number + 1, previous_sha256=head.last_sha256)
    sealed = linked._replace(sha256=sha256_of(linked))
    return head._replace(last_number=sealed.number, last_sha256=sealed.sha256), sealed


def cut(head: AuditHead, record: AuditRecord) -> AuditHead:
    """The head after the oldest record is deleted; its hash stays, as the anchor of those that follow."""
    assert record.number == head.cut_number + 1, "a chain is cut from its beginning"
    return head._replace(cut_number=record.number, cut_sha256=record.sha256)


def blanked(record: AuditRecord) -> AuditRecord:
    """What stays of a record when its account is erased: ids and hashes, and nothing that anybody wrote."""
    return record._replace(reason=None, data_json="{}")


def record_body(record: AuditRecord) -> dict[str, Any]:
    """A record as everybody sees it, and, without its own hash, what is hashed."""
    import json  # Few commands leave a record, and all of them know this type.

    from holdfast.domain.times import rfc3339

    return {
        "id": record.id,
        "account_id": record.account_id,
        "number": record.number,
        "at": rfc3339(record.at_ms),
        "key_id": record.key_id,
        "action": str(record.action),
        "target": record.target,
        "reason": record.reason,
        "correlation_id": record.correlation_id,
        "data": json.loads(record.data_json),
        "previous_sha256": record.previous_sha256,
        "sha256": record.sha256,
    }


def sha256_of(record: AuditRecord) -> str:
    """The hash that a record ought to have. Source: RFC 8785."""
    import hashlib

    import rfc8785

    body = record_body(record)
    del body["sha256"]
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


class FlawKind(StrEnum):
    """What was done to a chain."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"


class Flaw(NamedTuple):
    """The first place at which a chain is not what was written. id: of the record, where there is one."""

    kind: FlawKind
    number: int
    id: AuditId | None


class ChainCheck:
    """Reads an account's records in the order of their numbers and finds the first that is not as it was written.

    is_erased: the account was erased, and of its records only ids and hashes are left.
    """

    def __init__(self, head: AuditHead, *, is_erased: bool) -> None:
        self._head = head
        self._is_erased = is_erased
        self._last_number = head.cut_number
        self._last_sha256 = head.cut_sha256
        self._last_id: AuditId | None = None
        self.verified = 0
        self.unchained = 0

    def see(self, record: AuditRecord) -> Flaw | None:
        """Take in the next record, by number; what is wrong with it or before it, if anything is."""
        expected = self._last_number + 1
        if record.number > expected:
            return Flaw(FlawKind.REMOVED, expected, None)
        if record.number < expected:
            return Flaw(FlawKind.INSERTED, record.number, record.id)
        is_hashed = record.number > self._head.unchained_number
        if is_hashed and not self._is_erased and record.sha256 != sha256_of(record):
            return Flaw(FlawKind.CHANGED, record.number, record.id)
        if is_hashed and record.previous_sha256 != self._last_sha256:
            # This record is as it was hashed, so the one before it is not the one that it was written behind.
            return Flaw(FlawKind.CHANGED, self._last_number, self._last_id)
        self._last_number, self._last_sha256, self._last_id = record.number, record.sha256, record.id
        self.verified += is_hashed
        self.unchained += not is_hashed
        return None

    def end(self) -> Flaw | None:
        """What is wrong with the end of the chain, once all records up to the head's last one were seen."""
        if self._last_number < self._head.last_number:
            return Flaw(FlawKind.REMOVED, self._last_number + 1, None)
        if self._last_sha256 != self._head.last_sha256:
            return Flaw(FlawKind.CHANGED, self._last_number, self._last_id)
        return None
