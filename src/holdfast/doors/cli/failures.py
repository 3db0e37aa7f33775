"""What is said when a verb fails, and the exit code that goes with it."""

import errno
import json
from enum import IntEnum

import click

from holdfast.client.api import ApiRefusal, Json, Unavailable, Unreachable
from holdfast.client.credentials import CredentialsInvalid
from holdfast.doors.cli import fields, terminal
from holdfast.doors.cli.options import KEY_SOURCE_META
from holdfast.doors.cli.ways_out import in_words
from holdfast.doors.cli.words import duration

ERRORS_SHOWN_MAX = 20


class ExitCode(IntEnum):
    """How a verb ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    CONFLICT = 4
    NO_SERVER = 5


CONFLICT_STATUSES = frozenset({408, 409, 412, 423, 425, 428, 429, 503, 507})
"""Answers that another state, another moment or another token would change."""


LISTS = {"handoffs": "handoff", "webhooks": "webhook", "alerts": "alert", "accounts": "accounts"}
"""The noun whose `list` shows the ids that there are, by where in the API they are asked for."""


class Missing(Exception):
    """What was meant cannot be found here: its text is the sentence that says so."""


def tell(failure: Exception, *, is_json: bool) -> int:
    """Say on standard error what went wrong and what can be done; the exit code.

    Raises: the failure itself, where it is none that is foreseen.
    """
    code, problem, lines = _described(failure)
    if is_json:
        click.echo(json.dumps(problem), err=True)
    else:
        for line in lines:
            terminal.echo(line, is_error=True)
    return code


def _described(failure: Exception) -> tuple[ExitCode, dict[str, Json], list[str]]:
    from holdfast.config import BadSettings
    from holdfast.maintenance.refusals import UNREACHABLE, Failed, Refused

    if isinstance(failure, ApiRefusal):
        problem = failure.problem or {"code": failure.code, "detail": failure.detail, "status": failure.status}
        return _exit_code(failure.status), problem, _refusal(failure)
    if isinstance(failure, Unavailable):
        return _plain(ExitCode.CONFLICT, "unavailable", _unavailable(failure))
    if isinstance(failure, Unreachable):
        return _plain(ExitCode.NO_SERVER, "unreachable", *_unreachable(failure))
    if isinstance(failure, CredentialsInvalid):
        return _plain(ExitCode.USAGE, "credentials_invalid", f"{failure}")
    if isinstance(failure, BadSettings):
        lines = [f"{error.name} {error.message} ({error.source})." for error in failure.errors]
        errors: list[Json] = [dict(error._asdict()) for error in failure.errors]
        return ExitCode.USAGE, {"code": "bad_settings", "detail": lines[0], "errors": errors}, lines
    if isinstance(failure, Refused):
        return _plain(ExitCode.CONFLICT if failure.is_passing else ExitCode.REFUSED, failure.code, str(failure))
    if isinstance(failure, Failed):
        code = ExitCode.NO_SERVER if failure.code == UNREACHABLE else ExitCode.FAILED
        return _plain(code, failure.code, str(failure))
    if isinstance(failure, Missing):
        return _plain(ExitCode.REFUSED, "not_found", str(failure))
    if isinstance(failure, OSError) and failure.errno != errno.EPIPE:
        return _plain(
            ExitCode.FAILED, "failed", f"{failure.strerror or failure}: {failure.filename or ''}".rstrip(": ")
        )
    raise failure


def _plain(code: ExitCode, name: str, *lines: str) -> tuple[ExitCode, dict[str, Json], list[str]]:
    return code, {"code": name, "detail": lines[0]}, list(lines)


def _exit_code(status: int) -> ExitCode:
    if status in CONFLICT_STATUSES:
        return ExitCode.CONFLICT
    return ExitCode.REFUSED if status < 500 else ExitCode.FAILED


def _unavailable(failure: Unavailable) -> str:
    when = "soon" if failure.retry_after_seconds is None else f"in {duration(max(1.0, failure.retry_after_seconds))}"
    return f"The server at {failure.url} cannot answer now: {failure.cause.rstrip('.')}. Try again {when}."


def _unreachable(failure: Unreachable) -> list[str]:
    lines = [
        f"No Holdfast server answers at {failure.url}.",
        "Start one with `make run` or `holdfast serve`, or set HOLDFAST_URL.",
    ]
    is_plain = failure.cause == "Connection refused"
    return lines if is_plain else [lines[0].removesuffix(".") + f" ({failure.cause}).", lines[1]]


def _refusal(refusal: ApiRefusal) -> list[str]:
    lines = [refusal.detail]
    errors = fields.children(refusal.problem, "errors")[:ERRORS_SHOWN_MAX]
    lines += [f"  {fields.text(error, 'field')}: {fields.text(error, 'message')}" for error in errors]
    if refusal.status == 401:
        return [*lines, *_how_to_get_a_key()]
    if refusal.code == "account_suspended":
        lines.append("An admin of the server lifts that: holdfast accounts readmit ACCOUNT_ID")
    elif refusal.status == 403 and refusal.code == "forbidden":
        lines.append("Set HOLDFAST_KEY to such a key; with an admin key, `holdfast keys create --scope …` makes one.")
    hints = in_words(fields.children(refusal.problem, "ways_out"))
    if hints:
        lines.append("What you can do:" if len(hints) > 1 else "You can:")
        lines += [f"  {hint}" for hint in hints]
    elif refusal.code == "not_found" and (noun := LISTS.get(_kind(refusal))):
        lines.append(f"`holdfast {noun} list` shows what there is.")
    elif refusal.retry_after_seconds is not None:
        lines.append(f"Try again in {duration(max(1.0, refusal.retry_after_seconds))}.")
    if refusal.status >= 500 and (request_id := fields.text(refusal.problem, "request_id")):
        lines.append(f"The request's id is {request_id}.")
    return lines


def _kind(refusal: ApiRefusal) -> str:
    """What was asked for: `handoffs` of `/v1/handoffs/ho_…`."""
    _, _, kind, *_ = [*fields.text(refusal.problem, "instance").split("/"), "", "", ""]
    return kind


def _how_to_get_a_key() -> list[str]:
    source = click.get_current_context().meta.get(KEY_SOURCE_META)
    first = f"It came from {source}." if source else "No key for this server is known here: set HOLDFAST_KEY."
    return [
        first,
        "The first start of a server prints a key, and keeps it for this user's `holdfast` on that machine;",
        "with an admin key, `holdfast keys create` makes more.",
    ]
