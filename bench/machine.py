"""What the figures were measured on: a machine's size, versions, and how long its disk takes to be sure."""

import os
import platform
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import apsw
import psutil
import psycopg

from bench.figures import NotMeasured
from bench.load import generator_name
from bench.stand import Stand
from holdfast import __version__

FSYNC_WRITES = 50
PAGE_BYTES = 4_096


class Machine(NamedTuple):
    """In the order in which it is told."""

    holdfast: str
    system: str
    cpus: int
    memory_gb: float
    load_average: float
    python: str
    sqlite: str
    postgresql: str
    file_system: str
    fsync_ms: float
    generator: str

    @property
    def line(self) -> str:
        """For the head of the table."""
        return (
            f"Holdfast {self.holdfast}; {self.system}, {self.cpus} CPUs (load {self.load_average:.1f} at the start), "
            f"{self.memory_gb:.0f} GB; Python {self.python}; SQLite {self.sqlite}, WAL, synchronous=full; "
            f"PostgreSQL {self.postgresql}; {self.file_system}, 4 KB written and synced in {self.fsync_ms:.2f} ms; "
            f"load by {self.generator}"
        )


def machine(stand: Stand) -> Machine:
    """This machine."""
    return Machine(
        holdfast=__version__,
        system=f"{platform.system()} {platform.machine()}",
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=psutil.virtual_memory().total / 1e9,
        load_average=os.getloadavg()[0],
        python=platform.python_version(),
        sqlite=apsw.sqlite_lib_version(),
        postgresql=_postgresql(stand),
        file_system=_file_system(stand.directory),
        fsync_ms=_fsync_ms(stand.directory / "fsync"),
        generator=generator_name(),
    )


def _postgresql(stand: Stand) -> str:
    """Its version, and whether what it acknowledges is on disk."""
    if "postgres" not in stand.options.stores:
        return "not asked for"
    try:
        server = stand.postgres()
    except NotMeasured as error:
        return f"not there ({error})"
    with psycopg.connect(server.url, autocommit=True) as connection:
        shown = [
            str((connection.execute(query).fetchone() or ("",))[0])
            for query in ("show server_version", "show fsync", "show synchronous_commit")
        ]
    return f"{shown[0]}, fsync={shown[1]}, synchronous_commit={shown[2]}"


def _file_system(directory: Path) -> str:
    """The type of the file system that the databases are on: on tmpfs nothing is durable, and everything is fast."""
    mounted = [each for each in psutil.disk_partitions(all=True) if directory.is_relative_to(each.mountpoint)]
    return max(mounted, key=lambda each: len(each.mountpoint)).fstype if mounted else "unknown file system"


def _fsync_ms(path: Path) -> float:
    taken = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        for _ in range(FSYNC_WRITES):
            began_at = time.perf_counter()
            os.write(descriptor, bytes(PAGE_BYTES))
            sync(descriptor)
            taken.append(time.perf_counter() - began_at)
    finally:
        os.close(descriptor)
    return statistics.median(taken) * 1_000
