"""The wire edge against real sockets: every attack of the table, slow and silent clients, floods, stops and starts."""

import json
import os
import random
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from holdfast.doors.http.bodies import Receive
from holdfast.doors.http.limits import WIRE_LIMITS
from holdfast.doors.http.protocol import CROWDED_OUT, WireProtocol
from holdfast.doors.http.server import (
    AddressUnusable,
    ApplicationNotStarted,
    PortTaken,
    build_server,
    listen,
)
from holdfast.doors.http.tls import TlsFiles
from tests.http.attacks import ATTACKS, END, GET, HOST, NEXT, POST, SMUGGLED, Attack
from tests.http.live_wire import WAIT_S, LiveWire, RawClient, eventually, live_wire

Loop = Literal["asyncio", "uvloop"]

PATIENT = WIRE_LIMITS._replace(sweep_ms=0)
HASTY = PATIENT._replace(
    first_byte_ms=300,
    head_ms=300,
    body_stall_ms=300,
    keep_alive_ms=300,
    answer_stall_ms=300,
    answer_bytes_per_second_min=10_000_000,
    linger_ms=300,
)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return "asyncio" if request.param == "asyncio" else "uvloop"


@pytest.fixture(scope="module")
def wire(loop: Loop) -> Iterator[LiveWire]:
    with live_wire(PATIENT, loop=loop) as wire:
        yield wire


@pytest.fixture(scope="module")
def hasty(loop: Loop) -> Iterator[LiveWire]:
    with live_wire(HASTY, loop=loop) as wire:
        yield wire


@pytest.fixture
def client(wire: LiveWire) -> Iterator[RawClient]:
    wire.executed.clear()
    wire.bodies.clear()
    with wire.connect() as client:
        yield client


def let_the_server_read(wire: LiveWire) -> None:
    """A whole request on another connection: until it is answered, the server has looked at every socket."""
    with wire.connect() as other:
        other.send(b"GET /barrier HTTP/1.1\r\n" + HOST + END)
        assert other.read_answer() is not None
    wire.executed.remove("/barrier")


def let_the_server_finish(wire: LiveWire) -> None:
    """Several such requests, until none saw more carried out than the one before: those sent ahead run in turn."""
    carried_out = -1
    while carried_out != len(wire.executed):
        carried_out = len(wire.executed)
        let_the_server_read(wire)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "_"))
def test_attack_gets_its_answer_and_nothing_behind_it_is_carried_out(
    attack: Attack, wire: LiveWire, client: RawClient
) -> None:
    first, *others = attack.pieces
    client.send(first)
    for piece in others:
        let_the_server_read(wire)
        client.send(piece)
    if attack.is_closed:
        let_the_server_read(wire)
        client.send(SMUGGLED)
        answers = client.read_answers()
    else:
        answers = [answer for _ in attack.statuses if (answer := client.read_answer()) is not None]
        client.send(NEXT)
        last = client.read_answer()
        assert last is not None
        assert last.status == 200
        assert wire.executed.pop() == "/next"

    assert tuple(answer.status for answer in answers) == attack.statuses
    assert tuple(wire.executed) == attack.executed
    if attack.is_closed:
        assert answers[-1].headers["connection"] == "close"


def test_fault_is_answered_with_a_problem_document_that_repeats_nothing(client: RawClient) -> None:
    client.send(b"GET /first HTTP/1.1\r\nHost: <script>\r\n\r\n")
    (answer,) = client.read_answers()
    problem = json.loads(answer.body)
    request_id = problem.pop("request_id")
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "malformed_request",
        "detail": "The request must have exactly one valid Host header.",
    }
    assert answer.headers.pop("date")
    assert answer.headers == {
        "content-type": "application/problem+json",
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
        "x-correlation-id": request_id,
        "connection": "close",
    }


def test_answer_names_its_date_and_not_its_server(client: RawClient) -> None:
    client.send(GET + END)
    answer = client.read_answer()
    assert answer is not None
    assert set(answer.headers) == {"date", "content-type", "content-length", "x-content-type-options"}


@pytest.mark.parametrize(
    ("request_line", "head_has", "body"),
    [
        (b"GET /parts HTTP/1.1", b"transfer-encoding: chunked", b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
        (b"GET /parts HTTP/1.0", b"connection: close", b"onetwo"),
        (b"HEAD /parts HTTP/1.1", b"x-parts: 2", b""),
        (b"HEAD /first HTTP/1.1", b"content-length: 6", b""),
        (b"GET /nothing HTTP/1.1", b"HTTP/1.1 204 No Content", b""),
        (b"HEAD /nothing HTTP/1.0", b"HTTP/1.1 204 No Content", b""),
    ],
)
def test_answer_is_framed_as_its_request_can_read_it(
    client: RawClient, request_line: bytes, head_has: bytes, body: bytes
) -> None:
    client.send(request_line + b"\r\n" + HOST + b"Connection: close\r\n\r\n")
    head, _, rest = client.read_until_end().partition(b"\r\n\r\n")
    assert head_has in head.split(b"\r\n")
    assert head.count(b"connection: close") == 1
    assert (b"transfer-encoding" in head) == (b"0\r\n\r\n" in rest)
    assert rest == body


def test_trailing_blanks_are_no_part_of_a_header(wire: LiveWire, client: RawClient) -> None:
    client.send(b"POST /first HTTP/1.1\r\nHost: \t holdfast.test \t \r\nContent-Length:\t5\t\r\n\r\nhello")
    assert client.read_answer() is not None
    assert wire.bodies == [b"hello"]


def test_expected_body_is_asked_for_once_and_then_read(wire: LiveWire, client: RawClient) -> None:
    client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    while not client.received:
        client.received += client.sock.recv(100)
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    answer = client.read_answer()
    assert answer is not None
    assert (answer.status, wire.bodies) == (200, [b"hello"])


def test_body_of_four_mebibytes_arrives_whole_chunked_or_not(wire: LiveWire, client: RawClient) -> None:
    body = random.Random(1).randbytes(4 * 1024 * 1024)
    client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert client.read_answer() is not None
    chunks = b"".join(b"%x\r\n%b\r\n" % (0x8000, body[at : at + 0x8000]) for at in range(0, len(body), 0x8000))
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert client.read_answer() is not None
    assert wire.bodies == [body, body]


def test_answers_leave_at_once(wire: LiveWire, client: RawClient) -> None:
    client.send(GET + END)
    assert client.read_answer() is not None
    (connection,) = wire.server.server_state.connections
    sock = cast(WireProtocol, connection)._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_requests_sent_ahead_are_answered_in_order(wire: LiveWire, client: RawClient) -> None:
    wire.released.clear()
    wire.entered.clear()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + END)
    assert wire.entered.wait(WAIT_S)
    client.send(NEXT)
    let_the_server_read(wire)
    assert wire.executed == ["/held"]
    client.send(GET + END + b"GET /bad HTTP/1.1\r\n\r\n" + SMUGGLED)
    let_the_server_read(wire)
    wire.released.set()
    answers = client.read_answers()
    assert [(answer.status, answer.body) for answer in answers[:3]] == [
        (200, b"/held"),
        (200, b"/next"),
        (200, b"/first"),
    ]
    assert [answer.status for answer in answers[3:]] == [400]
    assert wire.executed == ["/held", "/next", "/first"]


def test_fault_in_a_body_that_waits_its_turn_keeps_the_request_from_being_carried_out(
    wire: LiveWire, client: RawClient
) -> None:
    wire.released.clear()
    wire.entered.clear()
    client.send(
        b"GET /held HTTP/1.1\r\n" + HOST + END + POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"
    )
    assert wire.entered.wait(WAIT_S)
    wire.released.set()
    assert [answer.status for answer in client.read_answers()] == [200, 400]
    assert wire.executed == ["/held"]


def test_client_that_leaves_in_the_middle_of_its_body_has_nothing_carried_out(
    wire: LiveWire, client: RawClient
) -> None:
    client.send(POST + b"Content-Length: 5\r\n\r\nhel")
    let_the_server_read(wire)
    client.sock.close()
    let_the_server_read(wire)
    assert wire.executed == []


def test_stream_learns_that_its_reader_left_even_with_another_request_behind_it(
    wire: LiveWire, client: RawClient
) -> None:
    wire.gone.clear()
    client.send(b"GET /stream HTTP/1.1\r\n" + HOST + END + NEXT)
    while b"open" not in client.received:
        client.received += client.sock.recv(1_000)
    client.sock.close()
    assert wire.gone.wait(WAIT_S)
    let_the_server_read(wire)
    assert wire.executed == ["/stream"]


@pytest.mark.parametrize(
    ("name", "data", "statuses"),
    [
        ("nothing at all", b"", []),
        ("empty lines", b"\r\n\r\n", []),
        ("half a request line", b"GET /fi", [408]),
        ("half a head", GET + b"X: a", [408]),
        ("half a body", POST + b"Content-Length: 5\r\n\r\nhel", [408]),
        ("no body", POST + b"Content-Length: 5\r\n\r\n", [408]),
        ("half a chunk", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", [408]),
        ("no last chunk", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", [408]),
        ("half a second head", GET + END + b"GET /fi", [200, 408]),
        ("nothing more", GET + END, [200]),
        (
            "an unread body that stays away",
            b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n",
            [200],
        ),
    ],
)
def test_client_that_falls_silent_is_let_go(name: str, data: bytes, statuses: list[int], hasty: LiveWire) -> None:
    with hasty.connect() as client:
        client.send(data)
        assert [answer.status for answer in client.read_answers()] == statuses, name


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (GET + b"X: ", b"a"),
        (b"", b"\r\n"),
        (POST + b"Content-Length: 4000000\r\n\r\n", b"a"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
    ids=["head", "empty lines", "body", "extension", "chunks"],
)
def test_client_that_trickles_is_let_go(start: bytes, drop: bytes, hasty: LiveWire) -> None:
    hasty.executed.clear()
    with hasty.connect() as client:
        client.send(start)
        client.sock.settimeout(0.02)
        statuses = [408] if start else []
        for _ in range(int(WAIT_S / 0.02)):
            client.send(drop)
            try:
                if not client._receive():
                    break
            except TimeoutError:
                continue
        else:
            pytest.fail("It was still listened to.")
        client.sock.settimeout(WAIT_S)
        assert [answer.status for answer in client.read_answers()] == statuses
    assert hasty.executed == []


def test_upload_above_the_floor_outlives_the_stall_limit(loop: Loop) -> None:
    limits = HASTY._replace(body_bytes_per_second_min=1_000)
    body = b"a" * 40_000
    with live_wire(limits, loop=loop) as wire, wire.connect() as client:
        client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        client.sock.settimeout(0.02)
        for at in range(0, len(body), 1_000):
            client.send(body[at : at + 1_000])
            with pytest.raises(TimeoutError):
                client._receive()
            if at == len(body) - 2_000:
                break
        client.sock.settimeout(WAIT_S)
        client.send(body[-1_000:])
        answer = client.read_answer()
        assert answer is not None
        assert (answer.status, wire.bodies) == (200, [body])


def test_reader_that_does_not_read_is_cut_off_and_holds_little_memory(loop: Loop) -> None:
    with live_wire(HASTY, loop=loop) as wire:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.settimeout(WAIT_S)
        sock.connect(("127.0.0.1", wire.server.port))
        with RawClient(sock) as client:
            client.send(b"GET /flood HTTP/1.1\r\n" + HOST + END)
            eventually(lambda: len(wire.bodies) > 1)
            eventually(wire.has_no_connection)
            # What the kernel's buffers took, and no more.
            assert len(wire.bodies) < 200


def test_reader_of_pipelined_answers_that_does_not_read_is_cut_off(loop: Loop) -> None:
    with live_wire(HASTY, loop=loop) as wire, wire.connect() as client:
        client.sock.settimeout(0.05)
        request = b"GET /" + b"a" * 8_000 + b" HTTP/1.1\r\n" + HOST + END
        # Until its buffers are full; which request meets that is the kernel's to say, and if cut off already, good.
        with pytest.raises((TimeoutError, ConnectionError)):  # noqa: PT012
            for _ in range(10_000):
                client.sock.sendall(request)
        eventually(lambda: bool(wire.executed))
        eventually(wire.has_no_connection)
        assert len(wire.executed) < 5_000


def test_connections_over_the_limit_are_told_so(loop: Loop) -> None:
    with live_wire(PATIENT._replace(connections_max=2), loop=loop) as wire:
        with wire.connect() as first, wire.connect() as second:
            for client in (first, second):
                client.send(GET + END)
                assert client.read_answer() is not None
            with wire.connect() as third:
                (answer,) = third.read_answers()
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert json.loads(answer.body)["code"] == "overloaded"
            first.send(NEXT)
            assert first.read_answer() is not None
        assert wire.server.wire.refused == {"overloaded": 1}


def test_a_crowd_that_says_nothing_makes_room_for_a_client_that_does(loop: Loop) -> None:
    with live_wire(PATIENT._replace(connections_max=20), loop=loop) as wire, ExitStack() as opened:
        regular = opened.enter_context(wire.connect())
        regular.send(GET + END)
        assert regular.read_answer() is not None
        crowd = [opened.enter_context(wire.connect()) for _ in range(30)]
        for number, silent in enumerate(crowd):
            silent.send(b"GET /never HTTP/1.1\r\n" if number % 2 else b"")
        newcomer = opened.enter_context(wire.connect())
        for client in (newcomer, regular):
            client.send(NEXT)
            answer = client.read_answer()
            assert answer is not None
            assert answer.status == 200
        assert wire.server.wire.refused == {CROWDED_OUT: 12}
        assert [client.read_answer() for client in crowd[:12]] == [None] * 12
        assert len(wire.server.wire.newcomers) <= 20


def test_stop_lets_requests_finish_and_drops_those_that_never_began(loop: Loop) -> None:
    with live_wire(PATIENT, loop=loop) as wire, wire.connect() as held, wire.connect() as idle, wire.connect() as half:
        held.send(b"GET /held HTTP/1.1\r\n" + HOST + END)
        half.send(b"GET /fi")
        idle.send(NEXT)
        assert idle.read_answer() is not None
        assert wire.entered.wait(WAIT_S)
        wire.server.should_exit = True
        assert idle.read_answer() is None
        assert half.read_answer() is None
        wire.released.set()
        (answer,) = held.read_answers()
        assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"/held", "close")


def test_stop_asks_streams_to_end_and_they_may_say_goodbye(loop: Loop) -> None:
    with live_wire(PATIENT, loop=loop) as wire, wire.connect() as client:
        client.send(b"GET /stream HTTP/1.1\r\n" + HOST + END)
        while b"open" not in client.received:
            client.received += client.sock.recv(1_000)
        wire.server.should_exit = True
        assert client.read_until_end().endswith(b"4\r\nbye\n\r\n0\r\n\r\n")


def test_localhost_is_both_loopback_addresses_on_one_port() -> None:
    sockets = listen(host="localhost", port=0)
    try:
        addresses = [sock.getsockname()[:2] for sock in sockets]
        port = addresses[0][1]
        assert addresses in ([("127.0.0.1", port)], [("127.0.0.1", port), ("::1", port)])
    finally:
        for sock in sockets:
            sock.close()


def test_taken_port_is_refused_and_its_holder_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken) as refusal:
            listen(host="localhost", port=port)
    assert refusal.value.port == port
    # Whose port it is, every system tells the owner.
    assert refusal.value.holder is not None
    assert f"(pid {os.getpid()})" in refusal.value.holder


def test_taken_port_on_the_second_address_leaves_the_first_free() -> None:
    if len(both := listen(host="localhost", port=0)) < 2:
        pytest.skip("this machine has no ::1")
    first, second = both
    port = first.getsockname()[1]
    with first, second:
        first.close()
        with pytest.raises(PortTaken):
            listen(host="localhost", port=port)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_application_that_refuses_to_start_stops_the_server_and_frees_the_port() -> None:
    async def refuse(scope: object, receive: Receive, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    server = build_server(refuse, host="127.0.0.1", port=0)
    with pytest.raises(ApplicationNotStarted):
        server.run()
    with socket.create_server(("127.0.0.1", server.port)):
        pass


@pytest.mark.parametrize("host", ["holdfast.invalid", "192.0.2.1"])
def test_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(AddressUnusable):
        listen(host=host, port=0)


def test_tls_is_spoken_where_a_certificate_is_given(loop: Loop, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    files = TlsFiles(tmp_path / "certificate.pem", tmp_path / "key.pem")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*make.split(), "-addext", "subjectAltName=DNS:localhost", "-out", files.certificate, "-keyout", files.key],
        check=True,
        capture_output=True,
    )
    with live_wire(HASTY, loop=loop, tls=files) as wire:
        context = ssl.create_default_context(cafile=str(files.certificate))
        plain = socket.create_connection(("127.0.0.1", wire.server.port), timeout=WAIT_S)
        with RawClient(context.wrap_socket(plain, server_hostname="localhost")) as client:
            client.send(GET + END + b"GET /bad HTTP/1.1\r\n\r\n" + SMUGGLED)
            assert [answer.status for answer in client.read_answers()] == [200, 400]
        assert wire.server.urls == [f"https://127.0.0.1:{wire.server.port}"]
        assert wire.executed == ["/first"]


FUZZED_REQUESTS_PER_LOOP = 3_000
FUZZ_ORIGINALS = [
    GET + b"Accept: */*\r\nAuthorization: Bearer hf_agent_0\r\nUser-Agent: holdfast\r\n\r\n",
    POST + b'Content-Type: application/json\r\nContent-Length: 21\r\n\r\n{"fencing_token":123}',
    POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"Expect: 100-continue\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"GET http://holdfast.test/first?a=%20b HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
]
FUZZ_WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b"\xff",
    b"0",
    b"\r\n\r\n",
    b"Content-Length: 3\r\n",
    HOST,
]
FUZZ_WORDS += [
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"HTTP/1.0",
    b"ffffffff",
    b";",
]


def mutated(original: bytes, rng: random.Random) -> bytes:
    data = bytearray(original)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = rng.choice(FUZZ_WORDS)
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 40)]
            case _:
                data[at:at] = rng.choice(FUZZ_ORIGINALS)
    return bytes(data)


def test_no_mutated_request_breaks_the_server_or_runs_behind_a_fault(
    wire: LiveWire, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(20260117)
    refused = 0
    for number in range(FUZZED_REQUESTS_PER_LOOP):
        wire.executed.clear()
        data = b"".join([mutated(original, rng) for original in rng.sample(FUZZ_ORIGINALS, k=rng.randint(1, 3))])
        with wire.connect() as client:
            client.send(data + SMUGGLED)
            let_the_server_finish(wire)
            client.sock.setblocking(False)
            statuses = []
            with suppress(BlockingIOError):
                while (answer := client.read_answer()) is not None:
                    statuses.append(answer.status)
        assert all(200 <= status < 500 for status in statuses), (number, data, statuses)
        # An answer to each that was carried out, and at most one fault, which is the end.
        assert [200] * len(wire.executed) == statuses[: len(wire.executed)], (number, data, statuses)
        assert len(statuses) - len(wire.executed) <= 1, (number, data, statuses)
        refused += len(statuses) > len(wire.executed)
    assert refused > FUZZED_REQUESTS_PER_LOOP // 4
    assert [record.getMessage() for record in caplog.records] == []
