"""How a command ended, how that is told to the server, and with what exit code the runner says so.

A command's own exit code is passed on as it is. The codes below are the runner's own; they follow sysexits.h where it
has a word for the case, and env(1) for commands that cannot be run.
"""

import os
import signal
import sys
from enum import IntEnum
from typing import NamedTuple, NoReturn

SIGNAL_EXIT_BASE = 128


class ExitCode(IntEnum):
    """The runner's own exit codes."""

    SERVER_AWAY = 69
    """The command was not run: an answer was needed first, and none came."""
    CANNOT_RUN = 71
    """The command was not run, or was killed: this system does not let it be kept."""
    START_REFUSED = 73
    """The command was not run: somebody holds the scope, or the server refused the session."""
    SESSION_LOST = 75
    """The command was stopped: its session is not its own any more, or its strict lease could have lapsed."""
    STOP_REQUESTED = 76
    """The command was stopped: somebody asked the server to stop it."""
    NOT_PERMITTED = 77
    """The command was not run: an answer was needed first, and the key was refused."""
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


class CommandEnd(NamedTuple):
    """How the command's main process ended: by an exit code, or by a signal."""

    exit_code: int | None
    signal_number: int | None


def end_of(wait_status: int) -> CommandEnd:
    """What a status of waitpid says."""
    if os.WIFSIGNALED(wait_status):
        return CommandEnd(None, os.WTERMSIG(wait_status))
    return CommandEnd(os.WEXITSTATUS(wait_status), None)


def shell_code(end: CommandEnd) -> int:
    """The exit code as a shell shows it: 128 + n after signal n."""
    if end.signal_number is not None:
        return SIGNAL_EXIT_BASE + end.signal_number
    return end.exit_code or 0


def reason_of(end: CommandEnd) -> str:
    """`exit code 3` or `signal SIGSEGV`."""
    if end.signal_number is None:
        return f"exit code {end.exit_code}"
    try:
        return f"signal {signal.Signals(end.signal_number).name}"
    except ValueError:
        return f"signal {end.signal_number}"


def leave_as(end: CommandEnd) -> NoReturn:
    """End this process as the command ended, so that a shell sees no difference.

    A death by signal is repeated, without a core of its own; where that does not work, 128 + n.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    number = end.signal_number
    if number is not None and sys.platform != "win32":
        import resource

        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            os.kill(os.getpid(), number)
        except (OSError, ValueError):
            pass
    sys.exit(shell_code(end))
