"""Machines and slots over HTTP: what is taken, what is answered, who sees what, what becomes of a silent machine."""

from typing import Any, Final

import pytest

from holdfast.domain.limits import DAY_MS, HOUR_MS, SLOTS_MAX
from holdfast.engine.jobs import JobRunner
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Json, Request, Response, serving
from tests.api.scenes import LEASE_MS, REVIVABLE

MACHINE_LEASE_MS: Final = 180_000


def register(account: Account, machine_id: str = "machine-1", **body: Any) -> Json:
    response = account.call("POST", "/v1/machines", {"machine_id": machine_id, **body})
    assert response.status in (200, 201), response
    found: Json = response.json
    return found


def begin(account: Account, name: str, **body: Any) -> Response:
    given = {"agent": "claude", "holder_id": name, "scope": name, "machine_id": "machine-1", "policy": REVIVABLE}
    return account.call("POST", "/v1/sessions", given | body)


def slots(account: Account, machine_id: str = "machine-1") -> dict[int, tuple[str, str | None]]:
    found = account.get(f"/v1/machines/{machine_id}")["slots"]
    return {slot["number"]: (slot["status"], slot["session_id"]) for slot in found}


def test_a_machine_is_registered_once_and_then_said_anew(account: Account) -> None:
    about = {"hostname": "host", "boot_id": "boot-1", "capacity": {"cpu": 16, "free": None}, "slot_count": 2}
    first = account.call("POST", "/v1/machines", {"machine_id": "machine-1", **about})
    again = account.call("POST", "/v1/machines", {"id": "machine-1", "boot_id": "boot-2"})
    assert (first.status, again.status) == (201, 200)
    assert first.json == account.get("/v1/machines/machine-1") | {"boot_id": "boot-1"}
    now = account.server.now()
    assert again.json == {
        "id": "machine-1",
        "hostname": "host",
        "boot_id": "boot-2",
        "status": "online",
        "status_changed_at": now,
        "available": True,
        "capacity": {"cpu": 16, "free": None},
        "slot_count": 2,
        "slots_free": 2,
        "slots": [
            {
                "number": number,
                "label": None,
                "container_id": None,
                "cpu": None,
                "memory_mb": None,
                "status": "free",
                "session_id": None,
                "since": now,
            }
            for number in (1, 2)
        ],
        "lease_seconds": 180,
        "last_heartbeat_at": now,
        "next_heartbeat_at": account.server.now(plus_ms=60_000),
        "heartbeat_interval_seconds": 60,
        "lease_expires_at": account.server.now(plus_ms=MACHINE_LEASE_MS),
        "registered_at": now,
    }


def test_a_machine_that_names_no_id_gets_one(account: Account) -> None:
    made = account.call("POST", "/v1/machines", {"hostname": "host"})
    assert made.status == 201
    assert made.json["id"].startswith("mach_")
    assert account.call("POST", "/v1/machines", {"id": "a", "machine_id": "b"}).fields == {"id"}


def test_slots_are_given_whole_or_changed_one_by_one(account: Account) -> None:
    given = [{"label": "gpu", "cpu": 0.5, "memory_mb": 512, "container_id": "c-1"}, {"number": 7, "status": "disabled"}]
    made = register(account, slots=given)
    assert [(slot["number"], slot["status"]) for slot in made["slots"]] == [(1, "free"), (7, "disabled")]
    assert (made["slots"][0]["cpu"], made["slots"][0]["memory_mb"], made["slots_free"]) == (0.5, 512, 1)
    changed = account.call(
        "PATCH", "/v1/machines/machine-1", {"slots": [{"number": 7, "status": "free", "cpu": 2}, {"number": 9}]}
    )
    assert [(slot["number"], slot["status"]) for slot in changed.json["slots"]] == [
        (1, "free"),
        (7, "free"),
        (9, "free"),
    ]
    assert (changed.json["slots"][0]["label"], changed.json["slots"][1]["cpu"]) == ("gpu", 2)
    assert account.call("PATCH", "/v1/machines/machine-1", {"slot_count": 1}).json["slot_count"] == 1
    assert slots(account) == {1: ("free", None)}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slots": [{"number": 1}, {"number": 1}]}, "slots"),
        ({"slots": [{}], "slot_count": 2}, "slot_count"),
        ({"slots": [{"status": "taken"}]}, "slots[0].status"),
        ({"slots": [{"cpu": -1}]}, "slots[0].cpu"),
        ({"slot_count": SLOTS_MAX + 1}, "slot_count"),
        ({"capacity": 4}, "capacity"),
        ({"status": "asleep"}, "status"),
        ({"lease_seconds": 0.5}, "lease_seconds"),
        ({"lease_seconds": 10, "heartbeat_interval_seconds": 10}, "heartbeat_interval_seconds"),
        ({"host": "name"}, "host"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_by_its_field(account: Account, body: Json, field: str) -> None:
    response = account.call("POST", "/v1/machines", {"machine_id": "machine-1", **body})
    assert (response.status, response.fields) == (422, {field})
    assert account.call("GET", "/v1/machines/machine-1").told == (404, "not_found")


def test_a_session_takes_a_slot_and_gives_it_back(account: Account) -> None:
    register(account, slot_count=2)
    first = begin(account, "a").json
    assert (first["slot"], slots(account)[1]) == (1, ("taken", first["id"]))
    occupied = begin(account, "b", slot=1)
    assert occupied.told == (409, "slot_occupied")
    assert {name: occupied.json[name] for name in ("machine_id", "slot", "session_id")} == {
        "machine_id": "machine-1",
        "slot": 1,
        "session_id": first["id"],
    }
    assert begin(account, "b").json["slot"] == 2
    full = begin(account, "c")
    assert (full.told, full.json["limit"]) == ((409, "no_free_slot"), 2)
    account.say("end", first)
    assert slots(account)[1] == ("free", None)
    assert begin(account, "c").json["slot"] == 1


def filled(original: Request, way: Json) -> Request:
    """What a way out says, literally."""
    if "method" in way:
        body = {name: 1 if name == "fencing_token" else value for name, value in way.get("body", {}).items()}
        return original._replace(method=way["method"], target=way["path"], body=body or None)
    assert isinstance(original.body, dict)
    dropped = {"repeat_with_any_slot": {"slot"}, "repeat_without_machine": {"slot", "machine_id"}}[way["action"]]
    return original._replace(body={name: value for name, value in original.body.items() if name not in dropped})


@pytest.mark.parametrize("state", ["occupied", "full", "disabled", "maintenance", "delete", "unknown"])
def test_every_way_out_works_where_it_is_suggested(account: Account, state: str) -> None:
    def refused() -> tuple[Request, Response]:
        other = account.server.new_account()
        if state != "unknown":
            register(other, slot_count=1 if state == "full" else 2)
            assert begin(other, "a").status == 201
        if state == "disabled":
            disabled = {"slots": [{"number": 2, "status": "disabled"}]}
            assert other.call("PATCH", "/v1/machines/machine-1", disabled).status == 200
            other.call("PATCH", "/v1/machines/machine-1", {"slots": [{"number": 3}]})
        if state == "maintenance":
            assert other.call("PATCH", "/v1/machines/machine-1", {"status": "maintenance"}).status == 200
        body: Json = {"agent": "claude", "holder_id": "b", "machine_id": "machine-1"}
        slot = {"occupied": 1, "disabled": 2}.get(state)
        body |= {} if slot is None else {"slot": slot}
        request = other.request("POST", "/v1/sessions", body)
        if state == "delete":
            request = other.request("DELETE", "/v1/machines/machine-1", None)
        if state == "unknown":
            request = other.request("GET", "/v1/machines/machine-1", None)
        response = other.server.ask(request)
        return request, response

    request, response = refused()
    ways = response.json["ways_out"]
    assert response.status in (404, 409)
    assert ways
    for number in range(len(ways)):
        request, response = refused()
        way = response.json["ways_out"][number]
        assert account.server.ask(filled(request, way)).status in (200, 201), way


def test_available_machines_are_online_and_have_room(account: Account) -> None:
    for number in range(4):
        register(account, f"machine-{number}", slot_count=1)
    register(account, "without slots")
    assert begin(account, "a", machine_id="machine-0").status == 201
    account.call("PATCH", "/v1/machines/machine-2", {"status": "maintenance"})
    account.call("POST", "/v1/machines/machine-3/heartbeat", {"status": "offline"})
    found = [each["id"] for each in account.each("/v1/machines/available", limit="1")]
    assert found == ["machine-1", "without slots"]
    assert [each["id"] for each in account.each("/v1/machines", limit="2")] == [
        *[f"machine-{number}" for number in range(4)],
        "without slots",
    ]
    by_status = {status: [each["id"] for each in account.each("/v1/machines", status=status)] for status in STATUSES}
    assert by_status == {
        "online": ["machine-0", "machine-1", "without slots"],
        "offline": ["machine-3"],
        "maintenance": ["machine-2"],
    }
    assert account.call("GET", "/v1/machines/available?include_total=true").fields == {"include_total"}


STATUSES: Final = ("online", "offline", "maintenance")


def test_a_silent_machine_is_offline_on_read_and_told_by_the_sweep(account: Account) -> None:
    register(account, slot_count=1, hostname="host")
    account.server.serve(MACHINE_LEASE_MS)
    found = account.get("/v1/machines/machine-1")
    assert (found["status"], found["available"], found["lease_expires_at"]) == ("offline", False, None)
    account.server.sweep()
    account.server.sweep()
    (event,) = account.events(type="machine.offline")
    assert (event["session_id"], event["rule"]) == (None, "lease_lapsed")
    assert event["data"]["machine_id"] == "machine-1"
    beat = account.call("POST", "/v1/machines/machine-1/heartbeat", {"hostname": "renamed"})
    assert beat.json["status"] == "online"
    assert len(account.events(type="machine.online")) == 2
    assert account.get("/v1/machines/machine-1")["hostname"] == "renamed"


def test_a_machines_silence_says_nothing_of_its_sessions(account: Account) -> None:
    register(account, slot_count=1, lease_seconds=5)
    begun = begin(account, "a").json
    account.server.serve(LEASE_MS - 1)
    account.server.sweep()
    assert account.get("/v1/machines/machine-1")["status"] == "offline"
    assert account.session(begun["id"])["liveness"] in ("live", "late")
    assert slots(account)[1] == ("taken", begun["id"])


def bound_key(account: Account, project_id: str) -> str:
    made = account.call("POST", "/v1/keys", {"project_id": project_id, "scope": "agent"}, by="admin")
    return str(made.json["key"])


def test_a_key_of_one_project_does_not_see_who_else_is_in_the_slots(account: Account) -> None:
    register(account, slot_count=3)
    theirs, own = begin(account, "a", project_id="theirs").json, begin(account, "b", project_id="own").json
    key = bound_key(account, "own")
    for target in ("/v1/machines/machine-1", "/v1/machines", "/v1/machines/available"):
        answer = account.server.ask(Request("GET", target, key=key))
        assert answer.status == 200
        assert theirs["id"].encode() not in answer.content
        assert own["id"].encode() in answer.content
    body: Json = {"agent": "claude", "holder_id": "c", "machine_id": "machine-1", "slot": 1}
    refused = account.server.ask(Request("POST", "/v1/sessions", body, key=key))
    assert refused.told == (409, "slot_occupied")
    assert theirs["id"].encode() not in refused.content
    registered = account.server.ask(Request("POST", "/v1/machines", {"machine_id": "machine-1"}, key=key))
    assert registered.status == 200
    assert theirs["id"].encode() not in registered.content
    for request in (
        Request("PATCH", "/v1/machines/machine-1", {"status": "maintenance"}, key=key),
        Request("DELETE", "/v1/machines/machine-1", key=key),
    ):
        assert account.server.ask(request).told == (403, "forbidden")
    account.call("PATCH", "/v1/machines/machine-1", {"status": "maintenance"})
    told = account.server.ask(Request("GET", "/v1/events", key=key)).json["items"]
    assert not [each for each in told if each["type"].startswith("machine.")]


def test_a_foreign_machine_is_answered_as_an_unknown_one(account: Account) -> None:
    other = account.server.new_account()
    register(other, slot_count=1)
    for method, path, body in (
        ("GET", "/v1/machines/{}", None),
        ("PATCH", "/v1/machines/{}", {"status": "maintenance"}),
        ("DELETE", "/v1/machines/{}", None),
        ("POST", "/v1/machines/{}/heartbeat", {}),
    ):
        foreign = account.call(method, path.format("machine-1"), body)
        unknown = account.call(method, path.format("machine-2"), body)
        assert foreign.told == unknown.told == (404, "not_found")
    assert list(account.each("/v1/machines")) == []
    assert begin(account, "a", slot=1).json["slot"] == 1
    assert slots(other)[1] == ("free", None)


def test_what_is_done_to_a_machine_is_in_the_audit(account: Account) -> None:
    register(account)
    account.call("PATCH", "/v1/machines/machine-1", {"status": "maintenance", "reason": "new disks"})
    account.call("PATCH", "/v1/machines/machine-1", {"hostname": "renamed"})
    account.call("DELETE", "/v1/machines/machine-1")
    told = [(each["action"], each["reason"]) for each in account.each("/v1/audit") if each["target"] == "machine-1"]
    assert told == [("machine.deleted", None), ("machine.declared", "new disks")]


def test_silent_machines_are_forgotten_in_time_unless_somebody_is_in_them(database_url: str) -> None:
    keeps = {"machine": 90 * DAY_MS}
    with serving(database_url, FakeClock()) as server:
        server.core.keeps = keeps
        runner = JobRunner(server.store, server.engine, keeps=keeps, node="node-1")
        account = server.new_account()
        register(account, "empty", slot_count=2)
        register(account, "held", slot_count=2)
        parked = begin(account, "a", machine_id="held").json
        account.say("park", parked)
        runner.run_due()
        server.serve(MACHINE_LEASE_MS)
        server.sweep()
        for days, left in ((89, {"empty", "held"}), (1, {"held"})):
            server.serve(days * DAY_MS)
            server.serve(DAY_MS // 12 + HOUR_MS)
            server.sweep()
            runner.run_due()
            assert {each["id"] for each in account.each("/v1/machines")} == left
        (event,) = account.events(type="machine.deleted")
        assert (event["rule"], event["data"]["machine_id"]) == ("retention_passed", "empty")
