"""Every refusal that HTTP itself makes on the Crane paths, in the shape that its clients read."""

from contextlib import closing
from typing import Any

import pytest

from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.rate_limits import RateLimits
from holdfast.doors.http.limits import BODY_BYTES_DEFAULT_MAX, BODY_BYTES_LARGE_MAX
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Request, Response, Server, open_store
from tests.api.test_crane import HANDOFF, SOD, told

KEYED = b'{"agent": "cc-cli-host", "venture": "dfg", "repo": "o/r", "meta": %s}'

TABLE: dict[str, tuple[int, str, str, str, Any, dict[str, Any]]] = {
    "no such path beneath one": (404, "not_found", "GET", "/handoffs/a/b", None, {}),
    "a slash too many": (404, "not_found", "POST", "/sod/", SOD, {}),
    "an id that is none": (404, "not_found", "GET", "/handoffs/ho_nope", None, {}),
    "a path that is none": (400, "malformed_path", "GET", "/handoffs/%00", None, {}),
    "another method": (405, "method_not_allowed", "GET", "/sod", None, {}),
    "another method on an id": (405, "method_not_allowed", "PUT", "/handoffs/ho_1", None, {}),
    "no JSON": (400, "malformed_json", "POST", "/sod", b"{", {}),
    "deep JSON": (400, "malformed_json", "POST", "/sod", KEYED % (b"[" * 70 + b"]" * 70), {}),
    "a key twice": (400, "malformed_json", "POST", "/sod", b'{"agent": "a-b", "agent": "a-b"}', {}),
    "an integer past 2^53": (400, "malformed_json", "POST", "/sod", KEYED % b'{"x": 9007199254740993}', {}),
    "NaN": (400, "malformed_json", "POST", "/sod", KEYED % b'{"x": NaN}', {}),
    "no object": (400, "validation_failed", "POST", "/sod", b"[]", {}),
    "no body": (400, "validation_failed", "POST", "/eod", None, {}),
    "a bad query": (400, "validation_failed", "GET", "/active?venture=dfg&limit=0", None, {}),
    "a bad cursor": (400, "cursor_invalid", "GET", "/active?venture=dfg&cursor=nope", None, {}),
    "a bad idempotency key": (400, "validation_failed", "POST", "/sod", SOD, {"Idempotency-Key": "k" * 256}),
    "no idempotency key": (400, "idempotency_key_required", "POST", "/update", {"session_id": "sess_1"}, {}),
    "too long": (413, "payload_too_large", "POST", "/sod", b" " * (BODY_BYTES_DEFAULT_MAX + 1), {}),
    "too long for the end": (413, "payload_too_large", "POST", "/eod", b" " * (BODY_BYTES_LARGE_MAX + 1), {}),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_http_refuses_has_the_shape_of_these_paths(account: Account, name: str) -> None:
    status, code, method, target, body, headers = TABLE[name]
    response = account.server.ask(
        Request(method, target, body, {"X-Correlation-ID": "mine", **headers}, account.keys["admin"])
    )
    assert told(response) == (status, code)
    assert response.json["correlation_id"] == "mine"
    assert "type" not in response.json
    assert "ways_out" not in response.json
    if status == 405:
        assert response.headers["allow"]
    if code == "validation_failed":
        assert response.json["details"]
    if status == 413:
        limit = BODY_BYTES_LARGE_MAX if target == "/eod" else BODY_BYTES_DEFAULT_MAX
        assert response.json["limit"] == limit
        assert response.headers["connection"] == "close"


def test_any_content_type_is_json_here(account: Account) -> None:
    request = account.request("POST", "/sod", SOD)._replace(headers={"Content-Type": "text/plain"})
    assert account.server.ask(request).status == 200


@pytest.mark.parametrize("headers", [{}, {"X-Relay-Key": "wrong"}, {"Authorization": "Basic x"}])
@pytest.mark.parametrize("target", ["/active", "/handoffs/ho_1"])
def test_who_has_no_key_is_told_so_in_that_shape(account: Account, target: str, headers: dict[str, Any]) -> None:
    response = account.server.ask(Request("GET", target, headers=headers))
    assert (told(response), response.json["message"]) == ((401, "unauthorized"), "Unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


def test_who_may_only_read_is_told_so_in_that_shape(account: Account) -> None:
    response = account.server.ask(Request("POST", "/sod", SOD, key=account.keys["read"]))
    assert told(response) == (403, "forbidden")


def test_an_unknown_path_is_told_in_the_words_of_whoever_asks(account: Account) -> None:
    assert told(account.server.ask(Request("GET", "/nope", headers={"X-Relay-Key": "k"}))) == (404, "not_found")
    native = account.server.ask(Request("GET", "/v1/nope", headers={"X-Relay-Key": "k"}))
    assert (native.told, native.headers["content-type"]) == ((404, "not_found"), "application/problem+json")
    plain = account.server.ask(Request("GET", "/nope"))
    assert (plain.told, plain.headers["content-type"]) == ((404, "not_found"), "application/problem+json")


def test_who_asks_too_often_is_told_so_in_that_shape(database_url: str) -> None:
    store = open_store(database_url, FakeClock())
    with closing(store), Server(store, FakeClock(), rate_limits=RateLimits(1, 1)).running() as server:
        account = server.new_account()
        refused = [account.call("GET", "/active?venture=dfg") for _ in range(2)][-1]
        assert (told(refused), int(refused.headers["retry-after"]) >= 1) == ((429, "rate_limited"), True)
        beats = [account.call("POST", "/heartbeat", {"session_id": "sess_1"}) for _ in range(2)]
        assert [told(each) for each in beats] == [(404, "not_found"), (429, "rate_limited")]


@pytest.mark.parametrize(
    ("code", "status"),
    [(Code.UNAVAILABLE, 503), (Code.OVERLOADED, 503), (Code.OUTCOME_UNKNOWN, 503), (Code.STORAGE_FULL, 507)],
)
def test_a_server_that_cannot_is_told_of_in_that_shape(
    account: Account, monkeypatch: pytest.MonkeyPatch, code: Code, status: int
) -> None:
    async def refuse(*_: object, **__: object) -> Any:
        raise Refusal(code, retry_after_ms=1_000, ways_out=(WayOut(Action.REPEAT_LATER),))

    monkeypatch.setattr(account.server.core, "execute", refuse)
    ended: Response = account.call("POST", "/eod", {"session_id": "sess_1", "handoff": HANDOFF})
    assert (told(ended), ended.headers["retry-after"]) == ((status, code.value), "1")


def test_a_bug_is_told_of_in_that_shape_and_without_its_text(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> Any:
        raise ValueError("secret")

    monkeypatch.setattr(account.server.core, "execute", fail)
    failed = account.call("POST", "/sod", SOD)
    assert told(failed) == (500, "internal")
    assert b"secret" not in failed.content
