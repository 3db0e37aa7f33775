"""A server of the test's own, which answers what it is told to, and the client that asks it."""

from collections.abc import Iterator

import pytest

from holdfast.client.api import Api
from tests.client.fake_server import KEY, FakeServer, fake_server


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """What is asked, and answers."""
    with fake_server() as server:
        yield server


@pytest.fixture
def api(server: FakeServer) -> Iterator[Api]:
    """Who asks."""
    api = Api(server.url, KEY, timeout_seconds=20)
    yield api
    api.close()
