"""What figures over a time answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.commands.statistics import Grouping
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import At, Count


class Durations(msgspec.Struct):
    """Of sessions that are over."""

    count: Count
    mean_seconds: float | None
    longest_seconds: float | None


class Detections(msgspec.Struct):
    """Of leases that ran out: how long after that it was recorded."""

    count: Count
    mean_seconds: float | None
    longest_seconds: float | None
    within_one_second: Count


class StatsFigures(msgspec.Struct, kw_only=True):
    """Figures of one group, or of all."""

    sessions: Annotated[int, Meta(ge=0, description="That started within the time.")]
    statuses: Annotated[dict[str, Count], Meta(description="As they are now.", examples=[{"ended": 7}])]
    end_reasons: Annotated[dict[str, Count], Meta(examples=[{"completed": 7}])]
    durations: Durations
    detections: Detections
    events: Annotated[dict[str, Count], Meta(description="Recorded within the time, by type.")]


class StatsItem(StatsFigures, kw_only=True):
    """Figures of one group."""

    key: Annotated[
        str | None, Meta(description="A day, or an agent's, project's or account's name.", examples=["2026-01-17"])
    ]


class Stats(msgspec.Struct, kw_only=True):
    """Figures over a time."""

    from_at: At
    to_at: At
    by: Annotated[Grouping, Meta(examples=["day"])]
    items: list[StatsItem]
    totals: StatsFigures
    sessions_from_at: Annotated[At | None, Meta(description="There were too many: older ones are left out.")]
    events_from_at: Annotated[At | None, Meta(description="There were too many: older ones are left out.")]


DESCRIBED: Mapping[str, Described] = {
    "GET /v1/stats": Described("read_stats", {200: Stats}),
}
