"""Accounts: limits that hold, suspension, an export without secrets, and an erasure that leaves nothing."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest

from holdfast.commands.accounts import ERASURE_SETTLES_MS, KEPT_IN_PART
from holdfast.commands.rows import TABLES
from holdfast.domain.audit import AuditRecord
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Account, Json, Request, Response, Server, open_store
from tests.support.stores import dump_account, rows_in_account

LIMIT = 5


def patched(account: Account, **fields: object) -> Response:
    """The account changed by the service's own administrator."""
    return account.call("PATCH", f"/v1/accounts/{account.id}", dict(fields), by="configured")


def read(account: Account) -> Response:
    """The account, as the service's own administrator reads it."""
    return account.call("GET", f"/v1/accounts/{account.id}", by="configured")


def test_an_account_is_made_read_changed_and_listed(account: Account) -> None:
    name = f"{account.id}-made"
    body = {"id": name, "name": "Acme", "limits": {"live_sessions": 3}}
    made = account.call("POST", "/v1/accounts", body, by="configured")
    assert (made.status, made.json["limits"], made.json["status"]) == (201, {"live_sessions": 3}, "active")
    assert account.call("POST", "/v1/accounts", body, by="configured").told == (409, "account_exists")
    change = {"name": None, "limits": {"live_sessions": None}}
    changed = account.call("PATCH", f"/v1/accounts/{name}", change, by="configured").json
    assert (changed["name"], changed["limits"]) == (None, {"live_sessions": None})
    listed = [each["id"] for each in account.each("/v1/accounts", by="configured")]
    assert {account.id, name} <= set(listed)
    assert listed == sorted(listed)
    actions = [each["action"] for each in account.each("/v1/audit", by="configured", target=name)]
    assert actions == ["account.changed", "account.created"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ü", "a\n", "x" * 65])
def test_an_account_has_an_id_that_a_path_can_hold(account: Account, name: str) -> None:
    assert account.call("POST", "/v1/accounts", {"id": name}, by="configured").fields == {"id"}
    assert account.call("POST", "/v1/keys", {"account_id": name}, by="configured").fields == {"account_id"}


def test_parallel_starts_do_not_pass_the_limit(account: Account) -> None:
    assert patched(account, limits={"live_sessions": LIMIT}).status == 200
    bodies = [{"agent": "claude", "holder_id": f"holder-{number}"} for number in range(50)]
    answers = account.server.ask_all([account.request("POST", "/v1/sessions", body) for body in bodies])
    assert sorted(answer.told for answer in answers if answer.status != 201) == [(403, "quota_exceeded")] * 45
    refused = next(answer.json for answer in answers if answer.status == 403)
    assert (refused["limit"], refused["usage"]) == (LIMIT, LIMIT)
    assert read(account).json["usage"] == {"live_sessions": LIMIT}


def test_parallel_starts_on_two_nodes_do_not_pass_the_limit(postgres_url: str) -> None:
    with ExitStack() as stack:
        nodes = list(two_nodes(postgres_url, stack))
        account = nodes[0].new_account()
        assert patched(account, limits={"live_sessions": LIMIT}).status == 200
        together = Barrier(len(nodes))

        def starts(number: int) -> list[Response]:
            bodies = [{"agent": "claude", "holder_id": f"holder-{number}-{each}"} for each in range(25)]
            together.wait()
            return nodes[number].ask_all([account.request("POST", "/v1/sessions", body) for body in bodies])

        with ThreadPoolExecutor(len(nodes)) as threads:
            answers = [answer for found in threads.map(starts, range(len(nodes))) for answer in found]
        assert sorted(answer.status for answer in answers) == [201] * LIMIT + [403] * 45


def two_nodes(url: str, stack: ExitStack) -> Iterator[Server]:
    """Two servers on one database."""
    clock = FakeClock()
    for _ in range(2):
        store = open_store(url, clock)
        stack.callback(store.close)
        yield stack.enter_context(Server(store, clock).running())


def test_room_is_free_again_once_a_session_is_over_and_a_holder_may_always_resume(account: Account) -> None:
    assert patched(account, limits={"live_sessions": 1}).status == 200
    first = account.start(scope="s", holder_id="holder-1")
    assert account.call("POST", "/v1/sessions", {"agent": "claude"}).told == (403, "quota_exceeded")
    resumed = account.start(scope="s", holder_id="holder-1")
    assert (resumed["id"], resumed["outcome"]) == (first["id"], "resumed")
    assert account.say("end", resumed).status == 200
    assert account.start()["outcome"] == "created"


def test_a_takeover_takes_no_more_room_than_there_was(account: Account) -> None:
    assert patched(account, limits={"live_sessions": 1}).status == 200
    old = account.start(scope="s", policy={"lease_seconds": 60})
    account.server.serve(60_000)
    taken = account.call("POST", f"/v1/sessions/{old['id']}/takeover", {"reason": "it is silent"})
    assert taken.json["outcome"] == "taken_over"


def test_a_limit_of_nothing_lets_nothing_in(account: Account) -> None:
    assert patched(account, limits={"live_sessions": 0}).status == 200
    assert account.call("POST", "/v1/sessions", {"agent": "claude"}).told == (403, "quota_exceeded")


def test_a_suspended_accounts_keys_are_refused_until_it_is_readmitted(account: Account) -> None:
    assert account.call("GET", "/v1/sessions").status == 200
    assert patched(account, suspended=True, reason="the invoice is open").json["suspended"] is True
    for by in ("read", "agent", "operator", "admin"):
        assert account.call("GET", "/v1/sessions", by=by).told == (403, "account_suspended")
    assert account.call("GET", "/v1/sessions", by="configured", X_Account_Id=account.id).status == 200
    assert patched(account, suspended=False).json["suspended"] is False
    assert account.call("GET", "/v1/sessions").status == 200


def test_a_suspension_and_a_revocation_hold_on_the_other_node_within_two_seconds(postgres_url: str) -> None:
    with ExitStack() as stack:
        here, there = two_nodes(postgres_url, stack)
        account = here.new_account()
        request = account.request("GET", "/v1/sessions")
        assert there.ask(request).status == 200
        assert patched(account, suspended=True).status == 200
        here.serve(1_999)
        assert there.ask(request).status == 200
        here.serve(1)
        assert there.ask(request).told == (403, "account_suspended")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_the_default_account_stays(method: str, account: Account) -> None:
    account.call("GET", "/v1/sessions", by="operator", X_Account_Id="default")
    body = {"suspended": True} if method == "PATCH" else None
    query = "" if method == "PATCH" else "?confirm=default"
    response = account.call(method, f"/v1/accounts/default{query}", body, by="configured")
    assert response.told == (409, "account_permanent")


def exported(account: Account) -> list[Json]:
    """The lines of an account's export."""
    response = account.call("GET", f"/v1/accounts/{account.id}/export", by="configured")
    assert (response.status, response.headers["content-type"]) == (200, "application/jsonl")
    return [json.loads(line) for line in response.content.splitlines()]


def furnished(account: Account) -> None:
    """Something in every table that an account can have."""
    for number in range(3):
        body = {"agent": "claude", "scope": f"scope-{number}", "client_session_id": f"client-{number}"}
        answer = account.call("POST", "/v1/sessions", body, Idempotency_Key=f"start-{number}-key")
        session = answer.json
        for _ in range(70):
            assert account.say("checkpoint", session, summary="a note of mine").status == 201
        assert account.say("stop", session, reason="a reason of mine").status == 200


def test_an_export_has_every_row_and_no_secret(account: Account) -> None:
    furnished(account)
    lines = exported(account)
    assert (lines[0]["kind"], lines[0]["id"], lines[-1]["kind"]) == ("account", account.id, "end")
    rows = dump_account(account.server.store, account.id)
    counted = {name: sum(line["kind"] == name for line in lines[1:-1]) for name in rows}
    assert counted == {name: len(found) for name, found in rows.items()}
    assert lines[-1]["rows"] == sum(counted.values()) > 210
    text = json.dumps(lines)
    assert not any(key in text for key in account.keys.values())
    assert "secret_sha256" not in text
    assert "fencing_token" not in text


def erase(account: Account) -> None:
    """The account erased, as far as what goes on in the background."""
    for _ in range(3):
        account.server.loop.run_until_complete(account.server.upkeep.erase())


def test_an_erasure_leaves_nothing_but_the_ids_of_the_audit(account: Account, other: Account) -> None:
    furnished(account)
    furnished(other)
    before = dump_account(account.server.store, other.id)
    path = f"/v1/accounts/{account.id}"
    assert account.call("DELETE", f"{path}?confirm=yes", by="configured").fields == {"confirm"}
    answer = account.call("DELETE", f"{path}?confirm={account.id}&reason=asked", by="configured")
    assert (answer.status, answer.json["status"]) == (202, "erasing")
    assert account.call("GET", "/v1/sessions").told == (401, "unauthorized")
    assert account.call("GET", "/v1/sessions", by="configured", X_Account_Id=account.id).told == (404, "not_found")
    erase(account)
    assert read(account).json["status"] == "erasing"
    account.server.serve(ERASURE_SETTLES_MS)
    erase(account)
    assert read(account).told == (404, "not_found")
    left = {name for name, rows in dump_account(account.server.store, account.id).items() if rows}
    assert left <= {TABLES[each].name for each in KEPT_IN_PART}
    records = rows_in_account(account.server.store, AuditRecord, account.id)
    assert records
    assert {(each.reason, each.data_json) for each in records} == {(None, "{}")}
    assert dump_account(account.server.store, other.id) == before
    assert account.call("POST", "/v1/accounts", {"id": account.id}, by="configured").told == (409, "account_exists")
    assert account.call("POST", "/v1/keys", {"account_id": account.id}, by="configured").told == (404, "not_found")


def test_an_erasure_that_was_interrupted_is_finished_by_another_node(postgres_url: str) -> None:
    with ExitStack() as stack:
        here, there = two_nodes(postgres_url, stack)
        account = here.new_account()
        furnished(account)
        account.call("DELETE", f"/v1/accounts/{account.id}?confirm={account.id}", by="configured")

        async def interrupted() -> None:
            task = here.loop.create_task(here.upkeep.erase())
            committed = asyncio.Event()
            here.engine.listen(committed.set)
            while not rows_are_missing(here, account.id):
                committed.clear()
                await committed.wait()
            task.cancel()

        here.loop.run_until_complete(interrupted())
        here.serve(ERASURE_SETTLES_MS)
        for _ in range(3):
            there.loop.run_until_complete(there.upkeep.erase())
        gone = there.ask(Request("GET", f"/v1/accounts/{account.id}", key=CONFIGURED_KEY))
        assert gone.told == (404, "not_found")


def rows_are_missing(server: Server, account_id: str) -> bool:
    """Whether an erasure has begun."""
    rows = dump_account(server.store, account_id)
    return not rows["api_key"]
