"""`holdfast run`: reads the command line, and leaves the rest to the runner."""

import click

EPILOG = """\b
Examples:
  holdfast run -- claude -p "fix the tests"
  holdfast run --exclusive -- make release
  holdfast run --take-over "it died last night" -- claude --continue
  holdfast run --agent nightly --scope backups --strict -- ./backup.sh

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
  HOLDFAST_LAST_CHECKPOINT  a file with what the last session here left, if it left anything

What the command leaves running is stopped when it ends, unless --leave-background is given. If `holdfast run` is
killed, everything is killed at once. Docker containers and what a running daemon starts for the command are out of
reach.

On a machine with slots (`holdfast machine up --slots 4`) a run takes one while
it lives, and is refused if none is free.
"""


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
@click.option("--exclusive", "is_exclusive", is_flag=True, help="Run only if nobody else works on the scope.")
@click.option("--take-over", "take_over_reason", metavar="REASON", help="Take over from the one that fell silent here.")
@click.option("--strict", "is_strict", is_flag=True, help="Stop the command before its lease could lapse.")
@click.option(
    "--heartbeat-interval", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Default: 5."
)
@click.option(
    "--lease",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long the session may be silent. Default: 15, or three intervals.",
)
@click.option(
    "--stop-grace",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the command may take to end when it is stopped, before it is killed.",
)
@click.option(
    "--slot",
    type=click.IntRange(min=0),
    metavar="N",
    help="Run in this slot of the machine. Default: the lowest free one, where the machine has slots.",
)
@click.option("--no-slot", "is_outside", is_flag=True, help="Run outside the machine's slots, and take none.")
@click.option("--leave-background", is_flag=True, help="Let what the command left running go on, outside the session.")
@click.option("--url", metavar="URL", help="The server. Default: HOLDFAST_URL, else http://127.0.0.1:8787.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run_command(
    *,
    agent: str | None,
    scope: str | None,
    is_exclusive: bool,
    take_over_reason: str | None,
    is_strict: bool,
    heartbeat_interval: float | None,
    lease: float | None,
    stop_grace: float,
    slot: int | None,
    is_outside: bool,
    leave_background: bool,
    url: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND inside a session.

    It is seen while it works, its end is recorded, and whoever comes next can go on from there. Terminal, signals and
    exit code are the command's own.
    """
    from holdfast.client.credentials import CredentialsInvalid, normalise_url
    from holdfast.doors.cli.ways_out import in_words
    from holdfast.runner.exits import leave_as
    from holdfast.runner.run import RunOptions, inherited_environ, run
    from holdfast.runner.schedule import pace_of

    if is_outside and slot is not None:
        raise click.UsageError("--slot and --no-slot do not go together.")
    environ = inherited_environ()
    if url is not None:
        environ["HOLDFAST_URL"] = url
    try:
        normalise_url(environ.get("HOLDFAST_URL") or "http://127.0.0.1")
        pace = pace_of(interval_seconds=heartbeat_interval, lease_seconds=lease)
    except (CredentialsInvalid, ValueError) as exc:
        raise click.UsageError(str(exc)) from exc
    options = RunOptions(
        command=command,
        agent=agent,
        scope=scope,
        is_exclusive=is_exclusive,
        take_over_reason=take_over_reason,
        is_strict=is_strict,
        pace=pace,
        stop_grace_seconds=stop_grace,
        leaves_background=leave_background,
        slot=slot,
        is_outside=is_outside,
    )
    leave_as(run(options, environ=environ, name_ways_out=in_words))
