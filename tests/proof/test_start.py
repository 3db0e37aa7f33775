"""A server that starts on a database in which something is due at once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.proof.broken_server import program
from tests.proof.client import Client
from tests.proof.conftest import Serve
from tests.support.server import Server, eventually


def test_the_first_key_and_the_sweeper_do_not_write_at_once(serve: Serve, database_url: str, tmp_path: Path) -> None:
    configured = serve(database_url)
    with Client(configured) as client:
        parked = client.started(None, holder_id="sleeper")
        wake_at = datetime.now(UTC) + timedelta(seconds=0.2)
        path = f"/v1/sessions/{parked['id']}"
        assert client.post(f"{path}/park", {"wake_at": wake_at.isoformat()}).status == 200
    configured.kill()
    eventually(lambda: datetime.now(UTC) > wake_at)
    # Without a configured key it makes the first one, while the sweeper already has somebody to wake.
    keyless = Server(
        database_url,
        directory=tmp_path / "keyless",
        program=program("commit_late"),
        environ={"HOLDFAST_BOOTSTRAP_KEY": ""},
    )
    with keyless:
        keyless.start()
        key = next(line.split()[1] for line in keyless.said.splitlines() if line.startswith("Key:"))
        with Client(keyless, key=key) as client:
            eventually(lambda: [event["type"] for event in client.events()][-1] == "session.wake")
        assert "failed" not in keyless.said
        assert "sweep_postponed" not in keyless.said
