"""The Crane door: a day's work from its start to its handoff, as its clients see it."""

import json
from datetime import datetime
from typing import Any

import pytest

from holdfast.domain.crane import DaySettings
from tests.api.driver import CONFIGURED_KEY, Account, Json, Request, Response, Server

SOD: Json = {"agent": "cc-cli-host", "venture": "dfg", "repo": "durganfieldguide/dfg-console"}
HANDOFF: Json = {
    "summary": "Completed authentication implementation",
    "status_label": "ready-for-review",
    "work_completed": ["Implemented JWT middleware"],
    "blockers": [],
    "next_actions": ["Review PR #123"],
}
SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000


def sod(account: Account, **fields: object) -> Json:
    """The reply to a start of the day, which must be accepted."""
    response = account.call("POST", "/sod", SOD | fields)
    assert response.status == 200, response
    started: Json = response.json
    return started


def eod(account: Account, session_id: str, **fields: object) -> Response:
    """What is answered to an end of the day."""
    return account.call("POST", "/eod", {"session_id": session_id, "handoff": HANDOFF} | fields)


def told(response: Response) -> tuple[int, str]:
    """The status and the code of a refusal in the words of these paths."""
    body = response.json
    assert body["error"] == body["code"]
    assert body["message"]
    assert response.headers["content-type"] == "application/json"
    assert body["correlation_id"] == response.headers["x-correlation-id"]
    return response.status, body["code"]


def fields_of(response: Response) -> set[str]:
    """The fields that a 400 names."""
    assert told(response) == (400, "validation_failed")
    assert response.json["message"] == "Validation failed"
    return {each["field"] for each in response.json["details"]}


# Starting.


def test_a_start_creates_and_the_next_one_resumes(account: Account) -> None:
    created = sod(account, track=1, issue_number=185, branch="main", meta={"a_ms": 1.0, "b": None}, host="h1")
    assert created["status"] == "created"
    resumed = sod(account, track=1, branch="fix", issue_number=186, meta={"c": 1})
    assert (resumed["status"], resumed["session_id"]) == ("resumed", created["session_id"])
    assert created["session"]["meta"] == {"a_ms": 1.0, "b": None}
    assert resumed["session"] == created["session"] | {
        "branch": "fix",
        "issue_number": 186,
        "meta": {"c": 1},
        "last_heartbeat_at": resumed["session"]["last_heartbeat_at"],
    }


def test_everything_wrong_with_a_start_is_named_at_once(account: Account) -> None:
    body = {"agent": "Claude Code", "repo": "no-owner", "track": 0, "junk": 1, "schema_version": "2.0"}
    response = account.call("POST", "/sod", body)
    assert fields_of(response) == {"agent", "venture", "repo", "track", "schema_version"}
    assert "how about claude-code?" in response.content.decode()
    assert account.call("POST", "/sod", SOD | {"schema_version": "1.7", "junk": {"x": 1}}).status == 200


def test_only_configured_ventures_are_taken(server: Server, account: Account) -> None:
    server.core.day = DaySettings(ventures=("abc", "dfg"))
    try:
        sod(account)
        assert fields_of(account.call("POST", "/sod", SOD | {"venture": "xyz", "track": "1"})) == {"venture", "track"}
    finally:
        server.core.day = DaySettings()


def test_no_track_matches_only_no_track(account: Account) -> None:
    tracked, untracked, other = sod(account, track=1), sod(account), sod(account, track=2)
    assert len({each["session_id"] for each in (tracked, untracked, other)}) == 3
    assert sod(account, track=1)["session_id"] == tracked["session_id"]
    assert {each["session"]["status"] for each in (sod(account), sod(account, track=2))} == {"active"}
    listed = account.call("GET", "/active?venture=dfg").json["sessions"]
    assert {each["id"] for each in listed} == {each["session_id"] for each in (tracked, untracked, other)}


@pytest.mark.parametrize(("silent_ms", "is_same"), [(45 * MINUTE_MS - 1, True), (45 * MINUTE_MS, False)])
def test_a_stale_session_is_given_up_by_the_next_start(account: Account, silent_ms: int, is_same: bool) -> None:
    old = sod(account)
    account.server.serve(silent_ms)
    new = sod(account)
    assert (new["session_id"] == old["session_id"], new["status"] == "resumed") == (is_same, is_same)
    if is_same:
        return
    found = account.session(old["session_id"])
    given_up = ("abandoned", "stale", old["session"]["last_heartbeat_at"])
    assert (found["status"], found["end_reason"], found["ended_at"]) == given_up
    assert new["last_handoff"]["auto"] is True
    late = eod(account, old["session_id"])
    assert told(late) == (409, "session_not_active")
    assert (late.json["status"], late.json["reason"]) == ("abandoned", "stale")
    beat = account.call("POST", "/heartbeat", {"session_id": old["session_id"]})
    assert (told(beat), beat.json["reason"]) == ((409, "session_not_active"), "stale")
    kept = sod(account)["last_handoff"]
    assert (kept["id"], kept["orphan"], kept["summary"]) == (late.json["handoff_id"], True, HANDOFF["summary"])


def test_a_draft_names_the_tasks_of_the_session_that_broke_off(account: Account) -> None:
    account.call("POST", "/v1/projects", {"id": "p"})
    old = sod(account)["session_id"]
    task = account.call("POST", "/v1/tasks", {"project_id": "p", "name": "write the lexer"}).json
    claimed = account.call("POST", "/v1/tasks/claim", {"project_id": "p", "session_id": old}).json
    assert (claimed["id"], claimed["session_id"]) == (task["id"], old)
    # It stalls, which lets go of the task at once, and is given up by the next start.
    account.server.serve(46 * MINUTE_MS)
    account.server.sweep()
    left = sod(account)["last_handoff"]
    told_of = {"id": task["id"], "name": "write the lexer", "status": "in_progress", "status_now": "pending"}
    assert left["payload"]["unfinished_tasks"] == [told_of | {"project_id": "p"}]
    assert left["next_actions"] == [f"Finish {task['id']}: write the lexer"]
    assert f"- {task['id']}: write the lexer (in_progress)" in left["summary"]
    assert account.get("/v1/handoffs/latest?venture=dfg")["handoff"]["payload"] == left["payload"]


def test_fifty_starts_at_once_give_one_session(account: Account) -> None:
    account.server.serve(SECOND_MS)
    answers = account.server.ask_all([account.request("POST", "/sod", SOD)] * 50)
    assert {each.status for each in answers} == {200}
    assert len({each.json["session_id"] for each in answers}) == 1
    assert sorted(each.json["status"] for each in answers) == ["created"] + ["resumed"] * 49
    old = answers[0].json["session_id"]
    account.server.serve(46 * MINUTE_MS)
    answers = account.server.ask_all([account.request("POST", "/sod", SOD)] * 50)
    assert len({each.json["session_id"] for each in answers} | {old}) == 2
    assert len(list(account.each("/v1/sessions"))) == 2


def test_others_at_work_in_the_repository_are_told(account: Account) -> None:
    mine = sod(account, track=1)
    others = [sod(account, agent=f"other-{number}", track=number + 1)["session_id"] for number in range(23)]
    sod(account, repo="durganfieldguide/elsewhere")
    shown = [each["id"] for each in sod(account, track=1)["active_sessions"]]
    assert shown == others[:2:-1]
    assert mine["active_sessions"] == []


def test_a_start_is_cut_to_its_budget_and_told_in_full_when_asked(account: Account) -> None:
    long = {"summary": "s" * 5_000, "blockers": ["b" * 2_000] * 5, "next_actions": ["n" * 2_000] * 5}
    handed = HANDOFF | long | {"notes": "x" * 40_000}
    ended = eod(account, sod(account)["session_id"], handoff=handed).json
    response = account.call("POST", "/sod", SOD)
    assert len(response.content) <= 16 * 1024
    shown, truncated = response.json["last_handoff"], response.json["truncated"]
    assert (shown["summary"], shown["payload"]) == ("s" * 5_000, None)
    assert truncated["last_handoff.payload"] > 60_000
    assert sum(truncated.values()) + len(response.content) > 60_000
    full = account.call("POST", "/sod?full=true", SOD).json
    assert "truncated" not in full
    assert full["last_handoff"]["payload"] == handed
    assert account.call("GET", f"/handoffs/{ended['handoff_id']}").json["handoff"] == full["last_handoff"]


def test_a_handoff_too_long_to_be_repeated_is_told_in_full_when_asked(account: Account) -> None:
    handed = HANDOFF | {"notes": "x" * 100_000}
    eod(account, sod(account)["session_id"], handoff=handed)
    cut = sod(account)
    assert cut["last_handoff"]["payload"] is None
    assert cut["truncated"]["last_handoff.payload"] > 100_000
    assert account.call("POST", "/sod?full=true", SOD).json["last_handoff"]["payload"] == handed


# Being at work.


def test_a_heartbeat_is_answered_in_whole_seconds(account: Account) -> None:
    started = sod(account)
    intervals = set()
    for _ in range(5):
        account.server.serve(2_500)
        beat = account.call("POST", "/heartbeat", {"session_id": started["session_id"]}).json
        assert set(beat) == {"session_id", "last_heartbeat_at", "next_heartbeat_at", "heartbeat_interval_seconds"}
        last, then = (datetime.fromisoformat(beat[name]) for name in ("last_heartbeat_at", "next_heartbeat_at"))
        assert (then - last).total_seconds() == beat["heartbeat_interval_seconds"]
        intervals.add(beat["heartbeat_interval_seconds"])
    assert len(intervals) > 1
    assert all(480 <= each <= 720 for each in intervals)


def test_a_beat_revives_a_stale_session_that_nobody_replaced(account: Account) -> None:
    session_id = sod(account)["session_id"]
    account.server.serve(3 * HOUR_MS)
    account.server.sweep()
    assert account.call("GET", "/active?venture=dfg").json["count"] == 0
    assert account.call("GET", "/active?venture=dfg&include_stale=true").json["count"] == 1
    assert account.call("POST", "/heartbeat", {"session_id": session_id}).status == 200
    assert account.call("GET", "/active?venture=dfg").json["sessions"][0]["status"] == "active"


def test_settings_change_staleness_and_beats(server: Server, account: Account) -> None:
    server.core.day = DaySettings(stale_ms=2 * MINUTE_MS, heartbeat_interval_ms=30_000, heartbeat_jitter_ms=0)
    try:
        started = sod(account)
        assert started["heartbeat_interval_seconds"] == 30
        server.serve(2 * MINUTE_MS)
        assert account.call("GET", "/active?agent=cc-cli-host").json["count"] == 0
        assert sod(account)["session_id"] != started["session_id"]
    finally:
        server.core.day = DaySettings()


def test_checkpoints_at_once_are_numbered_without_gaps(account: Account) -> None:
    session_id = sod(account)["session_id"]
    paths = ["/update", "/checkpoint"] * 15
    requests = [
        account.request("POST", path, {"session_id": session_id, "summary": f"{n}", "update_id": f"u{n}"})
        for n, path in enumerate(paths)
    ]
    answers = account.server.ask_all(requests)
    assert sorted(each.json["checkpoint_number"] for each in answers) == list(range(1, 31))


def test_an_update_needs_a_key_and_leaves_what_it_does_not_name(account: Account) -> None:
    session_id = sod(account, branch="main", meta={"x": 1})["session_id"]
    body = {"session_id": session_id, "commit_sha": "4be1f0c", "state": {"step": 1}}
    assert told(account.call("POST", "/update", body)) == (400, "idempotency_key_required")
    first = account.call("POST", "/update", body, idempotency_key="k")
    again = account.call("POST", "/update", body, idempotency_key="k")
    assert (again.content, again.headers["x-idempotency-hit"]) == (first.content, "true")
    assert "x-idempotency-hit" not in first.headers
    named = account.call("POST", "/update", body | {"update_id": "u", "meta": {"y": None}})
    assert named.json["checkpoint_number"] == 2
    assert account.call("POST", "/checkpoint", body).json["checkpoint_number"] == 3
    session = sod(account)
    assert (session["session"]["branch"], session["session"]["commit_sha"]) == ("main", "4be1f0c")
    assert (session["session"]["meta"], session["last_checkpoint"]["state"]) == ({"y": None}, {"step": 1})
    reused = account.call("POST", "/update", body | {"branch": "b"}, idempotency_key="k")
    assert told(reused) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(("later_ms", "is_hit"), [(HOUR_MS - 1, True), (HOUR_MS, False)])
def test_a_key_is_forgotten_after_its_time_and_not_at_midnight(account: Account, later_ms: int, is_hit: bool) -> None:
    body = {"session_id": sod(account)["session_id"], "update_id": "u"}
    account.call("POST", "/update", body)
    account.server.serve(later_ms)
    again = account.call("POST", "/update", body)
    assert (again.json["checkpoint_number"], "x-idempotency-hit" in again.headers) == (
        (1, True) if is_hit else (2, False)
    )


def test_who_is_at_work_is_listed_page_by_page(account: Account) -> None:
    assert fields_of(account.call("GET", "/active")) == {"venture"}
    started = [sod(account, agent=f"agent-{n}", track=n % 2 + 1)["session_id"] for n in range(7)]
    found: list[str] = []
    cursor = ""
    while True:
        page = account.call("GET", f"/active?repo=durganfieldguide/dfg-console&limit=3{cursor}").json
        found += [each["id"] for each in page["sessions"]]
        assert page["count"] == len(page["sessions"])
        if page["pagination"]["next_cursor"] is None:
            break
        cursor = f"&cursor={page['pagination']['next_cursor']}"
    assert found == started[::-1]
    assert account.call("GET", "/active?venture=dfg&track=1").json["count"] == 4
    assert told(account.call("GET", f"/active?venture=dfg&limit=3{cursor}")) == (400, "cursor_invalid")


# Ending.


def test_the_end_of_a_day_leaves_its_handoff_to_the_next_start(account: Account) -> None:
    started = sod(account, track=1)
    ended = eod(account, started["session_id"])
    assert (ended.status, ended.json) == (
        200,
        {
            "session_id": started["session_id"],
            "handoff_id": ended.json["handoff_id"],
            "status": "ended",
            "ended_at": ended.json["ended_at"],
            "correlation_id": ended.headers["x-correlation-id"],
        },
    )
    again = eod(account, started["session_id"])
    assert (again.status, again.content, again.headers["x-idempotency-hit"]) == (200, ended.content, "true")
    seen = sod(account, track=1)
    assert (seen["status"], seen["last_handoff"]["payload"]) == ("created", HANDOFF)
    assert {name: seen["last_handoff"][name] for name in HANDOFF} == HANDOFF
    # Another track of the same repository is shown it as well, for want of one of its own.
    assert sod(account, track=2)["last_handoff"]["id"] == ended.json["handoff_id"]
    assert sod(account, repo="durganfieldguide/elsewhere")["last_handoff"] is None


def test_another_handoff_of_a_session_that_has_ended_is_refused_and_kept(account: Account) -> None:
    session_id = sod(account)["session_id"]
    eod(account, session_id)
    # What waits to be written is bounded, and other tests may have left much.
    account.server.flush_log()
    other = eod(account, session_id, handoff={"summary": "something else"})
    assert told(other) == (409, "session_not_active")
    assert (other.json["status"], other.json["reason"]) == ("ended", "completed")
    assert other.json["handoff_id"] in other.json["hint"]
    account.server.flush_log()
    logged = account.get("/v1/requests?status=409", by="operator")["items"]
    assert [(each["route"], each["detail"]) for each in logged] == [("/eod", "session_not_active")]
    assert sod(account)["last_handoff"]["id"] == other.json["handoff_id"]


@pytest.mark.parametrize("key", ["a", None])
def test_fifty_ends_at_once_leave_one_handoff_and_equal_answers(account: Account, key: str | None) -> None:
    session_id = sod(account)["session_id"]
    headers = {} if key is None else {"idempotency_key": key}
    request = account.request("POST", "/eod", {"session_id": session_id, "handoff": HANDOFF}, **headers)
    answers = account.server.ask_all([request] * 50)
    assert len({(each.status, each.content) for each in answers}) == 1
    assert answers[0].status == 200
    assert account.call("GET", f"/handoffs?session_id={session_id}&include_total=true").json["total"] == 1
    assert sum("x-idempotency-hit" not in each.headers for each in answers) == 1


def test_the_flat_form_keeps_its_payload_as_it_was_sent(account: Account) -> None:
    payload = {"b": [1, 1.0, 1e21, -0.0], "a": {"z": None}, "blockers": "none, really", "next_actions": ["x"]}
    flat = {"summary": "flat", "payload": payload, "status_label": "wip", "end_reason": "manual", "issue_number": 7}
    session_id = sod(account)["session_id"]
    ended = account.call("POST", "/eod", {"session_id": session_id} | flat)
    handoff = account.call("GET", f"/handoffs/{ended.json['handoff_id']}").json["handoff"]
    assert handoff["payload"] == payload
    assert (handoff["blockers"], handoff["next_actions"], handoff["issue_number"]) == ([], ["x"], 7)
    assert account.session(session_id)["end_reason"] == "manual"


def test_everything_wrong_with_an_end_is_named_at_once(account: Account) -> None:
    body = {"handoff": {"summary": "", "blockers": "x", "work_completed": [{"claim": "y"}]}, "end_reason": "bored"}
    assert fields_of(account.call("POST", "/eod", body)) == {
        "session_id",
        "end_reason",
        "handoff.summary",
        "handoff.blockers",
        "handoff.work_completed[0].kind",
        "handoff.work_completed[0].value",
    }
    assert fields_of(account.call("POST", "/eod", {"session_id": "sess_x"})) == {"handoff"}


def test_a_session_can_be_kept_open(account: Account) -> None:
    session_id = sod(account)["session_id"]
    kept = [eod(account, session_id, handoff={"summary": text}, keep_session_open=True) for text in "aab"]
    assert [each.json["status"] for each in kept] == ["active"] * 3
    ids = [each.json["handoff_id"] for each in kept]
    assert (ids[0] == ids[1], ids[1] == ids[2]) == (True, False)
    assert sod(account)["session_id"] == session_id


def test_an_end_with_words_that_were_left_before_is_no_repetition(account: Account) -> None:
    session_id = sod(account)["session_id"]
    left = eod(account, session_id, keep_session_open=True)
    again = eod(account, session_id, keep_session_open=True)
    ended, repeated = eod(account, session_id), eod(account, session_id)
    assert {each.json["handoff_id"] for each in (left, again, ended, repeated)} == {left.json["handoff_id"]}
    told_of = [(each.json["status"], "idempotency-replayed" in each.headers) for each in (left, again, ended, repeated)]
    assert told_of == [("active", False), ("active", True), ("ended", False), ("ended", True)]


def test_a_session_that_was_swept_away_and_not_replaced_may_still_end(account: Account) -> None:
    session_id = sod(account)["session_id"]
    for _ in range(3):
        account.server.serve(24 * HOUR_MS)
        account.server.sweep()
    assert account.session(session_id)["status"] == "abandoned"
    ended = eod(account, session_id).json
    assert (ended["status"], ended["late"]) == ("ended", True)


@pytest.mark.parametrize(("over", "is_taken"), [(0, True), (1, False)])
def test_a_payload_may_have_so_many_canonical_bytes_and_not_one_more(
    account: Account, over: int, is_taken: bool
) -> None:
    session_id = sod(account)["session_id"]
    # Escaped as it is sent, it is six times as long as in canonical form.
    rest = len(json.dumps({"summary": "s", "text": ""}, separators=(",", ":")))
    text = "\u00e9" * ((819_200 - rest) // 2) + "x" * ((819_200 - rest) % 2 + over)
    response = eod(account, session_id, handoff={"summary": "s", "text": text})
    if is_taken:
        assert response.status == 200
        found = account.call("GET", f"/handoffs/{response.json['handoff_id']}").json["handoff"]
        assert (found["payload_size_bytes"], found["payload"]["text"]) == (819_200, text)
        return
    assert told(response) == (413, "payload_too_large")
    assert (response.json["limit"], response.json["size"]) == (819_200, 819_201)
    assert account.session(session_id)["status"] == "active"


# Handoffs.


def test_handoffs_are_found_narrowed_and_paged(account: Account) -> None:
    assert fields_of(account.call("GET", "/handoffs/latest?repo=a/b")) == {"venture"}
    assert account.call("GET", "/handoffs/latest?venture=dfg").json == {"handoff": None}
    made = []
    for number in range(5):
        session_id = sod(account, track=number % 2 + 1)["session_id"]
        handoff = {"summary": f"{number}", "status_label": "wip" if number % 2 else "done", "to_agent": "desktop-*"}
        made.append(eod(account, session_id, handoff=handoff).json["handoff_id"])
        account.server.serve(SECOND_MS)
    assert account.call("GET", "/handoffs/latest?venture=dfg&track=2").json["handoff"]["id"] == made[3]
    by_session = sod(account)["last_handoff"]["session_id"]
    assert account.call("GET", f"/handoffs/latest?session_id={by_session}").json["handoff"]["id"] == made[4]
    assert account.call("GET", "/handoffs?to_agent=desktop-anna&status_label=wip").json["count"] == 2
    found: list[str] = []
    cursor = ""
    while True:
        page = account.call("GET", f"/handoffs?venture=dfg&limit=2&fields=summary&include_total=true{cursor}").json
        assert "payload" not in page["handoffs"][0]
        found += [each["id"] for each in page["handoffs"]]
        assert (page["total"], page["has_more"]) == (5, page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == made[::-1]
    assert fields_of(account.call("GET", "/handoffs?limit=101&created_after=x")) >= {"limit"}


def test_a_handoff_is_taken_up_and_done(account: Account) -> None:
    handoff_id = eod(account, sod(account)["session_id"]).json["handoff_id"]
    path = f"/handoffs/{handoff_id}/status"
    assert fields_of(account.call("POST", path, {"status": "lost"})) == {"status"}
    for status in ("acknowledged", "done"):
        stepped = account.call("POST", path, {"status": status, "note": "mine"}).json["handoff"]
        assert (stepped["status"], stepped["status_note"]) == (status, "mine")
    assert told(account.call("POST", path, {"status": "returned"})) == (409, "handoff_settled")


# The door.


def test_a_key_is_needed_and_may_stand_in_either_header(account: Account) -> None:
    for path in ("/sod", "/sos", "/eod", "/eos", "/update", "/checkpoint", "/heartbeat", "/handoffs/ho_x/status"):
        refused = account.server.call("POST", path, b"{")
        assert (told(refused), refused.json["message"]) == ((401, "unauthorized"), "Unauthorized")
        wrong = account.server.call("GET", path)
        assert told(wrong) == (405, "method_not_allowed")
    relay: dict[str, Any] = {"X-Relay-Key": account.keys["agent"]}
    assert account.server.call("POST", "/sos", SOD, relay).status == 200
    assert account.server.call("GET", "/active?venture=dfg", headers=relay).json["count"] == 1
    assert told(account.server.call("POST", "/sod", SOD, {"X-Relay-Key": "wrong"})) == (401, "unauthorized")
    assert told(account.call("POST", "/sod", SOD, by="read")) == (403, "forbidden")
    assert account.server.call("GET", "/v1/sessions", headers=relay).status == 401


def test_bodies_are_json_whatever_they_are_called(account: Account) -> None:
    typed = account.request("POST", "/sod", SOD, content_type="text/plain")
    assert account.server.ask(typed).status == 200
    assert told(account.call("POST", "/sod", b"{not json")) == (400, "malformed_json")
    assert fields_of(account.call("POST", "/sod", b"[]")) == {"(body)"}
    assert fields_of(account.call("POST", "/sod")) == {"agent", "venture", "repo"}
    assert account.call("POST", "/sod?trace=1", SOD).status == 200
    long = account.call("POST", "/sod", SOD | {"meta": {"x": "x" * 1024 * 1024}})
    assert (told(long), long.json["limit"]) == ((413, "payload_too_large"), 1024 * 1024)


def test_secrets_are_taken_out_of_what_is_left(account: Account) -> None:
    secret = "ghp_" + "a1B2" * 9
    session_id = sod(account)["session_id"]
    note = account.call("POST", "/checkpoint", {"session_id": session_id, "summary": f"with {secret}"})
    left = eod(account, session_id, handoff={"summary": "s", "blockers": [f"the key {secret}"]})
    assert (note.json["redactions"], left.json["redactions"]) == (1, 1)
    seen = account.call("POST", "/sod?full=true", SOD)
    assert seen.json["last_handoff"]["redactions"] == 1
    assert secret.encode() not in seen.content


def test_foreign_things_are_answered_as_unknown_ones(account: Account, other: Account) -> None:
    session_id = sod(other)["session_id"]
    handoff_id = eod(other, session_id, keep_session_open=True).json["handoff_id"]
    for path, body in (
        ("/heartbeat", {"session_id": "{}"}),
        ("/checkpoint", {"session_id": "{}"}),
        ("/eod", {"session_id": "{}", "summary": "s"}),
    ):
        answers = [
            account.call("POST", path, body | {"session_id": each}, x_correlation_id="c")
            for each in (session_id, "sess_unknown")
        ]
        assert [told(each) for each in answers] == [(404, "not_found")] * 2
        assert answers[0].content == answers[1].content
    assert told(account.call("GET", f"/handoffs/{handoff_id}")) == (404, "not_found")
    assert account.call("GET", "/handoffs").json["handoffs"] == []
    assert account.call("GET", "/active?venture=dfg").json["sessions"] == []
    assert sod(account)["last_handoff"] is None


def test_a_key_bound_to_a_project_sees_that_alone(account: Account) -> None:
    bound = account.call("POST", "/v1/keys", {"name": "b", "scope": "agent", "project_id": "p1"}, by="admin").json
    theirs = Account(account.server, account.id, {"agent": bound["key"]}, {})
    eod(account, sod(account)["session_id"])
    started = sod(theirs, agent="bound-agent")
    assert (started["last_handoff"], started["active_sessions"]) == (None, [])
    assert theirs.call("GET", "/handoffs").json["count"] == 0
    assert theirs.call("GET", "/active?venture=dfg").json["count"] == 1
    assert theirs.call("PUT", "/v1/docs/dfg/a.md", {"content": "theirs"}).status == 201
    assert account.call("GET", "/v1/docs/dfg/a.md").status == 404


def test_a_configured_key_is_the_default_accounts(server: Server) -> None:
    request = Request("POST", "/sod", SOD | {"agent": "relay-agent"}, {"X-Relay-Key": CONFIGURED_KEY})
    assert server.ask(request).status == 200


# Documents.


def test_documents_have_versions_and_are_told_to_those_who_start(account: Account) -> None:
    path = "/v1/docs/dfg/conventions.md"
    first = account.call("PUT", path, {"content": "# One"})
    assert (first.status, first.json["version"]) == (201, 1)
    assert account.call("PUT", path, {"content": "# One"}).json == first.json
    assert account.call("PUT", path, {"content": "# Two"}, if_match="7").told == (412, "revision_conflict")
    second = account.call("PUT", path, {"content": "# Two"}, if_match="1")
    assert (second.status, second.json["version"]) == (200, 2)
    assert account.get(path)["content"] == "# Two"
    account.call("PUT", "/v1/docs/dfg/a.md", {"content": "a"})
    account.call("PUT", "/v1/docs/other/b.md", {"content": "b"})
    index = sod(account)["doc_index"]
    assert [(each["name"], each["version"]) for each in index] == [("a.md", 1), ("conventions.md", 2)]
    assert index[1]["sha256"] == second.json["sha256"]
    account.call("PUT", "/v1/docs/dfg/a.md", {"content": "a" * 20_000})
    asked = sod(account, include_docs=True)
    assert [each["content"] for each in asked["docs"]] == ["a" * 20_000, "# Two"]
    assert "truncated" in asked
    assert asked["truncated"] == {}
    page = account.get("/v1/docs/dfg?limit=1&include_total=true")
    assert ([each["name"] for each in page["items"]], page["total"]) == (["a.md"], 2)
    rest = account.get(f"/v1/docs/dfg?limit=1&cursor={page['next_cursor']}")
    assert rest == {"items": [second.json], "next_cursor": None}
    assert account.get("/v1/docs/nothing")["items"] == []
    assert account.call("GET", "/v1/docs/No").told == (422, "validation_failed")
    assert account.call("DELETE", path, if_match="1").told == (412, "revision_conflict")
    assert account.call("DELETE", path).status == 200
    assert account.call("GET", path).told == (404, "not_found")


def test_a_document_may_have_a_mebibyte(account: Account) -> None:
    text = "é" * (512 * 1024)
    assert account.call("PUT", "/v1/docs/dfg/long", {"content": text}).json["size_bytes"] == 1024 * 1024
    assert account.call("PUT", "/v1/docs/dfg/long", {"content": text + "x"}).told == (413, "payload_too_large")
    assert account.get("/v1/docs/dfg/long")["content"] == text
