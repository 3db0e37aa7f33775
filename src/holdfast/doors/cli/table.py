"""`holdfast ps`: who is working, on what, alive or late, and why."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import click

from holdfast.domain.liveness import Liveness
from holdfast.domain.session import Status
from holdfast.domain.task import TaskStatus
from holdfast.doors.cli.options import connect, json_option, present, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Api, Json
    from holdfast.doors.cli.layout import Line

RECENTLY_SECONDS = 300
"""How long after its end a session is still listed."""

RECENT_BEAT_SECONDS = 3_600
"""Sessions that ended recently are looked for among those that beat since then."""

ROWS_DEFAULT = 200
"""Sessions in a table, unless `--limit` says otherwise: some screens full."""

PAGES_MAX = 10_000
"""Of 200 sessions each."""

SPOOL_SECONDS_MAX = 2.0
"""How long the delivery of earlier reports may hold up a table."""

SPOOL_REQUEST_SECONDS = 1.0

UNDER_WAY = (Status.ACTIVE, Status.PAUSED, Status.PARKED, Status.STALLED)

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


@dataclass(frozen=True)
class Selection:
    """Which sessions are wanted.

    statuses: none: those that are of interest. filters: as the server knows them. items_max: None: all.
    scope: a part of it, as it is written or as a table shows it; empty: any.
    """

    statuses: tuple[str, ...]
    is_all: bool
    filters: Mapping[str, str]
    scope: str
    items_max: int | None

    def is_on_scope(self, scope: str) -> bool:
        """Whether a session's scope is one that is wanted."""
        from holdfast.doors.cli.words import scope_words

        return self.scope in scope or self.scope in scope_words(scope)


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


def read_sessions(api: "Api", selection: Selection) -> "tuple[list[dict[str, Json]], float]":
    """The selected sessions in the order in which they are shown, and the present by the server's clock.

    Raises: Unreachable, ApiRefusal.
    """
    now = present(api.request("GET", "/v1/sessions", query={"limit": "1"}))
    return list(islice(_selected(api, selection, now=now), selection.items_max)), now


def _selected(api: "Api", selection: Selection, *, now: float) -> "Iterator[dict[str, Json]]":
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.pages import every_item

    def listed(**query: str) -> "Iterator[dict[str, Json]]":
        asked = {**selection.filters, **query}
        found = every_item(api, "/v1/sessions", asked, pages_max=PAGES_MAX)
        return (each for each in found if selection.is_on_scope(fields.text(each, "scope")))

    if selection.statuses:
        for status in selection.statuses:
            yield from listed(status=status)
        return
    if selection.is_all:
        yield from listed()
        return
    for status in UNDER_WAY:
        yield from listed(status=status)
    yield from (each for each in listed(status=Status.FAILED) if not fields.text(each, "taken_over_by"))
    since = _rfc3339(now - RECENT_BEAT_SECONDS)
    for each in listed(status=Status.ENDED, heartbeat_after=since):
        if now - (fields.at(each, "ended_at") or 0) < RECENTLY_SECONDS:
            yield each


def _rfc3339(at: float) -> str:
    from holdfast.domain.times import rfc3339

    return rfc3339(int(at * 1000))


def table(sessions: "Sequence[Mapping[str, Json]]", *, now: float, width: int | None) -> "list[Line]":
    """A line of titles and a line a session, within the width."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import age, note_words, place_words, scope_words, short_ids, status_words

    columns = [
        Column("ID"),
        Column("AGENT", comfort=14, least=8, most=24),
        Column("SCOPE", comfort=22, least=12, most=60, cut="start"),
        Column("STATUS", comfort=37, least=32),
        Column("AGE"),
        Column("WHERE", comfort=16, most=32, drop=2),
        Column("DOING", comfort=20, drop=1),
    ]
    names = short_ids(fields.text(each, "id") for each in sessions)
    rows = []
    for each in sessions:
        started_at = fields.at(each, "started_at")
        is_over = each.get("liveness") is None
        rows.append(
            [
                Span(names[fields.text(each, "id")], "dim" if is_over else "bold"),
                Span(fields.text(each, "agent")),
                Span(scope_words(fields.text(each, "scope"))),
                status_words(each, now=now),
                Span("" if started_at is None else age(now - started_at)),
                Span(place_words(each), "dim"),
                Span(note_words(each)),
            ]
        )
    return render(columns, rows, width=width)


def footer(sessions: "Sequence[Mapping[str, Json]]", *, items_max: int | None) -> "list[Line]":
    """How many there are of each kind, and what to type about those that fell silent."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Span
    from holdfast.doors.cli.words import plural, short_id

    counts: dict[str, int] = {}
    for each in sessions:
        kind = _kind(each)
        counts[kind] = counts.get(kind, 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    more = " There may be more: --limit N." if items_max is not None and len(sessions) >= items_max else ""
    lines: list[Line] = [(Span(f"{plural(len(sessions), 'session')}: {told}.{more}", "dim"),)]
    lapsed = [short_id(fields.text(each, "id")) for each in sessions if _can_be_taken_over(each)]
    if lapsed:
        which = lapsed[0] if len(lapsed) == 1 else "ID"
        lines.append((Span(f"See why:        holdfast explain {which}", "dim"),))
        lines.append((Span(f'Go on with it:  holdfast takeover {which} --reason "…"', "dim"),))
    return lines


def _kind(session: "Mapping[str, Json]") -> str:
    alive, status = session.get("liveness"), str(session.get("status"))
    return str(alive) if status in ("active", "paused") and alive in ("late", "lapsed") else status


def _can_be_taken_over(session: "Mapping[str, Json]") -> bool:
    return session.get("liveness") == Liveness.LAPSED and not session.get("taken_over_by")


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
