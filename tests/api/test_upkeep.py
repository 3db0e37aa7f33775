"""What an operator deletes, what is deleted by itself, and how that is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from holdfast.commands.retention import KINDS
from holdfast.domain.limits import DAY_MS, HOUR_MS
from holdfast.doors.http.native.upkeep import CLEANUP_SESSIONS_MAX
from holdfast.engine.jobs import JobRunner
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Server, serving
from tests.api.scenes import STATES, reach

KEPT: Final[dict[str, int | None]] = {
    "idempotency": 0,
    "session_archive": 30 * DAY_MS,
    "session_delete": 30 * DAY_MS,
    "event": 90 * DAY_MS,
    "audit": None,
}


@contextmanager
def kept(server: Server) -> Iterator[JobRunner]:
    """The server's job runner, whose passes the test makes."""
    server.core.keeps = KEPT
    yield JobRunner(server.store, server.engine, keeps=KEPT, node="node-1")


def run_all(server: Server, runner: JobRunner) -> set[str]:
    """Let a day pass and every job run that is due then."""
    runner.run_due()
    server.serve(DAY_MS + HOUR_MS)
    return set(runner.run_due())


def clean(account: Account, **body: object) -> list[Json]:
    """Every step of a cleanup."""
    answers = []
    cursor = None
    while True:
        given = body | ({} if cursor is None else {"cursor": cursor})
        response = account.call("POST", "/v1/cleanup", given, by="operator")
        assert response.status == 200, response
        answers.append(response.json)
        cursor = response.json["next_cursor"]
        if cursor is None:
            return answers


def told(answers: list[Json]) -> tuple[int, int, int]:
    """Sessions and checkpoints that are deleted, and sessions that are kept unread."""
    counts = [(each["deleted"]["sessions"], each["deleted"]["checkpoints"], each["kept_unread"]) for each in answers]
    sessions, checkpoints, kept_unread = (sum(column) for column in zip(*counts, strict=True))
    return sessions, checkpoints, kept_unread


def ids(account: Account) -> set[str]:
    """The sessions that an account has."""
    return {each["id"] for each in account.each("/v1/sessions")}


def finish(account: Account, scope: str, verb: str = "end", *, checkpoints: int = 0) -> str:
    """A session that is over."""
    session = account.start(scope=scope)
    for number in range(checkpoints):
        account.say("checkpoint", session, summary=f"step {number}")
    assert account.say(verb, session, **({"reason": "it broke"} if verb == "fail" else {})).status == 200
    return str(session["id"])


def test_a_dry_run_tells_what_the_real_run_then_does(account: Account, other: Account) -> None:
    for number in range(CLEANUP_SESSIONS_MAX + 3):
        finish(account, f"old-{number}", checkpoints=int(number < 2))
    unread = finish(account, "unread", "fail", checkpoints=1)
    failed = finish(account, "failed", "fail")
    theirs = finish(other, "old-0")
    account.server.serve(7 * DAY_MS)
    account.server.sweep()
    parked = account.start(scope="parked")
    account.say("park", parked)
    young = finish(account, "young")
    account.server.serve(6 * DAY_MS)
    before = account.get("/v1/sessions?include_total=true&limit=1")["total"]
    events = len(account.events())
    dry = clean(account, dry_run=True, older_than_days=6)
    assert (account.get("/v1/sessions?include_total=true&limit=1")["total"], len(account.events())) == (before, events)
    real = clean(account, older_than_days=6)
    assert told(dry) == told(real) == (CLEANUP_SESSIONS_MAX + 3 + 1 + 1, 2, 1)
    assert [each | {"dry_run": False} for each in dry] == real
    assert ids(account) == {unread, parked["id"]}
    assert account.call("GET", f"/v1/sessions/{failed}").told == (404, "not_found")
    assert young not in ids(account)
    assert ids(other) == {theirs}
    assert told(clean(account, older_than_days=6)) == (0, 0, 1)
    assert told(clean(account, older_than_days=6, include_unread=True)) == (1, 1, 0)
    assert ids(account) == {parked["id"]}
    acts = [each for each in account.each("/v1/audit") if each["action"] == "sessions.cleaned_up"]
    assert sum(each["data"]["sessions"] for each in acts) == CLEANUP_SESSIONS_MAX + 6


def test_only_those_of_the_age_and_status_are_cleaned_up(account: Account) -> None:
    ended, failed = finish(account, "a"), finish(account, "b", "fail")
    account.server.serve(DAY_MS - 1)
    assert told(clean(account, older_than_days=1)) == (0, 0, 0)
    account.server.serve(1)
    assert told(clean(account, older_than_days=2)) == (0, 0, 0)
    assert told(clean(account, older_than_days=1, statuses=["abandoned"])) == (0, 0, 0)
    assert told(clean(account, older_than_days=1, statuses=["ended", "ended"])) == (1, 0, 0)
    assert ids(account) == {failed}
    told_of = [each["type"] for each in account.events(session_id=ended)]
    assert told_of == ["session.started", "session.ended", "session.archived", "session.deleted"]


def test_no_session_that_lives_or_holds_is_cleaned_up(account: Account) -> None:
    for state in STATES:
        reach(account, state, times=1, is_exclusive=True)
    account.server.sweep()
    before = {each["id"]: each for each in account.each("/v1/sessions")}
    clean(account, older_than_days=1, include_unread=True)
    left = ids(account)
    day_ago = account.server.now(plus_ms=-DAY_MS)
    over = {"ended", "failed", "abandoned"}
    for session_id, session in before.items():
        is_old = session["status"] in over and session["status_changed_at"] <= day_ago
        assert (session_id in left) == (not is_old)
    assert "parked" in {before[session_id]["status"] for session_id in left}
    assert {before[session_id]["status"] for session_id in before.keys() - left} >= {"ended", "abandoned"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"older_than_days": 0}, "older_than_days"),
        ({"older_than_days": -1}, "older_than_days"),
        ({"older_than_days": 1.5}, "older_than_days"),
        ({"statuses": ["ended", "active"]}, "statuses[1]"),
        ({"statuses": ["stalled"]}, "statuses[0]"),
        ({"statuses": []}, "statuses"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"older_than": 7}, "older_than"),
    ],
)
def test_a_cleanup_that_is_not_meant_so_is_refused(body: Json, field: str, account: Account) -> None:
    response = account.call("POST", "/v1/cleanup", body, by="operator")
    assert (response.status, response.fields) == (422, {field})


def test_cleaning_up_takes_an_operator(account: Account) -> None:
    assert account.call("POST", "/v1/cleanup", {"dry_run": True}).told == (403, "forbidden")
    assert account.call("GET", "/v1/jobs").told == (403, "forbidden")


@pytest.mark.parametrize("cursor", ["x", "WyJhY3RpdmUiLCAiYSJd", "W10"])
def test_a_cursor_of_another_cleanup_is_refused(cursor: str, account: Account) -> None:
    response = account.call("POST", "/v1/cleanup", {"cursor": cursor}, by="operator")
    assert response.told == (422, "cursor_invalid")


def test_sessions_are_archived_deleted_and_their_events_forgotten_by_themselves(database_url: str) -> None:
    with serving(database_url, FakeClock()) as server, kept(server) as runner:
        account = server.new_account()
        session_id = finish(account, "old", checkpoints=2)
        cursor = account.end_of_events()
        assert account.call("GET", "/v1/events?limit=1").json["items"][0]["type"] == "session.started"
        first = account.get("/v1/events?limit=1")["next_cursor"]
        held = account.start(scope="held", exclusive=True)
        account.say("park", held)
        server.serve(31 * DAY_MS)
        assert run_all(server, runner) == set(KEPT) - {"audit"}
        assert account.session(session_id)["archived_at"] is not None
        server.serve(31 * DAY_MS)
        run_all(server, runner)
        assert ids(account) == {held["id"]}
        assert account.call("GET", f"/v1/sessions/{session_id}/checkpoints").told == (404, "not_found")
        deleted = account.events(type="session.deleted")
        assert [(each["session_id"], each["rule"], each["actor"]) for each in deleted] == [
            (session_id, "retention_passed", "job_runner")
        ]
        assert account.call("GET", f"/v1/events?after={first}").status == 200
        server.serve(31 * DAY_MS)
        run_all(server, runner)
        for expired in (first, cursor):
            assert account.call("GET", f"/v1/events?after={expired}").told == (410, "cursor_expired")
        left = account.events()
        assert [each["type"] for each in left] == ["session.archived", "session.deleted"]
        assert account.get(f"/v1/events?after={left[0]['cursor']}")["items"] == left[1:]
        nothing_yet = server.new_account()
        assert nothing_yet.events() == []


def test_jobs_tell_how_they_went(database_url: str) -> None:
    with serving(database_url, FakeClock()) as server, kept(server) as runner:
        account = server.new_account()
        fresh = account.get("/v1/jobs", by="operator")["items"]
        assert [each["name"] for each in fresh] == [*KINDS, "alerts"]
        assert {each["last_run_at"] for each in fresh} == {None}
        account.call("POST", "/v1/sessions", {"agent": "claude"}, Idempotency_Key="key-0001")
        run_all(server, runner)
        jobs = {each["name"]: each for each in account.get("/v1/jobs", by="operator")["items"]}
        idempotency = jobs["idempotency"]
        assert (idempotency["last_count"], idempotency["total_count"], idempotency["run_count"]) == (1, 1, 1)
        assert (idempotency["last_error"], idempotency["claimed_by"], idempotency["is_on"]) == (None, None, True)
        assert (idempotency["every_seconds"], jobs["event"]["keep_seconds"]) == (3_600, 90 * 86_400)
        assert idempotency["last_run_at"] == server.now() < idempotency["next_run_at"]
        assert (jobs["alerts"]["is_on"], jobs["alerts"]["every_seconds"], jobs["alerts"]["keep_seconds"]) == (
            True,
            1,
            None,
        )
        assert (jobs["audit"]["is_on"], jobs["audit"]["run_count"]) == (False, None)


def test_an_answer_is_given_again_for_as_long_as_is_set_and_no_longer(database_url: str) -> None:
    with serving(database_url, FakeClock()) as server:
        account = server.new_account()
        server.core.idempotency_keep_ms = 3_600_000
        request = account.request("POST", "/v1/sessions", {"agent": "claude"}, Idempotency_Key="key-0001")
        first = server.ask(request)
        server.serve(3_599_999)
        assert server.ask(request).content == first.content
        server.serve(1)
        anew = server.ask(request)
        assert (anew.status, "idempotency-replayed" in anew.headers) == (201, False)
        assert anew.json["id"] != first.json["id"]


def test_a_summary_leaves_long_json_out_and_nothing_else(account: Account) -> None:
    session = account.start(scope="s", meta={"a": "x" * 1_000})
    account.say("fail", session, reason="it broke", error_details={"line": 7})
    (whole,) = account.get("/v1/sessions")["items"]
    (brief,) = account.get("/v1/sessions?fields=summary")["items"]
    assert (whole["meta"], whole["error_details"]) == ({"a": "x" * 1_000}, {"line": 7})
    assert brief == {name: value for name, value in whole.items() if name not in ("meta", "error_details")}
    assert account.get("/v1/sessions?fields=all")["items"] == [whole]
    assert account.get("/v1/sessions?fields=summary&liveness=live")["items"] == []
    assert account.call("GET", "/v1/sessions?fields=id").fields == {"fields"}
