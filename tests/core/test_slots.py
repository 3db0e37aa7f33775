"""Machines and slots: who is in which slot, that it is let go of exactly once, and when a machine counts as silent."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any, Final, NamedTuple

import pytest

from holdfast.commands.beginning import About
from holdfast.commands.heartbeats import Heartbeat, HeartbeatBatch
from holdfast.commands.machines import (
    ChangeMachine,
    DeleteMachine,
    GivenSlot,
    MachineHeartbeat,
    RegisterMachine,
    Said,
)
from holdfast.commands.reports import ReportSession
from holdfast.commands.starts import StartSession, TakeOver, TakeOverSession
from holdfast.commands.transitions import EndSession, FailSession, ParkSession, PauseSession, StallSession
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.events import Event
from holdfast.domain.ids import MachineId, SessionId
from holdfast.domain.limits import SLOTS_MAX
from holdfast.domain.machine import Machine, MachineStatus, Slot
from holdfast.domain.session import EndReason
from holdfast.engine.batch import Outcome
from holdfast.testing.dicts import DictStore
from holdfast.testing.factories import LEASE_MS, OPERATOR, REVIVABLE, actor, start
from tests.support.postgres import PostgresServer
from tests.support.stores import World, profile_of, rows_in_account, world

MACHINE: Final = MachineId("machine-1")
MACHINE_LEASE_MS: Final = 180_000

_accounts = count()


class Place(NamedTuple):
    """An account of the test's own with a machine in it."""

    world: World
    actor: Actor

    def do(self, command: Any, *, by: Actor | None = None) -> Outcome:
        return self.world.caller.do(command, by=by or self.actor)

    def accepted(self, command: Any, *, by: Actor | None = None) -> dict[str, Any]:
        return self.world.caller.accepted(command, by=by or self.actor).body

    def refused(self, command: Any, *, by: Actor | None = None) -> Refusal:
        return self.world.caller.refused(command, by=by or self.actor)

    def register(self, slots: int | None, *, machine_id: str = MACHINE, **fields: Any) -> dict[str, Any]:
        given = None if slots is None else tuple(map(GivenSlot, range(1, slots + 1)))
        return self.accepted(RegisterMachine(MachineId(machine_id), Said(slots=given, **fields)))

    def begin(self, name: str, *, slot: int | None = None, **fields: Any) -> dict[str, Any]:
        return self.accepted(begin(name, slot=slot, **fields))

    def slots(self) -> dict[int, str | None]:
        """Who is in which slot, by number."""
        return {slot.number: slot.session_id for slot in rows_in_account(self.world.store, Slot, self.actor.account_id)}

    def machine(self) -> Machine:
        (row,) = rows_in_account(self.world.store, Machine, self.actor.account_id)
        return row

    def told(self) -> list[str]:
        """What was told of machines, in order."""
        events = rows_in_account(self.world.store, Event, self.actor.account_id)
        return [str(event.type) for event in events if event.type.startswith("machine.")]


def begin(name: str, *, slot: int | None = None, machine_id: str | None = MACHINE, **fields: Any) -> StartSession:
    """A start on a scope and under an identity of its own."""
    about = About(machine_id=machine_id, slot=slot)
    return start(f"scope {name}", holder_id=name, about=about, **fields)


@pytest.fixture(params=["dicts", "dicts with row locks", "sqlite", "postgres"], scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store of each kind; every test keeps to an account of its own."""
    path = tmp_path_factory.mktemp("slots") / "holdfast.db"
    with ExitStack() as opened:
        server: PostgresServer | None = None
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
        url = None if server is None else opened.enter_context(server.database())
        kind = request.param.partition(" ")[0]
        new = opened.enter_context(world(kind, sqlite_path=path, postgres_url=url))
        if isinstance(new.store, DictStore):
            new.store.locks_everything = request.param == "dicts"
        yield new


@pytest.fixture
def place(shared: World) -> Place:
    return Place(shared, actor(f"slots-{next(_accounts)}"))


def test_a_session_takes_the_lowest_free_slot_or_the_one_it_asks_for(place: Place) -> None:
    place.register(3)
    second = place.begin("a", slot=2)
    assert (second["machine_id"], second["slot"]) == (MACHINE, 2)
    first, third = place.begin("b"), place.begin("c")
    assert place.slots() == {1: first["id"], 2: second["id"], 3: third["id"]}
    assert (first["slot"], third["slot"]) == (1, 3)


def test_starts_in_one_batch_get_a_slot_each(place: Place) -> None:
    place.register(3)
    outcomes = place.world.caller.do_all(*[begin(name) for name in "abcde"], by=place.actor)
    begun = [each.body["slot"] for each in outcomes if isinstance(each, Reply)]
    refused = [each.code for each in outcomes if isinstance(each, Refusal)]
    assert (begun, refused) == ([1, 2, 3], [Code.NO_FREE_SLOT] * 2)


def test_a_taken_slot_is_refused_and_nothing_is_written(place: Place) -> None:
    place.register(2)
    held = place.begin("a", slot=2)
    refusal = place.refused(begin("b", slot=2))
    assert (refusal.code, refusal.data["session_id"], refusal.data["slot"]) == (Code.SLOT_OCCUPIED, held["id"], 2)
    assert [way.action for way in refusal.ways_out] == [
        Action.EXPLAIN,
        Action.REPEAT_WITH_ANY_SLOT,
        Action.READ_MACHINE,
        Action.READ_AVAILABLE_MACHINES,
        Action.REPEAT_WITHOUT_MACHINE,
    ]
    assert place.begin("b")["slot"] == 1
    refusal = place.refused(begin("c", slot=2))
    assert Action.REPEAT_WITH_ANY_SLOT not in {way.action for way in refusal.ways_out}
    refusal = place.refused(begin("c"))
    assert (refusal.code, refusal.data["limit"]) == (Code.NO_FREE_SLOT, 2)
    assert place.begin("c", machine_id=None)["slot"] is None
    assert len(place.slots()) == 2


def test_a_slot_that_the_machine_does_not_have_is_a_mistake(place: Place) -> None:
    place.register(3)
    refusal = place.refused(begin("a", slot=4))
    assert refusal.errors == (FieldError("slot", f"is not a slot of machine {MACHINE}, which has 1 to 3"),)


def test_a_machine_that_is_not_registered_or_has_no_slots_is_a_label(place: Place) -> None:
    assert place.begin("a", slot=7)["slot"] == 7
    assert place.begin("b", slot=7)["slot"] == 7
    place.register(None)
    assert place.begin("c", slot=7)["slot"] == 7
    assert place.slots() == {}


ENDS: Final[dict[str, Any]] = {
    "end": lambda session_id: EndSession(session_id, None, EndReason.COMPLETED),
    "clear": lambda session_id: EndSession(session_id, None, EndReason.CLEARED),
    "fail": lambda session_id: FailSession(session_id, None, "it broke"),
    "stall": lambda session_id: StallSession(session_id, None, "it hangs"),
    "take over": lambda session_id: TakeOverSession(session_id, None, "another", "it has to be", force=True),
}


@pytest.mark.parametrize("verb", ENDS)
def test_a_slot_is_given_back_however_its_session_ends(place: Place, verb: str) -> None:
    place.register(1)
    begun = place.begin("a")
    place.accepted(ENDS[verb](begun["id"]), by=place.actor._replace(scope=OPERATOR.scope))
    assert place.slots() == {1: None}


def test_a_slot_is_given_back_at_the_very_moment_at_which_the_lease_lapses(place: Place) -> None:
    place.register(1)
    lapsing = place.begin("a")
    place.world.caller.serve(LEASE_MS - 1)
    place.world.caller.sweep()
    assert place.slots() == {1: lapsing["id"]}
    place.world.caller.serve(1)
    place.world.caller.sweep()
    assert place.slots() == {1: None}


def test_a_start_has_a_lapsed_session_let_go_whether_or_not_a_sweep_came_by(place: Place) -> None:
    place.register(2)
    place.begin("a"), place.begin("b")
    place.world.caller.serve(LEASE_MS)
    assert place.begin("c", slot=2)["slot"] == 2
    assert place.begin("d")["slot"] == 1


def test_paused_and_parked_sessions_keep_their_slots(place: Place) -> None:
    place.register(2)
    paused, parked = place.begin("a"), place.begin("b")
    place.accepted(PauseSession(paused["id"]))
    place.accepted(ParkSession(parked["id"], None, None, None))
    place.world.caller.serve(LEASE_MS)
    place.world.caller.sweep()
    assert place.slots() == {1: None, 2: parked["id"]}


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_session_that_comes_back_takes_its_slot_again_if_it_is_free(place: Place, is_batch: bool) -> None:
    place.register(12)
    begun = [place.begin(str(number)) for number in range(12)]
    place.world.caller.serve(LEASE_MS)
    place.world.caller.sweep()
    assert set(place.slots().values()) == {None}
    newcomer = place.begin("newcomer", slot=2)
    beats = [Heartbeat(SessionId(each["id"])) for each in begun]
    if is_batch:
        assert place.accepted(HeartbeatBatch(tuple(beats)))["accepted"] == 12
    else:
        assert all(place.accepted(beat)["reactivated"] for beat in beats)
    expected = {each["slot"]: each["id"] for each in begun} | {2: newcomer["id"]}
    assert place.slots() == expected
    assert profile_of(place.world.store, begun[1]["id"]).slot is None
    place.accepted(EndSession(begun[1]["id"], None, EndReason.COMPLETED))
    assert place.slots() == expected


def test_the_same_identity_starting_again_stays_in_its_slot_or_moves(place: Place) -> None:
    place.register(3)
    first = place.begin("a")
    assert place.begin("a")["slot"] == 1
    moved = place.begin("a", slot=3)
    assert (moved["id"], moved["slot"]) == (first["id"], 3)
    assert place.slots() == {1: None, 2: None, 3: first["id"]}
    place.world.caller.serve(LEASE_MS)
    place.world.caller.sweep()
    other = place.begin("b", slot=3)
    assert place.begin("a")["slot"] == 1
    assert place.slots() == {1: first["id"], 2: None, 3: other["id"]}


def test_a_start_without_the_machine_resumes_in_the_slot_it_had(place: Place) -> None:
    place.register(1)
    first = place.begin("a")
    place.world.caller.serve(LEASE_MS)
    place.world.caller.sweep()
    assert place.begin("a", machine_id=None)["slot"] == 1
    assert place.slots() == {1: first["id"]}
    place.world.caller.serve(LEASE_MS)
    place.world.caller.sweep()
    place.begin("b")
    assert place.begin("a", machine_id=None)["slot"] is None


@pytest.mark.parametrize("is_swept", [False, True])
def test_a_takeover_moves_the_slot(place: Place, is_swept: bool) -> None:
    place.register(3)
    place.begin("a")
    old = place.begin("b")
    place.world.caller.serve(LEASE_MS)
    if is_swept:
        place.world.caller.sweep()
    about = About(machine_id=MACHINE)
    new = place.accepted(TakeOverSession(old["id"], None, "another", "it is silent", about=about))
    assert new["slot"] == 2
    assert place.slots()[2] == new["id"]
    starting = begin("b", take_over=TakeOver("again", SessionId(new["id"])))._replace(holder_id="third", force=True)
    third = place.accepted(starting._replace(reason="it has to be"), by=place.actor._replace(scope=OPERATOR.scope))
    assert place.slots()[2] == third["id"]
    assert list(place.slots().values()).count(third["id"]) == 1


def test_superseding_oneself_keeps_the_slot(place: Place) -> None:
    place.register(1)
    place.begin("a")
    again = place.begin("a", supersede=True)
    assert place.slots() == {1: again["id"]}


def test_a_refused_start_takes_nothing(place: Place) -> None:
    place.register(2)
    held = place.begin("a", exclusive=True)
    refusal = place.refused(begin("a", exclusive=True)._replace(holder_id="another"))
    assert refusal.code == Code.LEASE_HELD
    assert place.slots() == {1: held["id"], 2: None}


def test_a_report_of_what_ran_meanwhile_takes_no_slot(place: Place) -> None:
    place.register(1)
    about = About(machine_id=MACHINE, slot=1)
    place.accepted(ReportSession("client-1", "s", "claude", "h", 0, 1, EndReason.COMPLETED, about=about))
    assert place.slots() == {1: None}


def test_a_disabled_slot_is_passed_over(place: Place) -> None:
    place.register(2)
    place.accepted(ChangeMachine(MACHINE, Said(slots=(GivenSlot(1, (("is_disabled", True),)),), is_whole=False)))
    refusal = place.refused(begin("a", slot=1))
    assert refusal.code == Code.SLOT_DISABLED
    assert Action.REPEAT_WITH_ANY_SLOT in {way.action for way in refusal.ways_out}
    assert place.begin("a")["slot"] == 2
    assert place.refused(begin("b")).code == Code.NO_FREE_SLOT
    registered = place.register(2)
    assert [slot["status"] for slot in registered["slots"]] == ["disabled", "taken"]


def test_a_slot_that_is_taken_goes_once_its_session_lets_go(place: Place) -> None:
    place.register(3)
    place.begin("a"), place.begin("b")
    third = place.begin("c")
    assert place.register(1)["slot_count"] == 1
    assert list(place.slots()) == [1, 2, 3]
    place.accepted(EndSession(third["id"], None, EndReason.COMPLETED))
    assert list(place.slots()) == [1, 2]
    assert place.refused(begin("d")).data["limit"] == 1
    assert place.refused(begin("d", slot=2)).code == Code.VALIDATION_FAILED
    assert place.register(2)["slot_count"] == 2
    assert place.refused(begin("d", slot=2)).code == Code.SLOT_OCCUPIED


def test_a_machine_has_no_more_slots_than_a_start_looks_through(place: Place) -> None:
    place.register(SLOTS_MAX)
    more = Said(slots=(GivenSlot(SLOTS_MAX + 1),), is_whole=False)
    assert place.refused(ChangeMachine(MACHINE, more)).errors == (
        FieldError("slots", f"must not be more than {SLOTS_MAX}"),
    )


def test_in_maintenance_nothing_begins_and_what_runs_goes_on(place: Place) -> None:
    place.register(2)
    running = place.begin("a")
    place.accepted(ChangeMachine(MACHINE, Said(status=MachineStatus.MAINTENANCE), "new disks"))
    refusal = place.refused(begin("b"))
    assert refusal.code == Code.MACHINE_IN_MAINTENANCE
    assert WayOut(Action.BRING_ONLINE, target=MACHINE) in refusal.ways_out
    place.world.caller.serve(MACHINE_LEASE_MS)
    place.world.caller.sweep()
    assert place.accepted(MachineHeartbeat(MACHINE))["status"] == "maintenance"
    assert place.accepted(Heartbeat(running["id"]))["reactivated"]
    place.accepted(ChangeMachine(MACHINE, Said(status=MachineStatus.ONLINE)))
    assert place.begin("b")["slot"] == 2
    assert place.told() == ["machine.online", "machine.maintenance", "machine.online"]


def test_a_silent_machine_goes_offline_once_and_comes_back_with_a_beat(place: Place) -> None:
    place.register(1)
    running = place.begin("a", policy=REVIVABLE._replace(lease_ms=10 * LEASE_MS, fail_after_ms=None))
    place.world.caller.serve(MACHINE_LEASE_MS - 1)
    place.world.caller.sweep()
    assert place.machine().status == MachineStatus.ONLINE
    place.accepted(MachineHeartbeat(MACHINE))
    place.world.caller.serve(MACHINE_LEASE_MS - 1)
    place.world.caller.sweep()
    assert place.machine().status == MachineStatus.ONLINE
    place.world.caller.serve(1)
    place.world.caller.sweep()
    place.world.caller.sweep()
    assert place.machine().status == MachineStatus.OFFLINE
    assert place.slots() == {1: running["id"]}
    assert place.accepted(MachineHeartbeat(MACHINE))["status"] == "online"
    assert place.told() == ["machine.online", "machine.offline", "machine.online"]


def test_a_machine_that_leaves_is_offline_at_once(place: Place) -> None:
    place.register(1)
    for _ in range(2):
        body = place.accepted(MachineHeartbeat(MACHINE, is_leaving=True))
        assert (body["status"], body["next_heartbeat_at_ms"]) == ("offline", None)
    assert place.told() == ["machine.online", "machine.offline"]


def test_a_machine_is_deleted_only_when_nobody_is_in_it(place: Place) -> None:
    place.register(2)
    held = place.begin("a")
    refusal = place.refused(DeleteMachine(MACHINE))
    assert (refusal.code, refusal.data["usage"]) == (Code.MACHINE_OCCUPIED, 1)
    assert WayOut(Action.END, held["id"]) in refusal.ways_out
    place.world.caller.serve(LEASE_MS)
    assert place.accepted(DeleteMachine(MACHINE))["deleted"] == {"machines": 1, "slots": 2}
    assert place.slots() == {}
    assert place.refused(DeleteMachine(MACHINE)).code == Code.NOT_FOUND
    assert place.accepted(Heartbeat(held["id"]))["reactivated"]


def test_another_accounts_machine_is_as_one_that_there_is_not(place: Place) -> None:
    other = Place(place.world, actor(f"{place.actor.account_id}-other"))
    other.register(1)
    assert place.refused(MachineHeartbeat(MACHINE)).code == Code.NOT_FOUND
    assert place.begin("a", slot=9)["slot"] == 9
    assert other.slots() == {1: None}


def test_a_promise_is_checked_and_the_rest_follows(place: Place) -> None:
    body = place.register(0, heartbeat_interval_ms=10_000)
    assert (body["heartbeat_interval_ms"], body["lease_ms"]) == (10_000, 30_000)
    body = place.register(0, lease_ms=60_000)
    assert (body["heartbeat_interval_ms"], body["lease_ms"]) == (20_000, 60_000)
    assert place.register(0)["lease_ms"] == 60_000
    for bad in (Said(lease_ms=999), Said(lease_ms=5_000, heartbeat_interval_ms=5_000)):
        assert place.refused(RegisterMachine(MACHINE, bad)).code == Code.VALIDATION_FAILED
    place.world.caller.serve(60_000)
    place.world.caller.sweep()
    assert place.machine().status == MachineStatus.OFFLINE
