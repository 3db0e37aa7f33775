"""Projects and tasks over HTTP: who is given what, what is told of it, and what of it outlives a crowd."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from holdfast.commands.sweeping import SweepSessions
from holdfast.domain.ids import SessionId
from holdfast.testing.caller import SWEEPER
from tests.api.driver import Account, Json, Request, Response

CLAIMERS = 64
TASKS = 400
DEATHS = 16
TASKS_OF_A_DEAD_ONE = 3

SHORT = {"lease_seconds": 1, "heartbeat_interval_seconds": 0.3}
LONG = {"lease_seconds": 3600}


def made(response: Response) -> Json:
    """What a request that must be accepted answers."""
    assert response.status in (200, 201), response
    found: Json = response.json
    return found


def add(account: Account, name: str = "task", **fields: Any) -> Json:
    """A task of the project `p`, which is made where there is none."""
    account.call("POST", "/v1/projects", {"id": "p"})
    return made(account.call("POST", "/v1/tasks", {"project_id": "p", "name": name, **fields}))


def claim(account: Account, session: Json, **fields: Any) -> Response:
    """What a session is answered that claims a task of the project `p`."""
    body = {"session_id": session["id"], "fencing_token": session["fencing_token"], "project_id": "p"}
    return account.call("POST", "/v1/tasks/claim", body | fields)


def say(account: Account, verb: str, task: Json, session: Json | None = None, **fields: Any) -> Response:
    """What is answered to a verb of a task."""
    worker = {} if session is None else {"session_id": session["id"], "fencing_token": session["fencing_token"]}
    return account.call("POST", f"/v1/tasks/{task['id']}/{verb}", worker | fields)


def test_a_project_is_made_read_changed_and_listed(account: Account) -> None:
    project = made(account.call("POST", "/v1/projects", {"name": "One", "meta": {"a": 1}}))
    assert project["id"].startswith("proj_")
    assert (project["name"], project["status"], project["meta"], project["revision"]) == ("One", "active", {"a": 1}, 1)
    path = f"/v1/projects/{project['id']}"
    assert account.get(path) == project
    change = {"status": "completed", "meta": {"a": None, "b": 2}, "repository": "example/one"}
    changed = made(account.call("PATCH", path, change, If_Match='"1"'))
    assert (changed["status"], changed["meta"], changed["revision"]) == ("completed", {"b": 2}, 2)
    stale = account.call("PATCH", path, {"name": "Two"}, If_Match='"1"')
    assert (stale.told, stale.json["revision"]) == ((412, "revision_conflict"), 2)
    again = account.call("POST", "/v1/projects", {"id": project["id"]})
    assert again.told == (409, "project_exists")
    assert [way["path"] for way in again.json["ways_out"]] == [path, path]
    assert account.get("/v1/projects?status=completed")["items"] == [changed]
    assert account.get("/v1/projects?status=active")["items"] == []
    assert account.call("POST", "/v1/projects", {"external_url": "javascript:alert(1)"}).fields == {"external_url"}


def test_starts_at_once_make_the_project_that_they_name_once(account: Account) -> None:
    starts = [
        account.request("POST", "/v1/sessions", {"agent": "claude", "project_id": "new", "holder_id": f"h{number}"})
        for number in range(8)
    ]
    assert {response.status for response in account.server.ask_all(starts)} == {201}
    assert [project["id"] for project in account.get("/v1/projects")["items"]] == ["new"]
    assert [event["type"] for event in account.events()].count("project.created") == 1


def test_a_projects_sessions_and_tasks_are_counted_by_status(account: Account) -> None:
    sessions = [account.start(project_id="p", scope=f"scope-{number}") for number in range(3)]
    account.say("end", sessions[0])
    account.start(project_id="another")
    tasks = [add(account) for _ in range(3)]
    add(account, depends_on=[tasks[0]["id"]])
    assert claim(account, sessions[1]).status == 200
    grouped = account.get("/v1/projects/p/sessions")
    assert grouped["total"] == 3
    counts = {group["status"]: group["count"] for group in grouped["groups"]}
    assert (counts["active"], counts["ended"], sum(counts.values())) == (2, 1, 3)
    ids = {group["status"]: [each["id"] for each in group["sessions"]] for group in grouped["groups"]}
    assert (ids["active"], ids["ended"]) == ([sessions[2]["id"], sessions[1]["id"]], [sessions[0]["id"]])
    summary = account.get("/v1/projects/p/summary")
    assert summary["sessions"]["by_status"]["active"] == 2
    assert (summary["tasks"]["total"], summary["tasks"]["ready"]) == (4, 2)
    assert summary["tasks"]["by_status"]["in_progress"] == 1


def test_a_claimed_task_is_tied_to_the_lease_and_told_of(account: Account) -> None:
    task = add(account, "first", priority=2, external_ref="#1", meta={"a": [1]})
    session = account.start(scope="work", exclusive=True, policy={"lease_seconds": 60})
    assert claim(account, session, fencing_token=None).told == (428, "fencing_token_required")
    claimed = made(claim(account, session))
    expected = {"status": "in_progress", "session_id": session["id"], "attempts": 1, "ready": False}
    assert claimed == task | claimed | expected
    assert claim(account, session).status == 204
    assert account.session(session["id"])["current_task_id"] == task["id"]
    assert account.session(session["id"])["task_count"] == 1
    assert account.get(f"/v1/sessions/{session['id']}/tasks")["items"] == [claimed]
    account.server.serve(60_000)
    account.server.sweep()
    back = account.get(f"/v1/tasks/{task['id']}")
    assert (back["status"], back["session_id"], back["last_session_id"]) == ("pending", None, session["id"])
    assert (back["attempts"], back["ready"]) == (1, True)
    assert account.session(session["id"])["current_task_id"] is None
    told = [event["type"] for event in account.events(session_id=session["id"])]
    assert told == ["session.started", "task.started", "session.stalled", "task.requeued"]
    explained = account.get(f"/v1/sessions/{session['id']}/explain")
    assert explained["because"]["type"] == "session.stalled"


def test_a_revived_session_is_told_how_to_take_up_its_lost_task(account: Account) -> None:
    task = add(account)
    session = account.start(scope="work", policy={"lease_seconds": 60, "on_lapse": "revivable"})
    claim(account, session)
    account.server.serve(60_000)
    account.server.sweep()
    assert account.say("heartbeat", session).json["reactivated"] is True
    refused = say(account, "complete", task, session)
    assert refused.told == (409, "task_lost")
    way = next(way for way in refused.json["ways_out"] if way["action"] == "start_task")
    body = way["body"] | {"fencing_token": session["fencing_token"]}
    assert account.call(way["method"], way["path"], body).json["attempts"] == 2
    assert say(account, "complete", task, session, result={"a": 1}).json["result"] == {"a": 1}


def test_who_asks_for_a_task_that_another_has_or_a_project_that_is_not_there_can_go_on(account: Account) -> None:
    task, session, other = add(account), account.start(scope="one", exclusive=True), account.start(scope="two")
    claim(account, session)
    refusals = [
        say(account, "complete", task, other),
        say(account, "start", task, other),
        claim(account, other, project_id="none"),
        account.call("GET", "/v1/projects/none"),
        account.call("GET", "/v1/tasks/task_none"),
        account.call("DELETE", f"/v1/tasks/{task['id']}"),
    ]
    codes = ["task_held", "task_held", "not_found", "not_found", "not_found", "task_in_progress"]
    assert [refusal.code for refusal in refusals] == codes
    tokens = {each["id"]: each["fencing_token"] for each in (session, other)}
    for refusal in refusals:
        for way in refusal.json["ways_out"]:
            body = way.get("body", {}) if way["method"] != "GET" else None
            if body and "fencing_token" in body:
                body = body | {"fencing_token": tokens[body["session_id"]]}
            assert account.call(way["method"], way["path"], body).status in (200, 201, 204), way


VERBS: dict[str, Json] = {
    "start": {},
    "complete": {},
    "fail": {"error_message": "it broke"},
    "block": {"reason": "a review"},
    "release": {},
}
PATHS: dict[str, tuple[str, ...]] = {
    "pending": (),
    "in_progress": ("start",),
    "completed": ("start", "complete"),
    "failed": ("start", "fail"),
    "blocked": ("block",),
}


@pytest.mark.parametrize("status", PATHS)
def test_every_way_out_of_a_refused_transition_works(status: str, account: Account) -> None:
    def reach() -> Json:
        task = add(account)
        for verb in PATHS[status]:
            task = made(say(account, verb, task, **VERBS[verb]))
        assert task["status"] == status
        return task

    for verb, fields in VERBS.items():
        task = reach()
        response = say(account, verb, task, **fields)
        if response.status == 200:
            continue
        assert response.told == (409, "task_transition_not_allowed")
        assert (response.json["task_id"], response.json["task_status"]) == (task["id"], status)
        for way in response.json["ways_out"]:
            other = reach()
            path = way["path"].replace(task["id"], other["id"])
            assert (
                account.call(way["method"], path, way.get("body", {}) if way["method"] == "POST" else None).status
                == 200
            )


@pytest.mark.parametrize("verb", ["complete", "start"])
def test_a_parked_session_is_told_to_resume_before_it_asks_for_a_task(verb: str, account: Account) -> None:
    session, other = account.start(scope="one"), account.start(scope="two")
    lost, held, more = add(account), add(account), add(account)
    made(say(account, "start", lost, session))
    made(say(account, "release", lost, session))
    made(say(account, "start", held, other))
    assert account.say("park", session, reason="until tomorrow").status == 200
    refused = [say(account, verb, task, session) for task in (lost, held, more)]
    codes = ["task_lost", "task_held", "task_transition_not_allowed"]
    assert [each.code for each in refused] == (codes if verb == "complete" else ["session_parked"] * 3)
    for each in refused[:2]:
        assert "resume" in {way["action"] for way in each.json["ways_out"]}
        for way in each.json["ways_out"]:
            if way["action"] not in ("resume", "end"):
                assert account.call(way["method"], way["path"], way.get("body")).status == 200, way
    way = next(way for way in refused[0].json["ways_out"] if way["action"] == "resume")
    body = way["body"] | {"fencing_token": session["fencing_token"]}
    assert account.call(way["method"], way["path"], body).status == 200
    assert say(account, "start", lost, session).status == 200


def test_a_task_whose_holders_lease_is_over_is_free_before_any_sweep(account: Account) -> None:
    holder = account.start(scope="one", policy=SHORT)
    other = account.start(scope="two", policy=LONG)
    wanted, unwanted, changed, freed = (add(account) for _ in range(4))
    for task in (wanted, unwanted, changed, freed):
        made(say(account, "start", task, holder))
    assert account.call("DELETE", f"/v1/tasks/{unwanted['id']}").code == "task_in_progress"
    assert say(account, "start", wanted, other).code == "task_held"
    waits = {"depends_on": [wanted["id"]]}
    assert account.call("PATCH", f"/v1/tasks/{changed['id']}", waits).code == "task_transition_not_allowed"
    assert say(account, "block", freed).fields == {"session_id"}
    account.server.serve(1_000)
    assert made(account.call("PATCH", f"/v1/tasks/{changed['id']}", waits))["waiting_count"] == 1
    assert made(say(account, "block", freed))["status"] == "blocked"
    assert made(account.call("DELETE", f"/v1/tasks/{unwanted['id']}"))["deleted"] == {"tasks": 1}
    assert made(say(account, "start", wanted, other))["session_id"] == other["id"]
    told = Counter((each["type"], each["data"]["task_id"]) for each in account.events() if "task_id" in each["data"])
    assert {told["task.requeued", task["id"]] for task in (wanted, unwanted, changed, freed)} == {1}
    assert account.session(holder["id"])["status"] == "stalled"


def test_what_waits_for_a_task_is_claimed_after_it_and_a_cycle_is_refused(account: Account) -> None:
    first = add(account, "first")
    second = add(account, "second", priority=9, depends_on=[first["id"]])
    assert (second["ready"], second["waiting_count"], second["depends_on"]) == (False, 1, [first["id"]])
    cycle = account.call("PATCH", f"/v1/tasks/{first['id']}", {"depends_on": [second["id"]]})
    assert (cycle.status, cycle.fields) == (422, {"depends_on"})
    unknown = account.call("POST", "/v1/tasks", {"project_id": "p", "name": "x", "depends_on": ["task_none"]})
    assert (unknown.status, unknown.fields) == (422, {"depends_on[0]"})
    waiting = say(account, "start", second)
    assert waiting.told == (409, "task_waiting")
    session = account.start(scope="work")
    assert made(claim(account, session))["id"] == first["id"]
    assert claim(account, session).status == 204
    say(account, "complete", first, session)
    assert made(claim(account, session))["id"] == second["id"]
    assert say(account, "fail", second, session).fields == {"error_message"}


def test_a_long_cycle_is_told_in_short(account: Account) -> None:
    chain = [add(account)]
    for _ in range(20):
        chain.append(add(account, depends_on=[chain[-1]["id"]]))
    refused = account.call("PATCH", f"/v1/tasks/{chain[0]['id']}", {"depends_on": [chain[-1]["id"]]})
    assert refused.fields == {"depends_on"}
    message = refused.json["errors"][0]["message"]
    assert message.count(chain[0]["id"]) == 2
    assert message.count("←") == 12
    assert "…" in message


def test_a_task_for_which_others_wait_is_deleted_once_they_do_not(account: Account) -> None:
    needed = add(account)
    waiting = sorted(add(account, depends_on=[needed["id"]])["id"] for _ in range(2))
    for count, first_id in ((2, waiting[0]), (1, waiting[1])):
        refused = account.call("DELETE", f"/v1/tasks/{needed['id']}")
        assert refused.told == (409, "task_needed")
        assert refused.json["waiting_task_id"] == first_id
        assert f"{count} wait for it" in refused.json["detail"]
        assert [way["action"] for way in refused.json["ways_out"]] == ["read_task", "change_dependencies"]
        for way in refused.json["ways_out"]:
            assert account.call(way["method"], way["path"], way.get("body")).status == 200
    assert account.call("DELETE", f"/v1/tasks/{needed['id']}").status == 200


def test_tasks_are_listed_by_what_they_are_and_deleted(account: Account) -> None:
    tasks = [add(account, f"name {number}", external_ref=f"#{number}") for number in range(5)]
    say(account, "start", tasks[0])
    ids = [task["id"] for task in tasks]
    assert [task["id"] for task in account.each("/v1/tasks", project_id="p", limit="2")] == ids[::-1]
    assert [task["id"] for task in account.get("/v1/tasks?status=in_progress")["items"]] == ids[:1]
    assert [task["id"] for task in account.get("/v1/tasks?ready=true")["items"]] == ids[:0:-1]
    assert [task["id"] for task in account.get("/v1/tasks?external_ref=%233")["items"]] == ids[3:4]
    assert account.get("/v1/tasks?include_total=true&limit=1")["total"] == 5
    assert account.call("DELETE", f"/v1/tasks/{ids[0]}").told == (409, "task_in_progress")
    assert account.call("DELETE", f"/v1/tasks/{ids[1]}").json == {"id": ids[1], "deleted": {"tasks": 1}}
    assert account.call("GET", f"/v1/tasks/{ids[1]}").told == (404, "not_found")


def test_a_key_of_a_project_has_its_tasks_alone(account: Account) -> None:
    mine, theirs = add(account), None
    account.call("POST", "/v1/projects", {"id": "q"})
    theirs = made(account.call("POST", "/v1/tasks", {"project_id": "q", "name": "theirs"}))
    key = made(account.call("POST", "/v1/keys", {"name": "p", "scopes": ["agent"], "project_id": "p"}, by="admin"))[
        "key"
    ]

    def ask(method: str, target: str, body: Json | None = None) -> Response:
        return account.server.ask(Request(method, target, body, key=key))

    assert [task["id"] for task in ask("GET", "/v1/tasks").json["items"]] == [mine["id"]]
    assert [project["id"] for project in ask("GET", "/v1/projects").json["items"]] == ["p"]
    for method, path, body in (
        ("GET", f"/v1/tasks/{theirs['id']}", None),
        ("POST", f"/v1/tasks/{theirs['id']}/start", {}),
        ("GET", "/v1/projects/q", None),
        ("GET", "/v1/projects/q/summary", None),
        ("PATCH", "/v1/projects/q", {"name": "mine"}),
        ("POST", "/v1/tasks", {"project_id": "q", "name": "x"}),
    ):
        assert ask(method, path, body).told == (404, "not_found"), path
    session = ask("POST", "/v1/sessions", {"agent": "claude"}).json
    assert ask("POST", "/v1/tasks/claim", {"session_id": session["id"]}).json["id"] == mine["id"]
    assert ask("GET", "/v1/events?project_id=q").json["items"] == []


def test_a_crowd_of_which_some_die_does_every_task_once_and_loses_none(account: Account) -> None:
    account.call("POST", "/v1/projects", {"id": "p"})
    adds = [
        account.request("POST", "/v1/tasks", {"project_id": "p", "name": "task", "priority": number % 3})
        for number in range(TASKS)
    ]
    added = {made(response)["id"] for response in account.server.ask_all(adds)}
    starts = [
        account.request(
            "POST",
            "/v1/sessions",
            {"agent": "claude", "scope": f"work-{number}", "policy": SHORT if number < DEATHS else LONG},
        )
        for number in range(CLAIMERS)
    ]
    sessions = [made(response) for response in account.server.ask_all(starts)]
    completed: list[str] = []
    left_behind: list[str] = []

    async def asked(path: str, body: Json) -> Response:
        return await account.server.answer(account.request("POST", path, body))

    async def work(session: Json, *, dies: bool) -> None:
        had: list[str] = []
        while len(completed) < TASKS and not (dies and len(had) == TASKS_OF_A_DEAD_ONE):
            response = await asked("/v1/tasks/claim", {"session_id": session["id"], "project_id": "p"})
            if response.status != 200:
                assert response.status == 204 or dies, response
                if dies:
                    break
                continue
            task_id = response.json["id"]
            had.append(task_id)
            if not dies:
                finished = await asked(f"/v1/tasks/{task_id}/complete", {"session_id": session["id"]})
                assert finished.status == 200, finished
                completed.append(task_id)
        left_behind.extend(had if dies else [])

    async def sweep() -> None:
        core = account.server.core
        while len(completed) < TASKS:
            account.server.clock.advance(100)
            now = account.server.caller.present()
            due = account.server.store.due_sessions(service_ms=now.service_ms, wall_ms=now.wall_ms, limit=1_000)
            await core.execute(SweepSessions(tuple(map(SessionId, due))), SWEEPER, correlation_id="sweep")

    async def everybody() -> None:
        workers = [work(session, dies=number < DEATHS) for number, session in enumerate(sessions)]
        await asyncio.gather(sweep(), *workers)

    account.server.loop.run_until_complete(everybody())
    assert Counter(completed) == Counter(added)
    requeued = [event["data"]["task_id"] for event in account.events(type="task.requeued")]
    assert Counter(requeued) == Counter(left_behind)
    attempts = {task["id"]: task["attempts"] for task in account.each("/v1/tasks", limit="200")}
    assert attempts == {task_id: 1 + left_behind.count(task_id) for task_id in added}
    assert left_behind
