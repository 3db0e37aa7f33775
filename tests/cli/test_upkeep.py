"""`holdfast jobs` and `holdfast cleanup`, against a server that says what a test wants, and a real one."""

import json
from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.fake_server import Asked, FakeServer, Reply


def answer(sessions: int, *, is_dry: bool, kept: int = 0, cursor: str | None = None) -> Reply:
    """One step of a cleanup."""
    deleted = {"sessions": sessions, "checkpoints": 2 * sessions}
    return Reply(200, {"dry_run": is_dry, "deleted": deleted, "kept_unread": kept, "next_cursor": cursor})


def in_two_steps(asked: Asked) -> Reply:
    """A cleanup of 203 sessions."""
    is_dry = asked.body["dry_run"]
    if asked.body.get("cursor") == "go-on":
        return answer(3, is_dry=is_dry, kept=1)
    return answer(200, is_dry=is_dry, cursor="go-on")


@pytest.fixture
def environ(fake: FakeServer) -> dict[str, str]:
    """The way to the server that says what it is told to."""
    fake.answer = in_two_steps
    return {"HOLDFAST_URL": fake.url, "HOLDFAST_KEY": ADMIN_KEY}


def test_a_dry_run_counts_over_all_steps_and_deletes_nothing(
    cli: Cli, fake: FakeServer, environ: dict[str, str]
) -> None:
    result = cli("cleanup", "--dry-run", "--older-than", "7", "--status", "ended", "--status", "failed", **environ)
    assert result.stdout.splitlines() == [
        "203 sessions and 406 checkpoints would be deleted.",
        "1 kept: they broke off and left a checkpoint that nobody was given. --include-unread deletes them too.",
    ]
    body: dict[str, Any] = {"older_than_days": 7, "statuses": ["ended", "failed"], "include_unread": False}
    assert [each.body for each in fake.asked] == [
        body | {"dry_run": True},
        body | {"dry_run": True, "cursor": "go-on"},
    ]
    assert len({each.headers["idempotency-key"] for each in fake.asked}) == 2


def test_yes_deletes_without_asking_and_json_tells_the_sum(cli: Cli, fake: FakeServer, environ: dict[str, str]) -> None:
    result = cli("cleanup", "--yes", "--json", **environ)
    assert json.loads(result.stdout) == {
        "dry_run": False,
        "deleted": {"sessions": 203, "checkpoints": 406},
        "kept_unread": 1,
    }
    assert [each.body["dry_run"] for each in fake.asked] == [False, False]


def test_nothing_is_deleted_where_nobody_can_be_asked(cli: Cli, fake: FakeServer, environ: dict[str, str]) -> None:
    result = cli("cleanup", **environ)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert {each.body["dry_run"] for each in fake.asked} == {True}


@pytest.mark.parametrize("arguments", [("--older-than", "0"), ("--status", "active"), ("--older-than", "x")])
def test_a_cleanup_that_is_not_meant_so_is_not_sent(
    arguments: tuple[str, ...], cli: Cli, fake: FakeServer, environ: dict[str, str]
) -> None:
    assert cli("cleanup", *arguments, **environ).exit_code == 2
    assert fake.asked == []


def test_jobs_tell_how_they_went_without_steering_the_terminal(cli: Cli, fake: FakeServer) -> None:
    job = {
        "name": "event", "every_seconds": 86_400, "is_on": True, "keep_seconds": 7_776_000,
        "next_run_at": "2026-01-17T11:00:00.000Z", "claimed_by": None, "claim_expires_at": None,
        "last_run_at": "2026-01-17T09:58:00.000Z", "last_duration_seconds": 1.25, "last_count": 12_345,
        "last_error": "\x1b[2Jbroken", "run_count": 3, "failure_count": 1, "total_count": 99_999,
    }  # fmt: skip
    off = dict.fromkeys(job) | {"name": "audit", "is_on": False}
    running = job | {"name": "idempotency", "keep_seconds": 0, "claimed_by": "host:7", "last_error": None}
    fake.says(200, {"items": [job, off, running], "next_cursor": None})
    result = cli("jobs", HOLDFAST_URL=fake.url, HOLDFAST_KEY=ADMIN_KEY, COLUMNS="160")
    first, event, audit, idempotency = result.stdout.splitlines()
    assert first.split() == ["JOB", "KEEPS", "LAST", "RUN", "TOOK", "ROWS", "RUNS", "FAILED", "NEXT", "ERROR"]
    expected = ["event", "90", "d", "2", "min", "ago", "1.2", "s", "12,345", "3", "1", "in", "1", "h", "\\x1b[2Jbroken"]
    assert event.split() == expected
    assert audit.split() == ["audit", "for", "ever", "never", "never"]
    assert "runs on host:7" in idempotency
    shown = json.loads(cli("jobs", "--json", HOLDFAST_URL=fake.url, HOLDFAST_KEY=ADMIN_KEY).stdout)
    assert shown == [job, off, running]


def test_a_real_server_has_jobs_and_cleans_up(cli: Cli, server: Server) -> None:
    environ = {"HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}
    jobs = json.loads(cli("jobs", "--json", **environ).stdout)
    keeps = {each["name"]: each["keep_seconds"] for each in jobs}
    day = 86_400
    assert keeps == {
        "idempotency": 0,
        "session_archive": 30 * day,
        "session_delete": 30 * day,
        "handoff_expiry": 90 * day,
        "handoff": None,
        "task": 90 * day,
        "event": 90 * day,
        "machine": 90 * day,
        "audit": 365 * day,
        "request_log": 7 * day,
        "request_count": 7 * day,
        "webhook_delivery": 7 * day,
        "alerts": None,
    }
    assert cli("jobs", **environ).stdout.startswith("JOB")
    assert cli("cleanup", "--dry-run", **environ).stdout == "0 sessions and 0 checkpoints would be deleted.\n"
