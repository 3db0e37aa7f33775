"""One command of a machine agent under its keeper: started, watched and stopped without a terminal or signals."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.runner import keeper, progress
from holdfast.runner.exits import CommandEnd, end_of


class WorkerEnd(NamedTuple):
    """Nothing is left of the command. failure: what went wrong, where that is not how the command ended."""

    end: CommandEnd
    failure: str | None = None


class Worker:
    """A command that runs. Whatever happens to it is heard on `descriptor`, by `hear`."""

    def __init__(
        self, argv: Sequence[str], environ: Mapping[str, str], *, directory: Path | None, stop_grace_seconds: float
    ) -> None:
        """Start the keeper, which starts the command in a process group of its own. Raises: OSError."""
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
                cwd=directory,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._channel = keeper.Channel(ours.fileno())
        self.descriptor = ours.fileno()
        self._command_pid: int | None = None
        self._end: CommandEnd | None = None
        self._failure: str | None = None
        self._stop_number: int | None = None
        self._progress = progress.NO_PROGRESS
        spec = keeper.Spec(
            argv=list(argv),
            environ=dict(environ),
            ignored=[],
            blocked=[],
            leaves_background=False,
            stop_grace_seconds=stop_grace_seconds,
            runner_pid=os.getpid(),
            site="" if keeper.IS_LINUX else keeper_site(),
        )
        self._channel.send(**spec._asdict())

    @property
    def keeper_pid(self) -> int:
        """The process that keeps the command."""
        return self._process.pid

    @property
    def is_stopped(self) -> bool:
        """Whether the command was stopped (SIGSTOP) and does not run; then nobody may say that it is alive."""
        return self._stop_number is not None and self._is_still_stopped()

    def stop(self, *, grace_seconds: float) -> None:
        """Ask every process of the command to end, and kill after the grace what did not."""
        self._channel.send(do="stop", grace_seconds=grace_seconds)

    def wake(self) -> None:
        """Tell the keeper, which asked by SIGCONT, that its command's going on was noticed."""
        if self._stop_number is not None and not self._is_still_stopped():
            self._channel.send(do="awake", stop=self._stop_number)
            self._stop_number = None

    def read_progress(self) -> int:
        """How much work the command has done; it never goes down."""
        readings = progress.read_tree(self.keeper_pid, known=self._progress.running)
        self._progress = progress.advance(self._progress, readings)
        return self._progress.total

    def hear(self) -> WorkerEnd | None:
        """Take in what the keeper says; the end of it all, once nothing is left of the command."""
        messages = self._channel.receive()
        if messages is None:
            self._close()
            failure = None if self._end is not None else "its keeper was killed"
            return WorkerEnd(self._end or CommandEnd(None, signal.SIGKILL), failure)
        for message in messages:
            match message["event"]:
                case "started":
                    self._command_pid = message["pid"]
                case "exited":
                    self._end = end_of(message["status"])
                case "stopped":
                    self._stop_number = message["stop"]
                case "not_executed":
                    self._close()
                    reason = os.strerror(message["error_number"])
                    return WorkerEnd(CommandEnd(127, None), f"cannot be executed: {reason}")
                case "gone":
                    self._close()
                    return WorkerEnd(self._end or CommandEnd(None, signal.SIGKILL))
                case "leftovers":
                    continue
                case unknown:
                    raise ValueError(unknown)
        return None

    def _is_still_stopped(self) -> bool:
        try:
            return (
                Path(f"/proc/{self._command_pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
                == "T"
            )
        except OSError:
            return False

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


def keeper_site() -> str:
    """Where psutil lies, which a keeper needs on platforms without /proc."""
    import psutil

    return str(Path(psutil.__file__).parent.parent)
