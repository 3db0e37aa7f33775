"""One connection: bytes in, requests to the application in order, answers out, and everything that is refused.

The parser (llhttp, through httptools) checks the grammar. What it leaves open is decided here: hosts, sizes, times,
how far ahead a client may send, and that nothing after a fault is ever read as a request. What a request means is not
known here, and neither is JSON.

uvicorn's own protocol class is not a base: it answers a fault in the middle of another answer, reads the body of an
upgrade as the next request, takes trailers for headers, and forgets all but the newest of several pipelined requests.
"""

import asyncio
import logging
import re
from collections import Counter, deque
from typing import Any, NoReturn, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from holdfast.doors.http import faults
from holdfast.doors.http.exchange import Application, Exchange
from holdfast.doors.http.faults import Asked, Telling, WireFault
from holdfast.doors.http.limits import WireLimits

_log = logging.getLogger("holdfast.wire")

NEVER_MS = 1 << 62
"""A deadline that does not come."""

CROWDED_OUT = "crowded_out"

TICK_MS_MAX = 1_000
"""What one tick of the wire's clock may add: a process that was stopped for longer blames no client for it."""

_CONTENT_LENGTH_CHARS_MAX = 20
"""Digits of 2^64, past which the parser gives up; leading zeros count, since converting them is work too."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_WATCHED_HEADERS = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class _Stop(Exception):
    """Leaves the parser from within a callback; why is kept in the connection."""


class Wire:
    """What the connections of one server share: the limits, a coarse clock, and counts.

    telling: how a path tells of problems. refused: by code, what was refused before the application.
    counted_bodies_bytes: what large bodies of requests that were not answered yet take together.
    newcomers: connections in the order of their coming, most of which have not sent a whole head yet.

    The clock is read instead of the time, so that a request costs no system call and no timer for its deadlines.
    """

    def __init__(self, limits: WireLimits, *, telling: Telling | None = None) -> None:
        self.limits = limits
        self.telling = telling
        self.now_ms = 0
        self.refused: Counter[str] = Counter()
        self.counted_bodies_bytes = 0
        self.newcomers: dict[WireProtocol, None] = {}
        self._last_tick_ms: int | None = None
        self._swept_ms = 0
        self._date_headers: list[tuple[bytes, bytes]] = []
        self._date_line = b""

    def tick(self, state: ServerState, *, loop_ms: int) -> None:
        """Move the clock, and close what is past its deadline. Called by the server several times a second."""
        if self._last_tick_ms is not None:
            self.now_ms += min(loop_ms - self._last_tick_ms, TICK_MS_MAX)
        self._last_tick_ms = loop_ms
        if self.now_ms - self._swept_ms < self.limits.sweep_ms:
            return
        self._swept_ms = self.now_ms
        for connection in list(state.connections):
            if isinstance(connection, WireProtocol):
                connection.sweep()

    def make_room(self) -> bool:
        """Break off the connection that has waited longest without a whole head; whether there was one.

        A client that means it sends its first head at once, and a crowd of silent ones must not keep it out.
        """
        while self.newcomers:
            oldest = next(iter(self.newcomers))
            del self.newcomers[oldest]
            if oldest.is_silent:
                self.refused[CROWDED_OUT] += 1
                oldest.abort()
                return True
        return False

    def date_line(self, state: ServerState) -> bytes:
        """The headers that every response has, as bytes; joined again only when the server renewed them."""
        if state.default_headers is not self._date_headers:
            self._date_headers = state.default_headers
            self._date_line = b"".join([b"%b: %b\r\n" % header for header in state.default_headers])
        return self._date_line


class WireProtocol(asyncio.Protocol):
    """One client's connection.

    At most one exchange is active. `_parsing` is the one whose request is still arriving or arrived last; those whose
    heads came while another was active wait in `_waiting`, in order.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._wire = wire
        self._limits = wire.limits
        self._application: Application = config.loaded_app
        self._state = state
        self._connections: set[Any] = state.connections
        self._app_state = app_state
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        # Without this the parser calls bytes behind a closing request an error; they are dropped here instead.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

        self._transport: asyncio.Transport
        self._server: tuple[str, int | None] | None
        self._client: tuple[str, int] | None
        self._scheme: str
        self._writable: asyncio.Event | None = None
        self.is_write_paused = False
        self._is_read_paused = False
        self._deadline_ms = NEVER_MS
        self._write_deadline_ms = NEVER_MS

        self._active: Exchange | None = None
        self._parsing: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._fault: WireFault | None = None
        self._dropped_bytes = 0
        self._is_last = False
        self._is_deaf = False
        self._is_closing = False
        self._is_stopping = False

        # Of the request being parsed; set anew where it begins.
        self._is_in_message = False
        self._is_in_head = False
        self._is_head_split = False
        self._is_chunked = False
        self._expects_continue = False
        self._has_upgrade = False
        self._content_length = 0
        self._target = b""
        self._host: bytes | None = None
        self._known_host = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_wire_bytes = 0
        self._arrival_body_bytes = 0
        self._arrival_since_ms = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: uvloop's transports have the methods and not the base class.
        self._transport = transport = cast(asyncio.Transport, transport)
        if len(self._connections) >= self._limits.connections_max and not self._wire.make_room():
            self._is_deaf = self._is_closing = True
            self._wire.refused[faults.TOO_MANY_CONNECTIONS.code] += 1
            transport.write(faults.answer_to(faults.TOO_MANY_CONNECTIONS, date_line=self.date_line))
            transport.close()
            return
        self._connections.add(self)
        self._wire.newcomers[self] = None
        transport.set_write_buffer_limits(high=self._limits.buffered_answer_bytes_max)
        self._server = get_local_addr(transport)
        self._client = get_remote_addr(transport)
        self._scheme = "https" if is_ssl(transport) else "http"
        self._deadline_ms = self._wire.now_ms + self._limits.first_byte_ms

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._wire.newcomers.pop(self, None)
        self._is_deaf = True
        self._is_closing = True
        for exchange in (self._active, self._parsing, *self._waiting):
            if exchange is not None:
                exchange.give_up()
                if exchange is not self._active:
                    self.discount(exchange)
        self._active = self._parsing = None
        self._waiting.clear()
        self.resume_writing()

    @property
    def is_silent(self) -> bool:
        """Whether no whole head has come yet."""
        return self._parsing is None and not self._is_closing

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._drop(len(data))
            return
        self._is_head_split = self._is_in_head or len(data) > self._limits.head_bytes_max
        try:
            self._feed(data)
        except httptools.HttpParserError as exc:
            self._refuse(self._fault_behind(exc))
            return
        if self._is_in_message:
            self._watch_arrival(len(data))

    def pause_writing(self) -> None:
        self.is_write_paused = True
        waiting_ms = self._transport.get_write_buffer_size() * 1_000 // self._limits.answer_bytes_per_second_min
        self._write_deadline_ms = self._wire.now_ms + self._limits.answer_stall_ms + waiting_ms

    def resume_writing(self) -> None:
        self.is_write_paused = False
        self._write_deadline_ms = NEVER_MS
        if self._writable is not None:
            self._writable.set()

    def _fault_behind(self, exc: httptools.HttpParserError) -> WireFault | None:
        if self._fault is not None:
            return self._fault
        if self._is_last and not self._is_in_message:
            # Bytes behind a closing request: no fault, and never read.
            return None
        if isinstance(exc, httptools.HttpParserCallbackError):
            _log.error("wire_failed", exc_info=exc)
            return faults.BROKEN
        return faults.MALFORMED

    def _feed(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as exc:
                rest = memoryview(rest)[exc.args[0] :]
                self._go_on_without_upgrade()
                continue
            return

    def _go_on_without_upgrade(self) -> None:
        """Let the parser go on as if no upgrade had been asked for: it has taken the request to end with its head.

        A body would now be read as the next request. So it is given to a parser of its own, behind a head that frames
        it, and the connection ends after it.
        """
        if not self._is_in_message:
            return
        parser = httptools.HttpRequestParser(_BodyOfUpgrade(self))
        framing = b"transfer-encoding: chunked" if self._is_chunked else b"content-length: %d" % self._content_length
        parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        self._parser = parser

    def on_message_begin(self) -> None:
        if self._is_last:
            raise _Stop
        if len(self._waiting) >= self._limits.pipelined_requests_max:
            self.fail(faults.TOO_MANY_PIPELINED)
        self._is_in_message = True
        self._is_in_head = True
        self._is_chunked = False
        self._expects_continue = False
        self._has_upgrade = False
        self._content_length = 0
        self._body_bytes = 0
        self._arrival_since_ms = -1
        self._target = b""
        self._host = None
        self._headers = []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            self.fail(faults.TRAILERS_SENT)
        name, is_watched = _known_names.get(name) or _known(name)
        value = value.rstrip(b" \t")
        if is_watched:
            self._watch_header(name, value)
        self._headers.append((name, value))

    def _watch_header(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self._host is not None:
                self.fail(faults.BAD_HOST)
            self._host = value
        elif name == b"content-length":
            if len(value) > _CONTENT_LENGTH_CHARS_MAX:
                self.fail(faults.BAD_LENGTH)
            self._content_length = int(value)
        elif name == b"transfer-encoding":
            # Once, and alone: how others read a list or a second one is how a body becomes a request.
            if self._is_chunked or value.lower() != b"chunked":
                self.fail(faults.CODING_UNKNOWN)
            self._is_chunked = True
        elif name == b"expect":
            if value.lower() != b"100-continue":
                self.fail(faults.EXPECTATION_UNKNOWN)
            self._expects_continue = True
        else:
            self._has_upgrade = True

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        version = self._parser.get_http_version()
        method = self._parser.get_method()
        fault = self._fault_of_head(version=version, method=method)
        if fault is not None:
            self.fail(fault)
        raw_path, _, query = self._target.partition(b"?")
        path = raw_path.decode("ascii")
        is_keep_alive = version == "1.1" and self._parser.should_keep_alive() and not self._is_stopping
        if self._has_upgrade and self._parser.should_upgrade():
            has_body = self._is_chunked or self._content_length > 0
            is_keep_alive = is_keep_alive and not has_body
        self._is_last = not is_keep_alive
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": method.decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
            "state": self._app_state.copy(),
        }
        exchange = Exchange(
            self, scope, is_keep_alive=is_keep_alive, awaits_continue=self._expects_continue and version == "1.1"
        )
        self._parsing = exchange
        if self._active is None:
            self._start(exchange)
        else:
            self._waiting.append(exchange)
            # Half, because one read may bring many more. Not at once, because only a reader sees the client leave.
            if len(self._waiting) > self._limits.pipelined_requests_max // 2:
                self._pause_reading()

    def _fault_of_head(self, *, version: str, method: bytes) -> WireFault | None:
        if len(self._target) > self._limits.request_target_bytes_max:
            return faults.TARGET_TOO_LONG
        if len(self._headers) > self._limits.headers_max or (
            self._is_head_split and self._counted_head_bytes() > self._limits.head_bytes_max
        ):
            return faults.HEAD_TOO_LARGE
        if version != "1.1" and (version != "1.0" or self._is_chunked):
            return faults.CODING_UNKNOWN if version == "1.0" else faults.VERSION_UNKNOWN
        if self._host != self._known_host or not self._host:
            if self._host is None:
                return faults.BAD_HOST if version == "1.1" else None
            if not _HOST.fullmatch(self._host):
                return faults.BAD_HOST
            self._known_host = self._host
        if not self._target.startswith(b"/") or b"#" in self._target:
            fault = self._take_unusual_target(method)
            if fault is not None:
                return fault
        if self._content_length <= self._limits.counted_body_bytes_min:
            return None
        if self._content_length > self._limits.body_bytes_max:
            return faults.BODY_TOO_LARGE
        return faults.TOO_MANY_BODIES if self._is_over_budget(self._content_length) else None

    def _take_unusual_target(self, method: bytes) -> WireFault | None:
        """Reduce an absolute target to its path, where it names the same host as the Host header."""
        if method == b"CONNECT":
            return faults.CONNECT_REFUSED
        if self._target == b"*" and method == b"OPTIONS":
            return None
        scheme, found, rest = self._target.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        is_ours = scheme.lower() in {b"http", b"https"} and authority.lower() == (self._host or b"").lower()
        if not found or not authority or not is_ours or b"#" in rest:
            return faults.BAD_TARGET
        self._target = slash + path or b"/"
        return None

    def _counted_head_bytes(self) -> int:
        return len(self._target) + sum([len(name) + len(value) + 4 for name, value in self._headers])

    def on_body(self, data: bytes) -> None:
        assert self._parsing is not None
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes_max:
            self.fail(faults.BODY_TOO_LARGE)
        if self._body_bytes > self._limits.counted_body_bytes_min:
            self._count(self._parsing)
        self._parsing.feed(data)
        if self._parsing.buffered_bytes > self._limits.buffered_body_bytes_max or self._waiting:
            self._pause_reading()

    def _count(self, exchange: Exchange) -> None:
        """Count what arrived of a large body, and refuse it where all of them have come to too much."""
        if exchange.is_answered or exchange.is_over:
            return
        more = self._body_bytes - exchange.counted_bytes
        if self._is_over_budget(more):
            self.fail(faults.TOO_MANY_BODIES)
        exchange.counted_bytes += more
        self._wire.counted_bodies_bytes += more

    def _is_over_budget(self, more: int) -> bool:
        return self._wire.counted_bodies_bytes + more > self._limits.counted_bodies_bytes_max

    def discount(self, exchange: Exchange) -> None:
        """Count its body no more."""
        self._wire.counted_bodies_bytes -= exchange.counted_bytes
        exchange.counted_bytes = 0

    def on_message_complete(self) -> None:
        if self._has_upgrade and self._is_upgrade_with_body():
            return
        self.end_request()

    def _is_upgrade_with_body(self) -> bool:
        return self._parser.should_upgrade() and (self._is_chunked or self._content_length > 0)

    def end_request(self) -> None:
        """Note that the request being parsed is complete."""
        assert self._parsing is not None
        self._is_in_message = False
        self._parsing.feed_end()
        self._deadline_ms = NEVER_MS if self._active else self._wire.now_ms + self._limits.keep_alive_ms

    def fail(self, fault: WireFault) -> NoReturn:
        """Leave the parser because of a fault. Raises: _Stop, always."""
        self._fault = fault
        raise _Stop

    def _start(self, exchange: Exchange) -> None:
        self._active = exchange
        task = self._loop.create_task(exchange.run(self._application))
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)

    def exchange_finished(self, exchange: Exchange) -> None:
        """Go on to the next request, to the fault that follows, or to rest."""
        self._state.total_requests += 1
        if self._is_closing:
            return
        self._active = None
        if not exchange.is_keep_alive:
            self._close(is_client_sending=not exchange.is_body_complete)
        elif self._waiting:
            self._start(self._waiting.popleft())
            if not self._waiting:
                self.resume_reading()
        elif self._is_deaf:
            self._answer_fault()
        else:
            self._rest()

    def _rest(self) -> None:
        self._deadline_ms = self._wire.now_ms + self._limits.keep_alive_ms
        self.resume_reading()
        if self._is_in_message:
            self._restart_arrival()

    def exchange_broken(self, exchange: Exchange) -> None:
        """Answer 500 for an application that did not answer; break off where it had begun to."""
        exchange.give_up()
        if exchange.is_on_the_wire or exchange is not self._active:
            self.abort()
            return
        for each in self._waiting:
            self.discount(each)
        self._waiting.clear()
        self._is_deaf = True
        self._fault = faults.BROKEN
        self._answer_fault()

    def may_drain(self, exchange: Exchange) -> bool:
        """True where what is left of the request is announced, short, and sure to come."""
        if exchange.awaits_continue or self._is_chunked:
            return False
        return self._content_length - self._body_bytes <= self._limits.unread_body_bytes_max

    def _refuse(self, fault: WireFault | None) -> None:
        """Read nothing more; answer the requests before the fault, then the fault, then close."""
        self._is_deaf = True
        self._fault = fault
        self._deadline_ms = NEVER_MS
        if fault is not None:
            self._wire.refused[fault.code] += 1
        broken = self._parsing if self._is_in_message and not self._is_in_head else None
        if broken is not None and not broken.is_body_complete:
            broken.give_up()
            if broken is self._active:
                self._active = None
                if broken.is_on_the_wire:
                    self.abort()
                    return
            elif self._waiting and self._waiting[-1] is broken:
                self.discount(self._waiting.pop())
            elif broken.is_answered and self._active is None:
                self._fault = None
        if self._active is None and not self._waiting:
            self._answer_fault()

    def _answer_fault(self) -> None:
        if self._fault is not None and not self._is_closing:
            limit, telling = self._limits.body_bytes_max, self._wire.telling
            answer = faults.answer_to(
                self._fault, date_line=self.date_line, asked=self._asked(), body_bytes_max=limit, telling=telling
            )
            self._transport.write(answer)
        self._close(is_client_sending=self._fault is not None)

    def _asked(self) -> Asked:
        """What is known of the request at which reading ended, or whose answer failed."""
        size_bytes = None if self._is_chunked else self._content_length
        if self._active is not None:
            return Asked(self._active.scope["raw_path"], self._active.scope["headers"], size_bytes)
        return Asked(self._target.partition(b"?")[0], self._headers, size_bytes)

    def sweep(self) -> None:
        """Act on the deadline that has passed, if one has."""
        now_ms = self._wire.now_ms
        if now_ms >= self._write_deadline_ms:
            self.abort()
        elif now_ms >= self._deadline_ms and (self._is_closing or not self._is_read_paused):
            if self._is_closing:
                self.abort()
            elif self._is_in_message:
                self._refuse(faults.TIMED_OUT)
            else:
                self._close(is_client_sending=False)

    def _watch_arrival(self, count: int) -> None:
        """Keep account of an unfinished request, after `count` more bytes of the connection.

        Where in the first of them it began is not known, so what the first arrival costs in framing is not counted.
        """
        is_first = self._arrival_since_ms < 0
        if is_first:
            self._head_bytes = self._counted_head_bytes()
            self._body_wire_bytes = self._body_bytes
            self._restart_arrival()
        if self._is_in_head:
            self._head_bytes += 0 if is_first else count
            if len(self._target) > self._limits.request_target_bytes_max:
                self._refuse(faults.TARGET_TOO_LONG)
            elif self._head_bytes > self._limits.head_bytes_max:
                self._refuse(faults.HEAD_TOO_LARGE)
            return
        self._body_wire_bytes += 0 if is_first else count
        framing_bytes = self._body_wire_bytes - self._body_bytes
        if self._is_chunked and framing_bytes > self._body_bytes + self._limits.framing_bytes_max:
            self._refuse(faults.FRAMING_WASTEFUL)
            return
        self._set_body_deadline()

    def _restart_arrival(self) -> None:
        """Give an unfinished request the time that it had when it began: it did not have to wait for itself."""
        self._arrival_since_ms = self._wire.now_ms
        self._arrival_body_bytes = self._body_bytes
        if self._is_in_head:
            self._deadline_ms = self._wire.now_ms + self._limits.head_ms
        else:
            self._set_body_deadline()

    def _set_body_deadline(self) -> None:
        limits = self._limits
        arrived_bytes = self._body_bytes - self._arrival_body_bytes
        earned_ms = arrived_bytes * 1_000 // limits.body_bytes_per_second_min
        start_ms = min(self._wire.now_ms, self._arrival_since_ms + earned_ms)
        self._deadline_ms = start_ms + limits.body_stall_ms

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let more arrive; what was held back meanwhile is not late."""
        if not self._is_read_paused:
            return
        self._is_read_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if self._is_in_message and not self._is_deaf:
                self._restart_arrival()

    def _drop(self, count: int) -> None:
        self._dropped_bytes += count
        if self._dropped_bytes > self._limits.linger_bytes_max:
            if self._is_closing:
                self.abort()
            else:
                self._pause_reading()

    @property
    def date_line(self) -> bytes:
        """The headers that every response has."""
        return self._wire.date_line(self._state)

    def write(self, data: bytes) -> None:
        """Send bytes, in order."""
        self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the client took enough of what was sent, or is gone."""
        if self._writable is None:
            self._writable = asyncio.Event()
        while self.is_write_paused:
            self._writable.clear()
            await self._writable.wait()

    def shutdown(self) -> None:
        """Finish what was begun, then close. Called by the server when it stops."""
        self._is_stopping = True
        if self._active is None:
            self._is_closing = True
            self._transport.close()
            return
        self._is_last = True
        newest = self._waiting[-1] if self._waiting else self._active
        newest.is_keep_alive = False
        self._active.stop_streaming()

    def _close(self, *, is_client_sending: bool) -> None:
        """Close once everything is sent. A client that is still sending is listened to meanwhile, and not heeded."""
        self._is_deaf = True
        self._is_closing = True
        self._deadline_ms = self._wire.now_ms + self._limits.linger_ms
        if is_client_sending and not self._is_stopping:
            self.resume_reading()
            # TLS cannot be half closed: its client has the answer, and leaves, or is left at the deadline.
            if self._transport.can_write_eof():
                self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Break off: what was not sent is lost."""
        self._is_deaf = True
        self._is_closing = True
        self._transport.abort()


_NAMES_KNOWN_MAX = 1_000
_KNOWN_NAME_BYTES_MAX = 64
"""No more of them are remembered, and no longer ones: whoever sends requests may make names up."""

_known_names: dict[bytes, tuple[bytes, bool]] = {}
"""Names of headers as they were sent: each in lower case, and whether it is watched."""


def _known(name: bytes) -> tuple[bytes, bool]:
    lowered = name.lower()
    known = lowered, lowered in _WATCHED_HEADERS
    if len(_known_names) < _NAMES_KNOWN_MAX and len(name) <= _KNOWN_NAME_BYTES_MAX:
        _known_names[name] = known
    return known


class _BodyOfUpgrade:
    """The callbacks of a parser that reads one body only; the head before it was made up and is not looked at."""

    def __init__(self, connection: WireProtocol) -> None:
        self._connection = connection
        self._is_in_body = False

    def on_message_begin(self) -> None:
        if self._is_in_body:
            raise _Stop

    def on_header(self, _name: bytes, _value: bytes) -> None:
        if self._is_in_body:
            self._connection.fail(faults.TRAILERS_SENT)

    def on_headers_complete(self) -> None:
        self._is_in_body = True

    def on_body(self, data: bytes) -> None:
        self._connection.on_body(data)

    def on_message_complete(self) -> None:
        self._connection.end_request()
