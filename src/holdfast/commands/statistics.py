"""What is asked of the store for `GET /v1/stats`: figures of sessions and events over a time, by group."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.ids import AccountId


class Grouping(StrEnum):
    """What figures are told for each of. Days are of UTC."""

    DAY = "day"
    AGENT = "agent"
    PROJECT = "project"
    ACCOUNT = "account"


class StatsAsked(NamedTuple):
    """Which figures. account_id, project_id: of these only; None: of all.

    from_at_ms, to_at_ms: of sessions that started, and of events that were recorded, from the one to before the other.
    sessions_max, events_max: how many rows of each are read at most, the newest ones; older ones are left out.
    """

    by: Grouping
    account_id: AccountId | None
    project_id: str | None
    from_at_ms: int
    to_at_ms: int
    sessions_max: int
    events_max: int


class SessionFigures(NamedTuple):
    """Sessions of a group with one status and end reason. ended: those that have an end; durations are theirs."""

    group: str | int | None
    status: str
    end_reason: str | None
    sessions: int
    ended: int
    duration_ms: int
    longest_ms: int


class EventFigures(NamedTuple):
    """Events of a group with one type and rule. delays: from when it took effect to when it was recorded."""

    group: str | int | None
    type: str
    rule: str
    events: int
    delay_ms: int
    longest_ms: int
    within_second: int


class Figures(NamedTuple):
    """All of it. sessions_from, events_from: where older rows were left out, from when on they were read."""

    sessions: list[SessionFigures]
    events: list[EventFigures]
    sessions_from_at_ms: int | None
    events_from_at_ms: int | None
