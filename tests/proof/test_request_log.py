"""The request log of real servers: what a crash may lose, what a stop may not, and what an outage does to it."""

import itertools
import json
from pathlib import Path

import pytest

from tests.proof.client import Client
from tests.proof.conftest import Serve
from tests.proof.own_postgres import own_postgres
from tests.support.server import KEY, Server, eventually

_numbers = itertools.count()


def start(client: Client) -> str:
    """A session's id, started by a request whose line has it as its correlation id."""
    answer = client.post("/v1/sessions", {"agent": "a", "scope": f"scope-{next(_numbers)}"})
    assert answer.status == 201
    return str(answer.body["id"])


def lines(client: Client, query: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.get(f"/v1/requests?limit=200&route=/v1/sessions{query}").body["items"]
    return found


def test_a_killed_server_loses_no_write_and_no_line_that_was_written(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    with Client(server) as client:
        sessions = [start(client) for _ in range(20)]
        eventually(lambda: len(lines(client)) == len(sessions))
        last = start(client)
        server.kill()
        server.start()
        client.close()
        assert client.get(f"/v1/sessions/{last}").status == 200
        assert len(lines(client)) in (len(sessions), len(sessions) + 1)


def test_a_server_that_stops_writes_every_line_and_every_count_first(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    with Client(server) as client:
        session = start(client)
        sessions = 1 + len([start(client) for _ in range(20)])
        for _ in range(5):
            assert client.post(f"/v1/sessions/{session}/heartbeat", {}).status == 200
        server.terminate()
        assert server.wait() == 0
        server.start()
        client.close()
        assert len(lines(client)) == sessions
        counts = client.get("/v1/requests/counts").body["items"]
        assert sum(each["heartbeats"] for each in counts) == 5


def test_an_outage_of_the_database_shows_and_lines_wait_for_its_end(serve: Serve) -> None:
    with own_postgres() as postgres:
        server = serve(postgres.url)
        with Client(server) as client:
            start(client)
            postgres.stop()
            eventually(lambda: client.get("/health/ready").status == 503)
            found = client.get("/health/detail").body
            assert found["status"] == "failing"
            assert {"store_unreadable", "store_unwritable"} <= {each["code"] for each in found["problems"]}
            assert "holdfast_store_up 0.0" in client.get("/metrics").content.decode()
            refused = client.post("/v1/sessions", {"agent": "a"})
            assert refused.status == 503
            postgres.start()
            eventually(lambda: client.get("/health/detail").body["status"] == "ok")
            eventually(lambda: {503, 201} <= {line["status"] for line in lines(client)})
            assert "holdfast_store_up 1.0" in client.get("/metrics").content.decode()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_of_the_servers_own_log_has_a_key(sqlite_url: str, tmp_path: Path, log_format: str) -> None:
    environ = {"HOLDFAST_LOG_FORMAT": log_format, "HOLDFAST_LOG_LEVEL": "debug"}
    with Server(sqlite_url, directory=tmp_path / "node", environ=environ) as server:
        server.start()
        with Client(server) as client:
            key = client.post("/v1/keys", {"name": "a", "scope": "agent"}).body["key"]
        with Client(server, key=key) as client:
            for target in (f"/v1/sessions?q={key}", f"/v1/sessions?{key}=1", f"/v1/sessions/{key}", f"/{key}"):
                client.get(target)
            client.post("/v1/sessions", {"agent": "a", key: key, "meta": {"key": key}})
        with Client(server, key=KEY + "x") as client:
            assert client.get("/v1/sessions").status == 401
        server.terminate()
        assert server.wait() == 0
        assert key not in server.said
        assert KEY not in server.said
        if log_format == "json":
            for line in server.said.splitlines():
                if line.startswith("{"):
                    assert json.loads(line)["event"]
