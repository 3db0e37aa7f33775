"""The command line in process, against a server of its own or one that says what a test wants."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from holdfast.client.api import Api
from holdfast.doors.cli.main import main
from tests.cli.fake_server import FakeServer, serving

ADMIN_KEY = "an-admin-key-for-tests"

Cli = Callable[..., Result]


class Server(NamedTuple):
    """A Holdfast that serves an empty database, and its operator's way to it."""

    url: str
    api: Api


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server that says what the test tells it to."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server; its tests share it, each on scopes and agents of its own."""
    home = tmp_path_factory.mktemp("server")
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "HOLDFAST_BOOTSTRAP_KEY": ADMIN_KEY}
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--host", "127.0.0.1"],
        cwd=home,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ready on "):
            break
    else:
        pytest.fail(f"the server did not start: {''.join(said)}")
    url = said[-1].removeprefix("Ready on ").strip()
    api = Api(url, ADMIN_KEY, timeout_seconds=10)
    yield Server(url, api)
    api.close()
    process.terminate()
    process.wait(timeout=20)
    process.stdout.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory."""
    return tmp_path


@pytest.fixture
def cli(home: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("ps", "--all", HOLDFAST_URL=…)`: the verb's exit code and what it wrote, on pipes."""
    for name in list(os.environ):
        if name.startswith(("HOLDFAST_", "XDG_")) or name in ("COLUMNS", "NO_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)

    def run(*arguments: str, stdin: str | None = None, **environ: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ, input=stdin)

    return run
