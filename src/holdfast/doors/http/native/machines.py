"""Routes for machines and their slots."""

from typing import Annotated, Any, Literal

import msgspec

from holdfast.commands.machines import (
    MACHINE_LIST,
    ChangeMachine,
    DeleteMachine,
    GivenSlot,
    MachineHeartbeat,
    RegisterMachine,
    Said,
)
from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import MachineId
from holdfast.domain.limits import INTEGER_MAX, META_BYTES_MAX, SLOT_NUMBER_MAX, SLOTS_MAX
from holdfast.domain.machine import MachineStatus, SlotStatus
from holdfast.domain.rate_limits import Budget
from holdfast.doors.http.call import Answer, Call, answered
from holdfast.doors.http.native.fields import Id, Name, Natural, Reason, Record, Seconds, free_json, ms
from holdfast.doors.http.native.paging import ListQuery, list_request, page_body
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine import queries

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

MILLIS = 1_000
CPU_MAX = 1_000_000

Cpu = Annotated[float, msgspec.Meta(ge=0, le=CPU_MAX)]
SlotCount = Annotated[int, msgspec.Meta(ge=0, le=SLOTS_MAX)]
SlotNumber = Annotated[int, msgspec.Meta(ge=0, le=SLOT_NUMBER_MAX)]


class SlotBody(Record):
    """One slot: what is not named stays as it is, null clears. `number`: by default its place in the list, from 1."""

    number: SlotNumber | None = None
    label: Name | Unset | None = UNSET
    container_id: Id | Unset | None = UNSET
    cpu: Cpu | Unset | None = UNSET
    memory_mb: Natural | Unset | None = UNSET
    status: Literal["free", "disabled"] | None = None


Slots = Annotated[list[SlotBody], msgspec.Meta(max_length=SLOTS_MAX)]


class AboutMachineBody(Record):
    """What is said of a machine: what is not named stays, null clears."""

    hostname: Name | Unset | None = UNSET
    boot_id: Id | Unset | None = UNSET
    capacity: dict[str, Any] | Unset | None = UNSET
    status: MachineStatus | None = None
    slot_count: Annotated[SlotCount | None, msgspec.Meta(description="Slots 1 to this, and no others.")] = None
    slots: Slots | None = None
    heartbeat_interval_seconds: Annotated[Seconds | None, msgspec.Meta(description="60 if not given.")] = None
    lease_seconds: Annotated[
        Seconds | None, msgspec.Meta(description="How long it may be silent; three intervals if not given.")
    ] = None


class MachineBody(AboutMachineBody):
    """`POST /v1/machines`. `slots` are all that it has. Of `machine_id` and `id` one will do; with none it gets one."""

    machine_id: Id | None = None
    id: Id | None = None


class PatchMachineBody(AboutMachineBody):
    """`PATCH /v1/machines/{id}`. `slots` are those that change or come; the others stay."""

    reason: Reason | None = None


class MachineHeartbeatBody(Record):
    """`POST …/heartbeat`."""

    hostname: Name | Unset = UNSET
    boot_id: Id | Unset = UNSET
    status: Annotated[
        Literal["online", "offline"], msgspec.Meta(description="`offline`: the machine's last word; it leaves.")
    ] = "online"


class MachinesQuery(ListQuery):
    """`GET /v1/machines`."""

    status: MachineStatus | None = None
    hostname: Name | None = None
    q: Name | None = None


def _machine_id(call: Call) -> MachineId:
    return MachineId(call.ids[0])


MACHINE_ID_BYTES = 16
"""Random bytes in the id of a machine that brings none."""


async def register(call: Call) -> Answer:
    """Make a machine known, or say anew what it is."""
    body: MachineBody = call.body
    if body.id is not None and body.machine_id not in (None, body.id):
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("id", "is another one than machine_id"),))
    machine_id = body.machine_id or body.id or f"mach_{call.core.random.take(MACHINE_ID_BYTES).hex()}"
    command = RegisterMachine(MachineId(machine_id), _said(body, is_whole=True))
    return answered(await call.execute(command))


async def list_machines(call: Call) -> Answer:
    """Machines and who is in their slots, by id."""
    query: MachinesQuery = call.query
    status = None if query.status is None else query.status.value
    filters: dict[str, str | int | bool | None] = {"status": status, "hostname": query.hostname, "q": query.q}
    request = list_request(MACHINE_LIST, call.actor.account_id, query, filters)
    return Answer(200, page_body(await call.core.read(queries.machines, call.actor, request), request))


async def list_available(call: Call) -> Answer:
    """Machines on which a session can begin: online, with a free slot or without slots."""
    query: ListQuery = call.query
    if query.include_total:
        message = "cannot be told here: which machines are available is found out for a page at a time"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("include_total", message),))
    filters: dict[str, str | int | bool | None] = {"status": MachineStatus.ONLINE.value}
    request = list_request(MACHINE_LIST, call.actor.account_id, query, filters, bound_to="available")
    page = await call.core.read(queries.machines, call.actor, request, only_available=True)
    return Answer(200, page_body(page, request, bound_to="available"))


async def read(call: Call) -> Answer:
    """One machine and its slots."""
    return Answer(200, await call.core.read(queries.machine, call.actor, _machine_id(call)))


async def patch(call: Call) -> Answer:
    """Change a machine, or put it into maintenance and out of it."""
    body: PatchMachineBody = call.body
    return answered(await call.execute(ChangeMachine(_machine_id(call), _said(body, is_whole=False), body.reason)))


async def delete(call: Call) -> Answer:
    """Forget a machine in none of whose slots a session runs."""
    return answered(await call.execute(DeleteMachine(_machine_id(call))))


async def heartbeat(call: Call) -> Answer:
    """Say that the machine is there."""
    body: MachineHeartbeatBody = call.body
    fields = tuple((name, value) for name in ("hostname", "boot_id") if (value := getattr(body, name)) is not UNSET)
    command = MachineHeartbeat(_machine_id(call), fields, is_leaving=body.status == "offline")
    return answered(await call.execute(command, is_beat=True))


def _said(body: AboutMachineBody, *, is_whole: bool) -> Said:
    """What a body says of a machine. Raises: validation_failed."""
    fields: list[tuple[str, str | None]] = [
        (name, getattr(body, name)) for name in ("hostname", "boot_id") if getattr(body, name) is not UNSET
    ]
    capacity = body.capacity
    if capacity is not UNSET:
        json = None if capacity is None else free_json(capacity, field="capacity", bytes_max=META_BYTES_MAX)
        fields.append(("capacity_json", json))
    return Said(
        fields=tuple(fields),
        status=body.status,
        heartbeat_interval_ms=ms(body.heartbeat_interval_seconds),
        lease_ms=ms(body.lease_seconds),
        slots=_slots(body),
        is_whole=is_whole or body.slot_count is not None,
    )


def _slots(body: AboutMachineBody) -> tuple[GivenSlot, ...] | None:
    """The slots that a body names. Raises: validation_failed."""
    if body.slots is None:
        return None if body.slot_count is None else tuple(map(GivenSlot, range(1, body.slot_count + 1)))
    numbers = [place if each.number is None else each.number for place, each in enumerate(body.slots, 1)]
    errors = []
    if body.slot_count not in (None, len(numbers)):
        errors.append(FieldError("slot_count", f"is not the number of slots given, {len(numbers)}"))
    if len(set(numbers)) < len(numbers):
        errors.append(FieldError("slots", "must not name a number twice"))
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=tuple(errors))
    return tuple(GivenSlot(number, _slot_fields(each)) for number, each in zip(numbers, body.slots, strict=True))


def _slot_fields(body: SlotBody) -> tuple[tuple[str, str | int | bool | None], ...]:
    plain = ("label", "container_id", "memory_mb")
    given: list[tuple[str, str | int | bool | None]] = [
        (name, getattr(body, name)) for name in plain if getattr(body, name) is not UNSET
    ]
    if body.cpu is not UNSET:
        given.append(("cpu_millis", None if body.cpu is None else round(body.cpu * MILLIS)))
    if body.status is not None:
        given.append(("is_disabled", body.status == SlotStatus.DISABLED.value))
    return tuple(given)


assert CPU_MAX * MILLIS <= INTEGER_MAX

ROUTES = [
    Route("POST", "/v1/machines", register, KeyScope.AGENT, body=MachineBody, is_mutating=True),
    Route("GET", "/v1/machines", list_machines, KeyScope.READ, query=MachinesQuery),
    Route("GET", "/v1/machines/available", list_available, KeyScope.READ, query=ListQuery),
    Route("GET", "/v1/machines/{id}", read, KeyScope.READ),
    Route("PATCH", "/v1/machines/{id}", patch, KeyScope.AGENT, body=PatchMachineBody, is_mutating=True),
    Route("DELETE", "/v1/machines/{id}", delete, KeyScope.AGENT, is_mutating=True),
    Route(
        "POST",
        "/v1/machines/{id}/heartbeat",
        heartbeat,
        KeyScope.AGENT,
        body=MachineHeartbeatBody,
        is_mutating=True,
        budget=Budget.HEARTBEATS,
        routine=Routine.HEARTBEAT,
    ),
]
