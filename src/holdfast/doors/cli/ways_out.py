"""What a person can type next: every way out that the server names, as a command of this program."""

import shlex
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote

from holdfast.client.api import Json
from holdfast.domain.errors import Action
from holdfast.doors.cli import fields

Way = dict[str, Json]

WAYS_SHOWN_MAX = 6


class Hint(NamedTuple):
    """A command to type, and what has to be said about it; without a command, only that."""

    command: str
    remark: str = ""


def _on_session(verb: str, *options: str, remark: str = "") -> Callable[[Way], Hint]:
    def hint(way: Way) -> Hint:
        return Hint(" ".join(["holdfast", verb, shlex.quote(_session_id(way) or "ID"), *options]), remark)

    return hint


def _on_machine(verb: str, remark: str) -> Callable[[Way], Hint]:
    def hint(way: Way) -> Hint:
        machine_id = unquote(fields.text(way, "path").rpartition("/")[2])
        return Hint(f"holdfast machine {verb} {shlex.quote(machine_id)}", remark)

    return hint


def _on_target(verb: str, *options: str) -> Callable[[Way], Hint]:
    """A verb on the task or project in the path of the request that a way out suggests."""

    def hint(way: Way) -> Hint:
        parts = fields.text(way, "path").split("/")
        target = unquote(parts[3]) if len(parts) > 3 and parts[3] else "ID"
        return Hint(" ".join(["holdfast", verb, shlex.quote(target), *options]))

    return hint


def _claim(way: Way) -> Hint:
    project = fields.text(fields.child(way, "body"), "project_id")
    return Hint(f"holdfast task claim --project {shlex.quote(project)}" if project else "holdfast task claim")


def _say(remark: str) -> Callable[[Way], Hint]:
    return lambda _: Hint("", remark)


def _run(way: Way, *options: str) -> Hint:
    identity = fields.child(way, "identity") or fields.child(way, "body")
    named: list[str] = []
    for name in ("agent", "scope"):
        if (value := fields.text(identity, name)) not in ("", "…"):
            named += [f"--{name}", shlex.quote(value)]
    return Hint(" ".join(["holdfast run", *named, *options, "-- COMMAND"]))


def _start(way: Way) -> Hint:
    has_identity = bool(fields.child(way, "identity") or fields.text(fields.child(way, "body"), "holder_id"))
    # A run is always a new holder, so where only the old one may go on, it has to take over.
    return _run(way, '--take-over "WHY"')._replace(remark="unless it is alive") if has_identity else _run(way)


HINTS: dict[Action, Callable[[Way], Hint]] = {
    Action.READ: _on_session("show"),
    Action.READ_HANDOFF: _on_target("handoff show"),
    Action.REGISTER_VERSION: _say("The same again as another version."),
    Action.EXPLAIN: _on_session("explain", remark="why it is as it is"),
    Action.START: _start,
    Action.START_TAKING_OVER: lambda way: _run(way, '--take-over "WHY"'),
    Action.TAKE_OVER: _on_session("takeover", '--reason "WHY"'),
    Action.FORCE_TAKE_OVER: _on_session("takeover", '--reason "WHY" --force', remark="with an operator's key"),
    Action.RECOVER: _on_session("recover", remark="add -- COMMAND to run one"),
    Action.FORCE_RECOVER: _on_session("recover", '--reason "WHY" --force', remark="with an operator's key"),
    Action.RESUME: _on_session("resume"),
    Action.END: _on_session("end"),
    Action.ARCHIVE: _on_session("archive"),
    Action.REPEAT_WITH_TOKEN: _say(
        "The same again with --token N, its fencing token; a run has it as HOLDFAST_FENCING_TOKEN."
    ),
    Action.REPEAT_WITH_REVISION: _say("Somebody changed it; look, then try again."),
    Action.REPEAT_WITH_NEW_KEY: _say("The same again: every call has a new idempotency key."),
    Action.REPEAT_LATER: _say("The same again, later."),
    Action.REPEAT_FROM_START: _say("The same again, from the start of the list; events: holdfast events --after start"),
    Action.CREATE_KEY: lambda _: Hint("holdfast keys create", "with an admin key"),
    Action.ENABLE_WEBHOOK: _on_target("webhook enable"),
    Action.READ_WEBHOOKS: lambda _: Hint("holdfast webhook list", "find it, and rotate its secret"),
    Action.READ_ACCOUNTS: lambda _: Hint("holdfast accounts list", "with an admin key"),
    Action.REGISTER_MACHINE: lambda _: Hint("holdfast machine up --slots 4", "on the machine itself"),
    Action.READ_MACHINE: _on_machine("show", "who is in its slots"),
    Action.READ_AVAILABLE_MACHINES: lambda _: Hint("holdfast machine list --available", "where there is room"),
    Action.BRING_ONLINE: _on_machine("online", "ends its maintenance"),
    Action.REPEAT_WITH_ANY_SLOT: _say("The same again without --slot."),
    Action.REPEAT_WITHOUT_MACHINE: _say("The same again with --no-slot."),
    Action.FREE_SPACE: _say("Make room on the server's disk."),
    Action.READ_PROJECT: _on_target("project show"),
    Action.CHANGE_PROJECT: _on_target("project change", "--name NAME"),
    Action.LIST_PROJECTS: lambda _: Hint("holdfast project list"),
    Action.CREATE_PROJECT: lambda _: Hint("holdfast project add NAME"),
    Action.READ_TASK: _on_target("task show"),
    Action.LIST_TASKS: lambda _: Hint("holdfast task list"),
    Action.LIST_HELD_TASKS: lambda way: Hint(f"holdfast task list --session {shlex.quote(_session_id(way) or 'ID')}"),
    Action.CLAIM_TASK: _claim,
    Action.START_TASK: _on_target("task start"),
    Action.COMPLETE_TASK: _on_target("task done"),
    Action.FAIL_TASK: _on_target("task fail", '--error "WHY"'),
    Action.BLOCK_TASK: _on_target("task block", '--reason "WHY"'),
    Action.RELEASE_TASK: _on_target("task release"),
    Action.CHANGE_DEPENDENCIES: _on_target("task change", "--no-depends-on"),
}
"""For every way out that there is. A test holds it complete."""


def in_words(ways: Iterable[Way]) -> list[str]:
    """A line for each way out that this program knows, in the server's order."""
    lines: list[str] = []
    for way in ways:
        try:
            hint = HINTS[Action(fields.text(way, "action"))](way)
        except ValueError:
            continue
        line = _line(hint, after=fields.text(way, "after_at"))
        if line not in lines:
            lines.append(line)
    return lines[:WAYS_SHOWN_MAX]


def _line(hint: Hint, *, after: str) -> str:
    remarks = [hint.remark] if hint.remark else []
    if after:
        remarks.append(f"from {after} on")
    if not hint.command:
        return ", ".join(remarks)
    return f"{hint.command}   ({', '.join(remarks)})" if remarks else hint.command


def _session_id(way: Way) -> str:
    """The session that a way out concerns: named, or in the path of the request that it suggests."""
    parts = fields.text(way, "path").split("/")
    in_path = parts[3] if parts[:3] == ["", "v1", "sessions"] and len(parts) > 3 else ""
    return fields.text(way, "session_id") or in_path
