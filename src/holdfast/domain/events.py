"""Events: every change of a session's state, once, numbered per account in the order of commits."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Action, Code, Refusal, WayOut
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
    RECOVERED = "session.recovered"
    QUARANTINED = "session.quarantined"
    ENDED = "session.ended"
    STOP_REQUESTED = "session.stop_requested"
    ARCHIVED = "session.archived"
    DELETED = "session.deleted"
    HANDOFF_CREATED = "handoff.created"
    HANDOFF_ACKNOWLEDGED = "handoff.acknowledged"
    HANDOFF_DONE = "handoff.done"
    HANDOFF_RETURNED = "handoff.returned"
    HANDOFF_WITHDRAWN = "handoff.withdrawn"
    HANDOFF_SUPERSEDED = "handoff.superseded"
    HANDOFF_EXPIRED = "handoff.expired"
    MACHINE_ONLINE = "machine.online"
    MACHINE_OFFLINE = "machine.offline"
    MACHINE_MAINTENANCE = "machine.maintenance"
    MACHINE_DELETED = "machine.deleted"
    PROJECT_CREATED = "project.created"
    PROJECT_CHANGED = "project.changed"
    TASK_CREATED = "task.created"
    TASK_CHANGED = "task.changed"
    TASK_STARTED = "task.started"
    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
    TASK_BLOCKED = "task.blocked"
    TASK_RELEASED = "task.released"
    TASK_REQUEUED = "task.requeued"
    TASK_DELETED = "task.deleted"
    LATE = "session.late"
    NO_PROGRESS = "session.no_progress"
    PARKED_LONG = "session.parked_long"
    DETECTED_LATE = "session.detected_late"
    ALERT_RESOLVED = "alert.resolved"


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
    RECOVERED = "recovered"
    RECOVERIES_SPENT = "recoveries_spent"
    RETENTION_PASSED = "retention_passed"
    SESSION_LET_GO = "session_let_go"
    NAMED_BY_SESSION = "named_by_session"
    ALERT_RULE = "alert_rule"


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
    session_id: empty where it happened to no session. project_id: kept here since an event outlives its session.
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
    project_id: str | None


class EventFilter(NamedTuple):
    """Which events somebody wants: those that have all of the given values. None: any."""

    type: str | None = None
    session_id: str | None = None
    project_id: str | None = None

    def given(self) -> dict[str, str]:
        """The values that are wanted, by column."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def within(self, project_id: str | None) -> "EventFilter":
        """The same for somebody who may see one project's events only; None: all of them."""
        if project_id is None or self.project_id == project_id:
            return self
        if self.project_id is None:
            return self._replace(project_id=project_id)
        # Of another project there are none, as of one that nobody has: no event is without a type.
        return self._replace(type="")

    def matches(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return (
            (self.type is None or self.type == event.type)
            and (self.session_id is None or self.session_id == event.session_id)
            and (self.project_id is None or self.project_id == event.project_id)
        )


class EventCursor(NamedTuple):
    """Where somebody stands in the events of an account: behind the event of this number.

    timeline: the name of the history that the number belongs to.
    """

    timeline: str
    number: int


class History(NamedTuple):
    """Which events of an account there are: all numbers from the first kept to the last assigned, without a gap.

    first_number: one more than the last where none is kept.
    """

    timeline: str
    first_number: int
    last_number: int


def require_kept(history: History, cursor: EventCursor) -> None:
    """Refuse a cursor from which a reader would miss events.

    It belongs to a history that was replaced, and so does one that stands behind the end; or the events after it are
    no longer kept.
    Raises: cursor_expired.
    """
    is_within = history.first_number - 1 <= cursor.number <= history.last_number
    if cursor.timeline != history.timeline or not is_within:
        raise Refusal(Code.CURSOR_EXPIRED, ways_out=(WayOut(Action.REPEAT_FROM_START),))


class EventReader(NamedTuple):
    """How far somebody who must not miss an event has carried out what follows from each, such as telling a webhook."""

    account_id: AccountId
    name: str
    last_number: int
    moved_at_ms: int


def advanced(reader: EventReader, *, number: int, now_ms: int) -> EventReader:
    """The reader behind the event of this number. It never goes back: a second worker may be late with the same."""
    return reader if number <= reader.last_number else reader._replace(last_number=number, moved_at_ms=now_ms)
