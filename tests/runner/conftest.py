"""A server and a home for each test of the runner."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.client.fake_server import FakeServer, fake_server
from tests.runner import processes


class World(NamedTuple):
    """A fake server, a user who has its key, and a working directory."""

    server: FakeServer
    environ: dict[str, str]
    directory: Path

    @property
    def spooled(self) -> list[Path]:
        return sorted((Path(self.environ["HOME"]) / ".local/share/holdfast/spool").glob("*.json"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A server that answers, a home, an empty directory."""
    directory = tmp_path / "work"
    directory.mkdir()
    with fake_server() as server:
        yield World(server, processes.environ(tmp_path / "home", server.url), directory)
