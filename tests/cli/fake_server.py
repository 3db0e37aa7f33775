"""A server that says what a test tells it to, and keeps what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

CLOCK = "Sat, 17 Jan 2026 10:00:00 GMT"
"""The present by this server's clock, in every answer."""


class Asked(NamedTuple):
    """One request that reached the server."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class Reply(NamedTuple):
    """What the server says."""

    status: int
    body: Any
    headers: dict[str, str] = {}  # noqa: RUF012


class FakeServer:
    """answer: what it says to a request. asked: everything it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda _: Reply(200, {"items": [], "next_cursor": None})
        self.url = ""

    def says(self, status: int, body: Any, **headers: str) -> None:
        """Say the same to every request."""
        self.answer = lambda _: Reply(status, body, headers)


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """A refusal as the native door shapes it."""
    return {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, **more}


@contextmanager
def serving() -> Iterator[FakeServer]:
    """A fake server that listens."""
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            content = self.rfile.read(length)
            parts = urlsplit(self.path)
            asked = Asked(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                json.loads(content) if content else None,
                {name.lower(): value for name, value in self.headers.items()},
            )
            fake.asked.append(asked)
            reply = fake.answer(asked)
            told = json.dumps(reply.body).encode()
            self.send_response_only(reply.status)
            sent = {"Date": CLOCK, "Content-Type": "application/json", **reply.headers}
            for name, value in {**sent, "Content-Length": str(len(told))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told)

        def do_GET(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

        def do_DELETE(self) -> None:
            self.handle_any()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
