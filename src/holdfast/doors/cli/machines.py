"""`holdfast machine …`: which machines there are, who is in their slots, and the agent of this one."""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from holdfast.domain.machine import MachineStatus
from holdfast.doors.cli.nouns import Noun
from holdfast.doors.cli.options import connect, json_option, present, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Api, Json
    from holdfast.doors.cli.layout import Line, Span

PAGES_MAX = 1_000
"""Of 200 machines each."""

EPILOG = """\b
Examples:
  holdfast machine up --slots 4                 this machine, with four slots
  holdfast machine up --slots 2 -- ./worker     and a command kept in each
  holdfast machine list --available
  holdfast machine show                         this machine
  holdfast machine maintenance build-7 --reason "new disks"
  holdfast machine online build-7
  holdfast machine remove build-7

\b
MACHINE is an id, the end of one, or a hostname that only one machine has.
Without one, it is this machine.

\b
Exit codes: `holdfast --help` lists them.
"""

UP_EPILOG = """\b
Examples:
  holdfast machine up --slots 4
  holdfast machine up --slots 2 --restart on-failure:5 -- ./worker --queue nightly
  holdfast machine up                            presence only; slots stay as they are

\b
While it runs, this machine is online, and each `holdfast run` of this user that
is killed is reported at once, rather than when its lease is over. A command
finds its slot in HOLDFAST_SLOT, besides what `holdfast run` gives it.

\b
It ends on SIGTERM or Ctrl-C, its commands first; a second one kills them.
Given a command, it ends by itself when every slot's command has: 0 if all
succeeded, else 1. Runs in other terminals go on.
"""


@click.group("machine", cls=Noun, short_help="Machines, their slots, and the agent of this one.", epilog=EPILOG)
def machine_command() -> None:
    """List, register and change machines, and look after this one."""


@machine_command.command("list", short_help="List machines and who is in their slots.")
@click.option("--available", "is_available", is_flag=True, help="On which a session can begin.")
@click.option("--status", type=click.Choice([str(each) for each in MachineStatus]), help="Only these.")
@url_option
@json_option
def list_command(*, is_available: bool, status: str | None, url: str | None, is_json: bool) -> None:
    """List machines and who is in their slots."""
    if is_available and status is not None:
        raise click.UsageError("--available and --status do not go together.")
    show_machines(connect(url), is_available=is_available, status=status, is_json=is_json)


def show_everywhere(api: "Api", *, is_json: bool) -> None:
    """Print all machines, and for a person also who works on this one without a server, whether one answers or not."""
    from holdfast.client.api import Unreachable
    from holdfast.doors.cli.workspaces import show_presences

    try:
        show_machines(api, is_available=False, status=None, is_json=is_json)
    except Unreachable as unreachable:
        if is_json or not show_presences():
            raise
        click.echo(f"No Holdfast server answers at {unreachable.url}: no machines of one are listed.", err=True)
        return
    if not is_json:
        show_presences()


def show_machines(api: "Api", *, is_available: bool, status: str | None, is_json: bool) -> None:
    """Print machines as a table, or as JSON."""
    from holdfast.doors.cli import terminal
    from holdfast.doors.cli.pages import every_item

    now = present(api.request("GET", "/v1/machines", query={"limit": "1"}))
    path = "/v1/machines/available" if is_available else "/v1/machines"
    listed = list(every_item(api, path, {} if status is None else {"status": status}, pages_max=PAGES_MAX))
    if is_json:
        click.echo(json.dumps(listed, indent=2))
    elif listed:
        terminal.echo_lines(table(listed, now=now, width=terminal.width()))
    elif is_available or status is not None:
        terminal.echo("No machine is like that. `holdfast machine list` lists all.")
    else:
        terminal.echo("No machine is registered. Register this one: holdfast machine up --slots 4")


@machine_command.command("show", short_help="Show a machine and its slots.")
@click.argument("machine", required=False)
@url_option
@json_option
def show_command(*, machine: str | None, url: str | None, is_json: bool) -> None:
    """Show MACHINE and each of its slots; without one, this machine."""
    from holdfast.doors.cli import fields, terminal

    api = connect(url)
    answer = api.request("GET", _path(find_machine_id(api, machine)))
    found = fields.document_of(api, answer)
    if is_json:
        click.echo(json.dumps(found, indent=2))
    else:
        terminal.echo_lines(lines_of(found, now=present(answer), width=terminal.width()))


@machine_command.command("maintenance", short_help="Let nothing new begin on a machine.")
@click.argument("machine", required=False)
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit.")
@url_option
@json_option
def maintenance_command(*, machine: str | None, reason: str | None, url: str | None, is_json: bool) -> None:
    """Put MACHINE into maintenance: what runs there goes on, and nothing new begins."""
    _declare(machine, MachineStatus.MAINTENANCE, reason=reason, url=url, is_json=is_json)


@machine_command.command("online", short_help="End a machine's maintenance.")
@click.argument("machine", required=False)
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit.")
@url_option
@json_option
def online_command(*, machine: str | None, reason: str | None, url: str | None, is_json: bool) -> None:
    """Have MACHINE take sessions again. It goes offline in its time if nobody beats for it."""
    _declare(machine, MachineStatus.ONLINE, reason=reason, url=url, is_json=is_json)


@machine_command.command("remove", short_help="Forget a machine and its slots.")
@click.argument("machine", required=False)
@url_option
@json_option
def remove_command(*, machine: str | None, url: str | None, is_json: bool) -> None:
    """Forget MACHINE and its slots. It must have no session in any of them."""
    from holdfast.doors.cli import terminal

    api = connect(url)
    machine_id = find_machine_id(api, machine)
    answer = api.request("DELETE", _path(machine_id), idempotency_key=secrets.token_hex(16))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"Machine {machine_id} is forgotten.")


@machine_command.command(
    "up",
    short_help="Look after this machine while it is up.",
    epilog=UP_EPILOG,
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--slots", type=click.IntRange(min=0), metavar="N", help="How many. Default: as they are; 1 for a COMMAND."
)
@click.option("--name", metavar="TEXT", help="The name that others see. Default: this hostname.")
@click.option(
    "--restart",
    default="no",
    metavar="WHEN",
    help="no (the default), on-failure or on-failure:N: run a command again when it fails, at most N times in a row.",
)
@click.option("--agent", metavar="NAME", help="Who works. Default: the command's name.")
@click.option("--scope", metavar="TEXT", help="What COMMAND works on. Default: as for `holdfast run`.")
@click.option("--project", metavar="ID", help="To which project that belongs: COMMAND claims its tasks.")
@click.option(
    "--heartbeat-interval", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Default: 5."
)
@click.option(
    "--lease", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Default: 15, or three intervals."
)
@click.option(
    "--stop-grace",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long commands may take to end before they are killed.",
)
@url_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def up_command(
    *,
    slots: int | None,
    name: str | None,
    restart: str,
    agent: str | None,
    scope: str | None,
    project: str | None,
    heartbeat_interval: float | None,
    lease: float | None,
    stop_grace: float,
    url: str | None,
    command: tuple[str, ...],
) -> None:
    """Register this machine, say that it is there, and report what dies here at once.

    With COMMAND, one is kept running in each slot, as a session.
    """
    import os
    import sys
    from pathlib import Path

    from holdfast.client.directories import data_directory, machine_id
    from holdfast.client.spool import Spool
    from holdfast.runner.machine_agent import AgentOptions, MachineAgent, this_hostname
    from holdfast.runner.messages import say
    from holdfast.runner.restart import parse
    from holdfast.runner.run import inherited_environ
    from holdfast.runner.schedule import pace_of
    from holdfast.runner.scopes import scope_here

    if sys.platform == "win32":
        raise click.UsageError("holdfast machine up needs Linux or macOS; on Windows, use it inside WSL.")
    try:
        restart_policy = parse(restart)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--restart") from exc
    try:
        pace = pace_of(interval_seconds=heartbeat_interval, lease_seconds=lease)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    environ = inherited_environ()
    data_dir = data_directory(os.environ)
    this_machine = machine_id(data_dir)
    options = AgentOptions(
        machine_id=this_machine,
        hostname=name or this_hostname(),
        slots=1 if command and slots is None else slots,
        command=command,
        agent=agent or (Path(command[0]).name if command else "machine"),
        scope=scope_here(scope, machine_id=this_machine, environ=environ) if command else None,
        project_id=project,
        pace=pace,
        presence=pace,
        restart_policy=restart_policy,
        stop_grace_seconds=stop_grace,
    )
    spool = Spool(data_dir / "spool", tell=say)
    sys.exit(MachineAgent(connect(url), spool, options, environ).run())


def find_machine_id(api: "Api", given: str | None) -> str:
    """The id of the machine that is named: by its id, the end of it, or its hostname; None: this machine.

    Raises: Missing where none or several are named so.
    """
    import os

    from holdfast.client.directories import data_directory, machine_id
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.failures import Missing
    from holdfast.doors.cli.pages import every_item

    if given is None:
        return machine_id(data_directory(os.environ))
    listed = list(every_item(api, "/v1/machines", {"q": given}, pages_max=PAGES_MAX))
    ids = {fields.text(each, "id") for each in listed}
    if given in ids:
        return given
    named = [fields.text(each, "id") for each in listed if fields.text(each, "hostname") == given]
    matching = named or [each for each in ids if each.endswith(given)]
    if not matching:
        raise Missing(f"There is no machine called {given}. `holdfast machine list` lists them.")
    if len(matching) > 1:
        raise Missing(f"{len(matching)} machines are called {given}. Give an id: {', '.join(sorted(matching)[:5])}")
    return matching[0]


def table(machines: "Sequence[Mapping[str, Json]]", *, now: float, width: int | None) -> "list[Line]":
    """A line of titles and a line a machine, within the width."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import ago, short_id

    rows = []
    for each in machines:
        taken = [slot for slot in fields.children(each, "slots") if slot.get("status") == "taken"]
        count, free = fields.number(each, "slot_count") or 0, fields.number(each, "slots_free") or 0
        rows.append(
            [
                Span(fields.text(each, "id"), "bold" if each.get("available") else "dim"),
                Span(fields.text(each, "hostname")),
                _status(each, now=now),
                Span(f"{free:.0f} of {count:.0f} free" if count else "none"),
                Span(", ".join(f"{slot.get('number')}:{short_id(fields.text(slot, 'session_id'))}" for slot in taken)),
                Span(ago(fields.at(each, "last_heartbeat_at"), now=now)),
            ]
        )
    columns = [
        Column("ID", comfort=12, least=8, cut="start"),
        Column("HOST", comfort=12, least=8, most=32),
        Column("STATUS"),
        Column("SLOTS"),
        Column("SESSIONS", comfort=16, drop=2),
        Column("BEAT", drop=1),
    ]
    return render(columns, rows, width=width)


def lines_of(machine: "Mapping[str, Json]", *, now: float, width: int | None) -> "list[Line]":
    """A machine as a person reads it, and a line for each slot."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import ago

    beat = ago(fields.at(machine, "last_heartbeat_at"), now=now)
    head = f"  {fields.text(machine, 'hostname')}, beat {beat}"
    lines: list[Line] = [(Span(fields.text(machine, "id"), "bold"), Span("  "), _status(machine, now=now), Span(head))]
    slots = fields.children(machine, "slots")
    if not slots:
        return [*lines, (Span("  It has no slots, so any number of sessions can run on it.", "dim"),)]
    styles = {"free": "green", "taken": "", "disabled": "dim"}
    rows = [
        [
            Span(f"{fields.number(slot, 'number') or 0:.0f}"),
            Span(fields.text(slot, "status"), styles.get(fields.text(slot, "status"), "")),
            Span(fields.text(slot, "session_id")),
            Span(ago(fields.at(slot, "since"), now=now)),
            Span(_limits(slot)),
            Span(fields.text(slot, "label") or fields.text(slot, "container_id")),
        ]
        for slot in slots
    ]
    columns = [
        Column("SLOT"),
        Column("STATUS"),
        Column("SESSION", comfort=31, least=8, cut="start"),
        Column("SINCE"),
        Column("LIMITS", drop=1),
        Column("LABEL", comfort=8, drop=2),
    ]
    return [*lines, *render(columns, rows, width=width)]


def _status(machine: "Mapping[str, Json]", *, now: float) -> "Span":
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.words import duration

    status = fields.text(machine, "status")
    since = fields.at(machine, "status_changed_at")
    style = {"online": "green", "offline": "red", "maintenance": "yellow"}.get(status, "")
    return Span(status if status == "online" or since is None else f"{status} for {duration(now - since)}", style)


def _limits(slot: "Mapping[str, Json]") -> str:
    from holdfast.doors.cli import fields

    cpu, memory = fields.number(slot, "cpu"), fields.number(slot, "memory_mb")
    return ", ".join([*([f"{cpu:g} cpu"] if cpu is not None else []), *([f"{memory:.0f} MB"] if memory else [])])


def _declare(given: str | None, status: MachineStatus, *, reason: str | None, url: str | None, is_json: bool) -> None:
    from holdfast.doors.cli import terminal

    api = connect(url)
    machine_id = find_machine_id(api, given)
    body: dict[str, Json] = {"status": status.value}
    if reason is not None:
        body["reason"] = reason
    answer = api.request("PATCH", _path(machine_id), body=body, idempotency_key=secrets.token_hex(16))
    if is_json:
        click.echo(json.dumps(answer.body, indent=2))
    else:
        terminal.echo(f"Machine {machine_id} is {'in ' if status == MachineStatus.MAINTENANCE else ''}{status.value}.")


def _path(machine_id: str) -> str:
    return f"/v1/machines/{quote(machine_id, safe='')}"
