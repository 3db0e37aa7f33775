"""`holdfast run`: reads the command line, and leaves the rest to the runner."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

EPILOG = """\b
Examples:
  holdfast run -- claude -p "fix the tests"
  holdfast run --exclusive -- make release
  holdfast run --take-over "it died last night" -- claude --continue
  holdfast run --agent nightly --scope backups --strict -- ./backup.sh
  holdfast run --project web -- ./work-off-tasks.sh
  holdfast run --restart on-failure:3 -- claude -p "fix the tests"

\b
The exit code is the command's; a command that dies of a signal makes this die of it too. Besides:
   69  not run: the server does not answer, and an answer was needed
   71  not run, or killed: this system does not let the command be kept
   73  not run: the server refused the session, or somebody holds the scope
   75  stopped: the session was lost, or its strict lease could have lapsed
   76  stopped: somebody asked for it
   77  not run: the key was refused, and an answer was needed
  126  not run: found, but cannot be executed
  127  not run: not found

\b
The command finds in its environment:
  HOLDFAST_URL              the server
  HOLDFAST_SESSION_ID       its session
  HOLDFAST_FENCING_TOKEN    the token that every write of the session carries
  HOLDFAST_SCOPE            what it works on; with the token, what `holdfast fence` asks about
  HOLDFAST_LAST_CHECKPOINT  a file with what the last session here left, if it left anything

With --restart, a command that fails or is killed runs again, after a pause that grows, in a session that goes on with
the work of the one before; until the server says that it was tried often enough. What somebody asked to stop, or ended
by Ctrl-C or SIGTERM, is not brought back.

What the command leaves running is stopped when it ends, unless --leave-background is given. If `holdfast run` is
killed, everything is killed at once. Docker containers and what a running daemon starts for the command are out of
reach.

On a machine with slots (`holdfast machine up --slots 4`) a run takes one while
it lives, and is refused if none is free.
"""

F = TypeVar("F", bound=Callable[..., object])

_COMMAND_OPTIONS = (
    click.option("--strict", "is_strict", is_flag=True, help="Stop the command before its lease could lapse."),
    click.option(
        "--restart",
        default="no",
        metavar="WHEN",
        help="no (the default), on-failure or on-failure:N: run the command again when it fails, at most N times.",
    ),
    click.option(
        "--heartbeat-interval",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Default: 5, or a third of --lease.",
    ),
    click.option(
        "--lease",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long the session may be silent. Default: 15, or three intervals.",
    ),
    click.option(
        "--stop-grace",
        type=click.FloatRange(min=0),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long the command may take to end when it is stopped, before it is killed.",
    ),
    click.option(
        "--leave-background", is_flag=True, help="Let what the command left running go on, outside the session."
    ),
)


def command_options(command: F) -> F:
    """How a command is kept, for every verb that runs one."""
    for option in reversed(_COMMAND_OPTIONS):
        command = option(command)
    return command


@click.command(
    "run",
    short_help="Run a command inside a session.",
    epilog=EPILOG,
    context_settings={"allow_interspersed_args": False},
)
@click.option("--agent", metavar="NAME", help="Who works. Default: the command's name.")
@click.option(
    "--scope", metavar="TEXT", help="What is worked on. Default: this repository's origin, else this directory."
)
@click.option("--project", metavar="ID", help="To which project that belongs: `holdfast task claim` gives its tasks.")
@click.option("--exclusive", "is_exclusive", is_flag=True, help="Run only if nobody else works on the scope.")
@click.option("--take-over", "take_over_reason", metavar="REASON", help="Take over from the one that fell silent here.")
@click.option(
    "--slot",
    type=click.IntRange(min=0),
    metavar="N",
    help="Run in this slot of the machine. Default: the lowest free one, where the machine has slots.",
)
@click.option("--no-slot", "is_outside", is_flag=True, help="Run outside the machine's slots, and take none.")
@command_options
@click.option("--url", metavar="URL", help="The server. Default: HOLDFAST_URL, else http://127.0.0.1:8787.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_command(
    *,
    agent: str | None,
    scope: str | None,
    project: str | None,
    is_exclusive: bool,
    take_over_reason: str | None,
    slot: int | None,
    is_outside: bool,
    url: str | None,
    command: tuple[str, ...],
    **kept: Any,
) -> None:
    """Run COMMAND inside a session.

    It is seen while it works, its end is recorded, and whoever comes next can go on from there. Terminal, signals and
    exit code are the command's own.
    """
    if is_outside and slot is not None:
        raise click.UsageError("--slot and --no-slot do not go together.")
    run_kept(
        command,
        url=url,
        agent=agent,
        scope=scope,
        project_id=project,
        is_exclusive=is_exclusive,
        take_over_reason=take_over_reason,
        recovery=None,
        slot=slot,
        is_outside=is_outside,
        **kept,
    )


def run_kept(
    command: tuple[str, ...],
    *,
    url: str | None,
    heartbeat_interval: float | None,
    lease: float | None,
    stop_grace: float,
    leave_background: bool,
    restart: str,
    **options: Any,
) -> NoReturn:
    """Run a command inside a session and end as it ends. options: the other fields of RunOptions."""
    from holdfast.client.credentials import CredentialsInvalid, normalise_url
    from holdfast.doors.cli.ways_out import in_words
    from holdfast.runner.exits import leave_as
    from holdfast.runner.restart import parse
    from holdfast.runner.run import RunOptions, inherited_environ, run
    from holdfast.runner.schedule import pace_of

    environ = inherited_environ()
    if url is not None:
        environ["HOLDFAST_URL"] = url
    try:
        normalise_url(environ.get("HOLDFAST_URL") or "http://127.0.0.1")
        pace = pace_of(interval_seconds=heartbeat_interval, lease_seconds=lease)
    except (CredentialsInvalid, ValueError) as exc:
        raise click.UsageError(str(exc)) from exc
    try:
        restart_policy = parse(restart)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--restart") from exc
    kept = RunOptions(
        command=command,
        pace=pace,
        stop_grace_seconds=stop_grace,
        leaves_background=leave_background,
        restart_policy=restart_policy,
        **options,
    )
    leave_as(run(kept, environ=environ, name_ways_out=in_words))
