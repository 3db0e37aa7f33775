"""`holdfast logs`: a person reads why a request failed."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.fake_server import Asked, FakeServer, Reply, problem
from tests.support.server import eventually

ENDED = "Session sess_1 has ended (completed), and an ended session cannot end."


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"req_{number:026}",
        "at": f"2026-01-17T10:00:{number:02}.000Z",
        "method": "POST",
        "route": "/v1/sessions/{id}/end",
        "status": 409,
        "error_code": "session_ended",
        "detail": ENDED,
        "duration_seconds": 0.0123,
        "request_bytes": 10,
        "response_bytes": 20,
        "idempotency_hit": False,
        "key_id": "key_1",
        "request_id": f"r-{number}",
        "correlation_id": f"c-{number}",
    } | more


def ask(cli: Cli, fake: FakeServer, *arguments: str) -> Any:
    return cli("logs", *arguments, HOLDFAST_URL=fake.url, HOLDFAST_KEY="a-key-of-an-operator")


def test_a_line_says_when_what_how_who_and_why(cli: Cli, fake: FakeServer) -> None:
    good = row(2, status=201, error_code=None, detail=None, idempotency_hit=True, route="/v1/sessions")
    fake.says(200, {"items": [good, row(1)], "next_cursor": None})
    result = ask(cli, fake)
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            f"2026-01-17T10:00:01.000Z  409  POST /v1/sessions/{{id}}/end  12.3 ms  key_1  session_ended: {ENDED}  r-1",
            "2026-01-17T10:00:02.000Z  201  POST /v1/sessions  12.3 ms  key_1  replayed  r-2",
        ],
    )
    assert fake.asked[0].query == {"limit": "50"}


def test_what_callers_sent_steers_no_terminal(cli: Cli, fake: FakeServer) -> None:
    fake.says(200, {"items": [row(1, detail="\x1b[2J\nrow", key_id=None, route=None)], "next_cursor": None})
    (line,) = ask(cli, fake).stdout.splitlines()
    assert "\\x1b[2J\\nrow" in line
    assert "(no route)  12.3 ms  no key" in line


def test_options_are_filters(cli: Cli, fake: FakeServer) -> None:
    ask(
        cli, fake, "--errors", "--key", "key_1", "--request", "r", "--correlation", "c", "--route", "/v1/x", "--status",
        "409", "--since", "2026-01-17T11:00:00+01:00", "--account", "acme", "-n", "3",
    )  # fmt: skip
    (asked,) = fake.asked
    assert asked.query == {
        "errors_only": "true",
        "key_id": "key_1",
        "request_id": "r",
        "correlation_id": "c",
        "route": "/v1/x",
        "status": "409",
        "since": "2026-01-17T10:00:00.000Z",
        "limit": "3",
    }
    assert asked.headers["x-account-id"] == "acme"


@pytest.mark.parametrize("since", ["yesterday", "10", "10 min", "2026-01-17T10:00:00"])
def test_a_time_that_is_none_is_refused(cli: Cli, fake: FakeServer, since: str) -> None:
    assert ask(cli, fake, "--since", since).exit_code == 2
    assert not fake.asked


def test_json_is_an_object_a_line(cli: Cli, fake: FakeServer) -> None:
    fake.says(200, {"items": [row(2), row(1)], "next_cursor": None})
    assert [json.loads(line) for line in ask(cli, fake, "--json").stdout.splitlines()] == [row(1), row(2)]


def test_an_empty_log_and_a_key_that_may_not_read_it(cli: Cli, fake: FakeServer) -> None:
    assert ask(cli, fake).stdout == "There are no such requests in the log.\n"
    fake.says(403, problem(403, "forbidden", "This needs a key with the scope operator."))
    assert ask(cli, fake).exit_code == 3


def test_following_shows_each_line_once_and_outlives_the_servers_absence(
    cli: Cli, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Callable[[], Reply]] = [
        lambda: Reply(200, {"items": [row(4), row(3)], "next_cursor": None}),
        # Line 2 is from before the first that was shown; line 5 was written by another node, later than 6.
        lambda: Reply(200, {"items": [row(6), row(4), row(3), row(2)], "next_cursor": None}),
        lambda: Reply(503, problem(503, "unavailable", "The store cannot be reached.")),
        lambda: Reply(200, {"items": [row(7), row(6), row(5), row(4)], "next_cursor": None}),
    ]

    def answer(_: Asked) -> Reply:
        if len(fake.asked) > len(looks):
            raise AssertionError("it looks no more")
        return looks[len(fake.asked) - 1]()

    def sleep(_: float) -> None:
        if len(fake.asked) == len(looks):
            raise KeyboardInterrupt

    fake.answer = answer
    monkeypatch.setattr("time.sleep", sleep)
    result = ask(cli, fake, "--follow", "-n", "2")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["r-3", "r-4", "r-6", "r-5", "r-7"]
    assert [asked.query.get("since") for asked in fake.asked] == [
        None,
        "2026-01-17T09:59:49.000Z",
        "2026-01-17T09:59:51.000Z",
        "2026-01-17T09:59:51.000Z",
    ]
    assert result.exit_code == 0


def test_a_real_server_says_why_a_request_failed_and_goes_on_telling(server: Server) -> None:
    environ = {**os.environ, "HOLDFAST_URL": server.url, "HOLDFAST_KEY": ADMIN_KEY}
    follow = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "logs", "--follow", "--errors", "--json", "--correlation", "follow-me"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines: list[dict[str, Any]] = []

    def read() -> None:
        assert follow.stdout is not None
        lines.extend(json.loads(line) for line in follow.stdout)

    def told() -> list[str]:
        return [line["detail"] for line in lines]

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        for field in ("first", "second"):
            with pytest.raises(Exception, match="fields"):
                server.api.request(
                    "POST", "/v1/sessions", body={"agent": "a", field: 1}, headers={"X-Correlation-ID": "follow-me"}
                )
            eventually(lambda: any(field in detail for detail in told()))  # noqa: B023
    finally:
        follow.terminate()
        follow.wait(10)
        reader.join(10)
        assert follow.stdout is not None
        follow.stdout.close()
    assert len(lines) == 2
