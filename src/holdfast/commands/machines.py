"""Machines: registered, heard, changed, deleted; and the slots in which sessions begin."""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body
from holdfast.commands.holding import audit, is_seen, record
from holdfast.commands.lists import AgeSearch, Filter, ListSpec, Operator
from holdfast.commands.releasing import require_held
from holdfast.commands.rows import Key, Need, both_keys
from holdfast.commands.slots import let_go, machine_key, slots_of
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle, machine
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.events import Happening, Rule
from holdfast.domain.ids import MachineId, SessionId
from holdfast.domain.limits import SLOTS_MAX
from holdfast.domain.machine import ChangedMachine, Machine, MachineStatus, Presence, Slot
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session
from holdfast.domain.times import rfc3339

MACHINE_LIST = ListSpec(
    "machines",
    (Machine,),
    {
        "status": (Filter("machine", "status"),),
        "hostname": (Filter("machine", "hostname"),),
        "q": (Filter("machine", "id", Operator.CONTAINS), Filter("machine", "hostname", Operator.CONTAINS)),
    },
    order="id",
    descending=False,
)

MACHINES_DUE = AgeSearch(Machine, "check_due_ms")
"""Machines by when they are to be looked at next, in service time."""

CHANGEABLE = ("hostname", "boot_id", "capacity_json")


class GivenSlot(NamedTuple):
    """What is said of a slot. fields: pairs of a column of it and its value; what is not named stays."""

    number: int
    fields: tuple[tuple[str, str | int | bool | None], ...] = ()


class Said(NamedTuple):
    """What is said of a machine.

    fields: pairs of a column in CHANGEABLE and its new value, None to clear it; what is not named stays.
    slots: None: as they are. is_whole: these are all its slots, and any other goes.
    """

    fields: tuple[tuple[str, str | None], ...] = ()
    status: MachineStatus | None = None
    heartbeat_interval_ms: int | None = None
    lease_ms: int | None = None
    slots: tuple[GivenSlot, ...] | None = None
    is_whole: bool = True


class RegisterMachine(NamedTuple):
    """Make a machine known, or say anew what it is; it counts as a beat."""

    machine_id: MachineId
    said: Said

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, the machine and its slots."""
        return account_key(actor.account_id), *_both(actor, self.machine_id)

    def decide(self, view: View) -> Reply:
        """The machine. Raises: validation_failed, not_found for an account that is gone."""
        require_account(view)
        known = view.get(Machine, view.actor.account_id, self.machine_id)
        if known is None:
            changed = machine.register(
                self.machine_id,
                account_id=view.actor.account_id,
                key_id=view.actor.key_id,
                promised=_promised(self.said, before=None),
                now=view.now,
            )
        else:
            changed = machine.beat(known, now=view.now)
        return _say(view, changed, self.said)._replace(created=known is None)


class ChangeMachine(NamedTuple):
    """Change what is known of a machine."""

    machine_id: MachineId
    said: Said
    reason: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The machine and its slots."""
        return _both(actor, self.machine_id)

    def decide(self, view: View) -> Reply:
        """The machine. Raises: not_found, validation_failed, forbidden."""
        _require_unbound(view.actor)
        before = find_machine(view, self.machine_id)
        changed = machine.settle(before, now=view.now)
        if self.said.status not in (None, changed.machine.status):
            data_json = f'{{"status":"{self.said.status}"}}'
            audit(view, AuditAction.MACHINE_DECLARED, target=before.id, reason=self.reason, data_json=data_json)
        return _say(view, changed, self.said)


class MachineHeartbeat(NamedTuple):
    """A machine says that it is there, or that it leaves."""

    machine_id: MachineId
    fields: tuple[tuple[str, str | None], ...] = ()
    is_leaving: bool = False

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The machine's row alone."""
        return (machine_key(actor.account_id, self.machine_id),)

    def decide(self, view: View) -> Reply:
        """What it is, and when to beat next. Raises: not_found."""
        act = machine.leave if self.is_leaving else machine.beat
        changed = act(find_machine(view, self.machine_id), now=view.now)
        row = changed.machine._replace(**dict(self.fields))  # type: ignore[arg-type]
        record_machine(view, changed._replace(machine=row))
        return Reply({"id": row.id, "status": str(row.status), **next_beat(row, now=view.now)})


class DeleteMachine(NamedTuple):
    """Forget a machine and its slots."""

    machine_id: MachineId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The machine and its slots."""
        return _both(actor, self.machine_id)

    def decide(self, view: View) -> Reply:
        """What was deleted. Raises: not_found, machine_occupied, forbidden."""
        _require_unbound(view.actor)
        row = find_machine(view, self.machine_id)
        free_lapsed(view, row)
        slots = find_slots(view, row)
        taken = [slot for slot in slots if slot.session_id is not None]
        if taken:
            ways_out = [WayOut(Action.END, slot.session_id) for slot in taken[:ENDS_SUGGESTED_MAX]]
            raise Refusal(
                Code.MACHINE_OCCUPIED,
                machine_id=row.id,
                usage=len(taken),
                ways_out=(WayOut(Action.READ_MACHINE, target=row.id), *ways_out),
            )
        remove_machine(view, row, rule=Rule.REQUESTED)
        audit(view, AuditAction.MACHINE_DELETED, target=row.id)
        return Reply({"id": row.id, "deleted": {"machines": 1, "slots": len(slots)}})


ENDS_SUGGESTED_MAX: Final = 1
"""Sessions of which a refusal says that they can be ended; reading the machine tells the others."""


class SweepMachines(NamedTuple):
    """Look at machines whose check is due, whatever their account; one that beat meanwhile is seen here."""

    keys: tuple[Key, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The machines' rows."""
        return self.keys

    def decide(self, view: View) -> Reply:
        """How many fell silent, and how many were only looked at."""
        count = 0
        for key in self.keys:
            row = view.get(Machine, *key.values)
            if row is None:
                continue
            settled = machine.settle(row, now=view.now)
            count += bool(settled.happenings)
            record_machine(view, settled._replace(machine=machine.rescheduled(settled.machine)))
        return Reply({"changed": count, "examined": len(self.keys)})


def take_slot(
    view: View, session_id: SessionId, *, machine_id: str | None, slot: int | None, preferred: int | None
) -> int | None:
    """Put a session that begins into a slot: the one asked for, else the preferred one, else the lowest that is free.

    Its number; None where the machine is not registered or has no slots, so that a number is a mere label.
    Raises: slot_occupied, slot_disabled, no_free_slot, machine_in_maintenance, validation_failed.
    """
    row = None if machine_id is None else view.get(Machine, view.actor.account_id, machine_id)
    if row is None:
        return None
    machine.require_open(machine.settle(row, now=view.now).machine)
    slots = [each for each in find_slots(view, row) if not each.is_retired]
    if not slots:
        return None
    if slot is not None:
        chosen = _asked_for(view, row, slots, number=slot, session_id=session_id)
    else:
        chosen = _any_free(view, row, session_id=session_id, preferred=preferred)
    view.put(machine.taken(chosen, session_id, now=view.now))
    return chosen.number


def leave_slot(view: View, session: Session, *, machine_id: str | None, slot: int | None) -> None:
    """Take a session out of the slot that it was in before it moved."""
    if machine_id is not None and slot is not None:
        row = view.get(Slot, session.account_id, machine_id, slot)
        if row is not None:
            let_go(view, session, row)


def free_lapsed(view: View, row: Machine, *, numbers: Collection[int] | None = None) -> None:
    """Have slots let go of by sessions whose lease is over and that no sweep has come to yet. numbers: None: all."""
    taken = [each for each in find_slots(view, row) if numbers is None or each.number in numbers]
    ids = [each.session_id for each in taken if each.session_id is not None]
    view.require(*[key for session_id in ids for key in both_keys(session_id)])
    sessions = [view.get(Session, session_id) for session_id in ids]
    settled = [lifecycle.settle(session, now=view.now) for session in sessions if session is not None]
    lapsed = [each for each in settled if each.happenings]
    require_held(view, [each.session for each in lapsed])
    for each in lapsed:
        record(view, each._replace(session=lifecycle.rescheduled(each.session)))


def _asked_for(view: View, row: Machine, slots: list[Slot], *, number: int, session_id: SessionId) -> Slot:
    if number not in {each.number for each in slots}:
        message = f"is not a slot of machine {row.id}, which has {_numbers(slots)}"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("slot", message),))
    free_lapsed(view, row, numbers=(number,))
    chosen = view.get(Slot, row.account_id, row.id, number)
    assert chosen is not None
    if chosen.session_id == session_id or machine.is_free(chosen):
        return chosen
    ways_out = list(machine.elsewhere(row))
    if any(machine.is_free(each) for each in find_slots(view, row)):
        ways_out.insert(0, WayOut(Action.REPEAT_WITH_ANY_SLOT))
    if chosen.session_id is None:
        raise Refusal(Code.SLOT_DISABLED, machine_id=row.id, slot=number, ways_out=tuple(ways_out))
    holder, told, holder_id = view.get(Session, chosen.session_id), "a session of another project", None
    if holder is not None and is_seen(view, holder):
        told, holder_id = f"session {holder.id} of {holder.agent}", holder.id
        ways_out.insert(0, WayOut(Action.EXPLAIN, holder.id))
    raise Refusal(
        Code.SLOT_OCCUPIED,
        machine_id=row.id,
        slot=number,
        holder=told,
        session_id=holder_id,
        ways_out=tuple(ways_out),
    )


def _any_free(view: View, row: Machine, *, session_id: SessionId, preferred: int | None) -> Slot:
    chosen = _first_free(view, row, session_id=session_id, preferred=preferred)
    if chosen is None:
        free_lapsed(view, row)
        chosen = _first_free(view, row, session_id=session_id, preferred=preferred)
    if chosen is None:
        count = sum(not each.is_retired for each in find_slots(view, row))
        raise Refusal(Code.NO_FREE_SLOT, machine_id=row.id, limit=count, ways_out=machine.elsewhere(row))
    return chosen


def _first_free(view: View, row: Machine, *, session_id: SessionId, preferred: int | None) -> Slot | None:
    """The slot that the session is in already, else the preferred one if it is free, else the lowest that is."""
    slots = find_slots(view, row)
    held = [each for each in slots if each.session_id == session_id]
    free = [each for each in slots if machine.is_free(each)]
    return next(iter([*held, *[each for each in free if each.number == preferred], *free]), None)


def _numbers(slots: list[Slot]) -> str:
    """Slots by their numbers, shortened where there are many in a row."""
    numbers = sorted(each.number for each in slots)
    is_row = numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2
    return f"{numbers[0]} to {numbers[-1]}" if is_row else ", ".join(map(str, numbers[:20]))


def _say(view: View, changed: ChangedMachine, said: Said) -> Reply:
    """Carry out what is said of a machine, and leave it in the view."""
    row = changed.machine
    row = machine.promise(row, _promised(said, before=Presence(row.heartbeat_interval_ms, row.lease_ms)), now=view.now)
    row = row._replace(**dict(said.fields))  # type: ignore[arg-type]
    happenings = changed.happenings
    if said.status is not None:
        declared = machine.declare(row, said.status, now=view.now)
        row, happenings = declared.machine, (*happenings, *declared.happenings)
    record_machine(view, ChangedMachine(row, happenings))
    if said.slots is not None:
        _lay_out(view, row, said.slots, is_whole=said.is_whole)
    slots = find_slots(view, row)
    return Reply(machine_body(row, slots, now=view.now, hidden=_hidden(view, slots)))


def _lay_out(view: View, row: Machine, given: tuple[GivenSlot, ...], *, is_whole: bool) -> None:
    """Let a machine have these slots. One that is taken stays until its session lets go of it."""
    known = {slot.number: slot for slot in find_slots(view, row)}
    for each in given:
        before = known.pop(each.number, None)
        slot = before or Slot(
            row.account_id, row.id, each.number, None, None, None, None, False, False, None, view.now.wall_ms
        )
        changes: dict[str, Any] = dict(each.fields)
        slot = slot._replace(is_retired=False, **changes)
        if before is not None and before.is_disabled != slot.is_disabled and slot.session_id is None:
            slot = slot._replace(since_at_ms=view.now.wall_ms)
        if slot != before:
            view.put(slot)
    for slot in known.values() if is_whole else ():
        if slot.session_id is None:
            view.delete(Key(Slot, slot[:3]))
        elif not slot.is_retired:
            view.put(slot._replace(is_retired=True))
    count = sum(not slot.is_retired for slot in find_slots(view, row))
    if count > SLOTS_MAX:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("slots", f"must not be more than {SLOTS_MAX}"),))


def _promised(said: Said, *, before: Presence | None) -> Presence:
    return machine.presence(heartbeat_interval_ms=said.heartbeat_interval_ms, lease_ms=said.lease_ms, before=before)


def record_machine(view: View, changed: ChangedMachine) -> None:
    """Leave a changed machine and what happened to it in the view."""
    view.put(changed.machine)
    tell_of_machine(view, changed.machine, changed.happenings)


def tell_of_machine(view: View, row: Machine, happenings: tuple[Happening, ...]) -> None:
    """Leave what happened to a machine to be told; it is of no session and no project."""
    if happenings:
        view.emit(happenings, session_id="", account_id=row.account_id, project_id=None)


def remove_machine(view: View, row: Machine, *, rule: Rule) -> None:
    """Delete a machine and its slots, none of which is taken."""
    for slot in find_slots(view, row):
        view.delete(Key(Slot, slot[:3]))
    view.delete(machine_key(row.account_id, row.id))
    tell_of_machine(view, row, (machine.removed(row, rule=rule, now=view.now),))


def find_machine(view: View, machine_id: MachineId) -> Machine:
    """A machine of the actor's account. Raises: not_found, the same for a foreign one as for none."""
    row = view.get(Machine, view.actor.account_id, machine_id)
    if row is None:
        raise machine_not_found()
    return row


def machine_not_found() -> Refusal:
    """The answer for a machine that there is not."""
    return Refusal(Code.NOT_FOUND, what="machine", ways_out=(WayOut(Action.REGISTER_MACHINE),))


def find_slots(view: View, row: Machine) -> list[Slot]:
    """All slots of a machine, by number."""
    return list(reversed(view.members(slots_of(row.account_id, row.id))))


def _both(actor: Actor, machine_id: str) -> tuple[Need, ...]:
    return machine_key(actor.account_id, machine_id), slots_of(actor.account_id, machine_id)


def _require_unbound(actor: Actor) -> None:
    """Refuse a key that is bound to a project: what a machine is concerns all projects. Raises: forbidden."""
    if actor.project_id is not None:
        require(actor, KeyScope.OPERATOR)


def _hidden(view: View, slots: list[Slot]) -> frozenset[str]:
    """Which sessions in the slots there are not for an actor that is bound to a project."""
    if view.actor.project_id is None:
        return frozenset()
    ids = [slot.session_id for slot in slots if slot.session_id is not None]
    view.require(*[key for session_id in ids for key in both_keys(session_id)])
    sessions = [view.get(Session, session_id) for session_id in ids]
    return frozenset(session.id for session in sessions if session is not None and not is_seen(view, session))


def machine_body(row: Machine, slots: list[Slot], *, now: Moment, hidden: Collection[str] = ()) -> Body:
    """A machine as everybody may see it. hidden: sessions of which only this is told, that they are there."""
    row = machine.settle(row, now=now).machine
    own = [slot for slot in slots if not slot.is_retired]
    free = sum(map(machine.is_free, own))
    return {
        "id": row.id,
        "hostname": row.hostname,
        "boot_id": row.boot_id,
        "status": str(row.status),
        "status_changed_at_ms": row.status_at_ms,
        "available": row.status == MachineStatus.ONLINE and (free > 0 or not own),
        "capacity_json": row.capacity_json,
        "slot_count": len(own),
        "slots_free": free,
        "slots": [slot_body(slot, hidden=hidden) for slot in slots],
        "lease_ms": row.lease_ms,
        **next_beat(row, now=now),
        "registered_at_ms": row.registered_at_ms,
    }


def slot_body(slot: Slot, *, hidden: Collection[str]) -> Body:
    """A slot as everybody may see it."""
    millis = slot.cpu_millis
    return {
        "number": slot.number,
        "label": slot.label,
        "container_id": slot.container_id,
        "cpu": None if millis is None else millis // 1_000 if millis % 1_000 == 0 else millis / 1_000,
        "memory_mb": slot.memory_mb,
        "status": str(machine.slot_status(slot)),
        "session_id": None if slot.session_id in hidden else slot.session_id,
        "since": rfc3339(slot.since_at_ms),
    }


def next_beat(row: Machine, *, now: Moment) -> Body:
    """When a machine was last heard, when it is to beat, and until when it counts as there; None: it does not."""
    is_online = row.due_ms is not None
    return {
        "last_heartbeat_at_ms": row.last_heartbeat_at_ms,
        "next_heartbeat_at_ms": now.wall_ms + row.heartbeat_interval_ms if is_online else None,
        "heartbeat_interval_ms": row.heartbeat_interval_ms,
        "lease_expires_at_ms": None if row.due_ms is None else now.wall(row.due_ms),
    }
