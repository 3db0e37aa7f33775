"""The writer process and the server need each other: when one is gone, the other goes, and nothing is made up."""

import os
import signal

import psutil
import pytest

from tests.proof.client import Body, Client
from tests.proof.conftest import Serve
from tests.support.server import Server, eventually

START = {"agent": "prover", "holder_id": "one"}


def writer_of(server: Server) -> psutil.Process:
    """The one process that a server has beside itself."""
    (writer,) = psutil.Process(server.pid).children()
    return writer


def test_a_server_whose_writer_was_killed_ends_and_says_so_and_starts_again(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    with Client(server) as client:
        started = client.post("/v1/sessions", START)
        assert started.status == 201
        writer_of(server).kill()
        assert server.wait() == 1
    assert "writer_gone" in server.said
    server.start()
    with Client(server) as client:
        assert client.get(f"/v1/sessions/{started.body['id']}").status == 200


def test_what_the_writer_had_when_it_was_killed_is_answered_as_unknown(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    with Client(server) as client:
        assert client.post("/v1/sessions", START).status == 201
        writer = writer_of(server)
        writer.suspend()
        client.ask("POST", "/v1/sessions", START | {"holder_id": "two"})
        with Client(server) as other:
            # What is answered now was sent after that, so the server has handed it on.
            assert other.get("/v1/sessions").status == 200
        writer.kill()
        answer = client.hear()
    assert (answer.status, answer.body["code"]) == (503, "outcome_unknown")
    assert server.wait() == 1


def test_the_writer_of_a_server_that_was_killed_lets_go_of_the_database(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    writer = writer_of(server)
    for _ in range(5):
        server.kill()
        server.start()
    eventually(lambda: not writer.is_running())
    with Client(server) as client:
        assert client.post("/v1/sessions", START).status == 201


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_both_of_them_stops_the_server_in_good_order(
    serve: Serve, database_url: str, number: signal.Signals
) -> None:
    server = serve(database_url)
    writer = writer_of(server)
    with Client(server) as client:
        assert client.post("/v1/sessions", START).status == 201
    os.kill(writer.pid, number)
    os.kill(server.pid, number)
    assert server.wait() == 0
    assert not writer.is_running()
    assert "Traceback" not in server.said


def test_a_beat_is_answered_alike_from_a_process_and_from_a_thread(serve: Serve, database_url: str) -> None:
    plain, revived = beaten(serve(database_url, environ={"HOLDFAST_WRITER": "process"}))
    assert (plain["reactivated"], plain["stop_requested"]) == (False, False)
    assert (revived["reactivated"], revived["stop_reason"]) == (True, REASON)
    others = beaten(serve(database_url, environ={"HOLDFAST_WRITER": "thread"}))
    assert [shape(each) for each in others] == [shape(plain), shape(revived)]


REASON = "\u00e4 \u2028 \U0001f41d"


def beaten(server: Server) -> list[Body]:
    """The answers to a usual beat and to one that revives, after which the request log has a line of the second."""
    with Client(server) as client:
        session = client.post("/v1/sessions", START).body
        path, token = f"/v1/sessions/{session['id']}", {"fencing_token": session["fencing_token"]}
        plain = client.post(f"{path}/heartbeat", token)
        assert client.post(f"{path}/stop", {"reason": REASON}).status == 200
        assert client.post(f"{path}/stall", {"reason": "it hangs"}).status == 200
        revived = client.post(f"{path}/heartbeat", token)
        lines = "/v1/requests?limit=200&route=/v1/sessions/{id}/heartbeat"
        eventually(lambda: [each["detail"] for each in client.get(lines).body["items"]] == ["reactivated"])
        assert client.post(f"{path}/end", token).status == 200
    server.terminate()
    assert server.wait() == 0
    return [plain.body, revived.body]


def shape(body: Body) -> list[tuple[str, type]]:
    """The names in a body, in order, and what kind of value each has."""
    return [(name, type(value)) for name, value in body.items()]
