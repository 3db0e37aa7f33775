"""`holdfast alert …`: what is to be told of sessions that their status does not say."""

import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Json

PAGES_MAX = 50

EPILOG = """\b
What a rule may be about:
  late            a beat is missed by more than the session's grace
  no_progress     beats come, and the progress that they tell stands still
  parked          parked for longer than that
  detection_late  a lapse was found later than that: the server's own failing

\b
Each is told as an event, once for as long as it lasts, and `alert.resolved`
when it is over. Have them sent: holdfast webhook add https://…
A webhook that asks for session.late needs no rule.

\b
Examples:
  holdfast alert add no_progress --after 30m
  holdfast alert add parked --after 2d --project web
  holdfast alert list
  holdfast alert open alr_01JAB…
  holdfast alert disable alr_01JAB…
  holdfast alert enable alr_01JAB…
  holdfast alert remove alr_01JAB…
"""


@click.group("alert", cls=Noun, short_help="Be told of sessions that are late or stuck.", epilog=EPILOG)
def alert_command() -> None:
    """Be told of sessions that are late, stand still or stay parked. Needs an operator's key."""


@alert_command.command("add", short_help="Make a rule.")
@click.argument("about", type=click.Choice(["late", "no_progress", "parked", "detection_late"]))
@click.option(
    "--after", metavar="TIME", help="How long it has to last: 30m, 2h. Defaults: 30m, a day, 5s; not for late."
)
@click.option("--name", metavar="TEXT", help="What people call it; it stands in the events.")
@click.option("--project", metavar="ID", help="Only sessions of this project.")
@click.option("--agent", metavar="NAME", help="Only sessions of this agent.")
@url_option
@json_option
def add_command(
    *,
    about: str,
    after: str | None,
    name: str | None,
    project: str | None,
    agent: str | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Make a rule about sessions that are ABOUT."""
    from holdfast.doors.cli.keys import seconds_of

    body: dict[str, Json] = {"type": about, "name": name, "project_id": project, "agent": agent}
    if after is not None:
        body["after_seconds"] = seconds_of(after)
    _tell(url, "POST", "/v1/alerts", body, is_json=is_json)


@alert_command.command("list", short_help="List rules.")
@url_option
@json_option
def list_command(*, url: str | None, is_json: bool) -> None:
    """List the rules of the account, newest first."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item
    from holdfast.doors.cli.words import duration

    def row(rule: Item) -> list[Span]:
        after = fields.number(rule, "after_seconds")
        texts = [fields.text(rule, "id"), fields.text(rule, "type"), "" if after is None else duration(after)]
        texts += [fields.text(rule, name) for name in ("project_id", "agent", "name")]
        texts.append("enabled" if rule.get("enabled") is True else "disabled")
        return [Span(text) for text in texts]

    titles = ("ID", "ABOUT", "AFTER", "PROJECT", "AGENT", "NAME", "STATE")
    columns = [Column(title, comfort=8) for title in titles]
    nothing = "There are no rules. Make one: holdfast alert add no_progress --after 30m"
    rules = every_item(connect(url), "/v1/alerts", {}, pages_max=PAGES_MAX)
    echo_list(rules, columns, row, is_json=is_json, nothing=nothing)


@alert_command.command("open", short_help="Sessions for which an alert is not over.")
@click.argument("rule_id")
@url_option
@json_option
def open_command(*, rule_id: str, url: str | None, is_json: bool) -> None:
    """List the sessions for which the rule RULE_ID has spoken, and that are still so."""
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.pages import every_item

    listed = list(every_item(connect(url), f"{_path(rule_id)}/open", {}, pages_max=PAGES_MAX))
    if is_json:
        click.echo(json.dumps(listed, indent=2))
        return
    for each in listed:
        terminal.echo(f"{fields.text(each, 'session_id')}  since {fields.text(each, 'opened_at')}")
    if not listed:
        terminal.echo("There are none.")


@alert_command.command("enable", short_help="Tell by a rule again.")
@click.argument("rule_id")
@url_option
@json_option
def enable_command(*, rule_id: str, url: str | None, is_json: bool) -> None:
    """Tell by the rule RULE_ID again."""
    _tell(url, "PATCH", _path(rule_id), {"enabled": True}, is_json=is_json)


@alert_command.command("disable", short_help="Tell nothing by a rule for now.")
@click.argument("rule_id")
@url_option
@json_option
def disable_command(*, rule_id: str, url: str | None, is_json: bool) -> None:
    """Tell nothing by the rule RULE_ID until it is enabled."""
    _tell(url, "PATCH", _path(rule_id), {"enabled": False}, is_json=is_json)


@alert_command.command("remove", short_help="Forget a rule.")
@click.argument("rule_id")
@url_option
@json_option
def remove_command(*, rule_id: str, url: str | None, is_json: bool) -> None:
    """Forget the rule RULE_ID and its open alerts."""
    from holdfast.doors.cli import terminal

    answer = connect(url).request("DELETE", _path(rule_id), idempotency_key=secrets.token_hex(16))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"Alert rule {rule_id} is removed.")


def _path(rule_id: str) -> str:
    return f"/v1/alerts/{quote(rule_id, safe='')}"


def _tell(url: str | None, method: str, path: str, body: "Json", *, is_json: bool) -> None:
    """Ask, and show the rule that is answered."""
    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.words import duration

    api = connect(url)
    rule = fields.document_of(api, api.request(method, path, body=body, idempotency_key=secrets.token_hex(16)))
    if is_json:
        click.echo(json.dumps(rule, indent=2))
        return
    after = fields.number(rule, "after_seconds")
    what = fields.text(rule, "type") + ("" if after is None else f", after {duration(after)}")
    state = "" if rule.get("enabled") is True else ", disabled"
    terminal.echo(
        f"Alert rule {fields.text(rule, 'id')}: {what}{state}. It is told as {fields.text(rule, 'event_type')}."
    )
