"""How much work a tree of processes has done: CPU time and bytes moved, one integer that never goes down."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from holdfast.runner.keeper import ProcessKey

if TYPE_CHECKING:
    import psutil


class Progress(NamedTuple):
    """What is known so far. finished: the work of processes that are gone. running: the last reading of each other."""

    finished: int
    running: Mapping[ProcessKey, int]

    @property
    def total(self) -> int:
        """All work seen so far: CPU milliseconds plus bytes read and written; only its growth means anything."""
        return self.finished + sum(self.running.values())


NO_PROGRESS = Progress(0, {})


def advance(progress: Progress, readings: Mapping[ProcessKey, int]) -> Progress:
    """What is known after reading every process that runs now; the total is never smaller than before.

    A process that is not among the readings has ended: its last reading stays in the total.
    """
    gone = sum(work for key, work in progress.running.items() if key not in readings)
    running = {key: max(work, progress.running.get(key, 0)) for key, work in readings.items()}
    return Progress(progress.finished + gone, running)


def read_tree(root_pid: int, *, known: Mapping[ProcessKey, int]) -> dict[ProcessKey, int]:
    """The work of each descendant of a process, its reaped children's included; bytes only where Linux counts them.

    Where the system does not tell (another user's process), the last known reading stands.
    """
    import psutil

    readings: dict[ProcessKey, int] = {}
    try:
        processes = psutil.Process(root_pid).children(recursive=True)
    except psutil.Error:
        return readings
    for process in processes:
        try:
            key = ProcessKey(process.pid, process.create_time())
        except psutil.Error:
            continue
        try:
            readings[key] = _work(process)
        except psutil.Error:
            readings[key] = known.get(key, 0)
    return readings


def _work(process: "psutil.Process") -> int:
    import psutil

    times = process.cpu_times()
    cpu_ms = int(1_000 * (times.user + times.system + times.children_user + times.children_system))
    moved_bytes = 0
    if sys.platform == "linux":
        try:
            io = process.io_counters()
            moved_bytes = io.read_chars + io.write_chars
        except psutil.AccessDenied:
            pass
    return cpu_ms + moved_bytes
