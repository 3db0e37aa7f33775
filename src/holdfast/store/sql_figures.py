"""Statements that look sessions and events over, for both dialects: for alert rules, and for figures."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from holdfast.commands.questions import Asked, Question
from holdfast.commands.rows import Value
from holdfast.commands.statistics import EventFigures, Figures, Grouping, SessionFigures, StatsAsked
from holdfast.domain.ids import ulid, ulid_at_ms
from holdfast.domain.limits import DAY_MS
from holdfast.store.sql import Dialect

_OPEN = "exists (select 1 from alert where alert.account_id = session.account_id and alert.rule_id = {0}"
_OPEN += " and alert.session_id = session.id)"

_MARK = "progress_mark on progress_mark.session_id = session.id"
_IS_AT = "progress_mark.progress = session.progress and progress_mark.checkpoint_count = session.checkpoint_count"

_QUESTIONS: dict[Question, tuple[str, str]] = {
    Question.LATE: (
        "",
        """session.status in ('active', 'paused') and session.due_ms > {0}
        and session.due_ms - session.lease_ms + session.heartbeat_interval_ms + session.grace_ms < {0}""",
    ),
    Question.PARKED: ("", "session.status = 'parked' and session.status_at_ms <= {0}"),
    Question.STILL: (f"join {_MARK}", f"session.status = 'active' and progress_mark.since_ms <= {{0}} and {_IS_AT}"),
    Question.MOVED: (
        f"left join {_MARK}",
        f"session.status = 'active' and session.progress is not null and not coalesce({_IS_AT}, false)",
    ),
}
"""For each question, what is joined to the sessions, and the condition."""


def candidates(asked: Asked, dialect: Dialect) -> tuple[str, list[Value]]:
    """The statement for a question, but for its limit, which is bound last, and its values."""
    joined, condition = _QUESTIONS[asked.question]
    values: list[Value] = [asked.account_id, *[asked.at_ms] * condition.count("{0}")]
    if asked.question != Question.MOVED:
        condition += f" and not {_OPEN}"
        values.append(asked.rule_id)
    if asked.project_id is not None:
        joined += " join session_profile on session_profile.id = session.id"
        condition += " and session_profile.project_id = {0}"
        values.append(asked.project_id)
    if asked.agent is not None:
        condition += " and session.agent = {0}"
        values.append(asked.agent)
    text = f"select session.id, session.progress, session.checkpoint_count from session {joined}"
    text += f" where session.account_id = {{0}} and {condition} limit {{0}}"
    return text.format(dialect.placeholder), values


_GROUPS = {
    Grouping.DAY: ("session_profile.started_at_ms / 86400000", "event.recorded_at_ms / 86400000"),
    Grouping.AGENT: ("session.agent", "session.agent"),
    Grouping.PROJECT: ("session_profile.project_id", "event.project_id"),
    Grouping.ACCOUNT: ("session.account_id", "event.account_id"),
}
"""By what sessions, and events, are grouped."""

REPORTED_WITHIN_MS = 7 * DAY_MS
"""How long after its start a session may be reported and still be counted: its id is of when it was reported."""


class Statement(NamedTuple):
    """A statement and what is bound."""

    text: str
    values: tuple[Value, ...]


def nth_session(asked: StatsAsked, dialect: Dialect) -> Statement:
    """The id of the newest session that is left out; none where none is."""
    place = dialect.placeholder
    condition, values = _sessions_of(asked, dialect, first_id=f"sess_{ulid(asked.from_at_ms, 0)}")
    text = f"select session.id from session where {condition} order by session.id desc limit 1 offset {place}"
    return Statement(text, (*values, asked.sessions_max))


def nth_event(asked: StatsAsked, dialect: Dialect) -> Statement:
    """When the newest event that is left out was recorded; none where none is."""
    place = dialect.placeholder
    text = (
        f"select recorded_at_ms from event where recorded_at_ms >= {place} and recorded_at_ms < {place}"
        f" order by recorded_at_ms desc limit 1 offset {place}"
    )
    return Statement(text, (asked.from_at_ms, asked.to_at_ms, asked.events_max))


def session_figures(asked: StatsAsked, dialect: Dialect, *, first_id: str) -> Statement:
    """Figures of sessions with this id or a later one."""
    place = dialect.placeholder
    condition, values = _sessions_of(asked, dialect, first_id=first_id)
    group = _GROUPS[asked.by][0]
    duration = "session_profile.ended_at_ms - session_profile.started_at_ms"
    text = (
        f"select {group}, session.status, session.end_reason, count(*), count(session_profile.ended_at_ms),"
        f" coalesce(sum({duration}), 0), coalesce(max({duration}), 0)"
        " from session join session_profile on session_profile.id = session.id"
        f" where {condition} and session_profile.started_at_ms >= {place} and session_profile.started_at_ms < {place}"
    )
    values = (*values, asked.from_at_ms, asked.to_at_ms)
    if asked.project_id is not None:
        text += f" and session_profile.project_id = {place}"
        values = (*values, asked.project_id)
    return Statement(f"{text} group by {group}, session.status, session.end_reason", values)


def _sessions_of(asked: StatsAsked, dialect: Dialect, *, first_id: str) -> tuple[str, tuple[Value, ...]]:
    place = dialect.placeholder
    last_id = f"sess_{ulid(asked.to_at_ms + REPORTED_WITHIN_MS, 0)}"
    if asked.account_id is None:
        return f"session.id >= {place} and session.id < {place}", (first_id, last_id)
    condition = f"session.account_id = {place} and session.id >= {place} and session.id < {place}"
    return condition, (asked.account_id, first_id, last_id)


def event_figures(asked: StatsAsked, dialect: Dialect, *, from_at_ms: int) -> Statement:
    """Figures of events recorded at this time or later."""
    place = dialect.placeholder
    group = _GROUPS[asked.by][1]
    delay = "event.recorded_at_ms - event.at_ms"
    joined = " left join session on session.id = event.session_id" if asked.by == Grouping.AGENT else ""
    text = (
        f"select {group}, event.type, event.rule, count(*), coalesce(sum({delay}), 0), coalesce(max({delay}), 0),"
        f" sum(case when {delay} <= 1000 then 1 else 0 end) from event{joined}"
        # What happens to a project or a machine is nobody's work.
        f" where event.session_id <> '' and event.recorded_at_ms >= {place} and event.recorded_at_ms < {place}"
    )
    values: tuple[Value, ...] = (from_at_ms, asked.to_at_ms)
    for column, value in (("account_id", asked.account_id), ("project_id", asked.project_id)):
        if value is not None:
            text += f" and event.{column} = {place}"
            values = (*values, value)
    return Statement(f"{text} group by {group}, event.type, event.rule", values)


def figures(asked: StatsAsked, dialect: Dialect, run: Callable[[Statement], Sequence[Sequence[Any]]]) -> Figures:
    """All figures. run: carries out a statement."""
    oldest_id = run(nth_session(asked, dialect))
    oldest_at = run(nth_event(asked, dialect))
    # What is left out ends with this one; those that are read begin behind it.
    first_id = f"{oldest_id[0][0]}+" if oldest_id else f"sess_{ulid(asked.from_at_ms, 0)}"
    from_at_ms = int(oldest_at[0][0]) + 1 if oldest_at else asked.from_at_ms
    sessions = run(session_figures(asked, dialect, first_id=first_id))
    events = run(event_figures(asked, dialect, from_at_ms=from_at_ms))
    return Figures(
        [SessionFigures(*each[:3], *map(int, each[3:])) for each in sessions],
        [EventFigures(*each[:3], *map(int, each[3:])) for each in events],
        ulid_at_ms(oldest_id[0][0].removeprefix("sess_")) if oldest_id else None,
        from_at_ms if oldest_at else None,
    )
