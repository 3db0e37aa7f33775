"""The same commands on a server: the same reports, by the same rules."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.api import Api
from tests.support.command_line import Done
from tests.support.server import KEY, Server
from tests.workspace.test_processes import Repository, autonomous, ended


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an empty database."""
    directory = tmp_path_factory.mktemp("served")
    with Server(f"sqlite:///{directory}/holdfast.db", directory=directory) as server:
        server.start()
        yield server


@pytest.fixture
def shared(served: Server, tmp_path: Path) -> Repository:
    """A checkout whose commands go to the server."""
    root = tmp_path / "checkout"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / ".holdfast.toml").write_text(f'locality_id = "acme/{tmp_path.name}"\n')
    made = Repository(root)
    made.environ |= {"HOLDFAST_URL": f"http://127.0.0.1:{served.port}", "HOLDFAST_KEY": KEY}
    made.environ |= {"HOLDFAST_SESSION_STATE": "server"}
    return made


def _same(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what no two runs have in common."""
    own = ("path", "session_id", "prior_session_id")
    return {name: value for name, value in report.items() if name not in own and not name.endswith("_epoch_s")}


def test_a_story_reads_the_same_on_a_server_and_without_one(shared: Repository, tmp_path: Path) -> None:
    alone = Repository(shared.root)
    alone.environ = {name: value for name, value in shared.environ.items() if not name.startswith("HOLDFAST_")}
    said = ""
    for command in (
        ["show"],
        ["heartbeat"],
        ["start", "--mode", "research"],
        ["start"],
        ["heartbeat", "--activity", "reading"],
        autonomous("a", 60),
        ["clear"],
        [*autonomous("a", 60), "--supervisor-id", "s"],
        ["heartbeat", "--actor-id", "b"],
        ["takeover", "--actor-id", "b", "--reason", "why"],
        ["show", "--actor-id", "b"],
        ["clear", "--actor-id", "b"],
        ["heartbeat", "--actor-id", "a", "--activity", "x" * 281],
        ["show", "--delta"],
        ["clear", "--actor-id", "s", "--reason", "done"],
        ["show"],
    ):
        racing = [each.begin("session-state", *command, "--json") for each in (alone, shared)]
        here, there = (ended(each) for each in racing)
        said += here.said
        assert there.code == here.code, (command, here, there)
        assert _same(there.document) == _same(here.document), command
    assert "http://" not in said
    assert shared.state("show")["path"].startswith(shared.environ["HOLDFAST_URL"] + " repo=acme%2F")


def test_a_handoff_on_the_server_is_what_changed_since_the_start(shared: Repository, served: Server) -> None:
    started = shared.state("start")
    assert shared.state("show", "--delta")["changed"] == {}
    api = Api(f"http://127.0.0.1:{served.port}", KEY, timeout_seconds=10)
    said = {"session_id": started["session_id"].replace("ses_", "sess_"), "fencing_token": started["fencing_token"]}
    said |= {"summary": "The parser works.", "next_actions": ["the lexer"]}
    left: Any = api.request("POST", "/v1/handoffs", body=said).body
    api.close()
    assert left["repo"].startswith("acme/")
    changed = shared.state("show", "--delta")["changed"]
    assert set(changed) == {"handoff", "recovery"}
    assert (changed["handoff"]["id"], changed["handoff"]["title"]) == (left["id"], "The parser works.")
    assert changed["recovery"]["next_actions"] == ["the lexer"]
    assert "handoff: {" in shared.run("session-state", "show", "--delta").said
    latest = shared.run("handoff", "latest", "--repo", left["repo"], "--json").document
    assert latest["id"] == left["id"]


def test_boards_read_the_same_on_a_server(shared: Repository) -> None:
    added = shared.run("escalation", "add", "--reason", "which one?", "--blocking", "--json").document["escalation"]
    assert shared.run("escalation", "list", "--json").document["escalations"] == [added]
    assert shared.run("gates", "set", "tests", "review", "--met", "1").said == "1. [x] tests\n2. [ ] review\n"
    assert shared.run("gates", "list", "--json").document["attention_anchor"] == "review"
    assert shared.run("escalation", "resolve", added["id"]).code == 0
    assert shared.run("escalation", "resolve", added["id"]).code == 3


def test_the_hook_asks_the_server(shared: Repository) -> None:
    token = shared.state(*autonomous("a", 60))["fencing_token"]
    assert _check(shared, token).code == 0
    again = shared.state(*autonomous("a", 60))["fencing_token"]
    refused = _check(shared, token)
    assert (refused.code, "is not current" in refused.complained) == (1, True)
    assert _check(shared, again).code == 0


def test_a_push_out_of_a_run_is_judged_by_its_own_session(shared: Repository) -> None:
    del shared.environ["HOLDFAST_SESSION_STATE"]
    said = shared.run("run", "--", "sh", "-c", 'exec "$0" -m holdfast git-hook check', sys.executable)
    assert said.code == 0, said


def test_no_server_is_a_failure_that_says_so(shared: Repository) -> None:
    shared.environ["HOLDFAST_URL"] = "http://127.0.0.1:9"
    done = shared.run("session-state", "show", "--json")
    assert (done.code, done.document["code"]) == (1, "unreachable")


def _check(repository: Repository, token: int) -> Done:
    repository.environ["HOLDFAST_FENCING_TOKEN"] = str(token)
    return repository.run("git-hook", "check")
