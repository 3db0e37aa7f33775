"""How often a command is decided anew, on a store that locks row by row and begins again for each row not yet named.

Every round is a transaction of its own with a present of its own, and an id holds the present in which it was made.
A command that asked for the row of an id that it has just made would never find it loaded: it would be `busy` for ever,
and only where rounds take longer than a millisecond.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from holdfast.domain.limits import DAY_MS
from holdfast.doors.http.crane.answers import CRANE_DESCRIBED
from holdfast.doors.http.routing import Route
from holdfast.engine import batch
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Server, serving
from tests.api.examples import MUTATING, example, named

ROUNDS_MAX: Final = 5
"""As many as `batch.LOAD_ROUNDS_MAX` says that a command takes."""


class RestlessClock(FakeClock):
    """A clock on which no two looks show the same time."""

    def now_ms(self) -> int:
        """The present, a millisecond after the last one that was read."""
        self.advance(1)
        return super().now_ms()


@pytest.fixture(scope="module")
def restless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that begins a transaction anew for every row that was not named, each in another millisecond."""
    path: Path = tmp_path_factory.mktemp("restless") / "holdfast.db"
    with serving(f"sqlite:///{path}", RestlessClock()) as server:
        server.store.locks_everything = False
        yield server


@pytest.fixture
def account(restless: Server, monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account, where a command that is not settled after as many rounds as any takes is refused."""
    monkeypatch.setattr(batch, "LOAD_ROUNDS_MAX", ROUNDS_MAX)
    return restless.new_account()


@pytest.mark.parametrize("route", MUTATING, ids=named)
def test_a_command_asks_for_no_row_whose_id_it_has_just_made(route: Route, account: Account) -> None:
    request = example(account, route)
    answered = account.server.ask(request)
    assert answered.status < 300, answered


def test_a_start_that_finds_somebody_there_is_settled_too(account: Account) -> None:
    assert account.call("POST", "/v1/machines", {"machine_id": "m", "slot_count": 2}).status == 201
    on = {"scope": "busy", "exclusive": True, "machine_id": "m", "project_id": "p", "client_session_id": "c"}
    first = account.start(**on)
    assert account.start(**on)["outcome"] == "resumed"
    second = account.start(**on, on_conflict="supersede")
    account.call("POST", "/v1/tasks", {"project_id": "p", "name": "begun", "priority": 9})
    task = account.call("POST", "/v1/tasks", {"project_id": "p", "name": "to begin with"})
    worker = {"session_id": second["id"], "fencing_token": second["fencing_token"]}
    assert account.call("POST", "/v1/tasks/claim", {**worker, "project_id": "p"}).status == 200
    assert account.say("stall", second, reason="it hangs").status == 200
    taking = {"agent": "other", "holder_id": "other", "take_over": {"reason": "it fell silent"}}
    third = account.start(**on | taking | {"client_session_id": "d"})
    assert (first["outcome"], third["outcome"]) == ("created", "taken_over")
    assert account.say("checkpoint", third, summary="half of it is done").status == 201
    assert account.say("fail", third, reason="the build broke").status == 200
    recovered = account.call(
        "POST", f"/v1/sessions/{third['id']}/recover", {"machine_id": "m", "resume_from_task_id": task.json["id"]}
    )
    assert recovered.status == 201, recovered
    ended = account.say("end", recovered.json, handoff={"summary": "half of it is done"})
    assert ended.status == 200, ended


def test_a_workspace_that_changes_hands_is_settled_too(account: Account) -> None:
    assert account.call("POST", "/v1/machines", {"machine_id": "m", "slot_count": 2}).status == 201

    def say(verb: str, **fields: object) -> Json:
        answered = account.call("POST", f"/v1/workspaces/{verb}", {"scope": "workspace=hands", **fields})
        assert answered.status < 300, answered
        said: Json = answered.json
        return said

    worker = {"owner_kind": "runtime_worker", "lease_seconds": 60, "machine_id": "m"}
    for actor in ("first", "second"):
        begun = say("start", **worker, actor_id=actor)
        for _ in range(2):
            say("gates", gates=[{"text": "the tests pass"}])
            say("escalations", reason="which one?")
            say("heartbeat", actor_id=actor, activity="reading")
        core_id = begun["session_id"].replace("ses_", "sess_")
        stalled = {"reason": "it hangs", "fencing_token": begun["fencing_token"]}
        assert account.call("POST", f"/v1/sessions/{core_id}/stall", stalled).status == 200
        say("takeover", actor_id="heir", reason="it fell silent", machine_id="m")
        say("start", **worker, actor_id="heir")
        assert say("clear", actor_id="heir")["cleared"]


def test_a_workspace_is_found_however_often_another_door_took_it_over(account: Account) -> None:
    on, worker = {"scope": "workspace=taken"}, {"owner_kind": "runtime_worker", "lease_seconds": 60}
    begun = account.call("POST", "/v1/workspaces/start", {**on, "actor_id": "a", **worker})
    assert begun.status < 300, begun
    last = {"id": begun.json["session_id"].replace("ses_", "sess_")}
    for number in range(12):
        taking = {"reason": "mine", "force": True, "holder_id": f"holder {number}"}
        taken = account.call("POST", f"/v1/sessions/{last['id']}/takeover", taking, by="operator")
        assert taken.status == 201, taken
        last = taken.json
    assert account.say("stall", last, reason="it hangs").status == 200
    shown = account.get("/v1/workspaces?scope=workspace%3Dtaken")["session"]
    assert shown["session_id"] == last["id"].replace("sess_", "ses_")
    back = account.call("POST", "/v1/workspaces/takeover", {**on, "actor_id": "b", "reason": "back again"})
    assert back.status < 300, back


def test_what_time_did_to_those_that_fell_silent_is_settled_too(account: Account) -> None:
    assert account.call("POST", "/v1/machines", {"machine_id": "m", "slot_count": 2}).status == 201
    silent = account.start(scope="silent", exclusive=True, machine_id="m", project_id="p", policy={"preset": "monitor"})
    account.call("POST", "/v1/tasks", {"project_id": "p", "name": "begun"})
    worker = {"session_id": silent["id"], "fencing_token": silent["fencing_token"]}
    assert account.call("POST", "/v1/tasks/claim", {**worker, "project_id": "p"}).status == 200
    assert account.say("checkpoint", silent, summary="half of it is done").status == 201
    account.server.serve(2 * DAY_MS)
    account.server.sweep()
    (handoff,) = account.get(f"/v1/sessions/{silent['id']}/handoffs")["items"]
    told = [event["rule"] for event in account.events() if event["session_id"] == silent["id"]]
    assert (handoff["auto"], "lease_lapsed" in told) == (True, True)


def test_a_day_is_settled_too(account: Account) -> None:
    def say(path: str, **fields: object) -> Json:
        answered = account.call("POST", path, (CRANE_DESCRIBED[f"POST {path}"].example or {}) | fields)
        assert answered.status == 200, answered
        said: Json = answered.json
        return said

    for start, end in (("/sod", "/eod"), ("/sos", "/eos")):
        session_id = say(start)["session_id"]
        assert say(start)["session_id"] == session_id
        for path in ("/update", "/checkpoint", "/heartbeat", end):
            say(path, session_id=session_id, update_id=session_id)
