"""Real `holdfast run` processes for tests, and looking at what is left of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from holdfast.client.credentials import save_key
from tests.client.fake_server import KEY

WAIT_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02

PROGRAM = "from holdfast.doors.cli.run import run_command; run_command()"
SOURCE = str(Path(__file__).parents[2] / "src")

QUICK = ("--heartbeat-interval", "0.2", "--lease", "3")
"""Beats often, and yet keeps its lease on a machine that is busy."""


def eventually(claim: Callable[[], bool]) -> None:
    """Wait until a claim holds; fail when it does not in time."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not claim():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(POLL_SECONDS)


def environ(home: Path, url: str, **more: str) -> dict[str, str]:
    """An environment with a home of the test's own, a server and its key in the user's configuration."""
    directory = home / ".config" / "holdfast"
    save_key(directory, url, KEY)
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": SOURCE,
        "HOLDFAST_URL": url,
        "HOLDFAST_MACHINE_ID": "mach_test",
        **more,
    }


def arguments(*words: str) -> list[str]:
    """The command line of `holdfast run` with these words."""
    return [sys.executable, "-c", PROGRAM, *words]


@contextmanager
def running(
    words: Sequence[str], environ: Mapping[str, str], *, cwd: Path, pass_fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A runner in a process group of its own; whatever is left at the end is killed."""
    process = subprocess.Popen(
        arguments(*words),
        env=dict(environ),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        pass_fds=pass_fds,
    )
    # Whoever reads from a process that says nothing more must not wait for ever.
    watchdog = threading.Timer(2 * WAIT_SECONDS_MAX, kill_group, [process])
    watchdog.start()
    with process:
        try:
            yield process
        finally:
            watchdog.cancel()
            kill_group(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a runner and whatever else is in its process group."""
    process.kill()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(*words: str, environ: Mapping[str, str], cwd: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """A runner from its start to its end."""
    with running(words, environ, cwd=cwd) as process:
        out, err = process.communicate(given, timeout=WAIT_SECONDS_MAX)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def children_of(pid: int) -> list[int]:
    """The processes whose parent this is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(path.parent.name))
    return found


def pids_in(directory: Path, *names: str) -> list[int]:
    """The process ids that a command has written, one file each, when all of them are there."""
    eventually(lambda: all((directory / name).exists() and (directory / name).read_text().strip() for name in names))
    return [int((directory / name).read_text()) for name in names]
