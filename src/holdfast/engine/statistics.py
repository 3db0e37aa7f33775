"""`GET /v1/stats`: how many sessions there were, how long, how they ended, and how soon silence was found.

The store adds up; a bounded number of rows is read, the newest ones, and the answer says where it begins. Sessions are
found by their ids, which begin with the time at which they were made, and events by when they were recorded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from holdfast.commands.bodies import Body
from holdfast.commands.statistics import EventFigures, Grouping, SessionFigures, StatsAsked
from holdfast.domain.actor import Actor, KeyScope, may
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.events import EventType, Rule
from holdfast.domain.limits import DAY_MS, SECOND_MS
from holdfast.engine.queries import present
from holdfast.store.port import Reader

RANGE_DAYS_DEFAULT = 7
RANGE_DAYS_MAX = 366

SESSIONS_MAX = 200_000
EVENTS_MAX = 300_000
"""Rows that one answer is made from: some tenths of a second of a reader."""

GROUPS_MAX = 500
"""Groups in one answer, those with the most sessions first; the totals count all."""


def statistics(store: Reader, actor: Actor, *, by: Grouping, from_at_ms: int | None, to_at_ms: int | None) -> Body:
    """Figures of the actor's account, or, by account and for an administrator, of all of them.

    Raises: validation_failed.
    """
    to_at_ms = present(store).wall_ms + 1 if to_at_ms is None else to_at_ms
    from_at_ms = max(0, to_at_ms - RANGE_DAYS_DEFAULT * DAY_MS) if from_at_ms is None else from_at_ms
    if not 0 < to_at_ms - from_at_ms <= RANGE_DAYS_MAX * DAY_MS:
        message = f"must be before `to`, and not more than {RANGE_DAYS_MAX} days before it"
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("from", message),))
    is_of_all = by == Grouping.ACCOUNT and may(actor, KeyScope.ADMIN)
    account_id = None if is_of_all else actor.account_id
    asked = StatsAsked(by, account_id, actor.project_id, from_at_ms, to_at_ms, SESSIONS_MAX, EVENTS_MAX)
    figures = store.figures(asked)
    sessions: dict[str, list[SessionFigures]] = {}
    events: dict[str, list[EventFigures]] = {}
    for counted in figures.sessions:
        sessions.setdefault(_name(by, counted.group), []).append(counted)
    for told in figures.events:
        events.setdefault(_name(by, told.group), []).append(told)
    sizes = {key: sum(each.sessions for each in sessions.get(key, ())) for key in (*sessions, *events)}
    shown = sorted(sizes, key=lambda key: (-sizes[key], key))[:GROUPS_MAX]
    order = sorted(shown) if by == Grouping.DAY else shown
    return {
        "from_at_ms": from_at_ms,
        "to_at_ms": to_at_ms,
        "by": str(by),
        "items": [{"key": key or None, **_told(sessions.get(key, ()), events.get(key, ()))} for key in order],
        "totals": _told(figures.sessions, figures.events),
        "sessions_from_at_ms": figures.sessions_from_at_ms,
        "events_from_at_ms": figures.events_from_at_ms,
    }


def _name(by: Grouping, group: str | int | None) -> str:
    """A group's key; empty for none."""
    if by == Grouping.DAY and group is not None:
        return datetime.fromtimestamp(int(group) * DAY_MS / SECOND_MS, UTC).date().isoformat()
    return "" if group is None else str(group)


def _told(sessions: Iterable[SessionFigures], events: Iterable[EventFigures]) -> Body:
    sessions, events = list(sessions), list(events)
    lapses = [each for each in events if each.type == EventType.STALLED and each.rule == Rule.LEASE_LAPSED]
    ended = sum(each.ended for each in sessions)
    found = sum(each.events for each in lapses)
    return {
        "sessions": sum(each.sessions for each in sessions),
        "statuses": _summed((each.status, each.sessions) for each in sessions),
        "end_reasons": _summed((each.end_reason, each.sessions) for each in sessions if each.end_reason is not None),
        "durations": {
            "count": ended,
            "mean_ms": _mean(sum(each.duration_ms for each in sessions), ended),
            "longest_ms": max((each.longest_ms for each in sessions if each.ended), default=None),
        },
        "detections": {
            "count": found,
            "mean_ms": _mean(sum(each.delay_ms for each in lapses), found),
            "longest_ms": max((each.longest_ms for each in lapses), default=None),
            "within_one_second": sum(each.within_second for each in lapses),
        },
        "events": _summed((each.type, each.events) for each in events),
    }


def _summed(pairs: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for name, count in pairs:
        counts[name] += count
    return dict(sorted(counts.items()))


def _mean(total: int, count: int) -> int | None:
    return round(total / count) if count else None
