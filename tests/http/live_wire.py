"""A real server on loopback around an application that notes what it carried out, and a client that sends bytes."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from holdfast.doors.http.bodies import BodyTooLarge, read_body
from holdfast.doors.http.limits import WireLimits
from holdfast.doors.http.server import WireServer, build_server
from holdfast.doors.http.tls import TlsFiles

WAIT_S = 10.0
"""How long anything may take before a test fails; nothing here takes a hundredth of it."""

SMALL_BODY_BYTES_MAX = 4_096
STREAMED_BYTES = 64 * 1024


def eventually(condition: Callable[[], bool]) -> None:
    """Wait, with a bound, for something that another thread brings about."""
    never = threading.Event()
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        never.wait(0.01)
    raise AssertionError(f"{condition} did not become true.")


class LiveWire:
    """The server, in a thread of its own, and what its application did.

    executed: the paths of requests that arrived in full and were carried out, in order.
    """

    def __init__(
        self,
        limits: WireLimits,
        *,
        loop: Literal["asyncio", "uvloop"],
        tls: TlsFiles | None = None,
        edge: Mapping[str, Any] | None = None,
    ) -> None:
        self.executed: list[str] = []
        self.bodies: list[bytes] = []
        self.gone = threading.Event()
        self.entered = threading.Event()
        self.released = threading.Event()
        self.server: WireServer = build_server(
            self._application, host="127.0.0.1", port=0, limits=limits, loop=loop, tls=tls, **(edge or {})
        )
        self._thread = threading.Thread(target=self.server.run, name="live-wire")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.released.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def has_no_connection(self) -> bool:
        return not self.server.server_state.connections

    def connect(self) -> "RawClient":
        return RawClient(socket.create_connection(("127.0.0.1", self.server.port), timeout=WAIT_S))

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        path = scope["raw_path"].decode()
        if path == "/fail":
            raise ValueError("on purpose")
        if path == "/silent":
            return
        if path == "/split":
            await _answer(send, 200, b"", extra=[(b"x-name", b"a\r\nset-cookie: b")])
            return
        limit_bytes = SMALL_BODY_BYTES_MAX if path == "/small" else 4 * 1024 * 1024
        if path != "/unread":
            try:
                self.bodies.append(await read_body(receive, scope, limit_bytes=limit_bytes))
            except BodyTooLarge:
                await _answer(send, 413, b"")
                return
        self.executed.append(path)
        await self._act(path, receive, send)

    async def _act(self, path: str, receive: Any, send: Any) -> None:
        if path == "/held":
            self.entered.set()
            while not self.released.is_set():  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(0.01)
        if path == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"open\n", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
            await send({"type": "http.response.body", "body": b"bye\n"})
            return
        if path == "/flood":
            leaving = asyncio.ensure_future(receive())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not leaving.done():
                await send({"type": "http.response.body", "body": b"a" * STREAMED_BYTES, "more_body": True})
                self.bodies.append(b"")
                await asyncio.sleep(0)
            return
        if path == "/nothing":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        if path == "/parts":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Parts", b"2")]})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await send({"type": "http.response.body", "body": b"two"})
            return
        await _answer(send, 200, path.encode())


async def _answer(send: Any, status: int, body: bytes, *, extra: list[tuple[bytes, bytes]] | None = None) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Answer:
    """One response as it came: its status, its headers in lower case, its body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class RawClient:
    """A socket that can be read one answer at a time."""

    def __init__(self, sock: socket.socket) -> None:
        # Else the kernel keeps a piece back until the one before is acknowledged, and what was sent did not arrive.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.received = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send what the server will take; that it stops taking is for the answers to show."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(65_536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return False
        self.received += data
        return bool(data)

    def read_answer(self) -> Answer | None:
        """The next final answer; None where the connection ended instead."""
        while True:
            while b"\r\n\r\n" not in self.received:
                if not self._receive():
                    assert self.received == b"", self.received
                    return None
            head, _, rest = self.received.partition(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")
            status = int(status_line.split(" ")[1])
            if status != 100:
                break
            self.received = rest
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            assert self._receive()
            rest = self.received.partition(b"\r\n\r\n")[2]
        self.received = rest[length:]
        return Answer(status, headers, rest[:length])

    def read_answers(self) -> list[Answer]:
        """All answers until the connection ends."""
        answers = []
        while (answer := self.read_answer()) is not None:
            answers.append(answer)
        return answers

    def read_until_end(self) -> bytes:
        """Everything until the connection ends."""
        while self._receive():
            pass
        return self.received


@contextmanager
def live_wire(
    limits: WireLimits,
    *,
    loop: Literal["asyncio", "uvloop"],
    tls: TlsFiles | None = None,
    edge: Mapping[str, Any] | None = None,
) -> Iterator[LiveWire]:
    """A running server; stopped at the end, which must not take long."""
    wire = LiveWire(limits, loop=loop, tls=tls, edge=edge)
    wire.start()
    try:
        yield wire
    finally:
        wire.stop()
