"""nginx for a test, with the configuration that is shipped: only addresses, files and ports are the test's own."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.server import HOST, eventually

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx.conf"

STOP_SECONDS_MAX = 10.0


def program() -> str:
    """nginx's program; the test is skipped where there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("nginx is not installed")
    return found


class Nginx:
    """A running nginx. port: where it listens, in plain HTTP. handed_on: a line for each request given to a node."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        with closing(socket.create_server((HOST, 0))) as free:
            self.port: int = free.getsockname()[1]

    def set_nodes(self, ports: Sequence[int]) -> None:
        """Hand requests on to these from now on."""
        (self._directory / "nginx.conf").write_text(self._configuration(ports))
        if self._process is not None:
            subprocess.run([*self._command(), "-s", "reload"], check=True, capture_output=True)

    def start(self) -> None:
        """Start, and return when it listens."""
        with (self._directory / "nginx.log").open("ab") as log:
            command = [*self._command(), "-g", "daemon off;"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._listens)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS_MAX)

    @property
    def handed_on(self) -> list[str]:
        """The method and target of each request that a node was given, once for each node that was."""
        lines = (self._directory / "access.log").read_text(errors="replace").splitlines()
        return [line.partition(" to ")[0] for line in lines if not line.endswith(" to -")]

    def _command(self) -> list[str]:
        return [program(), "-p", str(self._directory), "-c", "nginx.conf", "-e", "stderr"]

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "nginx.log").read_text()
        with socket.socket() as sock:
            return sock.connect_ex((HOST, self.port)) == 0

    def _configuration(self, ports: Sequence[int]) -> str:
        text = SHIPPED.read_text()
        servers = "".join(f"server {HOST}:{port} max_fails=2 fail_timeout=2s;\n" for port in ports)
        text, count = re.subn(r"(?:\s*server node-\d:8787[^;]*;)+", "\n" + servers, text)
        assert count == 1
        text, count = re.subn(r"\s*ssl_[^;]*;", "", text)
        assert count == 5
        text = text.replace("listen 8443 ssl;", f"listen {HOST}:{self.port};").replace("/tmp/", f"{self._directory}/")
        log = "log_format handed '$request_method $request_uri to $upstream_addr';\naccess_log access.log handed;"
        text = text.replace("access_log off;", log)
        # Its workers must reach the test's own directory.
        return text.replace(
            "worker_processes auto;", f"worker_processes 2;{' user root;' if os.geteuid() == 0 else ''}"
        )


@contextmanager
def nginx(directory: Path, *, ports: Sequence[int]) -> Iterator[Nginx]:
    """A running nginx before these ports of loopback."""
    program()
    directory.mkdir(parents=True)
    running = Nginx(directory)
    running.set_nodes(ports)
    running.start()
    try:
        yield running
    finally:
        running.stop()
