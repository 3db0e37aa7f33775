"""`holdfast handoff …`: leave word for whoever goes on, find what was left, take it up, give it back."""

import json
import secrets
from typing import TYPE_CHECKING

import click

from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, present, url_option
from holdfast.doors.cli.sessions import SESSION_VARIABLE, read_json, session_path, token_of, token_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast.client.api import Api, Json

    Document = dict[str, Json]

PAGES_MAX = 1_000

INPUT_BYTES_MAX = 4 * 1024 * 1024
"""As much as the server takes in one request."""

EPILOG = """\b
Examples:
  holdfast handoff create --summary "parser done" --next "write the lexer"
  holdfast handoff create --file handoff.json --end     and end the session
  git log -3 --format=%s | holdfast handoff create --file -
  holdfast handoff latest --repo o/r
  holdfast handoff list --to codex-1 --status open
  holdfast handoff show ho_01JAB…
  holdfast handoff ack ho_01JAB… --note "I take it from here"
  holdfast handoff done ho_01JAB…
  holdfast handoff return ho_01JAB… --note "not my part of the code"
  holdfast handoff withdraw ho_01JAB…
"""


@click.group("handoff", cls=Noun, short_help="Leave word for whoever goes on, and find what was left.", epilog=EPILOG)
def handoff_command() -> None:
    """Leave word for whoever goes on, find what was left, take it up, give it back.

    Where a session breaks off without a handoff, the server drafts one of what it
    knows; `auto` marks it.
    """


@handoff_command.command("create", short_help="Leave a handoff.")
@click.option(
    "--session", envvar=SESSION_VARIABLE, metavar="SESSION", help=f"Whose it is. Default: {SESSION_VARIABLE}."
)
@click.option("--summary", metavar="TEXT", help="Where the work stands.")
@click.option("--label", metavar="TEXT", help="Its state in a word or two, such as blocked.")
@click.option("--done", multiple=True, metavar="TEXT", help="Something that is done. May be repeated.")
@click.option("--next", "next_actions", multiple=True, metavar="TEXT", help="Something to do next. May be repeated.")
@click.option("--blocker", multiple=True, metavar="TEXT", help="Something that is in the way. May be repeated.")
@click.option("--to", "to_agent", metavar="AGENT", help="Whom it is for: an agent, or the beginning of a name and *.")
@click.option("--issue", "issue_number", type=click.IntRange(min=1), metavar="N", help="The issue that it is about.")
@click.option("--schema", metavar="NAME/VERSION", help="A registered schema that its payload has to fit.")
@click.option("--payload", metavar="JSON", help="Anything else; @FILE reads it from a file.")
@click.option(
    "--file",
    "file_name",
    metavar="FILE",
    help="A handoff as a JSON object, or its summary as text; - reads standard input. Options add to it.",
)
@click.option("--end", "ends", is_flag=True, help="End the session with it, in one step.")
@token_option
@url_option
@json_option
def create_command(
    *,
    session: str | None,
    summary: str | None,
    label: str | None,
    done: tuple[str, ...],
    next_actions: tuple[str, ...],
    blocker: tuple[str, ...],
    to_agent: str | None,
    issue_number: int | None,
    schema: str | None,
    payload: str | None,
    file_name: str | None,
    ends: bool,
    token: int | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Leave a handoff; the session goes on, unless --end is given. Said again, it is kept once."""
    from holdfast.doors.cli import fields, terminal

    said: dict[str, Json] = {} if file_name is None else _read_handoff(file_name)
    given: dict[str, Json] = {
        "summary": summary,
        "status_label": label,
        "work_completed": list(done) or None,
        "next_actions": list(next_actions) or None,
        "blockers": list(blocker) or None,
        "to_agent": to_agent,
        "issue_number": issue_number,
        "schema": schema,
        "payload": None if payload is None else read_json(payload, option="--payload"),
    }
    said |= {name: value for name, value in given.items() if value is not None}
    if not said.get("summary"):
        raise click.UsageError("Say where the work stands: with --summary TEXT, or with --file FILE.")
    api = connect(url)
    path = session_path(api, session)
    session_id, fenced = path.rpartition("/")[2], token_of(path, token)
    if ends:
        kept = _post(api, f"{path}/end", {"handoff": said, **fenced})
        handoff_id = fields.text(kept, "handoff_id")
    else:
        kept = _post(api, "/v1/handoffs", {**said, "session_id": session_id, **fenced})
        handoff_id = fields.text(kept, "id")
    if is_json:
        click.echo(json.dumps(kept, indent=2))
        return
    goes_on = "is over" if ends else "goes on"
    terminal.echo(f"Handoff {handoff_id} of {session_id} is kept; the session {goes_on}.")
    redactions = fields.number(kept, "redactions")
    if redactions:
        terminal.echo(f"What looked like a secret was taken out of it, {redactions:g} times.", is_error=True)


def _filters(function: "Callable[..., None]") -> "Callable[..., None]":
    """Options that narrow a search."""
    for option in (
        click.option("--session", metavar="SESSION", help="Of this session: its id, or characters of its end."),
        click.option("--issue", "issue_number", type=click.IntRange(min=1), metavar="N", help="About this issue."),
        click.option("--label", metavar="TEXT", help="With this label."),
        click.option("--status", metavar="STATUS", help="open, acknowledged, done, returned, superseded …"),
        click.option("--from", "from_agent", metavar="AGENT", help="By this agent."),
        click.option("--to", "to_agent", metavar="AGENT", help="For this agent, by name or by pattern."),
        click.option("--track", metavar="TEXT", help="About this track."),
        click.option("--repo", metavar="TEXT", help="About this repository."),
        click.option("--venture", metavar="TEXT", help="About this venture."),
    ):
        function = option(function)
    return function


@handoff_command.command("latest", short_help="Show what was left last.")
@_filters
@url_option
@json_option
def latest_command(*, url: str | None, is_json: bool, **filters: str | int | None) -> None:
    """Show the newest handoff that the options let through. Exit code 1: there is none."""
    from holdfast.doors.cli import fields

    api = connect(url)
    answer = api.request("GET", "/v1/handoffs/latest", query=_query(api, filters))
    found = fields.child(fields.document_of(api, answer), "handoff")
    if is_json:
        click.echo(json.dumps(found or None, indent=2))
    elif found:
        _echo(found, now=present(answer))
    else:
        click.echo("There is none.", err=True)
    if not found:
        raise click.exceptions.Exit(1)


@handoff_command.command("list", short_help="List handoffs, newest first.")
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="How many.")
@url_option
@json_option
def list_command(*, limit: int, url: str | None, is_json: bool, **filters: str | int | None) -> None:
    """List handoffs, newest first."""
    from itertools import islice

    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item

    def row(handoff: Item) -> list[Span]:
        names = ("id", "created_at", "status", "from_agent", "to_agent", "status_label")
        summary = fields.text(handoff, "summary").partition("\n")[0]
        auto = "(auto) " if handoff.get("auto") is True else ""
        return [*[Span(fields.text(handoff, name)) for name in names], Span(auto + summary)]

    columns = [Column("HANDOFF"), Column("AT", drop=2), Column("STATUS"), Column("FROM"), Column("TO", drop=3)]
    columns += [Column("LABEL", drop=1), Column("SUMMARY", comfort=20)]
    api = connect(url)
    query = {**_query(api, filters), "fields": "summary"}
    listed = islice(every_item(api, "/v1/handoffs", query, pages_max=PAGES_MAX), limit)
    echo_list(listed, columns, row, is_json=is_json, nothing="No handoff is like that.")


@handoff_command.command("show", short_help="Show all that a handoff says.")
@click.argument("handoff_id")
@url_option
@json_option
def show_command(*, handoff_id: str, url: str | None, is_json: bool) -> None:
    """Show all that the handoff HANDOFF_ID says, and what became of it."""
    from holdfast.doors.cli import fields

    api = connect(url)
    answer = api.request("GET", _path(handoff_id))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        _echo(fields.document_of(api, answer), now=present(answer))


def _status_command(name: str, status: str, short_help: str, about: str) -> None:
    """Add a verb that brings a handoff to a status."""

    @handoff_command.command(name, short_help=short_help, help=about)
    @click.argument("handoff_id")
    @click.option("--note", metavar="TEXT", help="Why, or how. It is kept, and shown to others.")
    @url_option
    @json_option
    def command(*, handoff_id: str, note: str | None, url: str | None, is_json: bool) -> None:
        from holdfast.doors.cli import fields, terminal

        body: dict[str, Json] = {"status": status}
        if note is not None:
            body["note"] = note
        changed = _post(connect(url), f"{_path(handoff_id)}/status", body)
        if is_json:
            click.echo(json.dumps(changed, indent=2))
        else:
            terminal.echo(f"Handoff {fields.text(changed, 'id')} is {fields.text(changed, 'status')}.")


_status_command(
    "ack", "acknowledged", "Take a handoff up.", "Say that the handoff HANDOFF_ID was read and is taken up."
)
_status_command("done", "done", "Say that a handoff was seen to.", "Say that what the handoff HANDOFF_ID asks is done.")
_status_command("return", "returned", "Give a handoff back.", "Give the handoff HANDOFF_ID back: say why with --note.")
_status_command(
    "withdraw", "withdrawn", "Take a handoff back.", "Take back HANDOFF_ID, of one's own key; an operator may any."
)


def _path(handoff_id: str) -> str:
    from urllib.parse import quote

    return f"/v1/handoffs/{quote(handoff_id.strip(), safe='')}"


def _post(api: "Api", path: str, body: "Mapping[str, Json]") -> "Document":
    from holdfast.doors.cli import fields

    return fields.document_of(api, api.request("POST", path, body=dict(body), idempotency_key=secrets.token_hex(16)))


def _query(api: "Api", filters: "Mapping[str, str | int | None]") -> dict[str, str]:
    from holdfast.doors.cli.pages import find_session_id

    query = {name: str(value) for name, value in filters.items() if value is not None}
    if "session" in query:
        query["session_id"] = find_session_id(api, query.pop("session"))
    if "label" in query:
        query["status_label"] = query.pop("label")
    return query


def _read_handoff(file_name: str) -> "Document":
    """A handoff from a file: an object, or text that is its summary. Raises: click.BadParameter."""
    try:
        with click.open_file(file_name, encoding="utf-8") as file:
            text = file.read(INPUT_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise click.BadParameter(f"cannot be read: {exc}", param_hint="--file") from exc
    if len(text) > INPUT_BYTES_MAX:
        raise click.BadParameter(f"is longer than {INPUT_BYTES_MAX} characters", param_hint="--file")
    if not text.lstrip().startswith("{"):
        return {"summary": text.strip()}
    value = read_json(text, option="--file")
    assert isinstance(value, dict), "what begins with a brace is an object"
    return value


def _echo(handoff: "Document", *, now: float) -> None:
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.facts import echo_facts, handoff_facts
    from holdfast.doors.cli.layout import Span

    who = f"  from {fields.text(handoff, 'from_agent')}"
    to_agent = fields.text(handoff, "to_agent")
    terminal.echo(Span(fields.text(handoff, "id"), "bold"), who + (f" to {to_agent}" if to_agent else ""))
    echo_facts(handoff_facts(handoff, now=now))
