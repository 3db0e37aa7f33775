"""Machines, and the slots on them in which sessions run.

A machine is there while it says so: it beats, on a lease in service time as a session's. One that falls silent is
offline, which says nothing about its sessions: those are judged by their own beats. A slot is held by a live session,
or by none.
"""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.ids import AccountId, KeyId, MachineId, SessionId
from holdfast.domain.limits import LEASE_MS_MAX, LEASE_MS_MIN, MINUTE_MS, SECOND_MS
from holdfast.domain.service_time import Moment

HEARTBEAT_INTERVAL_MS_DEFAULT = MINUTE_MS
"""How often a machine beats that does not say how often."""

BEATS_PER_LEASE = 3


class MachineStatus(StrEnum):
    """What is known of a machine. One in maintenance takes no new sessions, and is left alone by time."""

    ONLINE = "online"
    OFFLINE = "offline"
    MAINTENANCE = "maintenance"


class SlotStatus(StrEnum):
    """Whether a session can start in a slot."""

    FREE = "free"
    TAKEN = "taken"
    DISABLED = "disabled"


class Machine(NamedTuple):
    """One machine, by an id of its own that outlives its hostname and its boots.

    due_ms: the service time at which it counts as silent; moved by every beat, never indexed. None: it does not.
    check_due_ms: when the sweeper looks next, never later than `due_ms`; indexed, so beats leave it alone.
    offline_at_ms: since when it is offline, wall clock; None: it is not.
    capacity_json: free JSON, as text.
    """

    account_id: AccountId
    id: MachineId
    hostname: str | None
    boot_id: str | None
    capacity_json: str | None
    status: MachineStatus
    status_at_ms: int
    lease_ms: int
    heartbeat_interval_ms: int
    due_ms: int | None
    check_due_ms: int | None
    last_heartbeat_at_ms: int
    offline_at_ms: int | None
    registered_at_ms: int
    key_id: KeyId


class Slot(NamedTuple):
    """A place on a machine in which one session at a time runs.

    cpu_millis: thousandths of a processor. is_disabled: no further session starts in it.
    is_retired: the machine has it no longer, and it goes as soon as its session lets go of it.
    since_at_ms: since when it is taken, free or disabled, wall clock.
    """

    account_id: AccountId
    machine_id: MachineId
    number: int
    label: str | None
    container_id: str | None
    cpu_millis: int | None
    memory_mb: int | None
    is_disabled: bool
    is_retired: bool
    session_id: SessionId | None
    since_at_ms: int


class Presence(NamedTuple):
    """How often a machine promises to beat, and how long it may be silent."""

    heartbeat_interval_ms: int
    lease_ms: int


class ChangedMachine(NamedTuple):
    """A machine after something happened to it, and what it was, in order."""

    machine: Machine
    happenings: tuple[Happening, ...] = ()


def presence(*, heartbeat_interval_ms: int | None, lease_ms: int | None, before: Presence | None) -> Presence:
    """What is promised, where what is not given follows from the rest. Raises: validation_failed."""
    if heartbeat_interval_ms is None and lease_ms is None:
        lease_ms = BEATS_PER_LEASE * HEARTBEAT_INTERVAL_MS_DEFAULT
        return before or Presence(HEARTBEAT_INTERVAL_MS_DEFAULT, lease_ms)
    if heartbeat_interval_ms is None:
        assert lease_ms is not None
        heartbeat_interval_ms = lease_ms // BEATS_PER_LEASE
    if lease_ms is None:
        lease_ms = BEATS_PER_LEASE * heartbeat_interval_ms
    if not LEASE_MS_MIN <= lease_ms <= LEASE_MS_MAX:
        message = f"must be between 1 and {LEASE_MS_MAX // SECOND_MS}"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("lease_seconds", message),))
    if not 0 < heartbeat_interval_ms < lease_ms:
        message = "must be greater than 0 and smaller than lease_seconds"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("heartbeat_interval_seconds", message),))
    return Presence(heartbeat_interval_ms, lease_ms)


def register(
    machine_id: MachineId, *, account_id: AccountId, key_id: KeyId, promised: Presence, now: Moment
) -> ChangedMachine:
    """A machine that nobody knew, online; registering it counts as a beat."""
    machine = Machine(
        account_id=account_id,
        id=machine_id,
        hostname=None,
        boot_id=None,
        capacity_json=None,
        status=MachineStatus.OFFLINE,
        status_at_ms=now.wall_ms,
        lease_ms=promised.lease_ms,
        heartbeat_interval_ms=promised.heartbeat_interval_ms,
        due_ms=None,
        check_due_ms=None,
        last_heartbeat_at_ms=now.wall_ms,
        offline_at_ms=None,
        registered_at_ms=now.wall_ms,
        key_id=key_id,
    )
    return _entered(machine, MachineStatus.ONLINE, rule=Rule.REQUESTED, now=now)


def settle(machine: Machine, *, now: Moment) -> ChangedMachine:
    """The machine as time has left it: offline once its lease is over, whether or not the sweeper has come by."""
    if machine.due_ms is None or now.service_ms < machine.due_ms:
        return ChangedMachine(machine)
    at_ms = now.wall(machine.due_ms)
    gone = machine._replace(
        status=MachineStatus.OFFLINE, status_at_ms=at_ms, due_ms=None, check_due_ms=None, offline_at_ms=at_ms
    )
    data = {**_about(machine), "last_heartbeat_at_ms": machine.last_heartbeat_at_ms, "lease_ms": machine.lease_ms}
    return ChangedMachine(gone, (Happening(EventType.MACHINE_OFFLINE, Rule.LEASE_LAPSED, at_ms, data),))


def beat(machine: Machine, *, now: Moment) -> ChangedMachine:
    """The machine says that it is there: a full lease, and online again if it was not. Maintenance goes on."""
    settled = settle(machine, now=now)
    machine = settled.machine._replace(last_heartbeat_at_ms=max(now.wall_ms, settled.machine.last_heartbeat_at_ms))
    if machine.status == MachineStatus.OFFLINE:
        back = _entered(machine, MachineStatus.ONLINE, rule=Rule.BEAT_AFTER_LAPSE, now=now)
        return back._replace(happenings=(*settled.happenings, *back.happenings))
    if machine.status == MachineStatus.ONLINE:
        # An acknowledged beat is never moved back, even where service time seems to step back.
        machine = machine._replace(due_ms=max(machine.due_ms or 0, now.service_ms + machine.lease_ms))
    return settled._replace(machine=machine)


def leave(machine: Machine, *, now: Moment) -> ChangedMachine:
    """The machine's last word: it is offline from now on. Maintenance goes on."""
    settled = settle(machine, now=now)
    heard = settled.machine._replace(last_heartbeat_at_ms=max(now.wall_ms, settled.machine.last_heartbeat_at_ms))
    if heard.status != MachineStatus.ONLINE:
        return settled._replace(machine=heard)
    return _entered(heard, MachineStatus.OFFLINE, rule=Rule.REQUESTED, now=now)


def promise(machine: Machine, promised: Presence, *, now: Moment) -> Machine:
    """The machine under another promise, counted from now."""
    if (machine.heartbeat_interval_ms, machine.lease_ms) == promised:
        return machine
    machine = machine._replace(heartbeat_interval_ms=promised.heartbeat_interval_ms, lease_ms=promised.lease_ms)
    if machine.status != MachineStatus.ONLINE:
        return machine
    due_ms = now.service_ms + machine.lease_ms
    return machine._replace(due_ms=due_ms, check_due_ms=due_ms)


def declare(machine: Machine, status: MachineStatus, *, now: Moment) -> ChangedMachine:
    """Somebody says what the machine is; said again it changes nothing."""
    settled = settle(machine, now=now)
    if settled.machine.status == status:
        return settled
    declared = _entered(settled.machine, status, rule=Rule.REQUESTED, now=now)
    return declared._replace(happenings=(*settled.happenings, *declared.happenings))


def rescheduled(machine: Machine) -> Machine:
    """The machine with its next check moved to its deadline: what the sweeper leaves behind."""
    return machine._replace(check_due_ms=machine.due_ms)


def removed(machine: Machine, *, rule: Rule, now: Moment) -> Happening:
    """What is told of a machine that is deleted."""
    return Happening(EventType.MACHINE_DELETED, rule, now.wall_ms, _about(machine))


def require_open(machine: Machine) -> None:
    """Refuse a session that would begin on a machine in maintenance. Raises: machine_in_maintenance."""
    if machine.status == MachineStatus.MAINTENANCE:
        ways_out = (WayOut(Action.BRING_ONLINE, target=machine.id), *elsewhere(machine))
        raise Refusal(Code.MACHINE_IN_MAINTENANCE, machine_id=machine.id, ways_out=ways_out)


def elsewhere(machine: Machine) -> tuple[WayOut, ...]:
    """What somebody can do who cannot begin on a machine."""
    return (
        WayOut(Action.READ_MACHINE, target=machine.id),
        WayOut(Action.READ_AVAILABLE_MACHINES),
        WayOut(Action.REPEAT_WITHOUT_MACHINE),
    )


def slot_status(slot: Slot) -> SlotStatus:
    """Whether a session can start in a slot."""
    if slot.session_id is not None:
        return SlotStatus.TAKEN
    return SlotStatus.DISABLED if slot.is_disabled else SlotStatus.FREE


def is_free(slot: Slot) -> bool:
    """Whether a session can start in a slot."""
    return slot_status(slot) == SlotStatus.FREE and not slot.is_retired


def taken(slot: Slot, session_id: SessionId, *, now: Moment) -> Slot:
    """The slot with a session in it."""
    assert slot.session_id in (None, session_id), "a slot has one session at a time"
    return slot if slot.session_id == session_id else slot._replace(session_id=session_id, since_at_ms=now.wall_ms)


def released(slot: Slot, *, now: Moment) -> Slot | None:
    """The slot without its session; None where the machine has it no longer."""
    return None if slot.is_retired else slot._replace(session_id=None, since_at_ms=now.wall_ms)


def _entered(machine: Machine, status: MachineStatus, *, rule: Rule, now: Moment) -> ChangedMachine:
    due_ms = now.service_ms + machine.lease_ms if status == MachineStatus.ONLINE else None
    changed = machine._replace(
        status=status,
        status_at_ms=now.wall_ms,
        due_ms=due_ms,
        check_due_ms=due_ms,
        offline_at_ms=now.wall_ms if status == MachineStatus.OFFLINE else None,
    )
    return ChangedMachine(changed, (Happening(_EVENT[status], rule, now.wall_ms, _about(machine)),))


_EVENT = {
    MachineStatus.ONLINE: EventType.MACHINE_ONLINE,
    MachineStatus.OFFLINE: EventType.MACHINE_OFFLINE,
    MachineStatus.MAINTENANCE: EventType.MACHINE_MAINTENANCE,
}


def _about(machine: Machine) -> Data:
    return {"machine_id": machine.id, "hostname": machine.hostname}
