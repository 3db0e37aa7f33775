"""`holdfast recover`: what broke off, what is known of it, and going on with it, by hand or by running a command."""

import json
import secrets
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from holdfast.doors.cli.options import connect, json_option, present, url_option
from holdfast.doors.cli.run import command_options, run_kept

if TYPE_CHECKING:
    from holdfast.client.api import Answer, Api, Json
    from holdfast.doors.cli.fields import Document

PAGES_MAX = 500
"""Of 200 sessions each."""

JOBS_MAX = 256

FACTS_APART = frozenset({"session", "blocked", "last_checkpoint", "last_handoff", "analysis", "now_at"})
"""What of a last known state is told in words of its own."""

EPILOG = """\b
SESSION is an id as `holdfast ps` shows it, or whole, or four or more
characters of its beginning or end.

\b
Examples:
  holdfast recover                          what there is to recover
  holdfast recover 7K3QZM --show            its last known state
  holdfast recover 7K3QZM -- claude -p "…"  go on with it by a command
  holdfast recover 7K3QZM                   go on with it by hand
  holdfast recover --all -- ./resume.sh     every one, four at a time
  holdfast recover 7K3QZM --force --reason "the cause is fixed"

\b
The command finds in its environment what `holdfast run` leaves there: its
session, its token, and a file with the last checkpoint of the work.

\b
Exit codes: `holdfast --help` lists them; with a COMMAND, that of the command.
"""


@click.command("recover", short_help="Go on with the work of sessions that broke off.", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[SESSION] [-- COMMAND...]")
@click.option("--list", "is_list", is_flag=True, help="List what there is to recover; so it does without a SESSION.")
@click.option("--show", "is_show", is_flag=True, help="Only show the last known state of SESSION.")
@click.option("--all", "is_all", is_flag=True, help="Every session that may be recovered.")
@click.option(
    "--machine", metavar="ID", help="Of those that ran on this machine; with a SESSION, where it goes on by hand."
)
@click.option("--slot", type=click.IntRange(min=0), metavar="N", help="In which slot it goes on by hand.")
@click.option("--task", metavar="ID", help="With which task it goes on by hand.")
@click.option("--agent", metavar="NAME", help="Who goes on. Default: the old session's agent.")
@click.option("--holder-id", metavar="TEXT", help="Who holds it by hand. Default: the key's id.")
@click.option("--reason", metavar="TEXT", help="Why. It is kept, and shown to others.")
@click.option("--force", is_flag=True, help="Although it lives, is quarantined or was stopped; an operator's right.")
@click.option(
    "--jobs", type=click.IntRange(1, JOBS_MAX), default=4, show_default=True, metavar="N", help="Commands at a time."
)
@command_options
@url_option
@json_option
def recover_command(
    *,
    words: tuple[str, ...],
    is_list: bool,
    is_show: bool,
    is_all: bool,
    jobs: int,
    url: str | None,
    is_json: bool,
    **options: Any,
) -> None:
    """List the sessions that broke off, show what is known of one, or go on with its work in a new session.

    The new session is on the same scope, with the next fencing token; the old one can write nothing more. After some
    recoveries of the same work (three, unless the server was told otherwise) only an operator recovers it.
    """
    session, command = (None, words) if is_all or is_list or not words else (words[0], words[1:])
    if options["force"] and options["reason"] is None:
        raise click.UsageError("--force needs a --reason.")
    if command and (is_list or is_show or is_json):
        raise click.UsageError("A COMMAND runs in a recovered session; it goes with neither --list, --show nor --json.")
    if session is None and is_all and command:
        _run_all(connect(url), command, jobs=jobs, url=url, options=options)
    elif session is None and is_all:
        _recover_all(connect(url), options, is_json=is_json)
    elif session is None:
        _list(connect(url), _filters(options), is_json=is_json)
    elif is_show:
        _show(connect(url), session, is_json=is_json)
    elif command:
        _run(connect(url), session, command, url=url, options=options)
    else:
        _recover(connect(url), session, options, is_json=is_json)


def _filters(options: "dict[str, Any]") -> dict[str, str]:
    given = {"machine_id": options["machine"], "agent": options["agent"]}
    return {name: value for name, value in given.items() if value is not None}


def _recoverable(api: "Api", filters: dict[str, str]) -> "list[dict[str, Json]]":
    from holdfast.doors.cli.pages import every_item

    return list(every_item(api, "/v1/sessions", {"recoverable": "true", **filters}, pages_max=PAGES_MAX))


def _list(api: "Api", filters: dict[str, str], *, is_json: bool) -> None:
    from holdfast.doors.cli import terminal

    now = present(api.request("GET", "/v1/sessions", query={"limit": "1"}))
    found = _recoverable(api, filters)
    if is_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        terminal.echo_lines(_table(found, now=now))
    else:
        terminal.echo("Nothing is to be recovered.", is_error=not terminal.is_terminal())


def _table(found: "Sequence[Document]", *, now: float) -> "list[Any]":
    from holdfast.domain import scope as scopes
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import place_words, short_ids, status_words, value_words

    columns = [
        Column("ID"),
        Column("AGENT", comfort=14, least=8, most=24),
        Column("SCOPE", comfort=22, least=12, most=60, cut="start"),
        Column("STATUS", comfort=37, least=24),
        Column("TRIED"),
        Column("WHERE", comfort=16, most=32, drop=1),
        Column("BLOCKED", comfort=24, least=12),
    ]
    names = short_ids(fields.text(each, "id") for each in found)
    rows = [
        [
            Span(names[fields.text(each, "id")], "bold"),
            Span(fields.text(each, "agent")),
            Span(scopes.in_words(fields.text(each, "scope"))),
            status_words(each, now=now),
            Span(value_words(each.get("recovery_attempts"))),
            Span(place_words(each), "dim"),
            Span(fields.text(fields.child(each, "blocked"), "code").replace("_", " "), "yellow"),
        ]
        for each in found
    ]
    return render(columns, rows, width=terminal.width())


def _show(api: "Api", session: str, *, is_json: bool) -> None:
    from holdfast.domain import scope as scopes
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.facts import checkpoint_facts, echo_facts
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.words import duration, status_words, value_words

    answer = api.request("GET", f"{_path(api, session)}/recovery")
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
        return
    known = fields.document_of(api, answer)
    old, analysis = fields.child(known, "session"), fields.child(known, "analysis")
    now = fields.at(known, "now_at") or present(answer)
    scope = scopes.in_words(fields.text(old, "scope"))
    on_scope = f" on {scope}" if scope else ""
    terminal.echo(Span(fields.text(old, "id"), "bold"), f"  {fields.text(old, 'agent')}{on_scope}")
    terminal.echo(status_words(old, now=now))
    advice = fields.child(analysis, "recommended")
    facts = [
        ("do", ": ".join(filter(None, (fields.text(advice, "step"), fields.text(advice, "why"))))),
        ("see", fields.text(advice, "session_id")),
        ("blocked", fields.text(fields.child(known, "blocked"), "detail")),
        ("silent", f"for {duration(fields.number(analysis, 'silent_seconds') or 0)}"),
    ]
    plain = {name: value for name, value in known.items() if name not in FACTS_APART}
    facts += [(name.replace("_", " "), value_words(value)) for name, value in plain.items()]
    checkpoint, handoff = fields.child(known, "last_checkpoint"), fields.child(known, "last_handoff")
    facts.append(("handoff", fields.text(handoff, "summary") or fields.text(handoff, "id")))
    echo_facts([*facts, *(checkpoint_facts(checkpoint, now=now) if checkpoint else [])])


def _recover(api: "Api", session: str, options: "dict[str, Any]", *, is_json: bool) -> None:
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.explanation import echo_acquired

    answer = _ask(api, _path(api, session), options)
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
        return
    new = fields.document_of(api, answer)
    echo_acquired(new, came_by="goes on with", old_id=fields.text(new, "recovered_from"), now=present(answer))


def _recover_all(api: "Api", options: "dict[str, Any]", *, is_json: bool) -> None:
    """Recover one after the other; whatever somebody else was quicker with is told, and does not stop the others."""
    from holdfast.client.api import ApiRefusal
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.failures import ExitCode

    outcomes: list[dict[str, Json]] = []
    for old in _free(api, options):
        old_id = fields.text(old, "id")
        try:
            # Each stays on its machine: naming one has chosen among the sessions.
            new = _ask(api, _path_of(old_id), options | {"machine": None}).body
            outcomes.append({"session_id": old_id, "recovered": new})
        except ApiRefusal as refusal:
            outcomes.append({"session_id": old_id, "problem": dict(refusal.problem)})
    if is_json:
        click.echo(json.dumps(outcomes, indent=2))
    elif not outcomes:
        terminal.echo("Nothing is to be recovered.", is_error=not terminal.is_terminal())
    for each in outcomes if not is_json else ():
        new = fields.child(each, "recovered")
        told = f"{fields.text(new, 'id')}  token {fields.number(new, 'fencing_token')}"
        told = told if new else fields.text(fields.child(each, "problem"), "detail")
        terminal.echo(f"{fields.text(each, 'session_id')}  →  {told}")
    if any("problem" in each for each in outcomes):
        raise SystemExit(ExitCode.CONFLICT)


def _run(api: "Api", session: str, command: tuple[str, ...], *, url: str | None, options: "dict[str, Any]") -> None:
    from holdfast.doors.cli.pages import find_session_id
    from holdfast.runner.session import Recovery

    for name in ("machine", "slot", "task", "holder_id"):
        if options[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} is for going on by hand; a command goes on from here.")
    recovery = Recovery(find_session_id(api, session), options["agent"], options["reason"], options["force"])
    api.close()
    run_kept(
        command,
        url=url,
        agent=options["agent"],
        scope=None,
        is_exclusive=False,
        take_over_reason=None,
        recovery=recovery,
        **_kept(options),
    )


def _run_all(api: "Api", command: tuple[str, ...], *, jobs: int, url: str | None, options: "dict[str, Any]") -> None:
    """Have a process of its own run the command for each session; end as the first that failed."""
    import subprocess
    from concurrent.futures import ThreadPoolExecutor

    from holdfast.doors.cli import fields, terminal

    words: list[str] = []
    given = _kept(options) | {name: options[name] for name in ("agent", "reason", "force")} | {"url": url}
    for name, value in given.items():
        flag = f"--{name.removeprefix('is_').replace('_', '-')}"
        words += [flag] if value is True else [] if value in (None, False) else [flag, str(value)]

    def run_one(session_id: str) -> int:
        argv = [sys.executable, "-m", "holdfast", "recover", *words, session_id, "--", *command]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode

    ids = [fields.text(each, "id") for each in _free(api, options)]
    with ThreadPoolExecutor(jobs) as threads:
        codes = list(threads.map(run_one, ids))
    failed = [code for code in codes if code]
    terminal.echo(f"{len(codes)} recovered, {len(failed)} failed.", is_error=True)
    if failed:
        raise SystemExit(failed[0] if failed[0] > 0 else 128 - failed[0])


def _kept(options: "dict[str, Any]") -> "dict[str, Any]":
    """How the command is kept."""
    names = ("is_strict", "restart", "heartbeat_interval", "lease", "stop_grace", "leave_background")
    return {name: options[name] for name in names}


def _free(api: "Api", options: "dict[str, Any]") -> "list[dict[str, Json]]":
    """The sessions that may be recovered; forced, also those of which only an operator may decide."""
    filters = _filters(options) if options["agent"] is None else _filters(options | {"agent": None})
    return [each for each in _recoverable(api, filters) if options["force"] or not each.get("blocked")]


def _ask(api: "Api", path: str, options: "dict[str, Any]") -> "Answer":
    names = {
        "agent": "agent",
        "holder_id": "holder_id",
        "reason": "reason",
        "machine": "machine_id",
        "slot": "slot",
        "task": "resume_from_task_id",
    }
    body: dict[str, Json] = {told: options[name] for name, told in names.items() if options[name] is not None}
    if options["force"]:
        body["force"] = True
    return api.request("POST", f"{path}/recover", body=body, idempotency_key=secrets.token_hex(16))


def _path(api: "Api", session: str) -> str:
    from holdfast.doors.cli.pages import find_session_id

    return _path_of(find_session_id(api, session))


def _path_of(session_id: str) -> str:
    return f"/v1/sessions/{quote(session_id, safe='')}"
