"""Whether a process that wrote a file is still the one that runs under its id."""

import socket
import sys
from pathlib import Path
from typing import NamedTuple

_HAS_PROC = sys.platform == "linux"
_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(NamedTuple):
    """A process that no other one can be mistaken for.

    place: the boot of the machine, and the container if there is one, in which the process id means something.
    started: when it started, in the platform's unit; empty where that cannot be told.
    """

    pid: int
    started: str
    place: str


def identify(pid: int) -> ProcessIdentity | None:
    """The process that runs under this id now; None: there is none."""
    started = _started(pid)
    return None if started is None else ProcessIdentity(pid, started, this_place())


def is_running(process: ProcessIdentity) -> bool | None:
    """Whether it still runs; None: it cannot be told from here, because it ran in another place."""
    here = this_place()
    if process.place == here:
        return _started(process.pid) == process.started
    machine, boot, _ = here.split("/")
    is_earlier_boot = process.place.startswith(f"{machine}/") and not process.place.startswith(f"{machine}/{boot}/")
    return False if is_earlier_boot else None


def this_place() -> str:
    """Machine, boot and process namespace, joined by `/`."""
    if not _HAS_PROC:
        return f"{socket.gethostname()}//"
    parts = []
    for path in (_MACHINE_ID, _BOOT_ID):
        try:
            parts.append(path.read_text("ascii").strip())
        except OSError:
            parts.append("")
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return "/".join([*parts, namespace])


def _started(pid: int) -> str | None:
    """When the process with this id started; None: there is no such process, or it is dead and not yet reaped."""
    if _HAS_PROC:
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            return None
        fields = text[text.rindex(")") + 2 :].split()
        return None if fields[0] in "ZX" else fields[19]
    import psutil

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
