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

    status = workspace(argv)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = status or 1
    os._exit(status)


if __name__ == "__main__":
    main()
