"""`holdfast accounts …`: the tenants of a server, and what each may hold."""

import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.client.api import Json

PAGES_MAX = 1_000

EXPORT_SILENCE_SECONDS = 60.0
"""How long nothing may come of an export that goes on."""

EPILOG = """\b
Examples:
  holdfast accounts create acme --name "Acme Ltd" --live-sessions 50
  holdfast accounts list
  holdfast accounts show acme
  holdfast accounts change acme --live-sessions none
  holdfast accounts suspend acme --reason "the invoice is open"
  holdfast accounts readmit acme
  holdfast accounts export acme > acme.jsonl
  holdfast accounts erase acme --confirm acme
"""


@click.group("accounts", cls=Noun, short_help="Create, limit, suspend, export and erase accounts.", epilog=EPILOG)
def accounts_command() -> None:
    """Look after the accounts of a server. Needs an admin key."""


def _limit(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> "dict[str, Json]":
    """`--live-sessions` as the fields of a body: a number, or `none` for no limit."""
    if value is None:
        return {}
    if value == "none":
        return {"limits": {"live_sessions": None}}
    if not (value.isascii() and value.isdigit()):
        raise click.BadParameter(f"{value!r} is neither a number nor none.")
    return {"limits": {"live_sessions": int(value)}}


name_option = click.option("--name", metavar="TEXT", help="What people call it.")
limit_option = click.option(
    "--live-sessions", "limits", metavar="N|none", callback=_limit, help="How many sessions may be alive at once."
)
reason_option = click.option("--reason", metavar="TEXT", help="Why; it stands in the audit.")


@accounts_command.command("create", short_help="Make an account.")
@click.argument("account_id")
@name_option
@limit_option
@url_option
@json_option
def create_command(
    *, account_id: str, name: str | None, limits: "dict[str, Json]", url: str | None, is_json: bool
) -> None:
    """Make the account ACCOUNT_ID. Keys for it: holdfast keys create --account ACCOUNT_ID."""
    _tell(url, "POST", "/v1/accounts", {"id": account_id, "name": name, **limits}, is_json=is_json)


@accounts_command.command("change", short_help="Rename an account, or change its limits.")
@click.argument("account_id")
@name_option
@limit_option
@url_option
@json_option
def change_command(
    *, account_id: str, name: str | None, limits: "dict[str, Json]", url: str | None, is_json: bool
) -> None:
    """Change the account ACCOUNT_ID; what is not named stays."""
    body: dict[str, Json] = {**limits} if name is None else {"name": name, **limits}
    _tell(url, "PATCH", _path(account_id), body, is_json=is_json)


@accounts_command.command("suspend", short_help="Refuse an account's keys.")
@click.argument("account_id")
@reason_option
@url_option
@json_option
def suspend_command(*, account_id: str, reason: str | None, url: str | None, is_json: bool) -> None:
    """Refuse the keys of the account ACCOUNT_ID, within two seconds on every node. Nothing in it is changed."""
    _tell(url, "PATCH", _path(account_id), {"suspended": True, "reason": reason}, is_json=is_json)


@accounts_command.command("readmit", short_help="Accept a suspended account's keys again.")
@click.argument("account_id")
@reason_option
@url_option
@json_option
def readmit_command(*, account_id: str, reason: str | None, url: str | None, is_json: bool) -> None:
    """Accept the keys of the account ACCOUNT_ID again."""
    _tell(url, "PATCH", _path(account_id), {"suspended": False, "reason": reason}, is_json=is_json)


@accounts_command.command("show", short_help="One account, and how much of its limits it uses.")
@click.argument("account_id")
@url_option
@json_option
def show_command(*, account_id: str, url: str | None, is_json: bool) -> None:
    """Show the account ACCOUNT_ID."""
    _tell(url, "GET", _path(account_id), None, is_json=is_json)


@accounts_command.command("list", short_help="List accounts.")
@url_option
@json_option
def list_command(*, url: str | None, is_json: bool) -> None:
    """List the accounts of the server, by id; erased ones too, of which nothing else is left."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item

    def row(account: Item) -> list[Span]:
        status = fields.text(account, "status")
        texts = (fields.text(account, "id"), fields.text(account, "name"), status, _limit_of(account))
        return [Span(text, "" if status == "active" else "dim") for text in texts]

    columns = [Column("ID"), Column("NAME", comfort=16, drop=1), Column("STATUS"), Column("LIVE SESSIONS MAX")]
    echo_list(every_item(connect(url), "/v1/accounts", {}, pages_max=PAGES_MAX), columns, row, is_json=is_json)


@accounts_command.command("export", short_help="Write everything that an account has.")
@click.argument("account_id")
@url_option
def export_command(*, account_id: str, url: str | None) -> None:
    """Write everything that the account ACCOUNT_ID has to standard output: JSON, a row a line, without secrets.

    The last line says how many rows there were.
    """
    pieces = connect(url).stream(
        f"{_path(account_id)}/export", query={}, headers={}, silence_seconds_max=EXPORT_SILENCE_SECONDS
    )
    for content in pieces:
        click.echo(content, nl=False)


@accounts_command.command("erase", short_help="Erase an account and everything in it.")
@click.argument("account_id")
@click.option("--confirm", metavar="ACCOUNT_ID", required=True, help="The account's id once more.")
@reason_option
@url_option
@json_option
def erase_command(*, account_id: str, confirm: str, reason: str | None, url: str | None, is_json: bool) -> None:
    """Erase the account ACCOUNT_ID and everything in it. Nothing brings it back; of its audit, ids and hashes stay."""
    from urllib.parse import urlencode

    query = {"confirm": confirm} if reason is None else {"confirm": confirm, "reason": reason}
    _tell(url, "DELETE", f"{_path(account_id)}?{urlencode(query)}", None, is_json=is_json)


def _path(account_id: str) -> str:
    return f"/v1/accounts/{quote(account_id, safe='')}"


def _tell(url: str | None, method: str, path: str, body: "dict[str, Json] | None", *, is_json: bool) -> None:
    """Ask, and show the account that is answered."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    key = None if method == "GET" else secrets.token_hex(16)
    account = fields.document_of(api, api.request(method, path, body=body, idempotency_key=key))
    if is_json:
        click.echo(json.dumps(account, indent=2))
        return
    usage = fields.number(fields.child(account, "usage"), "live_sessions")
    used = "" if usage is None else f", {usage:g} now"
    name = fields.text(account, "name")
    called = f" ({name})" if name else ""
    status = fields.text(account, "status")
    terminal.echo(f"Account {fields.text(account, 'id')}{called}: {status}, live sessions: {_limit_of(account)}{used}")


def _limit_of(account: "Mapping[str, Json]") -> str:
    from holdfast.doors.cli import fields

    limit = fields.number(fields.child(account, "limits"), "live_sessions")
    return "any number" if limit is None else f"{limit:g} at most"
