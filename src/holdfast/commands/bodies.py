"""What the core answers with: rows as plain values, under names that tell a door how to render them (see `Reply`)."""

from typing import Any

from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Action, Code, Identity, Refusal, WayOut
from holdfast.domain.handoff import Handoff, HandoffBody
from holdfast.domain.lifecycle import LEASED, can_acquire, can_recover, is_quarantined, was_recovered
from holdfast.domain.liveness import liveness
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, SessionProfile

Body = dict[str, Any]


def session_body(session: Session, profile: SessionProfile, *, now: Moment) -> Body:
    """A session as everybody may see it: all but its fencing token."""
    alive = liveness(session, now=now)
    has_lease = session.status in LEASED and session.due_ms is not None
    return {
        "id": session.id,
        "scope": session.scope,
        "status": str(session.status),
        "liveness": None if alive is None else alive.value,
        "agent": session.agent,
        "holder_id": session.holder_id,
        "exclusive": session.exclusive,
        "revision": session.revision,
        "started_at_ms": profile.started_at_ms,
        "last_heartbeat_at_ms": session.last_heartbeat_at_ms,
        "lease_expires_at_ms": now.wall(session.due_ms) if has_lease and session.due_ms is not None else None,
        "status_changed_at_ms": session.status_at_ms,
        "status_reason": session.status_reason,
        "ended_at_ms": profile.ended_at_ms,
        "end_reason": None if session.end_reason is None else str(session.end_reason),
        "failed_by": None if session.failed_by is None else str(session.failed_by),
        "error_details_json": profile.error_details_json,
        "exit_code": profile.exit_code,
        "late": profile.late,
        "reported_late": profile.reported_late,
        "activity": session.activity,
        "status_note": session.status_note,
        "progress": session.progress,
        "stop_requested": session.stop_reason is not None,
        "stop_reason": session.stop_reason,
        "wake_at_ms": profile.wake_at_ms,
        "took_over_from": profile.took_over_from,
        "taken_over_by": None if was_recovered(session) else session.taken_over_by,
        "recovered_from": profile.recovered_from,
        "recovered_by": session.taken_over_by if was_recovered(session) else None,
        "recovery_attempts": profile.recovery_attempts,
        "quarantined": is_quarantined(session),
        "archived_at_ms": session.archived_at_ms,
        "checkpoint_count": session.checkpoint_count,
        "task_count": session.task_count,
        "policy": policy_body(session, preset=profile.preset),
        "mode": profile.mode,
        "project_id": profile.project_id,
        "venture": profile.venture,
        "repo": profile.repo,
        "track": profile.track,
        "workspace": profile.workspace,
        "machine_id": profile.machine_id,
        "slot": profile.slot,
        "parent_id": profile.parent_id,
        "group_id": profile.group_id,
        "client_session_id": profile.client_session_id,
        "branch": profile.branch,
        "commit_sha": profile.commit_sha,
        "issue_number": profile.issue_number,
        "client": profile.client,
        "client_version": profile.client_version,
        "host": profile.host,
        "current_task_id": profile.current_task_id,
        "meta_json": profile.meta_json,
        "correlation_id": profile.correlation_id,
    }


def summary_body(session: Session, profile: SessionProfile, *, now: Moment) -> Body:
    """A session without its free JSON, which may be long."""
    body = session_body(session, profile, now=now)
    del body["meta_json"], body["error_details_json"]
    return body


def policy_body(session: Session, *, preset: str) -> Body:
    """The policy in force for a session."""
    return {
        "preset": preset,
        "lease_ms": session.lease_ms,
        "heartbeat_interval_ms": session.heartbeat_interval_ms,
        "heartbeat_jitter_ms": session.heartbeat_jitter_ms,
        "grace_ms": session.grace_ms,
        "fail_after_ms": session.fail_after_ms,
        "on_lapse": str(session.on_lapse),
    }


def checkpoint_body(checkpoint: Checkpoint) -> Body:
    """A checkpoint, whole."""
    return {
        "id": checkpoint.id,
        "session_id": checkpoint.session_id,
        "number": checkpoint.number,
        "summary": checkpoint.summary,
        "work_completed_json": checkpoint.work_completed_json,
        "blockers_json": checkpoint.blockers_json,
        "next_actions_json": checkpoint.next_actions_json,
        "state_json": checkpoint.state_json,
        "branch": checkpoint.branch,
        "commit_sha": checkpoint.commit_sha,
        "created_at_ms": checkpoint.created_at_ms,
        "correlation_id": checkpoint.correlation_id,
    }


def handoff_body(handoff: Handoff, body: HandoffBody | None) -> Body:
    """A handoff: whole, or without what may be long."""
    told = {
        "id": handoff.id,
        "session_id": handoff.session_id,
        "project_id": handoff.project_id,
        "scope": handoff.scope,
        "venture": handoff.venture,
        "repo": handoff.repo,
        "track": handoff.track,
        "issue_number": handoff.issue_number,
        "from_agent": handoff.from_agent,
        "to_agent": handoff.to_agent,
        "status": str(handoff.status),
        "status_label": handoff.status_label,
        "summary": handoff.summary,
        "auto": handoff.auto,
        "orphan": handoff.orphan_reason is not None,
        "orphan_reason": handoff.orphan_reason,
        "branch": handoff.branch,
        "commit_sha": handoff.commit_sha,
        "payload_hash": handoff.payload_sha256,
        "payload_size_bytes": handoff.payload_size_bytes,
        "schema": handoff.payload_schema,
        "schema_version": handoff.schema_version,
        "redactions": handoff.redactions,
        "created_at_ms": handoff.created_at_ms,
        "created_by": handoff.key_id,
        "acknowledged_at_ms": handoff.acknowledged_at_ms,
        "acknowledged_by": handoff.acknowledged_by,
        "status_changed_at_ms": handoff.status_at_ms,
        "status_changed_by": handoff.status_by,
        "status_note": handoff.status_note,
        "superseded_by": handoff.superseded_by,
        "correlation_id": handoff.correlation_id,
    }
    if body is None:
        return told
    return {
        **told,
        "work_completed_json": body.work_completed_json,
        "blockers_json": body.blockers_json,
        "next_actions_json": body.next_actions_json,
        "payload_json": body.payload_json,
    }


def recoverable_body(session: Session) -> Body:
    """A session that fell silent and that nobody has taken over: enough to decide whether to."""
    return {
        "id": session.id,
        "status": str(session.status),
        "agent": session.agent,
        "last_heartbeat_at_ms": session.last_heartbeat_at_ms,
        "checkpoint_count": session.checkpoint_count,
        "can_resume": can_acquire(session),
        "can_recover": can_recover(session),
    }


def refusal_body(refusal: Refusal) -> Body:
    """A refusal as part of a reply, in the form that a door turns back into one."""
    return {
        "code": refusal.code.value,
        "data": refusal.data,
        "ways_out": [
            {**way._asdict(), "identity": None if way.identity is None else way.identity._asdict()}
            for way in refusal.ways_out
        ],
    }


def refusal_from_body(body: Body) -> Refusal:
    """The refusal that `refusal_body` described."""
    ways_out = tuple(
        WayOut(
            Action(way["action"]),
            way["session_id"],
            None if way["identity"] is None else Identity(**way["identity"]),
            way["after_at_ms"],
            way["target"],
        )
        for way in body["ways_out"]
    )
    return Refusal(Code(body["code"]), ways_out=ways_out, **body["data"])
