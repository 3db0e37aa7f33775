"""A crowd of hostile clients before a real server: those who beat are answered as if nobody else were there."""

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.proof.client import Client
from tests.proof.report import percentiles
from tests.support.certificates import client_context, issue
from tests.support.server import STOP_SECONDS_MAX, Server

BEATS = 400
ROUNDS = 6
"""A machine that stood still for a moment spoils a round; a server that a crowd can slow down spoils all of them."""

P99_MS_MAX = 100
POLICY = {"lease_seconds": 600, "heartbeat_interval_seconds": 0.002, "heartbeat_jitter_seconds": 0}


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> Iterator[Server]:
    environ = {}
    if request.param == "tls":
        files = issue(tmp_path)
        environ = {"HOLDFAST_TLS_CERT": str(files.certificate), "HOLDFAST_TLS_KEY": str(files.key)}
    with Server(sqlite_url, directory=tmp_path / "node", environ=environ) as server:
        server.start()
        yield server


@pytest.mark.parametrize("more", [(), ("bodies",)], ids=["heads", "heads and bodies"])
def test_beats_are_answered_at_once_before_a_crowd(server: Server, more: tuple[str, ...]) -> None:
    is_tls = "https://" in server.said
    context: ssl.SSLContext | None = client_context() if is_tls else None
    with Client(server, context=context) as client:
        session = client.started("scope", holder_id="holder", policy=POLICY)
        path, body = f"/v1/sessions/{session['id']}/heartbeat", {"fencing_token": session["fencing_token"]}
        alone_ms = _beat(client, path, body)
        rounds: list[list[int]] = []
        with _crowd(server, "tls" if is_tls else "plain", *more) as statuses:
            while len(rounds) < ROUNDS and not (rounds and _p99(rounds[-1]) < P99_MS_MAX):
                rounds.append(_beat(client, path, body))
            assert client.get("/health/ready").status == 200
    kind = "TLS" if is_tls else "plain"
    print(f"{kind}, alone: {percentiles(alone_ms)}")
    for delays_ms in rounds:
        print(
            f"{kind}, 3 slow clients, 1,000 half-open, 64 KiB heads{' and large bodies' if more else ''}:"
            f" {percentiles(delays_ms)}"
        )
    assert set(statuses) == {431}
    assert min(_p99(delays_ms) for delays_ms in rounds) < P99_MS_MAX


def _beat(client: Client, path: str, body: dict[str, object]) -> list[int]:
    """Beat again and again; how long each answer took, in milliseconds."""
    delays_ms = []
    for _ in range(BEATS):
        began_at = time.monotonic()
        assert client.post(path, body).status == 200
        delays_ms.append(round((time.monotonic() - began_at) * 1_000))
    return delays_ms


def _p99(delays_ms: list[int]) -> int:
    return sorted(delays_ms)[int(len(delays_ms) * 0.99)]


@contextmanager
def _crowd(server: Server, *arguments: str) -> Iterator[list[int]]:
    """The crowd, at work. Yields what is in the end a list of the statuses that large heads were answered with."""
    command = [sys.executable, "-m", "tests.proof.crowd", str(server.port), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        statuses: list[int] = []
        try:
            yield statuses
        finally:
            process.stdin.close()
            statuses += json.loads(process.stdout.readline())
            process.wait(STOP_SECONDS_MAX)
