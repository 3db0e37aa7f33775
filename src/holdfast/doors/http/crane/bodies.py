"""The core's bodies in the words of the Crane paths."""

from collections.abc import Mapping
from typing import Any

from holdfast.commands.bodies import Body
from holdfast.domain.crane import SCHEMA_VERSION_SERVED
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.times import rfc3339
from holdfast.doors.http.call import Answer, Document
from holdfast.doors.http.rendering import encode, shown

_STATUSES = {"failed": "abandoned", "abandoned": "abandoned", "ended": "ended"}
"""The statuses that there are here; a session with any other counts as active."""

_SAME = ("id", "agent", "client", "client_version", "host", "venture", "repo")
_OF_CHECKPOINT = ("id", "session_id", "number", "branch", "commit_sha")


def answer(body: Mapping[str, Any], *, is_replay: bool = False) -> Answer:
    """A body that is already in its final form."""
    return Answer(200, Document(b"application/json", encode(body)), is_replay)


def session(body: Body) -> Body:
    """A session as `/sod` and `/active` show it."""
    status = _STATUSES.get(body["status"], "active")
    ended_at_ms = body["ended_at_ms"] or (None if status == "active" else body["status_changed_at_ms"])
    return shown(
        {
            **{name: body[name] for name in _SAME},
            "track": track(body["track"]),
            "issue_number": body["issue_number"],
            "branch": body["branch"],
            "commit_sha": body["commit_sha"],
            "status": status,
            "created_at_ms": body["started_at_ms"],
            "last_heartbeat_at_ms": body["last_heartbeat_at_ms"],
            "ended_at_ms": ended_at_ms,
            "end_reason": body["end_reason"],
            "schema_version": SCHEMA_VERSION_SERVED,
            "creation_correlation_id": body["correlation_id"],
            "meta_json": body["meta_json"],
        }
    )


def checkpoint(body: Body) -> Body:
    """A checkpoint as `/sod` shows it."""
    return shown(
        {
            **{name: body[name] for name in _OF_CHECKPOINT},
            "summary": body["summary"] or None,
            "work_completed_json": body["work_completed_json"],
            "blockers_json": body["blockers_json"],
            "next_actions_json": body["next_actions_json"],
            "state_json": body["state_json"],
            "created_at_ms": body["created_at_ms"],
        }
    )


_OF_HANDOFF = (
    *("id", "summary", "status_label", "next_actions_json", "blockers_json", "work_completed_json"),
    *("session_id", "venture", "repo", "issue_number", "from_agent", "to_agent", "status", "auto", "orphan"),
    *("branch", "commit_sha", "payload_json", "payload_hash", "payload_size_bytes", "schema", "schema_version"),
    *("redactions", "created_at_ms", "acknowledged_at_ms", "acknowledged_by", "status_changed_at_ms"),
    *("status_changed_by", "status_note", "superseded_by"),
)
"""What is told of a handoff, what is worth most first; those that may be long only where the core told them."""


def handoff(body: Body) -> Body:
    """A handoff, with what may be long where the core told it."""
    told = {name: body[name] for name in _OF_HANDOFF if name in body}
    return shown({**told, "track": track(body["track"]), "creation_correlation_id": body["correlation_id"]})


def next_beat(body: Body) -> Body:
    """When the last beat was, and how many whole seconds later the next one is expected; null where none is."""
    last_at_ms, next_at_ms = body["last_heartbeat_at_ms"], body["next_heartbeat_at_ms"]
    told = {"last_heartbeat_at": rfc3339(last_at_ms), "next_heartbeat_at": None, "heartbeat_interval_seconds": None}
    if next_at_ms is None:
        return told
    seconds = max(1, (next_at_ms - last_at_ms) // SECOND_MS)
    next_at = rfc3339(last_at_ms + seconds * SECOND_MS)
    return {**told, "next_heartbeat_at": next_at, "heartbeat_interval_seconds": seconds}


def track(text: str | None) -> int | str | None:
    """A session's track: a number here, while the core takes any text."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text
