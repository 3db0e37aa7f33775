"""What the health checks answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, Count


class Health(msgspec.Struct):
    """The process answers."""

    status: Annotated[str, Meta(extra_json_schema={"const": "ok"})]


class Ready(msgspec.Struct):
    """A write was committed just now."""

    status: Annotated[str, Meta(extra_json_schema={"const": "ready"})]


class HealthFault(msgspec.Struct):
    """What is wrong with a node."""

    code: Annotated[str, Meta(examples=["store_unwritable"])]
    detail: str


class StoreHealth(msgspec.Struct):
    """How a trial read and a trial write fared; no error: null."""

    read_error: str | None
    read_seconds: float
    write_error: str | None
    write_seconds: float


class LastBatch(msgspec.Struct):
    """The last transaction of the writer."""

    commands: Count
    took_seconds: float
    age_seconds: float


class WriterHealth(msgspec.Struct):
    """How the writer fares."""

    takes_commands: bool
    queue_depth: Count
    busy_seconds: Annotated[float, Meta(description="For how long it has been at its present batch.")]
    last_batch: LastBatch | None


class SweeperHealth(msgspec.Struct):
    """How the sweeper fares, which finds the sessions that fell silent."""

    is_alive: bool
    age_seconds: Annotated[float, Meta(description="Since it last finished a pass.")]
    took_seconds: float
    examined: Count
    changed: Count


class RequestLogHealth(msgspec.Struct):
    """How the request log fares."""

    waiting: Annotated[int, Meta(ge=0, description="Lines that are not written yet.")]
    lag_seconds: float
    dropped: Annotated[int, Meta(ge=0, description="Lines that were lost.")]


class ServiceTime(msgspec.Struct):
    """The clock by which leases run."""

    now_at: At
    tick_age_seconds: Annotated[float, Meta(description="Since any node last ticked it.")]
    paused_seconds: Annotated[float, Meta(description="Time that counts for no lease: no node was serving.")]


class HealthDetail(msgspec.Struct):
    """How a node fares, the faults first."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["ok", "degraded", "failing"]})]
    problems: list[HealthFault]
    version: str
    uptime_seconds: float
    store: StoreHealth
    writer: WriterHealth
    sweeper: SweeperHealth | None
    request_log: RequestLogHealth
    service_time: Annotated[ServiceTime | None, Meta(description="Null where the store could not be read.")]


DESCRIBED: Mapping[str, Described] = {
    "GET /health": Described("health", {200: Health}),
    "GET /health/live": Described("health_live", {200: Health}),
    "GET /health/ready": Described("health_ready", {200: Ready}, ("not_ready",)),
    "GET /health/detail": Described("health_detail", {200: HealthDetail}),
}
