"""The command as the runner sees it: started through the keeper, signals passed on, its stops and its end noticed.

POSIX only. One object per process: it takes over the signal handlers of the runner.
"""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.runner import keeper
from holdfast.runner.schedule import LapseTimes

UNTOUCHABLE = (signal.SIGKILL, signal.SIGSTOP)
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""By these somebody tells the runner that it is over, whatever the command makes of it."""


class Started(NamedTuple):
    """The command runs."""

    pid: int


class NotExecuted(NamedTuple):
    """The system refused to execute the command."""

    error_number: int


class Exited(NamedTuple):
    """The command's main process ended. status: as waitpid gave it."""

    status: int


class Lapsed(NamedTuple):
    """The keeper is stopping the command, because its strict lease is about to be over."""


class Leftovers(NamedTuple):
    """The command ended and left processes behind, which are being stopped."""

    processes: int


class Gone(NamedTuple):
    """Nothing is left of the command. is_keeper_lost: because the keeper died, and everything was killed."""

    is_keeper_lost: bool


class Woken(NamedTuple):
    """This process was stopped and goes on."""


class Poked(NamedTuple):
    """Another thread has something to say."""


Event = Started | NotExecuted | Exited | Lapsed | Leftovers | Gone | Woken | Poked


class KeptCommand:
    """A command under its keeper."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        stop_grace_seconds: float,
        leaves_background: bool,
        keeps_streams: bool = False,
    ) -> None:
        """Start the keeper, which starts the command.

        keeps_streams: standard input and output stay open here too, for another command after this one.
        Raises: OSError when this system refuses.
        """
        self.streams = (os.dup(0), os.dup(1)) if keeps_streams else None
        self.ignored: set[int] = set()
        self.is_told_to_end = False
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        ours, theirs = socket.socketpair()
        # No signal may come between taking over the handlers and having a keeper to tell.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            ignored = self._take_over_signals()
            self.ignored = {int(number) for number in ignored}
            keeper.become_subreaper()
            os.set_inheritable(theirs.fileno(), True)
            # Descriptors that the shell opened for the command reach it; those of this process are not inheritable.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno())],
                close_fds=False,
                restore_signals=False,
                # A directory keeps subprocess from posix_spawn, which leaves two signals ignored (glibc, 32 and 33).
                cwd=os.curdir,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
        self.pid = self._process.pid
        self._socket = ours
        self._channel = keeper.Channel(ours.fileno())
        spec = keeper.Spec(
            argv=list(argv),
            environ=dict(environ),
            ignored=[int(number) for number in ignored],
            blocked=[int(number) for number in blocked],
            leaves_background=leaves_background,
            stop_grace_seconds=stop_grace_seconds,
            runner_pid=os.getpid(),
            site="" if keeper.IS_LINUX else _site(),
        )
        self._channel.send(**spec._asdict())

    def poke(self) -> None:
        """Have `wait` return soon; from any thread."""
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            pass

    def stop(self, *, grace_seconds: float) -> None:
        """Ask every process of the command to end, and kill after the grace what did not."""
        self._channel.send(do="stop", grace_seconds=grace_seconds)

    def renew(self, times: LapseTimes) -> None:
        """Tell the keeper until when a strict lease lasts; it stops the command by itself when it hears no more."""
        self._channel.send(do="lease", term_at=times.term_at, kill_at=times.kill_at)

    def wait(self) -> list[Event]:
        """What has happened, after waiting until something has; `Gone` or `NotExecuted` is the last of all."""
        told = self._channel.descriptor
        readable, _, _ = select.select([told, self._wake_read], [], [])
        # Signals first: the keeper has to hear of them before this process may stop with the command. Those too that
        # were delivered on the way back from the wait, which had already found the keeper's word alone.
        events = self._pass_on(self._read_wakes())
        if told in readable:
            messages = self._channel.receive()
            if messages is None:
                self._bury()
                return [*events, Gone(is_keeper_lost=True)]
            for message in messages:
                events += self._understand(message)
        return events

    def rest(self, seconds: float) -> bool:
        """Wait after the command's end; whether nobody told this process to end meanwhile, or before."""
        deadline = keeper.steady_seconds() + seconds
        while not self.is_told_to_end and (left := deadline - keeper.steady_seconds()) > 0:
            readable, _, _ = select.select([self._wake_read], [], [], left)
            if readable:
                self.is_told_to_end = any(number in ENDING for number in self._read_wakes())
        return not self.is_told_to_end

    def _read_wakes(self) -> bytes:
        """The numbers of the signals that came, and a 0 for each poke; none if nothing came."""
        try:
            return os.read(self._wake_read, 4096)
        except BlockingIOError:
            return b""

    def _pass_on(self, woken_by: bytes) -> list[Event]:
        events: list[Event] = []
        for number in woken_by:
            self.is_told_to_end = self.is_told_to_end or number in ENDING
            if number == 0:
                events.append(Poked())
            elif number == signal.SIGCONT:
                events.append(Woken())
            elif number in keeper.PASSED_ON:
                self._channel.send(do="signal", number=number)
        return events

    def _understand(self, message: dict[str, Any]) -> list[Event]:
        match message["event"]:
            case "started":
                _let_go_of_streams()
                return [Started(message["pid"])]
            case "not_executed":
                self._process.wait()
                return [NotExecuted(message["error_number"])]
            case "exited":
                return [Exited(message["status"])]
            case "stopped":
                self._stop_like(message["number"])
                self._channel.send(do="awake", stop=message["stop"])
                return [Woken()]
            case "lapsed":
                return [Lapsed()]
            case "leftovers":
                return [Leftovers(message["count"])]
            case "gone":
                self._process.wait()
                return [Gone(is_keeper_lost=False)]
            case unknown:
                raise ValueError(unknown)

    def _stop_like(self, number: int) -> None:
        """Stop as the command stopped, so that the shell takes the terminal back; returns when woken."""
        if number in UNTOUCHABLE:
            os.kill(os.getpid(), number)
        else:
            handler = signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, handler)

    def _bury(self) -> None:
        """The keeper was killed, and the command with it: its orphans came to this process, which kills them."""
        tree = keeper.tree_of(os.getpid())
        keeper.kill_tree(tree, reap=_reap)
        self._process.poll()

    def _take_over_signals(self) -> list[signal.Signals]:
        """Note signals instead of obeying them; those that the command is to ignore as well."""
        ignored: list[signal.Signals] = [
            number
            for number in signal.Signals
            if number in signal.valid_signals()
            and number not in (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these two by itself.
            and signal.getsignal(number) is signal.SIG_IGN
        ]
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (*keeper.PASSED_ON, signal.SIGCONT):
            if number not in ignored:
                signal.signal(number, keeper.note)
        # A line of the runner on standard error must not stop a job in the background.
        for number in (signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        return ignored


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _let_go_of_streams() -> None:
    """Standard input and output belong to the command alone; their other ends see when it closes them."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def _site() -> str:
    import psutil

    return str(Path(psutil.__file__).parent.parent)
