"""The keeper: the command's parent, which outlives the runner just long enough to leave no process behind.

It runs as a file of its own (`python -I -S keeper.py FD`), standard library only, so that it starts in milliseconds and
nothing that matches the runner's command line matches its own. FD is its end of a stream socket to the runner; both
sides write one JSON object a line. The end of that stream means that the runner is gone.

- Linux: the keeper is a subreaper, so what daemonises or calls setsid stays its descendant; the command dies with the
  keeper (PR_SET_PDEATHSIG). Elsewhere psutil finds the tree, and remembers what it has seen of it.
- It stays in the process group and session of the runner. A signal that the runner reports and that came here as well
  went to the whole group, so the command has it already; one that only the runner got is passed on.
- Nothing here talks to the server, and nothing here prints.
"""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
"""Source: Linux, include/uapi/linux/prctl.h."""

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""One message: the first carries the command's whole environment, which Linux bounds at about 6 MiB."""

SETTLE_SECONDS: Final = 1.0
"""How long what the command left running may finish by itself: the `tee` of a pipeline needs milliseconds."""

TICK_SECONDS: Final = 0.5
"""How late a deadline may be seen after the machine slept: waiting does not count sleep, the deadlines do."""

STOP_POLL_SECONDS: Final = 0.05
"""How often a tree that is being stopped is looked at."""

RESUME_POLL_SECONDS: Final = 0.2
"""How often a runner that stopped with its command is woken again, until it says that it is awake."""

KILL_PASSES_MAX: Final = 3_000
"""Passes over the process table, a fifth of a second apart: ten minutes for a process stuck in a system call."""

KILL_PAUSE_SECONDS_MAX: Final = 0.2

GROUP_SIGNAL_SECONDS: Final = 2.0
"""How long after a signal came here the runner's word of it is still expected."""

SAME_SIGNAL_SECONDS: Final = 0.1
"""How long after that word another one is taken for the same signal: the kernel may give two here as one."""

PASSED_ON: Final = tuple(
    signal.Signals[name]
    for name in (
        *("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM"),
        *("SIGWINCH", "SIGTSTP"),
    )
    if hasattr(signal, name)
)
"""What the runner gives to the command when it alone got it."""

DESCRIPTOR_MAX: Final = 65_536
"""Descriptors above this are not looked for when the command's are let go of."""

IS_LINUX: Final = sys.platform == "linux"

if sys.platform == "linux":

    def steady_seconds() -> float:
        """Seconds that no clock change moves and that go on while the machine sleeps; the same in all processes."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

elif sys.platform == "darwin":

    def steady_seconds() -> float:
        """Seconds that no clock change moves and that go on while the machine sleeps; the same in all processes."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:

    def steady_seconds() -> float:
        """Seconds that no clock change moves; the same in all processes."""
        return time.monotonic()


class ProcessKey(NamedTuple):
    """One process: its id, and when it started (any unit), so that a reused id is not mistaken for it."""

    pid: int
    started: float


# ---------------------------------------------------------------- finding and signalling a tree of processes


def descendants(root_pid: int, processes: Mapping[int, tuple[int, float]]) -> list[ProcessKey]:
    """All that descend from a process, parents first, given (parent, start) of every process by its id."""
    children: dict[int, list[int]] = {}
    for pid, (parent_pid, _) in processes.items():
        children.setdefault(parent_pid, []).append(pid)
    found: list[ProcessKey] = []
    seen = {root_pid}
    waiting = [root_pid]
    while waiting:
        for pid in children.get(waiting.pop(0), ()):
            if pid not in seen:
                seen.add(pid)
                waiting.append(pid)
                found.append(ProcessKey(pid, processes[pid][1]))
    return found


def parse_stat(text: str) -> tuple[str, int, float]:
    """State, parent and start (clock ticks since boot) from a line of /proc/PID/stat; a name may hold anything."""
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[1]), float(fields[19])


def _read_stat(pid: int) -> tuple[str, int, float] | None:
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return parse_stat(os.read(descriptor, 4096).decode("utf-8", "replace"))
    except (OSError, ValueError, IndexError):
        return None
    finally:
        os.close(descriptor)


def _linux_descendants(root_pid: int) -> list[ProcessKey]:
    """The living; what is dead and unreaped needs no signal."""
    processes: dict[int, tuple[int, float]] = {}
    dead: set[int] = set()
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    for pid in pids:
        stat = _read_stat(pid)
        if stat is not None:
            processes[pid] = stat[1:]
            if stat[0] in "ZX":
                dead.add(pid)
    return [key for key in descendants(root_pid, processes) if key.pid not in dead]


class Tree:
    """The descendants of a process."""

    def __init__(self, root_pid: int) -> None:
        self._root_pid = root_pid

    def find(self) -> list[ProcessKey]:
        """Every living descendant, parents first."""
        return _linux_descendants(self._root_pid)

    def send(self, key: ProcessKey, number: int) -> None:
        """Signal a process unless it is gone; a new process under its id is left alone."""
        if sys.platform == "linux":
            try:
                descriptor = os.pidfd_open(key.pid)
            except ProcessLookupError:
                return
            except OSError:
                _kill(key.pid, number)
                return
            try:
                stat = _read_stat(key.pid)
                if stat is not None and stat[2] == key.started:
                    signal.pidfd_send_signal(descriptor, number)
            except OSError:
                pass
            finally:
                os.close(descriptor)


class RememberingTree(Tree):
    """The descendants of a process where orphans go to init: all that were ever seen, and their descendants."""

    def __init__(self, root_pid: int) -> None:
        super().__init__(root_pid)
        self._seen: dict[int, float] = {}

    def find(self) -> list[ProcessKey]:
        """Every living descendant that could be seen; one that escaped between two looks is missed."""
        import psutil

        processes: dict[int, tuple[int, float]] = {}
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE:
                    processes[process.pid] = (process.ppid() or 0, process.create_time())
            except psutil.Error:
                continue
        alive = {pid: start for pid, start in self._seen.items() if processes.get(pid, (0, None))[1] == start}
        found = [ProcessKey(pid, start) for pid, start in alive.items()]
        for root_pid in (self._root_pid, *alive):
            found += [key for key in descendants(root_pid, processes) if key not in found]
        self._seen = dict(found)
        return found

    def send(self, key: ProcessKey, number: int) -> None:
        """Signal a process unless it is gone; a new process under its id is left alone."""
        import psutil

        try:
            if psutil.Process(key.pid).create_time() == key.started:
                _kill(key.pid, number)
        except psutil.Error:
            pass


def tree_of(root_pid: int) -> Tree:
    """The descendants of a process, in the way of this platform."""
    return Tree(root_pid) if IS_LINUX else RememberingTree(root_pid)


def kill_tree(tree: Tree, *, reap: Callable[[], object]) -> bool:
    """SIGKILL everything in a tree, again and again until a look at it finds nothing; whether that was reached."""
    pause = 0.002
    for _ in range(KILL_PASSES_MAX):
        found = tree.find()
        if not found:
            return True
        for key in found:
            tree.send(key, signal.SIGKILL)
        reap()
        time.sleep(pause)
        reap()
        pause = min(pause * 1.5, KILL_PAUSE_SECONDS_MAX)
    return False


def become_subreaper() -> None:
    """Have orphaned descendants become children of this process instead of init's; nothing where that is not known."""
    if IS_LINUX:
        _prctl_function()(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _prctl_function() -> Callable[[int, int, int, int, int], int]:
    import ctypes

    function: Callable[[int, int, int, int, int], int] = ctypes.CDLL(None).prctl
    return function


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


# ---------------------------------------------------------------- starting the command


class Spec(NamedTuple):
    """What to run, as the runner says it in its first line.

    ignored: signals that the runner itself was started with as ignored, and that the command is to ignore as well.
    blocked: the signal mask with which the runner was started.
    site: where psutil lies, for platforms without /proc.
    """

    argv: list[str]
    environ: dict[str, str]
    ignored: list[int]
    blocked: list[int]
    leaves_background: bool
    stop_grace_seconds: float
    runner_pid: int
    site: str


def search_path(name: str, path: str) -> list[str]:
    """The files that a command's name may mean, in the order in which a shell tries them."""
    if "/" in name:
        return [name]
    return [f"{directory or '.'}/{name}" for directory in path.split(":")]


def _execute(argv: list[str], environ: dict[str, str]) -> NoReturn:
    """Become the command; a script without `#!` is run by sh, as every shell does.

    Raises: OSError, that of the best candidate: one that was found and refused tells more than one not found.
    """
    refused: OSError | None = None
    for candidate in search_path(argv[0], environ.get("PATH", os.defpath)):
        try:
            os.execve(candidate, argv, environ)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            import errno

            if exc.errno == errno.ENOEXEC:
                os.execve("/bin/sh", ["sh", candidate, *argv[1:]], environ)
            refused = refused or exc
    raise refused or FileNotFoundError(2, "not found", argv[0])


def _launch(spec: Spec) -> tuple[int, int]:
    """Start the command; its process id, and 0 or the error number with which it could not be executed."""
    keeper_pid = os.getpid()
    failure_read, failure_write = os.pipe()
    prctl = _prctl_function() if IS_LINUX else None
    # What comes from here on reaches the child as soon as it has its own dispositions.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        try:
            if prctl is not None:
                prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
                if os.getppid() != keeper_pid:
                    os._exit(127)
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                ignores = number in spec.ignored
                try:
                    signal.signal(number, signal.SIG_IGN if ignores else signal.SIG_DFL)
                except (OSError, ValueError):
                    continue
            signal.pthread_sigmask(signal.SIG_SETMASK, spec.blocked)
            _execute(spec.argv, spec.environ)
        except OSError as exc:
            os.write(failure_write, str(exc.errno or 0).encode())
        except ValueError:
            os.write(failure_write, b"22")  # An argument with a NUL: EINVAL.
        finally:
            os._exit(127)
    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    os.close(failure_write)
    failure = os.read(failure_read, 16)
    os.close(failure_read)
    return pid, int(failure or b"0")


# ---------------------------------------------------------------- the keeper itself


class Channel:
    """The lines to and from the runner."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._buffer = b""

    def receive(self) -> list[dict[str, Any]] | None:
        """What has come, after waiting for at least a part of it; None when the other side is gone."""
        try:
            chunk = os.read(self.descriptor, 65_536)
        except OSError:
            chunk = b""
        if not chunk or len(self._buffer) > LINE_BYTES_MAX:
            return None
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def send(self, **message: object) -> None:
        """Say something; nothing where the other side is gone."""
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError:
            pass


class Keeper:
    """One command from its start until nothing of it is left.

    The phases follow each other: *running*, *settling* (the command ended, what it left may finish), *stopping* (told
    to end, and killed at `_kill_at`).
    """

    def __init__(self, spec: Spec, channel: Channel, *, wake_descriptors: tuple[int, int]) -> None:
        self._spec = spec
        self._channel = channel
        self._wake_descriptors = wake_descriptors
        self._tree = tree_of(os.getpid())
        self._phase = "running"
        self._settled_at = 0.0
        self._kill_at = float("inf")
        self._lapse_term_at = float("inf")
        self._lapse_kill_at = float("inf")
        self._command_pid = 0
        self._has_exited = False
        self._is_command_stopped = False
        self._stop_count = 0
        self._is_runner_stopped = False
        self._group_signals: list[tuple[int, float]] = []

    def run(self, early_messages: list[dict[str, Any]]) -> None:
        """Start the command, and return when nothing of it is left."""
        self._note_signals()
        # Whatever came before the command existed did not reach it; the runner will ask for it to be passed on.
        self._group_signals.clear()
        self._command_pid, error_number = _launch(self._spec)
        if error_number:
            os.waitpid(self._command_pid, 0)
            self._channel.send(event="not_executed", error_number=error_number)
            return
        _let_go_of_streams(kept=[self._channel.descriptor, *self._wake_descriptors])
        self._channel.send(event="started", pid=self._command_pid)
        for message in early_messages:
            self._obey(message)
        while not self._is_finished():
            if not self._wait():
                kill_tree(self._tree, reap=self._reap)
                return
            self._act_on_time(steady_seconds())
        self._channel.send(event="gone")

    def _wait(self) -> bool:
        """Wait for the runner, a child or a deadline; whether the runner is still there."""
        woken = self._wake_descriptors[0]
        readable, _, _ = select.select([self._channel.descriptor, woken], [], [], self._timeout())
        self._note_signals()
        if self._channel.descriptor in readable:
            messages = self._channel.receive()
            if messages is None:
                return False
            for message in messages:
                self._obey(message)
        return True

    def _timeout(self) -> float | None:
        if self._phase != "running":
            return STOP_POLL_SECONDS
        if self._is_runner_stopped and not self._is_command_stopped:
            return RESUME_POLL_SECONDS
        if self._lapse_term_at < float("inf") or not IS_LINUX:
            return TICK_SECONDS
        return None

    def _obey(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "signal":
                self._pass_on(message["number"])
            case "stop":
                self._stop(kill_at=steady_seconds() + message["grace_seconds"])
            case "lease":
                self._lapse_term_at, self._lapse_kill_at = message["term_at"], message["kill_at"]
            case "awake":
                self._go_on(after_stop=message["stop"])
            case unknown:
                raise ValueError(unknown)

    def _pass_on(self, number: int) -> None:
        """Give the command a signal that the runner got, unless the whole process group got it."""
        self._note_signals()
        came_here = [noted for noted in self._group_signals if noted[0] == number]
        if came_here:
            self._group_signals.remove(came_here[0])
            until = min(came_here[0][1], steady_seconds() + SAME_SIGNAL_SECONDS)
            self._group_signals.append((number, until))
        if not self._has_exited and not (came_here and _shares_our_group(self._command_pid)):
            _kill(self._command_pid, number)

    def _go_on(self, *, after_stop: int) -> None:
        """The runner goes on after a stop of the command, and so does the command if nobody told it yet.

        A command that has stopped again since is left alone: the runner is about to stop with it.
        """
        if after_stop == self._stop_count:
            self._is_runner_stopped = False
            if self._is_command_stopped:
                _kill(self._command_pid, signal.SIGCONT)

    def _note_signals(self) -> None:
        """Remember what came here; what the runner has not reported in time was meant for the keeper alone."""
        now = steady_seconds()
        self._group_signals = [noted for noted in self._group_signals if now < noted[1]]
        try:
            came = os.read(self._wake_descriptors[0], 4096)
            self._group_signals += [(number, now + GROUP_SIGNAL_SECONDS) for number in came]
        except BlockingIOError:
            pass

    def _stop(self, *, kill_at: float) -> None:
        if self._phase != "stopping":
            self._phase = "stopping"
            for key in self._tree.find():
                self._tree.send(key, signal.SIGTERM)
                # A stopped process acts on SIGTERM only once it runs again.
                self._tree.send(key, signal.SIGCONT)
        self._kill_at = min(self._kill_at, kill_at)

    def _act_on_time(self, now: float) -> None:
        if self._is_runner_stopped and not self._is_command_stopped:
            _kill(self._spec.runner_pid, signal.SIGCONT)
        if self._phase == "running" and now >= self._lapse_term_at and not self._has_exited:
            self._channel.send(event="lapsed")
            self._stop(kill_at=self._lapse_kill_at)
        if self._phase == "settling" and now >= self._settled_at:
            self._channel.send(event="leftovers", count=len(self._tree.find()))
            self._stop(kill_at=now + self._spec.stop_grace_seconds)
        if self._phase == "stopping" and now >= self._kill_at:
            kill_tree(self._tree, reap=self._reap)

    def _is_finished(self) -> bool:
        """Whether the command has ended and, unless they may stay, all of its descendants too."""
        has_children = self._reap()
        if not self._has_exited:
            if not IS_LINUX:
                self._tree.find()
            return False
        if self._spec.leaves_background and self._phase == "running":
            return True
        has_left = has_children if IS_LINUX else bool(self._tree.find())
        if has_left and self._phase == "running":
            self._phase = "settling"
            self._settled_at = steady_seconds() + SETTLE_SECONDS
        return not has_left

    def _reap(self) -> bool:
        """Take note of every child that ended, stopped or went on; whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._command_pid and not self._has_exited:
                self._note(status)

    def _note(self, status: int) -> None:
        """Tell the runner what became of the command."""
        if os.WIFSTOPPED(status):
            self._is_command_stopped = True
            self._stop_count += 1
            if self._phase == "running":
                self._is_runner_stopped = True
                self._channel.send(event="stopped", number=os.WSTOPSIG(status), stop=self._stop_count)
        elif os.WIFCONTINUED(status):
            self._is_command_stopped = False
        else:
            self._is_command_stopped = False
            self._has_exited = True
            self._channel.send(event="exited", status=status)


def _shares_our_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == os.getpgrp()
    except OSError:
        return True


def _let_go_of_streams(*, kept: list[int]) -> None:
    """Close what belongs to the command, so that whoever reads from it sees the end when the command closes it."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    bounds = sorted({2, *kept})
    for low, high in zip(bounds, [*bounds[1:], DESCRIPTOR_MAX], strict=True):
        os.closerange(low + 1, high)


def note(_number: int, _frame: object) -> None:
    """A signal's handler that does nothing: the wake-up descriptor has the number already."""


def main(descriptor: int) -> None:
    """Keep one command for the runner at the other end of a socket."""
    os.set_inheritable(descriptor, False)
    channel = Channel(descriptor)
    messages = None
    while not messages:
        messages = channel.receive()
        if messages is None:
            return
    spec = Spec(**messages[0])
    if spec.site:
        sys.path.append(spec.site)
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    noted = {signal.SIGCHLD, *PASSED_ON}
    for number in noted:
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - noted)
    become_subreaper()
    keeper = Keeper(spec, channel, wake_descriptors=(wake_read, wake_write))
    keeper.run(messages[1:])


if __name__ == "__main__":
    main(int(sys.argv[1]))
