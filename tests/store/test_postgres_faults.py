"""PostgreSQL that fails: what its answers mean, how its connections are set, and that a lost one is replaced."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from urllib.parse import urlsplit

import psycopg
import pytest

from holdfast.commands.probing import ProbeWrite
from holdfast.domain.errors import Code
from holdfast.store import postgres
from holdfast.store.port import StoreUnavailable
from holdfast.store.postgres import PostgresStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(postgres_url)) as store:
        yield store


def test_a_disk_that_is_full_when_it_commits_is_said_to_be_full_and_heals(
    store: PostgresStore, postgres_url: str
) -> None:
    caller = Caller(store, FakeClock())
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "create function run_out() returns trigger language plpgsql as "
            "$$ begin raise exception 'no space left' using errcode = 'disk_full'; end $$"
        )
        connection.execute(
            "create constraint trigger run_out after insert or update on service_state deferrable initially deferred "
            "for each row execute function run_out()"
        )
        assert caller.refused(ProbeWrite()).code == Code.STORAGE_FULL
        connection.execute("drop function run_out cascade")
    caller.accepted(ProbeWrite())


def test_a_lost_reader_is_replaced_before_anybody_is_refused(store: PostgresStore, postgres_url: str) -> None:
    store.service_clock()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    store.service_clock()


def test_a_server_that_is_away_is_asked_seldom_and_refuses_at_once(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []
    now = 1_000.0

    def connect(*_: object, **__: object) -> object:
        tries.append(now)
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(postgres, "_connect", connect)
    store.close()
    with caplog.at_level(logging.WARNING):
        for _ in range(600):
            for ask in (store.service_clock, store.begin):
                with pytest.raises(StoreUnavailable):
                    ask()
            now += 0.1
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert max(gaps) <= postgres.RETRY_SECONDS_MAX + 0.1
    assert 60 / postgres.RETRY_SECONDS_MAX <= len(tries) < 60
    monkeypatch.undo()
    store._door._shut_until = 0.0
    store.service_clock()


def test_connections_notice_a_host_that_vanished_and_the_url_wins(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def connect(conninfo: str, **_: object) -> object:
        given.append(conninfo)
        raise psycopg.OperationalError("not now")

    monkeypatch.setattr(psycopg, "connect", connect)
    for url in ("postgresql://h/d", "postgresql://h/d?tcp_user_timeout=7000&keepalives_idle=3"):
        with pytest.raises(StoreUnavailable):
            PostgresStore(url)
    assert "tcp_user_timeout=15000" in given[0]
    assert "keepalives_idle=10" in given[0]
    assert "tcp_user_timeout=7000" in given[1]
    assert "keepalives_idle=3 " in given[1] + " "
    assert "keepalives_count=3" in given[1]
    assert urlsplit(postgres_url).scheme == "postgresql"


def test_a_server_that_takes_connections_and_says_nothing_is_given_up_on_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "CONNECT_TIMEOUT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        with pytest.raises(StoreUnavailable):
            PostgresStore(url)
