"""A session: one agent's stretch of work, as two rows.

`Session` is what rules read: its status, its lease, its token. A heartbeat loads and writes this row alone, so it stays
narrow. `SessionProfile` is what people read: where it runs, on what, what it was told. No rule looks at a profile.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from holdfast.domain.errors import Identity
from holdfast.domain.ids import AccountId, KeyId, SessionId
from holdfast.domain.policy import OnLapse, Policy


class Status(StrEnum):
    """Where a session is in its life; the last three are terminal."""

    ACTIVE = "active"
    PAUSED = "paused"
    PARKED = "parked"
    STALLED = "stalled"
    ENDED = "ended"
    FAILED = "failed"
    ABANDONED = "abandoned"


class FailedBy(StrEnum):
    """Who says that a session failed: its own silence, or a report. The two may be left by different ways."""

    SILENCE = "silence"
    REPORT = "report"


class EndReason(StrEnum):
    """Why a session ended."""

    COMPLETED = "completed"
    MANUAL = "manual"
    SUPERSEDED = "superseded"
    TAKEN_OVER = "taken_over"
    CLEARED = "cleared"
    STALE = "stale"
    CRASHED = "crashed"
    KILLED = "killed"
    RECOVERED = "recovered"
    EXPIRED = "expired"


class Session(NamedTuple):
    """The row of a session that rules read.

    held_scope: the scope while this session counts as a holder of it, live or lapsed; None once it holds nothing.
    revision: grows with every change but a heartbeat's.
    due_ms: the service time at which time itself changes this session next; moved by every beat, never indexed.
    check_due_ms: when the sweeper looks next, never later than `due_ms`; indexed, so beats move it once a half lease.
    wake_pending_at_ms: the wall-clock time of a park's wake event that has not been sent yet.
    status_reason: the reason given for the present status, where one was given.
    progress: any integer that grows with real work, as the holder last told it.
    stop_reason: set once somebody asked the holder to stop.
    taken_over_by: the session that took this one's place, by takeover or by recovery; nothing more is accepted from
    this one then.
    recoveries_left: how often it may still be recovered before a person has to look; None: it begins a chain.
    task_count: unfinished tasks that it holds; none once it has lapsed or is over.
    """

    id: SessionId
    account_id: AccountId
    scope: str
    held_scope: str | None
    exclusive: bool
    fencing_token: int | None
    revision: int
    status: Status
    failed_by: FailedBy | None
    end_reason: EndReason | None
    status_reason: str | None
    agent: str
    holder_id: str
    on_lapse: OnLapse
    lease_ms: int
    heartbeat_interval_ms: int | None
    heartbeat_jitter_ms: int
    grace_ms: int
    fail_after_ms: int | None
    due_ms: int | None
    check_due_ms: int | None
    status_at_ms: int
    last_heartbeat_at_ms: int
    wake_pending_at_ms: int | None
    progress: int | None
    activity: str | None
    status_note: str | None
    stop_reason: str | None
    checkpoint_count: int
    taken_over_by: SessionId | None
    archived_at_ms: int | None
    task_count: int
    recoveries_left: int | None


class SessionProfile(NamedTuple):
    """The row of a session that people read, and no rule.

    late: the end or failure was told after silence had already been taken for one.
    handoff_at_ms: when it last left a handoff, or the core drafted one for it.
    reported_late: the whole session was reported after the fact; its times are the client's claims.
    meta_json, error_details_json: free JSON, as text.
    client, client_version, host: the program that runs the agent and the machine's name, as they were told.
    recovery_attempts: how many recoveries led to this session, along the whole chain.
    checkpoint_source_id: of the sessions that were recovered before it, the last one that wrote a checkpoint.
    let_go_json: the tasks that it held as it lapsed or was over, as `task.noted` writes them; None: none, or it has
    come back since.
    """

    id: SessionId
    account_id: AccountId
    preset: str
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
    current_task_id: str | None
    meta_json: str | None
    started_at_ms: int
    ended_at_ms: int | None
    wake_at_ms: int | None
    error_details_json: str | None
    exit_code: int | None
    late: bool
    reported_late: bool
    took_over_from: SessionId | None
    key_id: KeyId
    correlation_id: str
    handoff_at_ms: int | None
    client: str | None
    client_version: str | None
    host: str | None
    recovered_from: SessionId | None
    recovery_attempts: int
    checkpoint_source_id: SessionId | None
    let_go_json: str | None


class ClientSession(NamedTuple):
    """Which session a client's own id names: the newest one started or reported under it."""

    account_id: AccountId
    client_session_id: str
    session_id: SessionId


def identity(session: Session) -> Identity:
    """By what a later start recognises this session as its own."""
    return Identity(session.scope, session.agent, session.holder_id)


def policy_fields(policy: Policy) -> dict[str, Any]:
    """The columns of a session in which a policy is kept."""
    return {name: value for name, value in policy._asdict().items() if name != "preset"}
