"""An interactive shell on a terminal of its own, typed at and read from."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.runner.processes import PROGRAM, WAIT_SECONDS_MAX

OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Shell:
    """bash with job control. Its prompt is `$>`; what `holdfast run` would be is the variable `$HOLDFAST_RUN`."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def foreground_group(self) -> int:
        """The process group that the terminal listens to."""
        return os.tcgetpgrp(self._master)

    def expect(self, text: str) -> str:
        """Wait until a text has appeared, and forget everything up to it; what came before it."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while text not in self.seen:
            readable, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self._master, 65_536).decode("utf-8", "replace")
        before, _, self.seen = self.seen.partition(text)
        return before


@contextmanager
def shell(environ: Mapping[str, str], *, cwd: Path) -> Iterator[Shell]:
    """A shell at its first prompt; hung up at the end."""
    master, slave = os.openpty()
    program = cwd / "holdfast-run"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM}" "$@"\n')
    program.chmod(0o700)
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, "bash", "--norc", "--noprofile", "-i"],
        env={**environ, "PS1": "$> ", "TERM": "dumb", "HISTFILE": "/dev/null"},
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        typed_at = Shell(master)
        typed_at.expect("$> ")
        yield typed_at
    finally:
        os.close(master)
        process.send_signal(signal.SIGHUP)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
