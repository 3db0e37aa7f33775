"""`holdfast recover` and `holdfast run --restart`, against a real server."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server

SECONDS_MAX: Final = 60

FAILS_ONCE: Final = (
    'echo "$(cat) $HOLDFAST_SESSION_ID $HOLDFAST_FENCING_TOKEN"; test -e again || { touch again; exit 3; }'
)


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """What a person exported who works with the server."""
    return {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}


def failed(server: Server, scope: str, *, recoveries: int = 0) -> dict[str, Any]:
    """A session that reported a failure, after so many recoveries of the same work."""
    session = ask(server, "POST", "/v1/sessions", {"agent": "claude", "scope": scope, "exclusive": True})
    for left in range(recoveries, -1, -1):
        told = {"reason": "it crashed", "fencing_token": session["fencing_token"]}
        ask(server, "POST", f"/v1/sessions/{session['id']}/fail", told)
        if left:
            session = ask(server, "POST", f"/v1/sessions/{session['id']}/recover", {})
    return session


def ask(server: Server, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the server answers to its operator."""
    answer = server.api.request(method, path, body=body).body
    assert isinstance(answer, dict)
    return dict(answer)


def chain(server: Server, scope: str) -> list[dict[str, Any]]:
    """The sessions on a scope, the oldest first."""
    items = ask(server, "GET", f"/v1/sessions?scope={scope}")["items"]
    return list(reversed(items))


def holdfast(*words: str, home: Path, environ: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A run of the program in a process of its own, which is what a runner takes."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast", *words],
        cwd=home, env=process_environ(home, environ), input=stdin, capture_output=True, text=True, timeout=SECONDS_MAX,
    )  # fmt: skip


def process_environ(home: Path, environ: dict[str, str]) -> dict[str, str]:
    return {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **environ}


def test_the_list_names_what_broke_off_and_what_blocks_it(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    free, blocked = failed(server, "list-free"), failed(server, "list-blocked", recoveries=3)
    lines = {line.split()[2]: line for line in cli("recover", "--list", **environ).stdout.splitlines()}
    assert lines["list-free"].split()[0] in free["id"]
    assert lines["list-blocked"].endswith("session quarantined")
    found = {each["id"]: each for each in json.loads(cli("recover", "--json", **environ).stdout)}
    assert (found[free["id"]]["blocked"], found[free["id"]]["recovery_attempts"]) == (None, 0)
    assert found[blocked["id"]]["blocked"]["code"] == "session_quarantined"
    assert cli("recover", "--machine", "nowhere", **environ).stderr == "Nothing is to be recovered.\n"


def test_the_last_known_state_says_what_to_do(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    session = failed(server, "state")
    shown = cli("recover", session["id"], "--show", **environ).stdout
    assert "recover: Its work broke off, and nobody has gone on with it." in shown
    assert json.loads(cli("recover", session["id"], "--show", "--json", **environ).stdout)["recoverable"] is True


def test_by_hand_the_new_session_and_its_token_are_printed(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    old = failed(server, "hand")
    printed = cli("recover", old["id"], "--holder-id", "me", "--slot", "2", "--task", "t-1", **environ).stdout
    _, new = chain(server, "hand")
    assert f"{new['id']}  goes on with {old['id']}" in printed
    assert f"export HOLDFAST_SESSION_ID={new['id']} HOLDFAST_FENCING_TOKEN=2" in printed
    assert (new["holder_id"], new["slot"], new["current_task_id"]) == ("me", 2, "t-1")
    again = cli("recover", old["id"], **environ)
    assert (again.exit_code, "was recovered by" in again.stderr) == (4, True)


def test_all_that_is_free_is_recovered_and_what_is_quarantined_is_left(
    cli: Cli, server: Server, environ: dict[str, str]
) -> None:
    cli("recover", "--all", **environ)
    free = [failed(server, f"all-{number}") for number in range(3)]
    blocked = failed(server, "all-blocked", recoveries=3)
    outcomes = json.loads(cli("recover", "--all", "--json", **environ).stdout)
    assert [each["session_id"] for each in outcomes] == [each["id"] for each in free]
    assert [each["recovered"]["recovered_from"] for each in outcomes] == [each["id"] for each in free]
    refused = cli("recover", blocked["id"], **environ)
    assert refused.exit_code == 4
    assert f'holdfast recover {blocked["id"]} --reason "WHY" --force' in refused.stderr
    assert cli("recover", blocked["id"], "--force", **environ).exit_code == 2
    assert cli("recover", blocked["id"], "--force", "--reason", "it is fixed", **environ).exit_code == 0


def test_a_command_goes_on_in_the_new_session(home: Path, server: Server, environ: dict[str, str]) -> None:
    old = failed(server, "command")
    script = "echo $HOLDFAST_SESSION_ID $HOLDFAST_FENCING_TOKEN; exit 7"
    done = holdfast("recover", old["id"], "--", "sh", "-c", script, home=home, environ=environ)
    _, new = chain(server, "command")
    assert (done.returncode, done.stdout) == (7, f"{new['id']} 2\n")
    assert f"goes on with {old['id']}" in done.stderr
    assert (new["recovered_from"], new["agent"], new["exclusive"], new["status"]) == (
        old["id"], "claude", True, "failed",
    )  # fmt: skip


def test_a_command_goes_on_with_each_of_all(home: Path, server: Server, environ: dict[str, str]) -> None:
    holdfast("recover", "--all", home=home, environ=environ)
    for number in range(3):
        failed(server, f"each-{number}")
    done = holdfast("recover", "--all", "--", "sh", "-c", "echo $HOLDFAST_SESSION_ID", home=home, environ=environ)
    new = [chain(server, f"each-{number}")[-1] for number in range(3)]
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(each["id"] for each in new)
    assert {each["status"] for each in new} == {"ended"}


def test_a_command_that_fails_runs_again_and_reads_on(home: Path, server: Server, environ: dict[str, str]) -> None:
    words = ("run", "--scope", "again", "--restart", "on-failure:2", "--", "sh", "-c", FAILS_ONCE)
    done = holdfast(*words, home=home, environ=environ, stdin="in")
    first, second = chain(server, "again")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"in {first['id']} 1\n {second['id']} 2\n"
    assert (first["end_reason"], first["recovered_by"], second["end_reason"]) == (
        "recovered",
        second["id"],
        "completed",
    )
    assert "exit code 3: restarting in" in done.stderr
    assert f"goes on with {first['id']}" in done.stderr


def test_after_as_many_restarts_as_were_allowed_the_failure_is_passed_on(
    home: Path, server: Server, environ: dict[str, str]
) -> None:
    words = ("run", "--scope", "often", "--restart", "on-failure:1", "--", "sh", "-c", "exit 9")
    done = holdfast(*words, home=home, environ=environ)
    assert (done.returncode, len(chain(server, "often"))) == (9, 2)
    assert "not restarted again: it was restarted 1 time" in done.stderr


def test_a_restart_ends_with_the_quarantine(home: Path, server: Server, environ: dict[str, str]) -> None:
    old = failed(server, "spent", recoveries=2)
    words = ("recover", old["id"], "--restart", "on-failure", "--", "sh", "-c", "exit 9")
    done = holdfast(*words, home=home, environ=environ)
    assert (done.returncode, len(chain(server, "spent"))) == (9, 4)
    assert "session_quarantined" in done.stderr
    assert done.stderr.rstrip().endswith("(with an operator's key)")


def test_what_somebody_asked_to_stop_is_not_brought_back(home: Path, server: Server, environ: dict[str, str]) -> None:
    script = 'holdfast stop "$HOLDFAST_SESSION_ID" --reason "wrong branch"; sleep 60'
    words = ("run", "--scope", "stopped", "--restart", "on-failure", "--heartbeat-interval", "0.5", "--lease", "5")
    done = holdfast(*words, "--", "sh", "-c", script, home=home, environ=environ)
    (only,) = chain(server, "stopped")
    assert (done.returncode, only["end_reason"]) == (76, "killed"), done.stderr


def test_a_runner_that_is_told_to_end_does_not_restart(home: Path, server: Server, environ: dict[str, str]) -> None:
    words = ["run", "--scope", "told-to-end", "--restart", "on-failure", "--", "sh", "-c", "exit 9"]
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", *words],
        cwd=home, env=process_environ(home, environ), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as runner:  # fmt: skip
        assert runner.stderr is not None
        for line in runner.stderr:
            if "restarting" in line:
                runner.send_signal(signal.SIGTERM)
        assert runner.wait(SECONDS_MAX) == 9
    assert len(chain(server, "told-to-end")) == 1


@pytest.mark.parametrize("words", [["--restart", "always"], ["--restart", "on-failure:0"], ["--restart", "no:1"]])
def test_a_restart_policy_that_is_none_is_a_usage_error(words: list[str], cli: Cli) -> None:
    result = cli("run", *words, "--", "true")
    assert (result.exit_code, "--restart" in result.stderr) == (2, True)
