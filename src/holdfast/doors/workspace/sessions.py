"""`holdfast session-state` start, takeover, clear and show."""

import os
from typing import Any

from holdfast.commands.workspace_starts import ClearWorkspace, KeepBaseline, StartWorkspace, TakeOverWorkspace
from holdfast.commands.workspaces import row_state
from holdfast.domain.workspace import IDLE_SECONDS, INTERACTIVE_ACTOR, Mode, OwnerKind
from holdfast.doors.shown import shown
from holdfast.doors.workspace import place, words
from holdfast.doors.workspace.arguments import Option, Usage
from holdfast.doors.workspace.context import (
    ACTOR,
    COMMON,
    LEASE,
    MODES,
    OWNER_KINDS,
    SUPERVISOR,
    Context,
    Verb,
    note_presence,
    read,
    require_profile,
    run,
)
from holdfast.doors.workspace.heartbeat import HEARTBEAT, INTERACTIVE_LEASE_SECONDS
from holdfast.doors.workspace.legacy import session_row
from holdfast.doors.workspace.place import Place
from holdfast.doors.workspace.words import Stopped
from holdfast.embedded import Embedded, failure_of
from holdfast.engine import workspaces

SECTIONS = ("handoff", "gates", "escalations", "recovery", "git_state", "session")


def start(context: Context) -> dict[str, Any]:
    """Start working here, or go on."""
    owner_kind, actor_id = _ownership(context)
    arguments = context.arguments
    mode = arguments.text("mode")
    command = StartWorkspace(
        context.scope,
        owner_kind,
        actor_id,
        mode=None if mode is None else Mode(mode),
        supervisor_id=arguments.text("supervisor_id"),
        lease_seconds=arguments.number("lease_seconds"),
    )
    report = run(context, command, creates=True)
    report["warning"] = words.start_warning(report, profile=context.place.profile)
    del report["refreshed"]
    note_presence(context, health="ready", lease_seconds=report["lease_ttl_secs"] or INTERACTIVE_LEASE_SECONDS)
    _keep_baseline(context, report["session_id"])
    return report


def _ownership(context: Context) -> tuple[OwnerKind, str]:
    """Who starts. Raises: Usage, in the seed's words and order."""
    arguments = context.arguments
    lifecycle = arguments.text("lifecycle") or "interactive"
    if lifecycle == "interactive":
        for name in ("owner-kind", "actor-id", "supervisor-id", "lease-seconds"):
            if name.replace("-", "_") in arguments.options:
                raise Usage(f"`--{name}` is only valid with `--lifecycle autonomous`")
        return OwnerKind.INTERACTIVE, INTERACTIVE_ACTOR
    actor_id = arguments.text("actor_id")
    if actor_id is None:
        raise Usage("`--actor-id` is required with `--lifecycle autonomous`")
    if arguments.number("lease_seconds") is None:
        raise Usage("`--lease-seconds` is required with `--lifecycle autonomous`")
    kind = OwnerKind(arguments.text("owner_kind") or "runtime_worker")
    if kind == OwnerKind.INTERACTIVE:
        raise Usage("`interactive` is not a valid `--owner-kind` for autonomous sessions")
    return kind, actor_id


def takeover(context: Context) -> dict[str, Any]:
    """Adopt what an agent left whose lease ran out."""
    arguments = context.arguments
    require_profile(context)
    actor_id, reason = arguments.text("actor_id"), arguments.text("reason")
    assert actor_id is not None
    assert reason is not None
    before = _status(context)
    command = TakeOverWorkspace(
        context.scope,
        actor_id,
        reason.strip(),
        supervisor_id=arguments.text("supervisor_id"),
        lease_seconds=arguments.number("lease_seconds"),
        expected_revision=before.get("revision") if before["status"] == "stale" else None,
    )
    report = _run_here(context, command)
    if report is None:
        from holdfast.domain.errors import Code, Refusal

        raise words.stopped_by(Refusal(Code.TAKEOVER_OF_NOTHING))
    note_presence(context, health="ready", lease_seconds=report["lease_ttl_secs"])
    _keep_baseline(context, report["session_id"])
    return report


def clear(context: Context) -> dict[str, Any]:
    """End the session, and forget what it asked for."""
    require_profile(context)
    arguments = context.arguments
    if arguments.flag("force") and arguments.text("reason") is None:
        raise Usage("`--reason` is required with `--force`")
    before = _status(context)
    command = ClearWorkspace(
        context.scope,
        arguments.text("actor_id"),
        arguments.text("reason"),
        force=arguments.flag("force"),
        expected_session_id=before.get("session_id"),
        expected_revision=before.get("revision") or 0,
    )
    report = _run_here(context, command)
    if report is None:
        report = {"cleared": False, "reason": arguments.text("reason")}
    else:
        note_presence(context, health="idle", lease_seconds=IDLE_SECONDS)
    return report


def _run_here(context: Context, command: Any) -> dict[str, Any] | None:
    """What a command answers where there is a database; None: there is none."""
    try:
        return run(context, command)
    except FileNotFoundError:
        return None


def show(context: Context) -> dict[str, Any]:
    """What there is, without touching it."""
    require_profile(context)
    if context.arguments.flag("delta"):
        return _delta(context)
    report = _status(context)
    notes = [] if context.remote is not None else _notes(context)
    if notes:
        report["notes"] = notes
    return report


def _status(context: Context) -> dict[str, Any]:
    """The session as it stands; a file of an older kind is read and left alone. Raises: Stopped."""
    actor_id = context.arguments.text("actor_id")
    try:
        found: dict[str, Any] = read(context, workspaces.status, actor_id=actor_id)
    except FileNotFoundError:
        found = {"status": "missing"}
    if context.remote is None and found["status"] == "missing" and not found.get("revision"):
        row = session_row(os.path.join(context.place.directory, place.LEGACY_SESSION))
        if row is not None:
            import time

            now_ms = int(time.time() * 1_000)
            return workspaces.status_of(row_state(row, now_ms=now_ms), now_ms=now_ms, actor_id=actor_id)
    if found["status"] == "missing":
        return {"status": "missing"}
    return found


def _notes(context: Context) -> list[str]:
    """Who else works in this repository."""
    notes = []
    for there in place.neighbours(context.place):
        session = _live(there)
        if session is not None:
            is_here = there.git_dir == context.place.git_dir
            where = f"profile `{there.profile}`" if is_here else f"worktree {shown(there.root)}"
            suffix = "" if is_here or there.profile == place.DEFAULT_PROFILE else f", profile `{there.profile}`"
            owner = shown(str(session.get("actor_id")))
            notes.append(f"{where}{suffix} has a live session `{session['session_id']}` of `{owner}`")
    return notes


def _live(there: Place) -> dict[str, Any] | None:
    """The live session of another workspace, as far as it can be read."""
    try:
        database = Embedded(there.database, creates=False)
    except Exception as error:
        if isinstance(error, OSError) or failure_of(error) is not None:
            return None
        raise
    try:
        scope = f"workspace={there.profile}"
        found = workspaces.status(database.rows, database.actor, scope=scope, actor_id=None)
    finally:
        database.close()
    return found if found["status"] == "active" else None


# What changed since the start.


def _sections(context: Context) -> dict[str, Any]:
    found: dict[str, Any] = read(context, workspaces.sections)
    return {**found, "git_state": place.git_state(context.place)}


def _digest(section: Any) -> str:
    import hashlib
    import json

    return hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()[:16]


def _keep_baseline(context: Context, session_id: str) -> None:
    """Keep the digests of what an agent is shown now, as well as that goes."""
    import json

    try:
        digests = {name: _digest(section) for name, section in _sections(context).items()}
        run(context, KeepBaseline(context.scope, session_id, json.dumps(digests)))
    except (Stopped, OSError) as error:
        context.warn(f"failed to keep the projection baseline: {error}")


def _delta(context: Context) -> dict[str, Any]:
    try:
        digests = read(context, workspaces.baseline)
        now = _sections(context)
    except FileNotFoundError:
        digests, now = None, {}
    status = _status(context)["status"]
    if digests is None:
        return {"status": status, "baseline": False, "changed": now}
    changed = {name: section for name, section in now.items() if digests.get(name) != _digest(section)}
    return {"status": status, "baseline": True, "changed": changed}


def _shown(report: dict[str, Any]) -> list[str]:
    if "changed" not in report:
        return words.show_lines(report)
    if not report["changed"]:
        return ["Nothing changed since the session started."]
    import json

    return [f"{name}: {json.dumps(section)}" for name, section in report["changed"].items()]


VERBS = {
    "start": Verb(
        "session-state-start",
        (
            *COMMON,
            Option("--lifecycle", "A person's session, or an agent's.", choices=("interactive", "autonomous")),
            Option("--mode", "What it is for.", choices=MODES),
            Option("--owner-kind", "Which kind of agent. Default: runtime_worker.", choices=OWNER_KINDS),
            ACTOR,
            SUPERVISOR,
            LEASE,
        ),
        start,
        words.start_lines,
        "Start working here, or go on with the session that is active.",
        ("warning",),
    ),
    "heartbeat": HEARTBEAT,
    "takeover": Verb(
        "session-state-takeover",
        (
            *COMMON,
            ACTOR._replace(is_required=True),
            SUPERVISOR,
            LEASE._replace(meaning="The new lease. Default: the old one's."),
            Option("--reason", "Why; it is kept.", is_required=True),
        ),
        takeover,
        words.takeover_lines,
        "Adopt the session of an agent whose lease ran out.",
        ("prior_session_id",),
    ),
    "clear": Verb(
        "session-state-clear",
        (
            *COMMON,
            ACTOR,
            Option("--reason", "Why; it is kept."),
            Option("--force", "Clear a stale session of which nobody is left; needs --reason.", is_flag=True),
        ),
        clear,
        words.clear_lines,
        "End the session that works here.",
    ),
    "show": Verb(
        "session-state-show",
        (
            *COMMON,
            Option("--actor-id", "Tell whether a session would be in this one's way."),
            Option("--delta", "Only what changed since the session started.", is_flag=True),
        ),
        show,
        _shown,
        "Show the session that works here; changes nothing.",
    ),
}
