"""One request and its answer: what the application receives, and how what it sends becomes HTTP.

The connection owns the socket and the order of exchanges; nothing here reads from it or closes it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol

from holdfast.doors.http.bodies import ClientGone
from holdfast.doors.http.faults import STATUS_LINES

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_log = logging.getLogger("holdfast.wire")

_HEADER_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_NAMES_MAX = 1_000
"""Names that were found well-formed once are remembered; more than these means that callers make them up."""

_PRINTABLE = bytes([byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127)])

_lower_names: dict[bytes, bytes] = {}


class Connection(Protocol):
    """What an exchange needs of its connection."""

    is_write_paused: bool

    @property
    def date_line(self) -> bytes:
        """The headers that every response has."""

    def write(self, data: bytes) -> None:
        """Send bytes, in order."""

    async def writable(self) -> None:
        """Wait until the client took what was sent."""

    def resume_reading(self) -> None:
        """Let more of the body arrive."""

    def may_drain(self, exchange: "Exchange") -> bool:
        """Say whether the rest of an unread body is short enough to be read and dropped."""

    def discount(self, exchange: "Exchange") -> None:
        """Count its body no more: nobody holds it."""

    def exchange_finished(self, exchange: "Exchange") -> None:
        """Go on after a complete answer."""

    def exchange_broken(self, exchange: "Exchange") -> None:
        """Answer for an application that failed, or break off."""

    def abort(self) -> None:
        """Break off."""


class Exchange:
    """A request on its way through the application.

    counted_bytes: what its body takes of that which all large bodies may have together.
    is_over: the client left, or the connection refused the request; nothing more is read or written for it.
    """

    __slots__ = (
        "_arrival",
        "_buffer",
        "_connection",
        "_has_started",
        "_has_unread_end",
        "_held_head",
        "_is_bodiless",
        "_is_chunked",
        "_is_stopping",
        "_is_stream",
        "_unsent_bytes",
        "awaits_continue",
        "buffered_bytes",
        "counted_bytes",
        "is_answered",
        "is_body_complete",
        "is_keep_alive",
        "is_on_the_wire",
        "is_over",
        "scope",
    )

    def __init__(self, connection: Connection, scope: Scope, *, is_keep_alive: bool, awaits_continue: bool) -> None:
        self.scope = scope
        self.is_keep_alive = is_keep_alive
        self.awaits_continue = awaits_continue
        self.buffered_bytes = 0
        self.counted_bytes = 0
        self.is_body_complete = False
        self.is_on_the_wire = False
        self.is_answered = False
        self.is_over = False
        self._connection = connection
        self._buffer: bytes | bytearray = b""
        self._has_unread_end = True
        self._arrival: asyncio.Event | None = None
        self._has_started = False
        self._held_head = b""
        self._is_bodiless = False
        self._is_stream = False
        self._is_chunked = False
        self._is_stopping = False
        self._unsent_bytes = 0

    async def run(self, application: Application) -> None:
        """Let the application answer; where it does not, have the connection do it."""
        try:
            if self.is_over:
                return
            await application(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._connection.abort()
            raise
        except ClientGone:
            return
        except Exception:
            _log.exception("application_failed method=%s", self.scope["method"])
        else:
            if self.is_answered or self.is_over:
                return
            _log.error("application_did_not_answer method=%s", self.scope["method"])
        finally:
            # Not before: an application may hold a body long after whoever sent it has left.
            if self.counted_bytes:
                self._connection.discount(self)
        if not (self.is_answered or self.is_over):
            self._connection.exchange_broken(self)

    def feed(self, data: bytes) -> None:
        """Take body bytes that arrived."""
        self.awaits_continue = False
        if self.is_over or self.is_answered:
            return
        if not self.buffered_bytes:
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer) + data
        self.buffered_bytes += len(data)
        self._wake()

    def feed_end(self) -> None:
        """Note that the request arrived in full."""
        self.is_body_complete = True
        self.awaits_continue = False
        self._wake()

    def give_up(self) -> None:
        """Tell the application that nobody waits for its answer."""
        self.is_over = True
        self._wake()

    def stop_streaming(self) -> None:
        """Tell an application that streams without end that it is time; it may still send its last words."""
        self._is_stopping = True
        self._wake()

    async def receive(self) -> Message:
        """The next part of the body, or word that there is nobody to answer."""
        if self.awaits_continue:
            self.awaits_continue = False
            if not (self._has_started or self.is_over):
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.is_over or self.is_answered or (self._is_stream and self._is_stopping)):
            if self.buffered_bytes or (self.is_body_complete and self._has_unread_end):
                return self._take()
            if not self.is_body_complete:
                self._connection.resume_reading()
            if self._arrival is None:
                self._arrival = asyncio.Event()
            self._arrival.clear()
            await self._arrival.wait()
        return {"type": "http.disconnect"}

    def _take(self) -> Message:
        body = bytes(self._buffer)
        self._buffer, self.buffered_bytes = b"", 0
        self._has_unread_end = not self.is_body_complete
        return {"type": "http.request", "body": body, "more_body": not self.is_body_complete}

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()

    async def send(self, message: Message) -> None:
        """Put a part of the answer on the wire, once the client has taken enough of what went before."""
        if self._connection.is_write_paused:
            await self._connection.writable()
        if self.is_over:
            return
        kind = message["type"]
        if kind == "http.response.body" and self._has_started and not self.is_answered:
            self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        elif kind == "http.response.start" and not self._has_started:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} was sent where it has no place.")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._has_started = True
        if not self.is_body_complete and not self._connection.may_drain(self):
            self.is_keep_alive = False
        lines: list[bytes] = []
        length: int | None = None
        for name, value in headers:
            name = _lower_names.get(name) or _checked_name(name)
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                # Only whether the connection closes is the application's to say, and it is said once, below.
                self.is_keep_alive = self.is_keep_alive and value.lower() != b"close"
                continue
            lines += (name, b": ", value, b"\r\n")
        named = b"".join(lines)
        if named.translate(None, _PRINTABLE) != b"\r\n" * (len(lines) // 4):
            raise RuntimeError("A response header has a control character in its value.")
        head = STATUS_LINES[status] + self._connection.date_line + named + self._framing(status, length=length)
        if length is None:
            self._put(head)
        else:
            # Its body follows at once: together they are one write.
            self._held_head = head

    def _framing(self, status: int, *, length: int | None) -> bytes:
        self._unsent_bytes = length or 0
        self._is_bodiless = self.scope["method"] == "HEAD" or status in {204, 304}
        self._is_stream = length is None and not self._is_bodiless
        if self._is_stream:
            self._is_chunked = self.scope["http_version"] == "1.1"
            self.is_keep_alive = self.is_keep_alive and self._is_chunked
        if self.is_keep_alive:
            return b"transfer-encoding: chunked\r\n\r\n" if self._is_chunked else b"\r\n"
        if self._is_chunked:
            return b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        return b"connection: close\r\n\r\n"

    def _send_body(self, body: bytes, *, is_last: bool) -> None:
        if self._is_bodiless:
            body = b""
        elif self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if is_last:
                body += b"0\r\n\r\n"
        elif not self._is_stream:
            self._unsent_bytes -= len(body)
            if self._unsent_bytes < 0 or (is_last and self._unsent_bytes):
                raise RuntimeError("The answer is not as long as its Content-Length.")
        if self._held_head:
            body, self._held_head = self._held_head + body, b""
        if body:
            self._put(body)
        if is_last:
            self.is_answered = True
            self._buffer, self.buffered_bytes = b"", 0
            self._wake()
            self._connection.exchange_finished(self)

    def _put(self, data: bytes) -> None:
        self.is_on_the_wire = True
        self._connection.write(data)


def _checked_name(name: bytes) -> bytes:
    if not _HEADER_NAME.fullmatch(name):
        raise RuntimeError("A response header has a name that is not one.")
    if len(_lower_names) < _HEADER_NAMES_MAX:
        _lower_names[name] = name.lower()
    return name.lower()
