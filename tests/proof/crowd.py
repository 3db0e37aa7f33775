"""A crowd of hostile clients, as a program of its own, so that it takes no time from those who measure.

`crowd.py PORT plain|tls [bodies]` says "ready" once it is there, and goes on until its input ends; then it says with
which statuses its large heads were answered.
"""

import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from holdfast.doors.http.server import permit_open_files
from tests.support.server import HOST, KEY

HALF_OPEN = 1_000
DROP_SECONDS = 0.05
LARGE_HEAD_BYTES = 64 * 1024
LARGE_BODY_BYTES = 900 * 1024

HOST_LINE = b"Host: holdfast.test\r\n"
KEY_LINE = b"Authorization: Bearer " + KEY.encode() + b"\r\n"
POST_LINES = b"POST /v1/sessions HTTP/1.1\r\n" + HOST_LINE + KEY_LINE + b"Content-Type: application/json\r\n"

Dial = Callable[[], socket.socket]


def crowd(port: int, *, is_tls: bool, has_bodies: bool) -> None:
    """Half-open connections, a trickled head, a trickled body, a reader that does not read, large heads and bodies."""
    permit_open_files(2 * HALF_OPEN)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def dial() -> socket.socket:
        sock = socket.create_connection((HOST, port), timeout=10)
        return context.wrap_socket(sock) if is_tls else sock

    statuses: list[int] = []
    rest = threading.Event()
    hostile = [
        partial(_trickle, dial, POST_LINES),
        partial(_trickle, dial, POST_LINES + b"Content-Length: 100000\r\n\r\n"),
        partial(_read_nothing, dial),
        partial(_send_large_heads, dial, statuses),
    ]
    if has_bodies:
        hostile.append(partial(_send_large_bodies, dial))
    with ExitStack() as opened:
        half = b"\x16\x03\x01\x02\x00\x01" if is_tls else b"POST /v1/sess"
        for number in range(HALF_OPEN):
            sock = opened.enter_context(socket.create_connection((HOST, port), timeout=10))
            # Some say nothing at all, the others half of what has to be said first.
            if number % 2:
                sock.send(half)
        threads = [threading.Thread(target=attack, args=(rest,), daemon=True) for attack in hostile]
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        sys.stdin.read()
        rest.set()
        for thread in threads:
            thread.join()
    print(json.dumps(statuses), flush=True)


def _trickle(dial: Dial, start: bytes, rest: threading.Event) -> None:
    """A byte at a time, for as long as the server listens, and then again."""
    while not rest.is_set():
        with suppress(OSError), dial() as sock:
            sock.sendall(start[:-4])
            while not rest.wait(DROP_SECONDS):
                sock.send(b"a")


def _read_nothing(dial: Dial, rest: threading.Event) -> None:
    """Ask for answers, many, and read none of them."""
    while not rest.is_set():
        with suppress(OSError), dial() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            while not rest.wait(DROP_SECONDS):
                sock.sendall((b"GET /v1/sessions HTTP/1.1\r\n" + HOST_LINE + KEY_LINE + b"\r\n") * 20)


def _send_large_heads(dial: Dial, statuses: list[int], rest: threading.Event) -> None:
    while not rest.wait(DROP_SECONDS):
        with suppress(OSError), dial() as sock:
            sock.sendall(POST_LINES + b"X-Large: " + b"a" * LARGE_HEAD_BYTES + b"\r\n\r\n")
            statuses.append(int(sock.recv(64).split(b" ")[1]))


def _send_large_bodies(dial: Dial, rest: threading.Event) -> None:
    """JSON that is slow to decode: an object in every few bytes."""
    body = b'{"meta":[' + b"{}," * (LARGE_BODY_BYTES // 3) + b"{}]}"
    while not rest.wait(DROP_SECONDS):
        with suppress(OSError), dial() as sock:
            sock.sendall(POST_LINES + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            sock.recv(64)


if __name__ == "__main__":
    crowd(int(sys.argv[1]), is_tls=sys.argv[2] == "tls", has_bodies="bodies" in sys.argv)
