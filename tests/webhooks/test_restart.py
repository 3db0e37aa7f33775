"""A server that is killed, or stopped, in the middle of sending loses no message."""

import threading
from pathlib import Path

import pytest

from holdfast.client.api import Api, Json
from tests.support.receiver import Received, Receiver, Reply
from tests.support.server import HOST, KEY, Server, eventually

SESSIONS = 40
HELD_FROM = 10

ENVIRON = {"HOLDFAST_WEBHOOK_ALLOW_PRIVATE": "true", "HOLDFAST_WEBHOOK_TIMEOUT_SECONDS": "1"}


@pytest.mark.parametrize("ending", ["kill", "terminate"])
def test_a_server_that_ends_while_it_sends_loses_no_message(tmp_path: Path, receiver: Receiver, ending: str) -> None:
    is_in_the_middle = threading.Event()
    let_go = threading.Event()

    def answer(_: Received) -> Reply:
        if len(receiver.received) >= HELD_FROM:
            is_in_the_middle.set()
            let_go.wait(60)
        return Reply()

    receiver.answer = answer
    with Server(f"sqlite:///{tmp_path}/holdfast.db", directory=tmp_path, environ=ENVIRON) as server:
        server.start()
        api = Api(f"http://{HOST}:{server.port}", KEY, timeout_seconds=30)
        body: dict[str, Json] = {"url": receiver.url, "event_types": ["session.started"]}
        assert api.request("POST", "/v1/webhooks", body=body).status == 201
        started = set()
        for number in range(SESSIONS):
            made = api.request("POST", "/v1/sessions", body={"agent": "claude", "scope": f"scope {number}"}).body
            assert isinstance(made, dict)
            started.add(made["id"])
        api.close()
        assert is_in_the_middle.wait(30)
        getattr(server, ending)()
        server.wait()
        assert len({each.id for each in receiver.received}) < SESSIONS
        let_go.set()
        server.start()
        eventually(lambda: len({each.id for each in receiver.received}) == SESSIONS)
    assert {each.json["data"]["session_id"] for each in receiver.received} == started
