"""`holdfast ps`: who is working, on what, alive or late, and why."""

import json
import re

import click

from holdfast.domain.liveness import Liveness
from holdfast.domain.session import Status
from holdfast.domain.task import TaskStatus
from holdfast.doors.cli.options import connect, json_option, url_option
from holdfast.doors.cli.table import Selection, footer, read_sessions, table

ROWS_DEFAULT = 200
"""Sessions in a table, unless `--limit` says otherwise: some screens full."""

SPOOL_SECONDS_MAX = 2.0
"""How long the delivery of earlier reports may hold up a table."""

SPOOL_REQUEST_SECONDS = 1.0

UNFINISHED = (TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED, TaskStatus.PENDING)

EPILOG = """\b
Examples:
  holdfast ps
  holdfast ps --watch
  holdfast ps --status failed --status abandoned
  holdfast ps --all --agent claude --limit 50
  holdfast ps --machines
  holdfast ps --tasks                what is to be done, and who does it
  holdfast ps --json | jq -r '.[].id'

\b
STATUS says why: `active, beat 3 s ago`; `late by 12 s` since a beat was due;
`stalled: silent for 20 s, lease 15 s`; `failed: exit code 1`.
ID is the end of the session's whole id, and the other verbs take it so.

\b
Exit codes: `holdfast --help` lists them.
"""


@click.command("ps", short_help="List sessions: who works on what, alive or late, and why.", epilog=EPILOG)
@click.option("-a", "--all", "is_all", is_flag=True, help="All that are kept, whatever became of them.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice([str(each) for each in Status]), help="May be repeated."
)
@click.option("--liveness", type=click.Choice([str(each) for each in Liveness]), help="By whether the lease is held.")
@click.option("--scope", metavar="TEXT", help="On a scope that contains this, such as acme/api.")
@click.option("--agent", metavar="NAME", help="Of this agent.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help=f"At most N. Default: {ROWS_DEFAULT}; all with --json."
)
@click.option("--machines", "is_machines", is_flag=True, help="List machines, and who is in their slots.")
@click.option("--tasks", "is_of_tasks", is_flag=True, help="List the tasks that are not finished instead.")
@click.option("--projects", "is_of_projects", is_flag=True, help="List the projects instead.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Keep it up to date; q leaves.")
@url_option
@json_option
def ps_command(
    *,
    is_all: bool,
    statuses: tuple[str, ...],
    liveness: str | None,
    scope: str | None,
    agent: str | None,
    limit: int | None,
    is_machines: bool,
    is_of_tasks: bool,
    is_of_projects: bool,
    is_watching: bool,
    url: str | None,
    is_json: bool,
) -> None:
    """List sessions: who works on what, alive or late, and why.

    Those under way; those that failed and that nobody has taken over or given up; those that ended within the last
    five minutes. With --all, --status or --liveness, any.
    """
    from holdfast.doors.cli import terminal

    if is_machines:
        if is_all or statuses or liveness or scope or agent or limit or is_watching:
            raise click.UsageError("--machines goes with --json and --url alone; for more, use: holdfast machine list")
        from holdfast.doors.cli.machines import show_everywhere

        show_everywhere(connect(url), is_json=is_json)
        return
    if is_of_tasks or is_of_projects:
        has_filters = statuses or liveness or scope or agent or is_watching
        if has_filters or (is_of_tasks and is_of_projects) or (is_of_projects and limit):
            raise click.UsageError("--tasks takes --all and --limit, --projects neither; both are lists of their own.")
        _list_work(url, is_of_tasks=is_of_tasks, is_all=is_all, limit=limit, is_json=is_json)
        return
    # The server compares texts as they are stored, percent-encoded; a plain piece of them is in both forms.
    piece = max(re.findall(r"[A-Za-z0-9_-]+", scope or ""), key=len, default=None)
    filters = {"liveness": liveness, "agent": agent, "q": piece}
    selection = Selection(
        statuses=statuses,
        is_all=is_all or (liveness is not None and not statuses),
        filters={name: value for name, value in filters.items() if value is not None},
        scope=scope or "",
        items_max=limit if limit is not None or is_json else ROWS_DEFAULT,
    )
    if is_watching:
        if is_json or not terminal.is_terminal():
            raise click.UsageError("--watch needs a terminal; without one, use ps or ps --json.")
        from holdfast.doors.cli.watch import watch

        watch(connect(url), selection)
        return
    api = connect(url)
    remarks = _deliver_spool(url)
    sessions, now = read_sessions(api, selection)
    if is_json:
        click.echo(json.dumps(sessions, indent=2))
    elif sessions:
        terminal.echo_lines(table(sessions, now=now, width=terminal.width()))
        if terminal.is_terminal():
            terminal.echo()
            terminal.echo_lines(footer(sessions, items_max=selection.items_max))
    else:
        for line in _nothing(selection):
            terminal.echo(line, is_error=not terminal.is_terminal())
    for remark in remarks:
        terminal.echo(remark, is_error=True)


def _list_work(url: str | None, *, is_of_tasks: bool, is_all: bool, limit: int | None, is_json: bool) -> None:
    """Print tasks or projects."""
    from holdfast.doors.cli.projects import echo_projects
    from holdfast.doors.cli.tasks import echo_tasks

    api = connect(url)
    if not is_of_tasks:
        echo_projects(api, {}, is_json=is_json)
        return
    queries: list[dict[str, str]] = [{}] if is_all else [{"status": status.value} for status in UNFINISHED]
    echo_tasks(api, queries, limit=limit, is_json=is_json)


def _nothing(selection: Selection) -> list[str]:
    if selection.filters or selection.statuses:
        return ["No session is like that. `holdfast ps --all` lists all."]
    if selection.is_all:
        return ["There are no sessions yet.", "Begin one: holdfast run -- COMMAND"]
    return [
        "Nobody is working.",
        "Begin a session: holdfast run -- COMMAND",
        "Those that are over: holdfast ps --all",
    ]


def _deliver_spool(url: str | None) -> list[str]:
    """Tell the server of sessions that it missed, as far as that is quickly done; what was set aside on the way."""
    import os
    import threading

    from holdfast.client.directories import data_directory

    directory = data_directory(os.environ) / "spool"
    if not any(directory.glob("*.json")):
        return []

    from holdfast.client.spool import Spool

    remarks: list[str] = []
    spool = Spool(directory, tell=remarks.append)
    api = connect(url, timeout_seconds=SPOOL_REQUEST_SECONDS)

    def deliver() -> None:
        try:
            spool.deliver(api)
        finally:
            api.close()

    delivery = threading.Thread(target=deliver, daemon=True)
    delivery.start()
    delivery.join(SPOOL_SECONDS_MAX)
    return remarks
