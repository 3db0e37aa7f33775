"""Why something was refused: one list of codes, the sentence of each, and the ways out of each.

A `Refusal` means that nothing was written. It carries data; its sentence is derived from the code, and what to do next
is data as well, so that every door can put it in its own words. Each door maps a code to its own status in one table.
"""

from enum import StrEnum
from typing import Any, NamedTuple


class Code(StrEnum):
    """Every reason for which the core says no."""

    VALIDATION_FAILED = "validation_failed"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_EXISTS = "account_exists"
    ACCOUNT_PERMANENT = "account_permanent"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    KEY_ENDED = "key_ended"
    WEBHOOK_DISABLED = "webhook_disabled"
    LEASE_HELD = "lease_held"
    SCOPE_LAPSED = "scope_lapsed"
    SCOPE_CROWDED = "scope_crowded"
    LEASE_EXPIRED = "lease_expired"
    SESSION_PARKED = "session_parked"
    SESSION_STALLED = "session_stalled"
    SESSION_FAILED = "session_failed"
    SESSION_ABANDONED = "session_abandoned"
    SESSION_ENDED = "session_ended"
    SESSION_TAKEN_OVER = "session_taken_over"
    SESSION_RECOVERED = "session_recovered"
    SESSION_QUARANTINED = "session_quarantined"
    SESSION_STOP_REQUESTED = "session_stop_requested"
    SESSION_NOT_TERMINAL = "session_not_terminal"
    SESSION_NOT_ARCHIVED = "session_not_archived"
    SLOT_OCCUPIED = "slot_occupied"
    SLOT_DISABLED = "slot_disabled"
    NO_FREE_SLOT = "no_free_slot"
    MACHINE_IN_MAINTENANCE = "machine_in_maintenance"
    MACHINE_OCCUPIED = "machine_occupied"
    CLIENT_SESSION_ID_REUSED = "client_session_id_reused"
    HANDOFF_SETTLED = "handoff_settled"
    HANDOFF_SCHEMA_EXISTS = "handoff_schema_exists"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    FENCING_TOKEN_REQUIRED = "fencing_token_required"
    FENCING_TOKEN_STALE = "fencing_token_stale"
    REVISION_CONFLICT = "revision_conflict"
    WORKSPACE_OWNED = "workspace_owned"
    WORKSPACE_OWNED_AUTONOMOUS = "workspace_owned_autonomous"
    WORKSPACE_OWNED_INTERACTIVE = "workspace_owned_interactive"
    WORKSPACE_STALE_OWNED = "workspace_stale_owned"
    WORKSPACE_STALE_AUTONOMOUS = "workspace_stale_autonomous"
    WORKSPACE_EMPTY = "workspace_empty"
    WORKSPACE_STALE = "workspace_stale"
    WORKSPACE_STALE_INTERACTIVE = "workspace_stale_interactive"
    WORKSPACE_CHANGED = "workspace_changed"
    WORKSPACE_FULL = "workspace_full"
    HEARTBEAT_NOT_AUTONOMOUS = "heartbeat_not_autonomous"
    HEARTBEAT_NOT_OWNER = "heartbeat_not_owner"
    HEARTBEAT_WITHOUT_SESSION = "heartbeat_without_session"
    ACTIVITY_TOO_LONG = "activity_too_long"
    TAKEOVER_OF_NOTHING = "takeover_of_nothing"
    TAKEOVER_OF_INTERACTIVE = "takeover_of_interactive"
    TAKEOVER_TOO_EARLY = "takeover_too_early"
    TAKEOVER_OF_OWN = "takeover_of_own"
    TAKEOVER_WITHOUT_LEASE = "takeover_without_lease"
    CLEAR_WITHOUT_ACTOR = "clear_without_actor"
    CLEAR_STALE_WITHOUT_ACTOR = "clear_stale_without_actor"
    CLEAR_OF_STALE = "clear_of_stale"
    CLEAR_OF_STALE_WITHOUT_LEASE = "clear_of_stale_without_lease"
    CLEAR_OF_ACTIVE = "clear_of_active"
    CLEAR_OF_AHEAD = "clear_of_ahead"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    SECRET_ALREADY_SHOWN = "secret_already_shown"
    CURSOR_INVALID = "cursor_invalid"
    CURSOR_EXPIRED = "cursor_expired"
    PROJECT_EXISTS = "project_exists"
    TASK_TRANSITION_NOT_ALLOWED = "task_transition_not_allowed"
    TASK_WAITING = "task_waiting"
    TASK_HELD = "task_held"
    TASK_LOST = "task_lost"
    TASK_NEEDED = "task_needed"
    TASK_IN_PROGRESS = "task_in_progress"
    TASK_CROWDED = "task_crowded"
    TOO_MANY_TASKS = "too_many_tasks"
    BUSY = "busy"
    OVERLOADED = "overloaded"
    TOO_MANY_STREAMS = "too_many_streams"
    OUTCOME_UNKNOWN = "outcome_unknown"
    STORAGE_FULL = "storage_full"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


SENTENCES: dict[Code, str] = {
    Code.VALIDATION_FAILED: "The request has fields that cannot be accepted.",
    Code.NOT_FOUND: "There is no {what} with this id.",
    Code.FORBIDDEN: "This needs a key with the scope {scope}.",
    Code.ACCOUNT_SUSPENDED: "The account {account_id} is suspended; its keys are refused until it is readmitted.",
    Code.ACCOUNT_EXISTS: "There is, or was, an account with the id {account_id}; no id is used twice.",
    Code.ACCOUNT_PERMANENT: "The account {account_id} always exists and cannot be {verb}.",
    Code.QUOTA_EXCEEDED: "The account has {usage} {what}, and its limit is {limit}; nothing was written.",
    Code.RATE_LIMITED: "This key made more than its {limit} {what} a minute; nothing was done.",
    Code.KEY_ENDED: "Key {key_id} was revoked or has expired, and gets no new secret.",
    Code.WEBHOOK_DISABLED: "Nothing is sent to webhook {webhook_id}: {reason}.",
    Code.LEASE_HELD: "The scope {scope} is held by {holder}.",
    Code.SCOPE_LAPSED: "Session {session_id} of {agent} held the scope {scope} and fell silent; it was not given up.",
    Code.SCOPE_CROWDED: "More than {limit} sessions share the scope {scope}; it cannot be held exclusively.",
    Code.LEASE_EXPIRED: "The lease of session {session_id} expired at {lease_expired_at}, and its policy is strict.",
    Code.SESSION_PARKED: "Session {session_id} is parked, and a parked session cannot {verb}.",
    Code.SESSION_STALLED: "Session {session_id} is stalled, and a stalled session cannot {verb}.",
    Code.SESSION_FAILED: "Session {session_id} has failed ({reason}), and a failed session cannot {verb}.",
    Code.SESSION_ABANDONED: "Session {session_id} was abandoned, and an abandoned session cannot {verb}.",
    Code.SESSION_ENDED: "Session {session_id} has ended ({end_reason}), and an ended session cannot {verb}.",
    Code.SESSION_TAKEN_OVER: "Session {session_id} was taken over by {successor_id}; nothing more is accepted from it.",
    Code.SESSION_RECOVERED: "Session {session_id} was recovered by {successor_id}; nothing more is accepted from it.",
    Code.SESSION_QUARANTINED: "Session {session_id} fell again after its last attempt; only an operator recovers it.",
    Code.SESSION_STOP_REQUESTED: "Session {session_id} was asked to stop ({reason}); only an operator recovers it.",
    Code.SESSION_NOT_TERMINAL: "Session {session_id} is {status}; only one that is over can {verb}.",
    Code.SESSION_NOT_ARCHIVED: "Session {session_id} is not archived, and only an archived session can be deleted.",
    Code.SLOT_OCCUPIED: "Slot {slot} of machine {machine_id} is taken by {holder}.",
    Code.SLOT_DISABLED: "Slot {slot} of machine {machine_id} is disabled; no session starts in it.",
    Code.NO_FREE_SLOT: "None of the {limit} slots of machine {machine_id} is free.",
    Code.MACHINE_IN_MAINTENANCE: "Machine {machine_id} is in maintenance; no session starts on it.",
    Code.MACHINE_OCCUPIED: "Sessions run in {usage} slots of machine {machine_id}; it cannot be deleted.",
    Code.CLIENT_SESSION_ID_REUSED: "This client_session_id names session {session_id}, which is on the scope {scope}.",
    Code.HANDOFF_SETTLED: "Handoff {handoff_id} is {status} and cannot become {to}; it can become {possible}.",
    Code.HANDOFF_SCHEMA_EXISTS: "The handoff schema {schema} is registered already, and a version never changes.",
    Code.PAYLOAD_TOO_LARGE: "The {what} has {size} bytes, and at most {limit} are taken.",
    Code.FENCING_TOKEN_REQUIRED: "Session {session_id} is exclusive, so every write must carry its fencing token.",
    Code.FENCING_TOKEN_STALE: "This fencing token is not the current one of {subject}; nothing was written.",
    Code.REVISION_CONFLICT: "{subject} is at revision {revision}, not {given}; nothing was written.",
    Code.WORKSPACE_OWNED: (
        "active autonomous session is owned by `{owner}`; explicit takeover or clear is required before a "
        "different actor can start"
    ),
    Code.WORKSPACE_OWNED_AUTONOMOUS: (
        "active autonomous session is owned by `{owner}`; clear it or wait for it to become stale before "
        "switching back to interactive work"
    ),
    Code.WORKSPACE_OWNED_INTERACTIVE: (
        "active interactive session already exists in this workspace; clear it or wait for it to become "
        "stale before autonomous start"
    ),
    Code.WORKSPACE_STALE_OWNED: (
        "stale autonomous session is owned by `{owner}`; use `holdfast session-state takeover` to adopt it"
    ),
    Code.WORKSPACE_STALE_AUTONOMOUS: (
        "stale autonomous session is owned by `{owner}`; clear it or use explicit takeover before interactive start"
    ),
    Code.WORKSPACE_EMPTY: (
        "no active session telemetry is available; run `holdfast session-state start --path .` first"
    ),
    Code.WORKSPACE_STALE: (
        "autonomous session lease for `{actor}` is stale; restart with the same actor or use takeover deliberately"
    ),
    Code.WORKSPACE_STALE_INTERACTIVE: "interactive session is stale; run `holdfast session-state start` for another",
    Code.WORKSPACE_CHANGED: (
        "{command} detected concurrent session mutation: expected revision {expected}, current is "
        "{revision}, and it is owned by `{owner}`; retry `holdfast session-state {command}`"
    ),
    Code.WORKSPACE_FULL: "This workspace has {limit} {what}, which is as many as it may have.",
    Code.HEARTBEAT_NOT_AUTONOMOUS: "heartbeat requires an active autonomous session",
    Code.HEARTBEAT_NOT_OWNER: "heartbeat requires actor `{actor}` to match the active autonomous owner `{owner}`",
    Code.HEARTBEAT_WITHOUT_SESSION: "active autonomous session is missing session_id",
    Code.ACTIVITY_TOO_LONG: "activity text is too long (max {limit} characters)",
    Code.TAKEOVER_OF_NOTHING: "no stale autonomous session exists to take over",
    Code.TAKEOVER_OF_INTERACTIVE: "takeover only applies to stale autonomous sessions",
    Code.TAKEOVER_TOO_EARLY: (
        "takeover is only allowed after the active autonomous lease becomes stale; it is owned by `{owner}`"
    ),
    Code.TAKEOVER_OF_OWN: (
        "takeover requires a different actor than the stale owner; use `holdfast session-state start` to "
        "recover the same actor lease"
    ),
    Code.TAKEOVER_WITHOUT_LEASE: (
        "stale autonomous session is missing lease_ttl_secs and cannot be taken over safely without `--lease-seconds`"
    ),
    Code.CLEAR_WITHOUT_ACTOR: ("clearing an autonomous session requires `--actor-id` matching the owner or supervisor"),
    Code.CLEAR_STALE_WITHOUT_ACTOR: (
        "clearing an autonomous session requires `--actor-id` matching the owner or supervisor"
    ),
    Code.CLEAR_OF_STALE: (
        "actor `{actor}` is not authorized to clear the stale autonomous session owned by `{owner}`; use "
        "`holdfast session-state takeover --actor-id <actor-id> --reason <reason>` to reclaim the lease for "
        "a different actor, or retry `clear` with the owner or supervisor actor-id"
    ),
    Code.CLEAR_OF_STALE_WITHOUT_LEASE: (
        "actor `{actor}` is not authorized to clear the stale autonomous session owned by `{owner}`; use "
        "`holdfast session-state takeover --actor-id <actor-id> --reason <reason> --lease-seconds <seconds>` "
        "to reclaim the lease for a different actor, or retry `clear` with the owner or supervisor actor-id"
    ),
    Code.CLEAR_OF_ACTIVE: (
        "actor `{actor}` is not authorized to clear the active autonomous session owned by `{owner}`"
    ),
    Code.CLEAR_OF_AHEAD: (
        "actor `{actor}` is not authorized to clear the active autonomous session owned by `{owner}`; it was last "
        "renewed at what is a time to come by the clock now"
    ),
    Code.IDEMPOTENCY_KEY_REUSED: "This Idempotency-Key was used for another body on the same path.",
    Code.SECRET_ALREADY_SHOWN: "This request was carried out before, and its secret was shown then; it is not kept.",
    Code.CURSOR_INVALID: "This cursor does not belong to this list and filter.",
    Code.CURSOR_EXPIRED: "This cursor belongs to a history that was replaced, or to events no longer kept.",
    Code.PROJECT_EXISTS: "There is a project with the id {project_id}.",
    Code.TASK_TRANSITION_NOT_ALLOWED: "Task {task_id} is {task_status}: it takes no {verb}. Allowed: {allowed}.",
    Code.TASK_WAITING: "Task {task_id} waits for {waiting} of the tasks that it depends on.",
    Code.TASK_HELD: "Task {task_id} is held by session {holder_session_id}.",
    Code.TASK_LOST: "Session {session_id} lost task {task_id}, which was queued again: its lease lapsed, or it let go.",
    Code.TASK_NEEDED: "Task {task_id} cannot be deleted: {waiting} wait for it, task {waiting_task_id} the first.",
    Code.TASK_IN_PROGRESS: "Task {task_id} is in progress; it takes no {verb} until it is released.",
    Code.TASK_CROWDED: "As many tasks wait for task {task_id} as may, which is {limit}.",
    Code.TOO_MANY_TASKS: "Session {session_id} holds {limit} unfinished tasks, and that is the most.",
    Code.BUSY: "Others changed the same rows again and again; nothing was written.",
    Code.OVERLOADED: "More requests are waiting than may wait; nothing was written.",
    Code.TOO_MANY_STREAMS: "As many event streams and waiting polls are open here, or in this account, as may be.",
    Code.OUTCOME_UNKNOWN: "The store did not say whether this was written.",
    Code.STORAGE_FULL: "The disk of the store is full; nothing was written.",
    Code.UNAVAILABLE: "The store cannot be reached; nothing was written.",
    Code.INTERNAL: "Something failed on the server; its log has the details under this request id.",
}


class Action(StrEnum):
    """Something that a caller can do next; each door knows how it is done there."""

    READ = "read"
    EXPLAIN = "explain"
    READ_HANDOFF = "read_handoff"
    REGISTER_VERSION = "register_version"
    START = "start"
    START_TAKING_OVER = "start_taking_over"
    TAKE_OVER = "take_over"
    FORCE_TAKE_OVER = "force_take_over"
    RECOVER = "recover"
    FORCE_RECOVER = "force_recover"
    RESUME = "resume"
    END = "end"
    ARCHIVE = "archive"
    REPEAT_WITH_TOKEN = "repeat_with_token"
    REPEAT_WITH_REVISION = "repeat_with_revision"
    REPEAT_WITH_NEW_KEY = "repeat_with_new_key"
    REPEAT_LATER = "repeat_later"
    REPEAT_FROM_START = "repeat_from_start"
    CREATE_KEY = "create_key"
    ENABLE_WEBHOOK = "enable_webhook"
    READ_WEBHOOKS = "read_webhooks"
    READ_ACCOUNTS = "read_accounts"
    REGISTER_MACHINE = "register_machine"
    READ_MACHINE = "read_machine"
    READ_AVAILABLE_MACHINES = "read_available_machines"
    BRING_ONLINE = "bring_online"
    REPEAT_WITH_ANY_SLOT = "repeat_with_any_slot"
    REPEAT_WITHOUT_MACHINE = "repeat_without_machine"
    FREE_SPACE = "free_space"
    READ_PROJECT = "read_project"
    CHANGE_PROJECT = "change_project"
    CREATE_PROJECT = "create_project"
    LIST_PROJECTS = "list_projects"
    READ_TASK = "read_task"
    LIST_TASKS = "list_tasks"
    LIST_HELD_TASKS = "list_held_tasks"
    START_TASK = "start_task"
    COMPLETE_TASK = "complete_task"
    FAIL_TASK = "fail_task"
    BLOCK_TASK = "block_task"
    RELEASE_TASK = "release_task"
    CLAIM_TASK = "claim_task"
    CHANGE_DEPENDENCIES = "change_dependencies"


class Identity(NamedTuple):
    """By what a start recognises its own session: the scope, the agent, and who holds the lease."""

    scope: str
    agent: str
    holder_id: str


class WayOut(NamedTuple):
    """One thing that works in the state in which it is suggested.

    session_id: the session that it concerns, where it concerns one.
    identity: what a suggested start has to name, where only that very identity may do it.
    after_at_ms: it works from this time on, epoch milliseconds; None: now.
    target: the id of what else it concerns, such as a task or a handoff.
    """

    action: Action
    session_id: str | None = None
    identity: Identity | None = None
    after_at_ms: int | None = None
    target: str | None = None


class FieldError(NamedTuple):
    """One field that was not accepted, by its path in the request, and why."""

    field: str
    message: str


Datum = str | int | None


class Refusal(Exception):
    """A command was not carried out, and nothing of it was written."""

    def __init__(
        self,
        code: Code,
        *,
        ways_out: tuple[WayOut, ...] = (),
        errors: tuple[FieldError, ...] = (),
        retry_after_ms: int | None = None,
        **data: Datum,
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.data = data
        self.ways_out = ways_out
        self.errors = errors
        self.retry_after_ms = retry_after_ms

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is otherwise made anew from its message alone when it passes between processes.
        return _refusal, (self.code, self.ways_out, self.errors, self.retry_after_ms, self.data)


def _refusal(
    code: Code,
    ways_out: tuple[WayOut, ...],
    errors: tuple[FieldError, ...],
    retry_after_ms: int | None,
    data: dict[str, Datum],
) -> Refusal:
    return Refusal(code, ways_out=ways_out, errors=errors, retry_after_ms=retry_after_ms, **data)
