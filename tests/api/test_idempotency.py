"""Requests that are sent again under the same Idempotency-Key: one effect, and the same answer."""

import pytest

from holdfast.doors.http.routing import Route
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Request, Response, serving
from tests.api.examples import ALL, MUTATING, example, named
from tests.api.scenes import LEASE_MS, REVIVABLE

KEY = "a-key.of_8:or-more"

SHOWING_SECRETS = ("/v1/keys", "/v1/keys/{id}/rotate", "/v1/webhooks", "/v1/webhooks/{id}/rotate")
"""Routes whose answer has what is shown once and never kept."""


def keyed(request: Request, key: str = KEY) -> Request:
    """The request under an idempotency key."""
    return request._replace(headers=(request.headers or {}) | {"Idempotency-Key": key})


def is_replay(response: Response) -> bool:
    """Whether an answer says that it was given before."""
    return response.headers.get("idempotency-replayed") == "true"


def everything(account: Account) -> list[list[Json]]:
    """All of an account that can be listed; sessions, which beats and time change, first."""
    return [*[list(account.each(path)) for path in ("/v1/sessions", "/v1/keys", "/v1/audit")], account.events()]


def test_every_route_that_changes_something_honours_a_key() -> None:
    assert {route.method for route in ALL if not route.is_mutating} == {"GET"}
    assert {route.method for route in MUTATING} == {"POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize("route", MUTATING, ids=named)
def test_the_same_again_has_one_effect_and_the_same_answer(route: Route, account: Account) -> None:
    request = keyed(example(account, route))
    first = account.server.ask(request)
    after = everything(account)
    account.server.serve(10_000)
    again = account.server.ask(request)
    if route.path in SHOWING_SECRETS:
        assert again.told == (409, "secret_already_shown")
        shown = first.json.get("key") or first.json["secret"]
        assert shown.encode() not in again.content
    else:
        assert (again.status, again.content, is_replay(again)) == (first.status, first.content, True)
    assert not is_replay(first)
    assert everything(account)[1:] == after[1:]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize("route", MUTATING, ids=named)
def test_the_same_sent_many_times_at_once_is_carried_out_once(route: Route, account: Account) -> None:
    request = keyed(example(account, route))
    answers = account.server.ask_all([request] * 6)
    if route.path in SHOWING_SECRETS:
        assert sorted(answer.told for answer in answers) == [(201, None), *[(409, "secret_already_shown")] * 5]
        return
    assert len({(answer.status, answer.content) for answer in answers}) == 1
    assert sorted(is_replay(answer) for answer in answers) == [False, *[True] * 5]


@pytest.mark.parametrize("route", MUTATING, ids=named)
def test_something_else_under_a_used_key_is_refused(route: Route, account: Account) -> None:
    request = keyed(example(account, route))
    account.server.ask(request)
    after = everything(account)
    if route.body is not None and not route.body.__struct_fields__ and route.query is None:
        return
    if isinstance(request.body, dict):
        changes: dict[str, Json] = {
            "/v1/keys": {"name": "another"},
            "/v1/keys/{id}/rotate": {"overlap_seconds": 61},
            "/v1/accounts": {"name": "another"},
            "/v1/webhooks": {"description": "another"},
            "/v1/webhooks/{id}": {"description": "another"},
            "/v1/webhooks/{id}/rotate": {"overlap_seconds": 61},
            "/v1/heartbeats": {"heartbeats": [{"session_id": "another"}]},
            "/v1/cleanup": {"older_than_days": 8},
            "/v1/handoffs/{id}/status": {"status": "done"},
            "/v1/handoff-schemas/{name}/{version}": {"title": "another"},
            "/v1/docs/{venture}/{name}": {"content": "another"},
            "/v1/machines": {"hostname": "another"},
            "/v1/machines/{id}/heartbeat": {"boot_id": "another"},
            "/v1/projects": {"name": "another"},
            "/v1/projects/{id}": {"name": "another"},
            "/v1/tasks/{id}": {"name": "another"},
        }
        change = changes.get(route.path, {"reason": "another"})
        if route.body is not None and "reason" not in route.body.__struct_fields__ and route.path not in changes:
            others: Json = {"fencing_token": 1, "agent": "another", "scope": "another"}
            change = next({name: others[name]} for name in others if name in route.body.__struct_fields__)
        request = request._replace(body=request.body | change)
    elif "?" in request.target:
        more = "reason=another" if "/accounts/" in route.path else "fencing_token=1"
        request = request._replace(target=f"{request.target}&{more}")
    else:
        return
    assert account.server.ask(request).told == (422, "idempotency_key_reused")
    assert everything(account) == after


def test_a_body_that_means_the_same_is_the_same(account: Account) -> None:
    bodies = [
        b'{"agent":"claude","meta":{"a":1,"b":"\xc3\xbc","c":1.0}}',
        b' { "meta" : { "c": 1, "b": "\\u00fc", "a": 1e0 }, "agent" : "claude" } ',
    ]
    first, again = (account.server.ask(keyed(account.request("POST", "/v1/sessions", body))) for body in bodies)
    assert (again.content, is_replay(again)) == (first.content, True)


def test_a_key_is_worth_nothing_to_another_account_and_on_another_path(account: Account, other: Account) -> None:
    body = {"agent": "claude"}
    mine = account.server.ask(keyed(account.request("POST", "/v1/sessions", body)))
    theirs = other.server.ask(keyed(other.request("POST", "/v1/sessions", body)))
    for_them = account.call("POST", "/v1/sessions", body, by="operator", Idempotency_Key=KEY, X_Account_Id="third")
    assert [is_replay(answer) for answer in (mine, theirs, for_them)] == [False] * 3
    assert len({answer.json["id"] for answer in (mine, theirs, for_them)}) == 3
    first, second = mine.json["id"], account.start()["id"]
    paths = [f"/v1/sessions/{first}/pause", f"/v1/sessions/{second}/pause", f"/v1/sessions/{first}/resume"]
    answers = [account.server.ask(keyed(account.request("POST", path, {}))) for path in paths]
    assert [(answer.status, is_replay(answer)) for answer in answers] == [(200, False)] * 3


def test_a_refusal_is_not_kept(account: Account) -> None:
    holder = account.start(scope="held", holder_id="holder-1", exclusive=True, policy=REVIVABLE)
    request = keyed(account.request("POST", "/v1/sessions", {"agent": "codex", "scope": "held", "exclusive": True}))
    assert account.server.ask(request).told == (409, "lease_held")
    assert account.server.ask(request._replace(body={"agent": 7})).told == (422, "validation_failed")
    account.server.serve(LEASE_MS)
    assert account.server.ask(request).told == (409, "scope_lapsed")
    account.say("end", holder)
    started = account.server.ask(request)
    assert (started.status, is_replay(started)) == (201, False)
    assert is_replay(account.server.ask(request))


def test_an_answer_is_given_again_although_the_world_moved_on(account: Account) -> None:
    session = account.start()
    request = keyed(account.request("POST", f"/v1/sessions/{session['id']}/pause", {}))
    first = account.server.ask(request)
    account.say("end", session)
    account.say("archive", session)
    assert account.call("DELETE", f"/v1/sessions/{session['id']}?confirm=true").status == 200
    assert account.server.ask(request).content == first.content


def test_answers_are_kept_over_a_restart(database_url: str) -> None:
    clock = FakeClock()
    body = {"agent": "claude", "meta": {"a": 1e21, "ü": "\u2028😀"}, "policy": {"lease_seconds": 1.5}}
    with serving(database_url, clock) as server:
        account = server.new_account()
        first = server.ask(keyed(account.request("POST", "/v1/sessions", body)))
    with serving(database_url, clock) as server:
        again = server.ask(keyed(Account(server, account.id, account.keys, {}).request("POST", "/v1/sessions", body)))
    assert (again.status, again.content, is_replay(again)) == (first.status, first.content, True)


@pytest.mark.parametrize(
    "key", ["", "short-7", "x" * 256, "with a space", "tab\there", "ümlaut-key", "sl/ash-key", "\x00" * 9]
)
def test_a_key_that_is_not_well_formed_is_refused(key: str, account: Account) -> None:
    response = account.server.ask(keyed(account.request("POST", "/v1/sessions", {"agent": "claude"}), key))
    assert (response.status, response.fields) == (422, {"Idempotency-Key"})
    assert account.get("/v1/sessions")["items"] == []


@pytest.mark.parametrize("key", ["x" * 8, "x" * 255, "AZaz09._:-"])
def test_a_key_has_8_to_255_plain_characters(key: str, account: Account) -> None:
    request = keyed(account.request("POST", "/v1/sessions", {"agent": "claude"}), key)
    assert account.server.ask(request).status == 201
    assert is_replay(account.server.ask(request))


def test_a_key_on_a_read_means_nothing(account: Account) -> None:
    request = keyed(account.request("GET", "/v1/sessions"))
    first = account.server.ask(request)
    account.start()
    second = account.server.ask(request)
    assert (len(first.json["items"]), len(second.json["items"]), is_replay(second)) == (0, 1, False)


def test_of_two_different_requests_at_once_under_one_key_one_is_refused(account: Account) -> None:
    bodies: list[Json] = [{"agent": "claude"}, {"agent": "codex"}] * 3
    answers = account.server.ask_all([keyed(account.request("POST", "/v1/sessions", body)) for body in bodies])
    carried_out = [answer for answer in answers if answer.status == 201]
    refused = [answer for answer in answers if answer.status != 201]
    assert (len(carried_out), len({answer.content for answer in carried_out})) == (3, 1)
    assert sorted(is_replay(answer) for answer in carried_out) == [False, True, True]
    assert [answer.told for answer in refused] == [(422, "idempotency_key_reused")] * 3
