"""TLS: files that cannot be used are named, certificates renewed, and the wire's attacks fare no better inside it."""

import json
import logging
import signal
import socket
import ssl
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest

from holdfast.client.api import Api, Unreachable
from holdfast.client.credentials import CredentialsInvalid
from holdfast.doors.http.accepting import HANDSHAKE_CROWDED_OUT, HANDSHAKE_FAILED
from holdfast.doors.http.limits import WIRE_LIMITS
from holdfast.doors.http.tls import TlsFiles, TlsUnusable, renew, server_context
from tests.http.attacks import ATTACKS, END, GET, HOST, POST, SMUGGLED, Attack
from tests.http.live_wire import WAIT_S, LiveWire, RawClient, eventually, live_wire
from tests.support.certificates import authority_file, client_context, issue
from tests.support.server import PROGRAM, Server

Loop = Literal["asyncio", "uvloop"]

LIMITS = WIRE_LIMITS._replace(sweep_ms=0, handshakes_max=8, linger_ms=100)
HASTY = LIMITS._replace(
    first_byte_ms=300, head_ms=300, answer_stall_ms=300, answer_bytes_per_second_min=10_000_000, linger_ms=300
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return issue(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    return "asyncio" if request.param == "asyncio" else "uvloop"


@pytest.fixture(scope="module")
def wire(loop: Loop, files: TlsFiles) -> Iterator[LiveWire]:
    with live_wire(LIMITS, loop=loop, tls=files) as wire:
        yield wire


def dial(wire: LiveWire) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.server.port), timeout=WAIT_S)


def speak(wire: LiveWire, context: ssl.SSLContext | None = None) -> RawClient:
    return RawClient((context or client_context()).wrap_socket(dial(wire), server_hostname="localhost"))


def let_the_server_read(wire: LiveWire) -> None:
    with speak(wire) as other:
        other.send(b"GET /barrier HTTP/1.1\r\n" + HOST + END)
        assert other.read_answer() is not None
    wire.executed.remove("/barrier")


# Some of each kind: below TLS it is the same parser, and each lingers for a moment.
@pytest.mark.parametrize("attack", ATTACKS[::5], ids=lambda attack: attack.name)
def test_an_attack_fares_no_better_over_tls(wire: LiveWire, attack: Attack) -> None:
    wire.executed.clear()
    with speak(wire) as client:
        for piece in attack.pieces:
            client.send(piece)
            let_the_server_read(wire)
        if attack.is_closed:
            client.send(SMUGGLED)
            statuses = [answer.status for answer in client.read_answers()]
        else:
            answers = [client.read_answer() for _ in attack.statuses]
            statuses = [answer.status for answer in answers if answer is not None]
    assert (tuple(statuses), tuple(wire.executed)) == (attack.statuses, attack.executed)


def test_whoever_speaks_no_tls_is_let_go_and_nothing_it_said_is_carried_out(wire: LiveWire) -> None:
    wire.executed.clear()
    before = wire.server.wire.refused[HANDSHAKE_FAILED]
    sayings = [GET + END, b"\x16\x03\x01\x00\x05hello", b"\x00" * 600, b"\x16\x03\x03\xff\xff" + b"a" * 70_000]
    for data in sayings:
        with RawClient(dial(wire)) as client:
            client.send(data)
            assert b"HTTP/1.1 2" not in client.read_until_end()
    with speak(wire) as client:
        client.send(GET + END)
        assert client.read_answer() is not None
    assert wire.executed == ["/first"]
    assert wire.server.wire.refused[HANDSHAKE_FAILED] == before + len(sayings)


def test_old_versions_of_tls_are_not_spoken(wire: LiveWire) -> None:
    context = client_context(newest=ssl.TLSVersion.TLSv1_2)
    with speak(wire, context) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with dial(wire) as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sock, server_hostname="localhost")


def test_a_crowd_that_never_finishes_its_handshake_keeps_nobody_out(wire: LiveWire) -> None:
    before = wire.server.wire.refused[HANDSHAKE_CROWDED_OUT]
    with ExitStack() as opened:
        crowd = [opened.enter_context(dial(wire)) for _ in range(5 * LIMITS.handshakes_max)]
        for silent in crowd:
            silent.send(b"\x16\x03\x01\x02\x00")
        eventually(lambda: wire.server.wire.refused[HANDSHAKE_CROWDED_OUT] >= before + 4 * LIMITS.handshakes_max)
        with speak(wire) as client:
            client.send(GET + END)
            answer = client.read_answer()
            assert answer is not None
            assert answer.status == 200
        assert RawClient(crowd[0]).read_until_end() == b""


def test_a_reader_of_tls_that_does_not_read_is_cut_off(loop: Loop, files: TlsFiles) -> None:
    with live_wire(HASTY, loop=loop, tls=files) as wire, speak(wire) as client:
        client.send(b"GET /flood HTTP/1.1\r\n" + HOST + END)
        eventually(lambda: len(wire.bodies) > 1)
        eventually(wire.has_no_connection)


def test_a_connection_that_is_reset_in_its_handshake_leaves_nothing_behind(loop: Loop, files: TlsFiles) -> None:
    with live_wire(LIMITS, loop=loop, tls=files) as wire:
        for _ in range(20):
            sock = dial(wire)
            sock.send(b"\x16\x03\x01\x02\x00\x01\x00")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        eventually(lambda: wire.server.wire.refused.total() == 20)
        with speak(wire) as client:
            client.send(POST + b"Content-Length: 2\r\n\r\nhi")
            assert client.read_answer() is not None


def test_files_that_cannot_be_used_are_named_with_the_reason(files: TlsFiles, tmp_path: Path) -> None:
    other = issue(tmp_path)
    text = tmp_path / "text.pem"
    text.write_text("hello")
    sealed = tmp_path / "sealed.pem"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", other.key, "-passout", "pass:secret", "-out", sealed],
        check=True,
        capture_output=True,
    )
    for certificate, key, words in (
        (tmp_path / "none.pem", files.key, "none.pem cannot be read: No such file"),
        (files.certificate, tmp_path / "none.pem", "none.pem cannot be read: No such file"),
        (tmp_path, files.key, "cannot be read: Is a directory"),
        (text, files.key, "must be PEM"),
        (files.certificate, text, "must be PEM"),
        (files.certificate, other.key, "is not the one of the certificate"),
        (other.certificate, sealed, "is encrypted"),
    ):
        with pytest.raises(TlsUnusable, match=words):
            server_context(TlsFiles(certificate, key))


def test_a_key_that_others_may_read_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = issue(tmp_path)
    with caplog.at_level(logging.WARNING):
        server_context(files)
        assert caplog.records == []
        files.key.chmod(0o640)
        server_context(files)
    assert [record.getMessage() for record in caplog.records] == [
        f"tls_key_readable_by_others path={files.key} hint='chmod 600'"
    ]


def test_half_a_renewal_changes_nothing(tmp_path: Path) -> None:
    files = issue(tmp_path)
    context = server_context(files)
    files.certificate.write_bytes(issue(tmp_path_of(tmp_path, "new")).certificate.read_bytes())
    with pytest.raises(TlsUnusable, match="is not the one of"):
        renew(context, files)


def tmp_path_of(directory: Path, name: str) -> Path:
    made = directory / name
    made.mkdir()
    return made


def test_a_server_renews_its_certificate_on_sighup_and_speaks_to_the_client_that_trusts_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    files = issue(tmp_path)
    environ = {"HOLDFAST_TLS_CERT": str(files.certificate), "HOLDFAST_TLS_KEY": str(files.key)}
    with Server(sqlite_url, directory=tmp_path / "node", environ=environ) as server:
        server.start()
        url = f"https://localhost:{server.port}"

        def serial() -> object:
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)
            with client_context().wrap_socket(sock, server_hostname="localhost") as spoken:
                certificate = spoken.getpeercert()
                assert certificate is not None
                return certificate["serialNumber"]

        trusting = Api(url, None, timeout_seconds=WAIT_S, ca_file=str(authority_file(tmp_path)))
        assert trusting.request("GET", "/health").body == {"status": "ok"}
        with pytest.raises(Unreachable, match="its certificate is not trusted"):
            Api(url, None, timeout_seconds=WAIT_S).request("GET", "/health")
        first = serial()
        issue(tmp_path)
        server.signal(signal.SIGHUP)
        eventually(lambda: serial() != first)
        assert "certificate_renewed" in server.said
        second = serial()
        files.key.write_text("torn")
        server.signal(signal.SIGHUP)
        eventually(lambda: "certificate_not_renewed" in server.said)
        assert serial() == second
        assert trusting.request("GET", "/health").body == {"status": "ok"}
        trusting.close()
        environ = {"HOLDFAST_URL": url, "HOLDFAST_CA_FILE": str(tmp_path / "authority.pem"), "PATH": "", "HOME": "/"}
        done = subprocess.run(
            [*PROGRAM, "ps", "--json"], env=environ | {"HOLDFAST_KEY": "x" * 8}, capture_output=True, check=False
        )
        assert json.loads(done.stderr)["code"] == "unauthorized"


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("hello", "no certificate in PEM")])
def test_an_authority_file_that_cannot_be_used_is_said_and_never_passed_over(
    content: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CredentialsInvalid, match=words):
        Api("https://localhost:1", None, timeout_seconds=1.0, ca_file=str(path))


def test_a_server_whose_certificate_cannot_be_used_does_not_start(sqlite_url: str, tmp_path: Path) -> None:
    environ = {"HOLDFAST_TLS_CERT": str(tmp_path / "none.pem"), "HOLDFAST_TLS_KEY": str(tmp_path / "none.pem")}
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--database", sqlite_url],
        env=environ | {"HOME": str(tmp_path), "HOLDFAST_BOOTSTRAP_KEY": "x" * 8},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"holdfast: {tmp_path / 'none.pem'} cannot be read: No such file or directory."
