"""`holdfast status`: whether the server is well, and what ails it."""

import json
from typing import TYPE_CHECKING

import click

from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Json
    from holdfast.doors.cli.layout import Line

EPILOG = """\b
Examples:
  holdfast status
  holdfast status --json
  holdfast status; test $? -eq 5 && systemctl restart holdfast

\b
Exit codes: 0 well; 1 something is wrong; 3 the key was refused; 5 no server
answers.
"""


@click.command("status", short_help="Whether the server is well, and what ails it.", epilog=EPILOG)
@url_option
@json_option
def status_command(*, url: str | None, is_json: bool) -> None:
    """Ask the server how it fares: it reads and writes its store before it answers. Needs an operator's key."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    found = fields.document_of(api, api.request("GET", "/health/detail"))
    if is_json:
        click.echo(json.dumps(found, indent=2))
    else:
        terminal.echo_lines(lines_of(found, url=api.url))
    if fields.text(found, "status") != "ok":
        raise SystemExit(1)


def lines_of(found: "dict[str, Json]", *, url: str) -> "list[Line]":
    """What a person reads: the verdict, what is wrong, then each part of the server in a line."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.words import duration

    status = fields.text(found, "status")
    style = {"ok": "bold green", "degraded": "bold yellow"}.get(status, "bold red")
    up = duration(fields.number(found, "uptime_seconds") or 0.0)
    head = (Span(status or "unknown", style), Span(f"  Holdfast {fields.text(found, 'version')} at {url}, up {up}"))
    lines: list[Line] = [head]
    lines += [(Span(f"  ! {fields.text(each, 'detail')}", "red"),) for each in fields.children(found, "problems")]
    store, writer = fields.child(found, "store"), fields.child(found, "writer")
    last, sweeper = fields.child(writer, "last_batch"), fields.child(found, "sweeper")
    log, clock = fields.child(found, "request_log"), fields.child(found, "service_time")
    commands = f"{fields.number(last, 'commands') or 0:.0f}"
    batch = f"{_ms(last, 'took_seconds')} for {commands} command{'' if commands == '1' else 's'}"
    behind = f"{_ms(log, 'lag_seconds')} behind, {fields.number(log, 'dropped') or 0:.0f} dropped"
    parts = [
        ("store", f"read {_tried(store, 'read')}, write {_tried(store, 'write')}"),
        ("writer", f"{fields.number(writer, 'queue_depth') or 0:.0f} waiting; last batch {batch}"),
        (
            "sweeper",
            f"last pass {_ms(sweeper, 'age_seconds')} ago, took {_ms(sweeper, 'took_seconds')}"
            if sweeper
            else "none on this node",
        ),
        ("request log", f"{fields.number(log, 'waiting') or 0:.0f} waiting, {behind}"),
    ]
    if clock:
        paused = duration(fields.number(clock, "paused_seconds") or 0.0)
        parts.append(("service time", f"stood still for {paused} since the beginning"))
    return [*lines, *[(Span(f"  {name:<13}", "dim"), Span(text)) for name, text in parts]]


def _tried(store: "dict[str, Json]", what: str) -> str:
    from holdfast.doors.cli import fields

    error = fields.text(store, f"{what}_error")
    return f"failed ({error})" if error else _ms(store, f"{what}_seconds")


def _ms(document: "dict[str, Json]", name: str) -> str:
    from holdfast.doors.cli import fields

    seconds = fields.number(document, name)
    if seconds is None:
        return "–"
    return f"{seconds * 1_000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
