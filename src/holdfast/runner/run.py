"""`holdfast run`: the session's whole way around one command, from the first request to the last.

This module puts the parts in order. The rules are in `session`, `schedule` and `exits`; the processes in `keeper` and
`kept_command`.
"""

import errno
import os
import queue
import random
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, assert_never
from urllib.parse import quote

from holdfast.client.api import Api, ApiRefusal, Json, Unavailable, Unreachable
from holdfast.client.credentials import DEFAULT_URL, Credentials, CredentialsInvalid, find_credentials
from holdfast.client.directories import data_directory, machine_id
from holdfast.client.spool import Entry, Spool, SpoolFull, this_process
from holdfast.domain import scope as scopes
from holdfast.domain.limits import NAME_CHARS_MAX
from holdfast.runner import heartbeat, predecessor, progress, restart, session
from holdfast.runner.exits import CommandEnd, ExitCode, end_of, reason_of
from holdfast.runner.keeper import steady_seconds
from holdfast.runner.messages import printable, say
from holdfast.runner.schedule import Pace, lapse_times, request_seconds, retry_delay
from holdfast.runner.scopes import checkout_here, scope_here
from holdfast.runner.session import Recovery, Session, StartRequest, Stopped

if TYPE_CHECKING:
    from holdfast.runner.kept_command import KeptCommand

START_SECONDS_MAX = 5.0
"""How long a command waits for the answer to its start when it may run without one."""

ANSWER_SECONDS_MAX = 20.0
"""How long a command waits that may not run without an answer."""

END_SECONDS_MAX = 5.0
"""How long the runner waits for the server to hear the end, before it leaves that to the spool."""

JOIN_SECONDS_MAX = 1.0
"""How long the runner waits for a beat that is under way when the command ends."""

ITEMS_SHOWN_MAX = 10
"""Lines about one refusal."""

SIGINT = 2
SIGKILL = 9

COERCED_LOCALES = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
"""Source: PEP 538."""

SESSION_VARIABLES = frozenset({"HOLDFAST_SESSION_ID", "HOLDFAST_FENCING_TOKEN", "HOLDFAST_SCOPE", predecessor.VARIABLE})


@dataclass(frozen=True)
class RunOptions:
    """What the user asked for.

    agent, scope: None: found out here. take_over_reason: None: nothing is taken over. project_id: None: of no project.
    leaves_background: what the command left running may stay. slot: of this machine; None: any that is free.
    is_outside: not in any. recovery: the session to go on with, if one is named.
    before: what the attempt left after which this one begins anew.
    """

    command: tuple[str, ...]
    agent: str | None
    scope: str | None
    is_exclusive: bool
    take_over_reason: str | None
    is_strict: bool
    pace: Pace
    stop_grace_seconds: float
    leaves_background: bool
    project_id: str | None = None
    slot: int | None = None
    is_outside: bool = False
    recovery: Recovery | None = None
    restart_policy: restart.RestartPolicy | None = None
    before: restart.Restart | None = None

    @property
    def needs_answer(self) -> bool:
        """Whether the command must not run before the server has said yes."""
        acquires = self.take_over_reason is not None or self.recovery is not None or self.slot is not None
        return self.is_exclusive or self.is_strict or acquires or self.restart_policy is not None


class NotStarted(Exception):
    """The command must not be run."""

    def __init__(self, code: ExitCode, *lines: str, ways_out: Sequence[dict[str, Json]] = ()) -> None:
        super().__init__(*lines)
        self.code = code
        self.lines = lines
        self.ways_out = ways_out


class Attempt(NamedTuple):
    """What came of the start. session: None: there is none yet. first_at: steady seconds before it was first sent."""

    session: Session | None
    first_at: float
    is_replayed: bool


def run(
    options: RunOptions,
    *,
    environ: Mapping[str, str],
    name_ways_out: Callable[[Sequence[dict[str, Json]]], list[str]],
) -> CommandEnd:
    """Run the command inside a session; how the runner is to end.

    name_ways_out: what a person can type, for the ways out that the server names when it refuses.
    It takes over this process's signals and standard streams, so nothing else can be done with the process after it.
    """
    before = restart.inherited(environ)
    environ = {name: value for name, value in environ.items() if name != restart.VARIABLE}
    if before is not None:
        options = replace(options, recovery=Recovery(before.session_id), take_over_reason=None, before=before)
    try:
        if sys.platform == "win32":
            raise NotStarted(ExitCode.CANNOT_RUN, "holdfast run needs Linux or macOS; on Windows, use it inside WSL.")
        _fill_standard_streams()
        return _run(options, environ)
    except NotStarted as refusal:
        for line in refusal.lines:
            say(line)
        if before is not None:
            say("giving up")
        ways_out = name_ways_out(refusal.ways_out)
        if ways_out:
            say("What you can do:")
        for line in ways_out:
            say(f"  {printable(line)}")
        return CommandEnd(refusal.code, None) if before is None else before.end
    except KeyboardInterrupt:
        return CommandEnd(None, SIGINT)


def _fill_standard_streams() -> None:
    """Have something behind descriptors 0, 1 and 2, so that no socket of the runner gets one of these numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _run(options: RunOptions, environ: Mapping[str, str]) -> CommandEnd:
    credentials = _credentials(options, environ)
    data_dir = data_directory(environ)
    request = _start_request(options, environ, data_dir)
    api = _api(credentials, options)
    try:
        return _run_with(api, request, options, environ, Spool(data_dir / "spool", tell=say))
    finally:
        api.close()


def _run_with(
    api: Api, request: StartRequest, options: RunOptions, environ: Mapping[str, str], spool: Spool
) -> CommandEnd:
    before = options.before
    if before is None and options.slot is not None:
        _require_slots(api, str(request.report["machine_id"]))
    attempt = _start(api, request, options) if before is None else _start_again(api, request, options, spool)
    begun = attempt.session
    recorder = _Recorder(api, request, spool, begun)
    file = None
    try:
        recorder.open()
        file = _present(begun) if begun else None
        inner = command_environ(environ, url=api.url, begun=begun, checkpoint=file)
        ran = _Run(options, api, request, attempt, recorder)
        end = ran.carry_out(inner)
    except KeyboardInterrupt:
        recorder.close(CommandEnd(None, SIGINT), None, failure=None)
        raise
    finally:
        if file is not None:
            file.unlink(missing_ok=True)
    ran.begin_anew(environ, restarts=0 if before is None else before.restarts)
    return end


def _present(begun: Session) -> Path | None:
    """Say that the session began and what the one before it left; the file in which the command finds that."""
    scope = scopes.in_words(str(begun.reply.get("scope")))
    say(f"session {begun.id}{f' on {printable(scope)}' if scope else ''}")
    left = predecessor.left_behind(begun.reply)
    if left is None:
        return None
    for line in predecessor.describe(left, outcome=begun.reply.get("outcome")):
        say(f"  {line}")
    try:
        return predecessor.write_file(left)
    except OSError as exc:
        say(f"WARNING: cannot write {predecessor.VARIABLE}: {exc}")
        return None


def _credentials(options: RunOptions, environ: Mapping[str, str]) -> Credentials:
    try:
        return find_credentials(environ)
    except CredentialsInvalid as exc:
        if options.needs_answer:
            raise NotStarted(ExitCode.NOT_PERMITTED, f"no key: {exc}") from exc
        say(f"WARNING: no key: {exc}")
        return Credentials(environ.get("HOLDFAST_URL") or DEFAULT_URL, None)


def _api(credentials: Credentials, options: RunOptions) -> Api:
    try:
        return Api(
            credentials.url,
            credentials.key,
            timeout_seconds=request_seconds(options.pace),
            ca_file=credentials.ca_file,
        )
    except (ValueError, CredentialsInvalid) as exc:
        raise NotStarted(ExitCode.NOT_PERMITTED, str(exc)) from exc


def _start_request(options: RunOptions, environ: Mapping[str, str], data_dir: Path) -> StartRequest:
    try:
        directory = str(Path.cwd())
    except OSError as exc:
        raise NotStarted(ExitCode.CANNOT_RUN, f"cannot work in this directory: {exc}") from exc
    try:
        machine = machine_id(data_dir, environ=environ)
    except OSError as exc:
        say(f"WARNING: this machine's id cannot be kept, so it has another one at every run: {exc}")
        machine = f"mach_{secrets.token_hex(16)}"
    return session.start_request(
        scope=scope_here(options.scope, machine_id=machine, environ=environ),
        project_id=options.project_id,
        agent=(options.agent or Path(options.command[0]).name)[:NAME_CHARS_MAX],
        machine_id=None if options.is_outside else machine,
        slot=options.slot,
        pace=options.pace,
        is_strict=options.is_strict,
        is_exclusive=options.is_exclusive,
        take_over_reason=options.take_over_reason,
        recovery=options.recovery,
        checkout=checkout_here(environ),
        meta=session.meta_of(options.command, directory=directory, hostname=socket.gethostname(), pid=os.getpid()),
        started_at_seconds=time.time(),
    )


# ---------------------------------------------------------------- the start


def _start(api: Api, request: StartRequest, options: RunOptions) -> Attempt:
    """Ask for the session, once, or until there is an answer where the command needs one.

    Raises: NotStarted.
    """
    first_at = steady_seconds()
    deadline = first_at + (ANSWER_SECONDS_MAX if options.needs_answer else 0)
    failures = 0
    while True:
        try:
            begun, is_replayed = session.start(api, request, timeout_seconds=START_SECONDS_MAX)
        except Unreachable as exc:
            failures += 1
            asked = exc.retry_after_seconds if isinstance(exc, Unavailable) else None
            delay = retry_delay(failures, options.pace, draw=0.5, asked_seconds=asked)
            if steady_seconds() + delay < deadline:
                time.sleep(delay)
                continue
            _tell_away(exc, options)
            return Attempt(None, first_at, is_replayed=False)
        except ApiRefusal as refusal:
            _tell_refused(refusal, options)
            return Attempt(None, first_at, is_replayed=False)
        else:
            return Attempt(begun, first_at, is_replayed)


def _require_slots(api: Api, machine_id: str) -> None:
    """Make sure that the number of a slot is more than a label, which any number of runs could have.

    Raises: NotStarted. Where the server does not say, the start finds out why.
    """
    try:
        answer = api.request("GET", f"/v1/machines/{quote(machine_id, safe='')}", timeout_seconds=START_SECONDS_MAX)
    except Unreachable:
        return
    except ApiRefusal as refusal:
        if refusal.status != 404:
            return
    else:
        if isinstance(answer.body, dict) and answer.body.get("slot_count") != 0:
            return
    raise NotStarted(
        ExitCode.START_REFUSED,
        f"machine {printable(machine_id)} has no slots, so there is none to run in.",
        "Give it some with `holdfast machine up --slots 4`, or leave --slot out. The command was not run.",
    )


def _start_again(api: Api, request: StartRequest, options: RunOptions, spool: Spool) -> Attempt:
    """Go on with the session of the attempt before, however long the server is away.

    It may not have heard yet how that attempt ended; then it hears it first, or sees the lease lapse.
    Raises: NotStarted.
    """
    lapsed_at = steady_seconds() + options.pace.lease_seconds + ANSWER_SECONDS_MAX
    failures = 0
    while True:
        first_at = steady_seconds()
        try:
            begun, is_replayed = session.start(api, request, timeout_seconds=START_SECONDS_MAX)
        except Unreachable as exc:
            if not failures:
                say(f"{printable(str(exc))}; waiting for the server before the command is run again")
        except ApiRefusal as refusal:
            if refusal.code != "lease_held" or first_at > lapsed_at:
                _tell_refused(refusal, options)
            spool.deliver(api)
        else:
            return Attempt(begun, first_at, is_replayed)
        failures += 1
        time.sleep(restart.delay_seconds(failures, draw=random.random()))


def _tell_away(exc: Unreachable, options: RunOptions) -> None:
    if options.needs_answer:
        raise NotStarted(
            ExitCode.SERVER_AWAY,
            printable(str(exc)),
            "The command was not run: --exclusive, --strict, --restart, --slot and taking over need an answer first.",
        ) from exc
    say(f"{printable(str(exc))}; the command runs, and its session is reported when the server is back.")


def _tell_refused(refusal: ApiRefusal, options: RunOptions) -> None:
    """Say why there is no session, and go on only where the reason lies with the key, the pace or the server."""
    sentence = f"{printable(refusal.detail)} ({printable(refusal.code)})"
    is_key_refused = refusal.status in (401, 403)
    if not is_key_refused and refusal.status in (400, 409, 413, 422, 428):
        raise NotStarted(
            ExitCode.START_REFUSED,
            f"the server refuses this session: {sentence}",
            *[printable(f"  {item.get('field')}: {item.get('message')}") for item in _items(refusal, "errors")],
            "The command was not run.",
            ways_out=_items(refusal, "ways_out"),
        ) from refusal
    if options.needs_answer:
        code = ExitCode.NOT_PERMITTED if is_key_refused else ExitCode.SERVER_AWAY
        raise NotStarted(code, f"the server refuses this session: {sentence}", "The command was not run.") from refusal
    say(f"WARNING: the server refuses this session: {sentence}.")
    say("The command runs, but nobody sees it and nothing protects its scope.")
    if refusal.status == 401:
        say("Set HOLDFAST_KEY, or start the server once on this machine: it leaves a key where it is found.")
    elif refusal.code == "forbidden":
        say("It needs a key that may work; an admin makes one: holdfast keys create --scope agent")


def _items(refusal: ApiRefusal, name: str) -> list[dict[str, Json]]:
    items = refusal.problem.get(name)
    return [item for item in items[:ITEMS_SHOWN_MAX] if isinstance(item, dict)] if isinstance(items, list) else []


# ---------------------------------------------------------------- the record of the run


class _Recorder:
    """The run's entry in the spool, and the server's knowledge of it."""

    def __init__(self, api: Api, request: StartRequest, spool: Spool, begun: Session | None) -> None:
        self.session = begun
        self._api = api
        self._spool = spool
        self._is_spooled = False
        self._is_lost = False
        self._entry = Entry(
            client_session_id=request.client_session_id,
            url=api.url,
            idempotency_key=session.new_idempotency_key(),
            runner=this_process(),
            report=request.report,
            session_id=begun.id if begun else None,
            fencing_token=begun.fencing_token if begun else None,
        )

    def open(self) -> None:
        """Make the run's existence durable before its command starts, and tell the server of earlier runs."""
        try:
            self._spool.open(self._entry)
            self._is_spooled = True
        except (OSError, SpoolFull) as exc:
            say(f"WARNING: this run will be lost if the server is away when it ends: {exc}")
        if self.session is not None:
            threading.Thread(target=self._spool.deliver, args=(self._api,), daemon=True).start()

    def begin(self, begun: Session) -> None:
        """The server has the session now."""
        self.session = begun
        self._entry = replace(self._entry, session_id=begun.id, fencing_token=begun.fencing_token)
        self._keep()

    def touch(self) -> None:
        """The run is alive."""
        if self._is_spooled:
            self._spool.touch(self._entry.client_session_id)

    def lose(self) -> None:
        """The session is not this run's any more; nothing is told about it."""
        self._is_lost = True

    def close(self, end: CommandEnd, stopped: Stopped | None, *, failure: str | None) -> None:
        """Tell the server how it ended; what cannot be told in time stays in the spool.

        failure: the reason of the failure, where it is not how the command ended.
        """
        client_session_id = self._entry.client_session_id
        if self._is_lost:
            if self._is_spooled:
                self._spool.remove(client_session_id)
            return
        told = session.end_of_run(self.session, end, stopped, ended_at_seconds=time.time())
        if failure is not None and told.call is not None:
            told = replace(told, call=told.call._replace(body={**told.call.body, "reason": failure}))
        self._entry = replace(self._entry, end=told)
        self._keep()
        self._spool.deliver_one(self._api, self._entry, timeout_seconds=END_SECONDS_MAX)
        # Where there is no session yet, that was said when the command began.
        if self.session is not None and self._is_spooled and self._spool.keeps(client_session_id):
            say("the server does not answer; the next `holdfast run` or `holdfast ps` tells it how this ended.")

    def _keep(self) -> None:
        if self._is_spooled:
            try:
                self._spool.replace(self._entry)
            except OSError as exc:
                say(f"WARNING: cannot write the spool: {exc}")


# ---------------------------------------------------------------- the run itself


class _Run:
    """The command, its beats, and what each has to do with the other."""

    def __init__(
        self, options: RunOptions, api: Api, request: StartRequest, attempt: Attempt, recorder: _Recorder
    ) -> None:
        self._options = options
        self._api = api
        self._request = request
        self._attempt = attempt
        self._recorder = recorder
        self._notices: queue.SimpleQueue[heartbeat.Notice] = queue.SimpleQueue()
        self._end: CommandEnd | None = None
        self._stopped: Stopped | None = None
        self._stop_reason = ""
        self._failure: str | None = None
        self._is_keeper_lost = False
        self._is_not_executed = False

    def carry_out(self, environ: Mapping[str, str]) -> CommandEnd:
        """Run the command to its end, and record that; how the runner is to end.

        environ: the command's.
        """
        from holdfast.runner.terminal import Terminal

        terminal = Terminal()
        self._command = self._launch(environ)
        if self._options.is_strict:
            self._renew(self._attempt.first_at)
        beats = self._start_beats()
        self._follow(beats)
        beats.end()
        beats.join(JOIN_SECONDS_MAX)
        self._hear()
        end = self._end or CommandEnd(None, SIGKILL)
        if self._stopped is not None or end.signal_number is not None:
            terminal.restore()
        if self._stopped is not None:
            say(f"the command was stopped: {self._stop_reason}")
        self._recorder.close(end, self._stopped, failure=self._failure)
        return self._exit_as(end)

    def begin_anew(self, environ: Mapping[str, str], *, restarts: int) -> None:
        """Run the command again if it failed and may be; returns where it is not.

        environ: this process's at first. restarts: how many there were before.
        Nobody's wish that it stop is overruled: not the server's, not a signal's, not that of whoever holds the work.
        """
        begun, end = self._recorder.session, self._end or CommandEnd(None, SIGKILL)
        is_over = self._stopped in (Stopped.REQUESTED, Stopped.SESSION_LOST) or self._is_not_executed
        has_failed = restart.is_failure(end) or self._stopped is Stopped.LAPSED
        streams = self._command.streams
        if begun is None or streams is None or is_over or not has_failed:
            return
        policy = self._options.restart_policy
        if not restart.may_restart(policy, restarts=restarts):
            say(f"not restarted again: it was restarted {restarts} {'time' if restarts == 1 else 'times'}")
            return
        delay = restart.delay_seconds(restarts, draw=random.random())
        say(f"{reason_of(end)}: restarting in {delay:.0f} s")
        if self._command.rest(delay):
            again = restart.Restart(begun.id, restarts + 1, end)
            restart.begin_anew(again, environ, streams=streams, ignored=self._command.ignored)

    def _launch(self, environ: Mapping[str, str]) -> "KeptCommand":
        from holdfast.runner.kept_command import KeptCommand

        try:
            return KeptCommand(
                self._options.command,
                environ,
                stop_grace_seconds=self._options.stop_grace_seconds,
                leaves_background=self._options.leaves_background,
                keeps_streams=self._options.restart_policy is not None,
            )
        except OSError as exc:
            reason = f"the command's keeper could not be started: {exc}"
            self._recorder.close(CommandEnd(ExitCode.CANNOT_RUN, None), None, failure=reason)
            raise NotStarted(ExitCode.CANNOT_RUN, reason) from exc

    def _start_beats(self) -> heartbeat.Heartbeat:
        seen = progress.NO_PROGRESS

        def read_progress() -> int:
            nonlocal seen
            seen = progress.advance(seen, progress.read_tree(self._command.pid, known=seen.running))
            return seen.total

        def notify(notice: heartbeat.Notice) -> None:
            self._notices.put(notice)
            self._command.poke()

        beats = heartbeat.Heartbeat(
            self._api,
            self._request,
            pace=self._options.pace,
            session=self._attempt.session,
            first_attempt_at=self._attempt.first_at,
            is_replayed=self._attempt.is_replayed,
            read_progress=read_progress,
            on_tick=self._recorder.touch,
            notify=notify,
        )
        beats.start()
        return beats

    def _follow(self, beats: heartbeat.Heartbeat) -> None:
        """Wait until nothing is left of the command, and act on what happens until then."""
        from holdfast.runner import kept_command as kept

        while True:
            for event in self._command.wait():
                match event:
                    case kept.Poked():
                        self._hear()
                    case kept.Woken():
                        beats.hurry()
                    case kept.Exited(status):
                        self._end = end_of(status)
                    case kept.Leftovers(count):
                        left = "a process" if count == 1 else f"{count} processes"
                        say(f"stopping {left} that the command left running (--leave-background keeps them)")
                    case kept.Lapsed():
                        self._note_stop(Stopped.LAPSED, "its lease could have lapsed, and --strict was given")
                    case kept.NotExecuted(error_number):
                        self._note_not_executed(error_number)
                        return
                    case kept.Gone(is_keeper_lost):
                        self._note_gone(is_keeper_lost=is_keeper_lost)
                        return
                    case kept.Started():
                        pass
                    case _:
                        assert_never(event)

    def _hear(self) -> None:
        """Act on what the beats have brought."""
        while not self._notices.empty():
            notice = self._notices.get()
            match notice:
                case heartbeat.Started(begun):
                    self._recorder.begin(begun)
                case heartbeat.Acknowledged(sent_at):
                    if self._options.is_strict:
                        self._renew(sent_at)
                case heartbeat.Lost(code, detail):
                    if code != session.LEASE_EXPIRED:
                        self._recorder.lose()
                    self._stop(Stopped.SESSION_LOST, f"{printable(detail)} ({printable(code)})")
                case heartbeat.StopRequested(reason):
                    self._stop(Stopped.REQUESTED, f"somebody asked for it: {printable(reason)}")
                case _:
                    assert_never(notice)

    def _renew(self, acknowledged_from: float) -> None:
        grace_seconds = self._options.stop_grace_seconds
        self._command.renew(lapse_times(acknowledged_from, self._options.pace, stop_grace_seconds=grace_seconds))

    def _stop(self, stopped: Stopped, reason: str) -> None:
        if self._end is None:
            self._note_stop(stopped, reason)
            self._command.stop(grace_seconds=self._options.stop_grace_seconds)

    def _note_stop(self, stopped: Stopped, reason: str) -> None:
        if self._stopped is None:
            self._stopped, self._stop_reason = stopped, reason
            say(f"stopping the command: {reason}")

    def _note_not_executed(self, error_number: int) -> None:
        code = ExitCode.NOT_FOUND if error_number == errno.ENOENT else ExitCode.NOT_EXECUTABLE
        what = "command not found" if error_number == errno.ENOENT else os.strerror(error_number)
        self._end = CommandEnd(code, None)
        self._is_not_executed = True
        self._failure = f"cannot be executed: {what}"
        say(f"{printable(self._options.command[0])}: {what}")

    def _note_gone(self, *, is_keeper_lost: bool) -> None:
        if is_keeper_lost:
            self._is_keeper_lost = self._end is None
            self._failure = "its keeper was killed"
            say("the command's keeper was killed, so the command was killed too")

    def _exit_as(self, end: CommandEnd) -> CommandEnd:
        if self._is_keeper_lost:
            return CommandEnd(ExitCode.CANNOT_RUN, None)
        match self._stopped:
            case None:
                return end
            case Stopped.REQUESTED:
                return CommandEnd(ExitCode.STOP_REQUESTED, None)
            case Stopped.SESSION_LOST | Stopped.LAPSED:
                return CommandEnd(ExitCode.SESSION_LOST, None)


# ---------------------------------------------------------------- the command's environment


def inherited_environ() -> dict[str, str]:
    """The environment with which this process was started, without what Python itself added to it.

    In the C locale Python sets LC_CTYPE for its children (PEP 538); a command is to see what the shell gave.
    """
    environ = dict(os.environ)
    try:
        was_given = any(line.startswith(b"LC_CTYPE=") for line in Path("/proc/self/environ").read_bytes().split(b"\0"))
    except OSError:
        was_given = True
    if not was_given and environ.get("LC_CTYPE") in COERCED_LOCALES:
        del environ["LC_CTYPE"]
    return environ


def command_environ(
    environ: Mapping[str, str], *, url: str, begun: Session | None, checkpoint: Path | None
) -> dict[str, str]:
    """What the command finds in its environment: everything that was there, and its session.

    The key is there only if it was. What an outer session left there is not this one's, and goes.
    """
    made = {name: value for name, value in environ.items() if name not in SESSION_VARIABLES}
    made["HOLDFAST_URL"] = url
    if begun is not None:
        made["HOLDFAST_SESSION_ID"] = begun.id
        made["HOLDFAST_FENCING_TOKEN"] = str(begun.fencing_token)
        made["HOLDFAST_SCOPE"] = str(begun.reply["scope"])
    if checkpoint is not None:
        made[predecessor.VARIABLE] = str(checkpoint)
    return made
