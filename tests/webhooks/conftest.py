"""A server and a dispatcher of a test's own, on each kind of store, in a time that the test controls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from holdfast.doors.http.native.webhooks import message_of
from holdfast.doors.http.outgoing import Resolve, Sender, addresses_of
from holdfast.engine.webhooks import WebhookDispatcher
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Server, serving
from tests.support.postgres import PostgresServer
from tests.support.receiver import Receiver

TIMEOUT_SECONDS = 10
PATIENCE_SECONDS = 20.0


class Node(NamedTuple):
    """What sends webhooks on one node."""

    dispatcher: WebhookDispatcher
    sender: Sender

    def dispatch(self) -> None:
        """Do all that is to be done now, attempts to their end included."""
        dispatcher = self.dispatcher
        is_more = True
        while is_more or dispatcher._under_way.total():
            dispatcher._wake.clear()
            is_more = dispatcher.dispatch_once()
            if not is_more and dispatcher._under_way.total() and not dispatcher._done:
                assert dispatcher._wake.wait(PATIENCE_SECONDS), "an attempt came to no end"


class Scene(NamedTuple):
    """A server, an account in it, and a node that sends."""

    server: Server
    account: Account
    node: Node

    def hook(self, url: str, **fields: object) -> Json:
        """A new webhook, with its secret."""
        response = self.account.call("POST", "/v1/webhooks", {"url": url} | fields, by="operator")
        assert response.status == 201, response
        made: Json = response.json
        return made

    def deliveries(self, webhook: Json, **query: str) -> list[Json]:
        """What was sent to a webhook, the newest event first."""
        return list(self.account.each(f"/v1/webhooks/{webhook['id']}/deliveries", by="operator", **query))

    def read(self, webhook: Json) -> Json:
        """A webhook as it is."""
        return self.account.get(f"/v1/webhooks/{webhook['id']}", by="operator")


@contextmanager
def sending(
    server: Server, *, timeout_seconds: float = TIMEOUT_SECONDS, resolve: Resolve = addresses_of
) -> Iterator[Node]:
    """A node's dispatcher, which passes when it is told to."""
    sender = Sender(timeout_seconds=timeout_seconds, allows_private=True, resolve=resolve)
    dispatcher = WebhookDispatcher(
        server.core._store, server.engine, sender, render=message_of, timeout_ms=round(timeout_seconds * 1_000)
    )
    sender.start()
    try:
        yield Node(dispatcher, sender)
    finally:
        sender.stop()


@pytest.fixture(params=["sqlite", "postgres"], scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on each kind of store that allows private addresses; all tests share it."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("webhooks") / "holdfast.db"
        with serving(f"sqlite:///{path}", FakeClock()) as served:
            served.core.allows_private_webhooks = True
            yield served
        return
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    with postgres.database() as url, serving(url, FakeClock()) as served:
        served.core.allows_private_webhooks = True
        yield served


@pytest.fixture
def scene(server: Server) -> Iterator[Scene]:
    """An account of the test's own, whose webhooks and rules are gone afterwards, and one node."""
    account = server.new_account()
    with sending(server) as node:
        yield Scene(server, account, node)
    for path in ("/v1/webhooks", "/v1/alerts"):
        for each in list(account.each(path, by="operator")):
            assert account.call("DELETE", f"{path}/{each['id']}", by="operator").status == 200


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with Receiver() as made:
        yield made
