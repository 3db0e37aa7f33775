"""`holdfast keys …`: who may ask the server, and what for."""

import json
import secrets
from typing import TYPE_CHECKING

import click

from holdfast.domain.actor import KeyScope
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Json

PAGES_MAX = 1_000
"""Of 200 keys each: more than anybody has."""

EPILOG = """\b
A key's scope says what it may do; each includes what the ones before it may:
  read      look at everything in its account
  agent     work: start sessions, beat, checkpoint, end, take over what lapsed
  operator  step in: take over from the living, act for other accounts
  admin     make and revoke keys

\b
Examples:
  holdfast keys create --name laptop
  export HOLDFAST_KEY=$(holdfast keys create --scope read)
  holdfast keys revoke key_01JAB…
"""


@click.group("keys", short_help="Create, list and revoke keys.", epilog=EPILOG)
def keys_command() -> None:
    """Create, list and revoke the keys with which clients ask. Needs an admin key."""


@keys_command.command("create", short_help="Make a key and print it, once.", epilog=EPILOG)
@click.option("--name", metavar="TEXT", help="What it is for. Default: its scope.")
@click.option("--scope", type=click.Choice([str(each) for each in KeyScope]), default="agent", show_default=True)
@click.option("--account", metavar="ID", help="For this account, which is made if there is none. Default: one's own.")
@url_option
@json_option
def create_command(*, name: str | None, scope: str, account: str | None, url: str | None, is_json: bool) -> None:
    """Make a key. Standard output gets the key alone; it is never shown again."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    body: dict[str, Json] = {"name": name or scope, "scope": scope}
    if account is not None:
        body["account_id"] = account
    answer = api.request("POST", "/v1/keys", body=body, idempotency_key=secrets.token_hex(16))
    made = fields.document_of(api, answer)
    if is_json:
        click.echo(json.dumps(made, indent=2))
        return
    terminal.echo(fields.text(made, "key"))
    what = f"{fields.text(made, 'id')}, scope {fields.text(made, 'scope')}, account {fields.text(made, 'account_id')}"
    terminal.echo(f"This is key {what}. It is not shown again.", is_error=True)


@keys_command.command("list", short_help="List keys, without the keys themselves.")
@url_option
@json_option
def list_command(*, url: str | None, is_json: bool) -> None:
    """List the keys of the account, newest first: all but the keys themselves."""
    import time

    from holdfast.doors.cli import fields, terminal
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.pages import every_item
    from holdfast.doors.cli.words import ago

    api = connect(url)
    listed = list(every_item(api, "/v1/keys", {}, pages_max=PAGES_MAX))
    if is_json:
        click.echo(json.dumps(listed, indent=2))
        return
    if not listed:
        terminal.echo("No keys are stored; one that is configured is not listed. Make one: holdfast keys create")
        return
    now = time.time()
    rows = []
    for key in listed:
        is_revoked = bool(fields.text(key, "revoked_at"))
        revoked = f"revoked {ago(fields.at(key, 'revoked_at'), now=now)}" if is_revoked else "valid"
        style = "dim" if is_revoked else ""
        texts = [fields.text(key, name) for name in ("id", "name", "scope", "account_id")]
        rows.append([Span(text, style) for text in (*texts, ago(fields.at(key, "created_at"), now=now), revoked)])
    columns = [
        Column("ID"),
        Column("NAME", comfort=12, least=8),
        Column("SCOPE"),
        Column("ACCOUNT", comfort=10, drop=2),
        Column("CREATED", drop=1),
        Column("STATE"),
    ]
    terminal.echo_lines(render(columns, rows, width=terminal.width()))


@keys_command.command("revoke", short_help="Make a key useless.")
@click.argument("key_id")
@url_option
@json_option
def revoke_command(*, key_id: str, url: str | None, is_json: bool) -> None:
    """Make the key KEY_ID useless: at once on the server that is asked, within two seconds on others."""
    from urllib.parse import quote

    from holdfast.doors.cli import terminal

    answer = connect(url).request("DELETE", f"/v1/keys/{quote(key_id, safe='')}", idempotency_key=secrets.token_hex(16))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"Key {key_id} is revoked.")
