"""What holds of every request: paths, methods, the ids that come back, and what a problem looks like."""

import re

import pytest

from holdfast.doors.http.routing import Route
from tests.api.driver import CONFIGURED_KEY, Account, Headers, Request, Response, Server
from tests.api.examples import ALL, example, named

REQUEST_ID = "x-request-id"
CORRELATION_ID = "x-correlation-id"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/v1",
        "/v1/",
        "/v1/sessions/",
        "/v1//sessions",
        "//v1/sessions",
        "/v1/sessions//heartbeat",
        "/v1/sessions/x/nothing",
        "/v1/sessions/x/heartbeat/y",
        "/V1/sessions",
        "/v1/Sessions",
        "/v1/%73essions",
        "/v2/sessions",
        "/health/",
        "/health/detail/x",
        "/v1/../v1/sessions",
        "/./v1/sessions",
        "/openapi",
        "/favicon.ico",
    ],
)
def test_where_there_is_nothing_there_is_a_404(path: str, server: Server) -> None:
    for request in (Request("GET", path, key=CONFIGURED_KEY), Request("GET", path)):
        response = server.ask(request)
        assert response.told == (404, "not_found")
        assert response.json["instance"] == path


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "BREW")


@pytest.mark.parametrize("path", sorted({route.path for route in ALL}))
def test_a_method_that_a_path_does_not_take_is_a_405(path: str, server: Server) -> None:
    methods = {route.method for route in ALL if route.path == path}
    taken = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    for method in METHODS:
        if method in taken:
            continue
        response = server.call(method, path.replace("{id}", "x"))
        assert response.told == (405, "method_not_allowed"), method
        assert response.headers["allow"] == ", ".join(taken)


def test_an_id_may_hold_an_encoded_slash(account: Account) -> None:
    for target in ("/v1/sessions/a%2Fb", "/v1/sessions/a%2fb/explain", "/v1/sessions/%2F", "/v1/sessions/%E2%82%AC"):
        assert account.call("GET", target).told == (404, "not_found")
    assert "session" in account.call("GET", "/v1/sessions/a%2Fb").json["detail"]


@pytest.mark.parametrize(
    "segment",
    [
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "%00",
        "a%00b",
        "%0a",
        "%1b",
        "%7f",
        "%ff",
        "%ed%a0%80",
        "%c0%af",
        "%E2%80%AE",
        "\u00ff",
    ],
)
def test_a_segment_that_cannot_be_an_id_is_a_400(segment: str, account: Account) -> None:
    for target in (f"/v1/sessions/{segment}", f"/v1/sessions/{segment}/explain"):
        assert account.call("GET", target).told == (400, "malformed_path")


@pytest.mark.parametrize("segment", ["%", "%2", "%zz", "a%", "+", "a b", "{id}", "null", "x" * 8_000, "*", "'; drop--"])
def test_a_segment_that_is_no_sessions_id_is_a_404(segment: str, account: Account) -> None:
    assert account.call("GET", f"/v1/sessions/{segment}").told == (404, "not_found")


def refusals(account: Account) -> list[Request]:
    """One request for each kind of problem that a request can cause."""
    return [
        account.request("GET", "/nowhere"),
        account.request("PUT", "/v1/sessions"),
        account.request("GET", "/v1/sessions/%00"),
        account.request("GET", "/v1/sessions/none"),
        account.request("GET", "/v1/sessions?limit=0"),
        account.request("GET", "/v1/sessions?cursor=none"),
        account.request("GET", "/v1/keys"),
        account.request("GET", "/v1/sessions", X_Account_Id="another"),
        account.request("GET", "/v1/fence?scope=none&token=1"),
        account.request("POST", "/v1/sessions", b"{"),
        account.request("POST", "/v1/sessions", b"x" * 2_000_000),
        account.request("POST", "/v1/sessions", {"agent": "claude"}, Content_Type="text/plain"),
        account.request("PATCH", "/v1/sessions/none", {"branch": "main"}, If_Match="?"),
        account.request("POST", "/v1/sessions", {"agent": "claude"}, Idempotency_Key="?"),
        Request("GET", "/v1/sessions"),
    ]


def with_headers(request: Request, headers: Headers) -> Request:
    """The request with these headers besides its own."""
    return request._replace(headers=(request.headers or {}) | headers)


@pytest.mark.parametrize("route", ALL, ids=named)
def test_ids_that_are_well_formed_come_back_on_every_answer(route: Route, account: Account) -> None:
    request = with_headers(example(account, route), {"X-Request-Id": "req.1_A-b", "X-Correlation-ID": "c" * 128})
    response = account.server.ask(request)
    assert (response.headers[REQUEST_ID], response.headers[CORRELATION_ID]) == ("req.1_A-b", "c" * 128)


def test_ids_that_are_well_formed_come_back_on_every_refusal(account: Account) -> None:
    for request in refusals(account):
        response = account.server.ask(with_headers(request, {"X-Request-Id": "request-1", "X-Correlation-ID": "c-1"}))
        assert (response.headers[REQUEST_ID], response.headers[CORRELATION_ID]) == ("request-1", "c-1"), response
        assert response.json["request_id"] == "request-1"


@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, "ü", "a\tb", "a;b", "\x1b[31m", "a/b"])
def test_an_id_that_is_not_well_formed_is_replaced(given: str, account: Account) -> None:
    for name, header in (("X-Request-Id", REQUEST_ID), ("X-Correlation-ID", CORRELATION_ID)):
        response = account.server.ask(with_headers(account.request("GET", "/v1/sessions"), {name: given}))
        assert response.headers[header] not in ("", given)
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", response.headers[header])


def test_the_correlation_id_is_the_requests_own_unless_given(account: Account) -> None:
    response = account.call("GET", "/v1/sessions")
    assert response.headers[CORRELATION_ID] == response.headers[REQUEST_ID]
    others = {account.call("GET", "/v1/sessions").headers[REQUEST_ID] for _ in range(20)}
    assert len(others) == 20


def test_the_correlation_id_is_kept_with_what_the_request_makes(account: Account) -> None:
    body = {"agent": "claude", "scope": "one scope"}
    started = account.call("POST", "/v1/sessions", body, X_Correlation_ID="begin-1").json
    path = f"/v1/sessions/{started['id']}"
    account.call("POST", f"{path}/checkpoint", {"summary": "half of it"}, X_Correlation_ID="note-1")
    account.call("POST", f"{path}/stop", {"reason": "enough"}, X_Correlation_ID="stop-1")
    assert account.session(started["id"])["correlation_id"] == "begin-1"
    assert account.get(f"{path}/checkpoints")["items"][0]["correlation_id"] == "note-1"
    assert [event["correlation_id"] for event in account.events()] == ["begin-1", "stop-1"]
    (record,) = account.each("/v1/audit", target=started["id"])
    assert (record["correlation_id"], record["action"]) == ("stop-1", "session.stop_requested")


def test_a_problem_says_what_where_and_which(account: Account) -> None:
    for request in refusals(account):
        check_problem(request, account.server.ask(request))


def check_problem(request: Request, response: Response) -> None:
    body = response.json
    assert response.headers["content-type"] == "application/problem+json"
    assert (body["type"], body["status"], body["instance"]) == (
        "about:blank", response.status, request.target.partition("?")[0],
    )  # fmt: skip
    assert body["title"]
    assert body["detail"]
    assert body["code"]
    assert (response.headers["cache-control"], response.headers["content-length"]) == (
        "no-store", str(len(response.content)),
    )  # fmt: skip
    if response.status == 422 and body["code"] == "validation_failed":
        assert all(error.keys() == {"field", "message"} for error in body["errors"])
        assert body["errors"]


def test_what_is_live_is_not_stored_by_caches(account: Account) -> None:
    for route in ALL:
        response = account.server.ask(example(account, route))
        assert response.headers["cache-control"] == "no-store", route
        expected = STREAMED.get(route.path.rpartition("/")[2], "application/json")
        assert response.headers["content-type"] == expected, route


STREAMED = {
    "stream": "text/event-stream",
    "export": "application/jsonl",
    "metrics": "text/plain; version=0.0.4; charset=utf-8",
}
"""By the end of its path: what a route gives that is no JSON document."""
