"""A PostgreSQL of one test's own, which can be stopped, started again and frozen; gone when the test is over."""

import os
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support import postgres
from tests.support.server import eventually, pause


class OwnPostgres:
    """One server. url: its only database."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with warnings.catch_warnings():
            # The wheel looks, as it is imported, for a directory that it needs for nothing that is done here.
            warnings.simplefilter("ignore")
            self._process, self.url = postgres.start(directory)
        self._command = psutil.Process(self._process.pid).cmdline()

    def stop(self) -> None:
        """End it at once, as a crash would: nobody is waited for, and nothing is written any more."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def start(self) -> None:
        """Start it again, and return when it takes connections: what was committed is there."""
        home = self._directory / "postgres"
        owner = home.stat()
        with (self._directory / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=owner.st_uid if os.geteuid() == 0 else None,
                group=owner.st_gid if os.geteuid() == 0 else None,
                extra_groups=() if os.geteuid() == 0 else None,
            )
        eventually(lambda: postgres.accepts_connections(self.url))

    def freeze(self) -> None:
        """Stop all its processes where they stand."""
        for pid in self._pids():
            pause(pid)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        postmaster = psutil.Process(self._process.pid)
        return [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A new, empty PostgreSQL, in a directory with a name short enough for its socket."""
    with tempfile.TemporaryDirectory(prefix="holdfast-own-", ignore_cleanup_errors=True) as directory:
        server = OwnPostgres(Path(directory))
        try:
            yield server
        finally:
            server.thaw()
            server.stop()
