"""`docs/webhooks.md`: its receiver works as it stands there."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.server import eventually
from tests.webhooks.conftest import Scene

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def test_the_receiver_on_the_page_receives(scene: Scene, tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 13
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    webhook = scene.hook(f"http://127.0.0.1:{port}/", event_types=["session.started"])
    said = tmp_path / "said"
    environ = os.environ | {"SECRET": webhook["secret"], "PORT": str(port)}
    with said.open("wb") as output:
        receiver = subprocess.Popen([sys.executable, "-c", program], env=environ, stdout=output, stderr=output)
    try:
        eventually(lambda: _is_listening(port))
        session = scene.account.start()
        scene.node.dispatch()
        (delivery,) = scene.deliveries(webhook)
        assert delivery["status"] == "delivered", said.read_text()
        again = f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/redeliver"
        assert scene.account.call("POST", again, by="operator").status == 200
        scene.server.serve(1_000)
        scene.node.dispatch()
        assert scene.deliveries(webhook)[0]["attempts"] == 2
    finally:
        receiver.kill()
        receiver.wait()
    lines = [line for line in said.read_text().splitlines() if line.startswith("session.")]
    assert lines == [f"session.started {session['id']}"], "what comes twice is seen once"


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
