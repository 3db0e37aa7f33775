"""The server: which addresses it listens on, with which limits, and how it starts and stops. It knows no routes."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from types import FrameType
from typing import Literal, cast

import psutil
import uvicorn
from uvicorn.config import Config
from uvicorn.server import HANDLED_SIGNALS

from holdfast.doors.http.accepting import TlsListener
from holdfast.doors.http.cors import Cors
from holdfast.doors.http.exchange import Application
from holdfast.doors.http.faults import Telling
from holdfast.doors.http.forwarded import Forwarded, Network
from holdfast.doors.http.limits import (
    BACKLOG_CONNECTIONS,
    SHUTDOWN_S,
    WIRE_LIMITS,
    WireLimits,
)
from holdfast.doors.http.protocol import Wire, WireProtocol
from holdfast.doors.http.tls import TlsFiles, TlsUnusable, renew, server_context

log = logging.getLogger(__name__)

FORCED_STATUS = 1
"""The exit status after a second signal: not everything that was begun was finished."""

NOTIFY_SECONDS = 1
"""How often whoever supervises the server hears that it is well."""

LOCAL_ADDRESSES = ("127.0.0.1", "::1")
"""What `localhost` means here, whatever the machine's hosts file says."""

FREE_PORT_ATTEMPTS_MAX = 16
"""Ports that are tried when any will do: the one that is free on the first address may be taken on the second."""

SPARE_FILES = 256
"""Descriptors beside those of connections: the store, logs, the loop."""


class PortTaken(Exception):
    """Another program listens on the port. `holder` names it, where this user may know."""

    def __init__(self, port: int, holder: str | None) -> None:
        super().__init__(f"Port {port} is taken by {holder or 'another program'}.")
        self.port = port
        self.holder = holder


class AddressUnusable(Exception):
    """The host cannot be listened on: it has no address, none of this machine, or one that needs privileges."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"Cannot listen on {host}, port {port}: {reason}.")
        self.host = host
        self.port = port


class ApplicationNotStarted(Exception):
    """The application refused to start; it has said why in the log."""


def build_server(
    app: Application,
    *,
    host: str,
    port: int,
    tls: TlsFiles | None = None,
    hsts_seconds: int = 0,
    trusted_proxies: Sequence[Network] = (),
    cors_origins: Sequence[str] = (),
    sockets: Sequence[socket.socket] | None = None,
    on_well: Callable[[], Awaitable[None]] | None = None,
    on_stopping: Callable[[], None] | None = None,
    telling: Telling | None = None,
    limits: WireLimits = WIRE_LIMITS,
    loop: Literal["auto", "asyncio", "uvloop"] = "auto",
) -> "WireServer":
    """A server that already listens, and answers once it runs: `run()`, or `await serve()` on a loop that exists.

    host: an address or a name; `localhost` is 127.0.0.1 and, where the machine has it, ::1.
    port: 0 for any that is free; `server.port` says which.
    hsts_seconds: browsers are told to insist on HTTPS for so long.
    trusted_proxies: whose X-Forwarded-For and X-Forwarded-Proto are believed; by default nobody's.
    cors_origins: pages of these origins may use the application; by default none.
    sockets: already bound ones, instead of host and port.
    telling: how a path tells of what is refused before the application.
    on_well: called every second while the event loop turns; on_stopping: once, when the server begins to stop.
    Raises: PortTaken, AddressUnusable, TlsUnusable.
    """
    context = None if tls is None else server_context(tls)
    if cors_origins:
        app = Cors(app, origins=cors_origins)
    if trusted_proxies:
        app = Forwarded(app, proxies=trusted_proxies)
    headers = [("x-content-type-options", "nosniff")]
    if hsts_seconds:
        headers.append(("strict-transport-security", f"max-age={hsts_seconds}"))
    config = Config(
        app,
        host=host,
        port=port,
        loop=loop,
        http=WireProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=headers,
        proxy_headers=False,
        backlog=BACKLOG_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_notify=NOTIFY_SECONDS,
        callback_notify=on_well,
    )
    config.load()
    listening = sockets or listen(host=host, port=port)
    wire = Wire(limits, telling=telling)
    return WireServer(config, wire=wire, listening=listening, tls=tls, context=context, on_stopping=on_stopping)


class WireServer(uvicorn.Server):
    """uvicorn's life cycle (signals, lifespan, draining), with this project's connections and sockets.

    wire: what its connections share; `wire.refused` counts by code what was refused before the application.
    """

    def __init__(
        self,
        config: Config,
        *,
        wire: Wire,
        listening: Sequence[socket.socket],
        tls: TlsFiles | None,
        context: ssl.SSLContext | None,
        on_stopping: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self.wire = wire
        self.listening = list(listening)
        self.addresses = [(str(sock.getsockname()[0]), int(sock.getsockname()[1])) for sock in listening]
        self._tls = tls
        self._context = context
        self._on_stopping = on_stopping

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.addresses[0][1]

    @property
    def urls(self) -> list[str]:
        """Where it can be reached, one per address."""
        scheme = "http" if self._tls is None else "https"
        return [f"{scheme}://{f'[{ip}]' if ':' in ip else ip}:{port}" for ip, port in self.addresses]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGINT and SIGTERM, and then return; at a second one, end at once. SIGHUP renews the certificate.

        uvicorn would raise the signal again, and so end the process before its store was closed.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Callable[[int, FrameType | None], object]] = dict.fromkeys(
            HANDLED_SIGNALS, self.handle_exit
        )
        if self._tls is not None and sys.platform != "win32":
            loop = asyncio.get_running_loop()
            # Reading files is not for a signal handler, which runs between any two steps of the loop.
            handlers[signal.SIGHUP] = lambda *_: loop.call_soon_threadsafe(self.renew_certificate)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in good order, or, asked again, as it is: whatever was acknowledged is durable."""
        if self.should_exit:
            log.warning("stop_forced signal=%s", signal.Signals(sig).name)
            os._exit(FORCED_STATUS)
        self.should_exit = True

    def renew_certificate(self) -> None:
        """Read the certificate and its key anew; where they cannot be used, go on with those that are in force."""
        assert self._tls is not None
        assert self._context is not None
        try:
            renew(self._context, self._tls)
        except TlsUnusable as exc:
            log.error("certificate_not_renewed error=%s", exc)
        else:
            log.info("certificate_renewed path=%s", self._tls.certificate)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections. Raises: ApplicationNotStarted."""
        permit_open_files(self.wire.limits.connections_max + SPARE_FILES)
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.close()
            raise ApplicationNotStarted
        loop = asyncio.get_running_loop()
        self._tick(loop)
        # uvicorn closes them and waits for them, which both kinds know.
        self.servers = cast(list[asyncio.Server], [await self._listener(sock, loop) for sock in self.listening])
        self.started = True

    async def _listener(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> asyncio.Server | TlsListener:
        if self._context is None:
            return await loop.create_server(self._make_connection, sock=sock, backlog=self.config.backlog)
        return TlsListener(sock, context=self._context, wire=self.wire, make_connection=self._make_connection)

    def _make_connection(self) -> WireProtocol:
        return WireProtocol(
            self.wire,
            config=self.config,
            state=self.server_state,
            app_state=self.lifespan.state,
            loop=asyncio.get_running_loop(),
        )

    async def on_tick(self, counter: int) -> bool:
        """Let the wire look at its deadlines; say whether it is time to stop."""
        self._tick(asyncio.get_running_loop())
        return await super().on_tick(counter)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wire.tick(self.server_state, loop_ms=int(loop.time() * 1_000))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let requests finish for SHUTDOWN_S, break off the rest, then stop the application."""
        if self._on_stopping is not None:
            self._on_stopping()
        await super().shutdown(sockets=self.listening)
        for connection in list(self.server_state.connections):
            if isinstance(connection, WireProtocol):
                connection.abort()

    def close(self) -> None:
        """Give up the sockets of a server that will not run."""
        for sock in self.listening:
            sock.close()


def listen(*, host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of the host, all on one port.

    Raises: PortTaken, AddressUnusable.
    """
    addresses = _addresses_of(host, port=port)
    for attempt in range(FREE_PORT_ATTEMPTS_MAX):
        try:
            return _listen_on(addresses, host=host, port=port)
        except PortTaken:
            if port != 0 or attempt == FREE_PORT_ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("Every attempt returns or raises.")


def _addresses_of(host: str, *, port: int) -> list[tuple[socket.AddressFamily, str]]:
    names = LOCAL_ADDRESSES if host == "localhost" else (host,)
    found: dict[tuple[socket.AddressFamily, str], None] = {}
    for name in names:
        try:
            answers = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (socket.gaierror, UnicodeError) as exc:
            raise AddressUnusable(host, port, "the name has no address") from exc
        found |= {(family, str(address[0])): None for family, _, _, _, address in answers}
    return list(found)


def _listen_on(addresses: list[tuple[socket.AddressFamily, str]], *, host: str, port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        missing: OSError | None = None
        for family, ip in addresses:
            bound_port = sockets[0].getsockname()[1] if sockets else port
            try:
                sock = opened.enter_context(_listening_socket(family, ip=ip, port=bound_port))
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    raise PortTaken(bound_port, _holder_of(bound_port)) from exc
                if exc.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise AddressUnusable(host, port, _reason_of(exc)) from exc
                # This machine lacks one of the families; the other will do.
                missing = exc
                continue
            sockets.append(sock)
        if missing is not None and not sockets:
            raise AddressUnusable(host, port, _reason_of(missing)) from missing
        opened.pop_all()
        return sockets


def _listening_socket(family: socket.AddressFamily, *, ip: str, port: int) -> socket.socket:
    # With the protocol named: asyncio turns off Nagle's delay only where it sees that it is TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            # A restart must not wait for the closed connections of its predecessor to be forgotten.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((ip, port))
        # Now, because until one of two listens, both may bind.
        sock.listen(BACKLOG_CONNECTIONS)
    except OSError:
        sock.close()
        raise
    return sock


def _reason_of(exc: OSError) -> str:
    return (exc.strerror or "it was refused").lower()


def _holder_of(port: int) -> str | None:
    """The program that listens on a port, such as `python3 (pid 4711)`; None where this user may not know."""
    for process in psutil.process_iter():
        try:
            # One by one: of all at once only root is told on macOS, of its own everybody.
            listening = {
                tuple(connection.laddr)[1:]
                for connection in process.net_connections(kind="tcp")
                if connection.status == psutil.CONN_LISTEN
            }
            if (port,) in listening:
                name = "".join(char if char.isprintable() else "?" for char in process.name())
                return f"{name} (pid {process.pid})"
        except (psutil.Error, OSError):
            continue
    return None


def permit_open_files(count: int) -> None:
    """Raise this process's own limit of open files to `count`, or as near as the system lets it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )
