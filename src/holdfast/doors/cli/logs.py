"""`holdfast logs`: what was asked of the server, and why some of it was refused."""

import json
import re
import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Api, Json
    from holdfast.doors.cli.layout import Span

FOLLOW_SECONDS = 1.0
"""Between two looks: as often as the server writes its log."""

OVERLAP_SECONDS = 15.0
"""How far each look reaches back before the last line seen: nodes write their lines each at its own time."""

PAGES_MAX = 50
"""Of 200 lines each, at one look."""

LINES_DEFAULT = 50

_SPAN = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

EPILOG = """\b
Accepted heartbeats and health checks have no lines; `--heartbeats` shows how
many were counted, by minute and key. Lines are kept for 7 days by default.

\b
Examples:
  holdfast logs --errors --since 10m      what was refused lately, and why
  holdfast logs --request 4f6c0d3e9a1b    one request, by its X-Request-Id
  holdfast logs --follow                  everything, as it comes
"""


def _read_since(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    """Seconds since the epoch, of `10m` or of a time with an offset."""
    if given is None:
        return None
    span = _SPAN.fullmatch(given.strip())
    if span is not None:
        return time.time() - int(span[1]) * _SECONDS[span[2]]
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise click.BadParameter("must look like 30s, 10m, 2h, 7d or 2026-01-17T10:00:00Z")
    return at.timestamp()


@click.command("logs", short_help="Read the request log: who asked what, and why it failed.", epilog=EPILOG)
@click.option("--errors", is_flag=True, help="Only what was refused or failed.")
@click.option("--since", metavar="TIME", callback=_read_since, help="From then on: 30s, 10m, 2h, 7d, or a time.")
@click.option("--key", metavar="ID", help="Only requests with this key, by its id.")
@click.option("--request", "request_id", metavar="ID", help="Only the request with this X-Request-Id.")
@click.option("--correlation", "correlation_id", metavar="ID", help="Only requests with this X-Correlation-ID.")
@click.option("--route", metavar="PATH", help="Only this route, such as '/v1/sessions/{id}/end'.")
@click.option("--status", metavar="CODE", type=click.IntRange(100, 599), help="Only this status.")
@click.option("--account", metavar="ID", help="Of this account. Default: the key's own.")
@click.option(
    "-n", "--lines", metavar="N", type=click.IntRange(1, 10_000), help="The last N. Default: 50; with --since all."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come, until interrupted.")
@click.option("--heartbeats", is_flag=True, help="Show accepted heartbeats instead, counted by minute.")
@url_option
@json_option
def logs_command(
    *,
    errors: bool,
    since: float | None,
    key: str | None,
    request_id: str | None,
    correlation_id: str | None,
    route: str | None,
    status: int | None,
    account: str | None,
    lines: int | None,
    follow: bool,
    heartbeats: bool,
    url: str | None,
    is_json: bool,
) -> None:
    """Show the server's requests, oldest first, a line each. Needs an operator's key."""
    api = connect(url)
    # By which what this very command asks is known, and left out while it follows.
    headers = {"X-Correlation-ID": f"logs-{secrets.token_hex(8)}"} | (
        {} if account is None else {"X-Account-Id": account}
    )
    given = {
        "errors_only": "true" if errors else None,
        "key_id": key,
        "request_id": request_id,
        "correlation_id": correlation_id,
        "route": route,
        "status": None if status is None else str(status),
        "since": None if since is None else _rfc3339(since),
    }
    query = {name: value for name, value in given.items() if value is not None}
    if heartbeats:
        _show_heartbeats(api, query, headers, is_json=is_json)
        return
    lines_max = lines if lines is not None else PAGES_MAX * 200 if since is not None else LINES_DEFAULT
    shown = list(_newest(api, query, headers, lines_max=lines_max))
    shown.reverse()
    for row in shown:
        _show(row, is_json=is_json)
    if not shown and not follow and not is_json:
        _echo_nothing()
    if follow:
        try:
            _follow(api, query, headers, shown, is_json=is_json)
        except KeyboardInterrupt:
            return


def _newest(
    api: "Api", query: dict[str, str], headers: dict[str, str], *, lines_max: int
) -> "Iterator[dict[str, Json]]":
    """Lines, newest first. Raises: Unreachable, ApiRefusal."""
    from itertools import islice

    from holdfast.doors.cli.pages import every_item

    asked = {**query, "limit": str(min(lines_max, 200))}
    return islice(every_item(api, "/v1/requests", asked, pages_max=PAGES_MAX, headers=headers), lines_max)


def _follow(
    api: "Api", query: dict[str, str], headers: dict[str, str], shown: "list[dict[str, Json]]", *, is_json: bool
) -> None:
    """Show what comes after these lines, also after the server was away. Raises: ApiRefusal."""
    from holdfast.client.api import Unreachable
    from holdfast.doors.cli import fields, terminal

    newest = max((fields.at(row, "at") or 0.0 for row in shown), default=0.0)
    # Lines from before the first one shown were not asked for.
    oldest_id = min((fields.text(row, "id") for row in shown), default="")
    seen = {fields.text(row, "id"): fields.at(row, "at") or 0.0 for row in shown}
    is_away = False
    while True:
        time.sleep(FOLLOW_SECONDS)
        reach = max(0.0, newest - OVERLAP_SECONDS)
        asked = {**query, "since": max(_rfc3339(reach), query.get("since", ""))}
        try:
            rows = list(_newest(api, asked, headers, lines_max=PAGES_MAX * 200))
        except Unreachable as error:
            if not is_away:
                terminal.echo(f"The server at {api.url} does not answer ({error.cause}); still asking.", is_error=True)
            is_away = True
            continue
        is_away = False
        for row in reversed(rows):
            at = fields.at(row, "at") or 0.0
            line = fields.text(row, "id")
            is_own = fields.text(row, "correlation_id") == headers["X-Correlation-ID"]
            if line not in seen and line >= oldest_id and not is_own:
                _show(row, is_json=is_json)
            seen[line] = at
            newest = max(newest, at)
        # What lies before the reach of the next look cannot come again.
        seen = {line: at for line, at in seen.items() if at >= reach}


def _show(row: "dict[str, Json]", *, is_json: bool) -> None:
    from holdfast.doors.cli import terminal

    if is_json:
        click.echo(json.dumps(row))
    else:
        terminal.echo(*line_of(row))


def line_of(row: "dict[str, Json]") -> "list[Span | str]":
    """One request as a person reads it: when, what, how it went, who; and why it was refused."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Span

    status = int(fields.number(row, "status") or 0)
    style = "red" if status >= 500 else "yellow" if status >= 400 else "green"
    took = (fields.number(row, "duration_seconds") or 0.0) * 1_000
    method, route = fields.text(row, "method"), fields.text(row, "route") or "(no route)"
    parts: list[Span | str] = [
        Span(fields.text(row, "at"), "dim"),
        "  ",
        Span(str(status), style),
        f"  {method} {route}  {took:.1f} ms  {fields.text(row, 'key_id') or 'no key'}",
    ]
    if row.get("idempotency_hit") is True:
        parts.append("  replayed")
    code, detail = fields.text(row, "error_code"), fields.text(row, "detail")
    if code:
        parts.append(Span(f"  {code}", style))
    if detail:
        parts.append(f": {detail}" if code else f"  {detail}")
    parts.append(Span(f"  {fields.text(row, 'request_id')}", "dim"))
    return parts


def _show_heartbeats(api: "Api", query: dict[str, str], headers: dict[str, str], *, is_json: bool) -> None:
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Column, Span, render

    asked = {name: value for name, value in query.items() if name in ("key_id", "since")}
    document = fields.document_of(api, api.request("GET", "/v1/requests/counts", query=asked, headers=headers))
    counts = list(reversed(fields.children(document, "items")))
    if is_json:
        click.echo(json.dumps(counts, indent=2))
        return
    if not counts:
        terminal.echo("No heartbeats were counted.")
        return
    rows = [
        [
            Span(fields.text(each, "minute_at"), "dim"),
            Span(f"{fields.number(each, 'heartbeats') or 0:.0f}"),
            Span(f"{fields.number(each, 'requests') or 0:.0f}"),
            Span(fields.text(each, "key_id")),
            Span(fields.text(each, "route")),
        ]
        for each in counts
    ]
    columns = [Column("MINUTE"), Column("BEATS"), Column("REQUESTS"), Column("KEY"), Column("ROUTE", drop=1)]
    terminal.echo_lines(render(columns, rows, width=terminal.width()))


def _echo_nothing() -> None:
    from holdfast.doors.cli import terminal

    terminal.echo("There are no such requests in the log.")


def _rfc3339(at: float) -> str:
    from holdfast.domain.times import rfc3339

    return rfc3339(int(at * 1_000))
