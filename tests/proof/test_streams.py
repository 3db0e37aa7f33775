"""Event streams of real servers that are killed under load: who connects again misses nothing, and hears it once."""

import http.client
import random
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from urllib.parse import quote

import pytest

from holdfast.client.event_stream import Block, Blocks
from tests.proof.broken_server import program
from tests.proof.client import Body, Client, Reachable
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, working
from tests.support.server import HOST, KEY, Server, eventually

HOLDERS = 6
FOLLOWERS = 8
KILLS = 4
LIFE_SECONDS = (0.2, 0.6)
SILENCE_SECONDS_MAX = 20.0
CATCH_UP_SECONDS = 15.0
WAIT_SECONDS = 0.01

WANTED: tuple[dict[str, str], ...] = ({}, {}, {"type": "session.started"}, {"type": "session.ended"})
"""What followers ask for, in turn."""


class Listener:
    """A follower that keeps all it is told, and connects again, to any node, with the last cursor it was sent.

    Now and then it gives a connection up by itself, in the middle of whatever is sent.
    """

    def __init__(self, nodes: Sequence[Reachable], wanted: dict[str, str], *, seed: int) -> None:
        self.told: list[str] = []
        self.connected = 0
        self.wanted = wanted
        self.faults: list[str] = []
        self._nodes = nodes
        self._random = random.Random(seed)
        self._cursor = ""
        self._is_over = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._is_over.set()
        sock = None if self._connection is None else self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(SILENCE_SECONDS_MAX + 10)
        assert not self._thread.is_alive()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                self._listen_once()
            except (OSError, http.client.HTTPException):
                time.sleep(WAIT_SECONDS)

    def _listen_once(self) -> None:
        node = self._nodes[self._random.randrange(len(self._nodes))]
        connection = self._connection = http.client.HTTPConnection(HOST, node.port, timeout=SILENCE_SECONDS_MAX)
        try:
            query = "&".join(f"{name}={quote(value)}" for name, value in {"after": "start", **self.wanted}.items())
            headers = {"Authorization": f"Bearer {KEY}"} | ({"Last-Event-ID": self._cursor} if self._cursor else {})
            connection.request("GET", f"/v1/events/stream?{query}", headers=headers)
            with connection.getresponse() as response:
                if response.status != 200:
                    if response.status != 503:
                        self.faults.append(f"{response.status} {response.read()!r}")
                    return
                self.connected += 1
                self._take(response, leaves_after=self._random.randrange(1, 60))
        finally:
            connection.close()

    def _take(self, response: http.client.HTTPResponse, *, leaves_after: int) -> None:
        blocks = Blocks()
        while (
            not self._is_over.is_set()
            and leaves_after > 0
            and (content := response.read1(self._random.choice((7, 65_536))))
        ):
            for block in blocks.feed(content):
                if block.data:
                    self.told.append(block.cursor)
                    leaves_after -= 1
                self._cursor = block.cursor


def listed(client: Client, wanted: dict[str, str]) -> list[Body]:
    """What the list has, in full."""
    return client.events(path="/v1/events", **wanted)


def prove(nodes: list[Server]) -> None:
    """Let holders work and followers listen while servers are killed; then compare what each was told with the list.

    Raises: AssertionError where somebody missed an event, or heard one twice.
    """
    ledger = Ledger()
    dice = random.Random(3)
    listeners = [Listener(nodes, WANTED[number % len(WANTED)], seed=number) for number in range(FOLLOWERS)]
    with ExitStack() as running:
        holders = [
            Holder(f"holder-{number}", f"scope-{number % 2}", [*nodes], ledger, seed=number)
            for number in range(HOLDERS)
        ]
        for listener in listeners:
            listener.start()
            running.callback(listener.stop)
        for kill in range(KILLS):
            victim = nodes[kill % len(nodes)]
            with working(holders):
                time.sleep(dice.uniform(*LIFE_SECONDS))
                victim.kill()
                if len(nodes) > 1:
                    acks = ledger.acks
                    eventually(lambda acks=acks: ledger.acks > acks + HOLDERS)  # type: ignore[misc]
                victim.start()
        for holder in holders:
            holder.close()
        client = running.enter_context(Client(nodes[0]))
        expected = {str(wanted): [event["cursor"] for event in listed(client, wanted)] for wanted in WANTED}
        all_told = [(listener.told, expected[str(listener.wanted)]) for listener in listeners]
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while any(len(told) < len(whole) for told, whole in all_told) and time.monotonic() < deadline:
            time.sleep(WAIT_SECONDS)
    for listener in listeners:
        assert listener.faults == []
        assert listener.told == expected[str(listener.wanted)], f"{listener.wanted} were told otherwise than listed"
    connected = sum(listener.connected for listener in listeners)
    assert connected > FOLLOWERS * KILLS
    told = sum(len(listener.told) for listener in listeners)
    print(
        f"{KILLS} kills, {len(expected['{}'])} events, {told} told over {connected} connections, none missed or doubled"
    )


def test_followers_of_a_server_that_is_killed_again_and_again_are_told_what_the_list_has(
    serve: Serve, database_url: str
) -> None:
    server = serve(database_url)
    prove([server])


def test_followers_who_go_from_node_to_node_are_told_what_the_list_has(serve: Serve, postgres_url: str) -> None:
    nodes = [serve(postgres_url), serve(postgres_url)]
    prove(nodes)


@pytest.mark.proof
def test_a_server_that_goes_on_from_the_present_is_caught(serve: Serve, sqlite_url: str) -> None:
    server = serve(sqlite_url, program=program("skip_to_the_present"))
    with pytest.raises(AssertionError, match="told"):
        prove([server])


def test_streams_end_in_good_order_when_the_server_is_stopped(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    with Client(server) as client:
        client.started("scope", holder_id="holder-1")
    connection = http.client.HTTPConnection(HOST, server.port, timeout=SILENCE_SECONDS_MAX)
    connection.request("GET", "/v1/events/stream?after=start", headers={"Authorization": f"Bearer {KEY}"})
    with connection.getresponse() as response:
        blocks = Blocks()
        told: list[Block] = []
        while not any(block.data for block in told):
            told += blocks.feed(response.read1())
        stopped_at = time.monotonic()
        server.terminate()
        # A body that was broken off, rather than ended, would be an error here.
        assert response.read() == b""
        assert server.wait() == 0
    connection.close()
    print(f"stopped {time.monotonic() - stopped_at:.1f} s after it was asked to, with a stream open")
