"""`holdfast jobs` and `holdfast cleanup`: what is done with old rows by itself, and what an operator deletes."""

import json
import secrets
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from holdfast.domain.session import Status
from holdfast.doors.cli.options import connect, json_option, present, url_option

if TYPE_CHECKING:
    from holdfast.client.api import Api, Json

TERMINAL = (Status.ENDED, Status.FAILED, Status.ABANDONED)

OLDER_THAN_DAYS_DEFAULT = 30

STEPS_MAX = 1_000_000
"""Requests of one cleanup, of 200 sessions each: more than anybody has."""

JOBS_EPILOG = """\b
Examples:
  holdfast jobs
  holdfast jobs --json

\b
Each job deletes or archives one kind of row once it was kept long enough;
`holdfast config` shows for how long. One node of several runs it.

\b
Exit codes: `holdfast --help` lists them.
"""

CLEANUP_EPILOG = """\b
Examples:
  holdfast cleanup --dry-run
  holdfast cleanup --older-than 7 --status ended
  holdfast cleanup --older-than 90 --yes --json

\b
Never deleted: a session that is live, or that holds its scope. A session that
broke off and left a checkpoint which nobody was given is kept as well, unless
--include-unread says otherwise.

\b
Exit codes: `holdfast --help` lists them; 1 also where the answer was no.
"""


@click.command("jobs", short_help="Show the recurring jobs and how they went.", epilog=JOBS_EPILOG)
@url_option
@json_option
def jobs_command(*, url: str | None, is_json: bool) -> None:
    """Show the recurring jobs: what each did last, what failed, and when it runs next. Needs an operator's key."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.layout import Column, Span
    from holdfast.doors.cli.listing import Item, echo_list

    api = connect(url)
    answer = api.request("GET", "/v1/jobs")
    now = present(answer)

    def row(job: Item) -> list[Span]:
        return [
            Span(text, "red" if text and name == "last_error" else "") for name, text in _shown(job, now=now).items()
        ]

    columns = [
        Column("JOB"),
        Column("KEEPS"),
        Column("LAST RUN"),
        Column("TOOK", drop=3),
        Column("ROWS"),
        Column("RUNS", drop=2),
        Column("FAILED", drop=1),
        Column("NEXT"),
        Column("ERROR", comfort=20, least=8),
    ]
    echo_list(fields.children(fields.document_of(api, answer), "items"), columns, row, is_json=is_json)


def _shown(job: "dict[str, Json]", *, now: float) -> dict[str, str]:
    """A job's columns in words."""
    from holdfast.doors.cli import fields
    from holdfast.doors.cli.words import age, ago, duration

    took = fields.number(job, "last_duration_seconds")
    last_at, next_at = fields.at(job, "last_run_at"), fields.at(job, "next_run_at")
    counts = {name: fields.number(job, name) for name in ("last_count", "run_count", "failure_count")}
    keep_seconds = fields.number(job, "keep_seconds")
    if job.get("is_on") is not True:
        keeps, next_run = "for ever", "never"
    else:
        keeps = "" if keep_seconds is None else age(keep_seconds) if keep_seconds else "as told"
        next_run = "soon" if next_at is None or next_at <= now else f"in {duration(next_at - now)}"
        if fields.text(job, "claimed_by"):
            next_run = f"runs on {fields.text(job, 'claimed_by')}"
    return {
        "name": fields.text(job, "name"),
        "keeps": keeps,
        "last_run": ago(last_at, now=now) or "never",
        "took": "" if took is None else f"{took:.1f} s",
        **{name: "" if count is None else f"{int(count):,}" for name, count in counts.items()},
        "next_run": next_run,
        "last_error": fields.text(job, "last_error"),
    }


@click.command("cleanup", short_help="Delete the records of finished sessions.", epilog=CLEANUP_EPILOG)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--older-than",
    type=click.IntRange(min=1),
    default=OLDER_THAN_DAYS_DEFAULT,
    show_default=True,
    metavar="DAYS",
    help="Sessions that have been over for so many days.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([str(each) for each in TERMINAL]),
    metavar="STATUS",
    help=f"One of {', '.join(TERMINAL)}. May be repeated. Default: all of them.",
)
@click.option("--include-unread", is_flag=True, help="Also those whose last checkpoint nobody was given.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@json_option
def cleanup_command(
    *,
    dry_run: bool,
    older_than: int,
    statuses: tuple[str, ...],
    include_unread: bool,
    yes: bool,
    url: str | None,
    is_json: bool,
) -> None:
    """Delete the records of sessions that have been over for long, with their checkpoints. Needs an operator's key.

    What would be deleted is counted first, and you are asked.
    """
    from holdfast.doors.cli import terminal

    body: dict[str, Json] = {"older_than_days": older_than, "include_unread": include_unread}
    if statuses:
        body["statuses"] = list(statuses)
    api = connect(url)
    expected = None
    if dry_run or not yes:
        expected = _cleaned(api, {**body, "dry_run": True}, expected=None)
        if dry_run or not expected.sessions:
            _tell(expected, is_dry_run=dry_run, is_json=is_json)
            return
        if is_json or not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: add --yes to delete, or --dry-run to count.")
        terminal.echo(f"{_words(expected, verb='will be deleted')}; this cannot be undone.", is_error=True)
        click.confirm("Delete them?", abort=True, err=True)
    _tell(_cleaned(api, {**body, "dry_run": False}, expected=expected), is_dry_run=False, is_json=is_json)


class _Counts(NamedTuple):
    sessions: int = 0
    checkpoints: int = 0
    kept_unread: int = 0


def _cleaned(api: "Api", body: "dict[str, Json]", *, expected: _Counts | None) -> _Counts:
    """What a whole cleanup deleted, or would; told on the way where somebody looks."""
    total = _Counts()
    is_shown = sys.stderr.isatty()
    for step in _steps(api, body):
        total = _Counts(*(before + more for before, more in zip(total, step, strict=True)))
        if is_shown:
            of = "" if expected is None else f" of {expected.sessions:,}"
            verb = "counted" if body["dry_run"] else "deleted"
            click.echo(f"\r{total.sessions:,}{of} sessions {verb}", nl=False, err=True)
    if is_shown:
        click.echo("\r\x1b[K", nl=False, err=True)
    return total


def _steps(api: "Api", body: "dict[str, Json]") -> Iterator[_Counts]:
    from holdfast.doors.cli import fields

    cursor = ""
    for _ in range(STEPS_MAX):
        asked: dict[str, Json] = {**body, "cursor": cursor} if cursor else body
        answer = api.request("POST", "/v1/cleanup", body=asked, idempotency_key=secrets.token_hex(16))
        done = fields.document_of(api, answer)
        deleted = fields.child(done, "deleted")
        counts = (fields.number(deleted, "sessions"), fields.number(deleted, "checkpoints"))
        yield _Counts(*(int(each or 0) for each in (*counts, fields.number(done, "kept_unread"))))
        cursor = fields.text(done, "next_cursor")
        if not cursor:
            return


def _tell(counts: _Counts, *, is_dry_run: bool, is_json: bool) -> None:
    from holdfast.doors.cli import terminal

    if is_json:
        deleted = {"sessions": counts.sessions, "checkpoints": counts.checkpoints}
        document = {"dry_run": is_dry_run, "deleted": deleted, "kept_unread": counts.kept_unread}
        click.echo(json.dumps(document, indent=2))
        return
    terminal.echo(f"{_words(counts, verb='would be deleted' if is_dry_run else 'deleted')}.")
    if counts.kept_unread:
        kept = f"{counts.kept_unread:,} kept: they broke off and left a checkpoint that nobody was given."
        terminal.echo(f"{kept} --include-unread deletes them too.")


def _words(counts: _Counts, *, verb: str) -> str:
    from holdfast.doors.cli.words import plural

    return f"{plural(counts.sessions, 'session')} and {plural(counts.checkpoints, 'checkpoint')} {verb}"
