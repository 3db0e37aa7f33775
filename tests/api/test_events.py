"""What is told of what happened: events in order, once; checkpoints; and why a session is as it is."""

import asyncio
from typing import Final

import pytest

from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Response, serving
from tests.api.scenes import ABANDON_AFTER_MS, FAIL_AFTER_MS, LEASE_MS, REVIVABLE, TAKING_OVER

PATIENCE_SECONDS: Final = 30.0
"""How long anything may take that takes a moment; a long poll of a minute that was not woken takes longer."""


def a_life(account: Account) -> Json:
    """A session to which much happened."""
    session = account.start(scope="eventful", exclusive=True, policy=REVIVABLE)
    for verb in ("pause", "resume", "park", "resume"):
        assert account.say(verb, session).status == 200
    account.server.serve(LEASE_MS)
    assert account.say("heartbeat", session).json["reactivated"] is True
    account.say("stop", session, reason="enough")
    account.server.serve(FAIL_AFTER_MS)
    account.server.sweep()
    account.server.serve(ABANDON_AFTER_MS)
    account.server.sweep()
    account.call("POST", f"/v1/sessions/{session['id']}/takeover", TAKING_OVER)
    account.say("archive", session)
    assert account.call("DELETE", f"/v1/sessions/{session['id']}?confirm=true").status == 200
    return session


LIFE: Final = [
    "started", "paused", "resumed", "parked", "resumed", "stalled", "reactivated", "stop_requested", "stalled",
    "failed", "abandoned", "taken_over", "archived", "deleted",
]  # fmt: skip


def kinds(events: list[Json]) -> list[str]:
    """The types of events, without their common beginning."""
    return [event["type"].removeprefix("session.") for event in events]


def test_every_change_is_told_once_in_the_order_of_commits(account: Account) -> None:
    session = a_life(account)
    events = account.events(session_id=session["id"])
    assert kinds(events) == LIFE
    times = [event["recorded_at"] for event in account.events()]
    assert times == sorted(times)
    assert all(event["at"] <= event["recorded_at"] for event in events)
    assert len({event["id"] for event in events}) == len({event["cursor"] for event in events}) == len(LIFE)


def test_beats_and_refusals_are_no_events(account: Account) -> None:
    session = account.start(exclusive=True)
    for _ in range(3):
        account.server.serve(10_000)
        account.say("heartbeat", session)
        account.say("checkpoint", session, summary="on the way")
        account.say("pause", session, fencing_token=99)
    assert kinds(account.events()) == ["started"]


@pytest.mark.parametrize("limit", ["1", "2", "5", "13", "14", "200"])
def test_events_are_read_on_without_gap_or_double(limit: str, account: Account) -> None:
    a_life(account)
    whole = account.events()
    assert list(account.each("/v1/events", "after", limit=limit)) == whole
    for position, event in enumerate(whole):
        following = account.get(f"/v1/events?limit={limit}&after={event['cursor']}")["items"]
        assert following == whole[position + 1 : position + 1 + int(limit)]


def test_events_are_found_by_type_and_session(account: Account) -> None:
    first, second = a_life(account), account.start(scope="quiet")
    everything = account.events()
    for name in set(kinds(everything)):
        expected = [event for event in everything if event["type"] == f"session.{name}"]
        assert list(account.each("/v1/events", "after", type=f"session.{name}", limit="1")) == expected
    assert kinds(account.events(session_id=first["id"])) == LIFE
    assert kinds(account.events(session_id=second["id"], type="session.started")) == ["started"]
    assert account.events(session_id="sess_none") == []
    assert account.get(f"/v1/sessions/{second['id']}/events")["items"] == account.events(session_id=second["id"])
    assert account.call("GET", f"/v1/sessions/{first['id']}/events").told == (404, "not_found")
    assert account.call("GET", "/v1/events?type=started").fields == {"type"}


def test_a_cursor_may_be_used_with_another_filter_and_after_nothing_was_found(account: Account) -> None:
    session = account.start()
    cursor = account.get("/v1/events?type=session.ended")["next_cursor"]
    assert account.get(f"/v1/events?after={cursor}&type=session.started")["items"] == account.events()
    end = account.end_of_events()
    assert account.get(f"/v1/events?after={end}") == {"items": [], "next_cursor": end}
    account.say("end", session)
    assert kinds(account.get(f"/v1/events?after={end}")["items"]) == ["ended"]


def test_events_go_on_over_a_restart(database_url: str) -> None:
    clock = FakeClock()
    with serving(database_url, clock) as server:
        account = server.new_account()
        session = account.start()
        end, before = account.end_of_events(), account.events()
    with serving(database_url, clock) as server:
        account = Account(server, account.id, account.keys, {})
        account.say("end", session)
        assert kinds(account.get(f"/v1/events?after={end}")["items"]) == ["ended"]
        assert account.events()[:1] == before


def test_a_cursor_of_another_history_is_gone(account: Account, sqlite_url: str) -> None:
    with serving(sqlite_url, FakeClock()) as elsewhere:
        there = elsewhere.new_account()
        there.start()
        cursor = there.end_of_events()
    assert account.call("GET", f"/v1/events?after={cursor}").told == (410, "cursor_expired")


def test_a_long_poll_wakes_when_something_happens(account: Account) -> None:
    end = account.end_of_events()
    asked = asyncio.Event()

    async def poll() -> Response:
        request = account.request("GET", f"/v1/events?after={end}&wait_seconds=60&type=session.started")
        asked.set()
        return await asyncio.wait_for(account.server.answer(request), PATIENCE_SECONDS)

    async def start() -> Response:
        await asked.wait()
        await asyncio.sleep(0)
        return await account.server.answer(account.request("POST", "/v1/sessions", {"agent": "claude"}))

    found, started = account.server.together([poll(), start()])
    assert [event["session_id"] for event in found.json["items"]] == [started.json["id"]]


def test_a_long_poll_is_not_woken_by_another_account(account: Account, other: Account) -> None:
    async def poll() -> Response:
        return await account.server.answer(account.request("GET", "/v1/events?wait_seconds=1"))

    async def start() -> Response:
        return await other.server.answer(other.request("POST", "/v1/sessions", {"agent": "claude"}))

    found, _ = account.server.together([poll(), start()])
    assert (found.status, found.json["items"]) == (200, [])


@pytest.mark.parametrize("wait", ["-1", "61", "1.5", "long"])
def test_a_wait_is_up_to_a_minute(wait: str, account: Account) -> None:
    assert account.call("GET", f"/v1/events?wait_seconds={wait}").fields == {"wait_seconds"}


def test_checkpoints_are_numbered_from_one_without_gaps(account: Account) -> None:
    session = account.start(exclusive=True, policy=REVIVABLE)
    for number in range(1, 4):
        written = account.say("checkpoint", session, summary=f"step {number}", state={"step": number})
        assert (written.status, written.json["number"]) == (201, number)
        assert account.say("checkpoint", session, summary="refused", fencing_token=99).status == 409
        assert account.say("checkpoint", session, summary="").status == 422
    target = f"/v1/sessions/{session['id']}/checkpoint"
    body = {"summary": "at once", "fencing_token": session["fencing_token"]}
    answers = account.server.ask_all([account.request("POST", target, body) for _ in range(10)])
    assert sorted(answer.json["number"] for answer in answers) == list(range(4, 14))
    listed = list(account.each(f"/v1/sessions/{session['id']}/checkpoints", limit="4"))
    assert [each["number"] for each in listed] == list(range(13, 0, -1))
    assert account.session(session["id"])["checkpoint_count"] == 13


def test_a_checkpoint_is_kept_whole_and_renews_the_lease(account: Account) -> None:
    session = account.start(exclusive=True, policy=REVIVABLE)
    account.server.serve(LEASE_MS - 1)
    said: Json = {
        "summary": "half of it is done",
        "state": {"step": [1, {"at_ms": 7}], "x_json": "{"},
        "work_completed": ["a", {"b": 1}],
        "blockers": [None],
        "next_actions": [],
        "branch": "main",
        "commit_sha": "abc",
    }
    written = account.say("checkpoint", session, **said).json
    (listed,) = account.get(f"/v1/sessions/{session['id']}/checkpoints")["items"]
    assert {name: listed[name] for name in said} == said
    assert listed.items() <= written.items()
    assert account.session(session["id"])["lease_expires_at"] == account.server.now(plus_ms=LEASE_MS)


def because(account: Account, session: Json) -> Json:
    """Why a session is in its state."""
    found: Json = account.get(f"/v1/sessions/{session['id']}/explain")["because"]
    return found


def test_explain_tells_the_rule_its_inputs_who_and_when(account: Account) -> None:
    (agent,) = [key["id"] for key in account.each("/v1/keys") if key["name"] == "agent"]
    session = account.start(scope="explained", exclusive=True, policy=REVIVABLE)
    began_at = account.server.now()
    first = because(account, session)
    assert (first["type"], first["rule"], first["actor"], first["at"]) == (
        "session.started", "requested", agent, began_at,
    )  # fmt: skip
    account.server.serve(LEASE_MS)
    lapsed_at = account.server.now()
    explained = account.get(f"/v1/sessions/{session['id']}/explain")
    assert explained["pending"] == [
        {"type": "session.stalled", "rule": "lease_lapsed", "at": lapsed_at, "lease_seconds": 60,
         "last_heartbeat_at": began_at},
    ]  # fmt: skip
    assert (explained["silent_seconds"], explained["now_at"]) == (60, lapsed_at)
    account.server.serve(5_000)
    account.server.sweep()
    stalled = because(account, session)
    assert {name: stalled[name] for name in ("type", "rule", "actor", "at", "recorded_at", "data")} == {
        "type": "session.stalled",
        "rule": "lease_lapsed",
        "actor": "sweeper",
        "at": lapsed_at,
        "recorded_at": account.server.now(),
        "data": {"lease_seconds": 60, "last_heartbeat_at": began_at},
    }
    account.say("fail", session, reason="the build broke", by="operator")
    (operator,) = [key["id"] for key in account.each("/v1/keys") if key["name"] == "operator"]
    failed = because(account, session)
    assert (failed["type"], failed["actor"], failed["data"]) == (
        "session.failed", operator, {"was": "stalled", "reason": "the build broke"},
    )  # fmt: skip
    taken = account.call("POST", f"/v1/sessions/{session['id']}/takeover", TAKING_OVER).json
    explained = account.get(f"/v1/sessions/{session['id']}/explain")
    assert (explained["because"]["rule"], explained["because"]["data"]["taken_over_by"]) == ("taken_over", taken["id"])
    assert kinds(explained["history"]) == ["taken_over", "failed", "stalled", "started"]
    assert explained["session"] == account.session(session["id"])


def test_every_change_of_ownership_is_in_the_audit(account: Account) -> None:
    session = a_life(account)
    records = list(account.each("/v1/audit", target=session["id"]))
    assert [(record["action"], record["reason"]) for record in records] == [
        ("session.deleted", None),
        ("session.archived", None),
        ("session.taken_over", "it is silent"),
        ("session.stop_requested", "enough"),
    ]
    assert all(record["key_id"] and record["correlation_id"] and record["at"] for record in records)
