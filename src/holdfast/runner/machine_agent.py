"""`holdfast machine up`: what a machine says of itself, and what it knows before any lease is over.

It registers the machine and beats for it, looks after the runs of this user and reports at once when one is gone, and
keeps a command in each slot if it is given one, beating for all of them in one request. What happens to processes is
heard on the main thread, which never waits for the server; whatever is told to the server goes through two threads.
"""

import os
import queue
import random
import secrets
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path

from holdfast.client.api import Api, ApiRefusal, Json, Unreachable
from holdfast.client.spool import Entry, Spool, SpoolFull, this_process
from holdfast.domain.limits import NAME_CHARS_MAX
from holdfast.runner import session
from holdfast.runner.exits import CommandEnd, reason_of
from holdfast.runner.keeper import become_subreaper, kill_tree, steady_seconds, tree_of
from holdfast.runner.messages import printable, say
from holdfast.runner.restart import RestartPolicy, delay_seconds, is_failure, may_restart
from holdfast.runner.run import command_environ
from holdfast.runner.run_watch import RunWatch
from holdfast.runner.schedule import Pace
from holdfast.runner.session import LOST_CODES, Recovery, Session, StartRequest, Stopped
from holdfast.runner.worker import Worker, WorkerEnd

SCAN_SECONDS = 0.25
"""How often the agent looks for runs that began; of those that it knows it hears at once when they end."""

DELIVER_SECONDS = 2.0
"""How long to wait before telling again what the server did not take."""

START_SECONDS_MAX = 5.0
END_SECONDS_MAX = 5.0

SOUND_SECONDS = 60.0
"""A command that ran so long was started well: its earlier failures do not count any more."""

PASSING_CODES = frozenset({"lease_held", "slot_occupied", "no_free_slot", "machine_in_maintenance", "rate_limited"})
"""Why work that broke off cannot be gone on with yet: the server has not heard of its end, or there is no room."""

BATCH_MAX = 1_000
"""Beats in one request. Source: native-v1, `POST /v1/heartbeats`."""

SLOT_VARIABLE = "HOLDFAST_SLOT"

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class AgentOptions:
    """What the user asked for.

    slots: how many; None: as they are registered. command: kept running in each slot; empty: none.
    restart_policy: whether a command that failed is started again; None: it is not.
    project_id, pace: of the commands' sessions; None: of no project. presence: of the machine itself.
    """

    machine_id: str
    hostname: str
    slots: int | None
    command: tuple[str, ...]
    agent: str
    scope: Json
    project_id: str | None
    pace: Pace
    presence: Pace
    restart_policy: RestartPolicy | None
    stop_grace_seconds: float


class State(Enum):
    """Where one slot's command is."""

    DUE = auto()
    STARTING = auto()
    RUNNING = auto()
    ENDING = auto()
    OVER = auto()


@dataclass
class Place:
    """One slot, and the command that is kept in it.

    due_at: steady seconds at which it is to be started. recovery: the session with which it goes on after a failure.
    """

    number: int
    state: State = State.DUE
    due_at: float = 0.0
    began_at: float = 0.0
    failures: int = 0
    restarts: int = 0
    request: StartRequest | None = None
    recovery: Recovery | None = None
    session: Session | None = None
    entry: Entry | None = None
    worker: Worker | None = None
    stopped: Stopped | None = None
    has_failed: bool = False
    said: str = ""


@dataclass
class Teller:
    """A thread that carries out one request after another, so that nobody else has to wait for an answer."""

    name: str
    jobs: "queue.SimpleQueue[Callable[[], None] | None]" = field(default_factory=queue.SimpleQueue)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._serve, name=self.name, daemon=True)
        self._thread.start()

    def tell(self, job: Callable[[], None]) -> None:
        """Have a request made after those that wait already."""
        self.jobs.put(job)

    def finish(self, *, seconds_max: float) -> None:
        """Carry out what waits, and end."""
        self.jobs.put(None)
        self._thread.join(seconds_max)

    def _serve(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()


class MachineAgent:
    """The agent of one machine, for one user. `run` takes over this process's signals."""

    def __init__(self, api: Api, spool: Spool, options: AgentOptions, environ: Mapping[str, str]) -> None:
        self._api = api
        self._spool = spool
        self._options = options
        self._environ = environ
        self._selector = selectors.DefaultSelector()
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._runs = RunWatch(spool, url=api.url, add=self._listen, remove=self._ignore)
        self._places = [Place(number + 1) for number in range(options.slots or 0)] if options.command else []
        self._teller = Teller("holdfast-agent-teller")
        self._beats = threading.Thread(target=self._beat, name="holdfast-agent-beats", daemon=True)
        self._is_leaving = False
        self._left = threading.Event()
        self._is_registered = False
        self._has_told_away = False
        self._is_delivering = False
        self._deliver_at = 0.0
        self._stop_count = 0

    def run(self) -> int:
        """Serve until told to stop, or until every command is over; the exit status."""
        self._take_over_signals()
        become_subreaper()
        self._listen(self._wake_read, self._awake)
        self._teller.start()
        self._beats.start()
        try:
            while not self._is_over():
                self._step()
        finally:
            self._left.set()
            self._runs.close()
            self._teller.finish(seconds_max=END_SECONDS_MAX)
            self._beats.join(END_SECONDS_MAX)
            self._say_goodbye()
        return 1 if any(place.has_failed for place in self._places) else 0

    # ------------------------------------------------------------ the main thread

    def _step(self) -> None:
        for key, _ in self._selector.select(SCAN_SECONDS):
            key.data()
        while not self._news.empty():
            self._news.get()()
        self._runs.scan()
        if self._runs.gone and not self._is_delivering and steady_seconds() >= self._deliver_at:
            self._deliver(len(self._runs.gone))
        for place in self._places:
            if place.state is State.DUE and self._is_registered and steady_seconds() >= place.due_at:
                self._start(place)

    def _is_over(self) -> bool:
        if self._is_leaving or self._places:
            return all(place.state is State.OVER for place in self._places)
        return False

    def _listen(self, descriptor: int, hear: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, hear)

    def _ignore(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def _post(self, news: Callable[[], None]) -> None:
        """Have something done on the main thread; from any thread."""
        self._news.put(news)
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            pass

    def _take_over_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCONT):
            signal.signal(number, _note)

    def _awake(self) -> None:
        try:
            came = os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        for number in came:
            if number in STOP_SIGNALS:
                self._stop_all()
            elif number == signal.SIGCONT:
                for place in self._places:
                    if place.worker is not None:
                        place.worker.wake()

    def _stop_all(self) -> None:
        """Have every command end; asked for a second time, without a grace."""
        self._stop_count += 1
        self._is_leaving = True
        grace_seconds = self._options.stop_grace_seconds if self._stop_count == 1 else 0.0
        for place in self._places:
            if place.state is State.DUE:
                place.state = State.OVER
            if place.worker is not None:
                place.stopped = place.stopped or Stopped.REQUESTED
                place.worker.stop(grace_seconds=grace_seconds)

    # ------------------------------------------------------------ runs of this user

    def _deliver(self, gone: int) -> None:
        """Tell the server of runs that are gone; what it does not take is told again."""
        self._is_delivering = True

        def deliver() -> None:
            try:
                delivered = self._spool.deliver(self._api, tells_of_gone=True).delivered
            except OSError as exc:
                say(f"WARNING: cannot read the spool: {exc}")
                delivered = 0
            self._post(lambda: self._delivered(delivered, of=gone))

        self._teller.tell(deliver)

    def _delivered(self, delivered: int, *, of: int) -> None:
        self._is_delivering = False
        if delivered:
            say(f"told the server of ends that it had not heard of: {delivered}")
        self._runs.scan()
        self._deliver_at = steady_seconds() + (DELIVER_SECONDS if self._runs.gone and delivered < of else 0.0)

    # ------------------------------------------------------------ the commands in the slots

    def _start(self, place: Place) -> None:
        """Ask for a session in the slot; the command runs once there is one."""
        options = self._options
        place.state = State.STARTING
        request = place.request = place.request or session.start_request(
            scope=options.scope,
            project_id=options.project_id,
            agent=options.agent,
            machine_id=options.machine_id,
            slot=place.number,
            pace=options.pace,
            is_strict=False,
            is_exclusive=False,
            take_over_reason=None,
            recovery=place.recovery,
            checkout={},
            meta=session.meta_of(
                options.command, directory=str(Path.cwd()), hostname=options.hostname, pid=os.getpid()
            ),
            started_at_seconds=time.time(),
        )

        def start() -> None:
            try:
                begun, _ = session.start(self._api, request, timeout_seconds=START_SECONDS_MAX)
            except Unreachable as exc:
                cause = exc.cause
                self._post(lambda: self._not_started(place, cause, is_final=False))
            except ApiRefusal as refusal:
                is_final = place.recovery is not None and refusal.code not in PASSING_CODES
                detail = refusal.detail
                self._post(lambda: self._not_started(place, detail, is_final=is_final))
            else:
                self._post(lambda: self._started(place, begun))

        self._teller.tell(start)

    def _not_started(self, place: Place, why: str, *, is_final: bool) -> None:
        """is_final: the work that broke off is not to be gone on with, now or later."""
        if is_final:
            say(f"slot {place.number}: giving up: {printable(why)}")
            place.has_failed, place.state = True, State.OVER
            return
        self._say_once(place, f"slot {place.number}: no session yet: {printable(why)}")
        place.failures += 1
        place.state = State.OVER if self._is_leaving else State.DUE
        place.due_at = steady_seconds() + delay_seconds(place.failures, draw=random.random())

    def _started(self, place: Place, begun: Session) -> None:
        assert place.request is not None
        place.session, place.failures, place.said, place.stopped = begun, 0, "", None
        place.entry = Entry(
            client_session_id=place.request.client_session_id,
            url=self._api.url,
            idempotency_key=session.new_idempotency_key(),
            runner=this_process(),
            report=place.request.report,
            session_id=begun.id,
            fencing_token=begun.fencing_token,
        )
        try:
            self._spool.open(place.entry)
        except (OSError, SpoolFull) as exc:
            say(f"WARNING: what becomes of slot {place.number} is lost if this agent is killed: {exc}")
        if self._is_leaving:
            place.stopped = Stopped.REQUESTED
            self._end(place, WorkerEnd(CommandEnd(0, None)))
            return
        inner = command_environ(self._environ, url=self._api.url, begun=begun, checkpoint=None)
        inner[SLOT_VARIABLE] = str(place.number)
        try:
            worker = Worker(
                self._options.command,
                inner,
                directory=None,
                stop_grace_seconds=self._options.stop_grace_seconds,
            )
        except OSError as exc:
            self._end(place, WorkerEnd(CommandEnd(127, None), f"the command's keeper could not be started: {exc}"))
            return
        place.worker, place.state, place.began_at = worker, State.RUNNING, steady_seconds()
        self._listen(worker.descriptor, lambda: self._hear(place, worker))
        say(f"slot {place.number}: session {begun.id}")

    def _hear(self, place: Place, worker: Worker) -> None:
        descriptor = worker.descriptor
        end = worker.hear()
        if end is not None:
            self._ignore(descriptor)
            place.worker = None
            if end.failure is not None:
                self._bury_orphans()
            self._end(place, end)

    def _end(self, place: Place, end: WorkerEnd) -> None:
        """Tell how the command ended, and decide whether it is started again."""
        assert place.entry is not None
        place.state = State.ENDING
        is_lost = place.stopped is Stopped.SESSION_LOST
        told = session.end_of_run(place.session, end.end, place.stopped, ended_at_seconds=time.time())
        if end.failure is not None and told.call is not None:
            told = replace(told, call=told.call._replace(body={**told.call.body, "reason": end.failure}))
        entry = replace(place.entry, end=told)

        def tell() -> None:
            is_told = True
            if is_lost:
                self._spool.remove(entry.client_session_id)
            else:
                try:
                    self._spool.replace(entry)
                except OSError as exc:
                    say(f"WARNING: cannot write the spool: {exc}")
                is_told = self._spool.deliver_one(self._api, entry, timeout_seconds=END_SECONDS_MAX)
            self._post(lambda: self._ended(place, end, untold=None if is_told else entry.client_session_id))

        self._teller.tell(tell)

    def _ended(self, place: Place, end: WorkerEnd, *, untold: str | None) -> None:
        """untold: the entry in the spool that is to be delivered once the server can take it."""
        if untold is not None:
            self._runs.gone.add(untold)
        begun, is_lost = place.session, place.stopped is Stopped.SESSION_LOST
        has_failed = end.failure is not None or end.end.exit_code != 0 or is_lost
        how = end.failure or reason_of(end.end)
        place.session = place.entry = place.request = place.recovery = None
        if self._is_leaving or place.stopped is Stopped.REQUESTED or not has_failed:
            say(f"slot {place.number}: ended")
            place.state = State.OVER
            return
        if steady_seconds() - place.began_at >= SOUND_SECONDS:
            place.restarts = 0
        is_due = (end.failure is not None or is_failure(end.end)) and not is_lost
        if begun is None or not is_due or not may_restart(self._options.restart_policy, restarts=place.restarts):
            say(f"slot {place.number}: failed: {printable(how)}")
            place.has_failed, place.state = True, State.OVER
            return
        place.due_at = steady_seconds() + delay_seconds(place.restarts, draw=random.random())
        place.restarts += 1
        place.recovery, place.state = Recovery(begun.id), State.DUE
        say(f"slot {place.number}: failed: {printable(how)}; it is started again")

    def _bury_orphans(self) -> None:
        """Kill what a killed keeper left: it came to this process, and no keeper of this agent looks after it."""
        kept = {place.worker.keeper_pid for place in self._places if place.worker is not None}
        for pid in _children(os.getpid()) - kept:
            tree = tree_of(pid)
            kill_tree(tree, reap=lambda: None)
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except OSError:
                continue

    # ------------------------------------------------------------ what is told to the server, again and again

    def _beat(self) -> None:
        """The machine's presence, and the sessions of its commands in one request."""
        present_at = beat_at = 0.0
        options = self._options
        while not self._left.is_set():
            now = steady_seconds()
            if now >= present_at:
                is_told = self._tell_presence()
                present_at = now + (options.presence.interval_seconds if is_told else _retry_seconds(options.presence))
            if self._places and now >= beat_at:
                is_told = self._tell_beats()
                beat_at = now + (options.pace.interval_seconds if is_told else _retry_seconds(options.pace))
            upcoming = min(present_at, beat_at) if self._places else present_at
            self._left.wait(min(1.0, max(0.05, upcoming - steady_seconds())))

    def _tell_presence(self) -> bool:
        """Say that the machine is there; register it where the server does not know it."""
        options = self._options
        path = f"/v1/machines/{_quoted(options.machine_id)}/heartbeat"
        try:
            if self._is_registered:
                try:
                    self._api.request("POST", path, body={})
                except ApiRefusal as refusal:
                    if refusal.status != 404:
                        raise
                    self._register()
            else:
                self._register()
        except Unreachable as exc:
            if not self._has_told_away:
                self._has_told_away = True
                say(f"{printable(str(exc))}; trying again")
            return False
        except ApiRefusal as refusal:
            if not self._has_told_away:
                self._has_told_away = True
                say(f"WARNING: the server refuses this machine: {printable(refusal.detail)} ({refusal.code})")
            return False
        if self._has_told_away:
            self._has_told_away = False
            say(f"{self._api.url} answers")
        return True

    def _register(self) -> None:
        options = self._options
        body: dict[str, Json] = {
            "machine_id": options.machine_id,
            "hostname": options.hostname,
            "boot_id": _boot_id(),
            "capacity": _capacity(),
            "heartbeat_interval_seconds": session.whole(options.presence.interval_seconds),
            "lease_seconds": session.whole(options.presence.lease_seconds),
        }
        if options.slots is not None:
            body["slot_count"] = options.slots
        answer = self._api.request("POST", "/v1/machines", body=body, idempotency_key=_new_key())
        known = answer.body if isinstance(answer.body, dict) else {}
        self._is_registered = True
        slots = known.get("slot_count")
        say(f"machine {options.machine_id} is {known.get('status')}" + (f" with {slots} slots" if slots else ""))
        self._post(lambda: None)

    def _tell_beats(self) -> bool:
        """One beat for each session whose command runs."""
        running = [
            (place, place.session, place.worker)
            for place in self._places
            if place.session is not None and place.worker is not None and not place.worker.is_stopped
        ]
        for start in range(0, len(running), BATCH_MAX):
            chunk = running[start : start + BATCH_MAX]
            beats: list[Json] = [
                {
                    "session_id": begun.id,
                    "fencing_token": begun.fencing_token,
                    "progress": min(worker.read_progress(), session.PROGRESS_MAX),
                }
                for _, begun, worker in chunk
            ]
            try:
                answer = self._api.request("POST", "/v1/heartbeats", body={"heartbeats": beats})
            except (Unreachable, ApiRefusal):
                return False
            results = answer.body.get("results") if isinstance(answer.body, dict) else None
            for (place, begun, _), result in zip(chunk, results if isinstance(results, list) else [], strict=False):
                if isinstance(result, dict):
                    self._post(lambda place=place, begun=begun, result=result: self._obey(place, begun, result))  # type: ignore[misc]
        return True

    def _obey(self, place: Place, begun: Session, result: Mapping[str, Json]) -> None:
        """What the answer to a beat means for the command."""
        if place.session is not begun or place.worker is None or place.stopped is not None:
            return
        if result.get("ok"):
            reason = session.requested_stop(result)
            if reason is None:
                return
            place.stopped = Stopped.REQUESTED
            say(f"slot {place.number}: stopping: somebody asked for it: {printable(reason)}")
        else:
            code = str(result.get("code"))
            if result.get("status_code") != 409 or code not in LOST_CODES:
                self._say_once(place, f"slot {place.number}: WARNING: {printable(str(result.get('detail')))} ({code})")
                return
            place.stopped = Stopped.SESSION_LOST
            say(f"slot {place.number}: stopping: {printable(str(result.get('detail')))} ({printable(code)})")
        place.worker.stop(grace_seconds=self._options.stop_grace_seconds)

    def _say_once(self, place: Place, line: str) -> None:
        if place.said != line:
            place.said = line
            say(line)

    def _say_goodbye(self) -> None:
        if not self._is_registered:
            return
        path = f"/v1/machines/{_quoted(self._options.machine_id)}/heartbeat"
        try:
            self._api.request("POST", path, body={"status": "offline"}, timeout_seconds=END_SECONDS_MAX)
        except (Unreachable, ApiRefusal) as exc:
            say(f"the server was not told that this machine leaves: {printable(str(exc))}")


def _note(_number: int, _frame: object) -> None:
    """A signal's handler that does nothing: the wake-up descriptor has the number already."""


def _retry_seconds(pace: Pace) -> float:
    """Soon, since a lease runs, and yet not at once."""
    return max(0.1, min(1.0, pace.interval_seconds / 3)) * (0.5 + random.random() / 2)


def _children(pid: int) -> set[int]:
    import psutil

    try:
        return {child.pid for child in psutil.Process(pid).children()}
    except psutil.Error:
        return set()


def _capacity() -> dict[str, Json]:
    import psutil

    return {"cpu": os.cpu_count(), "memory_mb": psutil.virtual_memory().total // (1024 * 1024)}


def _boot_id() -> str | None:
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return None


def _quoted(machine_id: str) -> str:
    from urllib.parse import quote

    return quote(machine_id, safe="")


def _new_key() -> str:
    return f"machine-{secrets.token_hex(16)}"


def this_hostname() -> str:
    """This machine's name, as it is now."""
    return socket.gethostname()[:NAME_CHARS_MAX] or "unknown"
