"""Every attack of the table, with nginx in front: the server carries out what nginx handed on, and nothing else."""

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from holdfast.doors.http.limits import WIRE_LIMITS
from tests.http.attacks import ATTACKS, END, GET, HOST, SMUGGLED
from tests.http.live_wire import LiveWire, RawClient, eventually, live_wire
from tests.support.nginx import Nginx, nginx

ANSWER_SECONDS_MAX = 0.1
"""How long what came back is looked for; nginx waits for the rest of some attacks."""

WITNESSES = (b"/witness0", b"/witness1")
WITNESS_SECONDS_MAX = 10.0
CLOSE = b"Connection: close\r\n\r\n"
FIRST = b"POST /first HTTP/1.1\r\n" + HOST
TRICKY_CHUNKED = FIRST + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
KNOWN_TRICKS = [
    FIRST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    FIRST + b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    FIRST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    TRICKY_CHUNKED + b"0;a\n\r\n\r\n" + SMUGGLED,
    TRICKY_CHUNKED + b"1\n\r\na\r\n0\r\n\r\n" + SMUGGLED,
    TRICKY_CHUNKED + b"0\r\nX: y\r\n\r\n" + SMUGGLED,
    TRICKY_CHUNKED + b"fffffffffffffff1\r\n" + SMUGGLED,
    FIRST + b"Content-Length: +5\r\n\r\nhello" + SMUGGLED,
    FIRST + b"Content-Length: 5, 5\r\n\r\nhello" + SMUGGLED,
    GET + LENGTH + SMUGGLED,
    GET + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n" + SMUGGLED,
    FIRST + b"Expect: 100-continue\r\n" + LENGTH + SMUGGLED,
    b"GET /first?a\x00b HTTP/1.1\r\n" + HOST + END + SMUGGLED,
    b"GET /first%0d%0aX:%20y HTTP/1.1\r\n" + HOST + END + SMUGGLED,
    b"GET /first HTTP/1.1\r\n" + HOST + b"X: y\r\n\r\n" * 2 + SMUGGLED,
    b"GET /first HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
]


@pytest.fixture(scope="module")
def wire() -> Iterator[LiveWire]:
    with live_wire(WIRE_LIMITS._replace(sweep_ms=0), loop="uvloop") as wire:
        yield wire


@pytest.fixture(scope="module")
def proxy(wire: LiveWire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("proxy") / "nginx", ports=[wire.server.port]) as running:
        yield running


def test_what_is_carried_out_is_what_nginx_handed_on(wire: LiveWire, proxy: Nginx) -> None:
    attacks = [b"".join(attack.pieces) + SMUGGLED for attack in ATTACKS] + KNOWN_TRICKS
    for data in attacks:
        before = len(wire.executed)
        _say(proxy, data)
        # Requests as they should be, on the connections that nginx kept to the server.
        for path in WITNESSES:
            assert path in _say(proxy, b"GET %b HTTP/1.1\r\n" % path + HOST + CLOSE, wait=WITNESS_SECONDS_MAX)
        assert wire.executed[-2:] == [path.decode() for path in WITNESSES], data
        assert len(wire.executed) - before <= 2 + data.count(b" HTTP/1"), data
    eventually(lambda: len(proxy.handed_on) >= len(wire.executed))
    handed_on = Counter(line.partition(" ")[2].partition("?")[0] for line in proxy.handed_on)
    made_up = Counter(wire.executed) - handed_on
    print(f"{len(attacks)} attacks: nginx handed on {handed_on.total()}, {len(wire.executed)} were carried out")
    assert made_up == Counter()


def test_requests_on_one_connection_through_nginx_are_answered_each_with_its_own(wire: LiveWire, proxy: Nginx) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as sock:
        client = RawClient(sock)
        paths = [f"/number{number}" for number in range(40)]
        client.send(b"".join(b"GET %b HTTP/1.1\r\n" % path.encode() + HOST + END for path in paths))
        answers = [client.read_answer() for _ in paths]
    assert [answer.body.decode() for answer in answers if answer is not None] == paths
    assert GET.startswith(b"GET /first")


def _say(proxy: Nginx, data: bytes, *, wait: float = ANSWER_SECONDS_MAX) -> bytes:
    """What nginx answers within a moment."""
    received = b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=wait) as sock:
        try:
            sock.sendall(data)
            while data := sock.recv(65_536):
                received += data
        except (TimeoutError, ConnectionError):
            pass
    return received
