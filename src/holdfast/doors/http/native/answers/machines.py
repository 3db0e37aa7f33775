"""What machines and their slots answer."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.errors import Code
from holdfast.domain.machine import MachineStatus, SlotStatus
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, Count, Interval, MachineId, NextCursor, Seconds, Soon, Total


class Slot(msgspec.Struct, kw_only=True):
    """A place on a machine in which one session at a time runs."""

    number: Annotated[int, Meta(ge=0, examples=[1])]
    label: str | None
    container_id: str | None
    cpu: Annotated[float | None, Meta(description="Processors; 0.5 is half of one.", examples=[2])]
    memory_mb: Annotated[int | None, Meta(examples=[4096])]
    status: Annotated[SlotStatus, Meta(examples=["free"])]
    session_id: Annotated[str | None, Meta(description="Who is in it.")]
    since: Annotated[At, Meta(description="Since when it is taken, free or disabled.")]


class MachineBeat(msgspec.Struct, kw_only=True):
    """A machine was heard."""

    id: MachineId
    status: Annotated[MachineStatus, Meta(examples=["online"])]
    last_heartbeat_at: At
    next_heartbeat_at: Soon
    heartbeat_interval_seconds: Interval
    lease_expires_at: Soon


class Machine(MachineBeat, kw_only=True):
    """A machine and its slots."""

    hostname: Annotated[str | None, Meta(examples=["build-7"])]
    boot_id: str | None
    status_changed_at: At
    available: Annotated[bool, Meta(description="It is online and has a free slot, or has no slots at all.")]
    capacity: Annotated[dict[str, Any] | None, Meta(description="The caller's own JSON.")]
    slot_count: Count
    slots_free: Count
    slots: list[Slot]
    lease_seconds: Seconds
    registered_at: At


class MachineList(msgspec.Struct):
    """A page of machines, by id."""

    items: list[Machine]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


class DeletedMachineRows(msgspec.Struct):
    """How much was deleted, by kind."""

    machines: Count
    slots: Count


class DeletedMachine(msgspec.Struct):
    """A machine that is forgotten, and what went with it."""

    id: MachineId
    deleted: DeletedMachineRows


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/machines": Described(
        "register_machine",
        {200: Machine, 201: Machine},
        (),
        {"machine_id": "build-7", "hostname": "build-7.example.com", "slot_count": 4, "capacity": {"cpu": 16}},
    ),
    "GET /v1/machines": Described("list_machines", {200: MachineList}, (Code.CURSOR_INVALID,)),
    "GET /v1/machines/available": Described("list_available_machines", {200: MachineList}, (Code.CURSOR_INVALID,)),
    "GET /v1/machines/{id}": Described("read_machine", {200: Machine}, (Code.NOT_FOUND,)),
    "PATCH /v1/machines/{id}": Described(
        "patch_machine", {200: Machine}, (Code.NOT_FOUND,), {"status": "maintenance", "reason": "new disks"}
    ),
    "DELETE /v1/machines/{id}": Described(
        "delete_machine", {200: DeletedMachine}, (Code.NOT_FOUND, Code.MACHINE_OCCUPIED)
    ),
    "POST /v1/machines/{id}/heartbeat": Described("machine_heartbeat", {200: MachineBeat}, (Code.NOT_FOUND,), {}),
}
