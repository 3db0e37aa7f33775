"""`holdfast status`: the verdict, in words and as an exit code."""

from typing import Any

import pytest

from tests.cli.conftest import ADMIN_KEY, Cli, Server
from tests.cli.fake_server import FakeServer, problem

WELL: dict[str, Any] = {
    "status": "ok",
    "problems": [],
    "version": "1.2.3",
    "uptime_seconds": 7_500,
    "store": {"read_error": None, "read_seconds": 0.0004, "write_error": None, "write_seconds": 0.0031},
    "writer": {
        "takes_commands": True,
        "queue_depth": 3,
        "busy_seconds": 0,
        "last_batch": {"commands": 1, "took_seconds": 0.002, "age_seconds": 1},
    },
    "sweeper": {"is_alive": True, "age_seconds": 0.1, "took_seconds": 0.001, "examined": 0, "changed": 0},
    "request_log": {"waiting": 2, "lag_seconds": 0.5, "dropped": 0},
    "service_time": {"now_at": "2026-01-17T10:00:00.000Z", "tick_age_seconds": 0.1, "paused_seconds": 90},
}


def test_a_server_that_is_well(cli: Cli, fake: FakeServer) -> None:
    fake.says(200, WELL)
    result = cli("status", HOLDFAST_URL=fake.url)
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            f"ok  Holdfast 1.2.3 at {fake.url}, up 2 h 5 min",
            "  store        read 0.4 ms, write 3.1 ms",
            "  writer       3 waiting; last batch 2.0 ms for 1 command",
            "  sweeper      last pass 100.0 ms ago, took 1.0 ms",
            "  request log  2 waiting, 500.0 ms behind, 0 dropped",
            "  service time stood still for 1 min since the beginning",
        ],
    )


@pytest.mark.parametrize("status", ["failing", "degraded", "", "something new"])
def test_a_server_that_is_not(cli: Cli, fake: FakeServer, status: str) -> None:
    ill = WELL | {
        "status": status,
        "problems": [{"code": "store_unwritable", "detail": "A trial write was not committed (storage_full)."}],
        "store": {"read_error": "unavailable", "write_error": "storage_full", "write_seconds": 1.0},
        "service_time": None,
        "sweeper": None,
    }
    fake.says(200, ill)
    result = cli("status", HOLDFAST_URL=fake.url)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:3] == [
        "  ! A trial write was not committed (storage_full).",
        "  store        read failed (unavailable), write failed (storage_full)",
    ]
    assert cli("status", "--json", HOLDFAST_URL=fake.url).exit_code == 1


def test_no_server_and_no_right(cli: Cli, fake: FakeServer) -> None:
    assert cli("status", HOLDFAST_URL="http://127.0.0.1:1").exit_code == 5
    fake.says(403, problem(403, "forbidden", "This needs a key with the scope operator."))
    assert cli("status", HOLDFAST_URL=fake.url).exit_code == 3


def test_a_real_server_is_well(cli: Cli, server: Server) -> None:
    result = cli("status", HOLDFAST_URL=server.url, HOLDFAST_KEY=ADMIN_KEY)
    assert (result.exit_code, result.stdout[:4]) == (0, "ok  ")
