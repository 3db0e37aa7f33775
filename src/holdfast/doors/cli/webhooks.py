"""`holdfast webhook …`: where events are sent, and what became of them."""

import json
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.client.api import Api, Json

PAGES_MAX = 50

TEST_SECONDS = 30.0
"""How long `test` waits for what comes of its message: longer than a receiver may take, by default."""

TEST_POLL_SECONDS = 0.2

EPILOG = """\b
Examples:
  holdfast webhook add https://hooks.example.com/holdfast --type 'session.*'
  holdfast webhook list
  holdfast webhook show wh_01JAB…
  holdfast webhook test wh_01JAB…
  holdfast webhook deliveries wh_01JAB… --status dead
  holdfast webhook redeliver wh_01JAB… evt_01JAC…
  holdfast webhook change wh_01JAB… --to https://hooks.example.com/new
  holdfast webhook rotate wh_01JAB… --overlap 2h
  holdfast webhook disable wh_01JAB…
  holdfast webhook enable wh_01JAB…
  holdfast webhook remove wh_01JAB…
"""


@click.group("webhook", cls=Noun, short_help="Have events sent somewhere, and see what came of it.", epilog=EPILOG)
def webhook_command() -> None:
    """Have events sent to receivers, signed as Standard Webhooks are. Needs an operator's key."""


def _description(
    api: "Api", description: str | None, types: tuple[str, ...], project: str | None, session: str | None
) -> "dict[str, Json]":
    from holdfast.doors.cli.pages import find_session_id

    body: dict[str, Json] = {} if description is None else {"description": description}
    if types:
        body["event_types"] = list(types)
    if project is not None:
        body["project_id"] = project
    if session is not None:
        body["session_id"] = find_session_id(api, session)
    return body


description_option = click.option("--description", metavar="TEXT", help="What it is for.")
type_option = click.option(
    "--type", "types", metavar="TYPE", multiple=True, help="Only these events, such as session.stalled or session.*."
)
project_option = click.option("--project", metavar="ID", help="Only events of this project.")
session_option = click.option(
    "--session", metavar="SESSION", help="Only events of this session: its id, or characters of its end."
)


@webhook_command.command("add", short_help="Have events sent to a URL; prints the secret, once.")
@click.argument("target")
@description_option
@type_option
@project_option
@session_option
@url_option
@json_option
def add_command(
    *,
    target: str,
    description: str | None,
    types: tuple[str, ...],
    project: str | None,
    session: str | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Have events sent to the URL TARGET from now on: every one, unless options say which.

    Standard output gets the secret alone, with which the receiver checks signatures; it is never shown again.
    """
    api = connect(url)
    body = {"url": target, **_description(api, description, types, project, session)}
    _tell_secret(api, "/v1/webhooks", body, is_json=is_json)


@webhook_command.command("rotate", short_help="Give a webhook a new secret and print it, once.")
@click.argument("webhook_id")
@click.option("--overlap", metavar="TIME", help="How long both secrets sign: 2h, 30m, 0. Default: a day.")
@url_option
@json_option
def rotate_command(*, webhook_id: str, overlap: str | None, url: str | None, is_json: bool) -> None:
    """Give the webhook WEBHOOK_ID a new secret. Until the overlap is over, messages are signed by both."""
    from holdfast.doors.cli.keys import seconds_of

    body: dict[str, Json] = {} if overlap is None else {"overlap_seconds": seconds_of(overlap)}
    _tell_secret(connect(url), _path(webhook_id, "rotate"), body, is_json=is_json)


@webhook_command.command("list", short_help="List webhooks, without their secrets.")
@url_option
@json_option
def list_command(*, url: str | None, is_json: bool) -> None:
    """List the webhooks of the account, newest first."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item
    from holdfast.doors.cli.words import ago

    now = time.time()

    def row(webhook: Item) -> list[Span]:
        state = _state(webhook)
        success_at = fields.at(webhook, "last_success_at")
        texts = [
            fields.text(webhook, "id"),
            fields.text(webhook, "url"),
            " ".join(map(str, fields.items(webhook, "event_types"))),
            "never" if success_at is None else ago(success_at, now=now),
            state,
        ]
        return [Span(text, "" if state == "enabled" else "bold") for text in texts]

    columns = [
        Column("ID"),
        Column("URL", comfort=20, least=12),
        Column("EVENTS", comfort=12, drop=1),
        Column("DELIVERED", drop=2),
        Column("STATE", comfort=20, least=8),
    ]
    webhooks = every_item(connect(url), "/v1/webhooks", {}, pages_max=PAGES_MAX)
    nothing = "There are no webhooks. Make one: holdfast webhook add https://…"
    echo_list(webhooks, columns, row, is_json=is_json, nothing=nothing)


@webhook_command.command("show", short_help="One webhook, and how it fares.")
@click.argument("webhook_id")
@url_option
@json_option
def show_command(*, webhook_id: str, url: str | None, is_json: bool) -> None:
    """Show the webhook WEBHOOK_ID."""
    _tell(connect(url), "GET", _path(webhook_id), None, is_json=is_json)


@webhook_command.command("change", short_help="Change where it leads, or what it hears.")
@click.argument("webhook_id")
@click.option("--to", "target", metavar="URL", help="Where events are sent from now on.")
@description_option
@type_option
@project_option
@session_option
@url_option
@json_option
def change_command(
    *,
    webhook_id: str,
    target: str | None,
    description: str | None,
    types: tuple[str, ...],
    project: str | None,
    session: str | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Change the webhook WEBHOOK_ID; what is not named stays."""
    api = connect(url)
    body = _description(api, description, types, project, session) | ({} if target is None else {"url": target})
    _tell(api, "PATCH", _path(webhook_id), body, is_json=is_json)


@webhook_command.command("enable", short_help="Send events to a webhook again, from now on.")
@click.argument("webhook_id")
@url_option
@json_option
def enable_command(*, webhook_id: str, url: str | None, is_json: bool) -> None:
    """Send events to the webhook WEBHOOK_ID again. What happened meanwhile is not sent."""
    _tell(connect(url), "PATCH", _path(webhook_id), {"enabled": True}, is_json=is_json)


@webhook_command.command("disable", short_help="Send nothing to a webhook for now.")
@click.argument("webhook_id")
@url_option
@json_option
def disable_command(*, webhook_id: str, url: str | None, is_json: bool) -> None:
    """Send nothing to the webhook WEBHOOK_ID until it is enabled."""
    _tell(connect(url), "PATCH", _path(webhook_id), {"enabled": False}, is_json=is_json)


@webhook_command.command("test", short_help="Send a test message, and say what came of it.")
@click.argument("webhook_id")
@url_option
@json_option
def test_command(*, webhook_id: str, url: str | None, is_json: bool) -> None:
    """Send a message of the type webhook.test to the webhook WEBHOOK_ID. Exit code 1 where it is not taken."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    key = secrets.token_hex(16)
    delivery = fields.document_of(api, api.request("POST", _path(webhook_id, "test"), idempotency_key=key))
    path = _path(webhook_id, "deliveries", fields.text(delivery, "id"))
    deadline = time.monotonic() + TEST_SECONDS
    while fields.text(delivery, "last_attempt_at") == "" and time.monotonic() < deadline:
        time.sleep(TEST_POLL_SECONDS)
        delivery = fields.document_of(api, api.request("GET", path))
    is_taken = fields.text(delivery, "status") == "delivered"
    if is_json:
        click.echo(json.dumps(delivery, indent=2))
    elif is_taken:
        seconds = fields.number(delivery, "last_duration_seconds") or 0
        terminal.echo(f"Delivered: it answered {fields.number(delivery, 'last_status')} after {seconds:.3f} s.")
    else:
        why = fields.text(delivery, "last_error") or f"nothing came of it within {TEST_SECONDS:g} s"
        terminal.echo(f"Not delivered: {why}.", is_error=True)
    if not is_taken:
        raise click.exceptions.Exit(1)


@webhook_command.command("deliveries", short_help="What was sent, or is to be sent, and what came of it.")
@click.argument("webhook_id")
@click.option("--status", type=click.Choice(["pending", "delivered", "dead"]), help="Only these.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many, newest first.",
)
@url_option
@json_option
def deliveries_command(*, webhook_id: str, status: str | None, limit: int, url: str | None, is_json: bool) -> None:
    """List the messages to the webhook WEBHOOK_ID, the newest event first."""
    from itertools import islice

    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item
    from holdfast.doors.cli.words import ago

    now = time.time()

    def row(delivery: Item) -> list[Span]:
        texts = [fields.text(delivery, name) for name in ("id", "event_type", "status")]
        texts += [f"{fields.number(delivery, 'attempts') or 0:g}", ago(fields.at(delivery, "created_at"), now=now)]
        texts += [fields.text(delivery, "last_error")]
        return [Span(text, "bold" if texts[2] == "dead" else "") for text in texts]

    columns = [
        Column("ID"),
        Column("EVENT"),
        Column("STATUS"),
        Column("ATTEMPTS", drop=1),
        Column("MADE", drop=2),
        Column("LAST ERROR", comfort=20, least=8),
    ]
    query = {} if status is None else {"status": status}
    deliveries = every_item(connect(url), _path(webhook_id, "deliveries"), query, pages_max=PAGES_MAX)
    echo_list(islice(deliveries, limit), columns, row, is_json=is_json, nothing="There are none.")


@webhook_command.command("redeliver", short_help="Send a message again.")
@click.argument("webhook_id")
@click.argument("delivery_id")
@url_option
@json_option
def redeliver_command(*, webhook_id: str, delivery_id: str, url: str | None, is_json: bool) -> None:
    """Send the message DELIVERY_ID to the webhook WEBHOOK_ID again, under the id that it had."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    path = _path(webhook_id, "deliveries", delivery_id, "redeliver")
    delivery = fields.document_of(api, api.request("POST", path, idempotency_key=secrets.token_hex(16)))
    if is_json:
        click.echo(json.dumps(delivery, indent=2))
    else:
        terminal.echo(f"{fields.text(delivery, 'id')} is being sent again.")


@webhook_command.command("remove", short_help="Send nothing more to a webhook, and forget it.")
@click.argument("webhook_id")
@url_option
@json_option
def remove_command(*, webhook_id: str, url: str | None, is_json: bool) -> None:
    """Send nothing more to the webhook WEBHOOK_ID, and forget it and its secret."""
    from holdfast.doors.cli import terminal

    answer = connect(url).request("DELETE", _path(webhook_id), idempotency_key=secrets.token_hex(16))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"Webhook {webhook_id} is removed.")


def _path(webhook_id: str, *parts: str) -> str:
    return "/".join(["/v1/webhooks", *(quote(part, safe="") for part in (webhook_id, *parts))])


def _tell(api: "Api", method: str, path: str, body: "Json", *, is_json: bool) -> None:
    """Ask, and show the webhook that is answered."""
    from holdfast.doors.cli import fields, terminal

    key = None if method == "GET" else secrets.token_hex(16)
    webhook = fields.document_of(api, api.request(method, path, body=body, idempotency_key=key))
    if is_json:
        click.echo(json.dumps(webhook, indent=2))
        return
    terminal.echo(f"Webhook {fields.text(webhook, 'id')}: {_state(webhook)}")
    terminal.echo(f"  to        {fields.text(webhook, 'url')}")
    terminal.echo(f"  events    {' '.join(map(str, fields.items(webhook, 'event_types')))}")
    for name, what in (("project_id", "project"), ("session_id", "session"), ("description", "for")):
        if value := fields.text(webhook, name):
            terminal.echo(f"  {what:<9} {value}")
    terminal.echo(f"  delivered {fields.text(webhook, 'last_success_at') or 'nothing yet'}")
    if error := fields.text(webhook, "last_error"):
        terminal.echo(f"  failed    {fields.text(webhook, 'last_attempt_at')}: {error}")


def _tell_secret(api: "Api", path: str, body: "dict[str, Json]", *, is_json: bool) -> None:
    """Ask, and print the secret that is answered, alone, and to standard error whose it is."""
    from holdfast.doors.cli import fields, terminal

    made = fields.document_of(api, api.request("POST", path, body=body, idempotency_key=secrets.token_hex(16)))
    if is_json:
        click.echo(json.dumps(made, indent=2))
        return
    terminal.echo(fields.text(made, "secret"))
    webhook_id = fields.text(made, "id")
    terminal.echo(f"This is the secret of webhook {webhook_id}. It is not shown again.", is_error=True)
    terminal.echo(f"Try it: holdfast webhook test {webhook_id}", is_error=True)


def _state(webhook: "Mapping[str, Json]") -> str:
    from holdfast.doors.cli import fields

    if webhook.get("enabled") is not True:
        return f"disabled: {fields.text(webhook, 'disabled_reason')}"
    failures = int(fields.number(webhook, "failures") or 0)
    return "enabled" if not failures else f"failing, {failures} times in a row"
