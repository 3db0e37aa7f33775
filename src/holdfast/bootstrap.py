"""Wiring: the one place that knows which store, which doors and which threads make a server."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from holdfast import __version__
from holdfast.client.credentials import DEFAULT_URL, CredentialsInvalid, save_key
from holdfast.client.directories import config_directory
from holdfast.commands.accounts import OpenAccount
from holdfast.commands.command import Command, Envelope
from holdfast.commands.keys import CreateKey
from holdfast.commands.retention import KINDS, Kind
from holdfast.commands.view import Reply
from holdfast.config import Settings, WriterKind, is_loopback, sqlite_path, without_password
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.crane import DaySettings
from holdfast.domain.errors import Refusal
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, KeyId, Mint
from holdfast.domain.keys import KEY_ENTROPY_BYTES
from holdfast.domain.limits import MINUTE_MS, SECOND_MS
from holdfast.domain.rate_limits import RateLimits
from holdfast.doors.http.app import HttpApp
from holdfast.doors.http.description import Description
from holdfast.doors.http.native.webhooks import message_of
from holdfast.doors.http.outgoing import Sender
from holdfast.doors.http.routes import ROUTES
from holdfast.doors.http.server import AddressUnusable, ApplicationNotStarted, PortTaken, WireServer, build_server
from holdfast.doors.http.tls import TlsFiles, TlsUnusable
from holdfast.engine.alerts import AlertWatch
from holdfast.engine.batch import Outcome, run_batch
from holdfast.engine.core import Core, has_keys
from holdfast.engine.driver import Engine, QueueLimits
from holdfast.engine.event_hub import FollowerLimits
from holdfast.engine.jobs import JobRunner
from holdfast.engine.process import ProcessEngine, Writer, ask, die_with_server, frame, receive
from holdfast.engine.sweeper import Sweeper
from holdfast.engine.thread import ThreadEngine
from holdfast.engine.upkeep import Upkeep
from holdfast.engine.webhooks import WebhookDispatcher
from holdfast.logs import log_to
from holdfast.store.clock import MachineClock
from holdfast.store.port import Reader, SchemaMismatch, Store, StoreFull, StoreInUse, StoreUnavailable
from holdfast.supervision import READY, STOPPING, WELL, Supervisor

if TYPE_CHECKING:
    from holdfast.telemetry import Telemetry

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long one thread may keep the interpreter from another: the event loop must not wait 5 ms for whoever decodes a
large body, nor a writer that is a thread for the event loop."""

GARBAGE_THRESHOLDS = (50_000, 20, 100)
"""Objects made before a collection, and how often the older generations are looked at. A request leaves hardly any
cycle behind, and with the usual 700 the event loop spends an eighth of its time on looking for some."""

FIRST_START = Actor(DEFAULT_ACCOUNT, KeyId("key_first_start"), KeyScope.ADMIN)


class CannotTrace(Exception):
    """Traces are wanted, and what makes them is missing; the message says what to do."""


class Parts(NamedTuple):
    """A server that is wired and not yet started."""

    server: WireServer
    engine: Engine


class Base(NamedTuple):
    """What a server stands on: committed rows, how to have something written before it runs, and its engine.

    make_engine: takes what to call when the store must not be written to any more.
    close: lets go of everything, once the engine has stopped or where it never ran.
    """

    readers: Reader
    carry_out: Callable[[Envelope], Outcome]
    make_engine: Callable[[Callable[[], None]], Engine]
    close: Callable[[], None]


class CannotOpen(Exception):
    """The database cannot be opened; the message says why, and what to do."""


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status: 0, or 1 with a line that says why."""
    secrets = [key for key in (settings.bootstrap_key, settings.context_relay_key) if key is not None]
    log_to(sys.stderr, log_format=settings.log_format, log_level=settings.log_level, secrets=secrets)
    try:
        base = open_base(settings)
    except CannotOpen as error:
        return _failed(f"{error}")
    try:
        return _serve(settings, base)
    except (PortTaken, AddressUnusable, ApplicationNotStarted, TlsUnusable, CannotTrace) as error:
        return _failed(f"{error}")
    finally:
        base.close()


def open_base(settings: Settings) -> Base:
    """Open the database. To be called before there are threads: the writer process is forked. Raises: CannotOpen."""
    return _on_process(settings) if settings.writer == WriterKind.PROCESS else _on_thread(settings)


def open_store(settings: Settings, *, server_pid: int | None = None) -> Store:
    """The store that the settings name. Raises: StoreInUse, SchemaMismatch, StoreUnavailable, OSError."""
    path = sqlite_path(settings.database_url)
    if path is not None:
        from holdfast.store.sqlite import SqliteStore

        return SqliteStore(path, server_pid=server_pid)
    from holdfast.store.postgres import PostgresStore

    return PostgresStore(settings.database_url)


def openapi() -> bytes:
    """What describes the HTTP API, as a server would answer it."""
    return Description(ROUTES).content


def open_readers(settings: Settings) -> Reader:
    """The committed rows of a database that the writer process has open. Raises: as `open_store`."""
    path = sqlite_path(settings.database_url)
    if path is None:
        return open_store(settings)
    from holdfast.store.sqlite import SqliteReaders

    return SqliteReaders(path, clock=MachineClock())


@contextmanager
def _saying_why() -> Iterator[None]:
    try:
        yield
    except (StoreInUse, SchemaMismatch, StoreFull, StoreUnavailable) as error:
        raise CannotOpen(f"{error}") from error
    except OSError as error:
        raise CannotOpen(f"The database cannot be opened: {error}") from error


def _on_thread(settings: Settings) -> Base:
    """Everything in this process. Raises: CannotOpen."""
    with _saying_why():
        store = open_store(settings)
    mint = Mint()
    return Base(
        store,
        lambda envelope: run_batch(store, [envelope], mint=mint)[0],
        lambda on_fatal: ThreadEngine(store, limits=QueueLimits(), on_fatal=on_fatal),
        store.close,
    )


def _on_process(settings: Settings) -> Base:
    """The writer in a process of its own, begun before anything here has a thread or a connection.

    Raises: CannotOpen.
    """
    ours, theirs = socket.socketpair()
    server_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _end_process(_write(settings, theirs, server_pid=server_pid))
    theirs.close()
    try:
        why_not = receive(ours)
    except ConnectionError:
        why_not = "The writer ended before it had opened the database; its log says why."
    if why_not is not None:
        os.waitpid(pid, 0)
        raise CannotOpen(f"{why_not}")
    with _saying_why():
        readers = open_readers(settings)

    def close() -> None:
        ours.close()
        readers.close()
        os.waitpid(pid, 0)

    return Base(
        readers,
        lambda envelope: ask(ours, envelope),
        lambda on_fatal: ProcessEngine(ours, limits=QueueLimits(), on_fatal=on_fatal),
        close,
    )


def _write(settings: Settings, connection: socket.socket, *, server_pid: int) -> int:
    """The writer process: its exit status. It stops when the server does, and not before: signals are the server's."""
    die_with_server(server_pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with _saying_why():
            store = open_store(settings, server_pid=server_pid)
    except CannotOpen as error:
        connection.sendall(frame(f"{error}"))
        return 1
    _collect_garbage_rarely()
    writer = Writer(store, connection, batch_weight=QueueLimits().batch_weight)
    try:
        connection.sendall(frame(None))
        writer.serve()
    finally:
        connection.close()
        store.close()
    return 1 if writer.is_broken else 0


def _end_process(status: int) -> NoReturn:
    """Leave a forked process without running what its parent has yet to do."""
    sys.stderr.flush()
    os._exit(status)


def build(settings: Settings, base: Base, *, on_ready: Callable[[WireServer], None]) -> Parts:
    """Wire a server; it listens, and works once it runs.

    Raises: PortTaken, AddressUnusable, TlsUnusable, CannotTrace.
    """

    def on_fatal() -> None:
        # What the disk holds is no longer known; whoever supervises the server has to start it anew.
        server.should_exit = True

    engine = base.make_engine(on_fatal)
    sweeper = Sweeper(base.readers, engine)
    core = _core(settings, base, engine)
    upkeep = Upkeep(core)
    node = f"{socket.gethostname()}:{os.getpid()}"
    job_runner = JobRunner(base.readers, engine, keeps=core.keeps, node=node)
    alert_watch = AlertWatch(base.readers, engine, node=node)
    dispatcher = _webhooks(settings, base, core, engine)
    in_background = (sweeper, job_runner, dispatcher, alert_watch)

    async def on_start() -> None:
        # First, because it may write the first key, and the store has one writer at a time.
        on_ready(server)
        engine.start()
        for each in in_background:
            each.start()
        supervisor.tell(READY)
        upkeep.start()
        core.request_log.start()

    async def on_stop() -> None:
        upkeep.stop()
        for each in reversed(in_background):
            # Not on the event loop, which the last pass may be waiting for.
            await asyncio.to_thread(each.stop)
        await core.request_log.stop()
        await engine.stop()
        core.close()
        if traces is not None:
            traces.stop()

    app = HttpApp(
        core,
        on_start=on_start,
        on_stop=on_stop,
        local_hosts_only=settings.no_auth,
        is_local=is_loopback(settings.host) and not settings.trusted_proxies,
    )
    traces = None if settings.otel_endpoint is None else _traces(settings.otel_endpoint)
    engine.tracer = traces
    supervisor = Supervisor(os.environ)

    async def on_well() -> None:
        if sweeper.is_passing and not engine.is_broken:
            supervisor.tell(WELL)

    server = build_server(
        app if traces is None else traces.traced(app),
        host=settings.host,
        port=settings.port,
        tls=_tls_files(settings),
        hsts_seconds=settings.hsts_seconds,
        trusted_proxies=settings.trusted_proxies,
        cors_origins=settings.cors_origins,
        on_well=on_well,
        on_stopping=lambda: supervisor.tell(STOPPING),
        telling=app.telling,
    )
    core.is_leaving = lambda: server.should_exit
    core.sweeper = sweeper
    core.meters.wire_refusals = lambda: server.wire.refused
    return Parts(server, engine)


def _core(settings: Settings, base: Base, engine: Engine) -> Core:
    """What the doors ask, by what was set."""
    given = {settings.context_relay_key: KeyScope.AGENT, settings.bootstrap_key: KeyScope.ADMIN}
    configured = {key: scope for key, scope in given.items() if key is not None}
    core = Core(
        base.readers,
        engine,
        configured_keys=configured,
        trusts_everybody=settings.no_auth,
        opens_accounts=settings.accounts_autocreate,
        follower_limits=FollowerLimits(
            of_account=settings.streams_per_account_max, of_key=settings.streams_per_key_max
        ),
        rate_limits=RateLimits(settings.rate_limit_per_minute, settings.heartbeat_rate_limit_per_minute),
        shares_limits=sqlite_path(settings.database_url) is None,
    )
    core.idempotency_keep_ms = settings.idempotency_ttl_seconds * SECOND_MS or None
    core.day = _day(settings)
    core.keeps = {kind.name: _keep_ms(kind, settings) for kind in KINDS.values()}
    core.recovery_attempts_max = settings.recovery_attempts_max
    return core


def _webhooks(settings: Settings, base: Base, core: Core, engine: Engine) -> WebhookDispatcher:
    """What delivers to webhooks, and by which rules the core takes one on."""
    seconds, allows_private = settings.webhook_timeout_seconds, settings.webhook_allow_private
    sender = Sender(timeout_seconds=seconds, allows_private=allows_private)
    core.allows_private_webhooks, core.look_up = allows_private, sender.look_up
    core.webhooks = dispatcher = WebhookDispatcher(
        base.readers, engine, sender, render=message_of, timeout_ms=seconds * SECOND_MS
    )
    return dispatcher


def _day(settings: Settings) -> DaySettings:
    """What holds at the Crane door; says so where the settings contradict each other."""
    day = DaySettings(
        stale_ms=settings.context_session_stale_minutes * MINUTE_MS,
        heartbeat_interval_ms=settings.heartbeat_interval_seconds * SECOND_MS,
        heartbeat_jitter_ms=settings.heartbeat_jitter_seconds * SECOND_MS,
        idempotency_keep_ms=settings.context_idempotency_ttl_seconds * SECOND_MS or None,
        ventures=settings.context_ventures,
    )
    if day.is_crowded:
        log.warning(
            "heartbeat_interval_shortened to_ms=%d for_stale_ms=%d", day.policy.heartbeat_interval_ms, day.stale_ms
        )
    return day


def _tls_files(settings: Settings) -> TlsFiles | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key)


def _keep_ms(kind: Kind, settings: Settings) -> int | None:
    """For how long rows of a kind are kept; None: for ever. Those that say it themselves go as soon as they say."""
    if kind.setting is None:
        return 0
    return getattr(settings, kind.setting) * kind.unit_ms or None


def _serve(settings: Settings, base: Base) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    needs_key = settings.bootstrap_key is None and not settings.no_auth and not has_keys(base.readers)
    if needs_key and settings.context_relay_key is None and not is_loopback(settings.host):
        return _failed(
            f"{settings.host} can be reached from other machines, and no key is defined. Start once on localhost, "
            "which makes a key, or set HOLDFAST_BOOTSTRAP_KEY."
        )
    _execute(base, OpenAccount(DEFAULT_ACCOUNT))
    parts = build(settings, base, on_ready=lambda server: _greet(settings, base, server, needs_key=needs_key))
    _collect_garbage_rarely()
    parts.server.run()
    return 0 if not parts.engine.is_broken else 1


def _collect_garbage_rarely() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _traces(endpoint: str) -> "Telemetry":
    """Traces, whose packages are not even imported where nobody wants any. Raises: CannotTrace."""
    from holdfast.telemetry import TelemetryMissing, exporting_to

    try:
        return exporting_to(endpoint)
    except TelemetryMissing as error:
        raise CannotTrace(str(error)) from error


def _execute(base: Base, command: Command) -> Reply:
    """Carry out a command before the engine runs. Raises: Refusal."""
    outcome = base.carry_out(Envelope(command, FIRST_START, os.urandom(ENTROPY_BYTES), "first-start"))
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


def _greet(settings: Settings, base: Base, server: WireServer, *, needs_key: bool) -> None:
    """Tell whoever started the server where it is, by which key, and what to type next."""
    url = server.urls[0]
    lines = [f"Holdfast {__version__} on {without_password(settings.database_url)}"]
    if settings.no_auth:
        lines.append("WARNING: --no-auth is in force; everybody on this machine is the default account's operator.")
    elif needs_key:
        lines += _first_key(base, url)
    elif settings.bootstrap_key is not None:
        lines.append("Key: the one in HOLDFAST_BOOTSTRAP_KEY; set HOLDFAST_KEY to it for the command line.")
    lines += [f"Docs:  {url}/docs", f"Ready on {url}"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _first_key(base: Base, url: str) -> list[str]:
    """Make the first key, and keep it where the command line on this machine finds it."""
    key = str(_execute(base, CreateKey("first start", KeyScope.ADMIN, None, os.urandom(KEY_ENTROPY_BYTES))).body["key"])
    lines = [f"Key:   {key}", "       (admin; shown this once)"]
    try:
        path: Path = save_key(config_directory(os.environ), url, key)
        lines[1] = f"       (admin; shown this once, kept in {path} for the command line)"
    except (OSError, CredentialsInvalid) as error:
        lines.append(f"       It could not be kept for the command line ({error}): set HOLDFAST_KEY to it.")
    if url != DEFAULT_URL:
        lines.append(f"       export HOLDFAST_URL={url}      so that the command line asks this server")
    typed = "./holdfast" if Path("holdfast").is_file() else "holdfast"
    return [*lines, f"Next:  {typed} run -- sleep 600      and in another terminal: {typed} ps"]


def _failed(why: str) -> int:
    sys.stderr.write(f"holdfast: {why}\n")
    return 1
