"""Events: every change of a session's state, once, numbered per account in the order of commits."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.ids import AccountId, EventId


class EventType(StrEnum):
    """What happened."""

    STARTED = "session.started"
    RESUMED = "session.resumed"
    PAUSED = "session.paused"
    PARKED = "session.parked"
    WAKE = "session.wake"
    STALLED = "session.stalled"
    REACTIVATED = "session.reactivated"
    FAILED = "session.failed"
    ABANDONED = "session.abandoned"
    TAKEN_OVER = "session.taken_over"
    ENDED = "session.ended"
    STOP_REQUESTED = "session.stop_requested"
    ARCHIVED = "session.archived"
    DELETED = "session.deleted"


class Rule(StrEnum):
    """Which rule brought a session into its state; what `explain` tells."""

    REQUESTED = "requested"
    LEASE_LAPSED = "lease_lapsed"
    FAIL_AFTER_PASSED = "fail_after_passed"
    GIVEN_UP = "given_up"
    WAKE_TIME_REACHED = "wake_time_reached"
    BEAT_AFTER_LAPSE = "beat_after_lapse"
    SUPERSEDED = "superseded"
    TAKEN_OVER = "taken_over"


Data = dict[str, str | int | bool | None]


class Happening(NamedTuple):
    """One change that a rule made, before it has an id or a number.

    at_ms: when it took effect, wall clock; for what time decides that is the deadline, not its discovery.
    """

    type: EventType
    rule: Rule
    at_ms: int
    data: Data


class Event(NamedTuple):
    """A happening as it is stored. `number` is assigned as it is saved, without gaps within an account.

    recorded_at_ms: when it was committed; its distance from `at_ms` is the delay of the detection.
    """

    account_id: AccountId
    number: int
    id: EventId
    type: EventType
    rule: Rule
    session_id: str
    at_ms: int
    recorded_at_ms: int
    actor: str
    correlation_id: str
    data_json: str
