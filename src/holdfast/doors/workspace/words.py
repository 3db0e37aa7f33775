"""What a command of a workspace prints: its report, as JSON or in the words of the seed, and what stands in its way."""

from typing import Any

from holdfast.domain.errors import SENTENCES, Code, Refusal
from holdfast.doors.shown import shown

DONE, FAILED, USAGE, REFUSED, CONFLICT = 0, 1, 2, 3, 4

EXIT_CODES: dict[Code, int] = {
    Code.ACTIVITY_TOO_LONG: USAGE,
    Code.VALIDATION_FAILED: USAGE,
    Code.WORKSPACE_CHANGED: CONFLICT,
    Code.LEASE_HELD: CONFLICT,
    Code.SCOPE_LAPSED: CONFLICT,
    Code.BUSY: CONFLICT,
    Code.OVERLOADED: CONFLICT,
    Code.RATE_LIMITED: CONFLICT,
    Code.UNAVAILABLE: CONFLICT,
    Code.OUTCOME_UNKNOWN: CONFLICT,
    Code.STORAGE_FULL: FAILED,
    Code.INTERNAL: FAILED,
}
"""By code, where it is not simply refused."""

_TAKE_OVER = "run `holdfast session-state takeover --actor-id <actor-id> --reason <reason>`"
_CLEAR = "run `holdfast session-state clear --actor-id <actor-id>` as its owner or supervisor"
_FORCE = "run `holdfast session-state clear --force --reason <reason>`"
_START = "run `holdfast session-state start`"
_RESTART = "run `holdfast session-state start --lifecycle autonomous --actor-id <actor-id> --lease-seconds <seconds>`"
_LEASE = " --lease-seconds <seconds>`"

MAKE_WRITABLE = "make `{path}` writable for whoever runs this: beside a database SQLite writes even to read it"
MAKE_ROOM = "the disk is full: make room, then try again"

SUGGESTIONS: dict[Code, str] = {
    Code.WORKSPACE_OWNED: f"wait until its lease ends, or {_CLEAR}",
    Code.WORKSPACE_OWNED_AUTONOMOUS: f"wait until its lease ends, or {_CLEAR}",
    Code.WORKSPACE_OWNED_INTERACTIVE: "run `holdfast session-state clear`, then start again",
    Code.WORKSPACE_STALE_OWNED: f"{_TAKE_OVER[:-1]}{_LEASE}, or {_FORCE}",
    Code.WORKSPACE_STALE_AUTONOMOUS: f"{_CLEAR}, or {_FORCE}, then start again",
    Code.WORKSPACE_EMPTY: _START,
    Code.WORKSPACE_STALE: f"{_RESTART} with the same actor",
    Code.WORKSPACE_STALE_INTERACTIVE: _START,
    Code.WORKSPACE_CHANGED: "run `holdfast session-state show`, then decide again",
    Code.WORKSPACE_FULL: "resolve some first",
    Code.HEARTBEAT_NOT_AUTONOMOUS: "leave `--actor-id` out: a person works here",
    Code.HEARTBEAT_NOT_OWNER: "run `holdfast session-state show`; only its owner renews a lease",
    Code.HEARTBEAT_WITHOUT_SESSION: f"{_RESTART} with the same actor, or {_FORCE}",
    Code.TAKEOVER_OF_NOTHING: _RESTART,
    Code.TAKEOVER_OF_INTERACTIVE: "run `holdfast session-state clear`, then start",
    Code.TAKEOVER_TOO_EARLY: f"wait until its lease ends, or {_CLEAR}",
    Code.TAKEOVER_OF_OWN: _RESTART,
    Code.TAKEOVER_WITHOUT_LEASE: f"{_TAKE_OVER[:-1]}{_LEASE}",
    Code.CLEAR_WITHOUT_ACTOR: _CLEAR,
    Code.CLEAR_STALE_WITHOUT_ACTOR: f"{_CLEAR}, or {_FORCE}",
    Code.CLEAR_OF_STALE: f"{_TAKE_OVER}, or {_FORCE}",
    Code.CLEAR_OF_STALE_WITHOUT_LEASE: f"{_TAKE_OVER[:-1]}{_LEASE}, or {_FORCE}",
    Code.CLEAR_OF_ACTIVE: f"wait until its lease ends, or {_CLEAR}",
    Code.CLEAR_OF_AHEAD: f"{_CLEAR}, or {_FORCE}",
    Code.BUSY: "try again",
    Code.UNAVAILABLE: "try again",
    Code.OUTCOME_UNKNOWN: "run `holdfast session-state show`",
    Code.STORAGE_FULL: MAKE_ROOM,
}
"""What works where a code is answered; with placeholders, never with what somebody called themselves."""


MOVE_AWAY = "move `{path}` away, and `{path}-wal` if it is there; then run `holdfast session-state start`"
"""What a person does about a database that is broken. Its tokens are lost: the next one is 1 again."""


class Stopped(Exception):
    """A command was not carried out. code: for programs. exit_code: of the process."""

    def __init__(self, exit_code: int, code: str, text: str, suggestion: str | None = None) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.code = code
        self.suggestion = suggestion


def stopped_by(refusal: Refusal) -> Stopped:
    """A refusal of the core in this door's words."""
    code = refusal.code
    if code == Code.INTERNAL:
        return Stopped(FAILED, code.value, "something failed that should not; nothing was written")
    sentence = SENTENCES[code].format_map(
        {name: shown(value) if isinstance(value, str) else value for name, value in _told(refusal).items()}
    )
    for error in refusal.errors:
        sentence += f" {error.field}: {shown(error.message)}."
    return Stopped(EXIT_CODES.get(code, REFUSED), code.value, sentence, SUGGESTIONS.get(code))


class _Told(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"


def _told(refusal: Refusal) -> dict[str, Any]:
    return _Told(refusal.data)


def print_json(report: dict[str, Any]) -> None:
    """A report on one line; in plain ASCII, so that nothing in it steers a terminal."""
    import json

    print(json.dumps(report))


def without_absent(report: dict[str, Any], *, keeps: tuple[str, ...] = ()) -> dict[str, Any]:
    """A report without what there is not, except for what is always there."""
    return {name: value for name, value in report.items() if value is not None or name in keeps}


def rust_bool(value: object) -> str:
    """`true` or `false`, as the reports have always said it."""
    return "true" if value else "false"


def start_lines(report: dict[str, Any]) -> list[str]:
    """What start says."""
    lines = [] if report["warning"] is None else [f"Warning: {report['warning']}"]
    lines.append(
        f"Session state: mode={report['mode']} start_count={report['start_count']} "
        f"started_at={report['started_at_epoch_s']} reset={rust_bool(report['reset'])}"
    )
    return lines


def start_warning(report: dict[str, Any], *, profile: str) -> str | None:
    """What start warns of where it went on with a session."""
    if not report["refreshed"]:
        return None
    if report["lifecycle"] == "interactive":
        return f"active session already exists for profile `{profile}` in this clone; incrementing start_count"
    return (
        f"active autonomous session owned by `{shown(report['actor_id'])}` already exists for profile `{profile}` in "
        "this workspace; refreshing lease and incrementing start_count"
    )


def heartbeat_lines(report: dict[str, Any]) -> list[str]:
    """What heartbeat says."""
    expires = report.get("lease_expires_at_epoch_s")
    lease = "" if expires is None else f", lease_expires_at={expires}"
    actor, session = shown(report["actor_id"]), shown(report["session_id"])
    return [f"Heartbeat recorded for `{actor}` on session `{session}` (revision={report['revision']}{lease})."]


def takeover_lines(report: dict[str, Any]) -> list[str]:
    """What takeover says."""
    actor, prior, path = shown(report["actor_id"]), shown(report["prior_actor_id"]), shown(report["path"])
    return [f"Session takeover recorded: `{actor}` replaced `{prior}` on `{path}` (revision={report['revision']})."]


def clear_lines(report: dict[str, Any]) -> list[str]:
    """What clear says."""
    if report["cleared"]:
        return [f"Cleared session state at {shown(report['path'])}"]
    return [f"No session state found at {shown(report['path'])}"]


def show_lines(report: dict[str, Any]) -> list[str]:
    """What show says: one line first, then what is known."""
    status = report["status"]
    if status == "missing":
        lines = [f"No session state found at {shown(report['path'])}"]
    else:
        session = shown(report.get("session_id") or "none")
        counts = f"start_count={report['start_count']} started_at={report['started_at_epoch_s']}"
        lines = [f"Session state: {status} session_id={session} mode={report['mode']} {counts}"]
        names = (
            "lifecycle",
            "owner_kind",
            "actor_id",
            "supervisor_id",
            "lease_ttl_secs",
            "last_heartbeat_at_epoch_s",
            "lease_expires_at_epoch_s",
            "revision",
            "current_activity",
            "ownership_conflict",
        )
        for name in names:
            value = report.get(name)
            if value is not None:
                text = rust_bool(value) if isinstance(value, bool) else shown(str(value))
                lines.append(f"  {name}: {text}")
    for note in report.get("notes", ()):
        lines.append(f"Note: {note}")
    return lines
