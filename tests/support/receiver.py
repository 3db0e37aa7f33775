"""A receiver of webhooks on loopback: it keeps what it is sent, and answers as a test wants it to."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import standardwebhooks


class Received(NamedTuple):
    """One request. headers: by lower-case name."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """By what the message is known."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        """The message."""
        return json.loads(self.body)

    def verified(self, secret: str) -> Any:
        """The message, as the public library for receivers lets it through. Raises: what it raises."""
        return standardwebhooks.Webhook(secret).verify(self.body, self.headers)


class Reply(NamedTuple):
    """What is answered. content: raw bytes instead of an HTTP answer."""

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None


Answer = Callable[[Received], Reply]


class Receiver(ThreadingHTTPServer):
    """Receives until it is left. answer: decides what is answered; it may be replaced, and may block."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.answer: Answer = lambda _: Reply()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook?who=me"

    @property
    def types(self) -> list[str]:
        """The types of the messages, in the order in which they came."""
        return [each.json["type"] for each in self.received]

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.received.append(received)
        reply = self.server.answer(received)
        if reply.content is not None:
            self.wfile.write(reply.content)
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
