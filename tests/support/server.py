"""A real server for a test: a process on a free port of loopback, which can be killed, paused and started anew.

Whatever a test does to it, it is gone when the test is over; on Linux also when the test's own process is killed.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

KEY = "holdfast-test-admin-key"
"""The admin key that every such server is configured with."""

HOST = "127.0.0.1"
PROGRAM = (sys.executable, "-m", "holdfast")

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.01

_DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
"""Has the kernel send SIGKILL to the program when whoever started it is gone."""

_READY = re.compile(r"^Ready on https?://127\.0\.0\.1:([0-9]+)$", re.MULTILINE)


class NotStarted(Exception):
    """The server ended before it was ready. status: its exit status; said: what it wrote."""

    def __init__(self, status: int | None, said: str) -> None:
        super().__init__(f"exit status {status}: {said}")
        self.status = status
        self.said = said


class Server:
    """One server on a database, through any number of processes one after another.

    directory: its home, and where each process writes its log. keeps_port: a later process gets the first one's port.
    program: what is started instead of `holdfast`; the arguments of `serve` follow.
    """

    def __init__(
        self,
        database_url: str,
        *,
        directory: Path,
        program: Sequence[str] = PROGRAM,
        environ: Mapping[str, str] | None = None,
        keeps_port: bool = False,
    ) -> None:
        self._keeps_port = keeps_port
        self.database_url = database_url
        self.port = 0
        self._directory = directory
        self._program = program
        self._environ = environ or {}
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What the present, or the last, process wrote."""
        return self._log.read_text(errors="replace") if self._starts else ""

    @property
    def _log(self) -> Path:
        return self._directory / f"server-{self._starts}.log"

    def start(self) -> None:
        """Start a process, and return when it is ready. Raises: NotStarted."""
        self.launch()
        eventually(self.is_ready_or_over, seconds_max=START_SECONDS_MAX)
        ready = _READY.search(self.said)
        if ready is None:
            assert self._process is not None
            raise NotStarted(self._process.wait(STOP_SECONDS_MAX), self.said)
        self.port = int(ready[1])

    def launch(self) -> None:
        """Start a process and do not wait for it."""
        assert self._process is None or self._process.poll() is not None, "the last process still runs"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._starts += 1
        port = str(self.port if self._keeps_port else 0)
        serve = (*self._program, "serve", "--host", HOST, "--port", port, "--database", self.database_url)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (*_with_parent(), *serve),
                cwd=self._directory,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_ready_or_over(self) -> bool:
        """Whether it answers by now, or never will."""
        assert self._process is not None
        return _READY.search(self.said) is not None or self._process.poll() is not None

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS_MAX)

    def terminate(self) -> None:
        """Ask the process to stop (SIGTERM), and do not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit status, once the process is over."""
        assert self._process is not None
        return self._process.wait(STOP_SECONDS_MAX)

    def pause(self) -> None:
        """Stop the process where it stands (SIGSTOP), all its threads."""
        pause(self.pid)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _variables(self) -> dict[str, str]:
        home = self._directory / "home"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "HOLDFAST_BOOTSTRAP_KEY": KEY,
            **self._environ,
        }


def pause(pid: int) -> None:
    """Stop a process, and return when it stands still."""
    os.kill(pid, signal.SIGSTOP)
    process = psutil.Process(pid)
    eventually(lambda: process.status() == psutil.STATUS_STOPPED)


def eventually(claim: Callable[[], bool], *, seconds_max: float = 30.0) -> None:
    """Wait until a claim about another process holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds_max
    while not claim():
        assert time.monotonic() < deadline, f"{claim} did not become true in {seconds_max} s"
        time.sleep(POLL_SECONDS)


def _with_parent() -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT) if sys.platform == "linux" else ()
