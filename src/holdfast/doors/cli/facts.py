"""Everything that is known of a session, as names and values one below the other."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from holdfast.client.api import Json
from holdfast.domain import scope as scopes
from holdfast.doors.cli import fields, terminal
from holdfast.doors.cli.fields import Document
from holdfast.doors.cli.layout import Span
from holdfast.doors.cli.words import ago, command_words, duration, value_words

Fact = tuple[str, str]

LIST_ITEMS_SHOWN_MAX = 10

_SAID = frozenset(
    {
        *("id", "agent", "status", "liveness", "scope", "activity", "status_note", "progress", "policy", "meta"),
        *("started_at", "last_heartbeat_at", "lease_expires_at", "status_changed_at", "status_reason", "ended_at"),
        *("end_reason", "failed_by", "exit_code", "stop_requested", "stop_reason", "holder_id", "machine_id", "slot"),
        *("took_over_from", "taken_over_by", "wake_at", "archived_at", "exclusive", "checkpoint_count", "revision"),
        *("project_id", "venture", "repo", "track", "workspace", "late", "reported_late", "error_details"),
        *("recovered_from", "recovered_by", "task_count"),
    }
)
"""Fields that have words of their own below, or that the scope tells."""


def echo_facts(facts: Sequence[Fact]) -> None:
    """Print them, values in one column; a value of several lines keeps them."""
    width = max((len(name) for name, value in facts if value), default=0)
    for name, value in facts:
        for place, line in enumerate(value.splitlines()):
            terminal.echo(Span(f"{name if place == 0 else '':{width}}  ", "dim"), line)


def session_facts(session: Document, *, now: float) -> list[Fact]:
    """What is known of a session, besides its id, agent and state."""
    scope = fields.text(session, "scope")
    meta = dict(fields.child(session, "meta"))
    host, pid, directory = (value_words(meta.pop(name, None)) for name in ("hostname", "pid", "cwd"))
    command = command_words(session)
    meta.pop("command", None)
    details = session.get("error_details")
    return [
        ("scope", scopes.in_words(scope) or "its own"),
        ("", scope if scopes.in_words(scope) not in ("", scope) else ""),
        ("activity", fields.text(session, "activity")),
        ("note", fields.text(session, "status_note")),
        ("progress", value_words(session.get("progress"))),
        ("tasks", value_words(session.get("task_count") or None)),
        ("command", command),
        ("directory", directory),
        ("started", when_words(session, "started_at", now=now)),
        ("last beat", when_words(session, "last_heartbeat_at", now=now)),
        ("lease", _lease(session, now=now)),
        ("ended", when_words(session, "ended_at", now=now)),
        ("details", _compact(details)),
        ("wakes", when_words(session, "wake_at", now=now)),
        ("asked to stop", (fields.text(session, "stop_reason") or "yes") if session.get("stop_requested") else ""),
        ("holds", "its scope alone" if session.get("exclusive") is True else "its scope, which others may share"),
        ("holder", fields.text(session, "holder_id")),
        (
            "machine",
            " ".join(
                filter(
                    None,
                    (
                        f"{host} ({fields.text(session, 'machine_id')})".replace("()", "")
                        if host
                        else fields.text(session, "machine_id"),
                        f"process {pid}" if pid else "",
                    ),
                )
            ),
        ),
        ("slot", value_words(session.get("slot"))),
        ("took over from", fields.text(session, "took_over_from")),
        ("taken over by", fields.text(session, "taken_over_by")),
        ("recovered from", fields.text(session, "recovered_from")),
        ("recovered by", fields.text(session, "recovered_by")),
        ("told late", "after its silence had been taken for an end" if session.get("late") is True else ""),
        ("reported", "after the fact; its times are its client's" if session.get("reported_late") is True else ""),
        ("archived", when_words(session, "archived_at", now=now)),
        ("revision", value_words(session.get("revision"))),
        *((name.replace("_", " "), _compact(value)) for name, value in session.items() if name not in _SAID),
        ("meta", _compact(meta) if meta else ""),
    ]


def checkpoint_facts(checkpoint: Document, *, now: float) -> list[Fact]:
    """What a checkpoint says."""
    number = value_words(checkpoint.get("number"))
    when = ago(fields.at(checkpoint, "created_at"), now=now)
    return [
        (f"checkpoint {number}", ": ".join(filter(None, (when, fields.text(checkpoint, "summary"))))),
        ("done", _lines(checkpoint, "work_completed")),
        ("next", _lines(checkpoint, "next_actions")),
        ("blocked by", _lines(checkpoint, "blockers")),
        ("state", _compact(checkpoint.get("state"))),
    ]


def handoff_facts(handoff: Document, *, now: float) -> list[Fact]:
    """What a handoff says, and what became of it."""
    by = fields.text(handoff, "status_changed_by")
    status = fields.text(handoff, "status") + (f" by {by}" if by else "")
    note = fields.text(handoff, "status_note")
    kind = {
        "auto": "drafted by the server: its session went without one",
        "orphan": "its session was over by then, so it was refused, and kept",
    }
    said = frozenset({"work_completed", "blockers", "next_actions", "summary", "status_label", "to_agent"})
    payload = handoff.get("payload")
    has_more = isinstance(payload, dict) and not payload.keys() <= said
    return [
        ("summary", fields.text(handoff, "summary")),
        ("label", fields.text(handoff, "status_label")),
        ("done", _lines(handoff, "work_completed")),
        ("next", _lines(handoff, "next_actions")),
        ("blocked by", _lines(handoff, "blockers")),
        ("payload", _compact(payload) if has_more else ""),
        ("about", scopes.in_words(fields.text(handoff, "scope"))),
        ("issue", value_words(handoff.get("issue_number"))),
        ("branch", " ".join(filter(None, (fields.text(handoff, "branch"), fields.text(handoff, "commit_sha"))))),
        ("session", fields.text(handoff, "session_id")),
        ("written", when_words(handoff, "created_at", now=now)),
        ("status", ": ".join(filter(None, (status, note)))),
        *[("note", words) for name, words in kind.items() if handoff.get(name) is True],
        ("superseded by", fields.text(handoff, "superseded_by")),
        ("hash", fields.text(handoff, "payload_hash")),
    ]


def task_facts(task: Document, *, now: float) -> list[Fact]:
    """What is known of a task, besides its id, name and status."""
    return [
        ("project", fields.text(task, "project_id")),
        ("description", fields.text(task, "description")),
        ("priority", value_words(task.get("priority"))),
        ("depends on", _lines(task, "depends_on")),
        ("session", fields.text(task, "session_id")),
        ("was with", fields.text(task, "last_session_id") if not fields.text(task, "session_id") else ""),
        ("attempts", value_words(task.get("attempts"))),
        ("created", when_words(task, "created_at", now=now)),
        ("started", when_words(task, "started_at", now=now)),
        ("finished", when_words(task, "finished_at", now=now)),
        ("result", _compact(task.get("result"))),
        ("elsewhere", fields.text(task, "external_ref")),
        ("link", fields.text(task, "external_url")),
        ("meta", _compact(fields.child(task, "meta"))),
        ("revision", value_words(task.get("revision"))),
    ]


def when_words(document: Document, name: str, *, now: float) -> str:
    """A time of the document, and how far away it is; empty where there is none."""
    at = fields.at(document, name)
    if at is None:
        return fields.text(document, name)
    distance = f"in {duration(at - now)}" if at > now + 1 else ago(at, now=now)
    return f"{clock_words(at)} ({distance})"


def clock_words(at: float) -> str:
    """`2026-01-17 10:00:00 UTC`."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return ""


def _lease(session: Document, *, now: float) -> str:
    return ", ".join(_lease_parts(session, now=now))


def _lease_parts(session: Document, *, now: float) -> Iterator[str]:
    policy = fields.child(session, "policy")
    lease = fields.number(policy, "lease_seconds")
    if lease is None:
        return
    yield duration(lease)
    lapses_at = fields.at(session, "lease_expires_at")
    if lapses_at is not None:
        yield f"lapses in {duration(lapses_at - now)}" if lapses_at > now else "lapsed"
    interval = fields.number(policy, "heartbeat_interval_seconds")
    yield f"a beat every {duration(interval)}" if interval is not None else "no beats expected"
    if fields.text(policy, "on_lapse") == "strict":
        yield "strict: no beat brings it back"
    fail_after = fields.number(policy, "fail_after_seconds")
    if fail_after is not None:
        yield f"failed after {duration(fail_after)} of silence"


def _lines(document: Document, name: str) -> str:
    listed = fields.items(document, name)
    shown = [value if isinstance(value, str) else _compact(value) for value in listed[:LIST_ITEMS_SHOWN_MAX]]
    more = len(listed) - len(shown)
    return "\n".join([*shown, f"and {more} more"] if more else shown)


def _compact(value: Json) -> str:
    import json

    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return value_words(value)
