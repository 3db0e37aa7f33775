"""Alert rules: what is wrong with a session although its status does not say so, told once for as long as it lasts.

An alert is over as soon as what it tells of is: the holder beats or works again, or its session comes to another
status. Lateness needs no rule of its own where a webhook asks for `session.late`.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.events import EventType, Happening, Rule
from holdfast.domain.ids import AccountId, AlertRuleId, KeyId, SessionId
from holdfast.domain.limits import DAY_MS, MINUTE_MS, SECOND_MS
from holdfast.domain.liveness import Liveness, liveness
from holdfast.domain.service_time import Moment
from holdfast.domain.session import Session, Status

RULES_MAX = 50
"""Rules of an account: each is a question to the store about all of its sessions."""

AFTER_MS_MIN = SECOND_MS
AFTER_MS_MAX = 365 * DAY_MS

DETECTION_QUIET_MS = 15 * MINUTE_MS
"""After so long without another late detection, an alert of it is over."""

MARK_SHARE = 8
"""Progress is looked at so often within the time after which its absence is told: so it is told an eighth late at most,
and never early."""


class AlertType(StrEnum):
    """What a rule is about."""

    LATE = "late"
    NO_PROGRESS = "no_progress"
    PARKED = "parked"
    DETECTION_LATE = "detection_late"


EVENTS: Final = {
    AlertType.LATE: EventType.LATE,
    AlertType.NO_PROGRESS: EventType.NO_PROGRESS,
    AlertType.PARKED: EventType.PARKED_LONG,
    AlertType.DETECTION_LATE: EventType.DETECTED_LATE,
}
"""By which event an alert is told."""

ALERT_EVENTS: Final = frozenset({*EVENTS.values(), EventType.ALERT_RESOLVED})
"""Events that change no session."""

AFTER_MS_DEFAULT: Final = {
    AlertType.NO_PROGRESS: 30 * MINUTE_MS,
    AlertType.PARKED: DAY_MS,
    AlertType.DETECTION_LATE: 5 * SECOND_MS,
}
"""Lateness is not among them: the session's own grace decides when it is late."""


class AlertRule(NamedTuple):
    """What somebody wants to be told of. after_ms: how long it has to last; None for lateness.

    project_id, agent: only sessions of these; None: any.
    """

    id: AlertRuleId
    account_id: AccountId
    name: str | None
    type: AlertType
    after_ms: int | None
    project_id: str | None
    agent: str | None
    is_enabled: bool
    created_at_ms: int
    created_by: KeyId


class Alert(NamedTuple):
    """An alert that was told and is not over. seen_at_ms: when what it tells of was last seen, wall clock."""

    account_id: AccountId
    rule_id: AlertRuleId
    session_id: SessionId
    opened_at_ms: int
    seen_at_ms: int


class ProgressMark(NamedTuple):
    """Where a session's work stood when it was looked at, and since when.

    since_ms: in service time, so that it does not pass while no server runs.
    """

    session_id: SessionId
    account_id: AccountId
    progress: int
    checkpoint_count: int
    since_ms: int


def implied_late(account_id: AccountId) -> AlertRule:
    """The rule that an account has whose webhooks ask to be told of lateness."""
    return AlertRule(
        id=AlertRuleId("implied"),
        account_id=account_id,
        name=None,
        type=AlertType.LATE,
        after_ms=None,
        project_id=None,
        agent=None,
        is_enabled=True,
        created_at_ms=0,
        created_by=KeyId(""),
    )


def check_after(alert_type: AlertType, after_ms: int | None) -> int | None:
    """The time after which an alert is told. Raises: validation_failed."""
    if alert_type == AlertType.LATE:
        if after_ms is not None:
            raise _invalid("does not go with late: a session is late by the grace_seconds of its own policy")
        return None
    after_ms = AFTER_MS_DEFAULT[alert_type] if after_ms is None else after_ms
    if not AFTER_MS_MIN <= after_ms <= AFTER_MS_MAX:
        raise _invalid(f"must be between {AFTER_MS_MIN // SECOND_MS} and {AFTER_MS_MAX // SECOND_MS}")
    return after_ms


def _invalid(message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError("after_seconds", message),))


def is_about(rule: AlertRule, session: Session, *, project_id: str | None) -> bool:
    """Whether a rule looks at a session at all."""
    return rule.agent in (None, session.agent) and rule.project_id in (None, project_id)


def since_ms(rule: AlertRule, session: Session, mark: ProgressMark | None, *, now: Moment) -> int | None:
    """Since when what a rule is about has been so, wall clock; None where it is not so.

    session: as time has left it.
    """
    match rule.type:
        case AlertType.LATE:
            if liveness(session, now=now) != Liveness.LATE:
                return None
            assert session.due_ms is not None
            interval_ms = session.heartbeat_interval_ms or 0
            return now.wall(session.due_ms - session.lease_ms + interval_ms + session.grace_ms)
        case AlertType.NO_PROGRESS:
            after_ms = rule.after_ms or 0
            is_still = mark is not None and session.status == Status.ACTIVE and is_at(mark, session)
            if mark is None or not is_still or now.service_ms < mark.since_ms + after_ms:
                return None
            return now.wall(mark.since_ms + after_ms)
        case AlertType.PARKED:
            at_ms = session.status_at_ms + (rule.after_ms or 0)
            return at_ms if session.status == Status.PARKED and now.wall_ms >= at_ms else None
        case AlertType.DETECTION_LATE:
            return None


def is_at(mark: ProgressMark, session: Session) -> bool:
    """Whether a session is where it was when it was marked."""
    return (mark.progress, mark.checkpoint_count) == (session.progress, session.checkpoint_count)


def told(rule: AlertRule, session: Session, mark: ProgressMark | None, *, at_ms: int, now: Moment) -> Happening:
    """What is told as an alert begins."""
    facts: dict[str, str | int | bool | None] = {"alert": str(rule.type), "rule_id": rule.id, "name": rule.name}
    facts |= {"agent": session.agent, "scope": session.scope}
    if rule.type == AlertType.LATE and session.due_ms is not None:
        facts["last_heartbeat_at_ms"] = session.last_heartbeat_at_ms
        facts["lease_expires_at_ms"] = now.wall(session.due_ms)
    elif mark is not None:
        facts |= {"progress": mark.progress, "since_at_ms": now.wall(mark.since_ms), "after_ms": rule.after_ms}
    else:
        facts |= {"parked_at_ms": session.status_at_ms, "after_ms": rule.after_ms}
    return Happening(EVENTS[rule.type], Rule.ALERT_RULE, at_ms, facts)


def resolved(rule: AlertRule, alert: Alert, *, status: str, now: Moment) -> Happening:
    """What is told as an alert is over. status: of its session by now."""
    facts: dict[str, str | int | bool | None] = {"alert": str(rule.type), "rule_id": rule.id, "name": rule.name}
    facts |= {"opened_at_ms": alert.opened_at_ms, "status": status}
    return Happening(EventType.ALERT_RESOLVED, Rule.ALERT_RULE, now.wall_ms, facts)


def told_of_detection(rule: AlertRule, *, at_ms: int, delay_ms: int) -> Happening:
    """What is told where a lapse was found late: the server's own failing."""
    facts: dict[str, str | int | bool | None] = {"alert": str(rule.type), "rule_id": rule.id, "name": rule.name}
    facts |= {"delay_ms": delay_ms, "after_ms": rule.after_ms}
    return Happening(EVENTS[rule.type], Rule.ALERT_RULE, at_ms, facts)
