"""`holdfast events`, against a real server."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.fake_server import FakeServer
from tests.cli.test_sessions import environ, start

__all__ = ["environ"]


def events_of(server: Server, session_id: str) -> list[dict[str, Any]]:
    """The events of a session as the server lists them."""
    body = server.api.request("GET", "/v1/events", query={"session_id": session_id}).body
    assert isinstance(body, dict)
    items: Any = body["items"]
    return list(items)


def test_events_of_a_session_are_shown_a_line_each(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = start(server, "told", project_id="told-project")
    told = {"fencing_token": session["fencing_token"], "reason": "it \x1b[31mbroke\n off"}
    server.api.request("POST", f"/v1/sessions/{session['id']}/fail", body=told)
    started, failed = cli("events", "--session", session["id"], **environ).stdout.splitlines()
    short = session["id"][-6:]
    assert f"  {short}  started " in started
    assert f"  {short}  failed " in failed
    assert "it \\x1b[31mbroke\\n off" in failed
    assert "\x1b" not in failed
    narrowed = ("--session", short, "--type", "started", "--type", "failed")
    assert cli("events", *narrowed, **environ).stdout.splitlines() == [started, failed]
    created, *rest = cli("events", "--project", "told-project", **environ).stdout.splitlines()
    assert "  told-project  project.created " in created
    assert rest == [started, failed]
    assert cli("events", "--project", "told-project", "--type", "session.failed", **environ).stdout == failed + "\n"


def test_a_narrow_terminal_shows_why_rather_than_the_whole_id_of_a_key(
    cli: Cli, server: Server, environ: dict[str, str]
) -> None:
    session = start(server, "narrow")
    (line,) = cli("events", "--session", session["id"], COLUMNS="90", **environ).stdout.splitlines()
    assert len(line) <= 90
    assert "  somebody asked for it  " in line


def test_json_is_one_event_a_line_as_the_server_has_it(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = start(server, "as json")
    server.api.request("POST", f"/v1/sessions/{session['id']}/end", body={})
    whole = events_of(server, session["id"])
    lines = cli("events", "--session", session["id"], "--json", **environ).stdout.splitlines()
    assert [json.loads(line) for line in lines] == whole
    after = cli("events", "--session", session["id"], "--after", whole[0]["cursor"], "--json", **environ).stdout
    assert json.loads(after) == whole[1]


def test_a_type_that_there_is_not_is_a_mistake_and_a_cursor_that_is_none_is_refused(
    cli: Cli, environ: dict[str, str]
) -> None:
    mistaken = cli("events", "--type", "exploded", **environ)
    assert (mistaken.exit_code, "session.failed" in mistaken.stderr) == (2, True)
    assert cli("events", "--after", "x", **environ).exit_code == 3
    assert cli("events", "--follow", "--after", "x", **environ).exit_code == 3


def test_following_a_server_that_is_not_there_fails_at_once(cli: Cli, fake: FakeServer) -> None:
    fake.says(503, {"code": "unavailable", "detail": "Not now.", "status": 503})
    assert cli("events", "--follow", HOLDFAST_URL=fake.url).exit_code == 4
    assert cli("events", "--follow", HOLDFAST_URL="http://127.0.0.1:9").exit_code == 5


@pytest.mark.parametrize("after", ["start", ""])
def test_follow_shows_events_as_they_happen_until_interrupted(after: str, server: Server, tmp_path: Any) -> None:
    project = f"followed-{after}"
    before = start(server, f"before {after}", project_id=project)
    command = [sys.executable, "-m", "holdfast", "events", "--follow", "--json", "--project", project]
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HOLDFAST_URL": server.url,
        "HOLDFAST_KEY": ADMIN_KEY,
    }
    told = events_of(server, before["id"])
    with subprocess.Popen(
        [*command, "--after", after or told[0]["cursor"]],
        env=variables,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            if after:
                assert json.loads(process.stdout.readline())["type"] == "project.created"
                assert json.loads(process.stdout.readline()) == told[0]
            session = start(server, f"while followed {after}", project_id=project)
            assert json.loads(process.stdout.readline()) == events_of(server, session["id"])[0]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
