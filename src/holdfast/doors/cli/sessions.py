"""Verbs about one session: look at it, ask why, note progress, end it, ask it to stop, take it over."""

import json
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import click

from holdfast.domain.session import EndReason
from holdfast.doors.cli.options import connect, json_option, present, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Answer, Api, Json

F = TypeVar("F", bound=Callable[..., object])

ID_HELP = """\b
SESSION is an id as `holdfast ps` shows it, or whole, or four or more
characters of its beginning or end.
"""

SESSION_VARIABLE = "HOLDFAST_SESSION_ID"
TOKEN_VARIABLE = "HOLDFAST_FENCING_TOKEN"


def _epilog(*examples: str) -> str:
    lines = "\n".join(f"  {example}" for example in examples)
    return f"{ID_HELP}\n\b\nExamples:\n{lines}\n\n\b\nExit codes: `holdfast --help` lists them."


own_session_argument = click.argument("session", required=False, envvar=SESSION_VARIABLE)
"""A session that is by default the one inside which this runs."""

other_session_argument = click.argument("session")

token_option = click.option(
    "--token",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Its fencing token. Default: {TOKEN_VARIABLE}, for that run.",
)
reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why. It is kept, and shown to others.")


@click.command(
    "show",
    short_help="Show all that is known of a session.",
    epilog=_epilog("holdfast show 7K3QZM", "holdfast show             inside a run: its own session"),
)
@own_session_argument
@url_option
@json_option
def show_command(*, session: str | None, url: str | None, is_json: bool) -> None:
    """Show all that is known of SESSION, and its last checkpoint."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.facts import checkpoint_facts, echo_facts, session_facts

    api = connect(url)
    path = session_path(api, session)
    answer = api.request("GET", path)
    if is_json:
        _print_json(answer.body)
        return
    found, now = fields.document_of(api, answer), present(answer)
    _echo_title(found, now=now)
    facts = session_facts(found, now=now)
    if fields.number(found, "checkpoint_count"):
        page = fields.document_of(api, api.request("GET", f"{path}/checkpoints", query={"limit": "1"}))
        for checkpoint in fields.children(page, "items")[:1]:
            facts += checkpoint_facts(checkpoint, now=now)
    echo_facts(facts)


@click.command(
    "explain",
    short_help="Say why a session is in its state.",
    epilog=_epilog("holdfast explain 7K3QZM", "holdfast explain 7K3QZM --json"),
)
@own_session_argument
@url_option
@json_option
def explain_command(*, session: str | None, url: str | None, is_json: bool) -> None:
    """Say why SESSION is in its state: by which rule, from what, who said so and when."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.explanation import echo_explanation

    api = connect(url)
    answer = api.request("GET", f"{session_path(api, session)}/explain")
    if is_json:
        _print_json(answer.body)
        return
    explained = fields.document_of(api, answer)
    now = fields.at(explained, "now_at") or present(answer)
    _echo_title(fields.child(explained, "session"), now=now)
    echo_explanation(explained, now=now)


@click.command(
    "heartbeat",
    short_help="Say that a session is alive.",
    epilog=_epilog(
        "holdfast heartbeat         inside a run, which beats by itself: not needed",
        'holdfast heartbeat 7K3QZM --token 4 --activity tests --note "37 pass"',
    ),
)
@own_session_argument
@click.option("--activity", metavar="TEXT", help="What it does.")
@click.option("--note", metavar="TEXT", help="How it goes.")
@token_option
@url_option
@json_option
def heartbeat_command(
    *, session: str | None, activity: str | None, note: str | None, token: int | None, url: str | None, is_json: bool
) -> None:
    """Renew the lease of SESSION, and tell those who watch what it does."""
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.facts import when_words

    told = {"activity": activity, "status_note": note}
    body: dict[str, Json] = {name: value for name, value in told.items() if value is not None}
    api = connect(url)
    path = session_path(api, session)
    answer = _post(api, path, "heartbeat", {**body, **token_of(path, token)})
    if is_json:
        _print_json(answer.body)
        return
    renewed, now = fields.document_of(api, answer), present(answer)
    lapses = when_words(renewed, "lease_expires_at", now=now)
    until = f"; its lease lapses at {lapses}" if lapses else ""
    terminal.echo(f"{_id_of(path)} is {fields.text(renewed, 'status')}{until}.")
    if renewed.get("stop_requested") is True:
        terminal.echo(f"It is asked to stop: {fields.text(renewed, 'stop_reason')}")


@click.command(
    "checkpoint",
    short_help="Note progress, so that whoever comes next can go on.",
    epilog=_epilog(
        'holdfast checkpoint --summary "tests pass" --next "write the docs"',
        'holdfast checkpoint 7K3QZM --summary "half done" --state \'{"page": 12}\'',
    ),
)
@own_session_argument
@click.option("--summary", required=True, metavar="TEXT", help="Where the work stands.")
@click.option("--done", multiple=True, metavar="TEXT", help="Something that is done. May be repeated.")
@click.option("--next", "next_actions", multiple=True, metavar="TEXT", help="Something to do next. May be repeated.")
@click.option("--blocker", multiple=True, metavar="TEXT", help="Something that is in the way. May be repeated.")
@click.option("--state", metavar="JSON", help="Anything else that the next one needs; @FILE reads it from a file.")
@token_option
@url_option
@json_option
def checkpoint_command(
    *,
    session: str | None,
    summary: str,
    done: tuple[str, ...],
    next_actions: tuple[str, ...],
    blocker: tuple[str, ...],
    state: str | None,
    token: int | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Keep a durable note of what SESSION has done. It counts as a beat."""
    from holdfast.doors.cli import fields, terminal

    body: dict[str, Json] = {
        "summary": summary,
        "work_completed": list(done),
        "next_actions": list(next_actions),
        "blockers": list(blocker),
    }
    if state is not None:
        body["state"] = read_json(state, option="--state")
    api = connect(url)
    path = session_path(api, session)
    answer = _post(api, path, "checkpoint", {**body, **token_of(path, token)})
    if is_json:
        _print_json(answer.body)
        return
    kept = fields.document_of(api, answer)
    terminal.echo(f"Checkpoint {kept.get('number')} of {_id_of(path)} is kept.")


@click.command(
    "end",
    short_help="Say that a session's work is over.",
    epilog=_epilog("holdfast end               inside a run: its own session", "holdfast end 7K3QZM --reason manual"),
)
@own_session_argument
@click.option(
    "--reason",
    type=click.Choice([str(each) for each in EndReason]),
    metavar="REASON",
    help=f"One of {', '.join(EndReason)}. Default: completed for one's own session, manual for another's.",
)
@token_option
@url_option
@json_option
def end_command(*, session: str | None, reason: str | None, token: int | None, url: str | None, is_json: bool) -> None:
    """End SESSION: its work is over, and its scope is free."""
    api = connect(url)
    path = session_path(api, session)
    default = EndReason.COMPLETED if _is_own(path) else EndReason.MANUAL
    _answer(api, _post(api, path, "end", {"end_reason": reason or default, **token_of(path, token)}), is_json=is_json)


@click.command(
    "resume",
    short_help="Let a paused, parked or stalled session go on.",
    epilog=_epilog("holdfast resume 7K3QZM"),
)
@own_session_argument
@token_option
@url_option
@json_option
def resume_command(*, session: str | None, token: int | None, url: str | None, is_json: bool) -> None:
    """Let SESSION go on, with a full lease."""
    api = connect(url)
    path = session_path(api, session)
    _answer(api, _post(api, path, "resume", token_of(path, token)), is_json=is_json)


@click.command(
    "archive", short_help="Put the record of a finished session away.", epilog=_epilog("holdfast archive 7K3QZM")
)
@other_session_argument
@url_option
@json_option
def archive_command(*, session: str, url: str | None, is_json: bool) -> None:
    """Put the record of SESSION away; only of one that is over. Its outcome is kept."""
    api = connect(url)
    _answer(api, _post(api, session_path(api, session), "archive", {}), is_json=is_json)


@click.command(
    "fence",
    short_help="Whether a fencing token is still current.",
    epilog="""\b
Examples:
  holdfast fence && git push        inside a run: only while its session lasts
  holdfast fence --scope deploy --token 7

\b
Exit codes: 0 it is; 4 it is not; others as `holdfast --help` lists them.
""",
)
@click.option("--scope", envvar="HOLDFAST_SCOPE", metavar="TEXT", help="Default: HOLDFAST_SCOPE, inside a run.")
@click.option(
    "--token", envvar=TOKEN_VARIABLE, type=click.IntRange(min=1), metavar="N", help=f"Default: {TOKEN_VARIABLE}."
)
@url_option
@json_option
def fence_command(*, scope: str | None, token: int | None, url: str | None, is_json: bool) -> None:
    """Ask whether a token is the one under which a scope is held now.

    To be asked before anything that no database undoes: a push, a deploy, a mail.
    """
    from holdfast.doors.cli import fields, terminal

    if scope is None or token is None:
        raise click.UsageError("Name --scope and --token; inside `holdfast run` both are known.")
    api = connect(url)
    answer = api.request("GET", "/v1/fence", query={"scope": scope, "token": str(token)})
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        holder = fields.text(fields.document_of(api, answer), "session_id")
        terminal.echo(f"Token {token} is current; {holder} holds {scope}.")


@click.command(
    "stop",
    short_help="Ask a session to stop.",
    epilog=_epilog('holdfast stop 7K3QZM --reason "wrong branch"'),
)
@other_session_argument
@reason_option
@url_option
@json_option
def stop_command(*, session: str, reason: str, url: str | None, is_json: bool) -> None:
    """Ask SESSION to stop. Its next beat is told so; `holdfast run` then stops its command."""
    api = connect(url)
    _answer(api, _post(api, session_path(api, session), "stop", {"reason": reason}), is_json=is_json)


@click.command(
    "takeover",
    short_help="Take over what a session held that fell silent.",
    epilog=_epilog(
        'holdfast takeover 7K3QZM --reason "its laptop died"',
        'holdfast takeover 7K3QZM --reason "it hangs" --force      although it lives',
        'holdfast run --take-over "it died" -- claude -p "…"       for a command',
    ),
)
@other_session_argument
@reason_option
@click.option("--holder-id", metavar="TEXT", help="Who holds it from now on. Default: the key's id.")
@click.option("--force", is_flag=True, help="Although its lease is running; needs an operator's key.")
@url_option
@json_option
def takeover_command(
    *, session: str, reason: str, holder_id: str | None, force: bool, url: str | None, is_json: bool
) -> None:
    """Take over what SESSION held: a new session begins, with the next fencing token and what the old one left.

    The old one can write nothing more. The new one has to beat; the lines that this prints tell how.
    """
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.explanation import echo_acquired

    body: dict[str, Json] = {"reason": reason}
    if holder_id is not None:
        body["holder_id"] = holder_id
    if force:
        body["force"] = True
    api = connect(url)
    answer = _post(api, session_path(api, session), "takeover", body)
    if is_json:
        _print_json(answer.body)
    else:
        taken = fields.document_of(api, answer)
        old_id = fields.text(taken, "took_over_from")
        echo_acquired(taken, came_by="took over from", old_id=old_id, now=present(answer))


def session_path(api: "Api", session: str | None) -> str:
    """The session's path. Raises: click.UsageError, Missing, Unreachable, ApiRefusal."""
    from holdfast.doors.cli.pages import find_session_id

    if not session:
        raise click.UsageError(f"Name a session, as `holdfast ps` shows it; there is no {SESSION_VARIABLE} here.")
    return f"/v1/sessions/{quote(find_session_id(api, session), safe='')}"


def _id_of(path: str) -> str:
    return path.rpartition("/")[2]


def _is_own(path: str) -> bool:
    """Whether it is the session inside which this runs."""
    import os

    return _id_of(path) == quote(os.environ.get(SESSION_VARIABLE, ""), safe="")


def token_of(path: str, given: int | None) -> "dict[str, Json]":
    """The token to send: the one given, else that of the run inside which this runs, for its own session only."""
    import os

    if given is not None:
        return {"fencing_token": given}
    inherited = os.environ.get(TOKEN_VARIABLE, "")
    return {"fencing_token": int(inherited)} if _is_own(path) and inherited.isdecimal() else {}


def _post(api: "Api", path: str, verb: str, body: "dict[str, Json]") -> "Answer":
    return api.request("POST", f"{path}/{verb}", body=body, idempotency_key=secrets.token_hex(16))


def _answer(api: "Api", answer: "Answer", *, is_json: bool) -> None:
    """Print the session as it is after a verb."""
    from holdfast.doors.cli import fields

    if is_json:
        _print_json(answer.body)
    else:
        _echo_title(fields.document_of(api, answer), now=present(answer))


def _echo_title(session: "dict[str, Json]", *, now: float) -> None:
    """Which session it is, and how it is."""
    from holdfast.domain import scope as scopes
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.words import status_words

    scope = scopes.in_words(fields.text(session, "scope"))
    on_scope = f" on {scope}" if scope else ""
    terminal.echo(Span(fields.text(session, "id"), "bold"), f"  {fields.text(session, 'agent')}{on_scope}")
    terminal.echo(status_words(session, now=now))


def read_json(text: str, *, option: str) -> "Json":
    """The JSON that an option holds, or the file that it names after `@`."""
    from pathlib import Path

    try:
        content = Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
        value: Json = json.loads(content, parse_constant=_refuse_constant)
    except OSError as exc:
        raise click.BadParameter(f"cannot read {text[1:]}: {exc.strerror}", param_hint=option) from exc
    except ValueError as exc:
        raise click.BadParameter(f"is not JSON: {exc}", param_hint=option) from exc
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _print_json(body: "Json") -> None:
    click.echo(json.dumps(body, indent=2))
