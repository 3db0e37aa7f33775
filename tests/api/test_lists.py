"""Lists: pages that are complete, cursors that belong to their list, and every filter."""

import base64
import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import pytest

from holdfast.domain.limits import LIVENESS_SCAN_ROWS_MAX
from tests.api.driver import Account, Json, Request
from tests.api.scenes import FAIL_AFTER_MS, LEASE_MS, REVIVABLE, reach


def _sessions(account: Account, count: int) -> str:
    for number in range(count):
        account.start(scope=f"scope {number}")
    return "/v1/sessions"


def _checkpoints(account: Account, count: int) -> str:
    session = account.start()
    for number in range(count):
        assert account.say("checkpoint", session, summary=f"step {number}").status == 201
    return f"/v1/sessions/{session['id']}/checkpoints"


def _keys(account: Account, count: int) -> str:
    for number in range(count - len(account.keys) + 1):
        account.call("POST", "/v1/keys", {"name": f"key {number}"}, by="admin")
    return "/v1/keys"


def _audit(account: Account, count: int) -> str:
    session = account.start()
    for number in range(count):
        account.say("stop", session, reason=f"reason {number}")
    return "/v1/audit"


LISTS: Final[dict[str, Callable[[Account, int], str]]] = {
    "sessions": _sessions,
    "checkpoints": _checkpoints,
    "keys": _keys,
    "audit": _audit,
}
"""Every list that is read backwards from the newest row, and how to put so many rows into it."""


@pytest.mark.parametrize("name", LISTS)
def test_pages_have_every_row_once_newest_first(name: str, account: Account) -> None:
    path = LISTS[name](account, 7)
    rows = [row["id"] for row in account.each(path, limit="200")]
    assert len(rows) == len(set(rows)) == 7
    assert rows == sorted(rows, reverse=True)
    for limit in ("1", "3", "6", "7", "8"):
        assert [row["id"] for row in account.each(path, limit=limit)] == rows, limit


@pytest.mark.parametrize("name", LISTS)
def test_rows_that_were_there_throughout_are_seen_once_whatever_is_added_meanwhile(name: str, account: Account) -> None:
    path = LISTS[name](account, 7)
    rows = [row["id"] for row in account.each(path)]
    seen = []
    for row in account.each(path, limit="2"):
        seen.append(row["id"])
        if name == "sessions":
            account.start()
        elif name == "keys":
            account.call("POST", "/v1/keys", {}, by="admin")
        elif name == "audit":
            account.say("stop", account.start(), reason="more")
        else:
            session = {"id": path.split("/")[3], "fencing_token": ...}
            account.say("checkpoint", session, summary="more")
    assert seen == rows


@pytest.mark.parametrize("name", LISTS)
def test_a_total_is_told_on_request(name: str, account: Account) -> None:
    path = LISTS[name](account, 5)
    for limit in (1, 5, 200):
        page = account.get(f"{path}?limit={limit}&include_total=true", by="admin")
        assert (page["total"], len(page["items"])) == (5, min(limit, 5))
        if page["next_cursor"] is not None:
            following = account.get(f"{path}?limit={limit}&include_total=true&cursor={page['next_cursor']}", by="admin")
            assert following["total"] == 5
    assert "total" not in account.get(path, by="admin")
    assert "total" not in account.get(f"{path}?include_total=false", by="admin")


@pytest.mark.parametrize("name", [*LISTS, "events", "events of a session"])
def test_a_limit_is_from_1_to_200_and_50_by_default(name: str, account: Account) -> None:
    path = "/v1/events" if name == "events" else _sessions_events(account) if "of" in name else LISTS[name](account, 5)
    for limit in ("0", "-1", "201", "1.5", "1e2", "all", "", "1" * 17, "9" * 400, "0x10", "\uff11", "+1", " 1"):
        response = account.call("GET", f"{path}?limit={quote(limit)}", by="admin")
        assert (response.status, response.fields) == (422, {"limit"}), limit
    for limit in ("1", "200"):
        assert account.call("GET", f"{path}?limit={limit}", by="admin").status == 200


def _sessions_events(account: Account) -> str:
    return f"/v1/sessions/{account.start()['id']}/events"


def test_fifty_rows_are_a_page_by_default(account: Account) -> None:
    bodies: list[Json] = [{"agent": "claude", "scope": f"scope {number}"} for number in range(51)]
    account.server.ask_all([account.request("POST", "/v1/sessions", body) for body in bodies])
    page = account.get("/v1/sessions")
    assert (len(page["items"]), page["next_cursor"] is not None) == (50, True)
    assert len(account.get("/v1/events")["items"]) == 50


def test_a_cursor_belongs_to_its_list_and_filter(account: Account) -> None:
    for name in LISTS:
        LISTS[name](account, 3)
    sessions = account.get("/v1/sessions?limit=1")["next_cursor"]
    active = account.get("/v1/sessions?limit=1&status=active")["next_cursor"]
    live = account.get("/v1/sessions?limit=1&liveness=live")["next_cursor"]
    keys = account.get("/v1/keys?limit=1", by="admin")["next_cursor"]
    events = account.get("/v1/events?limit=1")["next_cursor"]
    first, second = (_checkpoints(account, 3) for _ in range(2))
    of_first = account.get(f"{first}?limit=1")["next_cursor"]
    foreign = [
        *[f"/v1/sessions?cursor={cursor}" for cursor in (active, live, keys, events, of_first, "none")],
        *[f"/v1/sessions?status=active&cursor={cursor}" for cursor in (sessions, live)],
        *[f"/v1/sessions?status=paused&cursor={cursor}" for cursor in (active,)],
        *[f"/v1/sessions?liveness=late&cursor={cursor}" for cursor in (sessions, live)],
        *[f"/v1/keys?cursor={cursor}" for cursor in (sessions, events)],
        *[f"/v1/audit?cursor={cursor}" for cursor in (sessions, keys)],
        f"{second}?cursor={of_first}",
    ]
    for target in foreign:
        assert account.call("GET", target, by="admin").told == (422, "cursor_invalid"), target
    for target in (f"/v1/sessions?limit=7&cursor={sessions}", f"{first}?cursor={of_first}"):
        assert account.call("GET", target).status == 200
    assert account.call("GET", f"/v1/events?after={sessions}").told == (422, "cursor_invalid")


def opened(cursor: str) -> Any:
    """What a cursor holds."""
    return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


def closed(content: object) -> str:
    """A cursor that holds something else."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


FORGED: Final[list[object]] = [
    True, False, 0, -1, 7, 2**63, 2**64, 10**400, None, "", "x", "\x00", "\ud800", "'; drop table session; --", [], {},
    1.5, "x" * 1_000,
]  # fmt: skip


@pytest.mark.parametrize("name", [*LISTS, "events"])
def test_a_cursor_that_was_forged_is_no_servers_fault(name: str, account: Account) -> None:
    if name == "events":
        account.start()
        path, parameter = "/v1/events", "after"
    else:
        path, parameter = LISTS[name](account, 3), "cursor"
    cursor = account.get(f"{path}?limit=1", by="admin")["next_cursor"]
    seal, _ = opened(cursor)
    forged: list[object] = [[seal, each] for each in FORGED]
    forged += [[each, 1] for each in FORGED] + [[], [seal], [seal, 1, 2], {}, None, 7, "x", seal]
    for content in forged:
        response = account.call("GET", f"{path}?{parameter}={closed(content)}", by="admin")
        assert response.status in (200, 410, 422), (content, response)
    for text in ("%", "===", "\u00fc", "AA", "a" * 2_001, "W10", "bnVsbA", "%00"):
        response = account.call("GET", f"{path}?{parameter}={quote(text)}", by="admin")
        assert response.status == 422, (text, response)


def of_all_kinds(account: Account) -> dict[str, str]:
    """Sessions that differ in everything by which they can be found, and the times between them; ids by name."""
    account.server.serve(1_000)
    ids = {"before": account.server.now()}
    account.server.serve(1_000)
    first = account.start(
        venture="v1",
        repo="r1",
        track=1,
        project_id="p1",
        machine_id="m1",
        group_id="g1",
        parent_id="x1",
        policy=REVIVABLE,
    )
    ids |= {"first": first["id"], "at first": account.server.now(), "scope": first["scope"]}
    account.server.serve(1_000)
    second = account.start(agent="codex", repo="r2", machine_id="m2", policy="crane")
    ids |= {"second": second["id"], "at second": account.server.now()}
    account.server.serve(LEASE_MS)
    third = account.start(scope="a Free scope", holder_id="holder-3")
    account.say("heartbeat", third, fencing_token=None)
    account.server.serve(2_000)
    account.say("heartbeat", third, activity="Reading the docs", status_note="almost done")
    account.say("pause", third)
    return ids | {"third": third["id"], "at third": account.server.now()}


FILTERS: Final[list[tuple[str, set[str]]]] = [
    ("", {"first", "second", "third"}),
    ("status=active", {"first", "second"}),
    ("status=paused", {"third"}),
    ("status=ended", set()),
    ("liveness=lapsed", {"first"}),
    ("liveness=live", {"second", "third"}),
    ("liveness=late", set()),
    ("status=active&liveness=live", {"second"}),
    ("venture=v1", {"first"}),
    ("venture=V1", set()),
    ("repo=r2", {"second"}),
    ("track=1", {"first"}),
    ("project_id=p1", {"first"}),
    ("machine_id=m2", {"second"}),
    ("group_id=g1", {"first"}),
    ("parent_id=x1", {"first"}),
    ("agent=codex", {"second"}),
    ("agent=claude", {"first", "third"}),
    ("scope={scope}", {"first"}),
    ("scope=a%20Free%20scope", {"third"}),
    ("agent=claude&repo=r1", {"first"}),
    ("agent=codex&repo=r1", set()),
    ("started_after={at first}", {"first", "second", "third"}),
    ("started_after={at second}", {"second", "third"}),
    ("started_before={at second}", {"first"}),
    ("started_before={before}", set()),
    ("started_after={at first}&started_before={at second}", {"first"}),
    ("heartbeat_after={at second}", {"second", "third"}),
    ("heartbeat_after={at third}", {"third"}),
    ("heartbeat_before={at third}", {"first", "second"}),
    ("heartbeat_before={at first}", set()),
    ("q=CODEX", {"second"}),
    ("q=free", {"third"}),
    ("q=reading%20the", {"third"}),
    ("q=ALMOST", {"third"}),
    ("q={first}", {"first"}),
    ("q=%25", set()),
    ("q=_", {"first", "second", "third"}),
    ("q=%5C", set()),
    ("q=%27%20or%201%3D1%20--", set()),
]
"""What each filter finds; nothing in `q` is a wildcard."""


def test_every_filter_finds_what_it_names(account: Account) -> None:
    ids = of_all_kinds(account)
    found_by: dict[str, set[str]] = {}
    for query, _ in FILTERS:
        filled = query
        for name, value in ids.items():
            filled = filled.replace("{" + name + "}", quote(value))
        page = account.get(f"/v1/sessions?{filled}")
        found_by[query] = {name for name, value in ids.items() for row in page["items"] if row["id"] == value}
        if "liveness" not in query:
            assert account.get(f"/v1/sessions?include_total=true&{filled}")["total"] == len(page["items"]), query
    assert found_by == dict(FILTERS)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("status=gone", {"status"}),
        ("liveness=dead", {"liveness"}),
        ("heartbeat_after=now", {"heartbeat_after"}),
        ("started_after=2026-01-17T10:00:00", {"started_after"}),
        ("started_before=x&heartbeat_before=y", {"started_before", "heartbeat_before"}),
        ("venture=", {"venture"}),
        ("include_total=yes", {"include_total"}),
        ("colour=red&agent=claude", {"colour"}),
        ("limit=0&status=gone&q=", {"limit", "status", "q"}),
    ],
)
def test_a_filter_that_cannot_be_is_named(query: str, fields: set[str], account: Account) -> None:
    response = account.call("GET", f"/v1/sessions?{query}")
    assert (response.status, response.fields) == (422, fields)


def test_liveness_is_right_although_nobody_swept(account: Account) -> None:
    session = account.start(policy={"lease_seconds": 60, "heartbeat_interval_seconds": 20, "grace_seconds": 10})

    def found() -> tuple[str, list[str]]:
        by_filter = [
            name for name in ("live", "late", "lapsed") if account.get(f"/v1/sessions?liveness={name}")["items"]
        ]
        return account.session(session["id"])["liveness"], by_filter

    for wait_ms, liveness in ((30_000, "live"), (1, "late"), (29_998, "late"), (1, "lapsed")):
        account.server.serve(wait_ms)
        assert found() == (liveness, [liveness])
    account.server.serve(FAIL_AFTER_MS)
    account.server.sweep()
    assert found() == ("lapsed", ["lapsed"])


def test_a_page_by_liveness_goes_on_past_rows_that_do_not_fit(account: Account) -> None:
    reach(account, "active", times=5, is_exclusive=False)
    account.server.serve(LEASE_MS)
    live = [account.start(scope=f"live {number}")["id"] for number in range(3)]
    reach(account, "ended", times=4, is_exclusive=False)
    for limit in ("1", "2", "3", "200"):
        assert [row["id"] for row in account.each("/v1/sessions", liveness="live", limit=limit)] == live[::-1]
        assert sum(1 for _ in account.each("/v1/sessions", liveness="lapsed", limit=limit)) == 5


def test_a_page_by_liveness_examines_so_many_rows_and_says_where_to_go_on(account: Account) -> None:
    live = account.start(scope="the oldest", policy="interactive")
    bodies: list[Json] = [
        {"agent": "claude", "scope": f"scope {number}", "policy": {"lease_seconds": 1}}
        for number in range(LIVENESS_SCAN_ROWS_MAX + 1)
    ]
    requests = [account.request("POST", "/v1/sessions", body) for body in bodies]
    assert {answer.status for answer in account.server.ask_all(requests)} == {201}
    account.server.serve(1_000)
    first = account.get("/v1/sessions?liveness=live&limit=200")
    assert (first["items"], first["next_cursor"] is not None) == ([], True)
    second = account.get(f"/v1/sessions?liveness=live&limit=200&cursor={first['next_cursor']}")
    assert ([row["id"] for row in second["items"]], second["next_cursor"]) == ([live["id"]], None)


def test_a_total_of_what_is_computed_is_not_promised(account: Account) -> None:
    response = account.call("GET", "/v1/sessions?liveness=live&include_total=true")
    assert (response.status, response.fields) == (422, {"include_total"})


def test_keys_and_audit_are_found_by_their_filters(account: Account) -> None:
    session = account.start()
    account.say("stop", session, reason="enough")
    (key,) = account.each("/v1/keys", scope="operator")
    assert key["name"] == "operator"
    records = list(account.each("/v1/audit", target=session["id"]))
    assert [(record["action"], record["reason"]) for record in records] == [("session.stop_requested", "enough")]
    assert list(account.each("/v1/audit", action="session.stop_requested")) == records
    assert list(account.each("/v1/audit", action="session.deleted")) == []
    assert list(account.each("/v1/audit", key_id=records[0]["key_id"])) == records
    assert account.call("GET", "/v1/audit?action=stop", by="admin").fields == {"action"}


def test_lists_that_are_read_at_once_do_not_mix(account: Account, other: Account) -> None:
    mine = {account.start()["id"] for _ in range(5)}
    theirs = {other.start()["id"] for _ in range(5)}
    requests: list[Request] = [each.request("GET", "/v1/sessions") for each in (account, other) * 10]
    answers = account.server.ask_all(requests)
    found = [{row["id"] for row in answer.json["items"]} for answer in answers]
    assert found == [mine, theirs] * 10
