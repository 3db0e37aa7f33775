"""The request log: what was asked, by whom, and why it was refused; and nothing that nobody else should read."""

from typing import Any

import pytest

from holdfast.commands.rows import Members, SetSpec
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.requests import RequestCount, RequestRecord
from holdfast.engine import request_log
from holdfast.store.port import StoreFull
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Account, Request, Server, open_store, serving
from tests.support.stores import rows_of

HEARTBEAT = "/v1/sessions/{id}/heartbeat"


@pytest.fixture(autouse=True)
def earlier_tests_are_written(server: Server) -> None:
    server.flush_log()


def logged(account: Account, query: str = "") -> list[dict[str, Any]]:
    """The account's log, oldest first, but for the question itself."""
    account.server.flush_log()
    rows = account.call("GET", f"/v1/requests?limit=200{query}", by="operator").json["items"]
    return [row for row in reversed(rows) if row["route"] != "/v1/requests"]


def told(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["method"], row["route"], row["status"], row["error_code"], row["idempotency_hit"]


def test_a_line_tells_how_a_request_was_answered(account: Account) -> None:
    body = {"agent": "claude", "scope": "alpha"}
    request = account.request("POST", "/v1/sessions", body, X_Request_Id="req-1", X_Correlation_Id="corr-1")
    response = account.server.ask(request)
    (row,) = logged(account)
    key_id = row.pop("key_id")
    assert 0 < row.pop("duration_seconds") < 60
    assert row.pop("id").startswith("req_")
    assert row.pop("at").endswith("Z")
    assert row == {
        "method": "POST",
        "route": "/v1/sessions",
        "status": 201,
        "error_code": None,
        "detail": None,
        "request_bytes": len(request.content),
        "response_bytes": len(response.content),
        "idempotency_hit": False,
        "request_id": "req-1",
        "correlation_id": "corr-1",
    }
    keys = account.each("/v1/keys")
    assert key_id == next(key["id"] for key in keys if key["scope"] == "agent")


def test_refusals_say_why(account: Account) -> None:
    session = account.start(scope="beta", exclusive=True)
    path = f"/v1/sessions/{session['id']}"
    account.call("POST", f"{path}/end", {"fencing_token": 999})
    account.call("POST", "/v1/sessions", {"agent": "claude", "colour": "red", "policy": 7})
    account.call("POST", "/v1/sessions", b'{"agent":')
    account.call("GET", "/v1/audit")
    account.call("GET", "/v1/sessions/sess_none")
    account.call("PUT", path)
    account.call("GET", "/v1/nothing/here")
    rows = logged(account, "&errors_only=true")
    assert [told(row) for row in rows] == [
        ("POST", "/v1/sessions/{id}/end", 409, "fencing_token_stale", False),
        ("POST", "/v1/sessions", 422, "validation_failed", False),
        ("POST", "/v1/sessions", 400, "malformed_json", False),
        ("GET", "/v1/audit", 403, "forbidden", False),
        ("GET", "/v1/sessions/{id}", 404, "not_found", False),
    ]
    assert (
        rows[0]["detail"]
        == f"This fencing token is not the current one of session {session['id']}; nothing was written."
    )
    assert "colour" in rows[1]["detail"]
    assert "policy" in rows[1]["detail"]
    assert rows[3]["detail"] == "This needs a key with the scope operator."


def test_requests_without_a_key_or_a_route_are_told_to_whoever_runs_the_server(server: Server) -> None:
    server.call("GET", "/v1/sessions", headers={"X-Request-Id": "nobody-1"})
    server.call("GET", "/v1/sessions", headers={"X-Request-Id": "nobody-2", "Authorization": "Bearer hfk_wrong"})
    server.call("GET", "/v1/nothing/here", headers={"X-Request-Id": "nobody-3"})
    server.call("PUT", "/v1/sessions", headers={"X-Request-Id": "nobody-4"})
    server.flush_log()
    found = []
    for number in range(1, 5):
        (row,) = server.ask(Request("GET", f"/v1/requests?request_id=nobody-{number}", key=CONFIGURED_KEY)).json[
            "items"
        ]
        assert row["key_id"] is None
        found.append(told(row))
    assert found == [
        ("GET", "/v1/sessions", 401, "unauthorized", False),
        ("GET", "/v1/sessions", 401, "unauthorized", False),
        ("GET", None, 404, "not_found", False),
        ("PUT", None, 405, "method_not_allowed", False),
    ]


def test_a_replay_is_a_line_of_its_own(account: Account) -> None:
    for _ in range(2):
        account.call("POST", "/v1/sessions", {"agent": "claude"}, Idempotency_Key="once-and-once-more")
    assert [told(row) for row in logged(account)] == [
        ("POST", "/v1/sessions", 201, None, False),
        ("POST", "/v1/sessions", 201, None, True),
    ]


def test_accepted_heartbeats_are_counted_and_others_are_lines(account: Account) -> None:
    sessions = [account.start(policy={"lease_seconds": 100, "on_lapse": policy}) for policy in ("revivable", "strict")]
    logged(account)
    for _ in range(3):
        account.say("heartbeat", sessions[0])
    batch = {"heartbeats": [{"session_id": each["id"]} for each in sessions]}
    assert account.call("POST", "/v1/heartbeats", batch).json["accepted"] == 2
    account.call("POST", f"/v1/sessions/{sessions[0]['id']}/heartbeat", {"fencing_token": 999})
    before = logged(account)
    assert [told(row) for row in before[2:]] == [("POST", HEARTBEAT, 409, "fencing_token_stale", False)]
    account.server.serve(150_000)
    account.say("heartbeat", sessions[0])
    assert account.call("POST", "/v1/heartbeats", batch).json["accepted"] == 1
    revived, refused = logged(account)[3:]
    assert (told(revived), revived["detail"]) == (("POST", HEARTBEAT, 200, None, False), "reactivated")
    assert (told(refused), refused["detail"]) == (
        ("POST", "/v1/heartbeats", 200, None, False),
        "of 2 beats: 1 lease_expired",
    )
    counts = account.call("GET", "/v1/requests/counts", by="operator").json["items"]
    by_route: dict[str, list[int]] = {}
    for each in counts:
        counted = by_route.setdefault(each["route"], [0, 0])
        counted[0] += each["requests"]
        counted[1] += each["heartbeats"]
        assert each["minute_at"].endswith(":00.000Z")
    assert by_route == {HEARTBEAT: [4, 4], "/v1/heartbeats": [2, 3]}


def test_a_minute_of_one_key_is_one_row(account: Account) -> None:
    session = account.start()
    for _ in range(3):
        account.say("heartbeat", session)
        account.server.flush_log()
    spec = SetSpec("counts", RequestCount, ("account_id",), order="minute_at_ms", limit=10)
    rows = account.server.store.find(Members(spec, (account.id,)))
    assert sum(row[-1] for row in rows) == 3  # type: ignore[misc]
    assert len(rows) <= 2, "at most one for each of two minutes"


def test_checks_are_lines_only_when_they_fail(server: Server) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        server.call("GET", path, headers={"X-Request-Id": "a-check"})
    server.call("GET", "/health?verbose=true", headers={"X-Request-Id": "a-check"})
    server.flush_log()
    rows = server.ask(Request("GET", "/v1/requests?request_id=a-check", key=CONFIGURED_KEY)).json["items"]
    assert [told(row) for row in rows] == [("GET", "/health", 422, "validation_failed", False)]


def test_an_operator_sees_requests_of_the_own_account_alone(account: Account, other: Account) -> None:
    account.start()
    other.start()
    assert len(logged(account)) == len(logged(other)) == 1
    assert account.call("GET", "/v1/requests", by="agent").told == (403, "forbidden")


def test_an_operator_who_acts_for_another_account_leaves_a_line_there(account: Account, other: Account) -> None:
    account.call("POST", "/v1/sessions", {"agent": "claude"}, by="operator", X_Account_Id=other.id)
    (row,) = logged(other)
    operator = next(key["id"] for key in account.each("/v1/keys") if key["scope"] == "operator")
    assert row["key_id"] == operator
    account.call("GET", "/v1/sessions", by="agent", X_Account_Id=other.id)
    assert [told(each) for each in logged(account, "&status=404")] == [("GET", "/v1/sessions", 404, "not_found", False)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("&status=201", ["a1", "a2"]),
        ("&errors_only=true", ["a3", "a4"]),
        ("&errors_only=false", ["a1", "a2", "a3", "a4"]),
        ("&route=/v1/sessions/%7Bid%7D", ["a3"]),
        ("&method=GET", ["a3"]),
        ("&correlation_id=two", ["a2", "a4"]),
        ("&correlation_id=two&status=201", ["a2"]),
        ("&request_id=a1", ["a1"]),
        ("&request_id=none", []),
        ("&key_id=key_none", []),
    ],
)
def test_filters(account: Account, query: str, expected: list[str]) -> None:
    account.call("POST", "/v1/sessions", {"agent": "a"}, X_Request_Id="a1", X_Correlation_Id="one")
    account.call("POST", "/v1/sessions", {"agent": "a"}, X_Request_Id="a2", X_Correlation_Id="two")
    account.call("GET", "/v1/sessions/none", X_Request_Id="a3", X_Correlation_Id="one")
    account.call("POST", "/v1/sessions", {}, X_Request_Id="a4", X_Correlation_Id="two")
    assert [row["request_id"] for row in logged(account, query)] == expected


def test_a_span_of_time_is_given_from_and_to(account: Account) -> None:
    account.call("GET", "/v1/sessions", X_Request_Id="early")
    (row,) = logged(account)
    account.server.serve(60_000)
    account.server.flush_log()
    account.call("GET", "/v1/sessions", X_Request_Id="late")
    account.server.flush_log()
    between = account.server.now(plus_ms=-30_000)
    assert [each["request_id"] for each in logged(account, f"&until={between}")] == ["early"]
    assert [each["request_id"] for each in logged(account, f"&since={row['at']}")] == ["early", "late"]
    assert account.call("GET", "/v1/requests?since=yesterday", by="operator").fields == {"since"}


def test_a_page_goes_on_where_the_last_one_ended(account: Account) -> None:
    for number in range(7):
        account.call("GET", "/v1/sessions", X_Request_Id=f"page-{number}")
    account.server.flush_log()
    found = account.each("/v1/requests", by="operator", limit="3", route="/v1/sessions", include_total="true")
    assert [row["request_id"] for row in found] == [f"page-{number}" for number in reversed(range(7))]
    page = account.call("GET", "/v1/requests?limit=3&route=/v1/sessions", by="operator").json
    other_filter = f"/v1/requests?limit=3&cursor={page['next_cursor']}"
    assert account.call("GET", other_filter, by="operator").told == (422, "cursor_invalid")


def test_nothing_secret_is_in_any_row(account: Account) -> None:
    secret = account.keys["agent"]
    token = "sk-ant-api03-abcdefghijklmnop"
    account.start(scope="gamma", meta={"password": "hunter2hunter2"})
    account.call("GET", f"/v1/sessions?q={secret}")
    account.call("GET", f"/v1/sessions?{secret}=1")
    account.call("GET", f"/v1/sessions/{secret}")
    account.call("POST", "/v1/sessions", {"agent": "a", secret: 1, token: 2})
    account.call("GET", "/v1/sessions", X_Request_Id=secret, X_Correlation_Id=secret)
    account.server.call("GET", f"/{secret}", headers={"X-Api-Key": f"{secret}x"})
    account.server.flush_log()
    rows = repr([*rows_of(account.server.store, RequestRecord), *rows_of(account.server.store, RequestCount)])
    assert "hfk_[redacted]" in rows
    for text in (secret, secret[:-1], token, "hunter2", CONFIGURED_KEY):
        assert text not in rows


def test_what_the_store_refuses_waits_within_a_bound_and_what_is_dropped_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "WAITING_MAX", 5)
    with serving(database_url, FakeClock()) as server:
        begin = server.store.begin
        account = server.new_account()
        server.flush_log()

        def full() -> Any:
            raise StoreFull

        monkeypatch.setattr(server.store, "begin", full)
        for number in range(8):
            account.call("GET", "/v1/sessions", X_Request_Id=f"waits-{number}")
        server.flush_log()
        assert (server.core.request_log.waiting, server.core.request_log.dropped) == (5, 3)
        monkeypatch.setattr(server.store, "begin", begin)
        server.flush_log()
        assert (server.core.request_log.waiting, server.core.request_log.dropped) == (0, 3)
        assert [row["request_id"] for row in logged(account)] == [f"waits-{number}" for number in range(5)]


def test_a_flush_whose_outcome_is_unknown_is_not_repeated(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(database_url, FakeClock()) as server:
        account = server.new_account()
        account.call("GET", "/v1/sessions")
        waiting = server.core.request_log.waiting

        async def unknown(*_: Any) -> None:
            raise Refusal(Code.OUTCOME_UNKNOWN)

        monkeypatch.setattr(server.engine, "execute", unknown)
        server.flush_log()
        assert (server.core.request_log.waiting, server.core.request_log.dropped) == (0, waiting)


def test_lines_are_written_in_commands_of_a_bounded_size(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "CHUNK", 4)
    with serving(database_url, FakeClock()) as server:
        account = server.new_account()
        for number in range(9):
            account.call("GET", "/v1/sessions", X_Request_Id=f"many-{number}")
        commits = sum(server.engine.meters.commit_seconds.counts)
        server.flush_log()
        assert sum(server.engine.meters.commit_seconds.counts) - commits >= 3
        assert len(logged(account)) == 9


def test_what_waits_at_the_end_is_written(database_url: str) -> None:
    store = open_store(database_url, FakeClock())
    with Server(store, FakeClock()).running() as server:
        account = server.new_account()
        account.call("GET", "/v1/sessions", X_Request_Id="last-words")
        account.say("heartbeat", account.start())
        server.loop.run_until_complete(server.core.request_log.stop())
    assert "last-words" in [row.request_id for row in rows_of(store, RequestRecord)]
    assert [row.items for row in rows_of(store, RequestCount)] == [1]
    store.close()
