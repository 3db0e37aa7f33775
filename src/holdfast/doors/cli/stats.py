"""`holdfast stats`: how many sessions there were, how they ended, and how soon silence was found."""

import json
from typing import TYPE_CHECKING

import click

from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.client.api import Json

EPILOG = """\b
Examples:
  holdfast stats                       the last seven days, day by day
  holdfast stats --since 30d --by agent
  holdfast stats --from 2026-01-01T00:00:00Z --by project
"""


@click.command("stats", short_help="Sessions, how they ended, and how soon silence was found.", epilog=EPILOG)
@click.option(
    "--by",
    type=click.Choice(["day", "agent", "project", "account"]),
    default="day",
    show_default=True,
    help="What is a row.",
)
@click.option("--since", metavar="TIME", help="How far back: 12h, 30d. Default: 7d.")
@click.option("--from", "from_time", metavar="TIME", help="From when on, RFC 3339.")
@click.option("--to", "to_time", metavar="TIME", help="Until when, RFC 3339. Default: now.")
@url_option
@json_option
def stats_command(
    *, by: str, since: str | None, from_time: str | None, to_time: str | None, url: str | None, is_json: bool
) -> None:
    """Show figures of the sessions that started within a time. By account: with an admin key, of all of them."""
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Column, Span, render

    if since is not None and (from_time is not None or to_time is not None):
        raise click.UsageError("--since goes without --from and --to.")
    query = {"by": by}
    if since is not None:
        query["from"] = _ago(since)
    query |= {name: value for name, value in (("from", from_time), ("to", to_time)) if value is not None}
    api = connect(url)
    stats = fields.document_of(api, api.request("GET", "/v1/stats", query=query))
    if is_json:
        click.echo(json.dumps(stats, indent=2))
        return
    items = fields.children(stats, "items")
    if not items:
        terminal.echo("No sessions started, and nothing happened to any.")
        return
    totals = fields.child(stats, "totals")
    rows = [_row(each, fields.text(each, "key") or "(none)") for each in items] + [_row(totals, "all")]
    columns = [
        Column(by.upper(), comfort=10, least=6),
        Column("SESSIONS"),
        Column("OUTCOMES", comfort=20, least=10),
        Column("MEAN"),
        Column("LONGEST", drop=2),
        Column("SILENT", drop=1),
        Column("FOUND AFTER", drop=3),
        Column("CAME BACK", drop=4),
    ]
    spans = [[Span(text, "bold" if row is rows[-1] else "") for text in row] for row in rows]
    terminal.echo_lines(render(columns, spans, width=terminal.width()))
    for name, what in (("sessions_from_at", "sessions"), ("events_from_at", "events")):
        if left_out := fields.text(stats, name):
            terminal.echo(f"There were too many {what}: those before {left_out} are left out.", is_error=True)


def _row(figures: "Mapping[str, Json]", name: str) -> list[str]:
    """One line: `FOUND AFTER` is the mean from a lease's end to its discovery."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.words import duration

    statuses = fields.child(figures, "statuses")
    durations, detections = fields.child(figures, "durations"), fields.child(figures, "detections")
    mean, longest = fields.number(durations, "mean_seconds"), fields.number(durations, "longest_seconds")
    found_after = fields.number(detections, "mean_seconds")
    return [
        name,
        f"{fields.number(figures, 'sessions') or 0:g}",
        ", ".join(f"{count} {status}" for status, count in statuses.items()),
        "" if mean is None else duration(mean),
        "" if longest is None else duration(longest),
        f"{fields.number(detections, 'count') or 0:g}",
        "" if found_after is None else f"{found_after:.2f} s",
        f"{fields.number(fields.child(figures, 'events'), 'session.reactivated') or 0:g}",
    ]


def _ago(text: str) -> str:
    """So long ago, RFC 3339. Raises: click.BadParameter."""
    from datetime import UTC, datetime, timedelta

    from holdfast.doors.cli.keys import seconds_of

    try:
        return (datetime.now(UTC) - timedelta(seconds=seconds_of(text))).isoformat(timespec="milliseconds")
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long ago.") from None
