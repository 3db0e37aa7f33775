"""`holdfast keys …`: who may ask the server, and what for."""

import json
import secrets
from typing import TYPE_CHECKING

import click

from holdfast.domain.actor import KeyScope
from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.client.api import Json

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DIGITS_MAX = 9

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
  holdfast keys create --name laptop --expires 90d
  holdfast keys create --project web --scope read
  export HOLDFAST_KEY=$(holdfast keys create --scope read)
  holdfast keys rotate key_01JAB… --overlap 2h
  holdfast keys revoke key_01JAB…
  holdfast keys list --account acme

\b
Exit codes: `holdfast --help` lists them.
"""

account_option = click.option("--account", metavar="ID", help="Of this account. Default: one's own.")


def _for(account: str | None) -> "dict[str, str]":
    """The header that names the account to act for."""
    return {} if account is None else {"X-Account-Id": account}


@click.group("keys", cls=Noun, short_help="Create, list, rotate and revoke keys.", epilog=EPILOG)
def keys_command() -> None:
    """Create, list, rotate and revoke the keys with which clients ask. Needs an admin key."""


@keys_command.command("create", short_help="Make a key and print it, once.")
@click.option("--name", metavar="TEXT", help="What it is for. Default: its scope.")
@click.option(
    "--scope",
    type=click.Choice([str(each) for each in KeyScope]),
    default="agent",
    show_default=True,
    help="What it may do.",
)
@click.option("--account", metavar="ID", help="For this account, which is made if there is none. Default: one's own.")
@click.option("--project", metavar="ID", help="For the sessions of this project alone. Default: of the whole account.")
@click.option("--expires", metavar="WHEN", help="When it stops: after 90d, 12h or 30m, or at an RFC 3339 time.")
@url_option
@json_option
def create_command(
    *,
    name: str | None,
    scope: str,
    account: str | None,
    project: str | None,
    expires: str | None,
    url: str | None,
    is_json: bool,
) -> None:
    """Make a key. Standard output gets the key alone; it is never shown again."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    body: dict[str, Json] = {"name": name or scope, "scope": scope}
    if account is not None:
        body["account_id"] = account
    if project is not None:
        body["project_id"] = project
    if expires is not None:
        body["expires_at"] = _time_of(expires)
    answer = api.request("POST", "/v1/keys", body=body, idempotency_key=secrets.token_hex(16))
    made = fields.document_of(api, answer)
    if is_json:
        click.echo(json.dumps(made, indent=2))
        return
    terminal.echo(fields.text(made, "key"))
    what = f"{fields.text(made, 'id')}, scope {fields.text(made, 'scope')}, account {fields.text(made, 'account_id')}"
    terminal.echo(f"This is key {what}. It is not shown again.", is_error=True)


@keys_command.command("rotate", short_help="Give a key a new secret and print it, once.")
@click.argument("key_id")
@click.option("--overlap", metavar="TIME", help="How long the old secret stays good: 2h, 30m, 0. Default: a day.")
@account_option
@url_option
@json_option
def rotate_command(*, key_id: str, overlap: str | None, account: str | None, url: str | None, is_json: bool) -> None:
    """Give the key KEY_ID a new secret. Its id, and with it its sessions, stay.

    One that was rotated before, and whose older secret is good still, loses that one at once.
    Where the old secret is in wrong hands, use --overlap 0, or revoke the key.
    """
    from urllib.parse import quote

    from holdfast.doors.cli import fields, terminal

    body: dict[str, Json] = {} if overlap is None else {"overlap_seconds": seconds_of(overlap)}
    path = f"/v1/keys/{quote(key_id, safe='')}/rotate"
    api = connect(url)
    answer = api.request("POST", path, body=body, idempotency_key=secrets.token_hex(16), headers=_for(account))
    made = fields.document_of(api, answer)
    if is_json:
        click.echo(json.dumps(made, indent=2))
        return
    terminal.echo(fields.text(made, "key"))
    until = fields.text(made, "previous_expires_at")
    old = f"The old secret is good until {until}" if until else "The old secret is refused from now on"
    terminal.echo(f"This is the new secret of key {fields.text(made, 'id')}. {old}.", is_error=True)


@keys_command.command("list", short_help="List keys, without the keys themselves.")
@account_option
@url_option
@json_option
def list_command(*, account: str | None, url: str | None, is_json: bool) -> None:
    """List the keys of the account, newest first: all but the keys themselves."""
    import time

    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item
    from holdfast.doors.cli.words import ago

    now = time.time()

    def row(key: Item) -> list[Span]:
        state = _state(key, now=now)
        style = "" if state.startswith("valid") else "dim"
        texts = [fields.text(key, name) for name in ("id", "name", "scope", "account_id", "project_id")]
        used_at = fields.at(key, "last_used_at")
        texts += [
            ago(fields.at(key, "created_at"), now=now),
            "never" if used_at is None else ago(used_at, now=now),
            state,
        ]
        return [Span(text, style) for text in texts]

    columns = [
        Column("ID"),
        Column("NAME", comfort=12, least=8),
        Column("SCOPE"),
        Column("ACCOUNT", comfort=10, drop=3),
        Column("PROJECT", comfort=10, drop=4),
        Column("CREATED", drop=1),
        Column("USED", drop=2),
        Column("STATE"),
    ]
    keys = every_item(connect(url), "/v1/keys", {}, pages_max=PAGES_MAX, headers=_for(account))
    nothing = "No keys are stored; one that is configured is not listed. Make one: holdfast keys create"
    echo_list(keys, columns, row, is_json=is_json, nothing=nothing)


@keys_command.command("revoke", short_help="Make a key useless.")
@click.argument("key_id")
@account_option
@url_option
@json_option
def revoke_command(*, key_id: str, account: str | None, url: str | None, is_json: bool) -> None:
    """Make the key KEY_ID useless: at once on the server that is asked, within two seconds on others."""
    from urllib.parse import quote

    from holdfast.doors.cli import terminal

    path = f"/v1/keys/{quote(key_id, safe='')}"
    answer = connect(url).request("DELETE", path, idempotency_key=secrets.token_hex(16), headers=_for(account))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"Key {key_id} is revoked.")


def _state(key: "Mapping[str, Json]", *, now: float) -> str:
    """Whether a key is good, and for how long."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.words import ago, duration

    revoked_at, expires_at = fields.at(key, "revoked_at"), fields.at(key, "expires_at")
    if revoked_at is not None:
        return f"revoked {ago(revoked_at, now=now)}"
    if expires_at is not None and expires_at <= now:
        return f"expired {ago(expires_at, now=now)}"
    old_until = fields.at(key, "previous_expires_at")
    old = f", old secret for {duration(old_until - now)}" if old_until is not None and old_until > now else ""
    return ("valid" if expires_at is None else f"valid for {duration(expires_at - now)}") + old


def seconds_of(text: str) -> float:
    """A length of time as it is typed: `90d`, `12h`, `30m`, `45s`, or plain seconds. Raises: click.BadParameter."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNIT_SECONDS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX):
        raise click.BadParameter(f"{text!r} is no length of time; it looks like 90d, 12h, 30m or 45s.")
    return float(int(number) * UNIT_SECONDS[unit])


def _time_of(text: str) -> str:
    """A time as it is typed, a length of time from now on or RFC 3339. Raises: click.BadParameter."""
    from datetime import UTC, datetime, timedelta

    if "T" in text:
        return text
    try:
        return (datetime.now(UTC) + timedelta(seconds=seconds_of(text))).isoformat(timespec="milliseconds")
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too far off.") from None
