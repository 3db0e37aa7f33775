"""When the next beat is due, and when a lease could be over: arithmetic on this machine's own steady seconds.

The server's absolute times are never compared with a clock here; only differences between them are used.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from holdfast.client.api import Json

RETRY_SECONDS_FIRST = 0.25
RETRY_SECONDS_MAX = 30.0

LAPSE_NOTICE_PART = 0.2
"""How much of a strict lease is kept for the command to end by itself before it is killed."""


class Pace(NamedTuple):
    """What the holder promises: how often it beats, and how long the server waits for it."""

    interval_seconds: float
    lease_seconds: float


class LapseTimes(NamedTuple):
    """When a strict holder's command is told to end, and when it is killed so that nothing outlives the lease."""

    term_at: float
    kill_at: float


INTERVAL_SECONDS_DEFAULT = 5.0
BEATS_PER_LEASE = 3


def pace_of(*, interval_seconds: float | None, lease_seconds: float | None) -> Pace:
    """The pace asked for; the one that was not given follows from the other, at three beats to a lease.

    Raises: ValueError when the lease leaves no room for a missed beat.
    """
    if interval_seconds is None:
        interval_seconds = INTERVAL_SECONDS_DEFAULT if lease_seconds is None else lease_seconds / BEATS_PER_LEASE
    if lease_seconds is None:
        lease_seconds = interval_seconds * BEATS_PER_LEASE
    if lease_seconds <= interval_seconds:
        raise ValueError("the lease must be longer than the heartbeat interval")
    return Pace(interval_seconds, lease_seconds)


def beat_delay(reply: Mapping[str, Json], pace: Pace) -> float:
    """Seconds until the next beat: what the server drew, as far as its reply tells it, kept within the lease."""
    drawn = _between(reply.get("last_heartbeat_at"), reply.get("next_heartbeat_at"))
    delay = pace.interval_seconds if drawn is None else drawn
    return min(max(delay, pace.interval_seconds / 10), max(pace.interval_seconds, pace.lease_seconds / 2))


def retry_delay(failures: int, pace: Pace, *, draw: float, asked_seconds: float | None) -> float:
    """Seconds until the next attempt after this many failures in a row, never longer than a beat's interval.

    draw: from 0 to 1, so that those who lost the same server do not come back together. asked_seconds: what the
    server asked for; it is heeded up to the interval, since a lease is lost by being polite.
    """
    longest = min(pace.interval_seconds, RETRY_SECONDS_MAX)
    delay = min(RETRY_SECONDS_FIRST * 2.0 ** min(failures - 1, 16), longest) * (0.5 + draw / 2)
    return delay if asked_seconds is None else max(delay, min(asked_seconds, longest))


def attempt_at(now: float, delay: float, *, lease_ends_at: float | None, request_seconds: float) -> float:
    """When to try again: after the delay, but once more while the lease still lasts if that can be in time."""
    last_chance = None if lease_ends_at is None else lease_ends_at - request_seconds
    wanted = now + delay
    return last_chance if last_chance is not None and now < last_chance < wanted else wanted


def lapse_times(acknowledged_from: float, pace: Pace, *, stop_grace_seconds: float) -> LapseTimes:
    """When a strict lease could be over, counted from before the last acknowledged request was sent."""
    kill_at = acknowledged_from + pace.lease_seconds
    return LapseTimes(kill_at - min(stop_grace_seconds, pace.lease_seconds * LAPSE_NOTICE_PART), kill_at)


def request_seconds(pace: Pace) -> float:
    """How long one request may take, so that several fit into a lease."""
    return min(10.0, max(0.5, pace.lease_seconds / 4))


def _between(earlier: Json, later: Json) -> float | None:
    if not isinstance(earlier, str) or not isinstance(later, str):
        return None
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return None
