"""What the stores keep, as data: tables by their row types, and the sets in which rows are looked up.

Every store makes its statements from these descriptions, so none of them knows a rule and none repeats one.
"""

from typing import Final, NamedTuple

from holdfast.domain.account import Account
from holdfast.domain.alerts import Alert, AlertRule, ProgressMark
from holdfast.domain.audit import AuditHead, AuditRecord
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.document import Document, DocumentContent
from holdfast.domain.events import Event, EventReader
from holdfast.domain.handoff import Handoff, HandoffBody, HandoffSchema
from holdfast.domain.ids import AccountId, HandoffId, SessionId
from holdfast.domain.jobs import Job
from holdfast.domain.keys import ApiKey, KeyUsage
from holdfast.domain.machine import Machine, Slot
from holdfast.domain.project import Project
from holdfast.domain.requests import RequestCount, RequestRecord
from holdfast.domain.scope import Scope
from holdfast.domain.service_time import ServiceState
from holdfast.domain.session import ClientSession, Session, SessionProfile
from holdfast.domain.task import Task, TaskDependency
from holdfast.domain.webhooks import Webhook, WebhookDelivery
from holdfast.domain.workspace import Entry, Workspace

Value = str | int | bool | None
Row = tuple[Value, ...]
"""Any of the records below; all of them are NamedTuples of plain values."""


class IdempotencyRecord(NamedTuple):
    """The reply to a request that carried an idempotency key, kept with the effect it had.

    id: SHA-256 over account, method, path and key. request_sha256: over the canonical body.
    reply_json: the reply's body as the core made it; each door renders it anew, which gives the same bytes.
    expires_at_ms: from when on it counts as not there, whether it was deleted or not; None: never.
    """

    id: str
    account_id: AccountId
    request_sha256: str
    created: bool
    is_secret: bool
    reply_json: str
    created_at_ms: int
    expires_at_ms: int | None


class Table(NamedTuple):
    """A table: its row type, whose fields are its columns in order, and the columns that make its key."""

    name: str
    row_type: type[Row]
    key: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the row's fields."""
        fields: tuple[str, ...] = self.row_type._fields  # type: ignore[attr-defined]
        return fields


TABLES: Final[dict[type[Row], Table]] = {
    table.row_type: table
    for table in (
        Table("job", Job, ("name",)),
        Table("account", Account, ("id",)),
        Table("api_key", ApiKey, ("id",)),
        Table("key_usage", KeyUsage, ("id",)),
        Table("idempotency", IdempotencyRecord, ("id",)),
        Table("client_session", ClientSession, ("account_id", "client_session_id")),
        Table("workspace", Workspace, ("account_id", "scope")),
        Table("workspace_entry", Entry, ("account_id", "scope", "id")),
        Table("scope", Scope, ("account_id", "scope")),
        Table("session", Session, ("id",)),
        Table("session_profile", SessionProfile, ("id",)),
        Table("project", Project, ("account_id", "id")),
        Table("task", Task, ("id",)),
        Table("task_dependency", TaskDependency, ("depends_on_id", "task_id")),
        Table("checkpoint", Checkpoint, ("session_id", "number")),
        Table("handoff_schema", HandoffSchema, ("account_id", "id")),
        Table("handoff", Handoff, ("id",)),
        Table("handoff_body", HandoffBody, ("id",)),
        Table("document", Document, ("account_id", "project_id", "venture", "name")),
        Table("document_content", DocumentContent, ("account_id", "project_id", "venture", "name")),
        Table("machine", Machine, ("account_id", "id")),
        Table("slot", Slot, ("account_id", "machine_id", "number")),
        Table("audit", AuditRecord, ("id",)),
        Table("request_log", RequestRecord, ("account_id", "id")),
        Table("request_count", RequestCount, ("account_id", "minute_at_ms", "key_id", "route", "node")),
        Table("service_state", ServiceState, ("id",)),
        Table("event_reader", EventReader, ("account_id", "name")),
        Table("webhook", Webhook, ("id",)),
        Table("webhook_delivery", WebhookDelivery, ("webhook_id", "event_id")),
        Table("alert_rule", AlertRule, ("id",)),
        Table("alert", Alert, ("account_id", "rule_id", "session_id")),
        Table("progress_mark", ProgressMark, ("session_id",)),
        Table("audit_head", AuditHead, ("account_id",)),
        Table("event", Event, ("account_id", "number")),
    )
}
"""All tables, in the one order in which rows are locked and written: guards before what they guard, events last."""


class Key(NamedTuple):
    """One row, by its type and the values of its key columns."""

    row_type: type[Row]
    values: tuple[Value, ...]


class SetSpec(NamedTuple):
    """A bounded lookup: rows of one type whose columns equal given values, newest (by the order column) first.

    A command that decides by a set also needs the row that guards it, and whoever adds a member needs that row too.
    """

    name: str
    row_type: type[Row]
    equals: tuple[str, ...]
    order: str
    limit: int


class Members(NamedTuple):
    """One set: a lookup and the values to look up."""

    spec: SetSpec
    values: tuple[Value, ...]


class CountSpec(NamedTuple):
    """A bounded question: how many rows of one type there are whose columns equal given values.

    among: a column and the values that it may have. As for a set, whoever decides by it needs the row that guards it.
    """

    name: str
    row_type: type[Row]
    equals: tuple[str, ...]
    among: tuple[str, tuple[str, ...]]


class Count(NamedTuple):
    """One count: what is counted, and the values that narrow it."""

    spec: CountSpec
    values: tuple[Value, ...]


Need = Key | Members | Count


_new: Final = tuple.__new__
"""Makes a key as `Key` does, past a function in Python that takes five times as long; every beat makes two."""


def session_key(session_id: SessionId) -> Key:
    """The row of a session that rules read."""
    return _new(Key, (Session, (session_id,)))


def profile_key(session_id: SessionId) -> Key:
    """The row of a session that people read."""
    return Key(SessionProfile, (session_id,))


def both_keys(session_id: SessionId) -> tuple[Key, Key]:
    """Both rows of a session."""
    return session_key(session_id), profile_key(session_id)


def handoff_key(handoff_id: HandoffId) -> Key:
    """The row by which a handoff is found."""
    return Key(Handoff, (handoff_id,))


def handoff_body_key(handoff_id: HandoffId) -> Key:
    """What may be long in a handoff."""
    return Key(HandoffBody, (handoff_id,))


def scope_key(account_id: AccountId, scope: str) -> Key:
    """The guard row of a scope."""
    return Key(Scope, (account_id, scope))


def client_session_key(account_id: AccountId, client_session_id: str) -> Key:
    """Which session a client's own id names."""
    return Key(ClientSession, (account_id, client_session_id))


def key_of(row: Row) -> Key:
    """The key of a row: the columns of a key lead its table."""
    row_type = type(row)
    return _new(Key, (row_type, row[: _KEY_LENGTHS[row_type]]))


_KEY_LENGTHS: Final = {table.row_type: len(table.key) for table in TABLES.values()}
assert all(table.columns[: len(table.key)] == table.key for table in TABLES.values())
