"""Verbs on a database as a whole, past any server: migrate, backup, restore, mark-restored, copy, doctor."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from holdfast.doors.cli.options import connect, json_option, url_option

if TYPE_CHECKING:
    from holdfast.config import Settings
    from holdfast.maintenance.backups import Checked
    from holdfast.maintenance.restoring import Replaced

F = TypeVar("F", bound=Callable[..., object])

PROGRESS_SECONDS = 0.2
"""How often a terminal is told how far it is; whoever reads a file hears it every PROGRESS_LINE_SECONDS."""

PROGRESS_LINE_SECONDS = 5.0

NICE = 10
"""How far a backup stands back behind a server on the same machine."""

EXIT_CODES = """
\b
Exit codes: 0 done; 1 failed; 2 usage; 3 refused; 4 not now, or not in this
state; 5 the database does not answer.
"""


def database_options(command: F) -> F:
    """Which database; found as `holdfast serve` finds its own."""
    options = (
        click.option(
            "--database", "database_url", metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME."
        ),
        click.option("--config", "config", metavar="FILE", help="A TOML file with settings."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "migrate",
    short_help="Bring the database's schema up to this release's.",
    epilog="""\b
Examples:
  holdfast migrate --dry-run
  holdfast migrate --database postgresql://holdfast@db.internal/holdfast
"""
    + EXIT_CODES,
)
@database_options
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only say what would be done.")
@json_option
def migrate_command(*, is_dry_run: bool, is_json: bool, **flags: str | None) -> None:
    """Bring the database's schema up to this release's.

    All of it or, where anything goes wrong, nothing. A SQLite file is copied first, beside itself, and no server may
    have it; `holdfast serve` does the same by itself. On PostgreSQL the nodes of the release before go on meanwhile.
    """
    from holdfast.maintenance.migrating import migrate

    done = migrate(_settings(flags).database_url, is_dry_run=is_dry_run, on_progress=_Told(is_json=is_json))
    if is_json:
        _say_json(done._asdict())
        return
    if not done.migrations:
        click.echo(f"Nothing to do: the database has schema {done.schema_before}, which this release serves.")
        return
    verb = "Would apply" if is_dry_run else "Applied"
    click.echo(f"{verb} {', '.join(done.migrations)}: schema {done.schema_before} to {done.schema_after}.")
    if done.copied_to is not None:
        click.echo(f"The database as it was {'would be' if is_dry_run else 'is'} copied to {done.copied_to}.")


@click.command(
    "backup",
    short_help="Write a backup, while servers go on.",
    epilog="""\b
Examples:
  holdfast backup /backups/holdfast-$(date +%F).db
  holdfast backup --check /backups/holdfast-2026-01-17.db
  holdfast backup --force b.db --database postgresql://db.internal/holdfast
"""
    + EXIT_CODES,
)
@click.argument("file", type=click.Path(path_type=Path))
@database_options
@click.option("--force", "is_forced", is_flag=True, help="Replace FILE if it is there.")
@click.option("--check", "is_check", is_flag=True, help="Only check the backup FILE; write nothing.")
@json_option
def backup_command(*, file: Path, is_forced: bool, is_check: bool, is_json: bool, **flags: str | None) -> None:
    """Write what the database holds at this moment to FILE; servers may go on.

    FILE appears when it is whole, checked and on the disk. It is one SQLite file, of whatever kind the database is,
    with a checksum of every table. `holdfast restore` makes a database of it again, of either kind.
    """
    from holdfast.config import without_password
    from holdfast.maintenance import backups

    told = _Told(is_json=is_json)
    path = file.absolute()
    source = ""
    if is_check:
        checked = backups.check(path, on_progress=told)
    else:
        os.nice(NICE)
        database_url = _settings(flags).database_url
        source = without_password(database_url)
        checked = backups.back_up(database_url, path, is_forced=is_forced, on_progress=told)
    if is_json:
        _say_json(_backup_document(checked) | ({"database_url": source} if source else {}))
    else:
        _say_backup(checked, f"Written from {source}" if source else "Whole")
    if checked.broken:
        click.get_current_context().exit(1)


def _say_backup(checked: "Checked", what: str) -> None:
    from holdfast.domain.times import rfc3339
    from holdfast.doors.cli import terminal

    about = f"{checked.path}, {checked.rows} rows, schema {checked.schema}"
    if checked.manifest is None:
        terminal.echo(f"Sound: {about}. It is a plain copy, and has no checksums to go by.")
    else:
        terminal.echo(f"{what}: {about}, made {rfc3339(checked.manifest.made_at_ms)}.")
    for broken in checked.broken:
        terminal.echo(broken, is_error=True)


def _backup_document(checked: "Checked") -> dict[str, Any]:
    document: dict[str, Any] = {"path": checked.path, "schema": checked.schema, "rows": checked.rows}
    document |= {"bytes": checked.path.stat().st_size, "broken": checked.broken}
    if checked.manifest is not None:
        document["manifest"] = checked.manifest._asdict() | {
            "tables": {name: each._asdict() for name, each in checked.manifest.tables.items()}
        }
    return document


@click.command(
    "restore",
    short_help="Make a database of a backup.",
    epilog="""\b
Examples:
  holdfast restore /backups/holdfast-2026-01-17.db
  holdfast restore /backups/holdfast-2026-01-17.db --replace
  holdfast restore b.db --database postgresql://db.internal/holdfast
"""
    + EXIT_CODES,
)
@click.argument("file", type=click.Path(path_type=Path))
@database_options
@click.option(
    "--replace", "may_replace", is_flag=True, help="Put it in the place of what is there; that is kept aside."
)
@json_option
def restore_command(*, file: Path, may_replace: bool, is_json: bool, **flags: str | None) -> None:
    """Make a database of the backup FILE. Stop every server first.

    A new history begins: fencing tokens go on above everything that can have been issued, and cursors of events of the
    old history answer 410. Sessions that were alive in the backup have as long a lease as they had then. Until it is
    done, and if it is killed, the database is as it was.
    """
    from holdfast.maintenance.restoring import restore

    done = restore(
        file.absolute(), _settings(flags).database_url, may_replace=may_replace, on_progress=_Told(is_json=is_json)
    )
    _say_replaced(done, "Restored", is_json=is_json)
    _say_as_it_was(is_json=is_json)


@click.command(
    "mark-restored",
    short_help="Begin a new history after a restore by other means.",
    epilog="""\b
Examples:
  holdfast mark-restored
  holdfast mark-restored --database postgresql://db.internal/holdfast
"""
    + EXIT_CODES,
)
@database_options
@json_option
def mark_restored_command(*, is_json: bool, **flags: str | None) -> None:
    """Begin a new history in a database that was restored by other means: a copied file, a snapshot, pg_restore.

    Do this before any server starts on it, or tokens that were issued after the snapshot would be issued again.
    """
    from holdfast.maintenance.restoring import mark_restored

    _say_replaced(mark_restored(_settings(flags).database_url), "Marked as restored", is_json=is_json)
    _say_as_it_was(is_json=is_json)


@click.command(
    "copy",
    short_help="Move everything to another database.",
    epilog="""\b
Examples:
  holdfast copy --to postgresql://holdfast@db.internal/holdfast
  holdfast copy --database postgresql://db/holdfast --to sqlite:///holdfast.db
"""
    + EXIT_CODES,
)
@database_options
@click.option("--to", "target", metavar="URL", required=True, help="The database to fill: an empty one, or none yet.")
@json_option
def copy_command(*, target: str, is_json: bool, **flags: str | None) -> None:
    """Copy everything into an empty database, of the other kind too. Stop every server first.

    Tokens, numbers of events, cursors and idempotency keys stay as they are: the same history goes on there. All of it
    arrives or nothing. The old database is left as it is; it must not be served again.
    """
    from holdfast.config import BadSettings
    from holdfast.maintenance.restoring import copy_to

    source = _settings(flags).database_url
    try:
        target_url = _settings(flags | {"database_url": target}).database_url
    except BadSettings as exc:
        raise click.BadParameter(exc.errors[0].message, param_hint="--to") from exc
    done = copy_to(source, target_url, on_progress=_Told(is_json=is_json))
    _say_replaced(done, "Copied", is_json=is_json)
    if not is_json:
        click.echo("Serve the copy from now on, and the old database no more: they would become two histories.")


@click.command(
    "doctor",
    short_help="Examine the database, where it lies, and the server.",
    epilog="""\b
Examples:
  holdfast doctor
  holdfast doctor --full --json
  holdfast doctor --database postgresql://db.internal/holdfast

\b
Exit codes: 0 nothing is wrong; 1 something is; 2 usage.
""",
)
@database_options
@url_option
@click.option("--full", "is_full", is_flag=True, help="Check every index of a SQLite file too, which takes longer.")
@json_option
def doctor_command(*, url: str | None, is_full: bool, is_json: bool, **flags: str | None) -> None:
    """Say what is right and wrong with the database, where it lies, and whether a server answers."""
    from holdfast.doors.cli import terminal
    from holdfast.doors.cli.layout import Span
    from holdfast.maintenance.doctor import Finding, Health, examine

    found = examine(_settings(flags).database_url, is_full=is_full, on_progress=_Told(is_json=is_json))
    answers, said = _ask_server(url)
    found.append(Finding("holdfast", Health.FINE if answers else Health.NOTE, said))
    is_wrong = any(each.health == Health.WRONG for each in found)
    if is_json:
        _say_json({"is_wrong": is_wrong, "findings": [each._asdict() for each in found]})
    else:
        styles = {Health.FINE: "green", Health.NOTE: "dim", Health.WARNING: "yellow", Health.WRONG: "red bold"}
        for each in found:
            terminal.echo(Span(f"{each.health.value:8}", styles[each.health]), f"{each.check}: {each.message}")
    click.get_current_context().exit(int(is_wrong))


def _ask_server(url: str | None) -> tuple[bool, str]:
    """Whether a server answers, and what there is to say about it."""
    from holdfast import __version__
    from holdfast.client.api import ApiRefusal, Unreachable

    api = connect(url)
    try:
        api.request("GET", "/health")
    except (ApiRefusal, Unreachable) as error:
        return False, f"No server answers at {api.url}: {error}"
    return True, f"A server answers at {api.url}. This is Holdfast {__version__}."


def _say_replaced(done: "Replaced", verb: str, *, is_json: bool) -> None:
    from holdfast.config import without_password
    from holdfast.doors.cli import terminal

    shown_url = without_password(done.database_url)
    if is_json:
        _say_json(done._asdict() | {"database_url": shown_url})
        return
    rows = f", {done.rows} rows" if done.rows else ""
    terminal.echo(f"{verb}: {shown_url}{rows}.")
    terminal.echo(f"Fencing tokens go on above {done.token_floor}; the history is called {done.timeline}.")
    if done.kept_aside is not None:
        terminal.echo(f"What was there before is kept: {done.kept_aside}")
    for warning in done.warnings:
        terminal.echo(warning, is_error=True)


def _settings(flags: dict[str, str | None]) -> "Settings":
    from holdfast.config import load

    return load(flags, os.environ, Path.cwd()).settings


def _say_as_it_was(*, is_json: bool) -> None:
    """What a copy need not be told: it is of this moment."""
    if not is_json:
        click.echo(
            "Keys, sessions and who holds what are as they were then: revoke, end or take over again what was since."
        )


def _say_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, default=str))


class _Told:
    """Tells on standard error how far work has come: in place on a terminal, else a line now and then."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_silent = is_json
        self._is_terminal = sys.stderr.isatty()
        self._told_at = time.monotonic()
        self._is_line_open = False
        click.get_current_context().call_on_close(self._end_line)

    def __call__(self, what: str, done: int, total: int) -> None:
        pause = PROGRESS_SECONDS if self._is_terminal else PROGRESS_LINE_SECONDS
        if self._is_silent or time.monotonic() - self._told_at < pause:
            return
        self._told_at = time.monotonic()
        share = f" {100 * done // total} %" if total > 1 else ""
        if self._is_terminal:
            click.echo(f"\r\x1b[K{what}{share}", err=True, nl=False)
            self._is_line_open = True
        else:
            click.echo(f"{what}{share}", err=True)

    def _end_line(self) -> None:
        if self._is_line_open:
            click.echo("\r\x1b[K", err=True, nl=False)
