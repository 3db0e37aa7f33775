"""`python -m holdfast`, and the script `holdfast`: one command line, of which some verbs import little."""

import sys

WORKSPACE_VERBS = frozenset({"session-state", "escalation", "gates", "prompt", "git-hook"})
"""What shells and hooks run all the time; importing the rest would take longer than carrying it out."""


def main() -> None:
    """Carry out the command line that this process was started with."""
    if sys.argv[1:2] and sys.argv[1] in WORKSPACE_VERBS:
        from holdfast.doors.workspace.main import main as workspace

        sys.exit(workspace(sys.argv[1:]))
    from holdfast.doors.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
