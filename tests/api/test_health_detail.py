"""`GET /health/detail`: whatever is broken shows, and shows as what it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast.doors.http.native import health
from holdfast.engine import sweeper as sweeping
from holdfast.engine.sweeper import Sweeper
from holdfast.store.port import Store, StoreFull, StoreUnavailable
from holdfast.store.postgres import PostgresTransaction
from holdfast.store.sqlite_rows import SqliteTransaction
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Account, Request, Server, open_store
from tests.support.server import eventually


@contextmanager
def swept(database_url: str) -> Iterator[Server]:
    """A server with a sweeper, as one that is run in earnest."""
    clock = FakeClock()
    store = open_store(database_url, clock)
    with Server(store, clock).running() as server:
        server.core.sweeper = sweeper = Sweeper(store, server.engine)
        sweeper.start()
        try:
            yield server
        finally:
            sweeper.stop()
    store.close()


def detail(server: Server) -> dict[str, Any]:
    response = server.ask(Request("GET", "/health/detail", key=CONFIGURED_KEY))
    assert response.status == 200
    found: dict[str, Any] = response.json
    return found


def problems(server: Server) -> list[str]:
    return [each["code"] for each in detail(server)["problems"]]


def is_ready(server: Server) -> bool:
    return server.call("GET", "/health/ready").status == 200


@pytest.fixture(autouse=True)
def nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READY_TRUST_SECONDS", 0.0)


def test_a_server_that_is_well_says_so_in_figures(database_url: str) -> None:
    with swept(database_url) as server:
        server.new_account().start()
        found = detail(server)
        assert (found["status"], found["problems"]) == ("ok", [])
        assert found["store"]["read_error"] is found["store"]["write_error"] is None
        assert 0 < found["store"]["read_seconds"] < 5
        assert 0 < found["store"]["write_seconds"] < 5
        assert found["writer"]["takes_commands"] is True
        assert found["writer"]["last_batch"]["commands"] >= 1
        assert found["sweeper"]["is_alive"] is True
        assert found["sweeper"]["age_seconds"] < 5
        assert found["request_log"]["waiting"] > 0
        assert found["request_log"]["dropped"] == 0
        assert found["service_time"]["paused_seconds"] == 0


def test_who_may_ask(account: Account) -> None:
    assert account.call("GET", "/health/detail", by="operator").status == 200
    assert account.call("GET", "/health/detail", by="agent").told == (403, "forbidden")
    assert account.server.call("GET", "/health/detail").told == (401, "unauthorized")


def test_a_writer_that_stopped_shows(database_url: str) -> None:
    with swept(database_url) as server:
        server.loop.run_until_complete(server.engine.stop())
        found = detail(server)
        assert found["status"] == "failing"
        codes = [each["code"] for each in found["problems"]]
        assert codes[:2] == ["writer_stopped", "store_unwritable"]
        assert found["writer"]["takes_commands"] is False
        assert not is_ready(server)


def test_a_writer_that_is_stuck_shows(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READY_WAIT_SECONDS", 0.05)
    monkeypatch.setattr("holdfast.engine.health.BATCH_SECONDS_MAX", 0.0)
    with swept(database_url) as server:
        begin, held, go_on = server.store.begin, threading.Event(), threading.Event()

        def waits() -> Any:
            held.set()
            go_on.wait(30)
            return begin()

        monkeypatch.setattr(server.store, "begin", waits)
        assert not is_ready(server)
        assert held.is_set()
        found = detail(server)
        go_on.set()
        assert [each["code"] for each in found["problems"]][:2] == ["writer_stuck", "store_unwritable"]
        assert found["store"]["write_error"] == "timeout"
        eventually(lambda: is_ready(server))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sweeper_that_died_shows(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with swept(database_url) as server:
        assert problems(server) == []

        def dies(_: Any) -> bool:
            raise SystemExit

        monkeypatch.setattr(sweeping.Sweeper, "sweep_once", dies)
        assert server.core.sweeper is not None
        eventually(lambda: server.core.sweeper is not None and not server.core.sweeper.is_alive)
        found = detail(server)
        assert ([each["code"] for each in found["problems"]], found["status"]) == (["sweeper_dead"], "failing")
        assert is_ready(server), "others may sweep; this node still takes writes"


def test_a_sweeper_that_finishes_no_pass_shows(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with swept(database_url) as server:

        def fails(_: Any) -> bool:
            raise StoreUnavailable

        monkeypatch.setattr(sweeping.Sweeper, "sweep_once", fails)
        monkeypatch.setattr("holdfast.engine.health.SWEEP_AGE_SECONDS_MAX", 0.3)
        eventually(lambda: problems(server) == ["sweeper_late"])


def _away(_: Store) -> Callable[..., Any]:
    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable

    return away


def test_a_store_that_is_away_shows_and_heals(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with swept(database_url) as server:
        with monkeypatch.context() as patch:
            patch.setattr(server.store, "begin", _away(server.store))
            patch.setattr(server.store, "service_clock", _away(server.store))
            found = detail(server)
            assert not is_ready(server)
        assert [each["code"] for each in found["problems"]] == ["store_unreadable", "store_unwritable"]
        assert (found["store"]["read_error"], found["store"]["write_error"]) == ("unavailable", "unavailable")
        assert found["service_time"] is None
        assert problems(server) == []
        assert is_ready(server)


def test_a_full_disk_shows(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with swept(database_url) as server:

        def full(*_: Any, **__: Any) -> None:
            raise StoreFull

        kind = SqliteTransaction if server.store.locks_everything else PostgresTransaction
        monkeypatch.setattr(kind, "save", full)
        server.clock.advance(1)
        found = detail(server)
        assert [each["code"] for each in found["problems"]] == ["store_unwritable"]
        assert found["store"]["write_error"] == "storage_full"
        assert not is_ready(server)


def test_a_log_that_falls_behind_is_told_and_is_no_failure(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.engine.request_log.WAITING_MAX", 3)
    monkeypatch.setattr("holdfast.engine.health.LOG_LAG_MS_MAX", -1)
    with swept(database_url) as server:
        account = server.new_account()
        for _ in range(5):
            account.call("GET", "/v1/sessions")
        found = detail(server)
        assert found["status"] == "degraded"
        assert [each["code"] for each in found["problems"]] == ["request_log_late", "request_log_dropping"]
        assert found["request_log"]["dropped"] > 0


def test_time_that_nobody_served_shows(database_url: str) -> None:
    with swept(database_url) as server:
        server.clock.advance(60_000)
        eventually(lambda: detail(server)["service_time"]["paused_seconds"] >= 60)
