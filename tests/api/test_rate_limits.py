"""Rate limits: per key, heartbeats apart, told in headers, shared between nodes, and costing the store nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from holdfast.domain.rate_limits import PERIOD_SECONDS, Budget, RateLimits, is_within, left, take, wait_seconds
from holdfast.engine.rate_limiter import RateLimiter
from holdfast.testing.clock import FakeClock
from holdfast.testing.factories import actor
from tests.api.driver import Account, Request, Server, open_store

LIMITS = RateLimits(requests_per_minute=6, heartbeats_per_minute=12)


@pytest.fixture
def limited(database_url: str) -> Iterator[Server]:
    """A server with small limits."""
    store = open_store(database_url, FakeClock())
    clock = FakeClock()
    with Server(store, clock, rate_limits=LIMITS).running() as server:
        yield server
    store.close()


def statuses(account: Account, request: Request, *, times: int) -> list[int]:
    """What is answered to the same request, one after another."""
    return [account.server.ask(request).status for _ in range(times)]


def test_a_whole_minutes_requests_may_come_at_once_and_then_the_rate_lets_them_in(limited: Server) -> None:
    account = limited.new_account()
    request = account.request("GET", "/v1/sessions", by="read")
    assert statuses(account, request, times=7) == [200] * 6 + [429]
    limited.clock.advance(9_999)
    assert statuses(account, request, times=1) == [429]
    limited.clock.advance(1)
    assert statuses(account, request, times=2) == [200, 429]
    limited.clock.advance(60_000)
    assert statuses(account, request, times=7) == [200] * 6 + [429]


def test_every_answer_to_a_limited_key_says_how_it_stands(limited: Server) -> None:
    account = limited.new_account()
    request = account.request("GET", "/v1/sessions/no-such-session")
    first = limited.ask(request)
    assert first.status == 404
    assert {name: value for name, value in first.headers.items() if "ratelimit" in name} == {
        "ratelimit-policy": '"requests";q=6;w=60',
        "ratelimit": '"requests";r=5;t=10',
        "x-ratelimit-limit": "6",
        "x-ratelimit-remaining": "5",
        "x-ratelimit-reset": "10",
    }
    refused = [limited.ask(request) for _ in range(6)][-1]
    assert refused.told == (429, "rate_limited")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.headers["retry-after"], refused.headers["ratelimit"]) == ("10", '"requests";r=0;t=10')
    assert refused.json["limit"] == 6


def test_heartbeats_have_a_budget_of_their_own_and_a_batch_counts_its_items(limited: Server) -> None:
    account = limited.new_account()
    sessions = [account.start(holder_id=f"holder-{number}") for number in range(3)]
    while account.call("GET", "/v1/sessions").status != 429:
        continue
    batch = {"heartbeats": [{"session_id": each["id"]} for each in sessions]}
    answers = [account.call("POST", "/v1/heartbeats", batch) for _ in range(3)]
    told = [f'"heartbeats";r={left};t={60 - 5 * left}' for left in (9, 6, 3)]
    assert [answer.headers["ratelimit"] for answer in answers] == told
    assert account.say("heartbeat", sessions[0]).headers["ratelimit"].startswith('"heartbeats";r=2;')
    assert account.call("POST", "/v1/heartbeats", batch).told == (429, "rate_limited")


@pytest.mark.parametrize("by", ["operator", "admin", "configured"])
def test_those_who_operate_the_service_are_never_locked_out(by: str, limited: Server) -> None:
    account = limited.new_account()
    request = account.request("GET", "/v1/sessions", by=by)
    assert statuses(account, request, times=20) == [200] * 20
    assert not any("ratelimit" in name for name in limited.ask(request).headers)


def test_keys_do_not_share_a_budget_and_a_rotated_key_keeps_its_own(limited: Server) -> None:
    account = limited.new_account()
    made = account.call("POST", "/v1/keys", {"scope": "read"}, by="admin").json
    request = Request("GET", "/v1/sessions", key=made["key"])
    assert statuses(account, request, times=7)[-1] == 429
    assert account.call("GET", "/v1/sessions", by="read").status == 200
    new = account.call("POST", f"/v1/keys/{made['id']}/rotate", {}, by="admin").json
    assert limited.ask(request._replace(key=new["key"])).status == 429


def test_a_refused_request_asks_nothing_of_the_store(limited: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    account = limited.new_account()
    request = account.request("POST", "/v1/sessions", {"agent": "claude"})
    assert statuses(account, request, times=6) == [201] * 6
    asked: list[str] = []
    monkeypatch.setattr(limited.engine, "execute", lambda *_: asked.append("a command"))
    monkeypatch.setattr(limited.core, "read", lambda *_: asked.append("a question"))
    assert limited.ask(request).told == (429, "rate_limited")
    assert asked == []


def test_two_nodes_share_a_limit(postgres_url: str) -> None:
    with ExitStack() as stack:
        clock = FakeClock()
        nodes = []
        for _ in range(2):
            store = open_store(postgres_url, clock)
            stack.callback(store.close)
            nodes.append(stack.enter_context(Server(store, clock, rate_limits=RateLimits(60, 60)).running()))
        here, there = nodes
        account = here.new_account()
        request = account.request("GET", "/v1/sessions")

        def share() -> None:
            for _ in range(2):
                for node in nodes:
                    node.loop.run_until_complete(node.upkeep.share_usage())

        assert [here.ask(request).status for _ in range(40)] == [200] * 40
        assert there.ask(request).headers["x-ratelimit-remaining"] == "59"
        share()
        assert there.ask(request).headers["x-ratelimit-remaining"] == "18"
        assert [there.ask(request).status for _ in range(18)] == [200] * 18
        assert there.ask(request).status == 429
        share()
        assert here.ask(request).status == 429
        clock.advance(1_000)
        assert [here.ask(request).status for _ in range(2)] == [200, 429]


def test_a_budget_is_never_overdrawn_and_never_lost() -> None:
    for limit in (1, 7, 1_200, 60_000):
        full_at = 0.0
        for number in range(limit):
            full_at = take(full_at, cost=1, limit=limit, now=5.0)
            assert is_within(full_at, now=5.0)
            assert left(full_at, limit=limit, now=5.0) == limit - number - 1
        refused = take(full_at, cost=1, limit=limit, now=5.0)
        assert not is_within(refused, now=5.0)
        wait = wait_seconds(refused, now=5.0)
        assert is_within(take(full_at, cost=1, limit=limit, now=5.0 + wait), now=5.0 + wait)
        assert left(full_at, limit=limit, now=5.0 + PERIOD_SECONDS) == limit


def test_of_a_large_budget_a_little_is_bought_at_once_and_no_more_is_granted_than_there_is() -> None:
    now = [100.0]
    limiter = RateLimiter(RateLimits(10, 60_000), is_shared=True, now=lambda: now[0])
    agent = actor("account")
    granted = [limiter.take(agent, Budget.HEARTBEATS, cost=1) for _ in range(60_001)]
    assert [each.is_granted for each in granted if each is not None] == [True] * 60_000 + [False]
    assert [each.left for each in granted[:61] if each is not None] == [59_999] * 60 + [59_939]
    (told,) = limiter.untold()
    assert told.heartbeats == 60_000
    now[0] += 0.1
    batch = limiter.take(agent, Budget.HEARTBEATS, cost=100)
    assert batch is not None
    assert (batch.is_granted, batch.left) == (True, 0)


def test_what_is_larger_than_a_whole_budget_takes_a_whole_budget() -> None:
    assert is_within(take(0.0, cost=1_000, limit=10, now=5.0), now=5.0)
    assert not is_within(take(take(0.0, cost=1, limit=10, now=5.0), cost=1_000, limit=10, now=5.0), now=5.0)
