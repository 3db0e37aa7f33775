"""What every route answers: the shapes of its bodies, the codes of its refusals, and an example of a request.

The bodies themselves are made by the core (`commands.bodies`, `engine.queries`) and rendered by `rendering`. The API
tests compare every response that they see with what is described here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.commands.bodies import Body
from holdfast.commands.statistics import Grouping
from holdfast.domain.account import AccountStatus
from holdfast.domain.actor import KeyScope
from holdfast.domain.alerts import AlertType
from holdfast.domain.audit import AuditAction, FlawKind
from holdfast.domain.errors import Action, Code
from holdfast.domain.events import EventType, Rule
from holdfast.domain.handoff import HandoffStatus
from holdfast.domain.liveness import Liveness
from holdfast.domain.machine import MachineStatus, SlotStatus
from holdfast.domain.policy import OnLapse
from holdfast.domain.project import ProjectStatus
from holdfast.domain.recovery import Step
from holdfast.domain.session import EndReason, FailedBy, Status
from holdfast.domain.task import TaskStatus
from holdfast.domain.webhooks import DeliveryStatus
from holdfast.domain.workspace import Lifecycle, Mode, OwnerKind

SessionId = Annotated[str, Meta(examples=["sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD"])]
HandoffId = Annotated[str, Meta(examples=["ho_01KF5V3Z5RBCDEFGHJKMNPQRST"])]
AccountId = Annotated[str, Meta(examples=["default"])]
MachineId = Annotated[str, Meta(examples=["mach_5f3c0f6f9f1f4a5c8d0e1b2a3c4d5e6f"])]
KeyId = Annotated[str, Meta(examples=["key_01KF5V3Z5RH1J3K5M7N9P0QRST"])]
Token = Annotated[int, Meta(description="Send it with every write; it is told this once.", examples=[7])]
Seconds = Annotated[float, Meta(examples=[60])]
At = Annotated[datetime, Meta(tz=True)]
Soon = Annotated[At | None, Meta(examples=["2026-01-17T10:03:00.000Z"])]
Interval = Annotated[float | None, Meta(examples=[60])]
TaskId = Annotated[str, Meta(examples=["task_01KF5V3Z5RTASK456789ABCDEF"])]
Count = Annotated[int, Meta(ge=0)]
NextCursor = Annotated[str, Meta(description="Where the list goes on; null on the last page.")]
Total = Annotated[int, Meta(description="All rows of the filter; only with `include_total=true`.")]


Redactions = Annotated[
    int, Meta(ge=0, description="Secrets of widely known forms that were taken out, at least.", examples=[0])
]


class Policy(msgspec.Struct):
    """The lease policy in force."""

    preset: Annotated[str, Meta(examples=["monitor"])]
    lease_seconds: Annotated[float, Meta(examples=[180])]
    heartbeat_interval_seconds: Interval
    heartbeat_jitter_seconds: Annotated[float, Meta(examples=[5])]
    grace_seconds: Seconds
    fail_after_seconds: Annotated[float | None, Meta(examples=[900])]
    on_lapse: Annotated[OnLapse, Meta(examples=["revivable"])]


class SessionSummary(msgspec.Struct, kw_only=True):
    """A session without its free JSON."""

    id: SessionId
    scope: Annotated[str, Meta(examples=["repo=holdfast"])]
    status: Annotated[Status, Meta(examples=["active"])]
    liveness: Annotated[
        Liveness | None, Meta(description="Computed as read; null once it has ended.", examples=["live"])
    ]
    agent: Annotated[str, Meta(examples=["claude"])]
    holder_id: str
    exclusive: bool
    revision: Annotated[int, Meta(description="For `If-Match`; beats do not move it.", examples=[1])]
    started_at: At
    last_heartbeat_at: At
    lease_expires_at: Soon
    status_changed_at: At
    status_reason: str | None
    ended_at: At | None
    end_reason: EndReason | None
    failed_by: FailedBy | None
    exit_code: int | None
    late: Annotated[bool, Meta(description="Its end was told after silence had been taken for one.")]
    reported_late: Annotated[bool, Meta(description="It was reported after the fact; its times are claims.")]
    activity: str | None
    status_note: str | None
    progress: int | None
    stop_requested: bool
    stop_reason: str | None
    wake_at: At | None
    took_over_from: SessionId | None
    taken_over_by: SessionId | None
    recovered_from: SessionId | None
    recovered_by: SessionId | None
    recovery_attempts: Annotated[int, Meta(ge=0, description="How many recoveries led to it, along the whole chain.")]
    quarantined: Annotated[bool, Meta(description="It broke off again after its last recovery: only by force now.")]
    archived_at: At | None
    checkpoint_count: Count
    task_count: Annotated[int, Meta(ge=0, description="Unfinished tasks that it holds.")]
    policy: Policy
    mode: str | None
    project_id: str | None
    venture: str | None
    repo: str | None
    track: str | None
    workspace: str | None
    machine_id: str | None
    slot: int | None
    parent_id: str | None
    group_id: str | None
    client_session_id: str | None
    branch: str | None
    commit_sha: str | None
    issue_number: int | None
    client: Annotated[str | None, Meta(description="The program that runs the agent.")]
    client_version: str | None
    host: Annotated[str | None, Meta(description="The machine's name, as the client told it.")]
    current_task_id: str | None
    correlation_id: str


class Session(SessionSummary, kw_only=True):
    """A session: all but its fencing token."""

    error_details: Any
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]


class ListedSession(SessionSummary, kw_only=True):
    """A session in a list. With `fields=summary` its free JSON is left out."""

    error_details: Any = UNSET
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")] | UnsetType = UNSET
    silent_seconds: Annotated[Seconds, Meta(description="Only with `recoverable=true`.")] | UnsetType = UNSET
    blocked: Annotated["Blocked | None", Meta(description="Only with `recoverable=true`.")] | UnsetType = UNSET


class BeatingSession(Session, kw_only=True):
    """A session, and when its next beat is expected."""

    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval


class ChangedSession(BeatingSession, kw_only=True):
    """A session that goes on."""

    reactivated: Annotated[bool, Meta(description="It had been given up for silent, and came back.")]


class Checkpoint(msgspec.Struct, kw_only=True):
    """A durable note of progress."""

    id: Annotated[str, Meta(examples=["cp_01KF5V3Z5RBCDEFGHJKMNPQRST"])]
    session_id: SessionId
    number: Annotated[int, Meta(description="1, 2, 3… within its session, without gaps.", examples=[1])]
    summary: Annotated[str, Meta(examples=["parser done, lexer half"])]
    work_completed: list[Any]
    blockers: list[Any]
    next_actions: list[Any]
    state: Any
    branch: str | None
    commit_sha: str | None
    created_at: At
    correlation_id: str


class WrittenCheckpoint(Checkpoint, kw_only=True):
    """A checkpoint just written, which counted as a beat."""

    redactions: Redactions

    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon


class Recoverable(msgspec.Struct):
    """A session that fell silent and that nobody has taken over."""

    id: SessionId
    status: Annotated[Status, Meta(examples=["stalled"])]
    agent: Annotated[str, Meta(examples=["claude"])]
    last_heartbeat_at: At
    checkpoint_count: Count
    can_resume: bool
    can_recover: bool


class HandoffSummary(msgspec.Struct, kw_only=True):
    """A handoff without its lists and its payload."""

    id: HandoffId
    session_id: SessionId
    project_id: str | None
    scope: str
    venture: str | None
    repo: str | None
    track: str | None
    issue_number: int | None
    from_agent: Annotated[str, Meta(examples=["claude"])]
    to_agent: Annotated[str | None, Meta(description="An agent, or the beginning of a name and `*`.")]
    status: Annotated[HandoffStatus, Meta(examples=["open"])]
    status_label: str | None
    summary: Annotated[str, Meta(examples=["parser done, lexer half"])]
    auto: Annotated[bool, Meta(description="Drafted by the server, since the session went without one.")]
    orphan: Annotated[bool, Meta(description="Its session was over by then, so that it was refused, and kept.")]
    orphan_reason: Annotated[str | None, Meta(description="The code for which it was refused.")]
    branch: str | None
    commit_sha: str | None
    payload_hash: Annotated[str, Meta(description="SHA-256 of the payload's canonical form (RFC 8785).")]
    payload_size_bytes: Annotated[int, Meta(description="Likewise its length.", examples=[2])]
    schema: Annotated[str | None, Meta(description="The registered schema that the payload fits.")]
    schema_version: Annotated[str, Meta(examples=["1.0"])]
    redactions: Redactions
    created_at: At
    created_by: KeyId
    acknowledged_at: At | None
    acknowledged_by: str | None
    status_changed_at: At
    status_changed_by: str | None
    status_note: str | None
    superseded_by: str | None
    correlation_id: str


class Handoff(HandoffSummary, kw_only=True):
    """What a session left for whoever goes on."""

    work_completed: list[Any]
    blockers: list[Any]
    next_actions: list[Any]
    payload: Any


class ListedHandoff(HandoffSummary, kw_only=True):
    """A handoff; without lists and payload where `fields=summary`."""

    work_completed: list[Any] | UnsetType = UNSET
    blockers: list[Any] | UnsetType = UNSET
    next_actions: list[Any] | UnsetType = UNSET
    payload: Any = UNSET


class LastHandoff(Handoff, kw_only=True):
    """What was left last."""

    payload_omitted: Annotated[bool, Meta(description="The payload is long: `GET /v1/handoffs/{id}` has it.")]


class CreatedHandoff(HandoffSummary, kw_only=True):
    """A handoff just left by a session that goes on, which counted as a beat."""

    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon


class FoundHandoff(msgspec.Struct):
    """The newest handoff; null where there is none."""

    handoff: ListedHandoff | None


class HandoffList(msgspec.Struct):
    """A page of handoffs, newest first; short where they are long."""

    items: list[ListedHandoff]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class HandoffSchema(msgspec.Struct, kw_only=True):
    """A version of a schema for payloads."""

    id: Annotated[str, Meta(examples=["review/1"])]
    name: Annotated[str, Meta(examples=["review"])]
    version: Annotated[str, Meta(examples=["1"])]
    sha256: Annotated[str, Meta(description="Of its canonical form (RFC 8785).")]
    schema: Annotated[Any, Meta(description="JSON Schema 2020-12.")]
    created_at: At
    created_by: KeyId


class HandoffSchemaList(msgspec.Struct):
    """A page of schemas, by name and version."""

    items: list[HandoffSchema]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class EndedSession(Session, kw_only=True):
    """A session that is over; and where it left a handoff with its end, which."""

    handoff_id: HandoffId | UnsetType = UNSET
    payload_hash: str | UnsetType = UNSET
    payload_size_bytes: int | UnsetType = UNSET
    redactions: Redactions | UnsetType = UNSET


class StartedSession(BeatingSession, kw_only=True):
    """A session that somebody acquired, and what the last one on its scope left."""

    outcome: Annotated[str, Meta(extra_json_schema={"enum": ["created", "resumed", "taken_over"]})]
    fencing_token: Token
    last_handoff: LastHandoff | None
    last_checkpoint: Checkpoint | None
    recoverable: list[Recoverable]


class RecoveredSession(BeatingSession, kw_only=True):
    """A session that goes on with the work of another, and the last checkpoint of those before it."""

    outcome: Annotated[str, Meta(extra_json_schema={"const": "recovered"})]
    fencing_token: Annotated[
        int | None, Meta(description="Send it with every write; null once it holds nothing any more.", examples=[8])
    ]
    last_handoff: LastHandoff | None
    last_checkpoint: Checkpoint | None
    requeued_task_ids: Annotated[list[str], Meta(description="Tasks of the old session that wait to be claimed again.")]


class Beat(msgspec.Struct, kw_only=True):
    """A beat was taken."""

    status: Annotated[Status, Meta(examples=["active"])]
    last_heartbeat_at: At
    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon
    stop_requested: Annotated[bool, Meta(description="Somebody asks the holder to stop.")]
    reactivated: bool
    stop_reason: str | UnsetType = UNSET


class WayOut(msgspec.Struct):
    """One thing that works in the state in which it is suggested."""

    action: Action
    how: str
    method: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    body: dict[str, Any] | UnsetType = UNSET
    after_at: At | UnsetType = UNSET


class Blocked(msgspec.Struct, kw_only=True):
    """Why a recovery would be refused."""

    status_code: int
    code: Code
    detail: str
    ways_out: list[WayOut] | UnsetType = UNSET


class Recommendation(msgspec.Struct):
    """The next step, and why. `session_id`: the session that it concerns, where it is another one."""

    step: Step
    why: str
    session_id: SessionId | None


class FailureAnalysis(msgspec.Struct):
    """How a session broke off, as far as that is known."""

    silent_seconds: Seconds
    status_for_seconds: Seconds
    stuck_tasks: Annotated["list[Task]", Meta(description="Begun by it and not finished, by it or by anybody since.")]
    recommended: Recommendation


class Recovery(msgspec.Struct, kw_only=True):
    """The last known state of a session, and what to do about it."""

    session: Session
    recoverable: bool
    blocked: Blocked | None
    attempts: Annotated[int, Meta(ge=0, description="How many recoveries led to it.")]
    attempts_left: Annotated[int, Meta(ge=0, description="How often its work may still be recovered.")]
    last_checkpoint: Checkpoint | None
    last_handoff: Handoff | None
    conversation_id: str | None
    current_task: "Task | None"
    current_task_id: str | None
    last_completed_task: "Task | None"
    branch: str | None
    commit_sha: str | None
    machine_id: str | None
    slot: int | None
    analysis: FailureAnalysis
    now_at: At


class BeatResult(msgspec.Struct, kw_only=True):
    """One result of a batch: a beat's fields where `ok`, else a refusal's."""

    session_id: str
    ok: bool
    status: Status | UnsetType = UNSET
    last_heartbeat_at: At | UnsetType = UNSET
    next_heartbeat_at: At | UnsetType | None = UNSET
    heartbeat_interval_seconds: Seconds | UnsetType | None = UNSET
    lease_expires_at: At | UnsetType | None = UNSET
    stop_requested: bool | UnsetType = UNSET
    reactivated: bool | UnsetType = UNSET
    stop_reason: str | UnsetType = UNSET
    status_code: int | UnsetType = UNSET
    code: Code | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    ways_out: list[WayOut] | UnsetType = UNSET


class BeatResults(msgspec.Struct):
    """One result a beat, in the order of the request."""

    results: list[BeatResult]
    accepted: Count
    refused: Count


class DeletedRows(msgspec.Struct):
    """How much was deleted, by kind."""

    sessions: Count
    checkpoints: Count
    handoffs: Annotated[int, Meta(ge=0, description="Only with a session's own deletion.")] | UnsetType = UNSET


class DeletedSession(msgspec.Struct):
    """A session that is gone, and what went with it."""

    id: SessionId
    deleted: DeletedRows


class Fence(msgspec.Struct):
    """A token that is current."""

    scope: Annotated[str, Meta(examples=["repo=holdfast"])]
    current: Annotated[bool, Meta(extra_json_schema={"const": True})]
    session_id: SessionId


class Happening(msgspec.Struct):
    """What time has decided and no sweep has recorded yet, and from what."""

    type: Annotated[EventType, Meta(examples=["session.stalled"])]
    rule: Annotated[Rule, Meta(examples=["lease_lapsed"])]
    at: At
    last_heartbeat_at: At | UnsetType = UNSET
    lease_seconds: Seconds | UnsetType = UNSET
    fail_after_seconds: Seconds | UnsetType = UNSET
    abandon_after_seconds: Seconds | UnsetType = UNSET
    was: str | UnsetType = UNSET


class Event(msgspec.Struct):
    """One change of the state of a session, a task, a project or a machine; which one, `data` tells."""

    id: Annotated[str, Meta(examples=["evt_01KF5V3Z5RXYZ0123456789ABC"])]
    type: Annotated[EventType, Meta(examples=["session.started"])]
    rule: Annotated[Rule, Meta(examples=["requested"])]
    session_id: Annotated[SessionId | None, Meta(description="Null where it happened to no session.")]
    project_id: str | None
    at: Annotated[At, Meta(description="When it took effect.")]
    recorded_at: At
    actor: str
    correlation_id: str
    data: dict[str, Any]


class ListedEvent(Event):
    """An event, and the cursor behind it."""

    cursor: str


class Events(msgspec.Struct):
    """Events in the order of commits. `next_cursor` is where to go on, also when there were none."""

    items: list[ListedEvent]
    next_cursor: str


class Explanation(msgspec.Struct):
    """Why a session is in its state: the rule, its inputs, who and when."""

    session: Session
    because: Event | None
    pending: list[Happening]
    silent_seconds: Seconds
    now_at: At
    history: list[Event]


class SessionList(msgspec.Struct):
    """A page of sessions, newest first."""

    items: list[ListedSession]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class CheckpointList(msgspec.Struct):
    """A page of checkpoints, newest first."""

    items: list[Checkpoint]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class Slot(msgspec.Struct, kw_only=True):
    """A place on a machine in which one session at a time runs."""

    number: Annotated[int, Meta(ge=0, examples=[1])]
    label: str | None
    container_id: str | None
    cpu: Annotated[float | None, Meta(description="Processors; 0.5 is half of one.", examples=[2])]
    memory_mb: Annotated[int | None, Meta(examples=[4096])]
    status: Annotated[SlotStatus, Meta(examples=["free"])]
    session_id: Annotated[str | None, Meta(description="Who is in it.")]
    since: Annotated[At, Meta(description="Since when it is taken, free or disabled.")]


class MachineBeat(msgspec.Struct, kw_only=True):
    """A machine was heard."""

    id: MachineId
    status: Annotated[MachineStatus, Meta(examples=["online"])]
    last_heartbeat_at: At
    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon


class Machine(MachineBeat, kw_only=True):
    """A machine and its slots."""

    hostname: Annotated[str | None, Meta(examples=["build-7"])]
    boot_id: str | None
    status_changed_at: At
    available: Annotated[bool, Meta(description="It is online and has a free slot, or has no slots at all.")]
    capacity: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]
    slot_count: Count
    slots_free: Count
    slots: list[Slot]
    lease_seconds: Seconds
    registered_at: At


class MachineList(msgspec.Struct):
    """A page of machines, by id."""

    items: list[Machine]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class DeletedMachineRows(msgspec.Struct):
    """How much was deleted, by kind."""

    machines: Count
    slots: Count


class DeletedMachine(msgspec.Struct):
    """A machine that is forgotten, and what went with it."""

    id: MachineId
    deleted: DeletedMachineRows


class Key(msgspec.Struct, kw_only=True):
    """An API key: all but the key itself."""

    id: KeyId
    account_id: AccountId
    name: Annotated[str, Meta(examples=["ci"])]
    scope: Annotated[KeyScope, Meta(examples=["agent"])]
    scopes: Annotated[list[KeyScope], Meta(examples=[["agent"]])]
    project_id: Annotated[str | None, Meta(description="The one project whose sessions it sees and writes.")]
    created_at: At
    created_by: KeyId
    expires_at: At | None
    rotated_at: At | None
    previous_expires_at: Annotated[At | None, Meta(description="Until when the secret before the rotation is good.")]
    last_used_at: Annotated[At | None, Meta(description="To within some minutes.")]
    revoked_at: At | None


class CreatedKey(Key, kw_only=True):
    """A key with a new secret."""

    key: Annotated[str, Meta(description="Shown this once.", examples=["hfk_…"])]


class KeyList(msgspec.Struct):
    """A page of keys, newest first."""

    items: list[Key]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


WebhookId = Annotated[str, Meta(examples=["wh_01KF5V3Z5RQ9W8E7R6T5Y4P3N2"])]


class Webhook(msgspec.Struct, kw_only=True):
    """Where events are sent: all but its secret."""

    id: WebhookId
    url: Annotated[str, Meta(examples=["https://hooks.example.com/holdfast"])]
    description: str | None
    event_types: Annotated[list[str], Meta(examples=[["session.stalled", "session.failed"]])]
    project_id: Annotated[str | None, Meta(description="Only events of this project.")]
    session_id: Annotated[str | None, Meta(description="Only events of this session.")]
    enabled: bool
    disabled_reason: str | None
    previous_secret_expires_at: Annotated[At | None, Meta(description="Until when the secret before it signs too.")]
    failures: Annotated[int, Meta(ge=0, description="Attempts in a row that failed.")]
    last_attempt_at: At | None
    last_success_at: At | None
    last_error: str | None
    created_at: At
    created_by: KeyId


class CreatedWebhook(Webhook, kw_only=True):
    """A webhook with a new secret."""

    secret: Annotated[str, Meta(description="Shown this once.", examples=["whsec_…"])]


class DeletedWebhook(msgspec.Struct):
    """A webhook that is gone."""

    id: WebhookId
    deleted: bool


class WebhookList(msgspec.Struct):
    """A page of webhooks, newest first."""

    items: list[Webhook]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class Delivery(msgspec.Struct, kw_only=True):
    """A message to a webhook, and what became of it."""

    id: Annotated[
        str,
        Meta(description="The event's; receivers get it as `webhook-id`.", examples=["evt_01KF5V3Z5RJ2K4M6N8P0Q2R4S6"]),
    ]
    webhook_id: WebhookId
    event_type: Annotated[str, Meta(examples=["session.stalled"])]
    status: Annotated[DeliveryStatus, Meta(examples=["delivered"])]
    attempts: Count
    next_attempt_at: Annotated[At | None, Meta(description="While one is under way: when another node would try.")]
    gives_up_at: At | None
    under_way: bool
    created_at: At
    last_attempt_at: At | None
    last_status: Annotated[int | None, Meta(description="The HTTP status; null where there was no answer.")]
    last_error: str | None
    last_duration_seconds: float | None
    finished_at: At | None
    body: Annotated[Any, Meta(description="What is sent.")]


class DeliveryList(msgspec.Struct):
    """A page of deliveries, newest event first."""

    items: list[Delivery]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


RuleId = Annotated[str, Meta(examples=["alr_01KF5V3Z5RA1B2C3D4E5F6G7H8"])]


class AlertRule(msgspec.Struct, kw_only=True):
    """What is to be told of sessions that their status does not say."""

    id: RuleId
    type: Annotated[AlertType, Meta(examples=["no_progress"])]
    name: str | None
    after_seconds: Annotated[
        float | None, Meta(description="How long it has to last; null: the session's grace decides.", examples=[1800])
    ]
    project_id: Annotated[str | None, Meta(description="Only sessions of this project.")]
    agent: Annotated[str | None, Meta(description="Only sessions of this agent.")]
    enabled: bool
    event_type: Annotated[EventType, Meta(description="By which it is told.", examples=["session.no_progress"])]
    created_at: At
    created_by: KeyId


class AlertRuleList(msgspec.Struct):
    """A page of alert rules, newest first."""

    items: list[AlertRule]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class DeletedAlertRule(msgspec.Struct):
    """An alert rule that is gone."""

    id: RuleId
    deleted: bool


class OpenAlert(msgspec.Struct):
    """An alert that was told and is not over."""

    rule_id: RuleId
    session_id: SessionId
    opened_at: At


class OpenAlerts(msgspec.Struct):
    """A page of alerts that are not over, newest session first."""

    items: list[OpenAlert]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class Durations(msgspec.Struct):
    """Of sessions that are over."""

    count: Count
    mean_seconds: float | None
    longest_seconds: float | None


class Detections(msgspec.Struct):
    """Of leases that ran out: how long after that it was recorded."""

    count: Count
    mean_seconds: float | None
    longest_seconds: float | None
    within_one_second: Count


class StatsFigures(msgspec.Struct, kw_only=True):
    """Figures of one group, or of all."""

    sessions: Annotated[int, Meta(ge=0, description="That started within the time.")]
    statuses: Annotated[dict[str, Count], Meta(description="As they are now.", examples=[{"ended": 7}])]
    end_reasons: Annotated[dict[str, Count], Meta(examples=[{"completed": 7}])]
    durations: Durations
    detections: Detections
    events: Annotated[dict[str, Count], Meta(description="Recorded within the time, by type.")]


class StatsItem(StatsFigures, kw_only=True):
    """Figures of one group."""

    key: Annotated[
        str | None, Meta(description="A day, or an agent's, project's or account's name.", examples=["2026-01-17"])
    ]


class Stats(msgspec.Struct, kw_only=True):
    """Figures over a time."""

    from_at: At
    to_at: At
    by: Annotated[Grouping, Meta(examples=["day"])]
    items: list[StatsItem]
    totals: StatsFigures
    sessions_from_at: Annotated[At | None, Meta(description="There were too many: older ones are left out.")]
    events_from_at: Annotated[At | None, Meta(description="There were too many: older ones are left out.")]


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


class Cleanup(msgspec.Struct):
    """What a step of a cleanup deleted, or would have."""

    dry_run: bool
    deleted: DeletedRows
    kept_unread: Annotated[int, Meta(ge=0, description="Sessions whose last checkpoint was handed to nobody.")]
    next_cursor: Annotated[str | None, Meta(description="Where the next step goes on; null after the last.")]


class Job(msgspec.Struct):
    """A recurring job: what it is to do, and how its last run went. What it never did is null."""

    name: Annotated[str, Meta(examples=["idempotency"])]
    every_seconds: Annotated[float, Meta(examples=[3600])]
    is_on: bool
    keep_seconds: Annotated[float | None, Meta(description="How long its rows are kept; null: for ever.")]
    next_run_at: At | None
    claimed_by: Annotated[str | None, Meta(description="The node that runs it now.")]
    claim_expires_at: At | None
    last_run_at: At | None
    last_duration_seconds: float | None
    last_count: Annotated[int | None, Meta(description="Rows that the last run treated.")]
    last_error: str | None
    run_count: Count | None
    failure_count: Count | None
    total_count: Count | None


class JobList(msgspec.Struct):
    """Every recurring job."""

    items: list[Job]
    next_cursor: None


class Health(msgspec.Struct):
    """The process answers."""

    status: Annotated[str, Meta(extra_json_schema={"const": "ok"})]


class Ready(msgspec.Struct):
    """A write was committed just now."""

    status: Annotated[str, Meta(extra_json_schema={"const": "ready"})]


class HealthFault(msgspec.Struct):
    """What is wrong with a node."""

    code: Annotated[str, Meta(examples=["store_unwritable"])]
    detail: str


class StoreHealth(msgspec.Struct):
    """How a trial read and a trial write fared; no error: null."""

    read_error: str | None
    read_seconds: float
    write_error: str | None
    write_seconds: float


class LastBatch(msgspec.Struct):
    """The last transaction of the writer."""

    commands: Count
    took_seconds: float
    age_seconds: float


class WriterHealth(msgspec.Struct):
    """How the writer fares."""

    takes_commands: bool
    queue_depth: Count
    busy_seconds: Annotated[float, Meta(description="For how long it has been at its present batch.")]
    last_batch: LastBatch | None


class SweeperHealth(msgspec.Struct):
    """How the sweeper fares, which finds the sessions that fell silent."""

    is_alive: bool
    age_seconds: Annotated[float, Meta(description="Since it last finished a pass.")]
    took_seconds: float
    examined: Count
    changed: Count


class RequestLogHealth(msgspec.Struct):
    """How the request log fares."""

    waiting: Annotated[int, Meta(ge=0, description="Lines that are not written yet.")]
    lag_seconds: float
    dropped: Annotated[int, Meta(ge=0, description="Lines that were lost.")]


class ServiceTime(msgspec.Struct):
    """The clock by which leases run."""

    now_at: At
    tick_age_seconds: Annotated[float, Meta(description="Since any node last ticked it.")]
    paused_seconds: Annotated[float, Meta(description="Time that counts for no lease: no node was serving.")]


class HealthDetail(msgspec.Struct):
    """How a node fares, the faults first."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["ok", "degraded", "failing"]})]
    problems: list[HealthFault]
    version: str
    uptime_seconds: float
    store: StoreHealth
    writer: WriterHealth
    sweeper: SweeperHealth | None
    request_log: RequestLogHealth
    service_time: Annotated[ServiceTime | None, Meta(description="Null where the store could not be read.")]


class LoggedRequest(msgspec.Struct):
    """A request, and how it was answered."""

    id: str
    at: At
    method: Annotated[str, Meta(examples=["POST"])]
    route: Annotated[
        str | None,
        Meta(description="Its path without ids; null where no route was meant.", examples=["/v1/sessions/{id}/end"]),
    ]
    status: Annotated[int, Meta(examples=[409])]
    error_code: str | None
    detail: Annotated[str | None, Meta(description="Why it was refused, or what was notable otherwise.")]
    duration_seconds: float
    request_bytes: Count
    response_bytes: Count
    idempotency_hit: Annotated[bool, Meta(description="An earlier request's answer was given again.")]
    key_id: Annotated[str | None, Meta(description="Null where no key was accepted.")]
    request_id: str
    correlation_id: str


class RequestList(msgspec.Struct):
    """A page of the request log, newest first."""

    items: list[LoggedRequest]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class RequestCount(msgspec.Struct):
    """Requests of one key to one route within one minute."""

    minute_at: At
    key_id: str
    route: Annotated[str, Meta(examples=["/v1/sessions/{id}/heartbeat"])]
    requests: Count
    heartbeats: Annotated[int, Meta(ge=0, description="Accepted ones; those of a batch each.")]


class RequestCounts(msgspec.Struct):
    """Requests that are only counted, newest first."""

    items: list[RequestCount]


class Project(msgspec.Struct, kw_only=True):
    """What sessions and tasks belong to."""

    id: Annotated[str, Meta(examples=["holdfast"])]
    name: Annotated[str, Meta(examples=["Holdfast"])]
    repository: str | None
    status: Annotated[ProjectStatus, Meta(description="Only an active one hands out tasks.", examples=["active"])]
    external_ref: Annotated[str | None, Meta(description="What it is called where it is kept, such as GitHub.")]
    external_url: str | None
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]
    revision: Annotated[int, Meta(description="For `If-Match`.", examples=[1])]
    created_at: At
    changed_at: At
    correlation_id: str


class ProjectList(msgspec.Struct):
    """A page of projects, by id."""

    items: list[Project]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class SessionGroup(msgspec.Struct):
    """The sessions of one status: all of them counted, and the newest."""

    status: Status
    count: Count
    sessions: list[SessionSummary]


class ProjectSessions(msgspec.Struct):
    """A project's sessions by status, those of which there are none included."""

    project_id: str
    total: Count
    groups: list[SessionGroup]


class SessionCounts(msgspec.Struct):
    """Sessions, counted."""

    total: Count
    by_status: dict[str, int]


class TaskCounts(msgspec.Struct):
    """Tasks, counted. `ready`: those that any session can claim."""

    total: Count
    ready: Count
    by_status: dict[str, int]


class ProjectSummary(msgspec.Struct):
    """A project, and how its work stands."""

    project: Project
    sessions: SessionCounts
    tasks: TaskCounts


class Task(msgspec.Struct, kw_only=True):
    """A piece of work, done by one session at a time."""

    id: TaskId
    project_id: Annotated[str, Meta(examples=["holdfast"])]
    name: Annotated[str, Meta(examples=["write the parser"])]
    description: str | None
    status: Annotated[TaskStatus, Meta(examples=["pending"])]
    ready: Annotated[bool, Meta(description="It can be claimed, where it is reserved by its session alone.")]
    priority: Annotated[int, Meta(description="The higher is claimed first, and the older of equal ones.")]
    depends_on: list[TaskId]
    waiting_count: Annotated[int, Meta(ge=0, description="How many of those are not completed.")]
    session_id: Annotated[SessionId | None, Meta(description="Which works on it, or finished it.")]
    last_session_id: Annotated[SessionId | None, Meta(description="To which it was given last.")]
    attempts: Annotated[int, Meta(ge=0, description="How often it was started.")]
    external_ref: Annotated[str | None, Meta(description="What it is called where it is kept, such as GitHub.")]
    external_url: str | None
    status_reason: Annotated[str | None, Meta(description="Why it was blocked or released.")]
    error_message: Annotated[str | None, Meta(description="Why it failed last.")]
    result: Any
    meta: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]
    revision: Annotated[int, Meta(description="For `If-Match`.", examples=[1])]
    created_at: At
    status_changed_at: At
    started_at: At | None
    finished_at: At | None
    correlation_id: str


class TaskList(msgspec.Struct):
    """A page of tasks, newest first."""

    items: list[Task]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class DeletedTasks(msgspec.Struct):
    """What a deletion took away, counted."""

    tasks: Count


class DeletedTask(msgspec.Struct):
    """A task that is gone."""

    id: TaskId
    deleted: DeletedTasks


class FieldFault(msgspec.Struct):
    """One field that was not accepted, and why."""

    field: str
    message: str


class Problem(msgspec.Struct, kw_only=True):
    """Why a request was refused, and what works instead. Source: RFC 9457."""

    type: Annotated[str, Meta(extra_json_schema={"const": "about:blank"})]
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: str | UnsetType = UNSET
    errors: list[FieldFault] | UnsetType = UNSET
    ways_out: list[WayOut] | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    successor_id: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    session_status: str | UnsetType = UNSET
    end_reason: str | UnsetType = UNSET
    lease_expires_at: At | UnsetType = UNSET
    revision: int | UnsetType = UNSET
    machine_id: str | UnsetType = UNSET
    slot: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    usage: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    size: int | UnsetType = UNSET
    handoff_id: Annotated[str, Meta(description="Where a handoff was kept all the same.")] | UnsetType = UNSET
    project_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    task_status: str | UnsetType = UNSET
    holder_session_id: str | UnsetType = UNSET


class Text(NamedTuple):
    """An answer that is no JSON of ours: its media type, and what is in it."""

    media_type: str
    about: str


class Nothing(NamedTuple):
    """An answer without a body, and what it means."""

    about: str


class WorkspaceSession(msgspec.Struct, kw_only=True):
    """The session of a workspace, under the names of `holdfast session-state`."""

    session_id: Annotated[str, Meta(examples=["ses_01KF5V3Z5RW8Q0M2X7N4T9C6BD"])]
    actor_id: str
    supervisor_id: str | None
    lease_ttl_secs: int | None
    last_heartbeat_at_epoch_s: int | None
    lease_expires_at_epoch_s: int | None
    revision: int
    current_activity: str | None
    activity_updated_at_epoch_s: int | None
    fencing_token: Token


class StartedWorkspace(WorkspaceSession, kw_only=True):
    """A start in a workspace."""

    started_at_epoch_s: int
    last_started_at_epoch_s: int
    start_count: int
    mode: Mode
    lifecycle: Lifecycle
    owner_kind: OwnerKind
    reset: bool
    refreshed: bool


class TakenOverWorkspace(WorkspaceSession, kw_only=True):
    """A takeover in a workspace."""

    prior_session_id: str | None
    prior_actor_id: str
    reason: str


class WorkspaceBeat(msgspec.Struct, kw_only=True):
    """A heartbeat in a workspace."""

    session_id: str
    actor_id: str
    activity: str | None
    current_activity: str | None
    last_heartbeat_at_epoch_s: int
    lease_expires_at_epoch_s: int | None
    lease_ttl_secs: int | None
    revision: int
    activity_updated_at_epoch_s: int | None


class ClearedWorkspace(msgspec.Struct, kw_only=True):
    """What was cleared, if anything was there."""

    cleared: bool
    reason: str | None
    lifecycle: Lifecycle | UnsetType = UNSET
    owner_kind: OwnerKind | UnsetType = UNSET
    actor_id: str | UnsetType | None = UNSET
    supervisor_id: str | UnsetType | None = UNSET
    cleared_revision: int | UnsetType = UNSET


class Escalation(msgspec.Struct, kw_only=True):
    """Something that a session asks of people."""

    id: str
    kind: Literal["blocking", "non_blocking"]
    reason: str
    created_at_epoch_s: int
    session_id: str | None


class OneEscalation(msgspec.Struct):
    """An escalation that was added or resolved."""

    escalation: Escalation


class Gate(msgspec.Struct):
    """Something that a session has to meet."""

    position: int
    text: str
    met: bool


class Gates(msgspec.Struct):
    """A workspace's gates in order, and the first that is not met."""

    gates: list[Gate]
    attention_anchor: str | None


class KeptBaseline(msgspec.Struct):
    """The digests were kept."""

    kept: bool


class WorkspaceView(msgspec.Struct):
    """A workspace as `holdfast session-state show` reports it."""

    scope: str
    session: dict[str, Any]
    sections: dict[str, Any]
    baseline: dict[str, str] | None


class Described(NamedTuple):
    """A route as others read of it.

    name: what a generated client calls it. answers: a shape by the status under which it is answered.
    refuses: what this route alone is refused for; what every one may be refused for is not repeated.
    """

    name: str
    answers: Mapping[int, type[msgspec.Struct] | Text | Nothing]
    refuses: tuple[str, ...] = ()
    example: Body | None = None


_TOKEN = (Code.NOT_FOUND, Code.FENCING_TOKEN_STALE)
_OVER = (
    Code.SESSION_FAILED,
    Code.SESSION_ABANDONED,
    Code.SESSION_ENDED,
    Code.SESSION_TAKEN_OVER,
    Code.SESSION_RECOVERED,
)
_ENDING = (*_TOKEN, Code.FENCING_TOKEN_REQUIRED, *_OVER)
_WRITING = (*_ENDING, Code.LEASE_HELD, Code.LEASE_EXPIRED)
_STARTING = (
    Code.NOT_FOUND,
    Code.LEASE_HELD,
    Code.SCOPE_LAPSED,
    Code.SCOPE_CROWDED,
    Code.QUOTA_EXCEEDED,
    Code.SLOT_OCCUPIED,
    Code.SLOT_DISABLED,
    Code.NO_FREE_SLOT,
    Code.MACHINE_IN_MAINTENANCE,
    *_OVER,
)

_DRAFTING = (Code.PAYLOAD_TOO_LARGE,)
_TAKING = (*_WRITING, Code.SESSION_PARKED, Code.TOO_MANY_TASKS)
_ON_TASK = (*_WRITING, Code.TASK_HELD, Code.TASK_LOST, Code.TASK_TRANSITION_NOT_ALLOWED)
_WORKER: Body = {"session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD", "fencing_token": 1}

_FOLLOWING = (Code.CURSOR_INVALID, Code.CURSOR_EXPIRED)


class DocumentSummary(msgspec.Struct, kw_only=True):
    """A document without its text."""

    venture: Annotated[str, Meta(examples=["dfg"])]
    name: Annotated[str, Meta(examples=["conventions.md"])]
    version: Annotated[int, Meta(description="For `If-Match`.", examples=[1])]
    media_type: Annotated[str, Meta(examples=["text/markdown"])]
    sha256: str
    size_bytes: Count
    created_at: At
    updated_at: At
    updated_by: KeyId


class VentureDocument(DocumentSummary, kw_only=True):
    """A document."""

    content: str


DESCRIBED: Mapping[str, Described] = {
    "PUT /v1/docs/{venture}/{name}": Described(
        "put_document",
        {200: DocumentSummary, 201: DocumentSummary},
        (Code.VERSION_CONFLICT, Code.QUOTA_EXCEEDED),
        {"content": "# Conventions\n", "media_type": "text/markdown"},
    ),
    "GET /v1/docs/{venture}/{name}": Described("read_document", {200: VentureDocument}),
    "DELETE /v1/docs/{venture}/{name}": Described("delete_document", {200: DocumentSummary}, (Code.VERSION_CONFLICT,)),
    "GET /health": Described("health", {200: Health}),
    "GET /health/live": Described("health_live", {200: Health}),
    "GET /health/ready": Described("health_ready", {200: Ready}, ("not_ready",)),
    "GET /health/detail": Described("health_detail", {200: HealthDetail}),
    "GET /metrics": Described("metrics", {200: Text("text/plain", "Samples in Prometheus's text format.")}),
    "GET /openapi.json": Described("openapi", {200: Text("application/json", "This description, as OpenAPI 3.1.")}),
    "GET /docs": Described("docs", {200: Text("text/html", "This description, as a page.")}),
    "POST /v1/sessions": Described(
        "start_session",
        {200: StartedSession, 201: StartedSession},
        (*_STARTING, Code.CLIENT_SESSION_ID_REUSED),
        {"scope": {"repo": "holdfast"}, "agent": "claude", "exclusive": True, "policy": {"lease_seconds": 180}},
    ),
    "POST /v1/sessions/report": Described(
        "report_session",
        {200: Session, 201: Session},
        (Code.FENCING_TOKEN_STALE, Code.FENCING_TOKEN_REQUIRED),
        {
            "client_session_id": "laptop-2026-01-16-3",
            "agent": "claude",
            "started_at": "2026-01-16T10:00:00Z",
            "ended_at": "2026-01-16T11:00:00Z",
            "exit_code": 0,
        },
    ),
    "POST /v1/sessions/{id}/takeover": Described(
        "take_over_session", {201: StartedSession}, _STARTING, {"holder_id": "worker-2", "reason": "it fell silent"}
    ),
    "POST /v1/sessions/{id}/recover": Described(
        "recover_session",
        {200: RecoveredSession, 201: RecoveredSession},
        (
            *_STARTING,
            Code.SESSION_QUARANTINED,
            Code.SESSION_STOP_REQUESTED,
            Code.TASK_HELD,
            Code.TASK_TRANSITION_NOT_ALLOWED,
        ),
        {"holder_id": "worker-2"},
    ),
    "POST /v1/sessions/{id}/heartbeat": Described(
        "heartbeat", {200: Beat}, _WRITING, {"fencing_token": 1, "activity": "running the tests", "progress": 12}
    ),
    "POST /v1/sessions/{id}/pause": Described(
        "pause_session", {200: ChangedSession}, (*_WRITING, Code.SESSION_STALLED), {"fencing_token": 1}
    ),
    "POST /v1/sessions/{id}/resume": Described("resume_session", {200: ChangedSession}, _WRITING, {"fencing_token": 1}),
    "POST /v1/sessions/{id}/park": Described(
        "park_session",
        {200: Session},
        (*_ENDING, Code.SESSION_STALLED),
        {"fencing_token": 1, "wake_at": "2040-01-17T10:00:00.000Z", "reason": "waits for a review"},
    ),
    "POST /v1/sessions/{id}/stall": Described(
        "stall_session", {200: Session}, (*_ENDING, Code.SESSION_PARKED), {"reason": "no output for an hour"}
    ),
    "POST /v1/sessions/{id}/end": Described(
        "end_session",
        {200: EndedSession},
        (*_ENDING, *_DRAFTING),
        {
            "fencing_token": 1,
            "end_reason": "completed",
            "handoff": {"summary": "parser done, lexer half", "next_actions": ["finish the lexer"]},
        },
    ),
    "POST /v1/sessions/{id}/fail": Described(
        "fail_session", {200: Session}, _ENDING, {"fencing_token": 1, "reason": "the build broke", "exit_code": 2}
    ),
    "POST /v1/sessions/{id}/stop": Described(
        "stop_session", {200: Session}, (Code.NOT_FOUND, *_OVER), {"reason": "the task was withdrawn"}
    ),
    "POST /v1/sessions/{id}/archive": Described(
        "archive_session", {200: Session}, (*_TOKEN, Code.SESSION_NOT_TERMINAL), {}
    ),
    "POST /v1/sessions/{id}/checkpoint": Described(
        "write_checkpoint",
        {201: WrittenCheckpoint},
        _WRITING,
        {"fencing_token": 1, "summary": "parser done, lexer half", "next_actions": ["finish the lexer"]},
    ),
    "PATCH /v1/sessions/{id}": Described(
        "patch_session",
        {200: BeatingSession},
        (*_WRITING, Code.REVISION_CONFLICT),
        {"fencing_token": 1, "branch": "main", "meta": {"ticket": "HF-12"}},
    ),
    "DELETE /v1/sessions/{id}": Described(
        "delete_session", {200: DeletedSession}, (*_TOKEN, Code.SESSION_NOT_TERMINAL, Code.SESSION_NOT_ARCHIVED)
    ),
    "POST /v1/heartbeats": Described(
        "heartbeats",
        {200: BeatResults},
        (),
        {"heartbeats": [{"session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD", "fencing_token": 1}]},
    ),
    "POST /v1/machines": Described(
        "register_machine",
        {200: Machine, 201: Machine},
        (),
        {"machine_id": "build-7", "hostname": "build-7.example.com", "slot_count": 4, "capacity": {"cpu": 16}},
    ),
    "GET /v1/machines": Described("list_machines", {200: MachineList}, (Code.CURSOR_INVALID,)),
    "GET /v1/machines/available": Described("list_available_machines", {200: MachineList}, (Code.CURSOR_INVALID,)),
    "GET /v1/machines/{id}": Described("read_machine", {200: Machine}, (Code.NOT_FOUND,)),
    "PATCH /v1/machines/{id}": Described(
        "patch_machine", {200: Machine}, (Code.NOT_FOUND,), {"status": "maintenance", "reason": "new disks"}
    ),
    "DELETE /v1/machines/{id}": Described(
        "delete_machine", {200: DeletedMachine}, (Code.NOT_FOUND, Code.MACHINE_OCCUPIED)
    ),
    "POST /v1/machines/{id}/heartbeat": Described("machine_heartbeat", {200: MachineBeat}, (Code.NOT_FOUND,), {}),
    "GET /v1/fence": Described("check_fence", {200: Fence}, (Code.FENCING_TOKEN_STALE,)),
    "GET /v1/sessions": Described("list_sessions", {200: SessionList}, (Code.CURSOR_INVALID,)),
    "GET /v1/sessions/{id}": Described("read_session", {200: Session}, (Code.NOT_FOUND,)),
    "GET /v1/sessions/{id}/explain": Described("explain_session", {200: Explanation}, (Code.NOT_FOUND,)),
    "GET /v1/sessions/{id}/recovery": Described("read_recovery", {200: Recovery}, (Code.NOT_FOUND,)),
    "GET /v1/sessions/{id}/checkpoints": Described(
        "list_checkpoints", {200: CheckpointList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
    "POST /v1/handoffs": Described(
        "create_handoff",
        {200: CreatedHandoff, 201: CreatedHandoff},
        (*_WRITING, *_DRAFTING),
        {
            "session_id": "sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD",
            "fencing_token": 1,
            "summary": "parser done, lexer half",
            "status_label": "in progress",
            "work_completed": [{"claim": "the tests pass", "kind": "command", "value": "make test", "exit_code": 0}],
            "next_actions": ["finish the lexer"],
            "to_agent": "codex-*",
        },
    ),
    "GET /v1/handoffs": Described("list_handoffs", {200: HandoffList}, (Code.CURSOR_INVALID,)),
    "GET /v1/handoffs/latest": Described("read_latest_handoff", {200: FoundHandoff}),
    "GET /v1/handoffs/{id}": Described("read_handoff", {200: Handoff}, (Code.NOT_FOUND,)),
    "POST /v1/handoffs/{id}/status": Described(
        "set_handoff_status",
        {200: HandoffSummary},
        (Code.NOT_FOUND, Code.HANDOFF_SETTLED),
        {"status": "acknowledged", "note": "I take it from here"},
    ),
    "GET /v1/sessions/{id}/handoffs": Described(
        "list_session_handoffs", {200: HandoffList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
    "GET /v1/handoff-schemas": Described("list_handoff_schemas", {200: HandoffSchemaList}, (Code.CURSOR_INVALID,)),
    "GET /v1/handoff-schemas/{name}/{version}": Described(
        "read_handoff_schema", {200: HandoffSchema}, (Code.NOT_FOUND,)
    ),
    "PUT /v1/handoff-schemas/{name}/{version}": Described(
        "register_handoff_schema",
        {200: HandoffSchema, 201: HandoffSchema},
        (Code.HANDOFF_SCHEMA_EXISTS, Code.PAYLOAD_TOO_LARGE),
        {"value": {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}},
    ),
    "GET /v1/events": Described("list_events", {200: Events}, (*_FOLLOWING, Code.TOO_MANY_STREAMS)),
    "GET /v1/events/stream": Described(
        "stream_events",
        {
            200: Text(
                "text/event-stream",
                "Server-sent events: `id` is a cursor, `event` a type, `data` an event as `GET /v1/events` lists it. "
                "A block with an `id` alone moves the cursor on; a line `:` says that the stream is alive.",
            )
        },
        (*_FOLLOWING, Code.TOO_MANY_STREAMS),
    ),
    "GET /v1/sessions/{id}/events": Described("list_session_events", {200: Events}, (Code.NOT_FOUND, *_FOLLOWING)),
    "POST /v1/projects": Described(
        "create_project",
        {201: Project},
        (Code.NOT_FOUND, Code.PROJECT_EXISTS),
        {"id": "holdfast", "name": "Holdfast", "repository": "github.com/example/holdfast"},
    ),
    "GET /v1/projects": Described("list_projects", {200: ProjectList}, (Code.CURSOR_INVALID,)),
    "GET /v1/projects/{id}": Described("read_project", {200: Project}, (Code.NOT_FOUND,)),
    "PATCH /v1/projects/{id}": Described(
        "patch_project", {200: Project}, (Code.NOT_FOUND, Code.REVISION_CONFLICT), {"status": "paused"}
    ),
    "GET /v1/projects/{id}/sessions": Described("list_project_sessions", {200: ProjectSessions}, (Code.NOT_FOUND,)),
    "GET /v1/projects/{id}/summary": Described("summarize_project", {200: ProjectSummary}, (Code.NOT_FOUND,)),
    "POST /v1/tasks": Described(
        "create_task",
        {201: Task},
        (*_TAKING, Code.TASK_CROWDED),
        {"project_id": "holdfast", "name": "write the parser", "priority": 5},
    ),
    "GET /v1/tasks": Described("list_tasks", {200: TaskList}, (Code.CURSOR_INVALID,)),
    "POST /v1/tasks/claim": Described(
        "claim_task", {200: Task, 204: Nothing("No task is ready.")}, _TAKING, {**_WORKER, "project_id": "holdfast"}
    ),
    "GET /v1/tasks/{id}": Described("read_task", {200: Task}, (Code.NOT_FOUND,)),
    "PATCH /v1/tasks/{id}": Described(
        "patch_task",
        {200: Task},
        (Code.NOT_FOUND, Code.REVISION_CONFLICT, Code.TASK_TRANSITION_NOT_ALLOWED, Code.TASK_CROWDED),
        {"priority": 9},
    ),
    "DELETE /v1/tasks/{id}": Described(
        "delete_task", {200: DeletedTask}, (Code.NOT_FOUND, Code.TASK_IN_PROGRESS, Code.TASK_NEEDED)
    ),
    "POST /v1/tasks/{id}/start": Described(
        "start_task",
        {200: Task},
        (*_TAKING, Code.TASK_HELD, Code.TASK_WAITING, Code.TASK_TRANSITION_NOT_ALLOWED),
        _WORKER,
    ),
    "POST /v1/tasks/{id}/complete": Described(
        "complete_task", {200: Task}, _ON_TASK, {**_WORKER, "result": {"pull_request": 12}}
    ),
    "POST /v1/tasks/{id}/fail": Described(
        "fail_task", {200: Task}, _ON_TASK, {**_WORKER, "error_message": "the build broke"}
    ),
    "POST /v1/tasks/{id}/block": Described(
        "block_task", {200: Task}, _ON_TASK, {**_WORKER, "reason": "waits for a review"}
    ),
    "POST /v1/tasks/{id}/release": Described("release_task", {200: Task}, _ON_TASK, _WORKER),
    "GET /v1/sessions/{id}/tasks": Described(
        "list_session_tasks", {200: TaskList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
    "POST /v1/keys": Described(
        "create_key", {201: CreatedKey}, (Code.SECRET_ALREADY_SHOWN,), {"name": "ci", "scopes": ["agent"]}
    ),
    "GET /v1/keys": Described("list_keys", {200: KeyList}, (Code.CURSOR_INVALID,)),
    "POST /v1/keys/{id}/rotate": Described(
        "rotate_key",
        {201: CreatedKey},
        (Code.NOT_FOUND, Code.KEY_ENDED, Code.SECRET_ALREADY_SHOWN),
        {"overlap_seconds": 3600},
    ),
    "DELETE /v1/keys/{id}": Described("revoke_key", {200: Key}, (Code.NOT_FOUND,)),
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
    "GET /v1/audit": Described("list_audit", {200: AuditList}, (Code.CURSOR_INVALID,)),
    "GET /v1/audit/verify": Described("verify_audit", {200: Verification}),
    "POST /v1/cleanup": Described(
        "clean_up", {200: Cleanup}, (Code.CURSOR_INVALID,), {"dry_run": True, "older_than_days": 90}
    ),
    "GET /v1/jobs": Described("list_jobs", {200: JobList}),
    "POST /v1/webhooks": Described(
        "create_webhook",
        {201: CreatedWebhook},
        (Code.NOT_FOUND, Code.QUOTA_EXCEEDED, Code.SECRET_ALREADY_SHOWN),
        {"url": "https://hooks.example.com/holdfast", "event_types": ["session.stalled", "session.failed"]},
    ),
    "GET /v1/webhooks": Described("list_webhooks", {200: WebhookList}, (Code.CURSOR_INVALID,)),
    "GET /v1/webhooks/{id}": Described("read_webhook", {200: Webhook}, (Code.NOT_FOUND,)),
    "PATCH /v1/webhooks/{id}": Described("patch_webhook", {200: Webhook}, (Code.NOT_FOUND,), {"enabled": True}),
    "DELETE /v1/webhooks/{id}": Described("delete_webhook", {200: DeletedWebhook}, (Code.NOT_FOUND,)),
    "POST /v1/webhooks/{id}/rotate": Described(
        "rotate_webhook_secret",
        {201: CreatedWebhook},
        (Code.NOT_FOUND, Code.SECRET_ALREADY_SHOWN),
        {"overlap_seconds": 3600},
    ),
    "POST /v1/webhooks/{id}/test": Described(
        "test_webhook", {201: Delivery}, (Code.NOT_FOUND, Code.WEBHOOK_DISABLED), {}
    ),
    "GET /v1/webhooks/{id}/deliveries": Described(
        "list_deliveries", {200: DeliveryList}, (Code.NOT_FOUND, Code.CURSOR_INVALID)
    ),
    "GET /v1/webhooks/{id}/deliveries/{delivery_id}": Described("read_delivery", {200: Delivery}, (Code.NOT_FOUND,)),
    "POST /v1/webhooks/{id}/deliveries/{delivery_id}/redeliver": Described(
        "redeliver", {200: Delivery}, (Code.NOT_FOUND, Code.WEBHOOK_DISABLED), {}
    ),
    "POST /v1/alerts": Described(
        "create_alert_rule",
        {201: AlertRule},
        (Code.NOT_FOUND, Code.QUOTA_EXCEEDED),
        {"type": "no_progress", "after_seconds": 1800},
    ),
    "GET /v1/alerts": Described("list_alert_rules", {200: AlertRuleList}, (Code.CURSOR_INVALID,)),
    "GET /v1/alerts/{id}": Described("read_alert_rule", {200: AlertRule}, (Code.NOT_FOUND,)),
    "PATCH /v1/alerts/{id}": Described(
        "patch_alert_rule", {200: AlertRule}, (Code.NOT_FOUND,), {"after_seconds": 3600}
    ),
    "DELETE /v1/alerts/{id}": Described("delete_alert_rule", {200: DeletedAlertRule}, (Code.NOT_FOUND,)),
    "GET /v1/alerts/{id}/open": Described("list_open_alerts", {200: OpenAlerts}, (Code.NOT_FOUND, Code.CURSOR_INVALID)),
    "GET /v1/stats": Described("read_stats", {200: Stats}),
    "GET /v1/workspaces": Described("show_workspace", {200: WorkspaceView}, (Code.NOT_FOUND,)),
    "POST /v1/workspaces/start": Described(
        "start_workspace",
        {200: StartedWorkspace, 201: StartedWorkspace},
        (
            *_STARTING,
            Code.WORKSPACE_OWNED,
            Code.WORKSPACE_OWNED_AUTONOMOUS,
            Code.WORKSPACE_OWNED_INTERACTIVE,
            Code.WORKSPACE_STALE_OWNED,
            Code.WORKSPACE_STALE_AUTONOMOUS,
        ),
        {"scope": "workspace=main", "owner_kind": "runtime_worker", "actor_id": "worker-1", "lease_seconds": 60},
    ),
    "POST /v1/workspaces/heartbeat": Described(
        "beat_workspace",
        {200: WorkspaceBeat},
        (
            Code.NOT_FOUND,
            Code.WORKSPACE_EMPTY,
            Code.HEARTBEAT_NOT_AUTONOMOUS,
            Code.HEARTBEAT_NOT_OWNER,
            Code.HEARTBEAT_WITHOUT_SESSION,
            Code.WORKSPACE_STALE,
            Code.WORKSPACE_STALE_INTERACTIVE,
            Code.ACTIVITY_TOO_LONG,
        ),
        {"scope": "workspace=main", "actor_id": "worker-1", "activity": "running the tests"},
    ),
    "POST /v1/workspaces/takeover": Described(
        "take_over_workspace",
        {201: TakenOverWorkspace},
        (
            *_STARTING,
            Code.WORKSPACE_CHANGED,
            Code.TAKEOVER_OF_NOTHING,
            Code.TAKEOVER_OF_INTERACTIVE,
            Code.TAKEOVER_TOO_EARLY,
            Code.TAKEOVER_OF_OWN,
            Code.TAKEOVER_WITHOUT_LEASE,
        ),
        {"scope": "workspace=main", "actor_id": "worker-2", "reason": "it fell silent"},
    ),
    "POST /v1/workspaces/clear": Described(
        "clear_workspace",
        {200: ClearedWorkspace},
        (
            Code.NOT_FOUND,
            Code.WORKSPACE_CHANGED,
            Code.CLEAR_WITHOUT_ACTOR,
            Code.CLEAR_STALE_WITHOUT_ACTOR,
            Code.CLEAR_OF_STALE,
            Code.CLEAR_OF_STALE_WITHOUT_LEASE,
            Code.CLEAR_OF_ACTIVE,
        ),
        {"scope": "workspace=main", "actor_id": "worker-1"},
    ),
    "POST /v1/workspaces/escalations": Described(
        "add_escalation",
        {201: OneEscalation},
        (Code.NOT_FOUND, Code.WORKSPACE_FULL),
        {"scope": "workspace=main", "reason": "which of the two schemas?", "blocking": True},
    ),
    "POST /v1/workspaces/escalations/resolve": Described(
        "resolve_escalation",
        {200: OneEscalation},
        (Code.NOT_FOUND,),
        {"scope": "workspace=main", "id": "esc_01KF5V3Z5RW8Q0M2X7N4T9C6BD"},
    ),
    "POST /v1/workspaces/gates": Described(
        "set_gates",
        {200: Gates},
        (Code.NOT_FOUND, Code.WORKSPACE_FULL),
        {"scope": "workspace=main", "gates": [{"text": "the tests pass", "met": True}, {"text": "it is reviewed"}]},
    ),
    "POST /v1/workspaces/baseline": Described(
        "keep_baseline",
        {200: KeptBaseline},
        (Code.NOT_FOUND, Code.WORKSPACE_EMPTY),
        {"scope": "workspace=main", "session_id": "ses_01KF5V3Z5RW8Q0M2X7N4T9C6BD", "digests": {"gates": "0a1b"}},
    ),
    "GET /v1/requests": Described("list_requests", {200: RequestList}, (Code.CURSOR_INVALID,)),
    "GET /v1/requests/counts": Described("count_requests", {200: RequestCounts}),
}
"""By method and path. A route that is not here keeps the server from starting."""
