"""`python -m holdfast`, and the script `holdfast`: one command line, of which some verbs import little."""

import sys

WORKSPACE_VERBS = frozenset({"session-state", "escalation", "gates", "prompt", "git-hook"})
"""What shells and hooks run all the time; importing the rest would take longer than carrying it out."""


def main() -> None:
    """Carry out the command line that this process was started with."""
    if sys.argv[1:2] and sys.argv[1] in WORKSPACE_VERBS:
        _carry_out_quickly(sys.argv[1:])
    from holdfast.doors.cli.main import main as command_line

    command_line()


def _carry_out_quickly(argv: list[str]) -> None:
    """Carry out a command of a workspace and leave, without tidying up what the system tidies up anyway."""
    import gc
    import os

    # So short a process makes no garbage worth looking for.
    gc.disable()
    from holdfast.doors.workspace.main import main as workspace

    # Whoever closed a stream does not want to be told; what its encoding cannot say is escaped.
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = workspace(argv)
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        # What fails in a command is told; this is the telling.
        status = 0 if argv[0] == "prompt" else 1
        try:
            os.write(sys.stderr.fileno(), f"Error: what was answered cannot be written: {error.strerror}\n".encode())
        finally:
            os._exit(status)
    os._exit(status)


if __name__ == "__main__":
    main()
