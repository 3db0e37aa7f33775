"""How much work a tree of processes has done: CPU time and bytes moved, one integer that never goes down."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.runner.keeper import ProcessKey


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
    if Path(f"/proc/{root_pid}/task/{root_pid}/children").exists():
        return _read_linux_tree(root_pid, known=known)
    return _read_any_tree(root_pid, known=known)


def _read_linux_tree(root_pid: int, *, known: Mapping[ProcessKey, int]) -> dict[ProcessKey, int]:
    """Only what descends is looked at: going through all processes would cost a machine full of runs its processors."""
    readings: dict[ProcessKey, int] = {}
    waiting = _children(root_pid)
    while waiting:
        pid = waiting.pop()
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split()
        key = ProcessKey(pid, float(fields[_STARTED]))
        if key not in readings:
            cpu_ms = sum(map(int, fields[_CPU_TIMES])) * 1_000 // _TICKS_PER_SECOND
            try:
                readings[key] = cpu_ms + _moved_bytes(pid)
            except OSError:
                readings[key] = known.get(key, 0)
            waiting += _children(pid)
    return readings


_CPU_TIMES = slice(11, 15)
_STARTED = 19
"""Fields of /proc/PID/stat behind the name: times, with those of reaped children, and the start. Source: proc(5)."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def _children(pid: int) -> list[int]:
    """The children of every thread of a process."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text("ascii").split())
    except OSError:
        return found
    return found


def _moved_bytes(pid: int) -> int:
    """Bytes that a process has read and written. Raises: OSError."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    except PermissionError:
        return 0
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]) + int(counts["wchar"])


def _read_any_tree(root_pid: int, *, known: Mapping[ProcessKey, int]) -> dict[ProcessKey, int]:
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
            times = process.cpu_times()
            readings[key] = int(1_000 * (times.user + times.system + times.children_user + times.children_system))
        except psutil.Error:
            readings[key] = known.get(key, 0)
    return readings
