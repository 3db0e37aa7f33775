"""What is said when a verb fails, and its exit code."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.fake_server import FakeServer, Reply, problem


def unused_url() -> str:
    """An address at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_where_no_server_answers_a_verb_says_how_to_start_one(cli: Cli) -> None:
    url = unused_url()
    result = cli("ps", HOLDFAST_URL=url)
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.splitlines() == [
        f"No Holdfast server answers at {url}.",
        "Start one with `make run` or `holdfast serve`, or set HOLDFAST_URL.",
    ]


def test_the_url_option_wins_over_the_environment(cli: Cli, fake: FakeServer) -> None:
    assert cli("ps", "--url", fake.url, HOLDFAST_URL=unused_url()).exit_code == 0


def test_something_else_than_holdfast_is_no_server(cli: Cli, fake: FakeServer) -> None:
    fake.says(200, ["hello"])
    result = cli("ps", HOLDFAST_URL=fake.url)
    assert result.exit_code == 5
    assert "its answer is not one of Holdfast" in result.stderr


def test_a_server_that_cannot_answer_now_is_to_be_asked_again(cli: Cli, fake: FakeServer) -> None:
    fake.says(503, problem(503, "overloaded", "Too many wait."), **{"Retry-After": "3"})
    result = cli("ps", HOLDFAST_URL=fake.url)
    assert result.exit_code == 4
    assert result.stderr == f"The server at {fake.url} cannot answer now: Too many wait. Try again in 3 s.\n"


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [(400, 3), (401, 3), (403, 3), (404, 3), (409, 4), (412, 4), (422, 3), (428, 4), (429, 4), (500, 1), (507, 4)],
)
def test_each_refusal_has_its_exit_code(status: int, exit_code: int, cli: Cli, fake: FakeServer) -> None:
    fake.says(status, problem(status, "some_code", "So it is."))
    result = cli("ps", HOLDFAST_URL=fake.url)
    assert result.exit_code == exit_code
    assert result.stderr.splitlines()[0] == "So it is."


def test_without_a_key_a_verb_says_where_keys_come_from(cli: Cli, fake: FakeServer) -> None:
    fake.says(401, problem(401, "unauthorized", "A key is needed."))
    assert cli("ps", HOLDFAST_URL=fake.url).stderr.splitlines() == [
        "A key is needed.",
        "No key for this server is known here: set HOLDFAST_KEY.",
        "The first start of a server prints a key, and keeps it for this user's `holdfast` on that machine;",
        "with an admin key, `holdfast keys create` makes more.",
    ]
    wrong = cli("ps", HOLDFAST_URL=fake.url, HOLDFAST_KEY="a-wrong-key")
    assert "It came from HOLDFAST_KEY." in wrong.stderr
    assert "a-wrong-key" not in wrong.stderr


def test_a_refusal_names_its_fields_and_ways_out_and_escapes_them(cli: Cli, fake: FakeServer) -> None:
    body = problem(
        422,
        "validation_failed",
        "Fields are wrong\x1b[2J.",
        errors=[{"field": "a\u202eb", "message": "must be c"}],
        ways_out=[{"action": "read", "path": "/v1/sessions/x\x1by"}, {"action": "repeat_later"}],
    )
    fake.says(422, body)
    assert cli("ps", HOLDFAST_URL=fake.url).stderr.splitlines() == [
        "Fields are wrong\\x1b[2J.",
        "  a\\u202eb: must be c",
        "What you can do:",
        "  holdfast show 'x\\x1by'",
        "  The same again, later.",
    ]


def test_what_is_not_there_is_answered_with_what_lists_it(cli: Cli, fake: FakeServer) -> None:
    fake.says(404, problem(404, "not_found", "There is no handoff with this id.", instance="/v1/handoffs/ho_x"))
    result = cli("handoff", "show", "ho_x", HOLDFAST_URL=fake.url)
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "There is no handoff with this id.",
        "`holdfast handoff list` shows what there is.",
    ]


def test_with_json_a_failure_is_the_servers_document_on_standard_error(cli: Cli, fake: FakeServer) -> None:
    body = problem(409, "lease_held", "Somebody has it.", ways_out=[])
    fake.says(409, body)
    result = cli("stop", "sess_" + "0" * 26, "--reason", "x", "--json", HOLDFAST_URL=fake.url)
    assert (result.exit_code, result.stdout, json.loads(result.stderr)) == (4, "", body)
    away = cli("ps", "--json", HOLDFAST_URL=unused_url())
    assert json.loads(away.stderr)["code"] == "unreachable"


def test_a_mistyped_verb_is_answered_with_the_one_that_was_meant(cli: Cli) -> None:
    result = cli("takover")
    assert result.exit_code == 2
    assert "There is no verb 'takover'. Did you mean 'takeover'?" in result.stderr


def test_a_bad_url_is_a_wrong_usage(cli: Cli) -> None:
    result = cli("ps", "--url", "localhost:8787")
    assert result.exit_code == 2
    assert "it must look like http://127.0.0.1:8787" in result.stderr


def test_every_bad_setting_is_a_line_of_its_own(cli: Cli) -> None:
    result = cli("serve", "--port", "x", HOLDFAST_PROT="1")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "--port must be a whole number from 0 to 65535 (flag --port).",
        "HOLDFAST_PROT is not a setting of Holdfast; did you mean HOLDFAST_PORT? (environment).",
    ]


def test_config_says_what_is_in_force_and_where_it_came_from(cli: Cli, home: Path) -> None:
    (home / ".env").write_text("HOLDFAST_BOOTSTRAP_KEY=the-secret-key\n")
    result = cli("config", "--port", "0", HOLDFAST_LOG_LEVEL="debug")
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert rows["port"][:3] == ["0", "flag", "--port"]
    assert rows["log_level"][:2] == ["debug", "environment"]
    assert rows["bootstrap_key"][:2] == ["set", ".env"]
    assert rows["host"][:3] == ["localhost", "default", "HOLDFAST_HOST"]
    shown = json.loads(cli("config", "--json", "--port", "0").stdout)
    assert shown["port"] == {"value": 0, "source": "flag --port"}
    assert "the-secret-key" not in f"{result.output} {shown}"


SLOW = ("rich", "psycopg", "uvicorn", "msgspec", "apsw", "http.client", "ssl", "holdfast.client.api", "holdfast.config")


@pytest.mark.parametrize("arguments", [["--help"], ["ps", "--help"], ["--version"]])
def test_help_imports_nothing_that_takes_long(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from holdfast.doors.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_listing_of_sessions_needs_no_rich(fake: FakeServer, home: Path) -> None:
    fake.answer = lambda _: Reply(200, {"items": [], "next_cursor": None})
    program = (
        "import sys\n"
        "from holdfast.doors.cli.main import main\n"
        "try: main(['ps'])\n"
        "except SystemExit: pass\n"
        "print('rich' in sys.modules)"
    )
    environ = {"HOME": str(home), "HOLDFAST_URL": fake.url}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == "False\n"
