"""The same over a real socket: the server that bootstrap wires, on a free port, with a sweeper and a real clock."""

import http.client
import json
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
