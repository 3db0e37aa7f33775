"""`holdfast events`: what happened, line by line, and what happens."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from holdfast.domain.events import EventType
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Api, Json

EPILOG = """\b
Examples:
  holdfast events                            all there are, the oldest first
  holdfast events --follow                   from now on, until interrupted
  holdfast events --follow --type failed --type stalled
  holdfast events --session 7K3QZM --json    one object a line

\b
--follow waits for a server that goes away, and goes on where it was cut off:
no event is missed, and none is shown twice.
"""

PAGE_ITEMS = 200
"""The most that the server gives at once."""

START = "start"


def _full_type(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    known = {name: str(each) for each in EventType for name in (str(each), str(each).removeprefix("session."))}
    for name in names:
        if name not in known:
            raise click.BadParameter(
                f"{name!r} is not one of {', '.join(known[each] for each in known if '.' in each)}."
            )
    return tuple(known[name] for name in names)


@click.command("events", short_help="Show what happened, and what happens.", epilog=EPILOG)
@click.option("--follow", "-f", is_flag=True, help="Show events as they happen, from now on.")
@click.option("--type", "types", multiple=True, callback=_full_type, metavar="TYPE", help="Of this type, as `failed`.")
@click.option("--session", metavar="SESSION", help="Of this session: its id, or characters of its end.")
@click.option("--project", "project_id", metavar="ID", help="Of sessions of this project.")
@click.option("--after", metavar="CURSOR", help="Behind this cursor of an event; `start`: the oldest, also to follow.")
@url_option
@json_option
def events_command(
    *,
    follow: bool,
    types: tuple[str, ...],
    session: str | None,
    project_id: str | None,
    after: str | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Show what happened to sessions: when, to which, what, why and who said so."""
    from holdfast.doors.cli.pages import find_session_id

    api = connect(url)
    query: dict[str, str] = {}
    if len(types) == 1:
        query["type"] = types[0]
    if session is not None:
        query["session_id"] = find_session_id(api, session)
    if project_id is not None:
        query["project_id"] = project_id
    if after is not None:
        query["after"] = after
    try:
        for event in _followed(api, query) if follow else _listed(api, query):
            if not types or event.get("type") in types:
                _echo(event, is_json=is_json)
    except KeyboardInterrupt:
        return


def _listed(api: "Api", query: dict[str, str]) -> "Iterator[dict[str, Json]]":
    from holdfast.doors.cli import fields

    asked = {"after": START, **query, "limit": str(PAGE_ITEMS)}
    while True:
        page = fields.document_of(api, api.request("GET", "/v1/events", query=asked))
        items = fields.children(page, "items")
        yield from items
        if len(items) < PAGE_ITEMS:
            return
        asked["after"] = fields.text(page, "next_cursor")


def _followed(api: "Api", query: dict[str, str]) -> "Iterator[dict[str, Json]]":
    from holdfast.client.event_stream import follow
    from holdfast.doors.cli import terminal

    def tell(cause: str | None) -> None:
        text = f"The server is away ({cause}); waiting for it." if cause is not None else "The server is back."
        terminal.echo(text, is_error=True)

    return follow(api, query, tell=tell)


def _echo(event: "dict[str, Json]", *, is_json: bool) -> None:
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.explanation import WHO_COLUMNS, event_spans
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.text import fit, shown, width_of
    from holdfast.doors.cli.words import short_id

    if is_json:
        click.echo(json.dumps(event))
        return
    when, what, why, who = event_spans(event)
    data = fields.child(event, "data")
    about = fields.text(event, "session_id") or fields.text(data, "task_id")
    name = shown(short_id(about) if about else fields.text(data, "project_id"))
    width = terminal.width()
    if width is not None:
        who = who._replace(text=fit(shown(who.text), WHO_COLUMNS, cut="middle"))
    line = [when, Span(f"  {name}  ", "bold"), Span(f"{shown(what.text):<14}  "), why, Span("  "), who]
    if width is not None:
        taken = sum(width_of(shown(span.text)) for span in line if span is not why)
        line[3] = why._replace(text=fit(shown(why.text), max(16, width - taken), cut="end"))
    terminal.echo(*line)
