"""`holdfast task`, `holdfast project` and the lists of `ps`, against a real server."""

import json
from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.test_sessions import inside, start


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """What a person exported who works with the server."""
    return {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}


def run(cli: Cli, *arguments: str, **environ: str) -> Any:
    """What a verb that succeeds prints as JSON."""
    result = cli(*arguments, "--json", **environ)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_worker_claims_and_finishes_what_was_added(cli: Cli, server: Server, environ: dict[str, str]) -> None:
    run(cli, "project", "add", "shop", "--name", "Shop", "--repository", "example/shop", **environ)
    first = run(cli, "task", "add", "first", "--project", "shop", "--priority", "3", "--ref", "#1", **environ)["id"]
    second = run(cli, "task", "add", "second", "--project", "shop", "--depends-on", first[-6:], **environ)["id"]
    worker = inside(start(server, "shop-1", exclusive=True, project_id="shop"), environ)
    assert run(cli, "task", "claim", **worker)["id"] == first
    nothing = cli("task", "claim", **worker)
    assert (nothing.exit_code, nothing.stderr) == (4, "No task is ready.\n")
    listed = cli("ps", "--tasks", **environ).output
    assert "in progress" in listed
    assert "waits for 1" in listed
    done = run(cli, "task", "done", first[-6:], "--result", '{"a": 1}', **worker)
    assert (done["status"], done["result"]) == ("completed", {"a": 1})
    assert run(cli, "task", "claim", **worker)["id"] == second
    failed = cli("task", "fail", second, "--error", "it broke", **worker)
    assert (failed.exit_code, "failed: it broke" in failed.output) == (0, True)
    shown = cli("project", "show", "shop", **environ).output
    assert shown.splitlines()[0] == "Project shop (Shop): active, example/shop"
    assert "Tasks: 1 completed, 1 failed; 0 ready" in shown
    facts = cli("task", "show", first, **environ).output
    assert "#1" in facts
    assert '{"a": 1}' in facts


def test_tasks_are_blocked_released_changed_and_deleted(cli: Cli, environ: dict[str, str]) -> None:
    run(cli, "project", "add", "depot", **environ)
    task = run(cli, "task", "add", "one", "--project", "depot", **environ)["id"]
    assert run(cli, "task", "start", task, **environ)["status"] == "in_progress"
    blocked = cli("task", "block", task, "--reason", "a review", **environ)
    assert "blocked: a review" in blocked.output
    assert run(cli, "task", "release", task, **environ)["status"] == "pending"
    assert run(cli, "task", "change", task, "--priority", "9", "--no-depends-on", **environ)["priority"] == 9
    refused = cli("task", "done", task, **environ)
    assert refused.exit_code == 4
    assert f"holdfast task start {task}" in refused.stderr
    assert [each["id"] for each in run(cli, "task", "list", "--project", "depot", "--ready", **environ)] == [task]
    assert "is deleted" in cli("task", "delete", task, **environ).output
    assert run(cli, "task", "list", "--project", "depot", **environ) == []


def test_projects_are_listed_and_paused(cli: Cli, environ: dict[str, str]) -> None:
    run(cli, "project", "add", "quiet", **environ)
    assert run(cli, "project", "change", "quiet", "--status", "paused", **environ)["status"] == "paused"
    assert "quiet" in cli("project", "list", "--status", "paused", **environ).output
    assert "quiet" in cli("ps", "--projects", **environ).output
    again = cli("project", "add", "quiet", **environ)
    assert again.exit_code == 4
    assert "holdfast project show quiet" in again.stderr


def test_a_claim_outside_a_run_asks_for_a_session(cli: Cli, environ: dict[str, str]) -> None:
    result = cli("task", "claim", **environ)
    assert result.exit_code == 2
    assert "--session" in result.stderr


def test_a_task_without_a_project_or_a_session_asks_for_the_option(cli: Cli, environ: dict[str, str]) -> None:
    result = cli("task", "add", "write the docs", **environ)
    assert result.exit_code == 2
    assert "--project" in result.stderr


def test_lists_of_work_do_not_take_what_narrows_sessions(cli: Cli, environ: dict[str, str]) -> None:
    for arguments in (("--tasks", "--agent", "claude"), ("--tasks", "--projects"), ("--projects", "--limit", "3")):
        assert cli("ps", *arguments, **environ).exit_code == 2
