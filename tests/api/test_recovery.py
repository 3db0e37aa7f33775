"""Recovery over HTTP: what there is to recover, what is known of it, and one new session for each that broke off."""

from itertools import count
from typing import Any, Final

import pytest

from holdfast.domain.limits import DAY_MS
from tests.api.driver import Account, Json, Response
from tests.api.scenes import FAIL_AFTER_MS, FORCING, LEASE_MS, REVIVABLE, VERBS, reach
from tests.api.test_ways_out import check_ways, filled

LAST: Final = 3
"""Recoveries of the same work, as many as there may be unless it is set."""


def dead(account: Account, **fields: Any) -> Json:
    """A session whose holder fell silent."""
    started = account.start(**({"holder_id": "holder-1", "policy": REVIVABLE} | fields))
    account.server.serve(LEASE_MS)
    return started


def recover(account: Account, session: Json, **fields: Any) -> Json:
    """The reply to a recovery, which must be accepted."""
    response = account.call("POST", f"/v1/sessions/{session['id']}/recover", fields)
    assert response.status in (200, 201), response
    recovered: Json = response.json
    return recovered


def recoverable(account: Account, **query: str) -> list[Json]:
    """What there is to recover."""
    return list(account.each("/v1/sessions", by="agent", recoverable="true", **query))


def quarantined(account: Account) -> Json:
    """A session that broke off after its last recovery."""
    session = dead(account, scope="repo=a")
    for _ in range(LAST):
        session = recover(account, session)
        account.say("fail", session, reason="it crashed again")
    return session


def test_a_recovered_session_goes_on_with_everything_that_the_old_one_was(account: Account) -> None:
    fields = {"repo": "holdfast", "venture": "v", "mode": "auto", "group_id": "g", "machine_id": "m", "slot": 2}
    old = account.start(holder_id="holder-1", policy=REVIVABLE, exclusive=True, meta={"a": 1}, **fields)
    account.say("checkpoint", old, summary="half of it is done")
    account.call("PATCH", f"/v1/sessions/{old['id']}", {"fencing_token": old["fencing_token"], "branch": "main"})
    account.server.serve(LEASE_MS)
    new = recover(account, old, holder_id="holder-2")
    kept = (
        "scope",
        "repo",
        "venture",
        "mode",
        "group_id",
        "machine_id",
        "slot",
        "exclusive",
        "meta",
        "agent",
        "policy",
    )
    assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
    assert (new["outcome"], new["status"], new["holder_id"], new["branch"]) == (
        "recovered", "active", "holder-2", "main",
    )  # fmt: skip
    assert (new["fencing_token"], new["recovered_from"]) == (old["fencing_token"] + 1, old["id"])
    assert (new["recovery_attempts"], new["last_checkpoint"]["summary"]) == (1, "half of it is done")
    assert (new["last_handoff"]["auto"], new["last_handoff"]["session_id"]) == (True, old["id"])
    assert account.get(f"/v1/sessions/{old['id']}/recovery")["last_handoff"]["id"] == new["last_handoff"]["id"]
    ended = account.session(old["id"])
    assert (ended["status"], ended["end_reason"], ended["recovered_by"]) == ("ended", "recovered", new["id"])
    assert (ended["taken_over_by"], ended["ended_at"]) == (None, account.server.now())
    assert account.get(f"/v1/fence?scope={new['scope']}&token={new['fencing_token']}")["session_id"] == new["id"]
    types = [each["type"] for each in account.events(session_id=old["id"])]
    assert types == ["session.started", "session.stalled", "session.recovered"]


def test_another_machine_is_where_it_goes_on_and_another_slot(account: Account) -> None:
    old = dead(account, machine_id="m1", slot=3)
    new = recover(account, old, machine_id="m2")
    assert (new["machine_id"], new["slot"]) == ("m2", None)
    account.server.serve(LEASE_MS)
    newer = recover(account, new, slot=1, resume_from_task_id="task-7")
    assert (newer["machine_id"], newer["slot"], newer["current_task_id"]) == ("m2", 1, "task-7")


def test_the_last_checkpoint_is_that_of_the_chain_and_of_no_sharer(account: Account) -> None:
    old = account.start(scope="repo=a", holder_id="holder-1", policy=REVIVABLE)
    account.say("checkpoint", old, summary="mine")
    other = account.start(scope="repo=a", holder_id="holder-2", policy=REVIVABLE)
    account.say("checkpoint", other, summary="another's")
    account.server.serve(LEASE_MS)
    first = recover(account, old, holder_id="holder-3")
    account.server.serve(LEASE_MS)
    second = recover(account, first, holder_id="holder-4")
    assert [each["last_checkpoint"]["summary"] for each in (first, second)] == ["mine", "mine"]
    found = account.get(f"/v1/sessions/{second['id']}/recovery")["last_checkpoint"]
    assert found == second["last_checkpoint"]


def test_the_same_holder_asking_again_gets_the_same_session_and_another_is_told_who_won(account: Account) -> None:
    old = dead(account, exclusive=True)
    first = recover(account, old, holder_id="holder-2")
    events = account.end_of_events()
    again = account.call("POST", f"/v1/sessions/{old['id']}/recover", {"holder_id": "holder-2"})
    assert (again.status, again.json["id"], again.json["fencing_token"]) == (200, first["id"], first["fencing_token"])
    late = account.call("POST", f"/v1/sessions/{old['id']}/recover", {"holder_id": "holder-3"})
    assert (*late.told, late.json["successor_id"]) == (409, "session_recovered", first["id"])
    account.say("end", first)
    ended = recover(account, old, holder_id="holder-2")
    assert (ended["id"], ended["status"], ended["fencing_token"]) == (first["id"], "ended", None)
    assert [each["type"] for each in account.events(after=events)] == ["session.ended"]


def test_the_same_idempotency_key_gets_the_same_answer(account: Account) -> None:
    old = dead(account)
    path, body = f"/v1/sessions/{old['id']}/recover", {"holder_id": "holder-2"}
    first, again = (account.call("POST", path, body, idempotency_key="a-key-of-mine") for _ in range(2))
    assert (first.status, again.status, again.content) == (201, 201, first.content)


def test_of_many_that_recover_at_once_one_begins_a_session_and_its_holder_gets_it_each_time(account: Account) -> None:
    old = dead(account, exclusive=True)
    path = f"/v1/sessions/{old['id']}/recover"
    answers = account.server.ask_all(
        [account.request("POST", path, {"holder_id": f"racer-{number % 2}"}) for number in range(8)]
    )
    assert [answer.status for answer in answers].count(201) == 1
    winner = next(answer.json for answer in answers if answer.status == 201)
    for answer in answers:
        if answer.status == 409:
            assert (answer.code, answer.json["successor_id"]) == ("session_recovered", winner["id"])
        else:
            assert (answer.json["id"], answer.json["fencing_token"]) == (winner["id"], winner["fencing_token"])
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201, 409, 409, 409, 409]


@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "shared"])
def test_eighty_dead_sessions_are_recovered_by_one_new_session_each(is_exclusive: bool, account: Account) -> None:
    old = [
        account.start(
            holder_id=f"holder-{number}", policy=REVIVABLE, exclusive=is_exclusive,
            scope=f"repo={number}" if is_exclusive else "repo=a",
        )
        for number in range(80)
    ]  # fmt: skip
    account.server.serve(LEASE_MS)
    account.server.sweep()
    found = recoverable(account)
    assert [(each["id"], each["blocked"]) for each in found] == [(each["id"], None) for each in old]
    answers = account.server.ask_all(
        [
            account.request("POST", f"/v1/sessions/{each['id']}/recover", {"holder_id": f"new-{each['id']}"})
            for each in found
            for _ in range(2)
        ]
    )
    assert sorted(answer.status for answer in answers) == [200] * 80 + [201] * 80
    new = {answer.json["id"] for answer in answers}
    assert (len(new), recoverable(account)) == (80, [])
    assert {each["recovered_by"] for each in account.each("/v1/sessions", status="ended")} == new


def test_work_that_breaks_off_after_its_last_recovery_is_quarantined_until_an_operator_forces_it(
    account: Account,
) -> None:
    last = quarantined(account)
    path = f"/v1/sessions/{last['id']}/recover"
    refused = account.call("POST", path, {"holder_id": "holder-9"})
    assert refused.told == (409, "session_quarantined")
    session = account.session(last["id"])
    assert (session["quarantined"], session["recovery_attempts"], session["status"]) == (True, LAST, "failed")
    events = [each["type"] for each in account.events(session_id=last["id"])]
    assert events == ["session.started", "session.quarantined", "session.failed"]
    assert account.call("POST", path, FORCING).told == (403, "forbidden")
    unsaid = account.call("POST", path, {"force": True}, by="operator")
    assert (unsaid.status, unsaid.fields) == (422, {"reason"})
    (item,) = recoverable(account)
    assert (item["id"], item["blocked"]["code"]) == (last["id"], "session_quarantined")
    told = account.get(f"/v1/sessions/{last['id']}/recovery")
    assert (told["recoverable"], told["attempts"], told["attempts_left"]) == (False, LAST, 0)
    assert told["analysis"]["recommended"]["step"] == "decide"
    forced = account.call("POST", path, FORCING, by="operator")
    assert (forced.status, forced.json["recovery_attempts"]) == (201, LAST + 1)
    account.say("fail", forced.json, reason="it crashed again")
    assert recover(account, forced.json)["recovery_attempts"] == LAST + 2


def test_every_way_out_of_a_quarantine_works(account: Account) -> None:
    subjects = reach(account, "failed by report", times=5, is_exclusive=True)
    cases = []
    for subject in subjects:
        session: Json = {"id": subject.id, "fencing_token": subject.token}
        for _ in range(LAST):
            session = recover(account, session)
            account.say("fail", session, reason="it crashed again")
        moved = subject._replace(id=session["id"], token=session["fencing_token"])
        cases.append((VERBS["recover"](moved), moved))
    check_ways(account, cases)


@pytest.mark.parametrize("state", ["stalled", "failed by report"])
def test_every_way_out_works_for_a_session_that_was_asked_to_stop(state: str, account: Account) -> None:
    subjects = reach(account, "active", times=5, is_exclusive=True)
    for subject in subjects:
        account.server.ask(VERBS["stop"](subject))
        if state == "failed by report":
            account.server.ask(VERBS["fail"](subject))
    account.server.serve(LEASE_MS)
    check_ways(account, [(VERBS["recover"](subject), subject) for subject in subjects])


def test_a_session_that_was_asked_to_stop_is_not_brought_back(account: Account) -> None:
    old = account.start(policy=REVIVABLE)
    account.say("stop", old, reason="wrong branch")
    account.server.serve(LEASE_MS)
    account.server.sweep()
    refused = account.call("POST", f"/v1/sessions/{old['id']}/recover", {})
    assert refused.told == (409, "session_stop_requested")
    assert [each["blocked"]["code"] for each in recoverable(account)] == ["session_stop_requested"]
    assert account.get(f"/v1/sessions/{old['id']}/recovery")["analysis"]["recommended"]["step"] == "decide"
    beside = account.start(scope=old["scope"], holder_id="holder-2")
    assert [(each["id"], each["can_recover"]) for each in beside["recoverable"]] == [(old["id"], False)]


def test_every_way_out_works_where_another_session_broke_off_on_the_scope_since(account: Account) -> None:
    subjects = reach(account, "abandoned", times=3, is_exclusive=True)
    for subject in subjects:
        account.start(scope=subject.scope, exclusive=True, holder_id="another", policy=REVIVABLE)
    account.server.serve(LEASE_MS)
    cases = [(VERBS["recover"](subject), subject) for subject in subjects]
    refused = account.server.ask_all([request for request, _ in cases])
    assert [(each.code, [way["action"] for way in each.json["ways_out"]]) for each in refused] == [
        ("scope_lapsed", ["take_over", "recover"])
    ] * 3
    check_ways(account, cases)


def test_the_list_tells_what_broke_off_oldest_first_and_why_it_is_blocked(account: Account) -> None:
    stalled = account.start(scope="repo=a", policy=REVIVABLE)
    failed = account.start(scope="repo=b", policy=REVIVABLE, exclusive=True)
    account.say("fail", failed, reason="it crashed")
    successor = account.start(scope="repo=b", holder_id="successor", policy="crane", exclusive=True)
    taken = account.start(scope="repo=c", policy=REVIVABLE)
    abandoned = account.start(scope="repo=d", policy=REVIVABLE, machine_id="m1")
    archived = account.start(scope="repo=e", policy=REVIVABLE)
    account.say("fail", archived, reason="it crashed")
    account.say("archive", archived)
    account.server.serve(LEASE_MS)
    account.server.sweep()
    account.call("POST", f"/v1/sessions/{taken['id']}/takeover", {"reason": "it is silent"})
    found = {each["id"]: each["blocked"] for each in recoverable(account)}
    assert list(found) == [stalled["id"], failed["id"], abandoned["id"]]
    assert (found[stalled["id"]], found[abandoned["id"]]) == (None, None)
    assert found[failed["id"]]["code"] == "lease_held"
    assert successor["id"] in found[failed["id"]]["detail"]
    assert [each["id"] for each in recoverable(account, machine_id="m1", fields="summary")] == [abandoned["id"]]
    first = account.get("/v1/sessions?recoverable=true&limit=2&include_total=true")
    assert ([each["id"] for each in first["items"]], first["total"]) == ([stalled["id"], failed["id"]], 3)
    rest = account.get(f"/v1/sessions?recoverable=true&limit=2&include_total=true&cursor={first['next_cursor']}")
    assert ([each["id"] for each in rest["items"]], rest["next_cursor"]) == ([abandoned["id"]], None)
    both = account.call("GET", "/v1/sessions?recoverable=true&liveness=lapsed")
    assert (both.status, both.fields) == (422, {"liveness"})


def test_the_last_known_state_of_a_session_tells_what_to_do(account: Account) -> None:
    old = account.start(scope="repo=a", policy=REVIVABLE, machine_id="m1", slot=4)
    path = f"/v1/sessions/{old['id']}/recovery"
    assert account.get(path)["analysis"]["recommended"]["step"] == "wait"
    account.say("checkpoint", old, summary="half", branch="topic", commit_sha="abc")
    account.server.serve(FAIL_AFTER_MS)
    told = account.get(path)
    assert (told["recoverable"], told["blocked"], told["attempts"], told["attempts_left"]) == (True, None, 0, LAST)
    assert (told["branch"], told["commit_sha"], told["machine_id"], told["slot"]) == ("topic", "abc", "m1", 4)
    assert (told["last_checkpoint"]["summary"], told["session"]["status"]) == ("half", "failed")
    assert told["analysis"]["silent_seconds"] == FAIL_AFTER_MS / 1_000
    assert told["analysis"]["recommended"]["step"] == "recover"
    new = recover(account, old)
    followed = account.get(path)["analysis"]["recommended"]
    assert (followed["step"], followed["session_id"]) == ("follow", new["id"])
    account.say("end", new)
    assert account.get(f"/v1/sessions/{new['id']}/recovery")["analysis"]["recommended"]["step"] == "nothing"


def test_a_foreign_session_is_as_an_unknown_one_and_a_bound_key_recovers_its_own(
    account: Account, other: Account
) -> None:
    old = dead(account, project_id="mine")
    for method, path, body in (("POST", "recover", {}), ("GET", "recovery", None)):
        foreign = other.call(method, f"/v1/sessions/{old['id']}/{path}", body)
        unknown = other.call(method, f"/v1/sessions/sess_unknown/{path}", body)
        assert foreign.told == unknown.told == (404, "not_found")
    keys = {
        project: account.call(
            "POST", "/v1/keys", {"name": project, "scopes": ["agent"], "project_id": project}, by="admin"
        ).json["key"]
        for project in ("mine", "another")
    }
    bound = account._replace(keys=account.keys | keys)
    account.server.sweep()
    assert bound.get("/v1/sessions?recoverable=true", by="another")["items"] == []
    assert [each["id"] for each in bound.get("/v1/sessions?recoverable=true", by="mine")["items"]] == [old["id"]]
    path = f"/v1/sessions/{old['id']}/recover"
    assert bound.call("POST", path, {}, by="another").told == (404, "not_found")
    assert bound.call("POST", path, {}, by="mine").status == 201


def test_the_audit_says_who_recovered_what(account: Account) -> None:
    old = dead(account)
    account.call("POST", f"/v1/sessions/{old['id']}/recover", {"reason": "the laptop died"})
    record = account.get("/v1/audit", by="admin")["items"][0]
    assert (record["action"], record["target"], record["reason"]) == (
        "session.recovered", old["id"], "the laptop died",
    )  # fmt: skip


def test_a_recovered_session_is_cleaned_up_like_any_other_that_ended(account: Account) -> None:
    old = dead(account)
    new = recover(account, old)
    account.say("end", new)
    account.server.serve(2 * DAY_MS)
    body = {"older_than_days": 1, "dry_run": True}
    counted = account.call("POST", "/v1/cleanup", body, by="operator").json
    done = account.call("POST", "/v1/cleanup", body | {"dry_run": False}, by="operator").json
    assert counted["deleted"] == done["deleted"] == {"sessions": 2, "checkpoints": 0}


def task(account: Account, name: str, **fields: Any) -> Json:
    """A task of the project that these tests work on."""
    response = account.call("POST", "/v1/tasks", {"project_id": "p", "name": name} | fields)
    assert response.status == 201, response
    made: Json = response.json
    return made


def tell_task(account: Account, verb: str, task_id: str, session: Json | None, **fields: Any) -> Json:
    """What is answered to a session that says something of a task; or to nobody in particular."""
    who = {} if session is None else {"session_id": session["id"], "fencing_token": session["fencing_token"]}
    body = who | fields
    response = account.call("POST", f"/v1/tasks/{task_id}/{verb}", body)
    assert response.status == 200, response
    told: Json = response.json
    return told


def test_the_tasks_of_the_old_session_wait_again_and_failed_ones_too_if_wanted(account: Account) -> None:
    for is_retried in (True, False):
        project_id = f"p-{is_retried}"
        old = account.start(scope=project_id, project_id=project_id, policy=REVIVABLE)
        done, failed, open_ = (task(account, name, project_id=project_id) for name in ("done", "failed", "open"))
        for each in (done, failed, open_):
            tell_task(account, "start", each["id"], old)
        tell_task(account, "complete", done["id"], old)
        tell_task(account, "fail", failed["id"], old, error_message="no")
        account.server.serve(LEASE_MS)
        known = account.get(f"/v1/sessions/{old['id']}/recovery")
        new = recover(account, old, retry_failed_tasks=is_retried)
        waiting = {open_["id"], *([failed["id"]] if is_retried else [])}
        assert set(new["requeued_task_ids"]) == waiting
        statuses = {each["id"]: account.get(f"/v1/tasks/{each['id']}")["status"] for each in (done, failed, open_)}
        assert statuses == {
            done["id"]: "completed", failed["id"]: "pending" if is_retried else "failed", open_["id"]: "pending",
        }  # fmt: skip
        assert known["last_completed_task"]["id"] == done["id"]
        assert known["current_task"]["id"] == open_["id"]
        assert {each["id"] for each in known["analysis"]["stuck_tasks"]} == {failed["id"], open_["id"]}
        for _ in waiting:
            assert account.call("POST", "/v1/tasks/claim", claim(new)).json["id"] in waiting
        assert account.call("POST", "/v1/tasks/claim", claim(new)).status == 204


def claim(session: Json) -> Json:
    return {"session_id": session["id"], "fencing_token": session["fencing_token"]}


def test_a_live_session_that_is_recovered_by_force_gives_its_tasks_back(account: Account) -> None:
    old = account.start(scope="repo=a", project_id="p", policy=REVIVABLE, exclusive=True)
    open_ = task(account, "open")
    tell_task(account, "start", open_["id"], old)
    path = f"/v1/sessions/{old['id']}/recover"
    assert account.call("POST", path, {}).told == (409, "lease_held")
    forced = account.call("POST", path, FORCING, by="operator").json
    assert forced["requeued_task_ids"] == [open_["id"]]
    assert account.get(f"/v1/tasks/{open_['id']}")["status"] == "pending"
    types = [each["type"] for each in account.events(session_id=old["id"])]
    assert types.count("task.requeued") == 1
    assert account.say("heartbeat", old).told == (409, "session_recovered")


def test_the_task_to_resume_from_is_kept_for_the_new_session(account: Account) -> None:
    old = account.start(scope="repo=a", project_id="p", policy=REVIVABLE)
    first, second = task(account, "first"), task(account, "second")
    tell_task(account, "start", second["id"], old)
    account.server.serve(LEASE_MS)
    new = recover(account, old, resume_from_task_id=second["id"])
    other = account.start(scope="repo=b", project_id="p", policy=REVIVABLE)
    assert new["current_task_id"] == second["id"]
    assert account.call("POST", "/v1/tasks/claim", claim(other)).json["id"] == first["id"]
    assert account.call("POST", "/v1/tasks/claim", claim(other)).status == 204
    assert account.call("POST", "/v1/tasks/claim", claim(new)).json["id"] == second["id"]


def test_a_task_that_cannot_be_resumed_from_keeps_all_as_it_is(account: Account) -> None:
    old = account.start(scope="repo=a", project_id="p", policy=REVIVABLE)
    done = task(account, "done")
    tell_task(account, "start", done["id"], old)
    tell_task(account, "complete", done["id"], old)
    account.server.serve(LEASE_MS)
    path = f"/v1/sessions/{old['id']}/recover"
    before = account.session(old["id"])
    assert account.call("POST", path, {"resume_from_task_id": "task_unknown"}).told == (404, "not_found")
    refused = account.call("POST", path, {"resume_from_task_id": done["id"]})
    assert refused.told == (409, "task_transition_not_allowed")
    assert account.session(old["id"]) == before


@pytest.mark.parametrize("state", ["held", "reserved", "begun by nobody", "failed", "blocked", "completed"])
def test_every_way_out_of_a_task_that_cannot_be_resumed_from_works(state: str, account: Account) -> None:
    numbers = count()

    def refused() -> Response:
        number = next(numbers)
        old = account.start(scope=f"old-{number}", project_id="p", policy=REVIVABLE)
        other = account.start(scope=f"other-{number}", project_id="p", policy="crane")
        if state == "reserved":
            body = {"name": "build", "session_id": other["id"]}
            wanted = account.call("POST", "/v1/tasks", body).json
        else:
            wanted = task(account, "build")
            tell_task(account, "start", wanted["id"], other if state in ("held", "completed", "failed") else None)
        if state in ("failed", "completed"):
            fields = {"error_message": "it broke"} if state == "failed" else {}
            tell_task(account, {"failed": "fail", "completed": "complete"}[state], wanted["id"], other, **fields)
        if state == "blocked":
            tell_task(account, "block", wanted["id"], None)
        account.server.serve(LEASE_MS)
        body = {"resume_from_task_id": wanted["id"]}
        return account.call("POST", f"/v1/sessions/{old['id']}/recover", body)

    response = refused()
    assert response.status == 409
    assert response.json["ways_out"]
    for number in range(len(response.json["ways_out"])):
        way = refused().json["ways_out"][number]
        followed = account.call(way["method"], way["path"], filled(way["body"], token=1) if "body" in way else None)
        assert followed.status < 300, (way, followed)


def machine(account: Account, machine_id: str, slots: int) -> None:
    """A machine with slots."""
    response = account.call("POST", "/v1/machines", {"machine_id": machine_id, "slot_count": slots}, by="operator")
    assert response.status == 201, response


def slots(account: Account, machine_id: str) -> dict[int, str | None]:
    """Who is in the slots of a machine."""
    return {each["number"]: each["session_id"] for each in account.get(f"/v1/machines/{machine_id}")["slots"]}


def test_the_slot_is_freed_and_taken_by_the_new_session(account: Account) -> None:
    machine(account, "m1", 2)
    first, second = sorted(slots(account, "m1"))
    old = dead(account, machine_id="m1", slot=second)
    account.server.sweep()
    assert slots(account, "m1") == {first: None, second: None}
    new = recover(account, old)
    assert (new["machine_id"], new["slot"]) == ("m1", second)
    assert slots(account, "m1") == {first: None, second: new["id"]}
    live = account.call("POST", f"/v1/sessions/{new['id']}/recover", FORCING | {"slot": first}, by="operator").json
    assert slots(account, "m1") == {first: live["id"], second: None}


def test_work_moves_to_the_machine_that_is_asked_for(account: Account) -> None:
    machine(account, "m1", 1)
    machine(account, "m2", 1)
    old = dead(account, machine_id="m1")
    new = recover(account, old, machine_id="m2")
    assert list(slots(account, "m1").values()) == [None]
    assert list(slots(account, "m2").values()) == [new["id"]]


def test_work_goes_on_without_its_old_place_but_not_without_one_that_is_asked_for(account: Account) -> None:
    machine(account, "m1", 1)
    old = dead(account, machine_id="m1")
    other = account.start(scope="repo=b", machine_id="m1", policy="crane")
    path = f"/v1/sessions/{old['id']}/recover"
    assert account.call("POST", path, {"machine_id": "m1"}).told == (409, "no_free_slot")
    assert account.session(old["id"])["status"] == "stalled" or account.session(old["id"])["liveness"] == "lapsed"
    new = recover(account, old)
    assert (new["machine_id"], new["slot"]) == (None, None)
    assert list(slots(account, "m1").values()) == [other["id"]]
