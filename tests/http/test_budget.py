"""The memory of large bodies, over all connections: counted while it is held, refused past the budget, given back."""

from collections.abc import Iterator

import pytest

from holdfast.doors.http.limits import KIB, WIRE_LIMITS
from tests.http.attacks import POST
from tests.http.live_wire import LiveWire, eventually, live_wire

# Counted from so little on that whatever the server's first read brings of a large body is counted.
SMALL = 4 * KIB
LIMITS = WIRE_LIMITS._replace(sweep_ms=0, counted_body_bytes_min=SMALL, counted_bodies_bytes_max=1_000 * KIB)
LARGE = 400 * KIB
HELD = b"POST /held HTTP/1.1\r\nHost: holdfast.test\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def wire(request: pytest.FixtureRequest) -> Iterator[LiveWire]:
    with live_wire(LIMITS, loop=request.param) as wire:
        yield wire
        wire.released.set()
        eventually(lambda: wire.server.wire.counted_bodies_bytes == 0)


def head(request: bytes, *, length: int) -> bytes:
    return request + b"Content-Length: %d\r\n\r\n" % length


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_large_bodies_past_the_budget_are_refused_and_small_ones_and_later_ones_are_not(wire: LiveWire) -> None:
    with wire.connect() as first, wire.connect() as second, wire.connect() as third, wire.connect() as small:
        for client in (first, second):
            client.send(head(HELD, length=LARGE) + b"a" * LARGE)
        eventually(lambda: len(wire.bodies) == 2)
        assert wire.server.wire.counted_bodies_bytes == 2 * LARGE
        third.send(head(POST, length=LARGE))
        (refused,) = third.read_answers()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        small.send(head(POST, length=SMALL) + b"a" * SMALL)
        answer = small.read_answer()
        assert answer is not None
        assert answer.status == 200
        wire.released.set()
        assert [client.read_answer() is not None for client in (first, second)] == [True, True]
        eventually(lambda: wire.server.wire.counted_bodies_bytes == 0)
        small.send(head(POST, length=LARGE) + b"a" * LARGE)
        answer = small.read_answer()
        assert answer is not None
        assert answer.status == 200
    assert wire.server.wire.refused["overloaded"] == 1


def test_a_chunked_body_is_refused_once_it_passes_the_budget(wire: LiveWire) -> None:
    with wire.connect() as client:
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"a" * LARGE) * 3 + b"0\r\n\r\n")
        answers = client.read_answers()
    assert [answer.status for answer in answers] == [503]
    assert (wire.executed, wire.bodies) == ([], [])


def test_what_a_client_that_left_had_sent_counts_no_more(wire: LiveWire) -> None:
    with wire.connect() as client:
        client.send(head(POST, length=2 * LARGE) + b"a" * LARGE)
        eventually(lambda: wire.server.wire.counted_bodies_bytes == LARGE)
    eventually(lambda: wire.server.wire.counted_bodies_bytes == 0)


def test_a_body_that_waits_behind_another_request_is_given_back_with_it(wire: LiveWire) -> None:
    with wire.connect() as client:
        client.send(head(HELD, length=0))
        eventually(wire.entered.is_set)
        client.send(head(POST, length=2 * LARGE) + b"a" * LARGE)
        eventually(lambda: wire.server.wire.counted_bodies_bytes > 0)
    wire.released.set()
    eventually(lambda: wire.server.wire.counted_bodies_bytes == 0)


def test_a_body_that_is_answered_unread_counts_no_more(wire: LiveWire) -> None:
    with wire.connect() as client:
        client.send(head(b"POST /unread HTTP/1.1\r\nHost: holdfast.test\r\n", length=LARGE) + b"a" * LARGE)
        assert [answer.status for answer in client.read_answers()] == [200]
    eventually(lambda: wire.server.wire.counted_bodies_bytes == 0)
