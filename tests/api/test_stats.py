"""`GET /v1/stats`: figures that agree with the sessions and the events that they are about."""

from collections import Counter
from urllib.parse import quote

import pytest

from holdfast.engine import statistics
from tests.api.driver import Account, Json, Server

DAY_MS = 86_400_000


@pytest.fixture
def began(server: Server) -> str:
    """A time before anything that the test does."""
    server.serve(2_000)
    return server.now()


def stats(account: Account, began: str, *, by: str = "day", scope: str = "read", **query: str) -> Json:
    """Figures since a time."""
    given = {"from": began, "by": by} | query
    return account.get("/v1/stats?" + "&".join(f"{name}={quote(value)}" for name, value in given.items()), by=scope)


def test_figures_are_those_of_the_sessions_and_the_events(account: Account, server: Server, began: str) -> None:
    quick, slow, silent, open_ended = (
        account.start(holder_id=str(number), agent=agent, project_id=project, policy={"lease_seconds": 100})
        for number, (agent, project) in enumerate(
            [("claude", "web"), ("claude", "web"), ("codex", "app"), ("codex", None)]
        )
    )
    assert account.say("end", quick, end_reason="completed").status == 200
    server.serve(60_000)
    assert account.say("end", slow, end_reason="manual").status == 200
    assert account.say("heartbeat", open_ended).status == 200
    server.serve(40_300)
    server.sweep()
    found = stats(account, began, by="agent", to=server.now(plus_ms=1))
    assert [(each["key"], each["sessions"]) for each in found["items"]] == [("claude", 2), ("codex", 2)]
    claude, codex = found["items"]
    assert claude["statuses"] == {"ended": 2}
    assert claude["end_reasons"] == {"completed": 1, "manual": 1}
    assert claude["durations"] == {"count": 2, "mean_seconds": 30, "longest_seconds": 60}
    assert claude["detections"] == {"count": 0, "mean_seconds": None, "longest_seconds": None, "within_one_second": 0}
    assert codex["statuses"] == {"active": 1, "stalled": 1}
    assert codex["detections"] == {"count": 1, "mean_seconds": 0.3, "longest_seconds": 0.3, "within_one_second": 1}
    of_sessions = [each["type"] for each in account.events() if each["session_id"] is not None]
    assert found["totals"]["events"] == dict(sorted(Counter(of_sessions).items()))
    assert (found["sessions_from_at"], found["events_from_at"]) == (None, None)
    assert silent["id"] in {each["session_id"] for each in account.events(type="session.stalled")}
    by_project = stats(account, began, by="project")
    assert {each["key"]: each["sessions"] for each in by_project["items"]} == {"web": 2, "app": 1, None: 1}


def test_days_are_told_in_order_and_only_those_of_the_time(account: Account, server: Server, began: str) -> None:
    for _ in range(3):
        account.start()
        server.serve(DAY_MS)
    days = [each["key"] for each in stats(account, began)["items"]]
    assert days == sorted(days)
    assert sum(each["sessions"] for each in stats(account, began)["items"]) == 3
    assert stats(account, began, to=server.now(plus_ms=-2 * DAY_MS - 1))["totals"]["sessions"] == 1
    assert stats(account, server.now())["totals"]["sessions"] == 0


def test_a_key_that_is_bound_to_a_project_is_told_of_that_alone(account: Account, began: str) -> None:
    for project in ("web", "app"):
        account.start(project_id=project)
    body = {"name": "bound", "scope": "read", "project_id": "web"}
    account.keys["bound"] = account.call("POST", "/v1/keys", body, by="admin").json["key"]
    for by in ("project", "account", "day", "agent"):
        totals = stats(account, began, by=by, scope="bound")["totals"]
        assert (totals["sessions"], totals["events"]) == (1, {"session.started": 1})


def test_only_an_administrator_is_told_of_other_accounts(account: Account, other: Account, began: str) -> None:
    for each in (account, other):
        each.start()
    assert [each["key"] for each in stats(account, began, by="account", scope="operator")["items"]] == [account.id]
    everyone = {each["key"]: each["sessions"] for each in stats(account, began, by="account", scope="admin")["items"]}
    assert (everyone[account.id], everyone[other.id]) == (1, 1)
    assert stats(account, began, by="day", scope="admin")["totals"]["sessions"] == 1


def test_more_than_is_read_is_left_out_and_said(
    account: Account, server: Server, began: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "SESSIONS_MAX", 2)
    monkeypatch.setattr(statistics, "EVENTS_MAX", 2)
    for _ in range(4):
        server.serve(1_000)
        account.start()
    found = stats(account, began)
    assert (found["totals"]["sessions"], found["totals"]["events"]) == (2, {"session.started": 2})
    assert began < found["sessions_from_at"] < found["events_from_at"] < server.now()


@pytest.mark.parametrize("query", ["from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2001-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(account: Account, query: str) -> None:
    refused = account.call("GET", f"/v1/stats?{query}", by="read")
    assert (refused.told, refused.fields) == ((422, "validation_failed"), {"from"})
    assert account.call("GET", "/v1/stats?from=yesterday", by="read").fields == {"from"}
    assert account.call("GET", "/v1/stats?by=moon", by="read").status == 422
