"""What a person can type next: every way out that the server names, as a command of this program."""

import shlex
from collections.abc import Callable, Iterable
from typing import NamedTuple

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
    return _run(way, '--take-over "WHY"')._replace(remark="once it is silent") if has_identity else _run(way)


HINTS: dict[Action, Callable[[Way], Hint]] = {
    Action.READ: _on_session("show"),
    Action.EXPLAIN: _on_session("explain", remark="why it is as it is"),
    Action.START: _start,
    Action.START_TAKING_OVER: lambda way: _run(way, '--take-over "WHY"'),
    Action.TAKE_OVER: _on_session("takeover", '--reason "WHY"'),
    Action.FORCE_TAKE_OVER: _on_session("takeover", '--reason "WHY" --force', remark="with an operator's key"),
    Action.RESUME: _on_session("resume"),
    Action.END: _on_session("end"),
    Action.ARCHIVE: _on_session("archive"),
    Action.REPEAT_WITH_TOKEN: _say("The same again with --token N, the fencing token that its start printed."),
    Action.REPEAT_WITH_REVISION: _on_session("show", remark="somebody changed it; look, then try again"),
    Action.REPEAT_WITH_NEW_KEY: _say("The same again: every call has a new idempotency key."),
    Action.REPEAT_LATER: _say("The same again, later."),
    Action.REPEAT_FROM_START: _say("The same again, from the start of the list; events: holdfast events --after start"),
    Action.CREATE_KEY: lambda _: Hint("holdfast keys create", "with an admin key"),
    Action.ENABLE_WEBHOOK: _say("Enable it first: holdfast webhook enable ID."),
    Action.READ_WEBHOOKS: lambda _: Hint("holdfast webhook list", "find it, and rotate its secret"),
    Action.READ_ACCOUNTS: lambda _: Hint("holdfast accounts list", "with an admin key"),
    Action.FREE_SPACE: _say("Make room on the server's disk."),
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
