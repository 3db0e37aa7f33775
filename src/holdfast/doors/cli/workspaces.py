"""The commands of a workspace as verbs, for help and completion; they are carried out by a door of their own."""

import sys

import click


def _verb(name: str, meaning: str) -> click.Command:
    @click.command(
        name,
        help=meaning,
        short_help=meaning,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        from holdfast.doors.workspace.main import main

        sys.exit(main([name, *arguments]))

    return command


def show_presences() -> bool:
    """Print who works in checkouts of this machine without a server, as far as notes of it still hold; if any do."""
    import time

    from holdfast.doors.cli import terminal
    from holdfast.doors.cli.layout import Column, Span, render
    from holdfast.doors.cli.words import ago
    from holdfast.doors.workspace.place import presences

    found = presences()
    if not found:
        return False
    now = time.time()
    rows = [
        [
            Span(note.health, "green" if note.health == "ready" else "dim"),
            Span(ago(note.observed_at_epoch_s, now=now)),
            Span(note.profile),
            Span(note.path),
        ]
        for note in found
    ]
    terminal.echo("")
    terminal.echo("On this machine, without a server:")
    columns = [Column("PRESENCE"), Column("SEEN"), Column("PROFILE", drop=1), Column("CHECKOUT")]
    terminal.echo_lines(render(columns, rows, width=terminal.width()))
    return True


session_state_command = _verb("session-state", "The session that works in this checkout, with no server.")
escalation_command = _verb("escalation", "What the session here asks of people.")
gates_command = _verb("gates", "What the session here has to meet, in order.")
prompt_command = _verb("prompt", "A segment for a shell's prompt.")
git_hook_command = _verb("git-hook", "Hold back pushes from a session that lost its workspace.")
