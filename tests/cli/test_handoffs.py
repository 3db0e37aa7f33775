"""`holdfast handoff …` against a real server."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.test_sessions import inside, read, start


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """What a person exported who works with the server."""
    return {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}


def shown(cli: Cli, *arguments: str, **environ: str) -> Any:
    """What a verb prints with --json, where it succeeds."""
    result = cli("handoff", *arguments, "--json", **environ)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_handoff_is_left_from_inside_a_run_found_and_taken_up(
    cli: Cli, server: Server, environ: dict[str, str]
) -> None:
    session = start(server, "cli-handoffs", exclusive=True, agent="cli-1")
    here = inside(session, environ)
    said = ("--summary", "half \x1b[31mdone", "--next", "the rest", "--done", "a", "--to", "codex-*", "--label", "wip")
    created = cli("handoff", "create", *said, **here)
    assert created.exit_code == 0, created.stderr
    handoff_id = created.stdout.split()[1]
    assert created.stdout == f"Handoff {handoff_id} of {session['id']} is kept; the session goes on.\n"
    assert shown(cli, "create", *said, **here)["id"] == handoff_id
    facts = cli("handoff", "latest", "--from", "cli-1", **environ).stdout
    assert facts.startswith(f"{handoff_id}  from cli-1 to codex-*\n")
    assert "the rest" in facts
    assert "\x1b[31m" not in facts
    assert cli("handoff", "list", "--to", "codex-1", **environ).stdout.splitlines()[1].split()[0] == handoff_id
    assert shown(cli, "list", "--session", session["id"][-6:], **environ)[0]["id"] == handoff_id
    assert cli("handoff", "list", "--to", "nobody", **environ).stdout == "No handoff is like that.\n"
    taken = cli("handoff", "ack", handoff_id, "--note", "mine", **environ)
    assert taken.stdout == f"Handoff {handoff_id} is acknowledged.\n"
    assert shown(cli, "done", handoff_id, **environ)["status"] == "done"
    refused = cli("handoff", "return", handoff_id, **environ)
    assert refused.exit_code == 4
    assert f"holdfast handoff show {handoff_id}" in refused.stderr
    assert shown(cli, "show", handoff_id, **environ)["status"] == "done"


def test_a_handoff_from_a_file_ends_the_session(
    cli: Cli, server: Server, environ: dict[str, str], tmp_path: Path
) -> None:
    session = start(server, "cli-file", exclusive=True, agent="cli-2")
    file = tmp_path / "handoff.json"
    file.write_text(json.dumps({"summary": "from a file", "payload": {"n": 1}}))
    ended = shown(cli, "create", "--file", str(file), "--end", **inside(session, environ))
    assert (ended["status"], read(server, session["id"])["status"]) == ("ended", "ended")
    found = shown(cli, "show", ended["handoff_id"], **environ)
    assert (found["summary"], found["payload"]) == ("from a file", {"n": 1})
    late = cli("handoff", "create", "--summary", "one thing more", **inside(session, environ))
    assert late.exit_code == 4
    assert "kept as an orphan" in late.stderr
    assert shown(cli, "latest", "--session", session["id"], **environ)["orphan"] is True


def test_text_on_standard_input_is_the_summary(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = start(server, "cli-stdin", agent="cli-3")
    here = inside(session, environ)
    result = cli("handoff", "create", "--file", "-", "--json", stdin="it works\n", **here)
    assert json.loads(result.stdout)["summary"] == "it works"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create",), "Say where the work stands"),
        (("create", "--summary", "x"), "Name a session"),
        (("create", "--summary", "x", "--payload", "{"), "is not JSON"),
        (("create", "--file", "/none/there"), "cannot be read"),
    ],
)
def test_what_is_missing_is_asked_for(
    arguments: tuple[str, ...], words: str, cli: Cli, environ: dict[str, str]
) -> None:
    result = cli("handoff", *arguments, **environ)
    assert result.exit_code == 2
    assert words in result.stderr


def test_where_nothing_was_left_nothing_is_shown(cli: Cli, environ: dict[str, str]) -> None:
    result = cli("handoff", "latest", "--venture", "none-of-this-name", **environ)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "There is none.\n")
