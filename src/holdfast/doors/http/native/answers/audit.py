"""What the audit answers."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.audit import AuditAction, FlawKind
from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import AccountId, At, Count, KeyId, NextCursor, Total


class AuditRecord(msgspec.Struct):
    """Who did what to what, and why."""

    id: Annotated[str, Meta(examples=["aud_01KF5V3Z5RABCDEFGHJKMNPQRS"])]
    account_id: AccountId
    number: Annotated[int, Meta(description="Its place in the account's chain, from 1 on.", examples=[1])]
    at: At
    key_id: KeyId
    action: AuditAction
    target: str
    reason: str | None
    correlation_id: str
    data: Any
    previous_sha256: Annotated[str, Meta(description="Of the record before it.")]
    sha256: Annotated[str, Meta(description="Over this record in canonical form (RFC 8785), without this field.")]


class AuditList(msgspec.Struct):
    """A page of the audit, newest first."""

    items: list[AuditRecord]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class AuditFlaw(msgspec.Struct):
    """The first place at which the audit is not what was written."""

    kind: FlawKind
    number: int
    id: str | None


class AuditPlace(msgspec.Struct):
    """A place in the chain of the audit: a record's number and hash; 0 and nothing before the first."""

    number: Count
    sha256: str


class Verification(msgspec.Struct):
    """What became of the audit since it was written. Whoever notes `head` elsewhere can tell a chain written anew."""

    account_id: AccountId
    intact: bool
    verified: Annotated[int, Meta(ge=0, description="Records whose hash was made again and compared.")]
    unchained: Annotated[int, Meta(ge=0, description="Records older than the chain, which have no hash.")]
    flaw: AuditFlaw | None
    cut: Annotated[AuditPlace, Meta(description="The last record that was deleted for its age.")]
    head: Annotated[AuditPlace, Meta(description="The newest record.")]


DESCRIBED: Mapping[str, Described] = {
    "GET /v1/audit": Described("list_audit", {200: AuditList}, (Code.CURSOR_INVALID,)),
    "GET /v1/audit/verify": Described("verify_audit", {200: Verification}),
}
