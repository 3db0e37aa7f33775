"""`holdfast audit …`: who did what, and whether that is still what was written down."""

import json

import click

from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, url_option

PAGES_MAX = 10_000

VERIFY_SECONDS = 600.0
"""How long the server may take to read a whole audit."""

EPILOG = """\b
Examples:
  holdfast audit list
  holdfast audit list --target sess_01JAB…
  holdfast audit verify
  holdfast audit verify --noted 1742:9f86d081…
"""


@click.group("audit", cls=Noun, short_help="List and verify the audit.", epilog=EPILOG)
def audit_command() -> None:
    """Read the audit of an account. Needs an operator's key."""


@audit_command.command("list", short_help="List what was done, newest first.")
@click.option("--target", metavar="ID", help="What was done to this session, key or account alone.")
@url_option
@json_option
def list_command(*, target: str | None, url: str | None, is_json: bool) -> None:
    """List administrative acts and changes of ownership, newest first."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list
    from holdfast.doors.cli.pages import every_item

    def row(record: Item) -> list[Span]:
        names = ("at", "action", "target", "key_id", "reason")
        return [Span(f"{fields.number(record, 'number') or 0:g}"), *[Span(fields.text(record, name)) for name in names]]

    columns = [Column("NUMBER"), Column("AT"), Column("ACTION"), Column("TARGET")]
    columns += [Column("KEY", drop=1), Column("REASON", comfort=20, drop=2)]
    query = {} if target is None else {"target": target}
    echo_list(
        every_item(connect(url), "/v1/audit", query, pages_max=PAGES_MAX),
        columns,
        row,
        is_json=is_json,
        nothing="No record is like that.",
    )


@audit_command.command("verify", short_help="Say whether the audit is what was written.")
@click.option("--noted", metavar="NUMBER:SHA256", help="What an earlier verification said the chain ended with.")
@url_option
@json_option
def verify_command(*, noted: str | None, url: str | None, is_json: bool) -> None:
    """Check that no record of the audit was changed, removed or inserted. Exit code 1: one was.

    Note the number and hash that it prints somewhere else: whoever can write to the database could write the whole
    chain anew, and only what was noted elsewhere tells.
    """
    from holdfast.doors.cli import fields, terminal

    query = {}
    if noted is not None:
        number, _, sha256 = noted.partition(":")
        query = {"number": number, "sha256": sha256}
    api = connect(url, timeout_seconds=VERIFY_SECONDS)
    found = fields.document_of(api, api.request("GET", "/v1/audit/verify", query=query))
    flaw, head = fields.child(found, "flaw"), fields.child(found, "head")
    if is_json:
        click.echo(json.dumps(found, indent=2))
    elif flaw:
        number, name = f"{fields.number(flaw, 'number') or 0:g}", fields.text(flaw, "id")
        terminal.echo(f"Record {number}{f' ({name})' if name else ''} was {fields.text(flaw, 'kind')}.")
    else:
        terminal.echo(f"{fields.number(found, 'verified') or 0:g} records are as they were written.")
        if unchained := fields.number(found, "unchained"):
            terminal.echo(f"{unchained:g} more are older than the chain; of them only the number was checked.")
        terminal.echo(f"The chain ends with {fields.number(head, 'number') or 0:g}:{fields.text(head, 'sha256')}")
    if flaw:
        click.get_current_context().exit(1)
