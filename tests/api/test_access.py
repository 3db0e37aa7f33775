"""Who may ask what: keys, their scopes, and the wall between accounts."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.commands.rows import Members, Row
from holdfast.domain.actor import RANK, KeyScope
from holdfast.domain.keys import ApiKey, format_key
from holdfast.doors.http.routing import Route
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Account, Json, Message, Request, Response, Server, open_store, serving
from tests.api.examples import ALL, EXAMPLES, KEYED, WITH_ID, example, named


def test_there_is_an_example_for_every_route() -> None:
    assert {(route.method, route.path) for route in ALL} == EXAMPLES.keys()


@pytest.mark.parametrize("route", ALL, ids=named)
def test_every_example_is_accepted(route: Route, account: Account) -> None:
    assert account.server.ask(example(account, route)).status in (200, 201, 202)


@pytest.mark.parametrize("route", KEYED, ids=named)
def test_without_a_good_key_there_is_a_401(route: Route, account: Account) -> None:
    request = example(account, route)
    for key in (None, "no-such-key", format_key(bytes(32))):
        response = account.server.ask(request._replace(key=key))
        assert response.told == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scope", KeyScope)
@pytest.mark.parametrize("route", KEYED, ids=named)
def test_a_key_needs_the_scope_of_the_route(route: Route, scope: KeyScope, account: Account) -> None:
    assert route.scope is not None
    request = example(account, route)
    end = account.end_of_events()
    response = account.server.ask(request._replace(key=account.keys[scope.value]))
    if RANK[scope] >= RANK[route.scope]:
        assert response.status in (200, 201, 202), response
        return
    assert response.told == (403, "forbidden")
    assert (response.json["scope"], account.end_of_events()) == (route.scope.value, end)


SCOPES = {
    KeyScope.ADMIN: {named(route) for route in KEYED if route.path.startswith(("/v1/keys", "/v1/accounts"))},
    KeyScope.OPERATOR: {
        "GET /v1/audit",
        "GET /v1/audit/verify",
        "GET /v1/jobs",
        "POST /v1/cleanup",
        "GET /v1/requests",
        "GET /v1/requests/counts",
        "GET /health/detail",
        *(named(route) for route in KEYED if route.path.startswith(("/v1/webhooks", "/v1/alerts"))),
    },
}


def test_reading_takes_a_read_key_and_writing_an_agents_key_except_for_administration() -> None:
    for route in KEYED:
        special = [scope for scope, names in SCOPES.items() if named(route) in names]
        expected = special[0] if special else KeyScope.READ if route.method == "GET" else KeyScope.AGENT
        assert route.scope == expected, named(route)
    assert {named(route) for route in ALL if route.scope is None} == {
        "GET /health", "GET /health/live", "GET /health/ready",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer {key}"}, 200),
        ({"Authorization": "bearer   {key} "}, 200),
        ({"X-API-Key": "{key}"}, 200),
        ({"Authorization": "Bearer {key}", "X-API-Key": "wrong"}, 200),
        ({"Authorization": "Bearer wrong", "X-API-Key": "{key}"}, 401),
        ({"Authorization": "Basic {key}"}, 401),
        ({"Authorization": "{key}"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": ""}, 401),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "{key}x"}, 401),
        ({"X-API-Key": " {key}"}, 401),
        ({"Authorization": "Bearer \u00ff\u00fe"}, 401),
        ({"X-Relay-Key": "{key}"}, 401),
    ],
)
def test_a_key_comes_in_one_of_two_headers(headers: dict[str, str], status: int, account: Account) -> None:
    filled: dict[str, str | bytes] = {
        name: value.format(key=account.keys["read"]).encode("latin-1") for name, value in headers.items()
    }
    assert account.server.call("GET", "/v1/sessions", headers=filled).status == status


def test_nothing_of_a_body_is_read_for_whoever_may_not_send_it(account: Account) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    body = b"x" * 100
    refused = [
        Request("POST", "/v1/sessions", body),
        Request("POST", "/v1/sessions", body, key="wrong"),
        account.request("POST", "/v1/sessions", body, by="read"),
        account.request("POST", "/v1/keys", body, by="operator"),
        account.request("POST", "/v1/sessions", body, X_Account_Id="somebody-elses"),
        account.request("POST", "/v1/no/such/path", body),
        account.request("PUT", "/v1/sessions", body),
    ]
    answers = account.server.together([account.server.answer(request, receive=receive) for request in refused])
    assert [answer.status for answer in answers] == [401, 401, 403, 403, 404, 404, 405]


def test_a_revoked_key_is_refused_at_once(account: Account) -> None:
    made = account.call("POST", "/v1/keys", {"name": "short-lived", "scope": "agent"}, by="admin").json
    request = Request("GET", "/v1/sessions", key=made["key"])
    assert account.server.ask(request).status == 200
    assert account.call("DELETE", f"/v1/keys/{made['id']}", by="admin").json["revoked_at"] == account.server.now()
    assert account.server.ask(request).told == (401, "unauthorized")
    assert account.call("DELETE", f"/v1/keys/{made['id']}", by="admin").status == 200
    actions = [record["action"] for record in account.each("/v1/audit", target=made["id"])]
    assert actions == ["key.revoked", "key.created"]


class HeldStore(SqliteStore):
    """A store on which a look-up of a key can be held after it has found what it found."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, clock=FakeClock())
        self.is_held = False
        self.found = threading.Event()
        self.released = threading.Event()

    def find(self, members: Members) -> list[Row]:
        """The members of a set, as slowly as the test wants."""
        rows = super().find(members)
        if self.is_held and members.spec.row_type is ApiKey:
            self.found.set()
            assert self.released.wait(10)
        return rows


@pytest.fixture
def held_store(tmp_path: Path) -> Iterator[HeldStore]:
    store = HeldStore(tmp_path / "holdfast.db")
    yield store
    store.close()


def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_believed_afterwards(held_store: HeldStore) -> None:
    with Server(held_store, FakeClock()).running() as server:
        made = server.ask(Request("POST", "/v1/keys", {"scope": "read"}, key=CONFIGURED_KEY)).json
        request = Request("GET", "/v1/sessions", key=made["key"])
        held_store.is_held = True

        async def revoke_meanwhile() -> Response:
            await asyncio.get_running_loop().run_in_executor(None, held_store.found.wait, 10)
            revoked = await server.answer(Request("DELETE", f"/v1/keys/{made['id']}", key=CONFIGURED_KEY))
            held_store.released.set()
            return revoked

        _, revoked = server.together([server.answer(request), revoke_meanwhile()])
        assert revoked.status == 200
        assert server.ask(request).status == 401


def test_keys_that_are_nobodys_are_not_remembered(account: Account) -> None:
    known = account.server.core._known
    before = len(known)
    for number in range(20):
        account.server.ask(Request("GET", "/v1/sessions", key=f"{number}" + "x" * 30_000))
    assert len(known) == before


def test_a_key_is_shown_once_and_never_listed(account: Account) -> None:
    made = account.call("POST", "/v1/keys", {"name": "mine", "scope": "operator"}, by="admin")
    assert (made.status, made.json["scope"], made.json["account_id"]) == (201, "operator", account.id)
    listed = account.call("GET", "/v1/keys", by="admin")
    assert made.json["key"].encode() not in listed.content
    assert {name: made.json[name] for name in made.json if name != "key"} in listed.json["items"]


def silent(response: Response, *ids: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """A response without the ids that were asked for."""
    content = response.content
    for each in ids:
        content = content.replace(each.encode(), b"ID")
    return response.status, sorted(response.headers.items()), content


@pytest.mark.parametrize("by", ["read", "agent", "operator", "admin"])
@pytest.mark.parametrize("route", WITH_ID, ids=named)
def test_what_another_account_has_is_answered_as_what_there_is_not(
    route: Route, by: str, account: Account, other: Account
) -> None:
    theirs = example(other, route)
    foreign_id = theirs.target.split("/")[3].partition("?")[0]
    unknown_id = foreign_id[:-10] + "0" * len(foreign_id[-10:])
    ends = other.end_of_events()
    answers = []
    for each in (foreign_id, unknown_id):
        request = theirs._replace(
            target=theirs.target.replace(foreign_id, each), key=account.keys[by], headers={"X-Request-Id": "request-1"}
        )
        answers.append(silent(account.server.ask(request), each))
    assert answers[0] == answers[1]
    assert answers[0][0] == (404 if route.scope and RANK[KeyScope(by)] >= RANK[route.scope] else 403)
    assert other.end_of_events() == ends


def test_what_another_account_has_is_not_found_by_naming_it(account: Account, other: Account) -> None:
    theirs = other.start(scope="theirs", client_session_id="client-1", exclusive=True, group_id="group-1")
    unknown_id = theirs["id"][:-10] + "0000000000"

    def asked(session_id: str) -> list[Request]:
        wish: Json = {"reason": "mine now", "session_id": session_id}
        beat = {"heartbeats": [{"session_id": session_id}]}
        lists = [
            f"/v1/events?session_id={session_id}",
            f"/v1/sessions?q={session_id}",
            f"/v1/audit?target={session_id}",
        ]
        return [
            account.request("POST", "/v1/sessions", {"agent": "claude", "take_over": wish}, X_Request_Id="request-1"),
            account.request("POST", "/v1/heartbeats", beat, X_Request_Id="request-1"),
            *[account.request("GET", target, by="admin", X_Request_Id="request-1") for target in lists],
        ]

    answers = [
        [silent(answer, session_id) for answer in account.server.ask_all(asked(session_id))]
        for session_id in (theirs["id"], unknown_id)
    ]
    assert answers[0] == answers[1]
    assert [answer[0] for answer in answers[0]] == [404, 200, 200, 200, 200]
    assert account.call("GET", "/v1/fence?scope=theirs&token=1").told == (409, "fencing_token_stale")
    assert account.get("/v1/sessions?group_id=group-1")["items"] == []
    mine = account.start(scope="theirs", client_session_id="client-1", exclusive=True)
    assert (mine["outcome"], mine["fencing_token"], mine["id"] != theirs["id"]) == ("created", 1, True)
    assert other.session(theirs["id"])["status"] == "active"


def test_a_cursor_of_another_account_is_none_here(account: Account, other: Account) -> None:
    for each in (account, other):
        for number in range(2):
            each.start(scope=f"scope {number}")
    cursor = other.get("/v1/sessions?limit=1")["next_cursor"]
    assert account.call("GET", f"/v1/sessions?limit=1&cursor={cursor}").told == (422, "cursor_invalid")


def test_an_operator_opens_an_account_by_naming_it(account: Account) -> None:
    name = f"{account.id}-opened"
    started = account.call("POST", "/v1/sessions", {"agent": "claude"}, by="operator", X_Account_Id=name)
    assert started.status == 201
    read = account.call("GET", f"/v1/sessions/{started.json['id']}", by="operator", X_Account_Id=name)
    assert read.status == 200
    assert account.call("GET", f"/v1/sessions/{started.json['id']}", by="operator").status == 404
    assert account.call("GET", f"/v1/sessions/{started.json['id']}").status == 404


def test_an_agent_that_names_another_account_finds_nothing_there(account: Account, other: Account) -> None:
    answers = [
        silent(account.call("GET", "/v1/sessions", X_Account_Id=name, X_Request_Id="request-1"), name)
        for name in (other.id, "no-such-account")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert account.call("GET", "/v1/sessions", X_Account_Id=account.id).status == 200


def test_where_accounts_are_not_opened_by_naming_them_there_is_none(sqlite_url: str) -> None:
    store = open_store(sqlite_url, FakeClock())
    with Server(store, FakeClock(), opens_accounts=False).running() as server:
        account = server.new_account()
        assert account.call("GET", "/v1/sessions", by="operator", X_Account_Id="unheard-of").status == 404
        assert account.call("GET", "/v1/sessions", by="configured", X_Account_Id=account.id).status == 200
    store.close()


@pytest.mark.parametrize("name", ["", " ", "a/b", "x" * 65, "ü", "a b", "..\n", ".", ".."])
def test_an_account_has_a_plain_name(name: str, account: Account) -> None:
    response = account.call("GET", "/v1/sessions", by="operator", X_Account_Id=name)
    assert (response.status, response.fields) == (422, {"X-Account-Id"})
    if name.strip():
        made = account.call("POST", "/v1/keys", {"account_id": name}, by="admin")
        assert (made.status, made.fields) == (422, {"account_id"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8787"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:8787"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "localhost:8787", "Origin": "http://localhost:8787"}, 200),
        ({"Host": "localhost:8787", "Origin": "http://localhost:9999"}, 403),
        ({"Host": "localhost:8787", "Origin": "null"}, 403),
        ({"Host": "localhost:8787", "Origin": "http://example.com"}, 403),
        ({"Host": "example.com"}, 403),
        ({"Host": "localhost.example.com"}, 403),
        ({"Host": "localhost@example.com"}, 403),
        ({"Host": ""}, 403),
        ({}, 403),
        ({"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}, 403),
        ({"Host": "localhost", "X-Forwarded-Host": "localhost"}, 403),
        ({"Host": "localhost", "Forwarded": "for=127.0.0.1"}, 403),
        ({"Host": "localhost", "X-Real-IP": "127.0.0.1"}, 403),
        ({"Host": "localhost", "Via": "1.1 proxy"}, 403),
    ],
)
def test_without_keys_only_this_machine_itself_is_served(
    headers: dict[str, str | bytes], status: int, sqlite_url: str
) -> None:
    with serving(sqlite_url, FakeClock(), trusts_everybody=True) as server:
        assert server.call("GET", "/v1/sessions", headers=headers).status == status
        assert server.call("GET", "/v1/keys", headers=headers).status == 403
