"""Keys over time: they expire, get new secrets, are bound to a project, and tell when they were used."""

import asyncio

import pytest

from holdfast.domain.actor import PROJECT_SCOPES, RANK, KeyScope
from holdfast.doors.http.routing import Route
from tests.api.driver import Account, Json, Request, Response
from tests.api.examples import KEYED, WITH_ID, example, named

PROJECT = "project-1"
FOR_AGENTS = [route for route in KEYED if route.scope in PROJECT_SCOPES]


def made(account: Account, **fields: object) -> Json:
    """A new key of the account."""
    response = account.call("POST", "/v1/keys", {"scope": "agent"} | fields, by="admin")
    assert response.status == 201, response
    answer: Json = response.json
    return answer


def ask(account: Account, key: str, method: str = "GET", target: str = "/v1/sessions", **body: object) -> Response:
    """What is answered to a key."""
    return account.server.ask(Request(method, target, body or None, {"X-Request-Id": "request-1"}, key))


def test_a_key_is_good_until_the_millisecond_in_which_it_expires(account: Account) -> None:
    key = made(account, expires_at=account.server.now(plus_ms=10_000))
    assert ask(account, key["key"]).status == 200
    account.server.serve(9_999)
    assert ask(account, key["key"]).status == 200
    account.server.serve(1)
    assert ask(account, key["key"]).told == (401, "unauthorized")


def test_a_key_that_is_remembered_expires_in_time_as_well(account: Account) -> None:
    key = made(account, expires_at=account.server.now(plus_ms=500))["key"]
    assert ask(account, key).status == 200
    assert account.server.core.remembered(key) is not None
    account.server.serve(499)
    assert account.server.core.remembered(key) is not None
    account.server.serve(1)
    assert account.server.core.remembered(key) is None


@pytest.mark.parametrize("plus_ms", [0, -1])
def test_a_key_cannot_be_made_that_has_expired(plus_ms: int, account: Account) -> None:
    body = {"expires_at": account.server.now(plus_ms=plus_ms)}
    response = account.call("POST", "/v1/keys", body, by="admin")
    assert (response.status, response.fields) == (422, {"expires_at"})


def test_after_a_rotation_both_secrets_are_good_until_the_overlap_ends(account: Account) -> None:
    old = made(account)
    new = account.call("POST", f"/v1/keys/{old['id']}/rotate", {"overlap_seconds": 60}, by="admin").json
    assert (new["id"], new["previous_expires_at"]) == (old["id"], account.server.now(plus_ms=60_000))
    assert new["key"] != old["key"]
    account.server.serve(59_999)
    assert [ask(account, each["key"]).status for each in (old, new)] == [200, 200]
    account.server.serve(1)
    assert [ask(account, each["key"]).status for each in (old, new)] == [401, 200]


def test_a_rotation_without_overlap_stops_the_old_secret_at_once(account: Account) -> None:
    old = made(account)
    assert ask(account, old["key"]).status == 200
    new = account.call("POST", f"/v1/keys/{old['id']}/rotate", {"overlap_seconds": 0}, by="admin").json
    assert [ask(account, each["key"]).status for each in (old, new)] == [401, 200]


def test_a_second_rotation_ends_the_overlap_of_the_first(account: Account) -> None:
    secrets = [made(account)]
    path = f"/v1/keys/{secrets[0]['id']}/rotate"
    secrets += [account.call("POST", path, {}, by="admin").json for _ in range(2)]
    assert [ask(account, each["key"]).status for each in secrets] == [401, 200, 200]
    assert account.call("DELETE", f"/v1/keys/{secrets[0]['id']}", by="admin").status == 200
    assert [ask(account, each["key"]).status for each in secrets] == [401, 401, 401]


def test_a_key_that_has_ended_gets_no_new_secret(account: Account) -> None:
    revoked, expired = made(account), made(account, expires_at=account.server.now(plus_ms=1))
    account.call("DELETE", f"/v1/keys/{revoked['id']}", by="admin")
    account.server.serve(1)
    for key in (revoked, expired):
        assert account.call("POST", f"/v1/keys/{key['id']}/rotate", {}, by="admin").told == (409, "key_ended")


def test_a_session_of_a_key_goes_on_under_its_new_secret(account: Account) -> None:
    old = made(account)
    session = ask(account, old["key"], "POST", "/v1/sessions", agent="claude", scope="s").json
    new = account.call("POST", f"/v1/keys/{old['id']}/rotate", {}, by="admin").json
    resumed = ask(account, new["key"], "POST", "/v1/sessions", agent="claude", scope="s").json
    assert (resumed["id"], resumed["outcome"]) == (session["id"], "resumed")


def test_the_list_tells_when_a_key_was_last_used_once_that_was_recorded(account: Account) -> None:
    key = made(account, name="watched")

    def listed() -> Json:
        return next(each for each in account.each("/v1/keys") if each["id"] == key["id"])

    account.server.serve(5_000)
    used_at = account.server.now()
    ask(account, key["key"])
    assert listed()["last_used_at"] is None
    account.server.loop.run_until_complete(account.server.upkeep.record_use())
    account.server.serve(5_000)
    account.server.loop.run_until_complete(account.server.upkeep.record_use())
    assert listed()["last_used_at"] == used_at


def test_a_key_of_a_project_reads_and_writes_its_sessions_alone(account: Account) -> None:
    key = made(account, project_id=PROJECT)["key"]
    theirs = account.start(project_id="project-2", scope="theirs")
    known = account.start(project_id=PROJECT, scope="known")
    mine = ask(account, key, "POST", "/v1/sessions", agent="claude", scope="mine").json
    assert mine["project_id"] == PROJECT
    assert {each["id"] for each in ask(account, key).json["items"]} == {known["id"], mine["id"]}
    assert ask(account, key, "GET", "/v1/sessions?project_id=project-2").json["items"] == []
    told = ask(account, key, "GET", "/v1/events").json["items"]
    assert {each["project_id"] for each in told} == {PROJECT}
    assert {each["session_id"] for each in told if each["type"] == "session.started"} == {known["id"], mine["id"]}
    beats = [{"session_id": each["id"]} for each in (theirs, known)]
    results = ask(account, key, "POST", "/v1/heartbeats", heartbeats=beats).json["results"]
    assert [each["ok"] for each in results] == [False, True]
    unknown = ask(account, key, "POST", "/v1/heartbeats", heartbeats=[{"session_id": "sess_unknown"}]).json["results"]
    assert {**results[0], "session_id": ""} == {**unknown[0], "session_id": ""}
    assert ask(account, key, "GET", "/v1/fence?scope=theirs&token=1").told == (409, "fencing_token_stale")
    assert ask(account, key, "GET", "/v1/fence?scope=known&token=1").status == 200


def test_a_key_of_a_project_starts_nothing_in_another(account: Account) -> None:
    key = made(account, project_id=PROJECT)["key"]
    response = ask(account, key, "POST", "/v1/sessions", agent="claude", project_id="project-2")
    assert response.told == (404, "not_found")
    wish = {"reason": "mine now", "session_id": account.start(project_id="project-2", scope="theirs")["id"]}
    assert ask(account, key, "POST", "/v1/sessions", agent="claude", take_over=wish).told == (404, "not_found")


def test_a_scope_that_another_project_holds_is_taken_without_a_word_about_who_holds_it(account: Account) -> None:
    key = made(account, project_id=PROJECT)["key"]
    theirs = account.start(project_id="project-2", scope="shared", exclusive=True, client_session_id="client-1")
    assert account.say("checkpoint", theirs, summary="theirs").status == 201
    for fields in ({"exclusive": True}, {"take_over": {"reason": "mine now"}}, {"client_session_id": "client-1"}):
        refused = ask(account, key, "POST", "/v1/sessions", agent="claude", scope="shared", **fields)
        assert refused.told == (409, "lease_held")
        assert theirs["id"].encode() not in refused.content
    free = ask(account, key, "POST", "/v1/sessions", agent="claude", client_session_id="client-1")
    assert (free.status, free.json["outcome"]) == (201, "created")
    assert account.start(scope="shared", client_session_id="client-1", exclusive=True)["id"] == theirs["id"]
    account.say("end", theirs | {"fencing_token": theirs["fencing_token"] + 1})
    after = ask(account, key, "POST", "/v1/sessions", agent="claude", scope="shared").json
    assert (after["last_checkpoint"], after["recoverable"]) == (None, [])


@pytest.mark.parametrize("scope", ["read", "agent"])
@pytest.mark.parametrize("route", [route for route in WITH_ID if "/sessions/" in route.path], ids=named)
def test_a_session_of_another_project_is_answered_as_one_that_there_is_not(
    route: Route, scope: str, account: Account
) -> None:
    key = made(account, project_id=PROJECT, scope=scope)["key"]
    request = example(account, route)
    foreign_id = request.target.split("/")[3].partition("?")[0]
    answers = []
    for each in (foreign_id, foreign_id[:-10] + "0000000000"):
        target = request.target.replace(foreign_id, each)
        answer = account.server.ask(request._replace(target=target, key=key, headers={"X-Request-Id": "request-1"}))
        content = answer.content.replace(each.encode(), b"ID")
        answers.append((answer.status, sorted(answer.headers.items()), content))
    assert answers[0] == answers[1]
    assert route.scope is not None
    assert answers[0][0] == (404 if RANK[KeyScope(scope)] >= RANK[route.scope] else 403)


@pytest.mark.parametrize("scope", ["operator", "admin"])
def test_a_key_of_a_project_is_for_working_in_it_alone(scope: str, account: Account) -> None:
    response = account.call("POST", "/v1/keys", {"scope": scope, "project_id": PROJECT}, by="admin")
    assert (response.status, response.fields) == (422, {"project_id"})


@pytest.mark.parametrize("route", FOR_AGENTS, ids=named)
def test_nothing_of_another_project_is_in_any_answer(route: Route, account: Account) -> None:
    key = made(account, project_id=PROJECT)["key"]
    theirs = account.start(project_id="project-2", scope="example", agent="secret-agent")
    request = example(account, route)._replace(key=key)
    answer = account.server.ask(request)
    assert b"secret-agent" not in answer.content
    assert theirs["id"].encode() not in answer.content


def test_a_reply_that_was_given_to_another_project_is_not_given_again(account: Account) -> None:
    first, second = (made(account, project_id=each)["key"] for each in ("project-1", "project-2"))

    def started(key: str) -> Response:
        headers: dict[str, str | bytes] = {"Idempotency-Key": "the-same-key"}
        return account.server.ask(Request("POST", "/v1/sessions", {"agent": "claude"}, headers, key))

    mine, theirs = started(first), started(second)
    assert mine.json["id"] != theirs.json["id"]
    assert started(first).content == mine.content


def test_rotating_and_expiring_while_many_ask_loses_no_good_request(account: Account) -> None:
    old = made(account)

    async def ask_all() -> list[Response]:
        server = account.server
        rotate = Request("POST", f"/v1/keys/{old['id']}/rotate", {"overlap_seconds": 60}, key=account.keys["admin"])
        asked = [server.answer(Request("GET", "/v1/sessions", key=old["key"])) for _ in range(20)]
        return list(await asyncio.gather(*asked[:10], server.answer(rotate), *asked[10:]))

    assert {answer.status for answer in account.server.loop.run_until_complete(ask_all())} == {200, 201}
