"""How soon a server is ready, what it holds while idle, and what a command costs before it does anything."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.databases import Database
from bench.figures import Goal, NotMeasured, Row, alternated, compared, spread
from bench.load import children_cpu_seconds
from bench.stand import Stand
from tests.support.server import HOST, KEY

START_GOAL = Goal(1.0, is_floor=False, of_ratio=False)
MEMORY_GOAL = Goal(120, is_floor=False, of_ratio=False)
COMMAND_GOAL = Goal(3, is_floor=False)
HOOK_COMMAND_GOAL = Goal(6, is_floor=False)
"""Of what shells and hooks run all the time: 3 is the aim, and 6 the promise."""

START_SECONDS_MAX = 60.0
IDLE_SECONDS = 1.0

COMMANDS = {
    "holdfast --version": ("-m", "holdfast", "--version"),
    "holdfast ps --help": ("-m", "holdfast", "ps", "--help"),
}


class Started(NamedTuple):
    """One start of a server: seconds until it said Ready, and its resident memory after a moment of idleness."""

    seconds: float
    memory_mb: float


def servers(stand: Stand, store: str) -> Iterator[Row]:
    """Start and memory of a server on an empty database. Raises: NotMeasured."""
    database = stand.empty(store)
    home = stand.directory / f"home-{store}"
    _start(database, home)
    found = [_start(database, home) for _ in range(stand.options.runs)]
    name = database.store_name
    yield Row("server ready after, s", name, spread([each.seconds for each in found]), goals=(START_GOAL,))
    yield Row("server's memory idle (RSS), MB", name, spread([each.memory_mb for each in found]), goals=(MEMORY_GOAL,))


def commands(stand: Stand) -> Iterator[Row]:
    """CPU time of commands that do nothing, beside the interpreter's own."""
    environ = _environ(stand.directory / "home-commands")
    for name, arguments in COMMANDS.items():
        pairs = alternated(
            lambda arguments=arguments: _cpu_ms(arguments, environ),  # type: ignore[misc]
            lambda: _cpu_ms(("-c", "pass"), environ),
            runs=2 * stand.options.runs,
        )
        yield compared(
            f"{name}, CPU ms",
            "",
            ours=[each for each, _ in pairs],
            beside=[each for _, each in pairs],
            goals=(COMMAND_GOAL,),
        )
    checkout = stand.directory / "checkout"
    checkout.mkdir(exist_ok=True)
    place = ("--path", str(checkout), "--actor-id", "bench")
    lease = ("--lifecycle", "autonomous", "--lease-seconds", "86400")
    _cpu_ms(("-m", "holdfast", "session-state", "start", *lease, *place), environ)
    pairs = alternated(
        lambda: _cpu_ms(("-m", "holdfast", "session-state", "heartbeat", *place), environ),
        lambda: _cpu_ms(("-c", "pass"), environ),
        runs=4 * stand.options.runs,
    )
    yield compared(
        "holdfast session-state heartbeat, CPU ms",
        "",
        ours=[each for each, _ in pairs],
        beside=[each for _, each in pairs],
        goals=(HOOK_COMMAND_GOAL,),
    )


def _start(database: Database, home: Path) -> Started:
    """Start a server, wait until it is ready, look at it, and end it."""
    home.mkdir(exist_ok=True)
    command = (sys.executable, "-m", "holdfast", "serve", "--host", HOST, "--port", "0", "--database", database.url)
    began_at = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=home,
        env=_environ(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _await_ready(process, ends_at=began_at + START_SECONDS_MAX)
            seconds = time.perf_counter() - began_at
            time.sleep(IDLE_SECONDS)
            memory_bytes = psutil.Process(process.pid).memory_info().rss
            process.terminate()
            process.wait(START_SECONDS_MAX)
        finally:
            process.kill()
    return Started(seconds, memory_bytes / 1e6)


def _await_ready(process: subprocess.Popen[bytes], *, ends_at: float) -> None:
    assert process.stdout is not None
    said = b""
    while b"Ready on " not in said:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, ends_at - time.perf_counter()))
        piece = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not piece:
            raise NotMeasured("the server did not get ready")
        said += piece


def _cpu_ms(arguments: Sequence[str], environ: dict[str, str]) -> float:
    """User and system time of an interpreter with these arguments."""
    before = children_cpu_seconds()
    subprocess.run(
        (sys.executable, *arguments), env=environ, capture_output=True, check=True, timeout=START_SECONDS_MAX
    )
    return (children_cpu_seconds() - before) * 1_000


def _environ(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "HOLDFAST_BOOTSTRAP_KEY": KEY}
