"""Following events: a stream in pieces of any size, and a server that cuts off, goes away and comes back."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any, NamedTuple

import pytest

from holdfast.client.api import Api, ApiRefusal, Unreachable
from holdfast.client.event_stream import BLOCK_BYTES_MAX, PAUSE_SECONDS_MAX, Block, Blocks, follow

STREAM = (
    b'retry: 1500\nid: c0\n\n:\nid: c1\nevent: x\ndata: {"n": 1}\n\n'
    b":\r\nid: c2\r\ndata: a\r\ndata: \xc3\xa9\r\n\r\nid: c3\n\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, len(STREAM)])
def test_a_stream_is_read_in_pieces_of_any_size(size: int) -> None:
    blocks = Blocks()
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    found = [block for piece in pieces for block in blocks.feed(piece)]
    assert found == [Block("c0", ""), Block("c1", '{"n": 1}'), Block("c2", "a\né"), Block("c3", "")]
    assert blocks.retry_seconds == 1.5


def test_a_block_that_never_ends_is_given_up() -> None:
    with pytest.raises(ValueError, match="too long"):
        list(Blocks().feed(b"data: " + b"x" * BLOCK_BYTES_MAX))


class Reply(NamedTuple):
    """What the server says to one request: a stream, or a refusal. is_cut: it breaks off in the middle."""

    content: bytes = b""
    status: int = 200
    retry_after: str = ""
    is_cut: bool = False


class Script:
    """A server that gives one reply after another, and keeps where it was asked to go on."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.cursors: list[str | None] = []
        self.paths: list[str] = []
        self.url = ""


@pytest.fixture
def script() -> Iterator[Script]:
    """A server that a test tells what to say."""
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.cursors.append(self.headers.get("Last-Event-ID"))
            told.paths.append(self.path)
            reply = told.replies.pop(0)
            self.send_response(reply.status)
            is_stream = reply.status == 200
            self.send_header("Content-Type", "text/event-stream" if is_stream else "application/problem+json")
            if reply.is_cut:
                self.send_header("Content-Length", str(len(reply.content) + 1))
            if reply.retry_after:
                self.send_header("Retry-After", reply.retry_after)
            self.end_headers()
            self.wfile.write(reply.content if is_stream else json.dumps({"code": "no", "detail": "No."}).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def events(*numbers: int) -> bytes:
    """Events as they stand in a stream."""
    return b"".join(b'id: c%d\nevent: x\ndata: {"n": %d}\n\n' % (number, number) for number in numbers)


def following(
    script: Script, count: int, *, wait: Callable[[float], None] = lambda _: None, **query: str
) -> tuple[list[Any], list[str | None]]:
    """So many events, and what was told of the server meanwhile."""
    told: list[str | None] = []
    api = Api(script.url, "hfk_x", timeout_seconds=10)
    found = follow(api, query, tell=told.append, wait=wait)
    return [event["n"] for event in islice(found, count)], told


def test_a_stream_that_ends_or_breaks_off_is_gone_on_with_behind_the_last_event(script: Script) -> None:
    script.replies = [
        Reply(b"retry: 1500\nid: c0\n\n"),
        Reply(events(1, 2) + b'id: c3\ndata: {"n"', is_cut=True),
        Reply(status=503, retry_after="7"),
        Reply(status=429, retry_after="3"),
        Reply(events(3) + b"id: c9\n\n"),
        Reply(events(10)),
    ]
    waits: list[float] = []
    found, told = following(script, 4, wait=waits.append, after="start")
    assert found == [1, 2, 3, 10]
    assert script.cursors == [None, "c0", "c2", "c2", "c2", "c9"]
    assert set(script.paths) == {"/v1/events/stream?after=start"}
    assert waits == [1.5, 1.0, 7.0, 3.0, 1.0]
    assert [cause is None for cause in told] == [False, True, False, True, False, True]


def test_a_server_that_is_not_there_at_first_is_told_at_once(script: Script) -> None:
    script.replies = [Reply(status=503)]
    with pytest.raises(Unreachable):
        following(script, 1)


@pytest.mark.parametrize("status", [401, 403, 410, 422])
def test_a_refusal_that_would_be_the_same_again_ends_it(status: int, script: Script) -> None:
    script.replies = [Reply(events(1)), Reply(status=status)]
    with pytest.raises(ApiRefusal) as refused:
        following(script, 2)
    assert refused.value.status == status


def test_pauses_grow_up_to_a_bound(script: Script) -> None:
    script.replies = [Reply(events(1)), *[Reply(status=502)] * 8, Reply(events(2))]
    waits: list[float] = []
    assert following(script, 2, wait=waits.append)[0] == [1, 2]
    assert waits == [1, 2, 4, 8, 16, *[PAUSE_SECONDS_MAX] * 4]
