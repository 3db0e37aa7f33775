"""Checkpoints: durable notes of progress, numbered 1, 2, 3 … within a session."""

from typing import NamedTuple

from holdfast.domain.ids import AccountId, CheckpointId, KeyId, SessionId


class Checkpoint(NamedTuple):
    """One note. The lists and the state are JSON, as text; `scope` is where the next session looks for it."""

    session_id: SessionId
    number: int
    id: CheckpointId
    account_id: AccountId
    scope: str
    summary: str
    work_completed_json: str
    blockers_json: str
    next_actions_json: str
    state_json: str | None
    branch: str | None
    commit_sha: str | None
    created_at_ms: int
    key_id: KeyId
    correlation_id: str
