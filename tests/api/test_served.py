"""The same over a real socket: the server that bootstrap wires, on a free port, with a sweeper and a real clock."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast.bootstrap import build, open_base
from holdfast.config import load
from holdfast.doors.http.server import WireServer
from tests.api.driver import Json

KEY: Final = "configured-for-the-tests"
PATIENCE_SECONDS: Final = 30.0


class Wire:
    """A client of a served port, one connection for all its requests."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def call(self, method: str, target: str, body: Json | None = None, **headers: str) -> tuple[int, Any]:
        """The status and the decoded body of an answer."""
        given = {"Authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        content = None
        if body is not None:
            content, given["Content-Type"] = json.dumps(body), "application/json"
        self.connection.request(method, target, content, given)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.fixture
def wire(database_url: str, tmp_path: Path) -> Iterator[Wire]:
    environ = {"HOLDFAST_DATABASE_URL": database_url, "HOLDFAST_PORT": "0", "HOLDFAST_BOOTSTRAP_KEY": KEY}
    environ["HOLDFAST_WRITER"] = "thread"
    settings = load({}, environ, tmp_path).settings
    base = open_base(settings)
    ready = threading.Event()
    served: list[WireServer] = []

    def on_ready(server: WireServer) -> None:
        served.append(server)
        ready.set()

    parts = build(settings, base, on_ready=on_ready)
    thread = threading.Thread(target=parts.server.run, name="served")
    thread.start()
    try:
        assert ready.wait(PATIENCE_SECONDS)
        client = Wire(parts.server.port)
        yield client
        client.connection.close()
    finally:
        parts.server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        base.close()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/health", {}),
        ("/v1/sessions", {}),
        ("/v1/sessions/nobody", {}),
        ("/metrics", {}),
        ("/v1/sessions", {"Authorization": "Bearer wrong"}),
    ],
)
def test_a_head_is_answered_as_a_get_without_the_body(wire: Wire, target: str, headers: dict[str, str]) -> None:
    told = []
    for method in ("GET", "HEAD"):
        wire.connection.request(method, target, headers={"Authorization": f"Bearer {KEY}"} | headers)
        response = wire.connection.getresponse()
        content = response.read()
        names = ("content-type", "content-length", "cache-control", "allow")
        told.append((response.status, *[response.getheader(each) for each in names if target != "/metrics"]))
        assert bool(content) == (method == "GET")
    assert told[0] == told[1]


def test_a_head_of_a_stream_does_not_wait_for_its_end(wire: Wire) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "text/event-stream"}
    wire.connection.request("HEAD", "/v1/events/stream", headers=headers)
    response = wire.connection.getresponse()
    assert (response.status, response.getheader("content-type")) == (200, "text/event-stream")
    assert response.read() == b""
    assert wire.call("GET", "/health")[0] == 200


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type", "X-Account-Id"])
def test_a_header_that_says_one_thing_is_there_once(wire: Wire, name: str) -> None:
    given = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Idempotency-Key": "once-only"}
    given |= {"X-Account-Id": "acc_default"}
    content = b'{"agent": "claude"}'
    wire.connection.putrequest("POST", "/v1/sessions")
    for header, value in [*given.items(), (name, given[name]), ("Content-Length", str(len(content)))]:
        wire.connection.putheader(header, value)
    wire.connection.endheaders(content)
    response = wire.connection.getresponse()
    problem = json.loads(response.read())
    assert (response.status, problem["code"]) == (400, "malformed_request")
    assert name.lower() in problem["detail"]
    assert wire.call("GET", "/v1/sessions")[1]["items"] == []


def test_a_session_lives_and_ends_over_a_socket(wire: Wire) -> None:
    assert wire.call("GET", "/health/ready") == (200, {"status": "ready"})
    status, session = wire.call("POST", "/v1/sessions", {"agent": "claude", "scope": "s", "exclusive": True})
    assert (status, session["outcome"]) == (201, "created")
    path, token = f"/v1/sessions/{session['id']}", {"fencing_token": session["fencing_token"]}
    assert wire.call("POST", f"{path}/heartbeat", token)[1]["status"] == "active"
    assert wire.call("GET", f"/v1/fence?scope=s&token={session['fencing_token']}")[0] == 200
    assert wire.call("POST", f"{path}/heartbeat", {"fencing_token": 99})[1]["code"] == "fencing_token_stale"
    assert wire.call("POST", f"{path}/end", token)[1]["status"] == "ended"
    assert wire.call("GET", "/v1/sessions/a%2Fb")[1]["instance"] == "/v1/sessions/a%2Fb"
    assert wire.call("GET", "/v1/sessions/%2e%2e")[1]["code"] == "malformed_path"
    assert wire.call("PUT", path)[0] == 405
    assert wire.call("GET", "/v1/sessions", Authorization="Bearer wrong")[0] == 401
    assert [event["type"] for event in wire.call("GET", "/v1/events")[1]["items"]] == [
        "session.started", "session.ended",
    ]  # fmt: skip


def test_a_holder_that_falls_silent_is_found_by_the_sweeper_and_told_to_whoever_waits(wire: Wire) -> None:
    _, session = wire.call("POST", "/v1/sessions", {"agent": "claude", "policy": {"lease_seconds": 1}})
    end = wire.call("GET", "/v1/events")[1]["next_cursor"]
    status, page = wire.call("GET", f"/v1/events?after={end}&wait_seconds=20")
    (event,) = page["items"]
    assert (status, event["type"], event["session_id"]) == (200, "session.stalled", session["id"])
    assert wire.call("GET", f"/v1/sessions/{session['id']}")[1]["status"] == "stalled"


def test_a_body_that_is_too_large_is_refused_over_a_socket(wire: Wire) -> None:
    status, problem = wire.call("POST", "/v1/sessions", {"agent": "claude", "meta": {"a": "x" * 1_100_000}})
    assert (status, problem["code"]) == (413, "payload_too_large")


WIRE_FAULTS = {
    "too long": (413, "payload_too_large", b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4194305\r\n"),
    "too long in parts": (413, "payload_too_large", b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n"),
    "no host": (400, "malformed_request", b"POST %s HTTP/1.1\r\n"),
    "a long head": (431, "headers_too_large", b"GET %s HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000 + b"\r\n"),
    "a coding": (400, "transfer_encoding_unknown", b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n"),
    "an expectation": (417, "expectation_failed", b"POST %s HTTP/1.1\r\nHost: h\r\nExpect: luck\r\n"),
}


@pytest.mark.parametrize("name", WIRE_FAULTS)
def test_what_is_refused_before_the_application_is_told_as_its_path_tells(wire: Wire, name: str) -> None:
    status, code, head = WIRE_FAULTS[name]
    # Ids come first: a head is not read on behind a fault.
    first, _, rest = head.partition(b"\r\n")
    head = first + b"\r\nX-Correlation-ID: mine\r\n" + rest + b"\r\n"
    crane = _sent(wire.connection.port, head % b"/eod")
    assert (crane.status, crane.getheader("content-type")) == (status, "application/json")
    body = json.loads(crane.read())
    assert (body["error"], body["code"], body["correlation_id"]) == (code, code, "mine")
    assert body["message"]
    assert body.get("limit") == (4 * 1024 * 1024 if status == 413 else None)
    native = _sent(wire.connection.port, head % b"/v1/handoffs")
    assert (native.status, native.getheader("content-type")) == (status, "application/problem+json")
    assert json.loads(native.read())["code"] == code
    assert native.getheader("x-correlation-id") == "mine"


def test_a_body_in_chunks_past_every_limit_is_refused_as_its_path_tells(wire: Wire) -> None:
    head = f"POST /eod HTTP/1.1\r\nHost: h\r\nX-Relay-Key: {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
    answer = _sent(wire.connection.port, head.encode() + chunk * 9)
    assert (answer.status, json.loads(answer.read())["error"]) == (413, "payload_too_large")


def _sent(port: int, request: bytes) -> http.client.HTTPResponse:
    """What is answered to these bytes, read to its head."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer
